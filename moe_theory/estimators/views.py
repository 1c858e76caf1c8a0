"""What experts and gate see of X: chosen columns, in coordinates of the space in which the rows vary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moe_theory.validation import Array

RANK = 1e-9  # a column's distance from the span of those before it, in units of its size; Problem's own is 1e-10


@dataclass(frozen=True, eq=False)
class View:
    """The columns of X that the experts, or the gate, see. turn: None, or (d, r): what is fitted is then
    (X[:, columns] - centre) turn, r coordinates of the space in which the rows vary."""

    columns: tuple[int, ...]
    names: tuple[str, ...]
    centre: Array
    turn: Array | None

    @classmethod
    def of(
        cls, x: Array, weight: Array, columns: tuple[int, ...], names: Sequence[str], free: bool, flat: bool
    ) -> View:
        """free: an intercept is fitted too. flat: a ridge counts all slopes alike, so that columns are not scaled."""
        own, root = x[:, list(columns)], np.sqrt(weight / np.mean(weight))[:, None]
        chosen = tuple(names[i] for i in columns)
        zero = np.zeros(len(columns))
        if own.size and np.max(np.abs(own)) > 1e153:
            return cls(columns, chosen, zero, None)  # for `Problem` to refuse
        centre = np.average(own, axis=0, weights=weight) if free else zero
        moved = own - centre
        if free:  # what is left of it is the mean's own rounding
            moved -= np.average(moved, axis=0, weights=weight)
        size = np.sqrt(np.mean(moved**2, axis=0))
        # A column that is constant is what rounding leaves of it.
        moved[:, size <= 1e-14 * np.abs(centre)] = 0.0
        if not _is_deficient(np.column_stack([np.ones(len(own)), moved]) if free else own, root):
            return cls(columns, chosen, zero, None)
        scale = np.where(flat | (size == 0), 1.0, size)
        triangle = np.linalg.qr(root * moved / scale, mode="r")
        _, values, directions = np.linalg.svd(triangle, full_matrices=False)
        kept = values > RANK * np.max(values, initial=1e-300)
        # Any basis of the rows' space would do for the fit; of least norm are the coefficients that lie in it.
        basis = np.linalg.qr(directions[kept].T * scale[:, None])[0]
        turn = basis @ (basis.T @ (directions[kept].T / scale[:, None]))
        return cls(columns, tuple(f"direction {i + 1}" for i in range(turn.shape[1])), centre, turn)

    def of_rows(self, x: Array) -> Array:
        """What is fitted, (n, r) or (n, d), of rows of X."""
        own = x[:, list(self.columns)]
        return own if self.turn is None else (own - self.centre) @ self.turn

    def coefficients(self, fitted: Array, intercept: bool) -> Array:
        """Those of X's columns, (..., d), from those of what is fitted; an intercept comes first in both."""
        if self.turn is None:
            return fitted
        slopes = fitted[..., int(intercept) :] @ self.turn.T
        return np.concatenate([fitted[..., :1] - slopes @ self.centre[:, None], slopes], -1) if intercept else slopes


def _is_deficient(features: Array, root: Array) -> bool:
    n, d = features.shape
    if d == 0:
        return False
    size = np.sqrt(np.mean(features**2, axis=0))
    triangle = np.linalg.qr(root * features / np.where(size > 0, size, 1.0), mode="r")
    return n < d or bool(np.any(np.abs(np.diagonal(triangle)) < RANK * np.sqrt(n)))
