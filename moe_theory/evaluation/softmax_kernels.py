"""Array kernels of softmax mixtures, block by block: E-step, and the sums that the M-step's parts are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moe_theory.evaluation.layout import Layout
from moe_theory.evaluation.twofold import lost
from moe_theory.laws.rows import SLICE, Block, Law, scaled_grams
from moe_theory.model import Model
from moe_theory.validation import Array

CLIP = 700.0  # beyond it e^t is as good as infinite, and e^-t as 0

Predictors = tuple[Array, Array]  # coefficients of experts and gate over all columns (k q + k - 1, D), log sigmas (k,)


def products(coefficients: Array, x: Array) -> Array:
    """coefficients @ x, (rows, n): a product per row where they are one or two, which BLAS does faster."""
    coefficients = coefficients.astype(x.dtype, copy=False)  # else a product with float32 features would copy them
    if len(coefficients) > 2:
        return coefficients @ x
    out = np.empty((len(coefficients), x.shape[1]), x.dtype)
    for row, target in zip(coefficients, out, strict=True):
        np.dot(row, x, out=target)
    return out


def outer_sum(x: Array, values: Array) -> Array:
    """Σ value x, (rows, d)."""
    values = values.astype(x.dtype, copy=False)
    if len(values) > 2:
        return values @ x.T
    return np.stack([x @ row for row in values]) if len(values) else np.empty((0, len(x)))


def expert_predictors(layout: Layout, block: Block, experts: Array) -> Array:
    """η, (k, q, n), the offset included."""
    k, q, d = experts.shape
    eta = products(experts.reshape(k * q, d), block.x[layout.experts]).reshape(k, q, -1)
    if layout.offset is None:
        return eta
    return eta + (block.x[layout.offset][:, None] if isinstance(layout.offset, np.ndarray) else block.x[layout.offset])


def e_step(layout: Layout, block: Block, predictors: Predictors) -> tuple[Array, Array, Array, Array]:
    """(log p(y|x) - log h(y) (n,), P(z|x) (k, n), P(z|x,y) (k, n), y - E[y|x,z] (k, q, n)) on a block."""
    stacked, log_sigma = predictors
    s = layout.structure
    eta = products(stacked, block.x)  # one product for all; an offset's coefficient is 1
    scores = eta[s.k * s.per_expert :]
    own: Array | float = 0.0
    if layout.family.exacting(block.y):
        own = lost(stacked[s.experts], block.x, eta[s.experts]).reshape(s.k, s.per_expert, -1)
    log_density, residual = layout.family.log_density(block.y, eta[s.experts].reshape(s.k, s.per_expert, -1), own)
    if s.scale_predictors:
        log_density *= np.exp(-2 * log_sigma)[:, None]
        log_density -= log_sigma[:, None]
    if len(scores) == 1:
        return *_two_labels(scores[0], log_density), residual
    log_prior, prior = log_softmax(scores)
    log_density += log_prior
    top = np.max(log_density, axis=0)
    posterior = np.exp(log_density - top)
    size = np.sum(posterior, axis=0)
    posterior /= size
    return top + np.log(size), prior, posterior, residual


def gate_probabilities(gate: Array, x: Array) -> Array:
    """P(z|x), (k, n)."""
    scores = products(gate, x)
    return _logistic(scores[0])[0] if len(gate) == 1 else log_softmax(scores)[1]


def responsibilities(layout: Layout, model: Model, law: Law, theta: Array) -> Array:
    """P(z|x,y) of every row, (k, n)."""
    predictors = layout.predictors(theta)
    return np.concatenate([e_step(layout, b, predictors)[2] for b in law.rows(model, theta).blocks], axis=1)


def gate_curvature(x: Array, prior: Array, weight: Array | float) -> Array:
    """Σ weight (diag P - P P') ⊗ xx' over labels but the first, ((k-1) d, (k-1) d), from P(z|x), (k, n)."""
    k, d = len(prior), len(x)
    factor, root = (weight, None) if isinstance(weight, float) else (1.0, np.sqrt(weight))
    others = prior[:1] if k == 2 else _others(prior)[1:]
    shared = prior[1:] * others if root is None else prior[1:] * others * weight
    own = scaled_grams(x, shared)
    if k == 2:
        return factor * own[0]
    scaled = prior[1:] if root is None else prior[1:] * root
    out = np.zeros(((k - 1) * d,) * 2)
    for a in range(0, x.shape[1], SLICE):
        moved = (scaled[:, None, a : a + SLICE] * x[:, a : a + SLICE]).reshape((k - 1) * d, -1)
        out -= moved @ moved.T  # half the work of a product of two matrices
    for z, gram in enumerate(own):
        out[z * d : (z + 1) * d, z * d : (z + 1) * d] = gram
    return factor * out


def _others(prior: Array) -> Array:
    """1 - P(z|x), (k, n), where P is near 1 as the sum of the others', which keeps its relative accuracy."""
    high = prior > 0.5  # one label at most
    return np.where(high, np.sum(np.where(high, 0.0, prior), axis=0), 1.0 - prior)


def expert_curvature(
    layout: Layout, x: Array, y: Array, residual: Array, weighted: Array, labels: Sequence[int], whole: bool
) -> Array:
    """Blocks a <= b of Σ weight P(z|x,y) curvature_ab xx' at unit precision, (k, pairs, d, d), 0 for labels not in
    `labels`; or its diagonal, (k, q, d). weighted: P(z|x,y) times the rows' weights, (k, n)."""
    if not whole:
        squares = (x * x).T
        diagonal = [(weighted * v) @ squares for a, b, v in layout.family.curvature(y, residual) if a == b]
        return np.stack(diagonal, axis=1)
    k, q = residual.shape[:2]
    out = np.zeros((k, q * (q + 1) // 2, len(x), len(x)))
    own = list(labels)
    if layout.family.quadratic:
        out[own, 0] = scaled_grams(x, weighted[own])
        return out
    for i, (_, _, value) in enumerate(layout.family.curvature(y, residual)):
        out[own, i] = scaled_grams(x, weighted[own] * value[own])
    return out


def assembled(curvature: Array, q: int, d: int) -> Array:
    """An expert's Hessian, (q d, q d), from the blocks of its upper triangle, (pairs, d, d)."""
    out = np.empty((q, d, q, d))
    pairs = [(a, b) for a in range(q) for b in range(a, q)]
    for (a, b), block in zip(pairs, curvature, strict=True):
        out[a, :, b, :] = block
        out[b, :, a, :] = block
    return out.reshape(q * d, q * d)


def _two_labels(score: Array, log_density: Array) -> tuple[Array, Array, Array]:
    """(log p(y|x), P(z|x), P(z|x,y)) from the gate's score and the two log densities: no cancellation between the
    densities, both labels' shares accurate however small."""
    prior, decay = _logistic(score)
    other = log_density[0] - score
    posterior, decay_after = _logistic(log_density[1] - other)
    # log p(y|x) = log P(z=2|x) + max + log(1 + e^-|gap|), and log P(z=2|x) = min(score, 0) - log(1 + e^-|score|).
    log_marginal = np.minimum(decay_after, 1.0 / decay_after)
    log_marginal += 1.0
    tail = np.minimum(decay, 1.0 / decay)
    tail += 1.0
    log_marginal /= tail
    np.log(log_marginal, out=log_marginal)
    log_marginal += np.minimum(score, 0.0, out=tail)
    log_marginal += np.maximum(other, log_density[1], out=other)
    return log_marginal, prior, posterior


def _logistic(score: Array) -> tuple[Array, Array]:
    """((1/(1+e^s), 1/(1+e^-s)) (2, n), e^-s (n,)), scores cut at ±CLIP."""
    both = np.empty((2, len(score)))
    decay = np.minimum(score, CLIP)
    np.maximum(decay, -CLIP, out=decay)
    np.negative(decay, out=decay)
    np.exp(decay, out=decay)
    np.add(decay, 1.0, out=both[1])
    np.divide(1.0, both[1], out=both[1])
    np.multiply(decay, both[1], out=both[0])
    return both, decay


def log_softmax(scores: Array) -> tuple[Array, Array]:
    """(log P, P) over labels of which the first has score 0, (k, n) each."""
    shifted = np.concatenate([np.zeros((1, scores.shape[1])), scores])
    shifted -= np.max(shifted, axis=0)
    p = np.exp(shifted)
    size = np.sum(p, axis=0)
    shifted -= np.log(size)
    p /= size
    return shifted, p
