"""E[P₃(y)S₃(x)] = c₃ Σ E[p_i] a_i^{⊗3} and E[P₂(y)S₂(x)] = c₂ Σ E[p_i] a_i a_i': Stein, Leibniz, independence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from scipy.special import ndtr

from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, identity, note
from moe_theory.validation import Array
from proofs_checks.moment_worlds import (
    SECTION,
    SOURCE,
    A,
    Polynomial,
    World,
    as_it_is,
    compared,
    derivative,
    gate_jets,
    generic,
)

K = 3  # experts in symbols; every expert enters alike, and two are three of which one never is drawn

Share = Callable[[Any, Any, Any, Any], Any]  # (c₂, c₃, E p_i, A_i) to what expert i adds


def probit_gate(scores: Array) -> Array:
    """Φ(s₁ - s₂) and its complement, (2, …)."""
    found: Array = ndtr(np.stack([scores[0] - scores[1], scores[1] - scores[0]]))
    return found


BASE = (
    World(2, ("tanh",)),
    World(2, ("relu",), sigma=(0.4,)),
    World(3, ("linear",), sigma=(1.0,)),
    World(3, ("relu",), sigma=(0.4,)),
)
BIASED = (
    World(2, ("relu",), biases=(0.8, 0.0)),
    World(3, ("tanh",), biases=(0.5, 0.0, -0.7)),
)


@dataclass(frozen=True)
class Form:
    """Both tensors along u: what expert i adds, the polynomials, and the populations on which they are looked at.

    reweighted: with whatever weights fit best in place of what is claimed (a weaker claim, whose refutation says that
    the tensors are not even combinations of the a_i^{⊗m}). derived: the proof does not use what these populations lack.
    """

    third: Share = lambda c2, c3, p, a: c3 * p * a**3
    second: Share = lambda c2, c3, p, a: c2 * p * a**2
    polynomial: Polynomial = as_it_is
    worlds: tuple[World, ...] = BASE
    reweighted: bool = False
    derived: bool = True


def check(setting: Setting, claimed: Form) -> Iterator[Evidence]:
    for world in claimed.worlds:
        yield from _on_population(setting, claimed, world)
    if claimed.derived:
        yield from _in_symbols(setting, claimed)
    if claimed == Form():
        yield from _curvatures(setting)


def _on_population(setting: Setting, claimed: Form, world: World) -> Iterator[Evidence]:
    population = world.population(setting.seed)
    directions, v = population.directions(setting.seed), population.transform.values
    along = directions @ population.mixture.regressors.T
    found = population.along(directions, claimed.polynomial)
    totals = []
    for order, share, values in zip((2, 3), (claimed.second, claimed.third), found, strict=True):
        if claimed.reweighted:
            totals.append(along**order @ np.linalg.lstsq(along**order, values, rcond=None)[0])
        else:
            totals.append(np.sum(share(v.c2, v.c3, population.mixing, along), axis=1))
    names = ["$E[P_2(y)S_2(x)](u,u)$", "$E[P_3(y)S_3(x)](u,u,u)$"]
    if claimed.reweighted:
        names = [rf"{n} against the best $\sum_i\lambda_i (a_i'u)^{m}$" for n, m in zip(names, "23", strict=True)]
    yield from compared(population, setting.seed, names, found, totals)


def _in_symbols(setting: Setting, claimed: Form) -> Iterator[Evidence]:
    # a and w ⟂ a: a cross product is orthogonal to a, and all vectors that are can be written so.
    a, b = (sp.Matrix(sp.symbols(f"{name}_1:4", real=True)) for name in ("a", "b"))
    w = a.cross(b)
    s, t = sp.symbols("s t", real=True)
    both = s * w + t * a
    yield identity(
        "x ~ N(0, I)",
        r"$\log E e^{s w'x + t a'x} - \log E e^{s w'x} - \log E e^{t a'x}$, $w\perp a$: the gate and $a_i'x$ are"
        r" independent, so that $E[D^l p_i\, h^{(m)}(a_i'x)] = E[D^l p_i]\, E[h^{(m)}(Z)]$",
        (both.dot(both) - s**2 * w.dot(w) - t**2 * a.dot(a)) / 2,
        seed=setting.seed,
    )
    g, jets = generic(claimed.polynomial), gate_jets("p", K, 4)
    lower = [g.third(1), g.third(2), g.second(1)]
    yield identity(
        "any g",
        r"$E h_3'(Z)$, $E h_3''(Z)$ and $E h_2'(Z)$ with the claim's $\alpha,\beta,\gamma$",
        lower,
        seed=setting.seed,
    )
    # They are 0: what is left of h₂ and h₃ are symbols.
    mean2, mean3, two, three = sp.symbols("h_2 h_3 c_2 c_3", real=True)
    for order, expert, share, name in (
        (2, [mean2, sp.Integer(0), two], claimed.second, r"$E D_u^2 \sum_i p_i h_2(a_i'x)$"),
        (3, [mean3, sp.Integer(0), sp.Integer(0), three], claimed.third, r"$E D_u^3 \sum_i p_i h_3(a_i'x)$"),
    ):
        found = sp.Add(*(derivative(order, own, expert, A[i]) for i, own in enumerate(jets)))
        stated = sp.Add(*(share(two, three, own[0], A[i]) for i, own in enumerate(jets)))
        what = rf"{name} by Leibniz, $\sum_i p_i = 1$, less the claimed $E[P_{order}(y)S_{order}(x)](u,…,u)$ (Stein)"
        yield identity(f"any g, {K} experts", what, found - stated, seed=setting.seed)


def _curvatures(setting: Setting) -> Iterator[Evidence]:
    """Where a nonzero E h_i' or a difference between the E h_i would show: E∇²p_i is not 0 (k = 2 needs a bias)."""
    shapes = {
        "2 experts, no bias": World(2),
        "2 experts, bias 0.8": World(2, biases=(0.8, 0.0)),
        "3 experts, no bias": World(3),
    }
    for name, world in shapes.items():
        mixture = world.population(setting.seed).mixture
        size = float(np.max(np.abs(mixture.score_moment(mixture.gate, 2))))
        yield note(name, r"largest entry of $E\nabla^2 p_i$", size)


