"""For flat models the EM step is the unit mirror-descent step with mirror map A."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import sympy as sp

from moe_theory.algorithms import EM, MirrorDescent
from moe_theory.claims import Claim, Evidence, Setting, close, identity
from moe_theory.symbolic.derive import Derivation
from proofs_checks.separable import em_objective
from proofs_checks.shared import at, primed


@dataclass(frozen=True)
class Step:
    """stationarity: gradient in φ of the mirror step's objective, given (theory, φ, η, ∇L_x(η)); size: its step."""

    stationarity: Callable[[Derivation, sp.Matrix, sp.Matrix, sp.Matrix], sp.Matrix]
    size: float = 1.0


def mirror(theory: Derivation, phi: sp.Matrix, eta: sp.Matrix, gradient: sp.Matrix) -> sp.Matrix:
    """∇_φ of ⟨∇L(θ), φ⟩ + B_A(φ‖θ)."""
    return gradient + at(theory, theory.mean, phi) - at(theory, theory.mean, eta)


def check(setting: Setting, claimed: Step) -> Iterator[Evidence]:
    for theory in setting.theories:
        eta = sp.Matrix(theory.model.learnt)
        phi = sp.Matrix(list(primed(theory.model).values()))
        q = em_objective(theory, phi, eta)
        gradient = sp.Matrix([-sp.log(theory.density).diff(s) for s in eta])
        mirrored = claimed.stationarity(theory, phi, eta, gradient)
        difference = [q.diff(s) - m for s, m in zip(phi, mirrored, strict=True)]
        yield identity(theory.model, "∇_φ Q(φ|θ) - ∇_φ [⟨∇L(θ),φ⟩ + B_A(φ‖θ)], per row", difference)
    for case in setting.samples:
        em = EM(case.model).step(case.start, case.law)
        descent = MirrorDescent(case.model, claimed.size).step(case.start, case.law)
        yield close(
            case.name,
            "largest difference of the two steps",
            float(np.max(np.abs(em - descent))),
            0.0,
            1e-11 * float(np.max(np.abs(em))),
            essential=False,
        )


CLAIM = Claim(
    id="em-is-mirror-descent",
    title="EM is mirror descent with unit step and the KL divergence as regulariser",
    statement="argmin_φ Q(φ|θ) = argmin_φ L(θ) + ⟨∇L(θ), φ−θ⟩ + B_A(φ‖θ): the two objectives differ by a constant",
    source="arXiv 2411.06056, Theorem 5.1",
    hypotheses=("flat exponential family (derived): no projection is needed",),
    expected="proved",
    check=check,
    claimed=Step(mirror),
    mutants={
        "half the step": Step(lambda t, phi, eta, g: mirror(t, phi, eta, g / 2), size=0.5),
        "uphill": Step(lambda t, phi, eta, g: mirror(t, phi, eta, -g)),
        "regulariser with arguments exchanged": Step(
            lambda t, phi, eta, g: g + at(t, t.complete_information, phi) * (phi - eta)
        ),
        "Euclidean regulariser": Step(lambda t, phi, eta, g: g + phi - eta),
    },
    order=6,
)
