"""Fixtures of several test files."""

from __future__ import annotations

import pytest


@pytest.fixture
def command(capsys):  # type: ignore[no-untyped-def]
    """Calls moe-theory: (exit code, standard output, standard error)."""
    from moe_theory.cli.main import main  # not above: processes of the sweeps' tests import the test files

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        out = capsys.readouterr()
        return int(stop.value.code or 0), out.out, out.err

    return call
