"""Population moments of a mixture of experts with Gaussian features, by quadrature over the directions that matter.

E[f(Bx)S_m(x)] for orthonormal rows B is E[f(u)S_m(u)], u ~ N(0, I_r), lifted by B': what f does not see, its
derivatives do not either (Stein). Expert i's share p_i(x) E[y^j|x, z=i] sees a_i'x and the differences of the gate's
scores only: r is at most k, in any dimension d. Along a_i the rule is Gauss–Legendre on panels that end at whole
numbers, so that activations with a kink there (ReLU, leaky ReLU) lose nothing; along the other axes the integrands are
analytic and the trapezoid rule converges geometrically, at a step that resolves the gate's slope.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement, permutations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax

from moe_theory.errors import InputError
from moe_theory.moments.activations import Activation, activation
from moe_theory.moments.polynomials import Polynomials
from moe_theory.validation import Array, real_array

REACH = 9  # standard deviations: beyond, 2e-19 of the mass
PANEL = 12  # Gauss–Legendre nodes per unit of length
STEP, SLOPE_STEP = (
    0.45,
    0.45,
)  # trapezoid rule: the lesser of STEP and SLOPE_STEP over the range of slopes
NODES = 2e7
HIGHEST = 3  # degree of the score tensors, and power of y

Scores = Callable[[Array], Array]  # scores (k, *grid) to values (c, *grid), grid point by grid point


def softmax_gate(scores: Array) -> Array:
    """P(z=i|x) of scores s_i, (k, …), over the first axis."""
    found: Array = softmax(scores, axis=0)
    return found


@dataclass(frozen=True, eq=False)
class Mixture:
    """x ~ N(0, I_d), P(z=i|x) = gate of the scores w_i'x + b_i, y|x,z=i ~ N(g_i(a_i'x), σ_i²).

    regressors: a_i, (k, d). weights: w_i, (k, d). biases: b_i, (k,). activations: g_i, k of them. sigmas: σ_i, (k,).
    gate: scores (k, …) to probabilities (k, …).
    """

    regressors: Array
    weights: Array
    biases: Array
    activations: tuple[Activation, ...]
    sigmas: Array
    gate: Scores = softmax_gate

    @classmethod
    def of(
        cls,
        regressors: ArrayLike,
        weights: ArrayLike,
        g: Any = "linear",
        sigma: ArrayLike = 1.0,
        biases: ArrayLike = 0.0,
        gate: Scores = softmax_gate,
    ) -> Mixture:
        """g: what `activation` takes, or a list of k of them. sigma, biases: one for all, or (k,).

        Raises InputError for shapes that do not match and for a negative sigma.
        """
        a, w = real_array("regressors", regressors, ndim=2), real_array("weights", weights, ndim=2)
        k = len(a)
        if w.shape != a.shape or a.size == 0:
            raise InputError(f"weights: expected shape {a.shape} like the regressors, got {w.shape}")
        own = {"sigma": real_array("sigma", sigma), "biases": real_array("biases", biases)}
        for name, value in own.items():
            if value.shape not in ((), (k,)):
                raise InputError(f"{name}: expected a number or {k} of them, got shape {value.shape}")
        if np.any(own["sigma"] < 0):
            raise InputError(f"sigma: expected numbers >= 0, got {np.min(own['sigma']):g}")
        given = tuple(g) if isinstance(g, list | tuple) else (g,) * k
        if len(given) != k:
            raise InputError(f"g: expected one activation or {k} of them, got {len(given)}")
        sigmas, offsets = (np.broadcast_to(own[name], (k,)).copy() for name in ("sigma", "biases"))
        return cls(a, w, offsets, tuple(activation(f) for f in given), sigmas, gate)

    @property
    def k(self) -> int:
        return len(self.regressors)

    @cached_property
    def mixing(self) -> Array:
        """E[p_i], (k,)."""
        return self.score_moment(self.gate, 0)

    def score_moment(self, f: Scores, order: int, refined: float = 1.0) -> Array:
        """E[f(scores) S_order(x)] = E[∇^order f], (c, d, …, d), for f of the scores alone, to c values each."""
        rule = Rule.over(self, None, refined)
        values = f(rule.scores)
        return np.array([rule.tensor(rule.hermite(v), order) for v in values])

    def moments(self, refined: float = 1.0) -> PopulationMoments:
        """E[y^j S_m(x)], j = 0 … 3, m = 0 … 3; a `refined` rule has so many times the nodes on each axis."""
        parts = [np.zeros((HIGHEST + 1,) + (self.regressors.shape[1],) * m) for m in range(HIGHEST + 1)]
        for i, (g, sigma) in enumerate(zip(self.activations, self.sigmas, strict=True)):
            rule = Rule.over(self, i, refined)
            u = np.linalg.norm(self.regressors[i]) * rule.axes[0]
            mean = g.function(u)
            powers = (np.ones_like(u), mean, mean**2 + sigma**2, mean**3 + 3 * mean * sigma**2)
            table = rule.hermite(self.gate(rule.scores)[i], np.array(powers))
            for m, part in enumerate(parts):
                part += np.array([rule.tensor(own, m) for own in table])
        return PopulationMoments(*parts)


@dataclass(frozen=True, eq=False)
class Rule:
    """A product rule for N(0, I_r) in r orthonormal directions of R^d, and the gate's scores on its grid.

    basis: (r, d), a regressor's direction first if there is one. axes, weights: nodes and weights of each axis.
    scores: (k, *grid).
    """

    basis: Array
    axes: tuple[Array, ...]
    weights: tuple[Array, ...]
    scores: Array

    @classmethod
    def over(cls, mixture: Mixture, expert: int | None, refined: float = 1.0) -> Rule:
        """In the span of the scores' differences, and of an expert's regressor."""
        a, w, k = mixture.regressors, mixture.weights, mixture.k
        first = np.zeros((0, a.shape[1]))
        if expert is not None:
            size = np.linalg.norm(a[expert])
            first = a[expert : expert + 1] / size if size > 0 else np.eye(a.shape[1])[:1]
        # Scores that all labels have in common change nothing.
        slopes = w - np.mean(w, axis=0)
        left = slopes - slopes @ first.T @ first
        values, rows = np.linalg.svd(left, full_matrices=False)[1:]
        basis = np.vstack([first, rows[values > 1e-13 * (1 + np.max(np.abs(w)))]])
        along = slopes @ basis.T
        axes, weights = [], []
        for i, slope in enumerate(np.ptp(along, axis=0)):
            # A sum of exponentials has no zero nearer to the real axis than π over the range of their slopes.
            step = min(STEP, SLOPE_STEP / slope if slope > 0 else STEP) / refined
            nodes, own = _panels(refined) if expert is not None and i == 0 else _trapezoid(step)
            axes.append(nodes)
            weights.append(own)
        size = k * np.prod([float(len(nodes)) for nodes in axes])
        if size > NODES:
            raise InputError(f"weights: expected a gate that {NODES:.0e} nodes resolve, this needs {size:.0e}")
        grid = np.meshgrid(*axes, indexing="ij") if axes else []
        scores = np.multiply.outer(mixture.biases, np.ones([len(nodes) for nodes in axes]))
        for i, nodes in enumerate(grid):
            scores = scores + np.multiply.outer(along[:, i], nodes)
        return cls(basis, tuple(axes), tuple(weights), scores)

    def hermite(self, values: Array, first: Array | None = None) -> Array:
        """E[values · He_n(u)] for n in {0, …, 3}^r, (4, …, 4); with factors `first`, (c, nodes of the first axis), for
        each of them, (c, 4, …, 4)."""
        for axis in range(len(self.axes) - 1, 0, -1):  # a grid's axis goes, its degrees take its place
            own = _hermites(self.axes[axis]) * self.weights[axis]
            values = np.moveaxis(np.tensordot(values, own, (axis, 1)), -1, axis)
        if not self.axes:
            return values
        own = _hermites(self.axes[0]) * self.weights[0]
        if first is None:
            return np.tensordot(own, values, 1)
        return np.tensordot(first[:, None] * own, values, 1)

    def tensor(self, table: Array, order: int) -> Array:
        """The symmetric tensor E[values · S_order(x)], (d, …, d), from `hermite`'s table, (4, …, 4)."""
        r, d = self.basis.shape
        local = np.zeros((r,) * order)
        for places in combinations_with_replacement(range(r), order):
            value = table[tuple(places.count(axis) for axis in range(r))]
            for place in set(permutations(places)):
                local[place] = value
        for _ in range(order):
            local = np.tensordot(local, self.basis, (0, 0))
        return local.reshape((d,) * order)


