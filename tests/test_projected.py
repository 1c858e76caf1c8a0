"""Projected mirror descent: EM's M-step and the projection of the free step, against independent solutions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from models import gate_only, gate_three, noisy_labels, offset

import moe_theory as mt
from moe_theory.algorithms.projected import divergence_to, em_step, kl_of_family, mirror_step, project
from moe_theory.errors import DegenerateError, InputError
from moe_theory.laws import Finite
from moe_theory.symbolic.natural import natural_family
from moe_theory.zoo import erased_labels, linear_experts

LINEAR, LOGISTIC, EXPERTS = mt.symmetric_linear(), mt.symmetric_logistic(), linear_experts()


def three_experts() -> mt.Model:
    """Three linear experts with noise of their own and a softmax gate: five predictors."""

    def gate(z: sp.Expr, v: sp.Expr, w: sp.Expr) -> sp.Expr:
        return (0, v, w)[int(z)] - sp.log(1 + sp.exp(v) + sp.exp(w))

    def expert(y: sp.Expr, z: sp.Expr, a: sp.Expr, b: sp.Expr, c: sp.Expr) -> sp.Expr:
        return mt.log_normal(y, (a, b, c)[int(z)], (sp.Rational(1, 2), 1, 2)[int(z)])

    return mt.Model("three-experts", (0, 1, 2), ("a", "b", "c", "v", "w"), gate, expert, mt.Reals())


def half_known() -> mt.Model:
    """Two linear experts, one of them known, the other relative to it: curved, with a known predictor."""

    def expert(y: sp.Expr, z: sp.Expr, a: sp.Expr, k: sp.Expr) -> sp.Expr:
        return mt.log_normal(y, a + k if z else k)

    gate = lambda z, w: mt.log_expit((2 * z - 1) * w)
    return mt.Model("half-known", (0, 1), ("a", "w"), gate, expert, mt.Reals(), known={"k": [0.7, -1.1]})


def counts() -> mt.Model:
    """y in {0, 1, 2}, P(y|z) proportional to exp(y η_z): the user's own, curved."""

    def expert(y: sp.Expr, z: sp.Expr, a: sp.Expr, b: sp.Expr) -> sp.Expr:
        eta = b if z else a
        return y * eta - sp.log(1 + sp.exp(eta) + sp.exp(2 * eta))

    gate = lambda z, w: mt.log_expit((2 * z - 1) * w)
    return mt.Model("counts", (0, 1), ("a", "b", "w"), gate, expert, mt.Values((0, 1, 2)))


FLAT = [
    LINEAR,
    mt.symmetric_linear(0.3),
    LOGISTIC,
    offset(),
    noisy_labels(),
    gate_only(),
    gate_three(),
    erased_labels(),
]
MILD = [LINEAR, LOGISTIC, offset(), noisy_labels(), gate_three()]
SHARP = [mt.symmetric_linear(0.3), gate_only()]
CURVED = [EXPERTS, linear_experts(2), three_experts(), half_known(), counts()]
ids = lambda model: f"{model.name}-{model.log_expert[0].count(sp.Integer(2))}"


def table(model: mt.Model, rng: np.random.Generator, distinct: int = 7, each: int = 4) -> Finite:
    """Several y to each x, all responses among them, with unequal weights; the rows shuffled."""
    x = np.repeat(rng.standard_normal((distinct, model.dimension or 2)), each, axis=0)
    values = model.response.values
    y = np.resize(values, len(x)).astype(float) if values else 2 * rng.standard_normal(len(x))
    order = rng.permutation(len(x))
    return Finite(x[order], y[order], 0.5 + rng.random(len(x)))


def start(model: mt.Model, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((len(model.predictors), model.dimension or 2))


def numeric(model: mt.Model, expressions: object) -> Callable[..., object]:
    """Of y and the predictors, by SymPy's own printer: not what the package compiles."""
    log_sum_exp = lambda *terms: np.log(sum(np.exp(t) for t in terms))
    return sp.lambdify((mt.model.RESPONSE, *model.symbols), expressions, [{"LogSumExp": log_sum_exp}, "numpy", "scipy"])


def expit(t: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-t))


