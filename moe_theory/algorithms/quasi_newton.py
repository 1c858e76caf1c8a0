"""EM with an M-step by L-BFGS, and L-BFGS on the likelihood: values and gradients only, for thousands of
coefficients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from moe_theory.algorithms.base import Algorithm
from moe_theory.algorithms.lbfgs import Memory, searched
from moe_theory.errors import DegenerateError, InputError
from moe_theory.evaluation import Evaluation, FirstOrder, Penalty, first_order
from moe_theory.evaluation.first_order import Bound
from moe_theory.laws.rows import Law, tally
from moe_theory.model import Model
from moe_theory.validation import Array, whole_number

Metric = Literal["bound", "identity"]
SLACK = 10.0  # times the law's accuracy: rounding of a difference of two values of L


class _QuasiNewton(Algorithm):
    """What both share: softmax mixtures to first order, and a memory of curvature in one of two metrics."""

    second_order = False

    def __init__(self, model: Model, penalty: Penalty | None = None, metric: Metric = "bound") -> None:
        super().__init__(model, penalty)
        if metric not in ("bound", "identity"):
            raise InputError(f"metric: expected bound or identity, got {metric!r}")
        self.metric: Metric = metric
        self._memory: Memory | None = None
        self._seen: Law | None = None

    def _at(self, theta: Array, law: Law) -> FirstOrder:
        at = self.evaluate(theta, law)
        if not isinstance(at, FirstOrder):
            raise InputError(
                f"model: expected binomial or multinomial experts under a softmax gate, got {self.model.name}"
            )
        return at

    def _known(self, at: FirstOrder, law: Law) -> Memory:
        """What earlier steps on the same law taught; at first nothing but the metric."""
        if self._memory is None or law is not self._seen:
            solve = (
                Bound.of(at.layout, law.rows(self.model, at.theta), at.ridge).solve if self.metric == "bound" else None
            )
            self._memory, self._seen = Memory(solve), law
            if solve is None:  # a first step of unit length
                self._memory.scale = 1 / max(float(np.linalg.norm(at.gradient)), 1e-300)
        return self._memory

    def localised(self, model: Model) -> Algorithm:
        """The same algorithm for the model in reduced coordinates, which remembers nothing of other runs."""
        other = super().localised(model)
        other.__dict__.update(_memory=None, _seen=None)
        return other


@dataclass(frozen=True)
class _Surrogate:
    """-Q(·|θ) at θ: known from the pass that gave L."""

    theta: Array
    objective: float
    gradient: Array


class InexactEM(_QuasiNewton):
    """EM whose M-step is L-BFGS from θ, ended after so many `evaluations` of Q: a generalised EM (L never rises).

    Q's gradient at θ is that of L (Fisher's identity), so that the E-step's pass is the first of the M-step; a step
    takes `evaluations` + 1 passes. metric: of the first direction and below what the pairs taught, the curvature's
    fixed bound of Böhning (1992) or the identity; pairs are kept from one M-step to the next. tolerance: the M-step
    ends earlier where the gradient, in that metric, has fallen to this part of what it was at θ. For binomial and
    multinomial experts; InputError for others.
    """

    def __init__(
        self,
        model: Model,
        penalty: Penalty | None = None,
        evaluations: int = 20,
        metric: Metric = "bound",
        tolerance: float = 1e-6,
    ) -> None:
        super().__init__(model, penalty, metric)
        self.evaluations = whole_number("evaluations", evaluations, least=1)
        self.tolerance = tolerance
        self.inner_residual = 0.0

    @property
    def name(self) -> str:
        return "EM"

    def step(self, theta: Array, law: Law) -> Array:
        """One E-step and one M-step."""
        at = self._at(theta, law)
        memory, begun = self._known(at, law), tally.passes
        surrogate: Callable[[Array], Evaluation] = lambda phi: first_order(
            at.layout, self.model, law, phi, self.penalty, at.responsibilities
        )
        here: _Surrogate | Evaluation = _Surrogate(at.theta, at.complete, at.gradient)
        solved = memory.solve(at.gradient)
        size = first = _size(at.gradient, solved)
        slack = SLACK * law.accuracy * (1 + abs(at.complete))
        while (left := self.evaluations - (tally.passes - begun)) > 0 and size > self.tolerance * first:
            ahead = searched(surrogate, here, memory.direction(here.gradient), most=left, slack=slack)
            if ahead is None:  # rounding, or no evaluations left
                break
            before, solved = solved, memory.solve(ahead.gradient)
            memory.learn(ahead.theta - here.theta, ahead.gradient - here.gradient, solved - before)
            here, size = ahead, _size(ahead.gradient, solved)
        self.inner_residual = size / first if first > 0 else 0.0
        return here.theta


class LBFGS(_QuasiNewton):
    """L-BFGS on L itself, with Wolfe's conditions (Nocedal and Wright 2006, Algorithm 7.5); metric as for
    `InexactEM`."""

    def step(self, theta: Array, law: Law) -> Array:
        """One line search; DegenerateError where nothing decreases L."""
        at = self._at(theta, law)
        memory = self._known(at, law)
        slack = SLACK * law.accuracy * (1 + abs(at.objective))
        look = lambda point: self._at(point, law)
        ahead = searched(look, at, memory.direction(at.gradient), slack=slack)
        if ahead is None:
            raise DegenerateError("L-BFGS: found no step that decreases L")
        memory.learn(ahead.theta - at.theta, ahead.gradient - at.gradient)
        self._last = (law, ahead)
        return ahead.theta


def _size(gradient: Array, solved: Array) -> float:
    return float(np.sqrt(np.sum(gradient * solved)))
