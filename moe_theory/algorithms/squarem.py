"""Acceleration of EM that keeps its fixed points and never raises L."""

from __future__ import annotations

from typing import Any

import numpy as np

from moe_theory.algorithms.base import Algorithm
from moe_theory.algorithms.em import EM
from moe_theory.errors import DegenerateError
from moe_theory.evaluation import Evaluation
from moe_theory.evaluation.layout import require_layout
from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.validation import Array

TRIALS = 4  # extrapolations tried before a plain step is taken


class Squarem(Algorithm):
    """Squared extrapolation of an EM algorithm (Varadhan and Roland, Scand. J. Statist. 2008, scheme S3).

    From θ, θ₁ = EM(θ), θ₂ = EM(θ₁), r = θ₁ - θ, v = θ₂ - 2θ₁ + θ it moves to EM(θ + 2sr + s²v) with s = ‖r‖/‖v‖ in the
    metric of the complete data's information. Safeguard: an extrapolation is taken only if L there is at most L(θ₁),
    else s goes half the way to 1; s = 1 is two steps of EM. One step costs three of EM's.
    """

    def __init__(self, inner: EM) -> None:
        super().__init__(inner.model, inner.penalty)
        self.inner = inner

    @property
    def name(self) -> str:
        return f"SQUAREM of {self.inner.name}"

    @property
    def inner_residual(self) -> float:
        """Of the last M-step."""
        return self.inner.inner_residual

    @property
    def held(self) -> Array | None:  # type: ignore[override]
        """Of the last EM step."""
        return self.inner.held

    def unattained(self, theta: Array, law: Law) -> DegenerateError | None:
        """Of the last EM step."""
        return self.inner.unattained(theta, law)

    def evaluate(self, theta: Array, law: Law) -> Evaluation:
        """As the accelerated algorithm's, which keeps the last one."""
        return self.inner.evaluate(theta, law)

    def localised(self, model: Model) -> Algorithm:
        """The same algorithm for the model in reduced coordinates."""
        other: Any = super().localised(model)
        other.inner = self.inner.localised(model)
        return other

    def step(self, theta: Array, law: Law) -> Array:
        """Two EM steps, an extrapolation and an EM step from there."""
        metric = self.evaluate(theta, law).metric(self.model, law)
        first = self.inner.step(theta, law)
        bound = self.evaluate(first, law).objective
        second = self.inner.step(first, law)
        free = self.model.free
        start, r = free(theta), free(first - theta)
        v = free(second - first) - r
        curvature = float(v @ metric @ v)
        length = float(np.sqrt(max(float(r @ metric @ r), 0.0) / curvature)) if curvature > 0 else 1.0
        for _ in range(TRIALS):
            if not length > 1:
                break
            trial = self.model.filled(start + 2 * length * r + length**2 * v, theta.shape[1])
            if self.penalty:
                trial = self.penalty.feasible(require_layout(self.model, law), trial)
            try:
                if self.evaluate(trial, law).objective <= bound:
                    return self.inner.step(trial, law)
            except DegenerateError:
                # The extrapolation has no M-step; that says nothing of EM's own path, nor may what EM remembers of it.
                second = self.inner.step(first, law)
            length = (1 + length) / 2 if length > 1.01 else 1.0
        return second
