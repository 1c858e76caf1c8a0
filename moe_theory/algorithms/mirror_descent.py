"""Mirror descent on L with the mirror map A."""

from __future__ import annotations

from moe_theory.algorithms.base import Algorithm
from moe_theory.algorithms.mirror import inverse_mirror
from moe_theory.errors import CurvedModelError
from moe_theory.evaluation import FlatEvaluation
from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.operators import gradient
from moe_theory.symbolic.derive import derive
from moe_theory.validation import Array, positive_number


class MirrorDescent(Algorithm):
    """θ⁺ = argmin_φ ⟨∇L(θ), φ⟩ + B_A(φ‖θ)/step, i.e. ∇A(θ⁺) = ∇A(θ) - step ∇L(θ), ∇L from the marginal's score.

    With step = 1 it is EM (arXiv 2411.06056, Theorem 5.1). L is 1-smooth relative to A, so it descends for step <= 1.
    """

    def __init__(self, model: Model, step: float = 1.0) -> None:
        super().__init__(model)
        self.step_size = positive_number("step", step)
        self.monotone = self.step_size <= 1

    def step(self, theta: Array, law: Law) -> Array:
        """One mirror step; DegenerateError if ∇A(θ) - step ∇L(θ) leaves the range of ∇A."""
        at = self.evaluate(theta, law)
        if not isinstance(at, FlatEvaluation):
            reason = (
                derive(self.model).obstruction or f"model {self.model.name!r}: its predictors see different features"
            )
            raise CurvedModelError(reason)
        return inverse_mirror(self.model, law, at.mean - self.step_size * gradient(self.model, law, theta), at)
