"""The experiment on altered images: files, inversions, scores, runs, tables, figures, the command."""

from __future__ import annotations

import dataclasses
import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.lines import Line2D

import moe_theory as mt
from moe_theory.cli.reproduce import reproduce as command
from moe_theory.datasets import images as source
from moe_theory.datasets.idx import read_idx
from moe_theory.datasets.images import digits, fashion_mnist
from moe_theory.errors import InputError
from moe_theory.experiments.altered import STARTS, alter, experts, predictions, score, start
from moe_theory.experiments.fashion import HELD_OUT, Found, Plan, data_of, reproduce
from moe_theory.experiments.fashion_cell import seen
from moe_theory.experiments.fashion_cost import floor
from moe_theory.experiments.fashion_summary import lines, ridge_in_words, ridges
from moe_theory.report import style
from moe_theory.report.fashion import drawings

SMALL = Plan("digits", methods=("em", "gd"), starts=("kmeans", "small"), seeds=1, passes=42)


# Files -----------------------------------------------------------------------------------------------------------


def idx_bytes(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, count in (("train", 30), ("t10k", 12)):
        pictures = rng.integers(0, 256, (count, 4, 4))
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(pictures)))
        (tmp_path / f"{name}-labels-idx1-ubyte").write_bytes(idx_bytes(rng.integers(0, 10, count)))
    return tmp_path


def test_idx_files_come_back(tmp_path: Path) -> None:
    array = np.random.default_rng(1).integers(0, 256, (5, 3, 2))
    for path, content in ((tmp_path / "a", idx_bytes(array)), (tmp_path / "b.gz", gzip.compress(idx_bytes(array)))):
        path.write_bytes(content)
        found, checksum = read_idx(path, 3)
        np.testing.assert_array_equal(found, array)
        assert len(checksum) == 64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"GIF89a...", "begins with 47494638 instead of 00000803"),
        (idx_bytes(np.zeros((2, 2, 2)))[:-1], "expected 2 x 2 x 2 bytes after the head"),
        (idx_bytes(np.zeros((2, 2, 2))) + b"\0", "got 9: fetch it again"),
        (idx_bytes(np.zeros(3)), "begins with 00000801"),
        (gzip.compress(idx_bytes(np.zeros((2, 2, 2))), mtime=0)[:-6], "its gzip is damaged"),
        (b"\xff\xff\xff\xff".join([bytes([0, 0, 8, 3]), b"", b"", b""]), "expected 4294967295 x 4294967295 x"),
    ],
    ids=["empty", "a picture", "cut short", "too long", "other axes", "damaged gzip", "vast"],
)
def test_damaged_idx_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_idx(tmp_path / "x", 3)


def test_a_folder_of_ones_own(folder: Path) -> None:
    found = fashion_mnist(folder)
    assert found.name == f"the idx files in {folder}"  # not called Fashion-MNIST, which it is not
    assert found.train.shape == (30, 16) and found.test.shape == (12, 16) and found.shape == (4, 4)
    assert found.train.dtype == np.float32 and found.train.min() >= -1 and found.train.max() <= 1
    raw = read_idx(folder / "train-images-idx3-ubyte.gz", 3)[0].reshape(30, -1).astype(float)
    np.testing.assert_allclose(found.train, 2 * raw / 255 - 1, atol=1e-6)
    inverted = (255 - raw) / 127.5 - 1
    np.testing.assert_allclose(-found.train, inverted, atol=1e-6)  # to invert is to change the sign
    with pytest.raises(InputError, match="rows: expected at most 30, got 31"):
        found.first(31)


