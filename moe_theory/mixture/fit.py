"""Fitting a mixture of experts to data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from moe_theory.algorithms.fit import fit
from moe_theory.algorithms.squarem import Squarem
from moe_theory.errors import InputError
from moe_theory.evaluation import Penalty
from moe_theory.mixture.problem import Problem
from moe_theory.mixture.result import Estimate
from moe_theory.validation import Array, whole_number

if TYPE_CHECKING:
    from rich.console import RenderableType

TOLERANCE = 1e-8  # on the gradient's norm in the metric of the complete data's information, per row
STARTS = ("kmeans", "random", "soft", "dirichlet")


class MixtureFit(Estimate):
    """A fitted mixture of experts: parameters, inference, rates, predictions, and a summary.

    problem: model and data. runs: EM's, from all starts. trace: the best of them, whole. local: where it ended, (m, D),
    in the problem's units; `theta` in the user's. penalty: what was added to L.
    """

    def summary(self) -> RenderableType:
        """Tables as a statistician expects them, for rich's `print` and for notebooks."""
        from moe_theory.mixture.summary import summary

        return summary(self)


def fit_mixture(
    x: ArrayLike,
    y: ArrayLike,
    k: int = 2,
    family: str = "gaussian",
    gate: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    intercept: bool = True,
    common_sigma: bool = False,
    names: Sequence[str] | None = None,
    gate_names: Sequence[str] | None = None,
    restarts: int = 8,
    seed: int = 0,
    starts: Sequence[str] = STARTS,
    max_iterations: int = 10_000,
    tolerance: float = TOLERANCE,
    ridge: float = 0.0,
    sigma_floor: float = 0.0,
    ridge_intercepts: float = 0.0,
    accelerate: bool = False,
    progress: Callable[[int], None] | None = None,
) -> MixtureFit:
    """Fit k experts with a softmax gate by EM from several starts.

    x (n, d): the experts' features. y (n,): the response. k: experts. family: gaussian (own sigmas, or `common_sigma`),
    binomial (y in {0, 1}), poisson or multinomial (y in 0 … C-1). gate (n, g): the gate's features, by default x.
    weights (n,): how many rows each row stands for. offset (n,): added to every expert's linear predictor. intercept: a
    constant before both. names, gate_names: of the features (by default a data frame's columns). restarts, seed: how
    many starts, and of what is random in them. starts: their kinds, by turns. max_iterations, tolerance: as for `run`.
    ridge, sigma_floor: see `Penalty`; ridge_intercepts: its `intercepts`. accelerate: SQUAREM instead of plain EM.
    progress: called with the start's number.

    Raises InputError for bad data (see `Problem.of`), and if from every start the likelihood is unbounded or a label
    vanishes at once. What goes wrong on the way is a `reason`: degenerate, with the label and its rows, is never
    repaired.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(-1, 1, 400)
    >>> y = np.where(rng.random(400) < 1 / (1 + np.exp(-4 * x)), 2 * x, 1 - x) + 0.1 * rng.standard_normal(400)
    >>> found = fit_mixture(x[:, None], y, k=2)
    >>> found.reason, bool(np.allclose(sorted(found.experts[:, 1]), [-1, 2], atol=0.1))
    ('converged', True)
    """
    problem = Problem.of(
        x,
        y,
        k,
        family,
        gate,
        weights=weights,
        offset=offset,
        intercept=intercept,
        common_sigma=common_sigma,
        names=names,
        gate_names=gate_names,
    )
    return fit_problem(
        problem,
        restarts=restarts,
        seed=seed,
        starts=starts,
        max_iterations=max_iterations,
        tolerance=tolerance,
        penalty=Penalty.of(ridge, sigma_floor, ridge_intercepts),
        accelerate=accelerate,
        progress=progress,
    )


def fit_problem(
    problem: Problem,
    *,
    restarts: int = 8,
    seed: int = 0,
    starts: Sequence[str] = STARTS,
    max_iterations: int = 10_000,
    tolerance: float = TOLERANCE,
    penalty: Penalty | None = None,
    accelerate: bool = False,
    progress: Callable[[int], None] | None = None,
    responsibilities: Sequence[Array] = (),
) -> MixtureFit:
    """The same for a problem already made; responsibilities: starts of the user's own, (n, k) each."""
    penalty = penalty or Penalty()
    whole_number("max_iterations", max_iterations, least=1)
    if penalty.sigma_floor > 0 and problem.family != "gaussian":
        raise InputError(f"sigma_floor: expected gaussian experts, got {problem.family}")
    runs = fit(
        problem.model,
        problem.standard,
        restarts,
        seed,
        max_iterations,
        tolerance,
        progress,
        starts,
        problem.units.penalty(penalty) if penalty else None,
        Squarem if accelerate else None,
        responsibilities,
    )
    told = runs.told(problem.units.told)
    return MixtureFit(problem, told, told.best, runs.best.last, penalty)
