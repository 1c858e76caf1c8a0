"""Rows that moments are taken of: passed over again and again in constant memory, in groups that are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.errors import InputError
from moe_theory.laws.rows import Block
from moe_theory.validation import Array, full_rank, real_array, whole_number

GROUPS = 100  # of rows, by which sampling errors are told: sums are kept for each
LARGEST = 1e25  # of a response, in size: its sixth power is a number still, and so is the square of that


@dataclass(frozen=True, eq=False)
class Whitening:
    """z = matrix (x - mean): standard coordinates of a Gaussian x ~ N(mean, covariance), matrix covariance matrix' = I.

    A regressor a becomes root' a there, and a'mean is added to it as a constant: the theory's ‖a‖ = 1 is
    then Var(a'x) = 1, and its model has no constant only where a'mean = 0.
    """

    mean: Array
    matrix: Array

    @property
    def root(self) -> Array:
        """The inverse of matrix, (d, d): root root' is the covariance."""
        return np.linalg.inv(self.matrix)

    def __call__(self, x: Array) -> Array:
        """z, (d, n), of x, (d, n)."""
        return self.matrix @ (x - self.mean[:, None])

    def standard(self, centred: Array, gate: Array) -> tuple[Array, Array]:
        """(z (n, d), coefficients of z (k, d)) of x - mean, (n, d), and coefficients of it, (k, d)."""
        return centred @ self.matrix.T, gate @ self.root

    def back(self, a: Array) -> Array:
        """Regressors, (…, d), of z as regressors of x - mean."""
        return a @ self.matrix


@dataclass(frozen=True, eq=False)
class Source:
    """Rows (x, y) in `groups` groups, each as good a sample as any other.

    passes: starts a pass: (group, block) pairs, x (d, n) feature-major. dimension: d. rows: how many, None where that
    is not known before a pass. whitening: applied to every block's x.
    """

    passes: Callable[[], Iterable[tuple[int, Block]]]
    dimension: int
    groups: int
    rows: int | None = None
    whitening: Whitening | None = None

    @classmethod
    def of(cls, x: ArrayLike, y: ArrayLike, weight: ArrayLike | None = None, groups: int = GROUPS) -> Source:
        """Arrays x (n, d) of full rank, y (n,), weight (n,) or equal; row i belongs to group i mod `groups`.

        Raises InputError for shapes that do not match, values that are not finite, rank-deficient x, a constant y.
        """
        features, response = real_array("x", x, ndim=2), real_array("y", y, ndim=1)
        n, d = features.shape
        if n != len(response) or n == 0 or d == 0:
            raise InputError(f"x: expected {len(response)} rows, one per response, got shape {features.shape}")
        if np.max(np.abs(response)) > LARGEST:
            worst = response[np.argmax(np.abs(response))]
            raise InputError(f"y: expected responses whose sixth powers are finite, got {worst:g}")
        if 0 < np.max(np.abs(response)) < 1 / LARGEST:
            raise InputError(
                f"y: expected responses whose sixth powers are not 0, got {np.max(np.abs(response)):g} at most"
            )
        if np.all(response == response[0]):
            raise InputError(f"y: expected responses that vary, got {response[0]:g} in every row")
        full_rank("x", features)
        weights = None
        if weight is not None:
            weights = real_array("weight", weight, ndim=1)
            if weights.shape != response.shape or np.min(weights) < 0 or not np.any(weights > 0):
                raise InputError(f"weight: expected {n} numbers >= 0, not all 0, got shape {weights.shape}")
        parts = min(whole_number("groups", groups, least=2), n)

        def passes() -> Iterator[tuple[int, Block]]:
            for g in range(parts):
                own = 1.0 if weights is None else np.ascontiguousarray(weights[g::parts])
                yield (
                    g,
                    Block(np.ascontiguousarray(features[g::parts].T), np.ascontiguousarray(response[g::parts]), own),
                )

        return cls(passes, d, parts, n)

    @classmethod
    def stream(
        cls, chunks: Callable[[], Iterable[tuple[ArrayLike, ArrayLike]]], dimension: int, groups: int = GROUPS
    ) -> Source:
        """Chunks (x (n, d), y (n,)) of a table that is nowhere held whole; `chunks` starts a pass over them, each time
        the same. Chunk i belongs to group i mod `groups`: rows should be in no order."""

        def passes() -> Iterator[tuple[int, Block]]:
            for i, (x, y) in enumerate(chunks()):
                features, response = real_array("x", x, ndim=2), real_array("y", y, ndim=1)
                if features.shape != (len(response), dimension):
                    raise InputError(f"x: expected shape ({len(response)}, {dimension}), got {features.shape}")
                yield i % groups, Block(np.ascontiguousarray(features.T), response, 1.0)

        return cls(passes, dimension, whole_number("groups", groups, least=2))

    def whitened(self, whitening: Whitening) -> Source:
        """The same rows in standard coordinates."""
        return replace(self, whitening=whitening)

    def __iter__(self) -> Iterator[tuple[int, Block]]:
        for group, block in self.passes():
            yield group, block if self.whitening is None else replace(block, x=self.whitening(block.x))


def weights_of(block: Block) -> Array:
    """The rows' weights, (n,)."""
    return np.broadcast_to(block.weight, block.y.shape)
