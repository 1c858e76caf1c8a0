"""Activations g of the experts y | z=i ~ N(g(a_i'x), σ²): a name, an expression, a Python callable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import mpmath
import numpy as np
import sympy as sp
from numpy.typing import ArrayLike
from sympy.core.function import AppliedUndef
from sympy.printing.pycode import MpmathPrinter

from moe_theory.atoms import exact, expit
from moe_theory.errors import InputError
from moe_theory.primitives import larger
from moe_theory.stable import stable
from moe_theory.symbolic.identities import exact_form
from moe_theory.symbolic.lower import Compiled
from moe_theory.validation import Array

ACTIVATION_ARGUMENT = sp.Symbol("u", real=True)
SLOPE = sp.Symbol("slope", positive=True)
NAMES = ("linear", "relu", "leaky-relu", "sigmoid", "tanh")
PROBES = (-1.3, -0.4, 0.6, 1.7)  # where a callable is tried
STEP = 1e-3  # of the five-point rule: truncation of order STEP⁴, rounding of order 1e-16 / STEP

Mode = Literal["expression", "mpmath", "array", "element"]


class _Tanh(sp.Function):
    """tanh whose derivative does not cancel in the tails."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return 4 * expit(2 * self.args[0]) * expit(-2 * self.args[0])


