"""Data frames as formulas read them: columns that are there, whole, and numbers or categories."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from numbers import Integral, Real
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from moe_theory.errors import InputError
from moe_theory.mixture.categories import cell_at, refuse_numbers, text_of
from moe_theory.mixture.places import FRAME, Places
from moe_theory.validation import Array

if TYPE_CHECKING:
    from pandas import DataFrame


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


def used(
    data: DataFrame,
    wanted: Mapping[str, Sequence[str]],
    places: Places,
    stated: Collection[str],
    judged: Collection[str],
) -> DataFrame:
    """The columns that are wanted, {argument: names}: all there, without missing values, of numbers or of categories.

    stated: those that are said to be categories, which keep their cells. judged: those whose text has to be a category.
    """
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
    refuse_missing({c: _missing(data[c]) for c in columns}, places)
    found = data[columns].copy()
    for column in columns:
        found[column] = _settled(found[column], column in stated)
        if column in judged and is_text(found[column]) and not hasattr(found[column], "cat"):
            refuse_numbers(column, found[column].tolist(), places)
    return found


def _missing(column: Any) -> Array:
    """Whether each value is missing, (n,); blank text is."""
    missing: Array = column.isna().to_numpy(dtype=bool)
    if column.dtype == object:
        missing = missing | np.array([isinstance(value, str) and not value.strip() for value in column], dtype=bool)
    return missing


def _settled(column: Any, stated: bool) -> Any:
    """A column without missing values as NumPy's numbers or truth values where it holds nothing else.

    However it is stored (Decimals, Python's objects, pandas' own types); else as objects, or a pandas categorical.
    Whole numbers beyond 64 bits stay what they are in what is stated to be a category: two of them are two levels.
    """
    import pandas as pd

    if hasattr(column, "cat") or (isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf"):
        return column
    values = column.astype(object).tolist()
    dtype: Any = object
    if all(isinstance(value, bool | np.bool_) for value in values):
        dtype = bool
    elif all(isinstance(value, Real | Decimal) and not isinstance(value, bool) for value in values):
        if not all(isinstance(value, Integral) for value in values):
            dtype = float
        elif max(map(abs, values)) < 2**63:
            dtype = np.int64
        elif not stated:
            dtype = float
    return pd.Series([_double(value) for value in values] if dtype is float else values, column.index, dtype=dtype)


def _double(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # which is refused where all that is not finite is
        return math.inf


def usual_values(data: DataFrame, columns: Sequence[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """(`Terms.values`, `Terms.usual`) of these columns."""
    values = {c: data[c].to_numpy(dtype=float) for c in columns if not is_text(data[c])}
    usual = {c: float(np.mean(values[c])) if c in values else _most_frequent(data[c]) for c in columns}
    return values, usual


def _most_frequent(column: Any) -> Any:
    """The first of those in the order of a categorical, or of text."""
    if hasattr(column, "cat"):
        return column.mode().iloc[0]
    counts = Counter(column.tolist())
    return min(counts, key=lambda level: (-counts[level], text_of(level)))


def is_text(column: Any) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return not (is_numeric_dtype(column) or is_bool_dtype(column))


def numbers_of(argument: str, data: DataFrame, value: Any, places: Places) -> Any:
    """A column as numbers if `value` is the name of one, else `value`."""
    if not isinstance(value, str):
        return value
    column = data[value]
    if is_text(column):
        cells = column.tolist()
        row = next((i for i, cell in enumerate(cells) if places.reading.number(text_of(cell)) is None), 0)
        raise InputError(f"{argument}: expected numbers in column {value}, got text, {cell_at(cells, row, places)}")
    return column.to_numpy(dtype=float)


def listed(names: Iterable[Any], most: int = 20) -> str:
    found = [str(n) for n in names]
    return ", ".join(found[:most]) + (", …" if len(found) > most else "")
