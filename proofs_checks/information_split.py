"""∇²L = ∇²A - I_{z|x,y}, with I_{z|x,y} = E[Cov_{z|x,y}(s) ⊗ xx']."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import sympy as sp

from moe_theory.claims import Claim, Evidence, Setting, close, identity
from moe_theory.operators import gradient, observed_information
from moe_theory.symbolic.derive import Derivation
from moe_theory.symbolic.expectation import expect_joint


def check(setting: Setting, claimed: Callable[[Derivation], sp.Matrix]) -> Iterator[Evidence]:
    for theory in setting.theories:
        model = theory.model
        hessian = sp.hessian(-sp.log(theory.density), model.learnt)
        yield identity(model, "-∂²log p(y|x)/∂η² - (∇²A_x - I_{z|x,y})", list(hessian - claimed(theory)))
        complete = [
            theory.complete_information[i, j] - expect_joint(model, [-e.diff(a, b) for e in model.log_joint])
            for i, a in enumerate(model.learnt)
            for j, b in enumerate(model.learnt)
        ]
        yield identity(model, "∇²A_x - E[-∂²log p(y,z|x)/∂η²]", complete)
    for case in setting.samples:
        theta, step = case.start, 1e-5
        direction = setting.rng().standard_normal(theta.shape)
        exact = observed_information(case.model, case.law, theta) @ direction.ravel()
        ahead, back = (gradient(case.model, case.law, theta + s * step * direction) for s in (1, -1))
        error = float(np.max(np.abs((ahead - back).ravel() / (2 * step) - exact)))
        yield close(
            case.name,
            "∇²L times a direction, against central differences of ∇L",
            error,
            0.0,
            1e-8,
            essential=False,
        )


CLAIM = Claim(
    id="information-split",
    title="Observed information is complete less missing information",
    statement="∇²L(θ) = ∇²A(θ) − I_{z|x,y}(θ), I_{x,y,z} = ∇²A, I_{z|x,y} = E[Cov_{z|x,y}(s) ⊗ xx']",
    source="Louis (1982); arXiv 2411.06056, Theorem B.2; theory.md §3",
    hypotheses=("flat exponential family (derived)",),
    expected="proved",
    check=check,
    claimed=lambda t: t.observed_information,
    mutants={
        "sum instead of difference": lambda t: t.complete_information + t.missing_information,
        "second moment instead of the covariance": lambda t: (
            t.complete_information
            - sum(
                (p * s * s.T for p, s in zip(t.posterior, t.statistics, strict=True)),
                sp.zeros(len(t.model.learnt)),
            )
        ),
        "no missing information across predictors": lambda t: (
            t.complete_information - sp.diag(*t.missing_information.diagonal())
        ),
        "half the missing information": lambda t: t.complete_information - t.missing_information / 2,
    },
    order=9,
)
