"""How every figure looks: sizes, what a solid and what a dashed line says, letters. Its colours are in `themes`.

A solid line is measured (or computed), a dashed one predicted, a dash-dotted one a bound that is proved, a dotted one
a reference. Sizes are those of print: a figure as wide as a column of a two-column paper has letters of 7 points at
least.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator

from moe_theory.report.themes import DARK as DARK
from moe_theory.report.themes import LIGHT as LIGHT
from moe_theory.report.themes import Theme, current
from moe_theory.report.themes import set_theme as set_theme
from moe_theory.report.themes import theme as theme

Role = Literal["measured", "predicted", "bound", "reference"]
DASH: dict[Role, str] = {"measured": "-", "predicted": "--", "bound": "-.", "reference": ":"}
WIDTH: dict[Role, float] = {"measured": 2.4, "predicted": 1.1, "bound": 1.2, "reference": 0.9}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")

COLUMN, PAGE = 3.4, 7.0  # inches: widths of a column and of a page
TITLE, TEXT, SMALL = 8.5, 8.0, 7.5  # points


class Picture(Figure):
    """A figure that shows itself in Jupyter without pyplot, in the theme it was made in.

    rows: what it is drawn from, lists of frozen dataclasses by name, for `moe_theory.tables.write_rows`. kind, words:
    what `moe_theory.redraw` needs besides; "" where it cannot draw it.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.theme = current()
        self.rows: dict[str, Sequence[Any]] = {}
        self.kind = ""
        self.words: dict[str, Any] = {}
        defaults: dict[str, Any] = {"dpi": 200, "facecolor": self.theme.paper}
        super().__init__(*args, **(defaults | options))

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=160)
        return buffer.getvalue()


def panels(
    rows: int = 1, columns: int = 1, *, width: float = COLUMN, height: float | None = None, **options: Any
) -> tuple[Picture, Any]:
    """(picture, its panels as an array (rows, columns)); width, height: in inches, as printed. options: as of
    `Figure.subplots`."""
    picture = Picture(figsize=(width, height or 0.72 * width * rows / columns), layout="constrained")
    picture.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.04, hspace=0.04)  # type: ignore[union-attr,call-arg]
    made = picture.subplots(rows, columns, squeeze=False, **options)
    for axes in made.flat:
        plain(axes)
        # So few that their labels do not touch.
        axes.xaxis.set_major_locator(MaxNLocator(max(3, round(1.9 * width / columns)), steps=[1, 2, 2.5, 5, 10]))
    return picture, made


def panel(*, width: float = COLUMN, height: float | None = None) -> tuple[Picture, Axes]:
    """(picture, its only panel)."""
    picture, made = panels(width=width, height=height)
    return picture, made[0, 0]


