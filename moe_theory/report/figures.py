"""Runs and errors in pictures: what was predicted, dashed, on what was measured, solid.

Each figure is made in two steps: a table of plain rows, which `moe_theory.tables` can save, and a drawing that sees
nothing but that table. A number that is not to be drawn is not a number (nan).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator

from moe_theory.algorithms.trace import Trace
from moe_theory.analysis.rates import RatePrediction
from moe_theory.report import style
from moe_theory.report.drawing import drawing
from moe_theory.report.style import Picture
from moe_theory.validation import Array

NAN = float("nan")
GAP = r"gap $L(\theta_t)-L(\theta^*)$"


@dataclass(frozen=True)
class RatePoint:
    """Iteration t of a run. distance: to the limit, in the metric ∇²A (square roots of nats). gap: L - L*, nats.
    predicted_distance, predicted_gap: λ_max^t and λ_max^{2t} from where the run has settled; bound: (1-α)^t from there,
    nats. lambda_max: predicted, the same in all rows."""

    t: int
    distance: float
    gap: float
    predicted_distance: float
    predicted_gap: float
    bound: float
    lambda_max: float


def rate_points(trace: Trace, prediction: RatePrediction, limit: Array | None = None) -> list[RatePoint]:
    """What `rate_figure` draws of a run.

    limit: the fixed point, (m, d), by default extrapolated from the run's last two steps. The predicted values start
    where the run has settled (a third of the way).
    """
    if limit is None:
        local = _extrapolated(trace)
    else:
        local = limit if trace.coordinates is None else trace.coordinates.project(limit)
    free = trace.model.free
    moves = free(trace.local - local)
    distance = np.sqrt(np.einsum("ti,ij,tj->t", moves, trace.metric, moves))
    gap = trace.local_gaps(local)
    size = 1 + float(np.sqrt(free(local) @ trace.metric @ free(local)))
    last = _last_above(distance, max(1e-14, trace.accuracy) * size)
    gap = np.where(gap > 0, gap, NAN)
    rates = (prediction.lambda_max, prediction.gap, prediction.bound)
    lines = [_power(values, last // 3, rate) for values, rate in zip((distance, gap, gap), rates, strict=True)]
    columns = [values[: last + 1].tolist() for values in (distance, gap, *lines)]
    return [
        RatePoint(t, r, g, far, near, bound, float(prediction.lambda_max))
        for t, (r, g, far, near, bound) in enumerate(zip(*columns, strict=True))
    ]


@drawing("rate", rate=RatePoint)
def draw_rate(points: Sequence[RatePoint], title: str) -> Picture:
    """The figure of such a table."""
    t, distance, gap, far, near, bound = (
        np.array([getattr(p, name) for p in points])
        for name in ("t", "distance", "gap", "predicted_distance", "predicted_gap", "bound")
    )
    rate = points[0].lambda_max
    picture, axes = style.panel(height=3.35)
    style.measured(axes, t, distance, 0, r"measured distance $\|\theta_t-\theta^*\|$")
    style.predicted(axes, t, far, 0, rf"predicted $\lambda_{{\max}}^t$, $\lambda_{{\max}}={rate:.4f}$")
    style.measured(axes, t, gap, 1, rf"measured {GAP}, by $\nabla L$ where tiny")
    style.predicted(axes, t, near, 1, rf"predicted $\lambda_{{\max}}^{{2t}}$, $\lambda_{{\max}}^2={rate**2:.4f}$")
    style.bound(axes, t, bound, None, r"bound on the gap, $(1-\alpha)^t$ with $\alpha$ at $\theta^*$")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    style.names(axes, "EM iteration $t$", r"distance in the metric $\nabla^2\! A$ ($\sqrt{\mathrm{nats}}$); gap (nats)")
    style.title(axes, title)
    style.legend(axes)
    return picture


def rate_figure(
    trace: Trace, prediction: RatePrediction, title: str | None = None, limit: Array | None = None
) -> Picture:
    """Distance to the limit and gap L - L* against the iteration, solid; on them, dashed, λ_max^t and λ_max^{2t}, and
    (1-α)^t, the theorem's bound with the α of the limit. limit: as of `rate_points`."""
    return draw_rate(rate_points(trace, prediction, limit), title or f"{trace.algorithm} on {trace.model.name}")


