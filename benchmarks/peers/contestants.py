"""EM for a k-expert mixture of experts: the problem, what a contestant is, the judge, and the loop of those in Python.

The model: P(z = j | g) is the softmax of g'w_j with w_1 = 0, and y given x and z = j is normal (mean x'β_j, σ_j²),
Bernoulli (logit x'β_j) or Poisson (log-mean x'β_j). Every contestant starts with the M-step of the problem's
responsibilities. An iteration is an M-step, the log-likelihood at its result and the responsibilities there; EM has
converged when |Δℓ| / (|ℓ| + 0.1) is below the tolerance, which is flexmix's rule.
"""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from machine import memory, reset_peak
from scipy.linalg import LinAlgWarning
from scipy.special import gammaln, log_expit, logsumexp

try:
    from sklearn.exceptions import ConvergenceWarning
except ImportError:
    ConvergenceWarning = Warning

Family = Literal["gaussian", "binomial", "poisson"]

HERE = Path(__file__).resolve().parent
WARM = 3  # iterations that the seconds per iteration leave out
COLLAPSED = 1e-6  # σ_j over the standard deviation of y below which an expert sits on a few rows: ℓ is unbounded


@dataclass(frozen=True, eq=False)
class Problem:
    """x (n, d) and g (n, q) with their intercept columns, y (n,), responsibilities (n, k) to start from."""

    name: str
    family: Family
    x: np.ndarray
    g: np.ndarray
    y: np.ndarray
    k: int
    responsibilities: np.ndarray


@dataclass(frozen=True, eq=False)
class Parameters:
    """gate (k, q) with a first row of zeros, experts (k, d), sigma (k,) or None."""

    gate: np.ndarray
    experts: np.ndarray
    sigma: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """Where EM ended. log_likelihood: exact, at `parameters`; iterations: M-steps, the start's included.

    figures: what a contestant has to say besides. A run that failed has log_likelihood nan and says why in the note.
    """

    name: str
    log_likelihood: float
    iterations: int
    seconds: float
    seconds_per_iteration: float | None
    peak_mib: float | None
    converged: bool
    parameters: Parameters | None
    note: str = ""
    figures: dict[str, float] = field(default_factory=dict)


class Contestant(Protocol):
    """What a benchmark asks of a contestant."""

    name: str

    def available(self) -> str | None:
        """None, or the word why not here."""

    def supports(self, problem: Problem) -> str | None:
        """None, or the word why it cannot do this problem."""

    def run(self, problem: Problem, max_iterations: int, tolerance: float) -> Result:
        """EM from the problem's start."""

    def seconds_per_iteration(self, problem: Problem, iterations: int) -> float:
        """Mean over this many iterations, after the first WARM; start and reading are outside the clock."""


def log_likelihood(problem: Problem, parameters: Parameters) -> float:
    """The judge: ℓ summed over the rows, in plain NumPy apart from all contestants."""
    scores = problem.g @ parameters.gate.T
    joint = scores - logsumexp(scores, axis=1, keepdims=True) + log_density(problem, parameters)
    return float(np.sum(logsumexp(joint, axis=1)))


def log_density(problem: Problem, parameters: Parameters) -> np.ndarray:
    """log f_j(y_i | x_i), (n, k)."""
    eta, y = problem.x @ parameters.experts.T, problem.y[:, None]
    if problem.family == "gaussian":
        sigma = deviations(parameters)
        return -(((y - eta) / sigma) ** 2) / 2 - np.log(sigma) - np.log(2 * np.pi) / 2
    if problem.family == "binomial":
        return log_expit((2 * y - 1) * eta)
    return y * eta - np.exp(eta) - gammaln(y + 1)


def deviations(parameters: Parameters) -> np.ndarray:
    """σ (k,) of Gaussian experts."""
    assert parameters.sigma is not None
    return parameters.sigma


class InProcess(ABC):
    """EM in this process: the loop, the clock and the peak; a contestant gives the iterations."""

    name: str
    failures: tuple[type[Exception], ...] = (np.linalg.LinAlgError,)  # which end a run with a note

    def available(self) -> str | None:
        return None

    def supports(self, problem: Problem) -> str | None:
        return None

    @abstractmethod
    def iterate(self, problem: Problem) -> Iterator[tuple[Parameters, float]]:
        """After every iteration the parameters and ℓ there; a layout of the data is made before the first."""

    def run(self, problem: Problem, max_iterations: int, tolerance: float) -> Result:
        parameters, value, iteration, converged, notes = None, -np.inf, 0, False, []
        falls, fall, smallest = 0, 0.0, COLLAPSED * float(np.std(problem.y))
        before, clock = reset_peak(), time.perf_counter()
        stamps = [clock]
        try:
            with quiet():
                for iteration, (parameters, new) in enumerate(self.iterate(problem), 1):
                    stamps.append(time.perf_counter())
                    last, value = value, new
                    if value < last:
                        falls, fall = falls + 1, max(fall, last - value)
                    if not np.isfinite(value):
                        notes.append("ℓ is not finite")
                        break
                    if parameters.sigma is not None and np.min(parameters.sigma) < smallest:
                        notes.append("an expert's σ collapsed")
                        break
                    converged = abs(value - last) / (abs(value) + 0.1) < tolerance
                    if converged or iteration >= max_iterations:
                        break
        except self.failures as error:
            notes.append(f"ended by {error}")
        seconds = time.perf_counter() - clock
        peak = None if before is None else (memory("VmHWM") - before) / 1024
        exact = float("nan") if parameters is None else log_likelihood(problem, parameters)
        each = (stamps[-1] - stamps[WARM]) / (len(stamps) - 1 - WARM) if len(stamps) > WARM + 1 else None
        figures = {"falls": float(falls), "largest_fall": fall}
        return Result(
            self.name, exact, iteration, seconds, each, peak, converged, parameters, "; ".join(notes), figures
        )

    def seconds_per_iteration(self, problem: Problem, iterations: int) -> float:
        steps = self.iterate(problem)
        with quiet():
            for _ in range(WARM):
                next(steps)
            clock = time.perf_counter()
            for _ in range(iterations):
                next(steps)
        return (time.perf_counter() - clock) / iterations


class TwoSteps(InProcess):
    """A contestant that gives the M-step and the E-step."""

    def prepare(self, problem: Problem) -> Any:
        """Its own layout of the data, made once."""
        return None

    @abstractmethod
    def m_step(self, problem: Problem, layout: Any, r: np.ndarray, last: Parameters | None) -> Parameters:
        """Parameters for the responsibilities r (n, k), from the last ones where it iterates."""

    @abstractmethod
    def e_step(self, problem: Problem, parameters: Parameters) -> tuple[float, np.ndarray]:
        """ℓ and the responsibilities at these parameters."""

    def iterate(self, problem: Problem) -> Iterator[tuple[Parameters, float]]:
        layout, r, parameters = self.prepare(problem), problem.responsibilities, None
        while True:
            parameters = self.m_step(problem, layout, r, parameters)
            value, r = self.e_step(problem, parameters)
            yield parameters, value


@contextmanager
def quiet() -> Iterator[None]:
    """scikit-learn's words on gates that separate the experts, whose maximum is at infinity, are left unsaid."""
    with warnings.catch_warnings():
        for category in (ConvergenceWarning, LinAlgWarning):
            warnings.simplefilter("ignore", category)
        yield
