"""∇²A ⪰ 0, and ∇²A ≻ 0 if and only if E[xx'] ≻ 0."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp

from moe_theory.claims import Claim, Evidence, Setting
from moe_theory.laws import Finite
from moe_theory.operators import complete_information
from moe_theory.symbolic.derive import Derivation
from moe_theory.symbolic.identities import find_nonzero, is_identically_positive


@dataclass(frozen=True)
class Convexity:
    """hessian - bound·I is positive definite per row, and ∇²A singular exactly where E[xx'] is (`needs_rank`)."""

    hessian: Callable[[Derivation], sp.Matrix] = lambda t: t.complete_information
    bound: int = 0
    needs_rank: bool = True


def check(setting: Setting, claimed: Convexity) -> Iterator[Evidence]:
    for theory in setting.theories:
        m = len(theory.model.learnt)
        shifted = claimed.hessian(theory) - claimed.bound * sp.eye(m)
        for order in range(1, m + 1):
            yield _positive(theory.model.name, f"leading minor {order} of ∇²A_x > 0", shifted[:order, :order].det())
    rng = setting.rng()
    for model in setting.models:
        theta = rng.standard_normal((len(model.predictors), 3))
        full = rng.standard_normal((12, 3))
        flat = full.copy()
        flat[:, 2] = flat[:, 0] - flat[:, 1]
        for x, singular in ((full, False), (flat, claimed.needs_rank)):
            law = Finite(x, np.ones(len(x)))
            values = np.linalg.eigvalsh(complete_information(model, law, theta))
            rounding = 1e-12 * values[-1]
            least = float(values[0])
            holds = abs(least) <= rounding if singular else least > rounding
            what = "least eigenvalue of ∇²A where E[xx'] " + ("is singular" if x is flat else "≻ 0")
            yield Evidence("estimate", model.name, what, bool(holds), least, 0.0, rounding, essential=False)


def _positive(subject: str, what: str, minor: sp.Expr) -> Evidence:
    if is_identically_positive(minor):
        return Evidence("identity", subject, what, True)
    negative = find_nonzero(minor - abs(minor), trials=20)
    holds = None if negative is None else False
    return Evidence("identity", subject, what, holds, witness=negative.witness if negative else None)


CLAIM = Claim(
    id="mirror-map-convex",
    title="The mirror map is convex, strictly so if the features have full rank",
    statement="∇²A_x ≻ 0 in the predictors; hence ∇²A = E[∇²A_x ⊗ xx'] ⪰ 0, and ≻ 0 iff E[xx'] ≻ 0",
    source="arXiv 2411.06056, Section 4; theory.md §3",
    hypotheses=("finite predictors (a saturated gate has weight 0)",),
    expected="proved",
    check=check,
    claimed=Convexity(),
    mutants={
        "concave": Convexity(hessian=lambda t: -t.complete_information),
        "1-strongly convex": Convexity(bound=1),
        "strictly convex whatever the features": replace(Convexity(), needs_rank=False),
    },
    order=2,
)
