"""Expectation–maximisation, exact."""

from __future__ import annotations

from moe_theory.algorithms.base import Algorithm
from moe_theory.algorithms.mirror import inverse_mirror
from moe_theory.laws.rows import Law
from moe_theory.validation import Array


class EM(Algorithm):
    """θ⁺ = argmin_φ Q(φ|θ), Q(φ|θ) = -E[E_{z|x,y;θ} log p(y,z|x;φ)] (Dempster, Laird and Rubin 1977).

    For a flat model Q(φ|θ) = A(φ) - ⟨E[E[s|x,y;θ] ⊗ x], φ⟩ + const, so the M-step matches the mean of the statistic.
    """

    def step(self, theta: Array, law: Law) -> Array:
        """One E-step and one exact M-step."""
        at = self.evaluate(theta, law)
        return inverse_mirror(self.model, law, at.target, at)
