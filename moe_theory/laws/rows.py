"""Weighted rows: what every law of (x, y) is lowered to, so that an expectation is always Σ weight · f(x, y)."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from moe_theory.errors import InputError
from moe_theory.model import Model
from moe_theory.validation import Array

BLOCK = 32768  # rows; smaller blocks cost overhead, and from about 65536 on BLAS threads suffer when a core is busy


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows, feature-major.

    x: (d, n) features. y: (n,) responses. weight: (n,) or one float for all rows. residual: None or a (d, d) matrix C:
    x is then the conditional mean of the features a row stands for and E[xx' | row] = x x' + C, in directions that
    no predictor sees (so that one row integrates a whole subspace exactly).
    """

    x: Array
    y: Array
    weight: Array | float
    residual: Array | None = None

    @property
    def total(self) -> float:
        """Sum of the weights."""
        return self.weight * self.x.shape[1] if isinstance(self.weight, float) else float(np.sum(self.weight))


@dataclass(frozen=True, eq=False)
class Coordinates:
    """A change of features u = basis' factor^{-1} x, which takes θ to θ · factor · basis.

    basis: (d, r) orthonormal columns; factor: (d, d) with covariance = factor factor', None for I. `spare`: one more
    coordinate stands for the orthogonal complement, on which no parameter acts.
    """

    basis: Array
    factor: Array | None
    spare: bool

    @property
    def dimension(self) -> int:
        return self.basis.shape[1] + self.spare

    def project(self, theta: Array) -> Array:
        """θ, (m, d), in these coordinates, (m, dimension); InputError if it acts outside their span."""
        white = theta if self.factor is None else theta @ self.factor
        local = white @ self.basis
        if np.max(np.abs(white - local @ self.basis.T), initial=0.0) > 1e-9 * (1 + np.max(np.abs(white), initial=0.0)):
            raise InputError("theta: expected a point in the span of the parameters these rows were made for")
        return np.pad(local, ((0, 0), (0, int(self.spare))))

    def lift(self, local: Array) -> Array:
        """The θ, (m, d), with these coordinates; the spare one goes to some direction of the complement."""
        rank = self.basis.shape[1]
        white = local[:, :rank] @ self.basis.T
        if self.spare and np.any(local[:, rank]):
            # The axis that the basis sees least of, less what it sees of it.
            seen = np.sum(self.basis**2, axis=1)
            axis = int(np.argmin(seen))
            outside = np.eye(1, len(seen), axis)[0] - self.basis @ self.basis[axis]
            white = white + np.outer(local[:, rank], outside / np.linalg.norm(outside))
        return white if self.factor is None else np.linalg.solve(self.factor.T, white.T).T


class _Tally(threading.local):
    """Passes over rows that this thread has begun."""

    passes = 0


tally = _Tally()


class Rows:
    """Weighted rows that can be passed over again and again, block by block.

    blocks: starts a pass over (x, y). covariates: starts a pass over x alone, for what does not depend on y; None
    where the first serves (a table). If it is given, the rows of (x, y) are exact only for functions of y and of the
    posterior (times polynomials of degree 2 in x), see `Population.rows`. sample: a thin sample of the rows, or None
    where they are few; never used for a result, only to foresee where an exact iteration should look next. threads:
    that passes of first order may share the blocks among.
    """

    def __init__(
        self,
        dimension: int,
        blocks: Callable[[], Iterable[Block]],
        covariates: Callable[[], Iterable[Block]] | None = None,
        sample: Block | None = None,
        threads: int = 1,
    ) -> None:
        self.dimension = dimension
        self.threads = threads
        self.split = covariates is not None
        self.sample = sample
        self._blocks = blocks
        self._covariates = covariates or blocks
        self._known: dict[Any, Any] = {}

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)

    @property
    def blocks(self) -> Iterable[Block]:
        """A pass over the rows: a list for a table, else an iterator."""
        tally.passes += 1
        return self._blocks()

    @property
    def covariates(self) -> Iterable[Block]:
        """A pass over the law of x alone."""
        tally.passes += 1
        return self._covariates()

    def once(self, key: Any, compute: Callable[[], Any]) -> Any:
        """What `compute` returns, kept under `key`: for sums that depend on the rows only."""
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    @cached_property
    def gram(self) -> Array:
        """E[xx'], (dimension, dimension)."""
        return self._moments[1]

    @cached_property
    def first_moment(self) -> Array:
        """E[x], (dimension,)."""
        return self._moments[0]

    @cached_property
    def _moments(self) -> tuple[Array, Array]:
        first, second = np.zeros(self.dimension), np.zeros((self.dimension, self.dimension))
        for block in self.covariates:
            ones = np.ones(block.x.shape[1])
            first += block.x @ (ones * block.weight)
            second += weighted_gram(block, ones, block.weight)
        return first, second


