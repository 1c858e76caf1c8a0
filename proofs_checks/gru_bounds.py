r"""Bounds of a GRU's gap J = (1-r)f(u) + r f(u+v) - f(u+rv): by f's curvature, by its range, by its slope.

J = v² ∫ K_r(s) f''(u+sv) ds over [0, 1], K_r(s) = min(s(1-r), r(1-s)) >= 0: Peano's kernel of linear interpolation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mpmath
import sympy as sp

from moe_theory.claims import Evidence, Setting, at_least, close, identity
from moe_theory.symbolic.identities import is_identically_positive
from proofs_checks.gru_gap import (
    DIGITS,
    ODDS,
    RELU,
    SIGMOID,
    STEEPEST,
    TANH,
    TIME,
    Activation,
    Curvature,
    Slope,
    Value,
    excess,
    gap_at,
    in_values,
    least_slack,
    limits,
)
from proofs_checks.printed_gru import R, U, V

S = sp.Symbol("s", real=True)


@dataclass(frozen=True)
class Bounds:
    """What is claimed of |J|. In a reset gate r, s in [0, 1] and v:

    kernel: of f'' on [0, r] and [r, 1]. bound, uniform: |J| <= bound(r, v) max |f''|, and <= uniform · v² sup |f''|.
    reach: (a, b) such that J is in [-aΔ, bΔ] for nondecreasing f of range Δ. lipschitz: |J| <= lipschitz(r) L |v| for
    nondecreasing L-Lipschitz f. curved, increasing: activations that the bounds are claimed for.
    """

    kernel: Callable[[sp.Expr, sp.Expr], tuple[sp.Expr, sp.Expr]] = lambda s, r: (s * (1 - r), r * (1 - s))
    bound: Callable[[Any, Any], Any] = lambda r, v: r * (1 - r) * v**2 / 2
    uniform: sp.Expr = sp.S.Half**3
    reach: Callable[[Any], tuple[Any, Any]] = lambda r: (1 - r, r)
    lipschitz: Callable[[sp.Expr], sp.Expr] = lambda r: r * (1 - r)
    curved: tuple[Activation, ...] = (TANH, SIGMOID)
    increasing: tuple[Activation, ...] = (TANH, SIGMOID)


def bounds_hold(setting: Setting, claimed: Bounds) -> Iterator[Evidence]:
    """Evidence for each of them."""
    yield from _interpolation(claimed)
    for activation in claimed.curved:
        yield from _curvature(setting, claimed, activation)
    yield from _range(setting, claimed)
    yield from _lipschitz(claimed)


def _interpolation(claimed: Bounds) -> Iterator[Evidence]:
    """J and f'', for every f in C²."""
    bound, gap = claimed.bound(R, V), excess(Value, r=R)
    parabola = lambda r: excess(lambda t: t**2 / 2, r=r)
    yield identity("f = t²/2", "$|J|$ less its bound: attained", parabola(R) - bound)
    everywhere = claimed.uniform * V**2
    yield identity("f = t²/2", "$|J|$ at $r=1/2$ less its bound for all r: attained", parabola(sp.S.Half) - everywhere)
    square = V**2 / 2 * (R - sp.S.Half) ** 2
    yield identity(
        "bounds", r"the one for all r less that at r, less $\frac12 v^2(r-\frac12)^2$", everywhere - bound - square
    )
    pieces, edges = claimed.kernel(S, R), ((0, R), (R, 1))
    primitive = [k * V * Slope(U + S * V) - k.diff(S) * Value(U + S * V) for k in pieces]
    parts = [p.diff(S) - k * V**2 * Curvature(U + S * V) for p, k in zip(primitive, pieces, strict=True)]
    yield identity("f in C²", "antiderivative of $v^2 K_r(s) f''(u+sv)$ on either side of $s=r$", map(in_values, parts))
    ends = zip(primitive, edges, strict=True)
    integral = sum((p.subs(S, high) - p.subs(S, low) for p, (low, high) in ends), sp.S.Zero)
    yield identity("f in C²", r"$J - v^2\int_0^1 K_r(s) f''(u+sv)\,ds$", in_values(gap - integral))
    # Both pieces are products of numbers in [0, 1], and the one is the lesser on its side: K is min(s(1-r), r(1-s)).
    yield identity("Peano kernel", r"$r(1-s) - s(1-r) - (r-s)$", pieces[1] - pieces[0] - (R - S))
    weight = sum((sp.integrate(sp.expand(k), (S, *e)) for k, e in zip(pieces, edges, strict=True)), sp.S.Zero)
    yield identity("Peano kernel", r"$v^2\int K_r$ less the factor of $\max|f''|$", V**2 * weight - bound)
    order = [gap, gap.diff(V), gap.diff(V, 2) - bound.diff(V, 2) * Curvature(U)]
    what = r"$J$, $\partial_v J$ and $\partial_v^2(J - \frac12 r(1-r)v^2 f''(u))$ at $v=0$: $|J|$/bound goes to 1"
    yield identity("f in C²", what, [in_values(e.subs(V, 0)) for e in order])


def _curvature(setting: Setting, claimed: Bounds, activation: Activation) -> Iterator[Evidence]:
    """|J| against f's curvature, and what that is at most."""
    name, f = activation.name, activation.f

    def local(a: Activation, u: Any, v: Any, r: Any) -> tuple[Any, Any]:
        gap, bound = abs(gap_at(a, u, v, r)), claimed.bound(r, abs(v)) * a.steepest(u, v)
        return bound - gap, max(bound, gap)

    def everywhere(a: Activation, u: Any, v: Any, r: Any) -> tuple[Any, Any]:
        gap = abs(gap_at(a, u, v, r))
        bound = mpmath.mpmathify(sp.N(claimed.uniform * a.sup, DIGITS)) * v**2
        return bound - gap, max(bound, gap)

    trials = 60 if setting.quick else 200
    for what, slack in ((r"\max_{[u,u+v]}|f''|", local), (r"\sup|f''|", everywhere)):
        value, at = least_slack(activation, slack, setting.rng(), trials)
        # 50 digits of f; the bounds it is divided by are above 1e-25.
        text = rf"least relative slack of the bound of $|J|$ by ${what}$"
        yield at_least(name, text, value, 0.0, 1e-20, essential=False, trials=trials, witness=at)
    if activation.peak is None:
        return
    second, t = f(TIME).diff(TIME, 2), sp.tanh(activation.scale * TIME)
    above = [
        activation.sup + second - 2 * activation.amplitude * (t - STEEPEST) ** 2 * (2 * STEEPEST + t),
        activation.sup - second - 2 * activation.amplitude * (t + STEEPEST) ** 2 * (2 * STEEPEST - t),
    ]
    top = second.subs(TIME, activation.peak)
    what = r"$\sup|f''|$ less $|f''|$ where that is largest"
    yield identity(name, f"{what}, {sp.latex(activation.peak, mode='inline')}", activation.sup + top)
    what = r"$\sup|f''| \pm f''$ less $2a(T\mp k)^2(2k\pm T) \geq 0$, $T=\tanh ct$, $k=1/\sqrt3$"
    yield identity(name, what, above)
    with mpmath.workdps(DIGITS):
        v = mpmath.mpf(10) ** -6
        gap = abs(gap_at(activation, mpmath.mpmathify(activation.peak.evalf(DIGITS)), v, mpmath.mpf(1) / 2))
        ratio = gap / (mpmath.mpmathify(sp.N(claimed.uniform * activation.sup, DIGITS)) * v**2)
    # f''' is 0 at the peak: off 1 by less than ½v² sup|f''''|/sup|f''| < 4v².
    yield close(
        name, r"$|J|/(\frac18 v^2\sup|f''|)$ at the peak, $r=1/2$, $v=10^{-6}$", float(ratio), 1.0, 4e-12, False
    )


