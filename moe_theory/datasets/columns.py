"""From a CSV file's columns to `Data`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from moe_theory.datasets.reading import MISSING, USUAL, Reading
from moe_theory.datasets.table import read_csv
from moe_theory.errors import InputError
from moe_theory.laws import Data
from moe_theory.validation import Array


def read_columns(
    path: str | Path, response: str | None, features: str | None = None, options: str = "", reading: Reading = USUAL
) -> tuple[Array, Array, list[str]]:
    """(features (n, d), response (n,), the features' names) of a CSV file; features by commas, by default all other
    columns. InputError says which argument (after `options`, for a command's) or cell is wrong."""
    if response is None:
        raise InputError(f"{options}response: expected the column of the response, got nothing")
    table = read_csv(path, reading)
    names = [n.strip() for n in features.split(",")] if features else [n for n in table.header if n != response]
    if response in names:
        raise InputError(f"{options}features: expected columns other than the response, got {response!r}")
    y = table.column(response)
    columns = [table.column(name) for name in names]
    return np.array(columns).reshape(len(names), len(y)).T, y, names


def read_data(
    path: str | Path,
    response: str | None,
    features: str | None = None,
    intercept: bool = False,
    options: str = "",
    *,
    decimal: str = ".",
    thousands: str = "",
    missing: str | Sequence[str] = MISSING,
) -> Data:
    """The columns of a CSV file as a law, after a feature that is 1 if `intercept`.

    features: names by commas, by default all columns but the response. decimal: the mark, "." or ",". thousands: what
    divides groups of three digits. missing: words for no value, beside the empty cell. TRUE and FALSE are 1 and 0.
    InputError says which argument (after `options`, for a command's) or cell is wrong, and what would read it.
    """
    reading = Reading.of(decimal, thousands, missing, options)
    x, y, names = read_columns(path, response, features, options, reading)
    if intercept:
        x, names = np.column_stack([np.ones(len(y)), x]), ["intercept", *names]
    if not names:
        raise InputError(f"{options}features: expected at least one feature or {options}intercept, got none")
    return Data(x, y, names=tuple(names))
