"""The figures of the synthetic experiment, drawn from its tables and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from moe_theory.errors import InputError
from moe_theory.experiments.methods import METHODS, POPULATION
from moe_theory.experiments.synthetic import Point, Run, Tables
from moe_theory.experiments.synthetic_summary import median_run, tail_cost
from moe_theory.report.style import PAGE, Picture, heading, legend, measured, panels, predicted, reference, theme_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNITS = {"iteration": "iterations", "passes": "passes over the rows", "seconds": "seconds"}
TITLES = {"symmetric-linear": "Symmetric linear experts", "symmetric-logistic": "Symmetric logistic experts"}
SLOTS = {name: slot for slot, name in enumerate(METHODS)}
FLOOR = {"gap": 1e-12, "error": 1e-6}
SETTLED = 0.6  # share of a run's iterations, its last ones, over which the predicted line is drawn


def synthetic_figures(tables: Tables) -> dict[str, Picture]:
    """{file stem: figure}: per model the gap and the error against iterations, passes and seconds; population beside
    sample; rates. InputError for tables without runs."""
    return {name: draw() for name, draw in drawings(tables).items()}


def drawings(tables: Tables) -> dict[str, Callable[[], Picture]]:
    """What draws each of them."""
    if not any(run.shown for run in tables.runs):
        raise InputError("table: expected runs with curves, got none")
    found: dict[str, Callable[[], Picture]] = {}
    for model in dict.fromkeys(run.model for run in tables.runs if run.shown and run.law == "sample"):
        short = model.removeprefix("symmetric-")
        found[f"synthetic-{short}"] = partial(curves_figure, tables, model, "gap")
        found[f"synthetic-{short}-error"] = partial(curves_figure, tables, model, "error")
    if any(run.law == "population" for run in tables.runs):
        found["synthetic-population"] = partial(population_figure, tables)
    found["synthetic-rates"] = partial(rates_figure, tables)
    return found


def curves_figure(tables: Tables, model: str, quantity: str = "gap") -> Picture:
    """Gap or error against iterations, passes and seconds, a row of panels for every ‖β*‖: all runs thin, every
    method's median run bold, and from where that has settled its predicted contraction, dashed."""
    own = [run for run in tables.runs if run.model == model and run.law == "sample" and run.shown]
    betas = sorted({run.beta for run in own})
    if not own or quantity not in FLOOR:
        raise InputError(f"quantity: expected gap or error and runs of {model}, got {quantity!r} and {len(own)} runs")
    picture, axes = panels(len(betas), 3, width=PAGE, height=0.6 + 1.75 * len(betas), sharey="row")
    maxima = [run for run in tables.runs if run.model == model and run.law == "sample" and run.end == "found"]
    for i, beta in enumerate(betas):
        at = [run for run in own if run.beta == beta]
        for unit, panel in zip(UNITS, axes[i], strict=True):
            _curves(panel, tables, at, unit, quantity)
            away = [run.error_truth for run in maxima if run.beta == beta]
            if quantity == "error" and away:
                reference(panel, panel.get_xlim(), [float(np.median(away))] * 2)
            panel.set_xlabel(UNITS[unit])
        level = "gap, nats per row" if quantity == "gap" else "distance"
        axes[i, 0].set_ylabel(f"‖β*‖ = {beta:g}\n{level}")
    what = "likelihood gap, L − L(maximum)" if quantity == "gap" else "distance to the maximum, modulo symmetry"
    heading(picture, f"{TITLES.get(model, model)}: {what}")
    _legend(axes[0, 0], [m for m in METHODS if any(run.method == m for run in own)], quantity)
    picture.rows = {"runs": tables.runs, "curves": tables.points}
    return picture


def population_figure(tables: Tables) -> Picture:
    """Gap against iterations, sample above population, a column for every ‖β*‖, from starts at half the maximum's
    length from it; with the predicted contractions dashed."""
    own = [run for run in tables.runs if run.shown and run.start == "near" and run.method in POPULATION]
    betas = sorted({run.beta for run in own if run.law == "population"})
    lines = [(model, law) for model in dict.fromkeys(run.model for run in own) for law in ("sample", "population")]
    picture, axes = panels(
        len(lines), len(betas), width=PAGE, height=0.6 + 1.65 * len(lines), sharey="row", sharex=False
    )
    for i, (model, law) in enumerate(lines):
        for j, beta in enumerate(betas):
            at = [run for run in own if (run.model, run.law, run.beta) == (model, law, beta)]
            _curves(axes[i, j], tables, at, "iteration", "gap")
            pair = [run for run in own if (run.model, run.beta, run.law) == (model, beta, "population")]
            end = max((run.iterations for run in pair), default=0)
            axes[i, j].set_xlim(0, end * 1.03 or None)
            if not i:
                axes[i, j].set_title(f"‖β*‖ = {beta:g}", loc="left", fontsize=8, color=picture.theme.ink)
            axes[i, j].set_xlabel("iterations")
        axes[i, 0].set_ylabel(f"{model.removeprefix('symmetric-')}, {law}\ngap, nats")
    heading(picture, "Population beside sample: likelihood gap")
    _legend(axes[0, 0], [m for m in METHODS if m in POPULATION], "gap")
    picture.rows = {"runs": tables.runs, "curves": tables.points}
    return picture


