"""The scikit-learn estimators: its own check suite, and against `fit_mixture`, formulas written out, closed forms."""

from __future__ import annotations

import importlib
import pickle
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, gammaln, softmax
from scipy.stats import norm

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install 'moe-theory[sklearn]'")

from numpy.exceptions import RankWarning
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import check_dataframe_column_names_consistency, parametrize_with_checks

from moe_theory.errors import InputError
from moe_theory.estimators import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from moe_theory.mixture import MixtureFit, fit_mixture

COUNTS = "its responses are not whole numbers, and a Poisson expert gives them no probability"
FRACTIONS = (
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_regressor_data_not_an_array",
    "check_regressors_no_decision_function",
    "check_regressors_train",
)


def quick(**parameters: Any) -> MixtureOfExpertsRegressor:
    return MixtureOfExpertsRegressor(random_state=0, n_init=4).set_params(**parameters)


def quick_classifier(**parameters: Any) -> MixtureOfExpertsClassifier:
    return MixtureOfExpertsClassifier(random_state=0, n_init=4).set_params(**parameters)


def core(x: np.ndarray, y: np.ndarray, **options: Any) -> MixtureFit:
    """The core's fit of the rows in the estimators' order, from the same starts."""
    order = np.lexsort([y, *x.T[::-1]])
    return fit_mixture(x[order], y[order], restarts=4, tolerance=1e-9, accelerate=True, **options)


