"""A sample of (x, y) drawn from a model at a truth, streamed in constant memory, chunk size immaterial."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.laws.responses import categorical, responses
from moe_theory.laws.rows import Block, Law, Rows
from moe_theory.laws.table import Data
from moe_theory.model import Model
from moe_theory.symbolic.lower import Compiled
from moe_theory.validation import Array, covariance_matrix, whole_number

CELL = 4096  # rows per random stream; part of what a seed means, so never change it
TRIED = 64  # rows drawn at once to see whether the model can be drawn from


class MonteCarlo(Law):
    """n rows x ~ N(0, covariance), (z, y) ~ model at theta.

    Responses in finitely many values, normal and Poisson ones are drawn exactly; of any other law the distribution
    function is inverted numerically from log p(y|x,z) (to 1e-7 of mass; some 5,000 rows a second). InputError where
    that is no probability law, or its mass cannot be found.

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
        self._kept: dict[tuple[int, int], Array] = {}  # responses by cell and size, where they are costly
        self.factor = None
        if covariance is not None:
            self.factor = np.linalg.cholesky(covariance_matrix("covariance", covariance, self.dimension))
        self._draw(np.random.default_rng(self.seed), TRIED, TRIED)  # raises where the model cannot be drawn from

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
        # A whole cell is drawn and cut, so that the last cell's rows do not depend on n.
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(index,)))
        x, y = self._draw(rng, CELL, size, self._kept.get((index, size)))
        if responses(self.model).costly:
            self._kept[index, size] = y
        return x, y

    def _draw(self, rng: np.random.Generator, count: int, size: int, y: Array | None = None) -> tuple[Array, Array]:
        """x (d, size), y (size,): the first of `count` rows; y is drawn unless it is given."""
        x = rng.standard_normal((self.dimension, count))
        u, v = rng.random(count), rng.random(count)
        noise = rng.standard_normal(count)
        if self.factor is not None:
            x = self.factor @ x
        if y is None:
            eta = (self.model.coefficients(self.theta) @ x)[:, :size]
            z = categorical(u[:size], np.exp(self._log_gate(*eta)), "P(z|x)")
            y = responses(self.model).draw(z, eta, v[:size], noise[:size], rng)
        return x[:, :size], y

    @cached_property
    def _log_gate(self) -> Compiled:
        return Compiled(self.model.symbols, list(self.model.log_gate))
