"""Expressions of y and known predictors in ball arithmetic: values that are right to the last bit, row by row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import sympy as sp
from flint import arb, ctx

from moe_theory.errors import InputError

BITS = 160


@contextmanager
def precision(bits: int = BITS) -> Iterator[None]:
    """Ball arithmetic at so many bits."""
    before = ctx.prec
    ctx.prec = bits
    try:
        yield
    finally:
        ctx.prec = before


def ball_function(arguments: Sequence[sp.Symbol], expr: sp.Expr) -> Callable[..., arb]:
    """`expr`, made of +, ·, whole powers, exp and log, as a function of balls; InputError for anything else."""
    position = {symbol: i for i, symbol in enumerate(arguments)}

    def made(e: sp.Expr) -> Callable[[Sequence[arb]], arb]:
        if e in position:
            i = position[e]
            return lambda at: at[i]
        if e.is_Rational:
            with precision():
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
