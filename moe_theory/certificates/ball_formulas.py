"""What a flat model with two labels asks of a row, as functions on balls.

With η the learnt predictors and ℓ_z = log p(y, z|x) for the first (0) and second (1) label,

    ℓ_1 - ℓ_0 = offset(y, known) + Δs(y, known)'η                               (the posterior logit τ of the second)
    -ℓ_0 = ½η'Cη + Σ_k κ_k softplus(l_k'η + b_k) - s_0(y, known)'η + h(y, known)

so that A_x(η) = ½η'Cη + Σ_k κ_k softplus(l_k'η + b_k) is the mirror map, convex where C is positive semidefinite and
κ > 0. Both are identities between functions of η: the declaration's exact normal form *has* these terms and no others,
so that its coefficients are offset, Δs, C, κ, l, b and s_0. No derivative is looked at, as those of what jumps lie.

For the zoo's flat models the formulas are typed by hand as well, from the options that the certificate states, and have
to be those of the declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from flint import arb, fmpq

from moe_theory.certificates import normal_form as nf
from moe_theory.certificates.contents import brief
from moe_theory.certificates.declared import Declaration
from moe_theory.certificates.normal_form import Atom, Expression
from moe_theory.errors import InputError
from moe_theory.model import Model

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


def formulas_of(model: Model, options: Mapping[str, float] | None) -> Formulas:
    """From the declaration. options: of the zoo's model that the certificate speaks of, as it states them; InputError
    unless the declaration is that model's with exactly these numbers, the decimals that they print as."""
    found = derived(model)
    if options is not None and model.name in BY_HAND:
        stated = BY_HAND[model.name](**{name: nf.exact(value) for name, value in options.items()})
        if not _agree(found, stated):
            listed = ", ".join(f"{name} = {value!r}" for name, value in options.items())
            raise InputError(f"model: expected the declaration of {model.name} with exactly {listed or 'no options'}")
    return found


def symmetric_linear(sigma: Fraction = Fraction(1)) -> Formulas:
    """Labels -1, +1: Δs = (2y/σ², 1), s_0 = (-y/σ², 0), A = η_β²/(2σ²) + softplus(η_w)."""
    y, precision = nf.symbol("c y"), 1 / sigma**2
    return Formulas(
        ((nf.number(precision), ZERO), (ZERO, ZERO)),
        ((Fraction(1), (Fraction(0), Fraction(1))),),
        tuple(y.symbols),
        {None: (ZERO, y * (2 * precision), ONE, y * -precision, ZERO, ZERO)},
    )


def symmetric_logistic() -> Formulas:
    """Labels -1, +1, responses -1, +1: Δs = (y, 1), s_0 = ((1-y)/2, 0), A = softplus(η_β) + softplus(η_w)."""
    one, zero = Fraction(1), Fraction(0)
    rows: dict[float | None, tuple[Expression, ...]] = {
        float(y): (ZERO, nf.number(y), ONE, nf.number(Fraction(1 - y, 2)), ZERO, ZERO, ZERO) for y in (-1, 1)
    }
    return Formulas(((ZERO, ZERO),) * 2, ((one, (one, zero)), (one, (zero, one))), _y(), rows)


def erased_labels(erasure: Fraction = Fraction(1, 10), error: Fraction = Fraction(1, 10**250)) -> Formulas:
    """Labels 0, 1, responses 0, 1 and 2 (erased): Δs = 1, s_0 = 0, A = softplus(η_w), offset ∓log of the odds of being
    told right, or 0."""
    odds = nf.log(nf.number((1 - erasure - error) / error))
    rows: dict[float | None, tuple[Expression, ...]] = {
        value: (odds * sign, ONE, ZERO, ZERO) for value, sign in ((0.0, -1), (1.0, 1), (2.0, 0))
    }
    return Formulas(((ZERO,),), ((Fraction(1), (Fraction(1),)),), _y(), rows)


BY_HAND: dict[str, Callable[..., Formulas]] = {
    "symmetric-linear": symmetric_linear,
    "symmetric-logistic": symmetric_logistic,
    "erased-labels": erased_labels,
}


def derived(model: Model) -> Formulas:
    """From the declaration; InputError, with the term that breaks it, for a model that is not flat with two labels and
    a mirror map quadratic plus softplus.
    """
    if len(model.latent) != 2:
        raise InputError(f"model: expected two latent labels, {model.name} has {len(model.latent)}")
    if model.design is not None:
        raise InputError(f"model: expected predictors that see every feature, {model.name} has a design")
    declaration = Declaration(model)
    values: tuple[float, ...] = model.response.values
    mirror: tuple[Any, ...] | None = None  # one for all responses
    expressions: dict[float | None, tuple[Expression, ...]] = {}
    for y in values or (None,):
        first, second = declaration.at(y)
        change = nf.affine(second - first, declaration.learnt)
        if change is None:
            raise InputError(
                f"model: expected a flat model, log p(y, z|x) of {model.name} at the second label less that at the first"
                f" is not affine in the learnt predictors{_odd(second - first, declaration)}"
            )
        quadratic, gates, shifts, statistic = _mirror_map(declaration, first)
        if mirror not in (None, (quadratic, gates, shifts)):
            raise InputError(
                f"model: expected a mirror map that does not depend on y, {model.name} has another at y = {y}"
            )
        mirror = quadratic, gates, shifts
        slopes, offset = change
        expressions[None if y is None else float(y)] = (offset, *slopes, *statistic, *shifts)
    return Formulas(quadratic, gates, (declaration.y, *declaration.known), expressions)


