"""The checker's reading of a declaration: every rewrite is an identity, what lies or jumps is refused by name."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from flint import arb, ctx

import moe_theory as mt
from moe_theory.atoms import LogSumExp, expit, log_factorial, log_normal, softplus
from moe_theory.certificates import normal_form as nf
from moe_theory.certificates.ball_formulas import ball_function
from moe_theory.certificates.declared import Declaration, read
from moe_theory.certificates.flat_form import derived
from moe_theory.certificates.normal_functions import same
from moe_theory.certificates.stated import erased_labels, formulas_of, symmetric_linear

S, T, Y = sp.symbols("s t y", real=True)
PLACE = {S: nf.symbol("a s"), T: nf.symbol("b t"), Y: nf.symbol("c y", 0)}  # y > 0
ATOMS = [next(iter(e.symbols)) for e in PLACE.values()]


RULES: list[Any] = [  # of two expressions and a positive one
    lambda a, b, safe: a + b,
    lambda a, b, safe: a - b,
    lambda a, b, safe: a * b,
    lambda a, b, safe: a**2,
    lambda a, b, safe: sp.exp(a / 4),
    lambda a, b, safe: softplus(a),
    lambda a, b, safe: expit(a),
    lambda a, b, safe: sp.log(safe),
    lambda a, b, safe: 1 / safe,
    lambda a, b, safe: sp.sqrt(safe),
    lambda a, b, safe: sp.log(1 + sp.exp(a)),
    lambda a, b, safe: sp.log(2 + sp.exp(a) / 3),
    lambda a, b, safe: sp.log(expit(a)),
    lambda a, b, safe: sp.tanh(a),
    lambda a, b, safe: sp.log(sp.cosh(a)),
    lambda a, b, safe: log_factorial(1 + a**2),
    lambda a, b, safe: sp.log(Y) * a,
    lambda a, b, safe: LogSumExp(a, b, sp.Integer(0)),
    lambda a, b, safe: sp.exp(sp.log(12) / 2 + a / 4),
    lambda a, b, safe: sp.log(sp.exp(a) * Y / 7),
]


def form(expr: Any) -> nf.Expression:
    return read(sp.sympify(expr), PLACE)


def test_random_expressions_keep_their_value() -> None:
    """Every rule on the way to a normal form, against an evaluation of the expression itself at 45 digits."""
    rng = np.random.default_rng(0)
    pick = lambda options: options[rng.integers(len(options))]

    def grown(depth: int) -> sp.Expr:
        if depth == 0:
            return pick([S, T, Y, sp.pi, sp.E, *(sp.Rational(int(rng.integers(-9, 9)), 4) for _ in range(2))])
        one, other = grown(depth - 1), grown(int(rng.integers(depth)))
        return pick(RULES)(one, other, 1 + one**2 + sp.exp(other))

    judged, log_gamma = 0, lambda y: mpmath.loggamma(y + 1)
    with ctx.workprec(200), mpmath.workdps(45):
        for _ in range(120):
            expr, at = grown(int(rng.integers(1, 4))), [rng.normal(), rng.normal(), 0.1 + abs(rng.normal())]
            try:
                function = ball_function(form(expr), ATOMS)
            except mt.InputError:  # too many terms, or not seen to be positive
                continue
            value = function([arb(v) for v in at])
            kernel = sp.lambdify((S, T, Y), expr.rewrite(sp.exp), [{"log_factorial": log_gamma}, "mpmath"])
            exact = mpmath.re(kernel(*map(mpmath.mpf, at)))  # of what is real, to rounding
            assert abs(mpmath.mpf(value.mid().str(45, radius=False)) - exact) < mpmath.mpf(10) ** -30 * (1 + abs(exact))
            assert float(value.rad()) < 1e-30 * (1 + abs(float(exact)))
            judged += 1
    assert judged > 90


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (sp.log(1 + sp.exp(T)), softplus(T)),
        (softplus(-T), softplus(T) - T),
        (sp.log(expit(S - T)), -softplus(T - S)),
        (softplus(-T / 2), softplus(T / 2) - T / 2),
        (softplus(sp.log(3)), 2 * sp.log(2)),
        (expit(sp.log(3)), sp.Rational(3, 4)),
        (expit(-T), 1 - expit(T)),
        (expit(-T / 3), 1 - expit(T / 3)),
        (sp.log(sp.exp(S) + 2 * sp.exp(T)), S + softplus(T - S + sp.log(2))),
        (sp.log(2 * sp.pi * sp.Rational(9, 4)), 2 * sp.log(3) + sp.log(sp.pi) - sp.log(2)),
        (sp.log(Y**2 / sp.sqrt(8)), 2 * sp.log(Y) - sp.Rational(3, 2) * sp.log(2)),
        (sp.exp(S) * sp.exp(-S / 2) ** 2, sp.Integer(1)),
        (sp.sqrt(12) ** 3, 24 * sp.sqrt(3)),
        (sp.log(sp.cosh(T)), softplus(2 * T) - T - sp.log(2)),
        (log_factorial(Y), sp.loggamma(Y + 1)),
        (sp.log(sp.factorial(sp.Symbol("n")).subs("n", 5)), 3 * sp.log(2) + sp.log(15)),
        (1 / (1 + 3 * Y), (sp.Rational(1, 3)) / (Y + sp.Rational(1, 3))),
        (((S + T) ** 3).expand(), (S + T) ** 3),
    ],
)
def test_equal_expressions_have_one_normal_form(one: sp.Expr, other: sp.Expr) -> None:
    assert same(form(one), form(other))
    assert not same(form(one), form(other) + nf.number(Fraction(1, 10**40)))


def test_logarithms_of_large_numbers_are_compared_exactly() -> None:
    big, prime = 10**250 - 1, 10**9 + 7
    whole = sp.log(big * prime, evaluate=False)
    assert same(form(whole), form(sp.log(big, evaluate=False) + sp.log(prime, evaluate=False)))
    assert not same(form(whole), form(sp.log(big, evaluate=False) + sp.log(prime + 2, evaluate=False)))


def test_signs_are_proved_or_nothing_is() -> None:
    closed = {Y: nf.symbol("y", 0, reached=True)}
    inside = {Y: nf.symbol("y", 0, 1)}
    for expr, place, expected in (
        (Y, PLACE, True),
        (Y, closed, False),
        (1 + Y, closed, True),
        (Y**2, {Y: nf.symbol("y")}, False),
        (1 + Y**2, {Y: nf.symbol("y")}, True),
        (1 - Y, inside, True),
        (1 - Y, PLACE, False),
        (2 - 3 * Y, inside, False),
        (Y - 1, {Y: nf.symbol("y", 1)}, True),
        (Y - 1, {Y: nf.symbol("y", 1, reached=True)}, False),
        (S, PLACE, False),
        (S * T, PLACE, False),
        (sp.exp(S) - 1, PLACE, False),
        (expit(S) * sp.pi * Y, PLACE, True),
        (sp.Integer(0), PLACE, False),
        (-Y, PLACE, False),
    ):
        assert nf.positive(read(expr, place)) == expected, expr
    for expr in (sp.log(S), sp.log(Y - 1), 1 / S, 1 / (S * Y), sp.sqrt(T), sp.loggamma(S), sp.log(sp.exp(S) - 1)):
        with pytest.raises(mt.InputError, match="known to be positive"):
            form(expr)


def test_what_is_too_large_is_refused_at_once() -> None:
    deep = T
    for _ in range(3000):
        deep = sp.Add(sp.exp(deep, evaluate=False), 1, evaluate=False)
    for expr, match in (
        ((1 + S + T) ** 65, "powers"),
        ((1 + S) ** 10**9, "powers"),
        (sp.Pow(3, 10**6, evaluate=False), "powers"),
        (sp.Mul(*((1 + S**k + T**k) for k in range(1, 40)), evaluate=False), "products"),
        (deep, "nested"),
    ):
        with pytest.raises(mt.InputError, match=match):
            form(expr)
    assert form(sp.exp(10**9 * sp.log(2), evaluate=False)).number is None  # stays an exponential


# Declarations


def model(*terms: Any, gate: Any = None, response: Any = None, known: Any = None) -> mt.Model:
    """Labels 0 and 1: a flat normal expert and, added to each label's, a term of y, b and the known predictor c."""
    given = {"c": [1.0]} if known is None else known
    place = lambda f, y, b, c: f(y, b, c) if callable(f) else f
    return mt.Model(
        "odd",
        (0, 1),
        ("b",),
        gate,
        lambda y, z, b, c: log_normal(y, b + z) + place(terms[int(z)], y, b, c),
        response or mt.Reals(),
        given,
    )


