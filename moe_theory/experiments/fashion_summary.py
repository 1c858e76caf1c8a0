"""What the tables of the experiment on altered images say, in a line per method and start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moe_theory.experiments.altered import STARTS
from moe_theory.experiments.fashion import Found
from moe_theory.experiments.fashion_methods import CONTESTANTS


@dataclass(frozen=True)
class Line:
    """Over the seeds of one method from one start: mean and standard deviation of accuracy and cross-entropy at the end
    and after `at` passes, of the gate's accuracy; medians of passes, seconds; its setting."""

    method: str
    start: str
    runs: int
    setting: float
    passes: float
    seconds: float
    accuracy: float
    accuracy_sd: float
    cross_entropy: float
    gate: float
    gate_least: float
    at: float
    accuracy_at: float
    cross_entropy_at: float


def lines(found: Found, at: float = 100.0) -> list[Line]:
    """One for each method and start, in the order of the tables."""
    made = []
    shown = found.shown()
    for method, start in dict.fromkeys((run.method, run.start) for run in shown):
        own = [run for run in shown if (run.method, run.start) == (method, start)]
        then = [[s for s in found.of(run) if s.passes <= at + 1][-1] for run in own]  # the first pass only looks
        value = lambda name, rows: np.array([getattr(row, name) for row in rows], dtype=float)
        made.append(
            Line(
                method,
                start,
                len(own),
                own[0].setting,
                float(np.median(value("passes", own))),
                float(np.median(value("seconds", own))),
                float(np.mean(value("accuracy", own))),
                float(np.std(value("accuracy", own), ddof=1)) if len(own) > 1 else 0.0,
                float(np.mean(value("cross_entropy", own))),
                float(np.mean(value("gate", own))),
                float(np.min(value("gate", own))),
                at,
                float(np.mean(value("accuracy", then))),
                float(np.mean(value("cross_entropy", then))),
            )
        )
    return made


def in_words(told: Sequence[Line]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(headings, rows) for readers, start by start; in brackets a method's best setting."""
    after = f"at {told[0].at:g}" if told else "then"
    heads = ("method", "start", "runs", "passes", "s", "accuracy", "± sd", "nats", "gate", after, "nats then")
    order = ["zero", *STARTS]
    return heads, [_words(line) for line in sorted(told, key=lambda line: order.index(line.start))]


def _words(line: Line) -> tuple[str, ...]:
    contestant = CONTESTANTS.get(line.method)
    setting = f" ({line.setting:g})" if contestant is not None and contestant.unit else ""
    baseline = line.start == "zero"
    return (
        line.method + setting,
        "–" if baseline else line.start,
        str(line.runs),
        f"{line.passes:.0f}",
        f"{line.seconds:.{1 if line.seconds >= 1 else 2}f}",
        f"{100 * line.accuracy:.2f}%",
        f"{100 * line.accuracy_sd:.2f}",
        f"{line.cross_entropy:.3f}",
        "–" if baseline else f"{100 * line.gate:.2f}%",
        f"{100 * line.accuracy_at:.2f}%",
        f"{line.cross_entropy_at:.3f}",
    )


@dataclass(frozen=True)
class Ridge:
    """EM from the k-means gate with one ridge, learnt from five sixths of the training images and scored on the rest:
    means over so many runs."""

    ridge: float
    runs: int
    accuracy: float
    cross_entropy: float


def ridges(found: Found) -> list[Ridge]:
    """From the least ridge on."""
    mean = lambda runs, name: float(np.mean([getattr(run, name) for run in runs]))
    return [
        Ridge(ridge, len(runs), mean(runs, "accuracy"), mean(runs, "cross_entropy"))
        for ridge, runs in found.held_out().items()
    ]


def ridge_in_words(told: Sequence[Ridge]) -> str:
    """Which is best."""
    best, tried = min(told, key=lambda r: r.cross_entropy), ", ".join(f"{r.ridge:g}" for r in told)
    return (
        f"On training images held out EM's cross-entropy is least with ρ = {best.ridge:g}: {best.cross_entropy:.4f}"
        f" nats, {100 * best.accuracy:.2f}% (of {tried}; means of {best.runs} run{'s' * (best.runs > 1)})."
    )
