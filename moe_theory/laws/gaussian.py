"""Quadrature for functions of a few linear functionals of a standard normal vector.

Functionals are conditioned one after the other (Gram–Schmidt in their covariance). Each independent coordinate gets a
trapezoid rule on a grid graded like sinh around the zero of its functional: a logistic function of v has its poles at
v = ±iπ, ±3iπ, …, so that in u = arcsinh(v/π) it is analytic in a strip however large the variance of v; the error
falls geometrically. Directions that no functional sees are left to their exact covariance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from moe_theory.validation import Array

POLES = 8.0  # nats added against aliasing: double poles and polynomial factors cost a constant (measured on λ_max)
NEGLIGIBLE = 1e-11  # relative length below which a functional counts as determined by the earlier ones


@dataclass(frozen=True, eq=False)
class Functional:
    """value = constant + vector · g for g standard normal.

    scale: the integrand's nearest poles, as a function of the value, are at ±iπ/scale (0: it is entire).
    grade: step of the graded grid in u, None for the default.
    """

    vector: Array
    constant: float = 0.0
    scale: float = 1.0
    grade: float | None = None


def radius(nats: float) -> float:
    """Where the normal density has fallen by exp(-nats), with a margin for polynomial factors."""
    return float(np.sqrt(2 * nats)) + 0.7


def uniform_step(slope: float, nats: float) -> float:
    """Trapezoid step for E f(t), t standard normal, f analytic for |Im t| < π/slope, with aliasing exp(-nats)."""
    a = np.pi / slope if slope > 0 else np.inf
    wanted = nats + POLES
    return float(2 * np.pi * a / (wanted + a * a / 2) if a * a < 2 * wanted else np.pi * np.sqrt(2 / wanted))


def sector_step(nats: float) -> float:
    """Step in u = arcsinh(v/δ): the normal density allows no wider sector than |arg| < π/4."""
    return float(np.pi**2 / 2 / (nats + POLES))


def product_step(nats: float) -> float:
    """The same for a factor of a product of two normals, whose poles at v ≈ -n ± iπ/2n (n normal) narrow the sector.

    Integrating the other factor first smooths them: 2.5 times what the poles alone demand is as exact as once (and so
    is 4 times, measured on λ_max at signal-to-noise ratios up to 15).
    """
    return float(5 * np.pi**2 / (nats + POLES) ** 2)


def orthonormal(vectors: Sequence[Array], dimension: int) -> tuple[Array, list[int]]:
    """Gram–Schmidt in order: directions (k, dimension), and which vector each came from."""
    directions = np.zeros((0, dimension))
    sources = []
    for i, vector in enumerate(vectors):
        v = vector.astype(float)
        for _ in range(2):  # twice is enough (Kahan)
            v = v - directions.T @ (directions @ v)
        size = np.linalg.norm(v)
        if size > NEGLIGIBLE * max(1.0, float(np.linalg.norm(vector))):
            directions = np.vstack([directions, v / size])
            sources.append(i)
    return directions, sources


GENTLE = 4.0  # slope up to which a uniform rule needs no more nodes than a graded one


class Rule(ABC):
    """Nodes and weights for one coordinate t ~ N(0, 1), for each of several values of the earlier coordinates."""

    #: the largest number of nodes for any mean
    crowd: int

    @abstractmethod
    def nodes(self, mean: Array) -> tuple[Array, Array, Array]:
        """(index into mean, t, weight), given the functional's conditional means."""


class Uniform(Rule):
    """The same equidistant nodes whatever the mean."""

    def __init__(self, step: float, nats: float) -> None:
        half = int(np.ceil(radius(nats) / step))
        self.t = step * np.arange(-half, half + 1)
        self.weight = step * np.exp(-self.t * self.t / 2) / np.sqrt(2 * np.pi)
        self.crowd = len(self.t)

    def nodes(self, mean: Array) -> tuple[Array, Array, Array]:
        index = np.repeat(np.arange(len(mean)), self.crowd)
        return index, np.tile(self.t, len(mean)), np.tile(self.weight, len(mean))


