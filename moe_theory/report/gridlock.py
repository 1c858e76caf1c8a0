"""The figure of the tensor method against EM from random starts, drawn from the committed table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from moe_theory.errors import InputError
from moe_theory.report.figures import BOUND, GAP, INK, ITERATES, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from moe_theory.gridlock.table import Summary

PALE = "white"
WIDE = 0.02  # shift between methods along the axis of n, in decades


@dataclass(frozen=True)
class Style:
    """Colour: where the run starts (moments, at random, at random with gradient steps). Hollow: σ is given."""

    method: str
    label: str
    colour: str
    marker: str
    line: Literal["-", "--", ":"] = "-"
    hollow: bool = False
    judged: bool = True


STYLES = (
    Style("tensor", "tensor method alone", GAP, "v", ":", judged=False),
    Style("tensor+em", "tensor + EM, σ learnt", GAP, "s"),
    Style("tensor+em-given", "tensor + EM, σ given", GAP, "s", "--", hollow=True),
    Style("em-given", "σ given", ITERATES, "o", "--", hollow=True),
    Style("em-truth", "σ learnt, from the true σ", ITERATES, "o"),
    Style("em-spread", "σ learnt, from sd(y)", "#56a5c7", "^"),
    Style("em-annealed", "σ annealed", "#123a52", "D"),
    Style("gradient", "gradient EM, σ learnt, from sd(y)", BOUND, "P"),
)


def gridlock_figure(rows: Sequence[Summary]) -> Figure:
    """For each (k, d) of the table, above: error of the regressors against n, medians and quartiles over runs, beside
    Louis' error of the maximum-likelihood estimate and n^(-1/2); below: runs that reach its basin, with 95% intervals.

    InputError for a table without rows.
    """
    if not rows:
        raise InputError("rows: expected at least one row of the table, got none")
    sizes = sorted({(row.k, row.d) for row in rows})
    figure = Picture(figsize=(1.3 + 3.2 * len(sizes), 7.0), layout=ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.06))
    panels = figure.subplots(2, len(sizes), squeeze=False, sharex="col", sharey="row", height_ratios=[1.25, 1])
    for column, (k, d) in enumerate(sizes):
        own = [row for row in rows if (row.k, row.d) == (k, d)]
        upper, lower = panels[:, column]
        _errors(upper, own)
        _success(lower, own)
        upper.set_title(f"{k} experts, $d={d}$", loc="left", color=INK, fontsize=11)
        ns = sorted({row.n for row in own})
        lower.set_xlim(ns[0] / 1.35, ns[-1] * 1.35)
        lower.set_xticks(ns, minor=True)
        lower.set_xlabel("rows $n$")
        for axes in (upper, lower):
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.grid(True, which="major", alpha=0.25, linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_ylabel(r"rms of $\hat a - a$" + "\nmedian and quartiles")
    panels[1, 0].set_ylabel("runs in the basin of\nthe maximum, 95%")
    _legend(figure)
    return figure


def _errors(axes: Axes, rows: Sequence[Summary]) -> None:
    axes.set(xscale="log", yscale="log")
    peaks = sorted((row.n, row.louis) for row in rows if row.method == "mle")
    if peaks:
        axes.plot(*zip(*peaks, strict=True), color=INK, linewidth=4.5, alpha=0.18, solid_capstyle="round", zorder=1)
    alone = sorted((row.n, row.error_median) for row in rows if row.method == "tensor")
    if len(alone) > 1:
        (low, _), (high, end) = alone[0], alone[-1]
        n = np.array([low, high])
        axes.plot(n, 2.2 * end * np.sqrt(high / n), color=INK, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
        axes.annotate(
            r"$\propto n^{-1/2}$",
            (n[0] * (high / low) ** 0.5, 2.2 * end * (high / low) ** 0.25),
            xytext=(3, 3),
            textcoords="offset points",
            color=INK,
            fontsize=9,
        )
    for shift, style in _shifts():
        own = sorted((row for row in rows if row.method == style.method), key=lambda row: row.n)
        if own:
            middle = np.array([row.error_median for row in own])
            ends = np.array([[row.error_q25, row.error_q75] for row in own]).T
            _points(axes, [row.n * shift for row in own], middle, ends, style)


def _success(axes: Axes, rows: Sequence[Summary]) -> None:
    axes.set_xscale("log")
    for shift, style in _shifts():
        own = sorted((row for row in rows if row.method == style.method), key=lambda row: row.n)
        if own and style.judged:
            ends = np.array([[row.low, row.high] for row in own]).T
            _points(axes, [row.n * shift for row in own], np.array([row.rate for row in own]), ends, style)
    axes.set_ylim(-0.04, 1.04)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: rf"$10^{{{np.log10(n):.0f}}}$"))


def _points(axes: Axes, n: Sequence[float], middle: np.ndarray, ends: np.ndarray, style: Style) -> None:
    shown = np.isfinite(middle)
    n, middle, ends = np.array(n)[shown], middle[shown], np.where(np.isfinite(ends), ends, 1.0)[:, shown]
    whiskers = np.maximum([middle - ends[0], ends[1] - middle], 0.0)
    axes.errorbar(n, middle, whiskers, fmt="none", ecolor=style.colour, elinewidth=0.8, alpha=0.6, zorder=3)
    axes.plot(
        n,
        middle,
        color=style.colour,
        linestyle=style.line,
        linewidth=1.2,
        marker=style.marker,
        markersize=4.8 if style.marker != "D" else 3.8,
        markerfacecolor=PALE if style.hollow else style.colour,
        markeredgecolor=style.colour if style.hollow else PALE,
        markeredgewidth=1.2 if style.hollow else 0.5,
        zorder=4,
        clip_on=False,
    )


def _shifts() -> list[tuple[float, Style]]:
    """Methods beside each other at every n: they often coincide."""
    steps = np.arange(len(STYLES)) - (len(STYLES) - 1) / 2
    return [(float(10 ** (WIDE * step)), style) for step, style in zip(steps, STYLES, strict=True)]


def _legend(figure: Figure) -> None:
    """Three groups under the panels, by where a run starts."""
    handles = {
        style.method: Line2D(
            [],
            [],
            color=style.colour,
            linestyle=style.line,
            linewidth=1.2,
            marker=style.marker,
            markersize=6,
            markerfacecolor=PALE if style.hollow else style.colour,
            markeredgecolor=style.colour,
            label=style.label,
        )
        for style in STYLES
    }
    blank = lambda text: Line2D([], [], linestyle="none", label=text)
    peak = Line2D([], [], color=INK, linewidth=4.5, alpha=0.18, label="maximum likelihood, Louis' formula")
    groups = [
        [blank("From moments"), *(handles[m] for m in ("tensor", "tensor+em", "tensor+em-given"))],
        [blank("EM from random starts"), *(handles[m] for m in ("em-given", "em-truth", "em-spread"))],
        [blank(""), *(handles[m] for m in ("em-annealed", "gradient")), peak],
    ]
    legend = figure.legend(
        handles=[handle for group in groups for handle in group],
        loc="outside lower center",
        ncols=len(groups),
        frameon=False,
        fontsize=9.5,
        handlelength=2.6,
        columnspacing=2.5,
    )
    for text in legend.get_texts():
        text.set_color(INK)
        if text.get_text() in ("From moments", "EM from random starts"):
            text.set_fontweight("bold")
