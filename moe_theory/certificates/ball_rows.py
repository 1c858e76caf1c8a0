"""A data set's rows in balls, block by block, with the arguments of every logistic weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flint import arb

from moe_theory.certificates.ball_formulas import Column, Formulas, Terms
from moe_theory.certificates.balls import matrix
from moe_theory.validation import Array

ENTRIES = 16384  # of the matrices that are multiplied: they fit into a cache


@dataclass(frozen=True)
class Cell:
    """{c + Gz}: |z_k - m_k| <= half[k] on the cut coordinates, ‖others‖ <= rest; theta = c + Gm, (m, d) balls."""

    theta: Any
    half: dict[int, Any]
    rest: Any


@dataclass(frozen=True)
class Block:
    """Some rows: x (b, d) balls, its columns, weights (b), the formulas' terms."""

    x: Any
    columns: list[Column]
    weight: Column
    terms: Terms

    def predictors(self, theta: Any) -> list[Column]:
        """η at θ, (m, d) balls: m columns."""
        return columns(self.x * theta.transpose())

    def logits(self, eta: Sequence[Column]) -> Column:
        """τ = offset + Δs'η."""
        total = self.terms.offset
        for slope, column in zip(self.terms.delta, eta, strict=True):
            total = [t + s * v for t, s, v in zip(total, slope, column, strict=True)]
        return total

    def gates(self, eta: Sequence[Column], scales: Sequence[tuple[Any, list[Any]]]) -> list[Column]:
        """t_k = b_k + l_k'η for every gate."""
        found = []
        for (_, slope), shift in zip(scales, self.terms.shift, strict=True):
            total = shift
            for s, column in zip(slope, eta, strict=True):
                if not s.is_zero():
                    total = [t + s * v for t, v in zip(total, column, strict=True)]
            found.append(total)
        return found


@dataclass(frozen=True)
class Rows:
    """A data set, x (n, d), y (n,), weight a float or (n,), known coefficients (k, d), with its model's formulas.

    tell: called after each block of a pass. check: called often on the way; it may raise.
    """

    x: Array
    y: Array
    weight: Array | float
    known: Array
    formulas: Formulas
    tell: Callable[[], None] = field(default=lambda: None)
    check: Callable[[], None] = field(default=lambda: None)

    @property
    def size(self) -> int:
        """Rows per block."""
        d = self.x.shape[1]
        return int(np.clip(ENTRIES // (d * (d + 1) // 2), 64, 1024))

    @property
    def count(self) -> int:
        """Blocks."""
        return -(-len(self.y) // self.size)

    def first(self) -> Rows:
        """The first block's."""
        weight = self.weight if isinstance(self.weight, float) else self.weight[: self.size]
        return Rows(self.x[: self.size], self.y[: self.size], weight, self.known, self.formulas, check=self.check)

    def blocks(self) -> Iterator[Block]:
        """One pass over the rows."""
        compiled = self.formulas.compiled()
        for start in range(0, len(self.y), self.size):
            self.check()
            here = slice(start, start + self.size)
            x = matrix(self.x[here])
            y = self.y[here].tolist()
            weight = self.weight
            weights = [arb(weight)] * len(y) if isinstance(weight, float) else [arb(w) for w in weight[here].tolist()]
            known = columns(x * matrix(self.known).transpose()) if len(self.known) else []
            yield Block(x, columns(x), weights, self.formulas.terms(y, known, compiled))
            self.tell()


def columns(balls: Any) -> list[Column]:
    """The columns of a matrix of balls."""
    return balls.transpose().tolist()
