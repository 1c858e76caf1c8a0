"""The command line: documented keys, exit codes, one line for bad input, nothing half-written."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import moe_theory as mt
from moe_theory.claims import Mutant, registry
from moe_theory.zoo import ZOO

FAITHFUL = Path(__file__).parent.parent / "moe_theory" / "datasets" / "old_faithful.csv"


@pytest.fixture
def table(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write(text: str | bytes) -> str:
        path = tmp_path / "t.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.mark.parametrize(
    ("model", "expected"), [("symmetric-linear", 0.281540089801), ("symmetric-logistic", 0.969143888425)]
)
def test_rate_at_a_truth_in_three_and_in_three_thousand_dimensions(command, model: str, expected: float) -> None:
    for extra in ([], ["--dimension", "3000"]):
        code, out, _ = command("rate", model, "--beta", "3,0,0", "--w=0,1,0", "--json", *extra)
        report = json.loads(out)
        assert code == 0
        assert report["lambda_max"] == pytest.approx(expected, abs=1e-9)
        assert report["alpha"] == pytest.approx(1 - expected, abs=1e-9)
        assert 0 < report["error"] < 1e-8


def test_rate_at_another_point_and_alpha(command) -> None:
    code, out, _ = command(
        *[
            "rate",
            "symmetric-logistic",
            "--beta",
            "3,0",
            "--w",
            "0,1",
            "--at-beta",
            "3,1",
            "--at-w",
            "0,-2",
            "--alpha",
            "0.5",
            "--json",
        ]
    )
    report = json.loads(out)
    assert code == 0
    assert report["at_truth"] is False
    assert report["strongly_convex"] is False
    assert report["lambda_max"] > 1


@pytest.mark.parametrize("name", ZOO)
def test_rate_at_a_truth_of_every_model_of_the_zoo(command, name: str) -> None:
    """Exact where there is a population, else of a sample that says so; a vector per predictor, log_sigma too."""
    model, exact = ZOO[name](), name.startswith(("symmetric", "erased"))
    vectors = [f"--{p.replace('_', '-')}={0.1 * i:.1f}" for i, p in enumerate(model.predictors, 1)]
    arguments = ["rate", name, *vectors, "--dimension", "2", "--seed", "3", "--json"]
    code, out, _ = command(*arguments, *([] if exact else ["--rows", "500"]))
    report = json.loads(out)
    assert (code, report["rows"], report["seed"]) == (0, None if exact else 500, None if exact else 3)
    truth = np.array([[0.1 * i, 0.0] for i in range(1, 1 + len(model.predictors))])
    law = mt.Population(model, truth) if exact else mt.MonteCarlo(model, truth, 500, 3)
    expected = mt.predict_rate(model, law, truth)
    assert (report["lambda_max"], report["error"]) == pytest.approx((expected.lambda_max, expected.error), rel=1e-9)


def test_rate_on_rows_drawn_says_so(command) -> None:
    arguments = ["rate", "softmax-poisson", "--beta1", "1,0", "--beta2", "-1,0", "--w2", "0,1"]
    code, out, _ = command(*arguments)
    assert code == 0 and "sample of 20000 rows drawn at the truth (seed 0)" in out and "one standard error" in out
    exact, sampled = (
        json.loads(command(*["rate", "symmetric-linear", "--beta", "1,0", "--w", "0,1", "--json"], *more)[1])
        for more in ([], ["--rows", "20000"])
    )
    assert exact["rows"] is None and sampled["rows"] == 20000
    assert 0 < abs(sampled["lambda_max"] - exact["lambda_max"]) < 4 * sampled["error"]
    for more, message in (
        ("--rows 0", "--rows: expected a whole number >= 1, got 0"),
        ("--rows 9 --seed -1", "--seed: expected a whole number >= 0, got -1"),
        ("--rows 9 --certified", "--certified: expected the exact population"),
    ):
        code, _, err = command(*["rate", "symmetric-linear", "--beta", "1,0", "--w", "0,1"], *more.split())
        assert code == 2 and message in err
    code, _, err = command(*f"rate symmetric-linear --data {FAITHFUL} --rows 9".split())
    assert code == 2 and "--rows: expected only at a truth" in err


def test_rate_on_real_data_predicts_what_the_run_shows(command, tmp_path: Path) -> None:
    figure = tmp_path / "rate.png"
    code, out, _ = command(
        *f"rate symmetric-linear --data {FAITHFUL} --response waiting_centred --features previous_waiting".split(),
        *f"--intercept --sigma 6 --json --figure {figure}".split(),
    )
    report = json.loads(out)
    assert (code, report["reason"], report["n"]) == (0, "converged", 271)
    measured = report["measured"]
    assert abs(measured["iterates"] - report["lambda_max"]) < 2 * measured["iterates_error"]
    # A dozen iterations: how near the ratio comes depends on the start (of this seed's eight, 2e-4 to 3e-3 relative).
    assert measured["iterates_error"] < 0.02 * report["lambda_max"]
    assert measured["gap"] == pytest.approx(report["gap"], rel=2e-2)
    assert figure.read_bytes().startswith(b"\x89PNG")
    code, out, _ = command(
        *f"rate symmetric-linear --data {FAITHFUL} --response waiting_centred --features previous_waiting".split(),
        *["--intercept", "--sigma", "6"],
    )
    assert code == 0
    assert "measured on the run" in out


def test_derive_in_three_formats(command) -> None:
    code, out, _ = command("derive", "symmetric-linear")
    assert code == 0
    assert "mirror_map" in out
    code, out, _ = command("derive", "symmetric-linear", "--latex")
    assert out.startswith("\\begin{aligned}")
    code, out, _ = command("derive", "symmetric-logistic", "--json")
    report = json.loads(out)
    assert report["flat"] is True
    assert report["formulas"]["mirror_map"]["sympy"] == "softplus(eta_beta) + softplus(eta_w)"
    assert len(report["symmetries"]) == 4


def test_a_users_own_model_from_a_file(command, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import moe_theory as mt\n"
        "def balanced(): return mt.Model('balanced', (-1, 1), ('beta',), None,\n"
        "    lambda y, z, beta: mt.log_normal(y, z * beta), mt.Reals())\n"
        "curved = mt.Model('curved', (0, 1), ('a', 'b'), None,\n"
        "    lambda y, z, a, b: mt.log_normal(y, b if z else a), mt.Reals())\n"
        "number = 3\n"
    )
    code, out, _ = command("rate", f"{path}:balanced", "--beta", "2,0", "--json")
    assert code == 0
    assert 0 < json.loads(out)["lambda_max"] < 1
    code, out, _ = command("derive", f"{path}:curved", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["flat"] is False
    assert "-eta_a**2/2" in report["obstruction"]
    code, out, _ = command("rate", f"{path}:curved", "--a", "1,0", "--b", "0,1", "--rows", "300")
    assert code == 0 and "From a sample of 300 rows drawn at the truth" in out
    for name, complaint in (("number", "failed with TypeError"), ("none", "Attribute")):
        code, out, err = command("rate", f"{path}:{name}", "--a", "1,0", "--b", "0,1")
        assert (code, out) == (2, "")
        assert complaint in err


BAD = {
    "unknown model": ("rate nope --beta 1 --w 1", "model: expected one of symmetric-linear, symmetric-logistic"),
    "no truth": ("rate symmetric-linear", "--beta: expected a truth"),
    "lengths": ("rate symmetric-linear --beta 1,2 --w 1", "expected vectors of one length"),
    "nan": ("rate symmetric-linear --beta 1,nan --w 1,2", "--beta: expected finite values"),
    "infinite": ("rate symmetric-linear --beta 1,inf --w 1,2", "--beta: expected finite values"),
    "text": ("rate symmetric-linear --beta 1,a --w 1,2", "--beta: expected numbers separated by commas"),
    "option": ("rate symmetric-linear --beta 1,2 --w 1,2 --gamma 3", "option: expected one of --beta, --w"),
    "alpha": ("rate symmetric-linear --beta 1,2 --w 1,2 --alpha 1.5", "alpha: expected a number in the open"),
    "sigma": ("rate symmetric-linear --beta 1,2 --w 1,2 --sigma -1", "sigma: expected a number > 0"),
    "dimension": ("rate symmetric-linear --beta 1,2 --w 1,2 --dimension 1", "dimension: expected a whole number"),
    "missing file": ("rate symmetric-linear --data none.csv --response y", "none.csv: expected a readable CSV"),
    "claim": ("verify nope", "claim: expected one of exponential-family"),
    "json": ("verify --json /nonexistent/x.json", "--json: expected a file in a writable folder"),
    "seed": ("verify --seed -1", "--seed: expected a whole number"),
    "command": ("foo", "No such command"),
    "argument": ("derive", "Missing argument"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(command, case: str) -> None:
    arguments, complaint = BAD[case]
    code, out, err = command(*arguments.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert complaint in err
    assert err.startswith("moe-theory: error: ")


BAD_TABLES = {
    "empty": ("", "expected a CSV file with a header line, got an empty file"),
    "header only": ("y,a\n", "expected at least one row below the header"),
    "binary": (b"\xff\xfe\x00y", "expected a CSV file in UTF-8"),
    "non-numeric": ("y,a\n1,2\n2,x\n", "expected a number in column 'a', line 3, got 'x'"),
    "empty cell": ("y,a\n1,\n2,3\n", "expected a number in column 'a', line 2, got ''"),
    "nan": ("y,a\n1,2\nnan,3\n", "expected a number in column 'y', line 3, got 'nan', which stands for no value"),
    "ragged": ("y,a\n1,2\n2,3,4\n", "expected 2 cells in line 3, got 3"),
    "rank": ("y,a,b\n1,2,4\n2,3,6\n1,5,10\n", "column 'b' is a linear combination"),
    "no column": ("t,a\n1,2\n", "column: expected one of t, a"),
    "twice": ("y,y\n1,2\n", "expected distinct, non-empty column names"),
    "fewer rows than features": ("y,a,b\n1,2,3\n", "at least as many rows as features"),
    "domain": ("y,a\n1,2\n0,3\n", "y: expected values in {-1, 1}, got 0 in row 1"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables_are_one_line_and_leave_nothing(command, table, case: str, tmp_path: Path) -> None:
    text, complaint = BAD_TABLES[case]
    model = "symmetric-logistic" if case == "domain" else "symmetric-linear"
    figure = str(tmp_path / "f.png")
    code, out, err = command("rate", model, "--data", table(text), "--response", "y", "--figure", figure)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert complaint in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.csv"]


def test_tables_as_people_save_them(command, table) -> None:
    """A byte-order mark, semicolons, blank lines, quotes, spaces."""
    rows = "\n".join(f' "{y}" ; {x}' for y, x in [(2.9, 1), (-3.2, 1), (3.1, 1), (-2.8, 1), (3.3, 1)])
    code, out, _ = command(
        "rate", "symmetric-linear", "--data", table("\ufeffy; one\n\n" + rows + "\n"), "--response", "y", "--json"
    )
    assert code == 0
    assert json.loads(out)["features"] == ["one"]


def test_verify_writes_what_it_documents(command, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    code, out, _ = command("verify", "separable", "fisher-identity", "--json", str(path), "--out", str(tmp_path / "o"))
    report = json.loads(path.read_text())
    assert code == 0
    assert report["ok"] is True
    assert [c["id"] for c in report["claims"]] == ["separable", "fisher-identity"]
    claim = report["claims"][0]
    assert (claim["verdict"], claim["expected"]) == ("proved", "proved")
    counts = {key: claim["mutants"][key] for key in ("total", "killed", "survivors")}
    assert counts == {"total": 4, "killed": 4, "survivors": []}
    assert set(claim["mutants"]["kinds"]) == set(claim["mutants"]["against"])
    assert all(against["holds"] is False for against in claim["mutants"]["against"].values())
    assert report["mutants"] == {"total": 9, "killed": 9}
    assert claim["evidence"][0]["kind"] == "identity"
    assert "separable" in out
    assert "4/4" in out
    assert "9 of 9 mutants killed" in out
    assert json.loads((tmp_path / "o" / "verify.json").read_text()) == report


def test_verify_does_not_depend_on_the_number_of_processes(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claims that share a check, a run and a figure among them; the order is the one asked for."""
    asked = ("printed-kl", "em-is-mirror-descent", "kl-is-bregman", "relative-convexity-iff", "printed-gru")
    pages, reports = [], []
    monkeypatch.chdir(tmp_path)
    for jobs in ("1", "2"):
        code, _, err = command("verify", *asked, "--quick", "--jobs", jobs, "--out", "o")
        assert (code, err.splitlines()[-1:]) == (0, [])
        text = (tmp_path / "o" / "report.html").read_text()
        pages.append(re.sub(r'class="seconds">[^<]*<', "<", text))
        found = json.loads((tmp_path / "o" / "verify.json").read_text())
        del found["seconds"]
        for claim in found["claims"]:
            del claim["seconds"]
        reports.append(found)
    assert [c["id"] for c in reports[0]["claims"]] == list(asked)
    assert reports[0] == reports[1]
    assert pages[0] == pages[1]


