"""A model with two scalar parameters, whole: the contours of L, the iterates on them, and the majoriser that a mirror
step minimises."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from moe_theory.algorithms import MirrorDescent, Trace, run
from moe_theory.errors import InputError
from moe_theory.laws import Law
from moe_theory.model import Model
from moe_theory.operators import majoriser, objective
from moe_theory.report.figures import BOUND, GAP, INK, ITERATES, Picture
from moe_theory.validation import Array, positive_number

POINTS = 81  # of the grid, per axis
ALONG = np.linspace(-0.6, 2.2, 85)  # of the way from θ_t to θ_{t+1}


def landscape_figure(model: Model, law: Law, start: ArrayLike, step: float = 1.0, steps: int = 12) -> Figure:
    """Left: mirror descent with that `step` (1 is EM) on the contours of L. Right: L along the line through its first
    two iterates, with the model L(θ) + ⟨∇L(θ), φ-θ⟩ + B_A(φ‖θ)/step that is minimised at the second; for step <= 1 it
    lies above L.

    model: flat, with θ of two entries, (2, 1); InputError otherwise. start: (2, 1). steps: how many are drawn.
    """
    theta, size = model.check_theta("start", start), positive_number("step", step)
    if theta.shape != (2, 1):
        raise InputError(f"start: expected two predictors of one feature, shape (2, 1), got {theta.shape}")
    trace = run(MirrorDescent(model, size), law, theta, steps, divergences=False)
    figure = Picture(figsize=(10.4, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _contours(left, model, law, trace)
    _line(right, model, law, trace, size)
    name = "one step is one EM step" if size == 1 else f"step {size:g}"
    figure.suptitle(f"Mirror descent on {model.name}: {name}", x=0.01, ha="left", fontsize=11, color=INK)
    return figure


def _contours(axes: Axes, model: Model, law: Law, trace: Trace) -> None:
    path = trace.thetas[:, :, 0]
    middle, half = (path.max(0) + path.min(0)) / 2, np.maximum(np.ptp(path, axis=0), 1.0) * 0.75
    b, w = (np.linspace(m - h, m + h, POINTS) for m, h in zip(middle, half, strict=True))
    values = np.array([[objective(model, law, np.array([[u], [v]])) for u in b] for v in w])
    least = min(values.min(), trace.objective.min())
    levels = least + np.geomspace(1e-3, 1, 16) * (values.max() - least)
    axes.contour(b, w, values, levels=levels, colors=[BOUND], linewidths=0.7)
    axes.plot(*path.T, "o-", color=ITERATES, markersize=4.5, linewidth=1.2)
    axes.annotate("start", path[0], xytext=(7, -3), textcoords="offset points", fontsize=9, color=INK)
    first, second = model.predictors
    axes.set(xlabel=rf"$\{first}$" if first == "beta" else first, ylabel=second)
    axes.set_title(r"iterates on the contours of $L$", loc="left", fontsize=10, color=INK)


def _line(axes: Axes, model: Model, law: Law, trace: Trace, step: float) -> None:
    here, there = trace.thetas[:2]
    move = there - here
    base = objective(model, law, here)
    points = [here + s * move for s in ALONG]
    true = np.array([objective(model, law, p) for p in points])
    upper = np.array([majoriser(model, law, p, here, step) for p in points])
    divided = r"B_A(\varphi\|\theta)" + ("" if step == 1 else rf"/{step:g}")
    axes.plot(
        ALONG, upper, "--", color=GAP, label=rf"$L(\theta)+\langle\nabla L(\theta),\varphi-\theta\rangle+{divided}$"
    )
    axes.plot(ALONG, true, "-", color=ITERATES, label=r"$L(\varphi)$")
    axes.plot([0], [base], "o", color=INK, markersize=5)
    axes.plot([1], [_at(ALONG, upper, 1.0)], "v", color=GAP, markersize=6)
    axes.annotate(r"$\theta$", (0, base), xytext=(5, 5), textcoords="offset points", color=INK)
    axes.annotate(r"$\theta^+$", (1, _at(ALONG, upper, 1.0)), xytext=(-4, 9), textcoords="offset points", color=INK)
    high = max(float(true.max()), base) + 0.35 * np.ptp(true)
    axes.set(
        ylim=(true.min() - 0.1 * np.ptp(true), high), xlabel=r"way from $\theta$ to $\theta^+$", ylabel="nats per row"
    )
    axes.set_title("what a step minimises", loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="upper center")


def _at(x: Array, values: Array, where: float) -> float:
    return float(np.interp(where, x, values))
