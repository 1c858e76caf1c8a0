"""Pictures of a fitted mixture of experts: the data by responsibility, the experts' curves, the gate."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from moe_theory.errors import InputError
from moe_theory.mixture.fit import MixtureFit
from moe_theory.mixture.problem import INTERCEPT
from moe_theory.report.figures import INK, Picture
from moe_theory.validation import Array

# Okabe and Ito's colours, told apart by colour-blind readers, in an order in which neighbours differ most.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777", "#332288")
POINTS = 4000  # rows drawn at most
GRID = 300


def mixture_figure(fit: MixtureFit, feature: str | None = None, title: str | None = None) -> Figure:
    """The rows against one feature, coloured by responsibility, under the experts' means (with ± σ of normal ones), and
    below the gate's probabilities.

    feature: by default the experts' first. Features other than the one on an axis are held at their means, the offset
    at its mean. Of multinomial experts, the probability of every class. Raises InputError for an unknown feature.
    """
    features = fit.problem.features
    names = [n for n in features.experts if n != INTERCEPT] or [n for n in features.gate if n != INTERCEPT]
    known = list(dict.fromkeys([*names, *(n for n in features.gate if n != INTERCEPT)]))
    if not known:
        raise InputError("feature: expected a mixture with a feature to draw against, got intercepts only")
    feature = known[0] if feature is None else feature
    if feature not in known:
        raise InputError(f"feature: expected one of {', '.join(known)}, got {feature!r}")
    figure = Picture(figsize=(7.4, 6.0), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(2.6, 1))
    _rows(above, fit, _column(fit, feature))
    _experts(above, fit, feature)
    other = feature if feature in features.gate else next((n for n in features.gate if n != INTERCEPT), feature)
    _gate(below, fit, other)
    if len(known) > 1:
        below.set_xlabel(f"{other} (curves: the other features at their means)")
    if other == feature:
        below.sharex(above)
        above.tick_params(labelbottom=False)
    else:
        above.set_xlabel(feature)
    above.set_title(title or f"{fit.k} {fit.problem.family} experts, {fit.reason}", loc="left", color=INK, fontsize=11)
    for axes in (above, below):
        axes.grid(True, which="major", alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _column(fit: MixtureFit, feature: str) -> Array:
    """The feature's values in all rows, (n,)."""
    features = fit.problem.features
    name = feature if feature in features.columns else features.gate_column(feature)
    i = features.columns.index(name)
    return np.concatenate([b.x[i] for b in fit.problem.law.blocks])


def _along(fit: MixtureFit, feature: str) -> tuple[Array, Array]:
    """(the feature over its range, (GRID,); the table's columns there, the others at their means, (D, GRID))."""
    values = _column(fit, feature)
    grid = np.linspace(np.min(values), np.max(values), GRID)
    law, features = fit.problem.law, fit.problem.features
    mean = sum(np.sum(b.x, axis=1) for b in law.blocks) / len(law)
    table = np.repeat(mean[:, None], GRID, axis=1)
    for name in {feature, features.gate_column(feature)} & set(features.columns):
        table[features.columns.index(name)] = grid
    return grid, table


def _rows(axes: Axes, fit: MixtureFit, x: Array) -> None:
    y, shares = fit.problem.law.y, fit.responsibilities()
    rng = np.random.default_rng(len(y) + 7919)  # not a seed that a user's own data come from
    shown = np.arange(len(y)) if len(y) <= POINTS else rng.choice(len(y), POINTS, replace=False)
    colours = np.array([to_rgb(COLOURS[i % len(COLOURS)]) for i in range(fit.k)])
    height = y[shown]
    if fit.problem.family in ("binomial", "multinomial"):
        # Classes are drawn as bands, so that rows do not hide each other.
        top = max(1.0, float(np.max(y)))
        height = height / top + 0.05 * (rng.random(len(shown)) - 0.5)
    size = float(np.clip(6000 / len(shown), 4, 26))
    mixed = np.clip(shares[shown] @ colours, 0, 1)
    axes.scatter(x[shown], height, s=size, c=mixed, alpha=0.75, linewidths=0, zorder=1)


def _experts(axes: Axes, fit: MixtureFit, feature: str) -> None:
    grid, table = _along(fit, feature)
    means = fit.means_at(table)
    family, classes = fit.problem.family, fit.problem.classes
    styles = ("-", "--", ":", "-.")
    for z in range(fit.k):
        colour = COLOURS[z % len(COLOURS)]
        if family == "multinomial":
            for c in range(means.shape[2]):
                label = f"expert {z + 1}, class {classes[c] if classes else c}"
                axes.plot(grid, means[:, z, c], styles[c % 4], color=colour, linewidth=1.6, label=label)
            continue
        axes.plot(grid, means[:, z], color=colour, linewidth=2, label=f"expert {z + 1}", zorder=3)
        if fit.sigma is not None:
            low, high = means[:, z] - fit.sigma[z], means[:, z] + fit.sigma[z]
            axes.fill_between(grid, low, high, color=colour, alpha=0.13, linewidth=0, zorder=2)
    names = {"binomial": "P(y = 1 | x, z); y as bands", "multinomial": "P(y = c | x, z); y as bands"}
    axes.set_ylabel(names.get(family, "y" + (" and E[y | x, z] ± σ" if fit.sigma is not None else " and E[y | x, z]")))
    style: dict[str, Any] = {"frameon": True, "framealpha": 0.85, "edgecolor": "none", "fontsize": 9}
    axes.legend(ncols=1 if family != "multinomial" else fit.k, **style)


def _gate(axes: Axes, fit: MixtureFit, feature: str) -> None:
    grid, table = _along(fit, feature)
    prior = fit.gate_at(table)
    for z in range(fit.k):
        axes.plot(grid, prior[:, z], color=COLOURS[z % len(COLOURS)], linewidth=2)
    axes.set(ylim=(-0.03, 1.03), ylabel="gate P(z | x)", xlabel=feature)
