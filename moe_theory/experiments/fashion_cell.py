"""One run of the experiment on altered images, and what it takes to draw it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from moe_theory.algorithms import Trace, run
from moe_theory.datasets.images import Images, digits, fashion_mnist
from moe_theory.evaluation import Penalty
from moe_theory.evaluation.first_order import Bound
from moe_theory.evaluation.layout import require_layout
from moe_theory.experiments.altered import Altered, alter, experts, predictions, score, start
from moe_theory.experiments.fashion_methods import CONTESTANTS, GRADIENTS
from moe_theory.model import Model
from moe_theory.validation import Array

REGRESSION_PASSES = 60


@dataclass(frozen=True)
class Run:
    """One run. run: its number. setting: of the method, see `Contestant`. tuning: whether it is of the grid's other
    settings. The rest: at its end; passes over the data and seconds, those for the Gram matrix included. reason: why it
    stopped. held_out: whether it learnt from the first five sixths of the training images only and is scored on the
    rest of them, not on the test images."""

    run: int
    method: str
    start: str
    seed: int
    ridge: float
    setting: float
    tuning: bool
    held_out: bool
    reason: str
    iterations: int
    passes: float
    seconds: float
    objective: float
    accuracy: float
    cross_entropy: float
    gate: float


@dataclass(frozen=True)
class Step:
    """An iterate of a run: passes and seconds until it was known, L with the ridge in nats, and the test `Score`."""

    run: int
    iteration: int
    passes: float
    seconds: float
    objective: float
    accuracy: float
    cross_entropy: float
    gate: float


@dataclass(frozen=True)
class Seen:
    """What one expert of a run sees of one class, plain or inverted, among the test images. share: of the images that
    the gate hands to it (its mean probability). pixels: of the mean image, weighted by the gate, as bytes in hex."""

    run: int
    expert: int
    label: str
    inverted: bool
    share: float
    pixels: str


@lru_cache(maxsize=1)
def images(dataset: str, folder: str | None, rows: int | None) -> Images:
    """The data set: "fashion" or "digits"."""
    return (digits() if dataset == "digits" else fashion_mnist(folder)).first(rows)


@lru_cache(maxsize=1)
def altered(
    dataset: str,
    folder: str | None,
    rows: int | None,
    seed: int,
    threads: int,
    invert: bool = True,
    held_out: bool = False,
) -> Altered:
    """The last one asked for is kept: cells come in the order of their seeds."""
    known = images(dataset, folder, rows)
    return alter(known.held_out() if held_out else known, seed, threads, invert)


def work(cell: Mapping[str, Any]) -> dict[str, Any]:
    """{"run": of `Run`, "steps": of `Step`, "seen": of `Seen`}; runs are numbered by the caller."""
    oracle = cell["method"] == "oracle"
    which = (cell[name] for name in ("dataset", "folder", "rows", "seed", "threads"))
    data = altered(*which, not oracle, cell["held_out"])
    regression = oracle or cell["method"] == "regression"
    model = experts(1 if regression else 2, data.images)
    penalty = Penalty(cell["ridge"])
    plan = require_layout(model, data.law)
    zero = np.zeros((len(model.predictors), data.dimension))
    rows, clock = data.law.rows(model, zero), time.perf_counter()
    bound = Bound.of(plan, rows, penalty.weights(plan, rows, zero))
    gram_seconds = rows.once("gram's seconds", lambda: time.perf_counter() - clock)
    contestant = CONTESTANTS["lbfgs-bound" if regression else cell["method"]]
    setting = cell["setting"]
    length = setting / bound.largest if cell["method"] in GRADIENTS else setting
    algorithm = contestant.make(model, penalty, length, cell["seed"])
    at = zero if regression else start(cell["start"], model, data, cell["seed"])
    passes = REGRESSION_PASSES if regression else cell["passes"] * contestant.share
    trace = run(algorithm, data.law, at, max(1, int(passes // contestant.per_step)), 1e-9, divergences=False)
    return _told(cell, model, data, trace, (1.0, gram_seconds) if contestant.gram else (0.0, 0.0))


def _told(
    cell: Mapping[str, Any], model: Model, data: Altered, trace: Trace, gram: tuple[float, float]
) -> dict[str, Any]:
    steps = []
    for i, theta in enumerate(trace.local):
        found = score(model, theta, data)
        steps.append(
            {
                "iteration": i,
                "passes": trace.passes[i] + gram[0] * (i > 0),
                "seconds": trace.seconds[i] + gram[1] * (i > 0),
                "objective": trace.objective[i],
                "accuracy": found.accuracy,
                "cross_entropy": found.cross_entropy,
                "gate": found.gate,
            }
        )
    steps = [{name: _short(value) for name, value in step.items()} for step in steps]
    own = {name: cell[name] for name in ("method", "start", "seed", "ridge", "setting", "tuning", "held_out")}
    ends = {("iterations" if name == "iteration" else name): value for name, value in steps[-1].items()}
    pictured = cell["method"] == "em" and not cell["tuning"] and not cell["held_out"]
    return {
        "run": own | {"reason": trace.reason} | ends,
        "steps": steps,
        "seen": seen(model, trace.local[-1], data) if pictured else [],
    }


def _short(value: float) -> float:
    """Six digits: what noise there is in seconds and in scores of thousands of images is larger."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def seen(model: Model, theta: Array, data: Altered) -> list[dict[str, Any]]:
    """Rows of `Seen`, but for the run's number. The expert that gets more of the inverted images comes second."""
    prior = predictions(model, theta, data.test)[0]
    if np.mean(prior[1, data.test_inverted]) < np.mean(prior[0, data.test_inverted]):
        prior = prior[::-1]
    found = []
    for expert, own in enumerate(prior, 1):
        for c, label in enumerate(data.images.classes):
            for inverted in (False, True):
                kept = (data.test_labels == c) & (data.test_inverted == inverted)
                weights = own[kept] / max(float(np.sum(own[kept])), 1e-300)
                mean = weights @ data.test[kept, :-1]
                pixels = np.clip(np.round((mean + 1) * 127.5), 0, 255).astype(np.uint8).tobytes().hex()
                share = float(np.mean(own[kept])) if kept.any() else float("nan")
                found.append(
                    {"expert": expert, "label": label, "inverted": inverted, "share": _short(share), "pixels": pixels}
                )
    return found
