"""Recovery from end to end: experts, gate, polish, their command; refusals, warnings, files."""

from __future__ import annotations

import copy
import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from gridlock import Truth, order

import moe_theory as mt
from moe_theory.algorithms.general_step import general_step
from moe_theory.algorithms.moment_start import moment_responsibilities
from moe_theory.atoms import relu, step
from moe_theory.errors import DegenerateError, InputError
from moe_theory.evaluation import SoftmaxEvaluation, evaluate, evaluate_general
from moe_theory.evaluation.layout import layout
from moe_theory.laws.columns import Columns
from moe_theory.mixture.problem import Problem
from moe_theory.moments.activations import ACTIVATION_ARGUMENT as U
from moe_theory.moments.activations import Activation, activation, leaky_relu
from moe_theory.recovery.gate import fit_gate, given_experts, mixing_weights
from moe_theory.recovery.joint import gauss_newton_em
from moe_theory.recovery.polish import declared, joint_model, joint_theta, polish_experts
from moe_theory.recovery.recover import _rounded, recover
from moe_theory.recovery.result import Recovery

ROWS = 3000


def opaque(u: Any) -> float:
    """Numbers only, one at a time; not even, not odd."""
    return float(np.arctan(float(u) + 0.5))


ACTIVATIONS: dict[str, tuple[Any, Any]] = {  # what recover is told, what the data are made with
    "linear": ("linear", lambda u: u),
    "relu": ("relu", lambda u: np.maximum(u, 0)),
    "leaky": (leaky_relu(0.2), lambda u: np.where(u > 0, u, 0.2 * u)),
    "sigmoid": ("sigmoid", lambda u: 1 / (1 + np.exp(-u))),
    "tanh": ("tanh", np.tanh),
    "expression": (U**3 / 6 + U, lambda u: u**3 / 6 + u),
    "opaque": (opaque, lambda u: np.arctan(u + 0.5)),
}
NOISE = {"sigmoid": 0.05, "tanh": 0.1, "opaque": 0.1}


def truth_of(name: str, **options: Any) -> Truth:
    return Truth.of(2, 3, seed=3, strength=3.0, g=ACTIVATIONS[name][1], sigma=NOISE.get(name, 0.3), **options)


def ready(n: int = ROWS, seed: int = 0, **options: Any) -> tuple[Truth, np.ndarray, np.ndarray]:
    truth = Truth.of(2, 3, seed=3, strength=3.0, **options)
    return truth, *truth.draw(n, seed)


def in_errors(found: Recovery, a: np.ndarray) -> np.ndarray:
    """Regressors' errors in the standard errors that it states."""
    assert found.standard_errors is not None
    place = order(found.regressors, a)
    return (found.regressors[place] - a) / found.standard_errors[place]


# Recovery ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_experts_gate_and_noise_are_recovered(name: str) -> None:
    truth = truth_of(name)
    x, y = truth.draw(8000, seed=1)
    found = recover(x, y, 2, ACTIVATIONS[name][0])
    assert found.converged and not found.polished
    place = order(found.regressors, truth.a)
    np.testing.assert_allclose(np.linalg.norm(found.regressors, axis=1), 1, rtol=1e-12)
    assert np.max(np.abs(in_errors(found, truth.a))) < 4.5
    assert np.max(np.abs(found.regressors[place] - truth.a)) < 0.3
    gate = found.gate[place] - found.gate[place][0]
    assert gate[1] @ truth.w[1] > 0.8 * np.linalg.norm(gate[1]) * np.linalg.norm(truth.w[1])
    np.testing.assert_allclose(found.mixing[place], np.mean(truth.shares(x), axis=0), atol=0.06)
    assert found.sigma == pytest.approx(truth.sigma, rel=0.5)
    assert np.sum(found.mixing) == pytest.approx(1, rel=1e-12)
    assert found.rows == 8000 and found.k == 2 and len(found.spectrum) == 3


@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if n != "opaque"])
def test_polished_experts_are_within_their_errors(name: str) -> None:
    truth = truth_of(name)
    x, y = truth.draw(ROWS, seed=2)
    found = recover(x, y, 2, ACTIVATIONS[name][0], polish=True, sigma=truth.sigma)
    assert found.converged and found.polished
    assert np.max(np.abs(in_errors(found, truth.a))) < 4
    assert found.standard_errors is not None and np.max(found.standard_errors) < 0.1
    assert abs(found.sigma - truth.sigma) < 5 * truth.sigma / np.sqrt(2 * ROWS)
    # No start from the truth does better.
    start = fit_gate(x, y, truth.g(x @ truth.a.T))
    best = polish_experts(x, y, found.activation, truth.a, start)
    assert found.log_likelihood >= best.log_likelihood - 1e-7


@pytest.mark.parametrize("method", ["averages", "regression", "best"])
def test_the_method_is_what_was_asked_for_and_the_best_is_kept(method: Any) -> None:
    truth, x, y = ready()
    found = recover(x, y, 2, method=method)
    names = [c.experts.name for c in found.candidates]
    assert names == (["averages", "regression"] if method == "best" else [method])
    assert found.log_likelihood == max(c.log_likelihood for c in found.candidates)
    assert np.max(np.abs(in_errors(found, truth.a))) < 4.5


def test_three_experts_of_unequal_weight() -> None:
    truth = Truth.of(3, 5, seed=1, b=np.array([1.0, 0, 0]))
    x, y = truth.draw(20000, seed=0)
    found = recover(x, y, 3, polish=True)
    assert np.max(np.abs(in_errors(found, truth.a))) < 4
    place = order(found.regressors, truth.a)
    np.testing.assert_allclose(found.mixing[place], np.mean(truth.shares(x), axis=0), atol=0.03)
    assert found.warnings == ()