wave = lambda t: (sp.atan(sp.tan(t)) - t) / 16
LYING = {
    "atan": lambda y, b, c: wave(b),
    "floor": lambda y, b, c: sp.floor(b),
    "ceiling": lambda y, b, c: y * sp.ceiling(b),
    "sign": lambda y, b, c: sp.sign(b),
    "Heaviside": lambda y, b, c: sp.Heaviside(b),
    "Piecewise": lambda y, b, c: sp.Piecewise((1, b > 0), (0, True)),
    "Mod": lambda y, b, c: sp.Mod(b, 1) - b,
    "frac": lambda y, b, c: sp.frac(b),
    "step": lambda y, b, c: mt.atoms.step(b),
    "relu": lambda y, b, c: mt.atoms.relu(b),
    "Abs": lambda y, b, c: abs(b) * y,
    "Max": lambda y, b, c: sp.Max(b, 0),
    "Min": lambda y, b, c: sp.Min(b, 0),
    "re": lambda y, b, c: sp.re(sp.Symbol("eta_b", real=True) * sp.I, evaluate=False),
    "indicator": lambda y, b, c: mt.atoms.indicator(b, 0),
    "DiracDelta": lambda y, b, c: sp.DiracDelta(b),
    "zeta": lambda y, b, c: sp.zeta(2 + b**2),
    "Integral": lambda y, b, c: sp.Integral(sp.exp(b), (sp.Symbol("u"), 0, 1)),
    "Derivative": lambda y, b, c: sp.Derivative(sp.exp(b), b),
    "acos": lambda y, b, c: sp.acos(sp.cos(b)) - b,
    "ImaginaryUnit": lambda y, b, c: sp.I * b,
}


