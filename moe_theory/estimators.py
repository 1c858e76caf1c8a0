"""Mixtures of experts as scikit-learn estimators: `fit_problem` behind `fit`, `predict` and what pipelines expect."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.exceptions import RankWarning
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "moe_theory.estimators: expected scikit-learn 1.6 or later; pip install 'moe-theory[sklearn]'"
    ) from error

from moe_theory.algorithms.starts import STARTS as KINDS
from moe_theory.errors import DegenerateError, InputError
from moe_theory.evaluation import Layout, Penalty
from moe_theory.laws.rows import Rows
from moe_theory.mixture.fit import STARTS, MixtureFit, fit_problem
from moe_theory.mixture.problem import Problem
from moe_theory.validation import Array, positive_number, real_array, whole_number

RANK = 1e-9  # a column's distance from the span of those before it, in units of its size; Problem's own is 1e-10
RIDGE = 1e-3  # of classifiers, and where plain maximum likelihood has no start
FLOOR = 1e-3  # under sigmas where plain maximum likelihood has no start, in standard deviations of y
INTERCEPTS = 1e-3  # a ridge on intercepts in units of that on slopes: enough for a maximum, too little for a bias
SHOWN = 5  # rows named in a message


@dataclass(frozen=True)
class _Everywhere(Penalty):
    """A ridge with which the penalised likelihood has a maximum whatever the data (normal experts: given a floor too):
    also on intercepts, though less.

    With one on slopes alone it often has none: experts that are constants (always one class, always 0) lie at
    infinity and cost nothing, and so does a label that vanishes. The intercepts of normal experts need no bound and
    are left out: their size is that of y.
    """

    def weights(self, layout: Layout, rows: Rows, theta: Array) -> Array:
        """The ridge on every entry of θ, (m, D)."""
        slopes = super().weights(layout, rows, theta)
        out, s = np.zeros_like(theta), layout.structure
        out[s.experts, layout.experts] = 0.0 if layout.family.quadratic else self.ridge * INTERCEPTS
        out[s.gate, layout.gate] = self.ridge * INTERCEPTS
        return np.maximum(slopes, out)


@dataclass(frozen=True, eq=False)
class _View:
    """The columns of X that the experts, or the gate, see. turn: None, or (d, r): what is fitted is then
    (X[:, columns] - centre) turn, r coordinates of the space in which the rows vary."""

    columns: tuple[int, ...]
    names: tuple[str, ...]
    centre: Array
    turn: Array | None

    @classmethod
    def of(
        cls, x: Array, weight: Array, columns: tuple[int, ...], names: Sequence[str], free: bool, flat: bool
    ) -> _View:
        """free: an intercept is fitted too. flat: a ridge counts all slopes alike, so that columns are not scaled."""
        own, root = x[:, list(columns)], np.sqrt(weight / np.mean(weight))[:, None]
        chosen = tuple(names[i] for i in columns)
        zero = np.zeros(len(columns))
        if not _is_deficient(np.column_stack([np.ones(len(own)), own]) if free else own, root):
            return cls(columns, chosen, zero, None)
        centre = np.average(own, axis=0, weights=weight) if free else zero
        moved = own - centre
        size = np.sqrt(np.mean(moved**2, axis=0))
        # A column that is constant is what rounding leaves of it.
        moved[:, size <= 1e-14 * np.abs(centre)] = 0.0
        scale = np.where(flat | (size == 0), 1.0, size)
        triangle = np.linalg.qr(root * moved / scale, mode="r")
        _, values, directions = np.linalg.svd(triangle, full_matrices=False)
        kept = values > RANK * np.max(values, initial=1e-300)
        # Any basis of the rows' space would do for the fit; of least norm are the coefficients that lie in it.
        basis = np.linalg.qr(directions[kept].T * scale[:, None])[0]
        turn = basis @ (basis.T @ (directions[kept].T / scale[:, None]))
        return cls(columns, tuple(f"direction {i + 1}" for i in range(turn.shape[1])), centre, turn)

    def of_rows(self, x: Array) -> Array:
        """What is fitted, (n, r) or (n, d), of rows of X."""
        own = x[:, list(self.columns)]
        return own if self.turn is None else (own - self.centre) @ self.turn

    def coefficients(self, fitted: Array, intercept: bool) -> Array:
        """Those of X's columns, (..., d), from those of what is fitted; an intercept comes first in both."""
        if self.turn is None:
            return fitted
        slopes = fitted[..., int(intercept) :] @ self.turn.T
        return np.concatenate([fitted[..., :1] - slopes @ self.centre[:, None], slopes], -1) if intercept else slopes


def _is_deficient(features: Array, root: Array) -> bool:
    n, d = features.shape
    if d == 0 or np.max(np.abs(features)) > 1e153:
        return False  # the latter is for `Problem` to refuse
    size = np.sqrt(np.mean(features**2, axis=0))
    triangle = np.linalg.qr(root * features / np.where(size > 0, size, 1.0), mode="r")
    return n < d or bool(np.any(np.abs(np.diagonal(triangle)) < RANK * np.sqrt(n)))


