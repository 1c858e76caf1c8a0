"""One style for all figures: what lines say, names of axes, light and dark, tables from which they are made again."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.lines import Line2D

import moe_theory as mt
from moe_theory.analysis.snr import Map, Point
from moe_theory.errors import InputError
from moe_theory.report import style
from moe_theory.report.figures import race_figure, race_points
from moe_theory.report.maps import asymptote_figure, phase_map
from moe_theory.report.style import COLUMN, PAGE, Picture
from moe_theory.report.svg import on_dark
from moe_theory.report.themes import DARK, LIGHT, Theme, current
from moe_theory.tables import read_rows, write_rows
from proofs_checks.gru_figure import gap_figure

ROOT = Path(__file__).parent.parent


def docs() -> ModuleType:
    """docs/figures.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("docs_figures", ROOT / "docs" / "figures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_figures"] = module
    spec.loader.exec_module(module)
    return module


DOCS = docs()


def race() -> Picture:
    """EM and gradient descent."""
    model = mt.symmetric_linear()
    truth = model.theta(beta=[2, 0], w=[0, 1])
    data = mt.MonteCarlo(model, truth, n=400, seed=3).data()
    traces = {
        "EM": mt.run(mt.EM(model), data, truth + 0.1, tolerance=1e-11),
        "descent": mt.run(mt.GradientEM(model, inner=3), data, truth + 0.1, tolerance=1e-9),
    }
    rate = mt.predict_rate(model, data, traces["EM"].last).gap
    return race_figure(traces, traces["EM"].last, "A race", {"EM": rate})


def order() -> Picture:
    x = np.array([1.0, 10.0, 100.0])
    series = {"one": (x, 1 / x, 1.1 / x), "other": (x, 0 * x, None)}
    from moe_theory.report.figures import order_figure

    return order_figure(series, "An order", "rows $n$", "error")


def hand_made() -> Map:
    grid = itertools.product((0.5, 1.0, 4.0, 8.0), (1.0, 2.0), (30.0, 90.0))
    return Map(
        "symmetric-linear", 0.5, tuple(Point(b, c, a, 1 / (1 + b), {"beta": 1.0}, 0.1 * b, None) for b, c, a in grid)
    )


def of_docs(name: str) -> Callable[[], Picture]:
    return lambda: DOCS.FIGURES[name].draw(*DOCS.FIGURES[name].read())


FIGURES: dict[str, Callable[[], Picture]] = {
    **{name: of_docs(name) for name in DOCS.FIGURES},
    "race": race,
    "order": order,
    "map": lambda: phase_map(hand_made()),
    "asymptotes": lambda: asymptote_figure(hand_made(), 1.0, 30.0),
    "gru": gap_figure,
}


@pytest.fixture(scope="module")
def made() -> dict[str, Picture]:
    return {name: make() for name, make in FIGURES.items()}


def lines(picture: Picture) -> list[Line2D]:
    return [line for axes in picture.axes for line in axes.lines]


def drawn(picture: Picture) -> list[tuple[str, np.ndarray]]:
    """Every line's and every collection's data."""
    found = [("line", np.array(line.get_data(), dtype=float)) for line in lines(picture)]
    return found + [
        ("collection", np.ma.getdata(c.get_offsets()).astype(float)) for axes in picture.axes for c in axes.collections
    ]


# What lines say ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_measured_is_solid_predicted_dashed_a_bound_says_so(made: dict[str, Picture], name: str) -> None:
    words = {"predicted": "--", "measured": "-", "computed": "-", "found": "-", "bound": "-."}
    entries = [h for legend in made[name].legends for h in legend.legend_handles if isinstance(h, Line2D)]
    texts = [t.get_text() for legend in made[name].legends for t in legend.get_texts()]
    handles = [h for legend in made[name].legends for h in legend.legend_handles]
    assert len(handles) == len(texts)
    for handle, text in zip(handles, texts, strict=True):
        if not isinstance(handle, Line2D) or handle.get_linestyle() == "None":
            continue  # a band, or points alone
        said = next((word for word in words if text.removeprefix("as ").removeprefix("proved ").startswith(word)), None)
        if said is not None:
            assert handle.get_linestyle() == words[said], text
        assert (handle.get_linestyle() == "-.") == ("bound" in text), text
    assert entries or name in ("map", "fashion-experts")
    for line in lines(made[name]):
        if len(np.asarray(line.get_xdata())) > 2 and line.get_linestyle() != "None":
            assert style.role_of(line) in ("measured", "predicted", "bound")


