"""What notebooks show: tables, sliders, the landscape of a small model, one experiment."""

from __future__ import annotations

import numpy as np
import pytest

import moe_theory as mt
from moe_theory.report.figures import Picture
from moe_theory.report.interactive import STATIC, WIDGET

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
    bundle = mt.slider(lambda step=0.5: Picture(), step=(0.0, 1.0, 0.1))._repr_mimebundle_()
    assert bundle[WIDGET]["model_id"] and "image/png" in bundle


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
    upper, true = (line.get_ydata() for line in figure.axes[1].lines[:2])
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
