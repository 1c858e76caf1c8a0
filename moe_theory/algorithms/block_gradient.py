"""Gradient EM predictor by predictor: steps of their own for experts and gate, the posterior renewed between them."""

from __future__ import annotations

import numpy as np

from moe_theory.algorithms.base import Algorithm
from moe_theory.evaluation import Evaluation
from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.validation import Array


class BlockGradientEM(Algorithm):
    """One gradient step on Q(·|θ) per predictor, each of length 1/λ_max of the predictor's own block of ∇²A(θ).

    alternate: the posterior is renewed after every predictor's step (in the model's order of predictors): block
    coordinate descent on L, one pass over the rows per predictor. Otherwise all take theirs from the same posterior:
    gradient descent on L in a metric that is constant on each predictor (Fisher's identity), one pass in all.
    Alternating *without* renewing the posterior is that too, where Q separates.
    """

    monotone = False

    def __init__(self, model: Model, alternate: bool = True) -> None:
        super().__init__(model)
        self.alternate = bool(alternate)

    def step(self, theta: Array, law: Law) -> Array:
        """A step of every predictor."""
        at = self.evaluate(theta, law)
        for j in range(len(self.model.predictors)):
            if self.alternate and j:
                at = self.evaluate(theta, law)
            theta = theta + self._move(at, law, j)
        return theta

    def _move(self, at: Evaluation, law: Law, j: int) -> Array:
        """What predictor j moves by, (m, d), 0 for the others."""
        mask = np.zeros(at.theta.shape, dtype=bool)
        mask[j] = True
        own = self.model.free(mask)
        out = np.zeros(at.theta.shape)
        if own.any():  # else nothing of it is learnt
            block = at.metric(self.model, law)[np.ix_(own, own)]
            out[j] = -at.gradient[j] / float(np.linalg.eigvalsh(block)[-1])
        return out
