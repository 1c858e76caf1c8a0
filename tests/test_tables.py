"""Cells of tables: what is read as a number, what is a category, and what is refused with what to do about it."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import json
import math
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import moe_theory as mt
from moe_theory.certificates.checker import check_file
from moe_theory.cli.main import cli
from moe_theory.datasets.notation import looks
from moe_theory.datasets.reading import MISSING, Reading
from moe_theory.datasets.table import Table, delimiter_of, parse_csv
from moe_theory.errors import InputError
from moe_theory.mixture.categories import FEW, refuse_numbers
from moe_theory.mixture.places import Places

ROWS = 60
RNG = np.random.default_rng(3)


def table_of(cells: list[str], delimiter: str = ",", **options: Any) -> Table:
    """A file with a column v of these cells, and a column y."""
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows([["y", "v"], *([i, cell] for i, cell in enumerate(cells))])
    return parse_csv("t.csv", file.getvalue(), Reading.of(**options, options="--"))


def judged(cells: list[str], **options: Any) -> np.ndarray:
    """A column as a formula has it; InputError where it is neither numbers nor a category."""
    table = table_of(cells, **options)
    values = table.reading.values(table.cells("v"))
    if values.dtype == object:
        refuse_numbers("v", list(values), Places(table.name, table.lines, table.reading))
    return values


def repeated(*cells: str) -> list[str]:
    return [cells[i % len(cells)] for i in range(ROWS)]


# Numbers -----------------------------------------------------------------------------------------------------

# cells, options, the values
READ: list[tuple[list[str], dict[str, Any], list[float]]] = [
    (["1", "-2", "+3"], {}, [1, -2, 3]),
    (["1.5", ".5", "5.", "1e3", "-1.5E-2"], {}, [1.5, 0.5, 5, 1000, -0.015]),
    (["1,5", "2", ",5", "-1,5e3"], {"decimal": ","}, [1.5, 2, 0.5, -1500]),
    (["1,500", "12", "1,234,567.5"], {"thousands": ","}, [1500, 12, 1234567.5]),
    (["1.500", "1.234,5"], {"decimal": ",", "thousands": "."}, [1500, 1234.5]),
    (
        ["1 500", "1\u00a0500", "1\u202f500", "1\u2009500,5"],
        {"decimal": ",", "thousands": "space"},
        [1500] * 3 + [1500.5],
    ),
    (["1 500"], {"thousands": "\u202f"}, [1500]),
    (["1'500", "1\u2019500.25"], {"thousands": "'"}, [1500, 1500.25]),
    (["1_500"], {"thousands": "_"}, [1500]),
    (["TRUE", "FALSE"], {}, [1, 0]),
    (["True", "false"], {}, [1, 0]),
    # A file of decimal commas with a column that can only have points.
    (["7.8", "1.500", "3"], {"decimal": ","}, [7.8, 1.5, 3]),
]


@pytest.mark.parametrize("case", READ, ids=lambda case: " ".join(case[0]))
def test_numbers_are_read(case: tuple[list[str], dict[str, Any], list[float]]) -> None:
    cells, options, expected = case
    table = table_of(cells, **options)
    np.testing.assert_array_equal(table.column("v"), expected)
    values = table.reading.values(table.cells("v"))
    assert values.dtype.kind in "bif"
    np.testing.assert_array_equal(values, expected)


NOT_READ: list[tuple[str, dict[str, Any], str]] = [
    ("1,5", {}, "a decimal comma: --decimal ,"),
    ("0,500", {}, "a decimal comma: --decimal ,"),
    ("1,500", {}, "a thousands separator or a decimal comma: --thousands , if it is 1500, --decimal , if it is 1.5"),
    ("1,234,567", {}, "a thousands separator: --thousands ,"),
    ("1.234.567", {}, "a decimal comma and a thousands separator: --decimal , --thousands ."),
    ("1.234,5", {}, "a decimal comma and a thousands separator: --decimal , --thousands ."),
    ("1 500", {}, "a thousands separator: --thousands ' '"),
    ("1\u00a0500", {}, "a thousands separator: --thousands ' '"),
    ("1\u202f500,5", {}, "a decimal comma and a thousands separator: --decimal , --thousands ' '"),
    ("1'500", {}, 'a thousands separator: --thousands "\'"'),
    # What pandas reads as 15 and 12345.
    ("1,5", {"thousands": ","}, "a decimal comma"),
    ("1,23,45", {"thousands": ","}, "a number in a notation that is not read"),
    (
        "1.500",
        {"decimal": ","},
        "a decimal point or a thousands separator: --decimal . if it is 1.5, --thousands . if it",
    ),
    ("1_0", {}, "digits with an underscore"),
    ("\u0661\u0662", {}, "digits that are not 0-9"),
    ("\uff11.\uff15", {}, "digits that are not 0-9"),
    ("\u22121.5", {}, "a minus that is not '-'"),
    ("\u20135", {}, "a minus that is not '-'"),
    ("1e\u22125", {}, "a minus that is not '-'"),
    ("5%", {}, "a percentage"),
    ("5,5 %", {}, "a percentage"),
    ("5D-1", {}, "a Fortran exponent"),
    ("1.5d+02", {}, "a Fortran exponent"),
    ("$5", {}, "an amount of money"),
    ("-$1,500.00", {}, "an amount of money"),
    ("5 €", {}, "an amount of money"),
    ("EUR 5", {}, "an amount of money"),
    ("(5)", {}, "a negative number in brackets"),
    ("5-", {}, "a number with its sign behind"),
    ("2020-01-02", {}, "a date"),
    ("2020-01-02T03:04:05Z", {}, "a date"),
    ("1/2/2020", {}, "a date"),
    ("1.2.2020", {}, "a date"),
    ("01-Feb-2020", {}, "a date"),
    ("Jan 2, 2020", {}, "a date"),
    ("2020Q1", {}, "a date"),
    ("12:30", {}, "a time"),
    ("12:30:05.5 pm", {}, "a time"),
    ("1 days 00:00:00", {}, "a duration"),
    ("1/2", {}, "a fraction"),
    ("1 1/2", {}, "a fraction"),
    ("2½", {}, "a fraction"),
    ("1+2j", {}, "a complex number"),
    ("(1+0j)", {}, "a complex number"),
    ("10-20", {}, "a range of numbers"),
    ("10–20", {}, "a range of numbers"),
    ("(0.5,1.5]", {}, "a range of numbers"),
    ("18-25 years", {}, "a range of numbers"),
    ("<5", {}, "a bound for a number"),
    ("75+", {}, "a bound for a number"),
    ("5 or more", {}, "a bound for a number"),
    ("5 ± 1", {}, "a number with its error"),
    ("1.5×10^3", {}, "a power of ten"),
    ("1.5×10³", {}, "a power of ten"),
    ("5 kg", {}, "a number with a unit"),
    ("5kg", {}, "a number with a unit"),
    ("12 mg/dL", {}, "a number with a unit"),
    ("5°C", {}, "a number with a unit"),
    ("0x1F", {}, "a number that is not decimal"),
    ("inf", {}, "not a finite number"),
    ("-Infinity", {}, "not a finite number"),
    ("NAN", {}, "not a finite number"),
    ("1e400", {}, "too large for a number"),
    ('="5"', {}, "a number in a notation that is not read"),
    ("5*", {}, "a number in a notation that is not read"),
]


@pytest.mark.parametrize("case", NOT_READ, ids=lambda case: f"{case[0]} {case[1]}")
def test_other_notations_are_refused_by_name(case: tuple[str, dict[str, Any], str]) -> None:
    """In a column of them and among numbers, of a formula's, of a response or a feature by name, and of weights."""
    cell, options, why = case
    for cells, line in (([cell] * ROWS, 2), (["1", "2", cell] * (ROWS // 3), 4)):
        with pytest.raises(InputError) as refused:
            table_of(cells, **options).column("v")
        assert str(refused.value).startswith(
            f"t.csv: expected a number in column 'v', line {line}, got {cell!r}, {why}"
        )
        with pytest.raises(InputError) as refused:
            judged(cells, **options)
        message = str(refused.value)
        assert message.startswith(f"t.csv: expected numbers or categories in column 'v', got {cell!r} (lines {line}, ")
        assert why in message and message.endswith("; C(v) for categories") and "\n" not in message


def test_all_cells_of_a_column_tell_which_marks_they_have() -> None:
    for cells, why in (
        (["1,500", "1,5"], "a decimal comma: --decimal ,"),
        (["1,500", "750.5"], "a thousands separator: --thousands ,"),
        (["1.234,5", "7"], "a decimal comma and a thousands separator: --decimal , --thousands ."),
    ):
        for found in (lambda cells=cells: table_of(cells).column("v"), lambda cells=cells: judged(cells * 20)):
            with pytest.raises(InputError, match=re.escape(why)):
                found()


def marked(value: float, decimal: str, thousands: str, places: int) -> str:
    """As Python prints it, then with the marks."""
    return f"{value:,.{places}f}".translate(str.maketrans({",": thousands, ".": decimal}))


finite = st.floats(-1e9, 1e9).map(lambda x: x + 0.0)
MARKS = [(d, t) for d in ".," for t in ("", ",", ".", "'", "\u2019", " ", "\u00a0", "\u202f", "\u2009", "_") if d != t]


@given(st.lists(finite, min_size=1, max_size=20), st.sampled_from(MARKS), st.integers(0, 4))
def test_numbers_come_back_under_the_options_that_say_how_they_are_marked(
    values: list[float], marks: tuple[str, str], places: int
) -> None:
    decimal, thousands = marks
    separator = "'" if thousands == "\u2019" else thousands
    cells = [marked(value, decimal, thousands, places) for value in values]
    found = table_of(cells, decimal=decimal, thousands=separator).column("v")
    np.testing.assert_array_equal(found, [float(f"{value:.{places}f}") for value in values])


NOTATIONS: dict[str, Any] = {
    "comma": lambda x: repr(x).replace(".", ","),
    "percent": lambda x: f"{x:g}%",
    "percent comma": lambda x: f"{x:.2f} %".replace(".", ","),
    "fortran": lambda x: f"{x:.6e}".replace("e", "D"),
    "fortran short": lambda x: f"{x:.3e}".replace("e", "d"),
    "minus": lambda x: f"{-abs(x) or -1.0:.3f}".replace("-", "\u2212"),
    "dollars": lambda x: f"${x:,.2f}",
    "euros": lambda x: f"{x:.2f} €",
    "grouped": lambda x: f"{x + 1e4:,.0f}",
    "grouped comma": lambda x: marked(abs(x) + 1e3, ",", ".", 2),
    "spaces": lambda x: marked(abs(x) + 1e3, ",", "\u202f", 2),
    "apostrophes": lambda x: marked(abs(x) + 1e3, ".", "\u2019", 2),
    "arabic": lambda x: f"{x:.3f}".translate({48 + i: 0x660 + i for i in range(10)}),
    "fullwidth": lambda x: f"{x:.3f}".translate({48 + i: 0xFF10 + i for i in range(10)}),
    "underscores": lambda x: f"{abs(x) + 1e4:_.0f}",
    "hex": lambda x: hex(int(abs(x))),
    "unit": lambda x: f"{x:g} kg",
    "unit joined": lambda x: f"{x:g}mm",
    "range": lambda x: f"{abs(x):.1f}-{abs(x) + 1:.1f}",
    "bound": lambda x: f"<{abs(x):g}",
    "error": lambda x: f"{x:g} ± 0.1",
    "brackets": lambda x: f"({abs(x):.2f})",
    "complex": lambda x: str(complex(x, 1)),
    "date": lambda x: (datetime.date(2000, 1, 1) + datetime.timedelta(int(abs(x)) % 9000)).isoformat(),
    "us date": lambda x: f"{int(abs(x)) % 12 + 1}/{int(abs(x)) % 28 + 1}/2020",
    "timestamp": lambda x: str(datetime.datetime(2000, 1, 1) + datetime.timedelta(seconds=int(abs(x)))),
    "time": lambda x: f"{int(abs(x)) % 24}:{int(abs(x)) % 60:02}",
    "fraction": lambda x: str(Fraction(int(abs(x)), 2)) if int(x) % 2 else "1/2",
    "power": lambda x: f"{x:.3f}×10^3",
    "excel": lambda x: f'="{x:g}"',
    "quoted": lambda x: f"'{x:g}'",
    "infinite": lambda x: "-inf" if x < 0 else "Inf",
}
levels = st.lists(finite, min_size=1, max_size=8)


@given(levels, st.sampled_from(sorted(NOTATIONS)), st.integers(0, 2**32 - 1), st.sampled_from([".", ","]))
def test_numbers_in_any_notation_are_never_categories(values: list[float], name: str, seed: int, decimal: str) -> None:
    """However many levels there are and however often they recur: read as what they are, or refused."""
    rng = np.random.default_rng(seed)
    cells = [NOTATIONS[name](values[i]) for i in rng.integers(0, len(values), ROWS)]
    assert all(looks(cell, Reading()) or Reading().number(cell) is not None for cell in set(cells))
    mixed = [str(values[0]) if rng.random() < 0.3 else cell for cell in cells]
    for own in (cells, mixed):
        with contextlib.suppress(InputError):
            assert judged(own, decimal=decimal).dtype.kind in "if", own


# Categories --------------------------------------------------------------------------------------------------

CATEGORIES = {
    "words": repeated("north", "south", "east"),
    "two": repeated("yes", "no"),
    "T and F": repeated("T", "F"),
    "ordinals": repeated("1st", "2nd", "3rd", "Crew"),
    "letters and digits": repeated("A1", "B2", "type 3", "Q4"),
    "drive": repeated("4", "f", "r", "f", "r"),
    "plus and minus": repeated("+", "-"),
    "months": repeated("Jan", "Feb", "May"),
    "e and i": repeated("e", "i", "inflated"),
    "a few once": [*repeated("a", "b")[:-FEW], *"cdefg"],
    "sentences": repeated("lives in 12 Main Street, since 1990", "elsewhere"),
    "other scripts": repeated("北", "юг", "één"),
    "lower none": repeated("none", "some"),
}


@pytest.mark.parametrize("case", CATEGORIES)
def test_words_that_recur_are_categories(case: str) -> None:
    assert list(judged(CATEGORIES[case])) == CATEGORIES[case]


NO_CATEGORIES = {
    "a word among numbers": (
        [*map(str, range(59)), "high"],
        "got 'high' (line 61) among 59 numbers: --missing high if it stands for no value",
    ),
    "a stop among numbers": (
        repeated("1.5", "2", "."),
        "got '.' (lines 4, 7, 10, 13, 16, …) among 40 numbers: --missing .",
    ),
    "a stop among words": (repeated("a", "b", "."), "got '.' (lines 4, 7, 10, 13, 16, …) among 3 levels: --missing ."),
    "few levels, mostly numbers": (
        repeated("1", "2", "3+"),
        "got '3+' (lines 4, 7, 10, 13, 16, …) among 40 numbers, a",
    ),
    "few numbers, most levels": (
        ["no"] * 57 + ["1,5", "2,5", "3,5"],
        "got 'no' (lines 2, 3, 4, 5, 6, …): --missing no",
    ),
    "all once": ([f"n{i}" for i in range(ROWS)], "got 60 levels that occur once, such as 'n0' (line 2)"),
    "more than a few once": (
        [*repeated("a", "b")[: -FEW - 1], *"cdefgh"],
        "got 6 levels that occur once, such as 'c' (line 56)",
    ),
    "half of a few rows": (["a", "b", "c"], "got 3 levels that occur once, such as 'a' (line 2)"),
    "control characters": (repeated("1", "\x1b[31m"), r"got '\x1b[31m' (lines 3, 5, 7, 9, 11, …) among 30 numbers"),
}


@pytest.mark.parametrize("case", NO_CATEGORIES)
def test_what_is_no_category_is_refused(case: str) -> None:
    cells, got = NO_CATEGORIES[case]
    with pytest.raises(InputError) as refused:
        judged(cells)
    message = str(refused.value)
    assert message.startswith(f"t.csv: expected numbers or categories in column 'v', {got}")
    assert message.endswith("; C(v) for categories") and message.isprintable()


# No value ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["", *MISSING])
def test_words_for_no_value(word: str) -> None:
    assert Reading().is_missing(word)
    for cells in (["1", word], ["a", word], ["TRUE", word]):
        values = Reading().values(cells)
        assert values[1] is None or math.isnan(values[1])
    with pytest.raises(InputError, match="expected a number in column 'v', line 3, got "):
        table_of(["1", word]).column("v")


def test_the_users_words_replace_the_list_but_not_the_empty_cell() -> None:
    found = Reading.of(missing=" NA , . ")
    assert found.missing == ("NA", ".")
    assert [found.is_missing(word) for word in ("", ".", "NA", "None", "nan")] == [True, True, True, False, False]
    assert Reading.of(missing=["-9"]).values(["-9", "2"]).tolist() == pytest.approx([math.nan, 2], nan_ok=True)
    assert list(judged(repeated("None", "some"), missing="NA")) == repeated("None", "some")
    assert Reading.of(missing="").missing == ()
    # What a user has named stays in the option that is proposed.
    with pytest.raises(InputError, match=re.escape("--missing NA,. if it stands for no value")):
        judged(repeated("a", "b", "."), missing="NA")


BAD_OPTIONS = {
    "decimal": ({"decimal": ";"}, "--decimal: expected . or , (a comma), got ';'"),
    "thousands": ({"thousands": "x"}, "--thousands: expected one of , . ' _ or a space, got 'x'"),
    "same": ({"thousands": "."}, "--thousands: expected another mark than the decimal one, got '.'"),
    "words": ({"missing": [3]}, "--missing: expected words, got [3]"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_are_one_line(case: str) -> None:
    options, message = BAD_OPTIONS[case]
    with pytest.raises(InputError) as refused:
        Reading.of(**options, options="--")
    assert str(refused.value) == message
    with pytest.raises(InputError, match="^" + re.escape(message.removeprefix("--"))):
        Reading.of(**options)


# Files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ('"inc, $";"age, y";y', ";"),
        ('"a, b, c, d";y', ";"),
        ('"a;b;c;d",y', ","),
        ("a, in €;y", ";"),
        ('"a ""x, y, z"" b";y', ";"),
        ("y", ","),
        ("a\ty, z", "\t"),
    ],
)
def test_the_delimiter_is_what_divides_the_rows(header: str, delimiter: str) -> None:
    cells = 1 + (delimiter in header) * (len(next(csv.reader([header], delimiter=delimiter))) - 1)
    row = delimiter.join(["1,5" if delimiter == ";" else "2"] * cells)
    assert delimiter_of(f"{header}\n{row}\n{row}\n") == delimiter


BAD_FILES = {
    "row names": (
        '"","x","y"\n"1",2,3\n"2",4,5\n',
        "expected a name for every column, got none for the first, whose cells",
    ),
    "R's table": ("x,y\n1,2,3\n2,4,5\n", "expected 2 cells in line 2, got 3, as in all: a column without a name"),
    "two without a name": (",,y\n1,2,3\n", "expected distinct, non-empty column names"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_files_that_are_refused(case: str) -> None:
    text, message = BAD_FILES[case]
    with pytest.raises(InputError) as refused:
        parse_csv("t.csv", text)
    assert str(refused.value).startswith(f"t.csv: {message}")


def test_python_reads_with_the_options_of_the_commands(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a;y\n1,5;1.500\n2;2.750,5\n,5;.\n")
    with pytest.raises(InputError) as refused:
        mt.read_data(path, "y", decimal=",", thousands=".", missing=".")
    assert str(refused.value).endswith("expected a number in column 'y', line 4, got '.', which stands for no value")
    path.write_text("a;y\n1,5;1.500\n2;2.750,5\n")
    found = mt.read_data(path, "y", decimal=",", thousands=".", intercept=True)
    np.testing.assert_array_equal(found.x, [[1, 1.5], [1, 2]])
    np.testing.assert_array_equal(found.y, [1500, 2750.5])
    with pytest.raises(InputError, match=re.escape("got '1,5', a decimal comma: decimal=','")):
        mt.read_data(path, "a", "y")


def faithful(path: Path, decimal: str) -> Path:
    """Old Faithful with another mark."""
    rows = (Path(mt.__file__).parent / "datasets" / "old_faithful.csv").read_text().splitlines()
    path.write_text("\n".join(row.replace(",", ";").replace(".", decimal) for row in rows))
    return path


def test_every_command_that_reads_a_table_has_the_options(tmp_path: Path) -> None:
    """The same numbers from a file with decimal commas; the command that proves again names the options."""
    path, usual = faithful(tmp_path / "comma.csv", ","), faithful(tmp_path / "point.csv", ".")
    columns = ["--response", "eruption", "--features", "waiting_centred"]
    for command in (["rate", "symmetric-linear", "--data"], ["fit", "--experts", "1"], ["recover", "--experts", "1"]):
        reports = []
        for own, more in ((path, ["--decimal", ","]), (usual, [])):
            done = CliRunner().invoke(cli, [*command, str(own), *columns, *more, "--json"])
            report = json.loads(done.output) if done.output else str(done.exception)
            reports.append({k: v for k, v in report.items() if k not in ("data", "seconds")} if done.output else report)
        assert reports[0] == reports[1], command
    for name in ("fit", "rate", "recover", "certify", "check"):
        options = {o for p in cli.commands[name].params for o in p.opts}
        assert {"--decimal", "--thousands", "--missing"} <= options
        assert ", ".join(MISSING) in " ".join(CliRunner().invoke(cli, [name, "--help"]).output.split())
    done = CliRunner().invoke(cli, ["rate", "symmetric-linear", "--beta", "1,0", "--w", "0,1", "--decimal", ","])
    assert str(done.exception) == "--decimal: expected only together with --data"
    certificate = str(tmp_path / "c.json")
    columns = ["--response", "waiting_centred", "--features", "previous_waiting", "--intercept", "--sigma", "6"]
    done = CliRunner().invoke(
        cli, ["certify", str(path), *columns, "--restarts", "2", "--out", certificate, "--missing", "NA"]
    )
    assert done.exit_code == 0 and done.output.rstrip().endswith("comma.csv --missing NA")
    with pytest.raises(InputError, match="decimal: expected"):
        check_file(certificate, path, decimal="x")


# file, options, formula, the feature's cells as Python reads them, or what is said of them
FILES: dict[str, tuple[list[str], str, Any]] = {
    "germany": (["--decimal", ","], "y ~ dosis", lambda cell: float(cell.replace(",", "."))),
    "thousand": (["--thousands", ","], "y ~ income", lambda cell: float(cell.replace(",", ""))),
    "hdr": ([], "y ~ `inc, $`", float),
    "plateau": ([], "y ~ flag", lambda cell: float(cell == "TRUE")),
    "missdot": (
        ["--missing", "."],
        "y ~ dose",
        "expected no missing values, got 12 in column dose (lines 2, 7, 12, 17, ",
    ),
    "rownames": ([], "y ~ dose", "expected a name for every column, got none for the first"),
}
REFUSED = {
    "germany": "got '1,5' (lines 3, 18, 19, 25, 40, …) among 37 numbers, a decimal comma: --decimal ,; C(dosis) for",
    "thousand": "got '1,500' (lines 2, 11, 13, 14, 16, …), a thousands separator or a decimal comma: --thousands ,",
    "missdot": "got '.' (lines 2, 7, 12, 17, 22, …) among 48 numbers: --missing . if it stands for no value; C(dose)",
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_had_become_fits_with_a_level_per_number(name: str, command) -> None:
    """One expert is least squares, here by NumPy from the cells as the csv module has them."""
    pytest.importorskip("formulaic")
    options, formula, read = FILES[name]
    path = Path(__file__).parent / "data" / "cases" / f"{name}.csv"
    call = ["fit", str(path), "--experts", "1", "--restarts", "1", "--json", "--formula", formula]
    if name in REFUSED:
        code, out, err = command(*call)
        assert (code, out, err.count("\n")) == (2, "", 1) and REFUSED[name] in err
    code, out, err = command(*call, *options)
    if isinstance(read, str):
        assert (code, out, err.count("\n")) == (2, "", 1) and read in err
        return
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";" if name in ("germany", "hdr") else ","))
    feature = formula.removeprefix("y ~ ").strip("`")
    x = np.column_stack([np.ones(len(rows)), [read(row[feature]) for row in rows]])
    expected = np.linalg.lstsq(x, np.array([float(row["y"]) for row in rows]), rcond=None)[0]
    np.testing.assert_allclose(json.loads(out)["experts"], [expected], rtol=1e-8)


# Data frames -------------------------------------------------------------------------------------------------

X, Y = RNG.uniform(-1, 1, ROWS).round(3), RNG.standard_normal(ROWS)


def columns_of(column: Any, formula: str = "y ~ v", **options: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """(names, x) of the experts' features that a formula makes of a frame with this column v."""
    from moe_theory.mixture.formula import formula_problem

    problem, _ = formula_problem(formula, {"y": Y, "v": column}, 1, **options)
    return problem.features.experts, np.concatenate([block.x for block in problem.law.blocks], axis=1)


def test_numbers_in_any_type_are_numbers() -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("formulaic")
    half = np.where(np.arange(ROWS) % 2, 0.5, 2.0)
    for column, expected in (
        ([Decimal(repr(float(x))) for x in X], X),
        ([Fraction(1, 2) if x == 0.5 else 2 for x in half], half),
        (np.array(X, dtype=object), X),
        (pd.array(X, dtype="Float64"), X),
        (pd.array(np.arange(ROWS), dtype="Int64"), np.arange(ROWS)),
        (pd.arrays.SparseArray(X), X),
        ([bool(x > 0) for x in X], X > 0),
        (np.array([bool(x > 0) for x in X], dtype=object), X > 0),
        ([10**20 * (i % 3) for i in range(ROWS)], 1e20 * (np.arange(ROWS) % 3)),
    ):
        names, found = columns_of(column)
        assert names == ("(Intercept)", "v")
        assert any(np.array_equal(own, expected) for own in found)


FRAMES: dict[str, tuple[Any, str]] = {
    "numbers as text": (
        repeated("1.5", "2"),
        "got numbers as text, '1.5' (rows 0, 2, 4, 6, 8, …): pandas.to_numeric for",
    ),
    "decimal commas": (repeated("1,5", "2,5"), "got '1,5' (rows 0, 2, 4, 6, 8, …), a decimal comma: decimal=','"),
    "numbers and text": ([1.5, "2,5"] * 30, "got '2,5' (rows 1, 3, 5, 7, 9, …) among 30 numbers, a decimal comma"),
    "bytes": ([b"1", b"2"] * 30, "got numbers as text, '1' (rows"),
    "dates": (np.arange(ROWS).astype("datetime64[D]"), "got '1970-01-01 00:00:00' (row 0), a date"),
    "dates as objects": ([datetime.date(2020, 1, 1 + i % 2) for i in range(ROWS)], "got '2020-01-01' (rows 0, 2, 4"),
    "durations": (np.arange(ROWS).astype("timedelta64[D]"), "got '0 days 00:00:00' (row 0), a duration"),
    "complex": (X + 0j, "a complex number"),
    "not a number as text": (
        repeated("a", "nan"),
        "got 'nan' (rows 1, 3, 5, 7, 9, …) among 2 levels: NaN in its place if",
    ),
    "truth among words": ([True, "maybe"] * 30, "got True (row 0) among other values"),
    "identifiers": ([f"n{i}" for i in range(ROWS)], "got 60 levels that occur once, such as 'n0' (row 0)"),
}


@pytest.mark.parametrize("case", FRAMES)
def test_frames_are_judged_as_files_are(case: str) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("formulaic")
    column, got = FRAMES[case]
    for formula in ("y ~ v", "y ~ x + v:x", "y ~ 1 | v"):
        with pytest.raises(InputError) as refused:
            columns_of(column, formula.replace("x + v:x", "I(y ** 2) + v:y"))
        message = str(refused.value)
        assert message.startswith("data: expected numbers or categories in column 'v', ") and got in message
        assert message.endswith("; C(v) for categories")
    # C(v), or a pandas categorical, says that they are.
    few = pd.Series(pd.Series(column).astype(object).tolist()[:2] * (ROWS // 2), dtype=object)
    assert columns_of(few, "y ~ C(v)")[0][1].startswith("C(v)[T.")
    assert columns_of(pd.Categorical(few), "y ~ v")[0][1].startswith("v[T.")


def test_expressions_are_judged_by_what_they_make() -> None:
    pytest.importorskip("formulaic")
    once = [f"{'n' * (i % 7 + 1)}{i:02}" for i in range(ROWS)]
    np.testing.assert_array_equal(columns_of(once, "y ~ v.str.len()")[1][1], [i % 7 + 3 for i in range(ROWS)])
    assert columns_of(once, "y ~ {v == 'n00'}")[1].sum() == ROWS + 1
    with pytest.raises(InputError) as refused:
        columns_of(repeated("1,5", "2,5"), "y ~ v.str.upper()")
    assert str(refused.value).startswith(
        "formula: expected numbers or categories from v.str.upper(), got '1,5', a decimal comma"
    )
    with pytest.raises(InputError, match="expected numbers or categories in column 'v', got '1,5'"):
        columns_of(repeated("1,5", "2,5"), "y ~ np.log(v) + C(v)")


@pytest.mark.parametrize("argument", ["weights", "offset"])
def test_weights_and_offset_are_refused_by_cell(argument: str) -> None:
    pytest.importorskip("formulaic")
    with pytest.raises(InputError) as refused:
        columns_of([1.5, "2,5"] * 30, "y ~ 1", **{argument: "v"})
    message = f"{argument}: expected numbers in column v, got text, '2,5' (row 1), a decimal comma: decimal=','"
    assert str(refused.value) == message


def test_text_responses_are_judged() -> None:
    pytest.importorskip("formulaic")
    for cells, got in ((repeated("0,0", "1,0"), "got '0,0' (rows"), (repeated("yes", "no", "."), "got '.' (rows 2,")):
        with pytest.raises(InputError, match=re.escape(f"expected numbers or categories in column 'v', {got}")):
            columns_of(cells, "v ~ y", family="multinomial")
    assert columns_of(repeated("10-20", "20-30"), "C(v) ~ y", family="binomial")[0] == ("(Intercept)", "y")


def test_long_codes_are_levels_of_their_own(tmp_path: Path) -> None:
    """As doubles these two are one number."""
    pytest.importorskip("formulaic")
    codes = ["12345678901234567890", "12345678901234567891"]
    rows = "".join(f"{y},{codes[i % 2]}\n" for i, y in enumerate(Y))
    (tmp_path / "t.csv").write_text("y,v\n" + rows)
    call = ["fit", str(tmp_path / "t.csv"), "--experts", "1", "--json", "--formula", "y ~ C(v)"]
    report = json.loads(CliRunner().invoke(cli, call).output)
    assert report["expert_features"] == ["(Intercept)", f"C(v)[T.{codes[1]}]"]