@pytest.mark.parametrize("name", LYING)
@pytest.mark.parametrize("both", [False, True])
def test_functions_off_the_list_are_refused_by_name(name: str, both: bool) -> None:
    """Whichever label they are at, and though their derivatives may be 0."""
    term = LYING[name]
    expr = term(Y, *sp.symbols("eta_b eta_c", real=True))
    with pytest.raises(mt.InputError, match=f"got {name}"):
        read(expr, {Y: PLACE[Y], **dict(zip(sp.symbols("eta_b eta_c", real=True), (PLACE[S], PLACE[T]), strict=True))})
    try:
        odd = model(term if both else 0, term)
    except (mt.InputError, mt.errors.MoeTheoryError, RecursionError, TypeError, ValueError):
        return  # no model at all
    with pytest.raises(mt.InputError, match=f"got {name}"):
        derived(odd)


def test_floats_are_refused() -> None:
    for expr in (sp.Float(0.5) * T, sp.exp(sp.Float(2) * S), sp.Pow(T, sp.Float(2.0))):
        with pytest.raises(mt.InputError, match="expected terms made of"):
            form(expr)


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        (0, lambda y, b, c: b**2, "not affine in the learnt predictors: b\\^2"),
        (0, lambda y, b, c: c * b**3, "not affine"),
        (0, lambda y, b, c: softplus(b), "not affine"),
        (0, lambda y, b, c: sp.exp(b) * y, "not affine"),
        (0, lambda y, b, c: sp.tanh(b), "not affine"),
        (lambda y, b, c: -y * b**2, lambda y, b, c: -y * b**2, "flat model with a mirror map"),
        (lambda y, b, c: -c * b**2, lambda y, b, c: -c * b**2, "flat model with a mirror map"),
        (lambda y, b, c: -sp.exp(b), lambda y, b, c: -sp.exp(b), "flat model with a mirror map"),
        (lambda y, b, c: -(softplus(b) ** 2), lambda y, b, c: -(softplus(b) ** 2), "flat model with a mirror map"),
        (lambda y, b, c: -softplus(b + y), lambda y, b, c: -softplus(b + y), "affine forms"),
        (lambda y, b, c: -softplus(sp.pi * b), lambda y, b, c: -softplus(sp.pi * b), "affine forms"),
        (lambda y, b, c: -softplus(c * b), lambda y, b, c: -softplus(c * b), "affine forms"),
        (lambda y, b, c: -sp.pi * softplus(b), lambda y, b, c: -sp.pi * softplus(b), "positive weights"),
        (lambda y, b, c: softplus(b), lambda y, b, c: softplus(b), "positive weights"),
        (lambda y, b, c: b**2, lambda y, b, c: b**2, "convex mirror map"),
    ],
)
def test_models_that_are_not_flat_are_refused(first: Any, second: Any, match: str) -> None:
    with pytest.raises(mt.InputError, match=match):
        derived(model(first, second))


