"""From a user's arrays to a model and a law: features of experts and gate, intercepts, offset, weights, all checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.design import Design
from moe_theory.errors import InputError
from moe_theory.evaluation.families import LARGEST, MOST
from moe_theory.evaluation.layout import Layout, require_layout
from moe_theory.laws.columns import Columns
from moe_theory.laws.rows import Block
from moe_theory.mixture.units import Units
from moe_theory.model import Model
from moe_theory.structure import FAMILIES, Softmax
from moe_theory.validation import Array, full_rank_of, real_array, whole_number
from moe_theory.zoo import softmax_moe

INTERCEPT = "(Intercept)"
SCALE, OFFSET = "(scale)", "(offset)"
HUGE = 1e150  # of a response, in size
LARGE = 1e153  # of a feature, in size
NEAR = 2e-5  # part of a feature that those before it do not explain: below it normal equations lose too many digits


@dataclass(frozen=True, eq=False)
class Features:
    """Named features of the experts and the gate, in the user's order, and where each stands among a table's columns.

    shared: the experts' features that the gate sees too. Columns are ordered so that either's are neighbours: the
    experts' own, the shared ones, the gate's own, then a constant for the log sigmas (if no intercept serves), then
    the offset.
    """

    experts: tuple[str, ...]
    gate: tuple[str, ...]
    shared: tuple[str, ...]
    offset: bool
    scaled: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the table's columns, in order; a gate's own feature is marked if the name is taken."""
        own = [n for n in self.experts if n not in self.shared]
        gate = [self.gate_column(n) for n in self.gate if n not in self.shared]
        extra = [SCALE] * (self.scaled and self.scale == SCALE) + [OFFSET] * self.offset
        return (*own, *self.shared, *gate, *extra)

    def gate_column(self, name: str) -> str:
        """The column of a gate's feature."""
        return name if name in self.shared or name not in self.experts else f"{name} (gate)"

    @property
    def scale(self) -> str:
        """The constant column that log sigmas see."""
        return INTERCEPT if INTERCEPT in (*self.experts, *self.gate) else SCALE

    def designed(self, model: Model) -> Model:
        """The model with predictors that see these columns."""
        s, names = model.structure, model.predictors
        if s is None:
            raise InputError(f"model: expected a softmax mixture of experts, got {model.name}")
        sees = dict.fromkeys(names[s.experts], self.experts)
        sees |= dict.fromkeys(names[s.gate], tuple(self.gate_column(n) for n in self.gate))
        sees |= dict.fromkeys(names[s.scales], (self.scale,))
        return model.designed(self.columns, sees, dict.fromkeys(names[s.experts], OFFSET) if self.offset else None)

    def pieces(self, x: Array, gate: Array, offset: Array | None, intercept: bool) -> list[Array | float]:
        """The columns, from the experts' features (n, d), the gate's (n, g), without intercepts, the offset (n,)."""
        first = int(intercept)
        by_name: dict[str, Array | float] = {INTERCEPT: 1.0} if intercept else {}
        by_name |= {n: x[:, i] for i, n in enumerate(self.experts[first:])}
        by_name |= {self.gate_column(n): gate[:, i] for i, n in enumerate(self.gate[first:]) if n not in self.shared}
        if offset is not None:
            by_name[OFFSET] = offset
        by_name.setdefault(SCALE, 1.0)
        return [by_name[name] for name in self.columns]


@dataclass(frozen=True, eq=False)
class Given:
    """The user's arrays: the table's columns, (n,) or a number each, responses (n,), weights (n,) or None."""

    columns: list[Array | float]
    y: Array
    weight: Array | None


