"""Figures of the signal-to-noise ratio: a phase map of λ_max(M(θ*)), and its curve between its asymptotes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator
from scipy.interpolate import PchipInterpolator

from moe_theory.analysis.asymptotics import high_snr, low_snr
from moe_theory.analysis.signal import rate_bound
from moe_theory.analysis.snr import Map
from moe_theory.errors import InputError
from moe_theory.report.figures import BOUND, GAP, INK, ITERATES, Picture
from moe_theory.validation import Array
from moe_theory.zoo import by_name, symmetric_linear

LINE = "#10103a"  # over colours: not an ink, which would be light on a dark page


def phase_map(found: Map, title: str | None = None) -> Figure:
    """λ_max(M(θ*)) over ‖β*‖ and ‖w*‖, a panel per angle, with the boundary λ_max = 1 - α; dots, where regions were
    sought, as large as the Euclidean ball around θ* on which λ_max stays below it.

    InputError unless the map has two ‖β*‖ and two ‖w*‖ at least, and a point for every combination.
    """
    betas, gates, angles = found.grid
    # Where there is enough besides 0, axes are logarithmic and leave it out.
    betas, gates = (positive if len(positive := [v for v in on if v > 0]) > 1 else on for on in (betas, gates))
    if min(len(betas), len(gates)) < 2:
        raise InputError("map: expected two ‖β*‖ and two ‖w*‖ at least to draw")
    level = 1 - found.alpha
    values = {(p.beta, p.gate, p.angle): p for p in found.points}
    figure = Picture(figsize=(1.2 + 3.1 * len(angles), 3.6), layout="constrained")
    panels = figure.subplots(1, len(angles), squeeze=False, sharey=True)[0]
    norm = TwoSlopeNorm(vmin=0.0, vcenter=level, vmax=1.0) if 0 < level < 1 else None
    largest = max((p.euclidean or 0.0 for p in found.points), default=0.0)
    for axes, angle in zip(panels, angles, strict=True):
        z = np.array([[values[b, c, angle].lambda_max for b in betas] for c in gates])
        fine = _between(betas, gates, z)
        drawn = axes.contourf(*fine, levels=np.linspace(0, 1, 21), norm=norm, cmap="RdYlBu_r", extend="max")
        drawn.set_edgecolor("face")  # else the page shows between the bands
        if z.min() < level < z.max():
            axes.contour(*fine, levels=[level], colors=[LINE], linewidths=1.8)
        if largest > 0:
            held = [values[b, c, angle] for b in betas for c in gates if (values[b, c, angle].euclidean or 0.0) > 0]
            axes.scatter(
                [p.beta for p in held],
                [p.gate for p in held],
                s=[160 * (p.euclidean or 0.0) / largest for p in held],
                facecolors="none",
                edgecolors=LINE,
                linewidths=0.8,
                clip_on=False,
                zorder=5,
            )
        axes.set_xlabel(r"$\|\beta^*\|$")
        for axis, rescale, on in ((axes.xaxis, axes.set_xscale, betas), (axes.yaxis, axes.set_yscale, gates)):
            if min(on) > 0:
                rescale("log")
                _plain_ticks(axis, on)
        axes.set_title(f"angle {angle:g}°", fontsize=10, color=INK)
    panels[0].set_ylabel(r"$\|w^*\|$")
    bar = figure.colorbar(drawn, ax=list(panels), label=r"$\lambda_{\max}(M(\theta^*))$", ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.outline.set_visible(False)
    extra = f"; circles: ball with $\\alpha \\geq {found.alpha:g}$, largest {largest:.2g}" if largest > 0 else ""
    seen = [p.lambda_max for p in found.points]
    line = rf"line where $\lambda_{{\max}}(M(\theta^*)) = {level:g}$"
    if not min(seen) < level < max(seen):
        line = rf"$\lambda_{{\max}}(M(\theta^*))$ {'above' if min(seen) >= level else 'below'} {level:g} all over"
    default = rf"{found.model}, $x \sim N(0, I)$: {line}{extra}"
    figure.suptitle(title or default, fontsize=11, color=INK, x=0.01, ha="left")
    return figure


def _between(betas: Sequence[float], gates: Sequence[float], z: Array) -> tuple[Array, Array, Array]:
    """A finer grid, on logarithmic axes where they are drawn so, and z there (monotone cubics, one axis at a time)."""
    axes = []
    for axis, on in ((1, betas), (0, gates)):
        scale, back = (np.log, np.exp) if min(on) > 0 else (np.asarray, np.asarray)
        fine = np.linspace(scale(on[0]), scale(on[-1]), 121)
        z = PchipInterpolator(scale(on), z, axis=axis)(fine)
        axes.append(back(fine))
    return axes[0], axes[1], z


def asymptote_figure(found: Map, gate: float, angle: float, title: str | None = None) -> Figure:
    """λ_max(M(θ*)) against ‖β*‖ at one ‖w*‖ > 0 and angle (degrees), over what the asymptotes say of both ends; below,
    how far off they are.

    InputError if the map has fewer than three points there.
    """
    column = sorted((p.beta, p.lambda_max) for p in found.points if p.gate == gate and p.angle == angle and p.beta > 0)
    if len(column) < 3:
        raise InputError(f"map: expected three ‖β*‖ at least at ‖w*‖ = {gate:g}, angle {angle:g}, got {len(column)}")
    model = by_name(found.model)
    low, high = (f(model, gate, angle) for f in (low_snr, high_snr))
    b, value = np.array(column).T
    fine = np.geomspace(b[0], b[-1], 200)
    figure = Picture(figsize=(7.2, 5.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    above.plot(b, value, "o", color=ITERATES, markersize=4.5, label=r"computed $\lambda_{\max}(M(\theta^*))$")
    labels = {
        "low": rf"$1 - {low.coefficient:.4g}\,\|\beta^*\|^2$ ({low.eigenvector})",
        "high": (
            rf"${high.coefficient:.4g} + {high.correction:.3g}/\|\beta^*\|$ ({high.eigenvector})"
            if model.response.values
            else rf"${high.coefficient:.5g}/\|\beta^*\|$ ({high.eigenvector})"
        ),
    }
    for regime, asymptote, colour in (("low", low, GAP), ("high", high, BOUND)):
        line = np.array([asymptote.at(regime, model, float(x)) for x in fine])
        # Each is drawn as far as it says anything: where it is near the computed curve, as the axis shows it.
        curve = np.interp(np.log(fine), np.log(b), value)
        near = np.abs(line - curve) < (0.15 * np.ptp(value) if model.response.values else 0.35 * curve)
        if regime == "low":
            shown = np.logical_and.accumulate(near)
        else:
            shown = np.logical_and.accumulate((near & (line < (1.0 if model.response.values else 1.05)))[::-1])[::-1]
        above.plot(fine[shown], line[shown], "--", color=colour, linewidth=1.5, label=labels[regime])
        off = np.abs(value - np.array([asymptote.at(regime, model, float(x)) for x in b]))
        side = (off < 0.3) & (off > 1e-7) & np.interp(b, fine, shown).astype(bool)
        below.plot(b[side], off[side], "s-", color=colour, markersize=3.5, linewidth=0.9)
    if model == symmetric_linear():
        bound = np.array([rate_bound(model, float(x), gate) for x in fine])
        shown = bound < 1
        above.plot(fine[shown], bound[shown], "-", color=INK, linewidth=1.0, label="proved bound, any angle")
    above.set(
        xscale="log", yscale="linear" if model.response.values else "log", ylabel=r"$\lambda_{\max}(M(\theta^*))$"
    )
    below.set(xscale="log", yscale="log", xlabel=r"$\|\beta^*\|$", ylabel="distance to\nthe asymptote")
    if not any(len(line.get_xdata()) for line in below.lines):
        below.set_ylim(1e-6, 1.0)  # a logarithmic axis without data has no limits
    for axes in (above, below):
        axes.grid(True, which="major", alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    _plain_ticks(below.xaxis, b.tolist())
    above.legend(frameon=False, fontsize=9)
    default = rf"{found.model}, $x \sim N(0, I)$, $\|w^*\| = {gate:g}$, angle {angle:g}°"
    above.set_title(title or default, loc="left", color=INK, fontsize=11)
    return figure


def _plain_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Round numbers, as they are said, on a logarithmic axis."""
    low, high = min(v for v in values if v > 0), max(values)
    doubling = [2.0**k for k in range(-7, 12)]
    rounded = [m * 10.0**k for k in range(-3, 4) for m in (1, 2, 5)]
    ticks = [t for t in (doubling if high / low <= 64 else rounded) if low * 0.999 <= t <= high * 1.001]
    if len(ticks) < 3:
        ticks = [v for v in values if v > 0]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(FixedLocator([]))
