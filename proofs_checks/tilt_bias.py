"""Regressors recovered from exact moments under a tilted gate, and the bias that is predicted of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from moe_theory.moments.components import find_experts
from moe_theory.moments.polynomials import Polynomials
from moe_theory.validation import Array
from proofs_checks.moment_worlds import World

Drift = Callable[[Any, Any, Any, Any], Any]  # (v_j'a_i, v_i'a_j, E p_i, E∇q_ij) to what label j adds to δ_i
Bend = Callable[[Any, Any, Any, Any], Any]  # ((v'a_i)², E∇p_1'', E h₂'''/c₂, E h₃''''/c₃) to ±δ_i


@lru_cache(maxsize=256)
def recovered(world: World, seed: int) -> Array:
    """The recovered regressors, (k, d), from exact moments, in the order and with the signs of the true ones."""
    population = world.population(seed)
    moments, p = population.moments, Polynomials.of(population.transform.at(0), world.sigma[0] ** 2)
    found = find_experts(moments, world.k, p, False).components.regressors
    inner = found @ truth_of(world, seed).T
    own = np.argmax(np.abs(inner), axis=0)
    return found[own] * np.sign(inner[own, np.arange(world.k)])[:, None]


def drift(world: World, seed: int, term: Drift) -> Array:
    """δ_i of first order, (k, d): Σ_j (v_j'a_i) E∇q_ij / E p_i, q_ij = ∂p_i/∂s_j at the gate without tilt."""
    population, k = world.population(seed), world.k
    mixture = population.mixture
    slopes = mixture.score_moment(lambda s: _softmax_slopes(mixture.gate(s)), 1).reshape(k, k, -1)
    inner = mixture.regressors @ population.tilts.T
    found = np.zeros_like(mixture.regressors)
    for i in range(k):
        for j in range(k):
            found[i] += term(inner[i, j], inner[j, i], population.mixing[i], slopes[i, j])
    return found


def bend(world: World, seed: int, term: Bend) -> Array:
    """δ_i of second order, (2, d), for two experts without bias: ±(v'a_i)² E∇p_1'' E h₂'''/c₂, v = v_1 - v_2, p_1'' in
    the difference of the scores."""
    population = world.population(seed)
    v, mixture = population.transform.values, population.mixture
    slope = mixture.score_moment(lambda s: (lambda p: p * (1 - p) * (1 - 2 * p))(mixture.gate(s)[:1]), 1)[0]
    u, weight = _panels()
    h = np.array([mixture.activations[0].function(u) ** j for j in (1, 2, 3)])
    he3, he4 = u**3 - 3 * u, u**4 - 6 * u**2 + 3
    second = float((h[1] + v.gamma * h[0]) @ (weight * he3)) / v.c2
    beta = v.beta + 3 * world.sigma[0] ** 2
    third = float((h[2] + v.alpha * h[1] + beta * h[0]) @ (weight * he4)) / v.c3
    squares = ((population.tilts[0] - population.tilts[1]) @ mixture.regressors.T) ** 2
    return np.array([sign * term(q, slope, second, third) for sign, q in zip((1, -1), squares, strict=True)])


def _panels() -> tuple[Array, Array]:
    """A rule for N(0, 1) with a panel's end at 0."""
    own, weights = np.polynomial.legendre.leggauss(20)
    u = (np.arange(-10, 10)[:, None] + (own + 1) / 2).ravel()
    return u, np.tile(weights / 2, 20) * np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)


def _softmax_slopes(p: Array) -> Array:
    """∂p_i/∂s_j = p_i(1[i=j] - p_j), (k², …)."""
    return np.array([p[i] * ((i == j) - p[j]) for i in range(len(p)) for j in range(len(p))])


def truth_of(world: World, seed: int) -> Array:
    """The regressors, (k, d), at length 1."""
    a = world.population(seed).mixture.regressors
    found: Array = a / np.linalg.norm(a, axis=1, keepdims=True)
    return found


def size(away: Array) -> float:
    """The largest length of a row."""
    return float(np.max(np.linalg.norm(away, axis=1)))
