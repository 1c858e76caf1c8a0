"""Linear algebra in ball arithmetic (python-flint, Arb): what it says is proved, whatever the rounding.

Floating point only guesses (a Cholesky factor, a number t); the guess is then an exact matrix or number in a statement
that balls verify. Matrices stand for symmetric ones, whose entries they enclose.

When a comparison cannot tell. Between balls `<`, `<=`, `>`, `>=` are true only if they hold for all their members:
balls that overlap, an infinite radius and what is not a number (nan) make every one of them false, `not a <= b` is no
`a > b`. So a proof asks for the relation that it needs and rejects without it, `if not norm <= bound`, and never for
the absence of the opposite. A comparison that only chooses between two valid ways (`expit`, `curvature_range`, `above`,
`below`) may go either way. `is_zero()` and `== 0` are true of the exact 0 only, `is_finite()` of no nan. `min`, `max`,
`abs`, `sqrt`, `nonnegative_part` enclose every member's value, and give nan for nan and for a root of what may be < 0;
Python's own min and max of balls compare, and keep their first argument where that cannot tell. Floats in statements
are finite: JSON with others is rejected.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from flint import arb, arb_mat, fmpq

from moe_theory.validation import Array

BITS = 128


def matrix(values: Array) -> Any:
    """A float array, (a, b), as an exact ball matrix."""
    return arb_mat(values.tolist())


def identity(p: int, value: Any = 1) -> Any:
    """value · 1."""
    return arb_mat([[value if i == j else 0 for j in range(p)] for i in range(p)])


def midpoints(balls: Any) -> Array:
    """The entries' mid points as floats (may be infinite or nan), for guesses."""
    return np.array([[float(v.mid()) for v in row] for row in balls.tolist()]).reshape(balls.nrows(), balls.ncols())


def block_diagonal(blocks: Sequence[Any]) -> Any:
    """Square ball matrices along the diagonal."""
    p, start = sum(b.nrows() for b in blocks), 0
    rows = []
    for block in blocks:
        for row in block.tolist():
            rows.append([0] * start + row + [0] * (p - start - len(row)))
        start += block.nrows()
    return arb_mat(rows)


def congruence(factor: Any, balls: Any) -> Any:
    """factor · balls · factor'."""
    return factor * balls * factor.transpose()


def inverse_cholesky(guess: Array) -> Array | None:
    """K with K · guess · K' ≈ 1, or None where floating point finds the matrix not positive definite."""
    with np.errstate(all="ignore"):
        diagonal = np.diagonal(guess)
        if not (np.all(np.isfinite(guess)) and np.all(diagonal > 0)):
            return None
        scale = 1 / np.sqrt(diagonal)
        try:
            unit = np.linalg.cholesky((guess + guess.T) / 2 * scale[:, None] * scale)
            inverse = np.tril(np.linalg.inv(unit)) * scale
        except np.linalg.LinAlgError:
            return None
        return inverse if np.all(np.isfinite(inverse)) else None


def least_eigenvalue(guess: Array) -> float:
    """For messages and searches only."""
    with np.errstate(all="ignore"):
        return float(np.linalg.eigvalsh((guess + guess.T) / 2)[0]) if np.all(np.isfinite(guess)) else -np.inf


def positive_definite(balls: Any) -> bool:
    """True if every symmetric matrix in `balls` is positive definite; False says nothing.

    K · balls · K' with an approximate inverse Cholesky factor K is near 1: its diagonal dominates (Rump's way). Else
    pivot by pivot. K itself need not be invertible to any accuracy: a definite K B K' proves that it is.
    """
    factor = inverse_cholesky(midpoints(balls))
    if factor is not None:
        balls = congruence(matrix(factor), balls)
    rows = balls.tolist()
    if all(row[i] > sum((abs(v) for j, v in enumerate(row) if j != i), arb(0)) for i, row in enumerate(rows)):
        return True
    return _pivots(rows)


def _pivots(rows: list[list[Any]]) -> bool:
    """Whether all pivots of the symmetric elimination (LDL') are positive balls; reads the lower triangle."""
    p = len(rows)
    for k in range(p):
        pivot = rows[k][k]
        if not pivot > 0:
            return False
        for i in range(k + 1, p):
            ratio = rows[i][k] / pivot
            for j in range(k + 1, i + 1):
                rows[i][j] -= ratio * rows[j][k]
    return True


def stays_definite(
    base: Any,
    along: Sequence[tuple[Any, Any]],
    rest: Callable[[], Iterable[Any]],
    radius: Any,
    check: Callable[[], None] = lambda: None,
) -> bool:
    """True if base + Σ_k s_k T_k + Σ_j z_j R_j is positive definite for all |s_k| <= h_k and ‖z‖ <= radius.

    along: (h_k, T_k). rest: the R_j, made anew at each call. The first sum is affine, so that its corners decide; the
    second is at least -radius (S/(2t) + t/2), S = Σ R_j², for every t > 0, as ⟨u, Σ z_j R_j u⟩ <= radius √(u'Su) ‖u‖.
    check: called before every term and corner; it may raise.
    """
    square = arb_mat(base.nrows(), base.nrows())
    for term in rest():
        check()
        square = square + term * term
    none = all(v.is_zero() for v in square.entries())
    for signs in itertools.product((-1, 1), repeat=len(along)):
        check()
        corner = base
        for sign, (h, term) in zip(signs, along, strict=True):
            corner = corner + term * (h * sign)
        if not none:
            t = _best(midpoints(corner), midpoints(square), float(radius))
            corner = corner - (square * (radius / (2 * arb(t))) + identity(base.nrows(), radius * arb(t) / 2))
        if not positive_definite(corner):
            return False
    return True


def _best(base: Array, square: Array, radius: float) -> float:
    """A t > 0 for which base - radius (square/(2t) + t/2) has its least eigenvalue about as large as can be.

    It is concave in t, so a golden section finds it; about 1 it is the root of the square's largest eigenvalue.
    """
    one = np.eye(len(base))
    with np.errstate(all="ignore"):
        top = -least_eigenvalue(-square)
        if not (np.isfinite(top) and top > 0 and np.all(np.isfinite(base))):
            return 1.0
        value = lambda u: least_eigenvalue(base - radius * (square * np.exp(-u) + np.exp(u) * one) / 2)
        centre = np.log(top) / 2
        low, high, ratio = centre - 16.0, centre + 2.0, (np.sqrt(5) - 1) / 2
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        at_left, at_right = value(left), value(right)
        for _ in range(40):
            if at_left < at_right:
                low, left, at_left = left, right, at_right
                right = low + ratio * (high - low)
                at_right = value(right)
            else:
                high, right, at_right = right, left, at_left
                left = high - ratio * (high - low)
                at_left = value(left)
        # Where the base is 1 the closed form is the maximum.
        return float(np.exp(max((left, right, centre), key=value)))


def fraction(numerator: Any, denominator: int = 1) -> Any:
    """numerator/denominator, an exact rational from a double (or rational) and an integer."""
    value = numerator if isinstance(numerator, fmpq) else fmpq(*numerator.as_integer_ratio())
    return value / denominator
