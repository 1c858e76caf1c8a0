"""Sums, products and logarithms as unevaluated sums of two doubles, where one is too short (of counts from 1e5 on).

Dekker, Numer. Math. 18 (1971); the inner product is Dot2 of Ogita, Rump and Oishi, SIAM J. Sci. Comput. 26 (2005).
"""

from __future__ import annotations

import numpy as np

from moe_theory.validation import Array

SPLIT = 2.0**27 + 1
LOG_TWO = 0.693147180559663  # its first 41 bits, so that an exponent times it is exact
LOG_TWO_REST = 2.8235290563031577e-13
THIRD_REST = 1.850371707708594e-17  # of 1/3, beyond the double


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """(a + b rounded, what that is short of a + b)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """(a b rounded, what that is short of a b)."""
    product = a * b
    (high, low), (other_high, other_low) = _halves(a), _halves(b)
    return product, ((high * other_high - product) + high * other_low + low * other_high) + low * other_low


def lost(coefficients: Array, x: Array, rounded: Array) -> Array:
    """What `rounded`, the products coefficients @ x, (rows, n), are short of them."""
    high, low = np.zeros_like(rounded), np.zeros_like(rounded)
    for column, own in zip(coefficients.T, x, strict=True):
        product, rest = two_product(column[:, None], own)
        high, more = two_sum(high, product)
        low += rest + more
    return (high - rounded) + low


def log(y: Array) -> tuple[Array, Array]:
    """(log y rounded, what that is short of log y), with an error of 1e-20 or so, for y > 0."""
    m, e = np.frexp(y)
    small = m < np.sqrt(0.5)
    m, e = np.where(small, 2 * m, m), np.where(small, e - 1, e).astype(float)
    # log m = 2 artanh s with s = (m - 1)/(m + 1), |s| <= 0.172.
    above, (below, rest) = m - 1, two_sum(m, np.ones_like(m))
    s = above / below
    product, short = two_product(s, below)
    s_rest = (((above - product) - short) - s * rest) / below
    square, square_rest = two_product(s, s)
    square_rest += 2 * s * s_rest
    cube, cube_rest = two_product(square, s)
    cube_rest += square_rest * s + square * s_rest
    third, third_rest = two_product(cube, np.full_like(cube, 1 / 3))
    third_rest += cube_rest / 3 + cube * THIRD_REST
    tail = np.zeros_like(s)
    for power in range(25, 3, -2):
        tail = tail * square + 1 / power
    tail *= cube * square
    high, first = two_sum(e * LOG_TWO, 2 * s)
    high, second = two_sum(high, 2 * third)
    return two_sum(high, first + second + 2 * (s_rest + third_rest + tail) + e * LOG_TWO_REST)


def _halves(a: Array) -> tuple[Array, Array]:
    scaled = SPLIT * a
    high = scaled - (scaled - a)
    return high, a - high
