"""A model with two scalar parameters, whole: the contours of L, the iterates on them, and the majoriser that a mirror
step minimises. Made in two steps, as all figures: tables of plain rows, then a drawing that sees nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from moe_theory.algorithms import MirrorDescent, Trace, run
from moe_theory.errors import InputError
from moe_theory.laws import Law
from moe_theory.model import Model
from moe_theory.operators import majoriser, objective
from moe_theory.report import style
from moe_theory.report.drawing import drawing
from moe_theory.report.style import Picture
from moe_theory.validation import positive_number

GRID = 61  # points per axis
LEVELS = 14  # of L - least L, from 1/1000 of the highest shown up to it
ALONG = np.linspace(-0.6, 2.2, 85)  # of the way from θ_1 to θ_2


@dataclass(frozen=True)
class Place:
    """L, in nats per row, at θ = (first, second); t: of the iterate that it is, -1 for a point of the grid."""

    t: int
    first: float
    second: float
    objective: float


@dataclass(frozen=True)
class Along:
    """L and its majoriser, in nats per row, at the share `way` of the way from the first to the second iterate."""

    way: float
    objective: float
    majoriser: float


def places(model: Model, law: Law, trace: Trace) -> list[Place]:
    """The iterates, then a grid around them."""
    path = trace.thetas[:, :, 0]
    middle, half = (path.max(0) + path.min(0)) / 2, np.maximum(np.ptp(path, axis=0), 1.0) * 0.75
    found = [
        Place(t, float(b), float(w), float(v)) for t, ((b, w), v) in enumerate(zip(path, trace.objective, strict=True))
    ]
    first, second = (np.linspace(m - h, m + h, GRID) for m, h in zip(middle, half, strict=True))
    at = lambda b, w: objective(model, law, np.array([[b], [w]]))
    return [*found, *(Place(-1, float(b), float(w), at(b, w)) for w in second for b in first)]


def along(model: Model, law: Law, trace: Trace, step: float) -> list[Along]:
    """L and what a step of that length minimises, on the line through the first two iterates."""
    here, there = trace.thetas[:2]
    points = [here + way * (there - here) for way in ALONG]
    return [
        Along(float(way), objective(model, law, p), majoriser(model, law, p, here, step))
        for way, p in zip(ALONG, points, strict=True)
    ]


@drawing("landscape", landscape=Place, majoriser=Along)
def draw_landscape(
    points: Sequence[Place], line: Sequence[Along], names: tuple[str, str], step: float, title: str
) -> Picture:
    """The figure of such tables."""
    picture, axes = style.panels(1, 2, width=style.PAGE, height=3.1)
    _contours(axes[0, 0], points, names)
    _line(axes[0, 1], line, step)
    style.heading(picture, title)
    return picture


def landscape_figure(model: Model, law: Law, start: ArrayLike, step: float = 1.0, steps: int = 12) -> Picture:
    """Left: mirror descent with that `step` (1 is EM) on the contours of L. Right: L along the line through its first
    two iterates, solid, and, dashed, L(θ) + ⟨∇L(θ), φ-θ⟩ + B_A(φ‖θ)/step, which is least at the second; for step <= 1
    it lies above L.

    model: flat, with θ of two entries, (2, 1); InputError otherwise. start: (2, 1). steps: how many are drawn.
    """
    theta, size = model.check_theta("start", start), positive_number("step", step)
    if theta.shape != (2, 1):
        raise InputError(f"start: expected two predictors of one feature, shape (2, 1), got {theta.shape}")
    trace = run(MirrorDescent(model, size), law, theta, steps, divergences=False)
    first, second = model.predictors
    named = "one step is one EM step" if size == 1 else f"step {size:g}"
    return draw_landscape(
        places(model, law, trace),
        along(model, law, trace, size),
        (rf"$\{first}$" if first == "beta" else f"${first}$", f"${second}$"),
        size,
        f"Mirror descent on {model.name}: {named}",
    )


def _contours(axes: Axes, points: Sequence[Place], names: tuple[str, str]) -> None:
    look = style.theme_of(axes)
    grid = np.array([(p.first, p.second, p.objective) for p in points if p.t < 0]).reshape(GRID, GRID, 3)
    path = np.array([(p.first, p.second) for p in points if p.t >= 0])
    least = min(p.objective for p in points)
    levels = least + np.geomspace(1e-3, 1, LEVELS) * (grid[..., 2].max() - least)
    axes.grid(False)
    axes.contour(*np.moveaxis(grid, 2, 0), levels=levels, colors=[look.soft], linewidths=0.5)
    style.measured(axes, *path.T, markevery=1, linewidth=1.2)
    style.note(axes, "start", tuple(path[0]), (6, -3))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    style.names(axes, *names)
    style.title(axes, r"iterates on the contours of $L$")


def _line(axes: Axes, line: Sequence[Along], step: float) -> None:
    way, true, upper = (np.array([getattr(p, n) for p in line]) for n in ("way", "objective", "majoriser"))
    divided = r"B_A(\varphi\|\theta)" + ("" if step == 1 else rf"/{step:g}")
    style.measured(axes, way, true, 0, r"$L(\varphi)$", marker="")
    model = rf"$L(\theta)+\langle\nabla L(\theta),\varphi-\theta\rangle+{divided}$"
    style.predicted(axes, way, upper, 1, model)
    for s, name, shift in ((0.0, r"$\theta$", (4, 4)), (1.0, r"$\theta^+$", (-4, 6))):
        at = (s, float(np.interp(s, way, upper)))
        axes.plot(*[[v] for v in at], "o", color=style.theme_of(axes).ink, markersize=3.6, zorder=5)
        style.note(axes, name, at, shift)
    low = min(true.min(), upper[np.argmin(np.abs(way - 1))])
    high = max(true.max(), upper[0])
    axes.set_ylim(low - 0.1 * (high - low), high + 0.15 * (high - low))
    style.names(axes, r"way from $\theta$ to $\theta^+$", "nats per row")
    style.title(axes, "what a step minimises")
    style.legend(axes, columns=2)