def test_the_stated_intervals_cover() -> None:
    """Student's t for moments, normal after polish; entry by entry, over samples."""
    trials, truth = 30, Truth.of(2, 3, seed=3, strength=3.0)
    hits: dict[bool, list[np.ndarray]] = {False: [], True: []}
    for seed in range(trials):
        x, y = truth.draw(2000, seed)
        for polish in (False, True):
            found = recover(x, y, 2, polish=polish, method="regression")
            intervals = found.intervals()
            assert intervals is not None
            place = order(found.regressors, truth.a)
            low, high = np.moveaxis(intervals[place], -1, 0)
            hits[polish].append((low <= truth.a) & (truth.a <= high))
    for inside in hits.values():
        # Entries of one sample depend on each other: the standard error is of shares per sample.
        shares = np.mean(inside, axis=(1, 2))
        assert abs(np.mean(shares) - 0.95) < 3.5 * np.std(shares, ddof=1) / np.sqrt(trials)


def test_units_of_x_do_not_matter_after_whitening() -> None:
    _, x, y = ready()
    rng = np.random.default_rng(0)
    turn = rng.standard_normal((3, 3)) + 2 * np.eye(3)
    one = recover(x, y, 2, whiten=True, polish=True)
    for mean in (np.zeros(3), np.array([3.0, -5, 10])):
        other = recover(x @ turn.T + mean, y, 2, polish=True)
        assert other.whitening is not None
        # The mean that is taken off is the sample's: only without one are the two the same estimate.
        tolerance = 1e-5 if not np.any(other.centre) else 0.05
        place = order(other.regressors @ turn, one.regressors)
        np.testing.assert_allclose((other.regressors @ turn)[place], one.regressors, atol=tolerance)
        gates = [f.gate[p] - f.gate[p][0] for f, p in ((other, place), (one, [0, 1]))]
        np.testing.assert_allclose(gates[0] @ turn, gates[1], atol=20 * tolerance)
        if np.any(mean):
            np.testing.assert_allclose(other.centre, np.mean(x @ turn.T + mean, axis=0), rtol=1e-10)
            assert any("its mean is not 0" in w and "less its mean" in w for w in other.warnings)
        assert any("Var(a_i'x) = 1" in w for w in other.warnings)
    moments = recover(x @ turn.T, y, 2)
    spread = np.einsum("ia,ab,ib->i", moments.regressors, moments.features.covariance, moments.regressors)
    np.testing.assert_allclose(spread, 1, rtol=1e-10)


def test_large_and_small_units_of_x() -> None:
    _, x, y = ready(2000)
    base = recover(x, y, 2, whiten=True)
    for scale in (1e-80, 1e-6, 1e6, 1e80):
        found = recover(scale * x, y, 2)
        np.testing.assert_allclose(scale * found.regressors, base.regressors, rtol=1e-8)
        assert found.sigma == pytest.approx(base.sigma, rel=1e-6)
        shifted = recover(scale * (x + 3), y, 2)
        assert np.any(shifted.centre) and shifted.sigma == pytest.approx(base.sigma, rel=0.05)


def test_units_of_y_come_out_as_lengths() -> None:
    """Linear experts twice as long: what is of length 1 in theory is said to be of length 2, and polish finds it."""
    truth, x, y = ready(20000)
    found = recover(x, 2 * y, 2)
    assert sum("has length" in w for w in found.warnings) == 2
    np.testing.assert_allclose(found.best.experts.components.norms, 2, rtol=0.35)
    polished = recover(x, 2 * y, 2, polish=True)
    assert np.max(np.abs(in_errors(polished, 2 * truth.a))) < 4


@pytest.mark.parametrize("unit", [1e-6, 1e12])
def test_polish_starts_in_the_units_of_y(unit: float) -> None:
    """Experts of length 1 beside a y of millions are all alike: EM from there rests at a saddle, or takes for ever."""
    truth, x, y = ready(2000)
    found = recover(x, unit * y, 2, polish=True)
    assert found.converged and np.max(np.abs(in_errors(found, unit * truth.a))) < 4
    assert found.best.polished is not None and found.best.polished.trace is not None
    assert found.best.polished.trace.iterations < 100
    assert found.sigma == pytest.approx(0.3 * unit, rel=0.1)


def test_the_same_seed_gives_the_same_recovery() -> None:
    _, x, y = ready(1500)
    one, other = recover(x, y, 2, seed=5).to_dict(), recover(x, y, 2, seed=5).to_dict()
    assert one == other
    third = recover(x, y, 2, seed=6)
    np.testing.assert_allclose(np.sort(third.regressors, axis=0), np.sort(one["regressors"], axis=0), atol=1e-8)


# Gate --------------------------------------------------------------------------------------------------------------


def test_the_gates_em_ends_at_one_optimum_from_any_start() -> None:
    truth = Truth.of(3, 5, seed=1)
    x, y = truth.draw(1500, seed=3)
    means, rng = x @ truth.a.T, np.random.default_rng(0)
    ends = [fit_gate(x, y, means, start=scale * rng.standard_normal((3, 5))) for scale in (0, 1, 1, 3, 3)]
    ends.append(fit_gate(x, y, means, sigma=2.0))
    for end in ends:
        assert end.converged
        np.testing.assert_allclose(end.coefficients, ends[0].coefficients, atol=2e-5)
        assert end.sigma == pytest.approx(ends[0].sigma, abs=1e-6)
        np.testing.assert_allclose(end.mixing, ends[0].mixing, atol=1e-6)
    assert ends[0].sigma == pytest.approx(truth.sigma, rel=0.1)
    errors = ends[0].coefficients - (truth.w - truth.w[0])
    assert np.max(np.abs(errors)) < 0.8


