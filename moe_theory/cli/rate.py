"""`moe-theory rate MODEL`: the predicted rate of EM at a truth, or on a user's data beside the measured one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.table import Table

from moe_theory.algorithms.fit import fit
from moe_theory.analysis.rates import RatePrediction, measure_rate, predict_rate
from moe_theory.cli.common import console, load_model, print_json, vector
from moe_theory.cli.reading import reads_tables
from moe_theory.datasets.columns import read_data
from moe_theory.datasets.reading import Reading
from moe_theory.errors import DerivationError, InputError
from moe_theory.files import check_figure
from moe_theory.laws import MonteCarlo, Population
from moe_theory.model import Model
from moe_theory.validation import Array, unit_interval, whole_number

ROWS = 20_000  # drawn where there is no exact population


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("model")
@click.option("--sigma", type=float, help="Noise scale of models that take one.")
@click.option("--dimension", type=int, help="Pad the truth with zeros to this many features.")
@click.option("--alpha", type=float, help="Also say whether L is ALPHA-strongly convex relative to A there.")
@click.option("--certified", is_flag=True, help="Enclose λ_max at the truth rigorously (symmetric models).")
@click.option("--data", "data_file", help="CSV file with a header: fit by EM and compare with that very run.")
@click.option("--response", help="Column of the response (with --data).")
@click.option("--features", help="Columns of the features, separated by commas; default: all others (with --data).")
@click.option("--intercept", is_flag=True, help="Add a feature that is 1 (with --data).")
@click.option("--restarts", type=int, default=8, show_default=True, help="Random starts of EM (with --data).")
@click.option("--rows", type=int, help="Draw so many rows at the truth, also where there is an exact population.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random starts, or of the rows drawn.")
@click.option("--figure", "figure_file", help="Save measured over predicted as .png, .svg or .pdf (with --data).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@reads_tables
@click.pass_context
def rate(context: click.Context, model: str, as_json: bool, reading: Reading, **options: Any) -> None:
    """Predict EM's rate for MODEL: λ_max of the missing-information matrix M.

    At a truth under x ~ N(0, I), one vector per predictor of the model (all over the same
    features; --dimension pads them with zeros), θ other than the truth by --at-NAME:

        moe-theory rate symmetric-linear --beta 3,0,0 --w 0,1,0 [--at-beta … --at-w …]

        moe-theory rate softmax-poisson --beta1 1,0 --beta2 -1,0 --w2 0,1 [--rows N --seed S]

    The population is exact where it can be (flat models with finitely many responses or normal experts). Elsewhere
    (counts, curved models, other densities), and with --rows, rows are drawn, 20,000 by default, and the error is one
    standard error. In the JSON object rows and seed then say so; they are null where the population is exact.

    On data, beside the contraction measured on the fit's own run:

        moe-theory rate symmetric-linear --data FILE.csv --response COL [--features A,B] [--intercept]

    MODEL is a name of the zoo, or FILE.py:NAME, which runs that file. Exit code 1 if EM did not converge on the data.
    """
    declared = load_model(model, options["sigma"])
    if options["alpha"] is not None:
        unit_interval("alpha", options["alpha"])
    vectors = _vectors(declared, context.args)
    if options["data_file"] is not None:
        if vectors or options["certified"]:
            raise InputError(f"--{next(iter(vectors), 'certified')}: expected either a truth or --data, got both")
        if options["rows"] is not None:
            raise InputError("--rows: expected only at a truth, got it together with --data")
        report = _on_data(declared, options, reading, quiet=as_json)
    else:
        for name in ("response", "features", "figure_file"):
            if options[name]:
                raise InputError(f"--{name.removesuffix('_file')}: expected only together with --data")
        if reading.arguments():
            raise InputError(f"{reading.arguments()[0]}: expected only together with --data")
        report = _at_truth(declared, vectors, options)
    if options["alpha"] is not None:
        report["strongly_convex"] = report["lambda_max"] <= 1 - options["alpha"]
    if as_json:
        print_json(report)
    else:
        _show(declared, report)
    if report.get("reason", "converged") != "converged":
        context.exit(1)


def _vectors(model: Model, arguments: list[str]) -> dict[str, Array]:
    """{predictor or at-predictor: vector} from the options that depend on the model."""
    allowed = [*model.predictors, *(f"at-{name}" for name in model.predictors)]
    spelt = {name.replace("_", "-"): name for name in allowed}  # --log-sigma1 for log_sigma1
    found: dict[str, Array] = {}
    queue = list(arguments)
    while queue:
        option, joined, value = queue.pop(0).partition("=")
        name = option.removeprefix("--")
        name = name if name in allowed else spelt.get(name, name)
        if not option.startswith("--") or name not in allowed:
            expected = ", ".join("--" + a for a in allowed)
            raise InputError(f"option: expected one of {expected} for {model.name}, got {option!r}")
        if not joined:
            if not queue:
                raise InputError(f"{option}: expected numbers separated by commas, got nothing")
            value = queue.pop(0)
        found[name] = vector(option, value)
    return found


def _at_truth(model: Model, vectors: dict[str, Array], options: dict[str, Any]) -> dict[str, Any]:
    dimension, certified, rows = options["dimension"], options["certified"], options["rows"]
    missing = [f"--{name}" for name in model.predictors if name not in vectors]
    if missing:
        raise InputError(f"{missing[0]}: expected a truth ({', '.join(missing)}) or --data FILE.csv, got neither")
    if rows is not None:
        whole_number("--rows", rows, least=1)
    whole_number("--seed", options["seed"])
    if dimension is not None:
        whole_number("dimension", dimension, least=max(len(v) for v in vectors.values()))
        vectors = {name: np.pad(v, (0, dimension - len(v))) for name, v in vectors.items()}
    sizes = {len(v) for v in vectors.values()}
    if len(sizes) > 1:
        got = ", ".join(f"--{name} {len(v)}" for name, v in vectors.items())
        raise InputError(f"--{model.predictors[0]}: expected vectors of one length, got {got}")
    truth = model.theta(**{name: vectors[name] for name in model.predictors})
    point = model.theta(**{name: vectors.get(f"at-{name}", vectors[name]) for name in model.predictors})
    at_truth = bool(np.array_equal(point, truth))
    if certified and not at_truth:
        raise InputError("--certified: expected the truth itself, got another point (--at-…)")
    if certified and rows is not None:
        raise InputError("--certified: expected the exact population, got a sample of it (--rows)")
    prediction = None
    if rows is None:
        try:
            prediction = predict_rate(model, Population(model, truth), point)
        except DerivationError:
            rows = ROWS  # there is no exact population
    if prediction is None:
        prediction = predict_rate(model, MonteCarlo(model, truth, rows, options["seed"]), point)
    sampled = {"rows": rows, "seed": None if rows is None else options["seed"]}
    found = {**_predicted(prediction), **sampled, "dimension": truth.shape[1], "at_truth": at_truth}
    if certified:
        from moe_theory.certificates.population import certified_rate

        enclosure = certified_rate(model, truth)
        found |= {"lambda_lower": enclosure.lower, "lambda_upper": enclosure.upper}
    return found


def _on_data(model: Model, options: dict[str, Any], reading: Reading, quiet: bool) -> dict[str, Any]:
    if options["figure_file"]:
        check_figure("--figure", Path(options["figure_file"]))
    columns = (options["response"], options["features"], options["intercept"])
    data = read_data(options["data_file"], *columns, **reading.given())
    with console(stderr=True).status("EM from random starts", spinner="dots") as status:
        if quiet:
            status.stop()
        fitted = fit(model, data, options["restarts"], options["seed"])
    trace = fitted.best
    prediction = predict_rate(model, data, trace.last)
    try:
        measured: dict[str, Any] | None = measure_rate(trace).to_dict()
        remark = ""
    except InputError as error:
        measured, remark = None, str(error)
    if options["figure_file"]:
        from moe_theory.report.drawing import save_figure
        from moe_theory.report.figures import rate_figure

        title = f"EM for {model.name} on {Path(options['data_file']).name}"
        save_figure(rate_figure(trace, prediction, title), options["figure_file"])
    return {
        **_predicted(prediction),
        "measured": measured,
        "remark": remark,
        "n": len(data),
        "features": list(data.names or ()),
        "theta": {name: row.tolist() for name, row in zip(model.predictors, trace.last, strict=True)},
        "log_likelihood": -float(trace.objective[-1]) * len(data),
        "iterations": trace.iterations,
        "reason": trace.reason,
        "message": trace.message,
        "restarts": options["restarts"],
        "failed_starts": len(fitted.failures),
        "seed": options["seed"],
    }


def _predicted(prediction: RatePrediction) -> dict[str, Any]:
    return {
        "lambda_max": prediction.lambda_max,
        "alpha": prediction.alpha,
        "error": prediction.error,
        "iterates": prediction.iterates,
        "gap": prediction.gap,
        "bound": prediction.bound,
    }


def _show(model: Model, report: dict[str, Any]) -> None:
    measured = report.get("measured") or {}
    table = Table(title=f"EM's rate for {model.name}", title_justify="left", title_style="bold")
    table.add_column("contraction of")
    table.add_column("predicted", justify="right")
    rows = [
        ("iterates: λ_max(M)", report["iterates"], "iterates"),
        ("gap L - L*: λ_max²", report["gap"], "gap"),
        ("gap, the theorem's bound: 1 - α", report["bound"], None),
    ]
    if "measured" in report:
        table.add_column("measured on the run", justify="right")
    for label, predicted, key in rows:
        cells = [label, f"{predicted:.{10 if report.get('rows') is None else 6}f}"]
        if "measured" in report:
            cells.append(f"{measured[key]:.8f} ± {measured[key + '_error']:.0e}" if key and measured else "")
        table.add_row(*cells)
    out = console()
    out.print(table)
    error, digits = report["error"], 12
    if report.get("rows") is not None:
        digits = 6
        click.echo(
            f"From a sample of {report['rows']} rows drawn at the truth (seed {report['seed']}), not the exact"
            " population; the error is one standard error."
        )
    value, alpha = (f"{report[key]:.{digits}f}" for key in ("lambda_max", "alpha"))
    click.echo(f"λ_max = {value} (error {error:.1e}), α = 1 - λ_max = {alpha}")
    if "lambda_upper" in report:
        click.echo(f"certified: {report['lambda_lower']:.17g} ≤ λ_max ≤ {report['lambda_upper']:.17g}")
    if report["lambda_max"] >= 1:
        click.echo("λ_max ≥ 1: L is not strongly convex relative to A at this point; no linear rate follows here.")
    if "strongly_convex" in report:
        click.echo(f"α-strongly convex relative to A at this point: {'yes' if report['strongly_convex'] else 'no'}")
    if "n" in report:
        for name, row in report["theta"].items():
            pairs = ", ".join(f"{f} {v:.6g}" for f, v in zip(report["features"], row, strict=True))
            click.echo(f"{name}: {pairs}")
        click.echo(
            f"{report['n']} rows, log-likelihood {report['log_likelihood']:.6f}, {report['iterations']} iterations:"
            f" {report['reason']} {report['message']}".rstrip()
        )
        if report["remark"]:
            click.echo(f"not measured: {report['remark']}")
