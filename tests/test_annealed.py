"""EM with a floor under σ that falls: each step against EM with `Penalty`, and where runs end."""

from __future__ import annotations

import numpy as np
import pytest

import moe_theory as mt
from moe_theory.errors import InputError
from moe_theory.mixture.problem import Problem


def problem(common: bool = True, seed: int = 0) -> Problem:
    """Two lines that cross, σ = 0.2, n = 120."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, 120)
    first = rng.random(120) < 1 / (1 + np.exp(-3 * x))
    y = np.where(first, 2 * x, 1 - x) + 0.2 * rng.standard_normal(120)
    return Problem.of(x[:, None], y, 2, common_sigma=common)


def start(p: Problem, sigma: float) -> np.ndarray:
    theta = p.model.filled(np.random.default_rng(1).standard_normal(p.design.index.size), p.law.dimension)
    theta[p.structure.scales, p.layout.scale] = np.log(sigma)
    return theta


@pytest.mark.parametrize("common", [True, False])
def test_each_step_is_em_with_that_floor(common: bool) -> None:
    p = problem(common)
    em = mt.AnnealedEM(p.model, first=1.0, last=0.3, ratio=0.5, every=2)
    np.testing.assert_allclose(em.floors, [1.0, 0.5])
    theta = start(p, 0.05)
    for floor in (1.0, 1.0, 0.5, 0.5, 0.0, 0.0):
        assert em.floor == floor
        right = mt.EM(p.model, mt.Penalty(sigma_floor=floor)).step(theta, p.law)
        theta = em.step(theta, p.law)
        np.testing.assert_allclose(theta, right, rtol=1e-12, atol=1e-12)
        assert floor == 0 or np.exp(theta[p.structure.scales, p.layout.scale]).min() >= floor * (1 - 1e-12)


def test_runs_end_where_em_rests_and_start_anew() -> None:
    p = problem()
    em = mt.AnnealedEM(p.model, first=2.0, last=0.02)
    trace = mt.run(em, p.law, start(p, 0.05), tolerance=1e-9, divergences=False)
    assert trace.converged and trace.algorithm == "AnnealedEM"
    np.testing.assert_allclose(mt.EM(p.model).step(trace.last, p.law), trace.last, atol=1e-7)
    assert (np.diff(trace.objective[1:]) <= 1e-13).all()  # after the lift, L falls
    assert em.floor == 2.0  # `run` had its own
    again = mt.run(em, p.law, start(p, 0.05), tolerance=1e-9, divergences=False)
    assert np.array_equal(trace.local, again.local)


def test_a_floor_that_binds_is_no_end() -> None:
    p = problem()
    em = mt.AnnealedEM(p.model, first=0.5, last=0.3, ratio=0.7, every=200)  # EM rests at both floors
    trace = mt.run(em, p.law, start(p, 1.0), tolerance=1e-7, divergences=False)
    assert trace.converged and trace.iterations > 400
    assert np.exp(trace.last[p.structure.scales, p.layout.scale]) == pytest.approx(0.2, abs=0.03)


def test_a_single_floor() -> None:
    p = problem()
    np.testing.assert_allclose(mt.AnnealedEM(p.model, first=0.3, last=0.3).floors, [0.3])
    np.testing.assert_allclose(mt.AnnealedEM(p.model, first=1.0, last=0.125, ratio=0.5).floors, [1, 0.5, 0.25, 0.125])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": 0, "last": 0.1}, "^first: expected a number > 0, got 0$"),
        ({"first": 1, "last": -1}, "^last: expected a number > 0, got -1$"),
        ({"first": 0.1, "last": 1}, "^last: expected at most first, 0.1, got 1$"),
        ({"first": 1, "last": 0.1, "ratio": 1}, "^ratio: expected a number below 1, got 1$"),
        ({"first": 1, "last": 0.1, "every": 0}, "^every: expected a whole number >= 1, got 0$"),
    ],
)
def test_bad_schedules_say_what_is_wrong(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mt.AnnealedEM(problem().model, **options)


@pytest.mark.parametrize("make", [mt.symmetric_linear, lambda: mt.softmax_moe(2, "poisson")])
def test_models_without_sigmas_are_refused(make) -> None:
    with pytest.raises(InputError, match=r"^model: expected a softmax mixture of normal experts, got "):
        mt.AnnealedEM(make(), 1.0, 0.1)
