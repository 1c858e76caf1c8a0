"""Figures drawn again from the tables beside them: the same picture, another theme, and what is no such table."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import moe_theory as mt
from moe_theory.cli.main import main
from moe_theory.errors import InputError
from moe_theory.report.drawing import DRAWINGS, drawing, figure_table
from moe_theory.report.style import Picture, panel
from moe_theory.tables import from_columns, to_columns
from tests.test_style import FIGURES, drawn


def landscape() -> Picture:
    model = mt.symmetric_linear()
    truth = model.theta(beta=[2.0], w=[1.0])
    data = mt.MonteCarlo(model, truth, n=300, seed=1).data()
    return mt.landscape_figure(model, data, truth / 2, steps=4)


MADE: dict[str, Callable[[], Picture]] = FIGURES | {"landscape": landscape}


@pytest.fixture(scope="module")
def figures() -> dict[str, Picture]:
    return {name: make() for name, make in MADE.items() if not name.startswith(("fashion-", "synthetic-"))}


def words(picture: Picture) -> list[str]:
    """Headings, names of axes, legends."""
    titles = [a.get_title(loc) for a in picture.axes for loc in ("left", "center", "right")]
    labels = [label for a in picture.axes for label in (a.get_xlabel(), a.get_ylabel())]
    legends = [text.get_text() for legend in picture.legends for text in legend.get_texts()]
    return [picture.get_suptitle(), *titles, *labels, *legends]


def test_every_kind_is_drawn_again_here(figures: dict[str, Picture]) -> None:
    """But those of `reproduce`, which draws its own again by --table."""
    assert {picture.kind for picture in figures.values()} == set(DRAWINGS)


@pytest.mark.parametrize("name", [n for n in MADE if not n.startswith(("fashion-", "synthetic-"))])
def test_a_figure_is_drawn_again_from_its_table(figures: dict[str, Picture], name: str, tmp_path: Path) -> None:
    picture = figures[name]
    mt.save_figure(picture, tmp_path / "figure.svg")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["figure.svg", "figure.svg.json"]
    again = mt.redraw(tmp_path / "figure.svg")
    for (kind, before), (same, after) in zip(drawn(picture), drawn(again), strict=True):
        assert kind == same
        np.testing.assert_array_equal(before, after)
    assert words(picture) == words(again)
    assert figure_table(again) == (tmp_path / "figure.svg.json").read_bytes()
    with mt.theme("dark"):
        assert mt.redraw(tmp_path / "figure.svg.json").theme.name == "dark"


def test_a_changed_table_changes_the_figure(figures: dict[str, Picture], tmp_path: Path) -> None:
    """The picture is of the table: nothing else is remembered."""
    found = json.loads(figure_table(figures["race"]))
    found["tables"]["race"]["gap"][0] *= 2
    (tmp_path / "a.json").write_text(json.dumps(found))
    before, after = (drawn(p)[0][1] for p in (figures["race"], mt.redraw(tmp_path / "a.json")))
    assert after[1, 0] == 2 * before[1, 0]
    np.testing.assert_array_equal(after[:, 1:], before[:, 1:])


@dataclass(frozen=True)
class Cell:
    a: int
    b: float
    c: str
    d: bool


def test_columns_are_exact() -> None:
    rows = [
        Cell(1, 0.1, "é", True),
        Cell(np.int64(2), np.float64(1 / 3), "", np.bool_(False)),  # type: ignore[arg-type]
        Cell(-3, math.inf, "x", True),
        Cell(4, -math.inf, "y", False),
        Cell(5, math.nan, "z", False),
        Cell(6, 2.0, "w", False),
    ]
    text = json.dumps(to_columns(rows), allow_nan=False)
    read = from_columns(json.loads(text), Cell, "here")
    assert read[:4] == rows[:4] and math.isnan(read[4].b) and read[5] == rows[5] and isinstance(read[5].b, float)
    assert from_columns(to_columns([]), Cell, "here") == []


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ([], "expected the columns a, b, c, d in here, got others"),
        ({"a": [1]}, "expected the columns"),
        ({"a": [1], "b": [1.0, 2.0], "c": ["x"], "d": [True]}, "columns of one length"),
        ({"a": 1, "b": 1.0, "c": "x", "d": True}, "columns of one length"),
        ({"a": [1.5], "b": [1.0], "c": ["x"], "d": [True]}, "expected int in here, a, got 1.5"),
        ({"a": [True], "b": [1.0], "c": ["x"], "d": [True]}, "expected int in here, a, got True"),
        ({"a": [1], "b": ["one"], "c": ["x"], "d": [True]}, "expected float in here, b, got 'one'"),
        ({"a": [1], "b": [1], "c": [None], "d": [True]}, "expected str in here, c, got None"),
        ({"a": [1], "b": [1], "c": ["x"], "d": [1]}, "expected bool in here, d, got 1"),
    ],
)
def test_other_columns_are_refused(columns: Any, said: str) -> None:
    with pytest.raises(InputError, match="table: ") as error:
        from_columns(columns, Cell, "here")
    assert said in str(error.value)


RACE = (
    '{"moe_theory figure": "race", "words": {"title": "TITLE"}, "tables": {"race":'
    ' {"label": ["EM"], "t": [3], "gap": [1.5], "predicted": [null], "contraction": [null]}}}'
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "expected the table that was written beside it, got"),
        ("no json", "expected the table that was written beside it, got"),
        ("[1]", "expected a table of a figure of moe_theory"),
        ('{"moe_theory figure": "none"}', "expected a kind of figure that is known here, got 'none'"),
        ('{"moe_theory figure": "rate", "words": {}, "tables": {}}', "expected the tables rate and words"),
        ('{"moe_theory figure": "rate", "words": {}, "tables": {"rate": {"t": []}}}', "expected the columns"),
        ('{"moe_theory figure": "rate", "words": {"title": "T"}, "tables": {"rate": {}}}', "that can be drawn"),
        ("[" * 100_000, "expected the table that was written beside it"),
        ('{"moe_theory figure": "rate", "words": {"title": NaN}, "tables": {"rate": {}}}', "written beside it"),
        (RACE.replace("TITLE", "$\\\\foo$"), "that can be drawn"),
        (RACE.replace("1.5", "1" + "0" * 400), "a number that is too large"),
        (RACE.replace("[3]", "[1" + "0" * 400 + "]"), "that can be drawn"),
        ('{"moe_theory figure": "race", "words": {"name": "T"}, "tables": {"race": {}}}', "that can be drawn"),
    ],
)
def test_what_is_no_table_is_refused(text: str | None, said: str, tmp_path: Path, capsys: Any) -> None:
    if text is not None:
        (tmp_path / "a.png.json").write_text(text)
    with pytest.raises(InputError) as error:
        mt.redraw(tmp_path / "a.png")
    assert said in str(error.value)
    with pytest.raises(SystemExit) as stopped:
        main(["redraw", str(tmp_path / "a.png"), "--out", str(tmp_path / "b.png")])
    assert stopped.value.code == 2 and said in capsys.readouterr().err and not (tmp_path / "b.png").exists()


def test_such_a_table_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(RACE)
    assert mt.redraw(tmp_path / "a.json").axes[0].get_title("left") == "TITLE"
    with pytest.raises(InputError, match="expected the name of a file"):
        mt.redraw("")


def test_a_figure_without_tables_is_saved_alone(tmp_path: Path) -> None:
    mt.save_figure(Figure(), tmp_path / "a.png")
    mt.save_figure(panel()[0], tmp_path / "b.PDF")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.PDF"]
    (tmp_path / "a.png.json").write_text(RACE)  # of a figure that was there before
    mt.save_figure(Figure(), tmp_path / "a.png")
    assert not (tmp_path / "a.png.json").exists()
    (tmp_path / "a.png.json").write_text("mine")
    mt.save_figure(Figure(), tmp_path / "a.png")
    assert (tmp_path / "a.png.json").read_text() == "mine"
    with pytest.raises(InputError, match="drawn from tables"):
        figure_table(panel()[0])


@pytest.mark.parametrize("options", ["--figure q.png --out q.png.json", "--figure q.png --trace-figure q.png"])
def test_no_two_files_of_a_command_are_one(options: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.csv").write_text("x,y\n" + "\n".join(f"{i},{i % 3}" for i in range(20)))
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "d.csv", "--response", "y", "--features", "x", *options.split()])
    assert stopped.value.code == 2 and "expected a file of its own" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["d.csv"]


def test_nobody_elses_file_is_written_over(figures: dict[str, Picture], tmp_path: Path) -> None:
    (tmp_path / "a.png.json").write_text("mine")
    with pytest.raises(InputError, match="another's"):
        mt.save_figure(figures["rate"], tmp_path / "a.png")
    assert (tmp_path / "a.png.json").read_text() == "mine" and not (tmp_path / "a.png").exists()
    with pytest.raises(InputError, match=r"path: expected a \.png"):
        mt.save_figure(figures["rate"], tmp_path / "a.txt")


def test_a_users_own_drawing_is_drawn_again(tmp_path: Path) -> None:
    """As a module of claims would declare it; one table is empty."""

    @drawing("own", cells=Cell, none=Cell)
    def draw(cells: Iterable[Cell], none: list[Cell], title: str, scale: float = 1.0) -> Picture:
        picture, axes = panel()
        axes.plot([c.a for c in cells], [scale * c.b for c in cells])
        axes.set_title(title + str(len(none)))
        return picture

    with pytest.raises(InputError, match="no other module draws, got 'race'"):
        drawing("race", cells=Cell)(draw)
    try:
        mt.save_figure(
            draw(iter([Cell(1, 2.0, "", True)]), none=[], title="T", scale=np.float64(1)), tmp_path / "a.png"
        )
        again = mt.redraw(tmp_path / "a.png")
    finally:
        del DRAWINGS["own"]
    assert again.axes[0].get_title() == "T0" and again.axes[0].lines[0].get_ydata() == [2.0]


def test_a_command_writes_a_table_and_redraw_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(120)
    y = np.where(rng.random(120) < 0.5, 2 * x, -x) + 0.1 * rng.standard_normal(120)
    np.savetxt("data.csv", np.c_[x, y], delimiter=",", header="x,y", comments="")
    for arguments in (
        "fit data.csv --response y --features x --experts 2 --figure fit.png --trace-figure trace.pdf",
        "redraw fit.png --out again.png",
        "redraw trace.pdf.json --out dark.svg --theme dark",
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments.split())
        assert stopped.value.code == 0
    assert Path("again.png").read_bytes() == Path("fit.png").read_bytes()
    assert Path("dark.svg.json").read_bytes() == Path("trace.pdf.json").read_bytes()
    assert "#15171a" in Path("dark.svg").read_text()
