"""L(θ_t) - L(θ_{t+1}) >= B_A(θ_t‖θ_{t+1}) = E KL(p_{t+1}‖p_t)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import sympy as sp

from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, at_least, identity
from moe_theory.symbolic.derive import Derivation
from proofs_checks.shared import FLAT, bregman_of, decrease_less, posterior_kl_of, primed


@dataclass(frozen=True)
class Decrease:
    """guaranteed: the claimed lower bound on L(θ) - L(θ⁺) per row, from (theory, η, φ = η⁺), up to KL(post) >= 0 and
    what vanishes on average by the definition of the mirror step (if `exact`); factor: on B_A along runs."""

    guaranteed: Callable[[Derivation, sp.Matrix, sp.Matrix], sp.Expr]
    factor: float = 1.0
    exact: bool = True


def check(setting: Setting, claimed: Decrease) -> Iterator[Evidence]:
    """The mirror step makes ⟨∇L(θ) + ∇A(θ⁺) - ∇A(θ), θ⁺ - θ⟩ vanish; with that added, the decrease is an identity."""
    for theory in setting.theories:
        move = primed(theory.model)
        eta, phi = sp.Matrix(theory.model.learnt), sp.Matrix(list(move.values()))
        rest = decrease_less(theory, claimed.guaranteed(theory, eta, phi), eta, phi, claimed.exact)
        base = {new: old for old, new in move.items()}
        yield identity(
            theory.model,
            r"$L_x(\eta) - L_x(\varphi) - B_A(\eta\|\varphi) -"
            r" \mathrm{KL}(\mathrm{post}_\eta\|\mathrm{post}_\varphi)$ + [0 at the EM step]",
            rest,
            base,
        )
    for case in setting.all_cases:
        trace = case.trace
        slack = trace.decrease - claimed.factor * trace.divergence
        worst = int(np.argmin(slack / trace.divergence))
        yield at_least(
            case.name,
            rf"least $(L_t - L_{{t+1}})/B_A(\theta_t\|\theta_{{t+1}})$ over {len(slack)} iterations",
            float((trace.decrease / trace.divergence)[worst]),
            claimed.factor,
            error=10 * trace.accuracy,
            essential=False,
            trials=len(slack),
            witness={"t": worst, "theta": trace.thetas[worst].tolist()},
        )


CLAIM = Claim(
    id="descent",
    title="Every EM step decreases L by at least the divergence it moves",
    statement=r"$L(\theta_t) - L(\theta_{t+1}) = B_A(\theta_t\|\theta_{t+1}) +"
    r" E\,\mathrm{KL}(\mathrm{post}_t\|\mathrm{post}_{t+1})"
    r" \ge B_A(\theta_t\|\theta_{t+1}) = E\,\mathrm{KL}(p_{t+1}\|p_t)$",
    source="arXiv 2411.06056, proof of Theorem 4.2; theory.md §3",
    hypotheses=(
        FLAT,
        Hypothesis(
            r"$\theta_{t+1}$ is the exact M-step", Decrease(lambda t, eta, phi: bregman_of(t, eta, phi), exact=False)
        ),
    ),
    expected="proved",
    check=check,
    claimed=Decrease(lambda t, eta, phi: bregman_of(t, eta, phi)),
    mutants={
        "divergence with arguments exchanged": Mutant(
            "exchange", Decrease(lambda t, eta, phi: bregman_of(t, phi, eta))
        ),
        "twice the divergence": Mutant(
            "constant", Decrease(lambda t, eta, phi: 2 * bregman_of(t, eta, phi), factor=2.0)
        ),
        "without the posterior's share taken off": Mutant(
            "term", Decrease(lambda t, eta, phi: bregman_of(t, eta, phi) + posterior_kl_of(t, eta, phi))
        ),
    },
    order=8,
    any_model=True,
)
