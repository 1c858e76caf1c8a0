"""What `moe-theory fit` makes of a table: a problem for every number of experts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from moe_theory.datasets.table import Table
from moe_theory.errors import InputError
from moe_theory.mixture.formula import formula_problem
from moe_theory.mixture.frames import Places, refuse_missing
from moe_theory.mixture.problem import Problem
from moe_theory.mixture.terms import Terms
from moe_theory.validation import Array

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "<NA>", "null", "NULL", "None", "?")


Made = tuple[Problem, Terms | None]


def by_formula(table: Table, options: dict[str, Any]) -> Callable[[int], Made]:
    """The problem of k experts that --formula states, and the formula's terms."""
    frame = {name: _cells([row[i] for row in table.rows]) for i, name in enumerate(table.header)}
    weights, offset, common = (options[name] for name in ("weights", "offset", "common_sigma"))
    formula, family, places = options["formula"], options["family"], Places(table.name, table.lines)
    return lambda k: formula_problem(formula, frame, k, family, weights, offset, common, places)


def _cells(cells: Sequence[str]) -> Array:
    """A column, (n,): whole numbers, numbers, or text; not a number or None where a cell is missing."""
    if all(re.fullmatch(r"[+-]?[0-9]{1,18}", cell) for cell in cells):
        return np.array([int(cell) for cell in cells])
    try:
        return np.array([np.nan if cell in MISSING else float(cell.replace("_", "text")) for cell in cells])
    except ValueError:
        return np.array([None if cell in MISSING else cell for cell in cells], dtype=object)


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
    cells = {name: [row[table.header.index(name)] for row in table.rows] for name in used}
    missing = {name: np.array([cell in MISSING for cell in own]) for name, own in cells.items()}
    refuse_missing(missing, Places(table.name, table.lines))
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
