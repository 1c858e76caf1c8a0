"""The theory's functionals on (model, rows, θ), each an expectation over weighted rows.

θ is an (m, d) array in the coordinates of the rows; information matrices are (m d, m d) with the predictor as the
slow index, i.e. E[I_x ⊗ xx']. L is the negative log-likelihood -E log p(y|x; θ).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from moe_theory.errors import InputError
from moe_theory.kernels import kernels, unpack_upper
from moe_theory.laws.rows import Block, Rows, weighted_gram
from moe_theory.model import Model
from moe_theory.symbolic.lower import Compiled
from moe_theory.validation import Array


def predictors(model: Model, block: Block, theta: Array) -> Array:
    """η = Θx for every row of a block, (m + known, n)."""
    return model.coefficients(theta) @ block.x


def objective(model: Model, rows: Rows, theta: Array) -> float:
    """L(θ) = -E log p(y|x; θ)."""
    k = kernels(model)
    return -sum(_mean(block, k.log_density(block.y, predictors(model, block, theta))) for block in rows)


def expected_statistic(model: Model, rows: Rows, theta: Array) -> Array:
    """E[E_{z|x,y;θ}[s] ⊗ x], (m, d): what the E-step hands to the M-step."""
    return _moment(model, rows, theta, kernels(model).expected_statistic)


def gradient(model: Model, rows: Rows, theta: Array) -> Array:
    """∇L(θ), (m, d), from the score of the marginal density."""
    return -_moment(model, rows, theta, kernels(model).score)


def mirror_map(model: Model, rows: Rows, theta: Array) -> float:
    """A(θ) = E A_x(Θx)."""
    k = kernels(model).mirror_map
    return sum(_mean(block, k(*predictors(model, block, theta))[0]) for block in rows.covariates())


def mean_map(model: Model, rows: Rows, theta: Array) -> Array:
    """∇A(θ) = E[∇A_x ⊗ x], (m, d)."""
    k = kernels(model).mean
    return sum(
        (_outer(block, k(*predictors(model, block, theta))) for block in rows.covariates()),
        np.zeros((len(model.predictors), rows.dimension)),
    )


def complete_information(model: Model, rows: Rows, theta: Array) -> Array:
    """I_{x,y,z} = ∇²A(θ) = E[∇²A_x ⊗ xx'], (m d, m d)."""
    k = kernels(model).complete_information
    total = InformationSum(len(model.predictors), rows, k)
    if total.varying:
        for block in rows.covariates():
            total.add(block, k.rows(*predictors(model, block, theta)))
    return total.matrix()


def missing_information(model: Model, rows: Rows, theta: Array) -> Array:
    """I_{z|x,y} = E[Cov(s|x,y) ⊗ xx'], (m d, m d)."""
    k = kernels(model).missing_information
    total = InformationSum(len(model.predictors), rows, k)
    for block in rows:
        total.add(block, k.rows(block.y, *predictors(model, block, theta)))
    return total.matrix()


def observed_information(model: Model, rows: Rows, theta: Array) -> Array:
    """∇²L(θ) = ∇²A(θ) - I_{z|x,y}, (m d, m d)."""
    return complete_information(model, rows, theta) - missing_information(model, rows, theta)


@dataclass(frozen=True)
class MissingInformation:
    """M(θ) = ∇²A(θ)^{-1} I_{z|x,y} with its spectrum: eigenvalues in falling order, columns of `vectors` normed by ∇²A."""

    matrix: Array
    eigenvalues: Array
    vectors: Array
    complete: Array
    missing: Array

    @property
    def lambda_max(self) -> float:
        return float(self.eigenvalues[0])


def missing_information_matrix(model: Model, rows: Rows, theta: Array) -> MissingInformation:
    """M(θ) and its spectrum; InputError if ∇²A(θ) is singular (features without full rank, or a saturated gate)."""
    complete = complete_information(model, rows, theta)
    missing = missing_information(model, rows, theta)
    scale = np.sqrt(np.diagonal(complete))
    if not np.all(scale > 0):
        raise InputError("theta: expected ∇²A(θ) to be positive definite, got a zero on its diagonal")
    unit = np.outer(scale, scale)
    try:
        # Scaled to unit diagonal, so that units of the features do not matter for the conditioning.
        values, vectors = scipy.linalg.eigh(missing / unit, complete / unit)
    except np.linalg.LinAlgError as error:
        raise InputError("theta: expected ∇²A(θ) to be positive definite, it is singular to rounding") from error
    order = np.argsort(values)[::-1]
    return MissingInformation(
        np.linalg.solve(complete, missing), values[order], vectors[:, order] / scale[:, None], complete, missing
    )


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
NEAR = 1e-2  # change of every predictor below which B_A is integrated rather than subtracted


def bregman(model: Model, rows: Rows, phi: Array, theta: Array) -> float:
    """B_A(φ‖θ) = A(φ) - A(θ) - ⟨∇A(θ), φ - θ⟩ >= 0, the tangent at the second argument.

    For near arguments the difference would be all cancellation; there it is the integral of (1-t) δ'∇²A(θ+tδ)δ over
    t in [0, 1], which keeps its relative accuracy.
    """
    k = kernels(model)
    total = 0.0
    for block in rows.covariates():
        eta, move = predictors(model, block, theta), predictors(model, block, phi) - predictors(model, block, theta)
        if np.max(np.abs(move)) > NEAR:
            a = k.mirror_map(*(eta + move))[0] - k.mirror_map(*eta)[0]
            value = a - np.sum(k.mean(*eta) * move[: len(model.predictors)], axis=0)
        else:
            value = np.zeros(eta.shape[1])
            for node, weight in zip((1 + _NODES) / 2, _WEIGHTS / 2, strict=True):
                hessian = k.complete_information.rows(*(eta + node * move))
                for a_, b_, h in unpack_upper(hessian, len(model.predictors)):
                    value += weight * (1 - node) * (1 if a_ == b_ else 2) * h * move[a_] * move[b_]
        total += _mean(block, value)
    return total


def kl(model: Model, rows: Rows, theta: Array, phi: Array) -> float:
    """E_X KL(p_θ(y,z|x) ‖ p_φ(y,z|x)), the true law first; equal to B_A(φ‖θ)."""
    return bregman(model, rows, phi, theta)


def posterior_kl(model: Model, rows: Rows, theta: Array, phi: Array) -> float:
    """E KL(P_θ(z|x,y) ‖ P_φ(z|x,y)) over the rows."""
    k = kernels(model)
    total = 0.0
    for block in rows:
        eta, other = predictors(model, block, theta), predictors(model, block, phi)
        p = k.posterior(block.y, *eta)
        log_p, log_q = _log_softmax(k.logits(block.y, *eta)), _log_softmax(k.logits(block.y, *other))
        total += _mean(block, np.sum(p * (log_p - log_q), axis=0))
    return total


class InformationSum:
    """Accumulates E[G ⊗ xx'] from the upper triangle of per-row (m, m) matrices G, hoisting the constant entries."""

    def __init__(self, m: int, rows: Rows, kernel: Compiled) -> None:
        self.m, self.rows = m, rows
        self.entries = unpack_upper(list(kernel.constant), m)
        self.sums = {(a, b): np.zeros((rows.dimension,) * 2) for a, b, constant in self.entries if constant is None}
        self.varying = bool(self.sums)

    def add(self, block: Block, values: list[Array | float]) -> None:
        """Add one block; `values` is the kernel's upper triangle on it."""
        for a, b, value in unpack_upper(values, self.m):
            if (a, b) in self.sums:
                self.sums[a, b] += weighted_gram(block, block.weight * value)

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


def _outer(block: Block, values: Array) -> Array:
    """Σ weight values ⊗ x, (len(values), d)."""
    if isinstance(block.weight, float):
        return block.weight * (values @ block.x.T)
    return (values * block.weight) @ block.x.T


def _moment(model: Model, rows: Rows, theta: Array, kernel: Compiled) -> Array:
    return sum(
        (_outer(block, kernel(block.y, *predictors(model, block, theta))) for block in rows),
        np.zeros((len(model.predictors), rows.dimension)),
    )


def _log_softmax(logits: Array) -> Array:
    top = np.max(logits, axis=0)
    return logits - top - np.log(np.sum(np.exp(logits - top), axis=0))
