"""Regions around a fixed point on which λ_max(M) stays below 1 - α, and so EM contracts at 1 - α.

A Bregman ball {θ : B_A(θ*‖θ) <= ρ} is star-shaped around θ* (B_A(θ*‖θ*+sv) grows with s), and that is all the proof of
the linear rate needs: its inequality is used between θ* and an iterate only. As B_A(θ*‖·) falls along EM, such a ball
is never left: a start inside it is enough. A Euclidean ball is convex, but iterates may leave it.

Every radius here comes from an adversarial search along rays: it supports, and proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.optimize
from numpy.typing import ArrayLike

from moe_theory.errors import InputError, MoeTheoryError
from moe_theory.laws import Law, MonteCarlo, Population
from moe_theory.model import Model
from moe_theory.operators import bregman, missing_information_matrix
from moe_theory.validation import Array, unit_interval, whole_number

Shape = Literal["euclidean", "bregman"]
SURROGATES = (4_000, 40_000)  # rows on which to search where the law itself is dear
FAR = 20.0  # times ‖θ*‖: how far rays are followed
GROWTH = 1.3  # of successive distances at which λ_max is looked at along a ray, before a crossing is refined


@dataclass(frozen=True, eq=False)
class Region:
    """The largest ball around `centre` on which λ_max(M) <= 1 - alpha, as far as a search along `rays` rays could tell.

    radius: ‖θ - θ*‖ for a Euclidean ball, B_A(θ*‖θ) in nats for a Bregman ball; 0 if λ_max(M(θ*)) > 1 - alpha already.
    nearest: the point on its boundary where λ_max = 1 - alpha, (m, d); None if λ_max stayed below up to `cap`, the
    distance to which rays were followed. lambda_centre: λ_max(M(θ*)).
    """

    shape: Shape
    alpha: float
    radius: float
    nearest: Array | None
    lambda_centre: float
    rays: int
    cap: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        nearest = None if self.nearest is None else self.nearest.tolist()
        return self.__dict__ | {"nearest": nearest}


def largest_region(
    model: Model,
    law: Law,
    centre: ArrayLike,
    alpha: float,
    shape: Shape = "bregman",
    rays: int = 12,
    refine: int = 6,
    seed: int = 0,
    cap: float | None = None,
) -> Region:
    """Search for the point nearest to `centre`, (m, d), at which λ_max(M) crosses 1 - alpha.

    shape: nearest in ‖θ - θ*‖ ("euclidean") or in B_A(θ*‖θ) ("bregman"). rays: random directions, drawn by `seed`; from
    the crossings on the `refine` best of them the distance is minimised on the surface λ_max = 1 - alpha (SLSQP, on a
    sample where the law is a population). cap: the Euclidean distance up to which rays are followed, by default FAR
    times ‖θ*‖ (1 at least). Raises InputError for a bad centre or an alpha outside [0, 1].
    """
    theta = model.check_theta("centre", centre, law.dimension)
    alpha = unit_interval("alpha", alpha)
    whole_number("rays", rays, least=1)
    whole_number("seed", seed, least=0)
    if shape not in ("euclidean", "bregman"):
        raise InputError(f"shape: expected euclidean or bregman, got {shape!r}")
    level, cap = 1 - alpha, cap or FAR * max(1.0, float(np.linalg.norm(theta)))
    at_centre = missing_information_matrix(model, law, theta).lambda_max
    if at_centre >= level:
        return Region(shape, alpha, 0.0, theta, at_centre, 0, cap)
    directions = list(np.random.default_rng(seed).standard_normal((rays, theta.size))) + _special(theta)
    search = _Search(model, theta, level, cap, shape)
    moves: list[Array] = directions
    for where in _surrogates(model, law, seed) if isinstance(law, Population) else [law]:
        # Close to the boundary already at the centre, a sample cannot tell the side.
        if lambda_at(model, where, theta) >= level - 0.1 * (level - at_centre) and where is not law:
            continue
        crossed = sorted((search.crossing(where, move) for move in moves), key=lambda move: search.size(where, move))
        improved = [search.nearer(where, move) for move in crossed[:refine]]
        kept = [move for move in [crossed[0], *improved] if np.linalg.norm(move) > 0]
        moves, refine = sorted(kept, key=lambda move: search.size(where, move))[:3], 3
    found = min((search.crossing(law, move) for move in moves), key=lambda move: search.size(law, move))
    inside = np.linalg.norm(found) >= cap * (1 - 1e-9)
    nearest = None if inside else theta + found.reshape(theta.shape)
    return Region(shape, alpha, search.size(law, found), nearest, at_centre, len(directions), cap)


@dataclass(frozen=True, eq=False)
class _Search:
    """Moves, flat, from θ* to the surface λ_max(M) = level."""

    model: Model
    theta: Array
    level: float
    cap: float
    shape: Shape

    def size(self, law: Law, move: Array) -> float:
        """How large a ball has θ* + move on its boundary."""
        if self.shape == "euclidean":
            return float(np.linalg.norm(move))
        return float(bregman(self.model, law, self.theta, self.theta + move.reshape(self.theta.shape)))

    def excess(self, law: Law, move: Array) -> float:
        return lambda_at(self.model, law, self.theta + move.reshape(self.theta.shape)) - self.level

    def crossing(self, law: Law, direction: Array) -> Array:
        """The move along a direction up to the first crossing."""
        v = direction / np.linalg.norm(direction)
        return first_crossing(lambda s: self.excess(law, s * v), self.cap) * v

    def nearer(self, law: Law, move: Array) -> Array:
        """A move to the surface that is locally the least in size, by SLSQP."""
        # The square of the distance is smooth at the end it is drawn to; B_A is of that order already.
        power = 2 if self.shape == "euclidean" else 1
        return scipy.optimize.minimize(
            lambda m: self.size(law, m) ** power,
            move,
            method="SLSQP",
            constraints={"type": "ineq", "fun": lambda m: min(self.excess(law, m), 1e3)},
            options={"maxiter": 40, "ftol": 1e-8},
        ).x


def _surrogates(model: Model, law: Population, seed: int) -> list[Law]:
    """A small sample to scout on, and a larger one to improve on the best it finds."""
    return [MonteCarlo(model, law.theta, rows, seed).data() for rows in SURROGATES]


def largest_lambda(
    model: Model,
    law: Law,
    centre: Array,
    radius: float,
    rays: int = 12,
    seed: int = 0,
    shares: tuple[float, ...] = (0.5, 1.0),
) -> float:
    """The largest λ_max(M) sampled on the Bregman ball {θ : B_A(centre‖θ) <= radius}, radius in nats.

    Looked at on `rays` random rays, at these shares of the way to the boundary, and at the centre.
    """
    worst = lambda_at(model, law, centre)
    for v in np.random.default_rng(seed).standard_normal((rays, *centre.shape)):
        edge = boundary(model, law, centre, v, radius)
        worst = max([worst, *(lambda_at(model, law, centre + share * edge * v) for share in shares)])
    return worst


def boundary(model: Model, law: Law, centre: Array, direction: Array, radius: float) -> float:
    """The s at which B_A(centre‖centre + s direction) = radius; it grows with s. (FAR times the centre's size where the
    ball has no end in this direction.)"""
    excess = lambda s: bregman(model, law, centre, centre + s * direction) - radius
    high, far = 1e-3, FAR * (1 + float(np.linalg.norm(centre)))
    while excess(high) < 0:
        if high >= far:
            return far
        high = min(2 * high, far)
    return float(scipy.optimize.brentq(excess, 0.0, high, rtol=1e-6))


def lambda_at(model: Model, law: Law, theta: Array) -> float:
    """λ_max(M(θ)); infinite where ∇²A is singular to rounding, so that no region reaches there."""
    try:
        local, local_model, coordinates = law.reduce(model, theta)
        at = theta if coordinates is None else coordinates.project(theta)
        return missing_information_matrix(local_model, local, at).lambda_max
    except MoeTheoryError:
        return float("inf")


def first_crossing(excess: Callable[[float], float], cap: float, tolerance: float = 1e-4) -> float:
    """The least s in (0, cap] at which `excess` is seen to cross 0 from below; 0 if it is not negative there, cap if
    it does not."""
    before = 0.0
    if excess(0.0) >= 0:
        return 0.0
    s = cap / 400
    while before < cap:
        value = excess(s)
        if not np.isfinite(value):
            return before
        if value > 0:
            return float(scipy.optimize.brentq(excess, before, s, xtol=tolerance * s))
        before, s = s, min(GROWTH * s, cap)
    return cap


def _special(theta: Array) -> list[Array]:
    """Directions, flat, in which one predictor moves along an axis of the parameters' span, or one orthogonal to it,
    either way; and the one to the origin, where the labels cannot be told apart."""
    axes = np.linalg.svd(theta)[2][: len(theta) + 1]
    moves = []
    for row in range(len(theta)):
        for axis in axes:
            move = np.zeros(theta.shape)
            move[row] = axis
            moves += [move.ravel(), -move.ravel()]
    return [*moves, -theta.ravel()] if np.any(theta) else moves
