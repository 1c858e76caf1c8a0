"""Stable scalar functions for declaring log-densities.

Each is a SymPy function with its derivative, an exact rewrite in `exp` and `log` (for proofs and for evaluation at
high precision) and an overflow-free rewrite in |t|, min(t, 0), max(t, 0) (for the NumPy kernels).
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from typing import Any

import sympy as sp

from moe_theory.errors import InputError
from moe_theory.primitives import decay, larger, log1p, negative_part, positive_part, reciprocal


class indicator(sp.Function):  # noqa: N801
    """1 where y equals a number, else 0: how the experts of a categorical response are told apart.

    >>> indicator(sp.Symbol("y", real=True), 2).subs("y", 2), indicator(1, 2)
    (indicator(y, 2), 0)
    """

    nargs = 2
    is_real = True
    is_nonnegative = True

    @classmethod
    def eval(cls, y: sp.Expr, value: sp.Expr) -> sp.Expr | None:
        return sp.Integer(int(y == value)) if y.is_number and value.is_number else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sp.Integer(0)  # where it is differentiated, the other value is fixed

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        body = rf"1_{{{printer._print(self.args[0])}={printer._print(self.args[1])}}}"
        return body if exp is None else rf"{body}^{{{exp}}}"


class step(sp.Function):  # noqa: N801
    """1 for t > 0, else 0: the slope of `relu`; its own is 0 wherever it has one."""

    nargs = 1
    is_real = True
    is_nonnegative = True

    @classmethod
    def eval(cls, t: sp.Expr) -> sp.Expr | None:
        return sp.Integer(int(bool(t > 0))) if t.is_number and t.is_comparable else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sp.Integer(0)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        body = rf"1_{{{printer._print(self.args[0])}>0}}"
        return body if exp is None else rf"{body}^{{{exp}}}"


class relu(sp.Function):  # noqa: N801
    """max(t, 0) with a derivative that kernels can evaluate.

    >>> t = sp.Symbol("t", real=True)
    >>> relu(t).diff(t), relu(t).diff(t, 2), relu(-2)
    (step(t), 0, 0)
    """

    nargs = 1
    is_real = True
    is_nonnegative = True

    @classmethod
    def eval(cls, t: sp.Expr) -> sp.Expr | None:
        return sp.Max(t, 0) if t.is_number and t.is_comparable else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return step(self.args[0])

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        body = rf"\left({printer._print(self.args[0])}\right)_+"
        return body if exp is None else rf"{body}^{{{exp}}}"


class log_factorial(sp.Function):  # noqa: N801
    """log y! = log Γ(y + 1), for y > -1: the base measure of a Poisson law, and what log-gamma functions become."""

    nargs = 1
    is_real = True

    @classmethod
    def eval(cls, y: sp.Expr) -> sp.Expr | None:
        if y.is_Integer and y.is_nonnegative and y < 171:
            return sp.log(sp.factorial(y))
        return None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sp.polygamma(0, self.args[0] + 1)

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return sp.loggamma(self.args[0] + 1)._eval_evalf(prec)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        body = rf"\log {printer.parenthesize(self.args[0], 1000)}!"
        return body if exp is None else rf"\left({body}\right)^{{{exp}}}"


class mills(sp.Function):  # noqa: N801
    """φ(t)/Φ(t), the inverse Mills ratio of the standard normal law: the slope of `log_ndtr`."""

    nargs = 1
    is_real = True
    is_positive = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        t = self.args[0]
        return -mills(t) * (t + mills(t))

    def _eval_rewrite_as_exp(self, t: sp.Expr, **kwargs: Any) -> sp.Expr:
        return sp.sqrt(2 / sp.pi) * sp.exp(-(t**2) / 2) / sp.erfc(-t / sp.sqrt(2))

    def lowered(self) -> sp.Expr:
        """The same call: a primitive of the kernels."""
        return self

    lowered_sharing = lowered

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return self.rewrite(sp.exp)._eval_evalf(prec)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        t = printer._print(self.args[0])
        body = rf"\frac{{\varphi\left({t}\right)}}{{\Phi\left({t}\right)}}"
        return body if exp is None else rf"\left({body}\right)^{{{exp}}}"


class log_ndtr(sp.Function):  # noqa: N801
    """log Φ(t), Φ the standard normal distribution function: a probit gate that stays finite far out.

    >>> t = sp.Symbol("t", real=True)
    >>> log_ndtr(t).diff(t), log_ndtr(0)
    (mills(t), -log(2))
    """

    nargs = 1
    is_real = True
    is_negative = True

    @classmethod
    def eval(cls, t: sp.Expr) -> sp.Expr | None:
        return -sp.log(2) if t.is_zero else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return mills(self.args[0])

    def _eval_rewrite_as_exp(self, t: sp.Expr, **kwargs: Any) -> sp.Expr:
        return sp.log(sp.erfc(-t / sp.sqrt(2)) / 2)

    def lowered(self) -> sp.Expr:
        """The same call: a primitive of the kernels."""
        return self

    lowered_sharing = lowered

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return self.rewrite(sp.exp)._eval_evalf(prec)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        body = rf"\log\Phi\left({printer._print(self.args[0])}\right)"
        return body if exp is None else rf"\left({body}\right)^{{{exp}}}"


class expit(sp.Function):  # noqa: N801
    """The logistic sigmoid 1 / (1 + exp(-t)).

    >>> t = sp.Symbol("t", real=True)
    >>> expit(t).diff(t)
    expit(-t)*expit(t)
    """

    nargs = 1
    is_real = True
    is_positive = True

    @classmethod
    def eval(cls, t: sp.Expr) -> sp.Expr | None:
        return sp.Rational(1, 2) if t.is_zero else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        t = self.args[0]
        return expit(t) * expit(-t)

    def _eval_rewrite_as_exp(self, t: sp.Expr, **kwargs: Any) -> sp.Expr:
        return 1 / (1 + sp.exp(-t))

    def lowered(self) -> sp.Expr:
        t = self.args[0]
        return sp.exp(negative_part(t)) / (1 + sp.exp(-sp.Abs(t)))

    def lowered_sharing(self) -> sp.Expr:
        """From the one exponential that σ(t), σ(-t) and their logarithms have in common."""
        t = self.args[0]
        if t.could_extract_minus_sign():
            return decay(-t) * reciprocal(1 + decay(-t))
        return reciprocal(1 + decay(t))

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return self.rewrite(sp.exp)._eval_evalf(prec)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        body = rf"\sigma\left({printer._print(self.args[0])}\right)"
        return body if exp is None else rf"{body}^{{{exp}}}"


class softplus(sp.Function):  # noqa: N801
    """log(1 + exp(t)), the log-partition of a Bernoulli law.

    >>> t = sp.Symbol("t", real=True)
    >>> softplus(t).diff(t)
    expit(t)
    """

    nargs = 1
    is_real = True
    is_positive = True

    @classmethod
    def eval(cls, t: sp.Expr) -> sp.Expr | None:
        return sp.log(2) if t.is_zero else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return expit(self.args[0])

    def _eval_rewrite_as_exp(self, t: sp.Expr, **kwargs: Any) -> sp.Expr:
        return sp.log(1 + sp.exp(t))

    def lowered(self) -> sp.Expr:
        t = self.args[0]
        return positive_part(t) + log1p(sp.exp(-sp.Abs(t)))

    def lowered_sharing(self) -> sp.Expr:
        """From the same exponential as σ(±t); accurate to rounding of max(1, |t|), not relative to a tiny value."""
        t = self.args[0]
        negative = -t if not t.could_extract_minus_sign() else t
        value = larger(sp.log(1 + decay(-negative)), negative)
        return value if negative == t else t + value

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return self.rewrite(sp.exp)._eval_evalf(prec)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        body = rf"\log\left(1+e^{{{printer._print(self.args[0])}}}\right)"
        return body if exp is None else rf"{body}^{{{exp}}}"


class LogSumExp(sp.Function):
    """log Σ exp(t_i) of three or more terms (two are a `softplus`), the log-partition of a categorical law."""

    is_real = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """The softmax, from the terms' differences so that it neither overflows nor cancels."""
        own = self.args[argindex - 1]
        return sp.exp(-log_sum_exp([sp.expand(t - own) for t in self.args]))

    def _eval_rewrite_as_exp(self, *args: sp.Expr, **kwargs: Any) -> sp.Expr:
        return sp.log(sp.Add(*(sp.exp(t) for t in args)))

    def lowered(self) -> sp.Expr:
        """The same call: a primitive of the kernels."""
        return self

    lowered_sharing = lowered

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return self.rewrite(sp.exp)._eval_evalf(prec)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        terms = "+".join("1" if t == 0 else f"e^{{{printer._print(t)}}}" for t in self.args)
        body = rf"\log\left({terms}\right)"
        return body if exp is None else rf"{body}^{{{exp}}}"


