"""Laws: what they refuse, what they draw, what they integrate."""

from __future__ import annotations

import tracemalloc

import mpmath
import numpy as np
import pytest
import scipy.stats
from models import Case, by_id

import moe_theory as mt
from moe_theory.errors import InputError
from moe_theory.kernels import kernels
from moe_theory.laws.montecarlo import CELL
from moe_theory.laws.rows import weighted_gram

X = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [-1.0, 0.5]])
Y = np.array([1.0, -1.0, 1.0, 1.0])
LOGISTIC, LINEAR = mt.symmetric_logistic(), mt.symmetric_linear()
THETA = np.array([[1.0, -0.5], [0.5, 1.0]])
SIGMA = np.array([[1.5, 0.4, -0.2], [0.4, 0.8, 0.1], [-0.2, 0.1, 0.6]])

# Tables --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", [mt.Data, mt.Finite])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": [[1, np.nan]] + [[1, 2]] * 3}, r"^x: expected finite values, got nan at index \(0, 1\)$"),
        ({"x": [[1, np.inf]] * 4}, r"^x: expected finite values, got inf at index \(0, 1\) and 3 more$"),
        ({"x": [1, 2, 3, 4]}, r"^x: expected 2 axes, got shape \(4,\)$"),
        ({"x": [["a", "b"]] * 4}, r"^x: expected real numbers, got \[\['a', 'b'\]"),
        ({"x": [[1, 2], [1]]}, r"^x: expected real numbers, got \[\[1, 2\], \[1\]\]$"),
        ({"x": X * 1j}, r"^x: expected real numbers"),
        (
            {"x": np.zeros((0, 2)), "y": []},
            r"^x: expected at least one row and one feature, got shape \(0, 2\)$",
        ),
        ({"x": np.zeros((4, 0))}, r"^x: expected at least one row and one feature, got shape \(4, 0\)$"),
        ({"y": [1, 1, 1]}, r"^y: expected shape \(4,\) to match x, got \(3,\)$"),
        ({"y": [[1], [1], [1], [1]]}, r"^y: expected 1 axis, got shape \(4, 1\)$"),
        ({"y": [1, -np.inf, 1, 1]}, r"^y: expected finite values, got -inf at index \(1\)$"),
        ({"weight": [1, 1]}, r"^weight: expected shape \(4,\) to match y, got \(2,\)$"),
        ({"weight": [1, 1, -0.5, 1]}, r"^weight: expected non-negative weights .*, got least -0\.5$"),
        (
            {"weight": [0, 0, 0, 0]},
            r"^weight: expected non-negative weights with a positive sum, got least 0$",
        ),
        ({"weight": [1, 1, np.nan, 1]}, r"^weight: expected finite values, got nan at index \(2\)$"),
        ({"block": 0}, r"^block: expected a whole number >= 1, got 0$"),
    ],
)
def test_bad_tables_say_what_is_wrong(law, change, message: str) -> None:
    with pytest.raises(InputError, match=message):
        law(**({"x": X, "y": Y} | change))


@pytest.mark.parametrize(
    ("x", "names", "message"),
    [
        (np.column_stack([X, X.sum(axis=1)]), None, "column 2 is a linear combination of those before it"),
        (np.column_stack([X, X.sum(axis=1)]), ("p", "q", "r"), "column 'r' is a linear combination"),
        (np.column_stack([X[:, 0], np.zeros(4), X[:, 1]]), None, "column 1 is all zero"),
        (X[:1], None, "at least as many rows as features, got 1 rows and 2 features"),
        (X[:, [0, 0]] * [1e-9, 1e9], None, "column 1 is a linear combination"),
    ],
)
def test_rank_deficient_features_are_named(x, names, message: str) -> None:
    with pytest.raises(InputError, match=rf"^x: expected .*{message}"):
        mt.Data(x, Y[: len(x)], names=names)
    assert len(mt.Finite(x, Y[: len(x)])) == len(x)


def test_names_match_the_features() -> None:
    with pytest.raises(InputError, match=r"^names: expected 3 names, got 2"):
        mt.Data(np.column_stack([X, X.sum(axis=1)]), Y, names=("p", "q"))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_features_beyond_the_range_of_squares_are_refused_or_taken_without_warnings(scale: float) -> None:
    try:
        data = mt.Data(X * [scale, 1.0], Y)
    except InputError as error:
        assert str(error).startswith("x: expected")  # noqa: PT017
    else:
        assert np.array_equal(data.x, X * [scale, 1.0])


