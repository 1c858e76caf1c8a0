"""Expectation–maximisation: exact, or with one Newton step for an M-step."""

from __future__ import annotations

from moe_theory.algorithms.base import Algorithm
from moe_theory.algorithms.maximise import maximise
from moe_theory.errors import DegenerateError
from moe_theory.evaluation.penalty import Penalty
from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.validation import Array


class EM(Algorithm):
    """θ⁺ = argmin_φ Q(φ|θ), Q(φ|θ) = -E[E_{z|x,y;θ} log p(y,z|x;φ)] (Dempster, Laird and Rubin 1977).

    For a flat model Q(φ|θ) = A(φ) - ⟨E[E[s|x,y;θ] ⊗ x], φ⟩ + const, so the M-step matches the mean of the statistic.
    For softmax mixtures it is weighted least squares and Newton's method, for any other curved model Newton's method on
    what is derived; `inner_residual` is the last M-step's Newton decrement over its aim. penalty: see `Penalty`.
    """

    def __init__(self, model: Model, penalty: Penalty | None = None) -> None:
        super().__init__(model, penalty)
        self.inner_residual = 0.0

    def step(self, theta: Array, law: Law) -> Array:
        """One E-step and one exact M-step."""
        theta, self.inner_residual = maximise(self.model, law, self.evaluate(theta, law))
        return theta


class GeneralisedEM(Algorithm):
    """EM with a single Newton step for the gate and for experts that are not normal, halved until L falls.

    It has EM's fixed points, not its rate. For softmax mixtures.
    """

    def __init__(self, model: Model, penalty: Penalty | None = None) -> None:
        super().__init__(model, penalty)

    def step(self, theta: Array, law: Law) -> Array:
        """One E-step and one Newton step; DegenerateError if no fraction of it decreases L."""
        at = self.evaluate(theta, law)
        full, _ = maximise(self.model, law, at, one=True)
        fraction, slack = 1.0, law.accuracy * (1 + abs(at.objective))
        while True:
            # With its first value the fixed entries' template is kept to the last bit.
            trial = full if fraction == 1 else theta + fraction * (full - theta)
            if self.evaluate(trial, law).objective <= at.objective + slack:
                return trial
            fraction /= 2
            if fraction < 1e-10:
                raise DegenerateError(f"{self.model.name}: no part of the Newton step decreases L")
