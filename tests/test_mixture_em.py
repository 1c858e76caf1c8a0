"""EM on general mixtures: it never falls, it ends where it says, and it says why it stopped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import moe_theory as mt
from moe_theory.algorithms.starts import start_from
from moe_theory.errors import DegenerateError
from moe_theory.mixture.problem import Problem

FAMILIES = ("gaussian", "binomial", "poisson", "multinomial")


def draw(family: str, k: int, n: int, seed: int, d: int = 1, strength: float = 1.0, **options) -> Problem:
    """A problem whose rows come from a random mixture of that kind."""
    rng = np.random.default_rng(seed)
    x, gate = rng.standard_normal((n, d)), rng.standard_normal((n, 1))
    classes = 3 if family == "multinomial" else 2
    experts = strength * rng.standard_normal((k, classes - 1, d + 1))
    scores = np.column_stack([np.zeros(n), gate @ rng.standard_normal((1, k - 1))]) + rng.gumbel(size=(n, k))
    z = np.argmax(scores, axis=1)
    eta = np.einsum("nqd,nd->nq", experts[z], np.column_stack([np.ones(n), x]))
    if family == "gaussian":
        y = eta[:, 0] + rng.uniform(0.2, 1.0, k)[z] * rng.standard_normal(n)
    elif family == "poisson":
        y = rng.poisson(np.exp(np.clip(eta[:, 0], -3, 3))).astype(float)
    else:
        y = np.argmax(np.column_stack([np.zeros(n), eta]) + rng.gumbel(size=(n, classes)), axis=1).astype(float)
    y[:classes] = np.arange(classes)  # every class occurs, no response is constant
    return Problem.of(x, y, k, family, gate, **options)


def soft(problem: Problem, seed: int) -> np.ndarray:
    """Random responsibilities, (n, k)."""
    return np.random.default_rng(seed).dirichlet(np.full(len(problem.model.latent), 2.0), len(problem.law))


def run(problem: Problem, seed: int = 0, algorithm=None, penalty=None, **options) -> mt.Trace:
    """EM from random responsibilities."""
    start = start_from(problem.model, problem.law, soft(problem, seed), penalty)
    em = mt.EM(problem.model, penalty)
    return mt.run(algorithm(em) if algorithm else em, problem.law, start, divergences=False, **options)


@st.composite
def problems(draw_from: st.DrawFn) -> tuple[Problem, int]:
    family = draw_from(st.sampled_from(FAMILIES))
    k = draw_from(st.integers(1, 4))
    n = draw_from(st.integers(12 + 8 * k, 90))
    seed = draw_from(st.integers(0, 10**6))
    options = {}
    if draw_from(st.booleans()):
        options["weights"] = np.random.default_rng(seed).integers(1, 4, n).astype(float)
    if family != "multinomial" and draw_from(st.booleans()):
        options["offset"] = 0.3 * np.random.default_rng(seed + 1).standard_normal(n)
    if family == "gaussian":
        options["common_sigma"] = draw_from(st.booleans())
    strength = draw_from(st.floats(0.0, 3.0))
    return draw(family, k, n, seed, draw_from(st.integers(1, 2)), strength, **options), seed


@pytest.fixture(params=["whole", "shares"])
def gate(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the gate's Hessian is formed in every pass, or kept from step to step while it serves."""
    monkeypatch.setattr("moe_theory.evaluation.softmax.SMALL", 1000 if request.param == "whole" else 0)
    return request.param


@settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(problems())
def test_the_likelihood_never_falls(case: tuple[Problem, int]) -> None:
    problem, seed = case
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("moe_theory.evaluation.softmax.SMALL", 20 if seed % 2 else 0)
            trace = run(problem, seed, max_iterations=12)
    except DegenerateError as found:
        error = found
        trace = None
    if trace is None:
        assert error.label in problem.model.latent  # the random start's M-step has no maximum
        return
    assert trace.reason != "decreased" and trace.reason != "nonfinite", trace.message
    assert np.all(np.diff(trace.objective) <= 1e-12 * (1 + np.abs(trace.objective[1:])))
    if trace.reason == "degenerate":
        assert trace.label in problem.model.latent and trace.message.startswith(f"label {trace.label}, ")


