"""Mixtures where a fit could go wrong unseen: bounds, borders, offsets, scales, what one run leaves to the next."""

from __future__ import annotations

import numpy as np
import pytest

import moe_theory as mt
from moe_theory.algorithms.starts import start_from
from moe_theory.mixture.problem import Problem


def two_lines(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 1))
    z = rng.random(n) < 1 / (1 + np.exp(-2 * x[:, 0]))
    return x, np.where(z, 2 * x[:, 0], 1 - x[:, 0]) + 0.3 * rng.standard_normal(n)


@pytest.mark.parametrize("floor", [0.68, 0.8, 0.9, 0.96])  # log of its square, halved, is above its log
def test_a_run_at_its_sigma_floor_converges_at_the_predicted_rate(floor: float) -> None:
    assert np.log(floor**2) / 2 > np.log(floor)
    found = mt.fit_mixture(*two_lines(), restarts=1, sigma_floor=floor, tolerance=1e-11)
    assert found.converged and np.min(found.sigma) == np.exp(np.log(floor))
    assert found.measured_rate is not None and found.rate is not None
    assert found.measured_rate.iterates == pytest.approx(found.rate.lambda_max, abs=1e-6)


@pytest.mark.parametrize(
    ("family", "ridge"), [("gaussian", 0.02), ("gaussian", 0.3), ("poisson", 0.02), ("poisson", 0.3)]
)
def test_a_ridge_changes_the_rate_as_predicted(family: str, ridge: float) -> None:
    x, y = two_lines(seed=3)
    response = y if family == "gaussian" else np.floor(np.exp(np.clip(y, -2, 2)))
    found = mt.fit_mixture(x, response, family=family, restarts=2, ridge=ridge, tolerance=1e-11)
    plain = mt.predict_rate(found.problem.model, found.problem.law, found.theta)
    assert found.converged and found.measured_rate is not None and found.rate is not None
    error = 3 * found.measured_rate.iterates_error + 1e-6
    assert (
        abs(found.measured_rate.iterates - found.rate.lambda_max)
        < error
        < abs(plain.lambda_max - found.rate.lambda_max)
    )


def test_a_large_normal_expert_is_least_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moe_theory.evaluation.softmax.LARGE", 2)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 3)) + rng.standard_normal((80, 1))
    y = x @ [1.0, -1.0, 0.5] + rng.standard_normal(80)
    found = mt.fit_mixture(x, y, 1, restarts=1)
    expected = np.linalg.lstsq(np.column_stack([np.ones(80), x]), y)[0]
    assert found.iterations == 0
    np.testing.assert_allclose(found.experts[0], expected, rtol=1e-10)


def test_large_separable_parts_are_degenerate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moe_theory.evaluation.softmax.LARGE", 2)
    x = np.random.default_rng(0).standard_normal((40, 2))
    found = mt.fit_mixture(x, (x[:, 0] > 0.05).astype(float), 1, "binomial", restarts=1)
    assert (found.reason, found.trace.label) == ("degenerate", 1)
    overlapping = np.where(np.arange(40) % 8 == 0, x[:, 0] <= 0.05, x[:, 0] > 0.05).astype(float)
    assert mt.fit_mixture(x, overlapping, 1, "binomial", restarts=1).converged


