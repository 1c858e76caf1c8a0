"""How runs end where numbers do: what is not finite is named with its row; rounding is no fall of the likelihood."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp

import moe_theory as mt
from moe_theory.algorithms.rounding import rounding

RNG = np.random.default_rng(0)
X = np.column_stack([np.ones(60), RNG.standard_normal(60)])
Y = np.where(RNG.random(60) < 0.5, 1 + X[:, 1], 3 - X[:, 1]) + 0.1 * RNG.standard_normal(60)


def declared(name: str, expert: Callable[..., Any], gate: Any = None, third: tuple[str, ...] = ()) -> mt.Model:
    return mt.Model(name, (1, 2), ("a", "b", *third), gate=gate, response=mt.Reals(), expert=expert)


def lines(y: Any, z: Any, a: Any, b: Any) -> Any:
    return mt.log_normal(y, a if z == 1 else b)


LOGISTIC = declared("own", lines, lambda z, w: -sp.log(1 + sp.exp(-(2 * z - 3) * w)), ("w",))
POWERS = declared("powers", lambda y, z, a, b: mt.log_normal(y, sp.exp(2 * a) - sp.exp(a) if z == 1 else b))
GROWTH = declared("growth", lambda y, z, a, b: mt.log_normal(y, sp.exp(a) if z == 1 else b))


@pytest.mark.parametrize("algorithm", [mt.EM, mt.GradientDescent, mt.GradientEM])
@pytest.mark.parametrize(
    ("model", "theta", "said"),
    [
        (POWERS, {"a": [0, 300], "b": [0, 0]}, r"at the start .*p\(y\|x\).* is (?:nan|-inf) at row (\d+) \(y = "),
        (GROWTH, {"a": [0, 900], "b": [1, 0]}, r"at the start log p\(y\|x\) is -?(inf|nan) at row (\d+)|derivative"),
    ],
    ids=lambda v: v.name if isinstance(v, mt.Model) else "",
)
def test_what_is_not_finite_at_the_start_is_named(
    model: mt.Model, theta: dict[str, list[float]], said: str, algorithm: Any
) -> None:
    trace = mt.run(algorithm(model), mt.Data(X, Y), model.theta(**theta), max_iterations=5)
    assert (trace.reason, trace.iterations) == ("nonfinite", 0)
    found = re.search(said, trace.message)
    assert found and "\n" not in trace.message, trace.message
    if model is POWERS:  # the first row where e^4η, in the square, is no double
        assert int(found[1]) == int(np.flatnonzero(4 * X @ theta["a"] > np.log(np.finfo(float).max))[0])


def test_what_is_not_finite_on_the_way_is_named() -> None:
    steep = mt.GradientDescent(GROWTH, step=100.0)
    trace = mt.run(steep, mt.Data(X, Y), GROWTH.theta(a=[-3, 1], b=[1, 0]), max_iterations=20)
    assert trace.reason == "nonfinite", (trace.reason, trace.message)
    assert re.match(r"at the next iterate .* is (nan|-?inf) at row \d+ ", trace.message), trace.message


@pytest.mark.parametrize("shift", [0.0, 1e6, 1e8, 1e10])
def test_rounding_is_no_fall_of_the_likelihood(shift: float) -> None:
    start = LOGISTIC.theta(a=[1 + shift, 1], b=[3 + shift, -1], w=[0, 0])
    law = mt.Data(X, Y + shift)
    trace = mt.run(mt.EM(LOGISTIC), law, start, divergences=False)
    assert trace.reason == "converged", trace.message
    # A response beyond its rounding is the same response: θ is what it is near 0, but for what an M-step leaves (1e-14
    # of θ in the metric of the information) over 1 - λ_max.
    near = mt.run(
        mt.EM(LOGISTIC), mt.Data(X, (Y + shift) - shift), start - LOGISTIC.theta(a=[shift, 0], b=[shift, 0], w=[0, 0])
    )
    np.testing.assert_allclose(trace.last[:, 1], near.last[:, 1], atol=1e-9 + 1e-13 * shift)
    np.testing.assert_allclose(trace.objective[-1], near.objective[-1], atol=1e-12 + 1e-15 * shift)


def test_rounding_is_measured() -> None:
    start = LOGISTIC.theta(a=[1, 1], b=[3, -1], w=[0, 0])
    small = rounding(mt.EM(LOGISTIC), start, mt.Data(X, Y)).objective
    assert 0 < small < 1e-13
    far = rounding(
        mt.EM(LOGISTIC), start + LOGISTIC.theta(a=[1e6, 0], b=[1e6, 0], w=[0, 0]), mt.Data(X, Y + 1e6)
    ).objective
    assert 1e-11 < far < 1e-7


class Rising(mt.EM):
    """EM that walks back a little after each step: a fault of more than rounding."""

    def step(self, theta: np.ndarray, law: mt.Data) -> np.ndarray:  # type: ignore[override]
        return theta - 1e-4 * (super().step(theta, law) - theta)


def test_a_rise_beyond_rounding_is_still_told() -> None:
    start = LOGISTIC.theta(a=[1.3, 1], b=[2.5, -1], w=[0, 0])
    trace = mt.run(Rising(LOGISTIC), mt.Data(X, Y), start)
    assert trace.reason == "decreased" and trace.message.startswith("L rose by")