# EM's M-step -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", FLAT, ids=ids)
def test_flat_models_have_one_em(model: mt.Model) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        law, theta = table(model, rng), start(model, rng)
        right = mt.EM(model).step(theta, law)
        np.testing.assert_allclose(em_step(model, law, theta), right, rtol=0, atol=1e-11 * (1 + np.abs(right).max()))


@pytest.mark.parametrize("sigma", [1, 0.4])
@pytest.mark.parametrize("seed", range(4))
def test_linear_experts_by_least_squares_and_logistic_regression(seed: int, sigma: float) -> None:
    rng = np.random.default_rng(seed)
    law, theta = table(EXPERTS, rng), start(EXPERTS, rng)
    first, second, w = (law.x @ t for t in theta)
    # P(z = 2|x, y) by Bayes' rule.
    q = expit(w + ((law.y - first) ** 2 - (law.y - second) ** 2) / (2 * sigma**2))
    rows = []
    for share in (1 - q, q):
        root = np.sqrt(law.weight * share)
        rows.append(np.linalg.lstsq(law.x * root[:, None], law.y * root, rcond=None)[0])
    gate = np.zeros(2)
    for _ in range(50):
        p = expit(law.x @ gate)
        gate = gate + np.linalg.solve((law.x.T * law.weight * p * (1 - p)) @ law.x, law.x.T @ (law.weight * (q - p)))
    np.testing.assert_allclose(em_step(linear_experts(sigma), law, theta), [*rows, gate], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("model", CURVED, ids=ids)
def test_em_increases_the_likelihood(model: mt.Model) -> None:
    log_density = numeric(model, sp.log(sp.Add(*(sp.exp(e) for e in model.log_joint))))
    rng = np.random.default_rng(3)
    law, theta = table(model, rng), start(model, rng)
    likelihood = lambda t: float(law.weight @ log_density(law.y, *(model.coefficients(t) @ law.x.T)))
    for _ in range(5):
        after = em_step(model, law, theta)
        assert likelihood(after) > likelihood(theta)
        theta = after


# The free step -----------------------------------------------------------------------------------------------------


def posterior_mean(model: mt.Model, law: Finite, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """E[E[s|x, y]|x] per distinct x: the statistics as natural.py lists them, the posterior by Bayes' rule."""
    eta = model.coefficients(theta) @ law.x.T
    joint = numeric(model, list(model.log_joint))(law.y, *eta)
    joint = np.exp(np.array([np.broadcast_to(j, law.y.shape) for j in joint]))
    q = joint / joint.sum(axis=0)
    values = model.response.values
    cells = [q[z] * (law.y == v) for z in range(len(q)) for v in values]
    rows = cells[1:] if values else [*q[1:], *(q * law.y)]
    found = []
    for point in x:
        here = law.weight * (law.x == point).all(axis=1)
        found.append([np.sum(here * row) / np.sum(here) for row in rows])
    return np.array(found).T


@pytest.mark.parametrize("model", [*MILD, *CURVED], ids=ids)
def test_the_step_has_the_posterior_mean_of_the_statistic(model: mt.Model) -> None:
    rng = np.random.default_rng(11)
    law, theta = table(model, rng), start(model, rng)
    step = mirror_step(model, law, theta)
    assert step.x.shape == (7, model.dimension or 2) and step.weight.sum() == pytest.approx(1, rel=1e-14)
    for x, weight in zip(step.x, step.weight, strict=True):
        assert weight == pytest.approx(law.weight[(law.x == x).all(axis=1)].sum(), rel=1e-14)
    right = posterior_mean(model, law, theta, step.x)
    np.testing.assert_allclose(step.mean, right, rtol=1e-11, atol=1e-13)
    # Half a step is half the way in the mean.
    half, none = (mirror_step(model, law, theta, size) for size in (0.5, 0.0))
    np.testing.assert_allclose(half.mean, (step.mean + none.mean) / 2, rtol=1e-12, atol=1e-13)
    assert divergence_to(model, none, theta) == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("model", [EXPERTS, linear_experts(2), three_experts(), half_known(), gate_three()], ids=ids)
def test_the_mean_map_of_normal_families_is_inverted_in_closed_form(model: mt.Model) -> None:
    rng = np.random.default_rng(12)
    step = mirror_step(model, table(model, rng), start(model, rng))
    k = len(model.latent)
    # The variance is minus the inverse of what multiplies y²/2.
    y = mt.model.RESPONSE
    variance = np.array([float(-1 / e.diff(y, 2)) for e in model.log_expert])[:, None]
    share = np.vstack([1 - step.mean[: k - 1].sum(axis=0), step.mean[: k - 1]])
    mean = step.mean[k - 1 :] / share
    offset = np.log(share) - mean**2 / (2 * variance)
    closed = np.vstack([offset[1:] - offset[0], mean / variance])
    # Known to 1e-15, a mean gives what is divided by a small share so much less exactly.
    assert (
        np.abs(step.zeta - closed) <= 1e-14 * (1 + np.abs(closed)) * (1 + np.abs(mean).max()) / share.min(axis=0)
    ).all()


def test_the_mean_map_of_finite_families_is_inverted_in_closed_form() -> None:
    model, rng = counts(), np.random.default_rng(13)
    step = mirror_step(model, table(model, rng), start(model, rng))
    first = 1 - step.mean.sum(axis=0)
    least = np.minimum(first, step.mean.min(axis=0))
    assert (np.abs(step.zeta - np.log(step.mean / first)) <= 1e-14 / least).all()


@pytest.mark.parametrize("model", SHARP, ids=ids)
def test_little_noise(model: mt.Model) -> None:
    """Far from the boundary: every label has more than a hundredth of the weight at every x."""
    tried = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        law, theta = table(model, rng), start(model, rng)
        mean = posterior_mean(model, law, theta, np.unique(law.x, axis=0))
        if mean[0].min() > 0.01 and mean[0].max() < 0.99:
            tried += 1
            agreement(model, seed)
    assert tried >= 5


def agreement(model: mt.Model, seed: int, distinct: int = 7) -> None:
    rng = np.random.default_rng(seed)
    law, theta = table(model, rng, distinct), start(model, rng)
    direct, step = em_step(model, law, theta), mirror_step(model, law, theta)
    projected = project(model, step, theta)
    assert np.abs(direct - projected).max() <= 1e-12 * (1 + np.abs(direct).max()), seed
    # The nearest point of the model: no other is nearer.
    least = divergence_to(model, step, projected)
    assert -1e-14 <= least < divergence_to(model, step, theta)
    assert least <= divergence_to(model, step, projected + 1e-3 * rng.standard_normal(theta.shape))


@pytest.mark.parametrize("model", [*MILD, *CURVED], ids=ids)
def test_the_projected_step_is_em(model: mt.Model) -> None:
    for seed in range(4):
        agreement(model, 100 + seed)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(6, 12), st.sampled_from([0, 3, 4]))
def test_the_projected_step_is_em_on_any_table(seed: int, distinct: int, which: int) -> None:
    agreement(cached(which), seed, distinct)


@cache
def cached(which: int) -> mt.Model:
    return CURVED[which]


def test_where_the_model_is_the_family_nothing_is_projected() -> None:
    rng = np.random.default_rng(5)
    law, theta = table(EXPERTS, rng, distinct=2), start(EXPERTS, rng)
    step = mirror_step(EXPERTS, law, theta)
    assert divergence_to(EXPERTS, step, project(EXPERTS, step, theta)) == pytest.approx(0, abs=1e-13)


def test_rows_that_are_the_same_may_be_put_together() -> None:
    rng = np.random.default_rng(6)
    law, theta = table(EXPERTS, rng), start(EXPERTS, rng)
    twice = Finite(np.vstack([law.x, law.x]), np.tile(law.y, 2), np.concatenate([0.25 * law.weight, 0.75 * law.weight]))
    np.testing.assert_allclose(em_step(EXPERTS, twice, theta), em_step(EXPERTS, law, theta), rtol=1e-11)
    one, other = mirror_step(EXPERTS, law, theta), mirror_step(EXPERTS, twice, theta)
    np.testing.assert_allclose(one.zeta, other.zeta, rtol=1e-10)
    np.testing.assert_allclose(one.x, other.x)


# KL in the family --------------------------------------------------------------------------------------------------


def direct_kl(model: mt.Model, law: Finite, theta: np.ndarray, phi: np.ndarray) -> float:
    """Σ or ∫ p log(p/q) over y and z, row by row of x."""
    at, to = (model.coefficients(t) @ law.x.T for t in (theta, phi))
    values = model.response.values
    # The experts here are within 12 of 0, and no wider than 2.
    y, dy = (np.array(values, float), 1.0) if values else (np.linspace(-40, 40, 8001), 0.01)
    log_joint = numeric(model, list(model.log_joint))
    total = 0.0
    for i, weight in enumerate(np.broadcast_to(law.weight, law.y.shape)):
        for p, q in zip(log_joint(y, *at[:, i]), log_joint(y, *to[:, i]), strict=True):
            total += weight * dy * float(np.sum(np.exp(p) * (p - q)))
    return total


@pytest.mark.parametrize("model", [LINEAR, LOGISTIC, gate_three(), *CURVED], ids=ids)
def test_kl_is_the_sum_it_stands_for(model: mt.Model) -> None:
    rng = np.random.default_rng(21)
    law = table(model, rng, distinct=3, each=3)
    for _ in range(3):
        theta, phi = start(model, rng), start(model, rng)
        found = kl_of_family(model, law, theta, phi)
        assert found == pytest.approx(direct_kl(model, law, theta, phi), rel=1e-9)
        assert found > 1e-3 and kl_of_family(model, law, theta, theta) == pytest.approx(0, abs=1e-14)
        near = kl_of_family(model, law, theta, theta + 1e-4 * phi)
        assert 0 < near < 1e-6
        if model in FLAT:
            assert found == pytest.approx(mt.kl(model, law, theta, phi), rel=1e-10)


# No finite step ----------------------------------------------------------------------------------------------------


def refused(work: Callable[[], object], model: mt.Model, clue: str) -> None:
    with pytest.raises(DegenerateError, match=clue) as caught:
        work()
    assert model.name in str(caught.value) and "\n" not in str(caught.value)


def one_response(model: mt.Model, seed: int) -> tuple[Finite, np.ndarray]:
    """A table with an x at which y is always 1: there the free step is on the boundary of the simplex."""
    rng = np.random.default_rng(seed)
    law, theta = table(model, rng), start(model, rng)
    return Finite(law.x, np.where((law.x == law.x[0]).all(axis=1), 1.0, law.y), law.weight), theta


@pytest.mark.parametrize("model", [LOGISTIC, counts()], ids=ids)
def test_a_response_never_seen_at_some_x(model: mt.Model) -> None:
    """EM needs no free step and goes on; the free step has no coordinates, or such as are its mean's to rounding."""
    for seed in range(8):
        law, theta = one_response(model, seed)
        direct = em_step(model, law, theta)
        with contextlib.suppress(DegenerateError):
            projected = project(model, mirror_step(model, law, theta), theta)
            np.testing.assert_allclose(projected, direct, rtol=0, atol=1e-12 * (1 + np.abs(direct).max()))


@pytest.mark.parametrize("model", [LOGISTIC, counts()], ids=ids)
def test_a_step_onto_the_boundary_is_refused(model: mt.Model) -> None:
    for seed in range(8):
        law, theta = one_response(model, seed)
        refused(lambda: mirror_step(model, law, theta), model, "the mirror step")  # noqa: B023


def test_steps_that_are_too_long() -> None:
    rng = np.random.default_rng(2)
    law, theta = table(LOGISTIC, rng), start(LOGISTIC, rng)
    for size in (20.0, -20.0):
        refused(lambda: mirror_step(LOGISTIC, law, theta, size), LOGISTIC, "the mirror step")  # noqa: B023


@pytest.mark.parametrize("model", [LOGISTIC, EXPERTS], ids=ids)
def test_features_that_are_a_multiple_of_one(model: mt.Model) -> None:
    rng = np.random.default_rng(3)
    law, theta = table(model, rng), start(model, rng)
    flat = Finite(law.x[:, [0, 0]], law.y, law.weight)
    refused(lambda: em_step(model, flat, theta), model, "not unique")


@pytest.mark.parametrize("model", [LOGISTIC, EXPERTS], ids=ids)
def test_fewer_x_than_features(model: mt.Model) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        law, theta = table(model, rng, distinct=1, each=6), start(model, rng)
        # Which of the things that go wrong is seen first is rounding.
        refused(lambda: em_step(model, law, theta), model, ": ")  # noqa: B023
        step = mirror_step(model, law, theta)
        refused(lambda: project(model, step, theta), model, ": ")  # noqa: B023


def test_labels_that_the_features_separate() -> None:
    """y is 200 apart: the posterior is 0 or 1 in floating point, and the gate has no finite maximum."""
    law = Finite([[1, -2], [1, -1], [1, 1], [1, 2]], [-99.9, -100.3, 100.2, 100.5])
    refused(lambda: em_step(EXPERTS, law, np.array([[-100.0, 0], [100, 0], [0, 1]])), EXPERTS, "not attained|separate")


def test_an_x_without_weight() -> None:
    rng = np.random.default_rng(4)
    law, theta = table(EXPERTS, rng), start(EXPERTS, rng)
    weight = np.where((law.x == law.x[0]).all(axis=1), 0.0, law.weight)
    without, left = Finite(law.x, law.y, weight), weight > 0
    right = em_step(EXPERTS, Finite(law.x[left], law.y[left], weight[left]), theta)
    np.testing.assert_allclose(em_step(EXPERTS, without, theta), right, rtol=1e-11)
    np.testing.assert_allclose(project(EXPERTS, mirror_step(EXPERTS, without, theta), theta), right, rtol=1e-11)


@pytest.mark.parametrize("step", [em_step, mirror_step])
def test_responses_outside_the_domain(step: Callable[..., object]) -> None:
    with pytest.raises(InputError, match=r"^y: expected values in"):
        step(LOGISTIC, Finite([[1.0], [2.0], [1.0]], [1.0, -1.0, 0.5]), np.ones((2, 1)))


@pytest.mark.parametrize("step", [em_step, mirror_step])
@pytest.mark.parametrize("theta", [np.ones((2, 2)), np.ones((3, 3)), np.full((3, 2), np.nan)])
def test_bad_points_are_refused(step: Callable[..., object], theta: np.ndarray) -> None:
    law = table(EXPERTS, np.random.default_rng(0))
    with pytest.raises(InputError, match=r"^theta: expected"):
        step(EXPERTS, law, theta)


def test_an_objective_that_is_not_convex_is_refused() -> None:
    """y ~ N(η², 1) at a small η: Newton's method would go to a maximum."""
    gate = lambda z, w: mt.log_expit((2 * z - 1) * w)
    model = mt.Model("squares", (0, 1), ("a", "w"), gate, lambda y, z, a: mt.log_normal(y, (1 + z) * a**2), mt.Reals())
    law = Finite([[1.0], [2.0], [3.0]], [4.0, 9.0, 5.0])
    refused(lambda: em_step(model, law, np.array([[0.1], [0.2]])), model, "not convex")


def test_families_that_are_none() -> None:
    quartic = mt.Model(
        "quartic",
        (0, 1),
        ("a", "w"),
        lambda z, w: mt.log_expit((2 * z - 1) * w),
        lambda y, z, a: -((y - z * a) ** 4),
        mt.Reals(),
    )
    with pytest.raises(mt.errors.DerivationError):
        natural_family(quartic)


@pytest.mark.parametrize("model", [LINEAR, LOGISTIC, gate_three(), *CURVED], ids=ids)
def test_a_family_holds_its_model(model: mt.Model) -> None:
    """On the surface the family's densities are the model's, and ∇A is the mean of s."""
    family = natural_family(model)
    at = dict(zip(family.symbols, family.surface, strict=True))
    rng = np.random.default_rng(8)
    for _ in range(3):
        numbers = dict(zip(model.symbols, rng.standard_normal(len(model.symbols)), strict=True))
        y = {mt.model.RESPONSE: model.response.values[-1] if model.response.values else rng.standard_normal()}
        for one, other in zip(family.log_joint, model.log_joint, strict=True):
            assert float(one.subs(at, simultaneous=True).subs(numbers | y)) == pytest.approx(
                float(other.subs(numbers | y))
            )


# Tables drawn from a model -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_the_nodes_are_close_enough_for_other_posteriors(scale: float) -> None:
    """A posterior that is not the law's own has poles near the real line; against 0.002 from node to node."""
    model, rng = gate_three(), np.random.default_rng(9)
    x, theta, other = scale * rng.standard_normal((3, 3)), start(model, rng) / scale, start(model, rng) / scale
    law = Finite.from_model(model, theta, x, others=[other])
    y = np.linspace(-60, 60, 60_001)
    logits, mean = np.vstack([np.zeros(3), theta @ x.T]), np.array(model.known_coefficients) @ x.T
    density = (
        np.exp(logits[..., None] - (y - mean[..., None]) ** 2 / 2).sum(axis=0) / np.exp(logits).sum(axis=0)[:, None]
    )
    dense = Finite(np.repeat(x, len(y), axis=0), np.tile(y, 3), density.ravel())
    np.testing.assert_allclose(em_step(model, law, other), em_step(model, dense, other), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_the_table_of_three_experts_with_unequal_means(scale: float) -> None:
    model, rng = gate_three(), np.random.default_rng(9)
    x, theta = scale * rng.standard_normal((4, 3)), start(model, rng) / scale
    weight = np.array([0.1, 0.2, 0.3, 0.4])
    law = Finite.from_model(model, theta, x, weight)
    logits = np.vstack([np.zeros(4), theta @ x.T])
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    mean = np.array(model.known_coefficients) @ x.T
    moments = [
        np.ones(4),
        (p * mean).sum(axis=0),
        (p * (1 + mean**2)).sum(axis=0),
        (p * (mean**3 + 3 * mean)).sum(axis=0),
    ]
    for i in range(4):
        here = law.weight * (law.x == x[i]).all(axis=1)
        for k, moment in enumerate(moments):
            size = 1 + np.abs(mean[:, i]).max() ** k
            assert np.sum(here * law.y**k) == pytest.approx(weight[i] * moment[i], abs=1e-11 * size)
    # The truth is a fixed point of EM, and the projected step knows it.
    np.testing.assert_allclose(em_step(model, law, theta), theta, atol=1e-9)
    np.testing.assert_allclose(project(model, mirror_step(model, law, theta), theta), theta, atol=1e-9)


def test_the_table_of_learnt_experts_is_a_fixed_point() -> None:
    model, rng = EXPERTS, np.random.default_rng(10)
    theta, x = 2 * start(model, rng), rng.standard_normal((5, 2))
    law = Finite.from_model(model, theta, x)
    np.testing.assert_allclose(em_step(model, law, theta), theta, atol=1e-10)
    assert law.weight.sum() == pytest.approx(1, rel=1e-14) and len(np.unique(law.x, axis=0)) == 5
    finite = counts()
    law = Finite.from_model(finite, theta, x)
    assert len(law) == 15
    np.testing.assert_allclose(em_step(finite, law, theta), theta, atol=1e-10)
