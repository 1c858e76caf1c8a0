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


def is_saturated(model: Model, law: Law, at: SoftmaxEvaluation, i: int, hessian: Array) -> bool:
    """Whether part `i`'s curvature is nearly 0 in a direction, in which its coefficients then go to infinity."""
    return _least_curvature(model, law, at, i, hessian)[0] < SATURATED


def saturation(model: Model, law: Law, at: SoftmaxEvaluation, i: int) -> DegenerateError:
    """The error for a part without a finite maximum."""
    offset = len(at.parts) - at.layout.structure.k
    if i < offset:
        hessian = at.hessian(model, law, i)
        heaviest = 0 if hessian is None else _least_curvature(model, law, at, i, hessian)[1]
        return degenerate(model, law, at, heaviest + 1, "the gate's features separate it from the others")
    bound = "a ridge on intercepts too" if np.any(at.parts[i].ridge) else "a ridge"
    what = f"its features separate its responses, or have no full rank on its rows; {bound} bounds its coefficients"
    return degenerate(model, law, at, i - offset, what)


def _least_curvature(model: Model, law: Law, at: SoftmaxEvaluation, i: int, hessian: Array) -> tuple[float, int]:
    """(least eigenvalue of a part's Hessian, the predictor it is heaviest in), in units of its rows' features."""
    offset, part = len(at.parts) - at.layout.structure.k, at.parts[i]
    q, d = part.point.shape
    gram = law.rows(model, at.theta).gram[part.columns][:, part.columns]
    own = at.mass[1:] * (1 - at.mass[1:]) if i < offset else np.full(q, at.mass[i - offset])
    scale = np.sqrt(np.maximum(np.outer(own, np.diagonal(gram)).ravel(), 1e-300))
    unit = np.sqrt(np.diagonal(gram))
    values, vectors = np.linalg.eigh(hessian / np.outer(scale, scale))
    spread = np.linalg.eigvalsh(gram / np.outer(unit, unit))[0]
    return float(values[0] / spread), int(np.argmax(np.sum(vectors[:, 0].reshape(q, d) ** 2, axis=1)))


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