def test_formulas_of_terms_with_known_predictors_constants_and_shifts() -> None:
    term = lambda y, b, c: -3 * softplus(2 * b - c) - softplus(c - 2 * b) - sp.pi * b**2
    found = derived(model(term, lambda y, b, c: term(y, b, c) + sp.log(3) * b * y * c + sp.tanh(c)))
    assert found.gates == ((Fraction(4), (Fraction(2),)),)
    (offset, delta, statistic, shift) = found.expressions[None]
    assert str(found.quadratic[0][0]) == "1 + 2·pi"
    assert (str(delta), str(statistic), str(shift)) == ("-1 + c·y·log(3)", "2 + y", "-1·c")
    with ctx.workprec(128):
        value = ball_function(offset, found.symbols)([arb(2), arb(0.25)])
        assert abs(float(value.mid()) - (2 - 0.5 + np.tanh(0.25))) < 1e-15


def test_a_mirror_map_is_one_for_all_responses() -> None:
    change = lambda term: mt.Model(
        "odd", (0, 1), ("b",), None, lambda y, z, b: y * z * b + term(y, b), mt.Values((0, 1))
    )
    assert derived(change(lambda y, b: -softplus(b))).gates
    for term in (lambda y, b: -(1 + y) * softplus(b), lambda y, b: -softplus(b + y), lambda y, b: -y * b**2):
        with pytest.raises(mt.InputError, match="mirror map that does not depend on y"):
            derived(change(term))


def test_a_quadratic_part_has_to_be_semidefinite() -> None:
    quadratic = lambda a, b, c: mt.Model(
        "q",
        (0, 1),
        ("u", "v"),
        None,
        lambda y, z, u, v: z * y * u - (a * u**2 + 2 * b * u * v + c * v**2) / 2,
        mt.Reals(),
    )
    for entries, convex in (
        ((1, 1, 1), True),
        ((1, 2, 4), True),
        ((1, 2, 3), False),
        ((0, 1, 1), False),
        ((0, 0, 1), True),
        ((0, 0, -1), False),
        ((2, -1, sp.Rational(1, 2)), True),
        ((2, -1, sp.Rational(1, 2) - sp.Rational(1, 10**30)), False),
        ((sp.pi, 0, sp.sqrt(2)), True),
        ((sp.pi, 0, -sp.sqrt(2)), False),
        ((sp.pi, 1, sp.pi), False),  # not decided: not said
    ):
        if convex:
            assert derived(quadratic(*entries)).m == 2
        else:
            with pytest.raises(mt.InputError, match="convex mirror map"):
                derived(quadratic(*entries))


