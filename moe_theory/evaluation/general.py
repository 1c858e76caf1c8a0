"""One pass over the rows of any declared model, flat or curved, whatever its predictors see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from moe_theory.complete import complete_kernels
from moe_theory.errors import CurvedModelError
from moe_theory.evaluation.base import Evaluation
from moe_theory.evaluation.layout import layout
from moe_theory.evaluation.softmax_kernels import e_step
from moe_theory.laws.rows import Block, Law, Rows
from moe_theory.model import Model
from moe_theory.sums import Information, average, outer, predictors, total
from moe_theory.symbolic.derive import derive
from moe_theory.validation import Array


def is_flat(model: Model) -> bool:
    """True if the formulas of flat families serve: natural parameters affine in predictors that see all features."""
    return model.design is None and derive(model).flat


@dataclass(frozen=True, eq=False)
class GeneralEvaluation(Evaluation):
    """Any model at θ.

    slope: ∇L(θ), (m, d). curvature: -∂²Q(φ|θ)/∂φ² at φ = θ on the learnt entries, (p, p). responsibilities: P(z|x,y)
    per block, (k, n).
    """

    slope: Array
    curvature: Array
    responsibilities: tuple[Array, ...]

    @property
    def gradient(self) -> Array:
        """∇L(θ), (m, d): by Fisher's identity -∂Q(φ|θ)/∂φ at φ = θ."""
        return self.slope

    @cached_property
    def _positive(self) -> Array:
        scale = np.sqrt(np.maximum(np.abs(np.diagonal(self.curvature)), 1e-300))
        values, vectors = np.linalg.eigh(self.curvature / np.outer(scale, scale))
        # Away from a fixed point Q need not be concave (in log σ, say); a metric is positive.
        return scale[:, None] * (vectors * np.abs(values)) @ vectors.T * scale

    def metric(self, model: Model, law: Law) -> Array:
        """The curvature of Q in absolute value, (p, p): at EM's fixed points the complete data's information."""
        return self._positive if np.isfinite(self.curvature).all() else self.curvature


def evaluate_general(model: Model, law: Law, theta: Array) -> GeneralEvaluation:
    """L, ∇L and the curvature of Q at θ, in a single pass."""
    kept: list[Array] = []
    log_likelihood, slope, curvature = q_derivatives(model, law, theta, keep=kept)
    return GeneralEvaluation(theta, -log_likelihood, slope, curvature, tuple(kept))


def q_derivatives(
    model: Model,
    law: Law,
    theta: Array,
    responsibilities: Sequence[Array] | None = None,
    keep: list[Array] | None = None,
) -> tuple[float, Array, Array]:
    """(E log p(y|x), gradient (m, d), Hessian (p, p)) of -Q at θ, with the responsibilities given per block, (k, n), or
    (None) those at θ, which are appended to `keep`."""
    k, rows = complete_kernels(model), table_rows(model, law, theta)
    information = _information(model, rows, k.curvatures.keys)
    given = None if responsibilities is None else iter(responsibilities)

    def everything(block: Block) -> list[Any]:
        eta = predictors(model, block, theta)
        log_density, posterior = k.posterior(block.y, eta)
        if given is not None:
            posterior = next(given)
        elif keep is not None:
            keep.append(posterior)
        slopes = list(k.slopes.averaged(k.slopes.kernel.rows(block.y, *eta), posterior))
        curvatures = list(k.curvatures.averaged(k.curvatures.kernel.rows(block.y, *eta), posterior))
        return [average(block, log_density), outer(block, slopes), *information.terms(block, curvatures)]

    log_likelihood, slope, *terms = total(rows.blocks, everything)
    return log_likelihood, _only_learnt(model, -slope), information.matrix(terms)


def complete_information_general(model: Model, law: Law, theta: Array) -> Array:
    """-∂²Q(φ|θ)/∂φ² at φ = θ, (p, p): the complete data's information given what was observed."""
    plan, rows = layout(model, law), table_rows(model, law, theta)
    shares = None if plan is None else [e_step(plan, b, plan.predictors(theta))[2] for b in rows.blocks]
    return q_derivatives(model, law, theta, shares)[2]


def missing_information_general(model: Model, law: Law, theta: Array) -> Array:
    """E Cov(∂ log p(y,z|x) | x, y), (p, p)."""
    k, rows = complete_kernels(model), table_rows(model, law, theta)
    m = len(model.predictors)
    keys = [(a, b) for a in range(m) for b in range(a, m)]
    information = _information(model, rows, keys)
    plan = layout(model, law)

    def work(block: Block) -> list[Any]:
        eta = predictors(model, block, theta)
        # The array kernels' is right also where a count's log p is the little that is left of y log y.
        posterior = k.posterior(block.y, eta)[1] if plan is None else e_step(plan, block, plan.predictors(theta))[2]
        away = k.slopes.deviations(k.slopes.kernel.rows(block.y, *eta), posterior)
        covariances = [np.sum(posterior * away[a] * away[b], axis=0) for a, b in keys]
        return information.terms(block, covariances)

    return information.matrix(total(rows.blocks, work))


def information_along(model: Model, block: Block, theta: Array, direction: Array) -> tuple[Array, Array]:
    """(missing, complete) information of each row along a direction (m, d), (n,) both, at θ."""
    k, eta, seen = complete_kernels(model), predictors(model, block, theta), direction @ block.x
    _, posterior = k.posterior(block.y, eta)
    away = k.slopes.deviations(k.slopes.kernel.rows(block.y, *eta), posterior)
    missing = np.sum(posterior * sum(a * s for a, s in zip(away, seen, strict=True)) ** 2, axis=0)
    complete = np.zeros(len(missing))
    curvatures = k.curvatures.averaged(k.curvatures.kernel.rows(block.y, *eta), posterior)
    for (a, b), value in zip(k.curvatures.keys, curvatures, strict=True):
        complete += (1 if a == b else 2) * value * seen[a] * seen[b]
    return missing, complete


def table_rows(model: Model, law: Law, theta: Array) -> Rows:
    """The rows of a table or a sample; CurvedModelError for a population, whose rows serve flat families only."""
    rows = law.rows(model, theta)
    if rows.split:
        reason = derive(model).obstruction or "its predictors see different features"
        raise CurvedModelError(f"law: expected a table or a sample for this model, got a population; {reason}")
    return rows


def _information(model: Model, rows: Rows, keys: Sequence[tuple[int, ...]]) -> Information:
    learnt = None if model.design is None else model.design.index
    return Information(len(model.predictors), rows, (None,) * len(keys), learnt, keys)


def _only_learnt(model: Model, gradient: Array) -> Array:
    return gradient if model.design is None else model.direction(model.free(gradient), gradient.shape[1])
