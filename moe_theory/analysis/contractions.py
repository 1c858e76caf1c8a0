"""Contractions near a stationary point of EM, gradient EM and gradient descent, from two matrices there.

C = ∇²A(θ*), the complete data's information, and H = ∇²L(θ*) = C - I_{z|x,y}, the observed one. Every method's map has
a Jacobian in C and H; its spectral radius ρ is the contraction of the iterates, ρ² that of the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.operators import missing_information_matrix
from moe_theory.validation import Array, positive_number, whole_number


@dataclass(frozen=True, eq=False)
class Curvature:
    """complete: C, hessian: H, (p, p) on the learnt entries. blocks: positions of each predictor's entries."""

    complete: Array
    hessian: Array
    blocks: tuple[Array, ...]

    @classmethod
    def at(cls, model: Model, law: Law, theta: ArrayLike) -> Curvature:
        """At θ, (m, d), under the law; InputError if θ has the wrong shape."""
        point = model.check_theta("theta", theta, law.dimension)
        law, local, coordinates = law.reduce(model, point)
        point = point if coordinates is None else coordinates.project(point)
        m = missing_information_matrix(local, law, point)
        owner = local.free(np.repeat(np.arange(len(point))[:, None], point.shape[1], axis=1))
        blocks = tuple(np.flatnonzero(owner == j) for j in range(len(point)))
        return cls(m.complete, m.complete - m.missing, blocks)

    @property
    def smoothness(self) -> float:
        """λ_max(H); constant steps of gradient descent are given in units of its inverse."""
        return float(np.linalg.eigvalsh(self.hessian)[-1])

    @property
    def condition(self) -> float:
        """λ_max(H)/λ_min(H)."""
        values = np.linalg.eigvalsh(self.hessian)
        return float(values[-1] / values[0])

    def em(self) -> float:
        """ρ(I - C⁻¹H) = λ_max(M) (Dempster, Laird and Rubin 1977)."""
        return _radius(self._identity - np.linalg.solve(self.complete, self.hessian))

    def gradient_descent(self, step: float) -> float:
        """ρ(I - step H), a constant step."""
        return _radius(self._identity - positive_number("step", step) * self.hessian)

    def gradient_em(self, inner: int, step: float | None = None) -> float:
        """ρ(I - (I - (I - sC)^k) C⁻¹H) for k inner steps of length s with the posterior frozen; s: by default
        1/λ_max(C). k = 1 is gradient descent with step s, k → ∞ is EM."""
        whole_number("inner", inner, least=1)
        size = 1 / float(np.linalg.eigvalsh(self.complete)[-1]) if step is None else positive_number("step", step)
        left = np.linalg.matrix_power(self._identity - size * self.complete, inner)
        return _radius(self._identity - (self._identity - left) @ np.linalg.solve(self.complete, self.hessian))

    def block_gradient_em(self, alternate: bool, steps: Sequence[float] | None = None) -> float:
        """ρ(I - DH), D the predictors' own steps (by default 1/λ_max of their blocks of C); alternate: ρ of the product
        of I - D_j H, D_j the step of predictor j and 0 elsewhere, the first predictor's on the right."""
        sizes = steps or [1 / float(np.linalg.eigvalsh(self.complete[np.ix_(b, b)])[-1]) for b in self.blocks]
        whole, product = np.zeros(len(self.hessian)), self._identity
        for size, block in zip(sizes, self.blocks, strict=True):
            own = np.zeros(len(self.hessian))
            own[block] = positive_number("steps", size)
            whole += own
            product = (self._identity - own[:, None] * self.hessian) @ product
        return _radius(product if alternate else self._identity - whole[:, None] * self.hessian)

    @property
    def _identity(self) -> Array:
        return np.eye(len(self.hessian))


def _radius(jacobian: Array) -> float:
    return float(np.max(np.abs(np.linalg.eigvals(jacobian))))
