"""The theory's functionals on (model, law, θ), each an expectation over weighted rows.

θ is an (m, d) array; information matrices are (m d, m d) with the predictor as the slow index, i.e. E[I_x ⊗ xx'].
L is the negative log-likelihood -E log p(y|x; θ). All need a flat model (CurvedModelError otherwise).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from moe_theory.errors import InputError
from moe_theory.kernels import kernels, unpack_upper
from moe_theory.laws.rows import Block, Law, Rows, weighted_gram
from moe_theory.model import Model
from moe_theory.symbolic.lower import Compiled
from moe_theory.validation import Array


def predictors(model: Model, block: Block, theta: Array) -> Array:
    """η = Θx for every row of a block, (m + known, n)."""
    return model.coefficients(theta) @ block.x


def objective(model: Model, law: Law, theta: Array) -> float:
    """L(θ) = -E log p(y|x; θ)."""
    k, rows = kernels(model), law.rows(model, theta)
    if not rows.split:
        return -sum(_mean(block, k.log_density(block.y, predictors(model, block, theta))) for block in rows)
    evidence = sum(_mean(b, k.log_evidence(b.y, *predictors(model, b, theta))[0]) for b in rows)
    return mirror_map(model, law, theta) - evidence


def expected_statistic(model: Model, law: Law, theta: Array) -> Array:
    """E[E_{z|x,y;θ}[s] ⊗ x], (m, d): what the E-step hands to the M-step."""
    k = kernels(model).expected_statistic
    return _moment(model, law, (outer(b, k(b.y, *predictors(model, b, theta))) for b in law.rows(model, theta)))


def gradient(model: Model, law: Law, theta: Array) -> Array:
    """∇L(θ), (m, d): from the score of the marginal density; where x has a law of its own, as ∇A - E[E[s] ⊗ x]."""
    k, rows = kernels(model).score, law.rows(model, theta)
    if rows.split:
        return mean_map(model, law, theta) - expected_statistic(model, law, theta)
    return -_moment(model, law, (outer(b, k(b.y, *predictors(model, b, theta))) for b in rows))


def mirror_map(model: Model, law: Law, theta: Array) -> float:
    """A(θ) = E A_x(Θx)."""
    k, rows = kernels(model).mirror_map, law.rows(model, theta)
    return sum(_mean(b, k(*predictors(model, b, theta))[0]) for b in rows.covariates())


def mean_map(model: Model, law: Law, theta: Array) -> Array:
    """∇A(θ) = E[∇A_x ⊗ x], (m, d)."""
    k, rows = kernels(model).mean, law.rows(model, theta)
    return _moment(model, law, (outer(b, k(*predictors(model, b, theta))) for b in rows.covariates()))


def complete_information(model: Model, law: Law, theta: Array) -> Array:
    """I_{x,y,z} = ∇²A(θ) = E[∇²A_x ⊗ xx'], (m d, m d)."""
    k, rows = kernels(model).complete_information, law.rows(model, theta)
    total = InformationSum(len(model.predictors), rows, k.constant)
    if total.varying:
        for block in rows.covariates():
            total.add(block, k.rows(*predictors(model, block, theta)))
    return total.matrix()


def missing_information(model: Model, law: Law, theta: Array) -> Array:
    """I_{z|x,y} = E[Cov(s|x,y) ⊗ xx'], (m d, m d)."""
    k, rows = kernels(model).missing_information, law.rows(model, theta)
    total = InformationSum(len(model.predictors), rows, k.constant)
    for block in rows:
        total.add(block, k.rows(block.y, *predictors(model, block, theta)))
    return total.matrix()


def observed_information(model: Model, law: Law, theta: Array) -> Array:
    """∇²L(θ) = ∇²A(θ) - I_{z|x,y}, (m d, m d)."""
    return complete_information(model, law, theta) - missing_information(model, law, theta)


@dataclass(frozen=True, eq=False)
class MissingInformation:
    """M(θ) = ∇²A(θ)^{-1} I_{z|x,y}, (m d, m d), with its spectrum.

    eigenvalues: in falling order. vectors: the eigenvectors as columns, orthonormal in the metric ∇²A.
    """

    eigenvalues: Array
    vectors: Array
    complete: Array
    missing: Array

    @property
    def lambda_max(self) -> float:
        return float(self.eigenvalues[0])

    @property
    def matrix(self) -> Array:
        return np.linalg.solve(self.complete, self.missing)


def missing_information_matrix(model: Model, law: Law, theta: Array) -> MissingInformation:
    """M(θ) and its spectrum; InputError if ∇²A(θ) is singular (features without full rank, or a saturated gate)."""
    complete = complete_information(model, law, theta)
    missing = missing_information(model, law, theta)
    scale = np.sqrt(np.diagonal(complete))
    if not np.all(scale > 0):
        raise InputError("theta: expected ∇²A(θ) to be positive definite, got a zero on its diagonal")
    unit = np.outer(scale, scale)
    try:
        # Scaled to unit diagonal, so that the features' units do not matter for the conditioning.
        values, vectors = scipy.linalg.eigh(missing / unit, complete / unit)
    except np.linalg.LinAlgError as error:
        raise InputError("theta: expected ∇²A(θ) to be positive definite, it is singular to rounding") from error
    return MissingInformation(values[::-1], vectors[:, ::-1] / scale[:, None], complete, missing)


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


def bregman(model: Model, law: Law, phi: Array, theta: Array) -> float:
    """B_A(φ‖θ) = A(φ) - A(θ) - ⟨∇A(θ), φ - θ⟩ >= 0, the tangent at the second argument.

    On a table the three terms are subtracted row by row, unless the arguments are so near that only cancellation
    would be left. Then, and for laws that are integrated for one parameter at a time, it is the integral of
    (1-t) δ'∇²A(θ+tδ)δ over t in [0, 1], which keeps its relative accuracy.
    """
    move = phi - theta
    rows = law.rows(model, theta)
    if not rows.split:
        k, total, largest = kernels(model), 0.0, 0.0
        for block in rows:
            eta, step = predictors(model, block, theta), predictors(model, block, phi) - predictors(model, block, theta)
            largest = max(largest, float(np.max(np.abs(step))))
            change = k.mirror_map(*(eta + step))[0] - k.mirror_map(*eta)[0]
            total += _mean(block, change - np.sum(k.mean(*eta) * step[: len(model.predictors)], axis=0))
        if largest > 1e-2:
            return total
    flat = move.ravel()
    pieces = 1 if np.max(np.abs(move)) < 0.1 else 4
    total = 0.0
    for piece in range(pieces):
        for node, weight in zip((piece + (1 + _NODES) / 2) / pieces, _WEIGHTS / (2 * pieces), strict=True):
            total += weight * (1 - node) * float(flat @ complete_information(model, law, theta + node * move) @ flat)
    return total


def kl(model: Model, law: Law, theta: Array, phi: Array) -> float:
    """E_X KL(p_θ(y,z|x) ‖ p_φ(y,z|x)), the true law first: B_A(φ‖θ)."""
    return bregman(model, law, phi, theta)


def posterior_kl(model: Model, law: Law, theta: Array, phi: Array) -> float:
    """E KL(P_θ(z|x,y) ‖ P_φ(z|x,y)) over the rows of a table or sample."""
    k, rows = kernels(model), law.rows(model, theta)
    if rows.split:
        raise InputError("law: expected a table or a sample for the posterior's divergence, got a population")
    total = 0.0
    for block in rows:
        at_theta = k.logits(block.y, *predictors(model, block, theta))
        at_phi = k.logits(block.y, *predictors(model, block, phi))
        log_p, log_q = _log_softmax(at_theta), _log_softmax(at_phi)
        total += _mean(block, np.sum(np.exp(log_p) * (log_p - log_q), axis=0))
    return total


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
            block = np.kron(part.constant, gram) if hessian is None else hessian
            out[np.ix_(part.index, range(d), part.index, range(d))] = block.reshape(q, d, q, d)
        return out.reshape(m * d, m * d)


def evaluate(model: Model, law: Law, theta: Array) -> Evaluation:
    """L, the E-step and the derivatives of A at θ, in a single pass over a table."""
    rows = law.rows(model, theta)
    if rows.split:
        mean, hessians = mean_and_hessians(model, rows, theta)
        evidence, target = 0.0, np.zeros_like(mean)
        for block in rows:
            values = kernels(model).posterior_step(block.y, *predictors(model, block, theta))
            evidence += _mean(block, values[0])
            target += outer(block, values[1:])
        return Evaluation(theta, mirror_map(model, law, theta) - evidence, target, mean, hessians)
    k = kernels(model)
    labels, m = len(model.latent), len(model.predictors)
    sums = _PartSums(model, rows)
    total, target, mean = 0.0, np.zeros((m, rows.dimension)), np.zeros((m, rows.dimension))
    for block in rows:
        eta = predictors(model, block, theta)
        values = k.estep.rows(block.y, *eta)
        total += _mean(block, k.combine_log_density(values[:labels], values[labels : 2 * labels], block.y, eta))
        start = 2 * labels
        target += outer(block, _stack(values[start : start + m], block))
        mean += sums.add(block, values[start + m :])
    return Evaluation(theta, -total, target, sums.complete_mean(mean, theta), sums.hessians())


def mean_and_hessians(model: Model, rows: Rows, theta: Array) -> tuple[Array, tuple[Array | None, ...]]:
    """∇A(θ) and ∇²A(θ) by parts, in one pass over x."""
    k, sums = kernels(model).varying_parts, _PartSums(model, rows)
    mean = np.zeros((len(model.predictors), rows.dimension))
    if sums.varying:
        for block in rows.covariates():
            mean += sums.add(block, k.rows(*predictors(model, block, theta)))
    return sums.complete_mean(mean, theta), sums.hessians()


class _PartSums:
    """Accumulates ∇A and ∇²A by parts; parts with a constant Hessian are quadratic and need the Gram matrix only."""

    def __init__(self, model: Model, rows: Rows) -> None:
        self.model, self.rows = model, rows
        self.parts = kernels(model).parts
        self.varying = [p for p in self.parts if p.constant is None]
        self.sums = [InformationSum(len(p.index), rows, p.hessian.constant) for p in self.varying]

    def add(self, block: Block, values: list[Array | float]) -> Array:
        """Add a block's Hessians, given its kernel values (means, Hessians per varying part); returns its ∇A."""
        mean = np.zeros((len(self.model.predictors), self.rows.dimension))
        for part, total in zip(self.varying, self.sums, strict=True):
            q = len(part.index)
            mean[list(part.index)] = outer(block, _stack(values[:q], block))
            size = q * (q + 1) // 2
            total.add(block, values[q : q + size])
            values = values[q + size :]
        return mean

    def complete_mean(self, mean: Array, theta: Array) -> Array:
        for part in self.parts:
            if part.constant is not None:
                index = list(part.index)
                mean[index] = part.constant @ theta[index] @ self.rows.gram + np.outer(part.offset, self.rows.first_moment)
        return mean

    def hessians(self) -> tuple[Array | None, ...]:
        made = iter(self.sums)
        return tuple(next(made).matrix() if part.constant is None else None for part in self.parts)


class InformationSum:
    """Accumulates E[G ⊗ xx'] from the upper triangle of per-row (m, m) matrices G, hoisting the constant entries."""

    def __init__(self, m: int, rows: Rows, constant: tuple[float | None, ...]) -> None:
        self.m, self.rows = m, rows
        self.entries = unpack_upper(list(constant), m)
        self.sums = {(a, b): np.zeros((rows.dimension,) * 2) for a, b, value in self.entries if value is None}
        self.varying = bool(self.sums)

    def add(self, block: Block, values: list[Array | float]) -> None:
        """Add one block; `values` is the upper triangle on it."""
        for a, b, value in unpack_upper(values, self.m):
            if (a, b) in self.sums:
                self.sums[a, b] += weighted_gram(block, value, block.weight)

    def matrix(self) -> Array:
        """The (m d, m d) matrix."""
        d = self.rows.dimension
        out = np.zeros((self.m, d, self.m, d))
        for a, b, constant in self.entries:
            part = self.sums[a, b] if constant is None else constant * self.rows.gram if constant else 0.0
            out[a, :, b, :] = part
            out[b, :, a, :] = part
        return out.reshape(self.m * d, self.m * d)


def _mean(block: Block, values: Array) -> float:
    return block.weight * float(np.sum(values)) if isinstance(block.weight, float) else float(block.weight @ values)


def outer(block: Block, values: Array) -> Array:
    """Σ weight values ⊗ x, (len(values), d)."""
    if isinstance(block.weight, float):
        return block.weight * (values @ block.x.T)
    return (values * block.weight) @ block.x.T


def _stack(values: list[Array | float], block: Block) -> Array:
    out = np.empty((len(values), block.x.shape[1]))
    for row, value in zip(out, values, strict=True):
        row[...] = value
    return out


def _moment(model: Model, law: Law, parts) -> Array:  # type: ignore[no-untyped-def]
    return sum(parts, np.zeros((len(model.predictors), law.dimension)))


def _log_softmax(logits: Array) -> Array:
    top = np.max(logits, axis=0)
    return logits - top - np.log(np.sum(np.exp(logits - top), axis=0))
