"""Regression by experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from moe_theory.errors import InputError
from moe_theory.estimators.arguments import weights_of
from moe_theory.estimators.base import MixtureOfExperts
from moe_theory.mixture.fit import STARTS
from moe_theory.validation import Array


class MixtureOfExpertsRegressor(RegressorMixin, MixtureOfExperts):
    """Regression by k experts, normal or Poisson, under a softmax gate, fitted by EM.

    n_experts: k. family: "gaussian", or "poisson" for whole numbers >= 0. gate_features, expert_features: the columns
    of X that the gate and the experts see, as indices or names of a data frame's; None: all, []: none. fit_intercept:
    for both. common_sigma: of normal experts. ridge: on slopes, as `Penalty`'s (glmnet's lambda; scale the features
    first). sigma_floor: least sigma, in units of y. n_init: starts, of the kinds `init` by turns. max_iter, tol: of a
    run, tol on the gradient's norm per row in the metric of the complete data's information. accelerate: SQUAREM.
    random_state: int, RandomState or None (a new seed each time; numpy's global state is never used).

    The estimate depends on the set of rows alone: a weight is how often a row is there, whatever their order.

    Nothing is repaired in silence. Columns without full rank: coefficients are those of least norm, as
    `LinearRegression`'s, and numpy's `RankWarning` says so. A likelihood without a maximum where EM is heading: the
    last iterate is kept, reason_ is "degenerate", and a `ConvergenceWarning` names the expert and its rows. No start
    at all (e.g. y is a linear function of X): the fit has a ridge of 0.001 and a floor of 0.001 standard deviations of
    y, unless others are asked for, and the same warning says so. All is listed in events_.

    After `fit`, with d and g columns and an intercept (the first coefficient) if there is one: experts_ (k, 1 + d),
    gate_ (k, 1 + g) with 0 for the first expert, sigma_ (k,) or None, fit_ (the `MixtureFit`, on the distinct rows in
    order), rows_ (n,) where each row of X is among these (-1: without weight), n_iter_ (the start included),
    converged_, reason_, events_, n_features_in_, feature_names_in_.

    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-1, 1, (400, 1))
    >>> y = np.where(rng.random(400) < 0.5, 2 * X[:, 0], 3 - X[:, 0]) + 0.1 * rng.standard_normal(400)
    >>> found = MixtureOfExpertsRegressor(gate_features=[], random_state=0).fit(X, y)
    >>> bool(np.allclose(sorted(found.experts_[:, 1]), [-1, 2], atol=0.1)), found.reason_
    (True, 'converged')
    """

    def __init__(
        self,
        n_experts: int = 2,
        *,
        family: str = "gaussian",
        gate_features: Sequence[int | str] | None = None,
        expert_features: Sequence[int | str] | None = None,
        fit_intercept: bool = True,
        common_sigma: bool = False,
        ridge: float = 0.0,
        sigma_floor: float = 0.0,
        n_init: int = 8,
        init: str | Sequence[str] = STARTS,
        max_iter: int = 10_000,
        tol: float = 1e-6,
        accelerate: bool = True,
        random_state: Any = None,
    ) -> None:
        self.n_experts = n_experts
        self.family = family
        self.gate_features = gate_features
        self.expert_features = expert_features
        self.fit_intercept = fit_intercept
        self.common_sigma = common_sigma
        self.ridge = ridge
        self.sigma_floor = sigma_floor
        self.n_init = n_init
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.accelerate = accelerate
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self.family == "poisson"
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit to X (n, d), y (n,), weights (n,); ValueError where data or parameters are not what they have to be."""
        if self.family not in ("gaussian", "poisson"):
            raise InputError(f"family: expected gaussian or poisson, got {self.family!r}")
        x, response = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        weight = weights_of(sample_weight, len(x))
        floor, common = self.sigma_floor, bool(self.common_sigma)
        if self.family == "poisson":
            if common or floor != 0:
                raise InputError(
                    "common_sigma, sigma_floor: expected neither with poisson experts, which have no sigma"
                )
            bad = np.flatnonzero((response < 0) | (response != np.floor(response)))
            if len(bad):
                got = f"got {response[bad[0]]:g} in row {bad[0]}"
                raise InputError(f"y: expected whole numbers >= 0 with poisson experts, {got}")
        return self._fit(x, response.astype(np.float64), weight, self.family, self.ridge, floor, common)

    def predict(self, X: ArrayLike) -> Array:
        """E[y|x], (n,)."""
        return self._fitted().predict(*self._seen(X))

    def expert_predict(self, X: ArrayLike) -> Array:
        """E[y|x, expert], (n, k)."""
        return self._fitted().expert_means(*self._seen(X))

    def sample(self, X: ArrayLike, random_state: Any = None) -> tuple[Array, Array]:
        """(y (n,), experts (n,) in 0 … k-1) drawn at the rows of X."""
        return self._drawn(X, random_state)