def rates_figure(tables: Tables) -> Picture:
    """1 - contraction against ‖β*‖, per iteration above and per pass over the rows below: dashed as predicted at the
    maximum (median over runs), points as measured on the runs."""
    own = [run for run in tables.runs if run.shown and run.law == "sample"]
    models = list(dict.fromkeys(run.model for run in own))
    picture, axes = panels(2, max(len(models), 1), width=PAGE, height=5.2, sharex=True, sharey=True)
    for j, model in enumerate(models):
        for i, cost in enumerate((False, True)):
            _rates(axes[i, j], tables, [run for run in own if run.model == model], cost)
        axes[0, j].set_title(TITLES.get(model, model), loc="left", fontsize=8.5, color=picture.theme.ink)
        axes[1, j].set_xlabel("signal-to-noise ratio ‖β*‖")
    axes[0, 0].set_ylabel("1 − contraction of the error,\nper iteration")
    axes[1, 0].set_ylabel("1 − contraction of the error,\nper pass over the rows")
    _legend(axes[0, 0], [m for m in METHODS if any(run.method == m for run in own)], "")
    picture.rows = {"runs": tables.runs}
    return picture


def _rates(axes: Axes, tables: Tables, runs: Sequence[Run], per_pass: bool) -> None:
    betas = sorted({run.beta for run in runs})
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(betas, [f"{beta:g}" for beta in betas])
    axes.set_xticks([], minor=True)
    for name, slot in SLOTS.items():
        middle = []
        for beta in betas:
            at = [run for run in runs if run.method == name and run.beta == beta]
            power = lambda run: 1 / tail_cost(tables.curve(run)) if per_pass else 1.0
            seen = [1 - run.measured ** power(run) for run in at if 0 < run.measured < 1]
            shift = 1.0 + 0.025 * (slot - len(SLOTS) / 2)
            measured(axes, [beta * shift] * len(seen), seen, slot, linestyle="none", markersize=3.2, alpha=0.75)
            said = [1 - run.predicted ** power(run) for run in at if 0 < run.predicted < 1]
            middle.append((beta * shift, float(np.median(said)) if said else np.nan))
        if any(np.isfinite(y) for _, y in middle):
            predicted(axes, [x for x, _ in middle], [y for _, y in middle], slot)


def _curves(axes: Axes, tables: Tables, runs: Sequence[Run], unit: str, quantity: str) -> None:
    axes.set_yscale("log")
    for name, slot in SLOTS.items():
        own = [run for run in runs if run.method == name]
        if not own:
            continue
        bold = median_run(own)
        for run in own:
            x, y = _line(tables.curve(run), unit, quantity)
            if run is bold:
                measured(axes, x, y, slot, markersize=3.0, linewidth=1.5)
            else:
                colour = theme_of(axes).colour(slot)
                axes.plot(x, y, color=colour, linewidth=0.6, alpha=0.35, zorder=2.5)
        line = _expected(tables.curve(bold), bold.predicted, unit, quantity)
        if line:
            predicted(axes, *line, slot)
    rows = max((run.rows for run in runs), default=0)
    if quantity == "gap" and rows and runs:
        reference(axes, axes.get_xlim(), [runs[0].dimension / rows] * 2)  # p/(2n), p = 2d
        axes.margins(x=0)
    axes.set_ylim(bottom=FLOOR[quantity])
    axes.set_xlim(left=0)


def _line(points: Sequence[Point], unit: str, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    x = np.array([getattr(point, unit) for point in points], dtype=float)
    y = np.array([getattr(point, quantity) for point in points])
    shown = np.isfinite(x) & (y > 0)
    return x[shown], y[shown]


def _expected(points: Sequence[Point], rate: float, unit: str, quantity: str) -> tuple[Any, Any] | None:
    """The predicted line through a run: over the last `SETTLED` of its iterations."""
    if not 0 < rate < 1 or len(points) < 4:
        return None
    first = next(i for i, p in enumerate(points) if p.iteration >= (1 - SETTLED) * points[-1].iteration)
    t, x, y = (
        np.array([getattr(p, key) for p in points[first:]], dtype=float) for key in ("iteration", unit, quantity)
    )
    if not y[0] > 0 or not np.isfinite(x).all():
        return None
    power = 2.0 if quantity == "gap" else 1.0
    return x, y[0] * rate ** (power * (t - t[0]))


def _legend(axes: Axes, methods: Sequence[str], quantity: str) -> None:
    look = theme_of(axes)
    for name in methods:
        measured(axes, [], [], SLOTS[name], METHODS[name].label, markersize=3.4)
    handles = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    handles.append(Line2D([], [], color=look.ink, linestyle="--", linewidth=1.1, label="as predicted at the maximum"))
    said = {"gap": "p/(2n): noise of the sample", "error": "maximum to truth (median)"}
    if quantity in said:
        handles.append(Line2D([], [], color=look.soft, linestyle=":", linewidth=0.9, label=said[quantity]))
    legend(axes, columns=3, handles=handles, labels=[str(handle.get_label()) for handle in handles])