def table(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two well separated experts under a gate: features (n, 2), responses, labels."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, 2))
    z = (rng.random(n) < expit(4 * x[:, 0])).astype(int)
    return x, np.where(z == 1, 2 + x[:, 1], -2 * x[:, 1]) + 0.2 * rng.standard_normal(n), z


def classes(n: int = 400, count: int = 2, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Classes 0 … count-1 from two experts that say the opposite, without separation."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2))
    z = np.where(rng.random(n) < expit(3 * x[:, 0]), 1.0, -1.0)
    scores = np.multiply.outer(z * x[:, 1], 2.0 * np.arange(count)) + np.arange(count) * 0.1
    return x, np.sum(rng.random(n)[:, None] > np.cumsum(softmax(scores, axis=1), axis=1)[:, :-1], axis=1)


def counts(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (n, 2))
    z = rng.random(n) < expit(3 * x[:, 0])
    return x, rng.poisson(np.exp(np.where(z, 2.5 + x[:, 1], 0.5 - x[:, 1])))


# scikit-learn's own checks ------------------------------------------------------------------------------------


UNDISTURBED = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::numpy.exceptions.RankWarning"
)


@UNDISTURBED
@parametrize_with_checks(
    [
        # They pass with the defaults too, in four times the time.
        MixtureOfExpertsRegressor(n_init=1, random_state=0),
        MixtureOfExpertsRegressor(n_init=1, max_iter=20, random_state=0, family="poisson"),
        MixtureOfExpertsClassifier(n_init=1, max_iter=20, random_state=0),
    ],
    expected_failed_checks=lambda estimator: (
        dict.fromkeys(FRACTIONS, COUNTS) if getattr(estimator, "family", "") == "poisson" else {}
    ),
)
def test_scikit_learns_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@UNDISTURBED
@pytest.mark.parametrize("estimator", [MixtureOfExpertsRegressor(n_init=1), MixtureOfExpertsClassifier(n_init=1)])
def test_scikit_learns_check_of_feature_names(estimator: Any) -> None:
    check_dataframe_column_names_consistency(type(estimator).__name__, estimator)


# Against the core and formulas written out -------------------------------------------------------------------


@pytest.mark.parametrize("common", [False, True])
def test_predictions_are_fit_mixtures(common: bool) -> None:
    x, y, _ = table()
    found, wanted = quick(common_sigma=common, tol=1e-9).fit(x, y), core(x, y, common_sigma=common)
    new = table(50, seed=3)[0]
    np.testing.assert_allclose(found.predict(new), wanted.predict(new), rtol=1e-12, atol=1e-12)
    assert wanted.rate is not None
    got = (found.log_likelihood_, found.bic_, found.lambda_max_)
    assert got == pytest.approx((wanted.log_likelihood, wanted.bic, wanted.rate.lambda_max), rel=1e-12)
    assert (found.converged_, found.reason_) == (True, "converged")


def test_poisson_predictions_are_fit_mixtures() -> None:
    x, y = counts()
    found, wanted = quick(family="poisson", tol=1e-9).fit(x, y), core(x, y, family="poisson")
    np.testing.assert_allclose(found.predict(x), wanted.predict(x), rtol=1e-12)
    means = np.exp(np.column_stack([np.ones(len(x)), x]) @ found.experts_.T)
    np.testing.assert_allclose(found.expert_predict(x), means, rtol=1e-12)
    joint = found.gate_proba(x) * np.exp(y[:, None] * np.log(means) - means - gammaln(y + 1)[:, None])
    assert found.log_likelihood(x, y) == pytest.approx(np.mean(np.log(joint.sum(axis=1))), rel=1e-12)
    assert found.sigma_ is None


@pytest.mark.parametrize("count", [2, 3])
def test_classifier_without_a_ridge_is_fit_mixture(count: int) -> None:
    x, y = classes(800, count, seed=3)
    found = quick_classifier(ridge=0.0, tol=1e-9).fit(x, y)
    probability = core(x, y, family="binomial" if count == 2 else "multinomial").predict(x)
    wanted = np.column_stack([1 - probability, probability]) if count == 2 else probability
    np.testing.assert_allclose(found.predict_proba(x), wanted, atol=1e-12)
    assert not any("ridge" in event for event in found.events_)


def test_regressor_is_what_its_coefficients_say() -> None:
    x, y, _ = table()
    found = quick(n_experts=3, gate_features=[0], expert_features=[1], ridge=1e-3, sigma_floor=0.05).fit(x, y)
    features = lambda column: np.column_stack([np.ones(len(x)), x[:, column]])
    gate, means = softmax(features(0) @ found.gate_.T, axis=1), features(1) @ found.experts_.T
    joint = gate * norm.pdf(y[:, None], means, found.sigma_)
    assert found.experts_.shape == found.gate_.shape == (3, 2)
    assert not found.gate_[0].any()
    np.testing.assert_allclose(found.gate_proba(x), gate, rtol=1e-10)
    np.testing.assert_allclose(found.expert_predict(x), means, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.predict(x), np.sum(gate * means, axis=1), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.responsibilities(x, y), joint / joint.sum(axis=1, keepdims=True), rtol=1e-9)
    assert found.log_likelihood(x, y) == pytest.approx(np.mean(np.log(joint.sum(axis=1))), rel=1e-12)


@pytest.mark.parametrize("count", [2, 3])
def test_classifier_is_what_its_coefficients_say(count: int) -> None:
    x, codes = classes(count=count)
    names = np.array(["no", "yes", "zero"])[:count]
    y = names[codes]
    found = quick_classifier().fit(x, y)
    assert found.classes_.tolist() == names.tolist()
    features = np.column_stack([np.ones(len(x)), x])
    scores = np.einsum("kcd,nd->nkc", found.experts_.reshape(2, count - 1, 3), features)
    own = softmax(np.pad(scores, ((0, 0), (0, 0), (1, 0))), axis=2)
    whole = np.einsum("nk,nkc->nc", softmax(features @ found.gate_.T, axis=1), own)
    proba = found.predict_proba(x)
    np.testing.assert_allclose(proba, whole, rtol=1e-10)
    np.testing.assert_allclose(found.expert_predict_proba(x), own, rtol=1e-10)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(found.predict(x), names[np.argmax(whole, axis=1)])
    np.testing.assert_array_equal(found.expert_predict(x), names[np.argmax(own, axis=2)])
    assert found.log_likelihood(x, y) == pytest.approx(np.mean(np.log(whole[np.arange(len(y)), codes])), rel=1e-12)
    posterior = softmax(features @ found.gate_.T, axis=1) * own[np.arange(len(y)), :, codes]
    wanted = posterior / posterior.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.responsibilities(x, y), wanted, rtol=1e-10)


def test_one_expert_is_linear_regression() -> None:
    x, y, _ = table()
    found = quick(n_experts=1).fit(x, y)
    coefficients = np.linalg.lstsq(np.column_stack([np.ones(len(x)), x]), y)[0]
    np.testing.assert_allclose(found.experts_[0], coefficients, rtol=1e-10)
    assert found.gate_.shape == (1, 3)
    assert found.gate_proba(x).tolist() == [[1.0]] * len(x)