def test_rank_counts_the_weights() -> None:
    # Rows of weight 0 say nothing: the features that remain have rank 1.
    with pytest.raises(InputError, match=r"^x: expected"):
        mt.Data(X, Y, weight=[1, 0, 0, 0])


def test_features_in_odd_units_are_accepted() -> None:
    mt.Data(X * [1e-150, 1e150], Y)


@pytest.mark.parametrize("operator", [mt.objective, mt.gradient, mt.missing_information, mt.evaluate])
def test_responses_outside_the_domain_are_refused(operator) -> None:
    with pytest.raises(InputError, match=r"^y: expected values in \{-1, 1\}, got 0 in row 2$"):
        operator(LOGISTIC, mt.Data(X, [1, -1, 0, 1]), THETA)


@pytest.mark.parametrize("theta", [THETA[:, :1], np.ones((3, 2)), np.ones(2), [[1, 2], [3, np.nan]]])
def test_parameters_of_another_shape_are_refused(theta) -> None:
    for law in (mt.Data(X, Y), mt.MonteCarlo(LOGISTIC, THETA, 10, 0), mt.Population(LOGISTIC, THETA)):
        with pytest.raises(InputError, match=r"^theta: expected"):
            mt.objective(LOGISTIC, law, theta)


def test_weights_are_normalised() -> None:
    law = mt.Finite(X, Y, [2, 0, 4, 2])
    assert law.weight.tolist() == [0.25, 0.0, 0.5, 0.25]
    assert sum(b.total for b in law.rows(LINEAR, THETA)) == pytest.approx(1, abs=1e-15)


def test_rows_cover_the_table_in_blocks() -> None:
    rows = mt.Finite(X, Y, [1, 2, 3, 4], block=3).rows(LINEAR, THETA)
    blocks = list(rows)
    assert [b.x.shape for b in blocks] == [(2, 3), (2, 1)] and not rows.split
    assert np.array_equal(np.concatenate([b.x.T for b in blocks]), X)
    assert np.array_equal(np.concatenate([b.y for b in blocks]), Y)
    np.testing.assert_allclose(rows.gram, (X.T * [0.1, 0.2, 0.3, 0.4]) @ X, rtol=1e-15)
    np.testing.assert_allclose(rows.first_moment, X.T @ [0.1, 0.2, 0.3, 0.4], atol=1e-15)


def test_digest_tells_tables_apart() -> None:
    digests = {
        mt.Data(X, Y).digest,
        mt.Data(2 * X, Y).digest,
        mt.Data(X, -Y).digest,
        mt.Data(X, Y, Y + 2).digest,
    }
    assert len(digests) == 4
    assert mt.Data(X, Y).digest == mt.Data(X, Y, np.ones(4), block=2).digest


def test_a_table_from_a_model_is_its_joint_law() -> None:
    weight = np.array([1.0, 2.0, 3.0, 4.0])
    law = mt.Finite.from_model(LOGISTIC, THETA, X, weight)
    assert len(law) == 8 and law.weight.sum() == pytest.approx(1, abs=1e-15)
    sigmoid = lambda t: 1 / (1 + np.exp(-t))
    beta, w = THETA
    for x, y, mass in zip(law.x, law.y, law.weight, strict=True):
        right = sigmoid(x @ w) * sigmoid(y * (x @ beta)) + sigmoid(-x @ w) * sigmoid(-y * (x @ beta))
        row = int(np.flatnonzero((x == X).all(axis=1))[0])
        assert mass == pytest.approx(right * weight[row] / 10, rel=1e-14)
    assert np.abs(mt.gradient(LOGISTIC, law, THETA)).max() < 1e-16


