"""Pictures of a fitted mixture of experts: the data by responsibility, the experts' curves, the gate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from moe_theory.errors import InputError
from moe_theory.mixture.fit import MixtureFit
from moe_theory.mixture.formula import FormulaFit
from moe_theory.mixture.problem import INTERCEPT, OFFSET
from moe_theory.mixture.terms import variables
from moe_theory.report.figures import INK, Picture
from moe_theory.validation import Array

# Okabe and Ito's colours, told apart by colour-blind readers, in an order in which neighbours differ most.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777", "#332288")
POINTS = 4000  # rows drawn at most
GRID = 300


def mixture_figure(fit: MixtureFit | FormulaFit, feature: str | None = None, title: str | None = None) -> Figure:
    """The rows against one feature, coloured by responsibility, under the experts' means (with ± σ of normal ones), and
    below the gate's probabilities.

    feature: by default the experts' first; of a fit by formula a numeric variable, with which all terms made of it move
    (`I(x**2)`, `x:z`). Others are held at their means, text at its most frequent value, the offset at its mean. Of
    multinomial experts, the probability of every class. Raises InputError for an unknown feature.
    """
    sheet: _Sheet = _Variables(fit) if isinstance(fit, FormulaFit) and fit.terms.values else _Features(fit)
    fit = sheet.fit
    known = list(dict.fromkeys([*sheet.experts, *sheet.gate]))
    if not known:
        raise InputError("feature: expected a mixture with a feature to draw against, got intercepts only")
    feature = known[0] if feature is None else feature
    if feature not in known:
        raise InputError(f"feature: expected one of {', '.join(known)}, got {feature!r}")
    figure = Picture(figsize=(7.4, 6.0), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(2.6, 1))
    _rows(above, fit, sheet.values(feature))
    _experts(above, fit, *sheet.along(feature), sheet.response)
    other = feature if feature in sheet.gate else next(iter(sheet.gate), feature)
    _gate(below, fit, *sheet.along(other))
    below.set_xlabel(other + sheet.note)
    if other == feature:
        below.sharex(above)
        above.tick_params(labelbottom=False)
    else:
        above.set_xlabel(feature)
    above.set_title(
        title or f"{fit.k} {fit.problem.family} expert{'s' * (fit.k > 1)}, {fit.reason}",
        loc="left",
        color=INK,
        fontsize=11,
    )
    for axes in (above, below):
        axes.grid(True, which="major", alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


class _Sheet(ABC):
    """What can be on the abscissa, for experts and gate, and the table's columns along it."""

    fit: MixtureFit
    response = "y"
    experts: list[str]
    gate: list[str]
    others = "the other features at their means"

    @abstractmethod
    def values(self, feature: str) -> Array:
        """Of all rows, (n,)."""

    @abstractmethod
    def along(self, feature: str) -> tuple[Array, Array]:
        """(the feature over its range, (GRID,); the table's columns there, (D, GRID))."""

    @property
    def note(self) -> str:
        """A word on what is not on the axis, if there is any."""
        return f" (curves: {self.others})" if len({*self.experts, *self.gate}) > 1 else ""

    def mean(self) -> Array:
        """Of the table's columns, (D,)."""
        return np.asarray(sum(np.sum(b.x, axis=1) for b in self.fit.problem.law.blocks)) / len(self.fit.problem.law)


class _Features(_Sheet):
    """One feature at a time."""

    def __init__(self, fit: MixtureFit | FormulaFit) -> None:
        self.fit = fit.fit if isinstance(fit, FormulaFit) else fit
        features = self.fit.problem.features
        self.experts = [n for n in features.experts if n != INTERCEPT]
        self.gate = [n for n in features.gate if n != INTERCEPT]

    def values(self, feature: str) -> Array:
        features = self.fit.problem.features
        i = features.columns.index(feature if feature in features.columns else features.gate_column(feature))
        return np.concatenate([b.x[i] for b in self.fit.problem.law.blocks])

    def along(self, feature: str) -> tuple[Array, Array]:
        values, features = self.values(feature), self.fit.problem.features
        grid = np.linspace(np.min(values), np.max(values), GRID)
        table = np.repeat(self.mean()[:, None], GRID, axis=1)
        for name in {feature, features.gate_column(feature)} & set(features.columns):
            table[features.columns.index(name)] = grid
        return grid, table


class _Variables(_Sheet):
    """One variable of a formula at a time, with all features made of it."""

    others = "the other variables at their means, text at its most frequent"

    def __init__(self, fit: FormulaFit) -> None:
        self.fit, self.terms = fit.fit, fit.terms
        self.response = self.terms.response or self.terms.formula.split("~")[0].strip()
        parts = [[v for v in variables(self.terms.usual, p) if v in self.terms.values] for p in self.terms.parts]
        self.experts, self.gate = parts[0], parts[-1]

    def values(self, feature: str) -> Array:
        return self.terms.values[feature]

    def along(self, feature: str) -> tuple[Array, Array]:
        grid, (x, gate) = self.terms.along(feature, GRID)
        problem = self.fit.problem
        features = problem.features
        shift = np.full(GRID, self.mean()[features.columns.index(OFFSET)]) if features.offset else None
        return grid, problem.block(x, gate, shift).x

    @property
    def note(self) -> str:
        return f" (curves: {self.others})" if len(self.terms.usual) > 1 else ""


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


def _experts(axes: Axes, fit: MixtureFit, grid: Array, table: Array, y: str) -> None:
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
    names = {"binomial": f"P({y} = {classes[1] if classes else 1} | x, z); {y} as bands"}
    names["multinomial"] = f"P({y} = c | x, z); {y} as bands"
    of = f"{y} and E[{y} | x, z]" + (" ± σ" if fit.sigma is not None else "")
    axes.set_ylabel(names.get(family, of))
    style: dict[str, Any] = {"frameon": True, "framealpha": 0.85, "edgecolor": "none", "fontsize": 9}
    axes.legend(ncols=1 if family != "multinomial" else fit.k, **style)


def _gate(axes: Axes, fit: MixtureFit, grid: Array, table: Array) -> None:
    prior = fit.gate_at(table)
    for z in range(fit.k):
        axes.plot(grid, prior[:, z], color=COLOURS[z % len(COLOURS)], linewidth=2)
    axes.set(ylim=(-0.03, 1.03), ylabel="gate P(z | x)")
