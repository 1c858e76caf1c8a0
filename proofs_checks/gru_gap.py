"""The gap J = (1-r) f(u) + r f(u+v) - f(u+rv) between a mixture over reset gates and a fractional gate: an activation's
chord less the activation. u = Ax, v = Bh, one component."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from flint import arb, ctx

from moe_theory.atoms import expit
from moe_theory.symbolic.identities import exact_form
from proofs_checks.printed_gru import U, V

Function = Callable[[sp.Expr], sp.Expr]
RESET, TIME = sp.symbols("r t", real=True)
ODDS = sp.Symbol("q", positive=True)  # r = 1/(1+q): every reset gate inside (0, 1)
STEEPEST = 1 / sp.sqrt(3)  # 2T(1-T²) is largest on [-1, 1] at this T
DIGITS = 50


class Curvature(sp.Function):
    """f'' of an abstract f."""

    nargs = 1


class Slope(sp.Function):
    """f' of an abstract f."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return Curvature(self.args[0])


class Value(sp.Function):
    """An abstract twice differentiable f."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return Slope(self.args[0])


def in_values(expr: sp.Expr) -> sp.Expr:
    """`expr` with f, f' and f'' at each of its arguments a variable of its own.

    Some f in C² takes any values, slopes and curvatures at finitely many points: what vanishes identically in them does
    so for every f, and what does not fails for some f.
    """
    names = {Value: "f", Slope: "f'", Curvature: "f''"}
    return expr.replace(
        lambda e: isinstance(e, (Value, Slope, Curvature)),
        lambda e: sp.Symbol(f"{names[e.func]}({sp.expand(e.args[0])})", real=True),
    )


def excess(f: Function, u: sp.Expr = U, v: sp.Expr = V, r: sp.Expr = RESET) -> sp.Expr:
    """J(u, v, r)."""
    return (1 - r) * f(u) + r * f(u + v) - f(u + r * v)


@dataclass(frozen=True)
class Activation:
    """f, and for a sigmoidal one sup |f''|, reached at ±`peak`, and f'' = -2a T(1-T²) with T = tanh(ct), a = amplitude,
    c = scale; spread: sup over u of |f(u+v) - f(u)|, as an expression in v. low, high: limits of f at ∓∞."""

    name: str
    f: Function
    sup: sp.Expr = sp.S.Zero
    peak: sp.Expr | None = None
    amplitude: sp.Expr = sp.S.One
    scale: sp.Expr = sp.S.One
    spread: sp.Expr = sp.S.Zero
    low: sp.Expr = sp.S.Zero
    high: sp.Expr = sp.S.Zero

    def numeric(self, t: Any) -> Any:
        """f at a number, to the digits that mpmath works with."""
        return _numeric(self.f)(t)

    def steepest(self, u: Any, v: Any) -> Any:
        """max |f''| over the segment [u, u+v] (over where it exists): at an end, or at a peak in between."""
        second = _numeric(self.f, 2)
        low, high = min(u, u + v), max(u, u + v)
        peaks = [] if self.peak is None else [s * mpmath.mpmathify(self.peak.evalf(DIGITS)) for s in (-1, 1)]
        return max(abs(second(t)) for t in (low, high, *(p for p in peaks if low < p < high)))


TANH = Activation(
    "tanh",
    sp.tanh,
    sup=4 / (3 * sp.sqrt(3)),
    peak=sp.log(2 + sp.sqrt(3)) / 2,
    spread=2 * sp.tanh(V / 2),
    low=-sp.S.One,
    high=sp.S.One,
)
SIGMOID = Activation(
    "sigmoid",
    expit,
    sup=sp.sqrt(3) / 18,
    peak=sp.log(2 + sp.sqrt(3)),
    amplitude=sp.Rational(1, 8),
    scale=sp.S.Half,
    spread=sp.tanh(V / 4),
    low=sp.S.Zero,
    high=sp.S.One,
)
RELU = Activation("ReLU", lambda t: sp.Max(t, 0))
BUMP = Activation("1 - tanh²", lambda t: 1 - sp.tanh(t) ** 2)


@lru_cache(maxsize=32)
def _numeric(f: Function, order: int = 0) -> Callable[[Any], Any]:
    derivative = f(TIME).diff(TIME, order).replace(sp.Heaviside, lambda t, *_: sp.Piecewise((1, t > 0), (0, True)))
    # ReLU's second derivative is 0 where it exists.
    return sp.lambdify([TIME], exact_form(derivative), "mpmath")


Slack = Callable[[Activation, Any, Any, Any], tuple[Any, Any]]


def least_slack(
    activation: Activation, slack: Slack, rng: np.random.Generator, trials: int
) -> tuple[float, dict[str, float]]:
    """Least of slack(activation, u, v, r) = (what is to be >= 0, its size), relative, over `trials` segments from short
    to long: anywhere, with 0 at their fractional gate or in the middle, and at a peak of |f''|."""
    least, at = mpmath.inf, {}
    peak = 0.0 if activation.peak is None else float(activation.peak)
    with mpmath.workdps(DIGITS):
        for trial in range(trials):
            v = float(rng.choice([-1, 1]) * 10 ** rng.uniform(-5, 2))
            r = float(rng.uniform(0.01, 0.99))
            u = (float(2 * rng.standard_normal()), -r * v, -v / 2, peak)[trial % 4]
            value, size = slack(activation, *(mpmath.mpf(t) for t in (u, v, r)))
            relative = value / size if size else value
            if relative < least:
                least, at = relative, {"u": u, "v": v, "r": r}
    return float(least), at


def gap_at(activation: Activation, u: Any, v: Any, r: Any) -> Any:
    """J at numbers, by mpmath."""
    f = activation.numeric
    return (1 - r) * f(u) + r * f(u + v) - f(u + r * v)


def sign_change(f: Function, u: sp.Rational, v: sp.Rational, steps: int = 16) -> tuple[str, str] | None:
    """Two reset gates inside (0, 1) between which J changes its sign, proved in ball arithmetic; None if none is seen.

    J is continuous in r: it has a zero between them.
    """
    function = sp.lambdify(
        [RESET],
        exact_form(excess(f, u, v)),
        [{"tanh": lambda t: arb(t).tanh(), "exp": lambda t: arb(t).exp()}],
    )
    before: tuple[sp.Rational, int] | None = None
    precision, ctx.prec = ctx.prec, 128
    try:
        for k in range(1, steps):
            ball = function(arb(k) / steps)
            sign = 1 if ball > 0 else -1 if ball < 0 else 0
            if sign and before and sign != before[1]:
                return str(before[0]), str(sp.Rational(k, steps))
            before = (sp.Rational(k, steps), sign) if sign else before
    finally:
        ctx.prec = precision
    return None


@lru_cache(maxsize=4)
def limits(f: Function) -> tuple[sp.Expr, sp.Expr]:
    """J as t → ∞ along u = -t, u+rv = t and along u+rv = -t, u+v = t, in the odds q of r = 1/(1+q)."""
    ends = {side: sp.limit(exact_form(f(TIME)), TIME, side * sp.oo) for side in (-1, 1)}
    r, t = 1 / (1 + ODDS), TIME

    def far(argument: sp.Expr) -> sp.Expr:
        """Limit of f at a multiple of t, by its sign."""
        return ends[1 if sp.cancel(argument / t).is_positive else -1]

    paths = ((-t, 2 * t / r), (t - 2 * t / (1 - r), 2 * t / (1 - r)))
    below, above = (sp.cancel(excess(far, u, v, r)) for u, v in paths)
    return below, above


LAYER = (
    *sp.symbols("a1 a2 B11 B12 B21 B22 h1 h2", real=True),
    *(expit(sp.Symbol(f"a_r{i}", real=True)) for i in (1, 2)),
)


def off_layer(
    f: Function, chance: Callable[[sp.Expr], sp.Expr], before: bool = False, covariance: sp.Expr = sp.S.Zero
) -> list[sp.Expr]:
    """Of two units, (1-r_i) f((Ax)_i) + r_i f((Ax+Bh)_i) less the mean candidate state over reset gates ρ in {0, 1}².

    P(ρ_i = 1) = chance(r_i), with some covariance. before: f(Ax + B(ρ⊙h)), else f(Ax + ρ⊙Bh).
    """
    a1, a2, b11, b12, b21, b22, h1, h2, *resets = LAYER
    found = []
    for i, (a, parts) in enumerate(((a1, (b11 * h1, b12 * h2)), (a2, (b21 * h1, b22 * h2)))):
        mean = sp.S.Zero
        for gates in itertools.product((0, 1), repeat=2):
            weight = sp.prod(chance(r) if g else 1 - chance(r) for r, g in zip(resets, gates, strict=True))
            weight += covariance * (-1) ** sum(gates)
            kept = [g * part for g, part in zip(gates if before else (gates[i],) * 2, parts, strict=True)]
            mean += weight * f(a + sum(kept, sp.S.Zero))
        found.append((1 - resets[i]) * f(a) + resets[i] * f(a + parts[0] + parts[1]) - mean)
    return found
