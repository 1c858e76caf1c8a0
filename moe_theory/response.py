"""Domains of the response: which y there are, and with respect to which measure its density is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import sympy as sp

from moe_theory.atoms import exact
from moe_theory.errors import InputError
from moe_theory.validation import Array, real_array


class Domain:
    """Where y may be.

    low, high: its ends (a domain with Lebesgue measure is the open interval between them). values: its members, if they
    are finitely many, else (); `exact`: the same as SymPy numbers. whole: whole numbers only (counting measure).
    """

    low: float
    high: float
    values: tuple[float, ...]
    whole: bool = False

    @property
    def exact(self) -> tuple[sp.Expr, ...]:
        """The values as SymPy numbers, floats as the decimals they print as."""
        return tuple(exact(v) for v in self.values)

    @property
    def symbol(self) -> sp.Symbol:
        """A symbol for y that knows its sign."""
        if self.whole:
            return sp.Symbol("y", integer=True, nonnegative=True)
        reached = bool(self.values)  # an interval is open
        if self.low > 0 or (self.low == 0 and not reached):
            return sp.Symbol("y", positive=True)
        if self.high < 0 or (self.high == 0 and not reached):
            return sp.Symbol("y", negative=True)
        return sp.Symbol("y", real=True)

    def check(self, name: str, y: Array) -> None:
        """InputError, with the first row, unless every entry of `y` is in the domain."""
        bad = self._outside(y)
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(f"{name}: expected values in {self}, got {y[row]:.17g} in row {row}")

    def _outside(self, y: Array) -> Array:
        return ~((y > self.low) & (y < self.high))


@dataclass(frozen=True)
class Reals(Domain):
    """Every real number."""

    low, high, values = -math.inf, math.inf, ()

    def __str__(self) -> str:
        return "the real numbers"


@dataclass(frozen=True)
class Positive(Domain):
    """Every number > 0.

    >>> Positive().check("y", np.array([1.0, 0.0]))
    Traceback (most recent call last):
    moe_theory.errors.InputError: y: expected values in the numbers > 0, got 0 in row 1
    """

    low, high, values = 0.0, math.inf, ()

    def __str__(self) -> str:
        return "the numbers > 0"


@dataclass(frozen=True)
class Interval(Domain):
    """Every number between `low` and `high`, either of which may be infinite; InputError unless low < high."""

    low: float
    high: float
    values = ()

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = getattr(self, name)
            number = float(value) if value in (-math.inf, math.inf) else float(real_array(name, value, ndim=0))
            object.__setattr__(self, name, number)
        if not self.low < self.high:
            raise InputError(f"low: expected less than high, got {self.low:g} and {self.high:g}")

    def __str__(self) -> str:
        return f"the numbers between {self.low:g} and {self.high:g}"


@dataclass(frozen=True)
class Values(Domain):
    """A finite set of numbers, `values`, with counting measure; InputError for fewer than two, or what is no number."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = real_array("values", self.values, ndim=1).tolist()
        object.__setattr__(self, "values", tuple(int(v) if v == int(v) else v for v in numbers))
        if len(set(self.values)) < 2 or len(set(self.values)) < len(self.values):
            raise InputError(f"values: expected at least two distinct responses, got {self.values}")

    @property
    def low(self) -> float:  # type: ignore[override]
        """The least."""
        return float(min(self.values))

    @property
    def high(self) -> float:  # type: ignore[override]
        """The largest."""
        return float(max(self.values))

    def _outside(self, y: Array) -> Array:
        return np.logical_and.reduce([y != value for value in self.values])

    def __str__(self) -> str:
        return "{" + ", ".join(str(v) for v in self.values) + "}"


@dataclass(frozen=True)
class Counts(Domain):
    """0, 1, 2, …, with counting measure."""

    low, high, values, whole = 0.0, math.inf, (), True

    def _outside(self, y: Array) -> Array:
        return (y < 0) | (y != np.floor(y))

    def __str__(self) -> str:
        return "the whole numbers >= 0"
