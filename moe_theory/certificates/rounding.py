"""Rounding accounted for: a-priori error bounds of sums and products, positive definiteness proved in floats.

Assumed of the machine: IEEE 754 doubles rounded to nearest, conventional matrix products (in any order, with or
without fused operations), `exp` and `tanh` within 2^-46 relative. (The checker assumes none of it.) Sources: Higham,
Accuracy and Stability of Numerical Algorithms, SIAM 2002, sections 3.1 and 3.5; Rump, Verification of positive
definiteness, BIT 46, 2006.
"""

from __future__ import annotations

import decimal

import numpy as np

from moe_theory.validation import Array

UNIT = 2.0**-53
SCALAR = 2.0**-43  # of a chain of a few dozen operations without cancellation, an `exp` among them
TINY = 1e-120  # sizes below it count as it: what underflows is far below the error bounds then
UP = 1 + 2.0**-40  # makes a computed number of non-negative terms an upper bound


def gamma(n: float) -> float:
    """γ_n = nu/(1 - nu), the relative error of n operations (times UP, so that computing it does not matter)."""
    return UP * n * UNIT / (1 - n * UNIT)


def at_most(value: float, digits: int = 6) -> str:
    """The number in so many digits, rounded down: what is proved of all numbers up to it is proved of what is shown."""
    return _shown(value, digits, decimal.ROUND_FLOOR)


def at_least(value: float, digits: int = 6) -> str:
    """The number in so many digits, rounded up: an upper bound stays one when it is shown."""
    return _shown(value, digits, decimal.ROUND_CEILING)


def _shown(value: float, digits: int, rounding: str) -> str:
    short = decimal.Context(prec=digits, rounding=rounding).create_decimal_from_float(value)
    return f"{float(short):.{digits}g}"


def positive_definite(matrix: Array, error: float = 0.0) -> bool:
    """Whether every symmetric matrix within `error` (spectral norm) of this one, (p, p), is positive definite.

    True is a proof: floating-point Cholesky of the matrix less a bound on its own backward error runs to completion
    (Rump 2006, Theorem 2.3). False says nothing.
    """
    p = len(matrix)
    diagonal = np.diagonal(matrix)
    if not (np.isfinite(matrix).all() and np.isfinite(error) and np.all(diagonal > error)):
        return False
    backward = 2 * gamma(p + 3) * float(np.sum(diagonal))
    underflow = 4.0 * (p + 2) * (2 * (p + 2) + float(np.max(diagonal))) * 2.0**-1074
    shift = UP * (error + backward) + underflow + TINY
    try:
        factor = np.linalg.cholesky(matrix - shift * np.eye(p))
    except np.linalg.LinAlgError:
        return False
    return bool(np.isfinite(factor).all())  # it runs to its end past an overflow, too: NaN is not below 0


def norm_above(matrix: Array) -> float:
    """An upper bound on the Frobenius norm, and so on the spectral norm."""
    scale = float(np.max(np.abs(matrix), initial=0.0))
    if not np.isfinite(scale):
        return np.inf
    return UP * scale * float(np.sqrt(np.sum((matrix / scale) ** 2))) if scale > 0 else 0.0
