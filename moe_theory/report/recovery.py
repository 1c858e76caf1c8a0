"""A recovery in a picture: its spectrum over the noise, its regressors with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moe_theory.recovery.result import Recovery
from moe_theory.report.figures import BOUND, GAP, INK, ITERATES, Picture
from moe_theory.validation import Array

COLOURS = (ITERATES, GAP, "#5a7d2a", "#7a4d9f", "#b8860b", "#2f4858", "#c44e88", "#666666")
MOST = 24  # features that are shown


def recovery_figure(
    found: Recovery, names: Sequence[str] = (), truth: Array | None = None, title: str | None = None
) -> Figure:
    """Left: eigenvalues of the second moment and what noise alone reaches. Right: every regressor's entries with 95%
    intervals, by feature; truth, (k, d) in the same order of experts: as open diamonds."""
    d = found.regressors.shape[1]
    features = list(names) or [f"$x_{{{j + 1}}}$" for j in range(d)]
    figure = Picture(figsize=(9.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.7))
    _spectrum(left, found)
    _regressors(right, found, features[:MOST], truth)
    figure.suptitle(title or _title(found), x=0.01, ha="left", color=INK, fontsize=11)
    return figure


def _title(found: Recovery) -> str:
    how = "polished by EM" if found.polished else "from moments"
    return f"{found.k} {found.activation.name} experts {how}, {found.rows:,} rows"


def _spectrum(axes: Axes, found: Recovery) -> None:
    spectrum, k = found.best.experts.spectrum, found.k
    values = spectrum.values[:MOST]
    order = np.arange(1, len(values) + 1)
    edges = [spectrum.edge(j) for j in range(len(values))]
    axes.fill_between(order, 0, edges, step="mid", color=BOUND, alpha=0.25, linewidth=0, label="noise alone (99%)")
    axes.plot(order[:k], values[:k], "o", color=ITERATES, markersize=6, label=f"{k} experts")
    axes.plot(order[k:], values[k:], "o", color=INK, markerfacecolor="white", markersize=5, label="the others")
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set_xticks(order if len(order) <= 12 else order[::2])
    axes.set_xlabel("eigenvalue" + _first(len(spectrum.values)))
    axes.set_ylabel(r"of $\mathrm{E}[P_2(y)S_2(x)]/c_2$")
    _plain(axes)
    axes.legend(frameon=False, fontsize=9)


def _regressors(axes: Axes, found: Recovery, names: Sequence[str], truth: Array | None) -> None:
    intervals, places = found.intervals(), np.arange(len(names))
    shown, shift = len(names), (np.arange(found.k) - (found.k - 1) / 2) * 0.6 / found.k
    for i, row in enumerate(found.regressors[:, :shown]):
        colour = COLOURS[i % len(COLOURS)]
        if intervals is not None:
            axes.vlines(places + shift[i], *intervals[i, :shown].T, color=colour, linewidth=1.6)
        axes.plot(places + shift[i], row, "o", color=colour, markersize=4, label=f"expert {i + 1}")
    if truth is not None:
        where = (places + shift[:, None]).ravel()
        axes.plot(where, truth[:, :shown].ravel(), "D", color=INK, mfc="none", mew=0.8, ms=6, label="truth")
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set_xticks(places, names, rotation=0 if len("".join(names)) < 60 else 40)
    axes.set_xlabel(_first(found.regressors.shape[1]).removeprefix(", "))
    axes.set_ylabel("regressors, with 95% intervals" if intervals is not None else "regressors")
    _plain(axes)
    axes.legend(frameon=False, fontsize=9, ncols=min(found.k + 1, 5), loc="upper center", bbox_to_anchor=(0.5, 1.12))


def _first(count: int) -> str:
    """What is said where not all are shown."""
    return f", the first {MOST} of {count}" if count > MOST else ""


def _plain(axes: Axes) -> None:
    axes.grid(True, axis="y", alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
