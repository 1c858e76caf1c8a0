"""One pass over the rows for all that an iteration needs: L, the E-step, the derivatives of A."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moe_theory.kernels import kernels
from moe_theory.laws.rows import Block, Law, Rows
from moe_theory.model import Model
from moe_theory.operators import mirror_map
from moe_theory.sums import InformationSum, average, outer, predictors
from moe_theory.validation import Array


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one iteration of any algorithm needs at θ.

    target: E[E[s|x,y] ⊗ x], (m, d). mean: ∇A(θ), (m, d). hessians: ∇²A(θ) restricted to each part of the model whose
    Hessian varies, (q d, q d), None for the others (see `Kernels.parts`).
    """

    theta: Array
    objective: float
    target: Array
    mean: Array
    hessians: tuple[Array | None, ...]

    @property
    def gradient(self) -> Array:
        """∇L(θ), (m, d), by Fisher's identity."""
        return self.mean - self.target

    def complete_information(self, model: Model, law: Law) -> Array:
        """∇²A(θ), (m d, m d), put together from the parts."""
        gram = law.rows(model, self.theta).gram
        m, d = self.theta.shape
        out = np.zeros((m, d, m, d))
        for part, hessian in zip(kernels(model).parts, self.hessians, strict=True):
            q = len(part.index)
            block: Array | None = hessian if part.constant is None else np.kron(part.constant, gram)
            out[np.ix_(part.index, range(d), part.index, range(d))] = np.asarray(block).reshape(q, d, q, d)
        return out.reshape(m * d, m * d)


def evaluate(model: Model, law: Law, theta: Array) -> Evaluation:
    """L, the E-step and the derivatives of A at θ, in a single pass over a table."""
    rows = law.rows(model, theta)
    if rows.split:
        mean, hessians = mean_and_hessians(model, rows, theta)
        evidence, target = 0.0, np.zeros_like(mean)
        for block in rows:
            step = kernels(model).posterior_step.rows(block.y, *predictors(model, block, theta))
            evidence += average(block, step[0])
            target += outer(block, step[1:])
        return Evaluation(theta, mirror_map(model, law, theta) - evidence, target, mean, hessians)
    k, m, sums = kernels(model).estep, len(model.predictors), _PartSums(model, rows)
    total, target = 0.0, np.zeros((m, rows.dimension))
    for block in rows:
        values = k.rows(block.y, *predictors(model, block, theta))
        total += average(block, values[0])
        target += outer(block, values[1 : 1 + m])
        sums.add(block, values[1 + m :])
    return Evaluation(theta, -total, target, sums.mean(theta), sums.hessians())


def mean_and_hessians(model: Model, rows: Rows, theta: Array) -> tuple[Array, tuple[Array | None, ...]]:
    """∇A(θ) and ∇²A(θ) by parts, in one pass over x."""
    k, sums = kernels(model).varying_parts, _PartSums(model, rows)
    if sums.varying:
        for block in rows.covariates():
            sums.add(block, k.rows(*predictors(model, block, theta)))
    return sums.mean(theta), sums.hessians()


class _PartSums:
    """Accumulates ∇A and ∇²A by parts; parts with a constant Hessian are quadratic and need the Gram matrix only."""

    def __init__(self, model: Model, rows: Rows) -> None:
        self.model, self.rows = model, rows
        self.parts = kernels(model).parts
        self.varying = [p for p in self.parts if p.constant is None]
        self.sums = [InformationSum(len(p.index), rows, p.hessian.constant) for p in self.varying]
        self._mean = np.zeros((len(model.predictors), rows.dimension))

    def add(self, block: Block, values: Sequence[Array | float]) -> None:
        """Add a block, given its kernel values: ∇A_x, then the upper triangle of ∇²A_x, per varying part."""
        for part, total in zip(self.varying, self.sums, strict=True):
            q = len(part.index)
            self._mean[list(part.index)] += outer(block, values[:q])
            size = q * (q + 1) // 2
            total.add(block, values[q : q + size])
            values = values[q + size :]

    def mean(self, theta: Array) -> Array:
        """∇A(θ), (m, d): the sums, and what the quadratic parts' Gram matrix gives."""
        mean, rows = self._mean.copy(), self.rows
        for part in self.parts:
            if part.constant is not None and part.offset is not None:
                index = list(part.index)
                mean[index] = part.constant @ theta[index] @ rows.gram + np.outer(part.offset, rows.first_moment)
        return mean

    def hessians(self) -> tuple[Array | None, ...]:
        """∇²A(θ) per part, None for the quadratic ones."""
        made = iter(self.sums)
        return tuple(next(made).matrix() if part.constant is None else None for part in self.parts)
