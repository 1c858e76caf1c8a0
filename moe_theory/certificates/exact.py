"""Expressions of y and known predictors in ball arithmetic: values that are right to the last bit, row by row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import sympy as sp
from flint import arb, ctx
from sympy.core.evalf import PrecisionExhausted

from moe_theory.atoms import LogSumExp, expit, log_factorial, softplus
from moe_theory.errors import InputError

BITS = 160
MOST = 40_000  # bits, for a constant in which much cancels
LEAST = arb(2) ** -1100  # less than any double
KNOWN = 60  # bits of a value that is known to the last bit of a double, and a little further


def number(expr: sp.Expr) -> float:
    """A constant to the last bit, whatever cancels in it; InputError where that cannot be had."""
    expr, bits = sp.sympify(expr), BITS
    if expr.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
        raise InputError(f"model: expected constants that are finite, got {expr}")
    try:
        while bits <= MOST:
            with precision(bits):
                value = ball_function((), expr, bits)()
                if value.rel_accuracy_bits() > KNOWN or abs(value) < LEAST:
                    return float(value.mid())
            bits *= 4
    except InputError:  # a root, say
        try:
            return float(expr.evalf(30, maxn=MOST // 4, strict=True))
        except (PrecisionExhausted, TypeError):
            pass
    raise InputError(f"model: expected constants that can be evaluated, got {expr}")


@contextmanager
def precision(bits: int = BITS) -> Iterator[None]:
    """Ball arithmetic at so many bits."""
    before = ctx.prec
    ctx.prec = bits
    try:
        yield
    finally:
        ctx.prec = before


def ball_function(arguments: Sequence[sp.Symbol], expr: sp.Expr, bits: int = BITS) -> Callable[..., arb]:
    """`expr`, made of +, ·, powers, pi and `FUNCTIONS`, as a function of balls; InputError for anything else.

    bits: that its rational constants are rounded to.
    """
    position = {symbol: i for i, symbol in enumerate(arguments)}

    def made(e: sp.Expr) -> Callable[[Sequence[arb]], arb]:
        if e in position:
            i = position[e]
            return lambda at: at[i]
        if e.is_Rational:
            with precision(bits):
                exact = arb(int(e.p)) / arb(int(e.q))
            return lambda at: exact
        if e is sp.pi:
            return lambda at: arb.pi()
        parts = [made(a) for a in e.args]
        if e.is_Add:
            return lambda at: sum((p(at) for p in parts[1:]), parts[0](at))
        if e.is_Mul:
            return lambda at: math.prod((p(at) for p in parts[1:]), start=parts[0](at))
        if e.is_Pow and e.exp.is_Integer:
            power = int(e.exp)
            return lambda at: parts[0](at) ** power
        if e.is_Pow and e.exp.is_Rational:
            p, q = int(e.exp.p), int(e.exp.q)
            return lambda at: parts[0](at).root(q) ** p
        if type(e) in FUNCTIONS:
            function = FUNCTIONS[type(e)]
            return lambda at: function(*(p(at) for p in parts))
        known = ", ".join(sorted(f.__name__ for f in FUNCTIONS))
        raise InputError(f"model: expected +, ·, powers, pi, {known} of y and known predictors, got {e}")

    whole = made(expr)
    return lambda *at: whole(at)


def _softplus(t: arb) -> arb:
    # Both forms are right; the one whose exponential is small does not overflow.
    return t + (-t).exp().log1p() if t.mid() > 0 else t.exp().log1p()


FUNCTIONS: dict[type[sp.Basic], Callable[..., arb]] = {
    sp.exp: arb.exp,
    sp.log: arb.log,
    sp.tanh: arb.tanh,
    sp.cosh: arb.cosh,
    sp.sinh: arb.sinh,
    sp.loggamma: arb.lgamma,
    sp.gamma: arb.gamma,
    sp.factorial: lambda n: (n + 1).gamma(),
    sp.binomial: lambda n, k: ((n + 1).lgamma() - (k + 1).lgamma() - (n - k + 1).lgamma()).exp(),
    sp.beta: lambda a, b: (a.lgamma() + b.lgamma() - (a + b).lgamma()).exp(),
    log_factorial: lambda n: (n + 1).lgamma(),
    softplus: _softplus,
    expit: lambda t: (-_softplus(-t)).exp(),
    LogSumExp: lambda *terms: sum((t.exp() for t in terms), arb(0)).log(),
}