class Graded(Rule):
    """Nodes f with density du/df = 1/(grade √(f²+δ²)) + 1/cap, for a functional of conditional standard deviation s.

    They cover [-extent, extent]; each mean takes those within reach.
    """

    def __init__(self, extent: float, delta: float, s: float, cap: float, grade: float, nats: float) -> None:
        self.s, self.reach = s, radius(nats) * s
        u_of = lambda f: np.arcsinh(f / delta) / grade + f / cap
        rate = lambda f: 1 / (grade * np.sqrt(f * f + delta * delta)) + 1 / cap
        u = np.arange(int(np.ceil(u_of(extent))) + 1, dtype=float)
        f = np.zeros(len(u))
        # u is concave for f > 0, so Newton from the left increases monotonically to the root.
        for _ in range(200):
            change = (u - u_of(f)) / rate(f)
            f = f + change
            if np.max(np.abs(change)) <= 1e-14 * extent:
                break
        self.values = np.concatenate([-f[:0:-1], f])
        self.spacing = 1 / rate(self.values)
        low, high = np.searchsorted(self.values, [-self.reach, self.reach])
        self.crowd = int(high - low) + 1

    def nodes(self, mean: Array) -> tuple[Array, Array, Array]:
        low = np.searchsorted(self.values, mean - self.reach)
        count = np.searchsorted(self.values, mean + self.reach) - low
        index = np.repeat(np.arange(len(mean)), count)
        node = np.arange(len(index)) + np.repeat(low - np.cumsum(count) + count, count)
        t = (self.values[node] - mean[index]) / self.s
        return index, t, self.spacing[node] * np.exp(-t * t / 2) / (self.s * np.sqrt(2 * np.pi))


@dataclass(frozen=True, eq=False)
class Frame:
    """Coordinates for a list of functionals; `residual` is the covariance of g given all of them."""

    functionals: tuple[Functional, ...]
    directions: Array
    sources: list[int]
    nats: float

    @classmethod
    def make(cls, functionals: Sequence[Functional], dimension: int, nats: float) -> Frame:
        directions, sources = orthonormal([f.vector for f in functionals], dimension)
        return cls(tuple(functionals), directions, sources, nats)

    @property
    def residual(self) -> Array:
        return np.eye(self.directions.shape[1]) - self.directions.T @ self.directions

    def rule(self, i: int) -> Rule:
        """The rule of coordinate i, fine enough for its own functional and for all others that move with it."""
        f, e = self.functionals[self.sources[i]], self.directions[i]
        s = float(e @ f.vector)
        others = max((g.scale * abs(float(g.vector @ e)) for g in self.functionals if g is not f), default=0.0)
        if f.scale * s <= GENTLE:
            return Uniform(uniform_step(max(others, f.scale * s), self.nats), self.nats)
        extent = radius(self.nats) * float(np.linalg.norm(f.vector)) + abs(f.constant)
        cap = s * uniform_step(others, self.nats)
        return Graded(extent, np.pi / f.scale, s, cap, f.grade or sector_step(self.nats), self.nats)

    def extend(self, t: Array, w: Array, i: int, rule: Rule) -> tuple[Array, Array]:
        """Add coordinate i to points t (i, N) of weights w, cut to the ball of `radius(nats)`."""
        f = self.functionals[self.sources[i]]
        index, new, factor = rule.nodes(f.constant + (self.directions[:i] @ f.vector) @ t)
        inside = np.sum(t * t, axis=0)[index] + new * new <= radius(self.nats) ** 2
        index = index[inside]
        return np.vstack([t[:, index], new[inside]]), w[index] * factor[inside]

    def points(self, t: Array, w: Array, batch: int = 60_000) -> Iterator[tuple[Array, Array]]:
        """All nodes that extend the points t (i, N) to every coordinate, in batches."""
        if len(t) == len(self.sources):
            yield t, w
            return
        rule = self.rule(len(t))
        stride = max(1, batch // rule.crowd)
        for a in range(0, t.shape[1], stride):
            yield from self.points(*self.extend(t[:, a : a + stride], w[a : a + stride], len(t), rule), batch)

    def all_points(self) -> Iterator[tuple[Array, Array]]:
        """All nodes (k, N) and weights (N,), in batches."""
        return self.points(np.zeros((0, 1)), np.ones(1))
