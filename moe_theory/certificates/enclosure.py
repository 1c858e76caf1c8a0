"""The largest λ_max(M) over a simplex of parameters, enclosed: no narrow spike slips through, as it does through a
grid.

On a simplex every row's posterior logit and predictors lie between their values at its corners (they are affine in θ).
p(1-p) falls with |logit|, and a Bernoulli expert's or gate's σ'(η) with |η|, so replacing them by their largest and
least values gives matrices I⁺ ⪰ I_z(θ) and H⁻ ⪯ ∇²A(θ) for all θ in the simplex at once, and λ_max(M(θ)) <=
λ_max(I⁺, H⁻). Where that is too large the simplex is cut in two. (In floating point: rounding is not accounted for.)
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.spatial

from moe_theory.analysis.regions import lambda_at
from moe_theory.certificates.logistic import least, most
from moe_theory.certificates.rows import Statistics
from moe_theory.errors import InputError
from moe_theory.laws import Finite
from moe_theory.model import Model
from moe_theory.validation import Array

WORK = 2_000_000  # rows looked at in all, by default, before the bound is given as it is
CUTS = (300, 6000)  # simplices, at least and at most
TOLERANCE = 0.005  # relative, of the upper bound over the largest value seen


@dataclass(frozen=True)
class Enclosure:
    """lower: the largest λ_max(M) seen. upper: a bound on all of them (infinite if ∇²A is singular somewhere)."""

    lower: float
    upper: float


def largest_on(
    model: Model, law: Finite, corners: Sequence[Array], enough: float = 0.0, cuts: int | None = None
) -> Enclosure:
    """Enclose the largest λ_max(M(θ)) over the convex hull of the corners, (m, d) each, at most three of them
    independent of the first (a point, a segment, or a polygon in a plane).

    Stops when the bound is at most `enough` (or something larger has been seen), if that is given, else within
    TOLERANCE; or after so many `cuts`. InputError for a model without two labels (`two_labels`),
    or corners that span more than a plane.
    """
    bound = _Bound.of(model, law)
    cuts = cuts or int(np.clip(WORK / len(law), *CUTS))
    heap: list[tuple[float, int, tuple[Array, ...]]] = []
    lower, count, order = 0.0, 0, itertools.count()

    def push(simplex: tuple[Array, ...]) -> None:
        nonlocal lower, count
        count += 1
        lower = max(lower, lambda_at(model, law, np.mean(simplex, axis=0)))
        heapq.heappush(heap, (-bound.over(simplex), next(order), simplex))

    for simplex in hull_simplices(corners):
        push(simplex)
    while -heap[0][0] > (enough or lower * (1 + TOLERANCE)) and count < cuts and len(heap[0][2]) > 1:
        if lower > enough > 0:
            break
        _, _, simplex = heapq.heappop(heap)
        i, j = max(
            itertools.combinations(range(len(simplex)), 2), key=lambda p: bound.length(simplex[p[0]], simplex[p[1]])
        )
        middle = (simplex[i] + simplex[j]) / 2
        for out in (i, j):
            push((*simplex[:out], middle, *simplex[out + 1 :]))
    return Enclosure(lower, max(lower, -heap[0][0]))


def hull_simplices(corners: Sequence[Array]) -> list[tuple[Array, ...]]:
    """Simplices whose union is the convex hull: a point, a segment or triangles; InputError beyond a plane."""
    points = np.array([c.ravel() for c in corners])
    moves = points - points[0]
    lengths, axes = np.linalg.svd(moves, full_matrices=False)[1:]
    rank = int(np.sum(lengths > 1e-9 * max(1.0, float(np.max(np.abs(points))))))
    flat = moves @ axes[:rank].T
    if rank == 0:
        return [(corners[0],)]
    if rank == 1:
        return [(corners[int(np.argmin(flat[:, 0]))], corners[int(np.argmax(flat[:, 0]))])]
    if rank == 2:
        around = scipy.spatial.ConvexHull(flat).vertices
        return [(corners[around[0]], corners[a], corners[b]) for a, b in itertools.pairwise(around[1:])]
    raise InputError(f"corners: expected points in a plane, got {len(corners)} that span {rank} dimensions")


@dataclass(frozen=True, eq=False)
class _Bound:
    """Per row: x (n, d), weight (n,), Δs (m, n), the posterior logit's offset (n,) and the softplus terms' shifts."""

    model: Model
    x: Array
    weight: Array
    statistics: Statistics
    change: Array
    offset: Array
    shifts: list[Array]

    @classmethod
    def of(cls, model: Model, law: Finite) -> _Bound:
        statistics = Statistics(model, law)
        rows = statistics.rows
        return cls(
            model,
            law.x,
            np.broadcast_to(law.weight, law.y.shape),
            statistics,
            np.concatenate([r.change for r in rows], axis=1),
            np.concatenate([r.offset[0] for r in rows]),
            [np.concatenate([r.shifts[k][0] for r in rows]) for k in range(len(statistics.terms))],
        )

    def over(self, simplex: tuple[Array, ...]) -> float:
        """λ_max(I⁺, H⁻) on the simplex."""
        eta = np.array([theta @ self.x.T for theta in simplex])
        upper = most(*_middle(np.einsum("jn,vjn->vn", self.change, eta) + self.offset)) * self.weight
        m, d = simplex[0].shape
        seen = (self.change[:, None, :] * self.x.T[None]).reshape(m * d, -1)
        missing = (seen * upper) @ seen.T
        lowers = [
            least(*_middle(np.einsum("j,vjn->vn", slopes, eta) + shift)) * self.weight
            for (_, slopes), shift in zip(self.statistics.terms, self.shifts, strict=True)
        ]
        grams = np.array([(self.x.T * lower) @ self.x for lower in lowers])
        complete = self.statistics.constant_information + self.statistics.term_information(grams)
        scale = np.sqrt(np.diagonal(complete))
        if not np.all(scale > 0):
            return np.inf
        unit = np.outer(scale, scale)
        try:
            return float(scipy.linalg.eigh(missing / unit, complete / unit, eigvals_only=True)[-1])
        except np.linalg.LinAlgError:
            return np.inf

    def length(self, a: Array, b: Array) -> float:
        """The largest change of a predictor between two points."""
        return float(np.max(np.abs((a - b) @ self.x.T)))


def _middle(corners: Array) -> tuple[Array, Array]:
    """(middle, half of the length) of the interval between values at the corners, (v, n)."""
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    return (low + high) / 2, (high - low) / 2
