"""The cubic and the quadratic transform from the moments E g^j He_m of an activation, or why there is none.

With M = [E g^j He_m], j, m = 1..3, the row (β + 3σ², α, 1) M is to be (0, 0, c₃), and (γ, 1) times M's leading 2×2
block (0, c₂): c₂ and c₃ are the second and the third pivot of M's elimination without exchanges, and α, β + 3σ², γ its
multipliers. They exist and are unique exactly when the pivots before the last, M₁₁ and c₂, are not 0. (With M₁₁ = 0
there is either none, or one for every value of a free parameter; it is refused.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from moe_theory.errors import InputError, NoClosedFormError
from moe_theory.moments.activations import Activation
from moe_theory.moments.closed_form import ClosedForm, closed_form
from moe_theory.moments.gaussian_moments import GaussianMoments, gaussian_moments

DIGITS = 30  # shown and kept of numbers without a closed form
_TIDY = 80  # operations up to which a closed form is factored


@dataclass(frozen=True)
class Pivots:
    """α, β + 3σ², γ, c₂, c₃, the matrix M, and (E g, …, E g⁶), where inf says that there is none.

    exact: closed forms. digits: those that are right otherwise: of c₂ and c₃, and of α, β, γ relative to the larger of
    themselves and the power of g's standard deviation that has their unit.
    """

    alpha: sp.Expr
    beta: sp.Expr
    gamma: sp.Expr
    c2: sp.Expr
    c3: sp.Expr
    matrix: sp.ImmutableMatrix
    moments: tuple[sp.Expr, ...]
    exact: bool
    digits: int | None


def pivots(g: Activation) -> Pivots:
    """In closed form if there is one, else to 30 digits; InputError, with the reason, if g admits no transform."""
    if g.expr is not None:
        closed = closed_form(g.expr)
        if closed is not None:
            try:
                return _exact(g, closed)
            except NoClosedFormError:
                pass
    return _numeric(g, gaussian_moments(g))


def _exact(g: Activation, closed: ClosedForm) -> Pivots:
    moments = [closed.moment(1), closed.moment(2), closed.moment(3), *(_if_it_exists(closed, j) for j in (4, 5, 6))]
    matrix = sp.ImmutableMatrix(3, 3, lambda j, m: closed.moment(j + 1, m + 1))
    entries = {(j, m): matrix[j - 1, m - 1] for j in (1, 2, 3) for m in (1, 2, 3)}
    with mpmath.workdps(120):
        # Zeros are told by 120 digits, at one point: parameters are generic.
        rng = Random(0)
        at = {s: sp.Rational(rng.randint(1, 300), 101) for s in g.parameters}
        number = lambda e: mpmath.inf if e == sp.oo else mpmath.mpmathify(sp.N(e.xreplace(at), 120))
        values, shown = {key: number(e) for key, e in entries.items()}, [number(e) for e in moments]
        size = {(j, m): mpmath.sqrt(shown[1]) ** j for j, m in entries}
        _refuse(g, shown, values, _eliminated(values, lambda v: v)[1], size, mpmath.mpf(10) ** -60)
    found, _ = _eliminated(entries, sp.expand)
    alpha, beta, gamma, c2, c3 = map(_tidy, found())
    return Pivots(alpha, beta, gamma, c2, c3, matrix, tuple(map(_tidy, moments)), exact=True, digits=None)


def _numeric(g: Activation, table: GaussianMoments) -> Pivots:
    with mpmath.workdps(50):
        zero = mpmath.mpf(10) ** (-0.7 * table.digits)
        m = table.fine
        moments = [m[j, 0] for j in range(1, 7)]
        found, minors = _eliminated(m, lambda value: value)
        _refuse(g, moments, m, minors, table.size, zero)
        values = found()
        other = _eliminated(table.coarse, lambda value: value)[0]()
        unit = mpmath.sqrt(m[2, 0] - m[1, 0] ** 2)
        sizes = [max(abs(v), unit**k) if k else abs(v) for v, k in zip(values, (1, 2, 1, 0, 0), strict=True)]
        agreed = [-mpmath.log10(abs(a - b) / s) if a != b else 99 for a, b, s in zip(values, other, sizes, strict=True)]
        digits = max(0, int(min(DIGITS, *agreed, table.digits - _lost(table, values))))
        shown = DIGITS if digits > 15 else 15
        small = mpmath.mpf(10) ** -digits
        number = lambda v, size: sp.Integer(0) if abs(v) < small * size else sp.Float(v, shown)
        entries = [[number(m[j, k], table.size[j, k]) for k in (1, 2, 3)] for j in (1, 2, 3)]
        kept = [sp.oo if mpmath.isinf(v) else number(v, table.size[j + 1, 0]) for j, v in enumerate(moments)]
        alpha, beta, gamma, c2, c3 = (number(v, s) for v, s in zip(values, sizes, strict=True))
    return Pivots(alpha, beta, gamma, c2, c3, sp.ImmutableMatrix(entries), tuple(kept), exact=False, digits=digits)


def _eliminated(
    m: Mapping[tuple[int, int], Any], simple: Callable[[Any], Any]
) -> tuple[Callable[[], tuple[Any, ...]], tuple[Any, ...]]:
    """A function that gives α, β + 3σ², γ, c₂, c₃, and the leading minors of M."""
    minor = lambda i, j, a, b: simple(m[i, a] * m[j, b] - m[i, b] * m[j, a])
    second = minor(1, 2, 1, 2)
    third = simple(m[3, 3] * second - m[2, 3] * minor(1, 3, 1, 2) + m[1, 3] * minor(2, 3, 1, 2))

    def found() -> tuple[Any, ...]:
        alpha, beta = -minor(1, 3, 1, 2) / second, minor(2, 3, 1, 2) / second
        return alpha, beta, -m[2, 1] / m[1, 1], second / m[1, 1], third / second

    return found, (m[1, 1], second, third)


def _lost(table: GaussianMoments, values: Sequence[Any]) -> float:
    """Digits lost by cancellation in the elimination, at most."""
    alpha, beta, gamma, c2, c3 = map(abs, values)
    size = table.size
    ratios = [
        size[1, 1] / abs(table.fine[1, 1]),
        (size[2, 2] + gamma * size[1, 2]) / c2,
        (size[3, 3] + alpha * size[2, 3] + beta * size[1, 3]) / c3,
    ]
    return float(sum(mpmath.log10(max(1, r)) for r in ratios))


def _refuse(
    g: Activation,
    moments: Sequence[Any],
    m: Mapping[tuple[int, int], Any],
    minors: Sequence[Any],
    size: Mapping[tuple[int, int], Any],
    least: Any,
) -> None:
    """InputError with the reason where an elimination without exchanges is not possible or ends in 0.

    least: a value counts as 0 up to this part of the size of its terms.
    """
    zero = lambda value, size: abs(value) <= least * size
    none = f"activation: {g.name} admits no transform: "
    deviation = moments[1] - moments[0] ** 2
    if zero(deviation, moments[1]):
        raise InputError(none + "it is constant")
    if all(zero(m[j, k], size[j, k]) for j in (1, 2, 3) for k in (1, 3)):
        even = "it is even, so" if _even(g) else "all its odd moments vanish:"
        raise InputError(none + f"{even} E g(Z)^j He_m(Z) = 0 for m = 1, 3, and c_3 = 0")
    for values in (2, 3):
        # Hankel's determinant of the moments is 0 exactly for laws on so many points.
        if not mpmath.isinf(moments[2 * values - 1]):
            hankel = _determinant([[([1, *moments])[i + k] for k in range(values + 1)] for i in range(values + 1)])
            if zero(hankel, deviation ** (values * (values + 1) // 2)):
                power = {2: "g² is an affine function of g", 3: "g³ is a combination of 1, g and g²"}[values]
                count = {2: "two", 3: "three"}[values]
                raise InputError(none + f"it takes {count} values, so {power}, and c_{values} = 0")
    if zero(minors[0], mpmath.sqrt(deviation)):
        raise InputError(none + "M_11 = E g'(Z) = 0, the first pivot")
    if zero(minors[1], abs(minors[0]) * size[2, 2]):
        raise InputError(none + "c_2 = 0, the second pivot")
    if zero(minors[2], abs(minors[1]) * size[3, 3]):
        raise InputError(none + "c_3 = 0, the third pivot")


def _determinant(rows: list[list[Any]]) -> Any:
    first, *rest = rows
    if not rest:
        return first[0]
    minors = [_determinant([[*row[:k], *row[k + 1 :]] for row in rest]) for k in range(len(first))]
    return sum((-1) ** k * value * minor for k, (value, minor) in enumerate(zip(first, minors, strict=True)))


def _even(g: Activation) -> bool:
    if g.parameters:
        return False
    u = np.array([0.1, 0.7, 1.3, 2.9])
    return bool(np.allclose(g.function(u), g.function(-u), rtol=1e-9, atol=0))


def _if_it_exists(closed: ClosedForm, j: int) -> sp.Expr:
    try:
        return closed.moment(j)
    except InputError:
        return sp.oo


def _tidy(value: sp.Expr) -> sp.Expr:
    """A closed form as a factored quotient, unless that is much longer, with π, roots and functions as mere letters."""
    if value == sp.oo or value.is_Rational or sp.count_ops(value) > _TIDY:
        return value
    root = sp.Dummy(positive=True)
    letters = value.subs(sp.sqrt(sp.pi), root).subs(sp.pi, root**2)
    others = [a for a in letters.atoms(sp.Pow, sp.Function) if not a.is_Rational and _irrational(a)]
    table = {a: sp.Dummy() for a in sorted(others, key=sp.default_sort_key)}
    back = {letter: a for a, letter in table.items()} | {root: sp.sqrt(sp.pi)}
    quotient = sp.cancel(sp.together(letters.xreplace(table)))
    short = min((form.xreplace(back) for form in (sp.factor(quotient), quotient)), key=sp.count_ops)
    return short if sp.count_ops(short) <= 1.5 * sp.count_ops(value) else value


def _irrational(part: sp.Expr) -> bool:
    return isinstance(part, sp.Function) or (not part.exp.is_Integer and not part.base.is_Symbol)