# Rows: order, repetition, weights ----------------------------------------------------------------------------


def test_a_weight_is_a_repetition_to_the_last_digit() -> None:
    rng = np.random.default_rng(4)
    x, y, _ = table(80)
    weight = rng.integers(0, 4, 80)
    order = rng.permutation(int(weight.sum()))
    repeated = quick().fit(np.repeat(x, weight, axis=0)[order], np.repeat(y, weight)[order])
    weighted = quick().fit(x, y, sample_weight=weight)
    assert np.array_equal(repeated.experts_, weighted.experts_)
    assert repeated.bic_ == weighted.bic_
    assert np.array_equal(weighted.rows_ == -1, weight == 0)
    assert np.array_equal(np.bincount(repeated.rows_), np.bincount(weighted.rows_[weight > 0], weight[weight > 0]))


def test_classes_without_weight_are_not_there() -> None:
    x, y = classes(count=3)
    found = quick_classifier().fit(x, y, sample_weight=y != 1)
    without = quick_classifier().fit(x[y != 1], y[y != 1])
    assert found.classes_.tolist() == [0, 2]
    assert np.array_equal(found.predict_proba(x), without.predict_proba(x))


# Features without full rank ----------------------------------------------------------------------------------


def test_one_hot_columns_are_the_same_model_as_contrasts() -> None:
    x, y, _ = table()
    level = np.arange(len(x)) % 3
    hot = np.eye(3)[level]
    with pytest.warns(
        RankWarning, match=r"experts and gate: 5 columns of rank 4, coefficients are those of least norm"
    ):
        found = quick(tol=1e-9).fit(np.column_stack([x, hot]), y)
    full = quick(tol=1e-9).fit(np.column_stack([x, hot[:, 1:]]), y)
    assert found.converged_
    assert len(found.events_) == 1
    assert found.log_likelihood_ == pytest.approx(full.log_likelihood_, rel=1e-10)
    np.testing.assert_allclose(found.predict(np.column_stack([x, hot])), full.predict(np.column_stack([x, hot[:, 1:]])))
    features = np.column_stack([np.ones(len(x)), x, hot])
    np.testing.assert_allclose(found.expert_predict(np.column_stack([x, hot])), features @ found.experts_.T)
    np.testing.assert_allclose(found.gate_proba(features[:, 1:]), softmax(features @ found.gate_.T, axis=1))


@pytest.mark.parametrize("intercept", [True, False])
def test_coefficients_of_least_norm_are_linear_regressions(intercept: bool) -> None:
    x, y, _ = table()
    x = np.column_stack([100 * x, x @ [1.0, -2.0], np.full(len(x), 2.0)])
    with pytest.warns(RankWarning, match=f"4 columns of rank {2 if intercept else 3}"):
        found = quick(n_experts=1, fit_intercept=intercept).fit(x, y)
    peer = LinearRegression(fit_intercept=intercept).fit(x, y)
    np.testing.assert_allclose(found.experts_[0, int(intercept) :], peer.coef_, rtol=1e-9, atol=1e-12)
    new = np.random.default_rng(9).standard_normal((20, 4))  # where the columns do not depend on each other
    np.testing.assert_allclose(found.predict(new), peer.predict(new), rtol=1e-9, atol=1e-12)


def test_a_ridge_shares_out_a_repeated_column() -> None:
    # With β/2 on either copy the ridge is half that of β on one.
    x, y, _ = table()
    with pytest.warns(RankWarning, match="rank 2"):
        found = quick(ridge=0.02, tol=1e-9).fit(x[:, [0, 1, 0, 1]], y)
    single = quick(ridge=0.01, tol=1e-9).fit(x, y)
    np.testing.assert_allclose(found.predict(x[:, [0, 1, 0, 1]]), single.predict(x), rtol=1e-6)
    np.testing.assert_allclose(found.experts_[:, 1:3], single.experts_[:, 1:] / 2, rtol=1e-5)
    assert "ridge 0.02 on slopes" in found.events_


