"""Fits do not depend on where data stand nor on their units: centred and scaled inside, the user's outside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import mpmath as mp
import numpy as np
import pytest

import moe_theory as mt
from moe_theory.errors import InputError
from moe_theory.mixture.problem import Problem

N = 100


def on_grid(values: np.ndarray, bits: int) -> np.ndarray:
    """Multiples of 2^-bits, so that a shift by 2^(52 - bits) or less loses nothing."""
    return np.round(values * 2.0**bits) / 2.0**bits


@dataclass(frozen=True)
class Case:
    """Data of a family, and what a fit is asked for."""

    family: str
    x: np.ndarray
    y: np.ndarray
    options: dict[str, Any]

    def fit(self, **changed: Any) -> mt.MixtureFit:
        data = {"x": self.x, "y": self.y, "k": 2, "family": self.family, "restarts": 2, "seed": 1, "tolerance": 1e-9}
        return mt.fit_mixture(**(data | self.options | changed))


def case(family: str, **options: Any) -> Case:
    rng = np.random.default_rng(3)
    x = on_grid(rng.uniform(-1, 1, (N, 2)), 17)
    first = rng.random(N) < 1 / (1 + np.exp(2 * x[:, 0]))
    eta = np.where(first, 1 + x[:, 0], 2.5 - x[:, 0] + x[:, 1])
    if family == "gaussian":
        y = on_grid(eta + 0.2 * rng.standard_normal(N), 17)
    elif family == "poisson":
        y = rng.poisson(np.exp(eta)).astype(float)
    elif family == "binomial":
        y = (rng.random(N) < 1 / (1 + np.exp(-3 * (eta - 1.7)))).astype(float)
    else:
        y = np.minimum(rng.poisson(np.maximum(eta, 0.2)), 2).astype(float)
    return Case(family, x, y, options)


W = on_grid(np.random.default_rng(5).uniform(0, 3, N), 12)
Z = on_grid(np.random.default_rng(6).standard_normal((N, 1)), 17)
CASES = {
    "gaussian": case("gaussian"),
    "common sigma, weights": case("gaussian", common_sigma=True, weights=W),
    "offset": case("gaussian", offset=on_grid(Z[:, 0] / 3, 17)),
    "gate's own": case("gaussian", gate=Z),
    "ridge, floor": case("gaussian", ridge=0.01, sigma_floor=0.21),
    "poisson": case("poisson", weights=W),
    "binomial": case("binomial", k=1, offset=Z[:, 0] / 3),
    "multinomial": case("multinomial", k=1, ridge=0.02),
}
FITS: dict[str, mt.MixtureFit] = {}


def plain(name: str) -> mt.MixtureFit:
    """The fit where the data stand near 0, made once."""
    return FITS.setdefault(name, CASES[name].fit())


def agree(found: mt.MixtureFit, fit: mt.MixtureFit, y: float, x: np.ndarray, unit: float = 1.0) -> None:
    """`found` has seen unit · y + shift, x + shift: the same fit to 1e-8."""
    assert found.reason == fit.reason == "converged"
    normal = fit.sigma is not None
    expected = fit.log_likelihood - (fit.problem.rows * np.log(unit) if normal else 0.0)
    assert found.log_likelihood == pytest.approx(expected, abs=1e-8 * N)
    assert found.rate is not None and fit.rate is not None
    assert found.rate.lambda_max == pytest.approx(fit.rate.lambda_max, rel=1e-8)
    scale = unit if normal else 1.0
    np.testing.assert_allclose(found.experts[..., 1:] / scale, fit.experts[..., 1:], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.gate[:, 1:], fit.gate[:, 1:], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.responsibilities(), fit.responsibilities(), atol=1e-8)
    seen, own = (f.inference.standard_errors for f in (found, fit))
    slopes = [i for i, c in enumerate(fit.coefficients()) if c.name not in ("(Intercept)", "sigma")]
    parts = np.array([scale if fit.coefficients()[i].part == "expert" else 1.0 for i in slopes])
    np.testing.assert_allclose(seen[slopes] / parts, own[slopes], rtol=1e-6)
    means = found.predict() - (y if normal else 0.0)
    np.testing.assert_allclose(means / scale, fit.predict(), atol=1e-8 + np.spacing(abs(y)) / unit)
    if fit.sigma is not None and found.sigma is not None:
        np.testing.assert_allclose(found.sigma / unit, fit.sigma, rtol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_a_shift_changes_nothing(name: str) -> None:
    # 1e10 standard deviations of y, 5e9 of the features, all of it representable.
    given, to = CASES[name], np.array([2.0**31, -(2.0**32)])
    normal = given.family == "gaussian"
    moved = {"x": given.x + to, "y": given.y + 2.0**33 * normal}
    if "gate" in given.options:
        moved["gate"] = given.options["gate"] + 2.0**30
    agree(given.fit(**moved), plain(name), 2.0**33 * normal, to)


@pytest.mark.parametrize("scale", [1e-100, 0.3048, 1e100])
def test_units_change_nothing(scale: float) -> None:
    given, fit = CASES["gaussian"], plain("gaussian")
    found = given.fit(y=given.y * scale)
    agree(found, fit, 0.0, np.zeros(2), scale)
    found = given.fit(x=given.x * scale)
    np.testing.assert_allclose(found.experts[:, 1:] * scale, fit.experts[:, 1:], rtol=1e-8)
    np.testing.assert_allclose(found.gate[:, 1:] * scale, fit.gate[:, 1:], rtol=1e-8, atol=1e-8)


def test_offset_and_response_may_be_far_together() -> None:
    given, fit = CASES["offset"], plain("offset")
    far = {"y": given.y + 2.0**33, "offset": given.options["offset"] + 2.0**33}
    found = given.fit(**far)
    np.testing.assert_allclose(found.theta, fit.theta, atol=1e-8)
    short = {"intercept": False, "x": np.abs(given.x) + 1, "restarts": 1, "max_iterations": 20}
    without, found = given.fit(**short), given.fit(**short, **far)
    np.testing.assert_allclose(found.theta, without.theta, atol=1e-8)


def test_a_penalty_is_of_the_users_coefficients() -> None:
    # x is far and wide, so that the fit is in other units; what is minimised is computed here from what is public.
    given = CASES["binomial"]
    x = 40 * given.x + np.array([1000.0, -300.0])
    options = {"k": 2, "offset": None, "ridge": 1e-4, "ridge_intercepts": 0.3, "tolerance": 1e-11}
    found = given.fit(x=x, **options)
    assert np.any(found.problem.units.high != 0)

    def penalised(vector: np.ndarray) -> float:
        theta = found.problem.model.filled(vector, found.theta.shape[1])
        moved = replace(found, local=found.problem.units.project(theta))
        both = (moved.experts, moved.gate)
        square = sum(np.sum(c[..., 1:] ** 2) + 0.3 * np.sum(c[..., 0] ** 2) for c in both)
        return float(-np.mean(moved.log_density()) + 0.5e-4 * square)

    best, vector = penalised(found.problem.model.free(found.theta)), found.problem.model.free(found.theta)
    assert best == pytest.approx(found.trace.objective[-1], rel=1e-12)
    for i in range(len(vector)):
        step = 1e-3 / max(1.0, 1000.0 * (i % 3 > 0)) * np.eye(len(vector))[i]
        assert penalised(vector + step) > best < penalised(vector - step)
        slope = (penalised(vector + step) - penalised(vector - step)) / 2
        assert abs(slope) < 1e-3 * (penalised(vector + step) + penalised(vector - step) - 2 * best) + 1e-15


def test_one_part_without_a_constant() -> None:
    # The gate's features are its own: only the experts have a constant to absorb a shift.
    given = CASES["gaussian"]
    ones = np.ones((N, 1))
    x, gate = given.x[:, :1] + 2.0**20, given.x[:, :1] + 2.0
    near = {"intercept": False, "gate": gate, "gate_names": ["x"], "names": ["one", "x"]}
    fit = given.fit(x=np.hstack([ones, gate]), **near)
    assert fit.problem.features.shared == () and "x (gate)" in fit.problem.features.columns
    found = given.fit(x=np.hstack([ones, x]), **near)
    np.testing.assert_allclose(found.experts[:, 1], fit.experts[:, 1], rtol=1e-8)
    np.testing.assert_allclose(found.gate, fit.gate, rtol=1e-8, atol=1e-8)


def test_theta_and_its_units() -> None:
    given, rng = CASES["offset"], np.random.default_rng(0)
    problem = Problem.of(
        given.x * [30, 1e-3] + [700, 5], 50 * given.y - 2000, 3, offset=Z[:, 0] + 100, gate=Z * 7 + 90, weights=W
    )
    units, model = problem.units, problem.model
    local = model.filled(rng.standard_normal(len(problem.design.index)), len(problem.features.columns))
    theta = units.lift(local)
    np.testing.assert_allclose(units.project(theta), local, rtol=1e-11, atol=1e-11)
    # The same law: L in the user's units by the same kernels, and by the derived ones.
    expected = mt.objective(model, problem.law, theta)
    assert mt.objective(model, problem.standard, local) + units.log_unit == pytest.approx(expected, rel=1e-11)
    jacobian, h = units.jacobian, 1e-3
    for i, row in enumerate(np.eye(len(jacobian))):
        moved = units.lift(local + model.filled(row, local.shape[1]) * h - model.design.template * h)
        np.testing.assert_allclose(model.free(moved - theta) / h, jacobian[:, i], rtol=1e-6, atol=1e-6)


def test_a_run_is_told_in_the_users_units() -> None:
    given = CASES["gaussian"]
    found = given.fit(x=given.x + np.array([500, -20]), y=10 * given.y + 3000)
    trace, problem = found.trace, found.problem
    assert trace.objective[-1] == pytest.approx(mt.objective(problem.model, problem.law, trace.last), abs=1e-9)
    np.testing.assert_allclose(trace.last, found.theta, rtol=1e-12)
    again = mt.run(mt.EM(problem.model), problem.law, found.theta, max_iterations=5)
    assert again.reason in ("converged", "max_iterations") and np.allclose(again.last, found.theta, rtol=1e-6)
    assert found.rate is not None and found.measured_rate is not None
    there = mt.predict_rate(problem.model, problem.law, found.theta)
    assert there.lambda_max == pytest.approx(found.rate.lambda_max, rel=1e-6)
    sign = np.sign(np.sum(there.direction * found.rate.direction))
    np.testing.assert_allclose(sign * there.direction, found.rate.direction, rtol=1e-4, atol=1e-4)


def test_the_likelihood_of_a_far_response_is_exact() -> None:
    """Against mpmath at 40 digits, from the coefficients in the units of the fit."""
    given = CASES["gaussian"]
    found = given.fit(y=given.y + 2.0**33)
    units, s = found.problem.units, found.structure
    mp.mp.dps = 40
    local, columns = found.local, found.problem.features.columns
    order = [columns.index(n) for n in found.problem.features.experts]
    total = mp.mpf(0)
    level = mp.mpf(units.response) + mp.mpf(units.level)
    for row, y in zip(given.x, given.y + 2.0**33, strict=True):
        seen = [mp.mpf(1)]
        for j, v in zip(order[1:], row, strict=True):
            seen.append((mp.mpf(v) - mp.mpf(units.high[j]) - mp.mpf(units.low[j])) / mp.mpf(units.scale[j]))
        score = mp.fsum(mp.mpf(local[s.gate][0, j]) * v for j, v in zip(order, seen, strict=True))
        parts = []
        for z in range(2):
            mean = mp.fsum(mp.mpf(local[z, j]) * v for j, v in zip(order, seen, strict=True))
            sigma = mp.e ** mp.mpf(local[s.scales.start + z, order[0]])
            away = ((mp.mpf(y) - level) / mp.mpf(units.unit) - mean) / sigma
            prior = 1 / (1 + mp.e ** (-score if z else score))
            parts.append(prior * mp.e ** (-(away**2) / 2) / (sigma * mp.sqrt(2 * mp.pi) * mp.mpf(units.unit)))
        total += mp.log(mp.fsum(parts))
    assert found.log_likelihood == pytest.approx(float(total), rel=1e-13)


def test_unix_times_and_a_column_that_is_constant_but_for_rounding() -> None:
    given = CASES["gaussian"]
    seconds = 1.7e9 + 1e4 * given.x
    np.testing.assert_allclose(given.fit(x=seconds).experts[:, 1:] * 1e4, plain("gaussian").experts[:, 1:], rtol=1e-6)
    noise = 0.3 + 1e-16 * np.arange(N)[:, None]
    with pytest.raises(InputError, match="linear combination"):
        given.fit(x=noise)
