"""The signal-to-noise ratio: against another person's quadratures, closed forms, independent formulas and searches."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mpmath as mp
import numpy as np
import pytest

import moe_theory as mt
from moe_theory.analysis.asymptotics import Asymptote, high_snr, low_snr, strip_density, strip_moments
from moe_theory.analysis.conditions import conditions
from moe_theory.analysis.regions import Region, boundary, first_crossing, largest_lambda, largest_region
from moe_theory.analysis.snr import Map, Point, map_cell, planar_truth, snr_boundary, snr_map
from moe_theory.errors import InputError
from moe_theory.laws import Finite, Population
from moe_theory.report.maps import asymptote_figure, phase_map
from moe_theory.symbolic.identities import prove_zero
from moe_theory.zoo import erased_labels, linear_experts

LINEAR, LOGISTIC = mt.symmetric_linear(), mt.symmetric_logistic()
MODELS = {"SymMoLinE": LINEAR, "SymMoLogE": LOGISTIC}
TABLES = json.loads((Path(__file__).parent / "data" / "snr.json").read_text())

Row = dict[str, Any]


def rows(table: str, *need: Callable[[Row], bool]) -> list[Row]:
    """A table of the reference, all of whose digits are right (12 of them are kept)."""
    found = [dict(zip(TABLES[table]["columns"], row, strict=True)) for row in TABLES[table]["rows"]]
    return [row for row in found if all(n(row) for n in need)]


def gated(row: Row) -> bool:
    return row["c"] > 0


# Asymptotes --------------------------------------------------------------------------------------------------------

NAMES = {
    "gate:orth": "gate, orthogonal to β* and w*",
    "gate:wperp": "gate, in the plane of β* and w*",
    "expert:orth": "experts, orthogonal to β* and w*",
    "expert:wperp": "experts, in the plane of β* and w*",
}


def test_the_reference_holds_what_it_should() -> None:
    assert [len(rows(t)) for t in TABLES if t != "about"] == [30, 30, 31, 30, 108]
    assert sum(r["eigenvector"] is not None for r in rows("lambda_max")) > 20


@pytest.mark.parametrize("row", rows("linear_high"), ids=lambda r: f"{r['c']:g}-{r['phi_degrees']:g}")
def test_linear_experts_at_high_snr(row: Row) -> None:
    found = high_snr(LINEAR, row["c"], row["phi_degrees"])
    assert found.coefficient == pytest.approx(row["value"], rel=1e-10)
    assert found.correction == 0 and found.at("high", LINEAR, 8.0) == found.coefficient / 8
    second, first = sorted((row[name], name) for name in NAMES)[-2:]
    assert first[0] == row["value"]
    if first[0] - second[0] > 1e-9:
        assert found.eigenvector == NAMES[first[1]]


@pytest.mark.parametrize("row", rows("logistic_high"), ids=lambda r: f"{r['c']:g}-{r['phi_degrees']:g}")
def test_logistic_experts_at_high_snr(row: Row) -> None:
    found = high_snr(LOGISTIC, row["c"], row["phi_degrees"])
    assert found.coefficient == pytest.approx(row["value"], rel=1e-10)
    assert found.correction == pytest.approx(row["K"], rel=1e-10, abs=1e-15)
    assert found.at("high", LOGISTIC, 8.0) == pytest.approx(row["value"] + row["K"] / 8, rel=1e-10)
    if row["value"] - max(row["expert_orth"], row["expert_wperp"]) > 1e-9:
        assert found.eigenvector == "experts, along β*"


@pytest.mark.parametrize("row", rows("linear_low", gated), ids=lambda r: f"{r['c']:g}-{r['phi_degrees']:g}")
def test_linear_experts_at_low_snr(row: Row) -> None:
    found = low_snr(LINEAR, row["c"], row["phi_degrees"])
    assert found.coefficient == pytest.approx(row["value"], rel=1e-10)
    assert found.at("low", LINEAR, 0.1) == 1 - found.coefficient * 0.1**2
    if abs(row["inplane"] - row["orthogonal"]) > 1e-9:
        inside = row["inplane"] < row["orthogonal"]
        assert found.eigenvector == f"gate, {'in the plane of' if inside else 'orthogonal to'} β* and w*"


@pytest.mark.parametrize("row", rows("logistic_low", gated), ids=lambda r: f"{r['c']:g}-{r['phi_degrees']:g}")
def test_logistic_experts_at_low_snr(row: Row) -> None:
    found = low_snr(LOGISTIC, row["c"], row["phi_degrees"])
    assert found.coefficient == pytest.approx(row["value"], rel=1e-10)
    linear = low_snr(LINEAR, row["c"], row["phi_degrees"])
    assert found.coefficient == pytest.approx(linear.coefficient / 4, rel=1e-12)
    assert found.eigenvector == linear.eigenvector


def test_the_noise_is_the_unit_of_low_snr() -> None:
    one, half = (low_snr(mt.symmetric_linear(s), 2.0, 0.7).coefficient for s in (1, 0.5))
    assert half == pytest.approx(4 * one, rel=1e-12)


def test_no_gate_at_high_snr() -> None:
    """∫∫ sech(uy)/4 over the plane and the known normal: C at w* = 0, from the seed of this table as well."""
    for phi in (0.0, 1.0):
        assert high_snr(LINEAR, 0.0, phi).coefficient == pytest.approx(0.811928651069, abs=1e-11)
        assert high_snr(LOGISTIC, 0.0, phi).coefficient == pytest.approx(1, abs=1e-12)


def test_logistic_limit_under_a_weak_gate() -> None:
    """1 - (1/6 - 1/π²)c² + (7/120 - 1/(2π²))c⁴ + O(c⁶), c the gate across β*."""
    rest = []
    for c in (0.1, 0.2):
        series = 1 - (1 / 6 - np.pi**-2) * c**2 + (7 / 120 - np.pi**-2 / 2) * c**4
        for gate, phi in ((c, 90.0), (2 * c, 30.0)):
            rest.append(high_snr(LOGISTIC, gate, phi).coefficient - series)
    assert abs(rest[0]) < 2e-8 and rest[0] == pytest.approx(rest[1], abs=1e-14)
    assert rest[2] / rest[0] == pytest.approx(64, rel=0.2)


def test_logistic_limit_under_a_strong_gate() -> None:
    """3π²/(4√(2π))/c, of which half a bit of y is left: v²-moments of v/sinh v."""
    off = [high_snr(LOGISTIC, c, 90.0).coefficient * c * 4 * np.sqrt(2 * np.pi) / (3 * np.pi**2) - 1 for c in (20, 40)]
    assert abs(off[1]) < 6e-3 and off[0] / off[1] == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize("v", [0.7, -3.0])
@pytest.mark.parametrize("j", [0, 2])
def test_strip_moments_are_double_integrals(v: float, j: int) -> None:
    def density(y: Any, u: Any) -> Any:
        normal = mp.exp(-(y * y + u * u) / 2) / mp.sqrt(2 * mp.pi)
        return normal * (2 * y) ** j / (4 * mp.cosh(v / 2) * mp.cosh(y * u + v / 2))

    # Even under (y, u) -> -(y, u).
    half = mp.quad(density, [-9, -3, 0, 3, 9], [0, 3, 9], method="gauss-legendre", maxdegree=4)
    assert strip_moments(np.array([v]))[j // 2][0] == pytest.approx(2 * float(half), rel=1e-10)


def test_strip_moments_are_even_and_keep_the_shape() -> None:
    v = np.array([[0.0, 1.0, -1.0], [30.0, -30.0, 60.0]])
    for moment in strip_moments(v):
        assert moment.shape == v.shape and (moment > 0).all()
        np.testing.assert_allclose(moment[[0, 1], [1, 0]], moment[[0, 1], [2, 1]], rtol=1e-13)
        assert (np.diff(moment[[0, 0, 1, 1], [0, 1, 0, 2]]) < 0).all()


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_the_strip_is_the_derived_one(model: mt.Model) -> None:
    derived, claimed = strip_density(model)
    assert prove_zero([derived - claimed]).proved


@pytest.mark.parametrize(("gate", "phi"), [(0.5, 30.0), (2.0, 90.0)])
@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_maps_go_to_their_asymptotes(model: mt.Model, gate: float, phi: float) -> None:
    """At the order that is left: b⁴ at the low end, b⁻³ (linear, with a known D) or b⁻² at the high one."""
    low, high = (f(model, gate, phi) for f in (low_snr, high_snr))
    exact = lambda b: mt.predict_rate(
        model, Population(model, planar_truth(model, b, gate, phi)), planar_truth(model, b, gate, phi)
    )
    off = [1 - low.coefficient * b**2 - exact(b).lambda_max for b in (0.02, 0.04)]
    assert abs(off[1]) < 2e-4 and off[1] / off[0] == pytest.approx(16, rel=0.15)
    ends = (15.0, 30.0) if model is LINEAR else (30.0, 60.0)
    off = [cell(model, b, gate, phi)["lambda_max"] - high.at("high", model, b) for b in ends]
    assert off[0] / off[1] == pytest.approx(8 if model is LINEAR else 4, rel=0.2)
    if model is LINEAR:
        (row,) = rows("linear_high", lambda r: (r["c"], r["phi_degrees"]) == (gate, phi))
        assert off[1] * 30**3 == pytest.approx(row["D"], rel=0.05)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_low_snr_needs_a_gate(bad: float) -> None:
    with pytest.raises(InputError, match=r"^gate: expected"):
        low_snr(LINEAR, bad, 1.0)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_high_snr_needs_a_gate_of_zero_or_more(bad: float) -> None:
    with pytest.raises(InputError, match=r"^gate: expected"):
        high_snr(LINEAR, bad, 1.0)


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_high_snr_under_a_very_strong_gate(model: mt.Model) -> None:
    found = [high_snr(model, c, 90.0).coefficient for c in (60.0, 90.0, 200.0)]
    assert np.isfinite(found).all()


@pytest.mark.parametrize("model", [linear_experts(), erased_labels(), mt.symmetric_linear(2)], ids=lambda m: m.name)
def test_other_models_have_no_known_limit(model: mt.Model) -> None:
    with pytest.raises(InputError, match=r"^model: expected symmetric-linear"):
        high_snr(model, 1.0, 1.0)
    if len(model.predictors) != 2:
        with pytest.raises(InputError, match=r"^model: expected the predictors of experts and gate"):
            low_snr(model, 1.0, 1.0)


# Maps --------------------------------------------------------------------------------------------------------------


def cell(model: mt.Model, beta: float, gate: float, phi: float) -> Row:
    where = {"beta": beta, "gate": gate, "angle": phi}
    return map_cell({"model": model.name, **where, "alpha": 0.5, "regions": False, "seed": 0})


@cache
def reference_cells() -> list[tuple[Row, Row]]:
    return [(r, cell(MODELS[r["model"]], r["b"], r["c"], r["phi_degrees"])) for r in rows("lambda_max")]


def test_every_point_of_the_reference() -> None:
    for row, found in reference_cells():
        # NATS = 14 nats are 1e-6 of the largest integrand.
        assert found["lambda_max"] == pytest.approx(row["value"], abs=1e-6), row
        assert (found["beta"], found["gate"], found["angle"]) == (row["b"], row["c"], row["phi_degrees"])
        assert found["euclidean"] is found["bregman"] is None


def test_the_parts_of_the_top_eigenvector() -> None:
    """In percent where φ = 90°: along w* is out of β*, and the other way round."""
    names = {
        "expert:beta": "experts along",
        "expert:wperp": "experts in the plane",
        "expert:orth": "experts out of the plane",
        "gate:wperp": "gate along",
        "gate:beta": "gate in the plane",
        "gate:orth": "gate out of the plane",
    }
    for row, found in reference_cells():
        share = found["share"]
        assert set(share) == set(names.values()) and min(share.values()) > -1e-9
        assert sum(share.values()) == pytest.approx(1, abs=1e-9)
        if row["eigenvector"] is not None:
            right = {names[k]: float(v) for k, v in re.findall(r"([a-z:]+)\((.*?)\)", row["eigenvector"])}
            for name in share:
                assert share[name] == pytest.approx(right.get(name, 0.01), abs=0.0151), (row, share)


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_maps_know_the_symmetries(model: mt.Model) -> None:
    """Signs of β*, reflections, and the exchange of β* and w* in the logistic model."""
    right = cell(model, 2.0, 1.5, 40.0)["lambda_max"]
    for phi in (-40.0, 140.0, 220.0, 400.0):
        assert cell(model, 2.0, 1.5, phi)["lambda_max"] == pytest.approx(right, abs=1e-6)
    exchanged = cell(model, 1.5, 2.0, 40.0)["lambda_max"]
    assert (abs(exchanged - right) < 1e-6) == (model is LOGISTIC)


def test_a_truth_is_where_it_should_be() -> None:
    theta = planar_truth(LINEAR, 3.0, 2.0, 60.0)
    assert theta.shape == (2, 5) and not theta[:, 2:].any()
    np.testing.assert_allclose(theta[:, :2], [[3, 0], [1, np.sqrt(3)]], rtol=1e-15)
    assert planar_truth(LINEAR, 3.0, 2.0, 60.0, dimension=2).shape == (2, 2)


def test_a_map_holds_its_points_in_order_and_goes_on(tmp_path: Path) -> None:
    store, told = tmp_path / "store", []
    options = {"alpha": 0.3, "store": store, "finished": lambda i, r: told.append(i)}
    found = snr_map(LOGISTIC, [1, 2], [0.5, 1], [30, 90], **options)  # type: ignore[arg-type]
    grid = [(b, c, a) for a in (30, 90) for c in (0.5, 1) for b in (1, 2)]
    assert [(p.beta, p.gate, p.angle) for p in found.points] == grid and told == list(range(8))
    assert (found.model, found.alpha) == ("symmetric-logistic", 0.3)
    before = store.read_bytes()
    assert snr_map(LOGISTIC, [1, 2], [0.5, 1], [30, 90], **options) == found  # type: ignore[arg-type]
    assert store.read_bytes() == before
    assert json.loads(json.dumps(found.to_dict()))["points"][3]["share"] == dict(found.points[3].share)
    for other in ({"alpha": 0.31}, {"seed": 1}, {"regions": True}):
        with pytest.raises(InputError, match=r"^store: expected"):
            snr_map(LOGISTIC, [1, 2], [0.5, 1], [30, 90], **(options | other))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"betas": []}, "betas: expected one or more"),
        ({"betas": [-1.0]}, "betas: expected one or more"),
        ({"betas": [np.nan]}, "betas: expected finite"),
        ({"gates": [[1.0]]}, "gates: expected 1 axis"),
        ({"gates": [-0.1]}, "gates: expected one or more"),
        ({"angles": [np.inf]}, "angles: expected finite"),
        ({"alpha": 1.0}, "alpha: expected"),
        ({"jobs": 0}, "jobs: expected"),
        ({"model": linear_experts()}, "model: expected two learnt predictors"),
        ({"model": erased_labels()}, "model: expected two learnt predictors"),
        ({"model": mt.symmetric_linear(2)}, "model: expected one of the zoo with its own settings"),
    ],
)
def test_a_map_of_nothing_is_refused(change: Row, complaint: str, tmp_path: Path) -> None:
    options = {"model": LINEAR, "betas": [1.0], "gates": [1.0], "angles": [90.0], "store": tmp_path / "s"} | change
    with pytest.raises(InputError, match=f"^{complaint}"):
        snr_map(**options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def hand_made(
    value: Callable[[float, float, float], float],
    betas: tuple[float, ...] = (0.5, 1, 2, 4),
    gates: tuple[float, ...] = (1, 2),
    angles: tuple[float, ...] = (30, 90),
    radius: Callable[[float], float | None] = lambda b: None,
    model: str = "symmetric-linear",
) -> Map:
    points = tuple(
        Point(float(b), float(c), float(a), value(b, c, a), {"gate along": 1.0}, radius(b), radius(b))
        for a in angles
        for c in gates
        for b in betas
    )
    return Map(model, 0.5, points)


@pytest.mark.parametrize(
    ("model", "alpha", "gate", "phi"),
    [(LINEAR, 0.5, 1.0, 90.0), (LOGISTIC, 0.3, 4.0, 90.0), (LOGISTIC, 0.3, 4.0, -90.0), (LOGISTIC, 0.1, 2.0, 45.0)],
    ids=lambda v: getattr(v, "name", None),
)
def test_boundaries_are_where_the_level_is(model: mt.Model, alpha: float, gate: float, phi: float) -> None:
    found = snr_boundary(model, alpha, gate, phi)
    assert found is not None
    # To four digits of ‖β*‖, and λ_max falls more slowly than 1/‖β*‖.
    assert cell(model, found, gate, phi)["lambda_max"] == pytest.approx(1 - alpha, rel=1e-4)
    assert (
        cell(model, 1.1 * found, gate, phi)["lambda_max"]
        < 1 - alpha
        < cell(model, found / 1.1, gate, phi)["lambda_max"]
    )
    assert cell(model, 10 * found, gate, phi)["lambda_max"] < 1 - alpha


def test_no_boundary_where_the_level_is_not_reached() -> None:
    assert snr_boundary(LOGISTIC, 0.5, 1.0, 90.0) is None and snr_boundary(LOGISTIC, 0.1, 0.0, 90.0) is None
    for alpha in (0.0, 1.0, 2.0):
        with pytest.raises(InputError, match=r"^alpha: expected"):
            snr_boundary(LOGISTIC, alpha, 1.0, 90.0)
    with pytest.raises(InputError, match=r"^model: expected two learnt predictors"):
        snr_boundary(linear_experts(), 0.5, 1.0, 90.0)


def test_the_largest_of_several_boundaries(monkeypatch: pytest.MonkeyPatch) -> None:
    """λ_max below the level from 0.1 to 1, and again from 10 on."""
    level = lambda theta: 0.5 + 0.3 * np.sin(np.pi * np.log10(theta[0, 0]))
    falling = lambda theta: level(theta) if 0.05 < theta[0, 0] < 50 else 0.9 if theta[0, 0] < 1 else 0.1
    at_truth = lambda model, truth: (truth, SimpleNamespace(lambda_max=falling(truth)))
    monkeypatch.setattr("moe_theory.analysis.snr._at_truth", at_truth)
    assert snr_boundary(LINEAR, 0.5, 1.0, 90.0) == pytest.approx(10, rel=1e-4)


def test_conditions_hold_at_every_point_they_speak_of() -> None:
    """λ = c/b for 30°, half of that for 90°: at c = 1 it is at most 1/2 from b = 2 on, at c = 2 from b = 4."""
    found = hand_made(lambda b, c, a: c / b / (1 + (a == 90)), betas=(0.5, 1, 2, 4, 8), radius=lambda b: b / 10)
    one, two, only = conditions(found, 1, 1), conditions(found, 1, 2), conditions(found, 2, 2)
    assert [c.betas for c in one] == [(2, 4, 8), (4, 8)]
    assert [c.betas for c in two] == [c.betas for c in only] == [(4, 8)]
    assert [(c.lambda_max, c.euclidean, c.bregman) for c in one] == [(0.5, 0.2, 0.2), (0.25, 0.4, 0.4)]
    assert (two[0].gates, only[0].gates, two[0].angles, two[0].lambda_max) == ((1, 2), (2,), (30, 90), 0.5)
    # 95 % of 0.2, and no digit is rounded up.
    assert one[0].statement == (
        "For symmetric-linear, ‖w*‖ = 1 and angles of 30 to 90 degrees, ‖β*‖ ≥ 2 gives α ≥ 0.5 on the ball of radius"
        " 0.19 around θ* and on the Bregman ball of 0.19 nats (radii found by search, less 5%); not proved: supported"
        " by 6 truths, ‖w*‖ in 1, angles of 30, 90 degrees, ‖β*‖ up to 8."
    )
    assert "‖w*‖ from 1 to 2 and" in two[0].statement and "by 8 truths, ‖w*‖ in 1, 2," in two[0].statement
    assert json.loads(json.dumps(one[0].to_dict()))["statement"] == one[0].statement
    assert conditions(found, 3, 9) == conditions(found, 2, 1) == []


def test_what_a_statement_rounds_it_rounds_down() -> None:
    for radius in (0.2, 0.211, 0.0999, 1.0, 1.06, 17.3, 3e-4, 0.0):
        (one,) = conditions(hand_made(lambda b, c, a: 0.1, betas=(1, 2), radius=lambda b: radius), 1, 2)[:1]  # noqa: B023
        said = [float(v) for v in re.findall(r"radius (\S+) around|ball of (\S+) nats", one.statement)[0] if v]
        assert all(0.85 * radius <= v <= 0.95 * radius * (1 + 1e-8) for v in said) and said


def test_conditions_need_two_points_and_all_radii() -> None:
    assert conditions(hand_made(lambda b, c, a: 0.1 if b == 4 else 0.9), 1, 2) == []
    assert conditions(hand_made(lambda b, c, a: 0.9 if b == 4 else 0.1), 1, 2) == []
    found = hand_made(
        lambda b, c, a: 0.1 if b > 1 else 0.6, radius=lambda b: 1.0 if b < 4 else None, angles=(0, 45, 90)
    )
    (some,) = conditions(found, 0, 5)
    assert some.euclidean is some.bregman is None and "at θ* (largest λ_max(M(θ*)): 0.1000)" in some.statement
    assert "and any angle, ‖β*‖ ≥ 2" in some.statement
    two = hand_made(lambda b, c, a: 0.1, angles=(0, 90))
    assert "and angles of 0 to 90 degrees" in conditions(two, 0, 5)[0].statement


def test_a_condition_speaks_of_larger_signals_only_if_the_limit_allows_it() -> None:
    """λ_max of logistic experts may fall below the level and rise again: here to λ_∞ = 0.9957."""
    found = snr_map(LOGISTIC, [2, 4], [1], [15], alpha=0.01, boundaries=True)
    (one,) = conditions(found, 0, 9)
    assert not one.onwards and "‖β*‖ from 2 to 4 gives α ≥ 0.01" in one.statement
    assert found.boundaries == ((1.0, 15.0, None),)
    strong = snr_map(LOGISTIC, [8, 16], [16], [90], alpha=0.5, boundaries=True)
    (other,) = conditions(strong, 0, 99)
    assert other.onwards and "‖β*‖ ≥ 8 gives α ≥ 0.5" in other.statement
    ((_, _, boundary),) = strong.boundaries
    assert boundary == snr_boundary(LOGISTIC, 0.5, 16, 90) and 4 < boundary < 8


def test_an_incomplete_map_says_nothing() -> None:
    whole = hand_made(lambda b, c, a: 0.1)
    part = Map(whole.model, whole.alpha, whole.points[1:])
    for use in (phase_map, lambda m: conditions(m, 0, 9)):
        with pytest.raises(InputError, match=r"^map: expected every combination of its .* 1 are missing"):
            use(part)


# Regions: formulas of their own for tables of x ---------------------------------------------------------------------

X = np.sqrt(2) * np.column_stack([np.cos(np.pi * np.arange(4) / 4), np.sin(np.pi * np.arange(4) / 4)])
CENTRES = {
    "linear": (LINEAR, np.array([[2.0, 0.5], [0.0, 1.0]]), 0.3),
    "logistic": (LOGISTIC, np.array([[4.0, 0.0], [0.5, 3.0]]), 0.01),
}
SHAPES = ("euclidean", "bregman")


def table(model: mt.Model, theta: np.ndarray, x: np.ndarray = X) -> Finite:
    return Finite.from_model(model, theta, x, others=[2 * theta])


@cache
def region(name: str, shape: str) -> Region:
    model, truth, alpha = CENTRES[name]
    return largest_region(model, table(model, truth), truth, alpha, shape)  # type: ignore[arg-type]


def expit(t: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-t))


def lambda_of(model: mt.Model, law: Finite, thetas: np.ndarray) -> np.ndarray:
    """λ_max(M) from the formulas of the papers, for many θ, (k, 2, d)."""
    found = []
    for b, w in thetas:
        u, v = law.x @ b, law.x @ w
        slope = lambda t: expit(t) * expit(-t)
        linear = model is LINEAR
        p = slope(v + 2 * law.y * u if linear else v + law.y * u)
        s = np.stack([2 * law.y, np.ones(len(law))]) if linear else np.stack([law.y, np.ones(len(law))])
        missing = np.einsum("an,bn,n,ni,nj->aibj", s, s, law.weight * p, law.x, law.x, optimize=True)
        complete = np.zeros((2, law.dimension, 2, law.dimension))
        complete[0, :, 0] = (law.x.T * law.weight * (1 if linear else slope(u))) @ law.x
        complete[1, :, 1] = (law.x.T * law.weight * slope(v)) @ law.x
        size = 2 * law.dimension
        m = np.linalg.solve(complete.reshape(size, size), missing.reshape(size, size))
        found.append(float(np.max(np.linalg.eigvals(m).real)))
    return np.array(found)


def bregman_from(model: mt.Model, x: np.ndarray, centre: np.ndarray, thetas: np.ndarray) -> np.ndarray:
    """B_A(centre‖θ) for x uniform on some rows, for many θ, (k, 2, d)."""
    gap = lambda a, b: np.logaddexp(0, a) - np.logaddexp(0, b) - expit(b) * (a - b)
    at, to = centre @ x.T, thetas @ x.T
    experts = (at[0] - to[:, 0]) ** 2 / 2 if model is LINEAR else gap(at[0], to[:, 0])
    return np.mean(experts + gap(at[1], to[:, 1]), axis=1)


def inside(model: mt.Model, centre: np.ndarray, found: Region, count: int, share: float, seed: int = 5) -> np.ndarray:
    """Random θ in the ball of `share` of a region's radius: random directions, half of the points near its boundary."""
    rng = np.random.default_rng(seed)
    moves = rng.standard_normal((count, *centre.shape))
    moves /= np.linalg.norm(moves, axis=(1, 2), keepdims=True)
    far = np.full(count, share * found.radius)
    if found.shape == "bregman":
        low, far = np.zeros(count), np.full(count, 50.0)
        for _ in range(60):
            middle = (low + far) / 2
            over = bregman_from(model, X, centre, centre + middle[:, None, None] * moves) > share * found.radius
            low, far = np.where(over, low, middle), np.where(over, middle, far)
        far = low
    way = np.where(rng.random(count) < 0.5, 1.0, rng.random(count)) * far
    return centre + way[:, None, None] * moves


