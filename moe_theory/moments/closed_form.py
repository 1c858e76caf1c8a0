"""E f(Z), Z ~ N(0, 1), in closed form for f that is, on each of finitely many intervals, a sum of
polynomial × exp(linear or quadratic) × sine or cosine of linear.

From the moments of a truncated normal variable, with no symbolic integration. By completing the square,

    ∫_a^b u^k exp(A u² + B u) φ(u) du = s exp(B² s²/2) E[(μ + s T)^k; (a-μ)/s < T < (b-μ)/s],   s² = 1/(1-2A), μ = B s²,

and m_k = E[T^k; α < T < β] has m_0 = Φ(β) - Φ(α), m_1 = φ(α) - φ(β), m_k = (k-1) m_{k-2} + α^{k-1} φ(α) - β^{k-1} φ(β)
(φ' = -tφ and parts).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TypeAlias

import sympy as sp

from moe_theory.errors import InputError, NoClosedFormError
from moe_theory.moments.activations import ACTIVATION_ARGUMENT

U = ACTIVATION_ARGUMENT
# {(A, B): polynomial in u} stands for Σ polynomial · exp(A u² + B u).
Form: TypeAlias = dict[tuple[sp.Expr, sp.Expr], sp.Poly]
Piece: TypeAlias = tuple[sp.Expr, sp.Expr, Form]
_KINKS = (sp.Abs, sp.Max, sp.Min, sp.Heaviside, sp.sign, sp.core.relational.Relational)
_MOST_PIECES = 24


class ClosedForm:
    """g on its intervals; `moment(j, m)` is E g(Z)^j He_m(Z).

    InputError where that expectation does not exist.
    """

    def __init__(self, pieces: list[Piece]) -> None:
        self.pieces = pieces
        self._powers: list[list[Form]] = [[_constant(1) for _ in pieces]]

    def moment(self, j: int, m: int = 0) -> sp.Expr:
        """E g(Z)^j He_m(Z), expanded; raises NoClosedFormError where that has none here."""
        while len(self._powers) <= j:
            pairs = zip(self._powers[-1], self.pieces, strict=True)
            self._powers.append([_product(power, piece[2]) for power, piece in pairs])
        hermite = sp.Poly(hermite_polynomial(m), U)
        total = sp.Integer(0)
        for (low, high, _), form in zip(self.pieces, self._powers[j], strict=True):
            for (a, b), polynomial in form.items():
                total += _integral(polynomial * hermite, a, b, low, high, f"E g(Z)^{j}" if j > 1 else "E g(Z)")
        return _real(sp.expand(total))


def closed_form(expr: sp.Expr) -> ClosedForm | None:
    """g = `expr` (in `ACTIVATION_ARGUMENT`) made ready for its moments; None if it is not of the kind treated here."""
    try:
        pieces = [(low, high, _form(smooth)) for low, high, smooth in _split(expr, -sp.oo, sp.oo)]
    except NoClosedFormError:
        return None
    return ClosedForm(pieces) if len(pieces) <= _MOST_PIECES else None


def hermite_polynomial(m: int) -> sp.Expr:
    """He_m(u): 1, u, u² - 1, u³ - 3u, …"""
    previous, current = sp.Integer(0), sp.Integer(1)
    for k in range(m):
        previous, current = current, sp.expand(U * current - k * previous)
    return current


def _split(expr: sp.Expr, low: sp.Expr, high: sp.Expr) -> Iterator[tuple[sp.Expr, sp.Expr, sp.Expr]]:
    """(low, high, smooth expression) for intervals between neighbouring kinks of `expr`, innermost kinks first."""
    kink = next((e for e in sp.postorder_traversal(expr) if isinstance(e, _KINKS) and e.has(U)), None)
    if kink is None:
        if expr is sp.nan or expr.has(sp.Piecewise, sp.nan):
            raise InputError(f"activation: expected a function of every real u, got none between {low} and {high}")
        yield low, high, expr
        return
    deciding, outcome = _decision(kink)
    edges = [low, *_between(_roots(deciding), low, high), high]
    for a, b in pairwise(edges):
        sign = _sign(deciding.subs(U, _inside(a, b)))
        yield from _split(expr.subs(kink, outcome(sign)), a, b)


def _decision(kink: sp.Basic) -> tuple[sp.Expr, Callable[[int], sp.Basic]]:
    """The expression whose sign decides what `kink` is, and what it is by that sign (zeros are a null set)."""
    if isinstance(kink, sp.Abs):
        return kink.args[0], lambda s: s * kink.args[0]
    if isinstance(kink, sp.Max | sp.Min):
        first, second, *rest = kink.args
        up = 1 if isinstance(kink, sp.Max) else -1
        return first - second, lambda s: kink.func(first if s == up else second, *rest)
    if isinstance(kink, sp.Heaviside):
        return kink.args[0], lambda s: sp.Integer(int(s > 0))
    if isinstance(kink, sp.sign):
        return kink.args[0], lambda s: sp.Integer(s)
    difference = kink.args[0] - kink.args[1]
    if isinstance(kink, sp.Eq | sp.Ne):
        return difference, lambda s: sp.true if isinstance(kink, sp.Ne) else sp.false
    up = 1 if isinstance(kink, sp.Gt | sp.Ge) else -1
    return difference, lambda s: sp.true if s == up else sp.false


def _roots(expr: sp.Expr) -> list[sp.Expr]:
    """Real roots of a linear or quadratic polynomial in u."""
    if not expr.has(U):
        return []
    if not expr.is_polynomial(U) or sp.degree(expr, U) > 2:
        raise NoClosedFormError
    c0, c1, c2 = (sp.expand(expr).coeff(U, k) for k in range(3))
    if c2 == 0:
        return [sp.cancel(-c0 / c1)]
    inner = sp.expand(c1**2 - 4 * c0 * c2)
    if inner.is_zero:
        return [sp.cancel(-c1 / (2 * c2))]
    if inner.is_positive is None:
        raise NoClosedFormError
    return [(-c1 + s * sp.sqrt(inner)) / (2 * c2) for s in (-1, 1)] if inner.is_positive else []


def _between(points: list[sp.Expr], low: sp.Expr, high: sp.Expr) -> list[sp.Expr]:
    inside = [p for p in points if (low == -sp.oo or _sign(p - low) > 0) and (high == sp.oo or _sign(high - p) > 0)]
    if len(inside) == 2 and _sign(inside[1] - inside[0]) < 0:
        inside.reverse()
    return inside


def _inside(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    if a == -sp.oo and b == sp.oo:
        return sp.Integer(0)
    return b - 1 if a == -sp.oo else a + 1 if b == sp.oo else (a + b) / 2


def _sign(value: sp.Expr) -> int:
    value = sp.expand(value)
    if value.is_zero:
        return 0
    if value.is_positive is None:
        raise NoClosedFormError
    return 1 if value.is_positive else -1


def _form(expr: sp.Expr) -> Form:
    """A smooth expression as Σ polynomial · exp(A u² + B u); sines and cosines as complex exponentials."""
    expr = expr.replace(sp.cosh, lambda t: (sp.exp(t) + sp.exp(-t)) / 2)
    expr = expr.replace(sp.sinh, lambda t: (sp.exp(t) - sp.exp(-t)) / 2)
    expr = expr.replace(sp.cos, lambda t: (sp.exp(sp.I * t) + sp.exp(-sp.I * t)) / 2)
    expr = expr.replace(sp.sin, lambda t: (sp.exp(sp.I * t) - sp.exp(-sp.I * t)) / (2 * sp.I))
    found: dict[tuple[sp.Expr, sp.Expr], sp.Expr] = {}
    for term in sp.Add.make_args(sp.expand(expr, power_exp=False)):
        factor, exponent = sp.Integer(1), sp.Integer(0)
        for part in sp.Mul.make_args(term):
            if isinstance(part, sp.exp):
                exponent += part.args[0]
            else:
                factor *= part
        exponent = sp.expand(exponent)
        if not (factor.is_polynomial(U) and exponent.is_polynomial(U)) or (
            exponent.has(U) and sp.degree(exponent, U) > 2
        ):
            raise NoClosedFormError
        a, b, c = (exponent.coeff(U, k) for k in (2, 1, 0))
        if a.is_real is not True:
            raise NoClosedFormError
        found[a, b] = found.get((a, b), sp.Integer(0)) + factor * sp.exp(c)
    return {key: sp.Poly(value, U) for key, value in found.items() if value != 0}


def _real(expr: sp.Expr) -> sp.Expr:
    """An expression that is real as a whole, without i."""
    if not expr.has(sp.I):
        return expr

    def euler(t: sp.Expr) -> sp.Expr:
        t = sp.expand(t)
        angle = t.coeff(sp.I)
        return sp.exp(sp.expand(t - sp.I * angle)) * (sp.cos(angle) + sp.I * sp.sin(angle))

    return sp.expand(expr.replace(sp.exp, euler))


def _constant(value: int) -> Form:
    return {(sp.Integer(0), sp.Integer(0)): sp.Poly(value, U)}


def _product(left: Form, right: Form) -> Form:
    found: Form = {}
    for (a, b), p in left.items():
        for (c, d), q in right.items():
            key = sp.expand(a + c), sp.expand(b + d)
            found[key] = found[key] + p * q if key in found else p * q
    return {key: p for key, p in found.items() if not p.is_zero}


def _integral(p: sp.Poly, a: sp.Expr, b: sp.Expr, low: sp.Expr, high: sp.Expr, name: str) -> sp.Expr:
    """∫ p(u) exp(a u² + b u) φ(u) du from `low` to `high`."""
    if p.is_zero:
        return sp.Integer(0)
    whole = low == -sp.oo and high == sp.oo
    margin = sp.expand(1 - 2 * a)
    if margin.is_negative and (low == -sp.oo or high == sp.oo):
        raise InputError(
            f"activation: {name} does not exist, as exp({sp.expand(a * U**2 + b * U)}) outgrows the normal density"
        )
    if margin.is_zero and whole:
        raise InputError(
            f"activation: {name} does not exist, as exp({sp.expand(a * U**2 + b * U)}) undoes the normal density"
        )
    if margin.is_positive is not True or not (whole or b.is_real):
        raise NoClosedFormError
    s = sp.sqrt(1 / margin)
    mean = b / margin
    degree = p.degree()
    if whole:
        moments = [sp.Integer(0) if k % 2 else sp.factorial2(k - 1) for k in range(degree + 1)]
    else:
        ends = [e if e.is_infinite else sp.expand((e - mean) / s) for e in (low, high)]
        moments = _truncated(degree, *ends)
    total = sp.Integer(0)
    for (k,), coefficient in p.terms():
        # E[(μ + sT)^k; …] by the binomial theorem
        total += coefficient * sum(sp.binomial(k, i) * mean ** (k - i) * s**i * moments[i] for i in range(k + 1))
    return sp.expand(total) * s * sp.exp(sp.expand(b * mean / 2))


def _truncated(degree: int, low: sp.Expr, high: sp.Expr) -> list[sp.Expr]:
    """E[T^k; low < T < high] for k = 0 … degree."""
    density = lambda t: sp.Integer(0) if t.is_infinite else sp.exp(sp.expand(-(t**2) / 2)) / sp.sqrt(2 * sp.pi)
    below = lambda t: sp.Integer(int(t == sp.oo)) if t.is_infinite else (1 + sp.erf(t / sp.sqrt(2))) / 2
    power = lambda t, k: sp.Integer(0) if t.is_infinite else t**k * density(t)
    moments = [below(high) - below(low), density(low) - density(high)]
    for k in range(2, degree + 1):
        moments.append((k - 1) * moments[k - 2] + power(low, k - 1) - power(high, k - 1))
    return moments[: degree + 1]