class _MixtureOfExperts(BaseEstimator):
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
            "starts": _kinds(self.init),
            "seed": _seed(self.random_state),
            "accelerate": bool(self.accelerate),
        }
        everywhere = family in ("binomial", "multinomial")
        penalty = (_Everywhere if everywhere else Penalty)(ridge, floor)
        # Distinct rows in one order: the estimate is then the same, to the last digit, whatever the order of the rows
        # and whether a row is repeated or has a weight. (Starts depend on rows, and EM on its start.)
        table, total, place = _distinct(np.column_stack([X, y]), weight)
        x, response = table[:, :-1], table[:, -1]
        if k > len(x):
            raise InputError(f"n_experts: expected at most as many as distinct rows, {len(x)}, got {k}")
        names, intercept = _names(self), bool(self.fit_intercept)
        places = [_columns(self, argument, names) for argument in ("expert_features", "gate_features")]
        view = lambda columns: _View.of(x, total, columns, names, intercept, ridge > 0)
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
            fit = _fitted(problem, penalty, options)
        except InputError as error:
            if not isinstance(error.__cause__, DegenerateError):
                raise
            failed = (
                f"no start has a maximum of the likelihood ({_told(error.__cause__)}); fitted with penalties (events_)"
            )
            spread = FLOOR * float(np.sqrt(np.cov(response, aweights=total, ddof=0)))
            everywhere, penalty = True, _Everywhere(ridge or RIDGE, (floor or spread) if family == "gaussian" else 0.0)
            fit = _fitted(problem, penalty, options)
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
        return f"{trace.reason}: {_told(error, np.flatnonzero(np.isin(self.rows_, trace.rows)))}"

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
        """EM's rate at the estimate, the largest eigenvalue of the missing information; not a number where the complete
        information is singular."""
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
        y, labels = self._fitted().sample(_seed(random_state), *self._seen(X))
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

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if "fit_" in state:
            # Sums over the table that are kept hold a function, which cannot be pickled; they are made again.
            state["fit_"].problem.law.__dict__.pop("_rows", None)
        return state


class MixtureOfExpertsRegressor(RegressorMixin, _MixtureOfExperts):
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
        weight = _weights(sample_weight, len(x))
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


class MixtureOfExpertsClassifier(ClassifierMixin, _MixtureOfExperts):
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
        weight = _weights(sample_weight, len(x))
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


def _fitted(problem: Problem, penalty: Penalty, options: dict[str, Any]) -> MixtureFit:
    # BLAS threads gain nothing on matrices of this size, and on a busy machine they wait for each other.
    with threadpool_limits(1, user_api="blas"):
        return fit_problem(problem, penalty=penalty, **options)


def _weights(sample_weight: ArrayLike | None, n: int) -> Array:
    if sample_weight is None:
        return np.ones(n)
    weight = real_array("sample_weight", np.asarray(sample_weight), ndim=1)
    if weight.shape != (n,):
        raise InputError(f"sample_weight: expected shape ({n},), one number per row, got {weight.shape}")
    if np.min(weight) < 0 or not np.any(weight > 0):
        raise InputError(f"sample_weight: expected weights >= 0, not all of them zero, got least {np.min(weight):g}")
    return weight


def _distinct(table: Array, weight: Array) -> tuple[Array, Array, Array]:
    """(the distinct rows with weight in lexicographic order, their weights, where each row is among them or -1)."""
    used = np.flatnonzero(weight > 0)
    order = used[np.lexsort(table[used].T[::-1])]
    ordered = table[order]
    fresh = np.append(True, np.any(ordered[1:] != ordered[:-1], axis=1))
    group = np.cumsum(fresh) - 1
    place = np.full(len(table), -1)
    place[order] = group
    return ordered[fresh], np.bincount(group, weights=weight[order]), place


def _names(estimator: Any) -> tuple[str, ...]:
    """Of X's columns; x0, x1, … where they have none."""
    return tuple(getattr(estimator, "feature_names_in_", [f"x{i}" for i in range(estimator.n_features_in_)]))


def _columns(estimator: Any, argument: str, names: tuple[str, ...]) -> tuple[int, ...]:
    """Where the columns that a parameter lists are in X."""
    wanted, d = getattr(estimator, argument), len(names)
    if wanted is None:
        return tuple(range(d))
    named = hasattr(estimator, "feature_names_in_")
    expected = f"{argument}: expected a list of columns, indices 0 … {d - 1}" + f" or names {', '.join(names)}" * named
    if isinstance(wanted, str) or not np.iterable(wanted):
        raise InputError(f"{expected}, got {wanted!r}")
    found = []
    for column in wanted:
        if isinstance(column, (int, np.integer)) and not isinstance(column, bool) and 0 <= column < d:
            found.append(int(column))
        elif isinstance(column, str) and named and column in names:
            found.append(names.index(column))
        else:
            raise InputError(f"{expected}, got {column!r}")
        if found[-1] in found[:-1]:
            raise InputError(f"{argument}: expected each column once, got {column!r} again")
    return tuple(found)


def _kinds(init: str | Sequence[str]) -> tuple[str, ...]:
    kinds = (init,) if isinstance(init, str) else tuple(init) if np.iterable(init) else (init,)
    bad = [kind for kind in kinds if kind not in KINDS]
    if bad or not kinds:
        raise InputError(f"init: expected names among {', '.join(KINDS)}, got {bad[0] if bad else 'none'!r}")
    return kinds


def _seed(random_state: Any) -> int:
    """A seed that follows from the state; None: a new one, and numpy's global state stays as it was."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, Integral):
        return whole_number("random_state", random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _told(error: DegenerateError, rows: Array | None = None) -> str:
    """The error's message, with places in experts_ and rows of X: the core counts from 1, and distinct rows."""
    if error.label is None:
        return str(error)
    where = ""
    if rows is not None:
        shown = ", ".join(map(str, rows[:SHOWN])) + (", …" if len(rows) > SHOWN else "")
        where = f", {len(rows)} rows of X ({shown})" if len(rows) else ", no rows"
    return f"experts_[{error.label - 1}]{where}: {str(error).partition(': ')[2]}"
