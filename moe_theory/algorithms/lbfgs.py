"""Limited-memory quasi-Newton steps from values and gradients alone, in a metric that bounds the curvature."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

from moe_theory.errors import DegenerateError
from moe_theory.validation import Array

PAIRS = 10
DECREASE, SLOPE = 1e-4, 0.9  # of Wolfe's conditions
TRIALS = 40


class Point(Protocol):
    """A function's value and gradient somewhere."""

    @property
    def theta(self) -> Array: ...
    @property
    def objective(self) -> float: ...
    @property
    def gradient(self) -> Array: ...


P = TypeVar("P", bound=Point)


class Memory:
    """What the last steps taught of the inverse Hessian (L-BFGS, Nocedal and Wright 2006, Algorithm 7.4).

    solve: g -> M^{-1} g, what it is taken for where nothing is known, up to a scale; None for the identity.
    """

    def __init__(self, solve: Callable[[Array], Array] | None = None, pairs: int = PAIRS) -> None:
        self.solve = solve or (lambda g: g)
        self.pairs: deque[tuple[Array, Array, float]] = deque(maxlen=pairs)
        self.scale = 1.0

    def direction(self, gradient: Array) -> Array:
        """Minus the inverse times the gradient."""
        q, shares = gradient.copy(), []
        for move, change, product in reversed(self.pairs):
            share = float(np.sum(move * q)) / product
            shares.append(share)
            q -= share * change
        q = self.scale * self.solve(q)
        for (move, change, product), share in zip(self.pairs, reversed(shares), strict=True):
            q += (share - float(np.sum(change * q)) / product) * move
        return -q

    def learn(self, move: Array, change: Array, solved: Array | None = None) -> None:
        """From a step and what it changed in the gradient; nothing where they do not curve up. solved: M^{-1} change,
        where that is known."""
        product = float(np.sum(move * change))
        if product > 1e-12 * float(np.linalg.norm(move) * np.linalg.norm(change)):
            self.pairs.append((move, change, product))
            self.scale = product / float(np.sum(change * (self.solve(change) if solved is None else solved)))


def searched(
    function: Callable[[Array], P], at: P, direction: Array, first: float = 1.0, most: int = TRIALS, slack: float = 0.0
) -> P | None:
    """A point along the direction that meets Wolfe's (weak) conditions, by doubling and halving from `first`; the best
    that decreases if `most` evaluations do not find one, None if none does. slack: rounding of the values."""
    slope = float(np.sum(at.gradient * direction))
    if not slope < 0:
        raise DegenerateError("line search: expected a direction of descent")
    low, high, step = 0.0, np.inf, first
    best: P | None = None
    for _ in range(most):
        there = function(at.theta + step * direction)
        decreases = there.objective <= at.objective + DECREASE * step * slope + slack
        if not decreases:
            high = step
        else:
            if best is None or there.objective <= best.objective:
                best = there
            if float(np.sum(there.gradient * direction)) >= SLOPE * slope:
                return there
            low = step
        step = 2 * low if np.isinf(high) else (low + high) / 2
    return best
