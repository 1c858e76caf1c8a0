"""Both informations bounded over a region: I_{z|x,y} from above, ∇²A from below and from above.

Every row adds a positive semidefinite term of rank one with a logistic weight σ'(t), t affine in θ. *worst-case*: the
weights' extremes on the region. *taylor*: their expansion to first order, whose linear term is kept as a function of
where in the region one is, and the extremes of the remainder only.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from moe_theory.certificates.forms import Form
from moe_theory.certificates.logistic import least, most, remainder, slope, variance
from moe_theory.certificates.region import Region
from moe_theory.certificates.rounding import SCALAR, TINY, UP, gamma
from moe_theory.certificates.rows import SAFE, Centred, Interval, Statistics, centred, worst_error
from moe_theory.errors import UnprovableError
from moe_theory.laws.rows import scaled_grams
from moe_theory.validation import Array

Method = Literal["worst-case", "taylor"]
MANY, THREADS = 8, 4  # blocks from which on threads share them, and how many at most
TILT = 0.3  # share of the reach that counts as how far an argument moves when a row chooses between the two


@dataclass(frozen=True, eq=False)
class Centre:
    """A model's rows at one point of parameters, and all that does not depend on a region's size.

    theta: (m, d). size: |θ| or more, which rounding is relative to.
    """

    statistics: Statistics
    theta: Array
    size: Array

    @cached_property
    def rows(self) -> list[Centred]:
        """One per block. UnprovableError where rounding leaves the arguments of the logistic weights open."""
        found = list(centred(self.statistics, self.theta, self.size))
        if not worst_error(found) < SAFE:
            raise UnprovableError(
                f"rounding: products of features and parameters are known to {worst_error(found):.1e} only, where"
                f" {SAFE:g} is needed; subtract a typical value from the features"
            )
        return found

    @cached_property
    def relative(self) -> float:
        """The relative error of any sum over the rows, its weights' own errors included."""
        return UP * (gamma(self.statistics.depth) + 8 * SCALAR + 8 * worst_error(self.rows))

    @cached_property
    def gradient(self) -> tuple[Array, Array]:
        """∇L there, (m, d), and bounds on the entries' errors."""
        value, error, heap = (np.zeros(self.theta.shape) for _ in range(3))
        for r in self.rows:
            x, wide, w = r.block.x, np.abs(r.block.x), r.block.weight
            value += (w * r.score) @ x.T
            error += (w * r.score_error) @ wide.T
            heap += (w * np.abs(r.score)) @ wide.T
        rounding = gamma(self.statistics.depth)
        return value, UP * (1 + rounding) * (error + (rounding + SCALAR) * heap)

    @cached_property
    def quadratic(self) -> Form:
        """The constant part of ∇²A, C ⊗ E[xx'] (its error both ways)."""
        return self.form(self.statistics.constant_information)

    @cached_property
    def widest(self) -> tuple[Array, Array]:
        """The largest |v| of the rows, (m, d), for the label's v = Δs ⊗ x, and for the terms' v = l ⊗ x in sum."""
        label, far = np.zeros(self.theta.shape), np.zeros(self.theta.shape[1])
        for r in self.rows:
            wide = np.abs(r.block.x)
            far = np.maximum(far, np.max(wide, axis=1))
            for a, slopes in enumerate(r.label.slopes):
                label[a] = np.maximum(label[a], np.max(np.abs(slopes) * wide, axis=1))
        return label, sum((np.outer(np.abs(s), far) for _, s in self.statistics.terms), np.zeros(self.theta.shape))

    # Putting sums together ----------------------------------------------------------------------------------

    def form(self, value: Array) -> Form:
        """A sum of terms that are positive semidefinite: its diagonal bounds entries and errors (Cauchy, Schwarz)."""
        size = np.maximum(np.sqrt(np.abs(np.diagonal(value))) * (1 + 1e-6), TINY)
        return Form(value, size, self.relative)


@dataclass(frozen=True, eq=False)
class Bounds:
    """On a region: I_{z|x,y} ⪯ missing, below ⪯ ∇²A."""

    missing: Form
    below: Form


def above(centre: Centre, region: Region) -> Form:
    """∇²A ⪯ this on a whole ball or ellipsoid, by the worst case of every row."""

    def of(r: Centred) -> Array:
        spread = region.spread(r.block.x)
        highs = np.array([most(*t.on(region, spread).ends) for t in r.terms]).reshape(-1, len(r.block.y))
        return scaled_grams(r.block.x, highs * r.block.weight)

    return centre.quadratic + centre.form(centre.statistics.term_information(np.sum(_each(of, centre.rows), axis=0)))


