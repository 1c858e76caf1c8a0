"""The options of every command that reads a table."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from moe_theory.datasets.reading import MISSING, Reading


def reads_tables(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --decimal, --thousands and --missing to a command, which takes a `Reading` as `reading`."""

    @click.option(
        "--decimal", default=".", show_default=True, help="Decimal mark of the table's numbers, . or a comma."
    )
    @click.option("--thousands", default="", help="What divides their groups of three digits: , . ' _ or space.")
    @click.option(
        "--missing",
        default=",".join(MISSING),
        help=f"Words for no value, by commas, beside the empty cell; default: {', '.join(MISSING)}.",
    )
    @functools.wraps(command)
    def reading(*arguments: Any, decimal: str, thousands: str, missing: str, **options: Any) -> Any:
        return command(*arguments, reading=Reading.of(decimal, thousands, missing, options="--"), **options)

    return reading
