"""`moe-theory reproduce fashion`: two logistic experts on images of which half are inverted."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from moe_theory.cli.common import console, out_folder, print_json, progress_bar
from moe_theory.errors import InputError
from moe_theory.experiments.altered import STARTS
from moe_theory.experiments.fashion import DATASETS, TABLES, Found, Plan, data_of, reproduce
from moe_theory.experiments.fashion_cell import images
from moe_theory.experiments.fashion_cost import Floor, floor
from moe_theory.experiments.fashion_methods import CONTESTANTS, EVALUATIONS
from moe_theory.experiments.fashion_summary import Line, in_words, lines, ridge_in_words, ridges
from moe_theory.files import check_ours, check_writable, remade, write_atomically
from moe_theory.tables import markdown_table
from moe_theory.validation import whole_number

DEFAULTS = Plan()
QUICK = {"methods": ("em", "gd", "lbfgs"), "starts": ("kmeans", "small"), "seeds": 1, "passes": 60}
AT = 100.0  # passes after which methods are compared, beside their ends
MARKS = {"runs": "run,method,start,", "steps": "run,iteration,passes,", "seen": "run,expert,label,"}


@click.command()
@click.option("--dataset", type=click.Choice(DATASETS), default="fashion", show_default=True, help="Images.")
@click.option("--data-dir", help="Folder with Fashion-MNIST's four idx files.  [default: look for them, or download]")
@click.option("--methods", help=f"Separated by commas, of: {', '.join(CONTESTANTS)}.  [default: all]")
@click.option("--starts", help=f"Separated by commas, of: {', '.join(STARTS)}.  [default: all]")
@click.option("--seeds", type=int, help=f"Inversions and starts.  [default: {DEFAULTS.seeds}]")
@click.option("--passes", type=int, help=f"Over the data, per run.  [default: {DEFAULTS.passes}]")
@click.option("--ridge", type=float, help=f"Half of it times the sum of squares.  [default: {DEFAULTS.ridge:g}]")
@click.option("--rows", type=int, help="The first so many images only.")
@click.option("--threads", type=int, help="That a pass is shared among.  [default: the machine's cores]")
@click.option("--quick", is_flag=True, help="Three methods, two starts, one seed, 60 passes.")
@click.option("--table", "table_dir", help="No run: draw the figures from the tables in this folder.")
@click.option("--out", "out_name", help="Write the tables (runs.csv, steps.csv, seen.csv) and the figures here.")
@click.option("--markdown", "page", help="Make the measured part of this page, between its two marks, anew.")
@click.option("--store", help="Keep every finished run in this file (and one that ends in .tuning), and go on from it.")
@click.option("--jobs", type=int, default=1, show_default=True, help="Processes; more than one blur the seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def fashion(
    table_dir: str | None,
    out_name: str | None,
    page: str | None,
    store: str | None,
    jobs: int,
    as_json: bool,
    **options: Any,
) -> None:
    """EM against gradients on altered images (arXiv 2411.06056, Section 6).

    Each image is inverted with probability one half; two multinomial logistic experts under a logistic gate learn its
    class. Fashion-MNIST is taken from --data-dir, Debian's package dataset-fashion-mnist, or its home; --dataset digits
    needs nothing of that and takes about a minute. All takes about 40 minutes on two cores (--jobs 2 --threads 1).
    """
    whole_number("--jobs", jobs, least=1)
    given = {key: value for key, value in options.items() if value is not None and value is not False}
    if table_dir is not None and (set(given) - {"dataset"} or store is not None):
        other = next((key for key in given if key != "dataset"), "store").replace("_", "-")
        raise InputError(f"--table: expected no option of a run beside it, got --{other}")
    plan = None if table_dir is not None else _plan(**options)
    if plan is not None:
        images(plan.dataset, plan.folder, plan.rows)  # what is wrong with the files is said before anything is made
    for name in [store, f"{store}.tuning"] if store is not None else []:
        check_writable("--store", Path(name))
    if page is not None:
        check_writable("--markdown", Path(page))
        remade("--markdown", Path(page), "")  # what is wrong with it is said before the run
    folder = out_folder("--out", out_name) if out_name is not None else None
    for name in TABLES if folder is not None else ():
        check_ours("--out", Path(str(folder)) / f"{name}.csv", MARKS[name])
    cost: Floor | None = None
    if plan is None:
        found = Found.load(Path(str(table_dir)))
    else:
        found = _run(plan, Path(store) if store else None, jobs)
        cost = floor(data_of(plan))
    files = _write(folder, found, options["dataset"]) if folder is not None else []
    told = lines(found, AT)
    if page is not None:
        measured = "\n\n".join([markdown_table(*in_words(told)), *_chosen(found)])
        write_atomically(Path(page), remade("--markdown", Path(page), measured).encode())
    command = _command(given, table_dir)
    if as_json:
        print_json(_report(plan, found, told, cost, jobs == 1, files, command))
    else:
        _show(told, options["dataset"], cost)
        for text in _chosen(found):
            click.echo(text)
        click.echo(f"again: {command}")
    if files:
        click.echo(f"{', '.join(files)} are in {out_name}", err=as_json)


def _chosen(found: Found) -> list[str]:
    """What is said of the ridge, where it was looked at."""
    told = ridges(found)
    return [ridge_in_words(told)] if told else []


def _plan(quick: bool, data_dir: str | None, threads: int | None, **others: Any) -> Plan:
    changes: dict[str, Any] = dict(QUICK) if quick else {}
    changes |= {key: value for key, value in others.items() if value is not None}
    for name in ("methods", "starts"):
        if isinstance(changes.get(name), str):
            changes[name] = tuple(word.strip() for word in changes[name].split(","))
    changes |= {"folder": data_dir, "threads": (os.cpu_count() or 1) if threads is None else threads}
    try:
        if data_dir is not None and changes.get("dataset") == "digits":
            raise InputError(f"data-dir: expected none with the embedded digits, got {data_dir}")
        return replace(DEFAULTS, **changes)
    except InputError as error:
        raise InputError(f"--{error}") from error


def _run(plan: Plan, store: Path | None, jobs: int) -> Found:
    bar, task = progress_bar(0)

    def tell(done: int, count: int, run: Mapping[str, Any]) -> None:
        score = f"{100 * run['accuracy']:.1f}%"
        bar.update(task, completed=done, total=count, description=f"{run['method']}, {run['start']} start: {score}")

    with bar:
        return reproduce(plan, store, jobs, tell)


def _command(given: Mapping[str, Any], table: str | None) -> str:
    option = lambda key: f"--{key.replace('_', '-')}"
    words = [option(k) if v is True else f"{option(k)} {shlex.quote(str(v))}" for k, v in given.items()]
    words += [f"--table {shlex.quote(table)}"] if table is not None else []
    return " ".join(["moe-theory reproduce fashion", *words])


def _report(
    plan: Plan | None,
    found: Found,
    told: list[Line],
    cost: Floor | None,
    alone: bool,
    files: list[str],
    command: str,
) -> dict[str, Any]:
    """The documented keys: command, setting (null from a table), runs (every one at its end), summary (a line per
    method and start), ridges (a line per ridge tried on held-out training images), pass_milliseconds ({products,
    evaluation, ratio}; null from a table), em_iteration (its `evaluations`, median milliseconds, ratio to evaluations ×
    products; null where not run, or with other runs beside it), files.
    """
    return {
        "command": command,
        "setting": None if plan is None else asdict(plan),
        "runs": [asdict(run) for run in found.runs],
        "summary": [asdict(line) for line in told],
        "ridges": [asdict(line) for line in ridges(found)],
        "pass_milliseconds": None if cost is None else asdict(cost) | {"ratio": cost.ratio},
        "em_iteration": _iteration(found, cost) if cost is not None and alone else None,
        "files": files,
    }


def _iteration(found: Found, cost: Floor) -> dict[str, float] | None:
    """What an iteration of EM took, of all runs' iterations but the first."""
    runs = {run.run for run in found.shown() if run.method == "em"}
    own = [(a, b) for a, b in zip(found.steps, found.steps[1:], strict=False) if a.run == b.run and a.run in runs]
    own = [(a, b) for a, b in own if a.iteration > 0]
    if not own:
        return None
    spent = sorted(1e3 * (b.seconds - a.seconds) / (b.passes - a.passes) for a, b in own)[len(own) // 2]
    evaluations = EVALUATIONS + 1
    return {"evaluations": evaluations, "milliseconds": spent * evaluations, "ratio": spent / cost.products}


def _show(told: list[Line], dataset: str, cost: Floor | None) -> None:
    out = console()
    name = "Fashion-MNIST" if dataset == "fashion" else dataset
    title = f"Altered {name}: at the end, and after {AT:g} passes; means over the runs"
    table = Table(title=title, title_justify="left", title_style="bold")
    headings, rows = in_words(told)
    for head in headings:
        table.add_column(head, justify="left" if head in headings[:2] else "right", no_wrap=True)
    for before, row in zip([None, *rows], rows, strict=False):
        if before is not None and before[1] != row[1]:
            table.add_section()
        table.add_row(*row)
    out.print(table)
    click.echo("gate: of the test images, told inverted from plain. In brackets: the best of the steps tried (in units")
    click.echo("of 1/Λ, Λ Böhning's bound of the curvature), or of the rates.")
    if cost is not None:
        products = f"{cost.ratio:.2f} times its two matrix products ({cost.products:.1f} ms)"
        click.echo(f"A pass: {cost.evaluation:.1f} ms, {products}.")


def _write(folder: Path, found: Found, dataset: str) -> list[str]:
    """The tables, and the figures as they can be drawn from the files again; their names."""
    from moe_theory.report.drawing import save_figure
    from moe_theory.report.fashion import drawings

    found.pictured().thinned(AT).save(folder)
    names = [f"{name}.csv" for name in TABLES if (folder / f"{name}.csv").is_file()]
    for name, draw in drawings(Found.load(folder), "Fashion-MNIST" if dataset == "fashion" else dataset).items():
        names.append(f"{name}.png")
        save_figure(draw(), folder / names[-1])
    return names