def test_a_gate_without_a_constant_and_of_one_expert() -> None:
    truth, x, y = ready(1000)
    gate = fit_gate(x, y, x @ truth.a.T, intercept=False)
    assert gate.converged and np.all(gate.intercepts == 0)
    alone = fit_gate(x, y, (x @ truth.a[0])[:, None])
    assert alone.coefficients.shape == (1, 3) and alone.mixing == pytest.approx([1.0])
    assert alone.sigma == pytest.approx(np.sqrt(np.mean((y - x @ truth.a[0]) ** 2)), rel=1e-8)


def test_a_gates_bad_input_is_refused() -> None:
    _, x, y = ready(60)
    for options, said in (
        ({"means": x[:30, :2]}, "means: expected 60 rows"),
        ({"start": np.zeros((2, 2))}, r"start: expected shape \(2, 3\)"),
        ({"sigma": 0.0}, "sigma: expected a number > 0, got 0"),
        ({"x": np.column_stack([x, x[:, 0]])}, "x: expected full column rank"),
        ({"x": np.column_stack([x, np.full(60, 2.0)])}, "x: expected full column rank"),
        ({"y": x[:, 0]}, "y: expected responses that differ from the nearest expert's mean"),
    ):
        with pytest.raises(InputError, match=f"^{said}"):
            fit_gate(**({"x": x, "y": y, "means": x[:, :2]} | options))


def weighted_table(k: int, intercept: bool) -> tuple[Any, Columns, np.ndarray]:
    rng = np.random.default_rng(k)
    x, y = rng.standard_normal((40, 2)), rng.standard_normal(40)
    model = given_experts(k, 2, intercept)
    law = Columns([x, 1.0, rng.standard_normal((40, k))], y, rng.uniform(0.5, 2, 40), block=17)
    assert model.design is not None
    theta = model.design.template.copy()
    theta[k, 2], theta[k + 1 :, : 2 + intercept] = -0.3, rng.standard_normal((k - 1, 2 + intercept))
    return model, law, theta


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_given_experts_array_kernels_equal_the_derived_ones(k: int, intercept: bool) -> None:
    model, law, theta = weighted_table(k, intercept)
    plan = layout(model, law)
    assert plan is not None and isinstance(plan.offset, np.ndarray)
    array, derived = evaluate(model, law, theta), evaluate_general(model, law, theta)
    assert isinstance(array, SoftmaxEvaluation)
    assert array.objective == pytest.approx(derived.objective, rel=1e-13)
    np.testing.assert_allclose(array.gradient, derived.gradient, atol=1e-13)
    plain = copy.copy(model)
    object.__setattr__(plain, "structure", None)
    for operator in (mt.complete_information, mt.missing_information, mt.observed_information):
        np.testing.assert_allclose(operator(model, law, theta), operator(plain, law, theta), atol=1e-12)
    fast = mt.EM(model).step(theta, law)
    slow, _ = general_step(model, law, theta, derived.responsibilities)
    np.testing.assert_allclose(fast, slow, atol=1e-9)
    np.testing.assert_array_equal(fast[:k], theta[:k])  # what is given is not learnt
    assert mt.objective(model, law, fast) < array.objective


@pytest.mark.parametrize("k", [2, 3])
def test_given_experts_by_hand(k: int) -> None:
    """Likelihood by its formula; gradient and information by differences of it."""
    model, law, theta = weighted_table(k, True)

    def loss(free: np.ndarray) -> float:
        at = model.filled(free, law.dimension)
        scores = np.column_stack([np.zeros(40), law.x[:, :3] @ at[k + 1 :, :3].T])
        log_gate = scores - np.log(np.sum(np.exp(scores), axis=1, keepdims=True))
        s = at[k, 2]
        density = -0.5 * ((law.y[:, None] - law.x[:, 3:]) / np.exp(s)) ** 2 - s - 0.5 * np.log(2 * np.pi)
        return -float(law.weight @ np.log(np.sum(np.exp(log_gate + density), axis=1)))

    free, h = model.free(theta), 1e-4
    at = evaluate(model, law, theta)
    assert at.objective == pytest.approx(loss(free), rel=1e-13)
    unit = np.eye(len(free)) * h
    slope = [(loss(free + u) - loss(free - u)) / (2 * h) for u in unit]
    np.testing.assert_allclose(model.free(at.gradient), slope, atol=1e-7)
    bend = [
        [
            (loss(free + u + v) - loss(free + u - v) - loss(free - u + v) + loss(free - u - v)) / (4 * h * h)
            for u in unit
        ]
        for v in unit
    ]
    np.testing.assert_allclose(mt.observed_information(model, law, theta), bend, atol=1e-6)


def test_mixing_weights_are_means_of_the_gate() -> None:
    truth, x, y = ready(500)
    law = Columns([x, 1.0], y)
    found = mixing_weights(law, truth.w, np.array([0.3, -0.2]))
    shares = np.exp(x @ truth.w.T + [0.3, -0.2])
    np.testing.assert_allclose(found, np.mean(shares / np.sum(shares, axis=1, keepdims=True), axis=0), rtol=1e-12)
    huge = mixing_weights(law, 1e6 * truth.w, np.zeros(2))
    assert np.all(np.isfinite(huge)) and np.sum(huge) == pytest.approx(1)


# Polish ------------------------------------------------------------------------------------------------------------


