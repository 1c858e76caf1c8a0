"""Fits of general mixtures on data: parameters, inference, predictions, choice of k, refusals."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import norm
from test_mixture_em import FAMILIES, draw

import moe_theory as mt
from moe_theory.errors import InputError
from moe_theory.mixture.fit import fit_problem
from moe_theory.mixture.problem import Problem


def crossing(n: int = 400, seed: int = 0, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x (n, 1), y (n,), labels (n,) in 1, 2): two lines that cross, the gate logistic in x."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, n)
    second = rng.random(n) < expit(3 * x)
    y = np.where(second, 2 * x, 1 - x) + noise * rng.standard_normal(n)
    return x[:, None], y, 1 + second


def total(fit: mt.MixtureFit, vector: np.ndarray) -> float:
    """Σ weight log p(y|x) at the learnt entries, by the public predictions only."""
    from dataclasses import replace

    moved = replace(fit, local=fit.problem.units.project(fit.problem.model.filled(vector, fit.theta.shape[1])))
    weight = np.broadcast_to(fit.problem.law.weight, fit.problem.law.y.shape) * fit.problem.rows
    return float(weight @ moved.log_density())


@pytest.mark.parametrize("family", FAMILIES)
def test_louis_information_is_the_numerical_hessian(family: str) -> None:
    weights = np.random.default_rng(1).integers(1, 3, 300).astype(float)
    problem = draw(family, 2, 300, 21, strength=1.5, weights=weights)
    fit = fit_problem(problem, restarts=4, penalty=mt.Penalty(0.0 if family == "gaussian" else 1e-3))
    assert fit.converged
    at, exact = problem.model.free(fit.theta), fit.inference.information
    size, step = len(at), 1e-3
    numeric = np.empty((size, size))
    # Fourth-order central differences of second order, along e_a + e_b and e_a - e_b.
    along = lambda v: (
        (
            -total(fit, at + 2 * step * v)
            + 16 * total(fit, at + step * v)
            - 30 * total(fit, at)
            + 16 * total(fit, at - step * v)
            - total(fit, at - 2 * step * v)
        )
        / (12 * step**2)
    )
    unit = np.eye(size)
    for a in range(size):
        numeric[a, a] = -along(unit[a])
        for b in range(a):
            numeric[a, b] = numeric[b, a] = -(along(unit[a] + unit[b]) - along(unit[a] - unit[b])) / 4
    scale = np.sqrt(np.diagonal(exact))
    assert np.max(np.abs(numeric - exact) / np.outer(scale, scale)) < 1e-6
    np.testing.assert_allclose(fit.inference.standard_errors**2, np.diagonal(np.linalg.inv(exact)), rtol=1e-8)


def test_criteria_and_coefficients() -> None:
    x, y, _ = crossing()
    fit = mt.fit_mixture(x, y, names=["dose"])
    prior = expit(np.column_stack([np.ones(400), x]) @ fit.gate[1])
    means = np.column_stack([np.ones(400), x]) @ fit.experts.T
    joint = np.column_stack([1 - prior, prior]) * norm.pdf(y[:, None], means, fit.sigma)
    assert fit.log_likelihood == pytest.approx(np.sum(np.log(joint.sum(axis=1))), rel=1e-12)
    shares = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fit.responsibilities(), shares, rtol=1e-9)
    entropy = -np.sum(shares * np.log(shares))
    assert fit.inference.parameters == 8
    assert fit.aic == pytest.approx(-2 * fit.log_likelihood + 16)
    assert fit.bic == pytest.approx(-2 * fit.log_likelihood + 8 * np.log(400))
    assert fit.icl == pytest.approx(fit.bic + 2 * entropy, rel=1e-9)
    rows = fit.coefficients()
    assert [c.name for c in rows if c.part == "expert"] == ["(Intercept)", "dose"] * 2
    assert [(c.part, c.label) for c in rows[4:]] == [("sigma", 1), ("sigma", 2), ("gate", 2), ("gate", 2)]
    slope = rows[1]
    assert slope.estimate == fit.experts[0, 1] and slope.z == pytest.approx(slope.estimate / slope.error)
    assert slope.p == pytest.approx(2 * norm.sf(abs(slope.z)))
    sigma = rows[4]
    assert sigma.estimate == pytest.approx(fit.sigma[0])
    assert sigma.error == pytest.approx(fit.sigma[0] * fit.inference.standard_errors[4])


def test_standard_errors_cover_the_truth() -> None:
    """Over 40 samples the estimates' z values have mean 0 and variance 1, to three standard errors."""
    z = []
    for seed in range(40):
        x, y, labels = crossing(800, 100 + seed)
        fit = mt.align(mt.fit_mixture(x, y, restarts=2, seed=seed), labels)
        errors = fit.inference.standard_errors
        truth = [1, -1, 0, 2, np.log(0.3), np.log(0.3), 0, 3]
        z.append((fit.problem.model.free(fit.theta) - truth) / errors)
    z = np.array(z)
    assert np.all(np.abs(np.mean(z, axis=0)) < 3.5 / np.sqrt(40))
    assert np.all(np.abs(np.mean(z**2, axis=0) - 1) < 3.5 * np.sqrt(2 / 40))