#: (seed, strength, ridge) of problems on which EM takes from 38 to 182 steps; without a ridge classes take thousands
CONTRACTING = {
    ("gaussian", 2): (40, 2.0, 0.0),
    ("gaussian", 3): (41, 2.0, 0.0),
    ("poisson", 2): (40, 2.0, 0.0),
    ("poisson", 3): (48, 2.0, 0.0),
    ("binomial", 2): (47, 4.0, 0.05),
    ("binomial", 3): (47, 4.0, 0.05),
    ("multinomial", 2): (43, 4.0, 0.05),
    ("multinomial", 3): (44, 4.0, 0.05),
}


@pytest.mark.parametrize(("family", "k"), CONTRACTING)
def test_the_run_contracts_as_predicted(family: str, k: int, gate: str) -> None:
    seed, strength, ridge = CONTRACTING[family, k]
    penalty = mt.Penalty(ridge, 0.0, 1.0) if ridge else None
    problem = draw(family, k, 400, seed, strength=strength)
    trace = run(problem, 3, penalty=penalty, tolerance=1e-11, max_iterations=250)
    assert trace.converged and trace.iterations > 12
    predicted = mt.predict_rate(problem.model, problem.law, trace.last, penalty)
    measured = mt.measure_rate(trace)
    assert 0.05 < predicted.lambda_max < 1
    assert abs(measured.iterates - predicted.lambda_max) < 3 * measured.iterates_error + 1e-6
    assert abs(measured.gap - predicted.lambda_max**2) < 3 * measured.gap_error + 1e-5


def test_squarem_ends_where_em_ends() -> None:
    problem = draw("gaussian", 3, 400, 5, strength=0.5)
    plain = run(problem, 1, max_iterations=20_000, tolerance=1e-9)
    fast = run(problem, 1, mt.Squarem, max_iterations=20_000, tolerance=1e-9)
    assert plain.converged and fast.converged
    assert 3 * fast.iterations < plain.iterations / 2
    assert np.all(np.diff(fast.objective) <= 1e-13)
    assert np.max(np.abs(plain.last - fast.last)) < 1e-6


def test_generalised_em_has_the_same_fixed_point_and_never_falls() -> None:
    for family in ("gaussian", "poisson"):
        problem = draw(family, 2, 400, 11, strength=1.5)
        start = start_from(problem.model, problem.law, soft(problem, 2))
        exact, one = (
            mt.run(a(problem.model), problem.law, start, tolerance=1e-9, divergences=False)
            for a in (mt.EM, mt.GeneralisedEM)
        )
        assert exact.converged and one.converged and one.algorithm == "GeneralisedEM"
        assert np.all(np.diff(one.objective) <= 1e-12)
        assert np.max(np.abs(exact.last - one.last)) < 1e-6


def test_baselines_run_on_mixtures() -> None:
    problem = draw("gaussian", 2, 300, 3)
    start = start_from(problem.model, problem.law, soft(problem, 0))
    best = mt.run(mt.EM(problem.model), problem.law, start, divergences=False).objective[-1]
    first = mt.objective(problem.model, problem.law, start)
    for algorithm in (
        mt.GradientDescent(problem.model),
        mt.GradientEM(problem.model, inner=3),
        mt.StochasticGradient(problem.model, 0.02, 50, method="adam"),
        mt.StochasticGradient(problem.model, 0.02, 50, momentum=0.5),
    ):
        trace = mt.run(algorithm, problem.law, start, max_iterations=60, divergences=False)
        assert trace.objective[-1] < first - 0.3 * (first - best), trace.algorithm


def test_one_gradient_em_step_is_gradient_descent() -> None:
    """Fisher's identity, on a curved model."""
    problem = draw("poisson", 2, 80, 4)
    start = start_from(problem.model, problem.law, soft(problem, 0))
    one = mt.GradientEM(problem.model, step=0.01).step(start, problem.law)
    np.testing.assert_allclose(one, mt.GradientDescent(problem.model, step=0.01).step(start, problem.law), atol=1e-15)


def test_whole_batches_make_sgd_gradient_descent() -> None:
    problem = draw("gaussian", 2, 60, 4)
    start = start_from(problem.model, problem.law, soft(problem, 0))
    one = mt.StochasticGradient(problem.model, 0.01, batch=60).step(start, problem.law)
    np.testing.assert_allclose(one, mt.GradientDescent(problem.model, step=0.01).step(start, problem.law), atol=1e-14)