def test_a_table_of_normal_experts_is_exact_to_rounding() -> None:
    """Against mpmath: L at the truth and elsewhere, on three points with unequal weights; the truth is stationary."""
    x, weight = np.array([[1.0, 0.0], [0.5, -2.0], [0.0, 1.5]]), np.array([1.0, 2.0, 3.0])
    truth, other = np.array([[2.0, 1.0], [0.5, -1.0]]), np.array([[-1.0, 3.0], [0.0, 2.0]])
    law = mt.Finite.from_model(LINEAR, truth, x, weight, others=[other])
    with mpmath.workdps(30):

        def density(theta: np.ndarray, row: np.ndarray, y: mpmath.mpf) -> mpmath.mpf:
            u, v = (mpmath.mpf(float(t @ row)) for t in theta)
            right = 1 / (1 + mpmath.exp(-v))
            return right * mpmath.npdf(y, u) + (1 - right) * mpmath.npdf(y, -u)

        for theta in (truth, other):
            exact = mpmath.mpf(0)
            for row, mass in zip(x, weight, strict=True):
                integrand = lambda y, row=row, theta=theta: -density(truth, row, y) * mpmath.log(density(theta, row, y))
                exact += mpmath.mpf(mass) / 6 * mpmath.quad(integrand, [-15, -5, 0, 5, 15])
            assert mt.objective(LINEAR, law, theta) == pytest.approx(float(exact), rel=1e-13)
    assert np.abs(mt.gradient(LINEAR, law, truth)).max() < 1e-14


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((LINEAR, THETA, X, None, [THETA[:, :1]]), r"^others: expected shape \(2, 2\), got \(2, 1\)$"),
        ((LOGISTIC, THETA[:, :1], X), r"^theta: expected shape \(2, 2\), got \(2, 1\)$"),
        ((LOGISTIC, THETA, X, -np.ones(4)), r"^weight: expected non-negative weights"),
        ((LOGISTIC, THETA, X, np.ones(3)), r"^weight: expected shape \(4,\)"),
        ((LOGISTIC, THETA, np.zeros((0, 2))), r"^x: expected at least one row"),
        ((LOGISTIC, THETA, [[1, np.nan]]), r"^x: expected finite values"),
    ],
)
def test_bad_tables_from_a_model_say_what_is_wrong(arguments, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mt.Finite.from_model(*arguments)


# Monte Carlo -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 5000, 3 * CELL, 10**9])
def test_the_sample_does_not_depend_on_the_chunk(case: Case, chunk: int) -> None:
    n = 2 * CELL + 1000
    one, other = case.sample(n, seed=3), mt.MonteCarlo(case.model, case.truth, n, 3, chunk=chunk).data()
    assert one.x.shape == (n, 3) and np.array_equal(one.x, other.x) and np.array_equal(one.y, other.y)


@pytest.mark.parametrize("n", [1, 100, CELL, CELL + 1])
def test_a_shorter_sample_is_a_prefix_of_a_longer_one(case: Case, n: int) -> None:
    law = lambda n: mt.MonteCarlo(case.model, case.truth, n, 7, covariance=SIGMA).rows(case.model, case.truth)
    short, long = (np.concatenate([np.vstack([b.x, b.y]) for b in law(m)], axis=1) for m in (n, CELL + 50))
    assert short.shape == (4, n) and np.array_equal(short, long[:, :n])


def test_every_pass_draws_the_same_and_seeds_differ() -> None:
    rows = mt.MonteCarlo(LINEAR, THETA, 5000, 1).rows(LINEAR, THETA)
    assert all(np.array_equal(a.y, b.y) for a, b in zip(rows, rows, strict=True))
    other = mt.MonteCarlo(LINEAR, THETA, 5000, 2).data()
    assert not np.isin(other.y, next(iter(rows)).y).any()
    assert len(np.unique(other.x)) == other.x.size


def test_the_responses_have_the_declared_law(case: Case) -> None:
    data = case.sample(40_000, seed=11)
    k, eta = kernels(case.model), case.model.coefficients(case.truth) @ data.x.T
    gate = np.exp(k.log_gate(*eta))
    if case.finite:
        for value in case.model.response.values:
            p = np.sum(gate * np.exp(k.log_expert(np.full(len(data), float(value)), *eta)), axis=0)
            # Frequencies against probabilities, over all and where the features lie in a half-space.
            for part in (np.ones(len(data), bool), data.x[:, 0] > 0, eta[-1] > 0.5):
                excess = np.sum((data.y == value) - p, where=part) / np.sqrt(np.sum(p * (1 - p), where=part))
                assert abs(excess) < 4
        return
    # The expert's log-density is a parabola in y: mean and variance from three of its points.
    low, middle, high = (k.log_expert(np.full(len(data), float(y)), *eta) for y in (-1, 0, 1))
    precision = 2 * middle - low - high
    mean = (high - low) / 2 / precision
    uniform = np.sum(gate * scipy.stats.norm.cdf((data.y - mean) * np.sqrt(precision)), axis=0)
    assert scipy.stats.kstest(uniform, "uniform").pvalue > 1e-3
    assert scipy.stats.kstest(uniform[data.x[:, 0] > 0.5], "uniform").pvalue > 1e-3


def test_the_features_are_normal_with_the_covariance_asked_for() -> None:
    n = 50_000
    x = mt.MonteCarlo(LINEAR, np.ones((2, 3)), n, 5, covariance=SIGMA).data().x
    for direction in (*np.eye(3), np.array([1.0, -2.0, 0.5])):
        spread = np.sqrt(direction @ SIGMA @ direction)
        assert scipy.stats.kstest(x @ direction / spread, "norm").pvalue > 1e-3
    error = (x.T @ x / n - SIGMA) / np.sqrt((np.outer(np.diag(SIGMA), np.diag(SIGMA)) + SIGMA**2) / n)
    assert np.abs(error).max() < 4


def test_a_pass_takes_constant_memory() -> None:
    def peak(cells: int) -> int:
        law = mt.MonteCarlo(LOGISTIC, np.ones((2, 20)), cells * CELL, 0)
        tracemalloc.start()
        mt.objective(LOGISTIC, law, np.ones((2, 20)))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(2)  # compiles the kernels
    assert peak(60) < 1.3 * peak(6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "^n: expected a whole number >= 1, got 0$"),
        ({"n": 10.5}, r"^n: expected a whole number, got 10\.5$"),
        ({"seed": -1}, "^seed: expected a whole number >= 0, got -1$"),
        ({"chunk": 0}, "^chunk: expected a whole number >= 1, got 0$"),
        ({"theta": [1, 2]}, r"^theta: expected 2 axes, got shape \(2,\)$"),
        ({"covariance": np.eye(3)}, r"^covariance: expected shape \(2, 2\), got \(3, 3\)$"),
        ({"covariance": [[1, 2], [2, 1]]}, "^covariance: expected a positive definite matrix$"),
        ({"covariance": [[1, 0.1], [0.2, 1]]}, "^covariance: expected a symmetric matrix$"),
        ({"covariance": [[1, np.nan], [np.nan, 1]]}, "^covariance: expected finite values"),
    ],
)
def test_bad_samples_say_what_is_wrong(options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mt.MonteCarlo(**({"model": LINEAR, "theta": THETA, "n": 10, "seed": 0} | options))


# Populations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", [None, SIGMA], ids=["I", "sigma"])
def test_population_moments_in_closed_form(case: Case, covariance) -> None:
    case = case.quick()
    d = case.truth.shape[1]
    sigma = np.eye(d) if covariance is None else covariance[:d, :d]
    law = mt.Population(case.model, case.truth, None if covariance is None else sigma)
    rows = law.rows(case.model, case.near)
    near = lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=20 * law.accuracy)
    total, mean, gram, quartic = 0.0, np.zeros(d), np.zeros((d, d)), np.zeros((d, d))
    for block in rows:
        total += block.total
        mean += block.x @ (block.weight * block.y)
        gram += weighted_gram(block, 1.0, block.weight)
        quartic += weighted_gram(block, block.y**2, block.weight)
    near(total, 1)
    near(sum(block.total for block in rows.covariates), 1)
    near(gram, sigma)
    near(rows.gram, sigma)
    near(rows.first_moment, np.zeros(d))
    if case.id == "gate-only":  # a logistic gate gives each expert half of E[x'a x]
        near(mean, sigma @ np.mean(list(case.model.known.values()), axis=0))
    if case.id in ("linear", "linear-0.3", "balanced"):  # y changes its sign with z, and E[tanh(x'w/2) xx'] = 0
        near(mean, np.zeros(d))
        beta, noise = case.truth[0], 0.09 if case.id == "linear-0.3" else 1.0
        near(quartic, (noise + beta @ sigma @ beta) * sigma + 2 * np.outer(sigma @ beta, sigma @ beta))


