"""This package as a contestant among its peers, and its own fit from its own starts.

`Ours` iterates from the very responsibilities that the others start from, under their stopping rule;
`best_over_restarts` is what a user gets: `fit_problem` with its own starts and its own rule. The intercept is a column
of ones to all of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from moe_theory.algorithms.base import Algorithm
from moe_theory.algorithms.em import EM, GeneralisedEM
from moe_theory.algorithms.starts import start_from
from moe_theory.errors import DegenerateError, InputError
from moe_theory.mixture.fit import MixtureFit, fit_problem
from moe_theory.mixture.problem import Problem as Mixture

from .contestants import InProcess, Parameters, Problem, Result, log_likelihood
from .problems import DataSet


class Ours(InProcess):
    """moe_theory: exact EM, or (one_step) `GeneralisedEM`, whose one Newton step is halved until ℓ does not fall."""

    failures = (DegenerateError, InputError)

    def __init__(self, one_step: bool = False) -> None:
        self.algorithm: type[Algorithm] = GeneralisedEM if one_step else EM
        self.name = "moe_theory, 1 Newton step" if one_step else "moe_theory"

    def iterate(self, problem: Problem) -> Iterator[tuple[Parameters, float]]:
        mixture = mixture_of(problem)
        model, law, n = mixture.model, mixture.law, len(problem.y)
        em = self.algorithm(model)
        theta = start_from(model, law, problem.responsibilities)
        while True:
            with np.errstate(over="ignore", invalid="ignore"):  # as in the package's own runs
                value = -n * em.evaluate(theta, law).objective
            yield parameters_of(mixture, theta), value
            with np.errstate(over="ignore", invalid="ignore"):
                theta = em.step(theta, law)


def mixture_of(data: Problem | DataSet) -> Mixture:
    """The package's own problem; a column that gate and experts share is one column, as with the names of a table."""
    x, g = data.x, data.g
    if g is x:
        return Mixture.of(x, data.y, data.k, data.family, intercept=False)
    names = [f"x{i + 1}" for i in range(x.shape[1])]
    seen = [next((a for i, a in enumerate(names) if np.array_equal(x[:, i], column)), "") for column in g.T]
    gate_names = [name or f"g{j + 1}" for j, name in enumerate(seen)]
    return Mixture.of(x, data.y, data.k, data.family, g, intercept=False, names=names, gate_names=gate_names)


def parameters_of(mixture: Mixture, theta: np.ndarray) -> Parameters:
    """θ (m, D) over the table's columns as gate (k, q), experts (k, d) and σ (k,) over the user's."""
    structure, features = mixture.model.structure, mixture.features
    assert structure is not None
    place = {name: i for i, name in enumerate(features.columns)}
    gate = theta[structure.gate][:, [place[features.gate_column(name)] for name in features.gate]]
    experts = theta[structure.experts][:, [place[name] for name in features.experts]]
    sigma = np.exp(theta[structure.scales, place[features.scale]]) if structure.scale_predictors else None
    return Parameters(np.vstack([np.zeros((1, gate.shape[1])), gate]), experts, sigma)


def best_over_restarts(data: DataSet, restarts: int, seed: int = 0) -> Result:
    """`fit_problem` with its own starts; iterations: of the best run. figures: its own ℓ, and starts given up."""
    name, clock = f"moe_theory, own {restarts} starts", time.perf_counter()
    problem = Problem(data.name, data.family, data.x, data.g, data.y, data.k, np.empty((0, data.k)))
    try:
        fit: MixtureFit = fit_problem(mixture_of(data), restarts=restarts, seed=seed)
    except (DegenerateError, InputError) as error:
        seconds = time.perf_counter() - clock
        return Result(name, float("nan"), 0, seconds, None, None, False, None, f"ended by {error}")
    seconds = time.perf_counter() - clock
    parameters = parameters_of(fit.problem, fit.theta)
    figures = {"log_likelihood_claimed": fit.log_likelihood, "given_up": float(len(fit.runs.failures))}
    note = "" if fit.converged else f"{fit.reason}: {fit.message}"
    exact = log_likelihood(problem, parameters)
    return Result(name, exact, fit.iterations, seconds, None, None, fit.converged, parameters, note, figures)
