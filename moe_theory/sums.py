"""Sums over blocks of rows: means, moments and information matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moe_theory.kernels import unpack_upper
from moe_theory.laws.rows import Block, Rows, weighted_gram
from moe_theory.model import Model
from moe_theory.validation import Array


def predictors(model: Model, block: Block, theta: Array, uses: Sequence[int] | None = None) -> list[Array]:
    """η = Θx for every row of a block, one (n,) array per predictor (or per index in `uses`)."""
    rows = model.coefficients(theta)
    # A product per predictor: BLAS takes longer for a matrix of two rows than for two vectors.
    return [row @ block.x for row in (rows if uses is None else rows[list(uses)])]


class InformationSum:
    """Accumulates E[G ⊗ xx'] from the upper triangle of per-row (m, m) matrices G, hoisting the constant entries."""

    def __init__(self, m: int, rows: Rows, constant: tuple[float | None, ...]) -> None:
        self.m, self.rows = m, rows
        self.entries = unpack_upper(list(constant), m)
        self.sums = {(a, b): np.zeros((rows.dimension,) * 2) for a, b, value in self.entries if value is None}
        self.varying = bool(self.sums)

    def add(self, block: Block, values: Sequence[Array | float]) -> None:
        """Add one block; `values` is the upper triangle on it."""
        for a, b, value in unpack_upper(list(values), self.m):
            if (a, b) in self.sums:
                self.sums[a, b] += weighted_gram(block, value, block.weight)

    def matrix(self) -> Array:
        """The (m d, m d) matrix."""
        d = self.rows.dimension
        out = np.zeros((self.m, d, self.m, d))
        for a, b, constant in self.entries:
            part = self.sums[a, b] if constant is None else constant * self.rows.gram if constant else 0.0
            out[a, :, b, :] = part
            out[b, :, a, :] = part
        return out.reshape(self.m * d, self.m * d)


def average(block: Block, values: Array) -> float:
    return block.weight * float(np.sum(values)) if isinstance(block.weight, float) else float(block.weight @ values)


def outer(block: Block, values: Sequence[Array | float] | Array) -> Array:
    """Σ weight values ⊗ x, (len(values), d)."""
    out = np.empty((len(values), block.x.shape[0]))
    for row, value in zip(out, values, strict=True):
        if isinstance(block.weight, float):
            row[...] = block.weight * (block.x @ np.broadcast_to(value, block.x.shape[1:]))
        else:
            row[...] = block.x @ (block.weight * value)
    return out