def test_population_against_a_sample(case: Case) -> None:
    case = case.quick()
    sigma = SIGMA[: case.truth.shape[1], : case.truth.shape[1]]
    law = mt.Population(case.model, case.truth, sigma, nats=14)
    sample = mt.MonteCarlo(case.model, case.truth, 40 * CELL, 2, covariance=sigma, chunk=CELL)
    cells = [mt.Finite(b.x.T, b.y) for b in sample.rows(case.model, case.near)]
    assert len(cells) == 40
    for operator in (mt.gradient, mt.missing_information, mt.complete_information):
        estimates = np.stack([operator(case.model, cell, case.near) for cell in cells])
        error = np.std(estimates, axis=0, ddof=1) / np.sqrt(len(cells))
        excess = np.abs(estimates.mean(axis=0) - operator(case.model, law, case.near))
        assert np.all(excess <= 5 * error + law.accuracy)


def brute_force(model: mt.Model, truth: np.ndarray) -> mt.Finite:
    """x ~ N(0, 1) and the model's y by plain trapezoid rules on fine grids, as a table; near x = 0, where sharp
    experts cross, the one in x is finer (x = sinh(t)/20)."""
    t = np.linspace(-6, 6, 1601)
    x, weight = np.sinh(t) / 20, np.cosh(t) * np.exp(-(np.sinh(t) ** 2) / 800)
    if isinstance(model.response, mt.Values):
        return mt.Finite.from_model(model, truth, x[:, None], weight)
    k, eta = kernels(model), model.coefficients(truth) @ x[None, :]
    # The expert's log-density is a parabola in y: mean and precision from three of its points.
    low, middle, high = (k.log_expert(np.full(len(x), float(y)), *eta) for y in (-1, 0, 1))
    precision = 2 * middle - low - high
    mean, gate = (high - low) / 2 / precision, np.exp(k.log_gate(*eta))
    u = np.arange(-9, 9.01, 0.04)
    y = (mean[..., None] + u / np.sqrt(precision)[..., None]).ravel()
    mass = ((gate * weight)[..., None] * np.exp(-u * u / 2)).ravel()
    features = np.broadcast_to(x[None, :, None], (len(gate), len(x), len(u))).reshape(-1, 1)
    kept = mass > 1e-20
    return mt.Finite(features[kept], y[kept], mass[kept])


