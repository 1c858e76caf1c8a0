"""Softmax mixtures: array kernels, derived kernels and an independent computation at 40 digits agree."""

from __future__ import annotations

import numpy as np
import pytest
from mixtures import MIXTURES, Mixture

import moe_theory as mt
from moe_theory.algorithms.general_step import general_step
from moe_theory.evaluation import SoftmaxEvaluation, evaluate, evaluate_general
from moe_theory.evaluation.curvature import Shares
from moe_theory.evaluation.layout import layout
from moe_theory.evaluation.softmax_kernels import responsibilities
from moe_theory.laws.rows import scaled_grams
from moe_theory.mixture.problem import Problem
from moe_theory.operators import kl


@pytest.fixture(params=MIXTURES, ids=lambda m: m.name)
def mixture(request: pytest.FixtureRequest) -> Mixture:
    return request.param


@pytest.fixture(params=["whole", "shares"])
def gate(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the gate's Hessian is formed in every pass, or only where it is asked for."""
    monkeypatch.setattr("moe_theory.evaluation.softmax.SMALL", 1000 if request.param == "whole" else 0)
    return request.param


def close(found, expected, rtol: float = 1e-12, atol: float = 1e-13) -> None:
    """Relative to the largest entry: entries that cancel are as good as those they came from."""
    expected = np.asarray(expected, dtype=float)
    scale = np.max(np.abs(expected), initial=0.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol + rtol * scale)


def both(m: Mixture):
    """The two evaluations: array kernels, derived."""
    found = evaluate(m.model, m.law, m.theta)
    assert isinstance(found, SoftmaxEvaluation)
    return found, evaluate_general(m.model, m.law, m.theta)


def test_likelihood_and_gradient(mixture: Mixture) -> None:
    m = mixture
    for at in both(m):
        assert -m.problem.rows * at.objective == pytest.approx(float(m.results["loglik"]), rel=1e-13)
        close(-m.problem.rows * m.model.free(at.gradient), m.vector("gradient"))


def test_responsibilities(mixture: Mixture) -> None:
    m = mixture
    plan = layout(m.model, m.law)
    found = responsibilities(plan, m.model, m.law, m.theta).T
    expected = m.vector("responsibilities")
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    # Small shares too are relatively accurate where the predictors that they come from are of ordinary size.
    if not m.extreme and "small-sigma" not in m.name:
        np.testing.assert_allclose(found, expected, rtol=1e-11)
    derived = np.concatenate(evaluate_general(m.model, m.law, m.theta).responsibilities, axis=1).T
    np.testing.assert_allclose(derived, expected, rtol=1e-12, atol=1e-13)


def test_information_is_that_of_louis(mixture: Mixture) -> None:
    m, n = mixture, mixture.problem.rows
    close(n * mt.complete_information(m.model, m.law, m.theta), m.vector("complete"))
    close(n * mt.missing_information(m.model, m.law, m.theta), m.vector("complete") - m.vector("observed"))
    close(n * mt.observed_information(m.model, m.law, m.theta), m.vector("observed"))


def test_spectrum_of_the_missing_information_matrix(mixture: Mixture) -> None:
    m = mixture
    found = mt.missing_information_matrix(m.model, m.law, m.theta).eigenvalues
    close(found, m.vector("rates"), rtol=1e-9)


def test_em_step(mixture: Mixture, gate: str) -> None:
    m = mixture
    _, derived = both(m)
    expected = m.vector("em_step_vector")
    em = mt.EM(m.model)
    fast = em.step(m.theta, m.law)
    slow, _ = general_step(m.model, m.law, m.theta, derived.responsibilities)
    # The gate of an extreme case is nearly saturated: its coefficients are known to what the curvature tells of them.
    rtol = 1e-9 if m.extreme else 1e-11
    close(m.model.free(fast), expected, rtol=rtol)
    close(m.model.free(slow), expected, rtol=rtol)
    # What the last step left of the gate's curvature makes the next no less exact.
    near = m.theta + 1e-3 * (fast - m.theta)
    em.step(near, m.law)
    close(m.model.free(em.step(m.theta, m.law)), expected, rtol=rtol)
    found = -m.problem.rows * mt.objective(m.model, m.law, fast)
    assert found == pytest.approx(float(m.results["em_loglik"]), rel=1e-12)


def test_kl_of_the_joint_laws(mixture: Mixture) -> None:
    m = mixture
    plus = m.model.filled(m.vector("em_step_vector"), m.law.dimension)
    assert kl(m.model, m.law, m.theta, plus) == pytest.approx(float(m.results["kl"]), rel=1e-11, abs=1e-14)


def test_the_metric_is_the_complete_information_at_a_fixed_point(mixture: Mixture, gate: str) -> None:
    """Away from one it leaves out what vanishes there: the gradient's part in the curvature in log sigma."""
    m = mixture
    at = evaluate(m.model, m.law, m.theta)
    metric = at.metric(m.model, m.law)
    exact = mt.complete_information(m.model, m.law, m.theta)
    if m.model.structure.scale_predictors:
        rows = np.concatenate([np.full(len(c), j) for j, c in enumerate(m.model.design.free)])
        keep = (rows < m.model.structure.scales.start) | (rows >= m.model.structure.scales.stop)
        metric, exact = metric[np.ix_(keep, keep)], exact[np.ix_(keep, keep)]
    close(metric, exact)
    assert np.linalg.eigvalsh(at.metric(m.model, m.law))[0] > 0


def test_the_shares_bound_the_gates_hessian(monkeypatch: pytest.MonkeyPatch) -> None:
    """From above; they are equal where the gate is constant. And M, M^{-1} and √(v'Mv) belong together."""
    monkeypatch.setattr("moe_theory.evaluation.softmax.SMALL", 0)
    rng = np.random.default_rng(0)
    for k in (2, 3, 5, 9):
        problem = Problem.of(rng.standard_normal((300, 2)), rng.standard_normal(300), k, weights=rng.uniform(1, 2, 300))
        theta = problem.model.design.template.copy()
        s = problem.model.structure
        for scale in (0.0, 1.0, 4.0):
            theta[s.gate, :3] = scale * rng.standard_normal((k - 1, 3))
            at = evaluate(problem.model, problem.law, theta)
            shares, hessian = at.parts[0].curvature, at.hessian(problem.model, problem.law, 0)
            assert isinstance(shares, Shares)
            slack = np.linalg.eigvalsh(shares.dense - hessian)
            assert slack[0] > -1e-15
            assert (slack[-1] < 1e-15) == (scale == 0.0)
            v = rng.standard_normal(len(hessian))
            close(shares.solve(shares.dense @ v), v, rtol=1e-10)
            assert shares.norm(v) == pytest.approx(np.sqrt(v @ shares.dense @ v), rel=1e-12)
            monkeypatch.setattr("moe_theory.evaluation.softmax.SMALL", 1000)
            other = evaluate(problem.model, problem.law, theta)
            monkeypatch.setattr("moe_theory.evaluation.softmax.SMALL", 0)
            close(other.parts[0].curvature.dense, hessian)
            exact = np.sqrt(
                problem.model.free(at.gradient)
                @ np.linalg.solve(at.metric(problem.model, problem.law), problem.model.free(at.gradient))
            )
            assert other.dual_norm(problem.model, problem.law) == pytest.approx(exact, rel=1e-10)
            assert at.dual_norm(problem.model, problem.law) <= exact * (1 + 1e-12)


def test_many_grams_at_once() -> None:
    rng = np.random.default_rng(0)
    x, scales = rng.standard_normal((4, 9000)), rng.uniform(-1, 1, (11, 9000))
    for r in (0, 1, 7, 8, 11):
        close(scaled_grams(x, scales[:r]), np.einsum("rn,an,bn->rab", scales[:r], x, x))


@pytest.mark.parametrize("block", [1, 3, 5])
def test_blocks_do_not_matter(block: int) -> None:
    for m in MIXTURES[:6]:
        law = mt.Finite(m.law.x, m.law.y, np.broadcast_to(m.law.weight, m.law.y.shape), block=block)
        one, other = evaluate(m.model, law, m.theta), evaluate(m.model, m.law, m.theta)
        assert one.objective == pytest.approx(other.objective, rel=1e-13)
        close(one.gradient, other.gradient)
        close(mt.EM(m.model).step(m.theta, law), mt.EM(m.model).step(m.theta, m.law), rtol=1e-11)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
def test_gates_far_out_and_sharp_experts_stay_exact(scale: float) -> None:
    """Scores far beyond what e^t can hold, for two labels (a kernel of its own) and three."""
    rng = np.random.default_rng(0)
    for k in (2, 3):
        problem = Problem.of(rng.standard_normal((40, 1)), rng.standard_normal(40), k)
        theta = problem.model.design.template.copy()
        s = problem.model.structure
        theta[s.experts, :2] = rng.standard_normal((k, 2))
        theta[s.gate, :2] = scale * rng.standard_normal((k - 1, 2))
        theta[s.scales, problem.features.columns.index("(Intercept)")] = -np.log(1 + scale) / 2
        array, derived = (
            evaluate(problem.model, problem.law, theta),
            evaluate_general(problem.model, problem.law, theta),
        )
        assert array.objective == pytest.approx(derived.objective, rel=1e-12)
        close(array.gradient, derived.gradient, rtol=1e-11)
