"""Where the array kernels of softmax mixtures may stand in for the derived ones, and which columns they read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moe_theory.errors import InputError
from moe_theory.evaluation.families import BY_NAME, Family
from moe_theory.laws.rows import Law, Rows
from moe_theory.model import Model
from moe_theory.structure import Softmax
from moe_theory.validation import Array


@dataclass(frozen=True, eq=False)
class Layout:
    """Columns of x that a softmax mixture's experts and gate see; scale: the constant column of the log sigmas;
    offset: the column added to every expert's predictor, or one for each, (k,)."""

    structure: Softmax
    experts: slice | Array
    gate: slice | Array
    scale: int
    offset: int | Array | None

    @property
    def family(self) -> Family:
        """The experts' array kernels."""
        return BY_NAME[self.structure.family]

    def predictors(self, theta: Array) -> tuple[Array, Array]:
        """(θ's rows of experts and gate over all columns (k q + k - 1, D), log sigmas (k,))."""
        s = self.structure
        stacked = theta if not s.scale_predictors else np.vstack([theta[s.experts], theta[s.gate]])
        return stacked, self.coefficients(theta)[1]

    def coefficients(self, theta: Array) -> tuple[Array, Array, Array]:
        """(experts' (k, q, d_e), log sigmas (k,), gate's (k-1, d_g)) of θ."""
        s = self.structure
        experts = theta[s.experts][:, self.experts].reshape(s.k, s.per_expert, -1)
        scales = theta[s.scales, self.scale] if s.scale_predictors else np.zeros(1)
        return experts, np.broadcast_to(scales, (s.k,)), theta[s.gate][:, self.gate]


def layout(model: Model, law: Law) -> Layout | None:
    """The layout of a softmax mixture, or None where only the derived kernels serve.

    They alone serve declared models, sigmas that vary with x, experts (or gate scores) that see different features.
    """
    structure, design = model.structure, model.design
    if structure is None:
        return None
    if design is None:
        every = slice(0, law.dimension)
        return None if structure.family == "gaussian" else Layout(structure, every, every, 0, None)
    names = list(model.predictors)
    experts = set(design.free[structure.experts])
    gates = set(design.free[structure.gate]) or {()}
    offsets = design.offsets[structure.experts]
    scales = set(design.free[structure.scales])
    others = [design.offsets[i] for i in range(structure.experts.stop, len(names))]
    if len(experts) > 1 or len(gates) > 1 or any(o is not None for o in others):
        return None
    offset: int | Array | None = offsets[0]
    if len(set(offsets)) > 1:
        given = [o for o in offsets if o is not None]
        if len(given) < len(offsets) or structure.per_expert > 1:
            return None
        offset = np.array(given)
    scale = 0
    if scales:
        if len(scales) > 1 or len(next(iter(scales))) != 1:
            return None
        scale = next(iter(scales))[0]
        if not _is_one(law.rows(model, design.template), scale):
            return None
    return Layout(structure, _columns(experts.pop()), _columns(gates.pop()), scale, offset)


def require_layout(model: Model, law: Law) -> Layout:
    """The layout; InputError where there is none."""
    plan = layout(model, law)
    if plan is None:
        raise InputError(f"model: expected a softmax mixture of experts with array kernels, got {model.name}")
    return plan


def _columns(index: tuple[int, ...]) -> slice | Array:
    """A slice where the columns are neighbours: a view instead of a copy of every block."""
    index = tuple(sorted(index))
    first = index[0] if index else 0
    if index == tuple(range(first, first + len(index))):
        return slice(first, first + len(index))
    return np.array(index)


def _is_one(rows: Rows, column: int) -> bool:
    return rows.once(("is one", column), lambda: all(bool(np.all(b.x[column] == 1.0)) for b in rows.covariates))
