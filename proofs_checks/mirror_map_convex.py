"""∇²A ⪰ 0, and ∇²A ≻ 0 if and only if E[xx'] ≻ 0.

v'∇²A v = E[(Vx)' ∇²A_x (Vx)] with V the (m, d) array of v: it is >= 0, and, as ∇²A_x ≻ 0, it is 0 exactly where Vx = 0
almost surely, that is where E[xx'] V' = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import sympy as sp

from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, at_least, close
from moe_theory.laws import Finite
from moe_theory.operators import complete_information
from moe_theory.symbolic.derive import Derivation
from moe_theory.symbolic.identities import exact_form, find_nonzero, is_identically_positive, prove_zero


@dataclass(frozen=True)
class Convexity:
    """hessian - bound·I is positive definite per row, and ∇²A singular exactly where E[xx'] is (`needs_rank`).

    closure: also as predictors go to infinity.
    """

    hessian: Callable[[Derivation], sp.Matrix] = lambda t: t.complete_information
    bound: int = 0
    needs_rank: bool = True
    closure: bool = False


def check(setting: Setting, claimed: Convexity) -> Iterator[Evidence]:
    for theory in setting.theories:
        hessian = claimed.hessian(theory)
        m = hessian.shape[0]
        shifted = hessian - claimed.bound * sp.eye(m)
        for order in range(1, m + 1):
            minor = shifted[:order, :order].det()
            yield _positive(theory.model.name, rf"leading minor {order} of $\nabla^2 A_x$", minor)
            for symbol in theory.model.learnt if claimed.closure else ():
                limit = sp.limit(exact_form(minor), symbol, sp.oo)
                what = rf"leading minor {order} of $\nabla^2 A_x$ as ${sp.latex(symbol)} \to \infty$"
                yield Evidence("identity", theory.model.name, what, bool(limit > 0), str(limit), relation=">")
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
            what = r"least eigenvalue of $\nabla^2 A$ where $E[xx']$ is " + ("singular" if x is flat else "regular")
            if singular:
                yield close(model.name, what, least, 0.0, rounding, essential=False)
            else:
                yield at_least(model.name, what, least, 1e3 * rounding, essential=False)


def _positive(subject: str, what: str, minor: sp.Expr) -> Evidence:
    if is_identically_positive(minor):
        return Evidence("identity", subject, what, True, relation=">")
    if prove_zero(minor).proved:
        return Evidence("identity", subject, what, False, "0 everywhere", relation=">")
    negative = find_nonzero(minor - abs(minor), trials=20)
    holds = None if negative is None else False
    value, at = (negative.residual, negative.witness) if negative else (None, None)
    return Evidence("identity", subject, what, holds, value, witness=at, relation=">")


def _twice(theory: Derivation) -> sp.Matrix:
    """∇²A_x where the last predictor is the sum of two."""
    m = len(theory.model.learnt)
    parts = sp.eye(m).col_insert(m, sp.eye(m)[:, -1])
    return parts.T * theory.complete_information * parts


CLAIM = Claim(
    id="mirror-map-convex",
    title="The mirror map is convex, strictly so if the features have full rank",
    statement=r"$\nabla^2 A_x \succ 0$ in the predictors; hence $\nabla^2 A = E[\nabla^2 A_x \otimes xx'] \succeq 0$,"
    r" and $\succ 0$ iff $E[xx'] \succ 0$",
    source="arXiv 2411.06056, Section 4; theory.md §3",
    hypotheses=(Hypothesis("a minimal family: no predictor twice", Convexity(hessian=_twice)),),
    expected="proved",
    check=check,
    claimed=Convexity(),
    mutants={
        "concave": Mutant("sign", Convexity(hessian=lambda t: -t.complete_information)),
        "1-strongly convex": Mutant("constant", Convexity(bound=1)),
        "strictly convex also where a gate is saturated": Mutant("hypothesis", Convexity(closure=True)),
        "strictly convex whatever the features": Mutant("hypothesis", Convexity(needs_rank=False)),
    },
    order=2,
    any_model=True,
)
