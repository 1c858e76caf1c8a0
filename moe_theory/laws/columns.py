"""A table put together from pieces, held once: feature-major blocks and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import DTypeLike

from moe_theory.laws.rows import Block, Rows
from moe_theory.laws.table import Finite
from moe_theory.validation import Array, whole_number

#: rows in a block of a table for array kernels, whose temporaries then stay in a core's own cache; from about 5000 on
#: OpenBLAS starts threads, which only wait for each other here
SMALL_BLOCK = 4096


class Columns(Finite):
    """A finite table whose D features come in pieces, each (n, d_i), (n,) or a number that stands for a constant
    column.

    The pieces are copied into blocks one after the other, so that memory is that of the table itself. y and weight as
    in `Finite`; all values have been checked by the caller. dtype: of the features; float32 halves the memory and the
    time of products of first order (θ and all sums stay float64). threads: see `Rows`.
    """

    def __init__(
        self,
        pieces: Sequence[Array | float],
        y: Array,
        weight: Array | None = None,
        block: int = SMALL_BLOCK,
        dtype: DTypeLike = np.float64,
        threads: int = 1,
    ) -> None:
        self.threads = whole_number("threads", threads, least=1)
        if np.dtype(dtype) == np.float32:
            self.accuracy = 1e-8  # of L: rounding of single rows, of 1e-7, averages out
        widths = [p.shape[1] if isinstance(p, np.ndarray) and p.ndim == 2 else 1 for p in pieces]
        self.y = y
        self.weight = 1.0 / len(y) if weight is None else weight / np.sum(weight)
        self.dimension = sum(widths)
        self._block = whole_number("block", block, least=1)
        starts = np.cumsum([0, *widths])
        made = []
        for a in range(0, len(y), block):
            rows = slice(a, a + block)
            x = np.empty((self.dimension, len(y[rows])), dtype)
            for piece, first, width in zip(pieces, starts, widths, strict=False):
                part = piece[rows].T if isinstance(piece, np.ndarray) else piece
                x[first : first + width] = part
            made.append(Block(x, y[rows], self.weight if isinstance(self.weight, float) else self.weight[rows].copy()))
        # Kept under the name of the property of `Finite` that splits its arrays.
        self.__dict__["_blocks"] = made

    @cached_property
    def _rows(self) -> Rows:
        return Rows(self.dimension, lambda: self.blocks, threads=self.threads)

    @property
    def blocks(self) -> list[Block]:
        """All rows."""
        return self.__dict__["_blocks"]

    @property
    def x(self) -> Array:  # type: ignore[override]
        """All features, (n, D): a copy, made anew each time."""
        return np.concatenate([b.x for b in self.blocks], axis=1).T
