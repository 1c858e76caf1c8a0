"""`moe-theory redraw FIGURE`: a figure again, in another theme or format, from the table beside it."""

from __future__ import annotations

import click

from moe_theory.cli.common import own_files
from moe_theory.files import IMAGES, table_path


@click.command()
@click.argument("figure")
@click.option("--out", "out", required=True, help="The new file: .png, .svg or .pdf.")
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True, help="Its colours.")
def redraw(figure: str, out: str, theme: str) -> None:
    """Draw FIGURE again, without the run, from the table that was written beside it (FIGURE.json).

    Every command that writes a figure writes such a table; pandas.DataFrame reads its columns, too. The figures of
    `reproduce` are drawn again by its --table.
    """
    path = own_files({"out": out}, {"out": IMAGES}, str(table_path(figure)))["out"]
    from moe_theory.report import themes
    from moe_theory.report.drawing import save_figure
    from moe_theory.report.redraw import redraw as again

    with themes.theme(theme):
        save_figure(again(figure), path)
