"""One pass over the rows of a softmax mixture: array kernels for what the derived ones compute label by label.

Equal to them up to rounding (tests/test_mixture_kernels.py); what an iteration costs grows linearly with k, but for the
gate's Hessian, which is left out where it would be large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_theory.evaluation.base import Evaluation
from moe_theory.evaluation.layout import Layout
from moe_theory.evaluation.penalty import Penalty
from moe_theory.laws.rows import Block, Law, Rows, scaled_gram
from moe_theory.model import Model
from moe_theory.sums import average, total
from moe_theory.validation import Array

LARGE = 300  # coefficients of a part from which on its Hessian is not formed


@dataclass(frozen=True, eq=False)
class Part:
    """One separate piece of Q at θ: the gate, or one expert's coefficients.

    rows: its rows of θ. columns: the features it sees. point: its coefficients, (q, d). plain_slope, plain_hessian: of -Q
    at φ = θ, (q, d) and (q d, q d), the latter None for a part of more than LARGE coefficients; plain_diagonal: its
    diagonal, (q d,). ridge: on its coefficients, (q, d).
    """

    rows: slice
    columns: slice | Array
    point: Array
    plain_slope: Array
    plain_hessian: Array | None
    plain_diagonal: Array
    ridge: Array

    @property
    def slope(self) -> Array:
        """Of -Q with the ridge, (q, d)."""
        return self.plain_slope + self.ridge * self.point

    @property
    def hessian(self) -> Array | None:
        """Of -Q with the ridge, (q d, q d)."""
        return None if self.plain_hessian is None else self.plain_hessian + np.diag(self.ridge.ravel())

    @property
    def diagonal(self) -> Array:
        """Of `hessian`, (q d,)."""
        return self.plain_diagonal + self.ridge.ravel()


@dataclass(frozen=True, eq=False)
class SoftmaxEvaluation(Evaluation):
    """A softmax mixture at θ.

    parts: the gate first (none for one label), then the experts. target: Σ weight P(z|x,y) ⊗ x of the labels but the
    first, (k-1, d), which the gate's M-step has to match. mass: Σ weight P(z|x,y), (k,). squares: Σ weight
    P(z|x,y) (y - η_z)² of normal experts, (k,). responsibilities: per block, (k, n); None where no M-step needs them.
    sigma_floor: at which the gradient is projected.
    """

    layout: Layout
    parts: tuple[Part, ...]
    target: Array
    mass: Array
    squares: Array
    responsibilities: tuple[Array, ...] | None
    sigma_floor: float = 0.0

    @property
    def gradient(self) -> Array:
        """∇L(θ), (m, D)."""
        out = np.zeros_like(self.theta)
        for part in self.parts:
            out[part.rows, part.columns] = part.slope
        s = self.layout.structure
        if s.scale_predictors:
            log_sigma = self.layout.coefficients(self.theta)[1]
            own = self.mass - self.squares * np.exp(-2 * log_sigma)
            own = np.sum(own, keepdims=True) if s.common_sigma else own
            if self.sigma_floor > 0:
                held = self.theta[s.scales, self.layout.scale] <= np.log(self.sigma_floor)
                own = np.where(held & (own > 0), 0.0, own)
            out[s.scales, self.layout.scale] = own
        return out

    def metric(self, model: Model, law: Law) -> Array:
        """The complete data's information with the labels' responsibilities at θ, (p, p), block diagonal.

        Of normal experts the expected one: it is -∂²Q at every fixed point of EM, and positive everywhere. Of parts of
        more than LARGE coefficients the diagonal.
        """
        m, d = self.theta.shape
        out = np.zeros((m, d, m, d))
        for part in self.parts:
            place = np.ix_(range(m)[part.rows], _listed(part.columns, d), range(m)[part.rows], _listed(part.columns, d))
            block = np.diag(part.diagonal) if part.hessian is None else part.hessian
            out[place] = block.reshape(out[place].shape)
        s = self.layout.structure
        if s.scale_predictors:
            masses = [np.sum(self.mass)] if s.common_sigma else self.mass
            for row, mass in zip(range(m)[s.scales], masses, strict=True):
                out[row, self.layout.scale, row, self.layout.scale] = 2 * mass
        whole = out.reshape(m * d, m * d)
        return whole if model.design is None else whole[np.ix_(model.design.index, model.design.index)]


def evaluate_softmax(
    layout: Layout,
    model: Model,
    law: Law,
    theta: Array,
    penalty: Penalty | None = None,
    shares: Sequence[Array] | None = None,
) -> SoftmaxEvaluation:
    """L, ∇L, the curvature of Q's parts and the responsibilities at θ, in a single pass.

    shares: responsibilities to use instead of those at θ, per block, (k, n); then only an M-step makes sense.
    """
    s, rows = layout.structure, law.rows(model, theta)
    experts, log_sigma, gate = coefficients = layout.coefficients(theta)
    quadratic = layout.family.quadratic
    kept: list[Array] = []
    skipped: list[int] = []
    given = None if shares is None else iter(shares)

    def work(block: Block) -> list[Any]:
        log_marginal, prior, posterior, residual = e_step(layout, block, coefficients)
        if given is not None:
            posterior = next(given)
        if not quadratic:
            kept.append(posterior)
        weighted = posterior * block.weight
        mass = np.sum(weighted, axis=1)
        if not skipped:
            skipped.append(int(np.argmax(mass)) if quadratic else -1)
        squares = np.einsum("kn,kn,kn->k", weighted, residual[:, 0], residual[:, 0]) if quadratic else 0.0
        expected = prior * block.weight
        gate_terms = terms_of_gate(layout, block, expected - weighted, prior, gate.size <= LARGE)
        labels = [z for z in range(s.k) if z != skipped[0]]
        expert_terms = terms_of_experts(layout, block, weighted, residual, experts[0].size <= LARGE, labels)
        target = outer_sum(block.x[layout.gate], weighted[1:])
        return [average(block, log_marginal), mass, squares, target, *gate_terms, *expert_terms]

    log_likelihood, mass, squares, target, *sums = total(rows.blocks, work)
    gate_part, sums = collect_gate(gate, sums)
    if quadratic:
        others = [z for z in range(s.k) if z != skipped[0]]
        gram = rows.gram[layout.experts][:, layout.experts]
        sums[1][skipped[0]] = gram - np.sum(sums[1][others], axis=0)
    weights = np.zeros_like(theta) if penalty is None else penalty.weights(layout, rows, theta)
    places = [(layout.structure.gate, layout.gate)] if gate_part else []
    places += [(layout.structure.expert(z), layout.experts) for z in range(s.k)]
    found = (*gate_part, *collect_experts(experts, np.exp(-2 * log_sigma), sums))
    parts = tuple(Part(*place, theta[place], *own, weights[place]) for place, own in zip(places, found, strict=True))
    base = rows.once(("base", s.family), lambda: _base(layout, rows))
    return SoftmaxEvaluation(
        theta,
        float(np.sum(weights * theta**2)) / 2 - log_likelihood - base,
        layout,
        parts,
        target,
        mass,
        squares if quadratic else np.zeros(s.k),
        None if quadratic else tuple(kept),
        penalty.sigma_floor if penalty else 0.0,
    )


def e_step(
    layout: Layout, block: Block, coefficients: tuple[Array, Array, Array]
) -> tuple[Array, Array, Array, Array]:
    """(log p(y|x) - log h(y) (n,), P(z|x) (k, n), P(z|x,y) (k, n), y - E[y|x,z] (k, q, n)) on a block."""
    experts, log_sigma, gate = coefficients
    log_prior, prior = gate_probabilities(gate, block.x[layout.gate])
    log_joint, residual = layout.family.log_density(block.y, expert_predictors(layout, block, experts))
    if layout.structure.scale_predictors:
        log_joint *= np.exp(-2 * log_sigma)[:, None]
        log_joint -= log_sigma[:, None]
    log_joint += log_prior
    log_marginal, posterior = posterior_of(log_joint)
    return log_marginal, prior, posterior, residual


def responsibilities(layout: Layout, model: Model, law: Law, theta: Array) -> Array:
    """P(z|x,y) of every row, (k, n)."""
    coefficients = layout.coefficients(theta)
    return np.concatenate([e_step(layout, b, coefficients)[2] for b in law.rows(model, theta).blocks], axis=1)


def products(coefficients: Array, x: Array) -> Array:
    """coefficients @ x, (rows, n): a product per row where they are few, which BLAS does faster."""
    if len(coefficients) > 4:
        return coefficients @ x
    out = np.empty((len(coefficients), x.shape[1]))
    for row, target in zip(coefficients, out, strict=True):
        np.dot(row, x, out=target)
    return out


def expert_predictors(layout: Layout, block: Block, experts: Array) -> Array:
    """η, (k, q, n), the offset included."""
    k, q, d = experts.shape
    eta = products(experts.reshape(k * q, d), block.x[layout.experts]).reshape(k, q, -1)
    return eta if layout.offset is None else eta + block.x[layout.offset]


def gate_probabilities(gate: Array, x: Array) -> tuple[Array, Array]:
    """(log P(z|x), P(z|x)), (k, n) each."""
    scores = products(gate, x)
    if len(gate) != 1:
        return _log_softmax(np.concatenate([np.zeros((1, x.shape[1])), scores]))
    score = scores[0]
    log_p, p = np.empty((2, len(score))), np.empty((2, len(score)))
    decay = np.exp(-np.abs(score))
    growth = 1.0 + decay
    np.minimum(score, 0.0, out=log_p[1])
    log_p[1] -= np.log(growth)
    np.subtract(log_p[1], score, out=log_p[0])
    inverse = 1.0 / growth
    decay *= inverse
    positive = score >= 0
    p[1] = np.where(positive, inverse, decay)
    p[0] = np.where(positive, decay, inverse)
    return log_p, p


def posterior_of(log_joint: Array) -> tuple[Array, Array]:
    """(log Σ_z exp, (n,), its softmax, (k, n))."""
    if len(log_joint) != 2:
        top = np.max(log_joint, axis=0)
        shares = np.exp(log_joint - top)
        size = np.sum(shares, axis=0)
        shares /= size
        return top + np.log(size), shares
    gap = log_joint[1] - log_joint[0]
    decay = np.exp(-np.abs(gap))
    growth = 1.0 + decay
    posterior = np.empty_like(log_joint)
    inverse = 1.0 / growth
    decay *= inverse
    second = gap >= 0
    posterior[1] = np.where(second, inverse, decay)
    posterior[0] = np.where(second, decay, inverse)
    return np.maximum(log_joint[0], log_joint[1]) + np.log(growth), posterior


def terms_of_gate(layout: Layout, block: Block, slope: Array, prior: Array, whole: bool) -> list[Any]:
    """[slope of -Q (k-1, d), its Hessian's blocks or diagonal] from weight (P(z|x) - P(z|x,y)), (k, n), and P(z|x)."""
    k = len(prior)
    if k == 1:
        return []
    x = block.x[layout.gate]
    slopes = outer_sum(x, slope[1:])
    weighted = prior[1:] * block.weight
    if not whole:
        curvature = weighted * (1.0 - prior[1:])
        return [slopes, curvature @ (x * x).T]
    pairs = [(a, b) for a in range(k - 1) for b in range(a, k - 1)]
    curvature_of = lambda a, b: weighted[a] * ((1.0 - prior[1 + a]) if a == b else -prior[1 + b])
    return [slopes, np.stack([scaled_gram(x, curvature_of(a, b)) for a, b in pairs])]


def terms_of_experts(
    layout: Layout, block: Block, weighted: Array, residual: Array, whole: bool, labels: Sequence[int]
) -> list[Any]:
    """[Σ weight residual ⊗ x (k, q, d), curvature] of the experts at unit precision.

    curvature: (k, pairs, d, d), 0 for labels not in `labels`; or the diagonal (k, q, d).
    """
    k, q, _ = residual.shape
    x = block.x[layout.experts]
    slopes = outer_sum(x, (weighted[:, None] * residual).reshape(k * q, -1)).reshape(k, q, -1)
    curvature = layout.family.curvature(block.y, residual)
    if not whole:
        squares = (x * x).T
        diagonal = [(weighted * value) @ squares for a, b, value in curvature if a == b]
        return [slopes, np.stack(diagonal, axis=1)]
    grams = np.zeros((k, len(curvature), len(x), len(x)))
    for z in labels:
        for i, (_, _, value) in enumerate(curvature):
            grams[z, i] = scaled_gram(x, weighted[z] if layout.family.quadratic else weighted[z] * value[z])
    return [slopes, grams]


Derivatives = tuple[Array, Array | None, Array]  # slope, Hessian, its diagonal


def collect_gate(gate: Array, sums: list[Any]) -> tuple[list[Derivatives], list[Any]]:
    """The gate's derivatives of -Q from the sums of its terms (nothing for one label), and the sums that are left."""
    if not gate.size:
        return [], sums
    slopes, curvature, *rest = sums
    return [(slopes, *assembled(curvature, *gate.shape))], rest


def collect_experts(experts: Array, precision: Array, sums: list[Any]) -> list[Derivatives]:
    """The experts' derivatives of -Q from the sums of their terms."""
    slopes, curvature = sums
    return [
        (-p * slope, *assembled(own * p, *expert.shape))
        for expert, p, slope, own in zip(experts, precision, slopes, curvature, strict=True)
    ]


def assembled(curvature: Array, q: int, d: int) -> tuple[Array | None, Array]:
    """(Hessian (q d, q d) or None, diagonal) from the blocks of its upper triangle, or from its diagonal (q, d)."""
    if curvature.ndim == 2:
        return None, curvature.ravel()
    out = np.empty((q, d, q, d))
    for (a, b), block in zip([(a, b) for a in range(q) for b in range(a, q)], curvature, strict=True):
        out[a, :, b, :] = block
        out[b, :, a, :] = block
    hessian = out.reshape(q * d, q * d)
    return hessian, np.diagonal(hessian).copy()


def outer_sum(x: Array, values: Array) -> Array:
    """Σ value x, (rows, d): a product per row where they are few, which BLAS does faster."""
    if len(values) > 4:
        return values @ x.T
    out = np.empty((len(values), len(x)))
    for row, value in zip(out, values, strict=True):
        np.dot(x, value, out=row)
    return out


def _log_softmax(scores: Array) -> tuple[Array, Array]:
    shifted = scores - np.max(scores, axis=0)
    p = np.exp(shifted)
    size = np.sum(p, axis=0)
    return shifted - np.log(size), p / size


def _base(layout: Layout, rows: Rows) -> float:
    """Σ weight log h(y)."""
    one = lambda b: average(b, np.broadcast_to(layout.family.base(b.y), b.y.shape))
    return float(sum(one(b) for b in rows.blocks))


def _listed(columns: slice | Array, d: int) -> Any:
    return range(d)[columns] if isinstance(columns, slice) else columns