@dataclass(frozen=True, eq=False)
class PopulationMoments:
    """E[y^j S_m(x)], j = 0 … 3: `mean` (4,), `linear` (4, d), `square` (4, d, d), `cubic` (4, d, d, d).

    Has the methods of `PlainMoments` and `PlainCubes` that `find_experts` takes: exact moments instead of averages.
    """

    mean: Array
    linear: Array
    square_moments: Array
    cubic: Array

    name = "population"
    groups = 2  # that are the same: nothing is sampled

    def second(self, p: Polynomials, without: int | None = None) -> Array:
        """E[P₂(y)S₂(x)]/c₂, (d, d)."""
        return np.tensordot(p.second, self.square_moments[:3], 1) / p.c2

    def third_tensor(self, p: Polynomials) -> Array:
        """E[P₃(y)S₃(x)]/c₃, (d, d, d)."""
        return np.tensordot(p.third, self.cubic, 1) / p.c3

    def square(self, without: int | None = None) -> float:
        """E y²."""
        return float(self.mean[2])

    def cubes(self, basis: Array) -> PopulationCubes:
        """The third moments in the span of an orthonormal basis, (d, k)."""
        return PopulationCubes(self, basis)


@dataclass(frozen=True, eq=False)
class PopulationCubes:
    """Third moments in k coordinates."""

    moments: PopulationMoments
    basis: Array

    def third(self, p: Polynomials, without: int | None = None) -> Array:
        """E[P₃(y)S₃(u)]/c₃, u = basis'x, (k, k, k)."""
        b = self.basis
        return np.einsum("abc,ai,bj,cl->ijl", self.moments.third_tensor(p), b, b, b, optimize=True)


def _hermites(u: Array) -> Array:
    """He_0 … He_3, (4, n)."""
    return np.array([np.ones_like(u), u, u**2 - 1, u**3 - 3 * u])


def _trapezoid(step: float) -> tuple[Array, Array]:
    count = int(np.ceil(REACH / step))
    nodes = step * np.arange(-count, count + 1)
    return nodes, step * _density(nodes)


def _panels(refined: float) -> tuple[Array, Array]:
    own, weights = np.polynomial.legendre.leggauss(int(np.ceil(PANEL * refined)))
    nodes = (np.arange(-REACH, REACH)[:, None] + (own + 1) / 2).ravel()
    return nodes, np.tile(weights / 2, 2 * REACH) * _density(nodes)


def _density(u: Array) -> Array:
    found: Array = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)
    return found
