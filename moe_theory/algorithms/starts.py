"""Starts of EM on a table: an M-step from responsibilities made up without any parameter."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from moe_theory.algorithms.general_step import general_step
from moe_theory.algorithms.mirror import inverse_mirror
from moe_theory.algorithms.moment_start import moment_responsibilities
from moe_theory.algorithms.softmax_step import softmax_step
from moe_theory.errors import InputError
from moe_theory.evaluation import Layout, Penalty, evaluate_flat, evaluate_softmax, layout
from moe_theory.evaluation.general import is_flat
from moe_theory.evaluation.penalty import varying
from moe_theory.kernels import kernels
from moe_theory.laws.rows import Block
from moe_theory.laws.table import Finite
from moe_theory.model import Model
from moe_theory.sums import average, outer, predictors
from moe_theory.validation import Array, real_array

SAMPLED = 20_000  # rows of a large table that k-means looks at
CONSTANT = 1e-14  # of its mean: a standard deviation below which a column is constant but for rounding
SOFT = 0.1  # share of a row's responsibility that a cluster leaves to the others: else its gate could separate them


def start_from(
    model: Model, data: Finite, responsibilities: Array, penalty: Penalty | None = None, hold: bool = False
) -> Array:
    """θ, (m, d), from an M-step with the given responsibilities, (n, k): rows non-negative with sum 1.

    Raises InputError for anything else, DegenerateError where that M-step has no maximum; hold: a gate or an expert of
    a softmax mixture without one, whose likelihood is bounded, is then held far out as by `EM`.
    """
    r = real_array("responsibilities", responsibilities, ndim=2)
    if r.shape != (len(data), len(model.latent)):
        raise InputError(f"responsibilities: expected shape ({len(data)}, {len(model.latent)}), got {r.shape}")
    if np.min(r) < 0 or np.max(np.abs(np.sum(r, axis=1) - 1)) > 1e-8:
        raise InputError("responsibilities: expected non-negative rows with sum 1")
    zero = np.zeros((len(model.predictors), data.dimension)) if model.design is None else model.design.template.copy()
    shares = r.T
    blocks, first = [], 0
    for block in data.rows(model, zero):
        blocks.append(np.ascontiguousarray(shares[:, first : first + len(block.y)]))
        first += len(block.y)
    plan = layout(model, data)
    if plan is not None:
        at = evaluate_softmax(plan, model, data, _level(plan, model, data, zero), penalty, blocks)
        return softmax_step(model, data, at, held=[] if hold else None)[0]
    if not is_flat(model):
        return general_step(model, data, zero, blocks)[0]
    target = np.zeros_like(zero)
    for block, share in zip(data.rows(model, zero), blocks, strict=True):
        n = len(block.y)
        statistics = kernels(model).statistics(block.y, *predictors(model, block, zero)).reshape(len(share), -1, n)
        target += outer(block, np.einsum("kmn,kn->mn", statistics, share))
    return inverse_mirror(model, data, target, evaluate_flat(model, data, zero))


def _level(plan: Layout, model: Model, data: Finite, zero: Array) -> Array:
    """θ with all experts at the response's mean, if they have a constant: from 0 a mean far off would cost digits."""
    rows = data.rows(model, zero)
    constant = np.flatnonzero(~varying(rows)[plan.experts])
    if plan.structure.family not in ("gaussian", "poisson") or len(constant) != 1:
        return zero
    mean = sum(average(b, b.y) for b in rows.blocks) / sum(b.total for b in rows.blocks)
    column = np.arange(zero.shape[1])[plan.experts][constant[0]]
    out = zero.copy()
    level = mean if plan.structure.family == "gaussian" else np.log(max(mean, 1e-300))
    out[plan.structure.experts, column] = level / next(iter(rows.blocks)).x[column, 0]
    return out


def random_responsibilities(model: Model, data: Finite, rng: np.random.Generator) -> Array:
    """Softmax of random linear scores of the standardised (x, y), (n, k): nearly hard labels where there are many."""
    return _softmax_of_scores(model, data, lambda directions: 2 * directions, rng)


