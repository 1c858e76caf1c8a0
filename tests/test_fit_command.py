"""`moe-theory fit`: documented keys, the numbers of `fit_mixture`, exit codes, one line for bad input, whole files."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from moe_theory.mixture import fit_mixture
from moe_theory.mixture.summary import shares, summary

N = 80
KEYS = """
log_likelihood converged reason iterations gate experts sigma lambda_max bic message aic icl parameters n family k
formula expert_features gate_features classes standard_errors measured_rate rate_remark events label rows restarts seed
"""


def table() -> dict[str, Any]:
    rng = np.random.default_rng(11)
    x, w = rng.uniform(-1, 1, N).round(3), rng.standard_normal(N).round(3)
    y = np.where(rng.random(N) < 1 / (1 + np.exp(-3 * w)), 1 + 2 * x, -1 - x) + 0.3 * rng.standard_normal(N)
    return {
        "y": y.round(4),
        "x": x,
        "w": w,
        "count": rng.poisson(np.exp(x)),
        "wt": rng.integers(1, 4, N),
        "ok": np.where(rng.random(N) < 1 / (1 + np.exp(-2 * x)), "yes", "no"),
        "line": 2 * x + 1,
        "sign": (x > 0) * 1,
    }


T = table()


def written(path: Path, changes: dict[tuple[int, str], str] | None = None) -> str:
    """The table as a file, cells {(row, column): text} replaced."""
    rows = [[str(T[name][i]) for name in T] for i in range(N)]
    for (i, name), text in (changes or {}).items():
        rows[i][list(T).index(name)] = text
    path.write_text("\n".join(",".join(row) for row in [list(T), *rows]) + "\n")
    return str(path)


@pytest.fixture
def data(tmp_path: Path) -> str:
    return written(tmp_path / "t.csv")


@pytest.fixture
def fit(command, data: str):  # type: ignore[no-untyped-def]
    """Calls moe-theory fit on the table with two starts: (exit code, standard output, standard error).

    The first argument is split at its spaces.
    """
    return lambda first="", *more: command("fit", data, "--restarts", "2", *first.split(), *more)


def by_hand(**options: Any) -> Any:
    return fit_mixture(T["x"][:, None], T["y"], 2, "gaussian", T["w"][:, None], restarts=2, **options)


COLUMNS = "--response y --features x --gate-features w"


def test_the_json_has_the_documented_keys_and_the_fits_numbers(fit) -> None:
    code, out, err = fit(COLUMNS, "--json")
    report, expected = json.loads(out), by_hand(names=("x",), gate_names=("w",))
    assert (code, err) == (0, "")
    assert set(report) >= set(KEYS.split())
    assert (report["converged"], report["reason"], report["k"], report["n"]) == (True, "converged", 2, N)
    assert (report["label"], report["rows"], report["classes"], report["formula"]) == (None, [], [], None)
    assert (report["restarts"], report["seed"], report["events"]) == (2, 0, [])
    assert report["expert_features"] == ["(Intercept)", "x"]
    assert report["gate_features"] == ["(Intercept)", "w"]
    for key in ("log_likelihood", "aic", "bic", "icl", "iterations"):
        assert report[key] == getattr(expected, key)
    for key in ("experts", "gate", "sigma"):
        np.testing.assert_array_equal(report[key], getattr(expected, key))
    assert report["parameters"] == expected.inference.parameters == 8
    assert report["lambda_max"] == expected.rate.lambda_max
    assert report["measured_rate"]["iterates"] == expected.measured_rate.iterates


def test_standard_errors_are_nested_as_the_estimates(fit) -> None:
    _, out, _ = fit(COLUMNS, "--json")
    report, expected = json.loads(out), by_hand(names=("x",), gate_names=("w",))
    errors = report["standard_errors"]
    by_name = {(c.part, c.label, c.name): c.error for c in expected.coefficients()}
    for z in (1, 2):
        for i, name in enumerate(("(Intercept)", "x")):
            assert errors["experts"][z - 1][i] == by_name["expert", z, name]
        assert errors["sigma"][z - 1] == pytest.approx(by_name["sigma", z, "sigma"], rel=1e-14)
    assert errors["gate"] == [[None, None], [by_name["gate", 2, "(Intercept)"], by_name["gate", 2, "w"]]]


def test_a_formula_fits_the_same(fit) -> None:
    pytest.importorskip("formulaic")
    _, out, _ = fit(COLUMNS, "--json")
    code, other, _ = fit("--formula", "y ~ x | w", "--json")
    named, formula = json.loads(out), json.loads(other)
    assert code == 0
    assert (named.pop("formula"), formula.pop("formula")) == (None, "y ~ x | w")
    assert (named.pop("response"), formula.pop("response")) == ("y", None)
    assert named == formula


def test_weights_offset_and_other_options(fit) -> None:
    arguments = "--response count --features x --gate-features w --family poisson --weights wt --offset y --ridge 0.02"
    more = "--starts random --seed 5 --accelerate --tolerance 1e-6 --json"
    code, out, _ = fit(f"{arguments} {more}")
    expected = fit_mixture(
        T["x"][:, None],
        T["count"],
        2,
        "poisson",
        T["w"][:, None],
        weights=T["wt"],
        offset=T["y"],
        ridge=0.02,
        starts=("random",),
        seed=5,
        restarts=2,
        accelerate=True,
        tolerance=1e-6,
    )
    report = json.loads(out)
    assert code == (0 if expected.converged else 1)
    assert report["log_likelihood"] == expected.log_likelihood
    assert (report["sigma"], report["measured_rate"], report["weight"]) == (None, None, float(np.sum(T["wt"])))
    assert report["events"][0] == "ridge 0.02 on all coefficients but intercepts"


def test_features_are_by_default_what_no_other_option_names(command, tmp_path: Path) -> None:
    rows = "\n".join(f"{y},{x},{w},{wt}" for y, x, w, wt in zip(T["y"], T["x"], T["w"], T["wt"], strict=True))
    (tmp_path / "s.csv").write_text("y,x,w,wt\n" + rows + "\n")
    given = ["fit", str(tmp_path / "s.csv"), "--experts", "1", "--json", "--response", "y"]
    ask = lambda *more: json.loads(command(*given, *more)[1])
    assert ask()["expert_features"] == ask()["gate_features"] == ["(Intercept)", "x", "w", "wt"]
    assert ask("--weights", "wt")["expert_features"] == ["(Intercept)", "x", "w"]
    found = ask("--weights", "wt", "--gate-features", "w")
    assert (found["expert_features"], found["gate_features"]) == (["(Intercept)", "x"], ["(Intercept)", "w"])
    found = ask("--offset", "wt", "--gate-features", "x,w")
    assert (found["expert_features"], found["gate_features"]) == (["(Intercept)"], ["(Intercept)", "x", "w"])


def test_a_response_of_text_in_a_formula(fit) -> None:
    pytest.importorskip("formulaic")
    code, out, _ = fit("--family binomial --experts 1 --json --formula", "ok ~ x")
    report = json.loads(out)
    expected = fit_mixture(T["x"][:, None], T["ok"] == "yes", 1, "binomial", restarts=2)
    assert (code, report["classes"]) == (0, ["no", "yes"])
    np.testing.assert_array_equal(report["experts"], expected.experts)
    _, out, _ = fit("--family binomial --experts 1 --formula", "ok ~ x")
    assert "Experts: log-odds of yes" in out


def test_a_range_of_experts_chooses_the_least_bic(fit) -> None:
    code, out, _ = fit(COLUMNS, "--experts", "1:3", "--json")
    report = json.loads(out)
    candidates = report["candidates"]
    assert [c["k"] for c in candidates] == [1, 2, 3]
    best = min((c for c in candidates if c["converged"]), key=lambda c: c["bic"])
    assert (code, report["k"], best["k"]) == (0, 2, 2)
    for key in ("log_likelihood", "aic", "bic", "icl", "parameters"):
        assert report[key] == best[key]
    assert best["bic"] == by_hand().bic
    code, out, _ = fit(COLUMNS, "--experts", "1:3")
    chosen = [line for line in out.splitlines() if "chosen" in line]
    assert code == 0 and len(chosen) == 1
    assert chosen[0].split()[::2] == ["2", "8", f"{best['bic']:.3f}", "chosen"]


def test_exit_code_1_if_em_was_cut_short(fit) -> None:
    code, out, _ = fit(COLUMNS, "--max-iterations", "3", "--json")
    report = json.loads(out)
    assert (code, report["converged"], report["reason"], report["iterations"]) == (1, False, "max_iterations", 3)
    code, out, _ = fit(COLUMNS, "--max-iterations", "3")
    assert code == 1
    assert "max_iterations  after 3 iterations of EM" in out
    assert "Not converged (max_iterations)" in out


def test_exit_code_1_and_label_and_rows_where_the_likelihood_is_unbounded(fit, tmp_path: Path) -> None:
    """y is linear in x: sigma goes to 0; the classes are separated by x: the slope to infinity."""
    for arguments in ("--response line", "--response sign --family binomial"):
        out_file = tmp_path / "o.csv"
        code, out, _ = fit(f"{arguments} --features x --experts 1 --json --out {out_file}")
        report = json.loads(out)
        assert code == 1
        assert set(report) >= set(KEYS.split())
        assert (report["converged"], report["reason"], report["label"]) == (False, "degenerate", 1)
        assert report["rows"] == list(range(N))
        assert report["message"].startswith(f"label 1, {N} rows (0, 1, 2, 3, 4, …): its ")
        assert out_file.exists() == (report["experts"] is not None)
        code, out, _ = fit(f"{arguments} --features x --experts 1")
        assert code == 1
        assert f"label 1, {N} rows" in " ".join(out.split())


def test_a_degenerate_candidate_is_not_chosen(fit) -> None:
    pytest.importorskip("formulaic")
    code, out, _ = fit("--family binomial --experts 1:2 --json --formula", "sign ~ 1 | x")
    report = json.loads(out)
    assert (code, report["k"]) == (0, 1)
    assert [c["reason"] for c in report["candidates"]] == ["converged", "degenerate"]


def test_out_holds_responsibilities_and_means_of_every_row(fit, tmp_path: Path) -> None:
    assert fit(COLUMNS, "--out", str(tmp_path / "o.csv"))[0] == 0
    header, *rows = csv.reader((tmp_path / "o.csv").read_text().splitlines())
    assert header == ["row", "responsibility_1", "responsibility_2", "mean_1", "mean_2", "fitted"]
    found, expected = np.array(rows, dtype=float), by_hand()
    np.testing.assert_array_equal(found[:, 0], np.arange(N))
    np.testing.assert_array_equal(found[:, 1:3], expected.responsibilities())
    np.testing.assert_array_equal(found[:, 3:5], expected.expert_means())
    np.testing.assert_array_equal(found[:, 5], expected.predict())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.csv", "t.csv"]


def test_out_of_classes_holds_their_shares(fit, tmp_path: Path) -> None:
    pytest.importorskip("formulaic")
    fit(f"--family multinomial --experts 1 --out {tmp_path / 'o.csv'} --formula", "ok ~ x")
    header, *rows = csv.reader((tmp_path / "o.csv").read_text().splitlines())
    assert header == ["row", "responsibility_1", "fitted_no", "fitted_yes"]
    np.testing.assert_allclose(np.array(rows, dtype=float)[:, 2:].sum(axis=1), 1, rtol=1e-14)


def test_figures(fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    asked = []
    module = ModuleType("moe_theory.report.mixture")
    module.mixture_figure = lambda fit: (asked.append(fit.k), Figure())[1]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "moe_theory.report.mixture", module)
    code, _, err = fit(COLUMNS, "--figure", str(tmp_path / "f.svg"), "--trace-figure", str(tmp_path / "t.png"))
    assert (code, err, asked) == (0, "", [2])
    assert b"<svg" in (tmp_path / "f.svg").read_bytes()
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = fit(f"--response y --features x --experts 1 --trace-figure {tmp_path / 'u.png'}")
    assert (code, err) == (0, "trace figure not drawn: EM ended at once, there is no rate to show\n")
    assert not (tmp_path / "u.png").exists()


def test_the_summary_is_plain_text_in_a_pipe(data: str) -> None:
    script = "from moe_theory.cli.entry import main; main()"
    call = [sys.executable, "-c", script, "fit", data, *COLUMNS.split(), "--restarts", "2"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert max(map(len, lines)) <= 110
    assert lines[0] == "Mixture of 2 gaussian experts with a softmax gate"
    for title in ("Experts: means", "Standard deviations", "Gate: log-odds against expert 1", "Shares"):
        assert title in lines
    found = by_hand(names=("x",), gate_names=("w",))
    slope = next(c for c in found.coefficients() if (c.part, c.label, c.name) == ("expert", 2, "x"))
    row = [line for line in lines if line.split()[:1] == ["x"]][1]
    estimate, error, z, p = row.split()[1:]
    assert float(estimate) == pytest.approx(slope.estimate, abs=1e-3)
    assert float(error) == pytest.approx(slope.error, rel=1e-2)
    assert float(z) == pytest.approx(slope.z, abs=0.01)
    assert p == "<0.0001"
    assert f"λ_max  {found.rate.lambda_max:.6f}, measured {found.measured_rate.iterates:.6f} ±" in done.stdout


def text_of(fit: Any, **options: Any) -> str:
    console = Console(width=110, color_system=None)
    with console.capture() as capture:
        console.print(summary(fit, **options))
    return capture.get()


def test_the_summary_says_where_there_are_no_standard_errors() -> None:
    """Two experts for what one explains, stopped on the way: no maximum there."""
    found = fit_mixture(T["x"][:, None], T["count"], 2, "poisson", np.empty((N, 0)), restarts=1, max_iterations=2)
    found = found.relabelled((2, 1))
    text = " ".join(text_of(found, formula="count ~ x | 1").split())
    assert "count ~ x | 1" in text
    assert found.inference.covariance is None
    assert "Standard errors are not available: the information is not positive definite at the estimate" in text
    assert " – – –" in text and "nan" not in text
    assert np.sum(shares(found)) == pytest.approx(1)


def test_the_summary_tells_of_penalties_and_of_a_common_sigma() -> None:
    found = fit_mixture(
        T["x"][:, None],
        T["y"],
        gate=T["w"][:, None],
        weights=T["wt"],
        ridge=1e-3,
        sigma_floor=0.5,
        common_sigma=True,
        restarts=1,
    )
    text = text_of(found)
    assert f"rows        {N}, of total weight {np.sum(T['wt'])}" in text
    assert re.search(r"^ +all +0\.500", text, re.MULTILINE)
    assert "are those of the likelihood without the penalty, λ_max is with it." in text
    assert "Ridge 0.001 on all coefficients but intercepts." in text
    assert "Sigma floor 0.5, reached by expert 1, 2." in text


def test_without_formulaic_there_is_one_clear_line(fit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "formulaic", None)
    code, out, err = fit("--formula", "y ~ x")
    assert (code, out) == (2, "")
    assert err == (
        "moe-theory: error: formula: expected the formulaic package, which is not installed:"
        " pip install 'moe-theory[formula]'\n"
    )
    assert fit(COLUMNS, "--json")[0] == 0


NAMES = ", ".join(T)
F = ["--formula"]
BAD: dict[str, tuple[list[str], str]] = {
    "nothing": ([], "--formula: expected a formula or --response COL, got neither"),
    "both": ([*F, "y ~ x", "--response", "y"], "--response: expected either a formula or columns, got both"),
    "gate twice": (
        [*F, "y ~ x", "--gate-features", "w"],
        "--gate-features: expected either a formula or columns, got both",
    ),
    "two bars": (
        [*F, "y ~ x | w | x"],
        "formula: expected RESPONSE ~ FEATURES [| GATE], got 2 bars in 'y ~ x | w | x'",
    ),
    "no parse": (
        [*F, "y ~ (x"],
        "formula: expected RESPONSE ~ FEATURES [| GATE], got 'y ~ (x' (Could not find matching context marker)",
    ),
    "unknown in a formula": ([*F, "y ~ nope | zz"], f"formula: expected columns among {NAMES}, got nope, zz"),
    "unknown column": (["--response", "zz", "--features", "x"], "column: expected one of {names} of {data}, got 'zz'"),
    "text response": (
        [*F, "ok ~ x"],
        f"y: expected numbers for gaussian experts, got text in column ok, '{T['ok'][0]}' (line 2)",
    ),
    "text feature": (
        ["--response", "y", "--features", "ok"],
        f"{{data}}: expected a number in column 'ok', line 2, got '{T['ok'][0]}'",
    ),
    "response as a feature": (
        ["--response", "y", "--features", "x,y"],
        "--features: expected columns other than the response, got 'y'",
    ),
    "response as a gate's": (
        ["--response", "y", "--gate-features", "y"],
        "--gate-features: expected columns other than the response, got 'y'",
    ),
    "feature twice": (["--response", "y", "--features", "x,x"], "names: expected 2 distinct names, got x, x"),
    "family": (
        [*F, "y ~ x", "--family", "gamma"],
        "--family: expected one of gaussian, binomial, poisson, multinomial, got 'gamma'",
    ),
    "floor": (
        [*F, "count ~ x", "--family", "poisson", "--sigma-floor", "1"],
        "--sigma-floor: expected gaussian experts, got poisson",
    ),
    "common sigma": (
        [*F, "count ~ x", "--family", "poisson", "--common-sigma"],
        "--common-sigma: expected gaussian experts, got poisson",
    ),
    "domain": ([*F, "y ~ x", "--family", "poisson"], "y: expected whole numbers >= 0 for poisson experts, got"),
    "weights": (
        [*F, "y ~ x", "--weights", "ok"],
        f"weights: expected numbers in column ok, got text, '{T['ok'][0]}' (line 2)",
    ),
    "negative weights": ([*F, "count ~ x", "--weights", "x"], "weights: expected numbers >= 0, not all 0, got least"),
    "rank": (
        [*F, "y ~ x + I(x + 0 * w)"],
        "x: expected full column rank, but column 'I(x + 0 * w)' is a linear combination of those before it",
    ),
    "no experts": (
        [*F, "y ~ x", "--experts", "0"],
        "--experts: expected a whole number >= 1 or a range LOW:HIGH of them, got '0'",
    ),
    "backwards": (
        [*F, "y ~ x", "--experts", "3:1"],
        "--experts: expected a whole number >= 1 or a range LOW:HIGH of them, got '3:1'",
    ),
    "too many experts": (
        [*F, "y ~ x", "--experts", f"1:{N + 1}"],
        f"k: expected at most as many experts as rows, {N}, got",
    ),
    "restarts": ([*F, "y ~ x", "--restarts", "0"], "--restarts: expected a whole number >= 1, got 0"),
    "seed": ([*F, "y ~ x", "--seed", "-1"], "seed: expected a whole number >= 0, got -1"),
    "starts": (
        [*F, "y ~ x", "--starts", "best"],
        "starts: expected names among random, kmeans, soft, dirichlet, moments, got 'best'",
    ),
    "ridge": ([*F, "y ~ x", "--ridge", "-1"], "ridge: expected a number >= 0, got -1"),
    "tolerance": ([*F, "y ~ x", "--tolerance", "0"], "tolerance: expected a number > 0, got 0"),
    "iterations": ([*F, "y ~ x", "--max-iterations", "0"], "max_iterations: expected a whole number >= 1, got 0"),
    "image": ([*F, "y ~ x", "--figure", "f.gif"], "--figure: expected a .png, .svg or .pdf file, got 'f.gif'"),
    "nothing to draw": (
        [*F, "y ~ 1", "--figure", "f.png"],
        "--figure: expected a feature to draw against, got intercepts only",
    ),
    "folder": ([*F, "y ~ x", "--out", "none/o.csv"], "--out: expected a file in a writable folder, got none/o.csv"),
    "standard output": ([*F, "y ~ x", "--out", "-"], "--out: expected an ordinary file, got -"),
    "device": ([*F, "y ~ x", "--out", os.devnull], f"--out: expected an ordinary file, got {os.devnull}"),
    "over the data": ([*F, "y ~ x", "--out", "t.csv"], "--out: expected a file of its own, got the data, 't.csv'"),
    "one file for two": (
        [*F, "y ~ x", "--figure", "f.png", "--trace-figure", "./f.png"],
        "--trace-figure: expected a file of its own, got another option's, './f.png'",
    ),
    "another run": (
        [*F, "y ~ x", "--trace-figure", "f.png", "--accelerate"],
        "--trace-figure: expected EM's own run, whose rate is predicted, got --accelerate",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(
    fit, data: str, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, complaint = BAD[case]
    if "--formula" in arguments:
        pytest.importorskip("formulaic")
    monkeypatch.chdir(tmp_path)
    before = Path(data).read_bytes()
    out_file = [] if "--out" in arguments else ["--out", str(tmp_path / "o.csv")]
    code, out, err = fit("", *out_file, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("moe-theory: error: " + complaint.replace("{data}", data).replace("{names}", NAMES))
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"] and Path(data).read_bytes() == before


@pytest.mark.parametrize("arguments", [["--formula", "y ~ x | w"], COLUMNS.split()], ids=["formula", "columns"])
def test_missing_values_are_refused_with_count_columns_and_lines(command, arguments, tmp_path: Path) -> None:
    if arguments[0] == "--formula":
        pytest.importorskip("formulaic")
    holes = dict(zip([(i, "x") for i in (3, 7, 10, 11)], ("", "NA", "NaN", "null"), strict=True))
    path = written(tmp_path / "t.csv", holes | {(7, "y"): "nan", (70, "w"): " ", (2, "wt"): ""})
    code, out, err = command("fit", path, *arguments)
    assert (code, out) == (2, "")
    names = "w, x, y" if arguments[0] == "--formula" else "y, x, w"
    where = f"6 in columns {names} (lines 5, 9, 12, 13, 72)"
    assert err == f"moe-theory: error: {path}: expected no missing values, got {where}\n"
    # What is not used may have gaps.
    assert command("fit", written(tmp_path / "t.csv", {(2, "wt"): "NA"}), *arguments, "--restarts", "1")[0] == 0


def test_cells_of_a_formula_are_numbers_where_all_are(command, tmp_path: Path) -> None:
    pytest.importorskip("formulaic")
    given = ["--experts", "1", "--json", "--formula"]
    path = written(tmp_path / "t.csv")
    found = json.loads(command("fit", path, *given, "y ~ C(wt) + count")[1])
    assert found["expert_features"] == ["(Intercept)", "C(wt)[T.2]", "C(wt)[T.3]", "count"]
    path = written(tmp_path / "t.csv", {(4, "x"): "inf"})
    among = "got 'inf' (line 6) among 79 numbers, not a finite number; C(x) for categories"
    expected = f"moe-theory: error: {path}: expected numbers or categories in column 'x', {among}\n"
    assert command("fit", path, "--formula", "y ~ x") == (2, "", expected)


@pytest.mark.parametrize("code", ["N/A", "n/a", "#N/A", "NULL", "None", "?"])
def test_what_stands_for_nothing_is_missing(command, tmp_path: Path, code: str) -> None:
    pytest.importorskip("formulaic")
    path = written(tmp_path / "m.csv", {(3, "x"): code, (7, "x"): code})
    status, out, err = command("fit", path, "--formula", "y ~ x")
    assert (status, out) == (2, "")
    assert err == f"moe-theory: error: {path}: expected no missing values, got 2 in column x (lines 5, 9)\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_output_that_cannot_be_written_is_said(data: str, more: list[str]) -> None:
    arguments = [data, *COLUMNS.split(), "--restarts", "1", *more]
    code = f"from moe_theory.cli.entry import main; import sys; sys.argv[1:] = ['fit', *{arguments!r}]; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "moe-theory: error: standard output: No space left on device\n")
