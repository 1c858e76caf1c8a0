"""Figures of the signal-to-noise ratio: a phase map of λ_max(M(θ*)), and its curve between its asymptotes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axis import Axis
from matplotlib.colors import TwoSlopeNorm
from matplotlib.ticker import FixedLocator
from scipy.interpolate import PchipInterpolator

from moe_theory.analysis.asymptotics import Asymptote, high_snr, low_snr
from moe_theory.analysis.signal import rate_bound
from moe_theory.analysis.snr import Map
from moe_theory.errors import InputError
from moe_theory.report import style
from moe_theory.report.drawing import drawing
from moe_theory.report.style import Picture
from moe_theory.validation import Array
from moe_theory.zoo import by_name, symmetric_linear

NAN = float("nan")
LINE = "#10103a"  # over colours: not an ink, which would be light on a dark page


@dataclass(frozen=True)
class MapPoint:
    """λ_max(M(θ*)) at one truth: beta, gate: ‖β*‖, ‖w*‖; angle: degrees. euclidean: radius of the largest ball around
    θ* on which λ_max stays at 1 - alpha or below, nan where none was sought."""

    model: str
    alpha: float
    beta: float
    gate: float
    angle: float
    lambda_max: float
    euclidean: float


def map_points(found: Map) -> list[MapPoint]:
    """What `phase_map` draws."""
    return [
        MapPoint(
            found.model,
            found.alpha,
            *map(float, (p.beta, p.gate, p.angle, p.lambda_max, NAN if p.euclidean is None else p.euclidean)),
        )
        for p in found.points
    ]


def phase_map(found: Map, title: str | None = None) -> Picture:
    """λ_max(M(θ*)) over ‖β*‖ and ‖w*‖, a panel per angle, with the boundary λ_max = 1 - α; dots, where regions were
    sought, as large as the Euclidean ball around θ* on which λ_max stays below it.

    InputError unless the map has two ‖β*‖ and two ‖w*‖ at least, and a point for every combination.
    """
    _ = found.grid  # refuses what is no grid
    return draw_map(map_points(found), title)


@drawing("map", map=MapPoint)
def draw_map(points: Sequence[MapPoint], title: str | None = None) -> Picture:
    """The figure of such a table; InputError as `phase_map`."""
    betas, gates, angles = (sorted({getattr(p, name) for p in points}) for name in ("beta", "gate", "angle"))
    # Where there is enough besides 0, axes are logarithmic and leave it out.
    betas, gates = (positive if len(positive := [v for v in on if v > 0]) > 1 else on for on in (betas, gates))
    if min(len(betas), len(gates)) < 2:
        raise InputError("map: expected two ‖β*‖ and two ‖w*‖ at least to draw")
    model, alpha = points[0].model, points[0].alpha
    level = 1 - alpha
    values = {(p.beta, p.gate, p.angle): p for p in points}
    wide = style.COLUMN if len(angles) < 2 else style.PAGE
    figure, made = style.panels(1, len(angles), width=wide, height=2.9 if len(angles) < 3 else 2.5, sharey=True)
    panels = made[0]
    norm = TwoSlopeNorm(vmin=0.0, vcenter=level, vmax=1.0) if 0 < level < 1 else None
    largest = max((p.euclidean for p in points if p.euclidean > 0), default=0.0)
    for axes, angle in zip(panels, angles, strict=True):
        z = np.array([[values[b, c, angle].lambda_max for b in betas] for c in gates])
        fine = _between(betas, gates, z)
        drawn = axes.contourf(*fine, levels=np.linspace(0, 1, 21), norm=norm, cmap="RdYlBu_r", extend="max")
        drawn.set_edgecolor("face")  # else the page shows between the bands
        if z.min() < level < z.max():
            axes.contour(*fine, levels=[level], colors=[LINE], linewidths=1.8)
        if largest > 0:
            held = [values[b, c, angle] for b in betas for c in gates if values[b, c, angle].euclidean > 0]
            axes.scatter(
                [p.beta for p in held],
                [p.gate for p in held],
                s=[160 * p.euclidean / largest for p in held],
                facecolors="none",
                edgecolors=LINE,
                linewidths=0.8,
                clip_on=False,
                zorder=5,
            )
        axes.grid(False)  # the colours are the panel
        style.names(axes, r"experts' signal $\|\beta^*\|$")
        for axis, rescale, on in ((axes.xaxis, axes.set_xscale, betas), (axes.yaxis, axes.set_yscale, gates)):
            if min(on) > 0:
                rescale("log")
                _plain_ticks(axis, on)
        style.title(axes, f"angle {angle:g}°")
    style.names(panels[0], y=r"gate's signal $\|w^*\|$")
    bar = figure.colorbar(drawn, ax=list(panels), label=r"$\lambda_{\max}(M(\theta^*))$", ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.outline.set_visible(False)
    style.ink(bar.ax)
    extra = f"; circles: ball with $\\alpha \\geq {alpha:g}$, largest {largest:.2g}" if largest > 0 else ""
    seen = [p.lambda_max for p in points]
    line = rf"line where $\lambda_{{\max}}(M(\theta^*)) = {level:g}$"
    if not min(seen) < level < max(seen):
        line = rf"$\lambda_{{\max}}(M(\theta^*))$ {'above' if min(seen) >= level else 'below'} {level:g} all over"
    default = rf"{model}, $x \sim N(0, I)$: {line}{extra}"
    style.heading(figure, title or default)
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


@dataclass(frozen=True)
class AsymptotePoint:
    """A point of a line called `label` at ‖β*‖ = beta. what: computed, low, high (asymptotes), bound; and off-low,
    off-high, how far the computed values are from each asymptote."""

    what: str
    label: str
    beta: float
    value: float


def asymptote_points(found: Map, gate: float, angle: float) -> list[AsymptotePoint]:
    """What `asymptote_figure` draws."""
    column = sorted((p.beta, p.lambda_max) for p in found.points if p.gate == gate and p.angle == angle and p.beta > 0)
    if len(column) < 3:
        raise InputError(f"map: expected three ‖β*‖ at least at ‖w*‖ = {gate:g}, angle {angle:g}, got {len(column)}")
    model = by_name(found.model)
    ends = {"low": low_snr(model, gate, angle), "high": high_snr(model, gate, angle)}
    b, value = np.array(column).T
    fine = np.geomspace(b[0], b[-1], 200)
    made = [AsymptotePoint("computed", r"computed $\lambda_{\max}(M(\theta^*))$", *pair) for pair in column]
    apart = []
    for regime, asymptote in ends.items():
        line = np.array([asymptote.at(regime, model, float(x)) for x in fine])
        # Each is drawn as far as it says anything: where it is near the computed curve, as the axis shows it.
        curve = np.interp(np.log(fine), np.log(b), value)
        near = np.abs(line - curve) < (0.15 * np.ptp(value) if model.response.values else 0.35 * curve)
        if regime == "low":
            shown = np.logical_and.accumulate(near)
        else:
            shown = np.logical_and.accumulate((near & (line < (1.0 if model.response.values else 1.05)))[::-1])[::-1]
        label = f"predicted, {regime}: {_formula(regime, asymptote, bool(model.response.values))}"
        pairs = _pairs(fine[shown], line[shown]) or [(float(b[0]), NAN)]  # said, if not drawn
        made += [AsymptotePoint(regime, label, *pair) for pair in pairs]
        off = np.abs(value - np.array([asymptote.at(regime, model, float(x)) for x in b]))
        side = (off < 0.3) & (off > 1e-7) & np.interp(b, fine, shown).astype(bool)
        apart += [AsymptotePoint(f"off-{regime}", label, *pair) for pair in _pairs(b[side], off[side])]
    if model == symmetric_linear():
        bound = np.array([rate_bound(model, float(x), gate) for x in fine])
        pairs = _pairs(fine[bound < 1], bound[bound < 1]) or [(float(b[0]), NAN)]
        made += [AsymptotePoint("bound", "proved bound, any angle", *pair) for pair in pairs]
    return made + apart


def _formula(regime: str, asymptote: Asymptote, finite: bool) -> str:
    first = asymptote.coefficient
    if regime == "low":
        return rf"$1 - {first:.4g}\,\|\beta^*\|^2$ ({asymptote.eigenvector})"
    if finite:
        return rf"${first:.4g} + {asymptote.correction:.3g}/\|\beta^*\|$ ({asymptote.eigenvector})"
    return rf"${first:.5g}/\|\beta^*\|$ ({asymptote.eigenvector})"


def _pairs(x: Array, y: Array) -> list[tuple[float, float]]:
    return list(zip(x.tolist(), y.tolist(), strict=True))


def asymptote_figure(found: Map, gate: float, angle: float, title: str | None = None) -> Picture:
    """λ_max(M(θ*)) against ‖β*‖ at one ‖w*‖ > 0 and angle (degrees), and what the asymptotes predict of both ends;
    below, how far off they are.

    InputError if the map has fewer than three points there.
    """
    default = rf"{found.model}, $x \sim N(0, I)$, $\|w^*\| = {gate:g}$, angle {angle:g}°"
    linear = bool(by_name(found.model).response.values)
    return draw_asymptotes(asymptote_points(found, gate, angle), title or default, linear)


@drawing("asymptotes", asymptotes=AsymptotePoint)
def draw_asymptotes(points: Sequence[AsymptotePoint], title: str, linear: bool = False) -> Picture:
    """The figure of such a table; linear: the ordinate, else logarithmic."""
    lines = {what: [p for p in points if p.what == what] for what in dict.fromkeys(p.what for p in points)}
    data = {what: ([p.beta for p in own], [p.value for p in own]) for what, own in lines.items()}
    picture, panels = style.panels(2, 1, height=4.2, sharex=True, height_ratios=[3, 2])
    above, below = panels[:, 0]
    style.measured(above, *data["computed"], 0, lines["computed"][0].label, markevery=1)
    for slot, regime in enumerate(("low", "high"), 1):
        label = lines[regime][0].label if regime in lines else None
        style.predicted(
            above, *data.get(regime, ([], [])), slot, label, color=picture.theme.colour(slot), linewidth=1.6
        )
        far = data.get(f"off-{regime}", ([], []))
        style.measured(below, *far, slot, markevery=1, linewidth=1.4)
    if "bound" in lines:
        style.bound(above, *data["bound"], None, lines["bound"][0].label)
    above.set(xscale="log", yscale="linear" if linear else "log")
    below.set(xscale="log", yscale="log")
    style.names(above, y=r"$\lambda_{\max}(M(\theta^*))$")
    style.names(below, r"experts' signal $\|\beta^*\|$", "distance to the asymptote")
    if not any(len(line.get_xdata()) for line in below.lines):
        below.set_ylim(1e-6, 1.0)  # a logarithmic axis without data has no limits
    _plain_ticks(below.xaxis, data["computed"][0])
    style.title(above, title)
    style.legend(above)
    return picture


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
