"""Figures that are drawn from tables and nothing else, so that a file beside them is enough to draw them again."""

from __future__ import annotations

import functools
import inspect
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec

from matplotlib.figure import Figure

from moe_theory.errors import InputError
from moe_theory.files import MARK, TABLE_HEAD, check_figure, is_ours, table_path, write_all
from moe_theory.report.style import Picture
from moe_theory.tables import plain_value, to_columns

P = ParamSpec("P")


@dataclass(frozen=True)
class Drawing:
    """tables: the class of rows of each argument that is one, in the order in which `draw` takes them, first; the other
    arguments are words, numbers or truth values."""

    draw: Callable[..., Picture]
    tables: Mapping[str, type]


DRAWINGS: dict[str, Drawing] = {}


def drawing(kind: str, **tables: type) -> Callable[[Callable[P, Picture]], Callable[P, Picture]]:
    """Decorator for what draws a kind of figure from tables: its pictures know what they were drawn from."""

    def register(draw: Callable[P, Picture]) -> Callable[P, Picture]:
        if kind in DRAWINGS and DRAWINGS[kind].draw.__module__ != draw.__module__:
            raise InputError(f"kind: expected one that no other module draws, got {kind!r}")
        signature = inspect.signature(draw)

        @functools.wraps(draw)
        def drawn(*args: P.args, **words: P.kwargs) -> Picture:
            bound = signature.bind(*args, **words)
            bound.apply_defaults()
            given = bound.arguments
            for argument in list(given)[: len(tables)]:
                given[argument] = list(given[argument])
            picture = draw(*bound.args, **bound.kwargs)
            names = list(given)
            picture.rows = {table: given[name] for table, name in zip(tables, names, strict=False)}
            picture.kind, picture.words = kind, {name: given[name] for name in names[len(tables) :]}
            return picture

        DRAWINGS[kind] = Drawing(drawn, tables)
        return drawn

    return register


def figure_table(picture: Picture) -> bytes:
    """What a picture was drawn from, as JSON: its kind, its words, and each table as columns (pandas.DataFrame takes
    them); nan is null. InputError for a figure that no `drawing` made."""
    if not picture.kind:
        raise InputError("figure: expected one that is drawn from tables (`drawing`), got another")
    tables = {name: to_columns(rows) for name, rows in picture.rows.items()}
    words = {name: plain_value(value) for name, value in picture.words.items()}
    found = {MARK: picture.kind, "words": words, "tables": tables}
    return (json.dumps(found, ensure_ascii=False, allow_nan=False) + "\n").encode()


def figure_files(figure: Figure, path: Path) -> dict[Path, bytes]:
    """The figure's file, in the format that its ending names, and, if it is drawn from tables, beside it the file from
    which `redraw` draws it again."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower(), dpi=300)
    found = {path: buffer.getvalue()}
    if isinstance(figure, Picture) and figure.kind:
        found[table_path(path)] = figure_table(figure)
    return found


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure, and beside it the table (`path`.json) from which `redraw` draws it again in another theme or
    format.

    path: ends with .png, .svg or .pdf. InputError where it does not, or where files cannot be written there or
    would come over another's.
    """
    table = isinstance(figure, Picture) and bool(figure.kind)
    check_figure("path", Path(path), table)
    write_all(figure_files(figure, Path(path)))
    beside = table_path(path)
    if not table and beside.is_file() and is_ours(beside, TABLE_HEAD):
        beside.unlink()  # of the figure that was there before