def from_afar(name: str, n: int = 800) -> tuple[Truth, np.ndarray, np.ndarray, Activation, np.ndarray, np.ndarray]:
    """Data, activation, a start some way off and its θ."""
    truth = truth_of(name)
    x, y = truth.draw(n, seed=4)
    a = truth.a + 0.3 * np.random.default_rng(1).standard_normal(truth.a.shape)
    gate = fit_gate(x, y, truth.g(x @ a.T), max_iterations=3)
    return truth, x, y, activation(ACTIVATIONS[name][0]), a, gate.trace.last


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gauss_newton_em_never_lowers_the_likelihood(name: str) -> None:
    truth, x, y, g, a, theta = from_afar(name)
    seen: list[float] = []
    run = gauss_newton_em(x, y, g, a, theta, callback=lambda i, value: seen.append(value))
    assert run.reason == "converged"
    assert np.min(np.diff(run.log_likelihood)) > -1e-12
    np.testing.assert_allclose(run.log_likelihood, -np.array(seen))
    assert np.max(np.abs(run.regressors[order(run.regressors, truth.a)] - truth.a)) < 0.2
    short = gauss_newton_em(x, y, g, a, theta, max_iterations=2)
    assert short.reason == "max_iterations" and len(short.log_likelihood) == 3


@pytest.mark.parametrize("name", ["linear", "sigmoid", "tanh", "expression"])
def test_gauss_newton_em_ends_where_the_likelihood_is_stationary(name: str) -> None:
    truth, x, y, g, a, theta = from_afar(name)
    run = gauss_newton_em(x, y, g, a, theta, max_iterations=3000)
    model, h = given_experts(2, 3), 1e-4

    def loss(regressors: np.ndarray, at: np.ndarray) -> float:
        return mt.objective(model, Columns([x, 1.0, truth.g(x @ regressors.T)], y), at)

    free = model.free(run.theta)
    moves = [h * m.reshape(2, 3) for m in np.eye(6)]
    slopes = [(loss(run.regressors + m, run.theta) - loss(run.regressors - m, run.theta)) / (2 * h) for m in moves]
    for m in h * np.eye(len(free)):
        up, down = (model.filled(free + sign * m, 6) for sign in (1, -1))
        slopes.append((loss(run.regressors, up) - loss(run.regressors, down)) / (2 * h))
    # The last step gained 1e-10 per row: of a gradient in units of σ that is a square root.
    assert np.max(np.abs(slopes)) * truth.sigma < 3e-5
    at_start = [(loss(a + m, theta) - loss(a - m, theta)) / (2 * h) for m in moves]
    assert np.max(np.abs(at_start)) > 100 * np.max(np.abs(slopes))


def test_linear_experts_are_polished_by_exact_em_to_the_same_end() -> None:
    _, x, y, g, a, theta = from_afar("linear")
    gate = fit_gate(x, y, x @ a.T)
    exact = polish_experts(x, y, g, a, gate)
    other = gauss_newton_em(x, y, g, a, theta, max_iterations=3000)
    assert exact.converged and exact.trace is not None
    assert exact.log_likelihood == pytest.approx(other.log_likelihood[-1], abs=1e-7)
    np.testing.assert_allclose(exact.regressors, other.regressors, atol=1e-3)


@pytest.mark.parametrize("name", ["linear", "tanh", "relu", "leaky"])
def test_the_polished_covariance_inverts_the_likelihoods_curvature(name: str) -> None:
    """Second differences of the likelihood by its formula; where g has kinks, of steps that are large beside the gaps
    between rows, and so roughly."""
    truth = truth_of(name)
    n = 1500
    x, y = truth.draw(n, seed=4)
    g = activation(ACTIVATIONS[name][0])
    end = polish_experts(x, y, g, truth.a, fit_gate(x, y, truth.g(x @ truth.a.T)))
    assert end.converged and end.covariance is not None
    model, base = end.model, end.model.free(end.theta)

    def loss(free: np.ndarray) -> float:
        at = model.filled(free, 4)
        scores = np.column_stack([np.zeros(n), x @ at[3, :3] + at[3, 3]])
        log_gate = scores - np.logaddexp(scores[:, :1], scores[:, 1:])
        density = -0.5 * ((y[:, None] - truth.g(x @ at[:2, :3].T)) / np.exp(at[2, 3])) ** 2 - at[2, 3]
        return -float(np.sum(np.logaddexp(*(log_gate + density).T)))

    size = len(base)
    h = (1e-3 if name in ("linear", "tanh") else 3e-2) * np.eye(size)
    bend = [[loss(base + u + v) - loss(base + u - v) - loss(base - u + v) + loss(base - u - v) for u in h] for v in h]
    covariance = np.linalg.inv(np.array(bend) / (4 * h[0, 0] ** 2))[:6, :6]
    rough = 1e-3 if name in ("linear", "tanh") else 0.15
    np.testing.assert_allclose(np.sqrt(np.diagonal(end.covariance)), np.sqrt(np.diagonal(covariance)), rtol=rough)