def _range(setting: Setting, claimed: Bounds) -> Iterator[Evidence]:
    """|J| against f's range over the segment, for long segments."""

    def slack(a: Activation, u: Any, v: Any, r: Any) -> tuple[Any, Any]:
        gap, rise = gap_at(a, u, v, r) * mpmath.sign(v), abs(a.numeric(u + v) - a.numeric(u))
        below, above = claimed.reach(r)
        return min(gap + below * rise, above * rise - gap), max(abs(gap), rise)

    trials = 60 if setting.quick else 200
    below, above = claimed.reach(R)
    for activation in claimed.increasing:
        value, at = least_slack(activation, slack, setting.rng(), trials)
        text = r"least relative slack of $-(1-r)\Delta \leq J \leq r\Delta$"
        yield at_least(activation.name, text, value, 0.0, 1e-20, essential=False, trials=trials, witness=at)
    rise, point = Value(U + V) - Value(U), Value(U + R * V)
    what = (
        r"$J + (1-r)\Delta$ less $f(u+v)-f(u+rv)$ and $r\Delta - J$ less $f(u+rv)-f(u)$, both $\geq 0$ if f increases"
    )
    sides = [
        excess(Value, r=R) + below * rise - (Value(U + V) - point),
        above * rise - excess(Value, r=R) - (point - Value(U)),
    ]
    yield identity("nondecreasing f", what, map(in_values, sides))
    reached = [side.subs(R, 1 / (1 + ODDS)) for side in (-below, above)]
    for a in (a for a in claimed.increasing if a.peak is not None):
        width, extremes = a.high - a.low, limits(a.f)
        off = [e - side * width for e, side in zip(extremes, reached, strict=True)]
        what = r"$J$ less $-(1-r)(\sup f - \inf f)$ and less $r(\sup f-\inf f)$ in the limit of long segments"
        odds = sp.Symbol("q", real=True)
        yield identity(a.name, what, [e.subs(ODDS, sp.exp(odds)) for e in off])
        ends = [sp.limit(extremes[0], ODDS, sp.oo) + width, sp.limit(extremes[1], ODDS, 0) - width]
        what = rf"these as $r\to0$ and $r\to1$, less $\mp{sp.latex(width)}$: the worst gap, approached, not attained"
        yield identity(a.name, what, ends)
        slope = f_slope(a)
        yield Evidence(
            "identity",
            a.name,
            "f', so that $|J| < $ the worst gap",
            is_identically_positive(slope) or None,
            relation=">",
        )
        c = a.scale
        grown, wide = a.f(U + V) - a.f(U), sp.cosh(c * (2 * U + V))
        middle = a.spread - (a.f(V / 2) - a.f(-V / 2))
        yield identity(a.name, rf"${sp.latex(a.spread)}$ less $\Delta$ on the segment with its middle at 0", middle)
        what = (
            rf"$({sp.latex(a.spread)} - \Delta)(\cosh c(2u+v)+\cosh cv)$ less a multiple of $\cosh c(2u+v) - 1$:"
            r" the largest $\Delta$"
        )
        yield identity(a.name, what, (a.spread - grown) * (wide + sp.cosh(c * V)) - a.spread * (wide - 1))