def soft_responsibilities(model: Model, data: Finite, rng: np.random.Generator) -> Array:
    """The same with directions of length 2, however many columns there are: soft labels."""
    return _softmax_of_scores(model, data, lambda d: 2 * d / np.linalg.norm(d, axis=0), rng)


def _softmax_of_scores(model: Model, data: Finite, scaled: Callable[[Array], Array], rng: np.random.Generator) -> Array:
    columns, k = _Standardised(model, data), len(model.latent)
    directions = scaled(rng.standard_normal((columns.count, k)))
    parts = []
    for block in columns:
        scores = directions.T @ block
        shares = np.exp(scores - scores.max(axis=0))
        parts.append(shares / shares.sum(axis=0))
    return np.concatenate(parts, axis=1).T


def kmeans_responsibilities(model: Model, data: Finite, rng: np.random.Generator) -> Array:
    """k-means clusters of the standardised (x, y) from random seeds (k-means++), softened, (n, k).

    The centres of a large table are those of a random sample of its rows.
    """
    from scipy.cluster.vq import kmeans2  # takes long to import

    columns, k = _Standardised(model, data), len(model.latent)
    rows = np.arange(len(data)) if len(data) <= SAMPLED else np.sort(rng.choice(len(data), SAMPLED, replace=False))
    sample, first = [], 0
    for block in columns:
        sample.append(block[:, rows[(rows >= first) & (rows < first + block.shape[1])] - first])
        first += block.shape[1]
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        # An empty cluster is no fault here: its label starts with its soft share of all rows.
        warnings.simplefilter("ignore", UserWarning)
        centres, _ = kmeans2(np.concatenate(sample, axis=1).T, k, minit="++", rng=rng)
    size = np.sum(centres**2, axis=1)[:, None]
    labels = np.concatenate([np.argmin(size - 2 * centres @ block, axis=0) for block in columns])
    return (1 - SOFT) * np.eye(k)[labels] + SOFT / k


def dirichlet_responsibilities(model: Model, data: Finite, rng: np.random.Generator) -> Array:
    """Uniform on the simplex for every row, independently, (n, k): labels that have nothing to do with (x, y)."""
    return rng.dirichlet(np.ones(len(model.latent)), len(data))


STARTS: dict[str, Callable[[Model, Finite, np.random.Generator], Array]] = {
    "random": random_responsibilities,
    "kmeans": kmeans_responsibilities,
    "soft": soft_responsibilities,
    "dirichlet": dirichlet_responsibilities,
    "moments": moment_responsibilities,
}


def check_starts(starts: Sequence[str]) -> tuple[str, ...]:
    """The names of initialisers, or InputError."""
    names = tuple(starts)
    bad = [name for name in names if name not in STARTS]
    if bad or not names:
        raise InputError(f"starts: expected names among {', '.join(STARTS)}, got {bad[0] if bad else 'none'!r}")
    return names


def counted(block: Block) -> slice | Array:
    """The rows that have weight."""
    return slice(None) if isinstance(block.weight, float) else block.weight > 0


class _Standardised:
    """The columns of (x, y) that vary, centred and scaled, block by block, (count, n) each."""

    def __init__(self, model: Model, data: Finite) -> None:
        zero = np.zeros((len(model.predictors), data.dimension)) if model.design is None else model.design.template
        self.rows = data.rows(model, zero)
        part = lambda block: np.vstack([block.x, block.y])[:, counted(block)]
        count = sum(part(block).shape[1] for block in self.rows)
        mean = np.sum([np.sum(part(block) / count, axis=1) for block in self.rows], axis=0)
        # What is left of it is the mean's own rounding.
        mean = mean + np.sum([np.sum((part(block) - mean[:, None]) / count, axis=1) for block in self.rows], axis=0)
        apart = [np.sum((part(block) - mean[:, None]) ** 2 / count, axis=1) for block in self.rows]
        spread = np.sqrt(np.sum(apart, axis=0))
        self.kept = spread > CONSTANT * np.abs(mean)
        self.mean, self.spread = mean[self.kept, None], spread[self.kept, None]
        self.count = int(np.sum(self.kept))

    def __iter__(self) -> Iterator[Array]:
        for block in self.rows:
            yield (np.vstack([block.x, block.y])[self.kept] - self.mean) / self.spread