def bounds(centre: Centre, region: Region, method: Method, whole: Centre | None = None) -> Bounds:
    """The two forms for a region, from one pass over its centre's rows. whole: for a cell, the centre of what
    it is a cell of."""
    (m, d), statistics, terms = centre.theta.shape, centre.statistics, centre.statistics.terms
    pairs, triples = statistics.pairs, list(itertools.combinations_with_replacement(range(m), 3))
    counts = np.cumsum([len(pairs), len(terms), len(triples) * d])

    def of(r: Centred, outer: Centred | None) -> Array:
        x = r.block.x
        label, *varying = _intervals(r, region, outer)
        tops, lows = _top(label, method), [_low(t, method) for t in varying]
        scales = [*(tops[0] * _product(r.label.slopes, pair) for pair in pairs), *(low[0] for low in lows)]
        if method == "taylor":
            moves = [*(tops[1] * _product(r.label.slopes, triple) for triple in triples), *(low[1] for low in lows)]
            scales += [move * x[j] for move in moves for j in range(d)]
        return scaled_grams(x, np.array(scales) * r.block.weight)

    around: Sequence[Centred | None] = [None] * len(centre.rows) if whole is None else whole.rows
    own, low, third, fourth = np.split(np.sum(_each(of, centre.rows, around), axis=0), counts)
    missing = centre.form(statistics.label_information(own))
    below = centre.form(statistics.term_information(low))
    if method == "taylor":
        tensor, change = np.zeros((2, m, d, m, d, m, d))
        for triple, part in zip(triples, third.reshape(-1, d, d, d), strict=True):
            for a, b, c in set(itertools.permutations(triple)):
                tensor[a, :, b, :, c, :] = part
        for (weight, slopes), part in zip(terms, fourth.reshape(-1, d, d, d), strict=True):
            change += weight * np.einsum("a,b,c,jkl->ajbkcl", slopes, slopes, slopes, part)
        label, varying = centre.widest
        missing, below = _sloping(missing, tensor, label, region), _sloping(below, change, varying, region)
    return Bounds(missing, centre.quadratic + below)


def _each(of: Callable[..., Array], *blocks: Sequence[Any]) -> list[Array]:
    """`of` every block, in order; many blocks are shared out to threads, as nothing here waits for memory."""
    if len(blocks[0]) < MANY:
        return list(map(of, *blocks))
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(of, *blocks))


def _intervals(r: Centred, region: Region, outer: Centred | None) -> list[Interval]:
    """Of the label's argument, then of the softplus terms'."""
    own, spread = (r.label, *r.terms), region.spread(r.block.x)
    if outer is None or region.whole is None:
        return [t.on(region, spread) for t in own]
    whole = region.whole.spread(r.block.x)
    there = [t.on(region.whole, whole) for t in (outer.label, *outer.terms)]
    return [t.on(region, spread, around) for t, around in zip(own, there, strict=True)]


def _top(t: Interval, method: Method) -> tuple[Array, Array]:
    """(constant, slope) of an upper bound of σ' that is affine in the move of its argument, row by row."""
    worst = most(*t.ends)
    if method == "worst-case":
        return worst, np.zeros_like(worst)
    tilt = slope(t.value)
    expanded = variance(t.value) + remainder(t.value, t.reach)[1] * t.reach**2 * (1 + SCALAR)
    better = expanded + TILT * t.reach * np.abs(tilt) < worst
    return np.where(better, expanded, worst), np.where(better, tilt, 0.0)


def _low(t: Interval, method: Method) -> tuple[Array, Array]:
    """The same from below; the constant is >= 0, and where there is a slope at least σ'/2."""
    worst = least(*t.ends)
    if method == "worst-case":
        return worst, np.zeros_like(worst)
    value, tilt = variance(t.value), slope(t.value)
    expanded = value + remainder(t.value, t.reach)[0] * t.reach**2 * (1 + SCALAR)
    better = (expanded - TILT * t.reach * np.abs(tilt) > worst) & (expanded > value / 2)
    return np.where(better, expanded, worst), np.where(better, tilt, 0.0)


def _sloping(form: Form, tensor: Array, widest: Array, region: Region) -> Form:
    """A form with its derivatives by θ, (m, d, m, d, m, d), as slopes along the region's coordinates.

    |σ''| <= σ' and the constants are at least half of that, so that |∂_j N_ab| <= 2 widest_j size_a size_b.
    """
    g = region.matrix
    p = len(g)
    inside = [j for j in range(p) if j not in region.cut_indices]
    turn = np.column_stack([region.radius * g[:, inside], g[:, region.cut_indices] * np.array(region.halves)])
    turned = np.einsum("jz,jab->zab", turn, tensor.reshape(p, p, p), optimize=True)
    moves = 2 * UP * float(np.sum(np.abs(turn) * widest.reshape(p, 1)))
    error = UP * (form.error * (1 + moves) + gamma(p + 4) * moves)
    return Form(form.value, form.size, error, turned[: len(inside)], turned[len(inside) :])


def _product(slopes: Array, indices: Iterable[int]) -> Array:
    return np.prod([slopes[a] for a in indices], axis=0)
