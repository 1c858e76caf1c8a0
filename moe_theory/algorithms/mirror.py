"""The inverse of the mirror map's gradient: every M-step of a flat model, and every mirror-descent step."""

from __future__ import annotations

import contextlib

import numpy as np

from moe_theory.algorithms.newton import Ask, drive, inverse_of, newton
from moe_theory.errors import DegenerateError
from moe_theory.evaluation.flat import FlatEvaluation
from moe_theory.kernels import Part, kernels
from moe_theory.laws.rows import Block, Law, Rows
from moe_theory.model import Model
from moe_theory.sums import Information, outer, predictors, total
from moe_theory.validation import Array

MAX_FORESEEN = 5
SATURATED = 1e-10  # least curvature of A, relative to the features' Gram matrix, that is still a solution


def inverse_mirror(model: Model, law: Law, target: Array, start: FlatEvaluation) -> Array:
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
    residual, inverse = (mean - target).ravel(), inverse_of(hessian, f"the M-step of {model.name}")
    sample = law.rows(model, theta).sample
    if sample is not None:
        with contextlib.suppress(DegenerateError):  # then the sample foresees nothing
            ahead, hessian_ahead = _foresee(model, part, sample, theta, residual, hessian)
            inverse_ahead = inverse_of(hessian_ahead, model.name)
            moved = (_mean(model, law.rows(model, ahead), part, ahead) - target).ravel()
            if np.isfinite(moved).all() and moved @ inverse @ moved < 0.25 * residual @ inverse @ residual:
                theta, residual, hessian, inverse = ahead, moved, hessian_ahead, inverse_ahead

    def answer(asked: dict[int, Ask]) -> dict[int, Array]:
        at = theta.copy()
        at[index] = asked[0].point.reshape(shape)
        rows = law.rows(model, at)
        if asked[0].what == "hessian":
            return {0: _hessian(model, rows, part, at)}
        return {0: (_mean(model, rows, part, at) - target).ravel()}

    solver = newton(theta[index].ravel(), residual, hessian, f"the M-step of {model.name}")
    solution = drive({0: solver}, answer)[0]
    out = theta.copy()
    out[index] = solution.point.reshape(shape)
    if solution.hessian is not None:
        _refuse_saturation(model, solution.hessian, law.rows(model, out).gram, len(index))
    return out


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
        move = -inverse_of(slope, model.name) @ current
        point = point.copy()
        point[index] += move.reshape(size, -1)
        there, bent = on_sample(point)
        way = (point[index] - theta[index]).ravel()
        current = residual + (hessian - curvature) @ way + there - mean
        slope = hessian + bent - curvature
        if np.sqrt(abs(move @ slope @ move)) < 1e-4 * np.sqrt(abs(way @ slope @ way)):
            break
    return point, slope


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
