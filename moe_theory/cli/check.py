"""`moe-theory check CERT.json DATA.csv`: prove a certificate's statements again, in ball arithmetic."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from moe_theory.cli.common import console, load_model, print_json, progress_bar
from moe_theory.cli.reading import reads_tables
from moe_theory.datasets.reading import Reading
from moe_theory.errors import InputError
from moe_theory.printable import printable
from moe_theory.validation import positive_number


@click.command()
@click.argument("certificate")
@click.argument("data")
@click.option(
    "--model",
    "model_spec",
    help="Model of the certificate, FILE.py:NAME, where it is not of the zoo. That file is run: use one you trust.",
)
@click.option("--time-limit", type=float, metavar="SECONDS", help="Give up after so long: not decided, exit code 1.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@reads_tables
@click.pass_context
def check(
    context: click.Context,
    certificate: str,
    data: str,
    model_spec: str | None,
    time_limit: float | None,
    as_json: bool,
    reading: Reading,
) -> None:
    """Check CERTIFICATE, a JSON file, about the rows of DATA, the CSV file it was made from.

    Everything it says is proved again with rounding accounted for, by code that shares nothing with its maker. What
    that costs is said first, on standard error. Exit code 0 if all is proved, 1 if something is not, 2 for files that
    are not a certificate and its data.
    """
    try:
        from moe_theory.certificates.checker import check_file  # an extra, and a while to load
    except ImportError as error:
        raise InputError(str(error)) from error

    if time_limit is not None:
        positive_number("--time-limit", time_limit)
    model = load_model(model_spec) if model_spec is not None else None
    bar, task = progress_bar(1)
    bar.update(task, description="proving")
    with bar:
        checked = check_file(
            certificate,
            data,
            model,
            lambda done, total: bar.update(task, completed=done, total=total),
            time_limit,
            announce=lambda cost: None if as_json else click.echo(str(cost), err=True),
            **reading.given(),
        )
    report = {**checked.to_dict(), "certificate": certificate, "data": data}
    if as_json:
        print_json(report)
    else:
        _show(report)
    if not checked.valid:
        context.exit(1)


def _show(report: dict[str, Any]) -> None:
    """Names and reasons come from a stranger's file: none may pass for our verdict."""
    title = printable(f"{report['certificate']} on {report['data']}")
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("proved")
    table.add_column("value", justify="right")
    for entry in report["proved"]:
        table.add_row(entry["statement"], f"{entry['value']:.12g}")
    if report["proved"]:
        console().print(table)
    verdict = "valid: all of it is proved" if report["valid"] else f"rejected: {printable(report['reason'])}"
    click.echo(f"{verdict} ({report['seconds']:.1f} s)")
