"""Linear experts: ‖a_i‖² + σ_i² = v for all i is enough, with β = -3v; and what is left where it is not common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp

from moe_theory.atoms import expit
from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, identity
from proofs_checks.moment_worlds import SECTION, SOURCE, A, World, compared, derivative, gate_jets

K = 3
V = 1.7
NORMS, OTHER = (0.8, 0.5, 1.2), (0.7, 1.1, 0.4)
EVEN = tuple(float(np.sqrt(V - n**2)) for n in NORMS)  # σ_i with which all experts have the variance V

BASE = World(3, ("linear",), norms=NORMS, sigma=EVEN)
UNEVEN = World(3, ("linear",), norms=NORMS, sigma=OTHER)


@dataclass(frozen=True)
class Linear:
    """T₃ = third + rest3 and T₂ = second + rest2, each a sum over experts, with P₃(y) = y³ + βy and P₂(y) = y².

    beta: of (n_1², σ_1²). third, second: of (E p_i, A_i). rest3: of (n_i², σ_i², β, E D_u² p_i, A_i), rest2:
    of (n_i², σ_i², E D_u² p_i), n_i = ‖a_i‖. common: v_i = v, where nothing is to be left.
    straight: E[∇²p_i] = 0 in place of a common v, as where p_1 - ½ is odd.
    """

    beta: Callable[[Any, Any], Any] = lambda n, s: -3 * (n + s)
    third: Callable[[Any, Any], Any] = lambda p, a: 6 * p * a**3
    second: Callable[[Any, Any], Any] = lambda p, a: 2 * p * a**2
    rest3: Callable[[Any, Any, Any, Any, Any], Any] = lambda n, s, beta, p2, a: 9 * (n + s + beta / 3) * p2 * a
    rest2: Callable[[Any, Any, Any], Any] = lambda n, s, p2: (n + s) * p2
    common: tuple[World, ...] = (BASE, replace(BASE, biases=(0.6, 0.0, -0.4)))
    uneven: World = UNEVEN
    straight: bool = False
    derived: bool = True


def check(setting: Setting, claimed: Linear) -> Iterator[Evidence]:
    for world in claimed.common:
        yield from _on_population(setting, claimed, world, left=False)
    yield from _on_population(setting, claimed, claimed.uneven, left=True)
    if claimed.derived:
        yield from _in_symbols(setting, claimed)


def _on_population(setting: Setting, claimed: Linear, world: World, left: bool) -> Iterator[Evidence]:
    population = world.population(setting.seed)
    mixture, u = population.mixture, population.directions(setting.seed)
    n, s = np.sum(mixture.regressors**2, axis=1), mixture.sigmas**2
    beta = claimed.beta(n[0], s[0])
    along, p = u @ mixture.regressors.T, population.mixing
    curved = np.einsum("iab,na,nb->ni", mixture.score_moment(mixture.gate, 2), u, u)
    second, third = claimed.second(p, along), claimed.third(p, along)
    if left:
        second = second + claimed.rest2(n, s, curved)
        third = third + claimed.rest3(n, s, beta, curved, along)
    found = population.along(u, lambda alpha, b, gamma, sigma: (0.0, beta, 0.0))
    names = ["$E[y^2S_2(x)](u,u)$", r"$E[(y^3+\beta y)S_3(x)](u,u,u)$"]
    if left:
        names = [f"{name} with what is left" for name in names]
    yield from compared(population, setting.seed, names, found, [second.sum(1), third.sum(1)])


def _in_symbols(setting: Setting, claimed: Linear) -> Iterator[Evidence]:
    jets = gate_jets("p", K, 4)
    v, beta = sp.symbols("v beta", real=True)
    lengths, noises = (sp.symbols(f"{name}_1:{K + 1}", positive=True) for name in ("n", "s"))  # ‖a_i‖², σ_i²
    for order, share, power in ((2, claimed.second, 2), (3, claimed.third, 3)):
        found, stated, rest = sp.Integer(0), sp.Integer(0), sp.Integer(0)
        for own, a, n, s in zip(jets, A, lengths, noises, strict=True):
            found += derivative(order, own, _means(power, beta if power == 3 else sp.Integer(0), n, s), a)
            stated += share(own[0], a)
            rest += claimed.rest3(n, s, beta, own[2], a) if order == 3 else claimed.rest2(n, s, own[2])
        left = found - stated
        what = rf"$E[P_{order}(y)S_{order}(x)](u,…,u)$ by Leibniz less the claimed"
        yield identity("linear g", f"{what} sum and what is left", left - rest, seed=setting.seed)
        if claimed.straight:
            where, given = r"$E[\nabla^2p_i] = 0$", {own[2]: sp.Integer(0) for own in jets[:-1]}
        else:
            where, given = r"$\|a_i\|^2+\sigma_i^2 = v$", {n: v - s for n, s in zip(lengths, noises, strict=True)}
            given[beta] = claimed.beta(v - noises[0], noises[0])
        only = left.subs(given, simultaneous=True)
        yield identity("linear g", f"{what} sum, {where}", only, seed=setting.seed)
    if claimed.straight:
        score = sp.Symbol("w", real=True)
        odd = expit(score) + expit(-score) - 1
        yield identity("2 experts", r"$p_1(x) - \frac12$ is odd: $E[\nabla^2p_i] = 0$", odd, seed=setting.seed)


def _means(power: int, beta: sp.Expr, n: sp.Expr, s: sp.Expr) -> list[sp.Expr]:
    """E h^{(m)}(a'x), m = 0 … 3, a'x ~ N(0, n), h(r) = E_N[(r + √s N)^power + β (r + √s N)]."""
    r, z = sp.symbols("r z", real=True)
    h = _mean_over(sp.expand((r + z) ** power + beta * (r + z)), z, s)
    return [_mean_over(sp.expand(sp.diff(h, r, m)), r, n) for m in range(4)]


def _mean_over(polynomial: sp.Expr, variable: sp.Symbol, variance: sp.Expr) -> sp.Expr:
    """E of a polynomial of N(0, variance)."""
    moments = {0: sp.Integer(1), 2: variance}
    return sp.Add(*(moments.get(m, sp.Integer(0)) * polynomial.coeff(variable, m) for m in range(4)))


CLAIM = Claim(
    id="moment-tensors-linear",
    title="Linear experts: only the variance of the responses has to be common",
    statement=r"linear experts, any $\|a_i\|$ and $\sigma_i$, $v_i=\|a_i\|^2+\sigma_i^2$, and a gate orthogonal to"
    r" all $a_j$: $E[(y^3+\beta y)S_3(x)] = 6\sum_i E[p_i]a_i^{\otimes3} + 9\sum_i (v_i+\beta/3)\,"
    r"\mathrm{sym}(E[\nabla^2p_i]\otimes a_i)$ and $E[y^2S_2(x)] = 2\sum_iE[p_i]a_ia_i' + \sum_i v_iE[\nabla^2p_i]$;"
    r" with $v_i=v$ and $\beta=-3v$ only the first sums are left (with any $v_i$ for two experts without bias, as"
    r" $E[\nabla^2p_i]=0$)",
    source=f"{SOURCE}, where all lengths are 1 and all σ equal",
    hypotheses=(
        Hypothesis("$v_i$ common, for nothing to be left", Linear(common=(UNEVEN,), derived=False)),
        Hypothesis("gate orthogonal to all regressors", Linear(common=(BASE.tilted(0.3),), derived=False)),
        Hypothesis(
            "$v_i$ common, if two experts have a gate without bias",
            Linear(common=(World(2, ("linear",), norms=NORMS[:2], sigma=OTHER[:2]),), straight=True),
            needed=False,
        ),
        Hypothesis(r"$\|a_i\|=1$", needed=False),
        Hypothesis("one σ", needed=False),
    ),
    expected="proved",
    check=check,
    claimed=Linear(),
    mutants={
        "β = -v": Mutant("constant", Linear(beta=lambda n, s: -(n + s))),
        "β = -3(1 + σ²) whatever the lengths": Mutant("form", Linear(beta=lambda n, s: -3 * (1 + s))),
        "3 in place of 9": Mutant("constant", Linear(rest3=lambda n, s, beta, p2, a: 3 * (n + s + beta / 3) * p2 * a)),
        "the variance without noise": Mutant("term", Linear(rest2=lambda n, s, p2: n * p2)),
        "what is left has the other sign": Mutant("sign", Linear(rest2=lambda n, s, p2: -(n + s) * p2)),
        "lengths and noises exchanged": Mutant(
            "exchange", Linear(rest3=lambda n, s, beta, p2, a: 9 * (s - n + beta / 3) * p2 * a)
        ),
        "regressors of length 1": Mutant(
            "form", Linear(rest3=lambda n, s, beta, p2, a: 9 * (1 + s + beta / 3) * p2 * a)
        ),
    },
    order=222,
    section=SECTION,
)