@dataclass(frozen=True)
class RacePoint:
    """Iteration t of the run called `label`: gap L - L* and the predicted one, nats. contraction: predicted, per
    iteration; nan where nothing is."""

    label: str
    t: int
    gap: float
    predicted: float
    contraction: float


def race_points(
    traces: Mapping[str, Trace], limit: Array, contractions: Mapping[str, float] | None = None
) -> list[RacePoint]:
    """What `race_figure` draws of runs to one limit, (m, d)."""
    found = []
    for label, trace in traces.items():
        gap = trace.gaps(limit)
        gap = gap[: _last_above(gap, 1e-13) + 1]
        rate = (contractions or {}).get(label, NAN)
        line = _power(gap, (len(gap) - 1) // 3, rate)
        pairs = zip(gap.tolist(), line.tolist(), strict=True)
        found += [RacePoint(label, t, value, near, float(rate)) for t, (value, near) in enumerate(pairs)]
    return found


@drawing("race", race=RacePoint)
def draw_race(points: Sequence[RacePoint], title: str) -> Picture:
    """The figure of such a table."""
    picture, axes = style.panel(height=3.2)
    for slot, label in enumerate(dict.fromkeys(p.label for p in points)):
        own = [p for p in points if p.label == label]
        t = [p.t for p in own]
        style.measured(axes, t, [p.gap for p in own], slot, label)
        if np.isfinite(own[0].contraction):
            told = f"predicted contraction {own[0].contraction:.3g}"
            style.predicted(axes, t, [p.predicted for p in own], slot, told)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    style.names(axes, "iteration $t$", f"{GAP} (nats)")
    style.title(axes, title)
    style.legend(axes)
    return picture


def race_figure(
    traces: Mapping[str, Trace], limit: Array, title: str, contractions: Mapping[str, float] | None = None
) -> Picture:
    """Gap L(θ_t) - L(limit) of runs against the iteration; on it, dashed, predicted contractions of the gap (by the
    runs' labels), from a third of the way on."""
    return draw_race(race_points(traces, limit, contractions), title)


@dataclass(frozen=True)
class OrderPoint:
    """One point of the series called `label`; predicted: nan where nothing is."""

    label: str
    x: float
    measured: float
    predicted: float


def order_points(series: Mapping[str, tuple[Array, Array, Array | None]]) -> list[OrderPoint]:
    """What `order_figure` draws of label: (x, measured, predicted or None)."""
    return [
        OrderPoint(label, float(a), float(b), NAN if predicted is None else float(predicted[i]))
        for label, (x, measured, predicted) in series.items()
        for i, (a, b) in enumerate(zip(x, measured, strict=True))
    ]


@drawing("order", order=OrderPoint)
def draw_order(points: Sequence[OrderPoint], title: str, xlabel: str, ylabel: str, told: str) -> Picture:
    """The figure of such a table."""
    picture, axes = style.panel(height=3.2)
    for slot, label in enumerate(dict.fromkeys(p.label for p in points)):
        own = [p for p in points if p.label == label]
        x, shown = [p.x for p in own], [max(p.measured, float(np.finfo(float).eps) / 2) for p in own]
        style.measured(axes, x, shown, slot, label, markevery=1, markersize=4.4, linewidth=1.4)
        if any(np.isfinite(p.predicted) for p in own):
            style.predicted(axes, x, [p.predicted for p in own], slot)
    style.predicted(axes, [], [], label=told, color=picture.theme.ink)
    axes.set(xscale="log", yscale="log")
    style.names(axes, xlabel, ylabel)
    style.title(axes, title)
    style.legend(axes)
    return picture


def order_figure(
    series: Mapping[str, tuple[Array, Array, Array | None]],
    title: str,
    xlabel: str,
    ylabel: str,
    told: str = "as predicted",
) -> Picture:
    """Series, label: (x, measured, predicted or None), on logarithmic axes. A measured 0 is shown at the least double
    precision can tell of 1. told: what the dashed lines are called."""
    return draw_order(order_points(series), title, xlabel, ylabel, told)


def _power(values: Array, start: int, rate: float) -> Array:
    """values[start] · rate^(t - start) from there on, not a number before."""
    t = np.arange(len(values)) - start
    return np.where(t >= 0, values[start] * np.power(rate, np.maximum(t, 0)), NAN)


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
