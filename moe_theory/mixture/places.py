"""How messages call the data and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moe_theory.datasets.reading import USUAL, Reading
from moe_theory.validation import Array

SHOWN = 5  # rows named in a message


@dataclass(frozen=True)
class Places:
    """The data's name; its rows by number from 0 or by their lines in a file; how that was read."""

    name: str = "data"
    lines: Sequence[int] | None = None
    reading: Reading = USUAL

    def of(self, rows: Sequence[int] | Array) -> str:
        """row 3; rows 3, 5, 8; lines 5, 7, 10, …"""
        unit = "row" if self.lines is None else "line"
        shown = [str(r if self.lines is None else self.lines[r]) for r in rows[:SHOWN]]
        return f"{unit}{'s' if len(rows) > 1 else ''} {', '.join(shown)}{', …' if len(rows) > SHOWN else ''}"


DATA, FRAME = Places(), Places("frame")