def _lacking(world: World) -> Form:
    """The claim, with any weights, where a hypothesis does not hold."""
    return Form(worlds=(world,), reweighted=True, derived=False)


CLAIM = Claim(
    id="moment-tensors",
    title="Transformed responses and score tensors see the regressors alone",
    statement=r"for $x\sim N(0,I)$, experts $y|x,z=i \sim N(g(a_i'x),\sigma^2)$ with $\|a_i\|=1$, and a gate $p_i(x)$"
    r" that depends on $x$ through directions orthogonal to all $a_j$:"
    r" $E[P_3(y)S_3(x)] = c_3\sum_i E[p_i]\,a_i^{\otimes 3}$ and $E[P_2(y)S_2(x)] = c_2\sum_i E[p_i]\,a_ia_i'$",
    source=SOURCE,
    hypotheses=(
        Hypothesis("x normal", _lacking(World(2, ("relu",), uniform=True))),
        Hypothesis("gate orthogonal to all regressors", _lacking(World(3, ("tanh",), tilt=0.3))),
        Hypothesis(
            r"$\|a_i\|=1$ (linear g: see moment-tensors-linear)", _lacking(World(3, ("tanh",), norms=(1.0, 0.6, 0.8)))
        ),
        Hypothesis("one σ (linear g: see moment-tensors-linear)", _lacking(World(3, ("relu",), sigma=(0.3, 0.6, 0.9)))),
        Hypothesis("one g", _lacking(World(2, ("tanh", "sigmoid")))),
        Hypothesis("a gate without bias", Form(worlds=BIASED), needed=False),
        Hypothesis("a softmax gate", Form(worlds=(World(2, ("tanh",), gate=probit_gate),)), needed=False),
    ),
    expected="proved",
    check=check,
    claimed=Form(),
    mutants={
        "the third's sign": Mutant("sign", Form(third=lambda c2, c3, p, a: -c3 * p * a**3)),
        "a third of it: S₃'s arrangements": Mutant("constant", Form(third=lambda c2, c3, p, a: c3 * p * a**3 / 3)),
        "c₂ and c₃ exchanged": Mutant(
            "exchange",
            Form(lambda c2, c3, p, a: c2 * p * a**3, lambda c2, c3, p, a: c3 * p * a**2),
        ),
        "equal weights": Mutant("term", Form(third=lambda c2, c3, p, a: c3 * a**3 / 3)),
        "weights squared": Mutant("form", Form(second=lambda c2, c3, p, a: c2 * p**2 * a**2)),
        "β of σ = 0": Mutant(
            "term", Form(polynomial=lambda alpha, beta, gamma, sigma: (alpha, beta + 3 * sigma**2, gamma))
        ),
        "β's sign": Mutant("sign", Form(polynomial=lambda alpha, beta, gamma, sigma: (alpha, -beta, gamma))),
        "P₃ without y²": Mutant("term", Form(polynomial=lambda alpha, beta, gamma, sigma: (0, beta, gamma))),
        "P₂(y) = y²": Mutant("form", Form(polynomial=lambda alpha, beta, gamma, sigma: (alpha, beta, 0))),
        "P₂(y) = P₃(y)'s lower part": Mutant(
            "exchange", Form(polynomial=lambda alpha, beta, gamma, sigma: (alpha, beta, alpha))
        ),
    },
    order=222,
    section=SECTION,
)