@pytest.mark.parametrize("intercept", [True, False])
def test_constant_columns_and_more_columns_than_rows(intercept: bool) -> None:
    rng = np.random.default_rng(5)
    x = np.column_stack([rng.standard_normal((12, 30)), np.full(12, 3.0)])
    y = np.arange(12) % 3
    with pytest.warns(RankWarning, match=f"31 columns of rank {11 if intercept else 12}"):
        found = quick_classifier(fit_intercept=intercept, ridge=0.1).fit(x, y)
    assert found.experts_.shape == (2, 2, 31 + intercept)
    assert found.score(x, y) == 1
    features = np.column_stack([np.ones(12), x]) if intercept else x
    scores = np.pad(np.einsum("kcd,nd->nkc", found.experts_, features), ((0, 0), (0, 0), (1, 0)))
    np.testing.assert_allclose(found.expert_predict_proba(x), softmax(scores, axis=2), rtol=1e-8)
    np.testing.assert_allclose(found.gate_proba(x), softmax(features @ found.gate_.T, axis=1), rtol=1e-8)


# Likelihoods without a maximum -------------------------------------------------------------------------------


def test_a_collapsed_expert_is_named_with_its_rows() -> None:
    rng = np.random.default_rng(6)
    x = rng.uniform(-1, 1, (60, 1))
    weight = np.ones(60)
    weight[:20] = 0  # these rows are not there, but they count in the message
    with pytest.warns(
        ConvergenceWarning, match=r"degenerate: experts_\[\d\], \d+ rows of X .*sigma has gone to 0"
    ) as caught:
        found = quick().fit(x, np.abs(x[:, 0]), sample_weight=weight)
    assert (found.converged_, found.reason_) == (False, "degenerate")
    shown = re.search(r"\((\d[\d, ]*), …\)", str(caught[0].message))
    assert shown
    rows = [int(r) for r in shown[1].split(",")]
    assert min(rows) >= 20
    assert len(set(np.sign(x[rows, 0]))) == 1
    assert found.score(x, np.abs(x[:, 0])) > 0.99


def test_where_no_start_has_a_maximum_penalties_are_told() -> None:
    x, _, _ = table()
    y = 1 + x @ [2.0, -3.0]
    with pytest.warns(ConvergenceWarning, match=r"no start has a maximum of the likelihood \(experts_"):
        found = quick().fit(x, y)
    assert (found.converged_, found.reason_) == (False, "degenerate")
    floor = 1e-3 * np.std(y)
    assert found.events_[1:3] == (
        "ridge 0.001 on slopes, 1e-06 on intercepts",
        f"sigma floor {floor:g}, reached by experts_[0], experts_[1]",
    )
    np.testing.assert_allclose(found.predict(x), y, atol=1e-4)


def test_a_level_without_any_count_is_told() -> None:
    x, y = counts()
    hot = np.eye(3)[np.arange(len(x)) % 3][:, 1:]
    y = np.where(hot[:, 0] == 1, 0, y)
    with pytest.warns(ConvergenceWarning, match=r"degenerate: experts_\[0\], .*its features separate its responses"):
        found = quick(family="poisson", n_init=1, max_iter=100).fit(np.column_stack([x, hot]), y)
    assert found.reason_ == "degenerate" and not found.converged_
    mean = found.predict(np.column_stack([x, hot]))
    assert np.mean(mean[hot[:, 0] == 1]) < 0.05
    assert np.mean(mean[hot[:, 0] == 0]) == pytest.approx(np.mean(y[hot[:, 0] == 0]), rel=0.05)


def test_a_floor_that_is_asked_for_is_a_maximum() -> None:
    x, _, _ = table()
    found = quick(sigma_floor=0.05, ridge=1e-4).fit(x, 1 + x @ [2.0, -3.0])
    assert found.converged_
    assert found.sigma_ == pytest.approx(0.05)
    assert found.events_ == ("ridge 0.0001 on slopes", "sigma floor 0.05, reached by experts_[0], experts_[1]")


def test_separated_classes_have_a_maximum_with_the_ridge() -> None:
    rng = np.random.default_rng(7)
    x = rng.standard_normal((200, 2))
    y = np.where(np.abs(x[:, 0]) > 0.5, "out", "in")
    found = quick_classifier().fit(x, y)
    assert found.converged_
    assert found.events_ == ("ridge 0.001 on slopes, 1e-06 on intercepts",)
    assert found.score(x, y) > 0.97
    with pytest.warns(ConvergenceWarning):
        assert not quick_classifier(ridge=0.0).fit(x, y).converged_


