"""How large rounding is in what a run compares, measured: what differs between neighbouring doubles of θ."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np

from moe_theory.algorithms.base import Algorithm
from moe_theory.algorithms.newton import TOLERANCE
from moe_theory.errors import SingularError
from moe_theory.evaluation import evaluate
from moe_theory.evaluation.curvature import scaled_solve
from moe_theory.laws.rows import Law
from moe_theory.validation import Array

PROBES = 6
MARGIN = 10.0  # times the largest difference that was seen
NEAR = 2.0**-51  # of a predictor's size: one or two neighbours away


@dataclass(frozen=True)
class Rounding:
    """objective: a change of L that may be rounding. norm: a dual norm of the gradient that may be."""

    objective: float
    norm: float


def rounding(algorithm: Algorithm, theta: Array, law: Law) -> Rounding:
    """At θ, (m, d), from L and ∇L at its neighbours: every row's predictors are then rounded differently, so that what
    is lost in the largest summands shows, whatever they are (y² of a response far from 0, y log y of a count). An
    M-step by Newton's method adds what its last decrement left: half its square to L, itself to the norm."""
    model, rng = algorithm.model, np.random.default_rng(0)
    look = lambda point: evaluate(model, law, point, algorithm.penalty, algorithm.second_order)
    here, free = look(theta), model.free(theta)
    gram = law.rows(model, theta).gram
    # Each coefficient by what moves its predictors by their rounding: less would leave every row rounded as it was.
    eta = np.sqrt(np.maximum(np.einsum("md,de,me->m", theta, gram, theta), 0.0))
    features = np.sqrt(np.diagonal(gram))
    step = model.free(NEAR * eta[:, None] / np.where(features > 0, features, np.inf))
    objective = norm = 0.0
    metric = here.metric(model, law)
    for _ in range(PROBES):
        there = look(model.filled(free + step * rng.choice([-1.0, 1.0], free.shape), theta.shape[1]))
        objective = max(objective, abs(there.objective - here.objective))
        change = model.free(there.gradient - here.gradient)
        if len(metric) == len(change):
            with contextlib.suppress(SingularError):
                norm = max(norm, float(np.sqrt(change @ scaled_solve(metric, change))))
    left = 0.0
    if len(metric) == len(free):
        size = 1 + float(np.sqrt(max(0.0, float(free @ metric @ free))))
        left = TOLERANCE * size * max(1.0, float(np.nan_to_num(getattr(algorithm, "inner_residual", 0.0))))
    return Rounding(MARGIN * (objective + left**2 / 2), MARGIN * (norm + left))
