"""Weighted rows: what every law of (x, y) is lowered to, so that an expectation is always Σ weight · f(x, y)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from moe_theory.errors import InputError
from moe_theory.model import Model
from moe_theory.validation import Array

BLOCK = 8192  # rows that, feature-major with d ≈ 10, stay in a core's L2 cache together with the kernels' temporaries


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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
        if np.max(np.abs(white - local @ self.basis.T)) > 1e-9 * (1 + np.max(np.abs(white))):
            raise InputError("theta: expected a point in the span of the parameters these rows were made for")
        return np.pad(local, ((0, 0), (0, int(self.spare))))

    def lift(self, local: Array) -> Array:
        """The θ, (m, d), with these coordinates (the spare one has to be 0 and is dropped)."""
        white = local[:, : self.basis.shape[1]] @ self.basis.T
        return white if self.factor is None else np.linalg.solve(self.factor.T, white.T).T


class Rows:
    """Weighted rows that can be passed over again and again, block by block.

    blocks, covariates: functions that start a pass over (x, y) and over x alone (for what does not depend on y; by
    default the former). `coordinates` is None where the features are the user's own.
    """

    def __init__(
        self,
        dimension: int,
        blocks: Callable[[], Iterable[Block]],
        covariates: Callable[[], Iterable[Block]] | None = None,
        coordinates: Coordinates | None = None,
    ) -> None:
        self.dimension = dimension
        self._blocks = blocks
        self._covariates = covariates or blocks
        self.coordinates = coordinates

    def __iter__(self) -> Iterator[Block]:
        return iter(self._blocks())

    def covariates(self) -> Iterator[Block]:
        """A pass over the law of x alone."""
        return iter(self._covariates())

    def project(self, theta: Array) -> Array:
        """θ in the coordinates of these rows."""
        return theta if self.coordinates is None else self.coordinates.project(theta)

    def lift(self, local: Array) -> Array:
        """θ in the user's coordinates."""
        return local if self.coordinates is None else self.coordinates.lift(local)

    @cached_property
    def gram(self) -> Array:
        """E[xx'], (dimension, dimension)."""
        total = np.zeros((self.dimension, self.dimension))
        for block in self.covariates():
            total += weighted_gram(block, block.weight)
        return total


def weighted_gram(block: Block, weight: Array | float) -> Array:
    """Σ weight_i E[xx' | row i] over one block, (d, d)."""
    if isinstance(weight, float):
        gram = weight * (block.x @ block.x.T)
        total = weight * block.x.shape[1]
    else:
        gram = (block.x * weight) @ block.x.T
        total = float(np.sum(weight)) if block.residual is not None else 0.0
    return gram if block.residual is None else gram + total * block.residual


class Law(ABC):
    """A law of (x, y), lowered to rows on which a model's expectations at given parameters are (nearly) exact."""

    #: number of features; None where any will do
    dimension: int | None

    @abstractmethod
    def rows(self, model: Model, *thetas: Array, span: bool = False) -> Rows:
        """Rows for expectations under `model` at `thetas`, each (m, d).

        span: the rows have to serve every parameter in the linear span of `thetas` and the law's own parameters (as
        an algorithm needs that starts at one of them), not only `thetas` themselves.
        """

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