@pytest.mark.parametrize("name", CENTRES)
def test_the_formulas_of_this_file(name: str) -> None:
    model, truth, _ = CENTRES[name]
    law, other = table(model, truth), truth + np.array([[0.3, -0.2], [0.1, 0.4]])
    for theta in (truth, other):
        right = mt.missing_information_matrix(model, law, theta).lambda_max
        assert lambda_of(model, law, theta[None])[0] == pytest.approx(right, rel=1e-9)
    assert bregman_from(model, X, truth, other[None])[0] == pytest.approx(
        mt.bregman(model, law, truth, other), rel=1e-9
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CENTRES)
def test_the_nearest_point_is_on_the_boundary(name: str, shape: str) -> None:
    model, truth, alpha = CENTRES[name]
    found, law = region(name, shape), table(model, truth)
    assert (found.shape, found.alpha) == (shape, alpha) and found.nearest is not None
    # The crossing is found to 1e-4 of the way.
    assert lambda_of(model, law, found.nearest[None])[0] == pytest.approx(1 - alpha, abs=2e-4 * (1 - alpha))
    assert found.lambda_centre == pytest.approx(lambda_of(model, law, truth[None])[0], rel=1e-9)
    size = {
        "euclidean": np.linalg.norm(found.nearest - truth),
        "bregman": bregman_from(model, X, truth, found.nearest[None])[0],
    }
    assert found.radius == pytest.approx(size[shape], rel=1e-6) and 0 < size["euclidean"] < found.cap
    assert json.loads(json.dumps(found.to_dict()))["nearest"] == found.nearest.tolist()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CENTRES)
