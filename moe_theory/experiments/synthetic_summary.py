"""What the synthetic experiment's tables say, method by method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moe_theory.experiments.methods import METHODS
from moe_theory.experiments.synthetic import Point, Run, Tables
from moe_theory.tables import markdown_table


@dataclass(frozen=True)
class Summary:
    """A method at a truth, over `runs` shown runs.

    reached: with a gap of at most GOAL within the passes. leads: that reached it, or were near it, or from whose end
    accelerated EM goes there; other: stationary elsewhere, or led elsewhere; the rest failed or is unknown. iterations,
    passes, seconds: to the goal, medians over all runs (infinite where half of them never get there). predicted,
    measured: contractions of the iterates, medians over the runs that have one. error_truth: median at the end. step:
    median of the best constant ones.
    """

    law: str
    model: str
    beta: float
    method: str
    runs: int
    reached: int
    leads: int
    other: int
    iterations: float
    passes: float
    seconds: float
    predicted: float
    measured: float
    error_truth: float
    step: float


def summarise(tables: Tables) -> list[Summary]:
    """One row per law, model, ‖β*‖ and method, in that order."""
    groups: dict[tuple[str, str, float, str], list[Run]] = {}
    for run in tables.runs:
        if run.shown:
            groups.setdefault((run.law, run.model, run.beta, run.method), []).append(run)
    return [_summary(key, groups[key]) for key in sorted(groups, key=_order)]


def best_methods(rows: Sequence[Summary], unit: str) -> dict[tuple[str, float], str]:
    """{(model, ‖β*‖): the method that is first at the goal} on samples, counted in "iterations", "passes" or
    "seconds"; left out where none is."""
    found: dict[tuple[str, float], str] = {}
    for key in dict.fromkeys((row.model, row.beta) for row in rows if row.law == "sample"):
        own = [row for row in rows if row.law == "sample" and (row.model, row.beta) == key]
        best = min(own, key=lambda row: getattr(row, unit))
        if math.isfinite(getattr(best, unit)):
            found[key] = best.method
    return found


def median_run(runs: Sequence[Run]) -> Run:
    """The one in the middle by passes to the goal, then by the gap at the end (the worse of two)."""
    order = sorted(
        runs, key=lambda run: (run.goal_passes, run.goal_iterations, math.inf if math.isnan(run.gap) else run.gap)
    )
    return order[len(order) // 2]


def tail_cost(points: Sequence[Point]) -> float:
    """Passes per iteration over the second half of a run's iterations; 1 for a run without any."""
    half = [point for point in points if 2 * point.iteration >= points[-1].iteration]
    steps = half[-1].iteration - half[0].iteration if half else 0
    return (half[-1].passes - half[0].passes) / steps if steps else 1.0


def _summary(key: tuple[str, str, float, str], runs: Sequence[Run]) -> Summary:
    median = lambda name: float(np.median([getattr(run, name) for run in runs]))
    finite = lambda name: [getattr(run, name) for run in runs if math.isfinite(getattr(run, name))]
    some = lambda name: float(np.median(finite(name))) if finite(name) else math.nan
    return Summary(
        *key,
        runs=len(runs),
        reached=sum(run.end == "mle" for run in runs),
        leads=sum(run.leads in ("mle", "near") for run in runs),
        other=sum(run.leads == "other" for run in runs),
        iterations=_middle([run.goal_iterations for run in runs]),
        passes=_middle([run.goal_passes for run in runs]),
        seconds=_middle([run.goal_seconds for run in runs]),
        predicted=some("predicted"),
        measured=some("measured"),
        error_truth=median("error_truth"),
        step=some("step"),
    )


def _middle(values: Sequence[float]) -> float:
    """Median of numbers that may be infinite: of two in the middle of which one is, infinite."""
    order = sorted(values)
    half = len(order) // 2
    low, high = (order[half], order[half]) if len(order) % 2 else (order[half - 1], order[half])
    return (low + high) / 2


def _order(key: tuple[str, str, float, str]) -> tuple[bool, str, float, int]:
    law, model, beta, method = key
    return law != "sample", model, beta, list(METHODS).index(method)


def markdown(rows: Sequence[Summary]) -> str:
    """Per model a table, methods by ‖β*‖: iterations, passes and milliseconds to the goal (medians), and of how many
    runs; where half of them never get there, how many do."""
    made = []
    for model in dict.fromkeys(row.model for row in rows if row.law == "sample"):
        own = {(row.method, row.beta): row for row in rows if (row.law, row.model) == ("sample", model)}
        betas = sorted({beta for _, beta in own})
        lines = [
            [method.label, *(_cell(own[name, beta]) if (name, beta) in own else "–" for beta in betas)]
            for name, method in METHODS.items()
        ]
        made.append(markdown_table([model, *(f"‖β*‖ = {beta:g}" for beta in betas)], lines))
    return "\n\n".join(made)


def _cell(row: Summary) -> str:
    if not math.isfinite(row.passes):
        return f"{row.reached} of {row.runs}"
    return f"{row.iterations:g} · {row.passes:g} · {1e3 * row.seconds:.0f} ({row.reached}/{row.runs})"
