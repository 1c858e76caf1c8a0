"""Matrices that depend on where in a region one is, bounded from below over the whole region at once."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from moe_theory.certificates.rounding import TINY, UNIT, UP, gamma, norm_above, positive_definite
from moe_theory.validation import Array

SLACK = 1e-9  # relative: how far below a computed eigenvalue the proved one may stay
RATIOS = np.geomspace(1e-3, 1e2, 26)  # of the two halves of the linear term's bound


@dataclass(frozen=True, eq=False)
class Form:
    """N(z) ⪰ value + Σ_j z_j slope_j + Σ_k s_k edge_k - E for every ‖z‖ <= 1, |s_k| <= 1 of a region.

    value: (p, p). slope: (j, p, p) or None. edge: (k, p, p), for the cut coordinates. E: |E_ab| <= error size_a size_b,
    size (p,), what rounding has made of it.
    """

    value: Array
    size: Array
    error: float
    slope: Array | None = None
    edge: Array | None = None

    def __add__(self, other: Form) -> Form:
        join = lambda a, b: b if a is None else a if b is None else a + b
        return Form(
            self.value + other.value,
            np.sqrt(self.size**2 + other.size**2),
            max(self.error, other.error),
            join(self.slope, other.slope),
            join(self.edge, other.edge),
        ).rounded()

    def __mul__(self, factor: float) -> Form:
        scaled = lambda a: None if a is None else factor * a
        size = np.sqrt(abs(factor)) * self.size
        return Form(factor * self.value, size, self.error, scaled(self.slope), scaled(self.edge)).rounded()

    def rounded(self) -> Form:
        """The same, each entry and each size being the outcome of one operation more: what that may have changed."""
        unit = np.maximum(np.outer(self.size, self.size), TINY)
        parts = [self.value[None], *(part for part in (self.slope, self.edge) if part is not None)]
        entries = sum(float(np.sum(np.max(np.abs(part) / unit, axis=(1, 2), initial=0.0))) for part in parts)
        return Form(
            self.value, self.size, UP * (self.error * (1 + 8 * UNIT) + 2 * UNIT * entries), self.slope, self.edge
        )

    __rmul__ = __mul__

    def congruent(self, k: Array) -> Congruent:
        """KNK', with what rounding makes of it, for any K (p, p)."""
        p = len(k)
        # In units of `size` all entries are moderate, so that norms may stand for the entries.
        scaled = k * self.size
        unit = np.outer(self.size, self.size)
        wide = UP * float(np.sum(scaled**2))
        error = self.error * UP * float(np.sum(np.sum(np.abs(scaled), axis=1) ** 2))
        error += 4 * gamma(2 * p + 8) * wide * norm_above(self.value / unit)
        value, slope = _symmetric(scaled @ (self.value / unit) @ scaled.T), None
        if self.slope is not None and len(self.slope):
            relative = self.slope / unit
            slope = _symmetric(scaled @ relative @ scaled.T)
            error += 4 * gamma(2 * p + 8) * wide * norm_above(relative)
        edges = np.zeros((0, p, p))
        if self.edge is not None and len(self.edge):
            relative = self.edge / unit
            edges = _symmetric(scaled @ relative @ scaled.T)
            error += 4 * gamma(2 * p + 8) * wide * UP * sum(norm_above(e) for e in relative)
        return Congruent(value, slope, edges, UP * error)


@dataclass(frozen=True, eq=False)
class Congruent:
    """A form in coordinates in which its entries are moderate: error bounds the spectral norm of E."""

    value: Array
    slope: Array | None
    edges: Array
    error: float

    @cached_property
    def spread(self) -> Array | None:
        """S = Σ T_j², (p, p), of the slopes T_j."""
        return None if self.slope is None else _square_sum(self.slope)

    def least(self) -> float:
        """A proved lower bound on every eigenvalue of KN(z)K' over the region; -inf where nothing could be proved.

        ⟨u, Σ z_j T_j u⟩ >= -‖u‖ √(u'Su) >= -u'(S/(2t) + t/2)u with S = Σ T_j², for any t > 0; the cut
        coordinates' terms are linear, so their corners are enough.
        """
        if not (np.isfinite(self.error) and (self.spread is None or np.isfinite(self.spread).all())):
            return -np.inf
        return min(self._least(self.value + corner) for corner in self._corners())

    def _corners(self) -> list[Array]:
        if not len(self.edges):
            return [np.zeros_like(self.value)]
        signs = itertools.product((1.0, -1.0), repeat=len(self.edges))
        return [np.einsum("k,kab->ab", np.array(s), self.edges) for s in signs]

    def _least(self, value: Array) -> float:
        p = len(value)
        spread = self.spread
        if spread is None:
            return _proved(value, self.error)
        scale = float(np.sqrt(max(np.linalg.eigvalsh(spread)[-1], TINY)))
        bounded = lambda t: value - spread / (2 * t) - t / 2 * np.eye(p)
        found = [float(np.linalg.eigvalsh(bounded(scale * ratio))[0]) for ratio in RATIOS]
        best = int(np.argmax(found))
        fine = scale * np.geomspace(RATIOS[max(best - 1, 0)], RATIOS[min(best + 1, len(RATIOS) - 1)], 9)
        t = max(fine, key=lambda t: float(np.linalg.eigvalsh(bounded(t))[0]))
        # Of S: a sum of squares of computed matrices, and the three terms of `bounded`.
        trace = float(np.trace(spread))
        rounding = gamma(p * p + 8) * trace / (2 * t) + 4 * UNIT * (norm_above(value) + trace / (2 * t) + p * t)
        return _proved(bounded(t), UP * (self.error + rounding))


def _proved(matrix: Array, error: float) -> float:
    """A number below every eigenvalue of each symmetric matrix within `error` of this one."""
    guess = float(np.linalg.eigvalsh(matrix)[0])
    scale = max(abs(guess), float(np.max(np.abs(matrix))))
    eye = np.eye(len(matrix))
    for slack in (SLACK, 30 * SLACK, 1000 * SLACK):
        low = guess - slack * scale - 2 * error
        if positive_definite(matrix - low * eye, error + 2 * UNIT * (abs(low) + scale)):
            return float(low)
    return -np.inf


def _square_sum(slope: Array) -> Array:
    """Σ T_j T_j', (p, p), of symmetric T_j."""
    stacked = np.concatenate(list(slope), axis=1)
    return _symmetric(stacked @ stacked.T)


def _symmetric(matrix: Array) -> Array:
    return (matrix + np.swapaxes(matrix, -1, -2)) / 2