def test_no_point_of_a_region_is_beyond_the_level(name: str, shape: str) -> None:
    model, truth, alpha = CENTRES[name]
    points = inside(model, truth, region(name, shape), 2000, 0.95)
    assert lambda_of(model, table(model, truth), points).max() <= 1 - alpha


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CENTRES)
def test_a_region_is_not_smaller_than_it_could_be(name: str, shape: str) -> None:
    """A ball a fifth larger has a point beyond the level: where the nearest one is, if nowhere else."""
    model, truth, alpha = CENTRES[name]
    found = region(name, shape)
    assert found.nearest is not None
    beyond = truth + 1.02 * (found.nearest - truth)
    assert lambda_of(model, table(model, truth), beyond[None])[0] > 1 - alpha


def test_radii_turn_with_the_features() -> None:
    turn = np.array([[np.cos(1), np.sin(1)], [-np.sin(1), np.cos(1)]])
    for name, (model, truth, alpha) in CENTRES.items():
        for shape in SHAPES:
            turned = largest_region(model, table(model, truth @ turn, X @ turn), truth @ turn, alpha, shape, seed=1)  # type: ignore[arg-type]
            assert turned.radius == pytest.approx(region(name, shape).radius, rel=0.03)


def test_radii_know_the_symmetries() -> None:
    for name, (model, truth, alpha) in CENTRES.items():
        for moved in (-truth, truth[::-1]) if model is LOGISTIC else (-truth,):
            for shape in SHAPES:
                other = largest_region(model, table(model, moved), moved, alpha, shape)  # type: ignore[arg-type]
                assert other.radius == pytest.approx(region(name, shape).radius, rel=0.03)


