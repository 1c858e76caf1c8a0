"""`moe-theory certify DATA.csv`: a proof that EM converges linearly on a user's data, or why there is none."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from moe_theory.certificates.certificate import Certificate
from moe_theory.certificates.make import certify as make
from moe_theory.certificates.region import Shape
from moe_theory.certificates.rounding import at_least, at_most
from moe_theory.cli.common import console, load_model, own_files, print_json, progress_bar
from moe_theory.cli.reading import reads_tables
from moe_theory.datasets.columns import read_data
from moe_theory.datasets.reading import Reading
from moe_theory.files import IMAGES, check_ours, write_all, write_atomically
from moe_theory.laws import Data

FILES: dict[str, tuple[str, ...]] = {"out": (".json",), "page": (".html",), "figure": IMAGES}
MARKS = {"out": '"certificate": "moe-theory"', "page": 'content="moe-theory"'}  # of files that are ours
UNITS = 1e3  # ratio of curvatures beyond which the features' units are worth a word


@click.command()
@click.argument("data_file", metavar="DATA.csv")
@click.option(
    "--model",
    "spec",
    default="symmetric-linear",
    show_default=True,
    help="Zoo name, or FILE.py:NAME, which runs that file.",
)
@click.option("--sigma", type=float, help="Noise scale of models that take one.")
@click.option("--response", help="Column of the response.")
@click.option("--features", help="Columns of the features, separated by commas; default: all others.")
@click.option("--intercept", is_flag=True, help="Add a feature that is 1.")
@click.option("--radius", type=float, help="Prove it on the ball of this radius; default: the largest provable.")
@click.option("--alpha", type=float, help="Prove this α; default: the largest provable, or half of the centre's.")
@click.option(
    "--shape",
    type=click.Choice(["ellipsoid", "euclidean"]),
    default="ellipsoid",
    show_default=True,
    help="In the metric ∇²A (free of the features' units), or distances as they are.",
)
@click.option("--cuts", type=int, default=0, show_default=True, help="Cut the region along so many coordinates.")
@click.option("--restarts", type=int, default=8, show_default=True, help="Random starts of EM.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random starts and searches.")
@click.option("--out", help="Write the certificate to this file, for `moe-theory check`.")
@click.option("--page", help="Write a page for a referee as .html.")
@click.option("--figure", help="Save the bound against the radius as .png, .svg or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@reads_tables
@click.pass_context
def certify(context: click.Context, data_file: str, spec: str, as_json: bool, reading: Reading, **options: Any) -> None:
    """Prove that EM converges linearly on DATA.csv, how fast, and from every start within which radius.

        moe-theory certify DATA.csv --model symmetric-linear --response y --intercept --out CERT.json

    The centre is where EM from random starts ends. Exit code 1 if nothing could be proved; then the reason says why.
    """
    model = load_model(spec, options["sigma"])
    files = own_files(options, FILES, data_file)
    for name, mark in MARKS.items():
        if name in files:
            check_ours(f"--{name}", files[name], mark)
    columns = (options["response"], options["features"], options["intercept"])
    data = read_data(data_file, *columns, **reading.given())
    shape: Shape = options["shape"]
    with console(stderr=True).status("", spinner="dots") as status:
        if as_json:
            status.stop()
        certificate = make(
            model,
            data,
            radius="largest" if options["radius"] is None else options["radius"],
            alpha=options["alpha"],
            shape=shape,
            cuts=options["cuts"],
            restarts=options["restarts"],
            seed=options["seed"],
            response=options["response"],
            intercept=options["intercept"],
            progress=status.update,
        )
    _write(certificate, data, files, Path(data_file).name)
    if as_json:
        print_json(certificate.to_dict() | {"data": data_file, "out": options["out"]})
    else:
        _show(certificate, data_file, spec, options, reading)
    if not certificate.certified:
        context.exit(1)


def _write(certificate: Certificate, data: Data, files: dict[str, Path], name: str) -> None:
    if not certificate.certified:
        if files:
            click.echo(
                f"not written, as nothing was proved: {', '.join(str(path) for path in files.values())}", err=True
            )
        return
    if "page" in files or "figure" in files:
        from moe_theory.certificates.curve import POINTS, radius_curve
        from moe_theory.report.certificate import certificate_figure, certificate_page
        from moe_theory.report.drawing import figure_files

        bar, task = progress_bar(POINTS)
        with bar:
            bar.update(task, description="bound against radius")
            curve = radius_curve(data, certificate, progress=lambda done: bar.update(task, completed=done))
        if "figure" in files:
            figure = certificate_figure(curve, f"{certificate.model.name} on {name}")
            write_all(figure_files(figure, files["figure"]))
        if "page" in files:
            write_atomically(files["page"], certificate_page(certificate, curve, name).encode())
    if "out" in files:
        certificate.save(files["out"])


def _show(c: Certificate, data_file: str, spec: str, options: dict[str, Any], reading: Reading) -> None:
    out = console()
    norm = "‖θ - c‖" if c.region.factor is None else "‖θ - c‖ in the metric ∇²A(c)"
    if not c.certified:
        click.echo(f"No certificate: {c.reason}.")
        if math.isfinite(c.lambda_centre):
            click.echo(f"At the centre λ_max(M(c)) = {c.lambda_centre:.8g}.")
        _say_noise(c)
        return
    basin, lower, upper = c.proved
    table = Table(title=f"EM for {c.model.name} on {Path(data_file).name}", title_justify="left", title_style="bold")
    table.add_column("proved")
    table.add_column("value", justify="right")
    feature = list(c.source.features or ())
    rows = [
        (f"L is α-strongly convex relative to A for {norm} ≤", at_most(c.radius)),
        ("with α ≥", at_most(c.alpha, 8)),
        ("that is λ_max(M(θ)) ≤", at_least(c.lambda_upper, 8)),
        ("   (largest found by search)", f"{c.found.value:.8f}"),
        ("one stationary point θ̂ there, within", at_least(basin.distance, 3)),
        (f"EM converges to it from every start with {norm} ≤", at_most(basin.radius) if basin.radius else "–"),
        ("   and from every start with B_A(θ̂‖θ) <", at_most(basin.divergence)),
        (f"B_A(θ̂‖θ_T+1) ≤ {at_least(c.lambda_upper)}^T B_A(θ̂‖θ_1): iterations for a millionth", f"{c.iterations()}"),
    ]
    for text, value in rows:
        table.add_row(text, value)
    out.print(table)
    for predictor, low, high in zip(c.model.predictors, lower, upper, strict=True):
        labels = feature or [f"x{j + 1}" for j in range(len(low))]
        pairs = ", ".join(
            f"{f} {(a + b) / 2:.8g} ± {(b - a) / 2:.1e}" for f, a, b in zip(labels, low, high, strict=True)
        )
        click.echo(f"θ̂ {predictor}: {pairs}")
    shown = lambda value: f"{value:.4g}" if math.isfinite(value) else "none"
    bounds = ", ".join(f"{name} {shown(value)}" for name, value in c.bounds.items())
    click.echo(f"{c.source.rows} rows; bounds on λ_max(M) by method: {bounds}; {c.seconds:.1f} s")
    _say_noise(c)
    if c.region.factor is None and basin.upper > UNITS * basin.lower:
        click.echo("The features' units differ much, and a ball is a poor shape then: try --shape ellipsoid.")
    if options["out"]:
        model = ["--model", spec] if ":" in spec else []
        again = shlex.join(["moe-theory", "check", options["out"], data_file, *model, *reading.arguments()])
        click.echo(f"Prove it again, independently: {again}")


def _say_noise(c: Certificate) -> None:
    if c.noise is not None:
        # Of the zoo's models those that take a σ have it among their options.
        how = f"--sigma {c.noise.suggested}" if "sigma" in c.model.options else f"declaring σ = {c.noise.suggested}"
        click.echo(f"{c.noise}{f': try {how}' if c.noise.disagrees else ''}.")
