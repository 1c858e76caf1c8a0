"""Array kernels of the experts' families: all labels at once, without overflow, sharing what E-step and M-step need.

eta has shape (k, q, n): k labels, q predictors each, n rows. Log densities leave out the base measure, which does not
depend on the parameters (`base` gives it).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy.special import gammaln

from moe_theory.validation import Array

LOG_TWO_PI = float(np.log(2 * np.pi))


class Family(ABC):
    """One expert's law of y given its q linear predictors."""

    #: True where a weighted least squares problem is all there is to an expert's M-step
    quadratic = False

    def base(self, y: Array) -> Array | float:
        """log h(y): (n,) or one number."""
        return 0.0

    @abstractmethod
    def log_density(self, y: Array, eta: Array) -> tuple[Array, Array]:
        """(log p(y|η) - log h(y), (k, n); the residual y - E[y|η], (k, q, n))."""

    def residual(self, y: Array, eta: Array) -> Array:
        """y - E[y|η] alone, (k, q, n)."""
        return y - self.mean(eta)

    @abstractmethod
    def curvature(self, y: Array, residual: Array) -> list[tuple[int, int, Array]]:
        """-∂² log p/∂η_a∂η_b as (a, b, (k, n)) for a <= b, from the residual."""

    @abstractmethod
    def mean(self, eta: Array) -> Array:
        """E[y|η] (class probabilities of a multinomial), (k, 1, n) or (k, C, n)."""


class Gaussian(Family):
    """In units of sigma: log density -e²/2 with e = y - η, to be divided by sigma² by the caller."""

    quadratic = True

    def base(self, y: Array) -> float:
        return -LOG_TWO_PI / 2

    def log_density(self, y: Array, eta: Array) -> tuple[Array, Array]:
        residual = y - eta
        return -0.5 * residual[:, 0] * residual[:, 0], residual

    def curvature(self, y: Array, residual: Array) -> list[tuple[int, int, Array]]:
        return [(0, 0, np.ones_like(residual[:, 0]))]

    def mean(self, eta: Array) -> Array:
        return eta


class Binomial(Family):
    """y in {0, 1} with P(y=1) = σ(η)."""

    def log_density(self, y: Array, eta: Array) -> tuple[Array, Array]:
        decay = np.exp(-np.abs(eta))
        growth = 1.0 + decay
        # log σ(±η) is minus the positive part of ∓η, minus log(1 + e^{-|η|}).
        log_density = np.minimum((2.0 * y - 1.0) * eta, 0.0) - np.log(growth)
        return log_density[:, 0], y - np.where(eta >= 0, 1.0, decay) / growth

    def curvature(self, y: Array, residual: Array) -> list[tuple[int, int, Array]]:
        mean = y - residual[:, 0]
        return [(0, 0, mean * (1.0 - mean))]

    def mean(self, eta: Array) -> Array:
        decay = np.exp(-np.abs(eta))
        return np.where(eta >= 0, 1.0, decay) / (1.0 + decay)


LARGEST = 700.0  # log-mean of a count


class Poisson(Family):
    """Counts with log-mean η."""

    def base(self, y: Array) -> Array:
        return -gammaln(y + 1.0)

    def log_density(self, y: Array, eta: Array) -> tuple[Array, Array]:
        mean = self.mean(eta)
        return (y * eta - mean)[:, 0], y - mean

    def curvature(self, y: Array, residual: Array) -> list[tuple[int, int, Array]]:
        return [(0, 0, y - residual[:, 0])]

    def mean(self, eta: Array) -> Array:
        return np.exp(np.minimum(eta, LARGEST))  # finite, so that a row without weight adds nothing


class Multinomial(Family):
    """y in {0, …, C-1} with logits (0, η_1, …, η_{C-1}); the residual is 1[y=c] - P(y=c), c >= 1."""

    def log_density(self, y: Array, eta: Array) -> tuple[Array, Array]:
        top = np.maximum(np.max(eta, axis=1), 0.0)
        residual = np.exp(eta - top[:, None])
        size = np.sum(residual, axis=1) + np.exp(-top)
        residual /= -size[:, None]
        rows = np.flatnonzero(y)
        classes = y[rows].astype(np.intp) - 1
        log_density = -top - np.log(size)
        log_density[:, rows] += eta[:, classes, rows]
        residual[:, classes, rows] += 1
        return log_density, residual

    def residual(self, y: Array, eta: Array) -> Array:
        return _hits(y, eta.shape[1]) - self.mean(eta)[:, 1:]

    def curvature(self, y: Array, residual: Array) -> list[tuple[int, int, Array]]:
        q = residual.shape[1]
        p = _hits(y, q) - residual
        return [(a, b, p[:, a] * ((a == b) - p[:, b])) for a in range(q) for b in range(a, q)]

    def mean(self, eta: Array) -> Array:
        scores = np.concatenate([np.zeros_like(eta[:, :1]), eta], axis=1)
        scores = np.exp(scores - np.max(scores, axis=1, keepdims=True))
        return scores / np.sum(scores, axis=1, keepdims=True)


def _hits(y: Array, q: int) -> Array:
    """1[y = c] for c = 1 … q, (q, n)."""
    return (y == np.arange(1, q + 1)[:, None]).astype(float)


BY_NAME: dict[str, Family] = {
    "gaussian": Gaussian(),
    "binomial": Binomial(),
    "poisson": Poisson(),
    "multinomial": Multinomial(),
}
