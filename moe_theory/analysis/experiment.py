"""One experiment: EM's rate predicted and measured, on a population or on rows drawn from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.algorithms import EM, Trace, run
from moe_theory.analysis.rates import RateMeasurement, RatePrediction, measure_rate, predict_rate
from moe_theory.laws import Law, MonteCarlo, Population
from moe_theory.model import Model
from moe_theory.validation import whole_number

RUN_NATS = 14.0  # of accuracy of a population that EM runs on; a prediction takes one pass and can have more
OFF = 0.3  # of the start from the fixed point, along M's top eigenvector


@dataclass(frozen=True, eq=False)
class Experiment:
    """A run of EM on `law` to its fixed point, the rate M predicts there, and the one the run shows."""

    law: Law
    trace: Trace
    predicted: RatePrediction
    measured: RateMeasurement

    @property
    def rates(self) -> tuple[float, float, float, float]:
        """Contraction of the iterates: predicted, its error, measured, its error."""
        return self.predicted.lambda_max, self.predicted.error, self.measured.iterates, self.measured.iterates_error

    @property
    def agrees(self) -> bool:
        """Whether the two contractions of the iterates differ by no more than their errors."""
        predicted, error, measured, its_error = self.rates
        return abs(predicted - measured) <= error + its_error


def rate_experiment(model: Model, truth: ArrayLike, rows: int = 0, seed: int = 1) -> Experiment:
    """Predict and measure EM's rate for `model` at `truth`, (m, d), under x ~ N(0, I).

    rows: 0 for the population itself, where the fixed point is the truth; else the size of a sample, whose own fixed
    point is found first. The run starts off it along M's top eigenvector, so that the rate can be seen. Raises
    InputError for a truth of wrong shape and for a run with too few steps to measure a rate on.

    >>> from moe_theory.zoo import symmetric_linear
    >>> model = symmetric_linear()
    >>> found = rate_experiment(model, model.theta(beta=[2, 0], w=[0, 1]))
    >>> round(found.predicted.lambda_max, 4), round(found.measured.iterates, 4)
    (0.4026, 0.4026)
    """
    point = model.check_theta("truth", truth)
    if whole_number("rows", rows):
        law: Law = MonteCarlo(model, point, rows, seed).data()
        point = run(EM(model), law, point, tolerance=1e-12, divergences=False).last
        predicted = predict_rate(model, law, point)
    else:
        law = Population(model, point, nats=RUN_NATS)
        predicted = predict_rate(model, Population(model, point), point)
    start = point + OFF * predicted.direction / np.linalg.norm(predicted.direction)
    trace = run(EM(model), law, start, 3000, 1e-13 if rows else 1e-10, divergences=False)
    return Experiment(law, trace, predicted, measure_rate(trace))
