"""Plain gradients: gradient descent on L, and gradient EM."""

from __future__ import annotations

import numpy as np

from moe_theory.algorithms.base import Algorithm
from moe_theory.algorithms.maximise import complete_gradient
from moe_theory.errors import DegenerateError
from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.operators import objective
from moe_theory.validation import Array, positive_number, whole_number


class GradientDescent(Algorithm):
    """θ⁺ = θ - step ∇L(θ), with a fixed step or, for step=None, Armijo backtracking.

    Backtracking starts from twice the last accepted step (at first from `initial`) and halves until L falls by a
    quarter of what the gradient promises.
    """

    def __init__(self, model: Model, step: float | None = None, initial: float = 1.0) -> None:
        super().__init__(model)
        self.step_size = None if step is None else positive_number("step", step)
        self.monotone = step is None
        self._trial = positive_number("initial", initial)

    def step(self, theta: Array, law: Law) -> Array:
        """One gradient step; DegenerateError if backtracking finds none."""
        at = self.evaluate(theta, law)
        g = at.gradient
        if self.step_size is not None:
            return theta - self.step_size * g
        here, slope, step = at.objective, float(np.sum(g * g)), 2 * self._trial
        slack = law.accuracy * (1 + abs(here))
        while objective(self.model, law, theta - step * g) > here - step * slope / 4 + slack:
            step /= 2
            if step < 1e-16:
                raise DegenerateError("backtracking found no step that decreases L")
        self._trial = step
        return theta - step * g


class GradientEM(Algorithm):
    """`inner` gradient steps on Q(·|θ) with the posterior frozen at θ, instead of the M-step.

    With inner = 1 it *is* gradient descent, because ∇Q(θ|θ) = ∇L(θ) (Fisher's identity); as inner grows it becomes EM.
    step: None takes 1/λ_max(∇²A(θ)), the inverse smoothness of Q at θ.
    """

    def __init__(self, model: Model, step: float | None = None, inner: int = 1) -> None:
        super().__init__(model)
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
