"""E g(Z)^j He_m(Z), Z ~ N(0, 1), to many digits, by adaptive Gauss–Legendre quadrature on shared values of g.

Intervals are bisected until the rule on an interval agrees with that on its halves for every moment, wherever g has
kinks or jumps. Both sums are kept: `fine` (the halves') and `coarse`; quantities derived from each tell how many of
their digits can be relied on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeAlias

import mpmath
import numpy as np
from mpmath import mpf

from moe_theory.errors import InputError
from moe_theory.moments.activations import Activation

POWERS, DEGREES = 6, 3  # j <= 6, m <= 3
NEEDED = 3  # moments of g^j with j > NEEDED may fail to exist
Row: TypeAlias = list[Any]


SPIKE = 1e4  # an interval that holds so many times the size seen at first: an integral that does not exist


@dataclass(frozen=True)
class Precision:
    """digits: to which halves agree before an interval is left alone, relative to E |g^j He_m|. work: digits of the
    arithmetic. nodes: per interval, and per interval bisected more than `DEEP` times. width: of the first intervals.
    reaches: half-ranges of integration that are tried. depth: most bisections. evaluations: of g, at most."""

    digits: int
    work: int
    nodes: tuple[int, int]
    width: float
    reaches: tuple[float, ...]
    depth: int
    evaluations: int


DEEP = 5
HIGH = Precision(37, 50, (32, 16), 2.0, (15.0, 20.0, 27.0, 36.0, 54.0, 81.0, 121.0, 270.0), 130, 150_000)
FLOAT = Precision(14, 30, (16, 16), 1.0, (9.0, 12.0, 16.0, 24.0, 36.0), 55, 50_000)


@dataclass(frozen=True)
class GaussianMoments:
    """Two tables {(j, m): E g^j He_m} for j <= 6, m <= 3, of mpmath numbers.

    fine, coarse: of two resolutions; where g^j with j > 3 has no expectation, inf (m = 0) or nan. size: E |g^j He_m|,
    roughly. digits: to which the two agree, relative to `size`, for j <= 3. evaluations: of g.
    """

    fine: dict[tuple[int, int], mpf]
    coarse: dict[tuple[int, int], mpf]
    size: dict[tuple[int, int], mpf]
    digits: int
    evaluations: int


def gaussian_moments(g: Activation) -> GaussianMoments:
    """All moments of g, to 30 digits and more; to 12 or 13 where g is a callable on floats.

    InputError where one with j <= 3 does not exist, or g is too rough for the quadrature, with the place.
    """
    g.require_numbers()
    floats = g.mode in ("array", "element")
    precision = FLOAT if floats else HIGH
    with mpmath.workdps(precision.work):
        if floats:
            values: Callable[[Sequence[Any]], Sequence[Any]] = lambda u: _float_values(g, u)
        else:
            values = lambda u: [g.at(t) for t in u]
        return _Quadrature(values, precision).run()


class _Quadrature:
    """One computation: panels, each with a moment for every (j, m), in a stack until they have settled."""

    def __init__(self, values: Callable[[Sequence[Any]], Sequence[Any]], precision: Precision) -> None:
        self.values, self.precision = values, precision
        self.rules = [gauss_legendre(count, precision.work) for count in precision.nodes]
        self.evaluations = 0
        self.entries = [(j, m) for j in range(POWERS + 1) for m in range(DEGREES + 1)]

    def run(self) -> GaussianMoments:
        precision = self.precision
        reach, finite = self._reach()
        count = int(np.ceil(reach / precision.width))
        edges = [reach * mpf(i) / count for i in range(-count, count + 1)]
        size: Row = [mpf(0)] * len(self.entries)
        panels = [(a, b, self._panel(a, b, 0, size), 0) for a, b in pairwise(edges)]
        tolerance = [mpf(10) ** -precision.digits * s / 100 for s in size]
        fine, coarse, gap = ([mpf(0)] * len(self.entries) for _ in range(3))
        rough: mpf | None = None
        while panels:
            a, b, whole, depth = panels.pop()
            middle = (a + b) / 2
            left, right = self._panel(a, middle, depth + 1), self._panel(middle, b, depth + 1)
            halves = [x + y for x, y in zip(left, right, strict=True)]
            for k, (j, _) in enumerate(self.entries):
                if j <= finite and abs(halves[k]) > SPIKE * size[k]:
                    finite, rough = j - 1, middle
            if finite < NEEDED:
                break
            used = [k for k, (j, _) in enumerate(self.entries) if j <= finite]
            settled = all(abs(halves[k] - whole[k]) <= tolerance[k] for k in used)
            if settled or depth >= precision.depth or self.evaluations > precision.evaluations:
                if not settled and rough is None:
                    rough = middle
                for k in used:
                    fine[k] += halves[k]
                    coarse[k] += whole[k]
                    gap[k] += abs(halves[k] - whole[k])
            else:
                panels += [(a, middle, left, depth + 1), (middle, b, right, depth + 1)]
        return self._result(fine, coarse, gap, size, finite, rough)

    def _panel(self, a: Any, b: Any, depth: int, size: Row | None = None) -> Row:
        """The integrals over (a, b) of g^j He_m φ; those of their absolute values are added to `size`."""
        nodes, weights = self.rules[depth > DEEP]
        half, middle = (b - a) / 2, (a + b) / 2
        u = [middle + half * t for t in nodes]
        g = self.values(u)
        if not all(map(mpmath.isfinite, g)):
            raise InputError(
                f"activation: expected finite values, got inf between u = {float(a):.6g} and {float(b):.6g}"
            )
        self.evaluations += len(u)
        density = [half * w * mpmath.npdf(t) for w, t in zip(weights, u, strict=True)]
        squares = [t * t for t in u]
        hermite = [
            [mpf(1)] * len(u),
            u,
            [s - 1 for s in squares],
            [t * (s - 3) for t, s in zip(u, squares, strict=True)],
        ]
        totals = []
        for j in range(POWERS + 1):
            for m, row in enumerate(hermite):
                totals.append(mpmath.fdot(density, row))
                if size is not None:
                    size[j * len(hermite) + m] += sum(abs(d * h) for d, h in zip(density, row, strict=True))
            density = [d * v for d, v in zip(density, g, strict=True)]
        return totals

    def _reach(self) -> tuple[mpf, int]:
        """Half-range beyond which g^j He_3 φ is negligible, and up to which j that is so."""
        small = mpf(10) ** -(self.precision.digits + 6)
        best, where = 0, mpf(0)
        size = max(abs(v) for v in self.values([mpf(p) / 7 for p in (-41, -29, -11, -5, 2, 9, 31, 43)])) or mpf(1)
        for reach in self.precision.reaches:
            ends = [s * mpf(reach) * f for s in (-1, 1) for f in (1, 1.04, 1.11)]
            g = [abs(v) for v in self.values(ends)]
            tails = [[v**j * abs(t) ** 4 * mpmath.npdf(t) for v, t in zip(g, ends, strict=True)] for j in range(7)]
            decays = [all(t <= small * size**j for t in row) for j, row in enumerate(tails)]
            j = next((j for j, ok in enumerate(decays) if not ok), 7) - 1
            if j > best:
                best, where = j, mpf(reach)
            if best == POWERS:
                break
        if best < NEEDED:
            name = "E g(Z)" if best == 0 else f"E g(Z)^{best + 1}"
            raise InputError(f"activation: {name} does not exist, as g outgrows the normal density")
        return where, best

    def _result(self, fine: Row, coarse: Row, gap: Row, size: Row, finite: int, rough: mpf | None) -> GaussianMoments:
        most = self.precision.digits
        agreed = [most if not g else float(mpmath.log10(s / g)) for g, s in zip(gap, size, strict=True)]
        order = [min(agreed[k] for k, (i, _) in enumerate(self.entries) if i == j) for j in range(POWERS + 1)]
        finite = min([finite, *(j - 1 for j in range(1, POWERS + 1) if order[j] < 6)])
        if finite < NEEDED:
            name = "E g(Z)" if finite == 0 else f"E g(Z)^{finite + 1}"
            place = mpmath.nstr(rough, 6)
            raise InputError(
                f"activation: {name} does not exist, or g is too rough near u = {place} for its quadrature"
            )
        digits = min(int(min(order[1 : NEEDED + 1])), most)
        tables = [
            {
                (j, m): value if j <= finite else mpf("inf") if m == 0 else mpf("nan")
                for (j, m), value in zip(self.entries, row, strict=True)
            }
            for row in (fine, coarse)
        ]
        sizes = dict(zip(self.entries, size, strict=True))
        return GaussianMoments(tables[0], tables[1], sizes, digits, self.evaluations)


@lru_cache(maxsize=8)
def gauss_legendre(count: int, digits: int) -> tuple[tuple[mpf, ...], tuple[mpf, ...]]:
    """Nodes and weights on (-1, 1) of the rule with so many nodes, by Newton's method on the Legendre polynomial."""
    found = []
    with mpmath.workdps(digits + 10):
        for i in range(count):
            t = mpmath.cos(mpmath.pi * (i + mpf(3) / 4) / (count + mpf(1) / 2))
            for _ in range(100):
                value, slope = _legendre(count, t)
                step = value / slope
                t -= step
                if abs(step) < mpf(10) ** -(digits + 5):
                    break
            slope = _legendre(count, t)[1]
            found.append((t, 2 / ((1 - t * t) * slope * slope)))
    return tuple(t for t, _ in found), tuple(w for _, w in found)


def _legendre(n: int, t: mpf) -> tuple[mpf, mpf]:
    """P_n(t) and P_n'(t)."""
    before, value = mpf(1), t
    for k in range(2, n + 1):
        before, value = value, ((2 * k - 1) * t * value - (k - 1) * before) / k
    return value, n * (t * value - before) / (t * t - 1)


def _float_values(g: Activation, u: Sequence[Any]) -> list[mpf]:
    values = g.function(np.array([float(t) for t in u]))
    bad = np.flatnonzero(np.isnan(values))
    if len(bad):
        raise InputError(f"activation: expected a real function of every real u, got nan at {float(u[bad[0]]):.6g}")
    return [mpf(v) for v in values.tolist()]
