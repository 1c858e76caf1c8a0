"""The picture of gru-is-moe: a chord of tanh, and the largest gap under its bounds."""

from __future__ import annotations

import mpmath
import numpy as np
import sympy as sp
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moe_theory.report.figures import BOUND, GAP, INK, ITERATES, Picture
from moe_theory.validation import Array
from proofs_checks.gru_gap import TANH, gap_at

RESETS = ((1 / 2, ITERATES), (1 / 16, GAP))


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


def gap_figure() -> Figure:
    """Left, tanh and its chord: J is what lies between. Right, sup over u of |J| below what bounds it."""
    figure = Picture(figsize=(10.4, 4.3), layout="constrained")
    chord, growth = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _draw_chord(chord)
    _draw_growth(growth)
    for axes in (chord, growth):
        axes.grid(True, which="major", alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_chord(axes: Axes) -> None:
    u, v = -1.5, 4.0
    t = np.linspace(u - 0.7, u + v + 0.7, 300)
    inside = np.linspace(u, u + v, 200)
    r = (inside - u) / v
    line = (1 - r) * np.tanh(u) + r * np.tanh(u + v)
    axes.plot(t, np.tanh(t), color=ITERATES, linewidth=1.8, label=r"GRU: $f(u+rv)$, $f=\tanh$")
    axes.plot(inside, line, color=GAP, linewidth=1.8, label=r"deck: $(1-r)f(u)+r f(u+v)$")
    axes.fill_between(inside, np.tanh(inside), line, color=BOUND, alpha=0.25, linewidth=0, label="$J$, the gap")
    zero = float(mpmath.findroot(lambda s: gap_at(TANH, u, v, s), (0.2, 0.5), solver="anderson"))
    axes.plot([u, u + v], np.tanh([u, u + v]), "o", color=INK, markersize=5)
    axes.plot([u + zero * v], [np.tanh(u + zero * v)], "o", color=INK, markersize=6, markerfacecolor="white")
    axes.annotate(
        f"inside, $J=0$ at $r={zero:.3f}$ only",
        (u + zero * v, np.tanh(u + zero * v)),
        (0.5, -0.5),
        fontsize=9,
        color=INK,
        arrowprops={"arrowstyle": "-", "color": BOUND, "linewidth": 0.8},
    )
    axes.text(u - 0.1, np.tanh(u) + 0.07, "$r=0$", ha="right", fontsize=9, color=INK)
    axes.text(u + v, np.tanh(u + v) - 0.17, "$r=1$", ha="center", fontsize=9, color=INK)
    axes.set(xlabel=r"$u + rv$, for $r$ from 0 to 1", ylabel="candidate state", ylim=(-1.12, 1.55))
    axes.set_title(f"A chord of tanh, $u={u:g}$, $v={v:g}$", loc="left", color=INK, fontsize=11)
    axes.legend(frameon=False, fontsize=9, loc="upper left")


def _draw_growth(axes: Axes) -> None:
    v = np.geomspace(0.02, 100, 121)
    for r, colour in RESETS:
        axes.plot(v, largest_gaps(v, r), color=colour, linewidth=1.9, label=f"$r={sp.Rational(r)}$")
        axes.plot(v, r * (1 - r) * v**2 / 2 * float(TANH.sup), "--", color=colour, linewidth=1.2)
        flat = np.minimum(r * (1 - r) * v, 2 * max(r, 1 - r) * np.tanh(v / 2))
        axes.plot(v, flat, ":", color=colour, linewidth=1.5)
    for style, text in (
        ("-", r"$\sup_u |J|$"),
        ("--", r"$\frac{1}{2}r(1-r)\,v^2\sup|f''|$"),
        (":", r"$\min\{r(1-r)v,\ \max(r,1-r)\,2\tanh\frac{v}{2}\}$"),
    ):
        axes.plot([], [], style, color=INK, linewidth=1.3, label=text)
    axes.axhline(2, color=BOUND, linewidth=0.9)
    axes.text(0.022, 2.3, "2, the worst over all u, v and r: never reached", color=INK, fontsize=8.5)
    axes.set(xscale="log", yscale="log", ylim=(1e-5, 7), xlim=(v[0], v[-1]))
    axes.set_xlabel(r"$v = (Bh)_i$, what the reset gate scales")
    axes.set_ylabel("gap of the candidate state")
    axes.set_title("tanh: the largest gap, and what bounds it", loc="left", color=INK, fontsize=11)
    axes.legend(frameon=False, fontsize=9.5, loc="lower right")
