"""The inverse of the mirror map's gradient: every M-step of a flat model, and every mirror-descent step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg

from moe_theory.errors import DegenerateError
from moe_theory.evaluation import Evaluation
from moe_theory.kernels import Part, kernels
from moe_theory.laws.rows import Law, Rows
from moe_theory.model import Model
from moe_theory.sums import InformationSum, outer, predictors
from moe_theory.validation import Array

TOLERANCE = 1e-14  # on the Newton decrement, relative to the size of the parameter in the same metric
MAX_NEWTON = 200
SATURATED = 1e-10  # least curvature of A, relative to the features' Gram matrix, that is still a solution


def inverse_mirror(model: Model, law: Law, target: Array, start: Evaluation) -> Array:
    """The θ with ∇A(θ) = target, (m, d): argmin A(φ) - ⟨target, φ⟩, exactly (to rounding), part by part.

    Quadratic parts take one linear solve; the others damped Newton from `start`, whose Hessian is kept for further
    steps as long as these contract tenfold. Raises DegenerateError if the target is not attained.
    """
    theta = start.theta.copy()
    for part, hessian in zip(kernels(model).parts, start.hessians, strict=True):
        index = list(part.index)
        if part.constant is not None and part.offset is not None:
            rows = law.rows(model, start.theta)
            wanted = target[index] - np.outer(part.offset, rows.first_moment)
            theta[index] = np.linalg.solve(part.constant, np.linalg.solve(rows.gram, wanted.T).T)
        elif hessian is not None:
            theta = _newton(model, law, part, target[index], theta, start.mean[index], hessian)
    return theta


def _newton(model: Model, law: Law, part: Part, target: Array, theta: Array, mean: Array, hessian: Array) -> Array:
    index, shape = list(part.index), target.shape
    solve = _factor(hessian)
    residual = (mean - target).ravel()
    fresh, best = True, np.inf
    for _ in range(MAX_NEWTON):
        move = -solve(residual)
        decrement = float(np.sqrt(np.maximum(0.0, -residual @ move)))
        size = float(np.sqrt(np.maximum(0.0, theta[index].ravel() @ hessian @ theta[index].ravel())))
        if decrement <= TOLERANCE * (1 + size) or (decrement <= 1e-9 * (1 + size) and decrement >= best / 2 and fresh):
            _refuse_saturation(model, hessian, law.rows(model, theta).gram, len(index))
            return theta
        best = min(best, decrement)
        slope, fraction = residual @ move, 1.0
        while True:
            trial = theta.copy()
            trial[index] += (fraction * move).reshape(shape)
            moved = _mean(model, law.rows(model, trial), part, trial) - target
            # Along a descent direction of a convex function: not beyond the minimum by more than half the way in.
            if np.isfinite(moved).all() and moved.ravel() @ move <= -0.5 * slope:
                break
            fraction /= 2
            if fraction < 1e-10:
                raise DegenerateError(f"the M-step of {model.name} found no step that decreases its objective")
        contraction = float(np.linalg.norm(moved)) / max(float(np.linalg.norm(residual)), 1e-300)
        theta, residual = trial, moved.ravel()
        if np.max(np.abs(theta[index])) > 1e12:
            raise DegenerateError(f"the M-step of {model.name} diverges: the target is on the boundary of ∇A's range")
        fresh = contraction > 0.1
        if fresh:
            hessian = _hessian(model, law.rows(model, theta), part, theta)
            solve = _factor(hessian)
    raise DegenerateError(f"the M-step of {model.name} did not converge in {MAX_NEWTON} Newton steps")


def _refuse_saturation(model: Model, hessian: Array, gram: Array, size: int) -> None:
    """Where the features separate the labels, Newton's gradient vanishes only because the curvature does."""
    scale = np.tile(np.sqrt(np.maximum(np.diagonal(gram), 1e-300)), size)
    curvature = np.linalg.eigvalsh(hessian / np.outer(scale, scale))[0]
    spread = np.linalg.eigvalsh(gram / np.outer(scale[: len(gram)], scale[: len(gram)]))[0]
    if curvature < SATURATED * spread:
        raise DegenerateError(
            f"the M-step of {model.name} has no finite solution: the features separate the labels (curvature of A"
            f" {curvature / spread:.1e} of the features')"
        )


def _mean(model: Model, rows: Rows, part: Part, theta: Array) -> Array:
    total = np.zeros((len(part.index), rows.dimension))
    for block in rows.covariates():
        total += outer(block, part.mean(*predictors(model, block, theta)))
    return total


def _hessian(model: Model, rows: Rows, part: Part, theta: Array) -> Array:
    total = InformationSum(len(part.index), rows, part.hessian.constant)
    for block in rows.covariates():
        total.add(block, part.hessian.rows(*predictors(model, block, theta)))
    return total.matrix()


def _factor(hessian: Array) -> Callable[[Array], Array]:
    try:
        factor = scipy.linalg.cho_factor(hessian)
    except np.linalg.LinAlgError as error:
        raise DegenerateError("∇²A is singular: the gate is saturated or the features are rank-deficient") from error
    return lambda v: scipy.linalg.cho_solve(factor, v)
