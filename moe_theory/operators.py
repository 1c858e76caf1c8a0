"""The theory's functionals on (model, law, θ), each an expectation over weighted rows.

θ is an (m, d) array; information matrices are (m d, m d) with the predictor as the slow index, i.e. E[I_x ⊗ xx'], or
(p, p) on the learnt entries of a model with a design. L is the negative log-likelihood -E log p(y|x; θ).
On a table or sample L, its gradient, KL and the information serve every model; what needs the mirror map A needs a flat
one (CurvedModelError otherwise). For a curved model "complete information" is that of the complete data given what was
observed, -∂²Q(φ|θ)/∂φ² at φ = θ, which for a flat one is ∇²A(θ) (Louis, JRSS B 1982; Dempster, Laird and Rubin 1977).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from moe_theory.errors import InputError
from moe_theory.evaluation import Penalty, evaluate
from moe_theory.evaluation.divergence import kl_general
from moe_theory.evaluation.flat import mirror_map
from moe_theory.evaluation.general import complete_information_general, is_flat, missing_information_general
from moe_theory.evaluation.layout import require_layout
from moe_theory.kernels import kernels
from moe_theory.laws.rows import Block, Law
from moe_theory.model import Model
from moe_theory.sums import Information, average, outer, predictors, total
from moe_theory.validation import Array


def objective(model: Model, law: Law, theta: Array) -> float:
    """L(θ) = -E log p(y|x; θ)."""
    if not is_flat(model):
        return evaluate(model, law, theta).objective
    k, rows = kernels(model), law.rows(model, theta)
    if not rows.split:
        return -total(rows.blocks, lambda b: [average(b, k.log_density(b.y, predictors(model, b, theta)))])[0]
    evidence = total(rows.blocks, lambda b: [average(b, k.log_evidence(b.y, *predictors(model, b, theta))[0])])[0]
    return mirror_map(model, law, theta) - evidence


def expected_statistic(model: Model, law: Law, theta: Array) -> Array:
    """E[E_{z|x,y;θ}[s] ⊗ x], (m, d): what the E-step hands to the M-step."""
    k, rows = kernels(model).expected_statistic, law.rows(model, theta)
    return total(rows.blocks, lambda b: [outer(b, k.rows(b.y, *predictors(model, b, theta)))])[0]


def gradient(model: Model, law: Law, theta: Array) -> Array:
    """∇L(θ), (m, d): from the score of the marginal density; where x has a law of its own, as ∇A - E[E[s] ⊗ x]."""
    if not is_flat(model):
        return evaluate(model, law, theta).gradient
    k, rows = kernels(model).score, law.rows(model, theta)
    if rows.split:
        return mean_map(model, law, theta) - expected_statistic(model, law, theta)
    return -total(rows.blocks, lambda b: [outer(b, k.rows(b.y, *predictors(model, b, theta)))])[0]


def mean_map(model: Model, law: Law, theta: Array) -> Array:
    """∇A(θ) = E[∇A_x ⊗ x], (m, d)."""
    k, rows = kernels(model).mean, law.rows(model, theta)
    return total(rows.covariates, lambda b: [outer(b, k.rows(*predictors(model, b, theta)))])[0]


def complete_information(model: Model, law: Law, theta: Array) -> Array:
    """I_{x,y,z} = ∇²A(θ) = E[∇²A_x ⊗ xx'], (m d, m d); of any model -∂²Q(φ|θ)/∂φ² at φ = θ, (p, p)."""
    if not is_flat(model):
        return complete_information_general(model, law, theta)
    k, rows = kernels(model).complete_information, law.rows(model, theta)
    information = Information(len(model.predictors), rows, k.constant)
    if not information.varying:
        return information.matrix([])
    work = lambda b: information.terms(b, k.rows(*predictors(model, b, theta)))
    return information.matrix(total(rows.covariates, work))


def missing_information(model: Model, law: Law, theta: Array) -> Array:
    """I_{z|x,y} = E[Cov(s|x,y) ⊗ xx'], (m d, m d); in general the posterior covariance of the score, (p, p)."""
    if not is_flat(model):
        return missing_information_general(model, law, theta)
    k, rows = kernels(model).missing_information, law.rows(model, theta)
    information = Information(len(model.predictors), rows, k.constant)
    work = lambda b: information.terms(b, k.rows(b.y, *predictors(model, b, theta)))
    return information.matrix(total(rows.blocks, work))


def observed_information(model: Model, law: Law, theta: Array) -> Array:
    """∇²L(θ) = ∇²A(θ) - I_{z|x,y}, (m d, m d): Louis' formula, for every model."""
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


def missing_information_matrix(
    model: Model, law: Law, theta: Array, penalty: Penalty | None = None
) -> MissingInformation:
    """M(θ) and its spectrum; InputError if ∇²A(θ) is singular (features without full rank, or a saturated gate).

    penalty: that of the EM in question. A ridge R makes it (∇²A + R)^{-1} I_{z|x,y}; sigmas at their floor do not move.
    """
    complete = complete_information(model, law, theta)
    missing = missing_information(model, law, theta)
    if penalty:
        plan = require_layout(model, law)
        complete = complete + penalty.curvature(plan, law.rows(model, theta), model, theta)
        held = model.free(penalty.held(plan, theta))
        missing[held] = missing[:, held] = 0.0
        complete[np.ix_(held, ~held)] = complete[np.ix_(~held, held)] = 0.0
    scale = np.sqrt(np.maximum(np.diagonal(complete), 0.0))
    if not np.all(scale > 0):
        raise InputError("theta: expected ∇²A(θ) to be positive definite, got a diagonal that is not positive")
    unit = np.outer(scale, scale)
    try:
        # Scaled to unit diagonal, so that the features' units do not matter for the conditioning.
        values, vectors = scipy.linalg.eigh(missing / unit, complete / unit)
    except np.linalg.LinAlgError as error:
        least = float(np.linalg.eigvalsh(complete / unit)[0])
        what = "it is singular to rounding"
        if least < -1e-8:
            what = f"its least eigenvalue is {least:.2g}, its diagonal scaled to 1: Q is not concave at θ"
        raise InputError(f"theta: expected ∇²A(θ) to be positive definite, {what}") from error
    return MissingInformation(values[::-1], vectors[:, ::-1] / scale[:, None], complete, missing)


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


def bregman(model: Model, law: Law, phi: Array, theta: Array) -> float:
    """B_A(φ‖θ) = A(φ) - A(θ) - ⟨∇A(θ), φ - θ⟩ >= 0, the tangent at the second argument.

    On a table the three terms are subtracted row by row, unless the arguments are so near that only cancellation
    would be left. Then it is the integral of (1-t) δ'∇²A(θ+tδ)δ over t in [0, 1], which keeps its relative accuracy.
    """
    phi, theta = (model.check_theta(n, t, law.dimension) for n, t in (("phi", phi), ("theta", theta)))
    move = phi - theta
    rows = law.rows(model, theta)
    if not rows.split:
        k, largest = kernels(model), 0.0

        def work(block: Block) -> list[float]:
            nonlocal largest
            eta = np.stack(predictors(model, block, theta))
            step = np.stack(predictors(model, block, phi)) - eta
            largest = max(largest, float(np.max(np.abs(step))))
            change = k.mirror_map(*(eta + step))[0] - k.mirror_map(*eta)[0]
            return [average(block, change - np.sum(k.mean(*eta) * step[: len(model.predictors)], axis=0))]

        direct = total(rows.blocks, work)[0]
        if largest > 1e-2:
            return direct
    elif np.max(np.abs(move)) > 0.5:
        slope = float(np.sum(mean_map(model, law, theta) * move))
        return mirror_map(model, law, phi) - mirror_map(model, law, theta) - slope
    flat = model.free(move)
    pieces = 1 if np.max(np.abs(move)) < 0.1 else 4
    value = 0.0
    for piece in range(pieces):
        for node, weight in zip((piece + (1 + _NODES) / 2) / pieces, _WEIGHTS / (2 * pieces), strict=True):
            value += weight * (1 - node) * float(flat @ complete_information(model, law, theta + node * move) @ flat)
    return value


def majoriser(model: Model, law: Law, phi: Array, theta: Array, step: float = 1.0) -> float:
    """L(θ) + ⟨∇L(θ), φ - θ⟩ + B_A(φ‖θ)/step, which a mirror step of that length from θ minimises over φ.

    For step <= 1 at least L(φ), equal at φ = θ; for step = 1 it exceeds L(φ) by the divergence of the posteriors,
    `posterior_kl(model, law, theta, phi)` (Kunstner, Kumar and Schmidt, AISTATS 2021).
    """
    slope = float(np.sum(gradient(model, law, theta) * (phi - theta)))
    return objective(model, law, theta) + slope + bregman(model, law, phi, theta) / step


def kl(model: Model, law: Law, theta: Array, phi: Array) -> float:
    """E_X KL(p_θ(y,z|x) ‖ p_φ(y,z|x)), the true law first: B_A(φ‖θ) for a flat model.

    For a curved one it is summed row by row from the exact expectation over y and z, with an error of 1e-15 or so.
    """
    return bregman(model, law, phi, theta) if is_flat(model) else kl_general(model, law, theta, phi)


def posterior_kl(model: Model, law: Law, theta: Array, phi: Array) -> float:
    """E KL(P_θ(z|x,y) ‖ P_φ(z|x,y)) over the rows of a table or sample."""
    phi, theta = (model.check_theta(n, t, law.dimension) for n, t in (("phi", phi), ("theta", theta)))
    k, rows = kernels(model), law.rows(model, theta)
    if rows.split:
        raise InputError("law: expected a table or a sample for the posterior's divergence, got a population")

    def work(block: Block) -> list[float]:
        log_p = _log_softmax(k.logits(block.y, *predictors(model, block, theta)))
        log_q = _log_softmax(k.logits(block.y, *predictors(model, block, phi)))
        return [average(block, np.sum(np.exp(log_p) * (log_p - log_q), axis=0))]

    return total(rows.blocks, work)[0]


def _log_softmax(logits: Array) -> Array:
    top = np.max(logits, axis=0)
    return logits - top - np.log(np.sum(np.exp(logits - top), axis=0))
