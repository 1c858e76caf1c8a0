"""The picture of gru-is-moe: a chord of tanh, and the largest gap under its bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from matplotlib.axes import Axes

from moe_theory.atoms import exact
from moe_theory.report import style
from moe_theory.report.drawing import drawing
from moe_theory.report.style import Picture
from moe_theory.validation import Array
from proofs_checks.gru_gap import TANH, gap_at

RESETS = (1 / 2, 1 / 16)
CHORD = (-1.5, 4.0)  # u, v


def largest_gaps(v: Array, r: float) -> Array:
    """sup over u of |J| for tanh at every v > 0, (n,): by a grid of u that is refined thrice around its best."""
    best = np.empty_like(v)
    for i, length in enumerate(v):
        low, high = -length - 4.0, 4.0
        for _ in range(4):
            u = np.linspace(low, high, 2001)
            gap = np.abs((1 - r) * np.tanh(u) + r * np.tanh(u + length) - np.tanh(u + r * length))
            k, step = int(np.argmax(gap)), u[1] - u[0]
            best[i], low, high = gap[k], u[k] - 2 * step, u[k] + 2 * step
    return best


@dataclass(frozen=True)
class ChordPoint:
    """At r between 0 and 1: u + rv, the GRU's f(u + rv) and the deck's (1-r) f(u) + r f(u+v); outside of that nan."""

    r: float
    x: float
    gru: float
    deck: float


@dataclass(frozen=True)
class GapPoint:
    """sup over u of |J| at reset r and v, and the least of its bounds."""

    r: float
    v: float
    gap: float
    bound: float


def chord_points() -> list[ChordPoint]:
    """A chord of tanh, and some of tanh on both sides."""
    u, v = CHORD
    found = []
    for r in np.linspace(-0.175, 1.175, 271).round(12).tolist():
        deck = (1 - r) * np.tanh(u) + r * np.tanh(u + v) if 0 <= r <= 1 else np.nan
        found.append(ChordPoint(r, u + r * v, float(np.tanh(u + r * v)), float(deck)))
    return found


def gap_points() -> list[GapPoint]:
    """The largest gaps of tanh under min{½ r(1-r) v² sup|f''|, r(1-r) v, 2 max(r, 1-r) tanh(v/2)}."""
    v = np.geomspace(0.02, 100, 121)
    found = []
    for r in RESETS:
        curved = r * (1 - r) * v**2 / 2 * float(TANH.sup)
        least = np.minimum(curved, np.minimum(r * (1 - r) * v, 2 * max(r, 1 - r) * np.tanh(v / 2)))
        gaps = largest_gaps(v, r)
        found += [GapPoint(r, float(a), float(b), float(c)) for a, b, c in zip(v, gaps, least, strict=True)]
    return found


def gap_figure() -> Picture:
    """Left, tanh and its chord: J is what lies between. Right, sup over u of |J| below what bounds it."""
    return draw_gap(chord_points(), gap_points())


@drawing("gru-gap", chord=ChordPoint, gaps=GapPoint)
def draw_gap(chord: Sequence[ChordPoint], gaps: Sequence[GapPoint]) -> Picture:
    """The figure of such tables."""
    picture, panels = style.panels(1, 2, width=style.PAGE, height=3.5, width_ratios=(1, 1.1))
    _draw_chord(panels[0, 0], chord)
    _draw_growth(panels[0, 1], gaps)
    return picture


def _draw_chord(axes: Axes, points: Sequence[ChordPoint]) -> None:
    look, (u, v) = style.theme_of(axes), CHORD
    x, gru, deck = np.array([(p.x, p.gru, p.deck) for p in points]).T
    plain = {"marker": "", "linewidth": 1.8}
    style.measured(axes, x, gru, 0, r"GRU: $f(u+rv)$, $f=\tanh$", **plain, color=look.colour(0))
    style.measured(axes, x, deck, 1, r"deck: $(1-r)f(u)+r f(u+v)$", **plain, color=look.colour(1))
    style.band(axes, x, gru, deck, label="$J$, the gap", color=look.soft, alpha=0.25)
    zero = float(mpmath.findroot(lambda s: gap_at(TANH, u, v, s), (0.2, 0.5), solver="anderson"))
    dots: dict[str, Any] = {"marker": "o", "linestyle": "none", "color": look.ink, "zorder": 5, "markersize": 4}
    axes.plot([u, u + v], np.tanh([u, u + v]), **dots)
    axes.plot([u + zero * v], [np.tanh(u + zero * v)], **(dots | {"markerfacecolor": look.paper, "markersize": 5}))
    arrow = {"arrowstyle": "-", "color": look.soft, "linewidth": 0.7, "shrinkB": 3}
    inside = (u + zero * v, float(np.tanh(u + zero * v)))
    style.note(axes, f"inside, $J=0$\nat $r={zero:.3f}$ only", inside, (24, -34), arrowprops=arrow)
    style.note(axes, "$r=0$", (u, float(np.tanh(u))), (-4, 5), ha="right")
    style.note(axes, "$r=1$", (u + v, float(np.tanh(u + v))), (5, -10))
    axes.set_ylim(-1.12, 1.12)
    style.names(axes, r"$u + rv$, for $r$ from 0 to 1", "candidate state")
    style.title(axes, f"A chord of tanh, $u={u:g}$, $v={v:g}$")
    style.legend(axes, loc="outside lower left")


def _draw_growth(axes: Axes, points: Sequence[GapPoint]) -> None:
    look = style.theme_of(axes)
    for slot, r in enumerate(dict.fromkeys(p.r for p in points)):
        v, gap, least = np.array([(p.v, p.gap, p.bound) for p in points if p.r == r]).T
        style.measured(axes, v, gap, slot, rf"computed $\sup_u |J|$, $r={exact(r)}$")
        style.bound(axes, v, least, None, color=look.deep(slot))
    told = r"bound, the least of $\frac{1}{2}r(1-r)\,v^2\sup|f''|$, $r(1-r)v$ and $\max(r,1-r)\,2\tanh\frac{v}{2}$"
    style.bound(axes, [], [], None, told, color=look.ink)
    style.reference(axes, v[[0, -1]], [2.0, 2.0])
    style.note(axes, "2, the worst over $u$, $v$ and $r$: never reached", (v[0], 2.0), (4, 3))
    axes.set(xscale="log", yscale="log", ylim=(1e-5, 7), xlim=(v[0], v[-1]))
    style.names(axes, r"$v = (Bh)_i$, what the reset gate scales", "gap of the candidate state")
    style.title(axes, "tanh: the largest gap, and what bounds it")
    style.legend(axes, loc="outside lower right")
