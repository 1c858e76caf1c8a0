"""What makes a column of text a category: words, on few levels, that recur; and not numbers that went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from moe_theory.datasets.notation import explained, looks
from moe_theory.datasets.reading import Reading
from moe_theory.errors import InputError
from moe_theory.mixture.places import Places

FEW = 5  # levels that may occur once
MANY = 1000  # levels looked at; a category has fewer
SHOWN = 24  # characters of a cell in a message


def text_of(cell: Any) -> str:
    """A cell as it would stand in a file."""
    return (cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)).strip()


def refuse_numbers(name: str, cells: Sequence[Any], places: Places) -> None:
    """InputError for a column of text (n,), none missing, that is no category.

    That is, at least half of its cells, or of its levels, look like numbers, in whatever notation; marks or words for
    no value are among words; or more than `FEW` levels, or of more than half of the rows, occur once.
    """
    levels: dict[str, list[int]] = {}
    for row, cell in enumerate(cells):
        levels.setdefault(text_of(cell), []).append(row)
    complaint = _truth(cells, places)
    for found in () if complaint else (_missing, _numbers, _marks, _once):
        if complaint := found(levels, places):
            break
    if complaint:
        expected = f"{places.name}: expected numbers or categories in column {name!r}"
        term = name if name.isidentifier() else f"`{repr(name)[1:-1]}`"
        raise InputError(f"{expected}, got {complaint}; C({term}) for categories")


def refuse_levels(factor: str, levels: Iterable[Any], places: Places) -> None:
    """The same of the levels of an expression in a formula."""
    found = {text_of(level): [0] for level in levels}
    stray = _stray(found, places.reading)
    if stray is not None:
        got = ", ".join(filter(None, (shown(stray), explained(stray, found, places.reading))))
        raise InputError(
            f"formula: expected numbers or categories from {factor}, got {got}; C({factor}) for categories"
        )


def cell_at(cells: Sequence[Any], row: int, places: Places) -> str:
    """Of a cell that is no number: itself, where it is, and what it looks like."""
    cell = text_of(cells[row])
    why = explained(cell, map(text_of, cells), places.reading)
    return f"{shown(cell)} ({places.of([row])})" + (f", {why}" if why else "")


def shown(cell: str) -> str:
    return repr(cell if len(cell) <= SHOWN else cell[:SHOWN] + "…")


def _is_number(level: str, reading: Reading) -> bool:
    return reading.number(level) is not None


def _stray(levels: dict[str, list[int]], reading: Reading) -> str | None:
    """The first level that is no number as it is read, or else the first, where levels are mostly numbers."""
    like = [level for level in levels if _is_number(level, reading) or looks(level, reading)]
    rows = lambda found: sum(len(levels[level]) for level in found)
    if not like or (2 * len(like) < len(levels) and 2 * rows(like) < rows(levels)):
        return None
    return next((level for level in levels if not _is_number(level, reading)), next(iter(levels)))


def _numbers(levels: dict[str, list[int]], places: Places) -> str:
    reading, apart = places.reading, -(-len(levels) // MANY)
    levels = {level: levels[level] for level in list(levels)[::apart]}
    stray = _stray(levels, reading)
    if stray is None:
        return ""
    where = f"{shown(stray)} ({places.of(levels[stray])})"
    if _is_number(stray, reading):
        return f"numbers as text, {where}: pandas.to_numeric for numbers"
    others = sum(len(rows) for level, rows in levels.items() if _is_number(level, reading))
    among = f" among {others} number{'s' * (others > 1)}" if others and apart == 1 else ""
    why = explained(stray, levels, reading)
    return f"{where}{among}, {why}" if why else f"{where}{among}{_remedy(stray, places)}"


def _truth(cells: Sequence[Any], places: Places) -> str:
    """Python's truth values, which equal 1 and 0, among other things; a column of them alone is no text."""
    row = next((i for i, cell in enumerate(cells) if isinstance(cell, bool | np.bool_)), None)
    return "" if row is None else f"{cells[row]} ({places.of([row])}) among other values"


def _missing(levels: dict[str, list[int]], places: Places) -> str:
    """Words for no value that a frame holds as text."""
    return _stands_for_none(next(filter(places.reading.is_missing, levels), None), levels, places)


def _marks(levels: dict[str, list[int]], places: Places) -> str:
    """Marks among words, a full stop say; levels that are all marks, + and -, are not meant."""
    marks = [level for level in levels if not any(c.isalnum() for c in level)]
    return _stands_for_none(marks[0] if 0 < len(marks) < len(levels) else None, levels, places)


def _stands_for_none(level: str | None, levels: dict[str, list[int]], places: Places) -> str:
    if level is None:
        return ""
    return f"{shown(level)} ({places.of(levels[level])}) among {len(levels)} levels{_remedy(level, places)}"


def _remedy(level: str, places: Places) -> str:
    if len(level) > SHOWN or not level.isprintable() or "," in level:  # no word of a list
        return ""
    how = places.reading.with_missing(level) if places.reading.command else "NaN in its place"
    return f": {how} if it stands for no value"


def _once(levels: dict[str, list[int]], places: Places) -> str:
    once = [level for level, rows in levels.items() if len(rows) == 1]
    rows = sum(map(len, levels.values()))
    if len(once) <= FEW and 2 * len(once) <= rows:
        return ""
    first = f"{shown(once[0])} ({places.of(levels[once[0]])})"
    return f"{len(once)} level{'s' * (len(once) > 1)} that occur{'s' * (len(once) == 1)} once, such as {first}"
