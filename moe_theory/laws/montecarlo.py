"""A sample of (x, y) drawn from a model at a truth, streamed in constant memory, chunk size immaterial."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.kernels import kernels
from moe_theory.laws.rows import Block, Law, Rows
from moe_theory.laws.table import Data
from moe_theory.model import Model
from moe_theory.response import Values
from moe_theory.symbolic.lower import Compiled
from moe_theory.validation import Array, covariance_matrix, whole_number

CELL = 4096  # rows per random stream; part of what a seed means, so never change it


class MonteCarlo(Law):
    """n rows x ~ N(0, covariance), (z, y) ~ model at theta.

    Row i depends on (model, theta, n > i, seed, covariance) only: every cell of 4096 rows has its own random stream,
    spawned from the seed, so `chunk` (rows in memory at a time, rounded up to whole cells) changes nothing.
    """

    def __init__(
        self,
        model: Model,
        theta: ArrayLike,
        n: int,
        seed: int,
        covariance: ArrayLike | None = None,
        chunk: int = 2 * CELL,
    ) -> None:
        self.model = model
        self.theta = model.check_theta("theta", theta)
        self.dimension = self.theta.shape[1]
        self.n = whole_number("n", n, least=1)
        self.seed = whole_number("seed", seed)
        self.chunk = whole_number("chunk", chunk, least=1)
        self.factor = None
        if covariance is not None:
            self.factor = np.linalg.cholesky(covariance_matrix("covariance", covariance, self.dimension))
        if not isinstance(model.response, Values):
            kernels(model).theory.normal_experts  # noqa: B018 (raises where the experts cannot be sampled)

    def rows(self, model: Model, theta: Array) -> Rows:
        """The sample, drawn anew in every pass."""
        self.check_dimension(model, [theta])
        return self._rows

    @cached_property
    def _rows(self) -> Rows:
        return Rows(self.dimension, self._pass)

    def _pass(self) -> Iterator[Block]:
        cells = range(0, self.n, CELL)
        per_chunk = -(-self.chunk // CELL)
        for first in range(0, len(cells), per_chunk):
            drawn = [
                self._cell(i, min(CELL, self.n - i * CELL)) for i in range(first, min(first + per_chunk, len(cells)))
            ]
            x = np.concatenate([x for x, _ in drawn], axis=1)
            yield Block(x, np.concatenate([y for _, y in drawn]), 1.0 / self.n)

    def data(self) -> Data:
        """The whole sample in memory."""
        blocks = list(self._pass())
        return Data(np.concatenate([b.x.T for b in blocks]), np.concatenate([b.y for b in blocks]))

    def _cell(self, index: int, size: int) -> tuple[Array, Array]:
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(index,)))
        # A whole cell is drawn and cut, so that the last cell's rows do not depend on n.
        x = rng.standard_normal((self.dimension, CELL))
        u, v = rng.random(CELL), rng.random(CELL)
        noise = rng.standard_normal(CELL)
        if self.factor is not None:
            x = self.factor @ x
        eta = self.model.coefficients(self.theta) @ x
        z = _categorical(u, np.exp(kernels(self.model).log_gate(*eta)))
        return x[:, :size], self._response(z, v, noise, eta)[:size]

    def _response(self, z: Array, v: Array, noise: Array, eta: Array) -> Array:
        rows = np.arange(len(z))
        response = self.model.response
        if isinstance(response, Values):
            values = np.asarray(response.values, dtype=float)
            log_p = np.stack([kernels(self.model).log_expert(np.full(len(z), y), *eta)[z, rows] for y in values])
            return values[_categorical(v, np.exp(log_p))]
        return self._means(*eta)[z, rows] + self._sigmas[z] * noise

    @cached_property
    def _means(self) -> Compiled:
        return Compiled(self.model.symbols, [e.mean for e in kernels(self.model).theory.normal_experts])

    @cached_property
    def _sigmas(self) -> Array:
        return np.array([float(e.sigma) for e in kernels(self.model).theory.normal_experts])


def _categorical(u: Array, probabilities: Array) -> Array:
    """Index drawn by inversion from (k, n) probabilities that sum to 1 over k."""
    cumulative = np.cumsum(probabilities, axis=0)
    return np.sum(u > cumulative[:-1], axis=0)