@dataclass(frozen=True)
class Activation:
    """A real function g of one real argument.

    name: for people. expr: SymPy in `ACTIVATION_ARGUMENT`, None for a callable that takes numbers only; further symbols
    are parameters. callable: what was given, where there is no expression. mode: how it is evaluated: from the
    expression, on mpmath numbers (at any precision), on arrays of floats, or on one float at a time.
    """

    name: str
    expr: sp.Expr | None
    callable: Callable[[Any], Any] | None = None
    mode: Mode = "expression"

    @property
    def parameters(self) -> tuple[sp.Symbol, ...]:
        """Symbols other than the argument, by name."""
        if self.expr is None:
            return ()
        return tuple(sorted(self.expr.free_symbols - {ACTIVATION_ARGUMENT}, key=str))

    def function(self, u: ArrayLike) -> Array:
        """g at an array of any shape; InputError if a parameter has no value."""
        u = np.asarray(u, dtype=float)
        if self.callable is not None:
            return _floats(self.callable, self.mode, u)
        self.require_numbers()
        return _evaluated(self._value, u)

    def slope(self, u: ArrayLike) -> Array:
        """g' at an array of any shape; by differences of g, good to some 12 digits, where there is no expression."""
        u = np.asarray(u, dtype=float)
        self.require_numbers()
        if self._derivative is not None:
            return _evaluated(self._derivative, u)
        h = STEP * np.maximum(1.0, np.abs(u))
        f = self.function
        return (8 * (f(u + h) - f(u - h)) - (f(u + 2 * h) - f(u - 2 * h))) / (12 * h)

    def at(self, u: mpmath.mpf) -> mpmath.mpf:
        """g at one number, to mpmath's working precision; InputError where there is no real finite value."""
        try:
            value = self._high_precision(u)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise InputError(
                f"activation: expected a real function of every real u, failed at {mpmath.nstr(u, 6)}"
            ) from error
        if isinstance(value, mpmath.mpc | complex) and not mpmath.im(value):
            value = mpmath.re(value)
        if not isinstance(value, mpmath.mpf | float | int) or not mpmath.isfinite(value):
            raise InputError(
                f"activation: expected a real function of every real u, got {value} at {mpmath.nstr(u, 6)}"
            )
        return mpmath.mpf(value)

    def require_numbers(self) -> None:
        """InputError, with the names, if there are parameters without a value."""
        if self.parameters:
            names = ", ".join(map(str, self.parameters))
            raise InputError(f"{names}: expected a number, got a symbol (in g = {self.expr})")

    @cached_property
    def _value(self) -> Callable[[Array], Array]:
        return _compiled(_stable(sp.sympify(self.expr)))

    @cached_property
    def _derivative(self) -> Callable[[Array], Array] | None:
        """None where there is no expression, or SymPy has no derivative of it."""
        if self.expr is None:
            return None
        inner = _stable(self.expr).replace(sp.tanh, _Tanh)
        found = inner.diff(ACTIVATION_ARGUMENT).replace(_Tanh, sp.tanh)
        found = found.replace(sp.DiracDelta, lambda *_: sp.Integer(0))  # a jump: g' is wanted almost everywhere
        return None if found.has(sp.Derivative, sp.Subs) else _compiled(found)

    @cached_property
    def _high_precision(self) -> Callable[[Any], Any]:
        if self.expr is None:
            if self.callable is not None and self.mode == "mpmath":
                return self.callable
            return lambda u: float(self.function(float(u)))
        kinks = (sp.Heaviside, sp.sign)
        expr = exact_form(self.expr).replace(lambda e: isinstance(e, kinks), lambda e: e.rewrite(sp.Piecewise))
        printer = MpmathPrinter({"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True})
        return sp.lambdify([ACTIVATION_ARGUMENT], expr, modules=["mpmath"], printer=printer)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if not key.startswith("_")}

    def _repr_latex_(self) -> str:
        body = self.name if self.expr is None else sp.latex(self.expr)
        return f"$g(u) = {body}$" if self.expr is not None else rf"$g = \mathrm{{{body}}}$"


def activation(g: Any) -> Activation:
    """g as an `Activation`.

    g: one of linear, relu, leaky-relu (with a symbol `slope`; see `leaky_relu`), sigmoid, tanh; a SymPy expression in
    one symbol (or in u = `ACTIVATION_ARGUMENT` and parameters), whose floats are taken as the decimals they print as;
    a callable, asked for an expression first, then for mpmath numbers, then for arrays and single floats.

    >>> activation("sigmoid").expr, activation(lambda t: t**3 + t).expr
    (expit(u), u**3 + u)
    """
    if isinstance(g, Activation):
        return g
    if isinstance(g, str):
        return _named(g)
    if isinstance(g, sp.Expr):
        return _from_expression(g)
    if callable(g):
        return _from_callable(g)
    raise InputError(f"activation: expected a name, a SymPy expression or a callable, got {type(g).__name__}")


def leaky_relu(slope: Any = SLOPE) -> Activation:
    """max(u, 0) + slope min(u, 0); slope: a number (a float is the decimal it prints as) or a SymPy symbol."""
    try:
        s = exact(slope)
    except (sp.SympifyError, TypeError, ValueError) as error:
        raise InputError(f"slope: expected a number or a symbol, got {slope!r}") from error
    if s.is_extended_real is not True or s.is_finite is False or s.has(ACTIVATION_ARGUMENT):
        raise InputError(f"slope: expected a real number or a real symbol, got {slope}")
    u = ACTIVATION_ARGUMENT
    name = "leaky-relu" if s == SLOPE else f"leaky-relu({slope})"
    return Activation(name, sp.Max(u, 0) + s * sp.Min(u, 0))


def _named(name: str) -> Activation:
    u = ACTIVATION_ARGUMENT
    known = {"linear": u, "relu": sp.Max(u, 0), "sigmoid": expit(u), "tanh": sp.tanh(u)}
    if name == "leaky-relu":
        return leaky_relu()
    if name not in known:
        raise InputError(
            f"activation: expected one of {', '.join(NAMES)}, or an expression or a callable, got {name!r}"
        )
    return Activation(name, known[name])


def _from_expression(expr: sp.Expr, name: str | None = None) -> Activation:
    symbols = sorted(expr.free_symbols, key=str)
    argument = [s for s in symbols if s == ACTIVATION_ARGUMENT] or [s for s in symbols if s.name == "u"] or symbols
    if len(argument) > 1:
        names = ", ".join(map(str, symbols))
        raise InputError(f"activation: expected one symbol, or the argument to be called u, got symbols {names}")
    if argument and argument[0] != ACTIVATION_ARGUMENT:
        expr = expr.subs(argument[0], ACTIVATION_ARGUMENT)
    imaginary = [s.name for s in expr.free_symbols if s.is_extended_real is not True]
    if imaginary:
        raise InputError(f"{', '.join(sorted(imaginary))}: expected a parameter declared real=True")
    if expr.atoms(AppliedUndef):
        raise InputError(f"activation: expected a known function, got {expr.atoms(AppliedUndef).pop()}")
    expr = exact(expr)
    if expr.has(sp.I, sp.nan, sp.zoo, sp.oo, sp.S.NegativeInfinity) or expr.is_real is False:
        raise InputError(f"activation: expected a real function, got {expr}")
    return Activation(name or str(expr), expr)


def _from_callable(g: Callable[[Any], Any]) -> Activation:
    name = getattr(g, "__name__", type(g).__name__)
    found = _asked_for_expression(g)
    if found is not None:
        return _from_expression(found, None if name == "<lambda>" else name)
    if _keeps_precision(g):
        return Activation(name, None, g, "mpmath")
    return Activation(name, None, g, _float_mode(g))


def _asked_for_expression(g: Callable[[Any], Any]) -> sp.Expr | None:
    """g(u) if that is an expression in u with g's values."""
    try:
        found = g(ACTIVATION_ARGUMENT)
        expr = sp.sympify(found, strict=True)
        if not isinstance(expr, sp.Expr) or expr.free_symbols - {ACTIVATION_ARGUMENT} or expr.atoms(AppliedUndef):
            return None
        values = [(complex(expr.subs(ACTIVATION_ARGUMENT, p)), complex(g(p))) for p in PROBES]
    except Exception:  # whatever a callable may raise when it is given a symbol
        return None
    return expr if all(abs(a - b) <= 1e-9 * (1 + abs(b)) for a, b in values) else None


def _keeps_precision(g: Callable[[Any], Any]) -> bool:
    """Whether g takes mpmath numbers and sees digits beyond those of a float."""
    with mpmath.workdps(60):
        near, far = mpmath.mpf("1e-25"), mpmath.mpf("1e-5")
        try:
            found = [[g(mpmath.mpf(p) + d) for d in (0, near, -near, far, -far)] for p in PROBES]
        except Exception:  # whatever a callable may raise when it is given such a number
            return False
        if any(isinstance(v, float) or not isinstance(v, mpmath.mpf | int) for row in found for v in row):
            return False
        # A function that goes through floats is constant, in part, over steps that they do not see.
        slopes = [((b - c) / (2 * near), (d - e) / (2 * far)) for _, b, c, d, e in found]
        return all(abs(fine - coarse) <= (1 + abs(coarse)) / 1000 for fine, coarse in slopes)


def _float_mode(g: Callable[[Any], Any]) -> Mode:
    try:
        single = np.array([float(g(p)) for p in PROBES])
    except Exception as error:
        raise InputError(
            f"activation: expected a callable of one real number, failed at {PROBES[0]}: {error}"
        ) from error
    try:
        whole = np.asarray(g(np.array(PROBES)), dtype=float)
    except Exception:  # it takes one number at a time
        return "element"
    return "array" if whole.shape == single.shape and np.allclose(whole, single, rtol=1e-9) else "element"


def _floats(g: Callable[[Any], Any], mode: Mode, u: Array) -> Array:
    with np.errstate(all="ignore"):
        if mode == "array":
            return np.asarray(g(u.ravel()), dtype=float).reshape(u.shape)
        found = np.empty(u.size)
        for i, v in enumerate(u.ravel().tolist()):
            try:
                found[i] = g(v)
            except (ArithmeticError, ValueError, TypeError) as error:
                raise InputError(
                    f"activation: expected a real function of every real u, failed at {v:g}: {error}"
                ) from error
        return found.reshape(u.shape)


def _evaluated(function: Callable[[Array], Array], u: Array) -> Array:
    # Branches that are not taken may overflow.
    with np.errstate(all="ignore"):
        return np.asarray(function(u.ravel()), dtype=float).reshape(u.shape)


def _compiled(expr: sp.Expr) -> Callable[[Array], Array]:
    expr = expr.replace(sp.Max, lambda *terms: _largest(terms))
    expr = expr.replace(sp.Min, lambda *terms: -_largest([-t for t in terms]))
    table = Compiled([ACTIVATION_ARGUMENT], [expr])
    try:
        table(np.array(PROBES))
    except (NameError, TypeError):  # a special function that the kernels have no use for
        plain = sp.lambdify([ACTIVATION_ARGUMENT], expr, modules=[{"larger": np.maximum}, "scipy", "numpy"])
        return lambda u: np.broadcast_to(plain(u), u.shape)
    return lambda u: table(u)[0]


def _largest(terms: Any) -> sp.Expr:
    first, *rest = terms
    for term in rest:
        first = larger(first, term)
    return first


def _stable(expr: sp.Expr) -> sp.Expr:
    """`expr` with log(1 + exp(t)) and 1 / (1 + exp(t))^n written by functions that do not overflow."""
    if expr.has(sp.log, sp.exp) and not expr.has(sp.cosh, sp.tanh):
        expr = stable(expr)

    def logistic(base: sp.Expr, power: sp.Expr) -> sp.Expr:
        rest = base - 1
        return expit(-rest.args[0]) ** -power if isinstance(rest, sp.exp) else base**power

    return expr.replace(lambda e: isinstance(e, sp.Pow) and e.exp.is_negative, lambda e: logistic(e.base, e.exp))
