"""Drawing a figure again from the table beside it: in another theme or format, without the run."""

from __future__ import annotations

import copy
import importlib
import json
from pathlib import Path
from typing import Any

from moe_theory.errors import InputError
from moe_theory.files import MARK, table_path
from moe_theory.report.drawing import DRAWINGS, Drawing
from moe_theory.report.style import Picture
from moe_theory.tables import from_columns

OURS = ("certificate", "figures", "gridlock", "landscape", "maps", "mixture", "recovery")


def redraw(path: str | Path) -> Picture:
    """The figure again, in the current theme (`theme`, `set_theme`).

    path: of the figure's file (fit.png), beside which its table lies (fit.png.json), or of that table. InputError for
    a file that cannot be read or is no such table.
    """
    file = table_path(path)
    try:
        found = json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"figure: expected the table that was written beside it, got {file} ({why})") from error
    kind = found.get(MARK) if isinstance(found, dict) else None
    if not isinstance(kind, str):
        raise InputError(f"figure: expected a table of a figure of moe_theory, got {file}")
    drawing, tables, words = _drawing(kind, file), found.get("tables"), found.get("words")
    if not isinstance(tables, dict) or set(tables) != set(drawing.tables) or not isinstance(words, dict):
        raise InputError(f"figure: expected the tables {', '.join(drawing.tables)} and words in {file}, got others")
    rows: list[Any] = [from_columns(tables[name], cls, f"{file}, {name}") for name, cls in drawing.tables.items()]
    return _drawn(drawing, rows, words, file)


def _drawing(kind: str, file: Path) -> Drawing:
    for name in OURS:
        importlib.import_module(f"moe_theory.report.{name}")
    if kind not in DRAWINGS:
        from moe_theory.claims.registry import all_claims

        all_claims()  # a module of claims may draw figures of its own
    if kind not in DRAWINGS:
        raise InputError(f"figure: expected a kind of figure that is known here, got {kind!r} in {file}")
    return DRAWINGS[kind]


def _drawn(drawing: Drawing, rows: list[Any], words: dict[str, Any], file: Path) -> Picture:
    try:
        picture = drawing.draw(*rows, **words)
        copy.deepcopy(picture).draw_without_rendering()  # formulas and limits are looked at here; it moves the axes
        return picture
    except Exception as error:  # columns are right, what they say together may be anything
        why = " ".join(str(error).split())
        raise InputError(f"figure: expected a table that can be drawn, got {file} ({why})") from error


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
