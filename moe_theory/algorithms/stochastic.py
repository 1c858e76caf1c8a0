"""Stochastic gradients: SGD with momentum, and Adam, one pass over a table per step."""

from __future__ import annotations

from typing import Literal

import numpy as np

from moe_theory.algorithms.base import Algorithm
from moe_theory.errors import InputError
from moe_theory.laws.rows import Law
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
    passes_per_step = 1.0

    def __init__(
        self,
        model: Model,
        rate: float = 0.05,
        batch: int = 64,
        seed: int = 0,
        method: Literal["sgd", "adam"] = "sgd",
        momentum: float = 0.0,
    ) -> None:
        super().__init__(model)
        self.rate = positive_number("rate", rate)
        self.batch, self.seed = whole_number("batch", batch, least=1), whole_number("seed", seed)
        if method not in ("sgd", "adam"):
            raise InputError(f"method: expected sgd or adam, got {method!r}")
        self.method = method
        self.momentum = float(real_array("momentum", momentum, ndim=0))
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum: expected a number in [0, 1), got {momentum:g}")
        self._passes = self._updates = 0
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
        order, x = rng.permutation(len(law)), law.x
        weight = np.broadcast_to(law.weight, law.y.shape) * len(law)
        for first in range(0, len(order), self.batch):
            rows = order[first : first + self.batch]
            if not np.any(weight[rows] > 0):
                continue
            # A batch's weights sum to its share of the rows' weight, so that its gradient is unbiased.
            scale = float(np.mean(weight[rows]))
            slope = scale * gradient(self.model, Finite(x[rows], law.y[rows], weight[rows]), theta)
            theta = theta - self._move(slope)
        return theta

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
