"""A recovery in a picture: its spectrum over the noise, its regressors with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from moe_theory.recovery.result import Recovery
from moe_theory.report import style
from moe_theory.report.drawing import drawing
from moe_theory.report.style import Picture
from moe_theory.validation import Array

MOST = 24  # features that are shown


@dataclass(frozen=True)
class SpectrumPoint:
    """An eigenvalue of the second moment, the largest first (rank 1). edge: what noise alone reaches (99%). expert:
    whether it is taken for an expert's. total: how many there are."""

    rank: int
    value: float
    edge: float
    expert: bool
    total: int


@dataclass(frozen=True)
class RegressorPoint:
    """A regressor's entry with its 95% interval, and the truth; nan where unknown. total: features in all."""

    expert: int
    feature: str
    value: float
    low: float
    high: float
    truth: float
    total: int


def recovery_points(
    found: Recovery, names: Sequence[str] = (), truth: Array | None = None
) -> tuple[list[SpectrumPoint], list[RegressorPoint]]:
    """What `recovery_figure` draws."""
    spectrum, (k, d), intervals = found.best.experts.spectrum, found.regressors.shape, found.intervals()
    features = list(names) or [f"$x_{{{j + 1}}}$" for j in range(d)]
    values = spectrum.values[:MOST]
    left = [
        SpectrumPoint(j + 1, float(v), float(spectrum.edge(j)), j < k, len(spectrum.values))
        for j, v in enumerate(values)
    ]
    unknown = np.full((k, d), np.nan)
    ends = np.stack([unknown, unknown], axis=2) if intervals is None else intervals
    known = unknown if truth is None else np.asarray(truth, dtype=float)
    right = [
        RegressorPoint(
            expert=i + 1,
            feature=features[j],
            value=float(found.regressors[i, j]),
            low=float(ends[i, j, 0]),
            high=float(ends[i, j, 1]),
            truth=float(known[i, j]),
            total=len(features),
        )
        for i in range(k)
        for j in range(min(d, MOST))
    ]
    return left, right


@drawing("recovery", spectrum=SpectrumPoint, regressors=RegressorPoint)
def draw_recovery(spectrum: Sequence[SpectrumPoint], regressors: Sequence[RegressorPoint], title: str) -> Picture:
    """The figure of such tables."""
    picture, panels = style.panels(1, 2, width=style.PAGE, height=2.9, width_ratios=(1, 1.7))
    left, right = panels[0]
    _spectrum(left, spectrum)
    _regressors(right, regressors)
    style.heading(picture, title)
    return picture


def recovery_figure(
    found: Recovery, names: Sequence[str] = (), truth: Array | None = None, title: str | None = None
) -> Picture:
    """Left: eigenvalues of the second moment and what noise alone reaches. Right: every regressor's entries with 95%
    intervals, by feature; truth, (k, d) in the same order of experts: as open diamonds."""
    return draw_recovery(*recovery_points(found, names, truth), title or _title(found))


def _title(found: Recovery) -> str:
    how = "polished by EM" if found.polished else "from moments"
    return f"{found.k} {found.activation.name} experts {how}, {found.rows:,} rows"


def _spectrum(axes: Axes, points: Sequence[SpectrumPoint]) -> None:
    look, order = style.theme_of(axes), [p.rank for p in points]
    ours, others = ([p for p in points if p.expert is mine] for mine in (True, False))
    alone: dict[str, Any] = {"linestyle": "none", "markevery": 1}
    label = f"measured, {len(ours)} experts"
    style.measured(axes, [p.rank for p in ours], [p.value for p in ours], 0, label, **alone, markersize=5)
    hollow = {"markerfacecolor": look.paper, "markeredgecolor": look.ink, "markeredgewidth": 0.9, "markersize": 4.2}
    rest = [p.value for p in others]
    style.measured(axes, [p.rank for p in others], rest, 0, "measured, the others", **(alone | hollow))
    noise: dict[str, Any] = {"color": look.soft, "alpha": 0.3, "step": "mid"}
    style.band(axes, order, 0, [p.edge for p in points], label="predicted of noise alone (99%)", **noise)
    axes.axhline(0, color=look.soft, linewidth=0.6)
    axes.set_xticks(order if len(order) <= 12 else order[::2])
    axes.grid(False, axis="x")
    style.names(
        axes, "rank of the eigenvalue" + _first(points[0].total), r"eigenvalue of $\mathrm{E}[P_2(y)S_2(x)]/c_2$"
    )
    style.legend(axes)


def _regressors(axes: Axes, points: Sequence[RegressorPoint]) -> None:
    look, k = style.theme_of(axes), max(p.expert for p in points)
    names = list(dict.fromkeys(p.feature for p in points))
    places, alone = np.arange(len(names)), {"linestyle": "none", "markevery": 1, "markersize": 3.4}
    for i in range(k):
        own = [p for p in points if p.expert == i + 1]
        x = places + (i - (k - 1) / 2) * 0.6 / k
        ends = np.array([(p.low, p.high) for p in own]).T
        axes.vlines(x, *ends, color=look.pale(i), linewidth=1.8, zorder=2)
        style.measured(axes, x, [p.value for p in own], i, f"measured, expert {i + 1}", **alone)
        if np.isfinite([p.truth for p in own]).any():
            diamond: dict[str, Any] = {"marker": "D", "markersize": 5.5, "markeredgewidth": 0.7}
            diamond |= {"markerfacecolor": "none", "markeredgecolor": look.ink, "linestyle": "none", "markevery": 1}
            told = "truth" if i == k - 1 else None
            truth = [p.truth for p in own]
            style.measured(axes, x, truth, i, told, **diamond)
    axes.axhline(0, color=look.soft, linewidth=0.6)
    axes.set_xticks(places, names, rotation=0 if len("".join(names)) < 60 else 40)
    axes.grid(False, axis="x")
    sure = any(np.isfinite(p.low) for p in points)
    shown = "feature" + _first(points[0].total)
    style.names(axes, shown, "entry of the regressor" + (", with its 95% interval" if sure else ""))
    style.legend(axes, columns=2, loc="outside lower right")


def _first(count: int) -> str:
    """What is said where not all are shown."""
    return f", the first {MOST} of {count}" if count > MOST else ""