@dataclass(frozen=True, eq=False)
class Problem:
    """A mixture of experts and its data.

    model: a softmax mixture with a design. given: the data as they came. units: those in which the model is fitted, in
    which the table is `standard`. features: their names. family: of the experts. classes: the labels of a response that
    is not numeric or multinomial, in order of their codes. rows: total weight, the n of BIC. intercept: whether `of`
    put a constant before both.
    """

    model: Model
    given: Given
    units: Units
    standard: Columns
    features: Features
    family: str
    classes: tuple[str, ...]
    rows: float
    intercept: bool = True

    @classmethod
    def of(
        cls,
        x: ArrayLike,
        y: ArrayLike,
        k: int = 2,
        family: str = "gaussian",
        gate: ArrayLike | None = None,
        *,
        weights: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        intercept: bool = True,
        common_sigma: bool = False,
        names: Sequence[str] | None = None,
        gate_names: Sequence[str] | None = None,
        classes: Sequence[str] = (),
    ) -> Problem:
        """From arrays: x (n, d) of the experts, y (n,), gate (n, g) (None: as x), weights (n,) that say how many rows
        each stands for, offset (n,) added to every expert's predictor. intercept: a constant feature before both.

        Raises InputError for k < 1 or more experts than rows, an unknown family, shapes that do not match, values
        that are not finite, responses outside the family's domain, a constant response, a class that never occurs,
        features of experts or gate without full rank.
        """
        if family not in FAMILIES:
            raise InputError(f"family: expected one of {', '.join(FAMILIES)}, got {family!r}")
        k = whole_number("k", k, least=1)
        names = _column_names(x) if names is None else names
        gate_names = _column_names(gate) if gate_names is None else gate_names
        experts, response = real_array("x", x, ndim=2), real_array("y", y, ndim=1)
        n = len(response)
        if n == 0 or len(experts) != n:
            raise InputError(f"x: expected {n or 'at least one'} rows, one per response, got shape {experts.shape}")
        if k > n:
            raise InputError(f"k: expected at most as many experts as rows, {n}, got {k}")
        seen = experts if gate is None else real_array("gate", gate, ndim=2)
        if len(seen) != n:
            raise InputError(f"gate: expected {n} rows, one per response, got shape {seen.shape}")
        weight = _weights(weights, n)
        shift = None if offset is None else real_array("offset", offset, ndim=1)
        if shift is not None and shift.shape != (n,):
            raise InputError(f"offset: expected shape ({n},), one number per response, got {shift.shape}")
        count = _check_response(family, response, weight, len(classes))
        if family == "poisson" and shift is not None and np.max(np.abs(shift)) > LARGEST:
            raise InputError(f"offset: expected log-rates of at most {LARGEST:g}, got {np.max(np.abs(shift)):g}")
        own = _named("names", names, experts.shape[1], "x", intercept)
        other = own if gate is None else _named("gate_names", gate_names, seen.shape[1], "w", intercept)
        if not own:
            raise InputError("x: expected at least one feature or an intercept, got none")
        if not other and k > 1:
            raise InputError("gate: expected at least one feature or an intercept, got none")
        _check_size("x", own, experts, intercept)
        _check_size("gate", other, seen, intercept)
        first = int(intercept)
        # What only one of them has a constant to absorb the shift of is not the same column for both.
        alike = gate is None or intercept or _has_constant(experts) == _has_constant(seen)
        shared = tuple(
            name
            for i, name in enumerate(own)
            if alike
            and name in other
            and (i < first or gate is None or np.array_equal(experts[:, i - first], seen[:, other.index(name) - first]))
        )
        for argument, part, table in (("names", own, experts), ("gate_names", other, seen)):
            _check_reserved(argument, part[first:], table)
        features = Features(own, other, shared, shift is not None, family == "gaussian")
        model = features.designed(softmax_moe(k, family, count or 3, common_sigma))
        given = Given(features.pieces(experts, seen, shift, intercept), response, weight)
        units = _units(model, features, given)
        law = _in_units(units, given)
        _check_rank("x", law, features, own)
        if gate is not None and k > 1:
            _check_rank("gate", law, features, tuple(features.gate_column(name) for name in other))
        total = float(n if weight is None else np.sum(weight))
        return cls(model, given, units, law, features, family, tuple(map(str, classes)), total, intercept)

    @cached_property
    def law(self) -> Columns:
        """The table in the user's units."""
        return Columns(self.given.columns, self.given.y, self.given.weight)

    @cached_property
    def layout(self) -> Layout:
        """Which columns experts and gate see, and the array kernels."""
        return require_layout(self.model, self.standard)

    @property
    def structure(self) -> Softmax:
        """Which row of θ is what."""
        return self.layout.structure

    @property
    def design(self) -> Design:
        """Which entries of θ are learnt; InputError for a model that was not made by `of`."""
        if self.model.design is None:
            raise InputError(f"model: expected one with a design, got {self.model.name}")
        return self.model.design

    def experts_of(self, values: Array) -> Array:
        """The experts' entries of θ or of what is laid out as it, (k, d) or (k, C-1, d), in the features' order."""
        s = self.structure
        own = values[s.experts][:, [self.features.columns.index(name) for name in self.features.experts]]
        return own.reshape(s.k, s.per_expert, -1) if self.family == "multinomial" else own

    def gate_of(self, values: Array) -> Array:
        """The gate's, (k, g), in the features' order; 0 for label 1."""
        columns = [self.features.columns.index(self.features.gate_column(name)) for name in self.features.gate]
        return np.vstack([np.zeros((1, len(columns))), values[self.structure.gate][:, columns]])

    def block(
        self, x: ArrayLike, gate: ArrayLike | None = None, offset: ArrayLike | None = None, y: Array | None = None
    ) -> Block:
        """New rows, (n, d) and (n, g) as in `of`, as a block of the table's columns in the user's units; InputError for
        other shapes, or an offset that is missing or too much."""
        first = int(self.intercept)
        experts = real_array("x", _in_order("x", x, self.features.experts[first:]), ndim=2)
        if experts.shape[1] != len(self.features.experts) - first:
            raise InputError(f"x: expected {len(self.features.experts) - first} features, got {experts.shape[1]}")
        order = _in_order("gate", gate, self.features.gate[first:])
        seen = experts if order is None else real_array("gate", order, ndim=2)
        expected = (len(experts), len(self.features.gate) - first)
        if seen.shape != expected:
            raise InputError(f"gate: expected shape {expected}, as in the fit, got {seen.shape}")
        if (offset is None) == self.features.offset:
            raise InputError(
                f"offset: expected {'one number per row' if self.features.offset else 'none'}, as in the fit"
            )
        shift = None if offset is None else real_array("offset", offset, ndim=1)
        pieces = self.features.pieces(experts, seen, shift, bool(first))
        table = np.stack([np.broadcast_to(piece, (len(experts),)) for piece in pieces])
        return Block(table, np.zeros(len(experts)) if y is None else y, 1.0)


