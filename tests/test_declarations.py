"""What users declare: random models judged from outside, what is refused by name, domains, exact numbers, deadlines."""

from __future__ import annotations

import random
import sys
import time
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import moe_theory as mt
from moe_theory import atoms
from moe_theory.atoms import exact, log_ndtr, mills, relu, softplus, step
from moe_theory.deadline import within
from moe_theory.errors import DerivationError, InputError
from moe_theory.model import RESPONSE
from moe_theory.stable import stable
from moe_theory.symbolic.derive import derive
from moe_theory.symbolic.functions import in_canonical_signs
from moe_theory.symbolic.identities import prove_zero
from moe_theory.symbolic.lower import Compiled
from moe_theory.symbolic.self_check import self_check

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import declarations

T = sp.Symbol("t", real=True)


def mixture(expert, response=None, gate=None, predictors=("b",), **options) -> mt.Model:
    return mt.Model(
        "mine",
        latent=(-1, 1),
        predictors=predictors,
        gate=gate,
        expert=expert,
        response=response or mt.Reals(),
        **options,
    )


def mirrored(f) -> mt.Model:
    return mixture(lambda y, z, b: mt.log_normal(y, z * f(b)))


# Of every kind some; `python -m benchmarks.declarations --count 1000` tries more ------------------------------------


@pytest.mark.parametrize("seed", [0, 2, 5, 7, 21, 35, 45, 72, 94, 150, 182])
def test_random_declarations_are_classed_and_computed_as_their_values_say(seed: int) -> None:
    assert declarations.verdict(seed)[0] == "right"


def test_the_judge_can_tell() -> None:
    """It finds a model of another class and one with other numbers."""
    flat = (d for d in map(declarations.declared, range(2000)) if d.kind == "line" and d.name.startswith("normal"))
    d = next(d for d in flat if declarations.is_flat(d, random.Random(0)))
    other = declarations.Declared(
        d.name, d.kind, d.model, lambda y, z, eta: d.judge(y, z, [eta[0] ** 2, eta[1]]), d.draw
    )
    rng = random.Random(0)
    assert declarations.is_flat(d, rng) != declarations.is_flat(other, rng)
    assert not declarations.numbers(d, d.model(), rng)
    assert declarations.numbers(other, d.model(), rng).startswith("L ")


@pytest.mark.parametrize("name", declarations.REFUSED)
def test_what_jumps_or_is_not_known_everywhere_is_refused(name: str) -> None:
    model = mixture(lambda y, z, b: mt.log_normal(y, z * b + (z + 1) * declarations.REFUSED[name](b)))
    with pytest.raises(
        DerivationError, match=r"^model 'mine': .*(jumps|known everywhere|divide by 0|positive|condition)"
    ):
        derive(model)


@pytest.mark.parametrize(
    "gate",
    [
        lambda z, w: mt.log_expit(z * (w + sp.floor(w) / 8)),
        lambda z, w: mt.log_expit(z * (w + (sp.atan(sp.tan(w)) - w) / 16)),
        lambda z, w: sp.log((1 + z * sp.sign(w) / 2) / 2),
    ],
)
def test_gates_are_read_as_strictly_as_experts(gate) -> None:
    with pytest.raises(DerivationError, match=r"jumps|known everywhere"):
        derive(mixture(lambda y, z, b: mt.log_normal(y, z * b), gate=gate, predictors=("b", "w")))


def test_a_jump_in_the_response_alone_is_no_harm() -> None:
    third = sp.Rational(1, 3)
    lopsided = lambda y: sp.Piecewise((third, y > 0), (2 * third, True))
    model = mixture(lambda y, z, b: mt.log_normal(y, z * b) + 0 * lopsided(y))
    assert derive(model).flat
    # A gamma-like statistic: |y| enters the base measure only.
    known = mixture(lambda y, z, b: mt.log_normal(sp.log(sp.Abs(y)), z * b) - sp.log(2 * sp.Abs(y)))
    theory = derive(known)
    assert theory.flat and theory.mirror_map == sp.Symbol("eta_b", real=True) ** 2 / 2


# The prover and the check behind it ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lie",
    [
        sp.log(1 + sp.exp(T)) - softplus(T) + sp.floor(T) * sp.exp(-T),
        sp.log(2 + sp.atan(sp.tan(T)) - T) - sp.log(2),
        sp.log(1 + sp.Heaviside(T - 400)),
    ],
)
def test_derivatives_that_are_zero_prove_nothing(lie: sp.Expr) -> None:
    assert not prove_zero(lie).proved


