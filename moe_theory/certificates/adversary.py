"""The largest λ_max(M(θ)) that a search over a region finds: a proved bound is compared with it; it proves nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from flint import arb, arb_mat

from moe_theory.certificates.exact import precision
from moe_theory.certificates.logistic import slope
from moe_theory.certificates.region import Region
from moe_theory.certificates.rows import Statistics
from moe_theory.errors import InputError
from moe_theory.laws.table import Finite
from moe_theory.operators import missing_information_matrix
from moe_theory.validation import Array

ASCENTS = 30  # steps of one search
INWARDS = (1.0, 1 - 1e-6, 1 - 1e-3, 0.9)  # of the way to a point, tried until the rounded one lies in the region
MANY = 20_000  # rows beyond which the search is made on a thin sample


@dataclass(frozen=True, eq=False)
class Found:
    """value: λ_max(M(θ)) at `theta`, (m, d), of the region."""

    value: float
    theta: Array


def adversary(statistics: Statistics, region: Region, starts: int = 4, seed: int = 0) -> Found:
    """Climb λ_max over a whole ball or ellipsoid: from a point to where the gradient there points on the boundary, as
    long as that is higher; from the centre both ways, and from random points."""
    model, law = statistics.model, statistics.law
    small = statistics if len(law) <= MANY else Statistics(model, thinned(law))
    g, centre = region.matrix, region.centre
    p, rng = centre.size, np.random.default_rng(seed)
    place = lambda z: centre + (g @ z).reshape(centre.shape)
    _, uphill = _climb(small, centre, g)
    directions = [uphill, -uphill, *rng.standard_normal((max(starts - 2, 0), p))]
    best, best_z = -np.inf, np.zeros(p)
    radius = region.radius * (1 - 1e-9)
    for direction in directions:
        z = radius * direction / (np.linalg.norm(direction) or 1.0)
        value, uphill = _climb(small, place(z), g)
        for _ in range(ASCENTS):
            size = np.linalg.norm(uphill)
            if not size > 0:
                break
            further = radius * uphill / size
            higher, uphill_there = _climb(small, place(further), g)
            if not higher > value * (1 + 1e-7):
                break
            value, z, uphill = higher, further, uphill_there
        if value > best:
            best, best_z = value, z
    at_centre = missing_information_matrix(model, law, centre).lambda_max
    inwards = (place(share * best_z) for share in INWARDS)
    theta = next((t for t in inwards if contains(region, t)), centre)
    found = missing_information_matrix(model, law, theta).lambda_max if np.isfinite(best) else -np.inf
    return Found(found, theta) if found > at_centre else Found(at_centre, centre)


def contains(region: Region, theta: Array) -> bool:
    """Whether θ, as it is rounded, is proved to lie in a whole ball or ellipsoid."""
    g = region.matrix
    with precision():
        column = lambda values: arb_mat(len(g), 1, [arb(v) for v in values.ravel().tolist()])
        matrix = arb_mat(len(g), len(g), [arb(v) for v in g.ravel().tolist()])
        try:
            z = matrix.solve(column(theta) - column(region.centre)).entries()
        except ZeroDivisionError:  # singular, to so many bits
            return False
        return bool(sum((v * v for v in z), arb(0)) <= arb(region.radius) ** 2)


def _climb(statistics: Statistics, theta: Array, g: Array) -> tuple[float, Array]:
    """λ_max(M(θ)) and its gradient along the region's coordinates, (p,): that of u'(I - λ∇²A)u, where u'∇²Au = 1."""
    try:
        spectrum = missing_information_matrix(statistics.model, statistics.law, theta)
    except InputError:
        return -np.inf, np.zeros(theta.size)
    value, u = spectrum.lambda_max, spectrum.vectors[:, 0].reshape(theta.shape)
    total = np.zeros(theta.shape)
    for rows in statistics.rows:
        x, change = rows.block.x, rows.change
        eta, moved = theta @ x, u @ x
        logit = np.sum(change * eta, axis=0) + rows.offset[0]
        total += (rows.block.weight * slope(logit) * np.sum(change * moved, axis=0) ** 2 * change) @ x.T
        for (factor, slopes), (shift, _) in zip(statistics.terms, rows.shifts, strict=True):
            weight = rows.block.weight * factor * slope(slopes @ eta + shift) * (slopes @ moved) ** 2
            total -= value * np.outer(slopes, x @ weight)
    return value, g.T @ total.ravel()


def thinned(law: Finite, most: int = MANY) -> Finite:
    """Every so many rows, `most` of them at most."""
    every = slice(None, None, -(-len(law) // most))
    weight = None if isinstance(law.weight, float) else law.weight[every]
    return Finite(law.x[every], law.y[every], weight)
