"""Sums over rows, by group: merged by adding them, and with one group left out by taking it off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property, reduce
from operator import add
from typing import Any, Generic, Self, TypeVar

from moe_theory.laws.rows import Block
from moe_theory.moments.source import Source


class Sums:
    """A dataclass of sums: added and subtracted field by field."""

    def __add__(self, other: Self) -> Self:
        return type(self)(*(a + b for a, b in zip(self._parts, other._parts, strict=True)))

    def __sub__(self, other: Self) -> Self:
        return type(self)(*(a - b for a, b in zip(self._parts, other._parts, strict=True)))

    @property
    def _parts(self) -> tuple[Any, ...]:
        return tuple(getattr(self, f.name) for f in fields(self))  # type: ignore[arg-type]


S = TypeVar("S", bound=Sums)


@dataclass(frozen=True, eq=False)
class Grouped(Generic[S]):
    """The sums of each group of rows."""

    groups: tuple[S, ...]

    @classmethod
    def over(cls, source: Source, work: Callable[[Block], S]) -> Grouped[S]:
        """By one pass; work: the sums of one block."""
        found: dict[int, S] = {}
        for group, block in source:
            sums = work(block)
            found[group] = found[group] + sums if group in found else sums
        return cls(tuple(found.values()))

    def __len__(self) -> int:
        return len(self.groups)

    @cached_property
    def total(self) -> S:
        """Of all rows."""
        return reduce(add, self.groups)

    def without(self, group: int | None) -> S:
        """Of all rows but one group's; of all for None."""
        return self.total if group is None else self.total - self.groups[group]
