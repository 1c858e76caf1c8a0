"""The methods of the synthetic experiment: how each is run, and the contraction that theory predicts for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moe_theory.algorithms import EM, Algorithm, BlockGradientEM, GradientDescent, GradientEM
from moe_theory.analysis.contractions import Curvature
from moe_theory.model import Model

INNER = 5  # inner steps of gradient EM that is between EM and gradient descent
STEPS = (0.5, 1.0, 1.5, 1.75, 1.9, 1.98)  # constant steps tried, in units of 1/λ_max(∇²L) at the maximum


@dataclass(frozen=True)
class Method:
    """label: for readers. make(model, length): a fresh one, `length` the constant step where it takes one.
    predicted(curvature, length): the contraction of the iterates near the maximum, None where no map is fixed. passes:
    that an iteration takes at least. tuned: run with every step of a grid, the best one shown.
    """

    name: str
    label: str
    make: Callable[[Model, float], Algorithm]
    predicted: Callable[[Curvature, float], float] | None
    passes: int = 1
    tuned: bool = False

    def contraction(self, curvature: Curvature, length: float) -> float:
        """As predicted; not a number where nothing is."""
        return self.predicted(curvature, length) if self.predicted else float("nan")


METHODS = {
    method.name: method
    for method in (
        Method("em", "EM", lambda m, s: EM(m), lambda c, s: c.em(), passes=2),
        Method(
            "gradient-em-5",
            f"gradient EM, {INNER} inner steps",
            lambda m, s: GradientEM(m, inner=INNER),
            lambda c, s: c.gradient_em(INNER),
            passes=INNER,
        ),
        Method(
            "alternating",
            "gradient EM, alternating",
            lambda m, s: BlockGradientEM(m),
            lambda c, s: c.block_gradient_em(alternate=True),
            passes=2,
        ),
        Method(
            "own-steps",
            "gradient EM, own step sizes",
            lambda m, s: BlockGradientEM(m, alternate=False),
            lambda c, s: c.block_gradient_em(alternate=False),
        ),
        Method(
            "gradient-em",
            "gradient EM = GD",
            lambda m, s: GradientEM(m),
            lambda c, s: c.gradient_em(1),
        ),
        Method(
            "gd",
            "GD, best constant step",
            lambda m, s: GradientDescent(m, step=s),
            lambda c, s: c.gradient_descent(s),
            tuned=True,
        ),
        Method("gd-backtracking", "GD, backtracking", lambda m, s: GradientDescent(m), None, passes=2),
    )
}
POPULATION = ("em", "gradient-em-5", "gradient-em", "gd")  # the methods run on the population, too


def best_step(curvature: Curvature) -> float:
    """2/(λ_min + λ_max) of ∇²L: the constant step with the least contraction near the maximum."""
    values = np.linalg.eigvalsh(curvature.hessian)
    return float(2 / (values[0] + values[-1]))
