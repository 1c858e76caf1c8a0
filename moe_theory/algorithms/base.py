"""What an algorithm is: one class with one method, `step`."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from moe_theory.errors import DegenerateError
from moe_theory.evaluation import Evaluation, Penalty, evaluate
from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.validation import Array


class Algorithm(ABC):
    """Iterates θ -> step(θ, law). `monotone`: the theory says that L never increases along its iterates."""

    monotone = True
    #: whether a step needs curvature; without, thousands of coefficients cost no more than two products per pass
    second_order = True
    #: passes over the rows that a step takes, where it does not use `evaluate` (mini-batches)
    passes_per_step: float | None = None

    def __init__(self, model: Model, penalty: Penalty | None = None) -> None:
        self.model, self.penalty = model, penalty
        self._last: tuple[Law, Evaluation] | None = None

    #: learnt entries, (p,), that the last step had to leave at a bound; None if there are none
    held: Array | None = None

    def unattained(self, theta: Array, law: Law) -> DegenerateError | None:
        """Why there are held entries; None if there are none."""
        return None

    @property
    def name(self) -> str:
        """How it is called in traces and figures."""
        return type(self).__name__

    @abstractmethod
    def step(self, theta: Array, law: Law) -> Array:
        """The next iterate, (m, d)."""

    def evaluate(self, theta: Array, law: Law) -> Evaluation:
        """L (with the penalty), its gradient and what a step needs at θ; the last result is kept, so that a run and its
        step share it."""
        if self._last is None or self._last[0] is not law or not np.array_equal(self._last[1].theta, theta):
            self._last = (law, evaluate(self.model, law, theta, self.penalty, self.second_order))
        return self._last[1]

    def localised(self, model: Model) -> Algorithm:
        """The same algorithm for the model in reduced coordinates."""
        other = type(self).__new__(type(self))
        other.__dict__ = self.__dict__ | {"model": model, "_last": None}
        return other
