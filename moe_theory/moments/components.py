"""From moments to experts: spectrum, whitening, decomposition, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from moe_theory.errors import InputError
from moe_theory.moments.decompose import Decomposition, decompose, refine
from moe_theory.moments.polynomials import Polynomials
from moe_theory.validation import Array

LEVEL = 0.99
DRAWS = 299  # of what noise alone might look like
NUMBERS = 2e7  # in all draws
MISSES = 2


class Cubes(Protocol):
    """Third moments in k coordinates."""

    def third(self, p: Polynomials, without: int | None = None) -> Array:
        """Σ E[p_i] (U'a_i)^{⊗3}, (k, k, k), estimated; `without` the rows of one group."""


class Moments(Protocol):
    """What experts are found from: `PlainMoments`, `AdjustedMoments`, `PopulationMoments`."""

    @property
    def name(self) -> str:
        """Which kind."""

    @property
    def groups(self) -> int:
        """How many groups there are rows in."""

    def second(self, p: Polynomials, without: int | None = None) -> Array:
        """Σ E[p_i] a_i a_i', (d, d), estimated."""

    def square(self, without: int | None = None) -> float:
        """E y²."""

    def cubes(self, basis: Array) -> Cubes:
        """Third moments in the span of an orthonormal basis, (d, k)."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of the second moment, estimated: Σ E[p_i] a_i a_i' has as many as there are experts (that are
    linearly independent), all others are noise.

    values: (d,), falling. vectors: as columns, (d, d). deviations: what each group of rows adds to the matrix's error,
    in these vectors' coordinates, (G, d, d): their sum with random signs has the law of the error.
    """

    values: Array
    vectors: Array
    deviations: Array
    seed: int = 0

    @classmethod
    def of(cls, moments: Moments, p: Polynomials, seed: int = 0) -> Spectrum:
        """By the jackknife over groups of rows; InputError where there are less than two."""
        groups = moments.groups
        if groups < 2:
            raise InputError(f"x: expected rows in two groups or more, got {groups}")
        matrix = moments.second(p)
        values, vectors = np.linalg.eigh(matrix)
        vectors = vectors[:, ::-1]
        apart = np.array([moments.second(p, g) for g in range(groups)]) - matrix
        scaled = np.sqrt((groups - 1) / groups) * (apart - np.mean(apart, axis=0))
        return cls(values[::-1], vectors, vectors.T @ scaled @ vectors, seed)

    @cached_property
    def _draws(self) -> Array:
        """What the error may look like, (draws, d, d)."""
        groups, d, _ = self.deviations.shape
        count = int(np.clip(NUMBERS / d**2, 19, DRAWS))
        signs = np.random.default_rng(self.seed).choice([-1.0, 1.0], (count, groups))
        return np.tensordot(signs, self.deviations, 1)

    def edge(self, signals: int) -> float:
        """What the largest eigenvalue of noise alone, off so many signals, exceeds in one sample of a hundred."""
        if signals >= len(self.values):
            return 0.0
        return float(np.quantile(np.linalg.eigvalsh(self._draws[:, signals:, signals:])[:, -1], LEVEL))

    @cached_property
    def supported(self) -> int:
        """The largest k whose eigenvalue k rises above the noise beside k - 1 experts, sought until `MISSES` in a row
        do not: an expert's own noise may hide the first eigenvalue where the second is plain."""
        found = 0
        for k, value in enumerate(self.values, start=1):
            if k > found + MISSES:
                break
            if value > self.edge(k - 1):
                found = k
        return found

    def gap(self, k: int) -> float:
        """Eigenvalue k less the next, or less 0."""
        return float(self.values[k - 1] - (self.values[k] if k < len(self.values) else 0.0))


@dataclass(frozen=True, eq=False)
class Components:
    """What one decomposition gives. regressors: (k, d), of length 1. norms: their lengths before, (k,), 1 in theory.
    mixing: E[p_i], (k,), with sum 1 in theory."""

    regressors: Array
    norms: Array
    mixing: Array

    def scaled(self, lengths: bool) -> Array:
        """The regressors, (k, d): with their own `lengths`, or of length 1."""
        return self.regressors * self.norms[:, None] if lengths else self.regressors


@dataclass(frozen=True, eq=False)
class Experts:
    """The experts found from one kind of moments.

    moments, cubes: which. polynomials: with σ² as given or (`estimated`) as E y² - E g(Z)². components: of all rows.
    decomposition: of the whitened third moment.
    """

    moments: Moments
    cubes: Cubes
    polynomials: Polynomials
    estimated: bool
    spectrum: Spectrum
    components: Components
    decomposition: Decomposition

    @property
    def name(self) -> str:
        """Of the kind of moments."""
        return self.moments.name

    @cached_property
    def replicates(self) -> tuple[Components, ...]:
        """Without one group of rows at a time, matched to those of all rows."""
        drawn = (self._without(group) for group in range(self.moments.groups))
        found = tuple(c for c in drawn if c is not None)
        if len(found) < 2:
            raise InputError(
                f"k: expected {self.k} experts without a group of rows too, got none in all but {len(found)}"
            )
        return found

    @property
    def k(self) -> int:
        return len(self.components.mixing)

    def _without(self, group: int) -> Components | None:
        """The same without one group of rows; None where there is none then. The third moment is known in the basis of
        all rows only: where the span moves, what it has outside is of second order."""
        k, basis, p = self.k, self.spectrum.vectors[:, : self.k], self.polynomials
        if self.estimated:
            p = p.at(self.moments.square(group) - p.square)
        values, vectors = leading(self.moments.second(p, group), k)
        if not values[k - 1] > 0:
            return None
        own = vectors / np.sqrt(values)
        # Eigenvectors are their own up to a rotation: the one that brings W nearest to that of all rows.
        u, _, v = np.linalg.svd(own.T @ (basis / np.sqrt(self.spectrum.values[:k])))
        tensor = _whitened(self.cubes.third(p, group), basis, own @ u @ v)
        return _components(values, vectors, u @ v, *refine(tensor, self.decomposition.vectors))

    def covariance(self, transform: Array | None = None, lengths: bool = False) -> Array:
        """Of the regressors, (k d, k d), by the jackknife over groups; transform: (d, d), applied to each (a ↦ a T).
        lengths: of those with their own, not of length 1."""
        drawn = np.array([c.scaled(lengths) for c in self.replicates])
        return jackknife((drawn if transform is None else drawn @ transform).reshape(len(drawn), -1))

    @cached_property
    def scale_errors(self) -> tuple[Array, float]:
        """(standard errors of the norms, (k,), and of the sum of the mixing weights)."""
        norms = jackknife(np.array([c.norms for c in self.replicates]))
        total = jackknife(np.array([[np.sum(c.mixing)] for c in self.replicates]))
        return np.sqrt(np.diagonal(norms)), float(np.sqrt(total[0, 0]))


def jackknife(replicates: Array) -> Array:
    """Covariance, (p, p), of an estimate from its values without one of G groups, (G, p): (G-1)/G Σ (· - mean)(·)'."""
    away = replicates - np.mean(replicates, axis=0)
    return (len(replicates) - 1) / len(replicates) * away.T @ away


def find_experts(
    moments: Moments, k: int, p: Polynomials, estimated: bool, spectrum: Spectrum | None = None, seed: int = 0
) -> Experts:
    """The k experts of a spectrum that has k positive eigenvalues (else InputError), by one more pass over the rows.

    W = U D^{-1/2} from the k leading eigenpairs whitens: W'a_i √p_i are orthonormal, and T₃(W, W, W) = Σ p_i^{-1/2}
    (√p_i W'a_i)^{⊗3}. Its values λ_i give p_i = λ_i^{-2}, its vectors a_i = λ_i U D^{1/2} v_i.
    """
    spectrum = spectrum or Spectrum.of(moments, p, seed)
    if not 1 <= k <= len(spectrum.values):
        raise InputError(f"k: expected 1 to {len(spectrum.values)} experts, got {k}")
    if not spectrum.values[k - 1] > 0:
        raise InputError(f"k: expected {k} positive eigenvalues of the second moment, got {spectrum.values[k - 1]:.3g}")
    basis = spectrum.vectors[:, :k]
    cubes = moments.cubes(basis)
    white = basis / np.sqrt(spectrum.values[:k])
    found = decompose(_whitened(cubes.third(p), basis, white), seed)
    whole = _components(spectrum.values[:k], basis, np.eye(k), found.vectors, found.values)
    return Experts(moments, cubes, p, estimated, spectrum, whole, found)


def _whitened(third: Array, basis: Array, white: Array) -> Array:
    w = basis.T @ white
    return np.einsum("abc,ai,bj,cl->ijl", third, w, w, w, optimize=True)


def leading(matrix: Array, k: int) -> tuple[Array, Array]:
    """The k largest eigenvalues of a symmetric matrix, (k,), falling, and their vectors, (d, k)."""
    values, vectors = np.linalg.eigh(matrix)
    return values[::-1][:k], vectors[:, ::-1][:, :k]


def _components(spread: Array, basis: Array, turn: Array, vectors: Array, values: Array) -> Components:
    raw = values[:, None] * (vectors @ turn.T * np.sqrt(spread)) @ basis.T
    norms = np.linalg.norm(raw, axis=1)
    return Components(raw / norms[:, None], norms, values**-2.0)
