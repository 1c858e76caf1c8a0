"""`moe-theory recover DATA.csv`: experts from moments without the gate, then the gate."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import click
import numpy as np

from moe_theory.cli.common import console, load_object, own_files, print_json
from moe_theory.cli.reading import reads_tables
from moe_theory.datasets.columns import read_columns
from moe_theory.datasets.reading import Reading
from moe_theory.errors import InputError
from moe_theory.files import IMAGES, write_all
from moe_theory.moments.activations import NAMES, activation, leaky_relu
from moe_theory.recovery.recover import METHODS, recover
from moe_theory.recovery.result import Recovery
from moe_theory.recovery.summary import summary

FILES: dict[str, tuple[str, ...]] = {"figure": IMAGES, "out": ()}


@click.command(name="recover")
@click.argument("data_file", metavar="DATA.csv")
@click.option("--response", help="Column of the response.")
@click.option("--features", help="Columns of the features, separated by commas; default: all others.")
@click.option("--experts", type=int, default=2, show_default=True, help="How many.")
@click.option("--activation", "g", default="linear", show_default=True, help=f"{', '.join(NAMES)}, or FILE.py:NAME.")
@click.option("--slope", type=float, help="Of leaky-relu for negative arguments.")
@click.option("--sigma", type=float, help="Standard deviation of the noise; default: estimated.")
@click.option("--polish", is_flag=True, help="EM on experts, gate and sigma together afterwards.")
@click.option("--method", type=click.Choice(METHODS), default="best", show_default=True, help="Which moments.")
@click.option("--no-intercept", is_flag=True, help="A gate without a constant.")
@click.option("--whiten/--as-is", default=None, help="Take x to standard coordinates or not; default: if it is needed.")
@click.option("--force", is_flag=True, help="Go on where the spectrum does not support so many experts.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the decomposition and the bootstrap.")
@click.option("--figure", help="Save spectrum and regressors as .png, .svg or .pdf.")
@click.option("--out", help="Save the regressors with their intervals as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@reads_tables
@click.pass_context
def recover_command(context: click.Context, data_file: str, as_json: bool, reading: Reading, **options: Any) -> None:
    """Recover experts y ~ N(g(a'x), sigma²) with |a| = 1 of DATA.csv without knowing the gate, then the gate.

        moe-theory recover DATA.csv --response y --experts 3 --activation linear --polish

    x should be Gaussian. From moments of the response (Breaking the gridlock, ICML 2019); no random starts. Exit code 1
    if EM, in its last stage, did not converge.
    """
    files = own_files(options, FILES, data_file)
    g = _activation(options["g"], options["slope"])
    if options["seed"] < 0:
        raise InputError(f"--seed: expected a whole number >= 0, got {options['seed']}")
    x, y, names = read_columns(data_file, options["response"], options["features"], "--", reading)
    with console(stderr=True).status("", spinner="dots") as status:
        if as_json:
            status.stop()
        found = recover(
            x,
            y,
            options["experts"],
            g,
            options["sigma"],
            polish=options["polish"],
            method=options["method"],
            intercept=not options["no_intercept"],
            whiten=options["whiten"],
            force=options["force"],
            seed=options["seed"],
            progress=status.update,
        )
    _write(found, names, files)
    if as_json:
        said = {"data": data_file, "response": options["response"], "features": names}
        print_json(found.to_dict() | said)
    else:
        console().print(summary(found, names))
    if not found.converged:
        context.exit(1)


def _activation(name: str, slope: float | None) -> Any:
    if name == "leaky-relu":
        if slope is None:
            raise InputError("--slope: expected a number for leaky-relu, got nothing")
        return leaky_relu(slope)
    if slope is not None:
        raise InputError(f"--slope: expected leaky-relu, got {name!r}")
    return activation(load_object("--activation", name) if ":" in name else name)


def _write(found: Recovery, names: list[str], files: dict[str, Path]) -> None:
    """All that was asked for; made first, so that nothing is left half done."""
    contents: dict[Path, bytes] = {}
    if "figure" in files:
        from moe_theory.report.drawing import figure_files
        from moe_theory.report.recovery import recovery_figure

        contents |= figure_files(recovery_figure(found, names), files["figure"])
    if "out" in files:
        contents[files["out"]] = _csv(found, names).encode()
    write_all(contents)


def _csv(found: Recovery, names: list[str]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["expert", "feature", "regressor", "standard_error", "low", "high"])
    errors, intervals = found.standard_errors, found.intervals()
    for (i, j), value in np.ndenumerate(found.regressors):
        rest = ["", "", ""] if errors is None or intervals is None else [errors[i, j], *intervals[i, j]]
        writer.writerow([i + 1, names[j], value, *rest])
    return buffer.getvalue()
