"""What both estimators share: from checked arrays to a fit, and what a fit says."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from numpy.exceptions import RankWarning
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from moe_theory.errors import DegenerateError, InputError
from moe_theory.estimators.arguments import columns_of, distinct, kinds, names_of, seed_of, told
from moe_theory.estimators.views import View
from moe_theory.evaluation import Penalty
from moe_theory.mixture.fit import MixtureFit, fit_problem
from moe_theory.mixture.problem import Problem
from moe_theory.validation import Array, positive_number, real_array, whole_number

RIDGE = 1e-3  # of classifiers, and where plain maximum likelihood has no start
FLOOR = 1e-3  # under sigmas where plain maximum likelihood has no start, in standard deviations of y
INTERCEPTS = 1e-3  # a ridge on intercepts in units of that on slopes: enough for a maximum, too little for a bias


class MixtureOfExperts(BaseEstimator):
    """What both estimators share."""

    #: of the experts: what `family` says, or what the number of classes does
    _family: str

    def _fit(self, X: Array, y: Array, weight: Array, family: str, ridge: float, floor: float, common: bool) -> Self:
        """Fit to (n, d) features, (n,) numbers or codes and (n,) weights that have been checked."""
        k = whole_number("n_experts", self.n_experts, least=1)
        options: dict[str, Any] = {
            "restarts": whole_number("n_init", self.n_init, least=1),
            "max_iterations": whole_number("max_iter", self.max_iter, least=1),
            "tolerance": positive_number("tol", self.tol),
            "starts": kinds(self.init),
            "seed": seed_of(self.random_state),
            "accelerate": bool(self.accelerate),
        }
        everywhere = family in ("binomial", "multinomial")
        # With a ridge on slopes alone there often is no maximum, see `Penalty`.
        penalty = Penalty(ridge, floor, INTERCEPTS if everywhere else 0.0)
        # Distinct rows in one order: the estimate is then the same, to the last digit, whatever the order of the rows
        # and whether a row is repeated or has a weight. (Starts depend on rows, and EM on its start.)
        table, total, place = distinct(np.column_stack([X, y]), weight)
        x, response = table[:, :-1], table[:, -1]
        if k > len(x):
            raise InputError(f"n_experts: expected at most as many as distinct rows, {len(x)}, got {k}")
        names, intercept = names_of(self), bool(self.fit_intercept)
        places = [columns_of(self, argument, names) for argument in ("expert_features", "gate_features")]
        view = lambda columns: View.of(x, total, columns, names, intercept, ridge > 0)
        experts = view(places[0])
        gate = experts if places[0] == places[1] else view(places[1])
        problem = Problem.of(
            experts.of_rows(x),
            response,
            k,
            family,
            None if gate is experts else gate.of_rows(x),
            weights=None if np.all(total == 1) else total,
            intercept=intercept,
            common_sigma=common,
            names=experts.names,
            gate_names=None if gate is experts else gate.names,
            classes=self._labels(),
        )
        views = {"experts and gate": experts} if gate is experts else {"experts": experts, "gate": gate}
        events = [
            f"{what}: {len(v.columns)} columns of rank {v.turn.shape[1]}, coefficients are those of least norm"
            for what, v in views.items()
            if v.turn is not None
        ]
        for event in events:
            warnings.warn(event, RankWarning, stacklevel=3)
        failed = ""
        try:
            fit = fit_problem(problem, penalty=penalty, **options)
        except InputError as error:
            if not isinstance(error.__cause__, DegenerateError):
                raise
            failed = (
                f"no start has a maximum of the likelihood ({told(error.__cause__)}); fitted with penalties (events_)"
            )
            spread = FLOOR * float(np.sqrt(np.cov(response, aweights=total, ddof=0)))
            least = (floor or spread) if family == "gaussian" else 0.0
            everywhere, penalty = True, Penalty(ridge or RIDGE, least, INTERCEPTS)
            fit = fit_problem(problem, penalty=penalty, **options)
            events.append(failed)
        self.fit_, self.rows_ = fit, place
        self._experts, self._gate, self._family = experts, gate, family
        self.experts_ = experts.coefficients(fit.experts, intercept)
        self.gate_ = gate.coefficients(fit.gate, intercept)
        self.sigma_ = fit.sigma
        self.n_iter_ = fit.iterations + 1
        self.converged_ = fit.converged and not failed
        self.reason_ = "degenerate" if failed else fit.reason
        if penalty.ridge > 0:
            share = f", {penalty.ridge * INTERCEPTS:g} on intercepts" * everywhere
            events.append(f"ridge {penalty.ridge:g} on slopes{share}")
        if penalty.sigma_floor > 0 and fit.sigma is not None:
            held = [f"experts_[{i}]" for i in np.flatnonzero(fit.sigma <= penalty.sigma_floor * (1 + 1e-12))]
            reached = f"reached by {', '.join(held)}" if held else "not reached"
            events.append(f"sigma floor {penalty.sigma_floor:g}, {reached}")
        if fit.runs.failures:
            events.append(f"starts or runs given up: {len(fit.runs.failures)} (fit_.runs.failures)")
        self.events_ = tuple(events)
        if not self.converged_:
            warnings.warn(failed or self._why(), ConvergenceWarning, stacklevel=3)
        return self

    def _labels(self) -> tuple[str, ...]:
        return ()

    def _why(self) -> str:
        trace = self.fit_.trace
        if trace.reason == "max_iterations":
            return f"no convergence in {trace.iterations} iterations; raise max_iter or tol"
        error = DegenerateError(trace.message, trace.label, trace.rows)
        return f"{trace.reason}: {told(error, np.flatnonzero(np.isin(self.rows_, trace.rows)))}"

    # What a fit says -----------------------------------------------------------------------------------------

    @property
    def log_likelihood_(self) -> float:
        """Σ weight log p(y|x) of the fitted rows, without any penalty."""
        return self._fitted().log_likelihood

    @property
    def bic_(self) -> float:
        """-2 log-likelihood + p log n, n the total weight."""
        return self._fitted().bic

    @property
    def lambda_max_(self) -> float:
        """EM's rate at the estimate (with the penalty, if there is one), the largest eigenvalue of the missing
        information; not a number where the complete information is singular."""
        rate = self._fitted().rate
        return float("nan") if rate is None else rate.lambda_max

    def gate_proba(self, X: ArrayLike) -> Array:
        """P(expert | x), (n, k)."""
        return self._fitted().gate_probabilities(*self._seen(X))

    def responsibilities(self, X: ArrayLike, y: ArrayLike) -> Array:
        """P(expert | x, y), (n, k)."""
        x, gate, response = self._seen_with(X, y)
        return self._fitted().responsibilities(x, response, gate)

    def log_likelihood(self, X: ArrayLike, y: ArrayLike) -> float:
        """The mean over rows of log p(y|x)."""
        x, gate, response = self._seen_with(X, y)
        return float(np.mean(self._fitted().log_density(x, response, gate)))

    def _drawn(self, X: ArrayLike, random_state: Any) -> tuple[Array, Array]:
        y, labels = self._fitted().sample(seed_of(random_state), *self._seen(X))
        return y, labels - 1

    def _fitted(self) -> MixtureFit:
        check_is_fitted(self, "fit_")
        return self.fit_

    def _seen(self, X: ArrayLike) -> tuple[Array, Array | None]:
        return self._views(validate_data(self, X, reset=False, dtype=np.float64))

    def _seen_with(self, X: ArrayLike, y: ArrayLike) -> tuple[Array, Array | None, Array]:
        x, response = validate_data(self, X, y, reset=False, dtype=np.float64)
        return *self._views(x), self._numbers(response)

    def _views(self, x: Array) -> tuple[Array, Array | None]:
        return self._experts.of_rows(x), None if self._gate is self._experts else self._gate.of_rows(x)

    def _numbers(self, y: Array) -> Array:
        return real_array("y", y, ndim=1)
