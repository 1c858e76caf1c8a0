"""Fitting by EM from several random starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moe_theory.algorithms.em import EM
from moe_theory.algorithms.mirror import inverse_mirror
from moe_theory.algorithms.trace import Trace, run
from moe_theory.errors import DegenerateError, InputError
from moe_theory.evaluation import evaluate
from moe_theory.kernels import kernels
from moe_theory.laws.table import Finite
from moe_theory.model import Model
from moe_theory.sums import outer, predictors
from moe_theory.validation import Array, whole_number


@dataclass(frozen=True, eq=False)
class Fit:
    """The best run of EM and all of them; `failures` are starts from which no run was possible."""

    best: Trace
    traces: tuple[Trace, ...]
    failures: tuple[str, ...]


def fit(
    model: Model,
    data: Finite,
    restarts: int = 8,
    seed: int = 0,
    max_iterations: int = 10_000,
    tolerance: float = 1e-13,
    progress: Callable[[int], None] | None = None,
) -> Fit:
    """Fit θ to a table by EM from `restarts` random responsibilities; the largest likelihood wins.

    Short runs (50 iterations) from every start select the one that is run to the end. Raises InputError if no start
    leads anywhere (e.g. labels that the features separate).
    """
    if not isinstance(data, Finite):
        raise InputError(f"data: expected a table (Data or Finite), got {type(data).__name__}")
    rng = np.random.default_rng(whole_number("seed", seed))
    short, failures = [], []
    for i in range(whole_number("restarts", restarts, least=1)):
        try:
            start = random_start(model, data, rng)
            short.append(run(EM(model), data, start, max_iterations=50, tolerance=tolerance, divergences=False))
        except DegenerateError as error:
            failures.append(str(error))
        if progress is not None:
            progress(i + 1)
    usable = [t for t in short if t.reason in ("converged", "max_iterations")]
    failures += [f"{t.reason}: {t.message}" for t in short if t not in usable]
    if not usable:
        raise InputError(f"data: expected a maximum of the likelihood; every start failed ({failures[0]})")
    chosen = min(usable, key=lambda t: t.objective[-1])
    best = run(EM(model), data, chosen.local[0], max_iterations, tolerance)
    return Fit(best, tuple(short), tuple(failures))


def random_start(model: Model, data: Finite, rng: np.random.Generator) -> Array:
    """θ from an M-step on random responsibilities, logistic in a random direction of the standardised (x, y)."""
    columns = np.column_stack([data.x, data.y])
    spread = np.std(columns, axis=0)
    columns = (columns - np.mean(columns, axis=0)) / np.where(spread > 0, spread, 1.0)
    labels = len(model.latent)
    scores = 2 * columns @ rng.standard_normal((columns.shape[1], labels))
    responsibilities = np.exp(scores - scores.max(axis=1, keepdims=True))
    responsibilities /= responsibilities.sum(axis=1, keepdims=True)
    zero = np.zeros((len(model.predictors), data.dimension))
    target, first = np.zeros_like(zero), 0
    for block in data.rows(model, zero):
        n = len(block.y)
        statistics = kernels(model).statistics(block.y, *predictors(model, block, zero)).reshape(labels, -1, n)
        target += outer(block, np.einsum("kmn,nk->mn", statistics, responsibilities[first : first + n]))
        first += n
    return inverse_mirror(model, data, target, evaluate(model, data, zero))
