"""What `moe-theory fit` makes of a table: a problem for every number of experts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_theory.datasets.table import Table
from moe_theory.errors import InputError
from moe_theory.mixture.formula import formula_problem
from moe_theory.mixture.frames import refuse_missing
from moe_theory.mixture.places import Places
from moe_theory.mixture.problem import Problem
from moe_theory.mixture.terms import Terms

Made = tuple[Problem, Terms | None]


def by_formula(table: Table, options: dict[str, Any]) -> Callable[[int], Made]:
    """The problem of k experts that --formula states, and the formula's terms."""
    frame = {name: table.reading.values(table.cells(name)) for name in table.header}
    weights, offset, common = (options[name] for name in ("weights", "offset", "common_sigma"))
    formula, family, places = options["formula"], options["family"], places_of(table)
    return lambda k: formula_problem(formula, frame, k, family, weights, offset, common, places)


def places_of(table: Table) -> Places:
    return Places(table.name, table.lines, table.reading)


def by_columns(table: Table, options: dict[str, Any]) -> Callable[[int], Made]:
    """The problem of k experts that --response, --features and --gate-features state."""
    listed = lambda name: [cell.strip() for cell in options[name].split(",")] if options[name] else []
    gate = listed("gate_features")
    others = [options[name] for name in ("response", "weights", "offset") if options[name] is not None]
    features = listed("features") or [name for name in table.header if name not in (*others, *gate)]
    for name in ("features", "gate_features"):
        if options["response"] in listed(name):
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option}: expected columns other than the response, got {options['response']!r}")
    used = [name for name in dict.fromkeys((*others, *features, *gate)) if name in table.header]
    missing = {name: np.array([table.reading.is_missing(cell) for cell in table.cells(name)]) for name in used}
    refuse_missing(missing, places_of(table))
    column = lambda name: None if options[name] is None else table.column(options[name])
    stacked = lambda names: np.array([table.column(name) for name in names]).reshape(len(names), len(table.rows)).T
    y, weights, offset = table.column(options["response"]), column("weights"), column("offset")
    x, seen = stacked(features), stacked(gate) if gate else None
    problem = lambda k: Problem.of(
        x,
        y,
        k,
        options["family"],
        seen,
        weights=weights,
        offset=offset,
        common_sigma=options["common_sigma"],
        names=features,
        gate_names=gate or None,
    )
    return lambda k: (problem(k), None)
