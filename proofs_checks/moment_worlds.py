"""What claims on moment tensors share: populations with exact moments, and Leibniz' rule on symbols of expectations.

A symmetric tensor T is known by its values T(u, …, u): all claims are stated along a direction u, A_i = a_i'u, in one
formula that is checked in symbols and in numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import sympy as sp

from moe_theory.claims import Evidence, close
from moe_theory.moments.population import HIGHEST, Mixture, PopulationMoments, Scores, softmax_gate
from moe_theory.moments.transforms import Transform, derive
from moe_theory.validation import Array

ERROR = 1e-11  # of population moments, rounding of sums: they agree with 25 digits to 1e-15 (tests)
DIRECTIONS = 12
NODES = 24  # Gauss–Legendre nodes per axis for features that are not normal
SOURCE = (
    "Makkuva, Oh, Kannan and Viswanath, Breaking the gridlock in Mixture-of-Experts (ICML 2019, arXiv 1802.07417),"
    " Theorem 1; theory.md §4"
)
SECTION = "Breaking the gridlock"

Polynomial = Callable[[Any, Any, Any, Any], tuple[Any, Any, Any]]  # (α, β, γ, σ) to those used


@dataclass(frozen=True)
class World:
    """A population of k experts in k + 2 dimensions: regressors drawn in a subspace, the gate's weights in its
    complement, `tilt` times vectors drawn in the subspace added to them.

    g, sigma, norms, biases: one per expert, or one for all. uniform: features are independent and uniform, of variance
    1, instead (k = 2, d = 3). loose: the vectors of the tilt have parts off the subspace too.
    """

    k: int
    g: tuple[str, ...] = ("tanh",)
    sigma: tuple[float, ...] = (0.7,)
    norms: tuple[float, ...] = (1.0,)
    biases: tuple[float, ...] = (0.0,)
    tilt: float = 0.0
    gate: Scores = softmax_gate
    uniform: bool = False
    loose: bool = False

    @property
    def name(self) -> str:
        """What tells it from others."""
        parts = [f"{self.k} {'/'.join(self.g)} experts"]
        if any(self.biases):
            parts.append("with bias")
        if self.tilt:
            parts.append(f"tilt {self.tilt:g}")
        if len(self.norms) > 1:
            parts.append("own lengths")
        if len(self.sigma) > 1:
            parts.append("own σ")
        if self.gate is not softmax_gate:
            parts.append("probit gate")
        if self.uniform:
            parts.append("uniform features")
        return ", ".join(parts)

    def population(self, seed: int) -> Population:
        """Drawn with this seed."""
        return _population(self, seed)

    def tilted(self, tilt: float) -> World:
        """The same geometry with another tilt."""
        return replace(self, tilt=tilt)


@dataclass(frozen=True, eq=False)
class Population:
    """A world's mixture, its tilts v_i (k, d), exact moments, and transforms at the first expert's activation and σ."""

    world: World
    mixture: Mixture
    tilts: Array

    @cached_property
    def moments(self) -> PopulationMoments:
        return _uniform_moments(self.mixture) if self.world.uniform else self.mixture.moments()

    @cached_property
    def mixing(self) -> Array:
        """E[p_i], (k,)."""
        return _uniform_mixing(self.mixture) if self.world.uniform else self.mixture.mixing

    @cached_property
    def transform(self) -> Transform:
        return derive(self.world.g[0], self.world.sigma[0])

    def polynomials(self, polynomial: Polynomial) -> tuple[Array, Array]:
        """Coefficients of 1, y, … of P₂ (3,) and P₃ (4,)."""
        v = self.transform.values
        alpha, beta, gamma = polynomial(v.alpha, v.beta, v.gamma, self.world.sigma[0])
        return np.array([0.0, gamma, 1.0]), np.array([0.0, beta, alpha, 1.0])

    def along(self, directions: Array, polynomial: Polynomial) -> tuple[Array, Array]:
        """E[P₂(y)S₂(x)](u, u) and E[P₃(y)S₃(x)](u, u, u) at rows u of `directions`."""
        p2, p3 = self.polynomials(polynomial)
        t2, t3 = np.tensordot(p2, self.moments.square_moments[:3], 1), np.tensordot(p3, self.moments.cubic, 1)
        u = directions
        return np.einsum("ab,na,nb->n", t2, u, u), np.einsum("abc,na,nb,nc->n", t3, u, u, u)

    def directions(self, seed: int) -> Array:
        """Of length 1, drawn."""
        drawn = np.random.default_rng(seed).standard_normal((DIRECTIONS, self.mixture.regressors.shape[1]))
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    def witness(self, direction: Array) -> dict[str, Any]:
        """All that is needed to compute again what was found along a direction."""
        m = self.mixture
        return {
            "activations": [g.name for g in m.activations],
            "regressors": m.regressors.tolist(),
            "weights": m.weights.tolist(),
            "biases": m.biases.tolist(),
            "sigmas": m.sigmas.tolist(),
            "features": "uniform" if self.world.uniform else "normal",
            "direction": direction.tolist(),
        }


@lru_cache(maxsize=256)
def _population(world: World, seed: int) -> Population:
    k, d = world.k, 3 if world.uniform else world.k + 2
    rng = np.random.default_rng(seed)
    turn = np.eye(d) if world.uniform else np.linalg.qr(rng.standard_normal((d, d)))[0]
    own = np.eye(k) + 0.35 * rng.uniform(-1, 1, (k, k))
    regressors = own / np.linalg.norm(own, axis=1, keepdims=True) @ turn[:k]
    # Weights of lengths below 1 in directions that are well apart; tilts in the span of the regressors.
    angles = 2.4 * np.arange(k) + rng.uniform(0, 0.5, k)
    across = np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, : d - k] * rng.uniform(0.6, 1.0, (k, 1))
    if world.uniform:
        across = np.array([[1.0], [-0.3]])
    tilts = rng.uniform(0.4, 1.0, (k, k)) * rng.choice([-1.0, 1.0], (k, k)) @ turn[:k]
    if world.loose:
        tilts = tilts + rng.uniform(-1, 1, (k, d - k)) @ turn[k:]
    sizes = np.broadcast_to(np.array(world.norms), (k,))[:, None]
    g = world.g if len(world.g) == k else world.g[0]
    spread = lambda values: np.broadcast_to(np.array(values), (k,))
    weights = across @ turn[k:] + world.tilt * tilts
    mixture = Mixture.of(sizes * regressors, weights, g, spread(world.sigma), spread(world.biases), world.gate)
    return Population(world, mixture, tilts)


def _uniform_grid(mixture: Mixture) -> tuple[Array, Array, Array]:
    """(x, (3, n³); weights, (n³,); probabilities (k, n³)) for uniform features of variance 1."""
    own, weights = np.polynomial.legendre.leggauss(NODES)
    x = np.stack([axis.ravel() for axis in np.meshgrid(*[np.sqrt(3) * own] * 3, indexing="ij")])
    share = np.einsum("a,b,c->abc", *[weights / 2] * 3).ravel()
    return x, share, mixture.gate(mixture.weights @ x + mixture.biases[:, None])


def _uniform_mixing(mixture: Mixture) -> Array:
    _, share, p = _uniform_grid(mixture)
    found: Array = p @ share
    return found


def _uniform_moments(mixture: Mixture) -> PopulationMoments:
    x, share, p = _uniform_grid(mixture)
    powers = np.zeros((HIGHEST + 1, x.shape[1]))
    for own, a, g, sigma in zip(p, mixture.regressors, mixture.activations, mixture.sigmas, strict=True):
        m = g.function(a @ x)
        powers += own * share * np.array([np.ones_like(m), m, m**2 + sigma**2, m**3 + 3 * m * sigma**2])
    unit, first = np.eye(3), powers @ x.T
    square = np.einsum("jn,an,bn->jab", powers, x, x) - np.multiply.outer(powers.sum(1), unit)
    cubic = np.einsum("jn,an,bn,cn->jabc", powers, x, x, x, optimize=True)
    for axes in ("abc", "bac", "cab"):
        cubic -= np.einsum(f"j{axes[0]},{axes[1:]}->jabc", first, unit)
    return PopulationMoments(powers.sum(1), first, square, cubic)


def compared(
    population: Population, seed: int, what: Sequence[str], found: Sequence[Array], claimed: Sequence[Array]
) -> Iterator[Evidence]:
    """Evidence that values along `population.directions(seed)` are what is claimed, told where they differ most."""
    for name, computed, predicted in zip(what, found, claimed, strict=True):
        worst = int(np.argmax(np.abs(computed - predicted)))
        u = population.directions(seed)[worst]
        yield close(
            population.world.name,
            f"{name}, where it differs most of {len(computed)} directions",
            float(computed[worst]),
            float(predicted[worst]),
            ERROR,
            essential=False,
            trials=len(computed),
            witness=population.witness(u),
        )


# Symbols of expectations.

A = sp.symbols("A_1:4", real=True)  # a_i'u
SIGMA, MEAN = sp.symbols("sigma c", real=True)
_STEP = sp.Symbol("t", real=True)


def as_it_is(alpha: Any, beta: Any, gamma: Any, sigma: Any) -> tuple[Any, Any, Any]:
    """The polynomials of the transform."""
    return alpha, beta, gamma


@dataclass(frozen=True, eq=False)
class Generic:
    """Any activation by its table E g^j He_m(Z), (j, m) to symbols or expressions, j = 1 … 3, m = 0 … 4, and P₂, P₃ as
    the transform has them, or as a claim has them instead."""

    table: dict[tuple[int, int], sp.Expr]
    polynomial: Polynomial = as_it_is

    @cached_property
    def solved(self) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
        """(α, β, γ) by E h₃' = E h₃'' = E h₂' = 0."""
        m = self.table
        det = m[1, 1] * m[2, 2] - m[2, 1] * m[1, 2]
        alpha = (m[3, 1] * m[1, 2] - m[3, 2] * m[1, 1]) / det
        beta = (m[3, 2] * m[2, 1] - m[3, 1] * m[2, 2]) / det - 3 * SIGMA**2
        return self.polynomial(alpha, beta, -m[2, 1] / m[1, 1], SIGMA)

    def third(self, m: int) -> sp.Expr:
        """E h₃^{(m)}(Z) = E h₃(Z)He_m(Z), h₃(u) = E_N P₃(g(u) + σN)."""
        alpha, beta, _ = self.solved
        own = self.table[3, m] + alpha * self.table[2, m] + (beta + 3 * SIGMA**2) * self.table[1, m]
        return own + (alpha * SIGMA**2 if m == 0 else 0)

    def second(self, m: int) -> sp.Expr:
        """E h₂^{(m)}(Z)."""
        return self.table[2, m] + self.solved[2] * self.table[1, m] + (SIGMA**2 if m == 0 else 0)


def generic(polynomial: Polynomial = as_it_is) -> Generic:
    """An activation of which nothing is known."""
    return Generic({(j, m): sp.Symbol(f"M_{j}{m}", real=True) for j in (1, 2, 3) for m in range(5)}, polynomial)


def derivative(order: int, gate: Sequence[sp.Expr], expert: Sequence[sp.Expr], a: sp.Expr) -> sp.Expr:
    """E D_u^order [p h(a'x)], a'u = `a`, from E D_u^l p and E h^{(m)}(Z), which are independent: the coefficient of
    t^order of the product of the two jets, as derivatives up to an order see the jets up to that order only."""
    jet = lambda values, step: sp.Add(*(v * step**n / sp.factorial(n) for n, v in enumerate(values)))
    product = sp.expand(jet(gate[: order + 1], _STEP) * jet(expert[: order + 1], a * _STEP))
    return sp.factorial(order) * product.coeff(_STEP, order)


def gate_jets(name: str, k: int, orders: int, total: int = 1) -> list[list[sp.Expr]]:
    """Symbols of E D_u^l p_i, l = 0 … orders - 1, for k functions p_i with sum `total`."""
    free = [[sp.Symbol(f"{name}_{i + 1}{order}", real=True) for order in range(orders)] for i in range(k - 1)]
    last = [sp.Integer(0 if order else total) - sp.Add(*(own[order] for own in free)) for order in range(orders)]
    return [*free, last]
