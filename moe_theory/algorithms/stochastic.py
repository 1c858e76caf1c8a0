"""Stochastic gradients: SGD with momentum, and Adam, one pass over a table per step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from moe_theory.algorithms.base import Algorithm
from moe_theory.errors import InputError
from moe_theory.evaluation import Penalty, layout, serves
from moe_theory.evaluation.first_order import block_scores, placed
from moe_theory.evaluation.softmax_kernels import outer_sum
from moe_theory.laws.rows import Block, Law
from moe_theory.laws.table import Finite
from moe_theory.model import Model
from moe_theory.operators import gradient
from moe_theory.validation import Array, positive_number, real_array, whole_number

DECAY, SECOND_DECAY, TINY = 0.9, 0.999, 1e-8  # Adam's constants (Kingma and Ba, ICLR 2015)


class StochasticGradient(Algorithm):
    """Mini-batches in random order, without replacement: one `step` is one pass over the table.

    rate: step size. batch: rows in one. method: "sgd" (with `momentum`) or "adam". The batches of pass t depend on
    (seed, t) only. On a table (Data, Finite) of any model; L may rise. Raises InputError for other laws.
    """

    monotone = False
    second_order = False
    passes_per_step = 1.0

    def __init__(
        self,
        model: Model,
        rate: float = 0.05,
        batch: int = 64,
        seed: int = 0,
        method: Literal["sgd", "adam"] = "sgd",
        momentum: float = 0.0,
        penalty: Penalty | None = None,
    ) -> None:
        super().__init__(model, penalty)
        self.rate = positive_number("rate", rate)
        self.batch, self.seed = whole_number("batch", batch, least=1), whole_number("seed", seed)
        if method not in ("sgd", "adam"):
            raise InputError(f"method: expected sgd or adam, got {method!r}")
        self.method = method
        self.momentum = float(real_array("momentum", momentum, ndim=0))
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum: expected a number in [0, 1), got {momentum:g}")
        self._passes = self._updates = 0
        self._seen: Finite | None = None
        self._first: Array | float = 0.0
        self._second: Array | float = 0.0

    @property
    def name(self) -> str:
        return "Adam" if self.method == "adam" else "SGD"

    def step(self, theta: Array, law: Law) -> Array:
        """One pass."""
        if not isinstance(law, Finite):
            raise InputError(f"law: expected a table (Data or Finite), got {type(law).__name__}")
        rng = np.random.default_rng([self.seed, self._passes])
        self._passes += 1
        if law is not self._seen:
            self._seen, self._slope = law, self._slopes(law)
        order, weight = rng.permutation(len(law)), np.broadcast_to(law.weight, law.y.shape) * len(law)
        for first in range(0, len(order), self.batch):
            rows = order[first : first + self.batch]
            if np.any(weight[rows] > 0):
                theta = theta - self._move(self._slope(theta, rows, weight[rows]))
        return theta

    def _slopes(self, law: Finite) -> Callable[[Array, Array, Array], Array]:
        """(θ, rows, their weights, of mean 1 over the table) -> an unbiased estimate of ∇L from those rows."""
        plan, x, y = layout(self.model, law), np.ascontiguousarray(law.x), law.y
        if plan is None or not serves(plan):
            if self.penalty:
                raise InputError(f"penalty: expected binomial or multinomial experts, got {self.model.name}")
            # A batch's weights sum to its share of the rows' weight, so that its gradient is unbiased.
            return lambda theta, rows, w: float(np.mean(w)) * gradient(self.model, Finite(x[rows], y[rows], w), theta)
        template = np.zeros((len(self.model.predictors), law.dimension))
        ridge = self.penalty.weights(plan, law.rows(self.model, template), template) if self.penalty else 0.0

        def slope(theta: Array, rows: Array, w: Array) -> Array:
            block = Block(x[rows].T, y[rows], (w / len(rows)).astype(x.dtype))
            values = block_scores(plan, block, plan.predictors(theta))[2]
            return placed(plan, outer_sum(block.x, values).astype(np.float64)) + ridge * theta

        return slope

    def _move(self, slope: Array) -> Array:
        if self.method == "sgd":
            self._first = self.momentum * self._first + slope
            return self.rate * self._first
        self._updates += 1
        self._first = DECAY * self._first + (1 - DECAY) * slope
        self._second = SECOND_DECAY * self._second + (1 - SECOND_DECAY) * slope**2
        first = self._first / (1 - DECAY**self._updates)
        second = self._second / (1 - SECOND_DECAY**self._updates)
        return self.rate * first / (np.sqrt(second) + TINY)
