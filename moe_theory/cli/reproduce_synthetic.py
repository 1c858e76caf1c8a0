"""`moe-theory reproduce synthetic`: EM against gradient EM and gradient descent."""

from __future__ import annotations

import math
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from moe_theory.cli.common import console, numbers, out_folder, print_json, progress_bar
from moe_theory.errors import InputError
from moe_theory.experiments.methods import METHODS
from moe_theory.experiments.synthetic import Plan, Tables, curves_beside
from moe_theory.experiments.synthetic import synthetic as run_all
from moe_theory.experiments.synthetic_summary import Summary, best_methods, markdown, summarise
from moe_theory.files import check_ours, check_writable, remade, write_atomically
from moe_theory.validation import whole_number

QUICK = Plan(betas=(4.0,), seeds=1, starts=("near", "1"), rows=1000, dimension=3, passes=150, population=6, nats=7.0)
TABLE = "synthetic.csv"
MARK = "run,law,model,"  # how our own table begins
DEFAULTS = Plan()


@click.command()
@click.option("--model", "model", help="One of the symmetric models; default: both.")
@click.option("--snr", help="‖β*‖: numbers, or LOW:HIGH:COUNT.  [default: 0.5,1,2,4]")
@click.option("--gate", type=float, help=f"‖w*‖.  [default: {DEFAULTS.gate:g}]")
@click.option("--angle", type=float, help=f"Between β* and w*, in degrees.  [default: {DEFAULTS.angle:g}]")
@click.option("--stretch", type=float, help="Ratio of the features' scales.  [default: 1]")
@click.option("--seeds", type=int, help=f"Samples per truth.  [default: {DEFAULTS.seeds}]")
@click.option("--starts", help="Kinds of starts: near, or lengths of β and w.  [default: near,0.1,1]")
@click.option("--rows", type=int, help=f"Of a sample.  [default: {DEFAULTS.rows}]")
@click.option("--dimension", type=int, help=f"Features.  [default: {DEFAULTS.dimension}]")
@click.option("--passes", type=int, help=f"Passes over the rows for every run.  [default: {DEFAULTS.passes}]")
@click.option("--population", type=int, help=f"Iterations there, 0: none.  [default: {DEFAULTS.population}]")
@click.option("--quick", is_flag=True, help="One small sample per model, a few iterations on the population.")
@click.option("--table", "table_file", help="No run: draw the figures from this table (synthetic.csv).")
@click.option(
    "--out", "out_name", help="Write the tables, synthetic.csv and synthetic-curves.csv, and the figures here."
)
@click.option("--markdown", "page", help="Make the measured part of this page, between its two marks, anew.")
@click.option("--store", help="Keep every finished sample in this file, and go on from it.")
@click.option("--jobs", type=int, default=1, show_default=True, help="Processes; only the seconds depend on it.")
@click.option("--seed", type=int, help="Of the first sample and its starts.  [default: 0]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def synthetic(
    table_file: str | None,
    out_name: str | None,
    page: str | None,
    store: str | None,
    jobs: int,
    as_json: bool,
    **options: Any,
) -> None:
    """EM against gradient EM and gradient descent on the symmetric models (arXiv 2411.06056, Section 6).

    x ~ N(0, I); likelihood gap and error modulo symmetry against iterations, passes over the rows and seconds; the
    contractions that theory predicts laid over; population beside sample.
    """
    whole_number("--jobs", jobs, least=1)
    given = {key: value for key, value in options.items() if value is not None and value is not False}
    plan = None
    if table_file is None:
        plan = _plan(**options)
    elif given or store is not None:
        other = next(iter(given), "store")
        raise InputError(f"--table: expected no option of a run beside it, got --{other}")
    if store is not None:
        check_writable("--store", Path(store))
    if page is not None:
        check_writable("--markdown", Path(page))
        remade("--markdown", Path(page), "")  # what is wrong with it is said before the run
    folder = out_folder("--out", out_name) if out_name is not None else None
    if folder is not None:
        check_ours("--out", folder / TABLE, MARK)
        check_ours("--out", curves_beside(folder / TABLE), "run,iteration,passes,")
    if plan is None:
        tables = Tables.read(Path(str(table_file)))
    else:
        cells = plan.cells()
        bar, task = progress_bar(len(cells))
        with bar:
            tell = lambda index, _: bar.update(task, advance=1, description=_where(cells[index]))
            tables = run_all(plan, Path(store) if store else None, jobs, tell)
    files = _write(folder, tables) if folder is not None else []
    rows = summarise(tables)
    if page is not None:
        write_atomically(Path(page), remade("--markdown", Path(page), markdown(rows)).encode())
    command = _command(given, table_file)
    if as_json:
        print_json(_report(plan, tables, rows, files, command))
    else:
        _show(tables, rows)
        click.echo(f"again: {command}")
    if files:
        click.echo(f"{', '.join(files)} are in {out_name}", err=as_json)