two = lambda expert, response, known=None: mt.Model(
    "two",
    (-1, 1),
    ("w",),
    lambda z, w: sp.log(1 / (1 + sp.exp(-z * w))),
    expert,
    response,
    known or {},
)
DOMAINS = {
    "log-normal": (
        lambda y, z, w: -((sp.log(y) - z * w) ** 2) / 2 - sp.log(y) - sp.log(2 * sp.pi) / 2,
        mt.Positive(),
        (0.3, 7.0),
    ),
    "logit-normal": (
        lambda y, z, w: -((sp.log(y / (1 - y)) - z * w) ** 2) / 2 - sp.log(y * (1 - y)) - sp.log(2 * sp.pi) / 2,
        mt.Interval(0, 1),
        (0.3, 0.9),
    ),
    "poisson": (
        lambda y, z, a, b: y * (b if z == 1 else a) - sp.exp(b if z == 1 else a) - sp.log(sp.factorial(y)),
        mt.Counts(),
        (0.0, 3.0),
    ),
    "negative binomial": (
        lambda y, z, a, b: (
            sp.loggamma(y + 2 + z) - sp.loggamma(2 + z) - sp.loggamma(y + 1) - y * sp.log(2) - (2 + z) * sp.log(2)
        ),
        mt.Counts(),
        (0.0, 3.0),
    ),
    "binomial": (
        lambda y, z, a, b: sp.log(sp.binomial(3, y)) + y * z * sp.log(2) - 3 * sp.log(1 + sp.Integer(2) ** z),
        mt.Values((0, 1, 2, 3)),
        (0.0, 3.0),
    ),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_every_domain_of_the_response(name: str) -> None:
    """Posterior logit and slope of the first label's density from the formulas, against log p as declared."""
    expert, response, values = DOMAINS[name]
    declared = two(
        expert, response, {"a": [1.0], "b": [1.0]} if name in ("poisson", "negative binomial", "binomial") else None
    )
    found = derived(declared)
    with ctx.workprec(160), mpmath.workdps(40):
        for y in values:
            known = {s: sp.Rational(k - 1, 3) for k, s in enumerate(declared.symbols[1:])}
            terms = found.terms([y], [[arb(k - 1) / 3] for k in range(len(known))])
            at = lambda z, eta, y=y, known=known: mpmath.mpf(
                str(
                    sp.N(
                        sum(declared.declared[z])
                        .subs({**known, sp.Symbol("y", real=True): sp.nsimplify(y)})
                        .subs(declared.symbols[0], eta),
                        35,
                    )
                )
            )
            for eta in (sp.Rational(-3, 2), sp.Rational(5, 4)):
                logit = terms.offset[0] + terms.delta[0][0] * float(eta)
                assert abs(float(logit) - float(at(1, eta) - at(0, eta))) < 1e-14
                h = sp.Rational(1, 10**12)
                slope = -terms.statistic[0][0] + found.constant()[0][0] * float(eta)
                for (kappa, line), shift in zip(found.scales(), terms.shift, strict=True):
                    slope += kappa * line[0] / (1 + (-shift[0] - line[0] * float(eta)).exp())
                assert (
                    abs(float(-slope) - float((at(0, eta + h) - at(0, eta - h)) / (2 * mpmath.mpf(10) ** -12))) < 1e-9
                )


def test_logarithms_need_a_domain() -> None:
    for expert in (DOMAINS["log-normal"][0], DOMAINS["logit-normal"][0]):
        for response in (mt.Reals(), mt.Interval(-1, 1)):
            with pytest.raises((mt.InputError, mt.errors.DerivationError), match="positive"):
                derived(two(expert, response))


# The numbers a certificate states


def test_the_declaration_is_the_one_with_exactly_the_stated_numbers() -> None:
    for sigma in (1, 0.3, 6.0, 1e-3, 12345.678):
        assert formulas_of(mt.symmetric_linear(sigma), {"sigma": float(sigma)}).m == 2
        for other in (np.nextafter(sigma, 9e9), sigma * (1 + 7.8e-8)):
            with pytest.raises(mt.InputError, match="exactly sigma = "):
                formulas_of(mt.symmetric_linear(sigma), {"sigma": float(other)})
    for erasure in (0.1, 0.25):
        options = {"erasure": erasure, "error": 1e-250}
        for name in options:
            with pytest.raises(mt.InputError, match="exactly erasure = "):
                formulas_of(mt.erased_labels(erasure), {**options, name: float(np.nextafter(options[name], 1))})
        assert formulas_of(mt.erased_labels(erasure), options).m == 1
    assert formulas_of(mt.symmetric_logistic(), {}).m == 2
    assert nf.exact(0.1) == Fraction(1, 10) and nf.exact(1e-250) == Fraction(1, 10**250)
    assert nf.exact(1.0000000775613402) == Fraction(10000000775613402, 10**16)
    assert symmetric_linear(nf.exact(0.1)).quadratic[0][0].number == 100
    assert erased_labels().m == 1


def test_finite_responses_stand_for_the_decimals_they_print_as() -> None:
    tenth = mt.Model(
        "tenth",
        (0, 1),
        ("w",),
        lambda z, w: -softplus(-(2 * z - 1) * w),
        lambda y, z: -1 - z * (10 * y - 1),
        mt.Values((0.1, 0.2)),
    )
    found = derived(tenth)
    assert {y: row[0].number for y, row in found.expressions.items()} == {0.1: 0, 0.2: -1}
    assert Declaration(tenth).at(0.1)[0] != Declaration(tenth).at(0.2)[1]
    said = mt.Model(
        "said",
        (0, 1),
        ("w",),
        lambda z, w: -softplus(-(2 * z - 1) * w),
        lambda y, z: -1 - z * mt.atoms.indicator(y, sp.Rational(1, 10)),
        mt.Values((0.1, 0.2)),
    )
    assert {y: row[0].number for y, row in derived(said).expressions.items()} == {0.1: -1, 0.2: 0}
