"""Entry point: one line and exit code 2 for what the user got wrong, never a traceback."""

from __future__ import annotations

import errno
import os
import sys

import click

from moe_theory import __version__
from moe_theory.cli.certify import certify
from moe_theory.cli.check import check
from moe_theory.cli.derive import derive
from moe_theory.cli.fit import fit
from moe_theory.cli.rate import rate
from moe_theory.cli.recover import recover_command
from moe_theory.cli.redraw import redraw
from moe_theory.cli.refute import refute
from moe_theory.cli.reproduce import reproduce
from moe_theory.cli.snr import snr
from moe_theory.cli.streams import shown_streams
from moe_theory.cli.verify import verify
from moe_theory.errors import MoeTheoryError
from moe_theory.printable import printable


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="moe-theory")
def cli() -> None:
    """Verify the theory of learning mixtures of experts."""


for command in (verify, refute, derive, rate, snr, fit, recover_command, reproduce, redraw, certify, check):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 all well, 1 a claim fell or a run did not converge, 2 bad input."""
    with shown_streams():
        code = _run(arguments)
    sys.exit(code if isinstance(code, int) else 0)


def _run(arguments: list[str] | None) -> object:
    """The exit code; errors are printed."""
    code: object
    try:
        code = cli.main(arguments, prog_name="moe-theory", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        click.echo("moe-theory: interrupted", err=True)
        code = 130
    except click.ClickException as error:
        click.echo(f"moe-theory: error: {' '.join(error.format_message().split())}", err=True)
        code = 2
    except MoeTheoryError as error:
        click.echo(f"moe-theory: error: {printable(str(error))}", err=True)  # one line, whatever it quotes
        code = 2
    except OSError as error:
        if error.errno != errno.EPIPE:
            click.echo(f"moe-theory: error: standard output: {error.strerror or error}", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in it has nowhere to go
        code = 0 if error.errno == errno.EPIPE else 2
    except SystemExit:
        # click's and rich's way of saying that the reader went away (`… | head`): its business, no verdict.
        code = 0
    return code
