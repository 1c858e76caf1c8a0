"""A run of an algorithm, the whole of it, and why it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.algorithms.base import Algorithm
from moe_theory.algorithms.rounding import rounding
from moe_theory.errors import DegenerateError, NotFiniteError
from moe_theory.evaluation.finite import not_finite
from moe_theory.laws.rows import Coordinates, Law, tally
from moe_theory.model import Model
from moe_theory.operators import kl
from moe_theory.validation import Array, positive_number, whole_number

ROUNDING, STALLED = (
    1e-8,
    20,
)  # a gradient norm below the first that has not fallen for so many iterations is rounding

Reason = Literal["converged", "max_iterations", "decreased", "nonfinite", "degenerate"]


class Chart(Protocol):
    """An affine change of parameters."""

    def lift(self, local: Array) -> Array:
        """θ, (m, d), of one in the coordinates of a run, (m, q)."""

    def project(self, theta: Array) -> Array:
        """The other way."""


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """Iterates 0 … T of a run and what was measured there.

    local: (T+1, m, q) parameters in the coordinates of the run (`coordinates`, None where they are the user's own).
    objective: L, (T+1,). gradient: ∇L, (T+1, m, q). gradient_norm: ‖∇L‖ in the dual metric, √(∇L'(∇²A)^{-1}∇L),
    (T+1,), free of the features' units; for a gate of many labels an estimate from a lower bound until that is
    small enough (`SoftmaxEvaluation.dual_norm`), exact where the run has converged. divergence: B_A(θ_t‖θ_{t+1}) =
    E KL(p_{t+1}‖p_t), (T,), empty if not asked for. reason: converged (gradient norm below the tolerance, or at
    rounding), max_iterations, decreased (the likelihood fell beyond rounding though the theory forbids it),
    nonfinite (`message` says what, and at which row), degenerate (a step that has no solution; `message` says
    which). metric: ∇²A at the last iterate, (m q, m q), or (p, p) on the learnt entries. passes: over the law's
    rows until each iterate was known with L and ∇L there, (T+1,); those for divergences and the stopping test, and
    L where no step needs it, are not counted. seconds: that took, (T+1,). accuracy: of the law. inner_residual:
    each M-step's Newton decrement over its aim, (T,), not a number where an algorithm has none. label, rows: where
    it is degenerate; bounded: whether the likelihood has a finite supremum there.
    """

    algorithm: str
    model: Model
    local: Array
    objective: Array
    gradient: Array
    gradient_norm: Array
    divergence: Array
    seconds: Array
    reason: Reason
    message: str
    metric: Array
    coordinates: Chart | None
    accuracy: float
    inner_residual: Array
    label: int | None = None
    rows: tuple[int, ...] = ()
    bounded: bool = True
    passes: Array = field(default_factory=lambda: np.empty(0))

    def __repr__(self) -> str:
        return f"<Trace of {self.algorithm}: {self.reason}, {self.iterations} iterations, L {self.objective[-1]:.10g}>"

    @property
    def thetas(self) -> Array:
        """Parameters of all iterates in the user's coordinates, (T+1, m, d)."""
        return self.local if self.coordinates is None else np.stack([self.coordinates.lift(t) for t in self.local])

    @property
    def last(self) -> Array:
        """The last iterate, (m, d)."""
        return self.local[-1] if self.coordinates is None else self.coordinates.lift(self.local[-1])

    @property
    def learnt(self) -> Array:
        """The learnt entries of all iterates, in the coordinates of the run, (T+1, p)."""
        return self.model.free(self.local)

    @property
    def decrease(self) -> Array:
        """L(θ_t) - L(θ_{t+1}), (T,), with relative accuracy also where the difference of L is lost in rounding: there
        from the gradients at both ends (trapezoid rule, relative error of the order of the step)."""
        direct = -np.diff(self.objective)
        steps, mean = -np.diff(self.local, axis=0), (self.gradient[1:] + self.gradient[:-1]) / 2
        small = np.abs(direct) < 1e-6 * (1 + np.abs(self.objective[1:]))
        return np.where(small, np.sum(mean * steps, axis=(1, 2)), direct)

    def gaps(self, limit: ArrayLike) -> Array:
        """L(θ_t) - L(limit), (T+1,), for a fixed point `limit`, (m, d), in the user's coordinates; as accurate as
        `decrease`. (From the last iterate to the limit it is half the gradient there times the way.)"""
        point = np.asarray(limit, dtype=float)
        return self.local_gaps(point if self.coordinates is None else self.coordinates.project(point))

    def local_gaps(self, local: Array) -> Array:
        """The same for a fixed point in the coordinates of the run, (m, q)."""
        rest = float(np.sum(self.gradient[-1] * (self.local[-1] - local))) / 2
        return rest + np.append(np.cumsum(self.decrease[::-1])[::-1], 0.0)

    @property
    def iterations(self) -> int:
        return len(self.objective) - 1

    @property
    def converged(self) -> bool:
        return self.reason == "converged"


def _is_stalled(norms: list[float]) -> bool:
    """Whether the gradient norm has not fallen for long."""
    return len(norms) > STALLED and min(norms[-STALLED:]) >= min(norms[:-STALLED])


def run(
    algorithm: Algorithm,
    law: Law,
    start: ArrayLike,
    max_iterations: int = 10_000,
    tolerance: float = 1e-10,
    divergences: bool = True,
    callback: Callable[[int, float], None] | None = None,
) -> Trace:
    """Iterate from `start`, (m, d), until the dual gradient norm is at most `tolerance`.

    algorithm: its `step` is what is iterated. max_iterations: then the reason is that. divergences: also measure B_A
    between successive iterates (two more passes each). callback: called with the iteration and L after each. Raises
    InputError for bad arguments; what goes wrong on the way is a `reason`.
    """
    model = algorithm.model
    theta = model.check_theta("start", start, law.dimension)
    limit, tolerance = whole_number("max_iterations", max_iterations), positive_number("tolerance", tolerance)
    law, local_model, coordinates = law.reduce(model, theta)
    algorithm = algorithm.localised(local_model)
    theta = theta if coordinates is None else coordinates.project(theta)
    # What explodes is a reason to stop, not a warning.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _iterate(algorithm, model, law, coordinates, theta, limit, tolerance, divergences, callback)


def _iterate(
    algorithm: Algorithm,
    model: Model,
    law: Law,
    coordinates: Coordinates | None,
    theta: Array,
    limit: int,
    tolerance: float,
    divergences: bool,
    callback: Callable[[int, float], None] | None,
) -> Trace:
    local_model = algorithm.model
    clock, begun = time.perf_counter(), tally.passes
    at = algorithm.evaluate(theta, law)
    own = algorithm.passes_per_step
    passes = [float(tally.passes - begun) if own is None else 0.0]
    seconds = [time.perf_counter() - clock if own is None else 0.0]
    thetas, objective, gradients = [theta], [at.objective], [at.gradient]
    norms: list[float] = []
    divergence: list[float] = []
    inner: list[float] = []
    reason: Reason = "max_iterations"
    message = ""
    label: int | None = None
    rows: tuple[int, ...] = ()
    bounded = True
    short = 1.0  # by how many times the norm was found to be less than the exact one
    while True:
        last = at
        norm = short * at.dual_norm(local_model, law, algorithm.held)
        if not at.exact and norm <= tolerance:
            lower, norm = norm / short, at.dual_norm(local_model, law, algorithm.held, exact=True)
            short = max(1.0, norm / lower) if lower > 0 else 1.0
        norms.append(norm)
        lost = None
        if not (np.isfinite(at.objective) and np.isfinite(at.gradient).all()):
            lost = not_finite(local_model, law, theta) or "a sum over the rows is not finite"
        elif not np.isfinite(norm):
            lost = not_finite(local_model, law, theta)
        if lost is not None:
            where = "at the start" if len(thetas) == 1 else f"at iteration {len(thetas) - 1}"
            reason, message = "nonfinite", f"{where} {lost}"
        elif not np.isfinite(norms[-1]):
            error = algorithm.unattained(theta, law)
            if error is None or not error.bounded or len(norms) > 1:  # at a start, EM can hold what is at its bound
                reason, message = "degenerate", "∇²A is singular to rounding"
            if error is not None and reason == "degenerate":
                message, label, rows = str(error), error.label, error.rows
        elif norms[-1] <= tolerance:
            reason = "converged"
        elif _is_stalled(norms) and (
            norms[-1] <= ROUNDING or (len(norms) % STALLED == 0 and norms[-1] <= rounding(algorithm, theta, law).norm)
        ):
            reason, message = "converged", f"to rounding: the gradient norm stays above {min(norms):.1e}"
        if reason != "max_iterations" or len(thetas) > limit:
            error = algorithm.unattained(theta, law) if reason in ("converged", "max_iterations") else None
            if error is not None:
                message, label, rows = str(error), error.label, error.rows
                reason = "degenerate" if reason == "converged" else reason
            break
        clock, begun = time.perf_counter(), tally.passes
        try:
            theta = algorithm.step(theta, law)
            elapsed = time.perf_counter() - clock
            if np.isfinite(theta).all():
                at = algorithm.evaluate(theta, law)
            elapsed = time.perf_counter() - clock if own is None else elapsed
        except NotFiniteError as error:
            reason, message = "nonfinite", str(error)
            break
        except np.linalg.LinAlgError as error:
            lost = not_finite(local_model, law, theta)
            reason = "degenerate" if lost is None else "nonfinite"
            message = lost or f"a linear system of the step is singular to rounding ({error})"
            break
        except DegenerateError as error:
            reason, message, label, rows = "degenerate", str(error), error.label, error.rows
            bounded = error.bounded
            break
        passes.append(passes[-1] + (tally.passes - begun if own is None else own))
        inner.append(float(getattr(algorithm, "inner_residual", np.nan)))
        if not np.isfinite(theta).all():
            reason, message = "nonfinite", f"the step is not finite: {not_finite(local_model, law, theta)}"
            break
        if not (np.isfinite(at.objective) and np.isfinite(at.gradient).all()):
            lost = not_finite(local_model, law, theta) or "a sum over the rows is not finite"
            reason, message = "nonfinite", f"at the next iterate {lost}"
            break
        if divergences:
            divergence.append(kl(local_model, law, theta, thetas[-1]))
        thetas.append(theta)
        objective.append(at.objective)
        gradients.append(at.gradient)
        seconds.append(seconds[-1] + elapsed)
        if callback is not None:
            callback(len(thetas) - 1, at.objective)
        rise = objective[-1] - objective[-2]
        if (
            algorithm.monotone
            and rise > 100 * law.accuracy * (1 + abs(objective[-2]))
            # Where L is the little that is left of large summands, that is not its rounding.
            and rise > rounding(algorithm, theta, law).objective
        ):
            reason, message = (
                "decreased",
                f"L rose by {rise:.3g} at iteration {len(thetas) - 1}",
            )
            last = at
            norms.append(at.dual_norm(local_model, law, algorithm.held))
            break
    return Trace(
        algorithm.name,
        model,
        np.stack(thetas),
        np.array(objective),
        np.stack(gradients),
        np.array(norms),
        np.array(divergence),
        np.array(seconds),
        reason,
        message,
        last.metric(local_model, law),
        coordinates,
        law.accuracy,
        np.array(inner[: len(thetas) - 1]),
        label,
        rows,
        bounded,
        np.array(passes[: len(thetas)]),
    )