def _plan(quick: bool, model: str | None, snr: str | None, starts: str | None, **others: float | int | None) -> Plan:
    """The defaults (or those of --quick) with what is given."""
    plan = QUICK if quick else DEFAULTS
    changes: dict[str, Any] = {key: value for key, value in others.items() if value is not None}
    if model is not None:
        changes["models"] = (model,)
    if snr is not None:
        changes["betas"] = tuple(numbers("--snr", snr))
    if starts is not None:
        changes["starts"] = tuple(kind.strip() for kind in starts.split(","))
    try:
        return replace(plan, **changes)
    except InputError as error:
        raise InputError(f"--{error}") from error


def _where(cell: dict[str, Any]) -> str:
    return f"{cell['model']}, {cell['law']}, ‖β*‖ = {cell['beta']:g}"


def _command(given: dict[str, Any], table: str | None) -> str:
    words = [f"--{key}" if value is True else f"--{key} {shlex.quote(str(value))}" for key, value in given.items()]
    words += [f"--table {shlex.quote(table)}"] if table is not None else []
    return " ".join(["moe-theory reproduce synthetic", *words])


def _report(plan: Plan | None, tables: Tables, rows: list[Summary], files: list[str], command: str) -> dict[str, Any]:
    """The documented keys: command, setting (None from a table), runs (how many), summary (a list; numbers that are not
    finite are null), best ({unit: [{model, beta, method}]}), maxima (per sample: found or none), files."""
    none = lambda value: None if isinstance(value, float) and not math.isfinite(value) else value
    units = ("iterations", "passes", "seconds")
    best = {unit: best_methods(rows, unit) for unit in units}
    return {
        "command": command,
        "setting": None if plan is None else asdict(plan),
        "runs": len(tables.runs),
        "summary": [{key: none(value) for key, value in asdict(row).items()} for row in rows],
        "best": {
            unit: [{"model": m, "beta": b, "method": name} for (m, b), name in found.items()]
            for unit, found in best.items()
        },
        "maxima": [
            {"model": r.model, "beta": r.beta, "seed": r.seed, "maximum": r.end, "lambda_max": none(r.predicted)}
            for r in tables.runs
            if r.method == "mle"
        ],
        "files": files,
    }


def _show(tables: Tables, rows: list[Summary]) -> None:
    out = console()
    for model in dict.fromkeys(row.model for row in rows):
        title = f"{model}: to a gap of 1e-8 nats per row, medians over runs"
        table = Table(title=title, title_justify="left", title_style="bold")
        heads = ("‖β*‖", "method", "there", "leads", "iter.", "passes", "ms", "predicted", "measured")
        for head in heads:
            table.add_column(head, justify="left" if head == "method" else "right", no_wrap=True)
        last = None
        for row in rows:
            if (row.model, row.law) != (model, "sample"):
                continue
            if last not in (None, row.beta):
                table.add_section()
            best = f" ({row.step:.3g}/λ)" if math.isfinite(row.step) else ""
            table.add_row(
                f"{row.beta:g}" if last != row.beta else "",
                METHODS[row.method].label + best,
                f"{row.reached}/{row.runs}",
                f"{row.leads}/{row.runs}",
                _number(row.iterations, "g"),
                _number(row.passes, "g"),
                _number(1e3 * row.seconds, ".0f"),
                _number(row.predicted, ".4f"),
                _number(row.measured, ".4f"),
            )
            last = row.beta
        out.print(table)
    click.echo("predicted, measured: contraction of the iterates near the maximum, medians.")
    click.echo("there: within the passes; leads: there, near the maximum, or led there by accelerated EM from the end.")
    for run in tables.runs:
        if run.method == "mle" and run.end == "none":
            click.echo(f"{run.model}, ‖β*‖ = {run.beta:g}, seed {run.seed}: no maximum found ({run.reason}); left out")


def _number(value: float, form: str) -> str:
    return f"{value:{form}}" if math.isfinite(value) else "–"


def _write(folder: Path, tables: Tables) -> list[str]:
    """The tables, and the figures as they can be drawn from the files again; their names."""
    from moe_theory.report.drawing import save_figure
    from moe_theory.report.synthetic import synthetic_figures

    path = folder / TABLE
    tables.write(path)
    names = [TABLE, curves_beside(path).name]
    for name, figure in synthetic_figures(Tables.read(path)).items():
        names.append(f"{name}.png")
        save_figure(figure, folder / names[-1])
    return names
