"""L(φ) = L(θ) + ⟨∇L(θ), φ-θ⟩ + B_A(φ‖θ) - E KL(post_θ‖post_φ)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import sympy as sp

from moe_theory.claims import Claim, Evidence, Mutant, Setting, close, identity
from moe_theory.operators import bregman, gradient, objective, posterior_kl
from moe_theory.symbolic.derive import Derivation
from proofs_checks.shared import FLAT, at, bregman_of, posterior_kl_of, primed

Remainder = Callable[[Derivation, sp.Matrix, sp.Matrix], sp.Expr]


def check(setting: Setting, claimed: Remainder) -> Iterator[Evidence]:
    for theory in setting.theories:
        move = primed(theory.model)
        eta, phi = sp.Matrix(theory.model.learnt), sp.Matrix(list(move.values()))
        loss = -sp.log(theory.density)
        slope = sp.Matrix([loss.diff(s) for s in eta]).dot(phi - eta)
        rest = at(theory, loss, phi) - loss - slope - claimed(theory, phi, eta)
        base = {new: old for old, new in move.items()}
        yield identity(
            theory.model,
            r"$L_x(\varphi) - L_x(\eta) - \langle\nabla L_x,\varphi-\eta\rangle - B_A + \mathrm{KL}(\mathrm{post})$",
            rest,
            base,
        )
    rng = setting.rng()
    for case in setting.samples:
        model, law, theta = case.model, case.law, case.start
        phi = theta + 0.3 * rng.standard_normal(theta.shape)
        slope = float(np.sum(gradient(model, law, theta) * (phi - theta)))
        computed = objective(model, law, phi) - objective(model, law, theta) - slope
        remainder = bregman(model, law, phi, theta) - posterior_kl(model, law, theta, phi)
        yield close(
            case.name,
            r"$L(\varphi) - L(\theta) - \langle\nabla L,\varphi-\theta\rangle$ at a random $\varphi$",
            computed,
            remainder,
            1e-12,
            essential=False,
        )


def remainder_of(theory: Derivation, phi: sp.Matrix, eta: sp.Matrix) -> sp.Expr:
    """B_A(φ‖η) - KL(post_η‖post_φ)."""
    return bregman_of(theory, phi, eta) - posterior_kl_of(theory, eta, phi)


CLAIM = Claim(
    id="majorization",
    title="L differs from its mirror-descent model by the divergence of the posteriors",
    statement=r"$L(\varphi) = L(\theta) + \langle\nabla L(\theta), \varphi-\theta\rangle + B_A(\varphi\|\theta)"
    r" - E\,\mathrm{KL}(P_\theta(z|x,y) \| P_\varphi(z|x,y))$; so L is 1-smooth relative to A",
    source="Kunstner, Kumar and Schmidt (AISTATS 2021), Proposition 1; theory.md §3",
    hypotheses=(FLAT,),
    expected="proved",
    check=check,
    claimed=remainder_of,
    mutants={
        "posteriors exchanged": Mutant(
            "exchange", lambda t, phi, eta: bregman_of(t, phi, eta) - posterior_kl_of(t, phi, eta)
        ),
        "sign of the posteriors' divergence": Mutant(
            "sign", lambda t, phi, eta: bregman_of(t, phi, eta) + posterior_kl_of(t, eta, phi)
        ),
        "Bregman arguments exchanged": Mutant(
            "exchange", lambda t, phi, eta: bregman_of(t, eta, phi) - posterior_kl_of(t, eta, phi)
        ),
        "no posterior term": Mutant("term", lambda t, phi, eta: bregman_of(t, phi, eta)),
    },
    order=7,
    any_model=True,
)