def test_activated_experts_declare_the_joint_model() -> None:
    """The declared likelihood is that of given experts with these means."""
    truth, x, y = ready(200)
    for name in ("relu", "tanh", "leaky", "expression"):
        g = activation(ACTIVATIONS[name][0])
        model = joint_model(2, 3, g)
        theta = joint_theta(truth.a, 0.4, truth.w, np.array([0.1, 0.3]))
        given = given_experts(2, 3)
        own = np.zeros((4, 6))
        own[:2, 4:], own[2, 3], own[3, :3], own[3, 3] = np.eye(2), np.log(0.4), truth.w[1] - truth.w[0], 0.2
        means = ACTIVATIONS[name][1](x @ truth.a.T)
        expected = mt.objective(given, Columns([x, 1.0, means], y), own)
        assert mt.objective(model, Columns([x, 1.0], y), theta) == pytest.approx(expected, rel=1e-12)
        free, h = model.free(theta), 1e-6
        law = Columns([x, 1.0], y)
        gradient = model.free(evaluate(model, law, theta).gradient)
        slopes = [
            (mt.objective(model, law, model.filled(free + m, 4)) - mt.objective(model, law, model.filled(free - m, 4)))
            / (2 * h)
            for m in h * np.eye(len(free))
        ]
        np.testing.assert_allclose(gradient, slopes, atol=1e-7)


def test_relu_and_step() -> None:
    assert relu(U).diff(U) == step(U) and step(U).diff(U) == 0
    assert [relu(v) for v in (-2, 0, 3)] == [0, 0, 3] and [step(v) for v in (-2, 0, 3)] == [0, 0, 1]


def test_a_function_without_an_expression_is_polished_with_the_scores_standard_errors() -> None:
    """Outer products of the scores and Louis' formula estimate one information."""
    truth = Truth.of(2, 3, seed=3, strength=3.0, sigma=0.1, g=lambda u: np.arctan(u + 0.5))
    x, y = truth.draw(ROWS, seed=1)
    plain, declarable = (recover(x, y, 2, g, polish=True) for g in (opaque, sp.atan(U + sp.Rational(1, 2))))
    assert plain.converged and plain.best.polished is not None and plain.best.polished.model is None
    np.testing.assert_allclose(plain.regressors, declarable.regressors, atol=1e-6)
    np.testing.assert_allclose(plain.standard_errors, declarable.standard_errors, rtol=0.2)
    without = recover(x, y, 2, opaque, polish=True, intercept=False)
    np.testing.assert_allclose(without.standard_errors, declarable.standard_errors, rtol=0.2)
    with pytest.raises(InputError, match="SymPy expression to polish with, got the function opaque"):
        declared(activation(opaque))
    with pytest.raises(InputError, match="kinks by max"):
        declared(activation(sp.Heaviside(U) + U))


def test_smooth_activations_of_other_names_are_polished_or_refused() -> None:
    truth = Truth.of(2, 3, seed=3, strength=3.0, sigma=0.1, g=activation(U * (1 + sp.erf(U / sp.sqrt(2))) / 2).function)
    x, y = truth.draw(ROWS, seed=1)
    found = recover(x, y, 2, U * (1 + sp.erf(U / sp.sqrt(2))) / 2, polish=True)
    assert found.converged and np.max(np.abs(in_errors(found, truth.a))) < 4
    with pytest.raises(InputError, match=r"^activation: expected functions that NumPy has"):
        declared(activation(sp.Si(U)))


# Start -------------------------------------------------------------------------------------------------------------


def test_fits_start_from_moments() -> None:
    truth = Truth.of(3, 5, seed=1)
    x, y = truth.draw(4000, seed=1)
    fit = mt.fit_mixture(x, y, 3, "gaussian", starts=("moments",), restarts=2, common_sigma=True)
    found = fit.experts if isinstance(fit.experts, np.ndarray) else np.array(fit.experts)
    best = mt.fit_mixture(x, y, 3, "gaussian", restarts=8, common_sigma=True)
    assert fit.log_likelihood >= best.log_likelihood - 1e-3
    assert found.shape[0] == 3


def test_responsibilities_from_moments() -> None:
    _, x, y = ready(1500)
    problem = Problem.of(x, y, 2, "gaussian")
    one = moment_responsibilities(problem.model, problem.law, np.random.default_rng(0))
    other = moment_responsibilities(problem.model, problem.law, np.random.default_rng(1))
    np.testing.assert_allclose(np.sum(one, axis=1), 1, rtol=1e-12)
    assert np.all(one >= 0) and np.max(np.abs(one - other)) > 1e-3
    two_values = np.column_stack([x[:, :2], x[:, 2] > 0])
    problem = Problem.of(two_values, y, 2, "gaussian")  # by averages then: no regression on Hermite features
    found = moment_responsibilities(problem.model, problem.law, np.random.default_rng(0))
    np.testing.assert_allclose(np.sum(found, axis=1), 1, rtol=1e-12)
    for data, k, family, said in (
        ((x, (y > 0) * 1.0), 2, "binomial", "normal experts"),
        ((x[:, :1], y), 2, "gaussian", "at least 2 features"),
        ((x[:8], y[:8]), 3, "gaussian", "a start from moments"),
    ):
        wrong = Problem.of(*data, k, family)
        with pytest.raises(DegenerateError, match=said):
            moment_responsibilities(wrong.model, wrong.law, np.random.default_rng(0))


# Refusals and warnings ---------------------------------------------------------------------------------------------


