"""Laws given by their rows: a data set, a finite table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.errors import InputError
from moe_theory.kernels import check_responses, kernels
from moe_theory.laws.rows import BLOCK, Law, Rows, split
from moe_theory.model import Model
from moe_theory.response import Values
from moe_theory.symbolic.expectation import linear_means
from moe_theory.validation import Array, full_rank, real_array, whole_number

NATS = 33.0  # of accuracy that quadrature in y aims at
MOST = 2e7  # such points
THINNING = 16  # a thin sample has every 16th row


class Finite(Law):
    """A finite table: x (n, d), y (n,), weight (n,) non-negative (normalised to sum 1; equal if omitted).

    block: rows that are worked on at a time; sums do not depend on it beyond rounding.

    Raises InputError for shapes that do not match, values that are not finite, negative weights.
    """

    def __init__(self, x: ArrayLike, y: ArrayLike, weight: ArrayLike | None = None, block: int = BLOCK) -> None:
        self.x = real_array("x", x, ndim=2)
        self.y = real_array("y", y, ndim=1)
        if len(self.x) == 0 or self.x.shape[1] == 0:
            raise InputError(f"x: expected at least one row and one feature, got shape {self.x.shape}")
        if len(self.y) != len(self.x):
            raise InputError(f"y: expected shape ({len(self.x)},) to match x, got {self.y.shape}")
        self.weight: Array | float = 1.0 / len(self.y)
        if weight is not None:
            w = real_array("weight", weight, ndim=1)
            if w.shape != self.y.shape:
                raise InputError(f"weight: expected shape {self.y.shape} to match y, got {w.shape}")
            if np.min(w) < 0 or np.sum(w) <= 0:
                raise InputError(f"weight: expected non-negative weights with a positive sum, got least {np.min(w):g}")
            self.weight = w / np.sum(w)
        self.dimension = self.x.shape[1]
        self._block = whole_number("block", block, least=1)

    @classmethod
    def from_model(
        cls,
        model: Model,
        theta: Array,
        x: ArrayLike,
        weight: ArrayLike | None = None,
        others: Sequence[ArrayLike] = (),
    ) -> Finite:
        """The joint law of a finite law of x, (n, d), and the responses `model` draws there at `theta`.

        Exact for a finite response: one row per (x, y). Normal experts with linear mean get the trapezoid rule in y,
        with errors at the level of rounding where the means are at most twice as large as at `theta` and the `others`,
        (m, d) each. DerivationError for other experts.
        """
        base = cls(x, np.zeros(len(real_array("x", x, ndim=2))), weight)
        theta = model.check_theta("theta", theta, base.dimension)
        eta = model.coefficients(theta) @ base.x.T
        if isinstance(model.response, Values):
            nodes = np.broadcast_to(
                np.array(model.response.values, dtype=float), (len(base), len(model.response.values))
            )
            spacing = np.ones(len(base))
        else:
            points = [model.check_theta("others", t, base.dimension) for t in others]
            nodes, spacing = _normal_nodes(model, eta, [model.coefficients(t) @ base.x.T for t in points])
        count = nodes.shape[1]
        y, wide = nodes.ravel(), np.repeat(eta, count, axis=1)
        weights = np.repeat(np.broadcast_to(base.weight, base.y.shape) * spacing, count)
        joint = weights * np.exp(kernels(model).log_density(y, wide))
        return cls(np.repeat(base.x, count, axis=0), y, joint)

    def __len__(self) -> int:
        return len(self.y)

    @cached_property
    def _blocks(self) -> list:
        return split(self.x, self.y, self.weight, self._block)

    @property
    def digest(self) -> str:
        """SHA-256 of shape, features, responses and weights."""
        h = hashlib.sha256(repr(self.x.shape).encode())
        for a in (self.x, self.y, np.broadcast_to(self.weight, self.y.shape)):
            h.update(np.ascontiguousarray(a, dtype="<f8").tobytes())
        return h.hexdigest()

    def rows(self, model: Model, theta: Array) -> Rows:
        """The table itself, whatever the parameters; InputError if a response is outside the model's domain."""
        if model not in self._checked:  # a pass over y, so not in every pass
            check_responses(model, "y", self.y)
            self._checked.add(model)
        self.check_dimension(model, [theta])
        return self._rows

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_rows"}  # a pass does not pickle

    @cached_property
    def _checked(self) -> set[Any]:
        return set()

    @cached_property
    def _rows(self) -> Rows:
        thin = None
        if len(self) >= THINNING * self._block:
            every = slice(None, None, THINNING)
            weight = self.weight if isinstance(self.weight, float) else self.weight[every]
            (thin,) = split(self.x[every], self.y[every], THINNING * weight, len(self))
        return Rows(self.dimension, lambda: self._blocks, sample=thin)


class Data(Finite):
    """A data set: x (n, d) of full column rank, y (n,), optional row weights.

    weight, block: as for `Finite`. names: the features' names, for messages. Raises InputError as `Finite` does, and
    for rank-deficient features.
    """

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        weight: ArrayLike | None = None,
        names: tuple[str, ...] | None = None,
        block: int = BLOCK,
    ) -> None:
        super().__init__(x, y, weight, block)
        if names is not None and len(names) != self.dimension:
            raise InputError(f"names: expected {self.dimension} names, got {len(names)}")
        self.names = names
        weight = None if isinstance(self.weight, float) else self.weight * len(self)
        full_rank("x", self.x, names, weight)


def _normal_nodes(model: Model, eta: Array, others: Sequence[Array]) -> tuple[Array, Array]:
    """(nodes (n, k) in y, their spacing (n,)) around the labels' means at the predictors eta, (m, n).

    The trapezoid rule's error for integrands analytic in a strip of half-width a is exp(-2πa/spacing); a posterior
    whose logit moves s per unit of y has its poles π/s from the real line.
    """
    vectors, constants, sigmas = (np.array(v) for v in linear_means(model))
    means = vectors @ eta + constants[:, None]
    largest = max(float(np.max(np.abs(vectors @ e + constants[:, None]))) for e in (eta, *others))
    # The logit's slope is a difference of two means over the variance; twice that for parameters further out.
    slope = 4 * largest / np.min(sigmas) ** 2 + 1e-12
    step = 2 * np.pi * min(np.pi / slope, np.min(sigmas)) / NATS
    low, high = np.min(means, axis=0) - 8 * np.max(sigmas), np.max(means, axis=0) + 8 * np.max(sigmas)
    wanted = np.max(high - low) / step * len(low)
    if not wanted < MOST:
        raise InputError(f"theta: expected means that {MOST:.0e} points in y can resolve, got some of {largest:.3g}")
    count = int(np.ceil(np.max(high - low) / step)) + 1
    nodes = np.linspace(low, high, count, axis=1)
    return nodes, (high - low) / (count - 1)
