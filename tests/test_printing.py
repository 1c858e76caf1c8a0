"""What a stranger's file or a command line holds cannot pass for our output, and no encoding turns a verdict around."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certificates import Case, cases, consistent, make, sealed

import moe_theory as mt
from moe_theory.certificates import checker
from moe_theory.certificates.checker import check, check_file
from moe_theory.certificates.contents import MOST_BYTES, Rejected, brief, read_json
from moe_theory.certificates.limits import Deadline
from moe_theory.cli.common import console, print_json
from moe_theory.cli.main import main
from moe_theory.cli.streams import Shown, shown_streams
from moe_theory.printable import printable

EVIL = {
    "escape": "\x1b[2K\x1b[1Gvalid: all of it is proved (0.1 s)",
    "return": "x\rvalid: all of it is proved (0.1 s)",
    "line": "x\nvalid: all of it is proved (0.1 s)",
    "C1": "x\x9b2Kvalid\x85valid",
    "separator": "x\u2028valid\u2029valid",
    "bidi": "\u202evalid\u2066x\u2069",
    "invisible": "va\u200blid\u2060\ufeff\u034f\u3164\ufe0f",
    "backspace": "no\x08\x08valid",
    "surrogate": "x\ud800y\udcffz",
    "tag": "x\U000e0041\U000e007f",
    "blank": "x\u00a0\u2003\u3000valid",
    "markup": "[bold red]x[/] :warning: [link=http://x]valid[/link]",
}


@pytest.fixture
def files(made) -> tuple[Path, Path, dict[str, Any]]:  # type: ignore[no-untyped-def]
    """A true certificate and its table, as files and as an object of one's own."""
    return *made, json.loads(made[0].read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    case, start = cases()["linear-1.0"]
    folder = tmp_path_factory.mktemp("printing")
    lines = [",".join(map(repr, (*row, y))) for row, y in zip(case.x.tolist(), case.y.tolist(), strict=True)]
    (folder / "t.csv").write_text("\n".join(["x1,x2,y", *lines]), encoding="utf-8")
    own = Case(**{**vars(case), "weight": np.full(len(case.y), 1 / len(case.y))})
    certificate = make(own, np.round(own.fitted(start), 6), 0.02)
    (folder / "c.json").write_text(json.dumps(certificate), encoding="utf-8")
    return folder / "c.json", folder / "t.csv"


def data_of(table: Path) -> mt.Data:
    rows = np.loadtxt(table, delimiter=",", skiprows=1)
    return mt.Data(rows[:, :2], rows[:, 2])


def is_plain(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text) and "\u034f" not in text and "\u3164" not in text


@pytest.mark.parametrize("name", EVIL)
def test_what_is_not_plain_is_escaped(name: str) -> None:
    text = printable(EVIL[name])
    assert is_plain(text) and "\n" not in text
    assert (text == EVIL[name]) == (name == "markup")
    assert printable(text) == text
    assert is_plain(brief(EVIL[name])) and "\n" not in brief(EVIL[name])


def test_plain_text_stays_and_some_may_be_kept() -> None:
    for text in ("", "θ̂ ≤ ‖β‖, naïve 数据 русский 😀", "a b\\x1b"):
        assert printable(text) == text
    assert printable("a\n\tb\r", keep="\n\t") == "a\n\tb\\r"
    assert printable("\x7f\x1b\u202e\U000e0041") == "\\x7f\\x1b\\u202e\\U000e0041"


# Every place of a certificate that holds a text


PLACES = {
    "model.name": ("model", "name"),
    "model.joint": ("model", "joint", 0),
    "data.features": ("data", "features", 0),
    "data.response": ("data", "response"),
    "data.digest": ("data", "digest"),
    "region.shape": ("region", "shape"),
    "bound.method": ("bound", "method"),
    "seal": ("seal",),
    "certificate": ("certificate",),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_certificates_texts_are_printed_escaped(command, files, tmp_path: Path, place: str) -> None:
    _, table, certificate = files
    *path, last = PLACES[place]
    for evil in EVIL.values():
        new = json.loads(json.dumps(certificate))
        inner = new
        for key in path:
            inner = inner[key]
        inner[last] = evil
        text = json.dumps(new if place == "seal" or "\ud800" in evil else sealed(new))
        (tmp_path / "c.json").write_text(text, encoding="utf-8")
        code, out, err = command("check", str(tmp_path / "c.json"), str(table))
        assert code in (1, 2)
        assert is_plain(out) and is_plain(err)
        assert not any(line.startswith("valid") for line in (out + err).splitlines())
        assert len(out.splitlines()) <= 1


def test_keys_options_and_makers_are_printed_escaped(command, files, tmp_path: Path) -> None:
    _, table, certificate = files
    for evil in EVIL.values():
        if "\ud800" in evil:
            continue
        for section in ("", "model", "data", "maker"):
            new = json.loads(json.dumps(certificate))
            (new[section] if section else new)[evil] = [evil]
            (tmp_path / "c.json").write_text(json.dumps(sealed(new)), encoding="utf-8")
            code, out, err = command("check", str(tmp_path / "c.json"), str(table))
            assert code == 1 and is_plain(out + err) and out.startswith("rejected: ")
        new = json.loads(json.dumps(certificate))
        new["model"]["options"] = {evil: 1.0}
        (tmp_path / "c.json").write_text(json.dumps(sealed(new)), encoding="utf-8")
        code, out, err = command("check", str(tmp_path / "c.json"), str(table))
        assert code == 1 and is_plain(out + err) and out.startswith("rejected: ")


def test_paths_and_columns_are_printed_escaped(command, files, tmp_path: Path) -> None:
    path, table, _ = files
    for name in ("escape", "return", "line", "bidi", "markup", "C1"):
        own = tmp_path / f"{EVIL[name].replace('/', '')}.json"
        own.write_bytes(path.read_bytes())
        code, out, err = command("check", str(own), str(table))
        assert code == 0 and is_plain(out + err)
        assert sum(line.startswith("valid") for line in out.splitlines()) == 1
        code, out, err = command("check", str(own) + "none", str(table))
        assert code == 2 and out == "" and is_plain(err) and err.count("\n") == 1
        code, out, err = command("check", str(own), str(table), "--json")
        assert is_plain(out) and json.loads(out)["certificate"] == str(own)
    csv = tmp_path / "own.csv"
    rows = table.read_text(encoding="utf-8").splitlines()[1:]
    csv.write_text("\n".join([f'"{EVIL["escape"]}",[red]x2,"a\nb"', *rows]), encoding="utf-8")
    code, out, err = command("rate", "symmetric-linear", "--data", str(csv), "--response", "nope")
    assert code == 2 and is_plain(err) and err.count("\n") == 1
    code, out, err = command("rate", "symmetric-linear", "--data", str(csv), "--response", "a\nb")
    assert is_plain(out + err) and "[red]x2" in out


def test_tables_take_nothing_for_markup(capsys) -> None:
    with shown_streams():
        console().print("[red]x[/red] :warning: \x1b[31m")
        print("a\x1b[2J\rb", file=sys.stderr)
        print_json({"a": EVIL})
    out, err = capsys.readouterr()
    assert out.startswith("[red]x[/red] :warning: \\x1b[31m")
    assert err == "a\\x1b[2J\\rb\n"
    assert json.loads(out.split("\n", 1)[1]) == {"a": EVIL}
    with pytest.raises(TypeError, match="bytes"):
        Shown(io.StringIO()).write(b"")  # type: ignore[arg-type]
    assert not hasattr(Shown(sys.stdout), "buffer")


# Encodings


def encoded(monkeypatch: Any, encoding: str, *arguments: str) -> tuple[int, str]:
    """moe-theory with such a standard output: (exit code, what it wrote)."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stream.errors == "strict"
    return int(stop.value.code or 0), stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_exit_codes_and_json_are_true_in_any_encoding(monkeypatch, files, tmp_path: Path, encoding: str) -> None:
    path, table, certificate = (str(f) if isinstance(f, Path) else f for f in files)
    code, out = encoded(monkeypatch, encoding, "check", path, table)
    assert code == 0 and "valid: all of it is proved" in out
    assert ("λ_max(M) on Θ" if encoding == "utf-8" else "lambda_max(M) on Theta") in out
    assert len({len(line) for line in out.splitlines() if "proved  " in line or "at most" in line}) == 1  # aligned
    code, out = encoded(monkeypatch, encoding, "check", path, table, "--json")
    assert code == 0 and json.loads(out)["proved"][0]["statement"] == "‖G'∇L(c)‖, at most"
    assert out.isascii() == (encoding != "utf-8")
    false = tmp_path / "false.json"
    certificate["curvature"] = {**certificate["curvature"], "lower": certificate["curvature"]["lower"] * 2}
    false.write_text(json.dumps(consistent(certificate)), encoding="utf-8")
    assert encoded(monkeypatch, encoding, "check", str(false), table)[0] == 1
    code, out = encoded(monkeypatch, encoding, "check", "θ‖😀.json", table)
    assert code == 2 and "readable certificate" in out
    assert encoded(monkeypatch, encoding, "derive", "symmetric-linear")[0] == 0
    assert json.loads(encoded(monkeypatch, encoding, "derive", "symmetric-linear", "--json")[1])
    assert encoded(monkeypatch, encoding, "verify", "--list")[0] == 0
    assert encoded(monkeypatch, encoding, "snr", "--help")[0] == 0
    code, out = encoded(monkeypatch, encoding, "verify", "majorization", "--quick", "--json", "-")
    assert code == 0 and json.loads(out)["ok"]
    assert encoded(monkeypatch, encoding, "verify", "majorization", "--quick")[0] == 0


# Time and size


def test_a_time_limit_ends_what_takes_longer(command, files) -> None:
    path, table, certificate = files
    many = json.loads(json.dumps(certificate))
    many["bound"]["cuts"] = [{"coordinate": k, "pieces": 8} for k in range(4)]
    many["bound"]["alpha"] /= 2  # true with room in every cell
    many = consistent(many)
    data = data_of(table)
    told: list[Any] = []
    found = check(many, data, time_limit=0.5, announce=told.append)
    assert not found.valid and found.seconds < 3
    assert found.reason.startswith("not decided within 0.5 s: bound.lambda_upper in cell")
    (cost,) = told
    assert cost == found.cost and cost.cells > 500 and cost.passes == 4 + cost.cells and cost.rows == 40
    assert cost.seconds > 1 and str(cost).startswith(f"40 rows x {cost.passes} passes, {cost.cells} cells: about ")
    code, out, err = command("check", str(path), str(table), "--time-limit", "1e-6")
    assert code == 1 and out.startswith("rejected: not decided within 1e-06 s: ")
    code, out, err = command("check", str(path), str(table), "--time-limit", "60")
    assert code == 0 and err.startswith("40 rows x 4 passes: about ")
    code, out, err = command("check", str(path), str(table), "--json")
    report = json.loads(out)["cost"]
    assert err == "" and {k: report[k] for k in ("rows", "passes", "cells")} == {"rows": 40, "passes": 4, "cells": 1}
    for text in ("0", "-1", "nan", "inf"):
        code, out, err = command("check", str(path), str(table), "--time-limit", text)
        assert (code, out) == (2, "") and "--time-limit" in err
    with pytest.raises(mt.InputError, match="time_limit"):
        check_file(path, table, time_limit=0)


@pytest.mark.parametrize("where", range(5))
def test_time_is_looked_at_in_every_part_of_a_proof(files, where: int) -> None:
    """The clock runs out at the so-manyth statement."""
    statement = (
        (
            "the certificate's model and numbers",
            "stationary.gradient",
            "found.lambda",
            "curvature",
            "bound.lambda_upper",
        )
    )[where]

    class Late(Deadline):
        def check(self) -> None:
            if self.statement == statement:
                raise Rejected(f"not decided: {self.statement}")

    _, table, certificate = files
    found = checker._checked(certificate, data_of(table), None, None, None, Late())
    assert found.reason == f"not decided: {statement}"


def test_files_too_large_and_columns_named_twice_are_refused(files, tmp_path: Path) -> None:
    _, table, certificate = files
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(mt.InputError, match="at most 100 MB"):
        read_json(large)
    with pytest.raises(mt.InputError, match="at most 100 MB"):
        read_json("/dev/zero")
    certificate["data"]["features"] = ["x1"] * 500
    path = tmp_path / "c.json"
    path.write_text(json.dumps(sealed(certificate)), encoding="utf-8")
    found = check_file(path, table)
    assert found.reason.startswith("data.features: expected distinct columns") and found.seconds < 1