def _mirror_map(
    declaration: Declaration, label: Expression
) -> tuple[tuple[tuple[Expression, ...], ...], tuple[Gate, ...], tuple[Expression, ...], list[Expression]]:
    """(C, gates, their shifts b, s_0) of ℓ_0, term by term."""
    name, learnt = declaration.model.name, declaration.learnt
    m = len(learnt)
    quadratic, linear = [[ZERO] * m for _ in range(m)], [ZERO] * m
    gates: dict[tuple[tuple[Fraction, ...], Expression], Fraction] = {}
    for product, c in label.terms:
        own = [(atom, n) for atom, n in product if _learnt(atom, declaration)]
        others = nf.expression([(tuple(factor for factor in product if factor not in own), c)])
        degree = sum(n for _, n in own)
        places = [learnt[atom] for atom, n in own for _ in range(n) if atom in learnt]
        if not own:
            continue
        if len(places) == degree == 1:
            linear[places[0]] += others
        elif len(places) == degree == 2 and not others.symbols:
            a, b = places
            quadratic[a][b] -= others
            quadratic[b][a] -= others
        elif degree == 1 and own[0][0].kind == "softplus":
            gate = _gate(declaration, own[0][0])
            kappa = others.number
            if kappa is None or kappa > 0:
                raise InputError(
                    f"model: expected softplus terms with positive weights, {name} has"
                    f" {brief(str(others * -1))} at {brief(str(own[0][0].inside))}"
                )
            gates[gate] = -kappa
        else:
            raise InputError(
                f"model: expected a flat model with a mirror map quadratic + softplus, {name} has the term"
                f" {brief(str(nf.expression([(product, c)])))}"
            )
    if not _semidefinite(quadratic):
        raise InputError(
            f"model: expected a convex mirror map, {name} has the quadratic part"
            f" {brief(str([[str(entry) for entry in row] for row in quadratic]))}"
        )
    order = sorted(gates, key=lambda gate: ([-v for v in gate[0]], gate[1].key))
    return (
        tuple(map(tuple, quadratic)),
        tuple((gates[gate], gate[0]) for gate in order),
        tuple(shift for _, shift in order),
        linear,
    )


def _gate(declaration: Declaration, atom: Atom) -> tuple[tuple[Fraction, ...], Expression]:
    """(l, b) of softplus(l'η + b); b may depend on known predictors."""
    inside = atom.inside or ZERO
    found = nf.affine(inside, declaration.learnt)
    slopes = [] if found is None else [slope.number for slope in found[0]]
    if found is None or None in slopes or declaration.y in found[1].symbols:
        raise InputError(
            f"model: expected softplus of affine forms with rational slopes and shifts without y,"
            f" {declaration.model.name} has softplus({brief(str(inside))})"
        )
    return tuple(Fraction(v or 0) for v in slopes), found[1]


def _learnt(atom: Atom, declaration: Declaration) -> bool:
    return atom in declaration.learnt or (atom.inside is not None and bool(atom.inside.symbols & declaration.learnt.keys()))


def _odd(e: Expression, declaration: Declaration) -> str:
    """The first term that is not affine, for a message."""
    for term in e.terms:
        if nf.affine(nf.expression([term]), declaration.learnt) is None:
            return f": {brief(str(nf.expression([term])))}"
    return ""


def _semidefinite(matrix: Sequence[Sequence[Expression]]) -> bool:
    """Whether a symmetric matrix of constants is proved positive semidefinite: by exact elimination of rational ones,
    or as a diagonal of constants >= 0."""
    size = len(matrix)
    numbers = [[entry.number for entry in row] for row in matrix]
    if any(v is None for row in numbers for v in row):
        off = any(matrix[a][b].terms for a in range(size) for b in range(size) if a != b)
        return not off and all(not matrix[a][a].terms or nf.positive(matrix[a][a]) for a in range(size))
    rest = [[Fraction(v or 0) for v in row] for row in numbers]
    for k in range(size):
        pivot = rest[k][k]
        if pivot < 0 or (pivot == 0 and any(rest[k])):
            return False
        if pivot > 0:
            below = [row[k] / pivot for row in rest]
            rest = [
                [v - below[i] * rest[k][j] if min(i, j) >= k else v for j, v in enumerate(row)]
                for i, row in enumerate(rest)
            ]
    return True


def _agree(a: Formulas, b: Formulas) -> bool:
    if (a.quadratic, a.gates, a.expressions.keys()) != (b.quadratic, b.gates, b.expressions.keys()):
        return False
    return all(
        nf.same(e, f) for y, own in a.expressions.items() for e, f in zip(own, b.expressions[y], strict=True)
    )


def _y() -> tuple[Atom, ...]:
    return tuple(nf.symbol("c y").symbols)


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
