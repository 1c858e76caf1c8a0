"""L is α-strongly convex relative to A on an open convex Θ  ⇔  λ_max(M(θ)) <= 1 - α for all θ ∈ Θ."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import sympy as sp

from moe_theory.claims import Case, Claim, Evidence, Setting, at_least, close, identity
from moe_theory.operators import MissingInformation, bregman, missing_information_matrix, posterior_kl
from moe_theory.validation import Array

STEP = 1e-3
DIRECTIONS = 24


def check(setting: Setting, claimed: Callable[[MissingInformation], float]) -> Iterator[Evidence]:
    """L - αA is convex on Θ iff its Hessian (1-α)∇²A - I_z is ⪰ 0 there; by congruence with (∇²A)^{-1/2} that is
    (1-α)I - M ⪰ 0. What is left to verify is the Hessian, and, numerically, that nothing smaller than λ_max will do."""
    alpha = sp.Symbol("alpha", real=True)
    for theory in setting.theories:
        learnt = theory.model.learnt
        hessian = sp.hessian(-sp.log(theory.density) - alpha * theory.mirror_map, learnt)
        claimed_hessian = (1 - alpha) * theory.complete_information - theory.missing_information
        yield identity(theory.model, "∂²(L_x - αA_x)/∂η² - ((1-α)∇²A_x - I_{z|x,y})", list(hessian - claimed_hessian))
    rng = setting.rng()
    for case in setting.samples:
        for theta in (case.limit_point, case.limit_point + 0.5 * rng.standard_normal(case.start.shape)):
            m = missing_information_matrix(case.model, case.law, theta)
            threshold = claimed(m)
            tightest = _largest_alpha(case, theta, m.vectors[:, 0].reshape(theta.shape))
            # The average over ±v leaves an error of order STEP² (v has length 1 in the metric ∇²A).
            error = 10 * STEP**2 * max(1.0, m.lambda_max)
            what = "largest α with L(φ) ≥ L(θ) + ⟨∇L,φ-θ⟩ + αB_A(φ‖θ)"
            yield close(case.name, f"{what} along M's top eigenvector", tightest, threshold, error, essential=False)
            others = []
            for _ in range(DIRECTIONS):
                v = rng.standard_normal(theta.shape)
                length = float(np.sqrt(v.ravel() @ m.complete @ v.ravel()))
                others.append(_largest_alpha(case, theta, v / length))
            yield at_least(
                case.name,
                f"{what} in random directions, least",
                min(others),
                threshold,
                error,
                False,
                DIRECTIONS,
            )


def _largest_alpha(case: Case, theta: Array, v: Array) -> float:
    """1 - KL(post_θ‖post_φ)/B_A(φ‖θ) at φ = θ ± STEP v, averaged; the inequality's slack is (1-α)B_A - KL."""
    ratios = [
        posterior_kl(case.model, case.law, theta, phi) / bregman(case.model, case.law, phi, theta)
        for phi in (theta + STEP * v, theta - STEP * v)
    ]
    return 1 - sum(ratios) / 2


CLAIM = Claim(
    id="relative-convexity-iff",
    title="Relative strong convexity is a bound on the missing information",
    statement="on an open convex Θ: L is α-strongly convex relative to A ⇔ λ_max(M(θ)) ≤ 1 − α for all θ ∈ Θ",
    source="arXiv 2411.06056, Theorem B.2",
    hypotheses=("flat exponential family (derived)", "∇²A(θ) ≻ 0", "Θ open and convex"),
    expected="proved",
    check=check,
    claimed=lambda m: 1 - m.lambda_max,
    mutants={
        "the smallest eigenvalue suffices": lambda m: 1 - float(m.eigenvalues[-1]),
        "the square of the largest": lambda m: 1 - m.lambda_max**2,
        "half the largest": lambda m: 1 - m.lambda_max / 2,
        "the largest eigenvalue of I_z itself": lambda m: 1 - float(np.linalg.eigvalsh(m.missing)[-1]),
    },
    order=10,
)