def refusals() -> dict[str, tuple[dict[str, Any], str]]:
    _, x, y = ready(400)
    hole, bent = x.copy(), x.copy()
    hole[3, 1], bent[5] = np.nan, np.inf
    return {
        "one expert": ({"k": 1}, r"k: expected a whole number >= 2, got 1"),
        "half an expert": ({"k": 2.5}, r"k: expected a whole number, got 2.5"),
        "k > d": ({"k": 4}, r"k: expected at most as many experts as features, 3, got 4"),
        "constant y": ({"y": np.full(400, 3.0)}, r"y: expected responses that vary, got 3 in every row"),
        "NaN": ({"x": hole}, r"x: expected finite values, got nan at index \(3, 1\)"),
        "infinity": ({"x": bent}, r"x: expected finite values, got inf"),
        "short y": ({"y": y[:-1]}, r"x: expected 399 rows, one per response, got shape \(400, 3\)"),
        "x of one axis": ({"x": x[:, 0]}, r"x: expected 2 axes"),
        "y of two": ({"y": y[:, None]}, r"y: expected 1 axis"),
        "no features": ({"x": x[:, :0]}, r"x: expected 400 rows"),
        "no rows": ({"x": x[:0], "y": y[:0]}, r"x: expected 0 rows"),
        "n < d": ({"x": x[:2], "y": y[:2]}, r"x: expected at least as many rows as features, got 2 rows and 3"),
        "n = d": ({"x": x[:3], "y": y[:3]}, r"x: expected more rows than features, got 3 rows and 3 features"),
        "duplicate": ({"x": np.column_stack([x, x[:, 1]])}, r"x: expected full column rank, but column 3"),
        "constant column": ({"x": np.column_stack([x, np.ones(400)])}, r"x: expected features that vary"),
        "text": ({"x": [["a", "b"]], "y": [1.0]}, r"x: expected real numbers"),
        "sigma < 0": ({"sigma": -0.1}, r"sigma: expected a number >= 0, got -0.1"),
        "sigma NaN": ({"sigma": np.nan}, r"sigma: expected finite"),
        "activation": ({"activation": "swish"}, r"activation: expected one of linear, relu, .*got 'swish'"),
        "even activation": ({"activation": U**2}, r"activation: .*even"),
        "slope missing": ({"activation": "leaky-relu"}, r"slope"),
        "method": ({"method": "median"}, r"method: expected one of best, averages, regression, got 'median'"),
        "seed": ({"seed": -1}, r"seed: expected a whole number >= 0, got -1"),
        "too few to regress": ({"x": x[:15], "y": y[:15], "method": "regression"}, r"method: expected rows enough"),
    }


@pytest.mark.parametrize("name", refusals())
def test_bad_input_is_refused_in_one_line(name: str) -> None:
    _, x, y = ready(400)
    changes, said = refusals()[name]
    with pytest.raises(InputError, match=f"^{said}") as error:
        recover(**({"x": x, "y": y, "k": 2} | changes))
    assert "\n" not in str(error.value)


def test_more_experts_than_the_spectrum_supports_are_refused() -> None:
    _, x, y = ready(8000)
    with pytest.raises(InputError, match=r"^k: expected at most 2 experts, which the spectrum supports, got 3: eigenv"):
        recover(x, y, 3)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"^k: expected at most 1 experts"):
        recover(x, rng.standard_normal(8000), 2)


def test_too_few_rows_are_said_to_be_and_polish_may_go_on() -> None:
    truth, x, y = ready(100, seed=4, sigma=0.5)
    with pytest.raises(
        InputError, match=r"^x: expected more rows, 100 are too few to tell 2 experts from noise.*polish"
    ):
        recover(x, y, 2)
    for options in ({"polish": True}, {"force": True}):
        found = recover(x, y, 2, **options)
        assert any("do not tell 2 experts from noise" in w for w in found.warnings)
    found = recover(x, y, 2, polish=True)
    assert np.max(np.abs(found.regressors[order(found.regressors, truth.a)] - truth.a)) < 0.5


def test_the_rows_that_may_do_are_more_than_there_are() -> None:
    for rows, shown in ((101, "200"), (1000, "1,000"), (1001, "2,000"), (99.5, "100")):
        assert _rounded(rows) == shown
    _, x, y = ready(100, seed=3, sigma=0.5)
    with pytest.raises(InputError, match=r"100 are too few.*about 200 rows may do"):
        recover(x, y, 2)


def test_what_is_accepted_is_supported() -> None:
    """One test for both: eigenvalue 2 above the noise beside one expert. Here eigenvalue 1 hides in an expert's own."""
    _, x, y = ready(100, seed=2, sigma=0.5)
    spectrum = recover(x, y, 2).best.experts.spectrum
    assert spectrum.values[0] < spectrum.edge(0) and spectrum.values[1] > spectrum.edge(1) and spectrum.supported == 2


def test_fewer_experts_than_there_are_is_said() -> None:
    x, y = Truth.of(3, 5, seed=1).draw(20000, seed=1)
    found = recover(x, y, 2)
    assert any(w.startswith("the spectrum supports 3 experts, 2 were asked for") for w in found.warnings)


@pytest.mark.parametrize(
    ("law", "said"),
    [
        ("t", "x is far from Gaussian: Mardia's kurtosis is"),
        ("uniform", "x is far from Gaussian: Mardia's kurtosis is 0."),
        ("one of many", "x is far from Gaussian: a coordinate's"),
        ("categorical", "x is far from Gaussian: "),
    ],
)
def test_features_far_from_gaussian_are_said_to_be(law: str, said: str) -> None:
    truth = Truth.of(2, 12 if law == "one of many" else 3, seed=3)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6000, truth.a.shape[1]))
    if law == "t":
        x = rng.standard_t(5, x.shape) / np.sqrt(5 / 3)
    elif law == "uniform":
        x = rng.uniform(-np.sqrt(3), np.sqrt(3), x.shape)
    elif law == "one of many":
        x[:, 11] = rng.uniform(-np.sqrt(3), np.sqrt(3), 6000)
    else:
        x[:, 2] = rng.integers(0, 2, 6000) * 2.0 - 1
    y = truth.draw(6000, 1, x)[1]
    found = recover(x, y, 2, force=True)
    assert any(w.startswith(said) for w in found.warnings), found.warnings
    if law == "categorical":
        assert any(w.startswith("moments by regression were left out") for w in found.warnings)
        assert [c.experts.name for c in found.candidates] == ["averages"]
        with pytest.raises(InputError, match="a feature with two values"):
            recover(x, y, 2, method="regression")


