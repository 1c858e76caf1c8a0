"""L is α-strongly convex relative to A on an open convex Θ  ⇔  λ_max(M(θ)) <= 1 - α for all θ ∈ Θ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from moe_theory.claims import Case, Claim, Evidence, Hypothesis, Mutant, Setting, at_least, close
from moe_theory.laws import Finite
from moe_theory.operators import (
    bregman,
    complete_information,
    missing_information,
    missing_information_matrix,
    posterior_kl,
)
from moe_theory.symbolic.derive import derive
from moe_theory.validation import Array
from proofs_checks.shared import FLAT, relative_hessian

STEP = 1e-3
DIRECTIONS = 24


@dataclass(frozen=True)
class Equivalence:
    """alpha: largest α, given M's eigenvalues in falling order and I_z. regular, convex, opened: hypotheses that
    hold."""

    alpha: Callable[[Array, Array], float] = lambda values, missing: 1 - float(values[0])
    regular: bool = True
    convex: bool = True
    opened: bool = True


def check(setting: Setting, claimed: Equivalence) -> Iterator[Evidence]:
    """L - αA is convex on Θ iff its Hessian (1-α)∇²A - I_z is ⪰ 0 there; by congruence with (∇²A)^{-1/2} that is
    (1-α)I - M ⪰ 0. What is left to verify is the Hessian, and, numerically, that nothing smaller than λ_max will do."""
    rng = setting.rng()
    for case in setting.samples:
        if not claimed.convex:
            yield from _across(case, claimed)
        for theta in (case.limit_point, case.limit_point + 0.5 * rng.standard_normal(case.start.shape)):
            yield from _locally(case, theta, claimed, rng)
    yield from (relative_hessian(theory) for theory in setting.theories)


def _locally(case: Case, theta: Array, claimed: Equivalence, rng: np.random.Generator) -> Iterator[Evidence]:
    """At θ: along M's top eigenvector the largest α is exactly 1 - λ_max, in no direction less."""
    law: Finite = case.law  # type: ignore[assignment]
    if not claimed.regular:
        law = Finite(np.column_stack([law.x, law.x[:, 0]]), law.y, law.weight if np.ndim(law.weight) else None)
        theta = np.column_stack([theta, np.zeros(len(theta))])
    complete, missing = (f(case.model, law, theta) for f in (complete_information, missing_information))
    values, vectors = _spectrum(complete, missing)
    threshold = claimed.alpha(values, missing)
    # On a Θ that is not open, such as a segment, only its own directions are seen.
    seen = vectors[:, 0 if claimed.opened else 1]
    tightest = _largest_alpha(case, law, theta, seen.reshape(theta.shape))
    # The average over ±v leaves an error of order STEP² (v has length 1 in the metric ∇²A).
    error = 10 * STEP**2 * max(1.0, float(values[0]))
    what = r"largest $\alpha$ with $L(\varphi) \ge L(\theta) + \langle\nabla L,\varphi-\theta\rangle"
    what += r" + \alpha B_A(\varphi\|\theta)$"
    along = "M's top eigenvector" if claimed.opened else "the segment Θ, the second eigenvector"
    yield close(case.name, f"{what} along {along}", tightest, threshold, error, essential=False)
    if not claimed.opened:
        return
    others = []
    for _ in range(DIRECTIONS):
        v = vectors @ rng.standard_normal(vectors.shape[1])
        v = v.reshape(theta.shape) / np.sqrt(v @ complete @ v)
        others.append(_largest_alpha(case, law, theta, v))
    yield at_least(case.name, f"{what} in random directions, least", min(others), threshold, error, False, DIRECTIONS)


def _across(case: Case, claimed: Equivalence) -> Iterator[Evidence]:
    """Θ: two small balls, around θ and its mirror image Gθ, where M has the same spectrum; from one into the other."""
    theta = case.limit_point
    symmetry = derive(case.model).symmetries[-1]
    image = np.array(symmetry.tolist(), dtype=float) @ theta
    m = missing_information_matrix(case.model, case.law, theta)
    holds = 1 - posterior_kl(case.model, case.law, theta, image) / bregman(case.model, case.law, image, theta)
    yield at_least(
        case.name,
        r"largest $\alpha$ with $L(\varphi) \ge L(\theta) + \langle\nabla L,\varphi-\theta\rangle +"
        r" \alpha B_A(\varphi\|\theta)$ from $\theta$ to its mirror image $\varphi$",
        holds,
        claimed.alpha(m.eigenvalues, m.missing),
        1e-12,
        witness={"theta": theta.tolist(), "phi": image.tolist()},
    )


def _spectrum(complete: Array, missing: Array) -> tuple[Array, Array]:
    """Eigenvalues of (∇²A)^+ I_z in falling order and vectors orthonormal in the metric, on the range of ∇²A."""
    size, axes = np.linalg.eigh(complete)
    kept = size > 1e-10 * size[-1]
    root = axes[:, kept] / np.sqrt(size[kept])
    values, vectors = np.linalg.eigh(root.T @ missing @ root)
    return values[::-1], (root @ vectors)[:, ::-1]


def _largest_alpha(case: Case, law: Finite, theta: Array, v: Array) -> float:
    """1 - KL(post_θ‖post_φ)/B_A(φ‖θ) at φ = θ ± STEP v, averaged; the inequality's slack is (1-α)B_A - KL."""
    ratios = [
        posterior_kl(case.model, law, theta, phi) / bregman(case.model, law, phi, theta)
        for phi in (theta + STEP * v, theta - STEP * v)
    ]
    return 1 - sum(ratios) / 2


CLAIM = Claim(
    id="relative-convexity-iff",
    title="Relative strong convexity is a bound on the missing information",
    statement=r"on an open convex $\Theta$: L is $\alpha$-strongly convex relative to A"
    r" $\Leftrightarrow$ $\lambda_{\max}(M(\theta)) \le 1 - \alpha$ for all $\theta\in\Theta$",
    source="arXiv 2411.06056, Theorem B.2",
    hypotheses=(
        FLAT,
        Hypothesis(
            r"$\nabla^2 A(\theta) \succ 0$ (else M is read with the pseudo-inverse)",
            Equivalence(regular=False),
            needed=False,
        ),
        Hypothesis(r"$\Theta$ convex", Equivalence(convex=False)),
        Hypothesis(r"$\Theta$ open", Equivalence(opened=False)),
    ),
    expected="proved",
    check=check,
    claimed=Equivalence(),
    mutants={
        "the smallest eigenvalue suffices": Mutant("exchange", Equivalence(lambda values, _: 1 - float(values[-1]))),
        "the square of the largest": Mutant("rate", Equivalence(lambda values, _: 1 - float(values[0]) ** 2)),
        "half the largest": Mutant("constant", Equivalence(lambda values, _: 1 - float(values[0]) / 2)),
        "the largest eigenvalue of the missing information itself": Mutant(
            "form", Equivalence(lambda _, missing: 1 - float(np.linalg.eigvalsh(missing)[-1]))
        ),
    },
    order=10,
    any_model=True,
)
