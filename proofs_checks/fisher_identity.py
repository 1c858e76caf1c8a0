"""∇L(θ) = ∇A(θ) - E[E_{z|x,y;θ}[s] ⊗ x]."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import sympy as sp

from moe_theory.claims import Claim, Evidence, Mutant, Setting, close, identity
from moe_theory.model import RESPONSE
from moe_theory.operators import expected_statistic, mean_map, objective
from moe_theory.symbolic.derive import Derivation
from proofs_checks.shared import FLAT


def check(setting: Setting, claimed: Callable[[Derivation], sp.Matrix]) -> Iterator[Evidence]:
    for theory in setting.theories:
        gradient = [-sp.log(theory.density).diff(s) for s in theory.model.learnt]
        difference = [a - b for a, b in zip(gradient, claimed(theory), strict=True)]
        yield identity(theory.model, r"$-\partial\log p(y|x)/\partial\eta - (\nabla A_x - E[s|x,y])$", difference)
    for case in setting.samples:
        theta, direction = case.start, setting.rng().standard_normal(case.start.shape)
        exact = mean_map(case.model, case.law, theta) - expected_statistic(case.model, case.law, theta)
        step = 1e-5
        ahead, back = (objective(case.model, case.law, theta + s * step * direction) for s in (1, -1))
        # Central differences: truncation of order step², rounding of order 1e-15/step.
        yield close(
            case.name,
            "directional derivative of L, by central differences",
            (ahead - back) / (2 * step),
            float(np.sum(exact * direction)),
            1e-8,
            essential=False,
        )


def _at_minus_y(matrix: sp.Matrix) -> sp.Matrix:
    return matrix.subs(RESPONSE, -RESPONSE)


CLAIM = Claim(
    id="fisher-identity",
    title="Fisher's identity: the gradient of the likelihood is a difference of two means of the statistic",
    statement=r"$\nabla L(\theta) = \nabla A(\theta) - E[E_{z|x,y;\theta}[s] \otimes x]$",
    source="Fisher's identity; arXiv 2411.06056, proof of Theorem 4.1",
    hypotheses=(FLAT,),
    expected="proved",
    check=check,
    claimed=lambda t: t.mean - t.expected_statistic,
    mutants={
        "sign of the posterior mean": Mutant("sign", lambda t: t.mean + t.expected_statistic),
        "posterior at the mirrored response": Mutant("form", lambda t: t.mean - _at_minus_y(t.expected_statistic)),
        "prior mean instead of the posterior's": Mutant("exchange", lambda t: t.mean - t.mean),
        "statistic of the likelier label": Mutant("term", lambda t: t.mean - t.statistics[-1]),
    },
    order=4,
    any_model=True,
)
