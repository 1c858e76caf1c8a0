"""Certified bounds against an adversary: random data sets and regions, and 50 digits to judge by.

For each pair the package bounds λ_max(M), the curvature of A, the gradient and what follows from them. The adversary
climbs in floats from several starts; its points are then judged in ball arithmetic at 170 bits (51 digits) by formulas
of its own, written out by hand for each model: λ_upper ∇²A - I_{z|x,y} has to be positive definite there. One that is
proved not to be is a violation, and the run ends with exit code 1. So do a stationary point outside of what encloses
it and an EM iteration that contracts more slowly than it should.

    python benchmarks/soundness/campaign.py --pairs 10000 --store soundness.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from threadpoolctl import threadpool_limits

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from soundness.examine import Record, examine
from soundness.problems import problem

NOTABLE = 1e-3  # a λ_max below it is not counted in the table of how tight the bounds are
EM_SHARE = 4  # every so many of the pairs with a basin


def summary(console: Console, records: Sequence[Record]) -> None:
    """Counts and tightness."""
    table = Table("method", "cuts", "pairs", "bounded", "< 1", "basins", "median", "90 %", "99 %", "largest")
    for column in table.columns[1:]:
        column.justify = "right"
    for method in ("worst-case", "taylor"):
        for cuts in (0, 1, 2):
            own = [r for r in records if r.method == method and r.cuts == cuts]
            if own:
                table.add_row(method, str(cuts), *_row(own))
    for low, high in ((1e-6, 1e-4), (1e-4, 1e-2), (1e-2, 0.1), (0.1, 0.5), (0.5, 3.0)):
        own = [r for r in records if low <= r.radius < high]
        if own:
            table.add_row(f"radius {low:g} … {high:g}", "", *_row(own))
    table.add_row("all", "", *_row(records))
    table.title = f"λ_upper over the largest λ_max found, where that is {NOTABLE:g} or more"
    console.print(table)
    ratio = lambda pairs: [b / a for a, b in pairs if a > 0]
    parts = {
        "what was found over μ": [1 / r.lower for r in records if r.lower and r.lower > 0],
        "ν over what was found": [r.upper for r in records if r.upper],
        "ε over the gradient (where above 1e-12)": ratio(
            r.gradient for r in records if r.gradient and r.gradient[0] > 1e-12
        ),
        "e over the distance of θ̂": ratio(r.distance for r in records if r.distance),
    }
    for name, values in parts.items():
        if values:
            v = np.array(values)
            quantiles = ", ".join(f"{q:.6g}" for q in np.quantile(v, [0.0, 0.5, 0.9, 1.0]))
            console.print(f"{name}: {len(v)} pairs; least, median, 90 %, largest {quantiles}")
    bad = [r for r in records if r.violations]
    refused = sum(bool(r.refused) for r in records)
    console.print(
        f"{len(records)} pairs, {refused} refused, {sum(r.lambda_upper is not None for r in records)} bounded,"
        f" {sum(r.distance is not None for r in records)} with a stationary point,"
        f" {sum(r.em > 0 for r in records)} with EM followed, {sum(r.undecided for r in records)} verdicts open,"
        f" {len(bad)} with violations"
    )
    for r in bad[:20]:
        console.print(f"pair {r.index}: {r.kind}, {r.method}, {'; '.join(r.violations)}")


def _row(records: Sequence[Record]) -> list[str]:
    bounded = [r for r in records if r.lambda_upper is not None and (r.lambda_found or 0) >= NOTABLE]
    counts = [
        len(records),
        sum(r.lambda_upper is not None for r in records),
        sum(r.lambda_upper is not None and r.lambda_upper < 1 for r in records),
        sum(bool(r.basin_radius) for r in records),
    ]
    if not bounded:
        return [*map(str, counts), *["–"] * 4]
    tight = np.array([r.lambda_upper / r.lambda_found for r in bounded])  # type: ignore[operator]
    return [*map(str, counts), *(f"{q:.5g}" for q in np.quantile(tight, [0.5, 0.9, 0.99, 1.0]))]


def stored(path: Path | None, seed: int) -> dict[int, Record]:
    """What an earlier run with this seed left."""
    if path is None or not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    own = [line for line in lines if line.pop("seed") == seed]
    return {line["index"]: Record(**line) for line in own}


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--pairs", type=int, default=10_000, help="number of pairs")
    parser.add_argument("--first", type=int, default=0, help="the first pair's number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", type=Path, metavar="FILE", help="one JSON line per pair; what is there is kept")
    options = parser.parse_args()
    if min(options.pairs, options.seed + 1, options.first + 1) < 1:
        parser.error("expected --pairs of at least 1, --seed and --first of at least 0")
    console = Console(width=None if sys.stdout.isatty() else 120)
    known = stored(options.store, options.seed)
    wanted = range(options.first, options.first + options.pairs)
    missing = [i for i in wanted if i not in known]
    store = options.store.open("a") if options.store else None
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        for index in progress.track(missing):
            record = examine(problem(options.seed, index), em=index % EM_SHARE == 0)
            known[index] = record
            if store is not None:
                store.write(json.dumps({"seed": options.seed, **asdict(record)}) + "\n")
                store.flush()
    records = [known[i] for i in wanted]
    summary(console, records)
    if any(r.violations for r in records):
        sys.exit(1)


if __name__ == "__main__":
    with threadpool_limits(limits=1), np.errstate(all="ignore"):  # some data sets overflow on purpose
        main()
