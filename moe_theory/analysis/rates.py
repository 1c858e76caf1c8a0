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
COARSE = 1e-2  # relative rounding of a step from which on its direction says nothing
RANKS = (1, 2, 3, 4)  # of Ritz values; more than one tell close eigenvalues apart
LOOK_BACK = 3  # successive changes of a reading that its error is judged by
DECADE = 10  # by which the steps must have fallen while the readings agreed: on a plateau they do not
USEFUL = 0.1  # error of a rate from which on it is none
DRIFT = 4  # times the way left, in the metric, λ_max at the last iterate may be off by; empirical as well
GAP_CAUTION = 10  # close eigenvalues hide in one sequence of numbers; empirical, see benchmarks/measured_rates.py
TOO_FEW = "trace: expected at least eight iterates above rounding to measure a rate"


@dataclass(frozen=True)
class RateMeasurement:
    """EM's contraction on a run, at its end but above the rounding of the iterates.

    iterates: of successive steps δ_t, as a Rayleigh–Ritz value in the metric ∇²A, in which M is self-adjoint; in [0,
    1). gap: of successive decreases of L, to compare with lambda_max². iterates_error, gap_error: estimates, not
    bounds, of what they are off by, from the limit's rate and the last iterate's. at: the iteration the first was read
    at.
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
    """Contraction of iterates and gap in the linear regime that a run ends with.

    Near a fixed point δ_{t+1} = M δ_t + O(‖δ_t‖²). Every t gives a reading of M's largest eigenvalue with an estimate
    of its error. Readings are taken from the last steps above rounding, then further back as long as all agree within
    their errors; the one with the least error counts. A plateau that the run has left agrees with nothing after it.

    Raises InputError, with the reason, where there are too few steps, where they have not fallen tenfold while the
    readings agreed (a plateau that the run has not left, a run cut short), where they do not contract, where the error
    is above 0.1 or reaches 1, and where ∇²A is singular at the last iterate.
    """
    if trace.iterations < 7:
        raise InputError(TOO_FEW)
    try:
        factor = np.linalg.cholesky(trace.metric)
    except np.linalg.LinAlgError as singular:
        raise InputError("trace: expected a regular ∇²A at the last iterate to measure a rate") from singular
    # Rows of steps @ factor have Euclidean the length that steps have in the metric.
    steps = np.diff(trace.learnt, axis=0) @ factor
    rounding = EPSILON * (1 + float(np.linalg.norm(trace.learnt[-1] @ factor)))
    with np.errstate(divide="ignore", invalid="ignore"):
        iterates = _at_the_end(steps, rounding / np.linalg.norm(steps, axis=1), RANKS, spare=2)
        # Delay-embedded, the decreases of L evolve linearly with the squares of M's eigenvalues.
        falls = trace.decrease
        scale = max(iterates.value, 1e-3) ** 2
        embedded = np.stack([falls[i : len(falls) - 2 + i] / scale**i for i in range(3)], axis=1)
        # The fall is half the square of a step or more; the last of the three is the least.
        gap = _at_the_end(embedded, 2 * rounding / np.sqrt(falls[2:]), RANKS[:3], spare=0)
    if not iterates.fall >= DECADE:
        raise InputError(
            f"trace: expected steps that fell {DECADE} times or more at one rate before the run's end, got"
            f" {iterates.fall:.3g} times at {iterates}"
        )
    error, gap_error = iterates.error + trace.accuracy, GAP_CAUTION * gap.error + trace.accuracy
    if not iterates.value < 1 or iterates.value < -error:
        raise InputError(f"trace: expected steps that contract at the run's end, got a ratio of {iterates}")
    if error > USEFUL or iterates.value + error > 1 or gap_error > 2 * USEFUL:
        raise InputError(f"trace: expected steps that fall at one rate at the run's end, got {iterates}, gap {gap}")
    value = max(iterates.value, 0.0)
    drift = DRIFT * float(np.linalg.norm(steps[-1])) * value / (1 - value)
    return RateMeasurement(value, error + drift, min(max(gap.value, 0.0), 1.0), gap_error + 2 * drift, iterates.at)


@dataclass(frozen=True)
class _Reading:
    """A contraction, an estimate of its error, where it was read, and by how many times the steps fell while readings
    agreed with it."""

    value: float
    error: float
    at: int
    fall: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {self.error:.1g}"


def _at_the_end(steps: Array, rounding: Array, ranks: tuple[int, ...], spare: int) -> _Reading:
    """The best of the readings that agree with those of the last decade of lengths.

    steps: (T, p), each a linear image of the one before it, nearly. rounding: (T,), relative, of their directions.
    """
    usable = int(np.argmin(np.append(rounding < COARSE, False)))
    if usable <= LOOK_BACK + 1:
        raise InputError(TOO_FEW)
    steps, lengths = steps[:usable], np.linalg.norm(steps[:usable], axis=1)
    values, errors = _readings(steps, rounding[:usable], ranks, spare)
    first = int(np.argmax(lengths <= DECADE * lengths.min()))
    best = first + int(np.argmin(errors[first:]))
    if not np.isfinite(errors[best]):
        raise InputError(TOO_FEW)
    low, high, start = values[best] - errors[best], values[best] + errors[best], best
    while start > 0 and np.isfinite(errors[start - 1]):
        before, error = values[start - 1], errors[start - 1]
        if before - error > high or before + error < low:
            break
        low, high, start = max(low, before - error), min(high, before + error), start - 1
        best = start if error < errors[best] else best
    return _Reading(float(values[best]), float(errors[best]), best, float(lengths[start - 1] / lengths[-1]))


def _readings(steps: Array, rounding: Array, ranks: tuple[int, ...], spare: int) -> tuple[Array, Array]:
    """(value, error) at every t, (T,) each: of all ranks that with the least error.

    The error is an estimate, not a bound: the largest of the last changes, summed up as if they went on falling as they
    did (at best at the root of the measured rate, as the gap's nonlinear terms do), or the difference to the rank below
    (which says what a further eigenvalue may still change), plus the value's own residual and rounding.
    """
    found = [_ritz_values(steps, rounding, rank, rank + spare * (rank > 1)) for rank in ranks]
    values, errors = np.full(len(steps), np.nan), np.full(len(steps), np.inf)
    for i, (value, own) in enumerate(found):
        apart = np.nan_to_num(np.abs(value - found[i - 1 if i else min(1, len(found) - 1)][0]))
        change = np.abs(np.diff(value, prepend=np.nan))
        last = np.lib.stride_tricks.sliding_window_view(change, LOOK_BACK)
        pad = np.full(LOOK_BACK - 1, np.nan)
        largest, fall = (np.append(pad, v) for v in (np.max(last, axis=1), last[:, -1] / last[:, 0]))
        fall = fall ** (1 / (LOOK_BACK - 1))
        slowest = np.minimum(np.sqrt(np.abs(value)), 0.9999)
        ratio = np.clip(np.where(fall < 1, fall, 0.0), slowest, 0.9999)
        error = np.maximum(largest / (1 - ratio), apart) + own
        better = error < errors
        values[better], errors[better] = value[better], error[better]
    return values, errors


AT_ONCE = 1 << 22  # numbers in memory


def _ritz_values(steps: Array, rounding: Array, rank: int, window: int) -> tuple[Array, Array]:
    """(value, its residual and rounding) at each t, (T,): the largest Ritz value of M on the `rank` leading directions
    of the last `window` steps, from the step that each is mapped to; not a number where there are too few.

    steps: (T, p), in coordinates orthonormal in the metric. Rank 1 is the Rayleigh quotient; more resolve eigenvalues
    close to the largest (dynamic mode decomposition).
    """
    count, p = steps.shape
    values, errors = np.full(count, np.nan), np.full(count, np.inf)
    if rank > p or count <= window:
        return values, errors
    lengths = np.linalg.norm(steps, axis=1)
    at_once = max(1, AT_ONCE // (p * window))
    for first in range(window, count, at_once):
        t = np.arange(first, min(count, first + at_once))
        before = t[:, None] + np.arange(-window, 0)
        # Each pair is scaled by the length of its first step, so that late steps count as much as early ones.
        scale = lengths[before][:, None, :]
        given, image = (np.swapaxes(steps[index], 1, 2) / scale for index in (before, before + 1))
        u, s, w = np.linalg.svd(given, full_matrices=False)
        told = s[:, rank - 1] > 1e-13
        t, u, s, w, image = t[told], u[told][:, :, :rank], s[told][:, :rank], w[told][:, :rank], image[told]
        mapped = image @ np.swapaxes(w, 1, 2) / s[:, None, :]
        ritz, vectors = np.linalg.eig(np.swapaxes(u, 1, 2) @ mapped)
        top = np.argmax(ritz.real, axis=1)[:, None]
        value = np.take_along_axis(ritz, top, 1)
        vector = np.take_along_axis(vectors, top[:, None, :], 2)
        residual = ((mapped - value[:, None] * u) @ vector)[:, :, 0]
        # To first order, what rounding of the pairs moves the value by: the Ritz vector is this sum of given steps.
        summands = np.abs(np.swapaxes(w, 1, 2) @ (vector / s[:, :, None]))[:, :, 0]
        before = before[told]
        noise = np.abs(value) * rounding[before] + rounding[before + 1] * lengths[before + 1] / lengths[before]
        moved = np.sum(summands * noise, axis=1) / np.linalg.svd(vectors, compute_uv=False)[:, -1]
        values[t] = value[:, 0].real
        errors[t] = np.linalg.norm(residual, axis=1) + moved
    return values, errors
