"""EM on experts with a nonlinear activation: exact for gate and σ, a Gauss-Newton step for each regressor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moe_theory.algorithms.softmax_step import softmax_step
from moe_theory.errors import DegenerateError, InputError
from moe_theory.evaluation import evaluate_softmax
from moe_theory.evaluation.layout import require_layout
from moe_theory.evaluation.softmax_kernels import responsibilities
from moe_theory.laws.columns import Columns
from moe_theory.model import Model
from moe_theory.moments.activations import Activation
from moe_theory.recovery.gate import given_experts
from moe_theory.validation import Array

HALVINGS = 30
ROUNDING = 1e-11  # of a log-likelihood per row
GAIN = 1e-10  # of the log-likelihood per row, below which it is at rest


@dataclass(frozen=True, eq=False)
class Run:
    """Where it ended: regressors (k, d), θ of `given_experts`, log-likelihoods per row, (T+1,), and why."""

    regressors: Array
    theta: Array
    log_likelihood: Array
    reason: str
    message: str


def gauss_newton_em(
    x: Array,
    y: Array,
    g: Activation,
    regressors: Array,
    theta: Array,
    intercept: bool = True,
    max_iterations: int = 500,
    callback: Callable[[int, float], None] | None = None,
) -> Run:
    """From regressors, (k, d), and θ of `given_experts`; x (n, d), y (n,).

    A generalised EM (Dempster, Laird and Rubin 1977): each regressor's step lowers its weighted squares, or is not
    taken, so that the likelihood never falls; with kinks in g too, where Newton's method has no limit. It ends where an
    iteration gains less than 1e-10 per row.
    """
    model = given_experts(len(regressors), x.shape[1], intercept)
    a, law = regressors.copy(), _law(x, y, g, regressors)
    history: list[float] = []
    while True:
        at = evaluate_softmax(require_layout(model, law), model, law, theta)
        history.append(-at.objective)
        if callback is not None:
            callback(len(history) - 1, at.objective)
        if not np.isfinite(at.objective):
            return Run(a, theta, np.array(history), "nonfinite", "the likelihood is not finite")
        if len(history) > 1 and history[-1] - history[-2] < -ROUNDING * max(1.0, abs(history[-1])):
            return Run(a, theta, np.array(history), "decreased", "the likelihood fell")
        if len(history) > 1 and history[-1] - history[-2] <= GAIN:
            return Run(a, theta, np.array(history), "converged", "")
        if len(history) > max_iterations:
            return Run(a, theta, np.array(history), "max_iterations", "")
        shares = responsibilities(at.layout, model, law, theta)
        fresh = np.array([_step(x, y, g, row, share) for row, share in zip(a, shares, strict=True)])
        law = _law(x, y, g, fresh)
        try:
            theta = _gate_step(model, law, theta, shares)
        except DegenerateError as error:
            return Run(a, theta, np.array(history), "degenerate", str(error))
        a = fresh


def _law(x: Array, y: Array, g: Activation, a: Array) -> Columns:
    return Columns([x, 1.0, g.function(x @ a.T)], y)


def _gate_step(model: Model, law: Columns, theta: Array, shares: Array) -> Array:
    """Gate and σ from given responsibilities, (k, n)."""
    blocks, first = [], 0
    for block in law.blocks:
        blocks.append(np.ascontiguousarray(shares[:, first : first + len(block.y)]))
        first += len(block.y)
    at = evaluate_softmax(require_layout(model, law), model, law, theta, None, blocks)
    return softmax_step(model, law, at, held=[])[0]


def _step(x: Array, y: Array, g: Activation, a: Array, share: Array) -> Array:
    """A Gauss-Newton step for Σ share (y - g(a'x))², halved until that falls."""
    squares = lambda point: float(share @ (y - g.function(x @ point)) ** 2)
    u = x @ a
    slope = g.slope(u)
    gram = (x * (share * slope**2)[:, None]).T @ x
    force = x.T @ (share * slope * (y - g.function(u)))
    try:
        move = np.linalg.lstsq(gram, force, rcond=1e-12)[0]
    except np.linalg.LinAlgError as error:
        raise InputError("activation: expected finite slopes at the data") from error
    before = squares(a)
    for _ in range(HALVINGS):
        if squares(a + move) <= before:
            return a + move
        move = move / 2
    return a
