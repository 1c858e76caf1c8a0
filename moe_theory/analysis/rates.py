"""Rates of EM: predicted from the missing information, measured on a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.algorithms.trace import Trace
from moe_theory.errors import InputError
from moe_theory.evaluation import Penalty
from moe_theory.evaluation.general import information_along
from moe_theory.laws.montecarlo import MonteCarlo
from moe_theory.laws.population import Population
from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.operators import MissingInformation, missing_information_matrix
from moe_theory.validation import Array


@dataclass(frozen=True, eq=False)
class RatePrediction:
    """EM's rate at θ.

    lambda_max: largest eigenvalue of M(θ), the contraction of the iterates near a fixed point (Dempster, Laird and
    Rubin 1977). alpha = 1 - lambda_max: constant of strong convexity of L relative to A at θ; not positive where there
    is none. iterates: lambda_max, the contraction of the iterates. gap: lambda_max², that of L - L*. bound: 1 - alpha,
    the theorem's contraction of the gap (arXiv 2411.06056, Theorem 4.2), valid but its square root. error: of
    lambda_max; a difference of two quadrature resolutions for a population, one standard error for a Monte Carlo
    sample, rounding for data. eigenvalues: of M. direction: its top eigenvector, (m, d), of norm 1 in the metric ∇²A.
    """

    lambda_max: float
    alpha: float
    error: float
    iterates: float
    gap: float
    bound: float
    eigenvalues: tuple[float, ...]
    direction: Array

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"direction": self.direction.tolist(), "eigenvalues": list(self.eigenvalues)}


def predict_rate(model: Model, law: Law, theta: ArrayLike, penalty: Penalty | None = None) -> RatePrediction:
    """λ_max(M(θ)) under `law` with its error, and the contractions it predicts for EM.

    penalty: of the EM in question (softmax mixtures on a table), whose rate it changes.

    Raises InputError if θ has the wrong shape or ∇²A(θ) is singular.
    """
    point = model.check_theta("theta", theta, law.dimension)
    local, local_model, coordinates = law.reduce(model, point)
    at = point if coordinates is None else coordinates.project(point)
    m = missing_information_matrix(local_model, local, at, penalty)
    rate = m.lambda_max
    direction = local_model.direction(m.vectors[:, 0], at.shape[1])
    if coordinates is not None:
        direction = coordinates.lift(direction)
    return RatePrediction(
        rate,
        1 - rate,
        _error(local_model, local, at, m),
        rate,
        rate**2,
        rate,
        tuple(m.eigenvalues.tolist()),
        direction,
    )


def _error(model: Model, law: Law, theta: Array, m: MissingInformation) -> float:
    scale = np.sqrt(np.diagonal(m.complete))
    condition = float(np.linalg.cond(m.complete / np.outer(scale, scale)))
    rounding = float(np.finfo(float).eps) * len(scale) * condition * max(1.0, m.lambda_max)
    if isinstance(law, Population):
        coarse = missing_information_matrix(model, law.at_resolution(law.nats - 4), theta)
        return abs(m.lambda_max - coarse.lambda_max) + rounding
    if isinstance(law, MonteCarlo):
        return standard_error(model, law, theta, m)
    return rounding


def standard_error(model: Model, law: MonteCarlo, theta: Array, m: MissingInformation) -> float:
    """Delta-method standard error of λ_max on a sample: of the mean of v'(I_z - λ ∇²A)v with v'∇²A v = 1."""
    v = model.direction(m.vectors[:, 0], theta.shape[1])
    total = square = 0.0
    for block in law.rows(model, theta):
        missing, complete = information_along(model, block, theta, v)
        influence = missing - m.lambda_max * complete
        total += float(np.sum(influence))
        square += float(influence @ influence)
    return float(np.sqrt(max(square / law.n - (total / law.n) ** 2, 0.0) / law.n))


EPSILON = 4e-16
LOOK_BACK = 4  # successive changes of an estimate that its error is judged by
GAP_CAUTION = (
    10  # close eigenvalues hide in one sequence of numbers; empirical: 3 did not cover, see tests/test_rates.py
)


@dataclass(frozen=True)
class RateMeasurement:
    """EM's contraction on a run, near its end but above the rounding of the iterates.

    iterates: of successive steps δ_t, as a Rayleigh–Ritz value in the metric ∇²A, in which M is self-adjoint. gap: of
    successive decreases of L, to compare with lambda_max². iterates_error, gap_error: estimates, not
    bounds, of what they are off by. at: the iteration the first was read at.
    """

    iterates: float
    iterates_error: float
    gap: float
    gap_error: float
    at: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def measure_rate(trace: Trace) -> RateMeasurement:
    """Contraction of iterates and gap measured on a trace; InputError if it has too few steps above rounding."""
    steps = np.diff(trace.learnt, axis=0)
    size = float(np.sqrt(trace.learnt[-1] @ trace.metric @ trace.learnt[-1]))
    # Rows of steps @ factor have Euclidean the length that steps have in the metric.
    candidates = [
        _ritz_values(steps @ np.linalg.cholesky(trace.metric), EPSILON * (1 + size), rank, 2) for rank in (1, 2, 3, 4)
    ]
    iterates, iterates_error, at = _best_limit(candidates)
    # Delay-embedded, the decreases of L evolve linearly with the squares of M's eigenvalues.
    falls = trace.decrease
    floor = EPSILON * (1 + size) * np.abs(np.sqrt(np.abs(falls)))
    usable = int(np.argmin(np.append(falls > 1e3 * floor, False)))
    embedded = np.stack([falls[i : max(usable - 2, 0) + i] / iterates ** (2 * i) for i in range(3)], axis=1)
    candidates = [_ritz_values(embedded, 0.0, rank, 0) for rank in (1, 2, 3)]
    gap, gap_error, _ = _best_limit(candidates)
    return RateMeasurement(iterates, iterates_error + trace.accuracy, gap, GAP_CAUTION * gap_error + trace.accuracy, at)


def _ritz_values(steps: Array, noise: float, rank: int, spare: int) -> tuple[Array, Array]:
    """(estimate, rounding) at each t, given the noise in a step: the largest Ritz value of M on the `rank` leading
    directions of the last rank + spare steps, from the step that each is mapped to.

    steps: (T, m q), in coordinates orthonormal in the metric. Rank 1 is the Rayleigh quotient; more resolve eigenvalues
    close to the largest (dynamic mode decomposition).
    """
    window = rank + (spare if rank > 1 else 0)
    estimates, errors = np.full(len(steps), np.nan), np.full(len(steps), np.inf)
    lengths = np.linalg.norm(steps, axis=1)
    if rank > steps.shape[1]:
        return estimates, errors
    for t in range(window, len(steps)):
        before = slice(t - window, t)
        if np.min(lengths[before]) <= 0:
            continue
        # Each pair is scaled by the length of its first step, so that late steps count as much as early ones.
        v = (steps[before] / lengths[before, None]).T
        image = (steps[t - window + 1 : t + 1] / lengths[before, None]).T
        u, s, w = np.linalg.svd(v, full_matrices=False)
        if s[rank - 1] <= 1e-13:
            continue
        mapped = image @ w[:rank].T / s[:rank]
        values, vectors = np.linalg.eig(u[:, :rank].T @ mapped)
        top = int(np.argmax(values.real))
        estimates[t] = values[top].real
        errors[t] = np.linalg.norm((mapped - values[top] * u[:, :rank]) @ vectors[:, top]) + noise / lengths[t - 1]
    return estimates, errors


def _best_limit(candidates: list[tuple[Array, Array]]) -> tuple[float, float, int]:
    """(value, error, t) with the least error, over candidates of rising rank.

    The error is an estimate, not a bound: the largest of the last changes, summed up as if they went on falling as they
    did (at best at the root of the measured rate, as the gap's nonlinear terms do), and of the difference to the rank
    below (which says what a further eigenvalue may still change), plus the candidate's own residual and rounding.
    """
    best = (np.inf, np.nan, 0)
    for rank, (values, own) in enumerate(candidates):
        other = candidates[rank - 1 if rank else min(1, len(candidates) - 1)][0]
        change, apart = np.abs(np.diff(values, prepend=np.nan)), np.abs(values - other)
        for t in range(LOOK_BACK, len(values)):
            last = change[t - LOOK_BACK + 1 : t + 1]
            fall = (last[-1] / last[0]) ** (1 / (LOOK_BACK - 1)) if last[0] > 0 else np.inf
            slowest = min(float(np.sqrt(abs(values[t]))), 0.9999)
            ratio = float(np.clip(fall if fall < 1 else 0.0, slowest, 0.9999))
            error = max(float(np.max(last)) / (1 - ratio), float(apart[t])) + float(own[t])
            if error < best[0]:
                best = (error, float(values[t]), t)
    if not np.isfinite(best[0]):
        raise InputError("trace: expected at least eight iterates above rounding to measure a rate")
    return best[1], best[0], best[2]
