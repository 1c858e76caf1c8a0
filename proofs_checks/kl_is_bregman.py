"""E_X KL(p_θ ‖ p_φ) = B_A(φ ‖ θ)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import sympy as sp

from moe_theory.claims import Claim, Evidence, Mutant, Setting, close, identity
from moe_theory.kernels import kernels
from moe_theory.laws import Finite
from moe_theory.operators import kl
from moe_theory.response import Values
from moe_theory.symbolic.derive import Derivation
from moe_theory.symbolic.expectation import expect_joint
from proofs_checks.shared import FLAT, bregman_of, primed

Divergence = Callable[[Derivation, sp.Matrix, sp.Matrix], sp.Expr]


def check(setting: Setting, claimed: Divergence) -> Iterator[Evidence]:
    for theory in setting.theories:
        model = theory.model
        move = primed(model)
        eta, phi = sp.Matrix(model.learnt), sp.Matrix(list(move.values()))
        log_ratio = [e - e.subs(move, simultaneous=True) for e in model.log_joint]
        divergence = expect_joint(model, log_ratio)
        yield identity(
            model,
            r"$\mathrm{KL}(p_\theta\|p_\varphi)$ less the claimed divergence, per row",
            divergence - claimed(theory, eta, phi),
            base=_back(move),
        )
    yield from _by_summation(setting)


def _by_summation(setting: Setting) -> Iterator[Evidence]:
    """The package's own divergence against a plain sum over x, y and z, where that is finite."""
    rng = setting.rng()
    for model in setting.models if setting.flat else ():
        if not isinstance(model.response, Values):
            continue
        x = rng.standard_normal((7, 2))
        theta, phi = rng.standard_normal((2, len(model.predictors), 2))
        law = Finite.from_model(model, theta, x)
        total = 0.0
        for y in model.response.values:
            p = kernels(model).log_joint(np.full(len(x), float(y)), *(theta @ x.T))
            q = kernels(model).log_joint(np.full(len(x), float(y)), *(phi @ x.T))
            total += float(np.sum(np.exp(p) * (p - q))) / len(x)
        yield close(model.name, "KL by summation", kl(model, law, theta, phi), total, 1e-12, essential=False)


def _back(move: dict[sp.Symbol, sp.Symbol]) -> dict[sp.Symbol, sp.Expr]:
    return {new: old for old, new in move.items()}


CLAIM = Claim(
    id="kl-is-bregman",
    title="The Kullback–Leibler divergence of the model is the Bregman divergence of the mirror map",
    statement=r"$E_X \mathrm{KL}(p_\theta(y,z|x) \| p_\varphi(y,z|x)) = B_A(\varphi\|\theta)"
    r" = A(\varphi) - A(\theta) - \langle\nabla A(\theta), \varphi-\theta\rangle$",
    source="arXiv 2411.06056, Theorem 4.1; Kunstner, Kumar and Schmidt (AISTATS 2021)",
    hypotheses=(FLAT,),
    expected="proved",
    check=check,
    claimed=lambda t, eta, phi: bregman_of(t, phi, eta),
    mutants={
        "arguments exchanged": Mutant("exchange", lambda t, eta, phi: bregman_of(t, eta, phi)),
        "sign of the linear term": Mutant(
            "sign", lambda t, eta, phi: bregman_of(t, phi, eta) + 2 * t.mean.dot(phi - eta)
        ),
        "half of it": Mutant("constant", lambda t, eta, phi: bregman_of(t, phi, eta) / 2),
    },
    order=3,
    any_model=True,
)
