"""The largest λ_max(M(θ)) that a search over a region finds: a proved bound is compared with it; it proves nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from flint import arb, arb_mat

from moe_theory.certificates.exact import precision
from moe_theory.certificates.logistic import slope, variance
from moe_theory.certificates.region import Region
from moe_theory.certificates.rows import Statistics
from moe_theory.laws.rows import scaled_grams
from moe_theory.laws.table import Finite
from moe_theory.validation import Array

ASCENTS = 30  # steps of one search
INWARDS = (1.0, 1 - 1e-6, 1 - 1e-3, 0.9)  # of the way to a point, tried until the rounded one lies in the region
MANY = 20_000  # rows beyond which the search is made on a thin sample


@dataclass(frozen=True, eq=False)
class Found:
    """value: λ_max(M(θ)) at `theta`, (m, d), of the region."""

    value: float
    theta: Array


def adversary(
    statistics: Statistics, region: Region, starts: int = 4, seed: int = 0, at_centre: float | None = None
) -> Found:
    """Climb λ_max over a whole ball or ellipsoid: from a point to where the gradient there points on the boundary, as
    long as that is higher; from the centre both ways, and from random points. at_centre: λ_max there, if known."""
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
    inwards = (place(share * best_z) for share in INWARDS)
    theta = next((t for t in inwards if contains(region, t)), centre)
    own = largest_eigenvalue(statistics, centre)[0] if at_centre is None else at_centre
    found = Found(largest_eigenvalue(statistics, theta)[0], theta)
    return found if found.value > own else Found(own, centre)


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


def largest_eigenvalue(statistics: Statistics, theta: Array) -> tuple[float, Array]:
    """λ_max(M(θ)), and its u, (m, d), with u'∇²A u = 1; (-inf, 0) where ∇²A is not positive definite to rounding.

    From the statistics' own rows: what cancels in a posterior logit's offset is right there.
    """
    pairs = statistics.pairs
    grams = []
    for rows in statistics.rows:
        x, change = rows.block.x, rows.change
        eta = theta @ x
        own = variance(np.sum(change * eta, axis=0) + rows.offset[0])
        gates = [variance(s @ eta + shift) for (_, s), (shift, _) in zip(statistics.terms, rows.shifts, strict=True)]
        scales = np.array([*(own * change[a] * change[b] for a, b in pairs), *gates])
        grams.append(scaled_grams(x, scales * rows.block.weight))
    label, terms = np.split(np.sum(grams, axis=0), [len(pairs)])
    missing = statistics.label_information(label)
    complete = statistics.constant_information + statistics.term_information(terms)
    size = np.sqrt(np.maximum(np.diagonal(complete), 0.0))
    if not np.all(size > 0):
        return -np.inf, np.zeros(theta.shape)
    unit = np.outer(size, size)
    try:
        values, vectors = scipy.linalg.eigh(missing / unit, complete / unit)
    except (np.linalg.LinAlgError, ValueError):
        return -np.inf, np.zeros(theta.shape)
    return float(values[-1]), (vectors[:, -1] / size).reshape(theta.shape)


def _climb(statistics: Statistics, theta: Array, g: Array) -> tuple[float, Array]:
    """λ_max(M(θ)) and its gradient along the region's coordinates, (p,): that of u'(I - λ∇²A)u."""
    value, u = largest_eigenvalue(statistics, theta)
    if not np.isfinite(value):
        return -np.inf, np.zeros(theta.size)
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
