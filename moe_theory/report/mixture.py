"""Pictures of a fitted mixture of experts: the data by responsibility, the experts' curves, the gate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from moe_theory.errors import InputError
from moe_theory.mixture.fit import MixtureFit
from moe_theory.mixture.formula import FormulaFit
from moe_theory.mixture.problem import INTERCEPT, OFFSET
from moe_theory.mixture.terms import variables
from moe_theory.report import style
from moe_theory.report.drawing import drawing
from moe_theory.report.style import MARKERS, Picture
from moe_theory.validation import Array

POINTS = 4000  # rows drawn at most
GRID = 300


@dataclass(frozen=True)
class MixtureShare:
    """A row's responsibility for one expert (from 1), at its place in the picture; `row` counts those drawn."""

    row: int
    x: float
    y: float
    expert: int
    share: float


@dataclass(frozen=True)
class MixtureCurve:
    """A point of an expert's curve. panel: experts (means or probabilities of `category`, with low, high: ± σ, else
    nan) or gate (probabilities)."""

    panel: str
    expert: int
    category: str
    x: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class MixtureWords:
    """The picture's words: its title and what its axes are called."""

    title: str
    feature: str
    gate_feature: str
    response: str


MixtureTables = tuple[list[MixtureShare], list[MixtureCurve], list[MixtureWords]]


def mixture_tables(fit: MixtureFit | FormulaFit, feature: str | None = None, title: str | None = None) -> MixtureTables:
    """What `mixture_figure` draws: shares of rows, curves, a row of words; InputError for an unknown feature."""
    sheet: _Sheet = _Variables(fit) if isinstance(fit, FormulaFit) and fit.terms.values else _Features(fit)
    fit = sheet.fit
    known = list(dict.fromkeys([*sheet.experts, *sheet.gate]))
    if not known:
        raise InputError("feature: expected a mixture with a feature to draw against, got intercepts only")
    feature = known[0] if feature is None else feature
    if feature not in known:
        raise InputError(f"feature: expected one of {', '.join(known)}, got {feature!r}")
    other = feature if feature in sheet.gate else next(iter(sheet.gate), feature)
    words = MixtureWords(
        title or f"{fit.k} {fit.problem.family} expert{'s' * (fit.k > 1)}, {fit.reason}",
        feature,
        other + sheet.note,
        _response(fit, sheet.response),
    )
    curves = [*_experts(fit, *sheet.along(feature)), *_gate(fit, *sheet.along(other))]
    return _rows(fit, sheet.values(feature)), curves, [words]


@drawing("mixture", shares=MixtureShare, curves=MixtureCurve, words=MixtureWords)
def draw_mixture(
    shares: Sequence[MixtureShare], curves: Sequence[MixtureCurve], words: Sequence[MixtureWords]
) -> Picture:
    """The figure of such tables."""
    told = words[0]
    picture, panels = style.panels(2, 1, height=4.1, height_ratios=(2.6, 1))
    above, below = panels[:, 0]
    _points(above, shares)
    categories = list(dict.fromkeys(c.category for c in curves if c.panel == "experts"))
    for z in sorted({c.expert for c in curves}):
        colour = picture.theme.colour(z - 1)
        for i, category in enumerate(categories):
            own = [c for c in curves if (c.panel, c.expert, c.category) == ("experts", z, category)]
            x, mean, low, high = np.array([(c.x, c.value, c.low, c.high) for c in own]).T
            label = f"expert {z}" + (f", class {category}" if category else "")
            sign = i if category else z - 1  # where there are classes, they are told apart by markers
            marks: dict[str, Any] = {"marker": MARKERS[sign % len(MARKERS)], "markevery": (7 * sign + 8, 60)}
            style.measured(above, x, mean, z - 1, label, color=colour, linewidth=1.8 - 0.1 * (z % 2), **marks)
            if np.isfinite(low).any():
                style.band(above, x, low, high, z - 1)
        gate = [(c.x, c.value) for c in curves if (c.panel, c.expert) == ("gate", z)]
        marks = {"marker": MARKERS[(z - 1) % len(MARKERS)], "markevery": (10 + 6 * z, 50)}
        style.measured(below, [x for x, _ in gate], [p for _, p in gate], z - 1, color=colour, linewidth=1.8, **marks)
    style.title(above, told.title)
    style.names(above, y=told.response)
    style.names(below, told.gate_feature, r"gate $P(z\,|\,x)$")
    below.set_ylim(-0.03, 1.03)
    if told.gate_feature.partition(" (curves:")[0] == told.feature:
        below.sharex(above)
        above.tick_params(labelbottom=False)
    else:
        style.names(above, told.feature)
    style.legend(above, columns=min(4, len(above.get_legend_handles_labels()[0])) if categories == [""] else 2)
    return picture


