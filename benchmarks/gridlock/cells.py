"""What is run: cells (k, d, n, truth), one draw each with all methods and starts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from moe_theory.gridlock.draws import Draw
from moe_theory.gridlock.methods import RANDOM, Contest, Outcome
from moe_theory.sweeps import Cell

#: (k, d, n): (truths, random starts for each)
FULL = {
    **{(k, 10, n): (14, 3) for k in (3, 4) for n in (300, 500, 1000, 3000)},
    **{(k, 10, 10_000): (6, 2) for k in (3, 4)},
    **{(k, 10, 100_000): (4, 1) for k in (3, 4)},
    **{(6, 20, n): (6, 2) for n in (1000, 2000)},
    (6, 20, 4000): (5, 2),
    (6, 20, 10_000): (3, 1),
}
QUICK = {(k, 10, n): (2, 2) for k in (3, 4) for n in (500, 3000)}
GRADIENT_ROWS = 10_000  # gradient EM has one start, and is left out above: 400 iterations take long


def cells(table: dict[tuple[int, int, int], tuple[int, int]]) -> list[dict[str, Any]]:
    """In an order in which an unfinished sweep has the same part of every size."""
    found = [
        {"k": k, "d": d, "n": n, "truth": truth, "starts": starts}
        for (k, d, n), (truths, starts) in table.items()
        for truth in range(truths)
    ]
    return sorted(found, key=lambda c: c["truth"] / table[c["k"], c["d"], c["n"]][0])


def work(cell: Cell) -> list[dict[str, Any]]:
    """The outcomes of all methods on one draw."""
    contest = Contest(Draw.of(cell["k"], cell["d"], cell["n"], cell["truth"]))
    found: list[Outcome] = [contest.maximum, contest.tensor(), contest.tensor_em(), contest.tensor_em_given()]
    for name in RANDOM:
        starts = cell["starts"] if name != "gradient" else int(cell["n"] <= GRADIENT_ROWS)
        found += [contest.from_random(name, start) for start in range(starts)]
    return [asdict(outcome) for outcome in found]
