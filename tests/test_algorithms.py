"""Algorithms: each against an independent computation of its step; runs, the reasons they stop, fits."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.optimize
import sympy as sp
from models import Case, by_id

import moe_theory as mt
from moe_theory.algorithms import Algorithm
from moe_theory.errors import CurvedModelError, InputError
from moe_theory.laws.rows import tally
from moe_theory.model import RESPONSE
from moe_theory.operators import mean_map
from moe_theory.symbolic.identities import exact_form


def table(case: Case, n: int = 150) -> mt.Finite:
    """Rows of the model with random weights, in several blocks."""
    data = case.sample(n, seed=1)
    return mt.Finite(data.x, data.y, 0.1 + np.random.default_rng(2).random(n), block=64)


# Steps -------------------------------------------------------------------------------------------------------


def q_function(case: Case, law: mt.Finite, theta: np.ndarray):
    """φ -> (Q(φ|θ), ∇Q), summed up from the declared log p(y,z|x) and nothing else."""
    symbols, learnt = (RESPONSE, *case.model.symbols), case.model.learnt
    joint = sp.lambdify(symbols, [exact_form(e) for e in case.model.log_joint], "numpy")
    slopes = sp.lambdify(symbols, [[exact_form(e).diff(s) for s in learnt] for e in case.model.log_joint], "numpy")
    full = lambda values: np.stack([np.broadcast_to(v, law.y.shape) for v in values])
    at = full(joint(law.y, *(case.model.coefficients(theta) @ law.x.T)))
    responsibility = np.exp(at) / np.exp(at).sum(axis=0) * law.weight

    def q(flat: np.ndarray) -> tuple[float, np.ndarray]:
        eta = case.model.coefficients(flat.reshape(theta.shape)) @ law.x.T
        value = -np.sum(responsibility * full(joint(law.y, *eta)))
        slope = np.stack([full(row) for row in slopes(law.y, *eta)])
        return value, -np.einsum("kn,kmn,nd->md", responsibility, slope, law.x).ravel()

    return q


def test_em_minimises_q(case: Case) -> None:
    law = table(case)
    q = q_function(case, law, case.near)
    start = np.zeros(case.near.size)
    best = scipy.optimize.minimize(q, start, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000})
    step = mt.EM(case.model).step(case.near, law)
    np.testing.assert_allclose(step.ravel(), best.x, rtol=1e-6, atol=1e-6)
    assert np.abs(q(step.ravel())[1]).max() < 1e-12 * max(1.0, np.abs(q(start)[1]).max())
    assert np.abs(step - case.near).max() > 1e-3


def test_em_is_mirror_descent_with_unit_step(case: Case) -> None:
    quick = case.quick()
    for at, law in ((case, table(case)), (quick, mt.Population(quick.model, quick.truth, nats=14))):
        one, other = (a.step(at.near, law) for a in (mt.EM(at.model), mt.MirrorDescent(at.model)))
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10 * max(1.0, np.abs(one).max()))
        half = mt.MirrorDescent(at.model, step=0.5).step(at.near, law)
        assert np.abs(half - one).max() > 1e-4


@pytest.mark.parametrize("step", [0.3, 1.0, 1.2])
def test_mirror_descent_moves_the_mean(case: Case, step: float) -> None:
    law = table(case)
    after = mt.MirrorDescent(case.model, step).step(case.near, law)
    right = mean_map(case.model, law, case.near) - step * mt.gradient(case.model, law, case.near)
    np.testing.assert_allclose(mean_map(case.model, law, after), right, rtol=0, atol=1e-12 * np.abs(right).max())


def test_gradient_descent_is_what_it_says(case: Case) -> None:
    law = table(case)
    after = mt.GradientDescent(case.model, step=0.1).step(case.near, law)
    np.testing.assert_allclose(after, case.near - 0.1 * mt.gradient(case.model, law, case.near), rtol=1e-14)


def test_gradient_em_with_one_inner_step_is_gradient_descent(case: Case) -> None:
    law = table(case)
    one = mt.GradientEM(case.model, step=0.05, inner=1).step(case.near, law)
    other = mt.GradientDescent(case.model, step=0.05).step(case.near, law)
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)
    two = mt.GradientEM(case.model, step=0.05, inner=2).step(case.near, law)
    again = mt.GradientDescent(case.model, step=0.05).step(other, law)
    assert np.abs(two - again).max() > 1e-6  # the posterior stays frozen


def test_gradient_em_becomes_em(case: Case) -> None:
    law, em = table(case), mt.EM(case.model).step(case.near, table(case))
    distances = [
        np.abs(mt.GradientEM(case.model, inner=inner).step(case.near, law) - em).max() for inner in (1, 30, 4000)
    ]
    assert distances[0] > distances[1] > distances[2] or distances[2] < 1e-12
    assert distances[0] > 1e-4
    assert distances[2] < 1e-6


def test_backtracking_descends(case: Case) -> None:
    law = table(case)
    trace = mt.run(mt.GradientDescent(case.model), law, case.near + 0.5, max_iterations=60)
    assert (np.diff(trace.objective) < 1e-13).all() and trace.objective[-1] < trace.objective[0] - 1e-4
    again = mt.run(mt.GradientDescent(case.model), law, case.near + 0.5, max_iterations=60)
    assert np.array_equal(trace.thetas, again.thetas)


def test_backtracking_survives_any_first_step() -> None:
    case = by_id("linear")
    for initial in (1e-6, 1e6):
        trace = mt.run(mt.GradientDescent(case.model, initial=initial), table(case), case.near, max_iterations=300)
        assert trace.gradient_norm[-1] < 1e-2 * trace.gradient_norm[0]


@pytest.mark.parametrize(
    "make", [mt.EM, mt.MirrorDescent, mt.GradientEM, mt.BlockGradientEM, mt.GradientDescent], ids=lambda a: a.__name__
)
def test_a_stationary_point_stays(case: Case, make) -> None:
    law = table(case)
    best = mt.run(mt.EM(case.model), law, case.truth, tolerance=1e-11, divergences=False).last
    np.testing.assert_allclose(make(case.model).step(best, law), best, atol=1e-8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: mt.MirrorDescent(m, step=0), "^step: expected a number > 0, got 0$"),
        (lambda m: mt.GradientDescent(m, step=-1), "^step: expected a number > 0, got -1$"),
        (lambda m: mt.GradientDescent(m, initial=float("nan")), "^initial: expected finite values, got nan"),
        (lambda m: mt.GradientEM(m, inner=0), "^inner: expected a whole number >= 1, got 0$"),
        (lambda m: mt.GradientEM(m, step="big"), "^step: expected real numbers, got 'big'$"),
    ],
)
def test_bad_settings_say_what_is_wrong(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(mt.symmetric_linear())


# Runs ---------------------------------------------------------------------------------------------------------


def check_shapes(trace: mt.Trace, shape: tuple[int, int]) -> None:
    t = trace.iterations
    assert trace.thetas.shape == (t + 1, *shape) and np.array_equal(trace.thetas[-1], trace.last)
    assert trace.objective.shape == trace.gradient_norm.shape == trace.seconds.shape == (t + 1,)
    assert trace.divergence.shape in ((t,), (0,))
    assert (np.diff(trace.seconds) >= 0).all() and trace.seconds[0] >= 0
    assert trace.converged == (trace.reason == "converged")
    assert np.isfinite(trace.thetas).all() and np.isfinite(trace.objective).all()


def test_a_run_of_em(case: Case) -> None:
    law, calls = table(case), []
    trace = mt.run(mt.EM(case.model), law, case.near, tolerance=1e-9, callback=lambda *a: calls.append(a))
    check_shapes(trace, case.near.shape)
    assert trace.algorithm == "EM" and trace.reason == "converged" and trace.gradient_norm[-1] <= 1e-9
    assert (trace.gradient_norm[:-1] > 1e-9).all()
    assert np.array_equal(trace.thetas[0], case.near)
    assert (np.diff(trace.objective) <= 1e-14 * (1 + np.abs(trace.objective[1:]))).all()
    assert calls == list(enumerate(trace.objective))[1:]
    for t in (0, trace.iterations // 2, trace.iterations - 1):
        before, after = trace.thetas[t], trace.thetas[t + 1]
        np.testing.assert_allclose(mt.EM(case.model).step(before, law), after, rtol=1e-9, atol=1e-11)
        assert trace.objective[t] == pytest.approx(mt.objective(case.model, law, before), rel=1e-13)
        assert trace.divergence[t] == pytest.approx(mt.bregman(case.model, law, before, after), rel=1e-9)
        # The dual norm √(g'(∇²A)^{-1}g).
        g = mt.gradient(case.model, law, before).ravel()
        norm = np.sqrt(g @ np.linalg.solve(mt.complete_information(case.model, law, before), g))
        assert trace.gradient_norm[t] == pytest.approx(norm, rel=1e-6, abs=1e-13)
    metric = mt.complete_information(case.model, law, trace.last)
    np.testing.assert_allclose(trace.metric, metric, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("limit", [0, 1, 7])
def test_runs_stop_at_the_limit(case: Case, limit: int) -> None:
    trace = mt.run(mt.EM(case.model), table(case), case.near, max_iterations=limit, divergences=False)
    assert trace.reason == "max_iterations" and trace.iterations == limit and not trace.converged
    assert trace.divergence.shape == (0,)
    check_shapes(trace, case.near.shape)


def separated() -> tuple[mt.Model, mt.Data]:
    """Known experts so far apart that the labels are certain, and separated by the sign of x."""
    model = mt.Model(
        "separated",
        latent=(0, 1),
        predictors=("w",),
        gate=lambda z, w: mt.log_expit((2 * z - 1) * w),
        expert=lambda y, z, a, b: mt.log_normal(y, b if z else a),
        response=mt.Reals(),
        known={"a": [-30.0], "b": [30.0]},
    )
    x = np.linspace(-2, 2, 40)
    return model, mt.Data(x[:, None], 30 * np.abs(x))


def test_a_gate_that_separates_is_degenerate() -> None:
    model, data = separated()
    trace = mt.run(mt.EM(model), data, [[0.1]])
    assert trace.reason == "degenerate" and "separate" in trace.message and not trace.converged
    check_shapes(trace, (1, 1))
    found = mt.fit(model, data, restarts=3)
    assert found.best.reason == "degenerate" and len(found.failures) >= 3


def test_a_saturated_start_is_degenerate() -> None:
    case = by_id("linear")
    trace = mt.run(mt.EM(case.model), table(case), case.model.theta(beta=[1, 0, 0], w=[1e6, 0, 0]))
    assert (trace.reason, trace.iterations) == ("degenerate", 0) and "singular" in trace.message


class Uphill(Algorithm):
    """Claims to descend and does not."""

    def step(self, theta: np.ndarray, law: mt.Finite) -> np.ndarray:
        return theta + 0.1 * mt.gradient(self.model, law, theta)


class Broken(Algorithm):
    """Breaks down at its third step."""

    monotone = False

    def step(self, theta: np.ndarray, law: mt.Finite) -> np.ndarray:
        return theta * np.nan if theta[0, 0] > 2 else theta + 1


def test_a_rise_of_the_objective_is_noticed(case: Case) -> None:
    trace = mt.run(Uphill(case.model), table(case), case.near)
    assert (trace.reason, trace.iterations) == ("decreased", 1)
    assert trace.objective[1] > trace.objective[0] and f"{trace.objective[1] - trace.objective[0]:.3g}" in trace.message
    check_shapes(trace, case.near.shape)


def test_an_algorithm_that_does_not_claim_descent_may_rise() -> None:
    case = by_id("linear")
    trace = mt.run(mt.GradientDescent(case.model, step=2.5), table(case), case.near, max_iterations=5)
    assert trace.reason == "max_iterations" and (np.diff(trace.objective) > 0).any()


def test_a_breakdown_is_noticed() -> None:
    case = by_id("linear")
    trace = mt.run(Broken(case.model), table(case), np.full((2, 3), -0.5))
    assert (trace.reason, trace.iterations) == ("nonfinite", 3)
    assert trace.message == "the step is not finite: θ is nan in predictor beta, feature 0"
    check_shapes(trace, (2, 3))


@pytest.mark.parametrize("step", [10.0, 1e150, 1e300])
def test_a_step_that_explodes_ends_without_warnings(step: float) -> None:
    case = by_id("linear")
    trace = mt.run(mt.GradientDescent(case.model, step=step), table(case), case.near, max_iterations=2000)
    assert trace.reason in ("nonfinite", "degenerate")
    check_shapes(trace, (2, 3))


def test_false_convergence_is_not_reported() -> None:
    """Near a flat ridge steps and decreases are tiny long before the gradient is small."""
    case = by_id("logistic")
    law = mt.Population(case.model, case.truth, nats=14)
    trace = mt.run(mt.EM(case.model), law, case.near, max_iterations=20)
    assert trace.reason == "max_iterations" and np.abs(np.diff(trace.objective[-2:])) < 1e-4


def test_populations_run_in_the_users_coordinates(case: Case) -> None:
    case = case.quick()
    d = case.truth.shape[1]
    factor = np.eye(d) + np.tril(np.full((d, d), 0.2))
    nats = 8 if case.model.known else 16
    law = mt.Population(case.model, case.truth, factor @ factor.T, nats)
    stays = mt.run(mt.EM(case.model), law, case.truth, max_iterations=1)
    np.testing.assert_allclose(stays.last, case.truth, atol=5 * law.accuracy)
    trace = mt.run(mt.EM(case.model), law, case.near, max_iterations=3)
    check_shapes(trace, case.truth.shape)
    np.testing.assert_allclose(trace.thetas[0], case.near, atol=1e-13)
    np.testing.assert_allclose(trace.thetas[1], mt.EM(case.model).step(case.near, law), atol=5 * law.accuracy)
    assert (np.diff(trace.objective) < 0).all()
    # The very run in whitened features.
    white = case.transformed(factor)
    plain = mt.Population(white.model, white.truth, nats=nats)
    other = mt.run(mt.EM(white.model), plain, white.near, max_iterations=3)
    np.testing.assert_allclose(trace.thetas @ factor, other.thetas, atol=1e-8)
    np.testing.assert_allclose(trace.objective, other.objective, atol=1e-9)


def test_a_population_in_3000_dimensions_runs_as_in_four() -> None:
    case = by_id("logistic")
    traces = []
    for d in (4, 3000):
        wide = case.transformed(np.eye(3, d))
        law = mt.Population(wide.model, wide.truth, nats=14)
        traces.append(mt.run(mt.EM(wide.model), law, wide.near, max_iterations=5))
    assert traces[1].last.shape == (2, 3000) and np.abs(traces[1].last[:, 3:]).max() < 1e-12
    np.testing.assert_allclose(traces[0].last[:, :3], traces[1].last[:, :3], atol=1e-10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": [[1, 2]]}, r"^start: expected shape \(2, 3\), got \(1, 2\)$"),
        ({"start": np.full((2, 3), np.nan)}, r"^start: expected finite values, got nan at index \(0, 0\) and 5 more$"),
        ({"max_iterations": -1}, "^max_iterations: expected a whole number >= 0, got -1$"),
        ({"max_iterations": 1.5}, r"^max_iterations: expected a whole number, got 1\.5$"),
        ({"tolerance": 0}, "^tolerance: expected a number > 0, got 0$"),
    ],
)
def test_bad_runs_say_what_is_wrong(options, message: str) -> None:
    case = by_id("linear")
    arguments = {"algorithm": mt.EM(case.model), "law": table(case), "start": case.near} | options
    with pytest.raises(InputError, match=message):
        mt.run(**arguments)


def test_mirror_descent_needs_a_flat_model() -> None:
    curved = mt.linear_experts()
    with pytest.raises(CurvedModelError, match="curved"):
        mt.run(mt.MirrorDescent(curved), mt.Data(np.eye(2), [1.0, 2.0]), np.eye(3, 2))


# Fits ----------------------------------------------------------------------------------------------------------


def test_fit_recovers_the_truth(case: Case) -> None:
    n = 10_000 if case.finite else 3000
    data = case.sample(n, seed=8)
    found = mt.fit(case.model, data, restarts=3, seed=1, tolerance=1e-9)
    assert found.best.converged and len(found.traces) == 3 and found.failures == ()
    # The covariance of the estimate is the inverse of the observed information of the sample.
    information = n * mt.observed_information(case.model, data, found.best.last)
    error = np.sqrt(np.trace(np.linalg.inv(information)))
    assert mt.distance(case.model, found.best.last, case.truth) < 2.5 * error
    assert found.best.objective[-1] < mt.objective(case.model, data, case.truth)
    assert all(found.best.objective[-1] <= t.objective[-1] + 1e-12 for t in found.traces)


def test_fit_takes_the_best_of_its_starts() -> None:
    case = by_id("balanced")
    found = mt.fit(case.model, case.sample(12), restarts=6)
    ends = [t.objective[-1] for t in found.traces]
    assert max(ends) - min(ends) > 0.1  # there are local maxima
    assert found.best.objective[-1] <= min(ends) + 1e-12


def test_fit_depends_on_its_seed_only() -> None:
    case = by_id("linear")
    data = case.sample(300)
    one, same, other = (mt.fit(case.model, data, restarts=2, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.best.thetas, same.best.thetas)
    assert not np.array_equal(one.traces[0].thetas[0], other.traces[0].thetas[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"restarts": 0}, "^restarts: expected a whole number >= 1, got 0$"),
        ({"seed": -1}, "^seed: expected a whole number >= 0, got -1$"),
        ({"seed": None}, "^seed: expected a whole number, got None$"),
        ({"tolerance": -1.0}, "^tolerance: expected a number > 0, got -1$"),
    ],
)
def test_bad_fits_say_what_is_wrong(options, message: str) -> None:
    case = by_id("linear")
    with pytest.raises(InputError, match=message):
        mt.fit(case.model, case.sample(100), **options)


def test_fit_needs_a_table() -> None:
    case = by_id("linear")
    with pytest.raises(InputError, match=r"^data: expected"):
        mt.fit(case.model, mt.Population(case.model, case.truth))


def test_responses_too_large_to_square_end_without_warnings() -> None:
    case = by_id("linear")
    data = case.sample(50)
    trace = mt.run(mt.EM(case.model), mt.Data(data.x, 1e200 * data.y), case.near, max_iterations=5)
    assert trace.reason in ("nonfinite", "degenerate")


def test_fit_refuses_responses_outside_the_domain() -> None:
    with pytest.raises(InputError, match=r"^y: expected values in \{-1, 1\}, got 0 in row 0$"):
        mt.fit(mt.symmetric_logistic(), mt.Data(np.eye(2), [0, 1]))


def test_distance_is_modulo_the_symmetries() -> None:
    theta, far = np.array([[1.0, 2.0], [-0.5, 0.3]]), np.array([[1.0, 2.0], [-0.5, 0.4]])
    linear, logistic = mt.symmetric_linear(), mt.symmetric_logistic()
    for model in (linear, logistic):
        assert mt.distance(model, theta, -theta) == 0
        assert mt.distance(model, theta, far) == pytest.approx(0.1)
        assert mt.distance(model, theta, -far) == pytest.approx(0.1)
    assert mt.distance(logistic, theta, theta[::-1]) == mt.distance(logistic, theta, -theta[::-1]) == 0
    assert mt.distance(linear, theta, theta[::-1]) == pytest.approx(np.linalg.norm(theta - theta[::-1]))
    assert mt.distance(linear, theta * [[1], [-1]], theta) == pytest.approx(2 * np.hypot(0.5, 0.3))
    with pytest.raises(InputError, match=r"^truth: expected"):
        mt.distance(linear, theta, theta[:1])
    with pytest.raises(InputError, match=r"^truth: expected shape \(2, 2\)"):
        mt.distance(linear, theta, np.ones((2, 3)))


@pytest.mark.parametrize("order", ["as drawn", "sorted"])
def test_a_thin_sample_foresees_and_changes_nothing(order: str) -> None:
    """Large tables look ahead on every 16th row; the step is exact whether or not these are like the others."""
    case = by_id("linear")
    data = case.sample(4000)
    rows = np.argsort(data.y * data.x[:, 0]) if order == "sorted" else np.arange(4000)
    if order == "sorted":  # every 16th row is one of the largest, so that the sample misleads
        rows = np.concatenate([np.append(rows[-250 + i], rows[15 * i : 15 * (i + 1)]) for i in range(250)])
    x, y = data.x[rows], data.y[rows]
    plain, ahead = mt.Data(x, y), mt.Data(x, y, block=200)
    assert plain.rows(case.model, case.near).sample is None
    assert ahead.rows(case.model, case.near).sample is not None
    for start in (case.near, case.near + 1.5, 0 * case.near):
        np.testing.assert_allclose(
            mt.EM(case.model).step(start, ahead), mt.EM(case.model).step(start, plain), rtol=1e-11, atol=1e-12
        )


def test_an_evaluation_of_first_order_is_the_same_but_for_the_hessian(case: Case) -> None:
    """On weighted blocks; ∇²A comes later, from a pass of its own, where it is asked for."""
    law = table(case)
    whole, first = (mt.evaluate(case.model, law, case.near, second_order=order) for order in (True, False))
    assert first.objective == pytest.approx(whole.objective, rel=1e-13)
    np.testing.assert_allclose(first.gradient, whole.gradient, rtol=1e-10, atol=1e-13)
    began = tally.passes
    np.testing.assert_allclose(first.metric(case.model, law), whole.metric(case.model, law), rtol=1e-11, atol=1e-13)
    first.metric(case.model, law)
    assert tally.passes - began <= 2  # one for ∇²A, and E[xx'] where nothing varies
    again = pickle.loads(pickle.dumps(mt.evaluate(case.model, law, case.near, second_order=False)))
    np.testing.assert_array_equal(again.metric(case.model, law), first.metric(case.model, law))


def test_trace_counts_passes() -> None:
    model = mt.symmetric_linear()
    truth = model.theta(beta=[3, 0, 0], w=[0, 1, 0])
    fresh = lambda: mt.MonteCarlo(model, truth, 500, seed=1).data()  # what a law keeps saves later runs a pass
    go = lambda algorithm, **options: mt.run(algorithm, fresh(), truth + 0.1, max_iterations=4, **options).passes
    np.testing.assert_array_equal(go(mt.GradientDescent(model, step=0.1)), [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(np.diff(go(mt.GradientEM(model, inner=3))), 3)
    np.testing.assert_array_equal(go(mt.StochasticGradient(model)), [0, 1, 2, 3, 4])
    em = go(mt.EM(model))
    np.testing.assert_array_equal(em, go(mt.EM(model), divergences=False))
    assert em[0] == 2 and np.all(np.diff(em) >= 2)  # E[xx'] at first; then the gate's Newton steps


def test_seconds_are_of_steps_and_evaluations_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = mt.symmetric_linear()
    truth = model.theta(beta=[3, 0, 0], w=[0, 1, 0])
    data = mt.MonteCarlo(model, truth, 200, seed=1).data()
    clock = [0.0]

    def dear(owner: type, name: str, cost: float) -> None:
        whole = getattr(owner, name)

        def spend(*given, **named):
            clock[0] += cost
            return whole(*given, **named)

        monkeypatch.setattr(owner, name, spend)

    monkeypatch.setattr("moe_theory.algorithms.trace.time.perf_counter", lambda: clock[0])
    dear(mt.EM, "step", 1.0)
    dear(mt.EM, "evaluate", 0.1)
    dear(type(mt.evaluate(model, data, truth)), "dual_norm", 50.0)  # the stopping test
    trace = mt.run(mt.EM(model), data, truth + 0.1, max_iterations=3)
    # A step asks once more for the evaluation at θ, which is kept.
    np.testing.assert_allclose(trace.seconds, 0.1 + 1.2 * np.arange(4), atol=1e-12)
