"""The inverse of the mirror map's gradient: every M-step of a flat model, and every mirror-descent step."""

from __future__ import annotations

import contextlib

import numpy as np
import scipy.linalg

from moe_theory.errors import DegenerateError
from moe_theory.evaluation import Evaluation
from moe_theory.kernels import Part, kernels
from moe_theory.laws.rows import Block, Law, Rows
from moe_theory.model import Model
from moe_theory.sums import Information, outer, predictors, total
from moe_theory.validation import Array

TOLERANCE = 1e-14  # on the Newton decrement, relative to the size of the parameter in the same metric
MAX_NEWTON = 200
MAX_FORESEEN = 5
SATURATED = 1e-10  # least curvature of A, relative to the features' Gram matrix, that is still a solution


def inverse_mirror(model: Model, law: Law, target: Array, start: Evaluation) -> Array:
    """The θ with ∇A(θ) = target, (m, d): argmin A(φ) - ⟨target, φ⟩, exactly (to rounding), part by part.

    Quadratic parts take one linear solve; the others damped Newton steps from `start`, whose Hessian is kept and
    improved by secants (BFGS) as long as the steps contract; on large tables a thin sample foresees the first of them
    (`_foresee`). The gradient is always that of all rows. Raises DegenerateError if the target is not attained.
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
    residual, inverse = (mean - target).ravel(), _inverse(hessian)
    sample = law.rows(model, theta).sample
    if sample is not None:
        with contextlib.suppress(DegenerateError):  # then the sample foresees nothing
            ahead, hessian_ahead = _foresee(model, part, sample, theta, residual, hessian)
            inverse_ahead = _inverse(hessian_ahead)
            moved = (_mean(model, law.rows(model, ahead), part, ahead) - target).ravel()
            if np.isfinite(moved).all() and moved @ inverse @ moved < 0.25 * residual @ inverse @ residual:
                theta, residual, hessian, inverse = ahead, moved, hessian_ahead, inverse_ahead
    best, contraction = np.inf, 1.0
    for _ in range(MAX_NEWTON):
        move = -inverse @ residual
        decrement = float(np.sqrt(np.maximum(0.0, -residual @ move)))
        flat = theta[index].ravel()
        aim = TOLERANCE * (1 + float(np.sqrt(np.maximum(0.0, flat @ hessian @ flat))))
        settled = decrement <= 1e5 * aim and decrement >= best / 2  # rounding: it no longer falls
        if decrement <= aim or settled:
            _refuse_saturation(model, hessian, law.rows(model, theta).gram, len(index))
            return theta
        best = min(best, decrement)
        slope, fraction = residual @ move, 1.0
        while True:
            trial = theta.copy()
            trial[index] += (fraction * move).reshape(shape)
            if fraction == 1.0 and contraction <= 0.1 and decrement * contraction <= aim:
                # The step's contraction is known: to look at the gradient once more would cost a pass for nothing.
                _refuse_saturation(model, hessian, law.rows(model, theta).gram, len(index))
                return trial
            moved = _mean(model, law.rows(model, trial), part, trial) - target
            # Along a descent direction of a convex function: not beyond the minimum by more than half the way in.
            if np.isfinite(moved).all() and moved.ravel() @ move <= -0.5 * slope:
                break
            fraction /= 2
            if fraction < 1e-10:
                raise DegenerateError(f"the M-step of {model.name} found no step that decreases its objective")
        theta, change = trial, moved.ravel() - residual
        residual = moved.ravel()
        if np.max(np.abs(theta[index])) > 1e12:
            raise DegenerateError(f"the M-step of {model.name} diverges: the target is on the boundary of ∇A's range")
        remaining = float(np.sqrt(np.maximum(0.0, residual @ inverse @ residual)))
        contraction = remaining / decrement
        if contraction > 0.3 and remaining > 1e5 * aim:
            hessian = _hessian(model, law.rows(model, theta), part, theta)
            inverse, contraction = _inverse(hessian), 1.0
        else:
            inverse = _secant(inverse, fraction * move, change)
    raise DegenerateError(f"the M-step of {model.name} did not converge in {MAX_NEWTON} Newton steps")


def _foresee(
    model: Model, part: Part, sample: Block, theta: Array, residual: Array, hessian: Array
) -> tuple[Array, Array]:
    """Where Newton's iteration would end, and the Hessian there, if the *change* of ∇A and ∇²A between here and there
    were that of a thin sample. (The change is small, so a small sample's error in it hardly matters; what is returned
    is checked on all rows.)"""
    index, size = list(part.index), len(part.index)
    information = Information(size, Rows(theta.shape[1], lambda: [sample]), part.hessian.constant)

    def on_sample(at: Array) -> tuple[Array, Array]:
        eta = predictors(model, sample, at, part.uses)
        curvature = information.matrix(information.terms(sample, part.hessian.rows(*eta)))
        return outer(sample, part.mean.rows(*eta)).ravel(), curvature

    mean, curvature = on_sample(theta)
    point, current, slope = theta, residual, hessian
    for _ in range(MAX_FORESEEN):
        move = -_inverse(slope) @ current
        point = point.copy()
        point[index] += move.reshape(size, -1)
        there, bent = on_sample(point)
        way = (point[index] - theta[index]).ravel()
        current = residual + (hessian - curvature) @ way + there - mean
        slope = hessian + bent - curvature
        if np.sqrt(abs(move @ slope @ move)) < 1e-4 * np.sqrt(abs(way @ slope @ way)):
            break
    return point, slope


def _secant(inverse: Array, move: Array, change: Array) -> Array:
    """The BFGS update of an inverse Hessian, by what the last step taught (unchanged where that is only rounding)."""
    curvature = float(move @ change)
    if curvature <= 0:
        return inverse
    left = np.eye(len(move)) - np.outer(move, change) / curvature
    return left @ inverse @ left.T + np.outer(move, move) / curvature


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
    work = lambda b: [outer(b, part.mean.rows(*predictors(model, b, theta, part.uses)))]
    return total(rows.covariates, work)[0]


def _hessian(model: Model, rows: Rows, part: Part, theta: Array) -> Array:
    information = Information(len(part.index), rows, part.hessian.constant)
    work = lambda b: information.terms(b, part.hessian.rows(*predictors(model, b, theta, part.uses)))
    return information.matrix(total(rows.covariates, work))


def _inverse(hessian: Array) -> Array:
    try:
        factor = scipy.linalg.cho_factor(hessian)
    except (np.linalg.LinAlgError, ValueError) as error:
        raise DegenerateError("∇²A is singular: the gate is saturated or the features are rank-deficient") from error
    return scipy.linalg.cho_solve(factor, np.eye(len(hessian)))
