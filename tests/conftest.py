"""Fixtures of several test files. Every test that takes `case` runs once for each model of the table."""

from __future__ import annotations

import pytest
from models import CASES, Case


@pytest.fixture(params=CASES, ids=lambda c: c.id)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


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
