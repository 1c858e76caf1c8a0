"""Tables for the terminal and for Markdown, numbers in words, and files that are written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
ABSENT = "–"


@dataclass
class Table:
    """Rows under columns, the first column of words, the others of numbers; a row of one cell is a heading."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    words: tuple[str, ...] = ()  # further columns of words
    foot: str = ""

    def add(self, *cells: str) -> None:
        self.rows.append(cells)

    def show(self, console: Console) -> None:
        table = RichTable(title=escape(self.title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for i, column in enumerate(self.columns):
            left = i == 0 or column in self.words
            table.add_column(column, justify="left" if left else "right", no_wrap=not left, overflow="fold")
        for row in self.rows:
            if len(row) == 1:
                table.add_section()
            table.add_row(*(f"[bold]{escape(c)}[/bold]" if len(row) == 1 else escape(c) for c in row))
        console.print(table)
        if self.foot:
            console.print(escape(self.foot))

    def markdown(self) -> str:
        lines = ["---" if i == 0 or c in self.words else "---:" for i, c in enumerate(self.columns)]
        rows = [(f"**{row[0]}**", *[""] * (len(self.columns) - 1)) if len(row) == 1 else row for row in self.rows]
        body = "\n".join(
            "| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in [self.columns, lines, *rows]
        )
        return f"### {self.title}\n\n{body}\n" + (f"\n{self.foot}\n" if self.foot else "")


@dataclass(frozen=True)
class Bar:
    """What was promised, what was found, and whether it is enough; met is None where it could not be measured."""

    what: str
    needed: str
    found: str
    met: bool | None

    @property
    def word(self) -> str:
        return verdict(self.met)


def verdict(met: bool | None) -> str:
    return ABSENT if met is None else "met" if met else "NOT met"


def shown(value: float | None, digits: int = 3) -> str:
    """A number to so many significant digits, never in powers of ten below a million; a dash for none."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}" if places <= digits + 4 else f"{value:.{digits - 1}e}"


def spread(values: Sequence[float], digits: int = 3) -> str:
    """min … max."""
    return f"{shown(min(values), digits)} … {shown(max(values), digits)}" if values else ABSENT


def median(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None and math.isfinite(v)]
    return statistics.median(known) if known else None


def measured_part(text: str) -> tuple[str, str]:
    """What stands before and after the measured part; ValueError unless it is marked once."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"expected one line {BEGIN} and after it one line {END}")
    return text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]


def write_measured(path: Path, measured: str) -> None:
    """Replace the marked part of a Markdown file."""
    before, after = measured_part(path.read_text(encoding="utf-8"))
    write(path, f"{before}\n\n{measured.strip()}\n\n{after}")


def write_json(path: Path, record: Any) -> None:
    write(path, json.dumps(finite(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """The same with None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(path: Path, text: str) -> None:
    """The file is replaced at once: whoever reads it sees the old one or the new one."""
    target = path.resolve()
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
