"""The figure of the tensor method against EM from random starts, drawn from the committed table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from moe_theory.errors import InputError
from moe_theory.gridlock.table import Summary
from moe_theory.report import style
from moe_theory.report.drawing import drawing
from moe_theory.report.style import Picture

WIDE = 0.02  # shift between methods along the axis of n, in decades


@dataclass(frozen=True)
class Style:
    """slot: of the colours; marker: one for how a run starts and is run. Hollow and thin: σ is given."""

    method: str
    label: str
    slot: int
    marker: str
    hollow: bool = False
    judged: bool = True


STYLES = (
    Style("tensor", "tensor method alone", 4, "v", judged=False),
    Style("tensor+em", "tensor + EM, σ learnt", 1, "s"),
    Style("tensor+em-given", "tensor + EM, σ given", 1, "s", hollow=True),
    Style("em-given", "σ given", 0, "o", hollow=True),
    Style("em-truth", "σ learnt, from the true σ", 0, "o"),
    Style("em-spread", "σ learnt, from sd(y)", 5, "^"),
    Style("em-annealed", "σ annealed", 7, "D"),
    Style("gradient", "gradient EM, σ learnt, from sd(y)", 6, "P"),
)
LOUIS = "predicted: maximum likelihood, by Louis' formula"


@drawing("gridlock", gridlock=Summary)
def gridlock_figure(rows: Sequence[Summary]) -> Picture:
    """For each (k, d) of the table, above: error of the regressors against n, medians and quartiles over runs, beside
    Louis' error of the maximum-likelihood estimate and n^(-1/2); below: runs that reach its basin, with 95% intervals.

    InputError for a table without rows.
    """
    if not rows:
        raise InputError("rows: expected at least one row of the table, got none")
    sizes = sorted({(row.k, row.d) for row in rows})
    wide = style.COLUMN if len(sizes) == 1 else style.PAGE
    options: dict[str, Any] = {"sharex": "col", "sharey": "row", "height_ratios": [1.25, 1]}
    picture, panels = style.panels(2, len(sizes), width=wide, height=5.0, **options)
    for column, (k, d) in enumerate(sizes):
        own = [row for row in rows if (row.k, row.d) == (k, d)]
        upper, lower = panels[:, column]
        _errors(upper, own)
        _success(lower, own)
        style.title(upper, f"{k} experts, $d={d}$")
        ns = sorted({row.n for row in own})
        lower.set_xlim(ns[0] / 1.35, ns[-1] * 1.35)
        lower.set_xticks(ns, minor=True)
        style.names(lower, "rows $n$")
        for axes in (upper, lower):
            axes.xaxis.set_minor_formatter(NullFormatter())
    style.names(panels[0, 0], y=r"rms of $\hat a - a$, median and quartiles")
    style.names(panels[1, 0], y="share of runs in the basin of the maximum, 95%")
    _legend(panels[0, 0])
    return picture


def _errors(axes: Axes, rows: Sequence[Summary]) -> None:
    axes.set(xscale="log", yscale="log")
    peaks = sorted((row.n, row.louis) for row in rows if row.method == "mle")
    style.predicted(axes, [n for n, _ in peaks], [v for _, v in peaks], color=style.theme_of(axes).ink, linewidth=1.3)
    alone = sorted((row.n, row.error_median) for row in rows if row.method == "tensor")
    if len(alone) > 1:
        (low, _), (high, end) = alone[0], alone[-1]
        n = np.array([low, high])
        style.reference(axes, n, 2.2 * end * np.sqrt(high / n))
        between = n[0] * (high / low) ** 0.5, 2.2 * end * (high / low) ** 0.25
        style.note(axes, r"$\propto n^{-1/2}$", between)
    for shift, way in _shifts():
        own = sorted((row for row in rows if row.method == way.method), key=lambda row: row.n)
        if own:
            middle = np.array([row.error_median for row in own])
            ends = np.array([[row.error_q25, row.error_q75] for row in own]).T
            _points(axes, [row.n * shift for row in own], middle, ends, way)


def _success(axes: Axes, rows: Sequence[Summary]) -> None:
    axes.set_xscale("log")
    for shift, way in _shifts():
        own = sorted((row for row in rows if row.method == way.method), key=lambda row: row.n)
        if own and way.judged:
            ends = np.array([[row.low, row.high] for row in own]).T
            _points(axes, [row.n * shift for row in own], np.array([row.rate for row in own]), ends, way)
    axes.set_ylim(-0.04, 1.04)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: rf"$10^{{{np.log10(n):.0f}}}$"))


def _points(axes: Axes, n: Sequence[float], middle: np.ndarray, ends: np.ndarray, way: Style) -> None:
    shown = np.isfinite(middle)
    n, middle, ends = np.array(n)[shown], middle[shown], np.where(np.isfinite(ends), ends, 1.0)[:, shown]
    whiskers = np.maximum([middle - ends[0], ends[1] - middle], 0.0)
    colour = style.theme_of(axes).colour(way.slot)
    axes.errorbar(n, middle, whiskers, fmt="none", ecolor=colour, elinewidth=0.7, alpha=0.6, zorder=3)
    style.measured(axes, n, middle, way.slot, **_marks(axes, way), clip_on=False)


def _marks(axes: Axes, way: Style) -> dict[str, Any]:
    look = style.theme_of(axes)
    colour = look.colour(way.slot)
    return {
        "marker": way.marker,
        "markevery": 1,
        "linewidth": 0.8 if way.hollow else 1.3,
        "markersize": 3.2 if way.marker == "D" else 4.0,
        "markerfacecolor": look.paper if way.hollow else colour,
        "markeredgecolor": colour if way.hollow else look.paper,
        "markeredgewidth": 1.0 if way.hollow else 0.4,
    }


def _shifts() -> list[tuple[float, Style]]:
    """Methods beside each other at every n: they often coincide."""
    steps = np.arange(len(STYLES)) - (len(STYLES) - 1) / 2
    return [(float(10 ** (WIDE * step)), way) for step, way in zip(steps, STYLES, strict=True)]


def _legend(axes: Axes) -> None:
    """Three groups under the panels, by where a run starts."""
    look = style.theme_of(axes)
    handles = {
        way.method: Line2D([], [], color=look.pale(way.slot), label=way.label, **_marks(axes, way)) for way in STYLES
    }
    blank = lambda text: Line2D([], [], linestyle="none", label=text)
    peak = Line2D([], [], color=look.ink, linewidth=1.3, linestyle="--", label=LOUIS)
    groups = [
        [blank("From moments"), *(handles[m] for m in ("tensor", "tensor+em", "tensor+em-given"))],
        [blank("EM from random starts"), *(handles[m] for m in ("em-given", "em-truth", "em-spread"))],
        [blank(""), *(handles[m] for m in ("em-annealed", "gradient")), peak],
    ]
    every = [handle for group in groups for handle in group]
    labels = [str(handle.get_label()) for handle in every]
    legend = style.legend(axes, columns=len(groups), handles=every, labels=labels)
    for text in legend.get_texts():
        if text.get_text() in ("From moments", "EM from random starts"):
            text.set_fontweight("bold")
