"""How the cells of a table are read: the decimal mark, the thousands' separator, the words for no value."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from moe_theory.errors import InputError
from moe_theory.validation import Array

# What pandas takes for missing (R: NA alone), and the question mark of many an archive; case matters, as in both.
MISSING = (
    *("NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NaT"),
    *("1.#QNAN", "-1.#QNAN", "1.#IND", "-1.#IND", "NULL", "null", "None", "?"),
)
DECIMALS = (".", ",")
SPACES = " \u00a0\u2007\u2009\u202f"  # plain, no-break, figure, thin, narrow no-break
THOUSANDS = {",": ",", ".": r"\.", "'": "['\u2019]", " ": f"[{SPACES}]", "_": "_"}  # {separator: its pattern}
TRUTH = {"TRUE": True, "True": True, "true": True, "FALSE": False, "False": False, "false": False}


@dataclass(frozen=True)
class Reading:
    """decimal: the mark. thousands: the separator of groups of three digits, or "". missing: the words for no value,
    beside the empty cell. command: whether messages name a command's options, or Python's arguments.
    """

    decimal: str = "."
    thousands: str = ""
    missing: tuple[str, ...] = MISSING
    command: bool = False

    @classmethod
    def of(
        cls, decimal: str = ".", thousands: str = "", missing: str | Sequence[str] = MISSING, options: str = ""
    ) -> Reading:
        """The same from what a user gives; words in one text by commas. InputError names the argument after `options`,
        which is "--" for a command's."""
        if decimal not in DECIMALS:
            raise InputError(f"{options}decimal: expected . or , (a comma), got {decimal!r}")
        separator = " " if thousands == "space" or (thousands and thousands in SPACES) else thousands
        if separator and separator not in THOUSANDS:
            raise InputError(f"{options}thousands: expected one of , . ' _ or a space, got {thousands!r}")
        if separator == decimal:
            raise InputError(f"{options}thousands: expected another mark than the decimal one, got {thousands!r}")
        words = missing.split(",") if isinstance(missing, str) else missing
        if not all(isinstance(word, str) for word in words):
            raise InputError(f"{options}missing: expected words, got {missing!r}")
        return cls(decimal, separator, tuple(word.strip() for word in words if word.strip()), options == "--")

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        digits = "[0-9]+"
        if self.thousands:
            digits = f"(?:[1-9][0-9]{{0,2}}(?:{THOUSANDS[self.thousands]}[0-9]{{3}})+|[0-9]+)"
        mark = re.escape(self.decimal)
        return re.compile(f"[+-]?(?:{digits}(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][+-]?[0-9]+)?")

    @cached_property
    def _separator(self) -> re.Pattern[str] | None:
        return re.compile(THOUSANDS[self.thousands]) if self.thousands else None

    def plain(self, cell: str) -> str | None:
        """A number in Python's notation, or None for what is no number in this one."""
        if not self._pattern.fullmatch(cell):
            return None
        text = self._separator.sub("", cell) if self._separator else cell
        return text.replace(self.decimal, ".")

    def number(self, cell: str) -> float | None:
        """The number in a cell, finite, or None."""
        text = self.plain(cell)
        value = math.inf if text is None else float(text)
        return value if math.isfinite(value) else None

    def is_missing(self, cell: str) -> bool:
        return not cell or cell in self.missing

    def for_column(self, cells: Sequence[str]) -> Reading:
        """Itself; or with a decimal point where a comma was asked for, but these cells can only be meant so (7.8).

        There are files that have both. Where all might be thousands (1.500) it is for the user to say.
        """
        if self.decimal == "." or self.thousands == ".":
            return self
        point, groups = replace(self, decimal=".", thousands=""), replace(self, thousands=".")
        there = [cell for cell in cells if not self.is_missing(cell)]
        able = all(point.number(cell) is not None for cell in there)
        return point if able and any(groups.number(cell) is None for cell in there) else self

    def values(self, cells: Sequence[str]) -> Array:
        """A column, (n,): whole numbers, numbers, truth values or text, whichever all cells are.

        A missing cell is not a number (NaN) there, or None.
        """
        there = [cell for cell in cells if not self.is_missing(cell)]
        own = self.for_column(there)
        numbers = {cell: own.number(cell) for cell in there}
        if there and all(cell in TRUTH for cell in there):
            return np.array([TRUTH.get(cell) for cell in cells], dtype=bool if len(there) == len(cells) else object)
        if None in numbers.values():
            return np.array([None if self.is_missing(cell) else cell for cell in cells], dtype=object)
        if there and len(there) == len(cells):
            texts = [own.plain(cell) or "" for cell in cells]
            if all(re.fullmatch("[+-]?[0-9]+", text) for text in texts):
                whole = [int(text) for text in texts]
                # Beyond 64 bits whole, so that two long numbers in C() are two levels.
                return np.array(whole, dtype=np.int64 if max(map(abs, whole)) < 2**63 else object)
        return np.array([numbers.get(cell, np.nan) for cell in cells], dtype=float)

    def alternatives(self) -> Iterable[Reading]:
        """Other marks, those that change less first."""
        marks = [(decimal, separator) for decimal in DECIMALS for separator in ("", *THOUSANDS) if separator != decimal]
        changes = lambda mark: (mark[0] != self.decimal) + (mark[1] != self.thousands)
        return [replace(self, decimal=d, thousands=t) for d, t in sorted(marks, key=changes)[1:]]

    def said(self, **options: Any) -> str:
        """Options as the user gives them: --decimal , or decimal=','."""
        if self.command:
            quoted = lambda value: '"\'"' if value == "'" else shlex.quote(value)  # shlex: '"'"'
            return " ".join(f"--{name} {quoted(value)}" for name, value in options.items())
        return ", ".join(f"{name}={value!r}" for name, value in options.items())

    def with_missing(self, word: str) -> str:
        """The option by which a word stands for no value, beside those that the user has named."""
        return self.said(missing=",".join((*(() if self.missing == MISSING else self.missing), word)))

    def instead_of(self, other: Reading) -> str:
        """The options that make this reading of another."""
        changed = {n: getattr(self, n) for n in ("decimal", "thousands") if getattr(self, n) != getattr(other, n)}
        return self.said(**changed)

    def given(self) -> dict[str, Any]:
        """The arguments of `of`, and of what reads a table in Python."""
        options = "--" if self.command else ""
        return {"decimal": self.decimal, "thousands": self.thousands, "missing": self.missing, "options": options}

    def arguments(self) -> list[str]:
        """The words on a command line that ask for this reading."""
        found = [("decimal", self.decimal, "."), ("thousands", self.thousands, "")]
        found.append(("missing", ",".join(self.missing), ",".join(MISSING)))
        return [word for name, value, usual in found if value != usual for word in (f"--{name}", value)]


USUAL = Reading()
