"""From a CSV file's columns to `Data`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from moe_theory.datasets.table import read_csv
from moe_theory.errors import InputError
from moe_theory.laws import Data


def read_data(path: str | Path, response: str | None, features: str | None, intercept: bool) -> Data:
    """The response and features (by commas; default: all other columns) of a CSV file, after a feature that is 1 if
    `intercept`; InputError says which option or cell is wrong."""
    if response is None:
        raise InputError("--response: expected the column of the response, got nothing")
    table = read_csv(path)
    names = [n.strip() for n in features.split(",")] if features else [n for n in table.header if n != response]
    if response in names:
        raise InputError(f"--features: expected columns other than the response, got {response!r}")
    y = table.column(response)
    columns = [table.column(name) for name in names]
    if intercept:
        columns, names = [np.ones(len(y)), *columns], ["intercept", *names]
    if not columns:
        raise InputError("--features: expected at least one feature or --intercept, got none")
    return Data(np.column_stack(columns), y, names=tuple(names))
