"""For flat models the EM step is the unit mirror-descent step with mirror map A."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import sympy as sp

from moe_theory.algorithms import EM, MirrorDescent
from moe_theory.claims import Claim, Evidence, Mutant, Printed, Setting, close, identity
from moe_theory.symbolic.derive import Derivation
from proofs_checks.separable import em_objective
from proofs_checks.shared import FLAT, at, bregman_of, primed


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
        yield identity(
            theory.model,
            r"$\nabla_\varphi Q(\varphi|\theta) - \nabla_\varphi [\langle\nabla L(\theta),\varphi\rangle +"
            r" B_A(\varphi\|\theta)]$, per row",
            difference,
        )
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
    statement=r"$\arg\min_\varphi Q(\varphi|\theta) = \arg\min_\varphi L(\theta) +"
    r" \langle\nabla L(\theta), \varphi-\theta\rangle + B_A(\varphi\|\theta)$: the two objectives differ by a constant",
    source="arXiv 2411.06056, Theorem 5.1",
    hypotheses=(FLAT,),
    expected="proved",
    check=check,
    claimed=Step(mirror),
    mutants={
        "half the step": Mutant("constant", Step(lambda t, phi, eta, g: mirror(t, phi, eta, g / 2), size=0.5)),
        "uphill": Mutant("sign", Step(lambda t, phi, eta, g: mirror(t, phi, eta, -g))),
        "regulariser with arguments exchanged": Mutant(
            "exchange", Step(lambda t, phi, eta, g: g + at(t, t.complete_information, phi) * (phi - eta))
        ),
        "Euclidean regulariser": Mutant("form", Step(lambda t, phi, eta, g: g + phi - eta)),
    },
    order=6,
    any_model=True,
    printed=Printed(
        r"mirror descent minimises $L(\theta^t) + \langle\nabla L(\theta^t),\theta-\theta^t\rangle +"
        r" D_h(\theta^t,\theta)$"
        r" with $D_h(\theta^t,\theta) = h(\theta) - h(\theta^t) - \langle\nabla h(\theta^t),\theta-\theta^t\rangle$",
        Step(lambda t, phi, eta, g: sp.Matrix([(g.dot(phi - eta) + bregman_of(t, phi, eta)).diff(p) for p in phi])),
        expected="proved",
    ),
)