@pytest.mark.parametrize("name", CENTRES)
def test_em_never_leaves_a_bregman_ball(name: str) -> None:
    model, truth, alpha = CENTRES[name]
    law, em = table(model, truth), mt.EM(model)
    for theta in inside(model, truth, region(name, "bregman"), 20, 0.95, seed=8):
        before = bregman_from(model, X, truth, theta[None])[0]
        for _ in range(12):
            theta = em.step(theta, law)
            after = bregman_from(model, X, truth, theta[None])[0]
            # Below this it is the table's quadrature in y that is seen.
            assert after <= (1 - alpha) * before * (1 + 1e-9) + 1e-13
            before = after


def test_a_region_of_a_population() -> None:
    truth = np.array([[4.0, 0, 0], [0, 1, 0]])
    found = largest_region(LINEAR, Population(LINEAR, truth, nats=9), truth, 0.5, "bregman", rays=3, refine=1)
    exact = Population(LINEAR, truth, nats=12)
    assert found.nearest is not None
    law, model, coordinates = exact.reduce(LINEAR, found.nearest)
    assert coordinates is not None
    local = mt.missing_information_matrix(model, law, coordinates.project(found.nearest))
    assert local.lambda_max == pytest.approx(0.5, abs=5e-4)
    assert found.radius == pytest.approx(
        mt.bregman(model, law, coordinates.project(truth), coordinates.project(found.nearest)), rel=5e-3
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("erasure", [0.2, 0.6])
def test_regions_of_the_solvable_model(shape: str, erasure: float) -> None:
    """M = erasure I: every ball will do, or none."""
    model, truth = erased_labels(erasure, 1e-300), np.array([[1.0, -0.5]])
    law = Finite.from_model(model, truth, X)
    wide = largest_region(model, law, truth, 1 - erasure - 0.01, shape, cap=10.0)  # type: ignore[arg-type]
    none = largest_region(model, law, truth, 1 - erasure + 0.01, shape, cap=10.0)  # type: ignore[arg-type]
    assert wide.nearest is None and wide.cap == 10 and wide.to_dict()["nearest"] is None
    rng = np.random.default_rng(2)
    moves = [10 * v / np.linalg.norm(v) for v in rng.standard_normal((200, 1, 2))]
    least = min(mt.bregman(model, law, truth, truth + v) for v in moves)
    # The least of B over directions, as far as a few rays can tell.
    assert wide.radius == pytest.approx(10) if shape == "euclidean" else wide.radius == pytest.approx(least, rel=0.05)
    assert none.radius == 0 and none.nearest is not None and (none.nearest == truth).all()
    assert wide.lambda_centre == none.lambda_centre == pytest.approx(erasure, rel=1e-9)
    assert largest_lambda(model, law, truth, 0.5) == pytest.approx(erasure, rel=1e-6)


def test_the_largest_lambda_of_a_ball() -> None:
    model, truth, alpha = CENTRES["linear"]
    law, found = table(model, truth), region("linear", "bregman")
    assert largest_lambda(model, law, truth, 0.9 * found.radius, rays=40) <= 1 - alpha
    assert largest_lambda(model, law, truth, 4 * found.radius, rays=40) > 1 - alpha
    direction = np.array([[0.3, -1.0], [0.5, 0.2]])
    edge = boundary(model, law, truth, direction, 0.25)
    assert bregman_from(model, X, truth, (truth + edge * direction)[None])[0] == pytest.approx(0.25, rel=1e-5)


def test_an_edge_close_to_the_end_of_the_way() -> None:
    model, truth, _ = CENTRES["linear"]
    truth = 0.6 * truth
    law, direction = table(model, truth), np.array([[0.3, -1.0], [0.5, 0.2]])
    far, right = 20 * (1 + np.linalg.norm(truth)), 40.0
    assert 32.8 < right < far < 65.5  # the last doubling below, the first one beyond
    radius = float(bregman_from(model, X, truth, (truth + right * direction)[None])[0])
    assert boundary(model, law, truth, direction, radius) == pytest.approx(right, rel=1e-4)


@pytest.mark.parametrize("root", [1e-3, 0.7, 6.0, 9.99])
def test_the_first_crossing(root: float) -> None:
    assert first_crossing(lambda s: s - root, 10.0) == pytest.approx(root, rel=2e-4)
    assert first_crossing(lambda s: (s - root) * np.exp(-s), 10.0) == pytest.approx(root, rel=2e-4)
    assert first_crossing(lambda s: -1.0, root) == root and first_crossing(lambda s: 0.0, root) == 0
    assert 0 <= first_crossing(lambda s: -1.0 if s < root else np.inf, 10.0) <= root


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 2}, "alpha"),
        ({"shape": "cube"}, "shape"),
        ({"rays": 0}, "rays"),
        ({"centre": [[1.0, 2.0]]}, "centre"),
        ({"centre": [[1.0], [2.0]]}, "centre"),
        ({"centre": [[np.nan, 0.0], [1.0, 2.0]]}, "centre"),
    ],
)
def test_bad_regions_are_refused(change: Row, complaint: str) -> None:
    model, truth, alpha = CENTRES["linear"]
    options = {"centre": truth, "alpha": alpha} | change
    with pytest.raises(InputError, match=f"^{complaint}: expected"):
        largest_region(model, table(model, truth), **options)  # type: ignore[arg-type]