def plain(axes: Axes) -> None:
    """Light grid, two spines, letters and ticks in the picture's ink."""
    look = theme_of(axes)
    axes.set_facecolor(look.paper)
    axes.grid(True, which="major", color=look.grid, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    ink(axes)


def ink(axes: Any) -> None:
    """Letters and ticks of a panel, a colour bar or a second axis."""
    look = theme_of(axes)
    for spine in axes.spines.values():
        spine.set(color=look.soft, linewidth=0.7)
    axes.tick_params(which="both", color=look.soft, labelcolor=look.ink, labelsize=SMALL, width=0.6, pad=2)
    axes.tick_params(which="major", length=3)
    axes.tick_params(which="minor", length=1.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=look.ink, fontsize=TEXT)
        axis.labelpad = 2.5
        axis.get_offset_text().set(color=look.ink, fontsize=SMALL)


def theme_of(axes: Any) -> Theme:
    """Of the picture it is in; of another figure, the current one."""
    found = getattr(axes.figure, "theme", None)
    return found if isinstance(found, Theme) else current()


# Lines ---------------------------------------------------------------------------------------------------------


def measured(axes: Axes, x: Any, y: Any, slot: int = 0, label: str | None = None, **changes: Any) -> Line2D:
    """Solid, with the slot's marker on about twenty of its points. changes: as of `Axes.plot`; marker="" for a line
    alone, linestyle="none" for points alone (single runs)."""
    look = theme_of(axes)
    style: dict[str, Any] = {
        "color": look.pale(slot),
        "markerfacecolor": look.colour(slot),
        "marker": MARKERS[slot % len(MARKERS)],
        "markersize": 3.8,
        "markeredgecolor": look.paper,
        "markeredgewidth": 0.4,
        "markevery": max(1, -(-np.size(x) // 20)),
        "zorder": 3,
    }
    return _line(axes, x, y, "measured", label, style | changes)


def predicted(axes: Axes, x: Any, y: Any, slot: int = 0, label: str | None = None, **changes: Any) -> Line2D:
    """Dashed, thinner and deeper than the measured line of the same slot, on which it may lie."""
    return _line(axes, x, y, "predicted", label, {"color": theme_of(axes).deep(slot), "zorder": 4} | changes)


def bound(axes: Axes, x: Any, y: Any, slot: int | None = None, label: str | None = None, **changes: Any) -> Line2D:
    """Dash-dotted: what is proved. Its label says "bound"; slot: None for one that belongs to no series."""
    look = theme_of(axes)
    return _line(
        axes, x, y, "bound", label, {"color": look.soft if slot is None else look.colour(slot), "zorder": 3.5} | changes
    )


def reference(axes: Axes, x: Any, y: Any, label: str | None = None, **changes: Any) -> Line2D:
    """Dotted and weak: a slope or a level to compare with."""
    return _line(axes, x, y, "reference", label, {"color": theme_of(axes).soft, "zorder": 2} | changes)


def role_of(line: Line2D) -> Role | None:
    """What a line says; None for points alone."""
    return next((role for role, dash in DASH.items() if dash == line.get_linestyle()), None)


def _line(axes: Axes, x: Any, y: Any, role: Role, label: str | None, style: dict[str, Any]) -> Line2D:
    base: dict[str, Any] = {"linestyle": DASH[role], "linewidth": WIDTH[role], "label": label, "dash_capstyle": "butt"}
    return axes.plot(x, y, **(base | style))[0]


def band(axes: Axes, x: Any, low: Any, high: Any, slot: int = 0, label: str | None = None, **changes: Any) -> None:
    """What lies between, shaded weakly."""
    style: dict[str, Any] = {"color": theme_of(axes).colour(slot), "alpha": 0.18, "linewidth": 0, "zorder": 1.5}
    axes.fill_between(x, low, high, label=label, **(style | changes))


# Words ---------------------------------------------------------------------------------------------------------


def title(axes: Axes, text: str) -> None:
    """On the left, over as many lines as the figure's width asks for (of a row of panels, a panel's share of it)."""
    grid = axes.get_subplotspec()
    columns = 1 if grid is None else grid.get_gridspec().ncols
    width = axes.figure.get_figwidth() * 72 / columns - 62  # type: ignore[union-attr]
    axes.set_title(folded(text, width, TITLE), loc="left", color=theme_of(axes).ink, fontsize=TITLE, pad=5)


def names(axes: Axes, x: str = "", y: str = "") -> None:
    """Of the axes, with units; empty leaves one as it is. Broken where longer than its axis."""
    width, height = (72 * size for size in axes.figure.get_size_inches())  # type: ignore[union-attr]
    grid = axes.get_subplotspec()
    rows, columns = (1, 1) if grid is None else grid.get_gridspec().get_geometry()
    if x:
        axes.set_xlabel(folded(x, width / columns - 30, TEXT))
    if y:
        axes.set_ylabel(folded(y, 0.6 * height / rows, TEXT))


def heading(picture: Picture, text: str) -> None:
    """Over all panels, on the left."""
    text = folded(text, picture.get_figwidth() * 72 - 8, TITLE)
    picture.suptitle(text, x=0.01, ha="left", color=picture.theme.ink, fontsize=TITLE)


def note(axes: Axes, text: str, at: tuple[float, float], shift: tuple[float, float] = (3, 3), **changes: Any) -> None:
    """A few words beside a point, shifted by so many points of print."""
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": SMALL, "color": theme_of(axes).ink}
    axes.annotate(text, at, xytext=shift, **(style | changes))


def legend(axes: Axes, columns: int = 1, below: bool = True, **changes: Any) -> Legend:
    """Below all panels, where it covers no data, or in the panel where there is room for certain."""
    look = theme_of(axes)
    style: dict[str, Any] = {"fontsize": SMALL, "labelcolor": look.ink, "ncols": columns, "handlelength": 2.8}
    style |= {"borderaxespad": 0.3, "columnspacing": 1.4, "labelspacing": 0.35, "handletextpad": 0.6}
    if not below:
        shown = {"facecolor": look.paper, "edgecolor": "none", "framealpha": 0.85}
        return axes.legend(**(style | shown | changes))
    handles, labels = axes.get_legend_handles_labels()
    room = axes.figure.get_figwidth() * 72 / columns - 5.2 * SMALL  # type: ignore[union-attr]
    style |= {"loc": "outside lower left", "frameon": False, "handles": handles}
    style["labels"] = [folded(label, room, SMALL) for label in labels]
    return axes.figure.legend(**(style | changes))


def folded(text: str, width: float, size: float) -> str:
    """The text in lines of `width` points at most, broken between words and never within a formula."""
    pieces, lines = _words(text), [""]
    for piece in pieces:
        longer = f"{lines[-1]} {piece}".strip()
        if lines[-1] and _length(longer, size) > width:
            lines.append(piece)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def _words(text: str) -> list[str]:
    """Split at blanks outside dollar signs."""
    found, open_ = [""], False
    for character in text:
        open_ ^= character == "$"
        if character == " " and not open_:
            found.append("")
        else:
            found[-1] += character
    return found


def _length(text: str, size: float) -> float:
    """In points, as set."""
    return float(TextPath((0, 0), text, size=size).get_extents().width) if text.strip() else 0.0