def test_a_steep_border_is_no_separation() -> None:
    """29 of 8,000 rows are on the wrong side: there is a maximum, though of little curvature."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 8000)
    y = (rng.random(8000) < 1 / (1 + np.exp(-(x - 0.5) / 0.003))).astype(float)
    found = mt.fit_mixture(np.column_stack([x, x**2, x**3]), y, 1, "binomial", restarts=1)
    assert found.converged and found.log_likelihood == pytest.approx(-57.0046, abs=1e-4)


def test_the_reference_label_may_be_the_one_that_separates() -> None:
    rng = np.random.default_rng(2)
    x = np.sort(rng.uniform(-1, 1, 300))[:, None]
    z = np.where(x[:, 0] > 0.3, 0, rng.integers(1, 3, 300))
    problem = Problem.of(x, 100.0 * z + 5 * x[:, 0] + rng.standard_normal(300), 3)
    shares = np.full((300, 3), 0.02)
    shares[np.arange(300), z] += 0.94
    trace = mt.run(mt.EM(problem.model), problem.law, start_from(problem.model, problem.law, shares))
    assert (trace.reason, trace.label, trace.rows) == ("degenerate", 1, tuple(np.flatnonzero(z == 0)))


def test_an_expert_at_infinity_has_no_standard_errors_and_the_others_have() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 1))
    y = np.where(x[:, 0] > 1, 2, (rng.random(400) < np.where(x[:, 0] > 0, 0.9, 0.2)) * 1.0)
    found = mt.fit_mixture(x, y, 2, "multinomial", restarts=1)
    assert found.reason == "degenerate" and found.log_likelihood == pytest.approx(-150.015, abs=0.01)
    errors = found.inference.standard_errors
    assert np.array_equal(np.isnan(errors), found.inference.unattained)
    assert np.isfinite(errors).any() and np.isnan(errors).any()
    turned = found.relabelled([2, 1])
    assert turned.trace.label == 3 - found.trace.label and turned.message.startswith(f"label {turned.trace.label},")


def test_squarem_stays_above_a_sigma_floor() -> None:
    rng = np.random.default_rng(120)
    x = rng.standard_normal((40, 1))
    y = np.where(rng.random(40) < 0.5, x[:, 0], 2 - x[:, 0]) + 0.3 * rng.standard_normal(40)
    found = mt.fit_mixture(x, y, 3, restarts=2, sigma_floor=0.2, accelerate=True, max_iterations=200)
    assert found.converged
    assert all(np.all(np.diff(t.objective) <= 1e-12) for t in (*found.runs.traces, *found.runs.finalists))


def test_an_em_that_has_run_starts_afresh() -> None:
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(-1, 1, 80))[:, None]
    y = np.where(x[:, 0] > 0, 100.0, -100.0) + np.random.default_rng(2).standard_normal(80)
    problem = Problem.of(x, y, 2)
    used = mt.EM(problem.model)
    theta = start_from(problem.model, problem.law, np.where(x > 0, [0.02, 0.98], [0.98, 0.02]))
    for _ in range(40):
        theta = used.step(theta, problem.law)
    assert used.held is not None
    start = theta.copy()
    start[problem.model.structure.gate] = 0
    fresh, again = (mt.run(em, problem.law, start) for em in (mt.EM(problem.model), used))
    np.testing.assert_array_equal(fresh.gradient_norm, again.gradient_norm)
    assert fresh.iterations == 1


def test_rows_without_weight_do_not_matter_however_far_out() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 1))
    y = rng.poisson(np.exp(1 + 0.5 * x[:, 0])).astype(float)
    weights = np.ones(300)
    weights[0], x[0] = 0, 1e4
    found, without = (
        mt.fit_mixture(x, y, 1, "poisson", weights=weights),
        mt.fit_mixture(x[1:], y[1:], 1, "poisson"),
    )
    np.testing.assert_allclose(found.experts, without.experts, rtol=1e-12)
    assert found.log_likelihood == pytest.approx(without.log_likelihood, rel=1e-13)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e12])
@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_the_units_of_features_do_not_matter(scale: float, family: str) -> None:
    x, y = two_lines()
    response = y if family == "gaussian" else (y > 0.5) * 1.0
    k = 2 if family == "gaussian" else 1
    one, other = (mt.fit_mixture(s * x, response, k, family, restarts=1) for s in (1.0, scale))
    assert one.converged and other.converged
    assert other.log_likelihood == pytest.approx(one.log_likelihood, rel=1e-10)


def test_what_is_far_from_0_is_exact_or_refused() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(300)
    y = (x + rng.standard_normal(300)) // 2.0**-10 * 2.0**-10  # held exactly far from 0 too
    near = mt.fit_mixture(x[:, None], y, 1)
    for shift in (1e4, 3e7, 1e12):
        assert mt.fit_mixture(x[:, None], shift + y, 1).log_likelihood == pytest.approx(near.log_likelihood, rel=1e-7)
    counts = 1e9 * rng.poisson(100 * np.exp(0.5 * x))
    assert mt.fit_mixture(x[:, None], counts, 1, "poisson").converged
    unix_times = 1.7e9 + 1000 * x[:, None]
    assert mt.fit_mixture(unix_times, y, 1).log_likelihood == pytest.approx(near.log_likelihood, rel=1e-7)
    with pytest.raises(mt.InputError, match=r"^y: expected responses whose squares are finite, got"):
        mt.fit_mixture(x[:, None], 1e200 * y, 1)
    with pytest.raises(mt.InputError, match=r"^offset: expected log-rates of at most 700, got 800$"):
        mt.fit_mixture(x[:, None], counts, 1, "poisson", offset=np.full(300, 800.0))
    with pytest.raises(
        mt.InputError, match=r"^names: expected names other than '\(Intercept\)', which is the fit's own$"
    ):
        mt.fit_mixture(x[:, None], y, 1, names=["(Intercept)"], intercept=False)


@pytest.mark.parametrize("length", [3.0, 6.0, 10.0])
def test_convergence_is_declared_in_the_exact_metric(length: float) -> None:
    """A gate of 21 coefficients: what each iteration looks at is a lower bound of the gradient's norm."""
    rng = np.random.default_rng(0)
    gate, x = rng.standard_normal((1500, 20)), rng.standard_normal((1500, 1))
    w = rng.standard_normal(20)
    z = rng.random(1500) < 1 / (1 + np.exp(-length * gate @ w / np.linalg.norm(w)))
    y = np.where(z, 2 * x[:, 0], 1 - x[:, 0]) + rng.standard_normal(1500)
    found = mt.fit_mixture(x, y, gate=gate, common_sigma=True, restarts=1, tolerance=1e-6)
    at = mt.EM(found.problem.model).evaluate(found.theta, found.problem.law)
    g = found.problem.model.free(at.gradient)
    norm = float(np.sqrt(g @ np.linalg.solve(at.metric(found.problem.model, found.problem.law), g)))
    assert found.converged and norm <= 1e-6
    assert found.trace.gradient_norm[-1] == pytest.approx(norm, rel=1e-8)