# Figures -----------------------------------------------------------------------------------------------------------


def drawn(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def plausible(model: str) -> Callable[[float, float, float], float]:
    """Something between the asymptotes."""
    limit = 0.0 if model == "symmetric-linear" else high_snr(LOGISTIC, 1.0, 30.0).coefficient
    return lambda b, c, a: limit + (1 - limit) / (1 + b)


@pytest.mark.parametrize("radius", [None, 0.0, 0.3])
@pytest.mark.parametrize("level", [0.05, 0.3, 1.2, 0.0], ids=lambda v: f"around {v:g}")
def test_phase_maps(level: float, radius: float | None) -> None:
    found = hand_made(lambda b, c, a: level * (1 + b / 100), radius=lambda b: radius)
    figure = phase_map(found)
    assert drawn(figure).startswith(b"\x89PNG")
    *panels, bar = figure.axes
    assert [p.get_title(loc="left") for p in panels] == ["angle 30°", "angle 90°"]
    assert all(p.get_xlabel() == r"experts' signal $\|\beta^*\|$" for p in panels)
    assert all(p.get_xscale() == p.get_yscale() == "log" for p in panels)
    assert panels[0].get_ylabel() == r"gate's signal $\|w^*\|$" and bar.get_ylabel() == r"$\lambda_{\max}(M(\theta^*))$"
    assert found.model in figure.get_suptitle() and ("circles" in figure.get_suptitle()) == bool(radius)
    assert phase_map(found, "mine").get_suptitle() == "mine"


def test_a_phase_map_shows_its_values_where_they_are() -> None:
    """The boundary's line is where λ_max is 1 - α, not in the transposed place."""
    figure = phase_map(hand_made(lambda b, c, a: 0.9 if b < 3 else 0.1, angles=(90,)))
    lines = [c for c in figure.axes[0].collections if c.get_linewidths()[0] == 1.8]
    points = np.concatenate([path.vertices for c in lines for path in c.get_paths()])
    assert ((points[:, 0] > 2) & (points[:, 0] < 4)).all() and points[:, 1].min() == 1 and points[:, 1].max() == 2


@pytest.mark.parametrize("gates", [(1,), ()])
def test_a_phase_map_needs_two_of_each(gates: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match=r"^map: expected two"):
        phase_map(hand_made(lambda b, c, a: 0.5, gates=gates))


def test_a_phase_map_from_no_signal_on() -> None:
    assert drawn(phase_map(hand_made(lambda b, c, a: 1 / (1 + b), betas=(0, 1, 2))))


def test_a_phase_map_from_no_gate_on() -> None:
    assert drawn(phase_map(hand_made(lambda b, c, a: 1 / (1 + b), gates=(0, 1, 2))))


@pytest.mark.parametrize("model", ["symmetric-linear", "symmetric-logistic"])
@pytest.mark.parametrize("betas", [(0.5, 1, 2, 4), (0, 0.01, 0.1, 1), (10, 20, 40), (1, 2, 3)], ids=str)
def test_asymptotes(model: str, betas: tuple[float, ...]) -> None:
    found = hand_made(plausible(model), betas=betas, model=model)
    figure = asymptote_figure(found, 1, 30)
    assert drawn(figure).startswith(b"\x89PNG")
    above, below = figure.axes
    assert above.get_ylabel() == r"$\lambda_{\max}(M(\theta^*))$"
    assert below.get_xlabel() == r"experts' signal $\|\beta^*\|$" and below.get_ylabel().startswith("distance to")
    assert model in above.get_title(loc="left") and "angle 30°" in above.get_title(loc="left")
    x, y = above.lines[0].get_data()
    assert list(x) == [b for b in betas if b > 0] and list(y) == [plausible(model)(b, 1, 30) for b in x]
    names = [t.get_text() for t in figure.legends[0].get_texts()]
    low, high = (
        f(MODELS["SymMoLinE" if model == "symmetric-linear" else "SymMoLogE"], 1, 30.0) for f in (low_snr, high_snr)
    )
    assert [f"{low.coefficient:.4g}" in n for n in names[:3]] == [False, True, False]
    assert [
        (f"{high.coefficient:.5g}/" if high.correction == 0 else f"{high.coefficient:.4g} + ") in n for n in names[:3]
    ] == [False, False, True]
    assert names[3:] == (["proved bound, any angle"] if model == "symmetric-linear" else [])


def test_the_asymptotes_are_drawn_as_they_are() -> None:
    """Each as far as it says anything: at its end of a computed curve."""
    figure = asymptote_figure(snr_map(LINEAR, [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 40], [1], [30]), 1, 30)
    low, high = low_snr(LINEAR, 1, 30.0), high_snr(LINEAR, 1, 30.0)
    ends = [line.get_data()[0][[0, -1]] for line in figure.axes[0].lines[1:]]
    assert ends[0][0] == pytest.approx(0.05) and ends[1][1] == pytest.approx(40)
    assert 0.5 < ends[0][1] < 10 and 0.2 < ends[1][0] < 5  # neither is drawn all along
    claimed = (lambda b: 1 - low.coefficient * b**2, lambda b: high.coefficient / b)
    bound = lambda b: [mt.rate_bound(LINEAR, float(v), 1.0) for v in b]
    for line, right in zip(figure.axes[0].lines[1:], (*claimed, bound), strict=True):
        x, y = line.get_data()
        assert len(x) > 10
        np.testing.assert_allclose(y, right(x), rtol=1e-12)


def test_asymptotes_need_three_points_and_a_gate() -> None:
    found = hand_made(lambda b, c, a: 0.5, betas=(0, 1, 2), gates=(0, 1))
    for gate, phi in ((1, 30), (0, 30), (1, 45), (7, 30)):
        with pytest.raises(InputError, match=r"^map: expected three"):
            asymptote_figure(found, gate, phi)
    with pytest.raises(InputError, match=r"^gate: expected"):
        asymptote_figure(hand_made(lambda b, c, a: 0.5, gates=(0,)), 0, 30)


def test_an_asymptote_reads_its_regime() -> None:
    one = Asymptote(0.5, "gate", 0.25)
    assert (one.at("low", LINEAR, 2.0), one.at("high", LINEAR, 2.0), one.at("high", LOGISTIC, 2.0)) == (-1, 0.25, 0.625)