def test_wrong_folders(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected the folder of the four idx files, got .*nowhere"):
        fashion_mnist(tmp_path / "nowhere")
    labels = folder / "train-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.full(30, 11)))
    with pytest.raises(InputError, match="expected labels 0 to 9, got 11"):
        fashion_mnist(folder)
    labels.write_bytes(idx_bytes(np.zeros(29)))
    with pytest.raises(InputError, match="expected a label for each train image, got 29 for 30"):
        fashion_mnist(folder)
    labels.unlink()
    with pytest.raises(InputError, match=r"expected train-labels-idx1-ubyte or .*gz in .*found neither"):
        fashion_mnist(folder)


def test_no_network_and_no_means(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(source, "PACKAGED", tmp_path / "none")
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(InputError, match=r"pip install 'moe-theory\[data\]' to download them"):
        fashion_mnist()
    monkeypatch.delitem(sys.modules, "pooch")
    pooch = pytest.importorskip("pooch")
    monkeypatch.setenv("MOE_THEORY_CACHE", str(tmp_path))

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(pooch.Pooch, "fetch", refuse)
    with pytest.raises(InputError, match=r"could not fetch train-images-idx3-ubyte from its home \(ConnectionError\)"):
        fashion_mnist()
    # What lies in the cache and has another checksum is no Fashion-MNIST.
    monkeypatch.setattr(pooch.Pooch, "fetch", lambda *_, **__: str(tmp_path / "other.gz"))
    (tmp_path / "other.gz").write_bytes(gzip.compress(idx_bytes(np.zeros((2, 28, 28)))))
    with pytest.raises(
        InputError, match="expected the checksum of Fashion-MNIST's train-images-idx3-ubyte, got another"
    ):
        fashion_mnist()


@pytest.mark.skipif(not source.PACKAGED.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_the_packaged_files() -> None:
    found = fashion_mnist()
    assert found.name == "Fashion-MNIST" and found.train.shape == (60_000, 784) and found.test.shape == (10_000, 784)
    np.testing.assert_array_equal(np.bincount(found.train_labels), 6000)
    np.testing.assert_array_equal(np.bincount(found.test_labels), 1000)


# Data, scores, starts --------------------------------------------------------------------------------------------


def test_inversions() -> None:
    images = digits()
    one, same, other = (alter(images, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.inverted, same.inverted)
    assert np.mean(one.inverted != other.inverted) > 0.4
    n = len(images.train)
    assert abs(np.mean(one.inverted) - 0.5) < 4 * 0.5 / np.sqrt(n)
    x = one.law.x
    np.testing.assert_array_equal(x[:, :-1], np.where(one.inverted[:, None], -images.train, images.train))
    np.testing.assert_array_equal(x[:, -1], 1.0)
    assert not alter(images, 0, invert=False).inverted.any()


def test_scores_against_plain_python() -> None:
    data = alter(digits(), 3)
    model = experts(2, data.images)
    theta = 0.3 * np.random.default_rng(4).standard_normal((19, 65))
    hits = loss = told = 0.0
    for x, y, inverted in zip(data.test.astype(float), data.test_labels, data.test_inverted, strict=True):
        gate = 1 / (1 + np.exp(-x @ theta[18]))
        mixed = np.zeros(10)
        for share, rows in ((1 - gate, theta[:9]), (gate, theta[9:18])):
            weights = np.exp(np.append(0.0, rows @ x))
            mixed += share * weights / weights.sum()
        hits += np.argmax(mixed) == y
        loss -= np.log(mixed[y])
        told += (gate > 0.5) == inverted
    found, n = score(model, theta, data), len(data.test)
    assert found.accuracy == hits / n
    assert abs(found.cross_entropy - loss / n) < 1e-6
    assert found.gate == max(told, n - told) / n
    swapped = theta.copy()
    swapped[:9], swapped[9:18], swapped[18] = theta[9:18], theta[:9], -theta[18]
    assert abs(score(model, swapped, data).cross_entropy - found.cross_entropy) < 1e-6


def test_informed_starts_tell_inversions() -> None:
    data = alter(digits(), 0)
    model = experts(2, data.images)
    for kind in ("kmeans", "pc1"):
        theta = start(kind, model, data, 0)
        assert score(model, theta, data).gate > 0.98
        assert not theta[:18].any()
    small = start("small", model, data, 0)
    assert abs(np.std(small) - 0.01) < 0.001
    with pytest.raises(InputError, match="start: expected one of kmeans, pc1, small, got 'zero'"):
        start("zero", model, data, 0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["kmeans", "pc1"])
def test_em_on_digits_within_five_iterations(kind: str, seed: int) -> None:
    data = alter(digits(), seed)
    model = experts(2, data.images)
    trace = mt.run(
        mt.InexactEM(model, mt.Penalty(1e-3)), data.law, start(kind, model, data, seed), 5, divergences=False
    )
    scores = [score(model, theta, data) for theta in trace.local]
    assert max(s.accuracy for s in scores) >= 0.96
    assert scores[-1].gate == 1.0


def test_what_experts_see() -> None:
    data = alter(digits(), 0)
    model = experts(2, data.images)
    theta = start("pc1", model, data, 0)
    rows = seen(model, theta, data)
    assert len(rows) == 40
    prior = predictions(model, theta, data.test)[0]
    order = prior if prior[1, data.test_inverted].mean() > 0.5 else prior[::-1]
    one = next(r for r in rows if r["expert"] == 2 and r["label"] == "3" and r["inverted"])
    kept = (data.test_labels == 3) & data.test_inverted
    mean = np.average(data.test[kept, :-1], axis=0, weights=order[1, kept])
    pixels = np.frombuffer(bytes.fromhex(one["pixels"]), np.uint8)
    np.testing.assert_allclose(pixels, (mean + 1) * 127.5, atol=0.51)
    assert abs(one["share"] - order[1, kept].mean()) < 1e-5


# The experiment --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found() -> Found:
    return reproduce(SMALL)


def test_runs_of_the_experiment(found: Found) -> None:
    tried = [r for r in found.runs if r.tuning]
    shown = found.shown()
    assert {(r.method, r.start) for r in shown} == {
        ("regression", "zero"),
        ("oracle", "zero"),
        *((m, s) for m in ("em", "gd") for s in ("kmeans", "small")),
    }
    for kind in ("kmeans", "small"):
        best = min((r for r in tried if r.start == kind and r.reason == "max_iterations"), key=lambda r: r.objective)
        own = next(r for r in shown if (r.method, r.start) == ("gd", kind))
        assert own.setting == best.setting and own.objective == best.objective
    em, gd = (next(r for r in shown if (r.method, r.start) == (m, "kmeans")) for m in ("em", "gd"))
    oracle, one = (next(r for r in shown if r.method == m) for m in ("oracle", "regression"))
    assert oracle.accuracy > em.accuracy > gd.accuracy > one.accuracy
    assert em.passes == 44 and gd.passes == 43  # at the start one, for E[xx'] one
    for run in found.runs:
        steps = found.of(run)
        assert [s.iteration for s in steps] == list(range(run.iterations + 1))
        assert steps[-1].accuracy == run.accuracy and np.all(np.diff([s.passes for s in steps]) > 0)
        if run.method == "em":
            assert np.all(np.diff([s.objective for s in steps]) <= 1e-6)


def test_the_ridge_is_chosen_on_images_held_out(found: Found) -> None:
    """By EM, on training images that it did not learn from, and on no test image."""
    whole, held = digits(), digits().held_out()
    assert len(held.train) == len(whole.train) * 5 // 6
    np.testing.assert_array_equal(np.vstack([held.train, held.test]), whole.train)
    np.testing.assert_array_equal(np.append(held.train_labels, held.test_labels), whole.train_labels)
    own = [run for run in found.runs if run.held_out]
    assert [run.ridge for run in own] == list(HELD_OUT) and {run.method for run in own} == {"em"}
    assert not {run.run for run in own} & ({run.run for run in found.shown()} | {row.run for row in found.seen})
    data = alter(held, 0, SMALL.threads)
    model = experts(2, held)
    em = mt.InexactEM(model, mt.Penalty(HELD_OUT[0]))
    trace = mt.run(em, data.law, start("kmeans", model, data, 0), 2, 1e-9, divergences=False)
    assert own[0].cross_entropy == pytest.approx(score(model, trace.last, data).cross_entropy, rel=1e-5)
    told, best = ridges(found), min(own, key=lambda run: run.cross_entropy)
    assert [line.runs for line in told] == [1] * len(own) and f"ρ = {best.ridge:g}: " in ridge_in_words(told)


def test_few_images_and_no_em(tmp_path: Path) -> None:
    few = reproduce(dataclasses.replace(SMALL, rows=5, passes=21, methods=("em",), starts=("kmeans",)))
    assert not few.held_out()
    made = {name: draw() for name, draw in drawings(few, "digits").items()}
    assert {"curves-kmeans", "ridge"} <= set(made)
    for axes in (*made["curves-kmeans"].axes, *made["ridge"].axes):
        low, high = axes.get_ylim()
        assert low < high and any(np.any((low <= y) & (y <= high)) for y in map(Line2D.get_ydata, axes.lines))
    few.save(tmp_path)
    assert (tmp_path / "seen.csv").exists()
    without = reproduce(dataclasses.replace(SMALL, rows=80, passes=3, methods=("gd",), starts=("kmeans",)))
    without.save(tmp_path)
    assert Found.load(tmp_path) == without and not without.seen


def test_resumed_where_it_was(found: Found, tmp_path: Path) -> None:
    store = tmp_path / "cells.jsonl"
    reproduce(SMALL, store)
    for path in (store, tmp_path / "cells.jsonl.tuning"):
        content = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(content[:-2]) + content[-2][:20])  # as killed while writing
    told = []
    again = reproduce(SMALL, store, finished=lambda done, count, run: told.append((done, count)))
    assert told[-1] == (len(found.runs), len(found.runs))
    strip = lambda f: [(r.run, r.method, r.start, r.setting, r.objective, r.accuracy) for r in f.runs]
    assert strip(again) == strip(found)


def test_tables_and_figures_from_them(found: Found, tmp_path: Path) -> None:
    found.save(tmp_path)
    again = Found.load(tmp_path)
    assert again == found
    assert lines(found.thinned(22, count=5), at=22) == lines(found, at=22)
    pictures = {name: draw() for name, draw in drawings(again.pictured(), "digits").items()}
    assert set(pictures) == {"curves-kmeans", "curves-small", "starts", "ridge", "gate", "experts"}
    for name, picture in pictures.items():
        picture.savefig(tmp_path / f"{name}.png")
        if name == "experts":
            continue
        for axes in picture.axes:
            if axes in picture.axes[:1]:
                assert axes.get_ylabel() or axes.get_xlabel()
            for line in axes.get_lines():
                assert line.get_linestyle() == "None" or style.role_of(line) in ("measured", "reference")
    (tmp_path / "steps.csv").write_text("something\n1\n")
    with pytest.raises(InputError, match="table: expected the columns run, iteration"):
        Found.load(tmp_path)


def test_summary(found: Found) -> None:
    told = {(line.method, line.start): line for line in lines(found, at=22)}
    em = told["em", "kmeans"]
    run = next(r for r in found.shown() if (r.method, r.start) == ("em", "kmeans"))
    assert (em.runs, em.accuracy, em.passes) == (1, run.accuracy, run.passes)
    assert em.accuracy_at == found.of(run)[1].accuracy  # 23 passes: the start, E[xx'], 21 of the first iteration
    assert told["em", "small"].runs == 2


def test_cost_of_a_pass() -> None:
    cost = floor(data_of(SMALL), rounds=2)
    assert cost.products > 0 and cost.ratio == cost.evaluation / cost.products


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "mnist"}, "dataset: expected among fashion, digits, got 'mnist'"),
        ({"methods": ("em", "newton")}, "methods: expected among em, .*got 'newton'"),
        ({"methods": ()}, "methods: expected among"),
        ({"starts": ("oracle",)}, "starts: expected among kmeans, pc1, small, got 'oracle'"),
        ({"seeds": 0}, "seeds: expected a whole number >= 1"),
        ({"ridge": -1.0}, "ridge: expected a number >= 0, got -1"),
    ],
)
def test_bad_plans(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Plan(**changes)


# The command -----------------------------------------------------------------------------------------------------


def test_command(found: Found, tmp_path: Path) -> None:
    found.save(tmp_path)
    out = tmp_path / "out"
    ran = CliRunner().invoke(
        command, ["fashion", "--dataset", "digits", "--table", str(tmp_path), "--out", str(out), "--json"]
    )
    assert ran.exit_code == 0, ran.output
    report = json.loads(ran.stdout)
    keys = "command setting runs summary ridges pass_milliseconds em_iteration files"
    assert set(report) == set(keys.split())
    assert [line["ridge"] for line in report["ridges"]] == list(HELD_OUT)
    assert len(report["runs"]) == len(found.runs)
    assert sorted(p.name for p in out.iterdir()) == sorted(report["files"])
    assert STARTS.keys() >= {line["start"] for line in report["summary"]} - {"zero"}


def test_command_runs(tmp_path: Path) -> None:
    options = ["--dataset", "digits", "--methods", "em", "--starts", "pc1", "--seeds", "1", "--passes", "22"]
    ran = CliRunner().invoke(command, ["fashion", *options, "--json"])
    assert ran.exit_code == 0, ran.output
    report = json.loads(ran.stdout)
    assert report["setting"]["methods"] == ["em"] and report["pass_milliseconds"]["ratio"] > 0
    shown = CliRunner().invoke(command, ["fashion", *options])
    assert "Altered digits" in shown.stdout and "again: moe-theory reproduce fashion" in shown.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data-dir", "nowhere"], "expected the folder of the four idx files, got nowhere"),
        (["--dataset", "digits", "--data-dir", "x"], "--data-dir: expected none with the embedded digits"),
        (["--methods", "em,newton"], "--methods: expected among"),
        (["--table", "nowhere"], "expected a CSV file that can be read"),
        (["--table", "x", "--seeds", "3"], "--table: expected no option of a run beside it, got --seeds"),
        (["--dataset", "digits", "--rows", "99999"], "rows: expected at most 1540"),
    ],
)
def test_bad_input(options: list[str], message: str) -> None:
    ran = CliRunner().invoke(command, ["fashion", *options])
    assert isinstance(ran.exception, InputError)
    assert message in str(ran.exception)
