"""Regions on which a bound is to hold: balls, ellipsoids, and the cells that they are cut into."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np
import scipy.linalg

from moe_theory.certificates.rounding import SCALAR, UP, gamma
from moe_theory.errors import InputError
from moe_theory.validation import Array

Shape = Literal["euclidean", "ellipsoid"]


@dataclass(frozen=True, eq=False)
class Region:
    """{c + Gz : ‖z_rest‖ <= radius, |z_k - m_k| <= h_k for the cut coordinates k}, with G = blockdiag(factor).

    centre: c, (m, d). factor: (m, d, d), one block per predictor, None for I. cut: (predictor, column) of the cut
    coordinates, with their `middles` m_k and `halves` h_k; none for a whole ball or ellipsoid. whole: what a cell is a
    part of; of the cell only what lies in it matters.
    """

    centre: Array
    factor: Array | None
    radius: float
    cut: tuple[tuple[int, int], ...] = ()
    middles: tuple[float, ...] = ()
    halves: tuple[float, ...] = ()
    whole: Region | None = None

    @property
    def shape(self) -> Shape:
        return "euclidean" if self.factor is None else "ellipsoid"

    @property
    def matrix(self) -> Array:
        """G, (p, p)."""
        m, d = self.centre.shape
        return np.eye(m * d) if self.factor is None else scipy.linalg.block_diag(*self.factor)

    @property
    def cut_indices(self) -> list[int]:
        """Positions of the cut coordinates among the p."""
        return [a * self.centre.shape[1] + j for a, j in self.cut]

    @property
    def middle(self) -> Array:
        """The point c + Gm that the region is looked at from, (m, d), to rounding."""
        theta = self.centre.copy()
        for (a, j), value in zip(self.cut, self.middles, strict=True):
            theta[a] += value * (np.eye(len(theta[a]))[j] if self.factor is None else self.factor[a][:, j])
        return theta

    @property
    def size(self) -> Array:
        """|c| + |G||m|, (m, d), which the rounding of `middle` is relative to."""
        size = np.abs(self.centre)
        for (a, j), value in zip(self.cut, self.middles, strict=True):
            column = np.eye(len(size[a]))[j] if self.factor is None else np.abs(self.factor[a][:, j])
            size[a] += 2 * abs(value) * column
        return size

    def spread(self, x: Array) -> tuple[Array, Array]:
        """Of features x, (d, n): bounds on ‖(G_a'x)_rest‖², (m, n), and |(G_a'x)_j| of the cut (a, j), (cuts, n)."""
        m, d = self.centre.shape
        wide = np.abs(x)
        rest, box = np.zeros((m, x.shape[1])), np.zeros((len(self.cut), x.shape[1]))
        for a in range(m):
            turned = wide
            if self.factor is not None:
                turned = np.abs(self.factor[a].T @ x) + gamma(d + 2) * (np.abs(self.factor[a]).T @ wide)
            columns = [j for b, j in self.cut if b == a]
            if a and self.factor is None and not self.cut:  # the same for every predictor
                rest[a] = rest[0]
            else:
                kept = np.delete(turned, columns, axis=0) if columns else turned
                rest[a] = np.einsum("jn,jn->n", kept, kept)
            for k, (b, j) in enumerate(self.cut):
                if b == a:
                    box[k] = turned[j]
        return rest * (1 + SCALAR) + 1e-290, box * (1 + SCALAR)

    def cells(self, pieces: dict[tuple[int, int], int]) -> Iterator[Region]:
        """The cells of a ball cut into so many equal pieces along coordinates of z; their union covers it."""
        coordinates = tuple(pieces)
        for where in itertools.product(*(range(n) for n in pieces.values())):
            halves, middles, nearest = [], [], Fraction(0)
            for i, n in zip(where, pieces.values(), strict=True):
                low, high = (Fraction(self.radius) * (2 * k - n) / n for k in (i, i + 1))
                halves.append(float(high - low) / 2 * UP)
                middles.append(float((low + high) / 2))
                nearest += 0 if low <= 0 <= high else min(low * low, high * high)
            left = Fraction(self.radius) ** 2 - nearest
            if left > 0 or nearest == 0:
                rest = float(np.sqrt(float(left))) * UP if left > 0 else 0.0
                yield replace(
                    self, radius=rest, cut=coordinates, middles=tuple(middles), halves=tuple(halves), whole=self
                )


def ellipsoid_factor(complete: Array, m: int, d: int) -> Array:
    """G with G_a'H_aG_a = I to rounding, (m, d, d), for the diagonal blocks H_a of ∇²A, (m d, m d).

    InputError where a block is not positive definite.
    """
    factors = []
    for a in range(m):
        block = complete[a * d : (a + 1) * d, a * d : (a + 1) * d]
        try:
            lower = np.linalg.cholesky(block)
        except np.linalg.LinAlgError as error:
            raise InputError(
                "centre: expected ∇²A to be positive definite there, it is singular to rounding"
            ) from error
        factors.append(scipy.linalg.solve_triangular(lower, np.eye(d), lower=True).T)
    return np.array(factors)


def pieces_of(cuts: Mapping[int, int], d: int) -> dict[tuple[int, int], int]:
    """{(predictor, column): pieces} from {coordinate of z: pieces}."""
    return {divmod(k, d): n for k, n in cuts.items()}
