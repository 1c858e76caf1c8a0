"""Drawing from any law of y: quantiles against SciPy's distributions, samples of declared models against their laws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import sympy as sp
import sympy.stats
from scipy.special import gammaln

import moe_theory as mt
from moe_theory.atoms import log_factorial
from moe_theory.errors import InputError
from moe_theory.laws.inversion import invert_counts, invert_density

N = 48
RNG = np.random.default_rng(0)
U = np.concatenate([[0.0, 1e-6, 1 - 1e-6], RNG.random(N - 3)])
LOC, SCALE, SHAPE = RNG.normal(0, 3, N), np.exp(RNG.normal(0, 1, N)), np.exp(RNG.normal(0, 1, N))
LOC[:6] = [1e5, -1e5, 1e8, 1e-8, 0, 40]
SCALE[:6] = [1, 1e-3, 1, 1e-12, 1e9, 1]


# Quantiles ---------------------------------------------------------------------------------------------------------


DENSITIES = {
    "normal": (scipy.stats.norm(LOC, SCALE), -np.inf, np.inf),
    "asymmetric laplace": (scipy.stats.laplace_asymmetric(2, LOC, SCALE), -np.inf, np.inf),
    "gumbel": (scipy.stats.gumbel_r(LOC, SCALE), -np.inf, np.inf),
    "logistic": (scipy.stats.logistic(LOC, SCALE), -np.inf, np.inf),
    "cauchy": (scipy.stats.cauchy(LOC, SCALE), -np.inf, np.inf),
    "student": (scipy.stats.t(3, LOC, SCALE), -np.inf, np.inf),
    "log-normal": (scipy.stats.lognorm(np.clip(SCALE, 1e-3, 9), scale=SHAPE), 0, np.inf),
    "gamma": (scipy.stats.gamma(SHAPE, scale=SCALE), 0, np.inf),
    "narrow gamma": (scipy.stats.gamma(1e4 * SHAPE, scale=SCALE), 0, np.inf),
    "pareto": (scipy.stats.pareto(1.5), 1, np.inf),
    "below": (scipy.stats.expon(), -np.inf, 0),
    "beta": (scipy.stats.beta(1 + SHAPE, np.minimum(0.7 + SCALE, 20)), 0, 1),
    "uniform": (scipy.stats.uniform(-2, 5), -2, 3),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_quantiles_of_densities(name: str) -> None:
    law, low, high = DENSITIES[name]
    parameters = [np.broadcast_to(a, N) for a in law.args]
    keywords = {k: np.broadcast_to(v, N) for k, v in law.kwds.items()}
    log_p = lambda row, y: law.dist.logpdf(y, *(a[row] for a in parameters), **{k: v[row] for k, v in keywords.items()})
    sign = -1 if name == "below" else 1
    y = invert_density(lambda row, y: log_p(row, sign * y), U, low, high)
    found = law.cdf(y) if sign > 0 else law.sf(-y)
    assert np.all((y > low) & (y < high))
    # What a double can tell apart at 1e8, with a scale of 1, is 1e-8 of mass.
    np.testing.assert_allclose(found, U, atol=2e-8 if np.max(np.abs(y / SCALE)) > 1e7 else 1e-9)


COUNTS = {
    "poisson": scipy.stats.poisson(np.append(np.exp(RNG.normal(1, 2, N - 2)), [1e-9, 3e4])),
    "geometric": scipy.stats.geom(1 / (1 + SHAPE * 10), -1),
    "negative binomial": scipy.stats.nbinom(SHAPE, 1 / (1 + 10 * SHAPE)),
}


@pytest.mark.parametrize("name", COUNTS)
def test_quantiles_of_counts(name: str) -> None:
    law = COUNTS[name]
    at = lambda row: law.dist(*(np.broadcast_to(a, N)[row] for a in law.args[:2]))
    shift = -1 if name == "geometric" else 0
    at = (lambda row: law.dist(law.args[0][row], -1)) if shift else at
    y = invert_counts(lambda row, y: at(row).logpmf(np.round(y)), U)
    # SciPy's own cumulative sums have rounding of 1e-13.
    assert np.all(law.cdf(y) >= U - 1e-12) and np.all(law.cdf(y - 1) <= U + 1e-12)


def test_counts_with_a_second_mode_far_from_the_first() -> None:
    log_p = lambda row, y: (
        np.where(y == 0, np.log(0.3 + 0.7 * np.exp(-400.0)), np.log(0.7))
        + (y > 0) * (y * np.log(400.0) - 400 - gammaln(y + 1))
    )
    y = invert_counts(log_p, U)
    cdf = lambda y: np.where(y < 0, 0, 0.3 + 0.7 * scipy.stats.poisson(400).cdf(y))
    assert np.all(cdf(y) >= U - 1e-12) and np.all(cdf(y - 1) <= U + 1e-12)


@pytest.mark.parametrize(
    ("draw", "log_p", "message"),
    [
        (invert_density, lambda row, y: -(y**2) / 2, "integral is found to be 2.50662827"),
        (invert_density, lambda row, y: 0 * y - 1, "too rough|integral is found"),
        (invert_density, lambda row, y: np.logaddexp(-((y - 2e4) ** 2), -((y + 2e4) ** 2)) - np.log(4 * np.pi) / 2,
         "integral is found to be 0.5$"),
        (invert_counts, lambda row, y: -1 - gammaln(y + 1) - np.log(2), "not within 1048576 values around its mode"),
        (invert_counts, lambda row, y: -3 * np.log1p(y) - np.log(scipy.special.zeta(3)), "not within"),
        (invert_counts, lambda row, y: 1 - gammaln(y + 1), "got one of mass 7.38906"),
        (invert_counts, lambda row, y: y * 0 + np.nan, "not within"),
    ],
)  # fmt: skip
def test_what_is_no_law_or_is_not_seen_whole_is_refused(draw: Callable, log_p: Callable, message: str) -> None:
    ends = (-np.inf, np.inf) if draw is invert_density else ()
    with pytest.raises(InputError, match=message):
        draw(log_p, U[3:5], *ends)


# Samples of models -------------------------------------------------------------------------------------------------


def model(name: str, expert: Callable, response, predictors=("a", "b")) -> mt.Model:
    """Two experts with predictors a and b under a logistic gate."""
    return mt.Model(
        name,
        (0, 1),
        (*predictors, "w"),
        lambda z, w: mt.log_expit((2 * z - 1) * w),
        lambda y, z, a, b: expert(y, b if z else a),
        response,
    )


# log p(y|η), its domain and the distribution function with predictor η.
DECLARED = {
    "poisson": (
        lambda y, t: y * t - sp.exp(t) - log_factorial(y),
        mt.Counts(),
        lambda t: scipy.stats.poisson(np.exp(t)),
    ),
    "geometric": (
        lambda y, t: mt.log_expit(t) + y * mt.log_expit(-t),
        mt.Counts(),
        lambda t: scipy.stats.geom(1 / (1 + np.exp(-t)), -1),
    ),
    "laplace": (lambda y, t: -sp.Abs(y - t) - sp.log(2), mt.Reals(), scipy.stats.laplace),
    "gumbel": (lambda y, t: t - y - sp.exp(t - y), mt.Reals(), scipy.stats.gumbel_r),
    "own sigma": (lambda y, t: mt.log_normal(y, 1, sp.exp(t)), mt.Reals(), lambda t: scipy.stats.norm(1, np.exp(t))),
    "exponential": (lambda y, t: t - y * sp.exp(t), mt.Positive(), lambda t: scipy.stats.expon(0, np.exp(-t))),
    "power": (
        lambda y, t: t + (sp.exp(t) - 1) * sp.log(y),
        mt.Interval(0, 1),
        lambda t: scipy.stats.beta(np.exp(t), 1),
    ),
    # A normal density that half a line leaves whole only if it is a half-normal one.
    "half-normal": (
        lambda y, t: mt.log_normal(y, 0, sp.exp(t)) + sp.log(2),
        mt.Positive(),
        lambda t: scipy.stats.halfnorm(0, np.exp(t)),
    ),
}


@pytest.mark.parametrize("name", DECLARED)
def test_samples_have_the_declared_law(name: str) -> None:
    """The distribution function of y given x, at y, is uniform (in a gap of it, by a random point): Kolmogorov's
    distance in its standard errors, over all rows and where a feature is positive."""
    expert, response, law = DECLARED[name]
    n, truth = 1500, np.array([[0.8, -0.3], [-0.5, 0.6], [1.0, 1.0]])
    declared = model(name, expert, response)
    data = mt.MonteCarlo(declared, truth, n, 5).data()
    response.check("y", data.y)
    a, b, w = truth @ data.x.T
    share = 1 / (1 + np.exp(-w))
    cdf = lambda y: (1 - share) * law(a).cdf(y) + share * law(b).cdf(y)
    below = cdf(data.y - 1) if response == mt.Counts() else cdf(data.y)
    at = below + np.random.default_rng(1).random(n) * (cdf(data.y) - below)
    for rows in (slice(None), data.x[:, 0] > 0):
        assert scipy.stats.kstest(at[rows], "uniform").pvalue > 1e-3


def test_drawn_rows_do_not_depend_on_how_many_or_in_what_chunks() -> None:
    declared, truth = model("gumbel", *DECLARED["gumbel"][:2]), np.ones((3, 1))
    law = mt.MonteCarlo(declared, truth, 300, 5)
    short, long = law.data(), mt.MonteCarlo(declared, truth, 500, 5).data()
    # BLAS rounds predictors by the shape of the product; the inversion is as exact as its cells' rules agree.
    np.testing.assert_allclose(short.y, long.y[:300], atol=1e-10)
    assert np.array_equal(short.x, long.x[:300]) and np.array_equal(law.data().y, short.y)
    poisson = mt.softmax_moe(2, "poisson")
    short, long = (mt.MonteCarlo(poisson, truth, n, 5).data() for n in (300, 5000))
    assert np.array_equal(short.y, long.y[:300]) and np.array_equal(short.x, long.x[:300])


# Divergences of any declared density -------------------------------------------------------------------------------

SCORED = {
    "negative binomial": (
        lambda y, t: sp.loggamma(y + 3) - sp.log(2) - sp.loggamma(y + 1) + y * t - (y + 3) * sp.log(1 + sp.exp(t)),
        mt.Counts(),
        lambda t: scipy.stats.nbinom(3, 1 / (1 + np.exp(t))),
    ),
    "gamma": (
        lambda y, t: 2 * sp.log(y) - y * sp.exp(t) + 3 * t - sp.log(2),
        mt.Positive(),
        lambda t: scipy.stats.gamma(3, 0, np.exp(-t)),
    ),
    "shape": (
        lambda y, t: (sp.exp(t) - 1) * sp.log(y) - y - sp.loggamma(sp.exp(t)),
        mt.Positive(),
        lambda t: scipy.stats.gamma(np.exp(t)),
    ),
    "beta": (
        lambda y, t: (sp.exp(t) - 1) * sp.log(y) + sp.log(1 - y) - sp.log(sp.beta(sp.exp(t), 2)),
        mt.Interval(0, 1),
        lambda t: scipy.stats.beta(np.exp(t), 2),
    ),
    "log-normal": (
        lambda y, t: mt.log_normal(sp.log(y), t) - sp.log(y),
        mt.Positive(),
        lambda t: scipy.stats.lognorm(1, 0, np.exp(t)),
    ),
}


@pytest.mark.parametrize("name", SCORED)
def test_divergences_are_sums_or_integrals(name: str) -> None:
    """The closed form from the mean of the score, against a sum or a quadrature of the declared law."""
    expert, response, law = SCORED[name]
    declared = mt.Model(name, (1,), ("a",), None, lambda y, z, a: expert(y, a), response)
    x = np.array([[1.0, -0.4], [1.0, 0.9]])
    theta, phi = np.array([[0.2, 0.5]]), np.array([[-0.3, 0.8]])
    right = []
    for s, t in zip(x @ theta[0], x @ phi[0], strict=True):
        p, q = law(s), law(t)
        if response == mt.Counts():
            y = np.arange(3000)
            right.append(np.sum(p.pmf(y) * (p.logpmf(y) - q.logpmf(y))))
        else:
            f = lambda y, p=p, q=q: p.pdf(y) * (p.logpdf(y) - q.logpdf(y))
            low, high = p.ppf([1e-13, 1 - 1e-13])
            right.append(
                sum(
                    scipy.integrate.quad(f, a, b, epsabs=1e-12)[0] for a, b in ((low, 1e-2 * high), (1e-2 * high, high))
                )
            )
    found = mt.kl(declared, mt.Data(x, np.ones(2) if response == mt.Counts() else np.full(2, 0.5)), theta, phi)
    assert found == pytest.approx(np.mean(right), rel=1e-8)


FINITE = {
    "tanh": (lambda y, t: sp.log((1 + (2 * y - 1) * sp.tanh(t)) / 2), (0, 1)),
    "complementary log-log": (lambda y, t: y * sp.log(1 - sp.exp(-sp.exp(t))) - (1 - y) * sp.exp(t), (0, 1)),
    "pieces": (
        lambda y, t: sp.Piecewise((-sp.log(1 + sp.exp(t)), sp.Eq(y, 0)), (-sp.log(1 + sp.exp(-t)), True)),
        (0, 1),
    ),
    "binomial": (
        lambda y, t: sp.log(sympy.stats.density(sympy.stats.Binomial("X", 2, 1 / (1 + sp.exp(-t))))(y)),
        (0, 1, 2),
    ),
}


@pytest.mark.parametrize("name", FINITE)
def test_finite_responses_are_read_value_by_value(name: str) -> None:
    expert, values = FINITE[name]
    p = {
        "tanh": lambda y, t: (1 + (2 * y - 1) * np.tanh(t)) / 2,
        "complementary log-log": lambda y, t: -np.expm1(-np.exp(t)) if y else np.exp(-np.exp(t)),
        "pieces": lambda y, t: 1 / (1 + np.exp(-t if y else t)),
        "binomial": lambda y, t: scipy.stats.binom(2, 1 / (1 + np.exp(-t))).pmf(y),
    }[name]
    declared = model(name, expert, mt.Values(values))
    theta = np.array([[0.4], [-1.1], [0.7]])
    y = np.array(values * 2, dtype=float)
    x = np.linspace(-1.5, 1.5, len(y))[:, None]
    gate = 1 / (1 + np.exp(-theta[2] * x[:, 0]))
    right = [
        (1 - g) * p(v, theta[0, 0] * u) + g * p(v, theta[1, 0] * u) for g, v, u in zip(gate, y, x[:, 0], strict=True)
    ]
    assert mt.objective(declared, mt.Data(x, y), theta) == pytest.approx(-np.mean(np.log(right)), rel=1e-13)
    step = 1e-6
    slope = [
        (mt.objective(declared, mt.Data(x, y), theta + e) - mt.objective(declared, mt.Data(x, y), theta - e))
        / (2 * step)
        for e in step * np.eye(3)[:, :, None]
    ]
    np.testing.assert_allclose(mt.gradient(declared, mt.Data(x, y), theta)[:, 0], slope, rtol=1e-7, atol=1e-9)


def test_models_that_cannot_be_drawn_from_say_why() -> None:
    truth = np.ones((3, 1))
    bad = model("unnormalised", lambda y, t: -((y - t) ** 4), mt.Reals())
    with pytest.raises(InputError, match=r"^model 'unnormalised', label 0: expected a density .* 1\.81280495$"):
        mt.MonteCarlo(bad, truth, 10, 0)
    with pytest.raises(InputError, match=r"^theta: expected Poisson means up to 1e\+15, got exp\("):
        mt.MonteCarlo(mt.softmax_moe(2, "poisson"), 100 * truth, 10, 0)
    bad = mt.Model("gate", (0, 1), ("w",), lambda z, w: w * z, lambda y, z: mt.log_normal(y, z), mt.Reals())
    with pytest.raises(InputError, match=r"^model: expected probabilities P\(z\|x\) that sum to 1, got "):
        mt.MonteCarlo(bad, truth[:1], 10, 0)


# Rates on them -----------------------------------------------------------------------------------------------------


def test_the_rate_of_poisson_experts_at_a_truth() -> None:
    """Against sums over y and a Gauss–Hermite rule in x, with information written by hand."""
    declared, truth = mt.softmax_moe(2, "poisson"), np.array([[0.9], [-0.7], [1.2]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    y = np.arange(200.0)
    complete, missing = np.zeros((2, 3, 3))
    for x, weight in zip(nodes, weights / weights.sum(), strict=True):
        means, p = np.exp(truth[:2, 0] * x), 1 / (1 + np.exp(-truth[2, 0] * x))
        joint = np.stack([q * scipy.stats.poisson(m).pmf(y) for q, m in zip((1 - p, p), means, strict=True)])
        density = joint.sum(axis=0)
        post = np.divide(joint[1], density, out=np.zeros_like(density), where=density > 0)
        # Complete score: of label 0 (y - m0, 0, -p), of label 1 (0, y - m1, 1 - p), times x.
        apart = np.stack([-(y - means[0]), y - means[1], np.ones_like(y)])
        missing += weight * x**2 * (apart * (density * post * (1 - post))) @ apart.T
        complete += weight * x**2 * np.diag([(1 - p) * means[0], p * means[1], p * (1 - p)])
    right = float(np.max(np.linalg.eigvals(np.linalg.solve(complete, missing)).real))
    found = [mt.predict_rate(declared, mt.MonteCarlo(declared, truth, 8000, seed), truth) for seed in range(8)]
    z = [(f.lambda_max - right) / f.error for f in found]
    assert np.max(np.abs(z)) < 4 and abs(np.mean(z)) < 4 / np.sqrt(8)
