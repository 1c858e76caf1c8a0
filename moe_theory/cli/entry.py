"""The installed command: what takes long to import is imported where Ctrl-C ends it in one line."""

from __future__ import annotations

import sys


def main() -> None:
    """See `moe_theory.cli.main.main`."""
    try:
        from moe_theory.cli.main import main as run
    except KeyboardInterrupt:
        print("moe-theory: interrupted", file=sys.stderr)
        sys.exit(130)
    run()
