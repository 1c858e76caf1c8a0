"""Array kernels of the experts' families: all labels at once, without overflow, sharing what E-step and M-step need.

eta has shape (k, q, n): k labels, q predictors each, n rows. Log densities leave out the base measure, which does not
depend on the parameters (`base` gives it); of counts it is the log density at the best of all means, y itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from moe_theory.evaluation import twofold
from moe_theory.validation import Array

LOG_TWO_PI = float(np.log(2 * np.pi))


class Family(ABC):
    """One expert's law of y given its q linear predictors."""

    #: True where a weighted least squares problem is all there is to an expert's M-step
    quadratic = False

    def base(self, y: Array) -> Array | float:
        """log h(y): (n,) or one number."""
        return 0.0

    def exacting(self, y: Array) -> bool:
        """Whether log p needs η to more than its rounding."""
        return False

    @abstractmethod
    def log_density(self, y: Array, eta: Array, lost: Array | float = 0.0) -> tuple[Array, Array]:
        """(log p(y|η) - log h(y), (k, n); the residual y - E[y|η], (k, q, n)). lost: what η is short of the predictors,
        where that is known because the family is `exacting`."""

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

    def log_density(self, y: Array, eta: Array, lost: Array | float = 0.0) -> tuple[Array, Array]:
        residual = y - eta
        return -0.5 * residual[:, 0] * residual[:, 0], residual

    def curvature(self, y: Array, residual: Array) -> list[tuple[int, int, Array]]:
        return [(0, 0, np.ones_like(residual[:, 0]))]

    def mean(self, eta: Array) -> Array:
        return eta


class Binomial(Family):
    """y in {0, 1} with P(y=1) = σ(η)."""

    def log_density(self, y: Array, eta: Array, lost: Array | float = 0.0) -> tuple[Array, Array]:
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


MOST = 2.0**53  # of a count: beyond it doubles skip whole numbers
EXACTING = 1e5  # counts from which on the rounding of η costs digits of log p
NEAR = 0.25  # δ up to which e^δ - 1 - δ is summed by its series
STEEP = 15  # counts up to which Stirling's remainder is looked up
#: log y! - (y + 1/2) log y + y - log(2π)/2 of y = 0 … 15 (of 0: 0, as is log 0!)
STIRLING = np.array(
    [
        *(0.0, 0.08106146679532726, 0.0413406959554093, 0.02767792568499834),
        *(0.020790672103765093, 0.016644691189821193, 0.013876128823070748, 0.01189670994589177),
        *(0.010411265261972096, 0.009255462182712733, 0.00833056343336287, 0.007573675487951841),
        *(0.00694284010720953, 0.006408994188004207, 0.0059513701127588475, 0.005554733551962801),
    ]
)


class Poisson(Family):
    """Counts with log-mean η, by their deviance: log p = log p at the mean y, less y (e^δ - 1 - δ) with δ = η - log y
    (Loader, Fast and accurate computation of binomial probabilities, 2000). y η - e^η - log y! would lose y log y."""

    def base(self, y: Array) -> Array:
        least = np.maximum(y, 1.0)
        inverse = 1 / np.maximum(y, STEEP + 1.0)
        square, series = inverse**2, np.zeros_like(inverse)
        for term in (-691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12):
            series = series * square + term
        known = STIRLING[np.minimum(y, STEEP).astype(np.intp)]
        remainder = np.where(y > STEEP, series * inverse, known)
        return np.where(y > 0, -(LOG_TWO_PI + np.log(least)) / 2 - remainder, 0.0)

    def exacting(self, y: Array) -> bool:
        return bool(np.max(y, initial=0.0) > EXACTING)

    def log_density(self, y: Array, eta: Array, lost: Array | float = 0.0) -> tuple[Array, Array]:
        eta = np.minimum(eta, LARGEST)  # finite, so that a row without weight adds nothing
        scale = np.maximum(y, 1.0)  # of y = 0 δ is η, and e^η what log p is short of 0
        if self.exacting(y):
            log_y, rest = twofold.log(scale)
            apart, more = twofold.two_sum(eta, -log_y)
            apart += more + (lost - rest)
            growth = np.expm1(apart)
            near = np.abs(apart) < NEAR
            excess = np.where(near, _excess(np.where(near, apart, 0.0)), growth - apart)
        else:
            apart = eta - np.log(scale)
            growth = np.expm1(apart)
            excess = growth - apart
        none = np.flatnonzero(y == 0)
        if len(none):
            growth[..., none] += 1
            excess[..., none] = growth[..., none]
        excess *= -scale
        growth *= -scale
        return excess[:, 0], growth

    def curvature(self, y: Array, residual: Array) -> list[tuple[int, int, Array]]:
        return [(0, 0, y - residual[:, 0])]

    def mean(self, eta: Array) -> Array:
        return np.exp(np.minimum(eta, LARGEST))  # finite, so that a row without weight adds nothing


def _excess(t: Array) -> Array:
    """e^t - 1 - t without cancellation, for |t| < NEAR."""
    out = np.ones_like(t)
    for i in range(14, 2, -1):
        out = 1 + out * t / i
    return out * t * t / 2


class Multinomial(Family):
    """y in {0, …, C-1} with logits (0, η_1, …, η_{C-1}); the residual is 1[y=c] - P(y=c), c >= 1."""

    def log_density(self, y: Array, eta: Array, lost: Array | float = 0.0) -> tuple[Array, Array]:
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
