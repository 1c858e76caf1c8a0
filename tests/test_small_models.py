"""Models of three and four predictors against log p written by hand, on weighted rows in blocks of unequal length.

Predictors of gate and experts alternate, so that the blocks of ∇²A lie scattered in it, and the experts' means have a
constant, so that ∇A of their part does not vanish at 0.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import mpmath
import numpy as np
import pytest
import sympy as sp

import moe_theory as mt
from moe_theory.evaluation.curvature import Shares
from moe_theory.kernels import kernels, unpack_upper
from moe_theory.operators import expected_statistic, mean_map, posterior_kl

SHIFT = 1.5


class Small:
    """Normal experts N(βx + shift + label, σ²) of a softmax gate: predictors w1, beta, w2, …, and its truth."""

    def __init__(self, labels: int, sigma: float, d: int = 2, n: int = 17) -> None:
        self.labels, self.sigma, self.d, self.n = labels, sigma, d, n
        gates = [f"w{z}" for z in range(1, labels)]
        self.names = (gates[0], "beta", *gates[1:])
        self.gates = [self.names.index(g) for g in gates]
        rng = np.random.default_rng(labels)
        self.x, self.y = rng.standard_normal((n, d)) * (1.0, 2.0), 2 * rng.standard_normal(n) + 2
        self.weight = rng.random(n) + 0.1
        self.weight /= self.weight.sum()
        self.law = mt.Finite(self.x, self.y, self.weight, block=7)
        self.theta = rng.standard_normal((labels, d))
        self.phi = self.theta + rng.uniform(-0.4, 0.4, (labels, d))

    @cached_property
    def model(self) -> mt.Model:
        def gate(z, *w):  # type: ignore[no-untyped-def]
            return (0, *w)[int(z)] - sp.log(1 + sum(map(sp.exp, w)))

        source = ", ".join(n for n in self.names if n != "beta")
        return mt.Model(
            f"small-{self.labels}",
            latent=tuple(range(self.labels)),
            predictors=self.names,
            gate=eval(f"lambda z, {source}: gate(z, {source})", {"gate": gate}),
            expert=lambda y, z, beta: mt.log_normal(y, beta + sp.Rational(3, 2) + z, self.sigma),
            response=mt.Reals(),
        )

    # By hand, with mpmath's numbers or NumPy's. --------------------------------------------------------------------

    def joint(self, theta, row: int) -> list[mpmath.mpf]:
        """log p(y,z|x) of a row for every label."""
        eta = [mpmath.fsum(t * v for t, v in zip(line, self.x[row].tolist(), strict=True)) for line in theta]
        scores = [mpmath.mpf(0), *(eta[j] for j in self.gates)]
        log_sum = mpmath.log(mpmath.fsum(map(mpmath.exp, scores)))
        center, s = self.y[row] - eta[1] - SHIFT, mpmath.mpf(self.sigma)
        return [
            score - log_sum - ((center - z) / s) ** 2 / 2 - mpmath.log(2 * mpmath.pi * s**2) / 2
            for z, score in enumerate(scores)
        ]

    def objective(self, *flat) -> mpmath.mpf:
        theta = [flat[i : i + self.d] for i in range(0, len(flat), self.d)]
        logs = (mpmath.log(mpmath.fsum(map(mpmath.exp, self.joint(theta, i)))) for i in range(self.n))
        return -mpmath.fsum(float(w) * v for w, v in zip(self.weight, logs, strict=True))

    def posterior(self, theta: np.ndarray) -> np.ndarray:
        """P(z|x,y), (n, k)."""
        logs = np.array([[float(v) for v in self.joint(theta.tolist(), i)] for i in range(self.n)])
        p = np.exp(logs - logs.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    def gate(self, theta: np.ndarray) -> np.ndarray:
        """P(z|x), (n, k)."""
        scores = np.column_stack([np.zeros(self.n), self.x @ theta[self.gates].T])
        p = np.exp(scores)
        return p / p.sum(axis=1, keepdims=True)

    def vectors(self, p: np.ndarray) -> np.ndarray:
        """∂ log p(y,z|x)/∂η of the label-dependent part, averaged by p: (n, m)."""
        out = np.zeros((self.n, self.labels))
        out[:, self.gates] = p[:, 1:]
        out[:, 1] = p @ np.arange(self.labels)
        return out

    def covariance(self, p: np.ndarray, theta: np.ndarray, expert: bool) -> np.ndarray:
        """Cov of the labels' part of the statistic, (m d, m d); with `expert`, of the gate alone and β's 1/σ²."""
        m, d = theta.shape
        per_label = np.zeros((self.labels, m))
        for z in range(1, self.labels):
            per_label[z, self.gates[z - 1]] = 1
            per_label[z, 1] = 0 if expert else -z / self.sigma**2
        total = np.zeros((m * d, m * d))
        for i in range(self.n):
            mean = p[i] @ per_label
            g = sum(p[i, z] * np.outer(per_label[z] - mean, per_label[z] - mean) for z in range(self.labels))
            g[1, 1] += 1 / self.sigma**2 if expert else 0
            total += self.weight[i] * np.kron(g, np.outer(self.x[i], self.x[i]))
        return total

    def gradient(self, theta: np.ndarray) -> np.ndarray:
        """∇L: posterior less prior for the gate, residuals over σ² for β."""
        p, out = self.posterior(theta), np.zeros(theta.shape)
        out[self.gates] = -((p - self.gate(theta))[:, 1:] * self.weight[:, None]).T @ self.x
        residual = self.y - self.x @ theta[1] - SHIFT - p @ np.arange(self.labels)
        out[1] = -(self.weight * residual) @ self.x / self.sigma**2
        return out


@pytest.fixture(params=[(3, 0.5), (4, 1.0)], ids=["three", "four"], scope="module")
def small(request: pytest.FixtureRequest) -> Small:
    return Small(*request.param)


def near(found, right, rtol: float = 1e-11) -> None:
    np.testing.assert_allclose(found, right, rtol=0, atol=rtol * np.max(np.abs(right)))


def test_what_is_written_by_hand_is_right(small: Small) -> None:
    """The gradient and the information above are derivatives of L, by differences of 40 digits."""
    flat = small.theta.ravel().tolist()
    with mpmath.workdps(40):
        h, size = mpmath.mpf(10) ** -12, len(flat)
        moved = lambda i, s: [v + s * h if j == i else mpmath.mpf(v) for j, v in enumerate(flat)]
        right = [float((small.objective(*moved(i, 1)) - small.objective(*moved(i, -1))) / (2 * h)) for i in range(size)]
    near(small.gradient(small.theta).ravel(), right)


def test_objective_and_derivatives(small: Small) -> None:
    s, theta = small, small.theta
    at = mt.evaluate(s.model, s.law, theta)
    for found in (mt.objective(s.model, s.law, theta), at.objective):
        assert found == pytest.approx(float(s.objective(*theta.ravel().tolist())), rel=1e-13)
    first = mt.evaluate(s.model, s.law, theta, second_order=False)
    for found in (mt.gradient(s.model, s.law, theta), at.gradient, first.gradient):
        near(found, s.gradient(theta))
    complete = s.covariance(s.gate(theta), theta, expert=True)
    missing = s.covariance(s.posterior(theta), theta, expert=False)
    near(mt.complete_information(s.model, s.law, theta), complete)
    near(mt.missing_information(s.model, s.law, theta), missing)
    near(mt.observed_information(s.model, s.law, theta), complete - missing)
    near(at.metric(s.model, s.law), complete)
    near(first.metric(s.model, s.law), complete)
    found = mt.missing_information_matrix(s.model, s.law, theta)
    near(found.matrix, np.linalg.solve(complete, missing), 1e-9)
    near(np.poly(found.matrix), np.poly(found.eigenvalues), 1e-9)


def test_hessians_are_slopes_of_the_gradient(small: Small) -> None:
    """The observed information against the gradient by hand, so that neither formula of the parts is needed."""
    s, h = small, 1e-3
    found, flat = mt.observed_information(s.model, s.law, s.theta), s.theta.ravel()
    for i, e in enumerate(np.eye(flat.size)):
        at = lambda t, e=e: s.gradient((flat + t * h * e).reshape(s.theta.shape)).ravel()
        near(found[i], (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h), 1e-8)


def test_the_statistic_and_the_mean_map(small: Small) -> None:
    """Both are known up to the same shift of the statistic only; so are their changes, exactly."""
    s = small
    at = [mt.evaluate(s.model, s.law, t) for t in (s.theta, s.phi)]
    rise = [small.weight[:, None] * (s.gate(t) @ np.eye(s.labels)[:, 1:]) for t in (s.theta, s.phi)]
    change = np.zeros(s.theta.shape)
    change[s.gates] = (rise[1] - rise[0]).T @ s.x
    change[1] = (s.weight * (s.x @ (s.phi - s.theta)[1])) @ s.x / s.sigma**2
    near(mean_map(s.model, s.law, s.phi) - mean_map(s.model, s.law, s.theta), change)
    near(at[1].mean - at[0].mean, change)
    near(at[0].mean, mean_map(s.model, s.law, s.theta))
    near(at[0].target, expected_statistic(s.model, s.law, s.theta))
    near(at[0].mean - at[0].target, s.gradient(s.theta))


def test_kernels_row_by_row(small: Small) -> None:
    s, k = small, kernels(small.model)
    eta = s.model.coefficients(s.theta) @ s.x.T
    near(k.posterior(s.y, *eta).T, s.posterior(s.theta))
    near(k.log_joint(s.y, *eta).T, [[float(v) for v in s.joint(s.theta.tolist(), i)] for i in range(s.n)])
    m = s.labels
    for values, p, expert in (
        (k.complete_information(*eta), s.gate(s.theta), True),
        (k.missing_information(s.y, *eta), s.posterior(s.theta), False),
    ):
        found = np.zeros((m * s.d, m * s.d))
        for a, b, value in unpack_upper(list(values), m):
            block = (s.x * (s.weight * value)[:, None]).T @ s.x
            for i, j in {(a, b), (b, a)}:
                found[i * s.d : (i + 1) * s.d, j * s.d : (j + 1) * s.d] = block
        near(found, s.covariance(p, s.theta, expert))
    assert sorted(part.index for part in k.parts) == [tuple(s.gates), (1,)]


def test_em_step(small: Small) -> None:
    """β by its normal equations, the gate where its gradient at the responsibilities vanishes."""
    s, p = small, small.posterior(small.theta)
    after = mt.EM(s.model).step(s.theta, s.law)
    target = s.y - SHIFT - p @ np.arange(s.labels)
    wx = s.x * s.weight[:, None]
    near(after[1], np.linalg.solve(wx.T @ s.x, wx.T @ target), 1e-10)
    assert np.max(np.abs(wx.T @ (p - s.gate(after))[:, 1:])) < 1e-10


def test_divergences(small: Small) -> None:
    s = small
    p, q, g, h = s.posterior(s.theta), s.posterior(s.phi), s.gate(s.theta), s.gate(s.phi)
    right = s.weight @ np.sum(p * np.log(p / q), axis=1)
    assert posterior_kl(s.model, s.law, s.theta, s.phi) == pytest.approx(right, rel=1e-9)
    moved = s.x @ (s.phi - s.theta)[1]
    joint = s.weight @ (np.sum(g * np.log(g / h), axis=1) + moved**2 / (2 * s.sigma**2))
    assert mt.kl(s.model, s.law, s.theta, s.phi) == pytest.approx(joint, rel=1e-9)
    assert mt.bregman(s.model, s.law, s.phi, s.theta) == pytest.approx(joint, rel=1e-9)


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_population_bregman_where_features_are_long(scale: float) -> None:
    """A step of 0.45 in θ moves η by up to 50: the path from θ to φ is cut in pieces."""
    model = mt.symmetric_logistic()
    truth = np.array([[1.0, -0.5], [0.5, 0.3]]) / scale
    law = mt.Population(model, truth, covariance=scale**2 * np.eye(2))
    for size in (0.15, 0.45):
        move = size * np.array([[1.0, -0.6], [0.7, 0.2]])
        phi = truth + move
        rise = mt.mirror_map(model, law, phi) - mt.mirror_map(model, law, truth)
        right = rise - np.sum(mean_map(model, law, truth) * move)
        assert mt.bregman(model, law, phi, truth) == pytest.approx(right, rel=1e-6)


@pytest.mark.parametrize("ridged", [False, True])
def test_shares_by_their_definition(ridged: bool) -> None:
    """v'Mv = min over c of Σ_z (v_z - c)'W_z(v_z - c) + Σ v_z'R v_z: the minimum by the normal equations of c."""
    rng = np.random.default_rng(3)
    k, d = 4, 3
    roots = rng.standard_normal((k, 6, d))
    grams = np.einsum("zni,znj->zij", roots, roots)
    factor = rng.standard_normal((d, d))
    ridge = factor @ factor.T + 0.5 * np.eye(d) if ridged else np.zeros((d, d))
    curvature = Shares(grams, np.zeros_like(ridge)).ridged(ridge)

    def form(v: np.ndarray) -> float:
        each = [np.zeros(d), *v.reshape(k - 1, d)]
        left = np.concatenate([roots[z] for z in range(k)])
        right = np.concatenate([roots[z] @ each[z] for z in range(k)])
        residual = np.linalg.lstsq(left, right, rcond=None)[0]
        return float(np.sum((right - left @ residual) ** 2) + sum(row @ ridge @ row for row in v.reshape(k - 1, d)))

    basis = np.eye((k - 1) * d)
    matrix = np.array([[(form(a + b) - form(a - b)) / 4 for b in basis] for a in basis])
    near(curvature.dense, matrix, 1e-10)
    v, g = rng.standard_normal((2, (k - 1) * d))
    assert curvature.norm(v) == pytest.approx(np.sqrt(form(v)), rel=1e-10)
    near(curvature.solve(g), np.linalg.solve(matrix, g), 1e-9)


def test_a_part_with_a_constant_hessian_and_an_offset(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """∇A = constant η + offset, as `Part` says; by the statistics that `derive` chooses it is 0, here not."""
    s = small
    parts = tuple(p if p.constant is None else replace(p, offset=np.array([0.75])) for p in kernels(s.model).parts)
    monkeypatch.setitem(kernels(s.model).__dict__, "parts", parts)
    right = mean_map(s.model, s.law, s.theta)
    right[1] += 0.75 * s.weight @ s.x
    near(mt.evaluate(s.model, s.law, s.theta).mean, right)