@pytest.mark.parametrize(
    ("f", "same"),
    [
        (sp.Abs(T), relu(T) + relu(-T)),
        (sp.Max(T, 2), T + relu(2 - T)),
        (sp.Min(T, 1, -T), sp.Min(1, T) - relu(sp.Min(1, T) + T)),
        (sp.Piecewise((-1, T < -1), (1, T > 1), (T, True)), -1 + relu(T + 1) - relu(T - 1)),
        (sp.Piecewise((T, T > 0), (T / 10, True)), T / 10 + sp.Rational(9, 10) * relu(T)),
    ],
)
def test_kinks_have_one_form(f: sp.Expr, same: sp.Expr) -> None:
    assert sp.expand(in_canonical_signs(f) - in_canonical_signs(same)) == 0
    assert prove_zero(f - same).proved and prove_zero(f - same + relu(T - 1)).refuted


def test_what_is_compiled_is_looked_at_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong rule of differentiation, or a wrong kernel, is found whatever its cause."""
    model = mixture(
        lambda y, z, b: mt.log_normal(y, z * b), gate=lambda z, w: mt.log_expit(z * w), predictors=("b", "w")
    )
    theory = derive(model)
    self_check(theory)
    wrong = {
        "mirror_map": theory.mirror_map * 2,
        "statistics": tuple(s * 2 for s in theory.statistics),
        "complete_information": theory.complete_information * sp.Rational(1001, 1000),
    }
    for name, value in wrong.items():
        other = mt.Derivation(model)
        other.__dict__[name] = value
        with pytest.raises(DerivationError, match=r"comes out as \S+ at y = .*, but from log p as declared it is"):
            self_check(other)
    monkeypatch.setattr(step, "fdiff", lambda self, i=1: sp.Integer(1))
    kinked = mirrored(lambda b: relu(b) + b / 3)
    with pytest.raises(DerivationError, match="the complete information comes out as"):
        derive(kinked)


def test_work_that_does_not_end_is_given_up() -> None:
    def forever() -> None:
        while True:
            try:
                time.sleep(0)
                sum(range(1000))
            except Exception:
                pass

    with pytest.raises(TimeoutError):
        within(0.2, forever)
    assert within(5, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 / 0)


def test_a_derivation_that_does_not_end_says_what_it_could_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moe_theory.symbolic.derive.SECONDS", 0.5)
    huge = sum(sp.exp(sp.Rational(i * i, 7) * T) for i in range(1, 40)) ** 40
    b = sp.Symbol("eta_b", real=True)
    model = mixture(lambda y, z, b: mt.log_normal(y, z * sp.tanh(huge.subs(T, b))))
    with pytest.raises(DerivationError, match=r"could not decide in 0\.5 s whether"):
        derive(model)
    assert b in model.learnt


# Exact numbers ------------------------------------------------------------------------------------------------------


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_floats_are_exactly_what_they_print(x: float) -> None:
    found = exact(x)
    assert Fraction(int(found.p), int(found.q)) == Fraction(repr(x))
    assert float(found) == x


def test_sigma_and_constants_of_the_user_are_exact() -> None:
    sigma = 1.0000000775613402  # taken as 1 by a rounding to 7.8e-8
    model = mt.symmetric_linear(sigma)
    assert sp.expand(model.log_expert[1]).diff(RESPONSE, 2) == -1 / sp.Rational("1.0000000775613402") ** 2
    moved = mixture(lambda y, z, b: mt.log_normal(y, z * b + z * 0.10000000000000003))
    assert sp.Rational("0.10000000000000003") in {abs(c) for c in moved.log_expert[1].atoms(sp.Rational)}
    for bad in (float("nan"), float("inf")):
        with pytest.raises(InputError):
            exact(bad)


# Domains --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (mt.Reals(), [-1e9, 0.0], []),
        (mt.Positive(), [1e-300, 4.0], [0.0, -1.0]),
        (mt.Interval(0, 1), [0.5], [0.0, 1.0, 2.0]),
        (mt.Interval(2, np.inf), [2.5], [2.0]),
        (mt.Values((0, 0.1)), [0.0, 0.1], [0.2]),
        (mt.Counts(), [0.0, 7.0], [-1.0, 0.5]),
    ],
)
def test_domains_check_responses(domain, inside: list, outside: list) -> None:
    domain.check("y", np.array(inside))
    for value in outside:
        with pytest.raises(InputError, match=r"^y: expected values in .*, got \S+ in row 1$"):
            domain.check("y", np.array([inside[0], value]))


def test_intervals_have_ends() -> None:
    with pytest.raises(InputError, match="low: expected less than high"):
        mt.Interval(1, 1)


def log_normal_expert(y, z, b):
    return mt.log_normal(sp.log(y), z * b) - sp.log(y)


@pytest.mark.parametrize("response", [mt.Reals(), mt.Positive()])
def test_a_statistic_that_is_infinite_at_0_has_its_mirror_map(response) -> None:
    theory = derive(mixture(log_normal_expert, response))
    assert theory.flat and theory.mirror_map == sp.Symbol("eta_b", real=True) ** 2 / 2
    with pytest.raises(InputError, match=r"^y: expected .*, got 0 in row 1$"):
        mt.objective(theory.model, mt.Finite([[1.0], [1.0]], [1.0, 0.0]), [[1.0]])


def test_a_density_on_an_interval() -> None:
    logit = lambda y: sp.log(y / (1 - y))
    model = mixture(lambda y, z, b: mt.log_normal(logit(y), z * b) - sp.log(y) - sp.log(1 - y), mt.Interval(0, 1))
    theory = derive(model)
    assert theory.flat and prove_zero(theory.mirror_map - sp.Symbol("eta_b", real=True) ** 2 / 2).proved
    wrong = mixture(lambda y, z, b: mt.log_normal(logit(y), z * b) - sp.log(y), mt.Interval(0, 1))
    with pytest.raises(DerivationError, match="expected Σ_y or ∫ p"):
        derive(wrong)


# Functions of SymPy's own, and Φ --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "log_factorial",
    [
        lambda y: sp.loggamma(y + 1),
        lambda y: sp.log(sp.factorial(y)),
        lambda y: sp.log(sp.gamma(y + 1)),
    ],
)
def test_a_poisson_law_in_sympys_functions_is_one(log_factorial) -> None:
    model = mixture(lambda y, z, b: y * (z * b) - sp.exp(z * b) - log_factorial(y), mt.Counts())
    own = mixture(lambda y, z, b: atoms.log_poisson(y, z * b), mt.Counts())
    x, y = [[0.3], [0.7], [-1.1]], [0.0, 4.0, 1.0]
    law = mt.Finite(x, np.array(y) + 1)
    assert mt.objective(model, law, [[0.4]]) == pytest.approx(mt.objective(own, law, [[0.4]]), rel=1e-13)


def test_other_laws_of_counts_are_derived() -> None:
    """Negative binomial with three failures: flat in nothing, but a law; twice it is none."""
    failures = 3
    law = lambda y, z, b: (
        sp.log(sp.binomial(y + failures - 1, y)) + failures * mt.log_expit(-z * b) + y * mt.log_expit(z * b)
    )
    assert not derive(mixture(law, mt.Counts())).flat
    with pytest.raises(DerivationError, match="expected Σ_y or ∫ p"):
        derive(mixture(lambda y, z, b: law(y, z, b) + sp.log(2), mt.Counts()))


@pytest.mark.parametrize("t", [-1e8, -800.0, -37.5, -1.0, -1e-9, 0.0, 3.0, 37.5, 800.0])
def test_the_normal_distribution_function_far_out(t: float) -> None:
    values = Compiled([T], [log_ndtr(T), mills(T), mills(T).diff(T)])(np.array([t]))[:, 0]
    with mpmath.workdps(400):
        x, least = mpmath.mpf(t), mpmath.mpf(10) ** -300
        log_phi = -x * x / 2 - mpmath.log(2 * mpmath.pi) / 2
        # Of far negative x by its continued fraction's series, else from erfc.
        if t < -1e4:
            tail = mpmath.nsum(lambda k: (-1) ** int(k) * mpmath.fac2(2 * int(k) - 1) / x ** (2 * int(k)), [0, 8])
            log_cdf = log_phi - mpmath.log(-x) + mpmath.log(tail)
        else:
            log_cdf = mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2)
        ratio = mpmath.exp(log_phi - log_cdf)
        assert abs(values[0] - log_cdf) <= 1e-14 * abs(log_cdf) + least
        assert abs(values[1] - ratio) <= 1e-13 * ratio + least
        assert abs(values[2] + ratio * (x + ratio)) <= 1e-12 * ratio * max(1, abs(x)) + least


@pytest.mark.parametrize(
    "form", [lambda t: sp.log((1 + sp.erf(t / sp.sqrt(2))) / 2), lambda t: sp.log(sp.erfc(-t / sp.sqrt(2)) / 2)]
)
def test_probit_gates_are_stable(form) -> None:
    assert stable(form(T)) == log_ndtr(T) and stable(form(-T)) == log_ndtr(-T)
    model = mixture(lambda y, z, b: mt.log_normal(y, z * b), gate=lambda z, w: form(z * w), predictors=("b", "w"))
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(60), rng.standard_normal(60)])
    y = np.where(x[:, 1] + 0.3 * rng.standard_normal(60) > 0, 2.0, -2.0) + rng.standard_normal(60)
    # Predictors up to ±90, where log of Φ is -4000 and Φ itself is 0 in double precision.
    trace = mt.run(mt.EM(model), mt.Data(x * [1, 30], y), start=[[1.0, 0.1], [0.1, 1.0]], max_iterations=40)
    assert np.isfinite(trace.objective).all() and trace.reason in ("converged", "max_iterations", "degenerate")
