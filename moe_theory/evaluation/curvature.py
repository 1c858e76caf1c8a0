"""What is known of the curvature of one part of Q: its Hessian, its diagonal, or the labels' shares of the rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from moe_theory.errors import SingularError
from moe_theory.validation import Array


class Curvature(ABC):
    """A positive definite matrix M on a part's coefficients, (p, p), that is or stands for -Q's Hessian."""

    @property
    def hessian(self) -> Array | None:
        """-Q's Hessian, (p, p), if it was formed."""
        return None

    @property
    @abstractmethod
    def dense(self) -> Array:
        """M, (p, p)."""

    @abstractmethod
    def solve(self, g: Array) -> Array:
        """M^{-1} g, (p,); SingularError where M is singular to rounding."""

    @abstractmethod
    def norm(self, v: Array) -> float:
        """√(v'Mv)."""

    @abstractmethod
    def ridged(self, ridge: Array) -> Curvature:
        """With a ridge added, (d, d), on each of the part's predictors."""


@dataclass(frozen=True, eq=False)
class Whole(Curvature):
    """The Hessian itself, (p, p)."""

    matrix: Array

    @property
    def hessian(self) -> Array:
        return self.matrix

    @property
    def dense(self) -> Array:
        return self.matrix

    def solve(self, g: Array) -> Array:
        return scaled_solve(self.matrix, g)

    def norm(self, v: Array) -> float:
        return float(np.sqrt(max(0.0, float(v @ self.matrix @ v))))

    def ridged(self, ridge: Array) -> Whole:
        return Whole(self.matrix + repeated(ridge, len(self.matrix))) if np.any(ridge) else self


@dataclass(frozen=True, eq=False)
class Diagonal(Curvature):
    """The Hessian's diagonal, (p,)."""

    values: Array

    @property
    def dense(self) -> Array:
        return np.diag(self._scale)

    @property
    def _scale(self) -> Array:
        return np.maximum(self.values, 1e-12 * float(np.max(self.values)))

    def solve(self, g: Array) -> Array:
        return g / self._scale

    def norm(self, v: Array) -> float:
        return float(np.sqrt(v @ (self._scale * v)))

    def ridged(self, ridge: Array) -> Diagonal:
        return Diagonal(self.values + np.diagonal(repeated(ridge, len(self.values))))


@dataclass(frozen=True, eq=False)
class Shares(Curvature):
    """Of a gate over k labels: grams W_z = Σ weight P(z|x) xx', (k, d, d), at a cost linear in k; a ridge R, (d, d).

    v'Mv = min_c Σ_z (v_z - c)'W_z(v_z - c) + Σ_z v_z'R v_z, v of the first label 0, bounds the Hessian E[Var_{z|x}
    v_z'x] + ridge from above: it lets the shift c, which the gate does not see, be linear in x instead of any
    function of it. Both are equal where P(z|x) does not depend on x. M = diag(W + R) - W G^{-1} W', G = Σ_z W_z, so
    that by Woodbury M^{-1} = diag(W + R)^{-1} + U C^{-1} U', U_z = (W_z + R)^{-1} W_z, C = W_1 + Σ_z W_z (W_z +
    R)^{-1} R.
    """

    grams: Array
    ridge: Array

    @property
    def dense(self) -> Array:
        k, d = self.grams.shape[:2]
        stacked = self.grams[1:].reshape((k - 1) * d, d)
        shared = stacked @ scaled_solve(np.sum(self.grams, axis=0), stacked.T)
        return scipy.linalg.block_diag(*self.grams[1:]) - shared + repeated(self.ridge, (k - 1) * d)

    def solve(self, g: Array) -> Array:
        own = g.reshape(-1, len(self.ridge))
        if not np.any(self.ridge):
            shift = scaled_solve(self.grams[0], np.sum(own, axis=0))
            return np.concatenate([scaled_solve(w, row) + shift for w, row in zip(self.grams[1:], own, strict=True)])
        ridged = [w + self.ridge for w in self.grams[1:]]
        through = [scaled_solve(m, w) for m, w in zip(ridged, self.grams[1:], strict=True)]
        inner = self.grams[0] + sum((self.ridge @ u).T for u in through)
        seen = np.sum([u.T @ r for u, r in zip(through, own, strict=True)], axis=0)
        shift = scaled_solve((inner + inner.T) / 2, seen)
        return np.concatenate(
            [scaled_solve(m, row) + u @ shift for m, u, row in zip(ridged, through, own, strict=True)]
        )

    def norm(self, v: Array) -> float:
        free = v.reshape(-1, len(self.ridge))
        own = np.vstack([np.zeros((1, self.grams.shape[1])), free])
        moved = np.einsum("zij,zj->zi", self.grams, own)
        shift = scaled_solve(np.sum(self.grams, axis=0), np.sum(moved, axis=0))
        size = float(np.sum(own * moved) - shift @ np.sum(moved, axis=0)) + float(np.sum(free @ self.ridge * free))
        return float(np.sqrt(max(0.0, size)))

    def ridged(self, ridge: Array) -> Shares:
        return Shares(self.grams, self.ridge + ridge)


def repeated(ridge: Array, size: int) -> Array:
    """A ridge, (d, d), on each of a part's predictors, (size, size)."""
    return np.kron(np.eye(size // len(ridge)), ridge) if len(ridge) else np.zeros((size, size))


def scaled_solve(matrix: Array, g: Array) -> Array:
    """matrix^{-1} g, (p,) or (p, q), for a positive definite matrix, scaled to unit diagonal on the way; SingularError
    otherwise."""
    try:
        scale = np.sqrt(np.diagonal(matrix))
        if not (np.isfinite(scale).all() and np.all(scale > 0)):
            raise np.linalg.LinAlgError
        factor = scipy.linalg.cho_factor(matrix / np.outer(scale, scale))
        return np.asarray(scipy.linalg.cho_solve(factor, (g.T / scale).T).T / scale).T
    except (np.linalg.LinAlgError, ValueError) as error:
        raise SingularError("singular curvature (saturated, or features without full rank)") from error
