"""Tables of plain rows as CSV files: what is measured is saved once, and drawn or printed from the file again."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from moe_theory.errors import InputError
from moe_theory.files import check_writable, write_atomically

Row = TypeVar("Row")


def write_rows(path: str | Path, rows: Sequence[Any], digits: int | None = None) -> None:
    """Rows of one frozen dataclass, its fields int, float, bool or str, as a CSV file with their names as its head.

    digits: significant digits of floats, by default as many as it takes to read the same double back. The file is
    written whole or not at all. InputError without rows, for rows of several classes, or where no file can be made.
    """
    if not rows:
        raise InputError("rows: expected at least one row to write, got none")
    cls = type(rows[0])
    if any(type(row) is not cls for row in rows):
        raise InputError(f"rows: expected all of one class, {cls.__name__}, got several")
    names = list(_columns(cls))
    target = Path(path)
    check_writable("path", target)
    text = io.StringIO(newline="")
    out = csv.writer(text, lineterminator="\n")
    out.writerow(names)
    for row in rows:
        out.writerow([_written(getattr(row, name), digits) for name in names])
    write_atomically(target, text.getvalue().encode())


def read_rows(path: str | Path, cls: type[Row]) -> list[Row]:
    """What `write_rows` wrote of that class; InputError for another file, naming the columns or the cell."""
    columns = _columns(cls)
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            head, *lines = [*csv.reader(file)] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"table: expected a CSV file that can be read, got {path} ({error})") from error
    if sorted(head) != sorted(columns) or not lines:
        found = ", ".join(head) + " and no rows" if sorted(head) == sorted(columns) else "others"
        raise InputError(f"table: expected the columns {', '.join(columns)}, got {path} with {found}")
    made = []
    for number, line in enumerate(lines, 2):
        if len(line) != len(head):
            raise InputError(f"table: expected {len(head)} cells in line {number} of {path}, got {len(line)}")
        made.append(cls(**_read(dict(zip(head, line, strict=True)), columns, path, number)))
    return made


def to_columns(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Rows of one class as plain lists by name, for JSON: None for nan, "inf" and "-inf"; {} of no rows."""
    return {
        name: [plain_value(getattr(row, name)) for row in rows] for name in (_columns(type(rows[0])) if rows else ())
    }


def from_columns(columns: Any, cls: type[Row], where: str) -> list[Row]:
    """What `to_columns` made; InputError names `where` it was not that."""
    kinds = get_type_hints(cls)
    if columns == {}:
        return []
    if not isinstance(columns, dict) or set(columns) != set(_columns(cls)):
        raise InputError(f"table: expected the columns {', '.join(_columns(cls))} in {where}, got others")
    lengths = {len(values) if isinstance(values, list) else -1 for values in columns.values()}
    if len(lengths) > 1 or -1 in lengths:
        raise InputError(f"table: expected columns of one length in {where}, got others")
    found = {name: [_cell(value, kinds[name], f"{where}, {name}") for value in columns[name]] for name in columns}
    return [cls(**dict(zip(found, cells, strict=True))) for cells in zip(*found.values(), strict=True)]


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """As Markdown, a line per row."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _columns(cls: type) -> dict[str, Callable[[str], Any]]:
    """How every field's cell is read."""
    if not is_dataclass(cls):
        raise InputError(f"rows: expected a dataclass, got {cls.__name__}")
    readers: dict[Any, Callable[[str], Any]] = {int: int, float: float, str: str, bool: _truth}
    kinds = get_type_hints(cls)
    found = {f.name: readers.get(kinds[f.name]) for f in fields(cls)}
    if other := [name for name, reader in found.items() if reader is None]:
        raise InputError(f"rows: expected fields int, float, bool or str, got {cls.__name__}.{other[0]}")
    return {name: reader for name, reader in found.items() if reader is not None}


def _written(value: Any, digits: int | None) -> str:
    """A cell; NumPy's numbers as Python's."""
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, float):
        return repr(plain) if digits is None else f"{plain:.{digits}g}"
    return str(plain)


def plain_value(value: Any) -> Any:
    """For JSON: NumPy's numbers as Python's, None for nan, "inf" and "-inf"."""
    plain = value.item() if hasattr(value, "item") else value
    if not isinstance(plain, float) or math.isfinite(plain):
        return plain
    return None if math.isnan(plain) else str(plain)


def _cell(value: Any, kind: Any, where: str) -> Any:
    """A cell of a column."""
    if kind is float and value in (None, "inf", "-inf"):
        return float(value or "nan")
    right = (int, float) if kind is float else kind
    if not isinstance(value, right) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"table: expected {kind.__name__} in {where}, got {value!r}")
    try:
        return float(value) if kind is float else value
    except OverflowError as error:
        raise InputError(f"table: expected a float in {where}, got a number that is too large") from error


def _read(cells: dict[str, str], columns: dict[str, Callable[[str], Any]], path: Any, line: int) -> dict[str, Any]:
    found = {}
    for name, reader in columns.items():
        try:
            found[name] = reader(cells[name])
        except ValueError as error:
            kind = "True or False" if reader is _truth else "numbers"
            raise InputError(f"table: expected {kind} in {path}, line {line}, {name}: {error}") from error
    return found


def _truth(cell: str) -> bool:
    if cell not in ("True", "False"):
        raise ValueError(f"got {cell!r}")
    return cell == "True"