def test_predicted_and_measured_rate() -> None:
    x, y, _ = crossing()
    fit = mt.fit_mixture(x, y, tolerance=1e-11)
    assert fit.rate.lambda_max == pytest.approx(fit.measured_rate.iterates, abs=1e-6)
    assert mt.fit_mixture(x, y, accelerate=True).measured_rate is None


@pytest.mark.parametrize("family", FAMILIES)
def test_one_expert_is_the_plain_regression(family: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((200, 2))
    design = np.column_stack([np.ones(200), x])
    beta = np.array([0.3, -0.5, 0.8])
    eta = design @ beta
    y = {
        "gaussian": eta + rng.standard_normal(200),
        "binomial": (rng.random(200) < expit(eta)).astype(float),
        "poisson": rng.poisson(np.exp(eta)).astype(float),
        "multinomial": np.argmax(np.column_stack([0 * eta, eta, -eta]) + rng.gumbel(size=(200, 3)), axis=1).astype(
            float
        ),
    }[family]
    fit = mt.fit_mixture(x, y, 1, family)
    assert fit.converged and fit.rate.lambda_max == 0
    if family == "gaussian":
        expected, square, *_ = np.linalg.lstsq(design, y, rcond=None)
        np.testing.assert_allclose(fit.experts[0], expected, rtol=1e-10)
        assert fit.sigma[0] == pytest.approx(np.sqrt(square[0] / 200))
        return

    def minus(b: np.ndarray) -> float:
        if family == "binomial":
            return float(np.sum(np.logaddexp(0, design @ b) - y * (design @ b)))
        if family == "poisson":
            return float(np.sum(np.exp(design @ b) - y * (design @ b)))
        scores = np.column_stack([np.zeros(200), design @ b.reshape(2, 3).T])
        return float(np.sum(np.log(np.sum(np.exp(scores), axis=1)) - scores[np.arange(200), y.astype(int)]))

    other = minimize(minus, np.zeros(fit.experts.size), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(fit.experts.ravel(), other.x, atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_repetitions(family: str) -> None:
    rng = np.random.default_rng(3)
    problem = draw(family, 2, 120, 6, strength=1.2)
    law, counts = problem.law, rng.integers(0, 4, 120)
    counts[:3] = 1
    x, gate = law.x[:, :1], law.x[:, [2]]
    shares = rng.dirichlet([2.0, 2.0], 120)
    again = np.repeat(np.arange(120), counts)
    one = Problem.of(x, law.y, 2, family, gate, weights=counts)
    other = Problem.of(x[again], law.y[again], 2, family, gate[again])
    options = {"restarts": 0, "max_iterations": 60, "penalty": mt.Penalty(1e-3)}
    a = fit_problem(one, responsibilities=[shares], **options)
    b = fit_problem(other, responsibilities=[shares[again]], **options)
    np.testing.assert_allclose(a.theta, b.theta, rtol=1e-8, atol=1e-9)
    assert a.log_likelihood == pytest.approx(b.log_likelihood, rel=1e-10)
    assert a.bic == pytest.approx(b.bic, rel=1e-10)
    np.testing.assert_allclose(a.inference.standard_errors, b.inference.standard_errors, rtol=1e-6)


def test_an_offset_is_added_to_every_expert() -> None:
    rng = np.random.default_rng(4)
    x, exposure = rng.standard_normal((500, 1)), rng.uniform(0.5, 20, 500)
    second = rng.random(500) < 0.5
    y = rng.poisson(exposure * np.exp(np.where(second, 1 + 0.5 * x[:, 0], -1 - 0.5 * x[:, 0]))).astype(float)
    fit = mt.align(mt.fit_mixture(x, y, 2, "poisson", gate=np.empty((500, 0)), offset=np.log(exposure)), 1 + second)
    np.testing.assert_allclose(fit.experts, [[-1, -0.5], [1, 0.5]], atol=0.15)
    with pytest.raises(InputError, match=r"^offset: expected one number per row, as in the fit$"):
        fit.predict(x, gate=np.empty((500, 0)))
    found = fit.predict(x, np.empty((500, 0)), np.log(exposure))
    np.testing.assert_allclose(found, fit.predict(), rtol=1e-12)


def test_new_rows_are_treated_as_the_fitted_ones() -> None:
    for family in FAMILIES:
        problem = draw(family, 3, 150, 9, d=2)
        fit = fit_problem(problem, restarts=2, penalty=mt.Penalty(1e-2), max_iterations=200)
        x, gate, y = problem.law.x[:, :2], problem.law.x[:, [3]], problem.law.y
        assert problem.features.columns[:4] == ("x1", "x2", "(Intercept)", "w1")
        for name in ("predict", "gate_probabilities", "expert_means"):
            np.testing.assert_allclose(getattr(fit, name)(x, gate), getattr(fit, name)(), rtol=1e-11)
        np.testing.assert_allclose(fit.responsibilities(x, y, gate), fit.responsibilities(), rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(fit.log_density(x, y, gate), fit.log_density(), rtol=1e-11)
        assert np.sum(fit.log_density()) == pytest.approx(fit.log_likelihood)
        np.testing.assert_allclose(np.sum(fit.gate_probabilities(), axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_have_the_predicted_means(family: str) -> None:
    problem = draw(family, 2, 200, 14)
    fit = fit_problem(problem, restarts=2, penalty=mt.Penalty(1e-2), accelerate=True)
    y, labels = zip(*(fit.sample(seed) for seed in range(300)), strict=True)
    y = np.array(y)
    if family == "multinomial":
        y = np.eye(3)[y.astype(int)]
    error = np.std(y, axis=0) / np.sqrt(300)
    z = (np.mean(y, axis=0) - fit.predict()) / np.maximum(error, 1e-2)
    assert np.max(np.abs(z)) < 5.5
    shares = np.mean(np.array(labels) == 2, axis=0)
    assert np.max(np.abs(shares - fit.gate_probabilities()[:, 1])) < 5.5 * np.sqrt(0.25 / 300)
    again = fit.sample(0)
    assert np.array_equal(again[0], fit.sample(0)[0]) and not np.array_equal(again[0], fit.sample(1)[0])


def test_relabelling_changes_nothing_but_the_labels() -> None:
    fit = fit_problem(draw("gaussian", 3, 200, 5), restarts=2)
    turned = fit.relabelled([3, 1, 2])
    assert turned.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(turned.responsibilities(), fit.responsibilities()[:, [2, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(turned.experts, fit.experts[[2, 0, 1]])
    np.testing.assert_allclose(turned.sigma, fit.sigma[[2, 0, 1]])
    assert np.all(turned.gate[0] == 0)
    np.testing.assert_allclose(mt.align(turned, fit).theta, fit.theta, atol=1e-12)
    np.testing.assert_allclose(mt.align(turned, fit.responsibilities()).theta, fit.theta, atol=1e-12)
    with pytest.raises(InputError, match=r"^order: expected a permutation of 1 … 3, got \(1, 1, 2\)$"):
        fit.relabelled([1, 1, 2])
    with pytest.raises(InputError, match=r"^reference: expected labels 1 … 3 or responsibilities of 200 rows"):
        mt.align(fit, np.ones(5))


def test_the_number_of_experts_is_chosen() -> None:
    x, y, _ = crossing(500)
    choice = mt.choose_k(ks=[3, 1, 2], x=x, y=y, restarts=4)
    assert [f.k for f in choice.fits] == [1, 2, 3] and choice.best.k == 2
    rows = choice.to_rows()
    assert [r["chosen"] for r in rows] == [False, True, False]
    assert rows[1]["bic"] == choice.best.bic
    assert choice.fits[2].log_likelihood > choice.best.log_likelihood  # it is the penalty that decides
    with pytest.raises(InputError, match=r"^criterion: expected bic, aic or icl, got 'dic'$"):
        mt.choose_k(ks=[1], criterion="dic", x=x, y=y)  # type: ignore[arg-type]


def test_fits_are_pickled_and_depend_on_the_seed_only() -> None:
    x, y, _ = crossing(150)
    one, same = mt.fit_mixture(x, y, restarts=3, seed=4), mt.fit_mixture(x, y, restarts=3, seed=4)
    assert np.array_equal(one.theta, same.theta)
    again = pickle.loads(pickle.dumps(one))
    assert np.array_equal(again.predict(x), one.predict(x)) and again.bic == one.bic


def test_every_trace_is_kept() -> None:
    x, y, _ = crossing(150)
    fit = mt.fit_mixture(x, y, restarts=5)
    assert len(fit.runs.traces) == 5 and fit.runs.starts == ("kmeans", "random", "soft", "dirichlet", "kmeans")
    assert all(fit.trace.objective[-1] <= t.objective[-1] + 1e-12 for t in fit.runs.traces)


def test_sigma_that_varies_with_x_is_fitted_by_what_is_derived() -> None:
    """A design of the user's own, for which there are no array kernels: log sigma linear in x."""
    rng = np.random.default_rng(6)
    x = rng.uniform(-1, 1, 600)
    second = rng.random(600) < 0.5
    noise = rng.standard_normal(600) * np.exp(-1.5 + 0.8 * x)
    y = np.where(second, 2 + x, -2 - x) + noise
    model = mt.softmax_moe(2, common_sigma=True).designed(("one", "x"), sees={"w2": ("one",)})
    law = mt.Finite(np.column_stack([np.ones(600), x]), y)
    start = model.theta(beta1=[-1, 0], beta2=[1, 0], log_sigma=[0, 0], w2=[0])
    trace = mt.run(mt.EM(model), law, start, divergences=False)
    assert trace.converged and np.all(np.diff(trace.objective) <= 1e-13)
    np.testing.assert_allclose(trace.last, [[-2, -1], [2, 1], [-1.5, 0.8], [0, 0]], atol=0.2)
    assert mt.predict_rate(model, law, trace.last).lambda_max < 0.1


BAD = [
    ({"k": 0}, r"^k: expected a whole number >= 1, got 0$"),
    ({"k": 60}, r"^k: expected at most as many experts as rows, 50, got 60$"),
    ({"k": 2.0}, r"^k: expected a whole number, got 2.0$"),
    ({"family": "gamma"}, r"^family: expected one of gaussian, binomial, poisson, multinomial, got 'gamma'$"),
    ({"y": np.ones(50)}, r"^y: expected responses that vary, got 1 in every row$"),
    ({"y": np.append(np.ones(49), np.nan)}, r"^y: expected finite values, got nan at index \(49\)$"),
    ({"y": np.ones(49)}, r"^x: expected 49 rows, one per response, got shape \(50, 2\)$"),
    ({"y": np.arange(50) % 3, "family": "binomial"}, r"^y: expected 0 or 1 for binomial experts, got 2 in row 2$"),
    ({"y": np.arange(50) - 1, "family": "poisson"}, r"^y: expected whole numbers >= 0 for poisson experts, got -1 in"),
    (
        {"y": np.array([0, 1, 3] * 16 + [0, 1]), "family": "multinomial"},
        r"^y: expected every class 0 … 3 to occur, class 2 never does$",
    ),
    ({"x": np.ones((50, 1))}, r"^x: expected full column rank, but column 'x1' is a linear combination"),
    ({"gate": np.arange(100.0).reshape(50, 2)}, r"^gate: expected full column rank, but column 'w2' is a linear"),
    ({"gate": np.ones((3, 1))}, r"^gate: expected 50 rows, one per response, got shape \(3, 1\)$"),
    ({"weights": -np.ones(50)}, r"^weights: expected numbers >= 0, not all 0, got least -1$"),
    ({"weights": np.ones(3)}, r"^weights: expected shape \(50,\), one number per response, got \(3,\)$"),
    ({"offset": np.ones(3)}, r"^offset: expected shape \(50,\), one number per response, got \(3,\)$"),
    ({"names": ["a"]}, r"^names: expected 2 distinct names, got a$"),
    ({"names": ["a", "a"]}, r"^names: expected 2 distinct names, got a, a$"),
    ({"starts": ["median"]}, r"^starts: expected names among random, kmeans, soft, dirichlet, moments, got 'median'$"),
    ({"restarts": 0}, r"^restarts: expected a whole number >= 1, got 0$"),
    ({"ridge": -1}, r"^ridge: expected a number >= 0, got -1$"),
    ({"ridge": 1, "ridge_intercepts": -1}, r"^ridge_intercepts: expected a number >= 0, got -1$"),
    ({"ridge_intercepts": 0.1}, r"^ridge_intercepts: expected a ridge, of which it is a share, got none$"),
    ({"sigma_floor": 0.1, "family": "poisson", "y": np.arange(50)}, r"^sigma_floor: expected gaussian experts, got"),
    ({"common_sigma": True, "family": "poisson", "y": np.arange(50)}, r"^common_sigma: expected gaussian experts, got"),
    ({"max_iterations": 0}, r"^max_iterations: expected a whole number >= 1, got 0$"),
    ({"x": np.empty((50, 0)), "intercept": False}, r"^x: expected at least one feature or an intercept, got none$"),
    ({"gate": np.empty((50, 0)), "intercept": False}, r"^gate: expected at least one feature or an intercept"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_data_are_refused_in_one_line(options: dict, message: str) -> None:
    rng = np.random.default_rng(0)
    good = {"x": rng.standard_normal((50, 2)), "y": rng.standard_normal(50), "k": 2}
    with pytest.raises(InputError, match=message) as refusal:
        mt.fit_mixture(**(good | options))
    assert "\n" not in str(refusal.value)
