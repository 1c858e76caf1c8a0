"""A declared model's log-densities as exact normal forms: what the checker understands of SymPy, and nothing else.

The functions on the list below have a meaning everywhere (or where their argument is proved to lie in their domain);
whatever else is met, a float included, is refused by name. Neither SymPy's simplification nor its derivatives are
asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

import sympy as sp

from moe_theory.atoms import LogSumExp, expit, indicator, log_factorial, softplus
from moe_theory.certificates import normal_form as nf
from moe_theory.certificates import normal_functions as nfs
from moe_theory.certificates.contents import brief
from moe_theory.certificates.normal_form import Atom, Expression
from moe_theory.errors import InputError
from moe_theory.model import RESPONSE, Model

ONE = nf.number(1)
FUNCTIONS: dict[type, Callable[..., Expression]] = {
    sp.exp: nf.exp,
    sp.log: nfs.log,
    softplus: nfs.softplus,
    expit: nfs.expit,
    LogSumExp: lambda *terms: nfs.log(sum(map(nf.exp, terms), nf.number(0))),
    sp.cosh: lambda t: (nf.exp(t) + nf.exp(t * -1)) * Fraction(1, 2),
    sp.sinh: lambda t: (nf.exp(t) - nf.exp(t * -1)) * Fraction(1, 2),
    sp.tanh: lambda t: nfs.expit(t * 2) * 2 - ONE,
    sp.loggamma: nfs.loggamma,
    sp.binomial: lambda n, k: nf.exp(nfs.loggamma(n + ONE) - nfs.loggamma(k + ONE) - nfs.loggamma(n - k + ONE)),
    sp.beta: lambda a, b: nf.exp(nfs.loggamma(a) + nfs.loggamma(b) - nfs.loggamma(a + b)),
    sp.gamma: lambda t: nf.exp(nfs.loggamma(t)),
    sp.factorial: lambda t: nf.exp(nfs.loggamma(t + ONE)),
    log_factorial: lambda t: nfs.loggamma(t + ONE),
}
NAMES = "+, ·, powers, pi, log of what is positive, softplus, " + ", ".join(
    sorted(f.__name__ for f in FUNCTIONS if f not in (sp.log, softplus))
)


class Declaration:
    """log p(y, z|x) of both labels of a model in normal form.

    learnt: its learnt predictors' symbols with their positions. known: its other predictors' symbols. y: the
    response's symbol.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        m = len(model.learnt)
        # Sorted by name: learnt predictors before known ones before y.
        predictors = [nf.symbol(f"{'ab'[i >= m]}{i:04} {name}") for i, name in enumerate(model.names)]
        self.symbols = dict(zip(model.symbols, predictors, strict=True))
        atoms = [_atom(p) for p in predictors]
        self.learnt: dict[Atom, int] = {atom: a for a, atom in enumerate(atoms[:m])}
        self.known = tuple(atoms[m:])
        domain = model.response
        self.response = nf.symbol("c y", domain.low, domain.high, domain.whole)
        self.y = _atom(self.response)

    def at(self, y: float | None) -> tuple[Expression, ...]:
        """By label, at this response, or for every response if it is None.

        A finite response is the name of an outcome: it stands for the decimal that it prints as, as all numbers of a
        declaration do, so that (y - 0.1) is 0 at the response 0.1. Other responses are data, exact doubles.
        """
        place = {**self.symbols, RESPONSE: self.response if y is None else nf.number(nf.exact(y))}
        return tuple(sum((read(part, place) for part in parts), nf.number(0)) for parts in self.model.declared)


def _atom(symbol: Expression) -> Atom:
    ((((atom, _),), _),) = symbol.terms
    return atom


def read(expr: sp.Expr, place: Mapping[sp.Symbol, Expression]) -> Expression:
    """`expr` with symbols replaced, in normal form; InputError for what is not on the list."""
    found: dict[sp.Basic, Expression] = {}  # shared parts are read once

    def of(e: sp.Basic) -> Expression:
        if e not in found:
            found[e] = _read(e, place, of)
        return found[e]

    try:
        return of(expr)
    except RecursionError as error:
        raise InputError("model: expected terms that are not nested hundreds deep") from error


def _read(e: sp.Basic, place: Mapping[sp.Symbol, Expression], of: Callable[[sp.Basic], Expression]) -> Expression:
    kind = type(e)
    if isinstance(e, sp.Rational):
        return nf.number(Fraction(int(e.p), int(e.q)))
    if isinstance(e, sp.Symbol) and e in place:
        return place[e]
    if kind is sp.Add:
        return sum(map(of, e.args), nf.number(0))
    if kind is sp.Mul:
        return math.prod(map(of, e.args), start=ONE)
    if kind is sp.Pow and isinstance(e.args[1], sp.Rational):
        return _power(of(e.args[0]), Fraction(int(e.args[1].p), int(e.args[1].q)))
    if e is sp.pi:
        return nf.pi()
    if e is sp.E:
        return nf.exp(ONE)
    if kind is sp.log and type(e.args[0]) is sp.Mul:
        factors = [of(factor) for factor in e.args[0].args]
        if all(map(nf.positive, factors)):  # seen of the factors, not of their product
            return sum(map(nfs.log, factors), nf.number(0))
    if kind is indicator:
        y, value = (of(argument).number for argument in e.args)
        if y is not None and value is not None:
            return nf.number(int(y == value))
    if kind in FUNCTIONS:
        return FUNCTIONS[kind](*map(of, e.args))
    name = str(e) if isinstance(e, sp.Number | sp.NumberSymbol | sp.Symbol) else kind.__name__
    raise InputError(f"model: expected terms made of {NAMES}, got {name}: {brief(str(e))}")


def _power(base: Expression, power: Fraction) -> Expression:
    """Roots are e^(power log base), of what is positive."""
    return base ** int(power) if power.denominator == 1 else nf.exp(nfs.log(base) * power)
