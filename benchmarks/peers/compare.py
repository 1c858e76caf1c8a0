"""This package against its peers: where EM ends from the same starts, seconds per iteration, memory, cost in k.

    python benchmarks/peers/compare.py --json peers.json --markdown docs/peers.md

Nothing after --sets: no data sets; nothing after --n: no timings. R or a package that is absent: its rows are left out.
Exit code 1 if a bar is not met. What it all means: docs/peers.md.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from machine import environment

from peers import clock, likelihoods, memory
from peers.contestants import Contestant
from peers.field import peers
from peers.ours import Ours
from peers.problems import DataSet, catalogue
from peers.tables import Bar, Table, measured_part, write_json, write_measured

OURS = (Ours(), Ours(one_step=True))
LEAST = 1000  # rows of a timed problem
Report = tuple[list[Table], list[Bar], dict[str, Any]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="*", metavar="NAME", help="data sets (default: all)")
    parser.add_argument("--starts", type=int, default=3, help="starts per data set (default: 3)")
    parser.add_argument("--max-iterations", type=int, default=1000, help="of every run (default: 1000)")
    parser.add_argument("--n", type=int, nargs="*", default=[100_000, 1_000_000], help="rows of the timed problems")
    parser.add_argument("--rounds", type=int, default=7, help="turns of every contestant (default: 7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the measured part of this file")
    options = parser.parse_args()
    if min(options.starts, options.max_iterations, options.rounds) < 1 or min(options.n, default=LEAST) < LEAST:
        parser.error(f"expected whole numbers of at least 1, and --n of at least {LEAST}")
    sets = chosen(parser, catalogue(), options.sets)
    check_files(parser, options.json, options.markdown)
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    where = environment() | {"r": r_versions()}
    head = [", ".join(f"{name} {number}" for name, number in (where["versions"] | where["r"]).items())]
    threads = where["blas_threads"] or "unknown number of"
    head.append(f"{where['machine']}, {where['cpus']} CPUs, load {where['load']}, {threads} BLAS threads")
    gone = {p.name: why for p in peers() if (why := p.available()) is not None}
    head += [f"{name}: left out, {why}" for name, why in gone.items()]
    console.print("\n".join(head))
    here = [p for p in peers() if p.name not in gone]
    tables: list[Table] = []
    bars: list[Bar] = []
    record = where | {"absent": gone, "arguments": {k: str(v) for k, v in vars(options).items()}}
    for tables_made, bars_made, figures in parts(options, sets, here):
        for table in tables_made:
            console.print()
            table.show(console)
        tables, bars, record = tables + tables_made, bars + bars_made, record | figures
        record["bars"] = [asdict(b) for b in bars]
        if options.json is not None:
            write_json(options.json, record)
    table = verdicts(bars)
    console.print()
    table.show(console)
    if options.markdown is not None:
        said = [Path(a).name if Path(a).is_absolute() else a for a in sys.argv[1:]]  # no folder of this machine
        command = f"`{shlex.join(['python', 'benchmarks/peers/compare.py', *said])}`"
        lines = [f"- {line}" for line in (command, *head)]
        write_measured(options.markdown, "\n".join([*lines, "", *(t.markdown() for t in (table, *tables))]))
    return int(any(b.met is False for b in bars))


def parts(options: argparse.Namespace, sets: Sequence[DataSet], here: Sequence[Contestant]) -> Iterator[Report]:
    """What there is to measure, each part when it is done."""
    if sets:
        able = [sum(c.supports(d.problems(1)[0]) is None for c in (*OURS, *here)) for d in sets]
        with progress(sum(1 + options.starts * count for count in able)) as ran:
            compare = partial(likelihoods.compare, ours=OURS, peers=here, starts=options.starts, ran=ran)
            found = [compare(d, most=options.max_iterations) for d in sets]
        tables = [likelihoods.summary(found), likelihoods.details(found), likelihoods.words(found)]
        yield tables, [likelihoods.bar(found)], {"sets": likelihoods.record(found)}
    if options.n:
        whats = [memory.FIT, *(c.name for c in memory.in_process())]
        timings: list[clock.Timing] = []
        measured: list[memory.Memory] = []
        with progress(None) as ran:
            for n in options.n:
                timings += clock.take_turns(n, options.rounds, here, ran)
                for what in whats:
                    measured += memory.measure(what, n)
                    ran(f"n {n:,}, memory of {what}")
        tables = [clock.speed_table(timings, here), clock.memory_table(measured, timings)]
        bars = [*clock.speed_bars(timings, peers()), *clock.memory_bars(options.n, measured)]
        yield tables, bars, {"timings": list(map(asdict, timings)), "memory": list(map(asdict, measured))}
    with progress(len(clock.LABELS) * options.rounds) as ran:
        costs = clock.costs(options.rounds, ran)
    yield [clock.cost_table(costs)], [clock.cost_bar(costs)], {"costs": list(map(asdict, costs))}


def verdicts(bars: Sequence[Bar]) -> Table:
    """Every bar, from the numbers of this run."""
    table = Table("Bars", ("what", "needed", "found", "verdict"), words=("needed", "found", "verdict"))
    for b in bars:
        table.add(b.what, b.needed, b.found, b.word if b.met is not None else "not measured")
    return table


def chosen(parser: argparse.ArgumentParser, known: list[DataSet], names: list[str] | None) -> list[DataSet]:
    """The data sets of these names, all for None."""
    if names is None:
        return known
    by_name = {d.name.lower(): d for d in known}
    for name in names:
        if name.lower() not in by_name:
            parser.error(f"--sets: no {name!r} here (sets from R need R); there are {'; '.join(d.name for d in known)}")
    return [by_name[name] for name in dict.fromkeys(name.lower() for name in names)]


def check_files(parser: argparse.ArgumentParser, json: Path | None, markdown: Path | None) -> None:
    """Before minutes are spent: can the results be written?"""
    if json is not None and not json.resolve().parent.is_dir():
        parser.error(f"--json: no folder {json.resolve().parent}")
    if markdown is not None:
        try:
            measured_part(markdown.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            parser.error(f"--markdown: {markdown}: {error}")


def r_versions() -> dict[str, str]:
    """Of R and the packages that are here."""
    if shutil.which("Rscript") is None:
        return {}
    code = """cat("R", as.character(getRversion()), "\\n")
    for (p in c("flexmix", "mixtools", "nnet")) if (requireNamespace(p, quietly = TRUE))
      cat(p, as.character(packageVersion(p)), "\\n")"""
    ended = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=False)
    return dict(line.split()[:2] for line in ended.stdout.splitlines() if len(line.split()) >= 2)


@contextmanager
def progress(total: int | None) -> Iterator[Any]:
    """A line on stderr, at a terminal only; yields what is told of every step."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.completed:.0f}" + ("" if total is None else f" of {total}")),
        TextColumn("{task.description}"),
    )
    bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not sys.stderr.isatty())
    with bar:
        task = bar.add_task("", total=total)
        yield lambda what: bar.update(task, advance=1, description=what)


if __name__ == "__main__":
    sys.exit(main())
