"""Curves of runs: few points that say it all, when a level is reached, how fast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moe_theory.validation import Array


def thinned(values: Array, fall: float = 0.4, growth: float = 1.35) -> list[int]:
    """Indices of a curve's points to keep: the ends, and every point at which log10 of the value has moved by `fall`
    since the last one kept, or the index has grown `growth`-fold. A straight line in the logarithm stays one."""
    height = np.log10(np.maximum(np.asarray(values, dtype=float), 1e-300))
    kept = [0]
    for i in range(1, len(height)):
        last = kept[-1]
        if abs(height[i] - height[last]) >= fall or i >= growth * max(last, 1) or i == len(height) - 1:
            kept.append(i)
    return kept


def reached(x: Sequence[float] | Array, values: Sequence[float] | Array, goal: float) -> float:
    """The first x at which the values are at most `goal`; infinite where they never are."""
    below = np.flatnonzero(np.asarray(values, dtype=float) <= goal)
    return float(np.asarray(x, dtype=float)[below[0]]) if len(below) else float("inf")


def contraction(values: Sequence[float] | Array, high: float, low: float, least: int = 4) -> float:
    """Geometric mean of the factors by which the values fall per index between the first below `high` and the last
    above `low`, least steps apart; not a number where they do not get there."""
    array = np.asarray(values, dtype=float)
    inside = np.flatnonzero((array <= high) & (array >= low))
    if not len(inside) or inside[-1] - inside[0] < least:
        return float("nan")
    first, last = int(inside[0]), int(inside[-1])
    # The second half: the first still shows what falls faster.
    middle = (first + last) // 2
    return float((array[last] / array[middle]) ** (1 / (last - middle)))
