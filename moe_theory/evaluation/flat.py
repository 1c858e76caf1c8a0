"""One pass over the rows of a flat model for all that an iteration needs: L, the E-step, the derivatives of A."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from moe_theory.evaluation.base import Evaluation
from moe_theory.kernels import kernels
from moe_theory.laws.rows import Block, Law, Rows
from moe_theory.model import Model
from moe_theory.sums import Information, average, outer, predictors, total
from moe_theory.validation import Array

Hessians = tuple[Array | None, ...]


@dataclass(frozen=True, eq=False)
class FlatEvaluation(Evaluation):
    """A flat model at θ.

    target: E[E[s|x,y] ⊗ x], (m, d). mean: ∇A(θ), (m, d). curvature: the Hessians, where they came with the same pass,
    or what computes them.
    """

    target: Array
    mean: Array
    curvature: Hessians | Parts

    def __getstate__(self) -> dict[str, Any]:
        """Without the rows, which do not travel between processes."""
        return self.__dict__ | {"curvature": self.hessians}

    @cached_property
    def hessians(self) -> Hessians:
        """∇²A(θ) restricted to each part of the model whose Hessian varies, (q d, q d), None for the others (see
        `Kernels.parts`); where they are not known yet, from one more pass over x."""
        known = self.curvature
        return known.evaluate(self.theta)[1] if isinstance(known, Parts) else known

    @property
    def gradient(self) -> Array:
        """∇L(θ), (m, d), by Fisher's identity."""
        return self.mean - self.target

    def metric(self, model: Model, law: Law) -> Array:
        """∇²A(θ), (m d, m d), put together from the parts."""
        gram = law.rows(model, self.theta).gram
        m, d = self.theta.shape
        out = np.zeros((m, d, m, d))
        for part, hessian in zip(kernels(model).parts, self.hessians, strict=True):
            q = len(part.index)
            block: Array | None = hessian if part.constant is None else np.kron(part.constant, gram)
            out[np.ix_(part.index, range(d), part.index, range(d))] = np.asarray(block).reshape(q, d, q, d)
        return out.reshape(m * d, m * d)


def evaluate_flat(model: Model, law: Law, theta: Array, second_order: bool = True) -> FlatEvaluation:
    """L, the E-step and the derivatives of A at θ, in a single pass over a table; there ∇²A is left for later, if it is
    wanted at all, unless second_order."""
    rows = law.rows(model, theta)
    k, m, parts = kernels(model), len(model.predictors), Parts(model, rows)
    if rows.split:

        def posterior_step(block: Block) -> list[Any]:
            step = k.posterior_step.rows(block.y, *predictors(model, block, theta))
            return [average(block, step[0]), outer(block, step[1:])]

        evidence, target = total(rows.blocks, posterior_step)
        mean, hessians = parts.evaluate(theta)
        return FlatEvaluation(theta, mirror_map(model, law, theta) - evidence, target, mean, hessians)

    if not second_order:

        def first_order(block: Block) -> list[Any]:
            values = k.first_order.rows(block.y, *predictors(model, block, theta))
            return [average(block, values[0]), outer(block, values[1 : 1 + m]), outer(block, values[1 + m :])]

        log_likelihood, target, mean = total(rows.blocks, first_order)
        return FlatEvaluation(theta, -log_likelihood, target, mean, parts)

    def everything(block: Block) -> list[Any]:
        values = k.estep.rows(block.y, *predictors(model, block, theta))
        return [average(block, values[0]), outer(block, values[1 : 1 + m]), *parts.terms(block, values[1 + m :])]

    log_likelihood, target, *terms = total(rows.blocks, everything)
    mean, hessians = parts.collect(theta, terms)
    return FlatEvaluation(theta, -log_likelihood, target, mean, hessians)


class Parts:
    """∇A and ∇²A part by part; those with a constant Hessian are quadratic and need the Gram matrix only."""

    def __init__(self, model: Model, rows: Rows) -> None:
        self.model, self.rows = model, rows
        self.varying = [
            (part, Information(len(part.index), rows, part.hessian.constant))
            for part in kernels(model).parts
            if part.constant is None
        ]

    def evaluate(self, theta: Array) -> tuple[Array, Hessians]:
        """∇A(θ), (m, d), and ∇²A(θ) per part (None for the quadratic ones), in one pass over x."""
        if not self.varying:
            return self.collect(theta, [])
        k = kernels(self.model).varying_parts
        work = lambda b: self.terms(b, k.rows(*predictors(self.model, b, theta)))
        return self.collect(theta, total(self.rows.covariates, work))

    def terms(self, block: Block, values: Sequence[Array | float]) -> list[Array]:
        """What a block adds, given its kernel values: ∇A_x, then the upper triangle of ∇²A_x, per varying part."""
        terms: list[Array] = []
        for part, information in self.varying:
            q = len(part.index)
            size = q * (q + 1) // 2
            terms += [outer(block, values[:q]), *information.terms(block, values[q : q + size])]
            values = values[q + size :]
        return terms

    def collect(self, theta: Array, terms: Sequence[Array]) -> tuple[Array, Hessians]:
        """∇A(θ) and the Hessians from the sums of the terms."""
        mean, rows, left = np.zeros(theta.shape), self.rows, list(terms)
        varying = iter(self.varying)
        hessians: list[Array | None] = []
        for part in kernels(self.model).parts:
            index = list(part.index)
            if part.constant is not None and part.offset is not None:
                mean[index] = part.constant @ theta[index] @ rows.gram + np.outer(part.offset, rows.first_moment)
                hessians.append(None)
            else:
                information = next(varying)[1]
                count = 1 + len(information.varying)
                mean[index] = left[0]
                hessians.append(information.matrix(left[1:count]))
                left = left[count:]
        return mean, tuple(hessians)


def mirror_map(model: Model, law: Law, theta: Array) -> float:
    """A(θ) = E A_x(Θx)."""
    k, rows = kernels(model).mirror_map, law.rows(model, theta)
    return total(rows.covariates, lambda b: [average(b, k(*predictors(model, b, theta))[0])])[0]
