"""P₂ and P₃ in numbers, as the estimators use them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moe_theory.moments.transforms import Transform
from moe_theory.validation import Array


@dataclass(frozen=True)
class Polynomials:
    """P₃(y) = y³ + αy² + (β - 3σ²)y and P₂(y) = y² + γy of a transform at σ = 0, at a variance of the noise.

    c2, c3: by which the moments are divided. square: E g(Z)², so that σ² = E y² - square. variance: σ²; where it was
    estimated it may come out negative, which says that ‖a_i‖ = 1 does not hold (with linear g any common norm will do:
    only E y² = ‖a‖² + σ² enters).
    """

    alpha: float
    beta: float
    gamma: float
    c2: float
    c3: float
    square: float
    variance: float

    @classmethod
    def of(cls, transform: Transform, variance: float) -> Polynomials:
        """Of a transform derived at σ = 0."""
        v = transform.values
        return cls(v.alpha, v.beta, v.gamma, v.c2, v.c3, v.square, variance)

    def at(self, variance: float) -> Polynomials:
        """At another variance of the noise."""
        return Polynomials(self.alpha, self.beta, self.gamma, self.c2, self.c3, self.square, variance)

    @property
    def second(self) -> Array:
        """P₂'s coefficients of 1, y, y²."""
        return np.array([0.0, self.gamma, 1.0])

    @property
    def third(self) -> Array:
        """P₃'s coefficients of 1, y, y², y³."""
        return np.array([0.0, self.beta - 3 * self.variance, self.alpha, 1.0])
