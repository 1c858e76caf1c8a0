"""Reading a CSV file into numbers, with errors that name the cell."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from moe_theory.datasets.notation import explained
from moe_theory.datasets.reading import TRUTH, USUAL, Reading
from moe_theory.errors import InputError
from moe_theory.validation import Array

DELIMITERS = ",;\t"
LOOKED_AT = 20  # rows that tell the delimiter


@dataclass(frozen=True)
class Table:
    """A CSV file's header and cells, still text; numbers are made column by column, when asked for."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    reading: Reading = USUAL

    def cells(self, label: str) -> list[str]:
        """The column of that name as text, (n,)."""
        if label not in self.header:
            raise InputError(f"column: expected one of {', '.join(self.header)} of {self.name}, got {label!r}")
        index = self.header.index(label)
        return [row[index] for row in self.rows]

    def column(self, label: str) -> Array:
        """The column of that name as floats, (n,); of truth values (TRUE, FALSE), 1 and 0.

        InputError names the first cell that is not a finite number, its line, and the option that reads it.
        """
        cells = self.cells(label)
        if all(cell in TRUTH for cell in cells):
            return np.array([float(TRUTH[cell]) for cell in cells])
        reading = self.reading.for_column(cells)
        values = [reading.number(cell) for cell in cells]
        if None in values:
            i = values.index(None)
            why = explained(cells[i], cells, self.reading)
            if self.reading.is_missing(cells[i]):
                why = "which stands for no value" if cells[i] else ""
            got = ", ".join(filter(None, (repr(cells[i]), why)))
            raise InputError(f"{self.name}: expected a number in column {label!r}, line {self.lines[i]}, got {got}")
        return np.array(values, dtype=float)


def read_csv(path: str | Path, reading: Reading = USUAL) -> Table:
    """Read a UTF-8 CSV file with a header line; InputError if it cannot be read or is empty."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected a CSV file in UTF-8, got bytes that are not") from error
    except OSError as error:
        raise InputError(f"{path}: expected a readable CSV file ({error.strerror or error})") from error
    return parse_csv(str(path), text, reading)


def parse_csv(name: str, text: str, reading: Reading = USUAL) -> Table:
    """The table in `text`, whose delimiter is a comma, a semicolon or a tab."""
    if "\0" in text:
        raise InputError(f"{name}: expected a CSV file, got a binary one")
    delimiter = delimiter_of(text)
    records = _records(text, delimiter)
    parsed: list[tuple[tuple[str, ...], int]] = []
    try:
        parsed.extend(records)
    except csv.Error as error:
        line = parsed[-1][1] + 1 if parsed else 1
        raise InputError(f"{name}: expected a CSV file, line {line}: {error}") from error
    if not parsed:
        raise InputError(f"{name}: expected a CSV file with a header line, got an empty file")
    (header, _), *body = parsed
    if body and len(header) > 1 and not header[0] and all(header[1:]):
        raise InputError(
            f"{name}: expected a name for every column, got none for the first, whose cells begin with"
            f" {body[0][0][0]!r}: name it, or leave it out (in R: write.csv(..., row.names = FALSE))"
        )
    if len(set(header)) != len(header) or not all(header):
        raise InputError(f"{name}: expected distinct, non-empty column names in the header, got {', '.join(header)}")
    if not body:
        raise InputError(f"{name}: expected at least one row below the header, got none")
    for row, line in body:
        if len(row) != len(header):
            hint = ""
            if all(len(row) == len(header) + 1 for row, _ in body):
                hint = ", as in all: a column without a name (R's row names), or a decimal comma that has to be quoted"
            raise InputError(f"{name}: expected {len(header)} cells in line {line}, got {len(row)}{hint}")
    return Table(name, header, tuple(row for row, _ in body), tuple(line for _, line in body), reading)


def delimiter_of(text: str) -> str:
    """Of those that divide the first rows into as many cells as the header, the one that makes most; else the header's
    most frequent one. Quoted cells may hold any of them."""
    counts = {d: [len(row) for row, _ in islice(_quietly(_records(text, d)), LOOKED_AT)] for d in DELIMITERS}
    agreeing = [d for d, own in counts.items() if len(own) > 1 and set(own) == {own[0]} and own[0] > 1]
    return max(agreeing or DELIMITERS, key=lambda d: counts[d][0] if counts[d] else 0)


def _records(text: str, delimiter: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """(cells, the line in which they end) of every record that is not blank."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    for row in reader:
        if any(cell.strip() for cell in row):
            yield tuple(cell.strip() for cell in row), reader.line_num


def _quietly(records: Iterator[tuple[tuple[str, ...], int]]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Those before what cannot be read, which is for the reading itself to say."""
    try:
        yield from records
    except csv.Error:
        return