SLICE = 4096  # columns of a product; from about 5000 on OpenBLAS starts threads, which only wait for each other here


def scaled_gram(x: Array, scale: Array) -> Array:
    """Σ scale_i x_i x_i', (d, d), for x (d, n)."""
    gram = np.zeros((len(x), len(x)))
    product = np.empty((len(x), min(SLICE, x.shape[1])))
    for a in range(0, x.shape[1], SLICE):
        part = x[:, a : a + SLICE]
        own = product[:, : part.shape[1]]
        np.multiply(part, scale[a : a + SLICE], out=own)
        gram += own @ part.T
    return gram


MANY = 8  # sums from which on the products x_a x_b are better formed once for all


def scaled_grams(x: Array, scales: Array) -> Array:
    """Σ scale_i x_i x_i' for several scales, (r, n), on the same x, (d, n): (r, d, d)."""
    if len(scales) < MANY:
        return np.array([scaled_gram(x, scale) for scale in scales]).reshape(len(scales), len(x), len(x))
    d, n = x.shape
    upper = np.triu_indices(d)
    sums = np.zeros((len(scales), len(upper[0])))
    width = min(SLICE // 4, n)
    products = np.empty((len(upper[0]), width))
    for first in range(0, n, width):
        part = x[:, first : first + width]
        own, row = products[:, : part.shape[1]], 0
        for a in range(d):
            np.multiply(part[a], part[a:], out=own[row : row + d - a])
            row += d - a
        sums += scales[:, first : first + width] @ own.T
    grams = np.empty((len(scales), d, d))
    grams[:, upper[0], upper[1]] = sums
    grams[:, upper[1], upper[0]] = sums
    return grams


def weighted_gram(block: Block, value: Array | float, weight: Array | float) -> Array:
    """Σ weight_i value_i E[xx' | row i] over one block, (d, d)."""
    n = block.x.shape[1]
    scaled = weight * value if isinstance(weight, np.ndarray) else value
    if not isinstance(scaled, np.ndarray):
        scaled = np.full(n, scaled)
    factor = weight if isinstance(weight, float) else 1.0
    gram = factor * scaled_gram(block.x, scaled)
    return gram if block.residual is None else gram + factor * float(np.sum(scaled)) * block.residual


class Law(ABC):
    """A law of (x, y), lowered to rows on which a model's expectations at a given parameter are (nearly) exact."""

    #: number of features
    dimension: int
    #: relative error to expect in an expectation
    accuracy: float = 1e-14

    @abstractmethod
    def rows(self, model: Model, theta: Array) -> Rows:
        """Rows for expectations under `model` at θ, (m, d)."""

    def reduce(self, model: Model, *thetas: Array) -> tuple[Law, Model, Coordinates | None]:
        """Law and model in fewer coordinates in which all of `thetas` can be told apart; None: they are unchanged."""
        self.check_dimension(model, thetas)
        return self, model, None

    def check_dimension(self, model: Model, thetas: Iterable[Array]) -> None:
        """InputError unless every θ has this law's number of features."""
        for theta in thetas:
            model.check_theta("theta", theta, self.dimension)


def split(x: Array, y: Array, weight: Array | float, size: int = BLOCK) -> list[Block]:
    """Blocks of contiguous feature-major copies from x (n, d), y (n,) and weights."""
    n = len(y)
    cuts = range(0, n, size)
    return [
        Block(
            np.ascontiguousarray(x[a : a + size].T),
            np.ascontiguousarray(y[a : a + size]),
            weight if isinstance(weight, float) else np.ascontiguousarray(weight[a : a + size]),
        )
        for a in cuts
    ]
