"""What a flat model with two labels asks of a row, as functions on balls.

With η the learnt predictors and ℓ_z = log p(y, z|x) for the first (0) and second (1) label,

    ℓ_1 - ℓ_0 = offset(y, known) + Δs(y, known)'η                               (the posterior logit τ of the second)
    -ℓ_0 = ½η'Cη + Σ_k κ_k softplus(l_k'η + b_k) - s_0(y, known)'η + h(y, known)

so that A_x(η) = ½η'Cη + Σ_k κ_k softplus(l_k'η + b_k) is the mirror map, convex where C is positive semidefinite and
κ > 0. `moe_theory.certificates.flat_form` reads them off a declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from flint import arb, fmpq

from moe_theory.certificates import normal_form as nf
from moe_theory.certificates.normal_form import Atom, Expression

Column = list[Any]  # one ball per row
Evaluate = Callable[[Sequence[Any]], Any]
Compiled = dict[float | None, list[tuple[Evaluate, Any]]]  # by response: (function, its value where that is constant)
Gate = tuple[Fraction, tuple[Fraction, ...]]
ZERO, ONE = nf.number(0), nf.number(1)


@dataclass(frozen=True)
class Terms:
    """Balls for some rows: offset (b,), delta Δs and statistic s_0 (m columns each), shift b_k (a column per gate)."""

    offset: Column
    delta: list[Column]
    statistic: list[Column]
    shift: list[Column]


@dataclass(frozen=True)
class Formulas:
    """quadratic: C, (m, m) numbers. gates: (κ_k, l_k) with l_k (m,). expressions: by response (None: any) offset, *Δs,
    *s_0, *b in y and the known predictors, in the order of `symbols`.
    """

    quadratic: tuple[tuple[Expression, ...], ...]
    gates: tuple[Gate, ...]
    symbols: tuple[Atom, ...]
    expressions: dict[float | None, tuple[Expression, ...]]

    @property
    def m(self) -> int:
        """The number of learnt predictors."""
        return len(self.quadratic)

    def constant(self) -> list[list[Any]]:
        """C in balls."""
        return [[ball_function(entry, ())(()) for entry in row] for row in self.quadratic]

    def scales(self) -> list[tuple[Any, list[Any]]]:
        """(κ, l) in balls, one pair per gate."""
        return [(_rational(kappa), [_rational(v) for v in slope]) for kappa, slope in self.gates]

    def compiled(self) -> Compiled:
        """The expressions as functions on balls; what does not change from row to row is computed now, once."""
        return {
            value: [(f, None if e.symbols else f(())) for e in expressions for f in (ball_function(e, self.symbols),)]
            for value, expressions in self.expressions.items()
        }

    def terms(self, y: Sequence[float], known: Sequence[Column], compiled: Compiled | None = None) -> Terms:
        """The terms of rows with these responses and known predictors; KeyError for a response without formulas."""
        compiled = compiled or self.compiled()
        columns: list[Column] = [[] for _ in next(iter(compiled.values()))]
        for i, value in enumerate(y):
            place = None
            for column, (function, fixed) in zip(columns, compiled[None if None in compiled else value], strict=True):
                if fixed is None:
                    place = place or (arb(value), *(k[i] for k in known))
                    column.append(function(place))
                else:
                    column.append(fixed)
        m = self.m
        return Terms(columns[0], columns[1 : 1 + m], columns[1 + m : 1 + 2 * m], columns[1 + 2 * m :])


def ball_function(e: Expression, symbols: Sequence[Atom]) -> Evaluate:
    """`e` as a function of balls, one per symbol; rationals and constants are exact or enclosed.

    Where a symbol's ball is not in the domain that `e` was read for (the logarithm of a negative number) the value is
    not a number, of which nothing can be proved.
    """
    terms = []
    for product, c in e.terms:
        value = _rational(c)
        factors = [(_ball_atom(atom, symbols), n) for atom, n in product]
        terms.append((value, factors))

    def evaluate(point: Sequence[Any]) -> Any:
        total = arb(0)
        for c, factors in terms:
            for function, n in factors:
                c = c * (function(point) if n == 1 else function(point) ** n)
            total = total + c
        return total

    return evaluate


def _ball_atom(atom: Atom, symbols: Sequence[Atom]) -> Evaluate:
    if atom.kind == "symbol":
        index = list(symbols).index(atom)
        return lambda point: point[index]
    if atom.kind == "pi":
        return lambda point: arb.pi()
    inside, function = ball_function(atom.inside or ZERO, symbols), _FUNCTIONS[atom.kind]
    return lambda point: function(inside(point))


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "log": lambda t: t.log(),
    "log_sum": lambda t: t.log(),
    "exp": lambda t: t.exp(),
    "softplus": lambda t: t.exp().log1p(),
    "expit": lambda t: 1 / (1 + (-t).exp()),
    "inverse": lambda t: 1 / t,
    "loggamma": lambda t: t.lgamma(),
}


def _rational(value: Fraction) -> Any:
    """As a ball; exact where it is a double."""
    return arb(fmpq(value.numerator, value.denominator))