def test_population_against_brute_force(case: Case) -> None:
    line = case.narrow(1)
    model, truth, at = line.model, line.truth, line.near
    law, table = mt.Population(model, truth), brute_force(model, truth)
    for operator in (mt.objective, mt.gradient, mt.missing_information, mt.complete_information):
        right, value = operator(model, table, at), operator(model, law, at)
        np.testing.assert_allclose(value, right, rtol=1e-9, atol=1e-10, err_msg=operator.__name__)
    assert np.abs(mt.gradient(model, law, truth)).max() < 10 * law.accuracy


@pytest.mark.parametrize(("a", "b"), [(0.3, -0.2), (1.3, -2.0)])
@pytest.mark.parametrize("sigma", [0.5, 0.1, 0.03])
def test_population_resolves_sharp_known_experts(sigma: float, a: float, b: float) -> None:
    model = mt.Model(
        "sharp",
        latent=(0, 1),
        predictors=("w",),
        gate=lambda z, w: mt.log_expit((2 * z - 1) * w),
        expert=lambda y, z, a, b: mt.log_normal(y, b if z else a, sigma),
        response=mt.Reals(),
        known={"a": [a], "b": [b]},
    )
    truth = np.array([[0.7]])
    law, table = mt.Population(model, truth), brute_force(model, truth)
    missing = mt.missing_information(model, table, truth)
    assert mt.missing_information(model, law, truth) == pytest.approx(missing, abs=law.accuracy)
    right = float((missing / mt.complete_information(model, table, truth))[0, 0])
    prediction = mt.predict_rate(model, law, truth)
    assert abs(prediction.lambda_max - right) <= prediction.error + 1e-11


def test_covariance_is_a_change_of_features(case: Case) -> None:
    case = case.quick()
    values, vectors = np.linalg.eigh(SIGMA[: case.truth.shape[1], : case.truth.shape[1]])
    root = (vectors * np.sqrt(values)) @ vectors.T
    white = case.transformed(root)
    one = mt.predict_rate(case.model, mt.Population(case.model, case.truth, root @ root), case.near)
    other = mt.predict_rate(white.model, mt.Population(white.model, white.truth), white.near)
    assert one.lambda_max == pytest.approx(other.lambda_max, abs=1e-11)
    # The top eigenvector turns with the features, up to its sign.
    assert min(np.abs(one.direction @ root - s * other.direction).max() for s in (1, -1)) < 1e-7


