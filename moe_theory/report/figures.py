"""Figures: predicted lines laid under measured points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from moe_theory.algorithms.trace import Trace
from moe_theory.analysis.rates import RatePrediction
from moe_theory.report.style import Picture
from moe_theory.validation import Array

INK, ITERATES, GAP, BOUND = "#333333", "#0b6e99", "#b3541e", "#8a8a8a"
THIRD = "#6a4c93"


def rate_figure(
    trace: Trace, prediction: RatePrediction, title: str | None = None, limit: Array | None = None
) -> Figure:
    """Distance to the limit and gap L - L* against the iteration, over the lines λ_max^t, λ_max^{2t} and (1-α)^t.

    limit: the fixed point, (m, d), by default extrapolated from the run's last two steps. Distances are in the
    metric ∇²A at the last iterate. The predicted lines start where the run has settled (a third of the way).
    """
    if limit is None:
        ahead = _extrapolated(trace)
        limit = ahead if trace.coordinates is None else trace.coordinates.lift(ahead)
    local = limit if trace.coordinates is None else trace.coordinates.project(limit)
    free = trace.model.free
    moves = free(trace.local - local)
    distance = np.sqrt(np.einsum("ti,ij,tj->t", moves, trace.metric, moves))
    gap = trace.gaps(limit)
    size = 1 + float(np.sqrt(free(local) @ trace.metric @ free(local)))
    last = _last_above(distance, max(1e-14, trace.accuracy) * size)
    anchor = last // 3
    t = np.arange(len(distance))

    figure = Picture(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    style: dict[str, Any] = {"linestyle": "none", "markersize": 4.5, "markevery": max(1, last // 40)}
    axes.plot(
        t[: last + 1],
        distance[: last + 1],
        marker="o",
        color=ITERATES,
        label=r"measured $\|\theta_t-\theta^*\|$",
        **style,
    )
    shown = t[(gap > 0) & (t <= last)]
    axes.plot(
        shown,
        gap[shown],
        marker="s",
        color=GAP,
        label=r"measured gap $L(\theta_t)-L(\theta^*)$, by $\nabla L$ where tiny",
        **style,
    )
    tail = np.arange(anchor, last + 1)
    rate = prediction.lambda_max
    lines = [
        (
            distance[anchor],
            rate,
            ITERATES,
            "-",
            rf"predicted $\lambda_{{\max}}^t$, $\lambda_{{\max}}={rate:.4f}$",
        ),
        (
            gap[anchor],
            rate**2,
            GAP,
            "-",
            rf"predicted $\lambda_{{\max}}^{{2t}}$, $\lambda_{{\max}}^2={rate**2:.4f}$",
        ),
        (
            gap[anchor],
            prediction.bound,
            BOUND,
            "--",
            r"$(1-\alpha)^t$, $\alpha = 1-\lambda_{\max}(M(\theta^*))$, for comparison",
        ),
    ]
    for height, contraction, colour, dash, label in lines:
        if height > 0:
            axes.plot(tail, height * contraction ** (tail - anchor), dash, color=colour, linewidth=1.4, label=label)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("EM iteration t")
    axes.set_ylabel(r"distance in the metric $\nabla^2 A$; gap in nats")
    axes.set_title(title or f"{trace.algorithm} on {trace.model.name}", loc="left", color=INK, fontsize=11)
    axes.grid(True, which="major", alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    return figure


def race_figure(
    traces: Mapping[str, Trace], limit: Array, title: str, contractions: Mapping[str, float] | None = None
) -> Figure:
    """Gap L(θ_t) - L(limit) of up to three runs against the iteration; over it, thin, lines of predicted contractions
    of the gap (by the runs' labels), from a third of the way on."""
    figure = Picture(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for (label, trace), colour in zip(traces.items(), (ITERATES, GAP, BOUND), strict=False):
        gap = trace.gaps(limit)
        last = _last_above(gap, 1e-13)
        t = np.arange(last + 1)
        axes.plot(t, gap[: last + 1], "o", color=colour, markersize=3.5, markevery=max(1, last // 30), label=label)
        rate = (contractions or {}).get(label)
        if rate is not None:
            start = last // 3
            line = gap[start] * rate ** (t[start:] - start)
            axes.plot(t[start:], line, color=colour, linewidth=1.3, label=f"predicted contraction {rate:.3g}")
    axes.set(yscale="log", xlabel="iteration t", ylabel=r"gap $L(\theta_t)-L(\theta^*)$ in nats")
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.grid(True, which="major", alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    return figure


def order_figure(
    series: Mapping[str, tuple[Array, Array, Array | None]], title: str, xlabel: str, ylabel: str
) -> Figure:
    """Up to four series, label: (x, measured, predicted or None), on logarithmic axes: measured points on predicted
    lines. A measured 0 is shown at the least double precision can tell of 1."""
    figure = Picture(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    styles = zip(("o", "s", "^", "D"), (ITERATES, GAP, THIRD, BOUND), strict=True)
    for (label, (x, measured, predicted)), (marker, colour) in zip(series.items(), styles, strict=False):
        shown = np.maximum(measured, np.finfo(float).eps / 2)
        if predicted is not None:
            axes.plot(x, predicted, color=colour, linewidth=1.4)
        axes.plot(x, shown, marker, color=colour, markersize=5, label=label)
    axes.plot([], [], color=INK, linewidth=1.4, label="as predicted")
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.grid(True, which="major", alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    return figure


def _extrapolated(trace: Trace) -> Array:
    """Where the last two steps lead if the next ones shrink as they did; nothing predicted enters."""
    last = trace.local[-1]
    if len(trace.local) < 3:
        return last
    before, step = trace.local[-2] - trace.local[-3], last - trace.local[-2]
    free = trace.model.free
    square = free(before) @ trace.metric @ free(before)
    ratio = float(free(step) @ trace.metric @ free(before) / square) if square > 0 else 0.0
    return last + step * ratio / (1 - ratio) if 0 < ratio < 1 else last


def _last_above(values: Array, floor: float) -> int:
    """Index of the last value before the first at or below the floor."""
    below = np.flatnonzero(values <= floor)
    return int(below[0]) - 1 if len(below) and below[0] > 0 else len(values) - 1
