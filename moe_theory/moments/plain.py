"""Plain moments: averages of P₂(y)S₂(x) and P₃(y)S₃(x), in two passes, without a tensor of d³ numbers.

The second moment is a d × d matrix. The third is taken in k coordinates u = U'x only: the span of the second's leading
eigenvectors, in which all regressors lie. Powers of y are kept apart, so that σ (which P₃ depends on) may be settled
later, from the same sums. Sums of chunks and processes are merged by adding them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement, permutations

import numpy as np

from moe_theory.laws.rows import SLICE, Block, scaled_grams
from moe_theory.moments.grouped import Grouped, Sums
from moe_theory.moments.polynomials import Polynomials
from moe_theory.moments.source import Source, weights_of
from moe_theory.validation import Array

POWERS = 6  # of y whose sums are kept: the variance of P₃(y) takes them all


@dataclass(frozen=True, eq=False)
class Second(Sums):
    """Sums over rows, of the first pass. weight: Σ w. powers: Σ w y^j, j = 0 … 6. linear: Σ w y^j x, j = 0 … 3, (4, d).
    square: Σ w y^j xx', j = 0 … 3, (4, d, d)."""

    rows: int
    powers: Array
    linear: Array
    square: Array

    @property
    def weight(self) -> float:
        return float(self.powers[0])

    def mean(self, polynomial: Array) -> float:
        """E[P(y)] for P's coefficients of y^0, y^1, …"""
        return float(polynomial @ self.powers[: len(polynomial)]) / self.weight

    def first(self, polynomial: Array) -> Array:
        """E[P(y)x] less E[P(y)]E[x], (d,)."""
        own = np.tensordot(polynomial, self.linear[: len(polynomial)], 1)
        return (own - self.mean(polynomial) * self.linear[0]) / self.weight

    def second(self, polynomial: Array) -> Array:
        """E[P(y)S₂(x)], (d, d), P(y) less its mean: as E[S₂] = 0, that costs nothing and varies less."""
        own = np.tensordot(polynomial, self.square[: len(polynomial)], 1)
        return (own - self.mean(polynomial) * self.square[0]) / self.weight

    def error(self, polynomial: Array) -> float:
        """Standard error of `mean`."""
        return float(np.sqrt(max(self.variance(polynomial), 0.0) / self.rows))

    def variance(self, polynomial: Array) -> float:
        """Var P(y)."""
        return self.mean(np.convolve(polynomial, polynomial)) - self.mean(polynomial) ** 2


@dataclass(frozen=True, eq=False)
class Third(Sums):
    """Sums over rows, of the second pass, in k coordinates u. linear: Σ w y^j u, (4, k). cubic: Σ w y^j u_a u_b u_c,
    j = 0 … 3, for a ≤ b ≤ c in the order of `triples`, (4, t)."""

    powers: Array
    linear: Array
    cubic: Array

    def third(self, polynomial: Array) -> Array:
        """E[P(y)S₃(u)], (k, k, k), P(y) less its mean."""
        own = polynomial.copy()
        own[0] -= float(polynomial @ self.powers) / float(self.powers[0])
        k, weight = self.linear.shape[1], float(self.powers[0])
        mean, out = own @ self.linear / weight, symmetric(own @ self.cubic / weight, k)
        unit = np.eye(k)
        for axes in ("abc", "bac", "cab"):  # S₃ is u⊗u⊗u less u⊗I in its three arrangements
            out -= np.einsum(f"{axes[0]},{axes[1:]}->abc", mean, unit)
        return out


def triples(k: int) -> list[tuple[int, int, int]]:
    """a ≤ b ≤ c below k."""
    return list(combinations_with_replacement(range(k), 3))


def symmetric(values: Array, k: int) -> Array:
    """The symmetric tensor, (k, k, k), with these entries at `triples`."""
    out = np.empty((k, k, k))
    for triple, value in zip(triples(k), values, strict=True):
        for place in permutations(triple):
            out[place] = value
    return out


def second_sums(block: Block) -> Second:
    """Of one block."""
    powers = weights_of(block) * np.vander(block.y, POWERS + 1, increasing=True).T
    grams = scaled_grams(block.x, powers[:4])
    return Second(len(block.y), np.sum(powers, axis=1), powers[:4] @ block.x.T, grams)


def third_sums(block: Block, basis: Array) -> Third:
    """Of one block, in u = basis' x, basis (d, k) orthonormal."""
    places = triples(basis.shape[1])
    powers = weights_of(block) * np.vander(block.y, 4, increasing=True).T
    linear, cubic = np.zeros((4, basis.shape[1])), np.zeros((4, len(places)))
    for first in range(0, len(block.y), SLICE):
        rows = slice(first, first + SLICE)
        u = basis.T @ block.x[:, rows]
        products, known = np.empty((len(places), u.shape[1])), {}
        for row, (a, b, c) in zip(products, places, strict=True):
            if (a, b) not in known:
                known[a, b] = u[a] * u[b]
            np.multiply(known[a, b], u[c], out=row)
        linear += powers[:, rows] @ u.T
        cubic += powers[:, rows] @ products.T
    return Third(np.sum(powers, axis=1), linear, cubic)


@dataclass(frozen=True, eq=False)
class PlainMoments:
    """Averages over rows, and over all rows but one group's, for sampling errors.

    seconds: the first pass' sums. Of a `Source` that is passed over once more for the third moment.
    """

    source: Source
    seconds: Grouped[Second]

    name = "averages"

    @classmethod
    def of(cls, source: Source) -> PlainMoments:
        """By one pass over the rows."""
        return cls(source, Grouped.over(source, second_sums))

    @property
    def groups(self) -> int:
        """How many groups there are rows in."""
        return len(self.seconds)

    @property
    def total(self) -> Second:
        """Of all rows."""
        return self.seconds.total

    def second(self, p: Polynomials, without: int | None = None) -> Array:
        """E[P₂(y)S₂(x)]/c₂ = Σ E[p_i] a_i a_i', (d, d); `without` the rows of one group."""
        return self.seconds.without(without).second(p.second) / p.c2

    def square(self, without: int | None = None) -> float:
        """E y²."""
        powers = self.seconds.without(without).powers
        return float(powers[2] / powers[0])

    def cubes(self, basis: Array) -> PlainCubes:
        """The third moments in the span of an orthonormal basis, (d, k), by another pass."""
        return PlainCubes(Grouped.over(self.source, lambda block: third_sums(block, basis)))


@dataclass(frozen=True, eq=False)
class PlainCubes:
    """The second pass' sums."""

    thirds: Grouped[Third]

    def third(self, p: Polynomials, without: int | None = None) -> Array:
        """E[P₃(y)S₃(u)]/c₃ = Σ E[p_i] (U'a_i)^{⊗3}, (k, k, k)."""
        return self.thirds.without(without).third(p.third) / p.c3
