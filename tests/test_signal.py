"""The proved bound on λ_max(M) for two symmetric linear experts: its constants, what it bounds, what it says."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import mpmath
import numpy as np
import pytest

import moe_theory as mt
from moe_theory.analysis.signal import gate_curvature, guarantees, strip_ratio
from moe_theory.analysis.snr import planar_truth
from moe_theory.errors import InputError

LINEAR = mt.symmetric_linear()


def curvature(r: float) -> mpmath.mpf:
    """κ by mpmath."""
    return 2 * mpmath.quad(lambda g: g * g * mpmath.sech(r * g / 2) ** 2 * mpmath.npdf(g), [0, 1, 5, 30])


@pytest.mark.parametrize("r", [0.0, 0.3, 1.0, 4.0, 30.0])
def test_the_gates_curvature(r: float) -> None:
    assert gate_curvature(r) == pytest.approx(float(curvature(r)), rel=1e-11)


def test_the_gates_curvature_falls() -> None:
    values = [gate_curvature(float(r)) for r in np.linspace(0, 20, 81)]
    assert all(a > b for a, b in itertools.pairwise(values))


def test_the_strips_ratio_is_a_maximum() -> None:
    levels = np.linspace(-2, 2, 40_001)
    for h in (0.0, 1e-9, 1e-3, 0.2, 1.0, 5.0, 30.0):
        value = float(strip_ratio(np.array(h)))
        ratio = np.exp(-h) * np.cosh(levels - h) / np.cosh(levels) ** 2
        assert value == pytest.approx(float(ratio.max()), rel=1e-8)
        assert value >= ratio.max() * (1 - 1e-12)


@pytest.mark.parametrize(("gate", "rho", "tau"), [(0.0, 0.0, 0.0), (1.0, 0.3, 0.5), (2.0, 0.0, 2.0), (0.5, 0.85, 0.1)])
def test_the_constant_by_another_quadrature(gate: float, rho: float, tau: float) -> None:
    """Both means over y and g by the midpoint rule, S by a search over a grid, κ by mpmath."""
    step = 0.02
    y, g = (np.arange(step / 2, 40, step),) * 2
    h = rho * np.outer(y, g) + tau * g / 2
    levels = np.linspace(-0.56, 0.01, 400)[:, None]  # S is attained at -artanh(1/2) <= B <= 0
    grid = np.linspace(0, 60, 6001)
    ratio = np.max(np.exp(-grid) * np.cosh(levels - grid) / np.cosh(levels) ** 2, axis=0)
    density = np.exp(h - (y[:, None] ** 2 + g**2) / 2) * np.interp(np.minimum(h, 60), grid, ratio) * 2 / np.pi
    experts, gates = (step**2 * float(np.sum(density * g**2 * y[:, None] ** k)) for k in (2, 0))
    expected = max(experts, gates / float(curvature(gate + tau))) / np.sqrt(1 + 3.0**2)
    assert mt.rate_bound(LINEAR, 3.0, gate, rho, tau) == pytest.approx(expected, rel=3e-4)


def information(truth: np.ndarray, theta: np.ndarray) -> float:
    """λ_max(M(θ)) for truth and θ in the plane, with means over x and y by the trapezoid rule."""
    nodes = np.arange(-7, 7.1, 0.15)
    weights = 0.15 * np.exp(-(nodes**2) / 2)
    x = np.stack([a.ravel() for a in np.meshgrid(nodes, nodes)])
    weight = np.outer(weights, weights).ravel() / (2 * np.pi)
    y = np.linspace(-8, 8, 401)[:, None]
    star, at = truth @ x, theta @ x
    prior = 1 / (1 + np.exp(-star[1]))
    normal = lambda mean: np.exp(-((y - mean) ** 2) / 2) / np.sqrt(2 * np.pi)
    complete, missing = np.zeros((4, 4)), np.zeros((4, 4))
    complete[:2, :2] = np.eye(2)
    complete[2:, 2:] = (x * weight / (4 * np.cosh(at[1] / 2) ** 2)) @ x.T
    for sign, chance in ((1, prior), (-1, 1 - prior)):
        # y is centred at its own mean, which can be far out.
        centre = sign * star[0]
        shifted = y + centre
        doubt = normal(0.0) / (4 * np.cosh(np.clip(shifted * at[0] + at[1] / 2, -300, 300)) ** 2)
        for i, j, power in ((0, 0, 2), (0, 2, 1), (2, 2, 0)):
            density = chance * 0.04 * np.sum(doubt * (2 * shifted) ** power, axis=0)
            block = (x * weight * density) @ x.T
            missing[i : i + 2, j : j + 2] += block
            if i != j:
                missing[j : j + 2, i : i + 2] += block
    return float(np.max(np.linalg.eigvals(np.linalg.solve(complete, missing)).real))


@pytest.mark.parametrize(("beta", "gate"), [(0.3, 0.0), (1.0, 0.5), (2.0, 2.0), (3.0, 1.0)])
def test_it_bounds_what_another_program_computes(beta: float, gate: float) -> None:
    rng = np.random.default_rng(3)
    truth = planar_truth(LINEAR, beta, gate, 70.0)[:, :2]
    assert information(truth, truth) <= mt.rate_bound(LINEAR, beta, gate)
    for rho, tau in ((0.2, 0.2), (0.6, 1.0)):
        bound = mt.rate_bound(LINEAR, beta, gate, rho, tau)
        for move in rng.standard_normal((5, 2, 2)):
            theta = truth + np.array([[rho], [tau]]) * move / np.linalg.norm(move, axis=1, keepdims=True)
            assert information(truth, theta) <= bound


def test_that_program_is_right() -> None:
    truth = planar_truth(LINEAR, 2.0, 1.0, 70.0)
    theta = truth + np.array([[0.3], [-0.4]]) * np.eye(5)[[1, 0]]
    found = mt.missing_information_matrix(LINEAR, mt.Population(LINEAR, truth), theta).lambda_max
    inside = information(truth[:, :2], theta[:, :2])
    # Out of the plane there may be more; in it no less.
    assert inside <= found * (1 + 1e-6)
    flat = mt.Population(LINEAR, truth[:, :2])
    assert inside == pytest.approx(mt.missing_information_matrix(LINEAR, flat, theta[:, :2]).lambda_max, rel=1e-6)


def test_it_bounds_every_rate_of_the_oracle() -> None:
    """And is not vacuous: with a weak gate it is within a third."""
    table = json.loads((Path(__file__).parent / "data" / "snr.json").read_text())["lambda_max"]["rows"]
    rows = [row for row in table if row[0] == "SymMoLinE"]
    assert len(rows) > 20
    for _, beta, gate, _, value, _ in rows:
        assert value <= mt.rate_bound(LINEAR, beta, gate)
    truth = planar_truth(LINEAR, 5.0, 0.1, 90.0)
    found = mt.missing_information_matrix(LINEAR, mt.Population(LINEAR, truth), truth).lambda_max
    assert found <= mt.rate_bound(LINEAR, 5.0, 0.1) <= 1.33 * found


def test_only_the_signal_to_noise_ratio_matters() -> None:
    wide = mt.symmetric_linear(sigma=2.5)
    assert mt.rate_bound(wide, 5.0, 1.0, 0.5, 0.3) == mt.rate_bound(LINEAR, 2.0, 1.0, 0.2, 0.3)
    narrow, found = mt.largest_basin(LINEAR, 0.5, 8.0, 1.0), mt.largest_basin(wide, 0.5, 20.0, 1.0)
    assert narrow is not None and found is not None
    assert (found.nats, found.tau) == pytest.approx((narrow.nats, narrow.tau), rel=1e-9)
    assert found.rho == pytest.approx(2.5 * narrow.rho, rel=1e-9)


@pytest.mark.parametrize(
    ("alpha", "gate", "rho", "tau"), [(0.5, 0.0, 0.0, 0.0), (0.9, 1.0, 0.2, 0.1), (0.1, 3.0, 0.5, 1)]
)
def test_the_least_signal_gives_alpha_exactly(alpha: float, gate: float, rho: float, tau: float) -> None:
    found = mt.least_signal(LINEAR, alpha, gate, rho, tau)
    assert mt.rate_bound(LINEAR, found.beta, gate, rho, tau) == pytest.approx(1 - alpha, rel=1e-12)


@pytest.mark.parametrize(
    ("alpha", "beta", "gate"), [(0.5, 10.0, 1.0), (0.2, 3.0, 0.0), (0.9, 300.0, 2.0), (0.5, 1e6, 0.0)]
)
def test_the_largest_basin(alpha: float, beta: float, gate: float) -> None:
    """It has α, its Bregman ball lies in the set, and a larger one has not."""
    found = mt.largest_basin(LINEAR, alpha, beta, gate)
    assert found is not None and found.nats > 0
    assert mt.rate_bound(LINEAR, beta, gate, found.rho, found.tau) <= 1 - alpha
    assert found.nats <= found.rho**2 / 2 * (1 + 1e-9)
    assert found.nats <= gate_curvature(gate + found.tau) * found.tau**2 / 8 * (1 + 1e-9)
    least = mt.least_signal(LINEAR, alpha, gate, found.rho, found.tau)
    assert least.beta <= beta and least.nats == pytest.approx(found.nats, rel=1e-6)
    if beta < 1e6:  # there the ball is as large as the bound allows whatever the signal
        assert mt.rate_bound(LINEAR, beta, gate, found.rho * 1.01, found.tau * 1.01) > 1 - alpha
    truth = planar_truth(LINEAR, min(beta, 20.0), gate, 45.0)
    law = mt.Population(LINEAR, truth, nats=9)
    for move in np.random.default_rng(1).standard_normal((4, *truth.shape)):
        for row, reach in ((0, found.rho), (1, found.tau)):
            theta = truth.copy()
            theta[row] += 1.001 * reach * move[row] / np.linalg.norm(move[row])
            assert mt.bregman(LINEAR, law, truth, theta) > found.nats


def test_without_enough_signal_there_is_no_basin() -> None:
    least = mt.least_signal(LINEAR, 0.5, 1.0).beta
    assert mt.largest_basin(LINEAR, 0.5, 0.999 * least, 1.0) is None
    barely = mt.largest_basin(LINEAR, 0.5, 1.001 * least, 1.0)
    assert barely is not None and 0 < barely.nats < 1e-4


def test_statements_are_rounded_to_the_safe_side() -> None:
    at_truth, basin = guarantees(LINEAR, 0.5, [1.0], 8.0)
    assert at_truth.statement == (
        "For symmetric-linear, every ‖w*‖ ≤ 1, any angle and any dimension, ‖β*‖ ≥ 3.32 gives α ≥ 0.5 at θ*; proved"
        " (signal-gives-rate)."
    )
    assert at_truth.beta < 3.32
    assert mt.rate_bound(LINEAR, 8.0, 1.0, 0.162, 0.541) <= 0.5 and "≤ 0.162, ‖w-w*‖ ≤ 0.541" in basin.statement
    assert "≤ 0.0131 nats" in basin.statement and basin.nats >= 0.0131
    assert json.loads(json.dumps(basin.to_dict()))["statement"] == basin.statement


def test_the_command_says_what_is_proved(command) -> None:
    code, out, _ = command("snr", "symmetric-linear", "--beta", "2,8", "--gate", "1", "--angle", "90", "--json")
    proved = json.loads(out)["proved"]
    assert code == 0 and [g["nats"] > 0 for g in proved] == [False, True]
    code, out, _ = command("snr", "symmetric-linear", "--beta", "2,8", "--gate", "1", "--angle", "90")
    assert all(g["statement"] in out for g in proved)
    code, out, _ = command("snr", "symmetric-logistic", "--beta", "2,8", "--gate", "1", "--angle", "90", "--json")
    assert json.loads(out)["proved"] == []


@pytest.mark.parametrize(
    "model", [mt.symmetric_logistic(), mt.erased_labels(), mt.linear_experts()], ids=lambda m: m.name
)
def test_other_models_are_refused(model: mt.Model) -> None:
    with pytest.raises(InputError, match=r"^model: expected symmetric-linear, for which the bound is proved, got"):
        mt.rate_bound(model, 1.0, 1.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beta": -1.0}, "beta: expected a number >= 0, got -1"),
        ({"gate": float("nan")}, "gate: expected finite"),
        ({"rho": -0.1}, "rho: expected a number >= 0, got -0.1"),
        ({"tau": [1.0]}, "tau: expected 0 axes"),
    ],
)
def test_bad_lengths(values: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        mt.rate_bound(LINEAR, **{"beta": 1.0, "gate": 1.0, **values})


def test_no_bound_beyond_the_noise() -> None:
    assert mt.rate_bound(LINEAR, 1.0, 1.0, rho=0.95) == np.inf
    with pytest.raises(InputError, match=r"^rho: expected at most 0.9 σ = 1.8, got 1.9"):
        mt.least_signal(mt.symmetric_linear(sigma=2.0), 0.5, 1.0, rho=1.9)
    with pytest.raises(InputError, match=r"^alpha: "):
        mt.least_signal(LINEAR, 1.0, 1.0)
