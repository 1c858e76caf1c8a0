"""The synthetic experiment: its curves recomputed by hand, its predictions, its tables, figures and command."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

import moe_theory as mt
from moe_theory.analysis.contractions import Curvature
from moe_theory.analysis.symmetry import nearest
from moe_theory.errors import InputError
from moe_theory.experiments import synthetic_cell
from moe_theory.experiments.curve import contraction, reached, thinned
from moe_theory.experiments.methods import METHODS, STEPS, best_step
from moe_theory.experiments.synthetic import Plan, Point, Run, Tables, check_start, curves_beside, synthetic, tables
from moe_theory.experiments.synthetic_cell import GOAL, start_of, work
from moe_theory.experiments.synthetic_summary import best_methods, median_run, summarise, tail_cost
from moe_theory.laws import Data
from moe_theory.report.style import role_of
from moe_theory.report.synthetic import curves_figure, synthetic_figures

TINY = Plan(
    models=("symmetric-linear",),
    betas=(2.0,),
    seeds=1,
    starts=("near", "1"),
    rows=400,
    dimension=2,
    passes=200,
    population=3,
    nats=6.0,
)


@pytest.fixture(scope="module")
def found() -> Tables:
    return tables([work(cell) for cell in TINY.cells()])


def sample(model: mt.Model, n: int = 300, seed: int = 0) -> tuple[Data, np.ndarray]:
    """Rows and their maximum of the likelihood."""
    truth = np.array([[2.0, 0.0], [0.3, 1.0]])
    data = mt.MonteCarlo(model, truth, n, seed).data()
    return data, mt.run(mt.Squarem(mt.EM(model)), data, truth, tolerance=1e-11, divergences=False).last


def brute_distance(a: np.ndarray, b: np.ndarray, swap: bool) -> float:
    images = [a, -a] + ([a[::-1], -a[::-1]] if swap else [])
    return min(float(np.linalg.norm(image - b)) for image in images)


# Contractions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [mt.symmetric_linear(), mt.symmetric_logistic()], ids=lambda m: m.name)
def test_contractions_are_those_of_the_maps(model: mt.Model) -> None:
    data, peak = sample(model, 800)
    curvature = Curvature.at(model, data, peak)
    for method in METHODS.values():
        if method.predicted is None:
            continue
        columns = []
        for i in range(peak.size):
            move = np.zeros(peak.size)
            move[i] = 1e-5
            ends = [
                method.make(model, best_step(curvature)).step(peak + s * move.reshape(peak.shape), data)
                for s in (1, -1)
            ]
            columns.append((ends[0] - ends[1]).ravel() / 2e-5)
        radius = np.abs(np.linalg.eigvals(np.stack(columns, axis=1))).max()
        # Central differences: 1e-10 of truncation, 1e-11 of rounding, times the eigenvalues' condition.
        assert method.contraction(curvature, best_step(curvature)) == pytest.approx(radius, abs=1e-7), method.name


def test_contractions_between_gradient_descent_and_em() -> None:
    model = mt.symmetric_linear()
    data, peak = sample(model)
    c = Curvature.at(model, data, peak)
    assert c.em() == pytest.approx(mt.predict_rate(model, data, peak).lambda_max, abs=1e-12)
    size = 1 / np.linalg.eigvalsh(c.complete)[-1]
    assert c.gradient_em(1) == pytest.approx(c.gradient_descent(size), abs=1e-12)
    assert c.gradient_em(500) == pytest.approx(c.em(), abs=1e-12)
    grid = [c.gradient_descent(s / c.smoothness) for s in np.linspace(0.1, 2.0, 400)]
    assert (c.condition - 1) / (c.condition + 1) == pytest.approx(c.gradient_descent(best_step(c)), abs=1e-12)
    assert c.gradient_descent(best_step(c)) <= min(grid) + 1e-12
    # Blocks with one step for all are gradient descent, at once; in turn they are not.
    assert c.block_gradient_em(False, [size, size]) == pytest.approx(c.gradient_em(1), abs=1e-12)
    assert abs(c.block_gradient_em(True, [size, size]) - c.gradient_em(1)) > 1e-6
    with pytest.raises(InputError, match=r"^inner: expected a whole number >= 1, got 0$"):
        c.gradient_em(0)


def test_block_gradient_em_by_hand() -> None:
    model = mt.symmetric_linear()
    data, peak = sample(model)
    theta = peak + 0.3
    metric = lambda at, j: np.linalg.eigvalsh(mt.complete_information(model, data, at).reshape(2, 2, 2, 2)[j, :, j])[-1]
    moved = theta.copy()
    moved[0] -= mt.gradient(model, data, theta)[0] / metric(theta, 0)
    at_once = moved.copy()
    at_once[1] -= mt.gradient(model, data, theta)[1] / metric(theta, 1)
    in_turn = moved.copy()
    in_turn[1] -= mt.gradient(model, data, moved)[1] / metric(moved, 1)
    for alternate, expected in ((False, at_once), (True, in_turn)):
        algorithm = mt.BlockGradientEM(model, alternate)
        np.testing.assert_allclose(algorithm.step(theta, data), expected, rtol=1e-11)
        trace = mt.run(algorithm, data, theta, 5, divergences=False)
        np.testing.assert_array_equal(trace.passes, 1 + (1 + alternate) * np.arange(6))
    assert np.abs(at_once - in_turn).max() > 1e-3


def test_one_inner_step_is_gradient_descent_and_no_other_variant_is() -> None:
    model = mt.symmetric_logistic()
    data, peak = sample(model)
    start = peak + 0.5
    go = lambda algorithm: mt.run(algorithm, data, start, 30, divergences=False).local
    descent = go(mt.GradientDescent(model, step=0.4))
    np.testing.assert_allclose(go(mt.GradientEM(model, step=0.4)), descent, atol=1e-13)
    others = (mt.GradientEM(model, step=0.4, inner=2), mt.BlockGradientEM(model), mt.BlockGradientEM(model, False))
    for other in others:
        assert np.abs(go(other) - descent).max() > 1e-2


def test_nearest_image() -> None:
    rng = np.random.default_rng(3)
    for model, swap in ((mt.symmetric_linear(), False), (mt.symmetric_logistic(), True)):
        for _ in range(20):
            a, b = rng.standard_normal((2, 2, 3))
            image = nearest(model, a, b)
            assert np.linalg.norm(image - b) == pytest.approx(brute_distance(a, b, swap), rel=1e-14)
            assert mt.distance(model, a, b) == pytest.approx(brute_distance(a, b, swap), rel=1e-14)
            assert mt.distance(model, image, a) < 1e-14


# Curves -------------------------------------------------------------------------------------------------------


def test_curve_helpers() -> None:
    values = 10.0 ** -np.arange(0, 12, 0.1)
    kept = thinned(values)
    assert kept[0] == 0 and kept[-1] == len(values) - 1 and len(kept) < 40
    assert np.abs(np.diff(np.log10(values[kept]))).max() < 0.4 + 0.1001  # an index is 0.1
    assert thinned(np.array([1.0])) == [0]
    assert reached([0, 2, 4], [1.0, 0.1, 0.01], 0.1) == 2 and reached([0, 1], [1.0, 0.5], 0.1) == math.inf
    assert contraction(3 * 0.7 ** np.arange(60), 1e-1, 1e-6) == pytest.approx(0.7, rel=1e-12)
    assert math.isnan(contraction([1.0, 0.9, 0.8], 1e-1, 1e-6))


def test_a_curve_by_hand(found: Tables) -> None:
    """EM's and gradient descent's gaps and errors from L, the gradient and the symmetries alone."""
    model = mt.symmetric_linear()
    truth = np.array([[2.0, 0.0], [0.0, 1.0]])
    data = mt.MonteCarlo(model, truth, TINY.rows, 0).data()
    peak = truth
    for _ in range(3000):
        peak = peak - 0.5 * mt.gradient(model, data, peak)
    assert np.abs(mt.gradient(model, data, peak)).max() < 1e-14
    for name in ("em", "gd"):
        run = next(r for r in found.runs if r.method == name and r.start == "near" and r.shown and r.law == "sample")
        theta = start_of("near", 0, peak)
        points = {point.iteration: point for point in found.curve(run)}
        for t in range(run.iterations + 1):
            if t in points:
                gap = mt.objective(model, data, theta) - mt.objective(model, data, peak)
                assert points[t].gap == pytest.approx(gap, rel=1e-3, abs=3e-15)
                assert points[t].error == pytest.approx(brute_distance(theta, peak, False), rel=1e-6, abs=1e-9)
                assert points[t].error_truth == pytest.approx(brute_distance(theta, truth, False), rel=1e-8)
            if name == "em":
                theta = mt.EM(model).step(theta, data)
            else:
                top = np.linalg.eigvalsh(Curvature.at(model, data, peak).hessian)[-1]
                theta = theta - run.step / top * mt.gradient(model, data, theta)


def test_the_best_step_of_the_grid_is_shown(found: Tables) -> None:
    for start in TINY.starts:
        own = [r for r in found.runs if r.law == "sample" and r.method == "gd" and r.start == start]
        assert [r.step for r in own] == pytest.approx(STEPS) and sum(r.shown for r in own) == 1
        best = next(r for r in own if r.shown)
        assert best.goal_passes == min(r.goal_passes for r in own) < math.inf
        assert not any(found.curve(r) for r in own if not r.shown) and found.curve(best)


def test_predicted_is_measured(found: Tables) -> None:
    """EM to 1e-5 (its own estimate is better); others to 0.01: slopes over few decades, of several eigenvalues."""
    judged = [r for r in found.runs if r.law == "sample" and r.shown and r.end == "mle" and r.predicted > 0]
    assert {r.method for r in judged} == {m for m in METHODS if METHODS[m].predicted}
    for run in judged:
        assert run.measured == pytest.approx(run.predicted, abs=1e-5 if run.method == "em" else 0.01), run
    top = next(r for r in found.runs if r.method == "mle")
    assert top.end == "found" and all(
        r.predicted == pytest.approx(top.predicted, rel=1e-9) for r in judged if r.method == "em"
    )


def test_runs_stop_where_their_passes_are_spent() -> None:
    plan = dataclasses.replace(TINY, models=("symmetric-logistic",), passes=20, population=0, starts=("1",))
    for run in tables([work(cell) for cell in plan.cells()]).runs:
        if run.method != "mle":
            assert run.passes <= 20 and run.end == "budget" and run.gap > GOAL
            assert run.leads in ("mle", "near", "other", "unknown")


def test_a_run_that_ends_elsewhere_is_shown_as_such() -> None:
    """At this signal EM from this start goes to a stationary point 0.02 nats below the maximum."""
    plan = Plan(("symmetric-linear",), (0.5,), seeds=1, starts=("0.1",), passes=250, steps=(1.9,), population=0)
    found = tables([work(cell) for cell in plan.cells()])
    em = next(r for r in found.runs if r.method == "em")
    assert em.leads == "other" and em.end in ("budget", "other") and em.gap > 0.01 and math.isnan(em.predicted)
    row = next(r for r in summarise(found) if r.method == "em")
    assert (row.runs, row.reached, row.leads, row.other) == (1, 0, 0, 1) and row.iterations == math.inf


def test_em_does_not_see_the_features_scales() -> None:
    """Where features are stretched EM's path is the same, gradient descent's is not."""
    plan = dataclasses.replace(TINY, population=0, starts=("near",), steps=(1.0,))
    plain, stretched = (
        {r.method: r for r in tables([work(c) for c in dataclasses.replace(plan, stretch=s).cells()]).runs}
        for s in (1.0, 5.0)
    )
    for method in ("mle", "em"):
        assert stretched[method].error_truth == pytest.approx(plain[method].error_truth, rel=1e-6)
        assert stretched[method].predicted == pytest.approx(plain[method].predicted, rel=1e-8)
    assert stretched["em"].goal_iterations == plain["em"].goal_iterations
    assert stretched["gd"].predicted > plain["gd"].predicted + 0.02


def test_starts() -> None:
    peak = np.array([[3.0, 0.0], [0.0, 4.0]])
    near = start_of("near", 5, peak)
    assert np.linalg.norm(near - peak) == pytest.approx(2.5, rel=1e-14)
    far = start_of("0.1", 5, peak)
    np.testing.assert_allclose(np.linalg.norm(far, axis=1), 0.1, rtol=1e-14)
    np.testing.assert_array_equal(far, start_of("0.1", 5, 2 * peak))
    assert check_start("near") is None and check_start("2") == 2.0


# Tables and figures ---------------------------------------------------------------------------------------------


def test_tables_come_back(found: Tables, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    found.write(path)
    back = Tables.read(path)
    assert len(back.runs) == len(found.runs) and len(back.points) == len(found.points)
    for a, b in zip((*found.runs, *found.points), (*back.runs, *back.points), strict=True):
        for field in dataclasses.fields(a):
            x, y = getattr(a, field.name), getattr(b, field.name)
            assert x == y or y == pytest.approx(x, rel=1e-3, nan_ok=True), field.name
    back.write(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()
    curves_beside(path).write_text("run,iteration\n1,2\n")
    with pytest.raises(InputError, match=r"^table: expected the columns run, iteration, passes"):
        Tables.read(path)


def test_summary(found: Tables) -> None:
    rows = summarise(found)
    em = next(r for r in rows if r.law == "sample" and r.method == "em")
    own = [r for r in found.runs if r.law == "sample" and r.method == "em"]
    assert (em.runs, em.reached) == (2, 2) and em.iterations == np.mean([r.goal_iterations for r in own])
    assert best_methods(rows, "iterations") == {("symmetric-linear", 2.0): "em"}
    assert median_run(own).goal_passes == max(r.goal_passes for r in own)
    ends = [(0, 1.0), (10, 11.0), (20, 41.0)]
    assert tail_cost([Point(0, t, p, 0.0, 1.0, 1.0, 1.0) for t, p in ends]) == 3.0


def test_predicted_lines_have_the_predicted_slope(found: Tables) -> None:
    for quantity, power in (("gap", 2), ("error", 1)):
        figure = curves_figure(found, "symmetric-linear", quantity)
        panel = figure.axes[0]
        dashed = [line for line in panel.get_lines() if role_of(line) == "predicted"]
        slopes = sorted(
            float(np.log(y[-1] / y[0]) / (x[-1] - x[0])) for x, y in (line.get_data() for line in dashed) if len(x) > 1
        )
        own = [r for r in found.runs if r.law == "sample" and r.shown]
        chosen = [median_run([r for r in own if r.method == m]) for m in METHODS if METHODS[m].predicted]
        assert slopes == pytest.approx(sorted(power * np.log(r.predicted) for r in chosen), rel=1e-9)
    assert [axes.get_xlabel() for axes in figure.axes] == ["iterations", "passes over the rows", "seconds"]


def test_figures_from_the_tables_alone(found: Tables, tmp_path: Path) -> None:
    found.write(tmp_path / "t.csv")
    figures = synthetic_figures(Tables.read(tmp_path / "t.csv"))
    names = ["synthetic-linear", "synthetic-linear-error", "synthetic-population", "synthetic-rates"]
    assert list(figures) == names
    for name, figure in figures.items():
        figure.savefig(tmp_path / f"{name}.png", dpi=50)
    with pytest.raises(InputError, match=r"^table: expected runs with curves, got none$"):
        synthetic_figures(Tables((), ()))


# The command ----------------------------------------------------------------------------------------------------


def steady(rows: tuple[Run, ...]) -> list[dict[str, object]]:
    """Without what the clock says."""
    return [{k: repr(v) for k, v in dataclasses.asdict(row).items() if "seconds" not in k} for row in rows]


def test_a_killed_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = dataclasses.replace(TINY, seeds=2, starts=("near",), population=0, passes=40)
    store = tmp_path / "store.jsonl"
    whole = synthetic(plan, store)
    lines = store.read_bytes().splitlines(keepends=True)
    store.write_bytes(b"".join(lines[:2]) + lines[2][:100])  # killed while it wrote the second cell
    made = []
    race = synthetic_cell._race
    monkeypatch.setattr(synthetic_cell, "_race", lambda *a: made.append(a) or race(*a))
    again = synthetic(plan, store)
    assert len(made) == len(METHODS) and steady(again.runs) == steady(whole.runs)
    with pytest.raises(InputError, match=r"^store: expected a file of this very sweep"):
        synthetic(dataclasses.replace(plan, rows=500), store)


SMALL = "--model symmetric-linear --snr 2 --seeds 1 --starts near --rows 200 --dimension 2 --passes 30 --population 0"
KEYS = {"command", "setting", "runs", "summary", "best", "maxima", "files"}


def test_command(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    code, text, err = command("reproduce", "synthetic", *SMALL.split(), "--out", str(out), "--json")
    report = json.loads(text)
    assert code == 0 and set(report) == KEYS and report["command"] == f"moe-theory reproduce synthetic {SMALL}"
    assert set(report["files"]) == {p.name for p in out.iterdir()} and "synthetic.csv" in err
    assert {row["method"] for row in report["summary"]} == set(METHODS) and set(report["best"]) == {
        "iterations",
        "passes",
        "seconds",
    }
    assert report["maxima"][0]["maximum"] == "found" and report["setting"]["rows"] == 200
    # The same figures from the table, without a run.
    again = tmp_path / "again"
    table = ("--table", str(out / "synthetic.csv"))
    code, text, _ = command("reproduce", "synthetic", *table, "--out", str(again))
    assert code == 0 and "gradient EM = GD" in text
    for file in out.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes(), file.name
    # Never over another's files.
    (again / "synthetic.csv").write_text("mine\n")
    code, _, err = command("reproduce", "synthetic", *table, "--out", str(again))
    assert code == 2 and "another's" in err and (again / "synthetic.csv").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--model linear", "--model: expected symmetric-linear or symmetric-logistic, got 'linear'"),
        ("--snr 1,x", "--snr: expected numbers separated by commas, got '1,x'"),
        ("--snr=-1", "--snr: expected a number > 0, got -1"),
        ("--snr 1,1", "--snr: expected at least one, each once, got 1.0, 1.0"),
        ("--starts near,far", "--starts: expected near, or a length between 0 and 1000, got 'far'"),
        ("--seeds 0", "--seeds: expected a whole number >= 1, got 0"),
        ("--rows 20", "--rows: expected a whole number >= 50, got 20"),
        ("--dimension 1", "--dimension: expected a whole number >= 2, got 1"),
        ("--stretch 0.5", "--stretch: expected a ratio of scales, at least 1, got 0.5"),
        ("--jobs 0", "--jobs: expected a whole number >= 1, got 0"),
        ("--table no.csv", "table: expected a CSV file that can be read, got no.csv"),
        ("--table no.csv --rows 100", "--table: expected no option of a run beside it, got --rows"),
        ("--store /nowhere/s", "--store: expected a file in a writable folder, got /nowhere/s"),
        ("--out /dev/null/x", "--out: expected a folder that can be made or written to"),
    ],
)
def test_bad_input(command, options: str, message: str) -> None:  # type: ignore[no-untyped-def]
    code, out, err = command("reproduce", "synthetic", *options.split())
    assert code == 2 and out == "" and err.startswith(f"moe-theory: error: {message}") and err.count("\n") == 1
