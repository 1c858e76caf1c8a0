"""Under the true law 0 ⪯ M(θ*) ⪯ I; away from θ* λ_max(M) can exceed 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import sympy as sp

from moe_theory.claims import (
    Claim,
    Evidence,
    Hypothesis,
    Instance,
    Mutant,
    Search,
    Setting,
    Slack,
    at_least,
    identity,
    searched,
)
from moe_theory.laws import Finite
from moe_theory.operators import missing_information_matrix
from moe_theory.symbolic.derive import Derivation
from moe_theory.symbolic.expectation import expect_joint
from proofs_checks.shared import FLAT


@dataclass(frozen=True)
class Order:
    """lower <= eigenvalues of M <= upper. split: what M's numerator is subtracted from, per row, to leave E[score
    score']. at_truth, true_law: hypotheses that hold."""

    lower: float = 0.0
    upper: float = 1.0
    score: Callable[[Derivation], sp.Matrix] = lambda t: t.score * t.score.T
    at_truth: bool = True
    true_law: bool = True


def slack(claimed: Order, instance: Instance, certain: bool) -> Slack:
    """How far the eigenvalues of M stay inside [lower, upper]."""
    law = instance.law
    if not claimed.true_law:
        law = Finite(law.x, -law.y if instance.model.response.values else law.y + 2, law.weight)
    theta = instance.truth if claimed.at_truth else instance.start
    m = missing_information_matrix(instance.model, law, theta)
    values, scale = m.eigenvalues, np.sqrt(np.diagonal(m.complete))
    error = 1e-9 + 1e-15 * float(np.linalg.cond(m.complete / np.outer(scale, scale)))
    above, below = claimed.upper - float(values[0]), float(values[-1]) - claimed.lower
    if above < below:
        return Slack.of(float(values[0]), claimed.upper, 1.0, error, eigenvalue="largest")
    return Slack.of(claimed.lower, float(values[-1]), 1.0, error, eigenvalue="least")


SEARCH = Search(slack)


def check(setting: Setting, claimed: Order) -> Iterator[Evidence]:
    """M ⪰ 0 because I_z is a mean of covariances. I - M ⪰ 0 because under the model ∇²A - I_z = E[score score']: per
    row p (-∂² log p) = p score score' - ∂²p, and ∫ ∂²p dy = Σ_z ∫ p(y,z) [∂² log p(y,z) + ∂log p ∂log p'] dy = 0."""
    what, budget = r"$0 \le \lambda(M) \le 1$", setting.budget
    if not claimed.true_law:
        yield from searched(SEARCH, claimed, what, budget, setting.seed, essential=True)
        return
    for case in setting.populations:
        for share in (1.0,) if claimed.at_truth else (1.0, 0.1):
            values = missing_information_matrix(case.model, case.law, share * case.limit_point).eigenvalues
            inside = min(claimed.upper - float(values[0]), float(values[-1]) - claimed.lower)
            label = rf"least distance of M's eigenvalues to {claimed.lower:g} and {claimed.upper:g}"
            yield at_least(case.name, label, inside, 0.0, case.law.accuracy, essential=False, trials=len(values))
    for theory in setting.theories:
        model = theory.model
        information = theory.complete_information - theory.missing_information
        left = theory.density * (information - claimed.score(theory)) + sp.hessian(theory.density, model.learnt)
        label = r"$p\,(\nabla^2 A_x - I_{z|x,y} - \mathrm{score}\,\mathrm{score}') + \partial^2 p$"
        yield identity(model, label, list(left))
        yield _normalised_twice(theory)
    if setting.flat:
        yield from searched(SEARCH, claimed, what, budget // 2, setting.seed)


@lru_cache(maxsize=8)
def _normalised_twice(theory: Derivation) -> Evidence:
    """∫ ∂²p dy = 0."""
    model = theory.model
    second = [
        expect_joint(model, [e.diff(a, b) + e.diff(a) * e.diff(b) for e in model.log_joint])
        for i, a in enumerate(model.learnt)
        for b in model.learnt[: i + 1]
    ]
    return identity(model, r"$\int \partial^2 p(y|x)\,dy$", second)


CLAIM = Claim(
    id="information-order",
    title="At the truth no less than nothing is missing, and no more than all",
    statement=r"under the true law $0 \preceq I_{z|x,y} \preceq \nabla^2 A$ at $\theta^*$: the eigenvalues of"
    r" $M(\theta^*)$ are in $[0, 1]$; away from $\theta^*$ $\lambda_{\max}(M)$ can"
    r" exceed 1",
    source="Louis (1982); theory.md §3",
    hypotheses=(
        FLAT,
        Hypothesis(r"at the truth, $\theta = \theta^*$", Order(at_truth=False)),
        Hypothesis("y drawn from the model", Order(true_law=False)),
    ),
    expected="proved",
    check=check,
    claimed=Order(),
    mutants={
        "at least a tenth is missing": Mutant("constant", Order(lower=0.1)),
        "at most half is missing": Mutant("constant", Order(upper=0.5)),
        "the score squared with the wrong sign": Mutant("sign", Order(score=lambda t: -t.score * t.score.T)),
        "the complete-data score": Mutant("form", Order(score=lambda t: t.mean * t.mean.T)),
        "never more than all of it, anywhere": Mutant("hypothesis", Order(at_truth=False)),
    },
    order=16,
    any_model=True,
    search=SEARCH,
)
