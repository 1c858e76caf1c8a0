"""∇²L = ∇²A - I_{z|x,y}, with I_{z|x,y} = E[Cov_{z|x,y}(s) ⊗ xx']."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import sympy as sp

from moe_theory.claims import Claim, Evidence, Mutant, Printed, Setting, close, identity
from moe_theory.operators import gradient, observed_information
from moe_theory.symbolic.derive import Derivation
from moe_theory.symbolic.expectation import expect_joint
from proofs_checks.shared import FLAT


def check(setting: Setting, claimed: Callable[[Derivation], sp.Matrix]) -> Iterator[Evidence]:
    for theory in setting.theories:
        model = theory.model
        hessian = sp.hessian(-sp.log(theory.density), model.learnt)
        yield identity(
            model,
            r"$-\partial^2 \log p(y|x)/\partial\eta^2 - (\nabla^2 A_x - I_{z|x,y})$",
            list(hessian - claimed(theory)),
        )
        complete = [
            theory.complete_information[i, j] - expect_joint(model, [-e.diff(a, b) for e in model.log_joint])
            for i, a in enumerate(model.learnt)
            for j, b in enumerate(model.learnt)
        ]
        yield identity(model, r"$\nabla^2 A_x - E[-\partial^2 \log p(y,z|x)/\partial\eta^2]$", complete)
    for case in setting.samples:
        theta, step = case.start, 1e-5
        direction = setting.rng().standard_normal(theta.shape)
        exact = observed_information(case.model, case.law, theta) @ direction.ravel()
        ahead, back = (gradient(case.model, case.law, theta + s * step * direction) for s in (1, -1))
        error = float(np.max(np.abs((ahead - back).ravel() / (2 * step) - exact)))
        yield close(
            case.name,
            r"$\nabla^2 L$ times a direction, against central differences of $\nabla L$",
            error,
            0.0,
            1e-8,
            essential=False,
        )


def _curvature_of_posterior(theory: Derivation) -> sp.Matrix:
    """-Σ_z P(z|x,y) ∂² log P(z|x,y)/∂η²."""
    terms = [-p * sp.hessian(sp.log(p), theory.model.learnt) for p in theory.posterior]
    return sum(terms, sp.zeros(len(theory.model.learnt)))


CLAIM = Claim(
    id="information-split",
    title="Observed information is complete less missing information",
    statement=r"$\nabla^2 L(\theta) = \nabla^2 A(\theta) - I_{z|x,y}(\theta)$, $I_{x,y,z} = \nabla^2 A$,"
    r" $I_{z|x,y} = E[\mathrm{Cov}_{z|x,y}(s) \otimes xx']$",
    source="Louis (1982); arXiv 2411.06056, Theorem B.2; theory.md §3",
    hypotheses=(FLAT,),
    expected="proved",
    check=check,
    claimed=lambda t: t.observed_information,
    mutants={
        "sum instead of difference": Mutant("sign", lambda t: t.complete_information + t.missing_information),
        "second moment instead of the covariance": Mutant(
            "form",
            lambda t: (
                t.complete_information
                - sum(
                    (p * s * s.T for p, s in zip(t.posterior, t.statistics, strict=True)),
                    sp.zeros(len(t.model.learnt)),
                )
            ),
        ),
        "no missing information across predictors": Mutant(
            "term", lambda t: t.complete_information - sp.diag(*t.missing_information.diagonal())
        ),
        "half the missing information": Mutant(
            "constant", lambda t: t.complete_information - t.missing_information / 2
        ),
    },
    order=9,
    any_model=True,
    printed=Printed(
        r"$I_{z|x,y,\theta} := -E\,E_{Z|x,y,\theta}[\partial^2 \log P(z|x,y;\theta)/\partial\theta^2]$,"
        r" $I_{x,z,y|\theta} = \nabla^2 A(\theta)$",
        lambda t: t.complete_information - _curvature_of_posterior(t),
        expected="proved",
    ),
)
