"""Expectation–maximisation: exact, or with one Newton step for an M-step."""

from __future__ import annotations

import numpy as np

from moe_theory.algorithms.base import Algorithm
from moe_theory.algorithms.degenerate import saturation
from moe_theory.algorithms.maximise import maximise
from moe_theory.algorithms.rounding import rounding
from moe_theory.algorithms.softmax_step import Memory, saturated
from moe_theory.errors import DegenerateError
from moe_theory.evaluation import SoftmaxEvaluation
from moe_theory.evaluation.penalty import Penalty
from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.validation import Array


class EM(Algorithm):
    """θ⁺ = argmin_φ Q(φ|θ), Q(φ|θ) = -E[E_{z|x,y;θ} log p(y,z|x;φ)] (Dempster, Laird and Rubin 1977).

    For a flat model Q(φ|θ) = A(φ) - ⟨E[E[s|x,y;θ] ⊗ x], φ⟩ + const, so the M-step matches the mean of the statistic.
    For softmax mixtures it is weighted least squares and Newton's method, for any other curved model Newton's method on
    what is derived; `inner_residual` is the last M-step's Newton decrement over its aim. penalty: see `Penalty`.

    A gate or an expert of a softmax mixture whose M-step has no maximum, because its features separate (the likelihood
    is bounded, its supremum at infinity), is held far out while the others go on: `held` then marks its learnt entries,
    and `unattained` says what is wrong. Other models raise DegenerateError.
    """

    def __init__(self, model: Model, penalty: Penalty | None = None) -> None:
        super().__init__(model, penalty)
        self.inner_residual = 0.0
        self.held: Array | None = None
        self._parts: list[int] = []
        self._memory: Memory = {}
        self._seen: Law | None = None  # whose curvature is remembered

    def step(self, theta: Array, law: Law) -> Array:
        """One E-step and one exact M-step."""
        at = self.evaluate(theta, law)
        self._parts, self.held = [], None
        if law is not self._seen:
            self._memory, self._seen = {}, law
        theta, self.inner_residual = maximise(self.model, law, at, held=self._parts, memory=self._memory)
        if self._parts and isinstance(at, SoftmaxEvaluation):
            mask = np.zeros(theta.shape, dtype=bool)
            slack = law.accuracy * (1 + abs(at.objective))
            # Newton's last point is far out, but it was not looked at before the next was asked for.
            back = not self.evaluate(theta, law).objective <= at.objective + slack
            theta = theta.copy()  # the evaluation keeps the other
            for part in (at.parts[i] for i in self._parts):
                mask[part.rows, part.columns] = True
                if back:
                    theta[part.rows, part.columns] = part.point
            self.held = self.model.free(mask)
        return theta

    def unattained(self, theta: Array, law: Law) -> DegenerateError | None:
        """Why the last M-step had no maximum, or None if it had one."""
        at = self.evaluate(theta, law)
        if not isinstance(at, SoftmaxEvaluation):
            return None
        # Curvature that is remembered may have faded since it was last looked at, and a start may be far out.
        parts = self._parts or saturated(self.model, law, at)
        return saturation(self.model, law, at, parts[0]) if parts else None

    def localised(self, model: Model) -> Algorithm:
        """The same algorithm for the model in reduced coordinates, which remembers nothing of other runs."""
        other = super().localised(model)
        other.__dict__.update(held=None, _parts=[], _memory={}, _seen=None)
        return other


class GeneralisedEM(Algorithm):
    """EM with a single Newton step for the gate and for experts that are not normal, halved until L falls.

    It has EM's fixed points, not its rate. For softmax mixtures.
    """

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
                if self.evaluate(full, law).objective <= at.objective + rounding(self, theta, law).objective:
                    return full
                raise DegenerateError(f"{self.model.name}: no part of the Newton step decreases L")
