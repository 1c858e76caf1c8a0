"""Quadrature for functions of a few linear functionals of a standard normal vector.

Functionals are conditioned one after the other (Gram–Schmidt in their covariance), each new independent coordinate
t ~ N(0, 1) gets a trapezoid rule, and directions that no functional sees are left to their exact covariance. For
integrands analytic in a strip the trapezoid rule converges geometrically; its step comes from the strip's width.

Two functionals whose *product* is a logit (the slope D and the centred response c of a two-label linear mixture,
logit = D c + …) make the integrand concentrate on the cross |D c| = O(1), thinner than any affordable uniform step
at high signal-to-noise ratio. They come first, on grids graded like sinh around 0, where it is analytic in a sector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from moe_theory.validation import Array

POLES = 8.0  # nats added against aliasing: double poles and polynomial factors cost a constant, measured on λ_max
NEGLIGIBLE = 1e-11  # relative length below which a functional counts as determined by the earlier ones


@dataclass(frozen=True)
class Functional:
    """value = constant + vector · g for g standard normal; `graded` marks one factor of a product (see above)."""

    vector: Array
    constant: float = 0.0
    graded: bool = False


@dataclass(frozen=True)
class Frame:
    """Orthonormal directions (k, n) of the coordinates, which functional each came from, and what is left out."""

    directions: Array
    sources: tuple[Functional, ...]
    residual: Array

    def coefficients(self, vector: Array) -> Array:
        """How vector · g depends on the coordinates, (k,)."""
        return self.directions @ vector


def frame(functionals: list[Functional], dimension: int) -> Frame:
    """Condition the functionals in order; those determined by earlier ones add no coordinate."""
    directions: list[Array] = []
    sources = []
    for f in functionals:
        v = f.vector.astype(float)
        for _ in range(2):  # twice is enough (Kahan)
            for e in directions:
                v = v - (e @ v) * e
        size = np.linalg.norm(v)
        if size > NEGLIGIBLE * max(1.0, float(np.linalg.norm(f.vector))):
            directions.append(v / size)
            sources.append(f)
    matrix = np.array(directions).reshape(len(directions), dimension)
    return Frame(matrix, tuple(sources), np.eye(dimension) - matrix.T @ matrix)


def radius(nats: float) -> float:
    """Where the normal density has fallen by exp(-nats), with a margin for polynomial factors."""
    return float(np.sqrt(2 * nats)) + 0.7


def uniform_rule(slope: float, nats: float) -> tuple[Array, Array]:
    """Nodes and weights for E f(t), f analytic for |Im t| < π/slope: truncation and aliasing errors exp(-nats)."""
    a = np.pi / slope if slope > 0 else np.inf
    wanted = nats + POLES
    step = 2 * np.pi * a / (wanted + a * a / 2) if a * a < 2 * wanted else np.pi * np.sqrt(2 / wanted)
    half = int(np.ceil(radius(nats) / step))
    t = step * np.arange(-half, half + 1)
    return t, step * np.exp(-t * t / 2) / np.sqrt(2 * np.pi)


@dataclass(frozen=True)
class GradedGrid:
    """Global nodes f with density du/df = 1/(grade √(f²+δ²)) + 1/(step s): like sinh near 0, even at scale s far out."""

    nodes: Array
    spacing: Array

    @classmethod
    def make(cls, reach: float, delta: float, s: float, grade: float, nats: float) -> GradedGrid:
        """Nodes in [-reach, reach] for a functional with conditional standard deviation s."""
        cap = s * np.pi * np.sqrt(2 / nats)
        u_of = lambda f: np.arcsinh(f / delta) / grade + f / cap
        rate = lambda f: 1 / (grade * np.sqrt(f * f + delta * delta)) + 1 / cap
        half = int(np.ceil(u_of(reach)))
        u = np.arange(half + 1, dtype=float)
        f = np.zeros(half + 1)
        # u is concave for f > 0, so Newton from the left increases monotonically to the root.
        for _ in range(100):
            change = (u - u_of(f)) / rate(f)
            f = f + change
            if np.max(np.abs(change)) <= 1e-15 * reach:
                break
        nodes = np.concatenate([-f[:0:-1], f])
        return cls(nodes, 1 / rate(nodes))

    def rule(self, mean: Array, s: float, nats: float) -> tuple[Array, Array, Array]:
        """(index into mean, t, weight) of all nodes within the radius of each conditional mean (t standardised)."""
        reach = radius(nats) * s
        low = np.searchsorted(self.nodes, mean - reach)
        count = np.searchsorted(self.nodes, mean + reach) - low
        index = np.repeat(np.arange(len(mean)), count)
        offset = np.arange(len(index)) - np.repeat(np.cumsum(count) - count, count)
        node = np.repeat(low, count) + offset
        t = (self.nodes[node] - mean[index]) / s
        return index, t, self.spacing[node] * np.exp(-t * t / 2) / (s * np.sqrt(2 * np.pi))


def sector_grade(spread: float, nats: float) -> float:
    """Step of the sinh grid for E f with poles at D c = -v ± iπ, v ~ N(0, spread²): aliasing exp(-nats)."""
    wanted = nats + POLES
    quarter = np.pi**2 / 2 / wanted  # the normal density itself allows no sector beyond π/4
    return float(min(quarter, 2 * np.pi**2 / (spread * (2 * wanted / 3) ** 1.5))) if spread > 0 else float(quarter)


def tensor_nodes(
    fr: Frame, slopes: list[float], nats: float, spread: float = 0.0, batch: int = 50_000
) -> Iterator[tuple[Array, Array]]:
    """Yield (coordinates (k, N), weights (N,)) over the product rule, cut to the ball of `radius(nats)`.

    slopes: per coordinate, for the uniform rules. spread: standard deviation of the additive part of the logit whose
    other part is the product of the two graded functionals.
    """
    k = len(fr.sources)
    if k == 0:
        yield np.zeros((0, 1)), np.ones(1)
        return
    grade = sector_grade(spread, nats)
    limit = radius(nats) ** 2
    lengths = [float(np.linalg.norm(f.vector)) for f in fr.sources]
    graded = [i for i, f in enumerate(fr.sources) if f.graded]

    def grid(i: int) -> GradedGrid:
        partner = next((lengths[j] for j in graded if j != i), 1.0)
        s = abs(float(fr.directions[i] @ fr.sources[i].vector))
        reach = radius(nats) * lengths[i] + abs(fr.sources[i].constant)
        return GradedGrid.make(reach, np.pi / (radius(nats) * partner), s, grade, nats)

    grids = {i: grid(i) for i in graded}
    rules = {i: uniform_rule(slopes[i], nats) for i in range(k) if i not in grids}

    def extend(t: Array, w: Array, i: int) -> tuple[Array, Array]:
        if i in grids:
            c = fr.coefficients(fr.sources[i].vector)
            index, new, factor = grids[i].rule(fr.sources[i].constant + c[:i] @ t, abs(float(c[i])), nats)
            new = new * np.sign(c[i])
        else:
            nodes, factors = rules[i]
            index = np.repeat(np.arange(t.shape[1]), len(nodes))
            new, factor = np.tile(nodes, t.shape[1]), np.tile(factors, t.shape[1])
        inside = np.sum(t * t, axis=0)[index] + new * new <= limit
        index = index[inside]
        return np.vstack([t[:, index], new[inside]]), w[index] * factor[inside]

    def descend(t: Array, w: Array, i: int) -> Iterator[tuple[Array, Array]]:
        if i == k:
            yield t, w
            return
        size = len(rules[i][0]) if i in rules else len(grids[i].nodes)
        stride = max(1, batch // size)
        for a in range(0, t.shape[1], stride):
            yield from descend(*extend(t[:, a : a + stride], w[a : a + stride], i), i + 1)

    yield from descend(np.zeros((0, 1)), np.ones(1), 0)
