"""Certificates on a population: the same bounds on quadrature rows, whose error is estimated and not bounded.

What would make them rigorous: a bound on the quadrature's error for the integrands of the bounds, which have kinks
where an interval of logits meets its extremes; λ_max(M(θ*)) alone is enclosed rigorously by `certified_rate`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.certificates.certificate import Certificate
from moe_theory.certificates.make import certify_rows
from moe_theory.certificates.maker import METHODS
from moe_theory.certificates.relative import Prover
from moe_theory.certificates.rows import Statistics
from moe_theory.errors import InputError
from moe_theory.kernels import kernels
from moe_theory.laws import Population
from moe_theory.laws.table import Finite
from moe_theory.model import Model
from moe_theory.symbolic.expectation import linear_means
from moe_theory.validation import Array

EXTENT = 8.0  # standard deviations that are integrated over
STEPS = {1: ((0.05, 0.05), (0.1, 0.1)), 2: ((0.25, 0.12), (0.4, 0.2))}  # fine and coarse, of x and y, by dimension


def certify_population(model: Model, law: Population, centre: ArrayLike | None = None, **options: Any) -> Certificate:
    """`certify` on a population with one or two features: never certified, at best `supported`, with an error from two
    resolutions of the quadrature. centre: (m, d), the truth by default. InputError for more features."""
    if law.dimension not in STEPS:
        raise InputError(
            f"data: expected a population with one or two features, got {law.dimension}; a sample of it"
            " (MonteCarlo(model, theta, n, seed).data()) can be certified in any dimension"
        )
    point = law.theta if centre is None else model.check_theta("centre", centre, law.dimension)
    fine, coarse = (_table(law, *steps) for steps in STEPS[law.dimension])
    found = certify_rows(model, fine, point, **options)
    if not found.certified:
        return found
    other = min(Prover.of(Statistics(model, coarse), found.region, method).least() for method in METHODS)
    error = abs(other - min(found.bounds.values()))
    reason = (
        f"supported, not certified: the population is {len(fine)} quadrature nodes here; the bound on λ_max(M) changes"
        f" by {error:.1e} between two resolutions, which is an estimate and no bound"
    )
    return replace(found, certified=False, supported=True, error=error, reason=reason)


def _table(law: Population, step: float, response_step: float) -> Finite:
    """The population's rows on a grid of x, the trapezoid rule in every feature and, given the label, in y."""
    line = _line(step)
    grid = np.stack(np.meshgrid(*[line] * law.dimension, indexing="ij"), axis=-1).reshape(-1, law.dimension)
    grid = grid[np.sum(grid**2, axis=1) <= EXTENT**2]
    weight = np.exp(-np.sum(grid**2, axis=1) / 2)
    x = grid if law.factor is None else grid @ law.factor.T
    if law.model.response.values:
        return Finite.from_model(law.model, law.theta, x, weight)
    eta = law.model.coefficients(law.theta) @ x.T
    noise = _line(response_step)
    rows, responses, weights = [], [], []
    for vector, constant, sigma, gate in zip(*linear_means(law.model), kernels(law.model).log_gate(*eta), strict=True):
        mean = np.asarray(vector) @ eta + constant
        responses.append((mean[:, None] + sigma * noise).ravel())
        weights.append(np.outer(weight * np.exp(gate), np.exp(-(noise**2) / 2)).ravel())
        rows.append(np.repeat(x, len(noise), axis=0))
    return Finite(np.concatenate(rows), np.concatenate(responses), np.concatenate(weights))


def _line(step: float) -> Array:
    """Nodes of the trapezoid rule for a standard normal variable."""
    count = int(np.ceil(EXTENT / step))
    return step * np.arange(-count, count + 1)
