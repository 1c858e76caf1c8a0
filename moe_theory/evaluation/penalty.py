"""Penalties that a user asks for: a ridge on coefficients, a floor under the sigmas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moe_theory.errors import InputError
from moe_theory.evaluation.layout import Layout
from moe_theory.laws.rows import Rows
from moe_theory.model import Model
from moe_theory.validation import Array, real_array


@dataclass(frozen=True)
class Penalty:
    """ridge: ridge/2 times the sum of squares of all coefficients is added to L, but for those of constant features and
    the log sigmas (L is a mean over rows, so this is glmnet's lambda at alpha = 0). sigma_floor: least sigma allowed.
    intercepts: the ridge on constant features' coefficients, of the gate and of experts that are not normal, in units
    of `ridge`. With a ridge on the others alone there often is no maximum: constant experts (always one class, always
    0) lie at infinity and cost nothing, and so does a label that vanishes.

    For softmax mixtures. Raises InputError for negative numbers.
    """

    ridge: float = 0.0
    sigma_floor: float = 0.0
    intercepts: float = 0.0

    def __post_init__(self) -> None:
        for name in ("ridge", "sigma_floor", "intercepts"):
            if real_array(name, getattr(self, name), ndim=0) < 0:
                raise InputError(f"{name}: expected a number >= 0, got {getattr(self, name):g}")

    @classmethod
    def of(cls, ridge: float, sigma_floor: float, ridge_intercepts: float) -> Penalty:
        """As asked for by a user; InputError for a share of a ridge that there is not."""
        asked = {"ridge": ridge, "sigma_floor": sigma_floor, "ridge_intercepts": ridge_intercepts}
        numbers = {name: float(real_array(name, value, ndim=0)) for name, value in asked.items()}
        if numbers["ridge_intercepts"] < 0:
            raise InputError(f"ridge_intercepts: expected a number >= 0, got {ridge_intercepts:g}")
        if numbers["ridge_intercepts"] and not numbers["ridge"]:
            raise InputError("ridge_intercepts: expected a ridge, of which it is a share, got none")
        return cls(*numbers.values())

    def __bool__(self) -> bool:
        return self.ridge > 0 or self.sigma_floor > 0

    def weights(self, layout: Layout, rows: Rows, theta: Array) -> Array:
        """The ridge on every entry of θ, (m, D)."""
        s, out = layout.structure, np.zeros_like(theta)
        for part, columns, own in zip(
            (s.experts, s.gate), (layout.experts, layout.gate), self._ridges(layout, rows), strict=True
        ):
            out[part, columns] = own
        return out

    def forms(self, layout: Layout, rows: Rows) -> tuple[Array, Array]:
        """The ridge on an expert predictor's coefficients, (d, d), and on a gate predictor's, (g, g): half the
        quadratic form is what is added to L."""
        experts, gate = self._ridges(layout, rows)
        return np.diag(experts), np.diag(gate)

    def curvature(self, layout: Layout, rows: Rows, model: Model, theta: Array) -> Array:
        """The ridge's second derivatives on the learnt entries, (p, p)."""
        s, (m, d) = layout.structure, theta.shape
        out = np.zeros((m, d, m, d))
        parts = zip((s.experts, s.gate), (layout.experts, layout.gate), self.forms(layout, rows), strict=True)
        for part, columns, form in parts:
            own = np.arange(d)[columns]
            for row in range(m)[part]:
                out[row, :, row][np.ix_(own, own)] = form
        whole = out.reshape(m * d, m * d)
        return whole if model.design is None else whole[np.ix_(model.design.index, model.design.index)]

    def _ridges(self, layout: Layout, rows: Rows) -> tuple[Array, Array]:
        varies, constant = varying(rows), 0.0 if layout.family.quadratic else self.intercepts
        ridge = lambda columns, share: self.ridge * np.where(varies[columns], 1.0, share)
        return ridge(layout.experts, constant), ridge(layout.gate, self.intercepts)

    def feasible(self, layout: Layout, theta: Array) -> Array:
        """θ with no sigma below the floor."""
        out = theta.copy()
        if self.sigma_floor > 0 and layout.structure.scale_predictors:
            place = (layout.structure.scales, layout.scale)
            out[place] = np.maximum(out[place], np.log(self.sigma_floor))
        return out

    def held(self, layout: Layout, theta: Array) -> Array:
        """Which entries of θ, (m, D), a floor holds."""
        out = np.zeros(theta.shape, dtype=bool)
        if layout.structure.scale_predictors:
            out[layout.structure.scales, layout.scale] = at_floor(layout, theta, self.sigma_floor)
        return out


def at_floor(layout: Layout, theta: Array, floor: float) -> Array:
    """Which sigmas are at the floor, (k,) or (1,) for a common one."""
    logs = theta[layout.structure.scales, layout.scale]
    return logs <= np.log(floor) if floor > 0 else np.zeros(len(logs), dtype=bool)


def varying(rows: Rows) -> Array:
    """Which features are not constant, (D,)."""
    return rows.once("varies", lambda: _varying(rows))


def _varying(rows: Rows) -> Array:
    first, varies = None, np.zeros(rows.dimension, dtype=bool)
    for block in rows.covariates:
        first = block.x[:, :1] if first is None else first
        varies |= np.any(block.x != first, axis=1)
    return varies