def _lipschitz(claimed: Bounds) -> Iterator[Evidence]:
    """|J| against a Lipschitz constant: what is left without a second derivative."""
    point = Value(U + R * V)
    first, second = point - Value(U), Value(U + V) - point
    what = "$J$ less $r(f(u+v)-f(u+rv)) - (1-r)(f(u+rv)-f(u))$, of which each is in $[0, r(1-r)Lv]$ if f increases"
    yield identity("L-Lipschitz f", what, in_values(excess(Value, r=R) - R * second + (1 - R) * first))
    v, r = sp.Symbol("v", positive=True), 1 / (1 + ODDS)
    attained = excess(lambda t: RELU.f(sp.factor(t)), -r * v, v, r)
    logs = dict(zip((v, ODDS), (sp.exp(t) for t in sp.symbols("v q", real=True)), strict=True))
    what = r"$J$ less $r(1-r)Lv$ at $u=-rv$: attained; $J/v^2$ is unbounded as $v\to0$"
    yield identity("ReLU", what, (attained - claimed.lipschitz(r) * v).subs(logs))


def f_slope(activation: Activation) -> sp.Expr:
    """f' in exponentials, one quotient."""
    return sp.together(sp.expand(activation.f(TIME).diff(TIME).rewrite(sp.exp)))