def test_the_ridge_leaves_rare_classes_as_rare_as_they_are() -> None:
    rng = np.random.default_rng(8)
    x = rng.standard_normal((1000, 1))
    y = rng.random(1000) < expit(x[:, 0] - 4)
    found = quick_classifier(n_init=2, tol=1e-4).fit(x, y)
    assert found.predict_proba(x)[:, 1].mean() == pytest.approx(y.mean(), rel=0.01)


def test_a_run_that_is_cut_short_says_so() -> None:
    x, y, _ = table()
    with pytest.warns(ConvergenceWarning, match="no convergence in 2 iterations; raise max_iter or tol"):
        found = quick(max_iter=2).fit(x, y)
    assert (found.converged_, found.reason_, found.n_iter_) == (False, "max_iterations", 3)


# Among scikit-learn's tools ----------------------------------------------------------------------------------


def test_columns_by_name_on_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas")
    x, y, _ = table()
    frame = pandas.DataFrame(x, columns=["where", "what"])
    found = quick(gate_features=["where"], expert_features=["what"]).fit(frame, y)
    by_index = quick(gate_features=[0], expert_features=[1]).fit(x, y)
    assert found.feature_names_in_.tolist() == ["where", "what"]
    assert found.fit_.problem.features.gate == ("(Intercept)", "where")
    assert np.array_equal(found.predict(frame), by_index.predict(x))
    with pytest.raises(InputError, match=r"^gate_features: .* names where, what, got 'who'$"):
        quick(gate_features=["who"]).fit(frame, y)


def test_no_gate_features_are_constant_shares() -> None:
    x, y, _ = table()
    found = quick(gate_features=[]).fit(x, y)
    assert found.gate_.shape == (2, 1)
    assert np.ptp(found.gate_proba(x), axis=0) == pytest.approx(0)


def test_pipelines_columns_and_searches() -> None:
    pandas = pytest.importorskip("pandas")
    x, y, _ = table(150)
    frame = pandas.DataFrame(x, columns=["a", "b"]).assign(site=np.array(["n", "s", "w"])[np.arange(150) % 3])
    columns = ColumnTransformer(
        [("scaled", StandardScaler(), ["a", "b"]), ("hot", OneHotEncoder(drop="first", sparse_output=False), ["site"])]
    )
    model = make_pipeline(columns.set_output(transform="pandas"), quick(n_init=2, gate_features=["scaled__a"]))
    search = GridSearchCV(model, {"mixtureofexpertsregressor__n_experts": [1, 2]}, cv=2).fit(frame, y)
    assert search.best_params_ == {"mixtureofexpertsregressor__n_experts": 2}
    assert search.score(frame, y) > 0.3
    assert search.best_estimator_[-1].experts_.shape == (2, 5)
    labels, codes = classes(200)
    assert cross_val_score(quick_classifier(n_init=2), labels, codes, cv=2, scoring="neg_log_loss").mean() > np.log(0.5)


def test_pickled_after_use() -> None:
    x, y, _ = table(100)
    found = quick().fit(x, y)
    assert 0 < found.lambda_max_ < 1
    again = pickle.loads(pickle.dumps(found))
    assert np.array_equal(again.predict(x), found.predict(x))
    assert again.lambda_max_ == found.lambda_max_
    assert again.events_ == found.events_
    found.predict(x)  # as before


def test_random_state_decides_and_numpys_own_stays() -> None:
    x, y, _ = table(100)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, other = (quick().fit(x, y) for _ in range(2))
    assert np.array_equal(one.experts_, other.experts_)
    states = [clone(quick(random_state=np.random.RandomState(3))).fit(x, y) for _ in range(2)]
    assert np.array_equal(states[0].fit_.runs.traces[0].local[0], states[1].fit_.runs.traces[0].local[0])
    assert not np.array_equal(states[0].fit_.runs.traces[0].local[0], one.fit_.runs.traces[0].local[0])
    quick(random_state=None).fit(x, y).sample(x)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_samples_are_of_the_fitted_law() -> None:
    x, y, _ = table()
    found = quick().fit(x, y)
    at = np.repeat(x[:1], 4000, axis=0)
    drawn, experts = found.sample(at, random_state=0)
    assert drawn.shape == experts.shape == (4000,)
    share = found.gate_proba(x[:1])[0]
    for z in range(2):
        chosen = drawn[experts == z]
        assert len(chosen) == pytest.approx(4000 * share[z], abs=4 * np.sqrt(4000 * share[z] * (1 - share[z])))
        error = found.sigma_[z] / np.sqrt(len(chosen))
        assert chosen.mean() == pytest.approx(found.expert_predict(x[:1])[0, z], abs=4 * error)
    assert np.array_equal(found.sample(at, random_state=0)[0], drawn)
    labels, codes = classes()
    names = np.array(["no", "yes"])
    drawn, _ = quick_classifier().fit(labels, names[codes]).sample(labels, random_state=1)
    assert set(drawn) == {"no", "yes"}


