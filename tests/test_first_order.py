"""First-order evaluation of softmax mixtures and the algorithms that live on it, against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize

import moe_theory as mt
from moe_theory.algorithms.lbfgs import Memory, searched
from moe_theory.errors import InputError
from moe_theory.evaluation import evaluate_softmax, first_order
from moe_theory.evaluation.first_order import Bound
from moe_theory.evaluation.layout import require_layout
from moe_theory.laws.columns import Columns

PENALTY = mt.Penalty(ridge=0.02, intercepts=1.0)  # without it constant experts lie at infinity
KINDS = [(2, "multinomial", 4), (3, "multinomial", 3), (2, "binomial", 0), (4, "binomial", 0)]


class World:
    """A small mixture with weights, in several blocks."""

    def __init__(self, k: int, family: str, classes: int, dtype: type = np.float64, threads: int = 1) -> None:
        rng = np.random.default_rng(k)
        n, d = 300, 5
        self.model = mt.softmax_moe(k, family, **({"classes": classes} if classes else {}))
        x = rng.standard_normal((n, d))
        label = np.argmax(3 * x @ rng.standard_normal((d, k)), axis=1)
        scores = 3 * np.einsum("nd,ndc->nc", x, rng.standard_normal((k, d, classes or 2))[label])
        y = np.argmax(scores + rng.gumbel(size=scores.shape), axis=1).astype(float)
        weight = 0.2 + rng.random(n)
        self.law = Columns([x, 1.0], y, weight, block=64, dtype=dtype, threads=threads)
        self.theta = 0.5 * rng.standard_normal((len(self.model.predictors), d + 1))
        self.other = self.theta + 0.3 * rng.standard_normal(self.theta.shape)
        self.plan = require_layout(self.model, self.law)

    def at(self, theta: np.ndarray, shares=None, penalty: mt.Penalty | None = PENALTY):
        return first_order(self.plan, self.model, self.law, theta, penalty, shares)


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[1]}-{kind[0]}")
def world(request: pytest.FixtureRequest) -> World:
    return World(*request.param)


def test_equal_to_the_second_order_pass(world: World) -> None:
    one = world.at(world.theta)
    other = evaluate_softmax(world.plan, world.model, world.law, world.theta, PENALTY)
    assert abs(one.objective - other.objective) < 1e-13
    np.testing.assert_allclose(one.gradient, other.gradient, rtol=0, atol=1e-14)
    for a, b in zip(one.responsibilities, evaluate_general_shares(world), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def evaluate_general_shares(world: World):
    """Responsibilities from the declared log p(y,z|x), by the derived kernels."""
    from moe_theory.evaluation.general import evaluate_general

    return evaluate_general(world.model, world.law, world.theta).responsibilities


def test_q_and_its_gradient(world: World) -> None:
    here = world.at(world.theta)
    there = world.at(world.other, here.responsibilities)
    same = world.at(world.theta, here.responsibilities)
    assert abs(same.objective - here.complete) < 1e-14
    np.testing.assert_array_equal(same.gradient, here.gradient)  # Fisher's identity
    # L(φ) = -Q(φ|θ) less the entropy, less KL of the posteriors: Q bounds L's change.
    assert world.at(world.other).objective - here.objective <= there.objective - here.complete
    rng = np.random.default_rng(1)
    direction, step = rng.standard_normal(world.theta.shape), 1e-5
    ahead, back = (world.at(world.other + s * step * direction, here.responsibilities).objective for s in (1, -1))
    assert abs((ahead - back) / (2 * step) - np.sum(there.gradient * direction)) < 1e-9


def test_single_precision_and_threads(world: World, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.params["world"]
    single, shared = World(*kind, dtype=np.float32), World(*kind, threads=3)
    exact, near, same = (w.at(world.theta) for w in (world, single, shared))
    assert near.gradient.dtype == np.float64 and near.responsibilities[0].dtype == np.float32
    assert 0 < abs(near.objective - exact.objective) < 1e-6
    np.testing.assert_allclose(near.gradient, exact.gradient, rtol=0, atol=1e-6)
    assert same.objective == exact.objective
    np.testing.assert_array_equal(same.gradient, exact.gradient)


def test_bound_of_the_curvature(world: World) -> None:
    weights = world.at(world.theta).ridge
    bound = Bound.of(world.plan, world.law.rows(world.model, world.theta), weights)
    p = world.theta.size
    inverse = np.stack([bound.solve(e.reshape(world.theta.shape)).ravel() for e in np.eye(p)])
    whole = np.linalg.inv(inverse)
    np.testing.assert_allclose(whole, whole.T, atol=1e-8)
    rng = np.random.default_rng(3)
    for scale in (0.0, 0.5, 5.0):
        theta = scale * rng.standard_normal(world.theta.shape)
        shares = [rng.dirichlet(np.ones(len(world.model.latent)), len(b.y)).T for b in world.law.blocks]
        columns = []
        for e in np.eye(p):  # the Hessian of -Q, by central differences of its gradient
            ahead, back = (world.at(theta + s * 1e-5 * e.reshape(theta.shape), shares).gradient for s in (1, -1))
            columns.append((ahead - back).ravel() / 2e-5)
        hessian = np.stack(columns)
        slack = np.linalg.eigvalsh(whole - (hessian + hessian.T) / 2)
        assert slack[0] > -1e-7
    # A third less would not bound it.
    theta = np.zeros_like(world.theta)
    ones = [np.eye(len(world.model.latent))[:, [0]] * np.ones(len(b.y)) for b in world.law.blocks]
    step = lambda s, e: world.at(theta + s * 1e-5 * e.reshape(theta.shape), ones, None).gradient.ravel()
    hessian = np.stack([(step(1, e) - step(-1, e)) / 2e-5 for e in np.eye(p)])
    if world.plan.structure.family == "binomial":  # attained at 0 by the first expert
        assert np.linalg.eigvalsh(2 / 3 * whole - hessian)[0] < 0


def test_lbfgs_against_scipy() -> None:
    class At:
        def __init__(self, theta: np.ndarray) -> None:
            self.theta, self.objective = theta, scipy.optimize.rosen(theta)
            self.gradient = scipy.optimize.rosen_der(theta)

    at, memory = At(np.array([0.8, 0.5, 1.3, 1.4])), Memory()
    memory.scale = 1e-3
    for _ in range(200):
        ahead = searched(At, at, memory.direction(at.gradient))
        if ahead is None or np.linalg.norm(at.gradient) < 1e-9:
            break
        assert ahead.objective < at.objective
        memory.learn(ahead.theta - at.theta, ahead.gradient - at.gradient)
        at = ahead
    best = scipy.optimize.minimize(scipy.optimize.rosen, [0.8, 0.5, 1.3, 1.4], jac=scipy.optimize.rosen_der, tol=1e-12)
    np.testing.assert_allclose(at.theta, best.x, atol=1e-6)


def test_inexact_em_tends_to_the_m_step(world: World) -> None:
    long = mt.InexactEM(world.model, PENALTY, evaluations=300, tolerance=1e-12)
    after = long.step(world.theta, world.law)
    exact = mt.EM(world.model, PENALTY).step(world.theta, world.law)
    np.testing.assert_allclose(after, exact, rtol=0, atol=1e-6)
    assert np.abs(exact - world.theta).max() > 0.1


@pytest.mark.parametrize("metric", ["bound", "identity"])
def test_inexact_em_and_lbfgs_end_at_stationary_points(world: World, metric: str) -> None:
    for algorithm in (mt.InexactEM(world.model, PENALTY, 5, metric), mt.LBFGS(world.model, PENALTY, metric)):
        trace = mt.run(algorithm, world.law, world.theta, 600, 1e-6, divergences=False)
        assert trace.reason == "converged", trace.message
        assert np.all(np.diff(trace.objective) <= 2e-13 * 2)
        slope = evaluate_softmax(world.plan, world.model, world.law, trace.last, PENALTY).gradient
        assert np.abs(slope).max() < 1e-5


def test_passes_of_inexact_em(world: World) -> None:
    trace = mt.run(mt.InexactEM(world.model, PENALTY, 7), world.law, world.theta, 4, divergences=False)
    assert np.all(np.diff(trace.passes) <= 8)
    assert np.diff(trace.passes)[0] >= 8  # the bound's pass may come to it
    assert trace.metric.shape == (world.theta.size,) * 2


def test_heavy_ball_and_sgd_are_what_they_say(world: World) -> None:
    ball = mt.GradientDescent(world.model, step=0.3, momentum=0.6, penalty=PENALTY)
    first = world.theta - 0.3 * world.at(world.theta).gradient
    second = first - 0.3 * world.at(first).gradient + 0.6 * (first - world.theta)
    trace = mt.run(ball, world.law, world.theta, 2, divergences=False)
    np.testing.assert_allclose(trace.last, second, rtol=0, atol=1e-13)
    # One batch of all rows: a gradient step. Several: Σ of their gradients at a fixed θ is the whole gradient.
    whole = mt.StochasticGradient(world.model, rate=0.3, batch=300, penalty=PENALTY).step(world.theta, world.law)
    np.testing.assert_allclose(whole, first, rtol=0, atol=1e-13)
    small = mt.StochasticGradient(world.model, rate=1e-9, batch=20, penalty=PENALTY).step(world.theta, world.law)
    np.testing.assert_allclose((world.theta - small) / 1e-9 / 15, world.at(world.theta).gradient, rtol=0, atol=1e-5)


def test_gradient_em_counts_and_equals_gradient_descent(world: World) -> None:
    one = mt.GradientEM(world.model, step=0.3, inner=1, penalty=PENALTY).step(world.theta, world.law)
    np.testing.assert_array_equal(one, world.theta - 0.3 * world.at(world.theta).gradient)
    inner = mt.GradientEM(world.model, step=0.3, inner=2, penalty=PENALTY).step(world.theta, world.law)
    shares = world.at(world.theta).responsibilities
    np.testing.assert_allclose(inner, one - 0.3 * world.at(one, shares).gradient, rtol=0, atol=1e-14)
    trace = mt.run(mt.GradientEM(world.model, step=0.1, inner=3), world.law, world.theta, 3, divergences=False)
    np.testing.assert_array_equal(np.diff(trace.passes), 3)


def test_what_is_refused() -> None:
    world = World(2, "binomial", 0)
    poisson = mt.softmax_moe(2, "poisson")
    with pytest.raises(InputError, match="expected binomial or multinomial experts"):
        mt.InexactEM(poisson).step(np.zeros((3, 6)), world.law)
    with pytest.raises(InputError, match="metric: expected bound or identity"):
        mt.LBFGS(world.model, metric="newton")
    with pytest.raises(InputError, match="evaluations: expected a whole number >= 1"):
        mt.InexactEM(world.model, evaluations=0)
    with pytest.raises(InputError, match="momentum: expected a number in"):
        mt.GradientDescent(world.model, momentum=0.5)
