"""The tensor method against EM from random starts, three, four and six experts.

Every cell (k, d, n, truth) is one draw with all methods on it; with --store a killed sweep goes on where it was.

    python -m benchmarks.gridlock --store gridlock.jsonl --table docs/gridlock.csv   # half an hour on one core
    python -m benchmarks.gridlock --quick                                            # less than a minute
    python -m benchmarks.gridlock --read docs/gridlock.csv --figure docs/gridlock.png --markdown docs/gridlock.md

The last makes the figure and the page's tables again from the committed table, without a run.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.gridlock.cells import FULL, QUICK, cells, work
from moe_theory.errors import InputError
from moe_theory.gridlock.methods import METHODS, Outcome
from moe_theory.gridlock.table import Summary, markdown, read_table, summarise, write_table
from moe_theory.report.gridlock import gridlock_figure
from moe_theory.sweeps import sweep

BEGIN, END = "<!-- measured -->", "<!-- /measured -->"


def measured(quick: bool, store: Path | None, jobs: int) -> list[Summary]:
    """The sweep, summarised."""
    wanted = cells(QUICK if quick else FULL)
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("draws", total=len(wanted))
        results = sweep(work, wanted, store, {"what": "gridlock"}, jobs, lambda *_: progress.advance(task))
    found: dict[tuple[int, int, int], list[list[Outcome]]] = defaultdict(list)
    for cell, outcomes in zip(wanted, results, strict=True):
        found[cell["k"], cell["d"], cell["n"]].append([Outcome(**outcome) for outcome in outcomes])
    return summarise(found)


def show(rows: list[Summary], console: Console) -> None:
    """Success rates and errors, size by size."""
    table = Table("k", "d", "n", "method", "success", "95%", "truths", "rms of â - a: quartiles", "iterations", "s")
    for row in rows:
        errors = f"{row.error_q25:.4f}  {row.error_median:.4f}  {row.error_q75:.4f}"
        interval = f"{100 * row.low:.0f} … {100 * row.high:.0f}%"
        reached = f"{row.truths_reached}/{row.truths}"
        size: list[Any] = [row.k, row.d, row.n]
        cost = [f"{row.iterations:.0f}", f"{row.seconds:.2f}"]
        label = METHODS[row.method].label
        table.add_row(*map(str, size), label, f"{row.successes}/{row.runs}", interval, reached, errors, *cost)
    console.print(table)


def rewrite(path: Path, text: str) -> None:
    """Replace what stands between the two marks of a Markdown file; InputError without them."""
    try:
        before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    except OSError as error:
        raise InputError(f"--markdown: expected a file that can be read, got {path}") from error
    _, end, after = rest.partition(END)
    if not end:
        raise InputError(f"--markdown: expected the marks {BEGIN} and {END} in {path}")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="benchmarks.gridlock", description=__doc__, formatter_class=raw)
    parser.add_argument("--quick", action="store_true", help="a few draws of small sizes")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--store", type=Path, metavar="FILE", help="keep every finished draw, and go on from it")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the table here (CSV)")
    parser.add_argument("--read", type=Path, metavar="FILE", help="no run: read this table instead")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the figure here")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the measured part of this file")
    options = parser.parse_args()
    try:
        rows = read_table(options.read) if options.read else measured(options.quick, options.store, options.jobs)
        show(rows, Console(width=None if sys.stdout.isatty() else 140))
        if options.table:
            write_table(rows, options.table)
            rows = read_table(options.table)  # what is drawn and printed from it is what can be again
        if options.markdown:
            rewrite(options.markdown, markdown(rows))
        if options.figure:
            gridlock_figure(rows).savefig(options.figure, dpi=300)
    except InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
