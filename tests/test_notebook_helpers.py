"""What notebooks show: tables, sliders, the landscape of a small model, one experiment."""

from __future__ import annotations

import numpy as np
import pytest

import moe_theory as mt
from moe_theory.report.interactive import STATIC, WIDGET
from moe_theory.report.style import Picture

SCALAR = mt.symmetric_linear()
TRUTH = SCALAR.theta(beta=[1.5], w=[1.0])


def rows() -> mt.Data:
    return mt.MonteCarlo(SCALAR, TRUTH, n=200, seed=3).data()


def test_table_rounds_numbers_and_escapes_html() -> None:
    shown = mt.table(["$a<b$", "holds"], [(1 / 3, True), (np.float64(1e-9), np.bool_(False))], digits=3)
    assert shown.rows == (("0.333", "yes"), ("1e-09", "no"))
    assert "$a&lt;b$" in shown._repr_html_()
    with pytest.raises(mt.InputError, match="rows: expected 2 cells, one per heading, got 1 in row 0"):
        mt.table(["a", "b"], [(1,)])


def test_slider_is_a_picture_where_nobody_can_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATIC, "1")
    asked: list[float] = []

    def draw(step: float = 0.5) -> Picture:
        asked.append(step)
        return Picture()

    bundle = mt.slider(draw, step=(0.0, 1.0, 0.1))._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/png"} and asked == [0.5]
    assert bundle["image/png"].startswith(b"\x89PNG")


def test_slider_is_a_widget_as_well_where_somebody_can(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipywidgets")
    monkeypatch.delenv(STATIC, raising=False)
    asked: list[float] = []

    def draw(step: float = 0.5) -> Picture:
        asked.append(step)
        return Picture()

    bundle = mt.slider(draw, step=(0.0, 1.0, 0.1))._repr_mimebundle_()
    assert bundle[WIDGET]["model_id"] and "image/png" in bundle
    assert asked == [0.5, 0.5]  # for the page, and for the widget


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({}, "ranges: expected one"),
        ({"other": (0, 1, 0.1)}, "other: expected an argument of the function"),
        ({"step": (1, 2, 0.1)}, r"step: expected \(least, greatest, step\) around the default 0.5"),
        ({"step": (0, 1)}, r"step: expected \(least, greatest, step\)"),
    ],
)
def test_slider_refuses_ranges_that_are_none(ranges: dict, message: str) -> None:
    with pytest.raises(mt.InputError, match=message):
        mt.slider(lambda step=0.5: Picture(), **ranges)


@pytest.mark.parametrize("step", [0.5, 1.0])
def test_the_majoriser_lies_above_touches_and_is_least_at_the_next_iterate(step: float) -> None:
    figure = mt.landscape_figure(SCALAR, rows(), [[0.3], [-2.0]], step=step, steps=6)
    true, upper = (line.get_ydata() for line in figure.axes[1].lines[:2])
    way = np.asarray(figure.axes[1].lines[0].get_xdata())
    at = lambda s: int(np.argmin(np.abs(way - s)))
    assert np.min(np.asarray(upper) - np.asarray(true)) > -1e-12
    assert upper[at(0)] == pytest.approx(true[at(0)], abs=1e-12)
    assert at(1) == int(np.argmin(upper))


def test_the_landscape_is_for_two_numbers() -> None:
    with pytest.raises(mt.InputError, match=r"start: expected two predictors of one feature, shape \(2, 1\)"):
        mt.landscape_figure(SCALAR, rows(), [[0.3, 1.0], [-2.0, 1.0]])


@pytest.mark.parametrize("count", [0, 2000])
def test_an_experiment_measures_what_it_predicts(count: int) -> None:
    found = mt.rate_experiment(SCALAR, SCALAR.theta(beta=[3, 0, 0], w=[0, 1, 0]), rows=count)
    assert found.trace.converged and found.agrees
    if count == 0:
        assert found.predicted.lambda_max == pytest.approx(0.281540089801, abs=1e-9)  # theory.md §6


def test_only_formulas_that_are_named_are_computed_and_shown() -> None:
    theory = mt.derive(mt.symmetric_logistic())
    both = theory.formulas("mirror_map", "posterior[1]")
    assert list(both) == ["mirror_map", "posterior[1]"]
    assert both["mirror_map"] == theory.formulas()["mirror_map"]
    assert theory.latex("mean").count("&=") == 1
    with pytest.raises(mt.InputError, match="names: expected some of log_joint"):
        theory.latex("fisher")


def test_what_stands_in_the_way_of_a_mirror_map_is_one_line() -> None:
    assert mt.why_not(SCALAR) == ""
    assert "curved: the term" in mt.why_not(mt.linear_experts())
    bare = mt.Model("bare", (0, 1), ("b",), None, lambda y, z, b: -((y - z * b) ** 2) / 2, mt.Reals())
    assert "= 1, got log p(y|x, z=0)" in mt.why_not(bare)


def test_the_majoriser_exceeds_the_objective_by_the_posteriors_divergence() -> None:
    from moe_theory.operators import posterior_kl

    data, here, there = rows(), np.array([[0.3], [-2.0]]), np.array([[2.0], [1.0]])
    excess = mt.majoriser(SCALAR, data, there, here) - mt.objective(SCALAR, data, there)
    assert excess == pytest.approx(posterior_kl(SCALAR, data, here, there), abs=1e-12)


def test_data_are_read_by_the_names_of_columns() -> None:
    from moe_theory.datasets import OLD_FAITHFUL

    data = mt.read_data(OLD_FAITHFUL, "waiting_centred", "previous_waiting", intercept=True)
    assert len(data) == 271 and data.names == ("intercept", "previous_waiting")
    with pytest.raises(mt.InputError, match=r"^features: expected columns other than the response"):
        mt.read_data(OLD_FAITHFUL, "waiting", "waiting")


def test_the_edge_of_a_basin_is_at_its_radius() -> None:
    data = mt.MonteCarlo(SCALAR, SCALAR.theta(beta=[3.0], w=[1.0]), n=200, seed=3).data()
    certificate = mt.certify(SCALAR, data, shape="ellipsoid")
    way = certificate.edge(np.array([[1.0], [2.0]])) - certificate.region.centre
    length = np.linalg.norm(np.linalg.solve(certificate.region.matrix, way.ravel()))
    assert length == pytest.approx(certificate.basin_radius, rel=1e-12)
