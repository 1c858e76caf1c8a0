"""Tables that show themselves in a notebook: numbers rounded alike, LaTeX between dollar signs left to the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from moe_theory.claims.audit import Audited
from moe_theory.claims.claim import Result
from moe_theory.errors import InputError
from moe_theory.validation import whole_number


@dataclass(frozen=True)
class Listing:
    """Headings and rows of text; prints in columns, shows as an HTML table."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def _repr_html_(self) -> str:
        line = lambda cells, tag: "".join(f'<{tag} style="text-align:left">{escape(c)}</{tag}>' for c in cells)
        body = "\n".join(f"<tr>{line(row, 'td')}</tr>" for row in self.rows)
        return f"<table>\n<thead><tr>{line(self.headings, 'th')}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"

    def __repr__(self) -> str:
        lines = [self.headings, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.headings))]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], digits: int = 6) -> Listing:
    """A table of rows as long as `headings`; floats to so many significant digits. InputError for a row that is not.

    >>> table(["t", "gap"], [(0, 0.5), (1, 1 / 3)], digits=3)
    t  gap
    0  0.5
    1  0.333
    """
    digits = whole_number("digits", digits, least=1)
    shown = []
    for i, row in enumerate(rows):
        if len(row) != len(headings):
            raise InputError(f"rows: expected {len(headings)} cells, one per heading, got {len(row)} in row {i}")
        shown.append(tuple(_text(cell, digits) for cell in row))
    return Listing(tuple(headings), tuple(shown))


def verdict_table(results: Iterable[Result]) -> Listing:
    """What `verify` found, a row per claim: its id, statement and verdict, and on what the verdict rests or falls."""
    rows = [(r.claim.id, r.claim.statement, r.verdict, _rests_on(r)) for r in results]
    return table(["claim", "statement", "verdict", "evidence"], rows)


def audit_table(found: Iterable[Audited]) -> Listing:
    """An audit, two rows per claim: the statement as printed with what became of it, and the one that corrects it."""
    rows = []
    for a in found:
        rows.append((a.claim.id, "as printed", a.printed.statement, a.as_printed.verdict))
        rows.append(("", "as it holds", a.claim.statement, a.corrected.verdict))
    return table(["claim", "", "statement", "verdict"], rows)


def _rests_on(result: Result) -> str:
    against = result.outcome.against
    if against is not None:
        return f"against: {against.what}"
    kinds = {
        "identity": ("identity", "identities"),
        "bound": ("proved bound", "proved bounds"),
        "estimate": ("numeric check", "numeric checks"),
    }
    counts = {names: sum(e.kind == kind for e in result.evidence) for kind, names in kinds.items()}
    return ", ".join(f"{count} {names[count > 1]}" for names, count in counts.items() if count)


def _text(cell: Any, digits: int) -> str:
    if isinstance(cell, bool | np.bool_):
        return "yes" if cell else "no"
    return f"{float(cell):.{digits}g}" if isinstance(cell, float | np.floating) else str(cell)
