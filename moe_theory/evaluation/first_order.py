"""L, or Q, and its gradient on a softmax mixture from one pass of two products with the features: nothing of second
order, so that thousands of coefficients cost no more than they must.

Features may be float32; θ and all sums over rows are float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from moe_theory.errors import InputError
from moe_theory.evaluation.base import Evaluation
from moe_theory.evaluation.layout import Layout
from moe_theory.evaluation.penalty import Penalty
from moe_theory.evaluation.softmax import evaluate_softmax
from moe_theory.evaluation.softmax_kernels import Predictors, log_softmax, outer_sum, products
from moe_theory.laws.rows import Block, Law, Rows
from moe_theory.model import Model
from moe_theory.sums import average, total
from moe_theory.validation import Array

WIDE = 256  # features from which on curvature is a bound that is formed once, not at every θ
DENSE = 600  # coefficients up to which a metric is formed
FAMILIES = ("binomial", "multinomial")  # whose curvature is bounded


def serves(plan: Layout) -> bool:
    """Whether a mixture can be evaluated to first order: experts with bounded curvature, without an offset."""
    return plan.structure.family in FAMILIES and plan.offset is None


@dataclass(frozen=True, eq=False)
class FirstOrder(Evaluation):
    """L and ∇L at θ with the ridge.

    responsibilities: P(z|x,y) at θ per block, (k, n), in the features' precision. complete: -Q(θ|θ) with the ridge,
    whose gradient at φ = θ is ∇L (Fisher's identity). ridge: its weights, (m, D).
    """

    layout: Layout
    slope: Array
    responsibilities: tuple[Array, ...]
    complete: float
    ridge: Array
    penalty: Penalty | None = None
    whole: list[Evaluation] = field(default_factory=list)

    @property
    def gradient(self) -> Array:
        """∇L(θ), (m, D)."""
        return self.slope

    @property
    def exact(self) -> bool:
        """The norm is in a bound of the metric."""
        return False

    def dual_norm(self, model: Model, law: Law, held: Array | None = None, exact: bool = False) -> float:
        """√(∇L' M^{-1} ∇L), M Böhning's bound of the metric: at most the exact one. exact: in the metric itself where
        there are at most WIDE features."""
        if exact and law.dimension <= WIDE:
            return self._second_order(model, law).dual_norm(model, law, held, exact)
        bound = Bound.of(self.layout, law.rows(model, self.theta), self.ridge)
        return float(np.sqrt(np.sum(self.slope * bound.solve(self.slope))))

    def metric(self, model: Model, law: Law) -> Array:
        """The complete data's information at θ, (p, p); of more than DENSE coefficients none, (0, 0)."""
        if self.theta.size > DENSE:
            return np.empty((0, 0))
        return self._second_order(model, law).metric(model, law)

    def _second_order(self, model: Model, law: Law) -> Evaluation:
        if not self.whole:
            self.whole.append(evaluate_softmax(self.layout, model, law, self.theta, self.penalty))
        return self.whole[0]


@dataclass(frozen=True, eq=False)
class Bound:
    """M = B ⊗ E[xx'] + ridge, which bounds the curvature of -Q(·|θ) at every point and for all responsibilities.

    B = (I - 11'/C)/2 on the C - 1 logits of a multinomial expert, or of the gate (Böhning, Ann. Inst. Statist. Math.
    1992; 1/4 for two classes). values (D,), vectors (D, D): of E[xx']; ridge: the largest weight.
    """

    values: Array
    vectors: Array
    groups: tuple[slice, ...]
    ridge: float

    @classmethod
    def of(cls, plan: Layout, rows: Rows, ridge: Array) -> Bound:
        """From a pass over the rows that is made once per table. InputError for families without a bound."""
        if not serves(plan):
            raise InputError(f"model: expected binomial or multinomial experts, got {plan.structure.family}")
        values, vectors = rows.once("gram's eigenvectors", lambda: np.linalg.eigh(_gram(rows)))
        s = plan.structure
        return cls(values, vectors, (*(s.expert(z) for z in range(s.k)), s.gate), float(np.max(ridge, initial=0.0)))

    @property
    def largest(self) -> float:
        """M's largest eigenvalue: a step of gradient descent of less than twice its inverse never raises L."""
        return 0.5 * float(self.values[-1]) + self.ridge

    def solve(self, g: Array) -> Array:
        """M^{-1} g for g (m, D)."""
        floor = 1e-10 * float(self.values[-1])
        turned, out = g @ self.vectors, np.empty_like(g)
        for rows in self.groups:
            own = turned[rows]
            mean = np.mean(own, axis=0) if len(own) else 0.0
            along = 0.5 / (len(own) + 1) * np.maximum(self.values, floor) + self.ridge
            across = 0.5 * np.maximum(self.values, floor) + self.ridge
            out[rows] = mean / along + (own - mean) / across
        return out @ self.vectors.T


def _gram(rows: Rows) -> Array:
    """E[xx'], in the features' precision."""

    def work(block: Block) -> list[Any]:
        x = block.x if isinstance(block.weight, float) else block.x * np.sqrt(block.weight).astype(block.x.dtype)
        return [(block.weight if isinstance(block.weight, float) else 1.0) * (x @ x.T).astype(np.float64)]

    return total(rows.covariates, work, rows.threads)[0]


def first_order(
    plan: Layout,
    model: Model,
    law: Law,
    theta: Array,
    penalty: Penalty | None = None,
    shares: Sequence[Array] | None = None,
) -> FirstOrder:
    """L and ∇L at θ; or, with responsibilities given, (k, n) per block, -Q and its gradient."""
    rows, predictors = law.rows(model, theta), plan.predictors(theta)
    blocks = rows.blocks
    given = None if shares is None else {id(b): s for b, s in zip(blocks, shares, strict=True)}

    def work(block: Block) -> list[Any]:
        known = None if given is None else given[id(block)]
        value, complete, values, posterior = block_scores(plan, block, predictors, known)
        return [value, complete, outer_sum(block.x, values).astype(np.float64), [posterior]]

    value, complete, outer, kept = total(blocks, work, rows.threads)
    weights = np.zeros_like(theta) if penalty is None else penalty.weights(plan, rows, theta)
    ridge, slope = float(np.sum(weights * theta**2)) / 2, placed(plan, outer) + weights * theta
    return FirstOrder(theta, ridge - value, plan, slope, tuple(kept), ridge - complete, weights, penalty)


def placed(plan: Layout, outer: Array) -> Array:
    """Sums for every row of θ and every column, (m, D), without the columns that a predictor does not see."""
    s, out = plan.structure, np.zeros_like(outer)
    for part, columns in ((s.experts, plan.experts), (s.gate, plan.gate)):
        out[part, columns] = outer[part, columns]
    return out


def block_scores(
    plan: Layout, block: Block, predictors: Predictors, shares: Array | None = None
) -> tuple[float, float, Array, Array]:
    """(Σ weight log p(y|x); Σ weight Σ_z share log p(y,z|x); derivatives of minus the latter in every predictor of
    every row, (m, n); the shares, (k, n), by default P(z|x,y)) on a block. With shares given the first is the
    second."""
    s = plan.structure
    eta = products(predictors[0], block.x)
    own = s.k * s.per_expert
    log_joint, residual = plan.family.log_density(block.y.astype(eta.dtype), eta[:own].reshape(s.k, s.per_expert, -1))
    log_prior, prior = log_softmax(eta[own:])
    log_joint += log_prior
    if shares is None:
        top = np.max(log_joint, axis=0)
        posterior = np.exp(log_joint - top)
        size = np.sum(posterior, axis=0)
        posterior /= size
        size = np.log(size, out=size)
        size += top
    else:
        posterior = shares
    complete = np.einsum("kn,kn->n", posterior, log_joint)
    values = np.empty((own + s.k - 1, len(block.y)), eta.dtype)
    np.multiply(-posterior[:, None], residual, out=values[:own].reshape(residual.shape))
    np.subtract(prior[1:], posterior[1:], out=values[own:])
    values *= block.weight
    first, second = (average(block, v.astype(np.float64)) for v in (size if shares is None else complete, complete))
    return first, second, values, posterior