def test_dimension_and_position_do_not_matter(case: Case) -> None:
    # Three features beyond the span of two, so that the complement counts in both.
    case = case.quick()
    d = case.truth.shape[1]
    small = mt.predict_rate(case.model, mt.Population(case.model, case.truth), case.near)
    for size in (d + 1, 3000):
        wide = case.transformed(np.eye(d, size))
        large = mt.predict_rate(wide.model, mt.Population(wide.model, wide.truth), wide.near)
        assert large.direction.shape == (len(case.truth), size)
        if size == d + 1:
            first = large
        assert large.lambda_max == pytest.approx(first.lambda_max, abs=1e-12)
    assert first.lambda_max >= small.lambda_max - 1e-9
    turned = case.transformed(np.linalg.qr(np.random.default_rng(0).standard_normal((40, 40)))[0][:d])
    other = mt.predict_rate(turned.model, mt.Population(turned.model, turned.truth), turned.near)
    assert other.lambda_max == pytest.approx(first.lambda_max, abs=1e-11)


def test_the_error_estimate_covers_at_every_resolution(case: Case) -> None:
    case = case.quick()
    exact = rate(case.model, mt.Population(case.model, case.truth, nats=24), case.near)
    for nats in (6, 9, 13, 17):
        coarse = mt.predict_rate(case.model, mt.Population(case.model, case.truth, nats=nats), case.near)
        assert abs(coarse.lambda_max - exact) <= coarse.error + 1e-12
        assert coarse.error < 1e4 * np.exp(-nats)


def test_coordinates_of_the_span() -> None:
    factor = np.tril(np.ones((6, 6)))
    truth, at = np.eye(2, 6), np.array([[1.0, 2, 0, 0, 0, 0], [0, 0, 3, 0, 0, 0]])
    law, model, coordinates = mt.Population(LINEAR, truth, factor @ factor.T).reduce(LINEAR, at)
    assert model == LINEAR and law.dimension == coordinates.dimension == 4  # three directions and their complement
    for theta in (truth, at, truth - 2 * at[::-1]):
        local = coordinates.project(theta)
        assert local.shape == (2, 4) and (local[:, 3] == 0).all()
        np.testing.assert_allclose(coordinates.lift(local), theta, atol=1e-12)
        np.testing.assert_allclose(local @ local.T, theta @ factor @ factor.T @ theta.T, rtol=1e-12)
    with pytest.raises(InputError, match=r"^theta: expected a point in the span"):
        coordinates.project(np.eye(2, 6, k=3))
    table = mt.Data(X, Y)
    assert table.reduce(LINEAR, THETA) == (table, LINEAR, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nats": 100}, "^nats: expected a resolution between 5 and 40, got 100$"),
        ({"nats": float("nan")}, "^nats: expected a resolution between 5 and 40, got nan$"),
        ({"nats": "fine"}, "^nats: expected .*'fine'$"),
        ({"theta": [[1, 2]]}, r"^theta: expected shape \(2, d\), got \(1, 2\)$"),
        ({"covariance": np.eye(3)}, r"^covariance: expected shape \(2, 2\), got \(3, 3\)$"),
        ({"covariance": -np.eye(2)}, "^covariance: expected a positive definite matrix$"),
    ],
)
def test_bad_populations_say_what_is_wrong(options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mt.Population(**({"model": LINEAR, "theta": THETA} | options))


def test_a_law_is_not_read_with_a_model_of_other_responses() -> None:
    with pytest.raises(InputError, match=r"^model: expected a response in the real numbers, .* has \{-1, 1\}$"):
        mt.predict_rate(LOGISTIC, mt.Population(LINEAR, THETA), THETA)
    zero_one = mt.Model("zero-one", (0, 1), ("b",), None, lambda y, b: mt.log_expit((2 * y - 1) * b), mt.Values((0, 1)))
    with pytest.raises(InputError, match=r"^model: expected a response in \{0, 1\}, .* has \{-1, 1\}$"):
        mt.predict_rate(LOGISTIC, mt.Population(zero_one, THETA[:1]), THETA)


def rate(model: mt.Model, law: mt.Population, theta: np.ndarray) -> float:
    return mt.predict_rate(model, law, theta).lambda_max


def test_a_population_serves_another_model() -> None:
    """A balanced mixture is the symmetric model with w = 0: the same law, whichever declares it."""
    balanced, beta = by_id("balanced").model, np.array([[1.5, -0.5]])
    laws = mt.Population(balanced, beta), mt.Population(LINEAR, np.vstack([beta, 0 * beta]))
    assert rate(LINEAR, laws[0], THETA) == pytest.approx(rate(LINEAR, laws[1], THETA), abs=1e-9)
    assert rate(balanced, laws[0], beta) == pytest.approx(rate(balanced, laws[1], beta), abs=1e-9)
