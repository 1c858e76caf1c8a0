"""What it means for a softmax mixture's likelihood to have no maximum where EM is heading: said, never repaired."""

from __future__ import annotations

import numpy as np

from moe_theory.errors import DegenerateError
from moe_theory.evaluation.softmax import SoftmaxEvaluation, count
from moe_theory.evaluation.softmax_kernels import responsibilities
from moe_theory.laws.rows import Law, Rows
from moe_theory.model import Model
from moe_theory.validation import Array

SATURATED = 1e-10  # least curvature of a part, relative to that of its rows' features, that is still a maximum
EMPTY = 1e-6  # rows' worth of responsibility, below which a label has vanished
ROUNDING = 4e-15  # of a sum of squares, relative
COLLAPSED = 1e-8  # sigma relative to the response's standard deviation, below which an expert interpolates


def degenerate(
    model: Model, law: Law, at: SoftmaxEvaluation, label: int, what: str, bounded: bool = True
) -> DegenerateError:
    """The error for the label at that position, with the rows it is responsible for (more than one half)."""
    given = at.responsibilities  # at a start they are not those of theta
    shares = (responsibilities(at.layout, model, law, at.theta) if given is None else np.concatenate(given, axis=1))[
        label
    ]
    rows = tuple(np.flatnonzero(shares > 0.5).tolist())
    shown = ", ".join(map(str, rows[:5])) + (", …" if len(rows) > 5 else "")
    where = f"{len(rows)} rows ({shown})" if rows else "no rows"
    return DegenerateError(f"label {model.latent[label]}, {where}: {what}", int(model.latent[label]), rows, bounded)


def refuse_vanished(model: Model, law: Law, at: SoftmaxEvaluation) -> None:
    """DegenerateError if a label has lost all its rows."""
    n = law.rows(model, at.theta).once("count", lambda: count(law.rows(model, at.theta)))
    for z, mass in enumerate(at.mass):
        if mass * n < EMPTY:
            raise degenerate(model, law, at, z, f"has vanished ({mass * n:.1e} rows' worth of responsibility are left)")


def iterated(at: SoftmaxEvaluation) -> range:
    """The parts that Newton's method solves: the gate, and experts that are not normal."""
    return range(len(at.parts) - (at.layout.structure.k if at.layout.family.quadratic else 0))


def saturation(model: Model, law: Law, at: SoftmaxEvaluation, i: int) -> DegenerateError:
    """The error for a part without a finite maximum."""
    offset = len(at.parts) - at.layout.structure.k
    if i < offset:
        hessian = at.hessian(model, law, i)
        # Where there is no Hessian the coefficients themselves say where they go.
        way = at.parts[i].point
        if hessian is not None:
            way = _spectrum(model, law, at, i, hessian)[1][:, 0].reshape(way.shape)
        every = np.vstack([np.zeros((1, way.shape[1])), way])
        apart = np.sum((every - np.mean(every, axis=0)) ** 2, axis=1)  # the reference may be the one that goes
        heaviest = int(np.flatnonzero(apart >= (1 - 1e-9) * np.max(apart))[-1])
        return degenerate(model, law, at, heaviest, "the gate's features separate it from the others")
    bound = "a ridge on intercepts too" if np.any(at.parts[i].ridge) else "a ridge on slopes and intercepts"
    what = f"its features separate its responses, or have no full rank on its rows; {bound} bounds its coefficients"
    return degenerate(model, law, at, i - offset, what)


def flat_way(
    model: Model, law: Law, at: SoftmaxEvaluation, i: int, point: Array, hessian: Array | None, product: Array | None
) -> Array | None:
    """The part of a part's coefficients, (p,), in directions without curvature, in which they may be on their way to
    infinity; None if there is curvature in all. Without a Hessian, (p, p), its product with them, (p,), has to tell."""
    if hessian is None:
        least = SATURATED * reach(model, law, at, i, point) ** 2
        return point if product is not None and float(point @ product) < least else None
    values, vectors, scale = _spectrum(model, law, at, i, hessian)
    flat = vectors[:, values < SATURATED]
    return flat @ (flat.T @ (scale * point)) / scale if flat.shape[1] else None


def reach(model: Model, law: Law, at: SoftmaxEvaluation, i: int, way: Array) -> float:
    """The size of a way, (p,), in predictors: root mean square over the rows, each label's weighted by its share."""
    gram, own = _features(model, law, at, i)
    moved = way.reshape(len(own), -1)
    return float(np.sqrt(max(np.sum(own[:, None] * moved * (moved @ gram)), 1e-300)))


def tilt(model: Model, law: Law, at: SoftmaxEvaluation, i: int, way: Array, slope: Array) -> float:
    """How steep a slope, (p,), of -Q is along a way, (p,), in residuals per row."""
    own = _features(model, law, at, i)[1]
    return float(slope @ way) / (reach(model, law, at, i, way) * float(np.sqrt(np.sum(own) + 1e-300)))


def _spectrum(model: Model, law: Law, at: SoftmaxEvaluation, i: int, hessian: Array) -> tuple[Array, Array, Array]:
    """(eigenvalues, vectors, scale) of a part's Hessian: in units of its rows' features if a coefficient has no
    curvature of its own, else of its own diagonal and of the features' correlations, as few rows near a steep border
    tell coefficients apart as well as many near a flat one."""
    gram, own = _features(model, law, at, i)
    scale = np.sqrt(np.maximum(np.outer(own, np.diagonal(gram)).ravel(), 1e-300))
    unit = np.sqrt(np.diagonal(gram))
    spread = float(np.linalg.eigvalsh(gram / np.outer(unit, unit))[0])
    if np.min(np.diagonal(hessian) / scale**2) >= SATURATED:
        scale = np.sqrt(np.diagonal(hessian))
    values, vectors = np.linalg.eigh(hessian / np.outer(scale, scale))
    return values / spread, vectors, scale


def _features(model: Model, law: Law, at: SoftmaxEvaluation, i: int) -> tuple[Array, Array]:
    """(Gram matrix of a part's features over all rows, (d, d); each predictor's share of the rows, (q,))."""
    offset, part = len(at.parts) - at.layout.structure.k, at.parts[i]
    gram = law.rows(model, at.theta).gram[part.columns][:, part.columns]
    mass = at.mass[1:] * (1 - at.mass[1:]) if i < offset else np.full(len(part.point), at.mass[i - offset])
    return gram, mass


def refuse_collapse(model: Model, law: Law, at: SoftmaxEvaluation, variance: Array) -> None:
    """DegenerateError if a sigma has gone to 0: its expert interpolates a few rows and the likelihood is unbounded."""
    rows = law.rows(model, at.theta)
    spread = rows.once("spread", lambda: _spread(rows))
    # Nor does a sum of squares tell more than the rounding of the one it was taken from.
    least = np.maximum((COLLAPSED * spread) ** 2, ROUNDING * at.squares / at.mass)
    z = int(np.argmin(variance / least))
    if not variance[z] > least[z]:
        what = "its sigma has gone to 0 (it fits its rows exactly, the likelihood is unbounded); a floor bounds it"
        raise degenerate(model, law, at, z, what, bounded=False)


def _spread(rows: Rows) -> float:
    """The response's standard deviation."""
    blocks = list(rows.blocks)
    mean = sum(float(np.sum(b.weight * b.y)) for b in blocks)
    return float(np.sqrt(sum(float(np.sum(b.weight * (b.y - mean) ** 2)) for b in blocks)))
