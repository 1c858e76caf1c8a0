"""Every test that takes `case` runs once for each model of the table."""

from __future__ import annotations

import pytest
from models import CASES, Case


@pytest.fixture(params=CASES, ids=lambda c: c.id)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param