def test_a_large_part_is_solved_by_conjugate_gradients(monkeypatch) -> None:
    problem = draw("multinomial", 3, 300, 8, d=2)
    start = start_from(problem.model, problem.law, soft(problem, 1))
    exact = mt.EM(problem.model).step(start, problem.law)
    monkeypatch.setattr("moe_theory.evaluation.softmax.LARGE", 3)
    em = mt.EM(problem.model)
    at = em.evaluate(start, problem.law)
    assert all(at.hessian(problem.model, problem.law, i) is None for i in range(len(at.parts)))
    np.testing.assert_allclose(em.step(start, problem.law), exact, rtol=1e-9, atol=1e-10)
    one = mt.GeneralisedEM(problem.model).step(start, problem.law)
    assert mt.objective(problem.model, problem.law, one) < mt.objective(problem.model, problem.law, start)


def test_a_part_that_is_held_and_put_back_leaves_no_stale_likelihood(gate: str) -> None:
    """Where Newton's last point far out is no better the part is put back: what was evaluated there must not stay."""
    x = np.sort(np.random.default_rng(1).uniform(-1, 1, 80))[:, None]
    y = np.where(x[:, 0] > 0, 100.0, -100.0) + np.random.default_rng(2).standard_normal(80)
    problem = Problem.of(x, y, 2)
    em = mt.EM(problem.model)
    ahead = start_from(problem.model, problem.law, np.where(x > 0, [0.02, 0.98], [0.98, 0.02]))
    while em.held is None:
        start, ahead = ahead, em.step(ahead, problem.law)
    problem.law.accuracy = -1e9  # no step is good enough
    ahead = em.step(start, problem.law)
    gate = problem.model.structure.gate
    assert np.array_equal(ahead[gate], start[gate]) and not np.array_equal(ahead, start)
    assert em.evaluate(ahead, problem.law).objective == mt.objective(problem.model, problem.law, ahead)


# Degenerate ------------------------------------------------------------------------------------------------------


def test_a_sigma_that_goes_to_zero_is_degenerate() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 1)), rng.standard_normal(60)
    y[:2], x[:2, 0] = [50.0, 51.0], [0.1, -0.2]  # two rows that a line fits exactly
    problem = Problem.of(x, y, 2, gate=np.empty((60, 0)))
    shares = np.full((60, 2), [0.999, 0.001])
    shares[:2] = [0.001, 0.999]
    trace = mt.run(mt.EM(problem.model), problem.law, start_from(problem.model, problem.law, shares), divergences=False)
    assert (trace.reason, trace.label) == ("degenerate", 2)
    assert set(trace.rows) <= {0, 1} and "sigma has gone to 0" in trace.message
    floored = mt.Penalty(sigma_floor=0.05)
    start = start_from(problem.model, problem.law, shares, floored)
    trace = mt.run(mt.EM(problem.model, floored), problem.law, start, divergences=False)
    assert trace.converged and np.exp(trace.last[3, 1]) == pytest.approx(0.05)


def test_separable_responses_are_degenerate_and_a_ridge_bounds_them() -> None:
    x = np.linspace(-2, 2, 40)[:, None]
    y = (x[:, 0] > 0.05).astype(float)
    problem = Problem.of(x, y, 1, "binomial")
    with pytest.raises(mt.MoeTheoryError, match=r"^label 1, 40 rows .*: its features separate its responses"):
        start_from(problem.model, problem.law, np.ones((40, 1)))
    found = mt.fit_mixture(x, y, 1, "binomial", ridge=1e-2)
    assert found.converged and np.isfinite(found.experts).all() and "ridge 0.01" in found.events[0]
    free = mt.fit_mixture(x, y, 1, "binomial")  # EM holds it far out, where the likelihood has its supremum, 1
    assert (free.reason, free.trace.label, free.trace.rows) == ("degenerate", 1, tuple(range(40)))
    assert free.log_likelihood == pytest.approx(0, abs=1e-9) and np.isnan(free.inference.standard_errors).all()


