"""Reading a CSV file into numbers, with errors that name the cell."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moe_theory.errors import InputError
from moe_theory.validation import Array


@dataclass(frozen=True)
class Table:
    """A CSV file's header and cells, still text; numbers are made column by column, when asked for."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def column(self, label: str) -> Array:
        """The column of that name as floats, (n,); InputError names the line of a cell that is not a finite number."""
        if label not in self.header:
            raise InputError(f"column: expected one of {', '.join(self.header)} of {self.name}, got {label!r}")
        index = self.header.index(label)
        values = []
        for row, line in zip(self.rows, self.lines, strict=True):
            try:
                value = float(row[index])
            except ValueError as error:
                raise InputError(
                    f"{self.name}: expected a number in column {label!r}, line {line}, got {row[index]!r}"
                ) from error
            if not math.isfinite(value):
                raise InputError(f"{self.name}: expected a finite number in column {label!r}, line {line}, got {value}")
            values.append(value)
        return np.array(values)


def read_csv(path: str | Path) -> Table:
    """Read a UTF-8 CSV file with a header line; InputError if it cannot be read or is empty."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected a CSV file in UTF-8, got bytes that are not") from error
    except OSError as error:
        raise InputError(f"{path}: expected a readable CSV file ({error.strerror or error})") from error
    return parse_csv(str(path), text)


def parse_csv(name: str, text: str) -> Table:
    """The table in `text`; the delimiter (comma, semicolon or tab) is the header's most frequent one."""
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    if "\0" in text:
        raise InputError(f"{name}: expected a CSV file, got a binary one")
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    try:
        parsed = [
            (tuple(cell.strip() for cell in row), reader.line_num) for row in reader if any(c.strip() for c in row)
        ]
    except csv.Error as error:
        raise InputError(f"{name}: expected a CSV file, line {reader.line_num}: {error}") from error
    if not parsed:
        raise InputError(f"{name}: expected a CSV file with a header line, got an empty file")
    (header, _), *body = parsed
    if len(set(header)) != len(header) or not all(header):
        raise InputError(f"{name}: expected distinct, non-empty column names in the header, got {', '.join(header)}")
    if not body:
        raise InputError(f"{name}: expected at least one row below the header, got none")
    for row, line in body:
        if len(row) != len(header):
            raise InputError(f"{name}: expected {len(header)} cells in line {line}, got {len(row)}")
    return Table(name, header, tuple(row for row, _ in body), tuple(line for _, line in body))
