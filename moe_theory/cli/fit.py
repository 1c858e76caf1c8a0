"""`moe-theory fit DATA.csv`: a mixture of experts fitted to a user's data."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich import box
from rich.table import Table as Sheet

from moe_theory.cli.common import console, own_files, print_json, progress_bar
from moe_theory.cli.fit_table import Made, by_columns, by_formula
from moe_theory.cli.reading import reads_tables
from moe_theory.datasets.reading import Reading
from moe_theory.datasets.table import read_csv
from moe_theory.errors import DegenerateError, InputError
from moe_theory.evaluation import Penalty
from moe_theory.files import IMAGES, write_all
from moe_theory.mixture.fit import STARTS, TOLERANCE, MixtureFit, fit_problem
from moe_theory.mixture.formula import FormulaFit
from moe_theory.mixture.problem import INTERCEPT
from moe_theory.mixture.summary import by_row, plain, report, report_without_fit, summary
from moe_theory.mixture.terms import Terms
from moe_theory.structure import FAMILIES
from moe_theory.validation import Array, whole_number

FILES: dict[str, tuple[str, ...]] = {"figure": IMAGES, "trace_figure": IMAGES, "out": ()}
ASKED = (
    *("formula", "response", "weights", "offset", "restarts", "starts", "seed"),
    *("ridge", "ridge_intercepts", "sigma_floor", "accelerate"),
)
CRITERIA = ("log_likelihood", "parameters", "aic", "bic", "icl")


@click.command()
@click.argument("data_file", metavar="DATA.csv")
@click.option("--formula", help="\"y ~ x1 + x2 | w1\": experts' features, then the gate's (needs formulaic).")
@click.option("--response", help="Column of the response (instead of a formula).")
@click.option("--features", help="Columns of the experts, by commas; default: all that no other option names.")
@click.option("--gate-features", help="Columns of the gate, by commas; default: the experts'.")
@click.option("--weights", help="Column that says how many rows each row stands for.")
@click.option("--offset", help="Column added to every expert's linear predictor.")
@click.option("--experts", default="2", show_default=True, help="How many, or LOW:HIGH: the least BIC is chosen.")
@click.option("--family", default="gaussian", show_default=True, help=f"Of the experts: {', '.join(FAMILIES)}.")
@click.option("--common-sigma", is_flag=True, help="One standard deviation for all gaussian experts.")
@click.option(
    "--ridge", type=float, default=0.0, help="λ: adds λ/2 times the squared slopes to -log-likelihood per row."
)
@click.option("--ridge-intercepts", type=float, default=0.0, help="The same on intercepts, as a share of λ.")
@click.option("--sigma-floor", type=float, default=0.0, help="Least standard deviation of gaussian experts.")
@click.option("--restarts", type=int, default=8, show_default=True, help="Starts of EM.")
@click.option("--starts", default=",".join(STARTS), show_default=True, help="Kinds of starts, by turns.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the starts.")
@click.option("--accelerate", is_flag=True, help="SQUAREM instead of plain EM.")
@click.option("--max-iterations", type=int, default=10_000, show_default=True)
@click.option("--tolerance", type=float, default=TOLERANCE, show_default=True, help="On the gradient's dual norm.")
@click.option("--figure", help="Save a figure of the fit as .png, .svg or .pdf.")
@click.option("--trace-figure", help="Save EM's run over its predicted rate as .png, .svg or .pdf.")
@click.option("--out", help="Save every row's responsibilities and fitted means as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@reads_tables
@click.pass_context
def fit(context: click.Context, data_file: str, as_json: bool, reading: Reading, **options: Any) -> None:
    """Fit experts with a softmax gate to DATA.csv by EM from several starts; say how sure it is, and EM's rate.

        moe-theory fit DATA.csv --formula "y ~ x1 + C(site) | w1" --experts 2

        moe-theory fit DATA.csv --response y --features x1,x2 --experts 1:4

    Both parts have an intercept (in a formula, unless it says 0 + or - 1). In a formula text is a category if it is
    words that recur, C(x) makes one of any column, and a response of text is coded in sorted order. Exit code 1 if EM
    did not converge, or the fit is degenerate: then label and rows (from 0) say where.
    """
    counts, files = _counts(options["experts"]), own_files(options, FILES, data_file)
    _check(options)
    table = read_csv(data_file, reading)
    prepare = by_formula(table, options) if options["formula"] is not None else by_columns(table, options)
    problem, terms = prepare(counts[-1])  # what is wrong is said before the first fit
    features = problem.features
    if "figure" in files and {*features.experts, *features.gate} <= {INTERCEPT}:
        raise InputError("--figure: expected a feature to draw against, got intercepts only")
    fits, failures = _fits(prepare, counts, options)
    best = _chosen(fits)
    if best is not None:
        found = report(best)
    else:
        first = failures[counts[0]]
        if not isinstance(first.__cause__, DegenerateError):
            raise first
        found = report_without_fit(prepare(counts[0])[0], first.__cause__)
    found |= {"data": data_file} | {name: options[name] for name in ASKED}
    if len(counts) > 1:
        found["candidates"] = [_candidate(k, fits.get(k), failures.get(k)) for k in counts]
    if best is not None:
        _write(best, terms, files)
    elif files:
        click.echo(f"not written, as there is no fit: {', '.join(str(path) for path in files.values())}", err=True)
    if as_json:
        print_json(found)
    else:
        _show(best, found)
    if not found["converged"]:
        context.exit(1)


# What is asked -----------------------------------------------------------------------------------------------


def _counts(text: str) -> list[int]:
    low, colon, high = text.partition(":")
    try:
        first = int(low)
        last = int(high) if colon else first
    except ValueError:
        first, last = 1, 0
    if not 1 <= first <= last:
        raise InputError(f"--experts: expected a whole number >= 1 or a range LOW:HIGH of them, got {text!r}")
    return list(range(first, last + 1))


def _check(options: dict[str, Any]) -> None:
    if options["family"] not in FAMILIES:
        raise InputError(f"--family: expected one of {', '.join(FAMILIES)}, got {options['family']!r}")
    for name in ("response", "features", "gate_features"):
        if options["formula"] is not None and options[name] is not None:
            raise InputError(f"--{name.replace('_', '-')}: expected either a formula or columns, got both")
    if options["formula"] is None and options["response"] is None:
        raise InputError("--formula: expected a formula or --response COL, got neither")
    if options["family"] != "gaussian":
        for name in ("common_sigma", "sigma_floor"):
            if options[name]:
                raise InputError(f"--{name.replace('_', '-')}: expected gaussian experts, got {options['family']}")
    if options["trace_figure"] is not None and options["accelerate"]:
        raise InputError("--trace-figure: expected EM's own run, whose rate is predicted, got --accelerate")
    whole_number("--restarts", options["restarts"], least=1)


# Fits --------------------------------------------------------------------------------------------------------


def _fits(
    prepare: Callable[[int], Made], counts: Sequence[int], options: dict[str, Any]
) -> tuple[dict[int, MixtureFit], dict[int, InputError]]:
    """(the fit of each k, why others have none); a bar on standard error meanwhile."""
    fits: dict[int, MixtureFit] = {}
    failures: dict[int, InputError] = {}
    penalty = Penalty.of(options["ridge"], options["sigma_floor"], options["ridge_intercepts"])
    restarts = options["restarts"]
    bar, task = progress_bar(restarts * len(counts))
    with bar:
        for i, k in enumerate(counts):
            problem = prepare(k)[0]

            def tell(done: int, before: int = i * restarts, k: int = k) -> None:
                what = f"start {done} of {restarts}" if done < restarts else "the best starts to the end"
                bar.update(task, completed=before + done, description=f"{k} expert{'s' * (k > 1)}: {what}")

            try:
                fits[k] = fit_problem(
                    problem,
                    restarts=restarts,
                    seed=options["seed"],
                    starts=[name.strip() for name in options["starts"].split(",")],
                    max_iterations=options["max_iterations"],
                    tolerance=options["tolerance"],
                    penalty=penalty,
                    accelerate=options["accelerate"],
                    progress=tell,
                )
            except InputError as error:
                failures[k] = error
    return fits, failures


def _chosen(fits: dict[int, MixtureFit]) -> MixtureFit | None:
    """The least BIC among fits that converged; where none did, among those that were cut short, or all."""
    for reasons in (("converged",), ("max_iterations",), None):
        own = [f for f in fits.values() if reasons is None or f.reason in reasons]
        if own:
            return min(own, key=lambda f: f.bic if np.isfinite(f.bic) else np.inf)
    return None


def _candidate(k: int, found: MixtureFit | None, failure: InputError | None) -> dict[str, Any]:
    if found is None:
        return {"k": k, **dict.fromkeys(CRITERIA), "converged": False, "reason": "degenerate", "message": str(failure)}
    criteria = {name: getattr(found.inference, name) for name in CRITERIA}
    ended = {"converged": found.converged, "reason": found.reason, "message": found.message}
    return plain({"k": k} | criteria | ended)


# What is told ------------------------------------------------------------------------------------------------


def _show(best: MixtureFit | None, found: dict[str, Any]) -> None:
    out = console()
    if "candidates" in found:
        sheet = Sheet(title="Candidates", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        for name in ("k", "log-likelihood", "parameters", "AIC", "BIC", "ICL"):
            sheet.add_column(name, justify="right")
        sheet.add_column("")
        for c in found["candidates"]:
            cells = ["–" if c[n] is None else f"{c[n]:.3f}" if isinstance(c[n], float) else str(c[n]) for n in CRITERIA]
            remarks = ["chosen"] * (best is not None and c["k"] == best.k) + [c["reason"]] * (not c["converged"])
            sheet.add_row(str(c["k"]), *cells, ", ".join(remarks))
        out.print(sheet)
    if best is None:
        click.echo(f"no fit: {found['message']}")
    else:
        out.print(summary(best, found["formula"]))


def _write(best: MixtureFit, terms: Terms | None, files: dict[str, Path]) -> None:
    """All that was asked for; made first, so that nothing is left half done."""
    contents: dict[Path, bytes] = {}
    if "figure" in files:
        from moe_theory.report.drawing import figure_files
        from moe_theory.report.mixture import mixture_figure

        contents |= figure_files(mixture_figure(best if terms is None else FormulaFit(best, terms)), files["figure"])
    if "trace_figure" in files:
        from moe_theory.report.drawing import figure_files
        from moe_theory.report.figures import rate_figure

        if best.rate is None or best.iterations < 2:
            why = "EM ended at once" if best.rate is not None else "the information is singular"
            click.echo(f"trace figure not drawn: {why}, there is no rate to show", err=True)
        else:
            title = f"EM for {best.k} {best.problem.family} expert{'s' * (best.k > 1)}"
            contents |= figure_files(rate_figure(best.trace, best.rate, title), files["trace_figure"])
    if "out" in files:
        contents[files["out"]] = _csv(*by_row(best)).encode()
    write_all(contents)


def _csv(header: Sequence[str], values: Array) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["row", *header])
    writer.writerows([i, *row] for i, row in enumerate(values.tolist()))
    return buffer.getvalue()
