"""The M-step of any declared model: the minimum of -Q(·|θ) from derivatives that were derived, group by group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moe_theory.algorithms.newton import Ask, Solution, drive, newton
from moe_theory.complete import complete_kernels
from moe_theory.errors import DegenerateError, NotFiniteError
from moe_theory.evaluation.finite import not_finite
from moe_theory.evaluation.general import q_derivatives
from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.validation import Array

SWEEPS = 50
LEAST = 1e-12  # curvature relative to the diagonal's, below which a group is not taken as convex


def general_step(model: Model, law: Law, theta: Array, responsibilities: Sequence[Array]) -> tuple[Array, float]:
    """(argmax_φ Q, (m, d); the largest Newton decrement left, over its aim), with the responsibilities per block, (k,
    n).

    Q separates into groups of predictors. A group is solved by Newton's method as a whole where -Q is convex at the
    start; otherwise, or where that fails, predictor by predictor in sweeps (a normal expert's mean, then its log σ).
    Raises DegenerateError where the maximum is not attained or not found.
    """
    positions = _positions(model, theta.shape[1])
    residual = 0.0
    for group in complete_kernels(model).linked:
        problem = _Group(model, law, responsibilities)
        if all(not len(positions[j]) for j in group):
            continue
        theta, left = problem.solve(theta, [positions[j] for j in group])
        residual = max(residual, left)
    return theta, residual


class _Group:
    """-Q as a function of some of the learnt entries of θ."""

    def __init__(self, model: Model, law: Law, responsibilities: Sequence[Array]) -> None:
        self.model, self.law, self.responsibilities = model, law, responsibilities

    def solve(self, theta: Array, members: list[Array]) -> tuple[Array, float]:
        """Minimise over the entries of all members."""
        together = np.concatenate(members)
        try:
            return self._newton(theta, together)
        except DegenerateError:
            if len(members) == 1:
                raise
        for _ in range(SWEEPS):
            before = theta
            for own in members:
                theta, _ = self._newton(theta, own)
            if np.array_equal(theta, before):
                return theta, 1.0
            try:
                return self._newton(theta, together)
            except DegenerateError:
                continue
        raise DegenerateError(f"the M-step of {self.model.name} did not settle in {SWEEPS} sweeps")

    def _newton(self, theta: Array, own: Array) -> tuple[Array, float]:
        vector = self.model.free(theta)

        def at(point: Array) -> Array:
            moved = vector.copy()
            moved[own] = point
            return self.model.filled(moved, theta.shape[1])

        def answer(asked: dict[int, Ask]) -> dict[int, Array]:
            gradient, hessian = self._derivatives(at(asked[0].point), own)
            if asked[0].what == "hessian":
                self._refuse(hessian, at(asked[0].point))
            return {0: hessian if asked[0].what == "hessian" else gradient}

        gradient, hessian = self._derivatives(theta, own)
        self._refuse(hessian, theta)
        scale = np.sqrt(np.maximum(np.diagonal(hessian), 1e-300))
        if np.linalg.eigvalsh(hessian / np.outer(scale, scale))[0] < LEAST:
            raise DegenerateError(
                f"the M-step of {self.model.name}: -Q is not strictly convex (features that separate the labels, or"
                " without full rank)"
            )
        name = f"the M-step of {self.model.name}"
        solution: Solution = drive({0: newton(vector[own], gradient, hessian, name)}, answer)[0]
        return at(solution.point), solution.residual

    def _refuse(self, hessian: Array, theta: Array) -> None:
        """NotFiniteError if an M-step cannot be made of these numbers."""
        if not np.isfinite(hessian).all():
            what = not_finite(self.model, self.law, theta) or "a sum over the rows is not finite"
            raise NotFiniteError(f"the M-step of {self.model.name}: {what}")

    def _derivatives(self, theta: Array, own: Array) -> tuple[Array, Array]:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            _, slope, curvature = q_derivatives(self.model, self.law, theta, self.responsibilities)
        return self.model.free(slope)[own], curvature[np.ix_(own, own)]


def _positions(model: Model, d: int) -> list[Array]:
    """Per predictor the positions of its learnt entries among all."""
    sizes = [d if model.design is None else len(model.design.free[j]) for j in range(len(model.predictors))]
    ends = np.cumsum(sizes)
    return [np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True)]