STABLE = (expit, softplus, LogSumExp, log_ndtr, mills)


def log_expit(t: sp.Expr) -> sp.Expr:
    """log of the logistic sigmoid, -softplus(-t)."""
    return -softplus(-sp.sympify(t))


def log_normal(y: sp.Expr, mean: sp.Expr, sigma: Any = 1) -> sp.Expr:
    """log density at `y` of N(mean, sigma^2); a float sigma is taken as the decimal it prints as."""
    s = exact(sigma)
    return -((y - mean) ** 2) / (2 * s**2) - sp.log(2 * sp.pi * s**2) / 2


def log_poisson(y: sp.Expr, log_mean: sp.Expr) -> sp.Expr:
    """log probability of `y` = 0, 1, 2, … under the Poisson law with that log-mean."""
    return y * log_mean - sp.exp(log_mean) - log_factorial(y)


def log_categorical(y: sp.Expr, logits: list[sp.Expr]) -> sp.Expr:
    """log probability of `y` in 0 … C-1 under the categorical law with these logits."""
    chosen = sum((indicator(y, c) * t for c, t in enumerate(logits)), sp.Integer(0))
    return chosen - log_sum_exp([sp.sympify(t) for t in logits])


def exact(value: Any) -> sp.Expr:
    """A SymPy expression without floats: each became exactly the decimal that it prints as (0.3 -> 3/10), whose nearest
    double it is. InputError for what is not finite.

    >>> exact(0.3), exact(1.0000000775613402)
    (3/10, 5000000387806701/5000000000000000)
    """
    if isinstance(value, Decimal):
        value = sp.Rational(str(value)) if value.is_finite() else sp.nan
    elif isinstance(value, Fraction):
        value = sp.Rational(value.numerator, value.denominator)
    elif isinstance(value, Real) and not isinstance(value, Integral | sp.Basic):
        value = sp.Float(float(value))
    expr = sp.sympify(value, strict=True)
    expr = expr.xreplace({number: _decimal(number) for number in expr.atoms(sp.Float)})
    if expr.has(sp.nan, sp.oo, -sp.oo, sp.zoo):
        raise InputError(f"expression: expected finite numbers, got {value}")
    return expr


def _decimal(number: sp.Float) -> sp.Expr:
    if not number.is_finite:
        return sp.nan
    # Of more or fewer bits than a double's it is the binary number itself: its decimal is a matter of digits printed.
    return sp.Rational(repr(float(number))) if number._prec == 53 and math.isfinite(number) else sp.Rational(number)


def log_sum_exp(terms: list[sp.Expr]) -> sp.Expr:
    """log Σ exp(term) with stable functions."""
    if len(terms) == 1:
        return terms[0]
    if len(terms) == 2:
        return terms[0] + softplus(terms[1] - terms[0])
    return LogSumExp(*terms)


def exp_tidy(expr: sp.Expr) -> sp.Expr:
    """exp(expr) with exp(-softplus(t)) written as expit(-t)."""
    rest, factors = [], []
    for term in sp.Add.make_args(expr):
        if isinstance(-term, softplus):
            factors.append(expit(-(-term).args[0]))
        else:
            rest.append(term)
    return sp.Mul(sp.exp(sp.Add(*rest)), *factors)
