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
from moe_theory.files import MARK, check_figure, table_path, write_all
from moe_theory.report.style import Picture
from moe_theory.tables import to_columns

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
        signature = inspect.signature(draw)

        @functools.wraps(draw)
        def drawn(*args: P.args, **words: P.kwargs) -> Picture:
            picture = draw(*args, **words)
            bound = signature.bind(*args, **words)
            bound.apply_defaults()
            values = list(bound.arguments.items())
            picture.kind, picture.words = kind, dict(values[len(tables) :])
            picture.rows = {name: list(rows) for name, (_, rows) in zip(tables, values, strict=False)}
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
    found = {MARK: picture.kind, "words": picture.words, "tables": tables}
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
    check_figure("path", Path(path))
    write_all(figure_files(figure, Path(path)))
