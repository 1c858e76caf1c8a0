"""Lowering of expressions to vectorised NumPy functions that always return full shapes and survive pickling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy as sp
from scipy.special import digamma, erf, erfc, erfcx, gamma, gammaln, log_ndtr, polygamma
from sympy.printing.numpy import NumPyPrinter

from moe_theory.atoms import STABLE, step
from moe_theory.symbolic.identities import constant
from moe_theory.validation import Array

_NUMPY = {
    "positive_part": lambda t: np.maximum(t, 0.0),
    "relu": lambda t: np.maximum(t, 0.0),
    "step": lambda t: (t > 0.0).astype(float),
    "negative_part": lambda t: np.minimum(t, 0.0),
    "log1p": np.log1p,
    "decay": lambda t: np.exp(np.minimum(-t, 709.0)),
    "reciprocal": np.reciprocal,
    "larger": np.maximum,
    "indicator": lambda y, value: np.equal(y, value) * 1.0,
    "erf": erf,
    "erfc": erfc,
    "log_factorial": lambda y: gammaln(y + 1.0),
    "loggamma": gammaln,
    "gamma": gamma,
    "digamma": digamma,
    "polygamma": lambda n, t: polygamma(int(n), t),
    "log_ndtr": log_ndtr,
    "mills": lambda t: np.sqrt(2 / np.pi) / erfcx(-t / np.sqrt(2.0)),
    "LogSumExp": lambda *terms: log_sum_exp(np.stack(np.broadcast_arrays(*terms))),
}


def log_sum_exp(terms: Array) -> Array:
    """log Σ exp over the first axis, relatively accurate also near 0; -inf is allowed where another term is finite."""
    top = np.argmax(terms, axis=0)[None]
    largest = np.take_along_axis(terms, top, axis=0)
    shares = np.exp(terms - largest)
    np.put_along_axis(shares, top, 0.0, axis=0)
    return largest[0] + np.log1p(np.sum(shares, axis=0))


class Compiled:
    """A stack of expressions in `arguments` as one function of arrays.

    Called with one array of shape (n,) per argument it returns (len(expressions), n), constants broadcast. `constant`
    holds the value of every expression that is a number (so that callers can skip or hoist it), else None. Compiled
    at the first call; pickling keeps the expressions only. sharing: see `lower_atoms`. cse: False is for testing that
    the elimination of common subexpressions changes nothing.
    """

    def __init__(
        self, arguments: Sequence[sp.Symbol], expressions: Sequence[sp.Expr], cse: bool = True, sharing: bool = False
    ) -> None:
        self.arguments = tuple(arguments)
        self.expressions = tuple(sp.sympify(e) for e in expressions)
        self.constant = tuple(float(constant(e)) if e.is_number else None for e in self.expressions)
        self.cse, self.sharing = cse, sharing
        self._function: Callable[..., Any] | None = None

    def __call__(self, *arrays: Array) -> Array:
        if self._function is None:
            self._function = self._compile()
        values = self._function(*arrays)
        out = np.empty((len(values), len(arrays[0])))
        for row, value in zip(out, values, strict=True):
            row[...] = value
        return out

    def rows(self, *arrays: Array) -> list[Any]:
        """The same without stacking: a list of arrays of shape (n,), or of scalars where the value is constant."""
        if self._function is None:
            self._function = self._compile()
        return list(self._function(*arrays))

    def _compile(self) -> Callable[..., Any]:
        lowered = [lower_atoms(e, self.sharing) for e in self.expressions]
        printer = NumPyPrinter({"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True})
        return sp.lambdify(self.arguments, lowered, modules=[_NUMPY, "numpy"], cse=self.cse, printer=printer)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_function": None}


def lower_atoms(expr: sp.Expr, sharing: bool = False) -> sp.Expr:
    """Replace the stable functions by primitives that do not overflow.

    By default none loses relative accuracy; with `sharing` the fewest exponentials are computed and a logarithm near 0
    is accurate to rounding of 1 only (enough for sums over rows).
    """
    # Kinks have the derivatives that they have almost everywhere.
    expr = expr.replace(sp.DiracDelta, lambda *_: sp.Integer(0)).replace(sp.Heaviside, lambda t, *_: step(t))
    expr = _with_constants(expr)
    return expr.replace(lambda e: isinstance(e, STABLE), lambda e: e.lowered_sharing() if sharing else e.lowered())


def _with_constants(expr: sp.Basic) -> sp.Basic:
    """Every number that is an expression, as large as it goes, evaluated: doubles would lose what cancels in it, and
    NumPy has no logarithm of integers beyond 64 bits."""
    if not expr.args:
        return expr
    if isinstance(expr, sp.Expr) and expr.is_number:
        return constant(expr)
    if isinstance(expr, sp.Add):
        return sp.Add(*(constant(c) * _with_constants(e) for e, c in _coefficients(expr).items()))
    if isinstance(expr, sp.Mul):
        numbers = [a for a in expr.args if a.is_number]
        others = [_with_constants(a) for a in expr.args if not a.is_number]
        return sp.Mul(_with_constants(sp.Mul(*numbers)), *others)
    return expr.func(*map(_with_constants, expr.args))


def _coefficients(total: sp.Add) -> dict[sp.Expr, sp.Expr]:
    """{product of what is no number: the number before it, all terms together}."""
    found: dict[sp.Expr, sp.Expr] = {}
    for term in total.args:
        number, rest = term.as_independent(*term.free_symbols, as_Add=False)
        found[rest] = found.get(rest, sp.Integer(0)) + number
    return found
