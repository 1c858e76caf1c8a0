"""Data frames as formulas read them: columns that are there, whole, and numbers or categories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from moe_theory.errors import InputError
from moe_theory.validation import Array

if TYPE_CHECKING:
    from pandas import DataFrame

MOSTLY = 0.9  # share of numbers among a column's cells from which on the others are no categories
SHOWN = 5  # rows named in a message


@dataclass(frozen=True)
class Places:
    """How messages call the data and its rows, by number from 0 or by their lines in a file."""

    name: str = "data"
    lines: Sequence[int] | None = None

    def of(self, rows: Sequence[int] | Array) -> str:
        """row 3; rows 3, 5, 8; lines 5, 7, 10, …"""
        unit = "row" if self.lines is None else "line"
        shown = [str(r if self.lines is None else self.lines[r]) for r in rows[:SHOWN]]
        return f"{unit}{'s' if len(rows) > 1 else ''} {', '.join(shown)}{', …' if len(rows) > SHOWN else ''}"


DATA, FRAME = Places(), Places("frame")


def refuse_missing(missing: Mapping[str, Array], places: Places) -> None:
    """InputError where a column, {name: (n,) whether each value is missing}, has any."""
    count = {name: int(np.sum(where)) for name, where in missing.items() if np.any(where)}
    if count:
        rows = np.flatnonzero(np.logical_or.reduce([missing[name] for name in count]))
        raise InputError(
            f"{places.name}: expected no missing values, got {sum(count.values())} in"
            f" column{'s' if len(count) > 1 else ''} {', '.join(count)} ({places.of(rows)})"
        )


def formulaic_package() -> ModuleType:
    try:
        import formulaic
    except ImportError as error:
        raise InputError(
            "formula: expected the formulaic package, which is not installed: pip install 'moe-theory[formula]'"
        ) from error
    return formulaic


def data_of(frame: Any, places: Places) -> DataFrame:
    formulaic_package()
    import pandas as pd

    if not isinstance(frame, pd.DataFrame | Mapping):
        raise InputError(
            f"{places.name}: expected a pandas data frame or a mapping of columns, got {type(frame).__name__}"
        )
    try:
        data = pd.DataFrame(frame).reset_index(drop=True).infer_objects()
        # formulaic reads text as Python's objects only.
        data = data.astype({c: object for c, kind in data.dtypes.items() if isinstance(kind, pd.StringDtype)})
    except ValueError as error:
        raise InputError(f"{places.name}: expected columns of one length ({error})") from error
    if not len(data):
        raise InputError(f"{places.name}: expected at least one row, got none")
    return data


def used(data: DataFrame, wanted: Mapping[str, Sequence[str]], places: Places) -> DataFrame:
    """The columns that are wanted, {argument: names}: all there, and without missing values."""
    for argument, names in wanted.items():
        unknown = [c for c in names if c not in data.columns]
        if unknown:
            if places is FRAME:
                lacks = f"column{'s' if len(unknown) > 1 else ''} {listed(unknown)}, as in the fit"
                raise InputError(f"frame: expected {lacks}, got {listed(data.columns)}")
            raise InputError(f"{argument}: expected columns among {listed(data.columns)}, got {listed(unknown)}")
    twice = data.columns[data.columns.duplicated()]
    if len(twice):
        raise InputError(f"{places.name}: expected distinct columns, got {twice[0]} twice")
    columns = list(dict.fromkeys(c for names in wanted.values() for c in names))
    refuse_missing({c: data[c].isna().to_numpy(dtype=bool) for c in columns}, places)
    for column in columns:
        _refuse_mixed(data[column], places)
    return data[columns].copy()


def _refuse_mixed(column: Any, places: Places) -> None:
    """InputError for a column of numbers with some text in it: not categories, but cells that went wrong."""
    if not is_text(column) or hasattr(column, "cat"):
        return
    other = np.flatnonzero([not _is_number(value) for value in column])
    if 0 < len(other) <= (1 - MOSTLY) * len(column):
        got = f"got {len(column) - len(other)} numbers and {column.iloc[other[0]]!r} ({places.of(other)})"
        raise InputError(f"{places.name}: expected numbers or categories in column {column.name}, {got}")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def usual_values(data: DataFrame, columns: Sequence[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """(`Terms.values`, `Terms.usual`) of these columns."""
    values = {c: data[c].to_numpy(dtype=float) for c in columns if not is_text(data[c])}
    usual = {c: float(np.mean(values[c])) if c in values else data[c].mode().iloc[0] for c in columns}
    return values, usual


def is_text(column: Any) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return not (is_numeric_dtype(column) or is_bool_dtype(column))


def numbers_of(argument: str, data: DataFrame, value: Any) -> Any:
    """A column as numbers if `value` is the name of one, else `value`."""
    if not isinstance(value, str):
        return value
    if is_text(data[value]):
        raise InputError(f"{argument}: expected numbers in column {value}, got text ({str(data[value][0])!r})")
    return data[value].to_numpy(dtype=float)


def listed(names: Iterable[Any], most: int = 20) -> str:
    found = [str(n) for n in names]
    return ", ".join(found[:most]) + (", …" if len(found) > most else "")
