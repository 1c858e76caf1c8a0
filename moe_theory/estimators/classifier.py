"""Classification by experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from moe_theory.errors import InputError
from moe_theory.estimators.arguments import weights_of
from moe_theory.estimators.base import RIDGE, MixtureOfExperts
from moe_theory.mixture.fit import STARTS
from moe_theory.validation import Array


class MixtureOfExpertsClassifier(ClassifierMixin, MixtureOfExperts):
    """Classification by k logistic experts under a softmax gate, fitted by EM.

    Parameters and attributes are `MixtureOfExpertsRegressor`'s, but for family, common_sigma, sigma_floor and sigma_,
    which there are not. Two classes have binomial experts, more have multinomial ones, experts_ (k, C-1, 1 + d) against
    the first class. classes_: in order, of rows with weight.

    ridge: on slopes, and a thousandth of it on intercepts, unlike `Penalty`'s. Without one the likelihood of classes
    often has no maximum (an expert that always says the same is at infinity); with one it always has.

    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-1, 1, (300, 2))
    >>> y = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")
    >>> MixtureOfExpertsClassifier(random_state=0).fit(X, y).score(X, y) > 0.95
    True
    """

    def __init__(
        self,
        n_experts: int = 2,
        *,
        gate_features: Sequence[int | str] | None = None,
        expert_features: Sequence[int | str] | None = None,
        fit_intercept: bool = True,
        ridge: float = RIDGE,
        n_init: int = 8,
        init: str | Sequence[str] = STARTS,
        max_iter: int = 10_000,
        tol: float = 1e-6,
        accelerate: bool = True,
        random_state: Any = None,
    ) -> None:
        self.n_experts = n_experts
        self.gate_features = gate_features
        self.expert_features = expert_features
        self.fit_intercept = fit_intercept
        self.ridge = ridge
        self.n_init = n_init
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.accelerate = accelerate
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit to X (n, d), y (n,) of any classes, weights (n,); ValueError where data or parameters are not what they
        have to be, and for fewer than two classes."""
        x, labels = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(labels)
        weight = weights_of(sample_weight, len(x))
        used = weight > 0
        self.classes_, codes = np.unique(labels[used], return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"y: expected at least two classes, got one class, {self.classes_.tolist()[0]!r}")
        family = "binomial" if len(self.classes_) == 2 else "multinomial"
        response = np.zeros(len(x))
        response[used] = codes
        return self._fit(x, response, weight, family, self.ridge, 0.0, False)

    def predict_proba(self, X: ArrayLike) -> Array:
        """P(class | x), (n, C) in the order of classes_."""
        return self._by_class(self._fitted().predict(*self._seen(X)))

    def predict(self, X: ArrayLike) -> Array:
        """The most probable class, (n,)."""
        most = np.argmax(self.predict_proba(X), axis=-1)
        return self.classes_[most]

    def expert_predict_proba(self, X: ArrayLike) -> Array:
        """P(class | x, expert), (n, k, C)."""
        return self._by_class(self._fitted().expert_means(*self._seen(X)))

    def expert_predict(self, X: ArrayLike) -> Array:
        """Every expert's most probable class, (n, k)."""
        most = np.argmax(self.expert_predict_proba(X), axis=-1)
        return self.classes_[most]

    def sample(self, X: ArrayLike, random_state: Any = None) -> tuple[Array, Array]:
        """(classes (n,), experts (n,) in 0 … k-1) drawn at the rows of X."""
        codes, labels = self._drawn(X, random_state)
        return self.classes_[codes.astype(int)], labels

    def _by_class(self, means: Array) -> Array:
        return np.stack([1 - means, means], axis=-1) if self._family == "binomial" else means

    def _labels(self) -> tuple[str, ...]:
        return tuple(map(str, self.classes_))

    def _numbers(self, y: Array) -> Array:
        unknown = ~np.isin(y, self.classes_)
        if np.any(unknown):
            raise InputError(f"y: expected classes of the fit, got {y[unknown].tolist()[0]!r}")
        return np.searchsorted(self.classes_, y).astype(np.float64)
