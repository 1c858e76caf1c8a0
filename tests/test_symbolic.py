"""Derivations proved from the declaration; the prover itself; what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from models import Case, by_id

import moe_theory as mt
from moe_theory import Model, Reals, Values, derive, expit, log_expit, log_normal, softplus
from moe_theory.atoms import LogSumExp, exact, log_sum_exp
from moe_theory.errors import CurvedModelError, DerivationError, InputError, NotExponentialFamilyError
from moe_theory.model import LABEL, RESPONSE
from moe_theory.stable import stable
from moe_theory.symbolic.expectation import expect_joint
from moe_theory.symbolic.identities import evaluate, exact_form, is_identically_positive, prove_zero
from moe_theory.symbolic.lower import Compiled, lower_atoms

BETA, W = sp.symbols("eta_beta eta_w", real=True)
S, T, U = sp.symbols("s t u", real=True)


def at_responses(case: Case, *expressions: sp.Expr) -> list[sp.Expr]:
    """The expressions at every response of a finite domain; unchanged for real responses."""
    values = case.model.response.values if case.finite else (RESPONSE,)
    return [sp.sympify(e).subs(RESPONSE, y) for e in expressions for y in values]


# The seeds' models, as theory.md section 2 states them ---------------------------------------------------------


@pytest.mark.parametrize("sigma", [1, 0.3, sp.Rational(1, 2)])
def test_symmetric_linear_is_as_in_the_theory(sigma) -> None:
    theory, s2 = derive(mt.symmetric_linear(sigma)), exact(sigma) ** 2
    assert theory.statistic == sp.Matrix([RESPONSE * LABEL / s2, LABEL / 2 + sp.Rational(1, 2)])
    assert theory.natural_parameters == sp.Matrix([BETA, W])
    assert theory.mirror_map == BETA**2 / (2 * s2) + softplus(W)
    assert prove_zero(theory.mirror_map - BETA**2 / (2 * s2) - sp.log(1 + sp.exp(W))).proved
    assert theory.posterior[1] == expit(W + 2 * RESPONSE * BETA / s2)


def test_symmetric_logistic_is_as_in_the_theory() -> None:
    theory, half = derive(mt.symmetric_logistic()), sp.Rational(1, 2)
    assert theory.statistic == sp.Matrix([RESPONSE * LABEL / 2 + half, LABEL / 2 + half])
    assert theory.natural_parameters == sp.Matrix([BETA, W])
    assert prove_zero(theory.mirror_map - sp.log(1 + sp.exp(BETA)) - sp.log(1 + sp.exp(W))).proved
    assert theory.posterior[1] == expit(W + RESPONSE * BETA)


def test_softmax_written_with_log_is_recognised() -> None:
    case = by_id("gate-three")
    w1, w2 = case.model.learnt
    assert prove_zero(derive(case.model).mirror_map - sp.log(1 + sp.exp(w1) + sp.exp(w2))).proved


# Every model of the table ---------------------------------------------------------------------------------------


def test_log_joint_is_the_exponential_family(case: Case) -> None:
    theory, eta = derive(case.model), sp.Matrix(case.model.learnt)
    for joint, base, s in zip(case.model.log_joint, theory.log_base_measures, theory.statistics, strict=True):
        assert not base.free_symbols & set(case.model.learnt)
        assert not s.free_symbols & set(case.model.learnt)
        difference = joint - (base + s.dot(eta) - theory.mirror_map)
        assert prove_zero(at_responses(case, difference)).proved
        # The same with the last sign flipped is refuted: the proof above can fail.
        assert prove_zero(at_responses(case, difference - 2 * theory.mirror_map)).refuted


def test_statistic_in_y_and_z_interpolates_the_labels(case: Case) -> None:
    theory = derive(case.model)
    for z, s in zip(case.model.latent, theory.statistics, strict=True):
        assert (theory.statistic.subs(LABEL, z) - s).applyfunc(sp.expand) == sp.zeros(*s.shape)


def test_mean_is_the_expected_statistic(case: Case) -> None:
    theory = derive(case.model)
    for j, mean in enumerate(theory.mean):
        assert prove_zero(expect_joint(case.model, [s[j] for s in theory.statistics]) - mean).proved
        assert prove_zero(mean - theory.mirror_map.diff(case.model.learnt[j])).proved


def test_complete_information_is_the_covariance_of_the_statistic(case: Case) -> None:
    theory, m = derive(case.model), len(case.model.learnt)
    for a in range(m):
        for b in range(m):
            second = expect_joint(case.model, [s[a] * s[b] for s in theory.statistics])
            covariance = second - theory.mean[a] * theory.mean[b]
            assert prove_zero(covariance - theory.complete_information[a, b]).proved


def test_posterior_is_joint_over_density(case: Case) -> None:
    theory = derive(case.model)
    for p, joint in zip(theory.posterior, case.model.log_joint, strict=True):
        assert prove_zero(at_responses(case, p * theory.density - sp.exp(joint))).proved
    assert prove_zero(at_responses(case, sum(theory.posterior) - 1)).proved


def test_missing_information_is_the_posterior_covariance(case: Case) -> None:
    theory = derive(case.model)
    mean = theory.expected_statistic
    second = sp.zeros(*theory.missing_information.shape)
    for p, s in zip(theory.posterior, theory.statistics, strict=True):
        second += p * s * s.T
    assert prove_zero(at_responses(case, *(second - mean * mean.T - theory.missing_information))).proved


def test_score_and_observed_information_are_derivatives_of_the_density(case: Case) -> None:
    theory, learnt = derive(case.model), case.model.learnt
    assert prove_zero(at_responses(case, sp.exp(theory.log_density) - theory.density)).proved
    for j, a in enumerate(learnt):
        assert prove_zero(at_responses(case, theory.density.diff(a) - theory.density * theory.score[j])).proved
        for k, b in enumerate(learnt):
            assert prove_zero(at_responses(case, theory.score[j].diff(b) + theory.observed_information[j, k])).proved


def test_missing_information_matrix_is_the_quotient(case: Case) -> None:
    theory = derive(case.model)
    product = theory.complete_information * theory.missing_information_matrix - theory.missing_information
    assert prove_zero(at_responses(case, *product)).proved


EXPECTED_SYMMETRIES = {
    "linear": ["1 0 0 1", "-1 0 0 -1"],
    "linear-0.3": ["1 0 0 1", "-1 0 0 -1"],
    "logistic": ["1 0 0 1", "-1 0 0 -1", "0 1 1 0", "0 -1 -1 0"],
    "balanced": ["1", "-1"],
    "offset": ["1 0 0 1"],
    "noisy-labels": ["1"],
    "gate-only": ["1"],
    "gate-three": ["1 0 0 1"],
}


def test_symmetries_are_those_of_the_theory(case: Case) -> None:
    found = derive(case.model).symmetries
    assert found[0] == sp.eye(len(case.model.learnt))
    assert {" ".join(map(str, g)) for g in found} == set(EXPECTED_SYMMETRIES[case.id])
    assert len(found) == len(EXPECTED_SYMMETRIES[case.id])


def test_exchangeable_labels_are_a_symmetry() -> None:
    model = Model(
        "twins",
        latent=(0, 1, 2),
        predictors=("u", "v"),
        gate=lambda z, u, v: (0, u, v)[int(z)] - sp.log(1 + sp.exp(u) + sp.exp(v)),
        expert=lambda y, z, a, b: log_normal(y, (a, b, b)[int(z)]),
        response=Reals(),
        known={"a": [1.0], "b": [-1.0]},
    )
    assert derive(model).symmetries == (sp.eye(2), sp.Matrix([[0, 1], [1, 0]]))


def test_every_formula_has_latex(case: Case) -> None:
    theory = derive(case.model)
    text, formulas = theory._repr_latex_(), theory.formulas()
    for name in ("statistic", "mirror_map", "mean", "complete_information", "posterior[1]", "density"):
        symbol, value = formulas[name]
        assert rf"{symbol.name} &= {sp.latex(value)}" in text
    assert text.startswith("$\\displaystyle \\begin{aligned}\n") and text.endswith("\n\\end{aligned}$")
    assert text.count(" &= ") == len(formulas) and text.count("{") == text.count("}")


# What is refused --------------------------------------------------------------------------------------------------


def declared(expert, predictors=("beta", "w"), response=None, **options) -> Model:
    options = {"gate": lambda z, w: log_expit(z * w), "latent": (-1, 1)} | options
    return Model("mine", predictors=predictors, expert=expert, response=response or Reals(), **options)


def two_linear() -> Model:
    return declared(lambda y, z, b1, b2: log_normal(y, b2 if z > 0 else b1), ("b1", "b2", "w"))


def two_logistic() -> Model:
    return declared(lambda y, z, b1, b2: log_expit(y * (b2 if z > 0 else b1)), ("b1", "b2", "w"), Values((-1, 1)))


def test_student_experts_are_no_exponential_family() -> None:
    model = declared(lambda y, z, beta: -2 * sp.log(1 + (y - z * beta) ** 2 / 3))
    with pytest.raises(NotExponentialFamilyError, match=r"'mine'.*the term -2\*log\(.*\) of log p\(y\|x, z=-1\)"):
        derive(model)


def test_laplace_experts_are_no_exponential_family() -> None:
    model = declared(lambda y, z, beta: -sp.Abs(y - z * beta) - sp.log(2))
    with pytest.raises(NotExponentialFamilyError, match="Abs"):
        derive(model)


@pytest.mark.parametrize(
    ("model", "term"),
    [
        (two_linear(), "-eta_b1**2/2"),
        (two_logistic(), "-softplus(eta_b1)"),
        (declared(lambda y, z, beta: log_normal(y, z * beta**2)), "-eta_beta**2*y"),  # β⁴ is the same for both labels
    ],
    ids=["linear", "logistic", "square"],
)
def test_curved_families_are_recognised(model: Model, term: str) -> None:
    theory = derive(model)
    assert not theory.flat and f"curved: the term {term} of log p(y, z=-1|x)" in theory.obstruction
    for name in ("statistic", "natural_parameters", "mirror_map", "mean", "complete_information"):
        with pytest.raises(CurvedModelError, match="curved"):
            getattr(theory, name)


@pytest.mark.parametrize("model", [two_linear(), two_logistic()], ids=["linear", "logistic"])
def test_curved_families_are_derived_as_far_as_they_go(model: Model) -> None:
    theory = derive(model)
    assert "mirror_map" not in theory.formulas()
    for y in model.response.values if isinstance(model.response, Values) else (RESPONSE,):
        for p, joint in zip(theory.posterior, model.log_joint, strict=True):
            assert prove_zero((p * theory.density - sp.exp(joint)).subs(RESPONSE, y)).proved
        for score, eta in zip(theory.score, model.learnt, strict=True):
            assert prove_zero((theory.density.diff(eta) - theory.density * score).subs(RESPONSE, y)).proved
    # Relabelling: (b1, b2, w) -> (b2, b1, -w).
    assert sp.Matrix([[0, 1, 0], [1, 0, 0], [0, 0, -1]]) in theory.symmetries


@pytest.mark.parametrize(
    "model",
    [
        lambda: declared(
            lambda y, z, beta: +((y - z * beta) ** 2) / 2 - sp.log(2 * sp.pi) / 2
        ),  # the poster's missing sign
        lambda: declared(lambda y, z, beta: -((y - z * beta) ** 2) / 2),  # no constant
        lambda: declared(lambda y, z, beta: y * z * beta, response=Values((-1, 1))),
        lambda: declared(lambda y, z, beta: log_normal(y, z * beta), gate=lambda z, w: (z + 1) / 2 * w),
        lambda: declared(lambda y, z, beta: y * z * beta - y**4),
    ],
    ids=["sign", "constant", "expert", "gate", "quartic"],
)
def test_what_is_no_probability_law_is_refused(model: Callable[[], Model]) -> None:
    with pytest.raises((DerivationError, InputError), match=r"mine|gate|expert"):
        _ = derive(model()).mirror_map


def test_densities_that_are_not_normal_are_integrated_where_quadrature_can_tell() -> None:
    """The hyperbolic secant integrates to 1; of a law with a kink or a heavy tail the declaration is trusted."""
    for log_density in (
        lambda y, z, beta: -sp.log(2 * sp.cosh(sp.pi * y / 2)),
        lambda y, z, beta: -sp.Abs(y) - sp.log(2),
        lambda y, z, beta: -sp.log(sp.pi * (1 + y**2)),
        lambda y, z, beta: -(y - 80) - sp.exp(-(y - 80)),  # mass where quadrature does not look
        lambda y, z, beta: -sp.Abs(y - 10_000) - sp.log(2),
        lambda y, z, beta: sp.log(1000) - 1000 * y - sp.exp(-1000 * y),  # in no time
    ):
        assert derive(declared(log_density)) is not None
    for wrong in (
        lambda y, z, beta: -sp.log(3 * sp.cosh(sp.pi * y / 2)),
        lambda y, z, beta: y**4 / 10,  # none of these falls far out
        lambda y, z, beta: sp.Abs(y) - 3,
        lambda y, z, beta: y**3 - y**2,
        lambda y, z, beta: -sp.log(sp.pi * (1 + sp.exp(-y))),
    ):
        with pytest.raises(DerivationError, match="expected Σ_y or ∫ p"):
            derive(declared(wrong))


# The prover ---------------------------------------------------------------------------------------------------------

KL = expit(S) * (softplus(-T) - softplus(-S)) + expit(-S) * (softplus(T) - softplus(S))
BREGMAN = softplus(T) - softplus(S) - expit(S) * (T - S)
RIGHT_AND_WRONG = [
    ("expit", expit(T) + expit(-T) - 1, expit(T) + expit(-T) - 1 + sp.exp(-50)),
    ("variance", expit(T).diff(T) - expit(T) * (1 - expit(T)), expit(T).diff(T) - expit(T) * (1 + expit(T))),
    ("softplus", softplus(T) - softplus(-T) - T, softplus(T) - softplus(-T) + T),
    ("log", softplus(T) - sp.log(1 + sp.exp(T)), softplus(T) - sp.log(1 + sp.exp(-T))),
    ("exp", sp.exp(2 * softplus(T)) - (1 + sp.exp(T)) ** 2, sp.exp(2 * softplus(T)) - 1 - sp.exp(2 * T)),
    ("tanh", sp.tanh(T / 2) - 2 * expit(T) + 1, sp.tanh(T) - 2 * expit(T) + 1),
    (
        "cosh",
        sp.log(sp.cosh(T)) - softplus(2 * T) + T + sp.log(2),
        sp.log(sp.cosh(T)) - softplus(T) + sp.log(2),
    ),
    ("lse", log_sum_exp([S, T, U]) - log_sum_exp([U, S, T]), log_sum_exp([S, T, U]) - log_sum_exp([U, S])),
    ("kl", KL - BREGMAN, KL - BREGMAN.subs({S: T, T: S}, simultaneous=True)),
    ("polynomial", (S + T) ** 2 - S**2 - 2 * S * T - T**2, (S + T) ** 2 - S**2 - T**2),
]


@pytest.mark.parametrize(("right", "wrong"), [p[1:] for p in RIGHT_AND_WRONG], ids=[p[0] for p in RIGHT_AND_WRONG])
def test_right_identities_are_proved_and_wrong_ones_refuted(right: sp.Expr, wrong: sp.Expr) -> None:
    proof = prove_zero(right, base={T: S} if right.has(S) else None)
    assert proof.proved and not proof.refuted and proof.trials > 0
    refutation = prove_zero(wrong)
    assert refutation.refuted and not refutation.proved
    # The witness re-runs: the expression there has the residual that was reported.
    point = {sp.Symbol(name, real=True): sp.Rational(value) for name, value in refutation.witness.items()}
    value = evaluate(wrong, point)
    assert value != 0
    assert mpmath.nstr(value, 15) == refutation.residual


def test_one_wrong_identity_among_right_ones_is_found() -> None:
    assert prove_zero([T - T, expit(T) + expit(-T) - 1]).proved
    assert prove_zero([T - T, expit(T) - expit(-T)]).refuted
    assert prove_zero(sp.Matrix([[0, T]])).refuted


@pytest.mark.parametrize("tiny", [sp.exp(-100) * T, sp.exp(-100) * sp.log(1 + T**2), sp.Float("1e-40") * T])
def test_what_is_too_small_to_see_is_not_proved(tiny: sp.Expr) -> None:
    assert not prove_zero(tiny).proved


def test_a_base_that_does_not_separate_proves_nothing() -> None:
    # {s: t+1, t: 0} leaves t free, so that the derivative in t may not be skipped.
    assert not prove_zero(sp.exp(-100) * (sp.log(1 + T**2) + 0 * S), base={S: T + 1, T: sp.Integer(0)}).proved


@pytest.mark.parametrize(
    ("expr", "positive"),
    [
        (expit(T) * expit(-T), True),
        (4 * T**2 * expit(T) + sp.exp(-T), True),
        (1 + expit(S) - expit(S) * expit(T), True),
        (expit(T) - sp.Rational(1, 2), False),
        (T * expit(T), False),
        (-expit(T), False),
        (T**2 * expit(T), False),  # 0 at t = 0
        (sp.Integer(0), False),
    ],
)
def test_positivity_is_claimed_only_where_it_holds(expr: sp.Expr, positive: bool) -> None:
    assert is_identically_positive(expr) is positive


# The atoms ------------------------------------------------------------------------------------------------------------

ATOMS = {
    "expit": (expit, lambda t: 1 / (1 + mpmath.exp(-t))),
    "softplus": (softplus, lambda t: mpmath.log(1 + mpmath.exp(t))),
    "log_expit": (log_expit, lambda t: -mpmath.log(1 + mpmath.exp(-t))),
}


@pytest.mark.parametrize("name", ATOMS)
@given(t=st.floats(-60, 60))
@settings(deadline=None, max_examples=40, derandomize=True)
def test_atoms_have_their_values(name: str, t: float) -> None:
    atom, definition = ATOMS[name]
    with mpmath.workdps(120):
        expected = definition(mpmath.mpf(t))
        derivative = mpmath.diff(definition, mpmath.mpf(t))
        assert mpmath.almosteq(evaluate(atom(T), {T: t}, 120), expected, rel_eps=mpmath.mpf(10) ** -50)
        assert mpmath.almosteq(evaluate(atom(T).diff(T), {T: t}, 120), derivative, rel_eps=mpmath.mpf(10) ** -30)
        assert mpmath.almosteq(evaluate(atom(T).rewrite(sp.exp), {T: t}, 120), expected, rel_eps=mpmath.mpf(10) ** -50)
        assert mpmath.almosteq(mpmath.mpf(sp.N(atom(sp.Rational(t)), 80)), expected, rel_eps=mpmath.mpf(10) ** -50)
    # Lowered to NumPy the value is the same to rounding.
    lowered = float(Compiled([T], [atom(T)])(np.array([t]))[0, 0])
    assert abs(lowered - float(expected)) <= 4e-16 * abs(float(expected))


def test_atoms_at_zero_and_their_assumptions() -> None:
    assert softplus(0) == sp.log(2) and expit(0) == sp.Rational(1, 2)
    assert expit(T).is_positive and softplus(T).is_positive
    assert expit(T).diff(T) == expit(T) * expit(-T) and softplus(T).diff(T) == expit(T)
    assert not exact_form(softplus(T) + expit(T)).has(softplus, expit)
    assert not lower_atoms(softplus(T - softplus(S)) * expit(S)).has(softplus, expit)


def test_the_categorical_log_partition() -> None:
    terms, total = (S, T, U), LogSumExp(S, T, U)
    definition = sp.log(sp.exp(S) + sp.exp(T) + sp.exp(U))
    assert prove_zero(total - definition).proved and prove_zero(total - definition + S - T).refuted
    for t in terms:
        assert prove_zero(total.diff(t) - definition.diff(t)).proved
        assert prove_zero(total.diff(t, S) - definition.diff(t, S)).proved
    compiled = Compiled(terms, [total, *(total.diff(t) for t in terms)])
    with np.errstate(all="raise", under="ignore"):
        values = compiled(np.array([0.0, 800.0]), np.array([0.0, -800.0]), np.array([0.0, 0.5]))
    np.testing.assert_allclose(values[:, 0], [np.log(3), 1 / 3, 1 / 3, 1 / 3], rtol=1e-15)
    np.testing.assert_allclose(values[:3, 1], [800, 1, 0], rtol=1e-15)
    assert sp.latex(LogSumExp(sp.Integer(0), S, T)) == r"\log\left(1+e^{s}+e^{t}\right)"


def test_atoms_print_as_latex() -> None:
    assert sp.latex(expit(T)) == r"\sigma\left(t\right)"
    assert sp.latex(expit(T) ** 2) == r"\sigma\left(t\right)^{2}"
    assert sp.latex(softplus(T)) == r"\log\left(1+e^{t}\right)"
    assert sp.latex(softplus(T) ** 3) == r"\log\left(1+e^{t}\right)^{3}"


@pytest.mark.parametrize(
    "expr",
    [
        sp.log(1 + sp.exp(T)),
        sp.log(3 + 2 * sp.exp(T)),
        sp.log(sp.exp(S) + sp.exp(T) + sp.exp(U)),
        sp.log(sp.exp(S) * (1 + sp.exp(T))),
        sp.log(sp.cosh(T)),
        sp.log(1 / (1 + sp.exp(-T))),
    ],
    ids=str,
)
def test_logs_of_sums_of_exponentials_become_softplus(expr: sp.Expr) -> None:
    found = stable(expr)
    assert found.has(softplus, LogSumExp) and not any(a.free_symbols for a in found.atoms(sp.log))
    assert prove_zero(found - expr).proved


def test_other_logs_stay() -> None:
    for expr in (sp.log(1 + T**2), sp.log(2) * T, sp.log(2 * sp.pi)):
        assert prove_zero(stable(expr) - expr).proved and not stable(expr).has(softplus)


def test_floats_become_the_decimals_they_print_as() -> None:
    assert exact(0.3) == sp.Rational(3, 10)
    assert exact(1) == 1
    assert exact(0.1) + exact(0.2) == exact(0.3)


def test_normal_density_integrates_to_one() -> None:
    density = sp.exp(log_normal(T, sp.Rational(1, 3), 0.3))
    with mpmath.workdps(30):
        total = mpmath.quad(lambda t: evaluate(density, {T: t}, 30), [-4, 0, mpmath.mpf(1) / 3, 1, 5])
        assert abs(total - 1) < 1e-20


@pytest.mark.parametrize(("k", "count"), [(2, 2), (3, 6), (4, 4)])
def test_labels_of_softmax_mixtures_can_be_exchanged(k: int, count: int) -> None:
    """All orders of two and three labels, the neighbours' swaps of four: proved; the reference label moves along."""
    for expert in ("gaussian", "poisson"):
        model = mt.softmax_moe(k, expert)
        found = mt.derive(model).symmetries
        assert len(found) == count
        theta = np.arange(1.0, len(model.predictors) + 1)[:, None] * [[1.0, -0.5]]
        for g in found:
            assert mt.distance(model, np.array(g.tolist(), dtype=float) @ theta, theta) < 1e-12


def test_laws_of_counts_are_summed() -> None:
    wrong = mt.Model("counts", (0, 1), ("b",), None, lambda y, z, b: y * b - sp.exp(b) / 2, mt.Counts())
    with pytest.raises(DerivationError, match="expected Σ_y or ∫ p"):
        mt.derive(wrong)
