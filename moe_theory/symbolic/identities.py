"""Exact proofs of identities between expressions built from exp, log, the stable atoms and polynomials.

`prove_zero` first looks for a counterexample at random rational points with 50 digits, then reduces exactly. With
every exp(monomial) a new positive generator, an expression without outer logarithms is a rational function and is
zero exactly when its numerator expands to 0; any other function is one more generator, of which nothing is known. One
with logarithms that is analytic everywhere (`functions.is_analytic`) is zero exactly when it is zero at a base point
and all its partial derivatives (in which a logarithm that enters linearly is gone) are zero. No `simplify`, no
`integrate`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import mpmath
import sympy as sp
from sympy.core.evalf import PrecisionExhausted
from sympy.printing.pycode import MpmathPrinter

from moe_theory.atoms import STABLE, LogSumExp, expit, log_ndtr, mills, softplus
from moe_theory.errors import InputError
from moe_theory.symbolic.functions import far_bends, in_canonical_signs, is_analytic, kinks

DIGITS = 50
BESIDE = 3  # points on either side of a kink, near and far


def _log1p(t: mpmath.mpf) -> mpmath.mpf:
    """log(1 + t), t >= 0, to all digits also where t is tiny (mpmath's own is not)."""
    spare = max(0, -int(mpmath.mag(t))) if t else 0
    if spare > 2 * mpmath.mp.prec + 100_000:
        return t
    with mpmath.workprec(mpmath.mp.prec + spare + 20):
        return mpmath.log(1 + t)


def _softplus(t: mpmath.mpf) -> mpmath.mpf:
    return max(t, mpmath.mpf(0)) + _log1p(mpmath.exp(-abs(t)))


def _log_sum_exp(*terms: mpmath.mpf) -> mpmath.mpf:
    top = max(terms)
    return top + mpmath.log(mpmath.fsum(mpmath.exp(t - top) for t in terms))


def _log_ndtr(t: mpmath.mpf) -> mpmath.mpf:
    return mpmath.log(mpmath.erfc(-t / mpmath.sqrt(2)) / 2)


_MPMATH = {
    "softplus": _softplus,
    "expit": lambda t: 1 / (1 + mpmath.exp(-t)),
    "LogSumExp": _log_sum_exp,
    "log_ndtr": _log_ndtr,
    "mills": lambda t: mpmath.exp(-t * t / 2 - mpmath.log(2 * mpmath.pi) / 2 - _log_ndtr(t)),
    "log_factorial": lambda y: mpmath.re(mpmath.loggamma(y + 1)),
    "indicator": lambda y, value: mpmath.mpf(int(y == value)),
    "relu": lambda t: max(t, mpmath.mpf(0)),
    "step": lambda t: mpmath.mpf(int(t > 0)),
    "sign": mpmath.sign,
    "Heaviside": lambda t, *_: mpmath.mpf(int(t > 0)),
    "polygamma": mpmath.polygamma,
}


@dataclass(frozen=True)
class Identity:
    """Outcome of an attempted proof that an expression is identically 0.

    `proved`: reduced exactly to 0. `witness`: a point, as {symbol: value}, where it is not 0 (then `residual` is its
    value there to 15 digits). Neither: 0 at every point tried, but not reduced.
    """

    proved: bool
    witness: Mapping[str, str] | None = None
    residual: str = "0"
    trials: int = 0

    @property
    def refuted(self) -> bool:
        return self.witness is not None


class _NotRationalError(Exception):
    """A logarithm stands outside every exponential."""


def prove_zero(
    expressions: sp.Expr | Iterable[sp.Expr],
    base: Mapping[sp.Symbol, sp.Expr] | None = None,
    trials: int = 4,
    seed: int = 0,
) -> Identity:
    """Prove that every expression is identically 0 in its free (real) symbols, or find a point where it is not.

    base: where logarithms are compared, {symbol: expression}; by default every symbol is put to 0.
    """
    items = [expressions] if isinstance(expressions, sp.Basic) else list(expressions)
    for item in items:
        refutation = find_nonzero(sp.sympify(item), trials, seed)
        if refutation is not None:
            return refutation
    proved = all(_is_zero(_freed(sp.sympify(item)), base or {}, depth=2) for item in items)
    return Identity(proved, trials=trials * len(items))


def _freed(expr: sp.Expr) -> sp.Expr:
    """With y = e^u for a real symbol u wherever log y stands, which has no other meaning: what is left is analytic."""
    for symbol in expr.free_symbols:
        if expr.has(sp.log(symbol)):
            log = sp.Dummy(f"log_{symbol}", real=True)
            expr = expr.xreplace({sp.log(symbol): log}).xreplace({symbol: sp.exp(log)})
    return expr


def find_nonzero(expr: sp.Expr, trials: int = 4, seed: int = 0) -> Identity | None:
    """A rational point at which `expr` is not 0, or None: among so many random ones where it is a real number, and both
    sides of every kink. Two precisions have to agree on its value, so that neither what is small nor what is left of a
    cancellation is mistaken."""
    symbols = sorted(expr.free_symbols, key=str)
    terms_at = _terms(expr)
    real = 0
    for point in trial_points(expr, symbols, trials if not symbols else 8 * trials, seed):
        if real >= trials and not point.beside_kink:
            continue
        value = _settled(terms_at, point)
        real += value is not None
        if value:
            witness = {str(s): str(v) for s, v in point.items()}
            return Identity(False, witness, mpmath.nstr(value, 15), trials=real)
    return None


def constant(expr: sp.Expr) -> sp.Float:
    """A number to 20 digits, whatever cancels in it."""
    try:
        return expr.evalf(20, strict=True)
    except (PrecisionExhausted, TypeError):
        value = _settled(_terms(expr), {})
        if value is None:
            raise InputError(f"model: expected constants that are real numbers, got {expr}") from None
        return sp.Float(mpmath.nstr(value, 25), 20)


def nonzero_at(expr: sp.Expr, point: Mapping[sp.Symbol, sp.Rational]) -> bool:
    """Whether `expr` is a real number there, and surely not 0."""
    return bool(_settled(_terms(expr), point))


def _settled(
    terms_at: Callable[..., list[mpmath.mpf] | None], point: Mapping[sp.Symbol, sp.Rational]
) -> mpmath.mpf | None:
    """The sum of the terms there, as soon as it stands out of their rounding and one with twice the digits agrees; 0
    where that does not come to pass, None where a term is no real number."""
    before = None
    for digits in (DIGITS, 2 * DIGITS, 4 * DIGITS, 8 * DIGITS, 16 * DIGITS, 32 * DIGITS):
        terms = terms_at(point, digits)
        if terms is None:
            return None
        with mpmath.workdps(digits):
            value, size = mpmath.fsum(terms), max(map(abs, terms))
        agrees = before is not None and abs(value - before) <= abs(value) * mpmath.mpf(10) ** -10
        if agrees and abs(value) > size * mpmath.mpf(10) ** (10 - digits // 2):
            return value
        if before is not None and size < mpmath.mpf(10) ** (digits // 4):
            break
        before = value
    return mpmath.mpf(0)


class TrialPoint(dict[sp.Symbol, sp.Rational]):
    """{symbol: rational}. beside_kink: it was put next to one."""

    beside_kink = False


def trial_points(expr: sp.Expr, symbols: Sequence[sp.Symbol], trials: int = 4, seed: int = 0) -> Iterator[TrialPoint]:
    """Random rational points in a cube of half-width 3, then for every kink g of `expr`, and every bend far from there,
    that is affine in a symbol, points on both sides of g = 0, near and far."""
    rng = random.Random(seed)
    anywhere = lambda: TrialPoint((s, sp.Rational(rng.randint(-300, 300), 100)) for s in symbols)
    for _ in range(trials if symbols else 1):
        yield anywhere()
    for g, s in ((g, s) for g in kinks(expr, symbols) + far_bends(expr, symbols) for s in symbols):
        slope = g.diff(s)
        if slope == 0 or slope.has(s):
            continue
        for size in (1, -1, 50, -50) * BESIDE:
            point, away = anywhere(), sp.Rational(size * rng.randint(50, 150), 100)
            moved = {t: v for t, v in point.items() if t != s}
            at = ((away - g.xreplace({s: sp.Integer(0)})) / slope).xreplace(moved)
            if at.is_number and at.is_finite:
                point[s] = sp.Rational(str(at.evalf(30)))
                point.beside_kink = True
                yield point


def evaluate(expr: sp.Expr, point: Mapping[sp.Symbol, sp.Expr | float], digits: int = DIGITS) -> mpmath.mpf:
    """Value of `expr` at `point` by mpmath from the definition of every atom, nan where it is no real number."""
    value = evaluator(expr)(point, digits)
    return mpmath.nan if value is None else value


def evaluator(expr: sp.Expr) -> Callable[[Mapping[sp.Symbol, sp.Expr | float], int], mpmath.mpf | None]:
    """`expr` as a function of (point, digits), None where it is not a finite real number."""
    terms_at = _terms(expr)

    def value_at(point: Mapping[sp.Symbol, sp.Expr | float], digits: int) -> mpmath.mpf | None:
        terms = terms_at(point, digits)
        with mpmath.workdps(digits):
            return None if terms is None else mpmath.fsum(terms)

    return value_at


def _terms(expr: sp.Expr) -> Callable[[Mapping[sp.Symbol, sp.Expr | float], int], list[mpmath.mpf] | None]:
    """The additive terms of `expr` as a function of (point, digits), None where one is not a finite real number."""
    symbols = sorted(expr.free_symbols, key=str)
    # To print sums in the order of their terms' names took longer than all the rest.
    printer = MpmathPrinter(
        {"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True, "order": "none"}
    )
    terms = [t.replace(sp.DiracDelta, lambda *_: sp.Integer(0)) for t in sp.Add.make_args(expr)]
    function = sp.lambdify(symbols, terms, modules=[_MPMATH, "mpmath"], printer=printer)

    def terms_at(point: Mapping[sp.Symbol, sp.Expr | float], digits: int) -> list[mpmath.mpf] | None:
        with mpmath.workdps(digits):
            try:
                values = function(*(_number(point[s]) for s in symbols))
            except (ArithmeticError, ValueError):  # a pole, or a logarithm of 0
                return None
            real = [v.real if isinstance(v, mpmath.mpc) and v.imag == 0 else v for v in values]
            if any(isinstance(v, mpmath.mpc) or not mpmath.isfinite(v) for v in real):
                return None
            return [mpmath.mpf(v) for v in real]

    return terms_at


def exact_form(expr: sp.Expr) -> sp.Expr:
    """`expr` with every stable atom written in exp and log, as it is almost everywhere (no DiracDelta)."""
    expr = expr.replace(sp.DiracDelta, lambda *_: sp.Integer(0))
    return expr.replace(lambda e: isinstance(e, STABLE), lambda e: e.rewrite(sp.exp))


def is_identically_positive(expr: sp.Expr) -> bool:
    """True if `expr`, rational in exponentials, is a quotient of polynomials in them with positive coefficients only.

    Sufficient, not necessary; symbols outside exponentials may occur only in even powers, and not in every term.
    """
    numerator, denominator, generators = _rational(sp.sympify(expr))
    return all(_positive_coefficients(part, generators) for part in (numerator, denominator))


def _number(value: sp.Expr | float) -> mpmath.mpf:
    return mpmath.mpf(value.p) / value.q if isinstance(value, sp.Rational) else mpmath.mpf(value)


def _is_zero(expr: sp.Expr, base: Mapping[sp.Symbol, sp.Expr], depth: int) -> bool:
    expr = in_canonical_signs(expr)
    try:
        return _rational(expr)[0] == 0
    except _NotRationalError:
        pass
    if _rational(expr, opaque=True)[0] == 0:
        return True
    symbols = sorted(expr.free_symbols, key=str)
    if not symbols or depth == 0:
        return _constant_zero(expr)
    start = dict(base) if base else dict.fromkeys(symbols, sp.Integer(0))
    at_base = sp.expand(expr.subs(start, simultaneous=True))
    moving = [s for s in symbols if s in start]
    if at_base.free_symbols & set(moving) and base:
        # A base such as {φ: η} leaves η free: at_base must vanish identically in η.
        moving = [s for s in moving if s not in at_base.free_symbols]
    if not is_analytic(expr, moving):  # its derivatives do not tell
        return False
    return _is_zero(at_base, {}, depth - 1) and all(_is_zero(expr.diff(s), base, depth - 1) for s in moving)


def _constant_zero(expr: sp.Expr) -> bool:
    return sp.expand(sp.expand_log(exact_form(expr), force=True)) == 0


def _rational(expr: sp.Expr, opaque: bool = False) -> tuple[sp.Expr, sp.Expr, list[sp.Symbol]]:
    """(numerator, denominator, exponential generators); _NotRationalError if a logarithm stands outside exp, unless
    these are to be opaque: symbols of which nothing is known."""
    expr = _split_exponentials(_outer_exponentials(expr))
    logs = {a for a in expr.atoms(softplus, LogSumExp, log_ndtr, sp.log) if not isinstance(a, sp.log) or a.free_symbols}
    if logs and not opaque:
        raise _NotRationalError
    expr = expr.xreplace({a: sp.Dummy("log", real=True) for a in logs})
    exponents: dict[sp.Expr, list[sp.Rational]] = {}
    for e in expr.atoms(sp.exp):
        coefficient, monomial = e.args[0].as_coeff_Mul()
        exponents.setdefault(monomial, []).append(sp.Rational(coefficient))
    table = {}
    generators = []
    for monomial, coefficients in exponents.items():
        # The largest of which all are whole multiples: powers, which polynomials are written out in, stay small.
        shared = reduce(sp.ilcm, [c.q for c in coefficients], 1)
        unit = sp.Rational(reduce(sp.igcd, [c * shared for c in coefficients], 0), shared)
        generator = sp.Dummy("t", positive=True)
        generators.append(generator)
        for c in coefficients:
            table[sp.exp(c * monomial)] = generator ** (c / unit)
    numerator, denominator = sp.fraction(sp.together(expr.xreplace(table)))
    return sp.expand(numerator), sp.expand(denominator), generators


def _outer_exponentials(expr: sp.Expr) -> sp.Expr:
    """expit, tanh, cosh … in exponentials; softplus only where it stands inside an exponential (see below)."""
    expr = expr.replace(mills, lambda t: sp.exp(-(t**2) / 2 - log_ndtr(t) - sp.log(2 * sp.pi) / 2))
    return expr.rewrite([expit, sp.tanh, sp.cosh, sp.sinh], sp.exp)


def _split_exponentials(expr: sp.Expr) -> sp.Expr:
    """exp(a + k softplus(t) + c log b) -> exp(a) (1+exp(t))^k b^c, each exp over one monomial."""

    def split(argument: sp.Expr) -> sp.Expr:
        factors: list[sp.Expr] = []
        for term in sp.Add.make_args(sp.expand(argument)):
            coefficient, rest = term.as_coeff_Mul()
            if isinstance(rest, softplus):
                factors.append((1 + split(rest.args[0])) ** coefficient)
            elif isinstance(rest, LogSumExp):
                factors.append(sp.Add(*(split(t) for t in rest.args)) ** coefficient)
            elif isinstance(rest, log_ndtr):
                factors.append(((1 + sp.erf(rest.args[0] / sp.sqrt(2))) / 2) ** coefficient)
            elif isinstance(rest, sp.log):
                factors.append(rest.args[0] ** coefficient)
            else:
                factors.append(sp.exp(term, evaluate=False) if term != 0 else sp.Integer(1))
        return sp.Mul(*factors)

    return expr.replace(sp.exp, split)


def _positive_coefficients(poly: sp.Expr, generators: Sequence[sp.Symbol]) -> bool:
    others = sorted(poly.free_symbols - set(generators), key=str)
    never_zero = False
    for term in sp.Add.make_args(poly):
        coefficient, rest = term.as_independent(*generators, *others)
        if not coefficient.is_positive or any(sp.degree(rest, s) % 2 for s in others if rest.has(s)):
            return False
        never_zero = never_zero or not rest.has(*others)
    return never_zero