def _units(model: Model, features: Features, given: Given) -> Units:
    place, design, structure = features.columns.index, model.design, model.structure
    assert design is not None and structure is not None
    parts = [place(n) for n in features.experts], [place(features.gate_column(n)) for n in features.gate]
    offset = place(OFFSET) if features.offset else None
    sigma = place(features.scale) if features.scaled else 0
    return Units.of(given.columns, given.y, given.weight, design, structure, parts, sigma, offset)


def _in_units(units: Units, given: Given) -> Columns:
    """The table in these units, of which no other copy is made."""
    law = Columns(given.columns, given.y.copy(), given.weight)
    for block in law.blocks:
        block.y[...] = units.respond(block.y, block.x)
        units.standardise(block.x)
    return law


def _has_constant(table: Array) -> bool:
    return bool(np.any(np.all(table == table[:1], axis=0) & (table[0] != 0)))


def _check_size(argument: str, names: tuple[str, ...], table: Array, intercept: bool) -> None:
    if table.size and np.max(np.abs(table)) > LARGE:
        column = int(np.argmax(np.max(np.abs(table), axis=0)))
        raise InputError(
            f"{argument}: expected values whose squares are finite, got {np.max(np.abs(table)):g} in column"
            f" {names[column + intercept]!r}"
        )


def _column_names(table: Any) -> tuple[str, ...] | None:
    """Of a data frame; None for arrays."""
    columns = getattr(table, "columns", None)
    return None if columns is None else tuple(map(str, columns))


