"""Degenerate is what a linear programme says has no maximum, and nothing else: an independent judge on random data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

import moe_theory as mt


def recedes(rows: np.ndarray, fixed: np.ndarray | None = None) -> bool:
    """Is there a v with rows v >= 0, somewhere > 0, and fixed v = 0? (Albert and Anderson, Biometrika 1984)"""
    upper = np.vstack([-rows, rows])  # cut at 1, so that the programme has an end
    bounds = np.r_[np.zeros(len(rows)), np.ones(len(rows))]
    zero = None if fixed is None or not len(fixed) else fixed
    equal = None if zero is None else np.zeros(len(zero))
    found = linprog(-rows.sum(axis=0), upper, bounds, zero, equal, bounds=(None, None))
    assert found.status == 0
    return -found.fun > 1e-7


def separates(family: str, x: np.ndarray, y: np.ndarray) -> bool:
    """Whether a single expert's likelihood has its supremum at infinity."""
    design = np.column_stack([np.ones(len(y)), x])
    design /= np.max(np.abs(design), axis=0)
    if family == "binomial":
        return recedes((2 * y - 1)[:, None] * design)
    if family == "poisson":
        return recedes(-design[y == 0], design[y > 0])
    classes, rows = int(np.max(y)) + 1, []
    for row, own in zip(design, y.astype(int), strict=True):
        for other in set(range(classes)) - {own}:
            block = np.zeros((classes, len(row)))
            block[own], block[other] = row, -row
            rows.append(block[1:].ravel())  # class 0 is the reference
    return recedes(np.array(rows))


def draw(family: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Few rows, often with few values: complete, quasi-complete and no separation; columns of very different units."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(8, 60)), int(rng.integers(1, 4))
    x = rng.standard_normal((n, d))
    if seed % 3 == 0:
        x[:, 0] = rng.integers(0, 3, n)
    if seed % 5 == 0:
        x = np.round(x, 1)
    eta = x @ rng.standard_normal(d) * rng.choice([0.3, 2.0, 10.0]) + rng.standard_normal()
    if family == "poisson":
        y = rng.poisson(np.exp(np.clip(eta - 2.0, -9, 4))).astype(float)
    elif family == "binomial":
        y = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)
    else:
        y = np.digitize(eta + rng.logistic(size=n), [-0.5, 0.8]).astype(float)
    return x * 10.0 ** rng.uniform(-2, 2, d), y


@pytest.mark.parametrize("family", ["binomial", "poisson", "multinomial"])
def test_degenerate_is_what_a_linear_programme_says(family: str) -> None:
    counts = {True: 0, False: 0}
    for seed in range(150):
        x, y = draw(family, seed)
        if len(np.unique(y)) < (3 if family == "multinomial" else 2):
            continue
        found = mt.fit_mixture(x, y, 1, family, restarts=1)
        expected = separates(family, x, y)
        counts[expected] += 1
        assert (found.reason == "degenerate") == expected, (seed, found.reason, found.message)
        assert found.inference.unattained.any() == expected
    assert min(counts.values()) > 8, counts