def test_a_refusal_says_that_x_is_far_from_gaussian_too() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.7, 1.7, (3000, 3))
    with pytest.raises(InputError, match=r"^k: expected at most 1 experts.*; x is far from Gaussian: Mardia's"):
        recover(x, rng.standard_normal(3000), 2)


def test_what_is_said_of_whitening_is_so() -> None:
    _, x, y = ready()
    said = lambda x, **options: " ".join(recover(x, y, 2, **options).warnings)
    assert said(x) == ""
    assert "as was asked for" in said(x, whiten=True) and "covariance is not I" not in said(x, whiten=True)
    assert "covariance is not I" in said(2 * x) and "mean is not 0" not in said(2 * x)
    only = said(x + 1)
    assert "mean is not 0" in only and "covariance is not I" not in only and "less its mean" in only
    as_is = said(x + 0.3, whiten=False)
    assert "x was taken as it is, though its mean is not 0" in as_is and "biased" in as_is


def test_a_mean_at_odds_with_the_theory_is_said() -> None:
    _, x, y = ready()
    said = r"y has mean [45].* ± 0\.0.*, where experts without a constant .* leave E g\(Z\) = 0"
    with pytest.raises(InputError, match=r"^y has mean [12].*: if y is measured from .*; [kx]: expected"):
        recover(x[:100], y[:100] + 2, 2)
    for off in (5.0, 1e6, -1e6, 1e12):
        for polish in (False, True):
            with pytest.raises(InputError, match=r"^y: expected a mean near E g\(Z\) = 0.*: subtract a typical value"):
                recover(x, y + off, 2, polish=polish)
    assert any(re.match(said, w) for w in recover(x, y + 5, 2, force=True).warnings)
    for name in ("relu", "sigmoid"):
        x, y = truth_of(name).draw(8000, seed=1)
        assert not any(w.startswith("y has mean") for w in recover(x, y, 2, name).warnings)


def test_a_sigma_at_odds_with_the_responses_is_said() -> None:
    _, x, y = ready()
    for sigma, odd in ((0.3, False), (None, False), (0.0, True), (2.0, True)):
        assert any(w.startswith("sigma: σ² = ") for w in recover(x, y, 2, sigma=sigma).warnings) == odd
    assert any("y varies less" in w for w in recover(x, y / 4, 2).warnings)


def test_a_gate_along_the_regressors_is_said() -> None:
    truth = Truth.of(2, 3, seed=3)
    tilted = replace(truth, w=truth.w + np.array([np.zeros(3), 2 * truth.a[0]]))
    x, y = tilted.draw(8000)
    assert any("must be 0 and is not" in w for w in recover(x, y, 2, force=True).warnings)


# Command -----------------------------------------------------------------------------------------------------------

KEYS = """
regressors standard_errors intervals gate gate_intercepts mixing sigma spectrum spectrum_noise spectrum_supports
warnings experts rows activation method polished converged log_likelihood centre moments data response features
"""


def written(path: Path, x: np.ndarray, y: np.ndarray) -> str:
    names = [*(f"x{i + 1}" for i in range(x.shape[1])), "y"]
    rows = [",".join(map(repr, row)) for row in np.column_stack([x, y]).tolist()]
    path.write_text("\n".join([",".join(names), *rows]) + "\n")
    return str(path)


@pytest.fixture
def data(tmp_path: Path) -> str:
    _, x, y = ready(1500)
    return written(tmp_path / "t.csv", x, y)


def test_the_json_has_the_documented_keys_and_recovers_numbers(command, data: str) -> None:
    _, x, y = ready(1500)
    code, out, err = command("recover", data, "--response", "y", "--experts", "2", "--json")
    report = json.loads(out)
    assert code == 0 and err == "" and set(report) == set(KEYS.split())
    expected = recover(x, y, 2)
    np.testing.assert_allclose(report["regressors"], expected.regressors, rtol=1e-12)
    assert np.shape(report["regressors"]) == (2, 3) and np.shape(report["intervals"]) == (2, 3, 2)
    assert report["features"] == ["x1", "x2", "x3"] and report["rows"] == 1500 and report["centre"] == [0, 0, 0]
    assert report["log_likelihood"] == pytest.approx(1500 * expected.log_likelihood)
    assert report["moments"]["vanishing"][0]["name"] == "E[P₃(y)x]"
    assert report["warnings"] == list(expected.warnings)


def test_options_reach_the_recovery(command, tmp_path: Path) -> None:
    truth = truth_of("leaky")
    x, y = truth.draw(3000, seed=1)
    data = written(tmp_path / "t.csv", 2 * x, y)
    (tmp_path / "g.py").write_text("import sympy\ndef g(u):\n    return sympy.Max(u, 0) + sympy.Min(u, 0) / 5\n")
    base = ("recover", data, "--response", "y", "--sigma", "0.3", "--polish", "--json", "--seed", "3")
    one = json.loads(command(*base, "--activation", "leaky-relu", "--slope", "0.2", "--method", "averages")[1])
    assert one["method"] == "averages" and one["polished"] and one["converged"]
    assert one["moments"]["sigma_squared"] == pytest.approx(0.09)
    two = json.loads(command(*base, "--activation", f"{tmp_path / 'g.py'}:g", "--method", "averages")[1])
    np.testing.assert_allclose(two["regressors"], one["regressors"], atol=1e-5)
    place = order(np.array(one["regressors"]), truth.a / 2)
    np.testing.assert_allclose(np.array(one["regressors"])[place], truth.a / 2, atol=0.05)
    bare = json.loads(command(*base[:4], "--features", "x1,x2,x3", "--no-intercept", "--json")[1])
    assert bare["gate_intercepts"] == [0, 0]
    assert any("as it is" in w for w in json.loads(command(*base[:4], "--as-is", "--force", "--json")[1])["warnings"])