# What users hand over ------------------------------------------------------------------------------------------


def test_a_frames_columns_are_names_and_keep_their_places() -> None:
    pandas = pytest.importorskip("pandas")
    x, y = two_lines()
    frame = pandas.DataFrame({"dose": x[:, 0], "age": np.linspace(0, 1, 300)})
    found = mt.fit_mixture(frame, y, 1)
    assert found.problem.features.experts == ("(Intercept)", "dose", "age")
    np.testing.assert_array_equal(found.predict(frame[["age", "dose"]]), found.predict(frame))
    np.testing.assert_array_equal(found.predict(frame.to_numpy()), found.predict(frame))
    with pytest.raises(mt.InputError, match=r"^x: expected the fit's columns dose, age, got none called age$"):
        found.predict(frame.rename(columns={"age": "weight"}))


def test_masked_cells_and_dates_are_no_numbers() -> None:
    x, y = two_lines()
    with pytest.raises(
        mt.InputError, match=r"^x: expected no missing values, got \d+ masked \(rows 1, 4, 8, 9, 10, …\)$"
    ):
        mt.fit_mixture(np.ma.array(x, mask=x < 0), y)
    with pytest.raises(mt.InputError, match=r"^x: expected real numbers, got"):
        mt.fit_mixture(np.full((300, 1), np.datetime64("2026-01-01")), y)
    with pytest.raises(mt.InputError, match=r"^k: expected a whole number, got True$"):
        mt.fit_mixture(x, y, k=True)


def test_a_fit_is_told_in_a_line_and_summed_up_in_plain_text() -> None:
    found = mt.fit_mixture(*two_lines(), restarts=1)
    assert (
        repr(found).startswith("<MixtureFit: 2 gaussian experts, 300 rows, log-likelihood -") and len(repr(found)) < 120
    )
    assert len(repr(found.runs)) < 200 and "iterations" in repr(found.trace)
    assert str(found.summary()).startswith("Mixture of 2 gaussian experts") and "std. error" in str(found.summary())


def test_a_k_without_a_fit_does_not_lose_the_others() -> None:
    x, y = two_lines(12)
    found = mt.choose_k(ks=range(1, 15), x=x, y=y, restarts=1, max_iterations=20)
    assert next(f.k for f in found.fits) == 1 and 13 in found.failures
    assert found.failures[13] == "k: expected at most as many experts as rows, 12, got 13"
    with pytest.raises(mt.InputError, match=r"^x: expected"):
        mt.choose_k(ks=(1, 2), x=x[:5], y=y)
    with pytest.raises(mt.InputError, match=r"^choose_k: expected choose_k\(ks="):
        mt.choose_k(x, y)


def test_a_fit_by_formula_is_a_fit() -> None:
    pytest.importorskip("formulaic")
    x, y = two_lines()
    frame = {"x": x[:, 0], "y": y}
    chosen = mt.choose_k(lambda k: mt.fit_formula("y ~ x", frame, k, restarts=2), ks=(1, 2))
    assert chosen.best.k == 2 and chosen.best.bic == chosen.best.fit.bic
    turned = mt.align(chosen.best, 3 - np.argmax(chosen.best.responsibilities(), axis=1) - 1)
    np.testing.assert_array_equal(turned.fit.experts, chosen.best.fit.experts[::-1])
    with pytest.raises(mt.InputError, match=r"^reference: expected real numbers, got"):
        mt.align(chosen.best, np.array(["a"] * 300))
    with pytest.raises(mt.InputError, match=r"^seed: expected a whole number >= 0, got -1$"):
        chosen.best.sample(-1)
    with pytest.raises(mt.InputError, match=r"^formula: expected features other than the response, got y$"):
        mt.fit_formula("y ~ x + y", frame)
    with pytest.raises(mt.InputError, match=r"^nope: expected an option"):
        mt.fit_formula("y ~ x", frame, nope=3)
    cells = np.array([str(v) for v in x[:, 0]], dtype=object)
    cells[[3, 8]] = "1,5", "-"
    said = r"^data: expected numbers or categories in column 'x', got '1,5' \(row 3\) among 298 numbers"
    with pytest.raises(mt.InputError, match=said):
        mt.fit_formula("y ~ x", {"x": cells, "y": y})
