"""Plain gradients: gradient descent on L, and gradient EM."""

from __future__ import annotations

import numpy as np

from moe_theory.algorithms.base import Algorithm
from moe_theory.algorithms.maximise import complete_gradient
from moe_theory.algorithms.rounding import rounding
from moe_theory.errors import DegenerateError, InputError
from moe_theory.evaluation import Penalty
from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.validation import Array, positive_number, real_array, whole_number


class GradientDescent(Algorithm):
    """θ⁺ = θ - step ∇L(θ), with a fixed step or, for step=None, Armijo backtracking.

    Backtracking starts from twice the last accepted step (at first from `initial`) and halves until L falls by a
    quarter of what the gradient promises. momentum: with a fixed step only, times the last move is added (Polyak's
    heavy ball, 1964).
    """

    second_order = False

    def __init__(
        self,
        model: Model,
        step: float | None = None,
        initial: float = 1.0,
        penalty: Penalty | None = None,
        momentum: float = 0.0,
    ) -> None:
        super().__init__(model, penalty)
        self.step_size = None if step is None else positive_number("step", step)
        self.monotone = step is None
        self._trial = positive_number("initial", initial)
        self.momentum = float(real_array("momentum", momentum, ndim=0))
        if not 0 <= self.momentum < 1 or (self.momentum > 0 and step is None):
            raise InputError(f"momentum: expected a number in [0, 1), and 0 without a fixed step, got {momentum:g}")
        self._move: Array | float = 0.0

    @property
    def name(self) -> str:
        return "GradientDescent" if self.momentum == 0 else "HeavyBall"

    def step(self, theta: Array, law: Law) -> Array:
        """One gradient step; DegenerateError if backtracking finds none."""
        at = self.evaluate(theta, law)
        g = at.gradient
        if self.step_size is not None:
            self._move = self.momentum * self._move - self.step_size * g
            return theta + self._move
        here, slope, first = at.objective, float(np.sum(g * g)), 2 * self._trial
        slacks = (lambda: law.accuracy * (1 + abs(here)), lambda: rounding(self, theta, law).objective)
        for slack in (own() for own in slacks):
            step = first
            while step >= 1e-16:
                if self.evaluate(theta - step * g, law).objective <= here - step * slope / 4 + slack:
                    self._trial = step
                    return theta - step * g
                step /= 2
        raise DegenerateError("backtracking found no step that decreases L")


class GradientEM(Algorithm):
    """`inner` gradient steps on Q(·|θ) with the posterior frozen at θ, instead of the M-step.

    With inner = 1 it *is* gradient descent, because ∇Q(θ|θ) = ∇L(θ) (Fisher's identity); as inner grows it becomes EM.
    step: None takes 1/λ_max(∇²A(θ)), the inverse smoothness of Q at θ.
    """

    def __init__(self, model: Model, step: float | None = None, inner: int = 1, penalty: Penalty | None = None) -> None:
        super().__init__(model, penalty)
        self.second_order = step is None
        self.step_size = None if step is None else positive_number("step", step)
        self.inner = whole_number("inner", inner, least=1)
        self.monotone = False

    def step(self, theta: Array, law: Law) -> Array:
        """The inner gradient steps."""
        at = self.evaluate(theta, law)
        step = self.step_size or 1 / float(np.linalg.eigvalsh(at.metric(self.model, law))[-1])
        phi, slope = theta, at.gradient
        for i in range(self.inner):
            phi = phi - step * slope
            if i + 1 < self.inner:
                slope = complete_gradient(self.model, law, at, phi)
        return phi