def test_a_ridge_on_intercepts_bounds_constant_experts() -> None:
    """Of two experts on 0/1 responses without a pattern one goes to "always 0" or "always 1", which a ridge on slopes
    does not see; with intercepts in it the penalty grows without bound, and there is a maximum."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (60, 1)), (rng.random(60) < 0.5).astype(float)
    options = {"k": 2, "family": "binomial", "ridge": 1e-2, "restarts": 1, "accelerate": True}
    free = mt.fit_mixture(x, y, **options)
    assert free.reason == "degenerate" and "a ridge on intercepts too bounds its coefficients" in free.trace.message
    bounded = mt.fit_mixture(x, y, ridge_intercepts=0.1, **options)
    assert bounded.converged and not bounded.runs.failures
    assert bounded.penalty == mt.Penalty(1e-2, 0.0, 0.1) and "0.001 on intercepts" in bounded.events[0]


def test_counts_that_are_all_zero_on_one_side_separate_the_gate(gate: str) -> None:
    x = np.linspace(-1, 1, 50)[:, None]
    y = np.where(x[:, 0] > 0, 20.0 + 5 * np.arange(50) % 7, 0.0)
    problem = Problem.of(x, y, 2, "poisson")
    shares = np.where(x > 0, [0.02, 0.98], [0.98, 0.02])
    trace = mt.run(mt.EM(problem.model), problem.law, start_from(problem.model, problem.law, shares), divergences=False)
    assert (trace.reason, trace.label) == ("degenerate", 2) and "gate's features separate" in trace.message
    assert trace.rows == tuple(np.flatnonzero(y > 0))


def test_a_gate_that_separates_is_degenerate(gate: str) -> None:
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(-1, 1, 80))[:, None]
    y = np.where(x[:, 0] > 0, 100.0, -100.0) + rng.standard_normal(80)
    problem = Problem.of(x, y, 2)
    shares = np.where(x > 0, [0.02, 0.98], [0.98, 0.02])
    trace = mt.run(mt.EM(problem.model), problem.law, start_from(problem.model, problem.law, shares), divergences=False)
    assert trace.reason == "degenerate" and "gate's features separate" in trace.message
    assert trace.label == 2 and trace.rows == tuple(np.flatnonzero(x[:, 0] > 0))


def test_a_gate_that_separates_some_of_many_labels_is_degenerate(gate: str) -> None:
    rng = np.random.default_rng(2)
    x = np.sort(rng.uniform(-1, 1, 300))[:, None]
    z = np.where(x[:, 0] > 0.3, 4, rng.integers(0, 4, 300))
    y = 100.0 * z + 5 * x[:, 0] + rng.standard_normal(300)
    problem = Problem.of(x, y, 5)
    shares = np.full((300, 5), 0.02)
    shares[np.arange(300), z] += 0.9
    trace = mt.run(mt.EM(problem.model), problem.law, start_from(problem.model, problem.law, shares), divergences=False)
    assert trace.reason == "degenerate" and "gate's features separate" in trace.message
    assert trace.label == 5 and trace.rows == tuple(np.flatnonzero(z == 4))


def test_many_labels_end_alike_however_the_gates_hessian_is_known() -> None:
    problem = draw("gaussian", 6, 900, 3, strength=3.0)
    traces = []
    for small in (1000, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("moe_theory.evaluation.softmax.SMALL", small)
            traces.append(run(problem, 1, max_iterations=200, tolerance=1e-12))
    whole, shares = traces
    assert np.max(np.abs(whole.local[:50] - shares.local[:50])) < 1e-8


def test_an_em_that_has_seen_other_data_is_no_less_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it remembers of a gate's curvature may be wrong, even of another size: the step is the same."""
    monkeypatch.setattr("moe_theory.evaluation.softmax.SMALL", 0)
    poisson = mt.softmax_moe(3, "poisson")
    rng = np.random.default_rng(0)
    em = mt.EM(poisson)
    for d, scale in ((3, 1.0), (3, 30.0), (2, 1.0), (3, 0.1)):
        law = mt.Data(scale * rng.standard_normal((200, d)), rng.poisson(2.0, 200).astype(float))
        theta = 0.1 * rng.standard_normal((5, d)) / scale
        for _ in range(3):
            expected = mt.EM(poisson).step(theta, law)
            theta = em.step(theta, law)
            np.testing.assert_allclose(theta, expected, rtol=1e-9, atol=1e-11 / scale)


def test_a_label_that_vanishes_is_degenerate() -> None:
    """Responsibilities that are next to nothing are no start for a label: it is said, with its label."""
    problem = draw("gaussian", 2, 80, 2)
    shares = np.full((80, 2), [1 - 1e-9, 1e-9])
    with pytest.raises(mt.MoeTheoryError, match=r"^label 2, no rows: has vanished \(8\.0e-08 rows' worth"):
        start_from(problem.model, problem.law, shares)


def test_fewer_rows_than_coefficients_are_degenerate() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((30, 3)), rng.standard_normal(30)
    problem = Problem.of(x, y, 2, gate=np.ones((30, 1)), intercept=False)
    shares = np.full((30, 2), [1.0, 0.0])
    shares[:2] = [0.0, 1.0]
    with pytest.raises(mt.MoeTheoryError, match=r"^label 2, .*fewer rows in effect than coefficients"):
        start_from(problem.model, problem.law, shares)
