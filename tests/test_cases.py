"""The cases that once came out wrong (shared with the project as inputs), each with its right value from an independent
computation. Tables with numbers in other notations are in test_tables.py, large counts in test_counts.py."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy as sp

import moe_theory as mt
from moe_theory.errors import DerivationError

CASES = Path(__file__).parent / "data" / "cases"
B = sp.Symbol("eta_b", real=True)


def mixture(expert, response=None) -> mt.Model:
    return mt.Model("mine", (-1, 1), ("b",), gate=None, expert=expert, response=response or mt.Reals())


def columns(name: str) -> dict[str, np.ndarray]:
    """The numbers of a table, read by Python's own reader."""
    with open(CASES / name, encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}


# 1. An expert with a kink -------------------------------------------------------------------------------------------


def kinked_objective(theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    t = x @ theta
    u = np.where(t > 0, t, t / 10)
    each = np.logaddexp(-((y - u) ** 2) / 2, -((y + u) ** 2) / 2)
    return float(-np.mean(each - np.log(2) - np.log(2 * np.pi) / 2))


def test_a_kinked_expert_is_curved_and_has_its_own_likelihood() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 2)), rng.standard_normal(50)
    model = mixture(lambda y, z, b: mt.log_normal(y, z * sp.Piecewise((b, b > 0), (b / 10, True))))
    assert not mt.derive(model).flat
    theta, data = np.array([1.0, 0.5]), mt.Data(x, y)
    assert mt.objective(model, data, [theta]) == pytest.approx(1.5193506708795002, rel=1e-14)
    step = 1e-6 * np.eye(2)
    slopes = [
        (kinked_objective(theta + h, x, y) - kinked_objective(theta - h, x, y)) / 2e-6 for h in step
    ]  # no row is within 1e-6 of the kink
    np.testing.assert_allclose(mt.gradient(model, data, [theta])[0], slopes, rtol=1e-8)
    trace = mt.run(mt.EM(model), data, [theta], max_iterations=300)
    assert np.all(np.diff(trace.objective) <= 1e-12)
    assert trace.objective[-1] == pytest.approx(kinked_objective(trace.last[0], x, y), rel=1e-13)


# 2. A statistic that is infinite at 0 -------------------------------------------------------------------------------


def test_a_log_normal_expert_has_its_mirror_map() -> None:
    model = mixture(lambda y, z, b: mt.log_normal(sp.log(y), z * b) - sp.log(y))
    theory = mt.derive(model)
    assert theory.flat and theory.mirror_map == B**2 / 2
    # The same model of log y: EM takes the same steps.
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(80), rng.standard_normal(80)])
    u = rng.choice([-1, 1], 80) * (x @ [1.5, 0.7]) + rng.standard_normal(80)
    plain = mixture(lambda y, z, b: mt.log_normal(y, z * b))
    runs = [
        mt.run(mt.EM(m), mt.Data(x, y), [[1.0, 0.3]], max_iterations=30) for m, y in ((model, np.exp(u)), (plain, u))
    ]
    np.testing.assert_allclose(runs[0].last, runs[1].last, rtol=1e-10)


# 3. Responses far from 0 --------------------------------------------------------------------------------------------


def test_a_response_far_from_0_is_fitted_as_if_it_were_near() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 2)), rng.standard_normal(50)  # the draws that came before in the case
    x = rng.uniform(-1, 1, 120)
    y = np.where(rng.random(120) < 0.5, 1 + x, 3 - x) + 0.1 * rng.standard_normal(120)
    y = np.round(y * 2**30) / 2**30  # so that y + 101325 holds the same numbers
    near, far = (mt.fit_mixture(x[:, None], y + c, k=2) for c in (0, 101325))
    assert near.reason == far.reason == "converged"
    assert near.log_likelihood == pytest.approx(25.9444, abs=1e-3)
    assert far.log_likelihood == pytest.approx(near.log_likelihood, abs=1e-8)
    order = np.argsort(near.experts[:, 1]), np.argsort(far.experts[:, 1])
    np.testing.assert_allclose(far.experts[order[1]] - [101325, 0], near.experts[order[0]], atol=1e-8)


