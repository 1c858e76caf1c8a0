"""Regression-adjusted moments: the coefficients of P₂(y) and P₃(y) on Hermite polynomials of x.

On N(0, I) Hermite polynomials are orthogonal, so that regression coefficients are the plain moments in the limit. On a
sample the regression also takes out what polynomials of lower degree explain of P(y), and the sample's departure from
orthogonality: the same expectations with less variance, for a Gram matrix of 1 + d + d(d+1)/2 + k(k+1)(k+2)/6 features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from moe_theory.errors import CollinearError
from moe_theory.laws.rows import SLICE, Block
from moe_theory.moments.grouped import Grouped, Sums
from moe_theory.moments.plain import POWERS, symmetric, triples
from moe_theory.moments.polynomials import Polynomials
from moe_theory.moments.source import Source, weights_of
from moe_theory.validation import Array

KEPT = 2e7  # numbers in all groups' Gram matrices
LEAST = 1e-10  # relative eigenvalue of the features' Gram matrix
_COLLINEAR = (
    "x: expected values whose {} Hermite polynomials are linearly independent (a feature with two values has none of"
    " degree 2 of its own), which those of {} rows are not"
)


def hermite2(z: Array) -> Array:
    """The entries a ≤ b of S₂(z) = zz' - I, row by row, (d(d+1)/2, n)."""
    d, n = z.shape
    out, row = np.empty((d * (d + 1) // 2, n)), 0
    for a in range(d):
        np.multiply(z[a], z[a:], out=out[row : row + d - a])
        out[row] -= 1.0
        row += d - a
    return out


def hermite3(u: Array) -> Array:
    """The entries at `triples` of S₃(u) = u⊗u⊗u less u⊗I in three arrangements, (t, n)."""
    places = triples(len(u))
    out = np.empty((len(places), u.shape[1]))
    for row, (a, b, c) in zip(out, places, strict=True):
        np.multiply(u[a] * u[b], u[c], out=row)
        for one, other, rest in ((a, b, c), (a, c, b), (b, c, a)):
            if one == other:
                row -= u[rest]
    return out


def features_of(d: int, k: int = 0) -> int:
    """How many features a regression has."""
    return 1 + d + d * (d + 1) // 2 + k * (k + 1) * (k + 2) // 6


@dataclass(frozen=True, eq=False)
class Normal(Sums):
    """Normal equations of y, y², y³ on the features. gram: Σ w φφ'. cross: Σ w y^j φ, j = 1 … 3, (3, F). powers: Σ w
    y^j, j = 0 … 6."""

    rows: int
    gram: Array
    cross: Array
    powers: Array

    @classmethod
    def of(cls, block: Block, basis: Array | None) -> Normal:
        """Of one block; with features of degree 3 in u = basis' z where a basis, (d, k), is given."""
        d = len(block.x)
        count = features_of(d, 0 if basis is None else basis.shape[1])
        gram, cross = np.zeros((count, count)), np.zeros((3, count))
        weight = weights_of(block)
        powers = weight * np.vander(block.y, POWERS + 1, increasing=True).T
        for first in range(0, len(block.y), SLICE):
            rows = slice(first, first + SLICE)
            z = block.x[:, rows]
            parts = [np.ones((1, z.shape[1])), z, hermite2(z)]
            features = np.vstack(parts if basis is None else [*parts, hermite3(basis.T @ z)])
            gram += (features if isinstance(block.weight, float) else features * weight[rows]) @ features.T
            cross += powers[1:4, rows] @ features.T
        factor = block.weight if isinstance(block.weight, float) else 1.0
        return cls(len(block.y), factor * gram, cross, np.sum(powers, axis=1))

    @cached_property
    def coefficients(self) -> Array:
        """Of y, y², y³ on the features, (3, F); CollinearError where the rows do not tell the features apart."""
        scale = np.sqrt(np.diagonal(self.gram))
        if not np.all(scale > 0):
            raise CollinearError(_COLLINEAR.format(len(scale), self.rows))
        values, vectors = np.linalg.eigh(self.gram / np.outer(scale, scale))
        if values[0] < LEAST * values[-1]:
            raise CollinearError(_COLLINEAR.format(len(scale), self.rows))
        return ((self.cross / scale) @ vectors / values) @ vectors.T / scale


@dataclass(frozen=True, eq=False)
class AdjustedMoments:
    """Regressions over rows, and over all rows but one group's. Same methods as `PlainMoments`."""

    source: Source
    normals: Grouped[Normal]

    name = "regression"

    @classmethod
    def of(cls, source: Source) -> AdjustedMoments:
        """By one pass over the rows."""
        return cls(source, Grouped.over(source, lambda block: Normal.of(block, None)))

    @staticmethod
    def serves(rows: int, d: int, k: int, groups: int) -> bool:
        """Whether rows are enough for the features, and the groups' Gram matrices fit into little memory."""
        count = features_of(d, k)
        return rows >= 2 * count and groups * count**2 <= KEPT

    @property
    def groups(self) -> int:
        """How many groups there are rows in."""
        return len(self.normals)

    def second(self, p: Polynomials, without: int | None = None) -> Array:
        """As of `PlainMoments`."""
        normal, d = self.normals.without(without), self.source.dimension
        own = p.second[1:] @ normal.coefficients[:2]
        out = np.zeros((d, d))
        out[np.triu_indices(d)] = own[1 + d : features_of(d)]
        return (out + out.T) / p.c2  # off the diagonal a coefficient is the moment, on it half of it

    def square(self, without: int | None = None) -> float:
        """E y²."""
        powers = self.normals.without(without).powers
        return float(powers[2] / powers[0])

    def cubes(self, basis: Array) -> AdjustedCubes:
        """As of `PlainMoments`."""
        return AdjustedCubes(Grouped.over(self.source, lambda block: Normal.of(block, basis)), basis.shape[1])


@dataclass(frozen=True, eq=False)
class AdjustedCubes:
    """Regressions with features of degree 3 in k coordinates."""

    normals: Grouped[Normal]
    k: int

    def third(self, p: Polynomials, without: int | None = None) -> Array:
        """As of `PlainCubes`."""
        normal = self.normals.without(without)
        places = triples(self.k)
        own = (p.third[1:] @ normal.coefficients)[-len(places) :]
        # A coefficient stands for all arrangements of its indices: 6, 3 or 1 of them.
        arranged = np.array([(1, 3, 6)[len(set(place)) - 1] for place in places])
        return symmetric(6 * own / arranged, self.k) / p.c3
