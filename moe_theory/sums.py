"""Sums over blocks of rows: means, moments and information matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from moe_theory.laws.rows import Block, Rows, weighted_gram
from moe_theory.model import Model
from moe_theory.validation import Array


def total(blocks: Iterable[Block], work: Callable[[Block], list[Any]], threads: int = 1) -> list[Any]:
    """Σ over blocks of the list of numbers and arrays that `work` returns for one, added in the blocks' order.

    threads: share the blocks out, each with one thread of BLAS; the sums do not depend on it. It gains where products
    with many features take the time; where they are few, passes are bound by memory and it gains nothing.
    """
    if threads > 1:
        with _controller().limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            return _added(pool.map(work, blocks))
    return _added(map(work, blocks))


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def _added(results: Iterator[list[Any]]) -> list[Any]:
    sums = next(results)
    for result in results:
        sums = [a + b for a, b in zip(sums, result, strict=True)]
    return sums


def predictors(model: Model, block: Block, theta: Array, uses: Sequence[int] | None = None) -> list[Array]:
    """η = Θx for every row of a block, one (n,) array per predictor (or per index in `uses`)."""
    rows = model.coefficients(theta)
    # A product per predictor: BLAS takes longer for a matrix of two rows than for two vectors.
    return [row @ block.x for row in (rows if uses is None else rows[list(uses)])]


class Information:
    """E[G ⊗ xx'] from the upper triangle of per-row (m, m) matrices G, constant entries hoisted.

    terms: what one block contributes; matrix: the (m d, m d) result of their sum, or its part on the learnt entries.
    learnt: positions of these among the m d, None for all. keys: the (a, b) that are given, by default the whole upper
    triangle; G is 0 elsewhere.
    """

    def __init__(
        self,
        m: int,
        rows: Rows,
        constant: Sequence[float | None],
        learnt: Array | None = None,
        keys: Sequence[tuple[int, ...]] | None = None,
    ) -> None:
        self.m, self.rows, self.learnt = m, rows, learnt
        if keys is None:
            keys = [(a, b) for a in range(m) for b in range(a, m)]
        self.entries = [(a, b, value) for (a, b), value in zip(keys, constant, strict=True)]
        self.varying = [i for i, (_, _, value) in enumerate(self.entries) if value is None]

    def terms(self, block: Block, values: Sequence[Array | float]) -> list[Array]:
        """Σ weight G_ab xx' for each entry that varies, given the upper triangle on the block."""
        return [weighted_gram(block, values[i], block.weight) for i in self.varying]

    def matrix(self, terms: Sequence[Array]) -> Array:
        """The (m d, m d) matrix, or (p, p) on the learnt entries."""
        d = self.rows.dimension
        out = np.zeros((self.m, d, self.m, d))
        varying = iter(terms)
        for a, b, constant in self.entries:
            part = next(varying) if constant is None else constant * self.rows.gram if constant else 0.0
            out[a, :, b, :] = part
            out[b, :, a, :] = part
        whole = out.reshape(self.m * d, self.m * d)
        return whole if self.learnt is None else whole[np.ix_(self.learnt, self.learnt)]


def average(block: Block, values: Array) -> float:
    """Σ weight values."""
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