@pytest.mark.parametrize("name", FIGURES)
def test_every_axis_has_a_name_and_letters_that_can_be_read(made: dict[str, Picture], name: str) -> None:
    picture = made[name]
    assert picture.get_figwidth() in (COLUMN, PAGE)
    picture.draw_without_rendering()
    box = picture.bbox
    for axes in picture.axes:
        below, left = axes.xaxis.get_tick_params()["labelbottom"], axes.yaxis.get_tick_params().get("labelleft", True)
        bar = axes.get_label() == "<colorbar>"
        assert axes.get_xlabel() or not below or bar
        assert axes.get_ylabel() or not left
        for text in (axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label):
            if text.get_text():
                extent = text.get_window_extent()
                assert text.get_fontsize() >= 7 and box.x0 <= extent.x0 and extent.x1 <= box.x1, text.get_text()
                assert box.y0 <= extent.y0 and extent.y1 <= box.y1, text.get_text()
        labels = [t for t in [*axes.get_xticklabels(), *axes.get_yticklabels()] if t.get_text()]
        assert all(t.get_fontsize() >= 7 for t in labels)
    for legend in picture.legends:
        extent = legend.get_window_extent()
        assert box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 <= extent.y0
        # Below the panels: it covers nothing.
        assert all(extent.y1 <= axes.get_window_extent().y0 for axes in picture.axes)


def test_a_predicted_line_is_seen_on_the_measured_one() -> None:
    for theme in (LIGHT, DARK):
        for slot in range(len(theme.colours)):
            assert contrast(theme.pale(slot), theme.deep(slot)) > 2.4, (theme.name, slot)


# Colours -------------------------------------------------------------------------------------------------------

# Machado, Oliveira and Fernandes, IEEE TVCG 15 (2009): severity 1, on linear RGB.
VISION = {
    "all": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def linear(colour: str) -> np.ndarray:
    c = np.array(to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG's."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear RGB, white D65."""
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = matrix @ rgb / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
@pytest.mark.parametrize("vision", VISION)
def test_colours_are_told_apart_by_all_eyes(theme: Theme, vision: str) -> None:
    """Distances in CIE L*a*b* (2.3 is just noticeable): 20 at least among the first four, 15 among all."""
    seen = [lab(np.clip(np.array(VISION[vision]) @ linear(c), 0, 1)) for c in theme.colours]
    for count, least in ((4, 20), (8, 15)):
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen[:count], 2)) > least
    assert all(contrast(colour, theme.paper) > 3 for colour in theme.colours)
    assert contrast(theme.ink, theme.paper) > 10 and contrast(theme.soft, theme.paper) > 4.5
    assert len(set(style.MARKERS)) == len(theme.colours)  # in grey by their markers


def test_a_page_in_the_dark_has_the_dark_colours() -> None:
    for slot in range(8):
        for light, dark in zip(LIGHT.tones(slot), DARK.tones(slot), strict=True):
            assert on_dark(light[1:]) == dark
    assert on_dark(LIGHT.grid[1:]) == DARK.grid


# Themes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_figures_in_the_dark(name: str) -> None:
    with mt.theme("dark"):
        picture = FIGURES[name]()
    assert picture.theme is DARK and picture.get_facecolor()[:3] == to_rgb(DARK.paper)
    assert picture._repr_png_().startswith(b"\x89PNG")
    for axes in picture.axes:
        for label in (axes.xaxis.label, axes.yaxis.label, axes._left_title):
            assert not label.get_text() or label.get_color() == DARK.ink
        assert all(t.get_color() == DARK.ink for t in [*axes.get_xticklabels(), *axes.get_yticklabels()])
    assert all(to_hex(t.get_color()) == DARK.ink for legend in picture.legends for t in legend.get_texts())
    assert all(line.get_color() not in LIGHT.colours for line in lines(picture))


def test_a_theme_holds_in_its_block_and_thread_only() -> None:
    seen: list[str] = []
    with mt.theme("dark"):
        other = threading.Thread(target=lambda: seen.append(current().name))
        other.start()
        other.join()
        with mt.theme("light"):
            assert Picture().theme is LIGHT
        assert Picture().theme is DARK
    assert current() is LIGHT and seen == ["light"]


def test_a_theme_for_all() -> None:
    mt.set_theme("dark")
    try:
        assert Picture().theme is DARK
        with mt.theme("light"):
            assert Picture().theme is LIGHT
    finally:
        mt.set_theme("light")
    with pytest.raises(InputError, match=r"^theme: expected light or dark, got 'blue'$"):
        mt.set_theme("blue")
    with pytest.raises(InputError, match=r"^theme: expected light or dark"), mt.theme("blue"):
        pass