def test_verify_on_a_users_model_in_two_processes(command, tmp_path: Path) -> None:
    _, alone, _ = command("verify", "separable", "fisher-identity", "--model", "erased-labels", "--jobs", "1")
    code, out, _ = command("verify", "separable", "fisher-identity", "--model", "erased-labels", "--jobs", "2")
    assert code == 0
    assert re.sub(r"[0-9.]+ s", "", out) == re.sub(r"[0-9.]+ s", "", alone)


def test_files_of_others_are_left_alone(command, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("<p>mine</p>")
    code, _, err = command("verify", "printed-gru", "--out", str(tmp_path))
    assert (code, page.read_text()) == (2, "<p>mine</p>")
    assert err.startswith("moe-theory: error: --out: expected no report.html") and err.count("\n") == 1
    (tmp_path / "map.json").write_text("{}")
    code, _, err = command("snr", "symmetric-linear", "--beta", "3", "--gate", "1", "--out", str(tmp_path))
    assert (code, (tmp_path / "map.json").read_text()) == (2, "{}") and "expected no map.json" in err


def test_figures_of_an_earlier_run_are_removed_and_others_kept(command, tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(b"png")
    assert command("verify", "em-beats-gd", "--quick", "--out", str(tmp_path))[0] == 0
    assert json.loads((tmp_path / "verify.json").read_text())["figures"] == ["em-beats-gd.png"]
    assert (tmp_path / "em-beats-gd.png").exists()
    assert command("verify", "printed-gru", "--out", str(tmp_path))[0] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.png", "report.html", "verify.json"]


def test_a_users_file_that_exits_is_one_line(command, tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("import sys\nsys.exit(3)\n")
    code, _, err = command("derive", f"{tmp_path / 'm.py'}:model")
    assert code == 2 and "failed with SystemExit: 3" in err


def test_verify_exits_1_when_a_claim_is_not_as_expected(command, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = registry.all_claims()
    separable = next(c for c in claims if c.id == "separable")
    mutant = separable.mutants["the likelihood separates too"]
    survivor = Mutant("form", separable.claimed)
    fallen = dataclasses.replace(separable, claimed=mutant.claimed, mutants={"the truth": survivor})
    monkeypatch.setattr(registry, "all_claims", lambda: [fallen])
    code, out, _ = command("verify")
    assert code == 1
    assert "refuted ≠ proved" in out
    assert "mutant survives: the truth" in out
    assert "1 NOT as expected" in out


def test_importing_the_package_loads_none_of_its_libraries() -> None:
    code = "import sys, moe_theory; print(sorted({'sympy', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"


def test_every_public_name_resolves() -> None:
    import moe_theory

    assert all(getattr(moe_theory, name) is not None for name in moe_theory.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        moe_theory.nope  # noqa: B018


@pytest.mark.skipif(os.name != "posix", reason="pipes of a POSIX shell")
@pytest.mark.parametrize("arguments", [["--help"], ["derive", "symmetric-linear"]])
def test_a_reader_that_goes_away_is_no_verdict(arguments: list[str]) -> None:
    code = "from moe_theory.cli.entry import main; main()"
    out, into = os.pipe()
    os.close(out)
    with os.fdopen(into, "w") as pipe:
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
