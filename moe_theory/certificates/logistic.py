"""σ'(t) = σ(t)(1 - σ(t)), the one weight of all these models, bounded over intervals together with its derivatives.

σ' is even, falls with |t| and is at most 1/4. σ'' = -σ' tanh(t/2). σ''' = σ'(1 - 6σ') is even, -1/8 at 0, rises to
1/24 at |t| = log(5 + 2√6), where σ' = 1/12, then falls to 0. Bounds hold with the rounding of their own evaluation.
"""

from __future__ import annotations

import numpy as np

from moe_theory.certificates.rounding import SCALAR
from moe_theory.validation import Array

PIECES = 4  # of the interval, in the remainder of a Taylor expansion
WEIGHTS = tuple((2 * (PIECES - k) - 1) / (2 * PIECES**2) for k in range(PIECES))  # ∫(1-u) du over the k-th quarter
BEND = float(np.log(5 + 2 * np.sqrt(6)))
NEAR = 1e-9  # of the maximum of σ''': nearer than this an interval's end counts as beyond
FLOOR = 1e-300


def variance(t: Array) -> Array:
    """σ'(t), to rounding."""
    small = np.exp(-np.minimum(np.abs(t), 700.0))
    return small / (1 + small) ** 2


def slope(t: Array) -> Array:
    """σ''(t), to rounding; |σ''| <= σ'."""
    return -variance(t) * np.tanh(t / 2)


def most(t: Array, reach: Array) -> Array:
    """An upper bound of σ' on [t - reach, t + reach]."""
    return variance(np.maximum(np.abs(t) - reach, 0.0)) * (1 + SCALAR) + FLOOR


def least(t: Array, reach: Array) -> Array:
    """A lower bound >= 0 of σ' on [t - reach, t + reach]."""
    return np.maximum(variance(np.abs(t) + reach) * (1 - SCALAR) - FLOOR, 0.0)


def remainder(t: Array, reach: Array) -> tuple[Array, Array]:
    """(low, high), low <= 0 <= high, with low s² <= σ'(t+s) - σ'(t) - σ''(t)s <= high s² for all |s| <= reach.

    The remainder is s² ∫_0^1 (1-u) σ'''(t+us) du; the integral is cut in four, on each of which σ''' is bounded.
    """
    low, high = np.zeros_like(t), np.zeros_like(t)
    size = np.abs(t)
    for k, weight in enumerate(WEIGHTS):
        part = reach * ((k + 1) / PIECES)
        near, far = np.maximum(size - part, 0.0), size + part
        ends = [_third(near), _third(far)]
        inside = (near <= BEND + NEAR) & (far >= BEND - NEAR)
        high += weight * np.maximum(np.where(inside, 1 / 24, np.maximum(*ends)), 0.0)
        low += weight * np.minimum(np.minimum(*ends), 0.0)
    return low - SCALAR, high + SCALAR


def _third(t: Array) -> Array:
    v = variance(t)
    return v * (1 - 6 * v)