def test_words_are_broken_between_formulas() -> None:
    text = r"measured $L(\theta_t) - L(\theta^*)$ of a run that goes on and on"
    broken = style.folded(text, 80, 8)
    assert broken.replace("\n", " ") == text and r"$L(\theta_t) - L(\theta^*)$" in broken and broken.count("\n") >= 2
    assert style.folded("short", 120, 8) == "short" and style.folded("", 120, 8) == ""


# Tables --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    name: str
    count: int
    value: float
    good: bool


SAMPLES = [Sample('a, "b"\nθ', 3, 0.1 + 0.2, True), Sample("", -1, float("inf"), False), Sample("c", 0, 1e-300, True)]


def test_a_table_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_rows(path, SAMPLES)
    assert read_rows(path, Sample) == SAMPLES
    write_rows(path, [Sample("x", np.int64(2), np.float64("nan"), np.bool_(True))])  # type: ignore[arg-type]
    (back,) = read_rows(path, Sample)
    assert (back.count, back.good) == (2, True) and np.isnan(back.value) and type(back.value) is float
    write_rows(path, SAMPLES, digits=3)
    assert read_rows(path, Sample)[0].value == 0.3


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a,b\n1,2\n", r"table: expected the columns name, count, value, good, got .* with others"),
        ("name,count,value,good\n", r"table: expected the columns .* and no rows"),
        ("", r"table: expected the columns"),
        ("name,count,value,good\nx,1.5,2,True\n", r"table: expected numbers in .*, line 2, count"),
        ("name,count,value,good\nx,1,2,yes\n", r"table: expected True or False in .*, line 2, good: got 'yes'"),
        ("name,count,value,good\nx,1,2\n", r"table: expected 4 cells in line 2 of .*, got 3"),
        ("name,count,value,good\nx,1,2,True,5\n", r"table: expected 4 cells in line 2 of .*, got 5"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=f"^{complaint}"):
        read_rows(path, Sample)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Other:
        values: tuple[int, ...]

    for rows, complaint in (
        ([], "rows: expected at least one row"),
        ([SAMPLES[0], Other((1,))], "rows: expected all of one class, Sample"),
        ([Other((1,))], "rows: expected fields int, float, bool or str, got Other.values"),
        ([3], "rows: expected a dataclass, got int"),
    ):
        with pytest.raises(InputError, match=f"^{complaint}"):
            write_rows(tmp_path / "table.csv", rows)
    with pytest.raises(InputError, match=r"^path: expected a file"):
        write_rows(tmp_path / "none" / "table.csv", SAMPLES)
    with pytest.raises(InputError, match=r"^table: expected a CSV file that can be read"):
        read_rows(tmp_path / "none.csv", Sample)


# Made again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rate", "mixture", "recovery"])
def test_the_docs_tables_are_what_a_run_gives(made: dict[str, Picture], name: str) -> None:
    """Measured again, drawn from memory: the lines of the committed table, to its digits."""
    measured = DOCS.FIGURES[name].draw(*DOCS.FIGURES[name].measure())
    for (_, before), (_, after) in zip(drawn(made[name]), drawn(measured), strict=True):
        np.testing.assert_allclose(before, after, rtol=1e-4, atol=1e-5)


def test_the_docs_figures_are_drawn_without_a_run(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "docs" / "figures.py"), "rate", "recovery", "--out", str(tmp_path)]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "rate-dark.png",
        "rate.png",
        "recovery-dark.png",
        "recovery.png",
    ]
    themes = {name: ("", "-dark")[: 1 + drawn.dark] for name, drawn in DOCS.FIGURES.items()}
    assert {p.stem for p in (ROOT / "docs").glob("*.png")} == {f"{n}{d}" for n, own in themes.items() for d in own}


def test_rows_of_a_race_are_its_runs() -> None:
    model = mt.symmetric_linear()
    truth = model.theta(beta=[2, 0], w=[0, 1])
    data = mt.MonteCarlo(model, truth, n=300, seed=3).data()
    trace = mt.run(mt.EM(model), data, truth + 0.1, tolerance=1e-11)
    rows = race_points({"EM": trace}, trace.last, {"EM": 0.5})
    gaps = trace.gaps(trace.last)
    np.testing.assert_array_equal([row.gap for row in rows], gaps[: len(rows)])
    start = (len(rows) - 1) // 3
    assert [row.predicted for row in rows[start : start + 2]] == [gaps[start], gaps[start] / 2]
    assert np.isnan(rows[start - 1].predicted)
