"""Two experts, no bias, g odd up to a constant: the gate need not be orthogonal to anything, by parity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from moe_theory.atoms import expit
from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, identity
from proofs_checks.moment_worlds import MEAN, SECTION, SOURCE, Generic, Polynomial, World, as_it_is, compared

TILT = 1.5  # the gate's weights are longer along the regressors' span than off it

BASE = tuple(World(2, (g,), sigma=(0.5,), tilt=TILT) for g in ("tanh", "sigmoid", "linear"))


@dataclass(frozen=True)
class Odd:
    """What each of the two experts adds along u, of (c, a_i'u), c = c₃ or c₂; and the polynomials.

    reweighted: with whatever weights fit best. derived: the proof holds on these populations.
    """

    third: Callable[[Any, Any], Any] = lambda c, a: c * a**3 / 2
    second: Callable[[Any, Any], Any] = lambda c, a: c * a**2 / 2
    polynomial: Polynomial = as_it_is
    worlds: tuple[World, ...] = BASE
    reweighted: bool = False
    derived: bool = True


def check(setting: Setting, claimed: Odd) -> Iterator[Evidence]:
    for world in claimed.worlds:
        population = world.population(setting.seed)
        u, v = population.directions(setting.seed), population.transform.values
        found, along = population.along(u, claimed.polynomial), u @ population.mixture.regressors.T
        totals = [np.sum(claimed.second(v.c2, along), axis=1), np.sum(claimed.third(v.c3, along), axis=1)]
        if claimed.reweighted:
            powers = (along**2, along**3)
            totals = [a @ np.linalg.lstsq(a, t, rcond=None)[0] for a, t in zip(powers, found, strict=True)]
        names = ("$E[P_2(y)S_2(x)](u,u)$", "$E[P_3(y)S_3(x)](u,u,u)$")
        yield from compared(population, setting.seed, names, found, totals)
    if claimed.derived:
        yield from _parity(setting, claimed)


def _parity(setting: Setting, claimed: Odd) -> Iterator[Evidence]:
    o, tau = sp.symbols("o tau", real=True)
    alpha, beta, gamma = Generic(_table(), claimed.polynomial).solved
    # E_N P(g + τN) for g = c + o: the expert's own noise τ, the polynomials' σ.
    cubic = lambda o: _cubic(MEAN + o, alpha, beta, tau)
    square = lambda o: (MEAN + o) ** 2 + tau**2 + gamma * (MEAN + o)
    yield identity(
        "g = c + odd",
        r"even part of $h_3 - h_3|_{g=c}$ and odd part of $h_2$: $h_3$ is odd up to a constant, $h_2$ even",
        [cubic(o) + cubic(-o) - 2 * cubic(sp.Integer(0)), square(o) - square(-o)],
        seed=setting.seed,
    )
    score, along, size, level = sp.symbols("s X U kappa", real=True)
    values = sp.symbols("o_1 o_2", real=True)
    p = (expit(score), expit(-score))
    yield identity(
        "2 experts, no bias",
        r"$p_1(x)+p_1(-x)-1$: $E[p_i] = \frac12$, whatever $w$",
        p[0] + p[0].subs(score, -score) - 1,
        seed=setting.seed,
    )
    # x ↦ -x: scores, a_i'x and X = u'x change sign, with them the odd parts of h₃; h₂ stays.
    mirror = {score: -score, along: -along, **{o: -o for o in values}}
    mirror2 = {score: -score, along: -along}
    third = sp.Add(*((q - sp.Rational(1, 2)) * (level + o) for q, o in zip(p, values, strict=True)))
    second = sp.Add(*((q - sp.Rational(1, 2)) * e for q, e in zip(p, values, strict=True)))
    third, second = third * (along**3 - 3 * size * along), second * (along**2 - size)
    what = r"even part of $(E[P_{}(y)|x]-\frac12\sum_i h_{}(a_i'x))\,S_{}(x)(u,…,u)$: its expectation is 0, any $w$"
    for order, integrand, turned in ((3, third, mirror), (2, second, mirror2)):
        yield identity(
            "2 experts, no bias",
            what.replace("{}", str(order)),
            integrand + integrand.subs(turned, simultaneous=True),
            seed=setting.seed,
        )
    if claimed.reweighted:
        return
    weight, a = sp.symbols("c A", real=True)
    yield identity(
        "2 experts, no bias",
        r"$E[\frac12 h_m(a_i'x)S_m(x)](u,…,u) = \frac12 c_m (a_i'u)^m$ (Stein) less the claimed share",
        [claimed.third(weight, a) - weight * a**3 / 2, claimed.second(weight, a) - weight * a**2 / 2],
        seed=setting.seed,
    )


def _cubic(g: sp.Expr, alpha: sp.Expr, beta: sp.Expr, noise: sp.Expr) -> sp.Expr:
    return g**3 + 3 * g * noise**2 + alpha * (g**2 + noise**2) + beta * g


def _table() -> dict[tuple[int, int], sp.Expr]:
    """E g^j He_m for g = c + o with E o^j He_m = 0 where j + m is odd (m ≥ 1: constants do not count)."""
    own = lambda j, m: sp.Symbol(f"O_{j}{m}", real=True) if (j + m) % 2 == 0 else sp.Integer(0)
    return {
        (j, m): sp.Add(*(sp.binomial(j, n) * MEAN ** (j - n) * own(n, m) for n in range(1, j + 1)))
        for j in (1, 2, 3)
        for m in range(1, 5)
    }


def _without(*worlds: World) -> Odd:
    return Odd(worlds=worlds, reweighted=True, derived=False)


CLAIM = Claim(
    id="moment-tensors-odd",
    title="Two experts with an odd activation: any gate without bias will do",
    statement=r"for $k=2$, a gate without bias and $g$ odd up to a constant, whatever $w$:"
    r" $E[P_3(y)S_3(x)] = \frac12 c_3\sum_i a_i^{\otimes 3}$ and $E[P_2(y)S_2(x)] = \frac12 c_2\sum_i a_ia_i'$",
    source=f"parity; without the orthogonality of {SOURCE}",
    hypotheses=(
        Hypothesis("two experts", _without(World(3, ("tanh",), tilt=TILT))),
        Hypothesis("no bias", _without(World(2, ("tanh",), biases=(0.8, 0.0), tilt=TILT))),
        Hypothesis("g odd up to a constant", _without(World(2, ("relu",), tilt=TILT))),
        Hypothesis(
            r"$\|a_i\|=1$ and one σ (for the form; the weights are others)",
            Odd(worlds=(World(2, ("tanh",), norms=(1.0, 0.6), sigma=(0.3, 0.8), tilt=TILT),), reweighted=True),
            needed=False,
        ),
    ),
    expected="proved",
    check=check,
    claimed=Odd(),
    mutants={
        "the second's sign": Mutant("sign", Odd(second=lambda c, a: -c * a**2 / 2)),
        "weights 1 instead of ½": Mutant("constant", Odd(third=lambda c, a: c * a**3)),
        "exponents exchanged": Mutant("exchange", Odd(lambda c, a: c * a**2 / 2, lambda c, a: c * a**3 / 2)),
        "P₂(y) = y²": Mutant("term", Odd(polynomial=lambda alpha, beta, gamma, sigma: (alpha, beta, 0))),
        "P₃ without y²": Mutant("form", Odd(polynomial=lambda alpha, beta, gamma, sigma: (0, beta, gamma))),
    },
    order=222,
    section=SECTION,
)
