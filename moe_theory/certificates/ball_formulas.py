"""What a flat model with two labels asks of a row, as functions on balls.

With η the learnt predictors and ℓ_z = log p(y, z|x) for the first (0) and second (1) label,

    ℓ_1 - ℓ_0 = offset(y, known) + Δs(y, known)'η                               (the posterior logit τ of the second)
    -∂ℓ_0/∂η = Cη + Σ_k κ_k σ(l_k'η + b_k) l_k - s_0(y, known)                  (= ∇A_x(η) - s_0)

so that A_x(η) = ½η'Cη + Σ_k κ_k softplus(l_k'η + b_k) is the mirror map, convex where C is positive semidefinite and
κ > 0. The two symmetric models of arXiv 2411.06056 have formulas typed by hand; those of other models follow from the
declaration, and every step is an identity proved exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp
from flint import arb, fmpq

from moe_theory.atoms import exact, expit, softplus
from moe_theory.certificates.contents import brief
from moe_theory.errors import InputError
from moe_theory.model import RESPONSE, Model
from moe_theory.symbolic.identities import prove_zero

Column = list[Any]  # one ball per row
Evaluate = Callable[[Sequence[Any]], Any]
Compiled = dict[float | None, list[tuple[Evaluate, Any]]]  # by response: (function, its value where that is constant)


@dataclass(frozen=True)
class Terms:
    """Balls for some rows: offset (b,), delta Δs and statistic s_0 (m columns each), shift b_k (a column per gate)."""

    offset: Column
    delta: list[Column]
    statistic: list[Column]
    shift: list[Column]


@dataclass(frozen=True)
class Formulas:
    """quadratic: C, (m, m). gates: (κ_k, l_k) with l_k (m,), rationals. expressions: by response (None: any) the SymPy
    expressions (offset, *Δs, *s_0, *b) in y and the known predictors, in the order of `symbols`.
    """

    quadratic: sp.Matrix
    gates: tuple[tuple[sp.Rational, tuple[sp.Rational, ...]], ...]
    symbols: tuple[sp.Symbol, ...]
    expressions: dict[float | None, tuple[sp.Expr, ...]]

    @property
    def m(self) -> int:
        """The number of learnt predictors."""
        return int(self.quadratic.rows)

    def constant(self) -> list[list[Any]]:
        """C in balls."""
        return [[ball_function(self.quadratic[a, b], ())(()) for b in range(self.m)] for a in range(self.m)]

    def scales(self) -> list[tuple[Any, list[Any]]]:
        """(κ, l) in balls, one pair per gate."""
        return [(_rational(kappa), [_rational(v) for v in slope]) for kappa, slope in self.gates]

    def compiled(self) -> Compiled:
        """The expressions as functions on balls; what does not change from row to row is computed now, once."""
        return {
            value: [
                (f, None if e.free_symbols else f(())) for e in expressions for f in (ball_function(e, self.symbols),)
            ]
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


def formulas_of(model: Model, options: dict[str, Any] | None) -> Formulas:
    """By hand for the symmetric models made by the zoo with these options, else from the declaration."""
    if options is not None and model.name == "symmetric-linear":
        return symmetric_linear(exact(options.get("sigma", 1)))
    if options is not None and model.name == "symmetric-logistic":
        return symmetric_logistic()
    return derived(model)


def symmetric_linear(sigma: sp.Rational) -> Formulas:
    """Labels -1, +1: Δs = (2y/σ², 1), s_0 = (-y/σ², 0), A = η_β²/(2σ²) + softplus(η_w)."""
    y, zero, one, precision = RESPONSE, sp.Integer(0), sp.Integer(1), 1 / sigma**2
    return Formulas(
        sp.Matrix([[precision, 0], [0, 0]]),
        ((one, (zero, one)),),
        (y,),
        {None: (zero, 2 * y * precision, one, -y * precision, zero, zero)},
    )


def symmetric_logistic() -> Formulas:
    """Labels -1, +1, responses -1, +1: Δs = (y, 1), s_0 = ((1-y)/2, 0), A = softplus(η_β) + softplus(η_w)."""
    zero, one, half = sp.Integer(0), sp.Integer(1), sp.Rational(1, 2)
    rows: dict[float | None, tuple[sp.Expr, ...]] = {
        float(y): (zero, sp.Integer(y), one, (1 - y) * half, zero, zero, zero) for y in (-1, 1)
    }
    return Formulas(sp.zeros(2, 2), ((one, (one, zero)), (one, (zero, one))), (RESPONSE,), rows)


def derived(model: Model) -> Formulas:
    """From the declaration; InputError, with the term that breaks it, for a model that is not flat with two labels and
    a mirror map quadratic plus softplus.
    """
    if len(model.latent) != 2:
        raise InputError(f"model: expected two latent labels, {model.name} has {len(model.latent)}")
    if model.design is not None:
        raise InputError(f"model: expected predictors that see every feature, {model.name} has a design")
    eta = model.learnt
    values = model.response.values
    at = [(float(v), sp.Rational(v)) for v in values] if values else [(None, RESPONSE)]
    made: list[Formulas] = []  # one per response; they are to be the same
    expressions: dict[float | None, tuple[sp.Expr, ...]] = {}
    for key, y in at:
        labels = [sp.expand(term.subs(RESPONSE, y)) for term in model.log_joint]
        quadratic, gates, shifts = _mirror_map(model, labels[0])
        _prove_curvature(model, labels, quadratic, gates, shifts)
        here = Formulas(quadratic, gates, (RESPONSE, *model.symbols[len(eta) :]), expressions)
        if made and (here.quadratic, here.gates) != (made[0].quadratic, made[0].gates):
            raise InputError(
                f"model: expected a mirror map that does not depend on y, {model.name} has another at y = {y}"
            )
        made.append(here)
        origin = dict.fromkeys(eta, sp.Integer(0))
        change = labels[1] - labels[0]
        slopes = [
            sum((k * s[a] * expit(b) for (k, s), b in zip(gates, shifts, strict=True)), sp.Integer(0))
            for a in range(len(eta))
        ]
        new = (
            change.subs(origin),
            *(change.diff(v).subs(origin) for v in eta),
            *(labels[0].diff(v).subs(origin) + slope for v, slope in zip(eta, slopes, strict=True)),
            *shifts,
        )
        if expressions and new[len(new) - len(shifts) :] != next(iter(expressions.values()))[len(new) - len(shifts) :]:
            raise InputError(
                f"model: expected a mirror map that does not depend on y, {model.name} has another at y = {y}"
            )
        expressions[key] = tuple(sp.expand(e) for e in new)
    return made[0]


def _mirror_map(
    model: Model, label: sp.Expr
) -> tuple[sp.Matrix, tuple[tuple[sp.Rational, tuple[sp.Rational, ...]], ...], tuple[sp.Expr, ...]]:
    """(C, gates, their shifts b) read off ℓ_0: minus its quadratic part, minus its softplus terms."""
    eta = model.learnt
    origin = dict.fromkeys(eta, sp.Integer(0))
    atoms = sorted((a for a in label.atoms(softplus) if a.free_symbols & set(eta)), key=str)
    stand = [sp.Dummy() for _ in atoms]
    rest = label.xreplace(dict(zip(atoms, stand, strict=True)))
    sizes: dict[tuple[tuple[sp.Rational, ...], sp.Expr], sp.Expr] = {}
    for atom, dummy in zip(atoms, stand, strict=True):
        argument = sp.expand(atom.args[0])
        slope = tuple(argument.diff(v) for v in eta)
        shift = argument.subs(origin)
        if not all(isinstance(v, sp.Rational) for v in slope) or shift.has(RESPONSE):
            raise InputError(f"model: expected softplus of affine forms, {model.name} has {brief(str(atom))}")
        if next(v for v in slope if v != 0) < 0:  # softplus(-t) = softplus(t) - t has the same curvature
            slope, shift = tuple(-v for v in slope), -shift
        key = (slope, sp.expand(shift))
        sizes[key] = sizes.get(key, sp.Integer(0)) - rest.diff(dummy)
    kept = {key: sp.expand(size) for key, size in sizes.items() if sp.expand(size) != 0}
    for (slope, _), size in kept.items():
        if not (isinstance(size, sp.Rational) and size > 0):
            raise InputError(
                f"model: expected softplus terms with positive weights, {model.name} has {brief(str(size))} at {slope}"
            )
    order = sorted(kept, key=lambda key: ([-v for v in key[0]], str(key[1])))
    plain = rest.xreplace(dict.fromkeys(stand, sp.Integer(0)))
    quadratic = sp.Matrix(len(eta), len(eta), lambda a, b: sp.expand(-plain.diff(eta[a], eta[b])))
    if any(not entry.is_number for entry in quadratic):
        broken = next(entry for entry in quadratic if not entry.is_number)
        raise InputError(
            f"model: expected a flat model with a mirror map quadratic + softplus, {model.name} has curvature"
            f" {brief(str(broken))}"
        )
    if quadratic.is_positive_semidefinite is not True:
        raise InputError(
            f"model: expected a convex mirror map, {model.name} has the quadratic part {quadratic.tolist()}"
        )
    return quadratic, tuple((kept[key], key[0]) for key in order), tuple(key[1] for key in order)


def _prove_curvature(
    model: Model,
    labels: Sequence[sp.Expr],
    quadratic: sp.Matrix,
    gates: Sequence[tuple[sp.Rational, tuple[sp.Rational, ...]]],
    shifts: Sequence[sp.Expr],
) -> None:
    """-∂²ℓ_z/∂η² = C + Σ κ q(l'η + b) ll' for both labels: ℓ_1 - ℓ_0 is affine and s_0 is what it is at η = 0."""
    eta = model.learnt
    for a in range(len(eta)):
        for b in range(a, len(eta)):
            wanted = quadratic[a, b]
            for (kappa, slope), shift in zip(gates, shifts, strict=True):
                t = sum((s * v for s, v in zip(slope, eta, strict=True)), shift)
                wanted += kappa * slope[a] * slope[b] * expit(t) * expit(-t)
            for label, z in zip(labels, model.latent, strict=True):
                if not prove_zero(sp.expand(label.diff(eta[a], eta[b])) + wanted).proved:
                    raise InputError(
                        f"model: expected a flat model, the curvature of {model.name} at label {z} is not that of one"
                        " mirror map"
                    )


def ball_function(expr: sp.Expr, symbols: Sequence[sp.Symbol]) -> Evaluate:
    """`expr` as a function of balls, one per symbol; rationals and constants are exact or enclosed."""
    expr = sp.sympify(expr)
    if expr in symbols:
        index = list(symbols).index(expr)
        return lambda point: point[index]
    if isinstance(expr, sp.Rational):
        value = _rational(expr)
        return lambda point: value
    if expr == sp.pi:
        return lambda point: arb.pi()
    parts = [ball_function(argument, symbols) for argument in expr.args]
    if isinstance(expr, sp.Add):
        return lambda point: sum((f(point) for f in parts[1:]), parts[0](point))
    if isinstance(expr, sp.Mul):
        return lambda point: _product([f(point) for f in parts])
    if isinstance(expr, sp.Pow) and isinstance(expr.exp, sp.Integer):
        power = int(expr.exp)
        return lambda point: parts[0](point) ** power
    if isinstance(expr, sp.Pow) and expr.exp == sp.Rational(1, 2):
        return lambda point: parts[0](point).sqrt()
    if isinstance(expr, sp.exp):
        return lambda point: parts[0](point).exp()
    if isinstance(expr, sp.log):
        return lambda point: parts[0](point).log()
    if isinstance(expr, expit):
        return lambda point: 1 / (1 + (-parts[0](point)).exp())
    if isinstance(expr, softplus):
        return lambda point: parts[0](point).exp().log1p()
    raise InputError(f"model: expected terms of y and known predictors that balls can evaluate, got {brief(str(expr))}")


def _rational(value: sp.Rational) -> Any:
    """As a ball; exact where it is a double."""
    return arb(fmpq(int(value.p), int(value.q)))


def _product(factors: Sequence[Any]) -> Any:
    value = factors[0]
    for factor in factors[1:]:
        value = value * factor
    return value