def mixture_figure(fit: MixtureFit | FormulaFit, feature: str | None = None, title: str | None = None) -> Picture:
    """The rows against one feature, coloured by responsibility, with the experts' means (with ± σ of normal ones), and
    below the gate's probabilities.

    feature: by default the experts' first; of a fit by formula a numeric variable, with which all terms made of it move
    (`I(x**2)`, `x:z`). Others are held at their means, text at its most frequent value, the offset at its mean. Of
    multinomial experts, the probability of every class. Raises InputError for an unknown feature.
    """
    return draw_mixture(*mixture_tables(fit, feature, title))


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
        law = self.fit.problem.law
        return np.asarray(sum(np.sum(b.x / len(law), axis=1) for b in law.blocks))


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


def _rows(fit: MixtureFit, x: Array) -> list[MixtureShare]:
    y, shares = fit.problem.given.y, fit.responsibilities()
    rng = np.random.default_rng(len(y) + 7919)  # not a seed that a user's own data come from
    shown = np.arange(len(y)) if len(y) <= POINTS else rng.choice(len(y), POINTS, replace=False)
    height = y[shown]
    if fit.problem.family in ("binomial", "multinomial"):
        # Classes are drawn as bands, so that rows do not hide each other.
        top = max(1.0, float(np.max(y)))
        height = height / top + 0.05 * (rng.random(len(shown)) - 0.5)
    return [
        MixtureShare(i, float(x[row]), float(height[i]), z + 1, float(shares[row, z]))
        for i, row in enumerate(shown)
        for z in range(fit.k)
    ]


def _points(axes: Axes, shares: Sequence[MixtureShare]) -> None:
    """Rows in the mixture of the experts' colours."""
    k = max(s.expert for s in shares)
    colours = np.array([to_rgb(style.theme_of(axes).colour(z)) for z in range(k)])
    places = np.array([(s.x, s.y) for s in shares if s.expert == 1])
    mixed = np.clip(np.array([s.share for s in shares]).reshape(-1, k) @ colours, 0, 1)
    size = float(np.clip(2400 / len(places), 2, 14))
    axes.scatter(places[:, 0], places[:, 1], s=size, c=mixed, alpha=0.7, linewidths=0, zorder=1)


def _experts(fit: MixtureFit, grid: Array, table: Array) -> list[MixtureCurve]:
    means, classes = fit.means_at(table), fit.problem.classes
    curve = lambda z, name, values, off: [
        MixtureCurve("experts", z + 1, name, *map(float, (x, m, m - off, m + off)))
        for x, m in zip(grid, values, strict=True)
    ]
    if fit.problem.family == "multinomial":
        named = [str(classes[c] if classes else c) for c in range(means.shape[2])]
        return [p for z in range(fit.k) for c, n in enumerate(named) for p in curve(z, n, means[:, z, c], np.nan)]
    off = [np.nan] * fit.k if fit.sigma is None else fit.sigma
    return [point for z in range(fit.k) for point in curve(z, "", means[:, z], off[z])]


def _gate(fit: MixtureFit, grid: Array, table: Array) -> list[MixtureCurve]:
    return [
        MixtureCurve("gate", z + 1, "", float(x), float(p), np.nan, np.nan)
        for z in range(fit.k)
        for x, p in zip(grid, fit.gate_at(table)[:, z], strict=True)
    ]


def _response(fit: MixtureFit, y: str) -> str:
    classes = fit.problem.classes
    if fit.problem.family == "binomial":
        return f"P({y} = {classes[1] if classes else 1} | x, z); {y} as bands"
    if fit.problem.family == "multinomial":
        return f"P({y} = c | x, z); {y} as bands"
    return f"{y} and E[{y} | x, z]" + (" ± σ" if fit.sigma is not None else "")
