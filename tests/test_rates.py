"""Rates: against an independent quadrature, against runs, against samples."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from models import CASES, Case, by_id

import moe_theory as mt
from moe_theory.errors import DegenerateError, InputError

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from measured_rates import judge, random_run

REFERENCE = json.loads((Path(__file__).parent / "data" / "rates.json").read_text())
MODELS = {"symmetric-linear": mt.symmetric_linear(), "symmetric-logistic": mt.symmetric_logistic()}


def rate(model: mt.Model, beta, w, at_beta=None, at_w=None, **options) -> mt.RatePrediction:
    truth = model.theta(beta=beta, w=w)
    at = truth if at_beta is None else model.theta(beta=at_beta, w=at_w)
    return mt.predict_rate(model, mt.Population(model, truth, **options), at)


# Predictions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", REFERENCE, ids=lambda r: f"{r['case']}-{r['model'][10:]}")
def test_rates_of_populations(row: dict) -> None:
    """Values of an independent quadrature, all digits right: P planar, G in general position (a span of 4)."""
    found = rate(MODELS[row["model"]], row["beta"], row["w"], row["at_beta"], row["at_w"])
    difference = abs(found.lambda_max - row["lambda_max"])
    assert difference < (1e-8 if row["case"].startswith("G") else 1e-9)
    assert difference <= found.error + 1e-11
    assert found.error < 1e-6


def test_the_reference_holds_what_it_should() -> None:
    assert len(REFERENCE) == 26 and {r["model"] for r in REFERENCE} == set(MODELS)
    assert sum(r["case"].startswith("P") for r in REFERENCE) == 18
    assert sum(r["beta"] != r["at_beta"] for r in REFERENCE) == 14


@pytest.mark.parametrize(("name", "value"), [("linear", 0.281540089801), ("logistic", 0.969143888425)])
def test_the_numbers_of_the_theory(name: str, value: float) -> None:
    for d in (3, 3000):
        beta, w = np.zeros((2, d))
        beta[0], w[1] = 3, 1
        assert rate(MODELS[f"symmetric-{name}"], beta, w).lambda_max == pytest.approx(value, abs=1e-9)


def test_rates_against_the_signal_to_noise_ratio() -> None:
    linear = [s * rate(MODELS["symmetric-linear"], [s, 0, 0], [0, 1, 0], nats=14).lambda_max for s in (4, 8, 15)]
    assert linear == pytest.approx([0.9, 0.9, 0.9], abs=0.08) and abs(linear[2] - linear[1]) < 0.02
    logistic = [rate(MODELS["symmetric-logistic"], [s, 0, 0], [0, 1, 0], nats=14).lambda_max for s in (0.1, 1, 4, 15)]
    assert min(logistic) > 0.85 and logistic[0] > 0.999
    assert rate(MODELS["symmetric-linear"], [0.05, 0, 0], [0, 1, 0]).lambda_max > 0.99


def test_a_prediction_says_what_it_predicts(case: Case) -> None:
    data = case.sample(400)
    found = mt.predict_rate(case.model, data, case.near)
    assert (found.alpha, found.gap, found.bound) == (1 - found.lambda_max, found.lambda_max**2, found.lambda_max)
    assert found.iterates == found.lambda_max == found.eigenvalues[0]
    assert len(found.eigenvalues) == case.near.size and list(found.eigenvalues) == sorted(found.eigenvalues)[::-1]
    v = found.direction.ravel()
    complete, missing = (f(case.model, data, case.near) for f in (mt.complete_information, mt.missing_information))
    assert v @ complete @ v == pytest.approx(1, rel=1e-10)
    assert v @ missing @ v == pytest.approx(found.lambda_max, rel=1e-10)
    assert 0 < found.error < 1e-11
    decoded = json.loads(json.dumps(found.to_dict()))
    assert {"lambda_max", "alpha", "error", "iterates", "gap", "bound"} <= set(decoded)
    assert decoded["lambda_max"] == found.lambda_max and decoded["direction"] == found.direction.tolist()


@pytest.mark.parametrize("theta", [np.ones((2, 2)), np.ones((1, 3)), np.full((2, 3), np.inf), "theta"])
def test_bad_points_are_refused(theta) -> None:
    case = by_id("linear")
    for law in (case.sample(20), mt.Population(case.model, case.truth), mt.MonteCarlo(case.model, case.truth, 9, 0)):
        with pytest.raises(InputError, match=r"^theta: expected"):
            mt.predict_rate(case.model, law, theta)


# Samples ---------------------------------------------------------------------------------------------------------


def test_the_standard_error_of_a_sample_covers(case: Case) -> None:
    case = case.quick()
    right = mt.predict_rate(case.model, mt.Population(case.model, case.truth, nats=16), case.near).lambda_max
    samples = [mt.MonteCarlo(case.model, case.truth, 16_000, seed) for seed in range(30)]
    found = [mt.predict_rate(case.model, sample, case.near) for sample in samples]
    z = np.array([(f.lambda_max - right) / f.error for f in found])
    # 30 draws of nearly N(0, 1), with heavier tails where few rows carry the missing information.
    assert np.abs(z).max() < 5
    assert 0.65 < np.sqrt(np.mean(z**2)) < 1.45


def test_a_sample_and_its_data_have_one_rate(case: Case) -> None:
    law = mt.MonteCarlo(case.model, case.truth, 9000, 3)
    one, other = mt.predict_rate(case.model, law, case.near), mt.predict_rate(case.model, law.data(), case.near)
    assert one.lambda_max == pytest.approx(other.lambda_max, rel=1e-10)
    assert one.error > 1e3 * other.error


# Measurements -----------------------------------------------------------------------------------------------------


def jacobian(case: Case, law: mt.Law, theta: np.ndarray, h: float) -> np.ndarray:
    """Derivative of the EM map by central differences."""
    columns = []
    for v in np.eye(theta.size).reshape(-1, *theta.shape):
        ahead, back = (mt.EM(case.model).step(theta + s * h * v, law) for s in (1, -1))
        columns.append((ahead - back).ravel() / (2 * h))
    return np.stack(columns, axis=1)


def test_the_missing_information_matrix_is_the_derivative_of_em(case: Case) -> None:
    data = case.sample(2000, seed=3)
    fixed = mt.run(mt.EM(case.model), data, case.truth, tolerance=1e-12, divergences=False).last
    m = mt.missing_information_matrix(case.model, data, fixed).matrix
    np.testing.assert_allclose(jacobian(case, data, fixed, 1e-4), m, atol=1e-5 * np.abs(m).max())
    # Away from the fixed point it is not: there ∇A moves too.
    away = jacobian(case, data, case.near, 1e-4)
    distance = np.abs(away - mt.missing_information_matrix(case.model, data, case.near).matrix).max()
    quadratic = case.id == "balanced"
    assert (distance < 1e-5) == quadratic


def test_measured_rate_on_a_sample(case: Case) -> None:
    data = case.sample(5000, seed=9)
    trace = mt.run(mt.EM(case.model), data, case.near, tolerance=1e-12)
    assert trace.converged
    predicted, measured = mt.predict_rate(case.model, data, trace.last), mt.measure_rate(trace)
    # To 1e-4, or to the error that it reports, where the two largest eigenvalues are too close to be told apart.
    difference = abs(measured.iterates - predicted.lambda_max)
    assert difference <= max(1e-4 * predicted.lambda_max, measured.iterates_error)
    assert difference <= 3 * measured.iterates_error + 1e-9 and measured.iterates_error < 3e-3
    assert abs(measured.gap - predicted.gap) <= max(1e-3 * predicted.gap, measured.gap_error)
    assert abs(measured.gap - predicted.gap) <= 3 * measured.gap_error + 1e-9 and measured.gap_error < 3e-2
    assert 0 < measured.at <= trace.iterations
    assert json.loads(json.dumps(measured.to_dict()))["iterates"] == measured.iterates
    # The theorem's bound on the gap is valid, and loose by a square root.
    gaps = trace.objective - trace.objective[-1]
    late = gaps > 1e-9
    assert measured.gap < predicted.bound
    divergence = mt.bregman(case.model, data, trace.last, case.near)
    worst = max(mt.predict_rate(case.model, data, t).lambda_max for t in trace.thetas[:: max(1, len(gaps) // 20)])
    steps = np.arange(len(gaps))
    assert (gaps[late] <= max(worst, predicted.bound) ** steps[late] * divergence * (1 + 1e-9)).all()


@pytest.mark.parametrize("case", [c for c in CASES if c.id != "gate-three"], ids=lambda c: c.id)
def test_measured_rate_on_a_population(case: Case) -> None:
    case = case.quick()
    law = mt.Population(case.model, case.truth, nats=14 if case.model.known else 17)
    trace = mt.run(mt.EM(case.model), law, case.near, tolerance=1e-9, max_iterations=2000, divergences=False)
    predicted, measured = mt.predict_rate(case.model, law, case.truth), mt.measure_rate(trace)
    assert trace.reason == "converged"
    np.testing.assert_allclose(trace.last, case.truth, atol=1e-5)
    assert measured.iterates == pytest.approx(predicted.lambda_max, rel=1e-4)
    assert measured.gap == pytest.approx(predicted.gap, rel=2e-2)


@pytest.mark.parametrize("step", [0.4, 0.8])
def test_measured_rate_of_damped_mirror_descent(case: Case, step: float) -> None:
    """θ -> ∇A*(∇A(θ) - step ∇L(θ)) has the derivative I - step (I - M) at a fixed point."""
    data = case.sample(2000, seed=9)
    algorithm = mt.MirrorDescent(case.model, step)
    trace = mt.run(algorithm, data, case.near, tolerance=1e-12, divergences=False)
    right = 1 - step * mt.predict_rate(case.model, data, trace.last).alpha
    assert trace.converged and mt.measure_rate(trace).iterates == pytest.approx(right, rel=2e-4)


def test_measured_rate_of_gradient_descent() -> None:
    case = by_id("linear")
    data = case.sample(2000, seed=9)
    trace = mt.run(mt.GradientDescent(case.model, step=0.5), data, case.near, tolerance=1e-11, divergences=False)
    curvature = np.linalg.eigvalsh(mt.observed_information(case.model, data, trace.last))
    measured = mt.measure_rate(trace)
    assert trace.converged and measured.iterates == pytest.approx(1 - 0.5 * curvature[0], rel=1e-4)
    assert measured.gap == pytest.approx((1 - 0.5 * curvature[0]) ** 2, rel=1e-2)


@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_a_short_run_has_no_rate(iterations: int) -> None:
    case = by_id("linear")
    trace = mt.run(mt.EM(case.model), case.sample(100), case.near, max_iterations=iterations)
    with pytest.raises(InputError, match=r"^trace: expected at least"):
        mt.measure_rate(trace)


def test_a_run_that_starts_at_its_end_has_no_rate() -> None:
    case = by_id("linear")
    data = case.sample(500)
    best = mt.run(mt.EM(case.model), data, case.truth, tolerance=1e-13).last
    with pytest.raises(InputError, match=r"^trace: expected at least"):
        mt.measure_rate(mt.run(mt.EM(case.model), data, best))


def linear_trace(lengths: np.ndarray, directions: np.ndarray) -> mt.Trace:
    """A made run whose steps have these lengths, (T,), and directions, (T, 2), on L = |θ|²/2."""
    case = by_id("balanced").narrow(2)
    short = mt.run(mt.EM(case.model), case.sample(50), case.near, max_iterations=1, divergences=False)
    steps = lengths[:, None] * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    # What is left of the way goes on at the last ratio.
    ratio = min(lengths[-1] / lengths[-2], 0.9)
    left = np.vstack([np.cumsum(steps[::-1], axis=0)[::-1], np.zeros(2)]) + steps[-1] * ratio / (1 - ratio)
    thetas = -left[:, None]
    return replace(
        short,
        local=thetas,
        gradient=thetas,
        objective=np.sum(thetas**2, axis=(1, 2)) / 2,
        metric=np.eye(2),
    )


def test_a_plateau_that_the_run_has_left_is_not_its_rate() -> None:
    """Thirty steps that shrink by 0.99, then the end at 0.1: the end's rate, or none while the plateau lasts."""
    directions = np.tile([1.0, 0.5], (45, 1))
    lengths = np.append(0.99 ** np.arange(33), 0.7 * 0.1 ** np.arange(12))[:45]
    trace = linear_trace(lengths, directions)
    found = mt.measure_rate(trace)
    assert abs(found.iterates - 0.1) <= found.iterates_error < 1e-2 and found.at > 33
    assert abs(found.gap - 0.01) <= found.gap_error
    on_it = linear_trace(lengths[:30], directions[:30])
    with pytest.raises(InputError, match=r"^trace: expected steps that fell 10 times or more at one rate .* got 1\.3"):
        mt.measure_rate(on_it)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (1e-3 * 1.05 ** np.arange(60), r"^trace: expected steps that fell 10 times or more"),
        (1.0 / np.arange(1, 60), r"^trace: expected steps that f"),
    ],
    ids=["growing", "sublinear"],
)
def test_runs_that_do_not_end_at_one_rate_are_refused(lengths: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mt.measure_rate(linear_trace(lengths, np.ones((len(lengths), 2))))


def test_a_superlinear_end_has_rate_0() -> None:
    found = mt.measure_rate(linear_trace(0.1 ** (1.5 ** np.arange(8)), np.ones((8, 2))))
    assert 0 <= found.iterates <= found.iterates_error < 0.1


def test_close_eigenvalues_widen_the_error() -> None:
    """0.80 and 0.79, the larger with a small share: what is read lies between, and says how far it may be off."""
    t = np.arange(60)
    steps = np.stack([0.1 * 0.80**t, 0.79**t], axis=1)
    found = mt.measure_rate(linear_trace(np.linalg.norm(steps, axis=1), steps))
    assert abs(found.iterates - 0.8) <= found.iterates_error < 1e-2


def test_measured_rates_of_random_problems_lie_within_their_errors() -> None:
    """A part of benchmarks/measured_rates.py, whose 1,000 problems take minutes."""
    outcomes = []
    for number in range(14):
        with contextlib.suppress(InputError, DegenerateError):  # no data set, or no start
            outcomes.append(judge(number, random_run(number, 0)))
    measured = [o for o in outcomes if o.judged and np.isfinite(o.measured)]
    assert len(measured) >= 5 and not [o for o in measured if o.disagrees or o.gap_disagrees]
    assert all(0 <= o.measured < 1 and o.error < 0.1 for o in measured)