def _in_order(argument: str, table: Any, names: tuple[str, ...]) -> Any:
    """A data frame's columns in the order of the fit's; InputError where it has some of them, but not all."""
    given = _column_names(table)
    if given is None or given == names or not set(given) & set(names):
        return table
    if missing := [n for n in names if n not in given]:
        raise InputError(f"{argument}: expected the fit's columns {', '.join(names)}, got none called {missing[0]}")
    return table.iloc[:, [given.index(n) for n in names]] if hasattr(table, "iloc") else table


def _check_rank(argument: str, law: Columns, features: Features, names: tuple[str, ...]) -> None:
    columns = [features.columns.index(name) for name in names]
    n = len(law)
    full_rank_of(argument, lambda: ((b.x[columns].T, b.weight * n) for b in law.blocks), n, len(names), names, NEAR)


def _named(argument: str, names: Sequence[str] | None, d: int, letter: str, intercept: bool) -> tuple[str, ...]:
    found = tuple(str(n) for n in names) if names is not None else tuple(f"{letter}{i + 1}" for i in range(d))
    if len(found) != d or len(set(found)) != d:
        raise InputError(f"{argument}: expected {d} distinct names, got {', '.join(found) or 'none'}")
    return (INTERCEPT, *found) if intercept else found


def _check_reserved(argument: str, names: tuple[str, ...], table: Array) -> None:
    for i, name in enumerate(names):
        if name in (SCALE, OFFSET) or (name == INTERCEPT and not np.all(table[:, i] == 1)):
            raise InputError(f"{argument}: expected names other than {name!r}, which is the fit's own")


def _weights(weights: ArrayLike | None, n: int) -> Array | None:
    if weights is None:
        return None
    weight = real_array("weights", weights, ndim=1)
    if weight.shape != (n,):
        raise InputError(f"weights: expected shape ({n},), one number per response, got {weight.shape}")
    if np.min(weight) < 0 or not np.any(weight > 0):
        raise InputError(f"weights: expected numbers >= 0, not all 0, got least {np.min(weight):g}")
    return weight


def check_counts(argument: str, y: Array) -> None:
    """InputError where there are counts so large that doubles skip whole numbers."""
    if np.max(y, initial=0.0) > MOST:
        row = int(np.argmax(y))
        raise InputError(
            f"{argument}: expected counts of at most 2^53, {MOST:.0f} (beyond it doubles skip whole numbers), got"
            f" {y[row]:g} in row {row}"
        )


def _check_response(family: str, y: Array, weight: Array | None, named: int) -> int:
    """How many classes there are, 0 for families without; InputError where the family cannot have such a response."""
    if np.max(np.abs(y)) > HUGE:
        raise InputError(f"y: expected responses whose squares are finite, got {y[np.argmax(np.abs(y))]:g}")
    used = y if weight is None else y[weight > 0]
    if np.all(used == used[0]):
        raise InputError(f"y: expected responses that vary, got {used[0]:g} in every row")
    if family == "binomial" and not np.all((y == 0) | (y == 1)):
        bad = y[(y != 0) & (y != 1)][0]
        raise InputError(f"y: expected 0 or 1 for binomial experts, got {bad:g} in row {int(np.argmax(y == bad))}")
    if family in ("poisson", "multinomial"):
        bad_rows = np.flatnonzero((y < 0) | (y != np.floor(y)))
        if len(bad_rows):
            first = int(bad_rows[0])
            raise InputError(f"y: expected whole numbers >= 0 for {family} experts, got {y[first]:g} in row {first}")
    if family == "poisson":
        check_counts("y", y)
    if family != "multinomial":
        return 0
    count = max(named, int(np.max(y)) + 1)
    if count > len(y):
        raise InputError(
            f"y: expected classes 0, 1, …, each of them in some row, got {int(np.max(y))} in {len(y)} rows"
        )
    missing = np.setdiff1d(np.arange(count), used)
    if len(missing):
        raise InputError(f"y: expected every class 0 … {count - 1} to occur, class {int(missing[0])} never does")
    return max(count, 2)
