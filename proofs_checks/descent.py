"""L(θ_t) - L(θ_{t+1}) >= B_A(θ_t‖θ_{t+1}) = E KL(p_{t+1}‖p_t)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import sympy as sp

from moe_theory.claims import Claim, Evidence, Setting, at_least, identity
from moe_theory.symbolic.derive import Derivation
from proofs_checks.shared import at, bregman_of, posterior_kl_of, primed


@dataclass(frozen=True)
class Decrease:
    """guaranteed: the claimed lower bound on L(θ) - L(θ⁺) per row, from (theory, η, φ = η⁺), up to KL(post) >= 0 and
    what vanishes on average by the definition of the mirror step; factor: on B_A along runs."""

    guaranteed: Callable[[Derivation, sp.Matrix, sp.Matrix], sp.Expr]
    factor: float = 1.0


def check(setting: Setting, claimed: Decrease) -> Iterator[Evidence]:
    """The mirror step makes ⟨∇L(θ) + ∇A(θ⁺) - ∇A(θ), θ⁺ - θ⟩ vanish; with that added, the decrease is an identity."""
    for theory in setting.theories:
        move = primed(theory.model)
        eta, phi = sp.Matrix(theory.model.learnt), sp.Matrix(list(move.values()))
        loss = -sp.log(theory.density)
        slope = sp.Matrix([loss.diff(s) for s in eta])
        vanishing = (slope + at(theory, theory.mean, phi) - theory.mean).dot(phi - eta)
        rest = loss - at(theory, loss, phi) - claimed.guaranteed(theory, eta, phi) - posterior_kl_of(theory, eta, phi)
        base = {new: old for old, new in move.items()}
        yield identity(
            theory.model,
            "L_x(η) - L_x(φ) - B_A(η‖φ) - KL(post_η‖post_φ) + [0 at the EM step]",
            rest + vanishing,
            base,
        )
    for case in setting.all_cases:
        trace = case.trace
        slack = trace.decrease - claimed.factor * trace.divergence
        worst = int(np.argmin(slack / trace.divergence))
        yield at_least(
            case.name,
            f"least (L_t - L_{{t+1}})/B_A(θ_t‖θ_{{t+1}}) over {len(slack)} iterations",
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
    statement="L(θ_t) − L(θ_{t+1}) = B_A(θ_t‖θ_{t+1}) + E KL(post_t‖post_{t+1}) ≥ B_A(θ_t‖θ_{t+1}) = E KL(p_{t+1}‖p_t)",
    source="arXiv 2411.06056, proof of Theorem 4.2; theory.md §3",
    hypotheses=("flat exponential family (derived)", "θ_{t+1} is the exact M-step"),
    expected="proved",
    check=check,
    claimed=Decrease(lambda t, eta, phi: bregman_of(t, eta, phi)),
    mutants={
        "divergence with arguments exchanged": Decrease(lambda t, eta, phi: bregman_of(t, phi, eta)),
        "twice the divergence": Decrease(lambda t, eta, phi: 2 * bregman_of(t, eta, phi), factor=2.0),
        "without the posterior's share taken off": Decrease(
            lambda t, eta, phi: bregman_of(t, eta, phi) + posterior_kl_of(t, eta, phi)
        ),
    },
    order=8,
)