def test_pascals_are_fitted_as_their_differences() -> None:
    table = columns("pressure.csv")
    x, fits = table["height"][:, None], {}
    for name in ("pascal", "centred"):
        fits[name] = mt.fit_mixture(x, table[name], k=2, restarts=3)
        assert fits[name].reason == "converged"
    # The column holds four decimals of numbers around 1e5, exactly those of the other to 1e-11.
    assert fits["pascal"].log_likelihood == pytest.approx(fits["centred"].log_likelihood, abs=1e-6)


# 4. Counts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1e6, 1e12])
def test_poisson_likelihoods_of_large_counts(size: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 60)
    y = np.floor(np.exp(np.where(rng.random(60) < 0.5, 1 + x, 3 - x)) * size)
    fit = mt.fit_mixture(x[:, None], y, k=2, family="poisson", restarts=2)
    with mpmath.workdps(60):
        total = mpmath.mpf(0)
        for at, count in zip(x, y, strict=True):
            eta = [mpmath.mpf(b[0]) + mpmath.mpf(b[1]) * mpmath.mpf(at) for b in fit.experts]
            score = [mpmath.mpf(v[0]) + mpmath.mpf(v[1]) * mpmath.mpf(at) for v in fit.gate]
            weights = [mpmath.exp(v) for v in score]
            c = mpmath.mpf(int(count))
            laws = [mpmath.exp(c * e - mpmath.exp(e) - mpmath.loggamma(c + 1)) for e in eta]
            total += mpmath.log(mpmath.fdot(weights, laws) / sum(weights))
        # θ itself is rounded to doubles, which moves e^η by counts times 1e-16 and log p by its square.
        assert abs(fit.log_likelihood - total) <= 1e-9 * abs(total) + 1e-15 * float(np.max(y)) ** 0.5 * len(y)


# 5. A measured rate on a plateau --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "feature"),
    [("plateau.csv", "dose"), ("real/engel.csv", "income"), ("real/npreg.csv", "x"), ("real/tone.csv", "stretchratio")],
)
def test_measured_and_predicted_rates_agree(name: str, feature: str) -> None:
    with open(CASES / name, encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    x, y = np.array([[float(r[feature])] for r in rows]), np.array([float(r["y"]) for r in rows])
    for restarts in (1, 4):
        fit = mt.fit_mixture(x, y, k=2, restarts=restarts, tolerance=1e-12)
        if fit.reason != "converged":
            continue
        predicted = mt.predict_rate(fit.problem.model, fit.problem.law, fit.trace.last).lambda_max
        try:
            measured = mt.measure_rate(fit.trace)
        except mt.InputError:  # refused, with the reason
            continue
        assert abs(measured.iterates - predicted) <= measured.iterates_error + 1e-9
        assert measured.iterates_error < 0.2 and 0 <= measured.iterates < 1


# 6. Declarations that did not end -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expert",
    [
        lambda y, z, b: -(y - z * b) - sp.exp(-(y - z * b)) - sp.log(2),
        lambda y, z, b: mt.log_normal(sp.exp(y), z * b) + y,
        lambda y, z, b: sp.exp(y) * b - sp.exp(sp.exp(y)),
    ],
)
def test_densities_that_do_not_integrate_to_1_are_refused_in_time(expert) -> None:
    start = time.process_time()
    with pytest.raises(DerivationError):
        mt.derive(mixture(expert))
    assert time.process_time() - start < 10


def test_gumbel_experts_are_understood() -> None:
    theory = mt.derive(mixture(lambda y, z, b: -(y - z * b) - sp.exp(-(y - z * b))))
    assert not theory.flat


# 7. Certificates of another model than the one stated -----------------------------------------------------------------


def test_a_model_whose_derivatives_lie_has_no_certificate(command) -> None:
    folder = CASES / "false_certificates"
    asked = ["--model", f"{folder / 'stairs.py'}:stairs", "--response", "y", "--intercept"]
    code, _, err = command("certify", str(folder / "data.csv"), *asked)
    assert code == 2 and "the function tan" in err and len(err.splitlines()) == 1