# Bad input gets one line -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"n_experts": 0}, r"n_experts: expected a whole number >= 1, got 0"),
        ({"n_experts": 41}, r"n_experts: expected at most as many as distinct rows, 40, got 41"),
        ({"family": "binomial"}, r"family: expected gaussian or poisson, got 'binomial'"),
        ({"gate_features": [2]}, r"gate_features: expected a list of columns, indices 0 … 1, got 2"),
        ({"gate_features": ["a"]}, r"gate_features: expected a list of columns, indices 0 … 1, got 'a'"),
        ({"gate_features": 1}, r"gate_features: expected a list of columns, indices 0 … 1, got 1"),
        ({"expert_features": [1, 1]}, r"expert_features: expected each column once, got 1 again"),
        ({"expert_features": "x0"}, r"expert_features: expected a list of columns, indices 0 … 1, got 'x0'"),
        (
            {"expert_features": [], "fit_intercept": False},
            r"x: expected at least one feature or an intercept, got none",
        ),
        ({"init": "best"}, r"init: expected names among .*, got 'best'"),
        ({"n_init": 0}, r"n_init: expected a whole number >= 1, got 0"),
        ({"max_iter": 0}, r"max_iter: expected a whole number >= 1, got 0"),
        ({"tol": 0}, r"tol: expected a number > 0, got 0"),
        ({"ridge": -1}, r"ridge: expected a number >= 0, got -1"),
        ({"random_state": -1}, r"random_state: expected a whole number >= 0, got -1"),
        ({"family": "poisson"}, r"y: expected whole numbers >= 0 with poisson experts, got \S+ in row 0"),
        (
            {"family": "poisson", "sigma_floor": 1},
            r"common_sigma, sigma_floor: expected neither with poisson experts, which have no sigma",
        ),
    ],
)
def test_bad_parameters(parameters: dict[str, Any], line: str) -> None:
    x, y, _ = table(40)
    with pytest.raises(InputError, match=f"^{line}$"):
        quick(**parameters).fit(x, y)


def test_bad_data() -> None:
    x, y, _ = table(40)
    found = quick().fit(x, y)
    with pytest.raises(InputError, match=r"^sample_weight: expected shape \(40,\), one number per row, got \(39,\)$"):
        quick().fit(x, y, sample_weight=np.ones(39))
    with pytest.raises(InputError, match=r"^sample_weight: expected weights >= 0, not all of them zero, got least -1$"):
        quick().fit(x, y, sample_weight=-np.ones(40))
    with pytest.raises(InputError, match=r"^y: expected responses that vary, got 3 in every row$"):
        quick().fit(x, np.full(40, 3.0))
    with pytest.raises(ValueError, match="X has 1 features"):
        found.responsibilities(x[:, :1], y)
    for use in (lambda e: e.lambda_max_, lambda e: e.predict(x), lambda e: e.gate_proba(x), lambda e: e.sample(x)):
        with pytest.raises(NotFittedError):
            use(quick())
    labels, codes = classes(100)
    with pytest.raises(InputError, match=r"^y: expected classes of the fit, got 2$"):
        quick_classifier().fit(labels, codes).log_likelihood(labels, codes + 1)
    with pytest.raises(InputError, match=r"^y: expected at least two classes, got one class, 'a'$"):
        quick_classifier().fit(labels, np.full(100, "a"))


def test_without_scikit_learn_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "moe_theory.estimators")
    with pytest.raises(
        ImportError, match=r"^moe_theory.estimators: expected scikit-learn .*pip install 'moe-theory\[sklearn\]'$"
    ):
        importlib.import_module("moe_theory.estimators")
