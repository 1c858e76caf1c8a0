"""The validators, in one place: each names the argument, what was expected and what came."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_theory.errors import InputError

Array = NDArray[Any]  # of float64, but for the odd index


def real_array(name: str, value: ArrayLike, ndim: int | None = None) -> Array:
    """`value` as a finite float64 array with `ndim` axes; InputError names the first entry that is not finite."""
    masked = np.ma.getmaskarray(value) if isinstance(value, np.ma.MaskedArray) else None
    if masked is not None and masked.any():
        rows = np.unique(np.argwhere(np.atleast_1d(masked))[:, 0]).tolist()
        shown = ", ".join(map(str, rows[:5])) + (", …" if len(rows) > 5 else "")
        raise InputError(f"{name}: expected no missing values, got {int(masked.sum())} masked (rows {shown})")
    try:
        if np.iscomplexobj(value) or np.asarray(value).dtype.kind in "mM":
            raise TypeError
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name}: expected real numbers, got {_brief(value)}") from error
    if ndim is not None and array.ndim != ndim:
        raise InputError(f"{name}: expected {ndim} {'axis' if ndim == 1 else 'axes'}, got shape {array.shape}")
    finite = np.isfinite(array)
    if not finite.all():
        bad = np.argwhere(~finite)
        where = ", ".join(str(i) for i in bad[0])
        raise InputError(
            f"{name}: expected finite values, got {array[tuple(bad[0])]} at index ({where})"
            + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")
        )
    return array


def positive_number(name: str, value: Any) -> float:
    """`value` as a finite float > 0."""
    number = float(real_array(name, value, ndim=0))
    if number <= 0:
        raise InputError(f"{name}: expected a number > 0, got {number:g}")
    return number


def whole_number(name: str, value: Any, least: int = 0) -> int:
    """`value` as an int >= least."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError as error:
        raise InputError(f"{name}: expected a whole number, got {_brief(value)}") from error
    if number < least:
        raise InputError(f"{name}: expected a whole number >= {least}, got {number}")
    return number


def unit_interval(name: str, value: Any) -> float:
    """`value` as a float strictly between 0 and 1 (e.g. the strong-convexity constant α)."""
    number = float(real_array(name, value, ndim=0))
    if not 0 < number < 1:
        raise InputError(f"{name}: expected a number in the open interval (0, 1), got {number:g}")
    return number


SLICE = 16384  # rows


def full_rank(name: str, x: Array, labels: tuple[str, ...] | None = None, weight: Array | None = None) -> None:
    """Refuse an (n, d) feature matrix without full column rank, naming a column the earlier ones explain.

    weight: (n,) with mean 1; rows without weight do not count.
    """
    # By slices: no copy of a large table is made.
    cuts = [slice(a, a + SLICE) for a in range(0, len(x), SLICE)]
    pieces = lambda: ((x[s], 1.0 if weight is None else weight[s]) for s in cuts)
    full_rank_of(name, pieces, len(x), x.shape[1], labels)


def full_rank_of(
    name: str,
    pieces: Callable[[], Iterable[tuple[Array, Array | float]]],
    n: int,
    d: int,
    labels: tuple[str, ...] | None = None,
    near: float = 0.0,
) -> None:
    """The same for a matrix that comes in pieces of rows with weights of mean 1; `pieces` starts a pass over them.

    near: a column is refused too if the others explain all but this part of its size.
    """
    if n < d:
        raise InputError(f"{name}: expected at least as many rows as features, got {n} rows and {d} features")
    scale = np.max([np.max(np.abs(x), axis=0) for x, _ in pieces()], axis=0)
    if np.any(scale == 0):
        raise InputError(f"{name}: expected full column rank, but {_column(int(np.argmin(scale)), labels)} is all zero")
    if np.max(scale) > 1e153:
        raise InputError(f"{name}: expected values whose squares are finite, got {np.max(scale):g}")
    scale = scale * np.sqrt(sum(np.sum((x / scale) ** 2, axis=0) for x, _ in pieces()) / n)
    triangle = np.empty((0, d))
    for x, weight in pieces():
        triangle = np.asarray(np.linalg.qr(np.vstack([triangle, x / scale * np.sqrt(weight)[..., None]]), mode="r"))
    r = np.abs(np.diagonal(triangle)) / np.sqrt(n)
    if np.min(r) < 1e-10:
        column = int(np.argmax(r < 1e-10))
        raise InputError(
            f"{name}: expected full column rank, but {_column(column, labels)}"
            " is a linear combination of those before it"
        )
    if np.min(r) < near:
        column = int(np.argmax(r < near))
        raise InputError(
            f"{name}: expected features that can be told apart, but those before it explain all but {r[column]:.0e} of"
            f" {_column(column, labels)}; subtract a typical value from the features, or leave one out"
        )


def covariance_matrix(name: str, value: ArrayLike, d: int) -> Array:
    """`value` as a (d, d) symmetric positive definite matrix."""
    matrix = real_array(name, value, ndim=2)
    if matrix.shape != (d, d):
        raise InputError(f"{name}: expected shape ({d}, {d}), got {matrix.shape}")
    if not np.allclose(matrix, matrix.T, rtol=1e-12, atol=0):
        raise InputError(f"{name}: expected a symmetric matrix")
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError as error:
        raise InputError(f"{name}: expected a positive definite matrix") from error
    return matrix


def _column(index: int, labels: tuple[str, ...] | None) -> str:
    return f"column {labels[index]!r}" if labels else f"column {index}"


def _brief(value: Any) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."
