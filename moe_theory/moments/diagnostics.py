"""Whether data look like the theory's: is x Gaussian, do moments vanish that must."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from moe_theory.errors import InputError
from moe_theory.moments.plain import PlainMoments
from moe_theory.moments.polynomials import Polynomials
from moe_theory.moments.source import Source, Whitening, weights_of
from moe_theory.validation import Array

FAR = 4.0  # standard errors beyond which a moment of x is not a Gaussian's
SHARE = 0.05  # departure of x's fourth moment, relative, below which it is near enough to a Gaussian's
DRAWS = 999  # of the bootstrap
CHANCE = 1e-4  # of whitening features that are N(0, I)
SINGULAR = 1e-12  # eigenvalue of the features' correlations, beside which rounding counts
ENTRIES = 500  # of a moment that are drawn at once


@dataclass(frozen=True, eq=False)
class Features:
    """The law of x as the sample shows it.

    mean, covariance: (d,), (d, d). mean_z: the largest entry of the mean, in standard errors of its own. covariance_z:
    largest departure from I of an entry, in standard errors under N(0, I). kurtosis: Mardia's
    E[((x-m)'S^{-1}(x-m))²]/(d(d+2)), 1 of a Gaussian; kurtosis_z: its departure from it in standard errors
    √(8/(d(d+2)n)) (Mardia, Biometrika 1970). skewness_z, tails_z: the largest of a single whitened coordinate's third
    and fourth moments, in standard errors.
    """

    rows: int
    mean: Array
    covariance: Array
    mean_z: float
    covariance_z: float
    kurtosis: float
    kurtosis_z: float
    skewness: float
    skewness_z: float
    tails: float
    tails_z: float

    @property
    def standard(self) -> bool:
        """Whether mean and covariance are as of N(0, I)."""
        return self.centred and self.scaled

    @property
    def scaled(self) -> bool:
        """Whether the covariance is as of N(·, I)."""
        return self.covariance_z <= _largest(len(self.mean) * (len(self.mean) + 1) / 2)

    @property
    def centred(self) -> bool:
        """Whether the mean is as of N(0, ·)."""
        return self.mean_z <= _largest(len(self.mean))

    @property
    def whitening(self) -> Whitening:
        """To standard coordinates, with the sample's covariance; its mean only where it is not 0."""
        return Whitening(np.zeros_like(self.mean) if self.centred else self.mean, self._inverse_root)

    @property
    def full_whitening(self) -> Whitening:
        """The same with the sample's mean in any case."""
        return Whitening(self.mean, self._inverse_root)

    @cached_property
    def _inverse_root(self) -> Array:
        return _standardising(self.covariance)

    @property
    def far(self) -> str | None:
        """What is far from Gaussian, with its statistic; None where nothing is."""
        if self.kurtosis_z > FAR and abs(self.kurtosis - 1) > SHARE:
            return f"Mardia's kurtosis is {self.kurtosis:.3f} of a Gaussian's (z = {self.kurtosis_z:.1f})"
        if self.skewness_z > FAR + 1 and self.skewness > SHARE:
            return f"a coordinate's skewness is {self.skewness:.3f} (z = {self.skewness_z:.1f})"
        if self.tails_z > FAR + 1 and abs(self.tails - 1) > SHARE:
            return f"a coordinate's kurtosis is {self.tails:.3f} of a Gaussian's (z = {self.tails_z:.1f})"
        return None


def _largest(count: float) -> float:
    """What the largest of so many independent |N(0, 1)| exceeds by chance in one sample of ten thousand: what is taken
    from a sample by whitening is no longer the user's model."""
    from scipy.special import ndtri

    return float(-ndtri(CHANCE / (2 * count)))


def _standardising(covariance: Array) -> Array:
    """R^{-1/2} diag(s)^{-1}, (d, d), s standard deviations, R the correlations: features' units do not matter to its
    digits, as they would to those of covariance^{-1/2}. InputError where R is singular."""
    spread = np.sqrt(np.diagonal(covariance))
    values, vectors = np.linalg.eigh(covariance / spread / spread[:, None])
    if values[0] < SINGULAR:
        column = int(np.argmax(np.abs(vectors[:, 0])))
        raise InputError(
            f"x: expected features that vary by themselves, but column {column} is a constant and a linear combination"
            " of the others"
        )
    return (vectors / np.sqrt(values)) @ vectors.T / spread


def features_of(source: Source) -> Features:
    """By two passes over the rows; InputError where x has no covariance of full rank."""
    total, rows, d = 0.0, 0, source.dimension
    shift, first, second = np.zeros(d), np.zeros(d), np.zeros((d, d))
    for _, block in source:
        if rows == 0 and len(block.y):
            shift = np.mean(block.x, axis=1)  # squares are summed about it: a large mean would leave them no digits
        w, away = weights_of(block), block.x - shift[:, None]
        total, rows = total + float(np.sum(w)), rows + len(w)
        first += away @ w
        second += (away * w) @ away.T
    if rows == 0:
        raise InputError("x: expected rows, got none")
    mean = shift + first / total
    covariance = second / total - np.outer(first / total, first / total)
    spread = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    if rows <= d:
        raise InputError(f"x: expected more rows than features, got {rows} rows and {d} features")
    if np.any(spread <= 1e-7 * np.abs(mean)):
        raise InputError("x: expected features that vary, each more than 1e-7 of its mean; leave out constant ones")
    white = Whitening(mean, _standardising(covariance))
    fourth, thirds, fourths = 0.0, np.zeros(d), np.zeros(d)
    for _, block in source:
        z, w = white(block.x), weights_of(block)
        squares = z * z
        fourth += float(w @ np.sum(squares, axis=0) ** 2)
        thirds += (squares * z) @ w
        fourths += (squares * squares) @ w
    root = np.sqrt(rows)
    kurtosis = fourth / total / (d * (d + 2))
    skewness, tails = thirds / total, fourths / total / 3
    worst = int(np.argmax(np.abs(tails - 1)))
    own = (covariance - np.eye(d)) * root / np.sqrt(1 + np.eye(d))
    return Features(
        rows,
        mean,
        covariance,
        float(np.max(np.abs(mean) / spread)) * root,
        float(np.max(np.abs(own))),
        kurtosis,
        float(abs(kurtosis - 1) / np.sqrt(8 / (d * (d + 2) * rows))),
        float(np.max(np.abs(skewness))),
        float(np.max(np.abs(skewness)) * root / np.sqrt(6)),
        float(tails[worst]),
        float(abs(tails[worst] - 1) * root / np.sqrt(24 / 9)),
    )


@dataclass(frozen=True)
class Vanishing:
    """A moment that must be 0: its name, the statistic Σ (entry/standard error)², how many entries, its p-value by the
    bootstrap, and the one that χ² would give.

    Neither is exact, as P₃(y) has heavy tails: on data of the model the bootstrap's 5 % came out as 2 to 11 % with
    thousands of rows and linear or sigmoid experts, 16 % with ReLU, 0 for E[P₃S₂] of 20 features; those of χ² as 5 to
    12, 22 and 19 %.
    """

    name: str
    statistic: float
    entries: int
    p: float
    naive: float


def vanishing_moments(moments: PlainMoments, p: Polynomials, estimated: bool, seed: int = 0) -> tuple[Vanishing, ...]:
    """E[P₃(y)x], E[P₃(y)S₂(x)] and E[P₂(y)x], which are 0 in the theory's model, tested.

    The bootstrap draws groups of rows with replacement, as many as there are, and compares the statistic with its own
    law about the sample's moments; estimated: σ² is estimated anew in each draw.
    """
    from scipy.special import gammaincc

    rng = np.random.default_rng(seed)
    powers = np.array([s.powers for s in moments.seconds.groups])
    d = moments.source.dimension
    upper = np.triu_indices(d)
    linear = np.array([s.linear for s in moments.seconds.groups])
    square = np.array([s.square[:, upper[0], upper[1]] for s in moments.seconds.groups])
    count = len(powers)
    draws = rng.multinomial(count, np.full(count, 1 / count), DRAWS).astype(float)
    every = np.vstack([np.ones((1, count)), draws, np.ones((count, count)) - np.eye(count)])
    variance = np.full(len(every), p.variance)
    total = every @ powers
    if estimated:
        variance = total[:, 2] / total[:, 0] - p.square
    third = np.tile(p.at(0.0).third, (len(every), 1))
    third[:, 1] -= 3 * variance
    second = np.tile(np.append(p.second, 0.0), (len(every), 1))
    found = []
    for name, polynomial, sums in (
        ("E[P₃(y)x]", third, linear),
        ("E[P₃(y)S₂(x)]", third, square),
        ("E[P₂(y)x]", second, linear),
    ):
        centred = polynomial.copy()
        centred[:, 0] -= np.sum(polynomial * total[:, :4], axis=1) / total[:, 0]
        entries, statistic, boot = sums.shape[2], 0.0, np.zeros(DRAWS)
        for first in range(0, entries, ENTRIES):
            part = sums[:, :, first : first + ENTRIES]
            values = sum(centred[:, j, None] * (every @ part[:, j]) for j in range(4)) / total[:, :1]
            away = values[1 + DRAWS :] - np.mean(values[1 + DRAWS :], axis=0)
            errors = np.sqrt((count - 1) / count * np.sum(away**2, axis=0))
            statistic += float(np.sum((values[0] / errors) ** 2))
            boot += np.sum(((values[1 : 1 + DRAWS] - values[0]) / errors) ** 2, axis=1)
        share = float((1 + np.sum(boot >= statistic)) / (1 + DRAWS))
        found.append(Vanishing(name, statistic, entries, share, float(gammaincc(entries / 2, statistic / 2))))
    return tuple(found)
