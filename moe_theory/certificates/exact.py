"""Expressions of y and known predictors in ball arithmetic: values that are right to the last bit, row by row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import sympy as sp
from flint import arb, ctx
from sympy.core.evalf import PrecisionExhausted

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
    """`expr`, made of +, ·, whole powers, exp and log, as a function of balls; InputError for anything else.

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
        parts = [made(a) for a in e.args]
        if e.is_Add:
            return lambda at: sum((p(at) for p in parts[1:]), parts[0](at))
        if e.is_Mul:
            return lambda at: math.prod((p(at) for p in parts[1:]), start=parts[0](at))
        if e.is_Pow and e.exp.is_Integer:
            power = int(e.exp)
            return lambda at: parts[0](at) ** power
        if isinstance(e, sp.exp):
            return lambda at: parts[0](at).exp()
        if isinstance(e, sp.log):
            return lambda at: parts[0](at).log()
        raise InputError(f"model: expected +, ·, powers, exp and log of y and known predictors, got {e}")

    whole = made(expr)
    return lambda *at: whole(at)
