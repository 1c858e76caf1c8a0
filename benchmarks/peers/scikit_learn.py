"""EM with scikit-learn's estimators for an M-step."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from .contestants import Parameters, Problem, TwoSteps
from .whole_arrays import WholeArrays, by_logaddexp

try:
    from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
except ImportError:
    LinearRegression = LogisticRegression = PoissonRegressor = None

FEW = 20_000  # rows below which scikit-learn has one thread: more wait for each other, and long if a core is busy


class ScikitLearn(TwoSteps):
    """M-step by scikit-learn: the gate on k weighted copies of the rows; E-step as in `WholeArrays`."""

    def __init__(self, solver: str = "newton-cholesky", tolerance: float = 1e-12) -> None:
        self.solver, self.tolerance = solver, tolerance
        self.name = f"scikit-learn, {solver}"
        self._e_step = WholeArrays(by_logaddexp).e_step

    def available(self) -> str | None:
        return "scikit-learn is absent" if LogisticRegression is None else None

    def prepare(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        return np.tile(problem.g, (problem.k, 1)), np.repeat(np.arange(problem.k), len(problem.y))

    def m_step(self, problem: Problem, layout: Any, r: np.ndarray, last: Parameters | None) -> Parameters:
        with pools().limit(limits=1 if len(problem.y) < FEW else None, user_api="openmp"):
            return self._maximum(problem, layout, r, last)

    def _maximum(self, problem: Problem, layout: Any, r: np.ndarray, last: Parameters | None) -> Parameters:
        copies, labels = layout
        gate = self._logistic(copies, labels, r.T.ravel(), None if last is None else last.gate)
        if problem.family == "gaussian":
            linear = LinearRegression(fit_intercept=False)
            beta = np.stack([linear.fit(problem.x, problem.y, sample_weight=w).coef_ for w in r.T])
            residuals = problem.y[:, None] - problem.x @ beta.T
            return Parameters(gate, beta, np.sqrt(np.sum(r * residuals**2, axis=0) / np.sum(r, axis=0)))
        rows = []
        for j, weight in enumerate(r.T):
            start = None if last is None else last.experts[j]
            if problem.family == "binomial":
                pair = None if start is None else np.stack([np.zeros_like(start), start])
                rows.append(self._logistic(problem.x, problem.y.astype(int), weight, pair)[1])
            else:
                poisson = PoissonRegressor(
                    alpha=0, fit_intercept=False, solver="newton-cholesky", tol=self.tolerance, warm_start=True
                )
                if start is not None:
                    poisson.coef_, poisson.intercept_ = start.copy(), 0.0
                rows.append(poisson.fit(problem.x, problem.y, sample_weight=weight).coef_)
        return Parameters(gate, np.stack(rows))

    def e_step(self, problem: Problem, parameters: Parameters) -> tuple[float, np.ndarray]:
        return self._e_step(problem, parameters)

    def _logistic(self, x: np.ndarray, labels: np.ndarray, weight: np.ndarray, start: np.ndarray | None) -> np.ndarray:
        """Coefficients (k, q), the first row zero, from those of the last iteration."""
        model = LogisticRegression(
            C=np.inf, fit_intercept=False, solver=self.solver, tol=self.tolerance, max_iter=1000, warm_start=True
        )
        if start is not None:  # where a warm start begins; two classes have one row
            model.coef_ = (start if len(start) > 2 else start[1:]).copy()
            model.intercept_ = np.zeros(len(model.coef_))
            model.classes_ = np.arange(len(start))
        coefficients = model.fit(x, labels, sample_weight=weight).coef_
        if len(coefficients) == 1:
            coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
        return coefficients - coefficients[0]


@cache
def pools() -> ThreadpoolController:
    """The thread pools loaded by now."""
    return ThreadpoolController()