def test_tables_files_and_picture(command, data: str, tmp_path: Path) -> None:
    out, figure = tmp_path / "out.csv", tmp_path / "p.png"
    code, text, err = command("recover", data, "--response", "y", "--out", str(out), "--figure", str(figure))
    assert code == 0 and err == ""
    for part in ("Regressors with 95% intervals", "Gate: log-odds", "mixing weight", "Spectrum", "Must vanish", "x3"):
        assert part in text
    with out.open() as file:
        rows = list(csv.DictReader(file))
    found = json.loads(command("recover", data, "--response", "y", "--json")[1])
    assert [float(r["regressor"]) for r in rows] == pytest.approx(np.ravel(found["regressors"]).tolist())
    assert [float(r["low"]) for r in rows] == pytest.approx(np.array(found["intervals"])[..., 0].ravel().tolist())
    assert [r["feature"] for r in rows[:3]] == ["x1", "x2", "x3"] and rows[3]["expert"] == "2"
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "p.png", "p.png.json", "t.csv"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--experts 2", "--response"),
        ("--response z", "z"),
        ("--response y --experts 1", "k: expected a whole number >= 2, got 1"),
        ("--response y --experts 7", "k: expected at most"),
        ("--response y --activation swish", "swish"),
        ("--response y --activation leaky-relu", "--slope: expected a number"),
        ("--response y --slope 0.1", "--slope: expected leaky-relu"),
        ("--response y --activation nofile.py:g", "--activation"),
        ("--response y --sigma -1", "sigma: expected a number >= 0, got -1"),
        ("--response y --seed -1", "--seed"),
        ("--response y --features x1,y", "--features"),
        ("--response y --features nope", "nope"),
        ("--response y --figure p.txt", "--figure"),
        ("--response y --out nowhere/out.csv", "--out"),
        ("--response y --experts 3 --out out.csv --figure p.png", "k: expected at most 2 experts"),
    ],
)
def test_the_commands_refusals(command, data: str, options: str, said: str, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = command("recover", data, *options.split(), "--json")
    assert code == 2 and out == "" and said in err
    assert len(err.strip().splitlines()) == 1 and "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]  # nothing is left half done


def test_bad_tables_are_refused(command, tmp_path: Path) -> None:
    _, x, y = ready(60)
    holes = Path(written(tmp_path / "h.csv", x, y))
    holes.write_text(holes.read_text().replace(holes.read_text().splitlines()[5].split(",")[1], ""))
    only = tmp_path / "o.csv"
    only.write_text("y\n1\n2\n3\n")
    constant = written(tmp_path / "c.csv", x, np.ones(60))
    for path, said in ((str(holes), "x2"), (str(only), "x: expected"), (constant, "y: expected responses that vary")):
        code, out, err = command("recover", path, "--response", "y")
        assert code == 2 and out == "" and said in err and len(err.strip().splitlines()) == 1
    assert command("recover", str(tmp_path / "none.csv"), "--response", "y")[0] == 2


def test_no_convergence_is_exit_code_one(command, tmp_path: Path) -> None:
    """Without noise the likelihood has no maximum: σ goes to 0, and that is said."""
    truth = Truth.of(2, 3, seed=3, strength=3.0, sigma=0.0)
    data = written(tmp_path / "t.csv", *truth.draw(1500))
    code, out, _ = command("recover", data, "--response", "y", "--polish", "--json")
    report = json.loads(out)
    assert code == 1 and not report["converged"]
    assert any("did not converge" in w and "sigma has gone to 0" in w for w in report["warnings"])
    place = order(np.array(report["regressors"]), truth.a)
    np.testing.assert_allclose(np.array(report["regressors"])[place], truth.a, atol=1e-3)


def test_the_result_shows_itself() -> None:
    _, x, y = ready(1500)
    found = mt.recover(x, y, 2)
    assert repr(found).startswith("<Recovery: 2 linear experts from moments, 1500 rows, sigma 0.")
    narrow, wide = found.intervals(0.5), found.intervals(0.99)
    assert narrow is not None and wide is not None
    assert np.all(wide[..., 0] < narrow[..., 0]) and np.all(narrow[..., 1] < wide[..., 1])
    with pytest.raises(InputError, match="level"):
        found.intervals(1.5)
    figure = mt.recovery_figure(found, truth=np.eye(2, 3))
    assert "2 linear experts from moments, 1,500 rows" in figure._suptitle.get_text()
    points = [line for line in figure.axes[1].lines if "expert" in str(line.get_label())]
    np.testing.assert_allclose(points[1].get_ydata(), found.regressors[1])
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), found.spectrum[:2])
    assert "Regressors with 95% intervals" in str(found.summary())
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_picture_of_many_features_says_that_it_shows_the_first() -> None:
    truth = Truth.of(2, 30, seed=3)
    found = recover(*truth.draw(6000), 2, polish=True)
    left, right = mt.recovery_figure(found).axes
    assert "the first 24 of 30" in right.get_xlabel() and "the first 24 of 30" in left.get_xlabel()
    assert len(right.lines[0].get_xdata()) == 24
