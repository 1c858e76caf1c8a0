"""`moe-theory reproduce EXPERIMENT`: the papers' experiments, made again."""

from __future__ import annotations

import click

from moe_theory.cli.reproduce_fashion import fashion
from moe_theory.cli.reproduce_synthetic import synthetic


@click.group()
def reproduce() -> None:
    """Make the papers' experiments again: tables, figures, and what they say."""


for command in (synthetic, fashion):
    reproduce.add_command(command)
