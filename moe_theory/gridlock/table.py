"""The table of the comparison: one row per cell and method, as a CSV file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moe_theory.gridlock.intervals import clustered
from moe_theory.gridlock.methods import METHODS, Outcome
from moe_theory.tables import markdown_table, read_rows, write_rows


@dataclass(frozen=True)
class Summary:
    """Runs of one method on one (k, d, n), over `truths` truths and `runs` runs in all.

    successes, rate: runs that end in the basin of the maximum (`Outcome.success`); low, high: 95% interval of the rate,
    over truths (`clustered`). truths_reached: with at least one success. agree: runs of which the distance to the
    maximum says the same. error_q25, error_median, error_q75: over runs, of the rms of â - a; a run without a result
    counts as infinite. louis: median of Louis' standard errors' rms. iterations, seconds: medians. capped: runs that
    stopped at the most iterations; refused: without a result.
    """

    k: int
    d: int
    n: int
    method: str
    m_step: str
    sigma: str
    truths: int
    runs: int
    successes: int
    rate: float
    low: float
    high: float
    truths_reached: int
    agree: int
    error_q25: float
    error_median: float
    error_q75: float
    louis: float
    iterations: float
    seconds: float
    capped: int
    refused: int

    @classmethod
    def of(cls, k: int, d: int, n: int, method: str, by_truth: Sequence[Sequence[Outcome]]) -> Summary:
        """From the outcomes of one method, for each truth at least one."""
        runs = [o for outcomes in by_truth for o in outcomes]
        wins = np.array([sum(o.success for o in outcomes) for outcomes in by_truth])
        errors = [np.inf if np.isnan(o.error) else o.error for o in runs]
        quartiles = np.quantile(errors, [0.25, 0.5, 0.75], method="inverted_cdf")
        low, high = clustered(wins, np.array([len(outcomes) for outcomes in by_truth]))
        return cls(
            k,
            d,
            n,
            method,
            METHODS[method].m_step,
            METHODS[method].sigma,
            len(by_truth),
            len(runs),
            int(wins.sum()),
            float(wins.sum() / len(runs)),
            low,
            high,
            int(np.sum(wins > 0)),
            sum(o.consistent for o in runs),
            float(quartiles[0]),
            float(quartiles[1]),
            float(quartiles[2]),
            float(np.median([o.louis for o in runs])),
            float(np.median([o.iterations for o in runs])),
            float(np.median([o.seconds for o in runs])),
            sum(o.reason == "max_iterations" for o in runs),
            sum(o.reason == "refused" for o in runs),
        )


def summarise(found: Mapping[tuple[int, int, int], Iterable[Sequence[Outcome]]]) -> list[Summary]:
    """Rows in the order of METHODS; found: (k, d, n) to the outcomes of all methods on each truth."""
    rows = []
    for (k, d, n), truths in sorted(found.items()):
        draws = list(truths)
        for method in METHODS:
            by_truth = [own for outcomes in draws if (own := [o for o in outcomes if o.method == method])]
            if by_truth:
                rows.append(Summary.of(k, d, n, method, by_truth))
    return rows


def write_table(rows: Sequence[Summary], path: Path) -> None:
    """Four digits; `read_table` has them back."""
    write_rows(path, rows, digits=4)


def read_table(path: str | Path) -> list[Summary]:
    """What `write_table` wrote; InputError for another file."""
    return read_rows(path, Summary)


def markdown(rows: Sequence[Summary]) -> str:
    """Two tables, sizes by methods: runs that reach the basin of the maximum with the 95% interval of their rate in per
    cent; medians of the rms of â - a, in thousandths."""
    by_size: dict[tuple[int, int, int], dict[str, Summary]] = {(row.k, row.d, row.n): {} for row in rows}
    for row in rows:
        by_size[row.k, row.d, row.n][row.method] = row
    counted = [m for m in METHODS if m not in ("mle", "tensor")]
    success = lambda row: f"{row.successes}/{row.runs} ({100 * row.low:.0f}–{100 * row.high:.0f})"
    error = lambda row: f"{1000 * row.error_median:.3g}"
    return "\n\n".join(_lines(by_size, methods, show) for methods, show in ((counted, success), (list(METHODS), error)))


def _lines(
    by_size: Mapping[tuple[int, int, int], Mapping[str, Summary]], methods: list[str], show: Callable[[Summary], str]
) -> str:
    rows = [
        [str(k), str(d), f"{n:,}", *(show(own[m]) if m in own else "–" for m in methods)]
        for (k, d, n), own in by_size.items()
    ]
    return markdown_table(["k", "d", "n", *(METHODS[m].label for m in methods)], rows)
