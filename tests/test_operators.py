"""Operators: derivatives against differences, divergences against their definitions, identities of the theory."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp
from models import Case, by_id

import moe_theory as mt
from moe_theory.errors import CurvedModelError, InputError
from moe_theory.kernels import kernels
from moe_theory.operators import expected_statistic, mean_map, posterior_kl
from moe_theory.symbolic.identities import exact_form


def weighted(case: Case, n: int = 60) -> mt.Finite:
    """Rows of the model with random weights, in several blocks."""
    data = case.sample(n, seed=1)
    return mt.Finite(data.x, data.y, np.random.default_rng(2).random(n), block=25)


def slope(function, theta: np.ndarray, direction: np.ndarray, h: float = 1e-2) -> np.ndarray:
    """Derivative along a direction by central differences of order 4."""
    at = lambda t: np.asarray(function(theta + t * h * direction))
    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)


def directions(case: Case) -> list[np.ndarray]:
    """Coordinate directions and a general one."""
    size = case.truth.size
    return [e.reshape(case.truth.shape) for e in (*np.eye(size), np.cos(1.0 + np.arange(size)))]


# Derivatives -------------------------------------------------------------------------------------------------


def test_gradient_is_the_slope_of_the_objective(case: Case) -> None:
    law = weighted(case)
    gradient = mt.gradient(case.model, law, case.near)
    assert gradient.shape == case.near.shape
    for v in directions(case):
        right = slope(lambda t: mt.objective(case.model, law, t), case.near, v, h=2e-3)
        assert np.sum(gradient * v) == pytest.approx(right, rel=1e-7, abs=1e-8)


def test_mean_map_is_the_slope_of_the_mirror_map(case: Case) -> None:
    law = weighted(case)
    mean = mean_map(case.model, law, case.near)
    for v in directions(case):
        right = slope(lambda t: mt.mirror_map(case.model, law, t), case.near, v)
        assert np.sum(mean * v) == pytest.approx(right, rel=1e-7, abs=1e-8)


def test_informations_are_slopes_of_the_gradients(case: Case) -> None:
    law, h = weighted(case), 2e-3
    wanted = (
        (mt.complete_information, mean_map),
        (mt.observed_information, mt.gradient),
        (mt.missing_information, expected_statistic),
    )
    for information, gradient in wanted:
        matrix = information(case.model, law, case.near)
        assert matrix.shape == (case.near.size,) * 2 and np.allclose(matrix, matrix.T, rtol=1e-12)
        for v in directions(case):
            right = slope(lambda t, g=gradient: g(case.model, law, t), case.near, v, h).ravel()
            np.testing.assert_allclose(matrix @ v.ravel(), right, rtol=1e-6, atol=1e-7 * np.abs(matrix).max())


@pytest.mark.parametrize("name", ["linear", "logistic", "offset", "noisy-labels"])
def test_population_derivatives(name: str) -> None:
    case = by_id(name)
    law, v = mt.Population(case.model, case.truth), directions(case)[-1]
    gradient = mt.gradient(case.model, law, case.near)
    right = slope(lambda t: mt.objective(case.model, law, t), case.near, v)
    assert np.sum(gradient * v) == pytest.approx(right, abs=3e-6)
    right = slope(lambda t: mt.gradient(case.model, law, t), case.near, v).ravel()
    observed = mt.observed_information(case.model, law, case.near)
    np.testing.assert_allclose(observed @ v.ravel(), right, atol=3e-6)


def test_informations_in_closed_form() -> None:
    # Symmetric linear experts, one row: ∇²A = diag(1, σ(q)σ(-q)) ⊗ xx', I_z = p(1-p) (2y, 1)(2y, 1)' ⊗ xx'.
    model, x, y = mt.symmetric_linear(), np.array([0.5, -2.0]), 0.7
    theta = model.theta(beta=[1.0, 0.3], w=[0.2, -0.4])
    law = mt.Finite(x[None], [y])
    sigmoid = lambda t: 1 / (1 + np.exp(-t))
    q, p = sigmoid(theta[1] @ x), sigmoid(theta[1] @ x + 2 * y * (theta[0] @ x))
    xx, delta = np.outer(x, x), np.array([2 * y, 1.0])
    near = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13)
    near(mt.complete_information(model, law, theta), np.kron(np.diag([1, q * (1 - q)]), xx))
    near(mt.missing_information(model, law, theta), np.kron(p * (1 - p) * np.outer(delta, delta), xx))
    near(mt.gradient(model, law, theta), np.outer([theta[0] @ x - y * (2 * p - 1), q - p], x))


# Identities of the theory -----------------------------------------------------------------------------------


def test_fisher_identity(case: Case) -> None:
    law = weighted(case)
    target = expected_statistic(case.model, law, case.near)
    difference = mean_map(case.model, law, case.near) - target
    np.testing.assert_allclose(mt.gradient(case.model, law, case.near), difference, atol=1e-12 * np.abs(target).max())


def test_at_the_truth_the_population_gradient_vanishes(case: Case) -> None:
    case = case.quick()
    law = mt.Population(case.model, case.truth)
    assert np.abs(mt.gradient(case.model, law, case.truth)).max() < 20 * law.accuracy
    assert np.abs(mt.gradient(case.model, law, case.near)).max() > 1e-3
    values = mt.missing_information_matrix(case.model, law, case.truth).eigenvalues
    assert -20 * law.accuracy < values.min() and values.max() < 1


def test_majorization(case: Case) -> None:
    """L(φ) = L(θ) + ⟨∇L(θ), φ-θ⟩ + B_A(φ‖θ) - E KL(post_θ‖post_φ)."""
    law = weighted(case)
    for phi in (case.truth, case.near + 1.5, -case.near, 1e-3 + case.near):
        loss, move = mt.objective(case.model, law, case.near), phi - case.near
        linear = loss + np.sum(mt.gradient(case.model, law, case.near) * move)
        gap = posterior_kl(case.model, law, case.near, phi)
        upper = linear + mt.bregman(case.model, law, phi, case.near)
        assert mt.objective(case.model, law, phi) == pytest.approx(upper - gap, rel=1e-12, abs=1e-12 * abs(upper))
        assert gap > 0


def test_descent(case: Case) -> None:
    """L(θ) - L(θ⁺) = B_A(θ‖θ⁺) + E KL(post_θ‖post_θ⁺) for the EM step θ⁺."""
    law, theta = weighted(case), case.near
    for _ in range(3):
        after = mt.EM(case.model).step(theta, law)
        fall = mt.objective(case.model, law, theta) - mt.objective(case.model, law, after)
        divergence = mt.bregman(case.model, law, theta, after)
        right = divergence + posterior_kl(case.model, law, theta, after)
        assert fall == pytest.approx(right, rel=1e-9, abs=1e-13) and fall >= divergence - 1e-13
        theta = after


# Divergences ---------------------------------------------------------------------------------------------------


def exact_bregman(case: Case, law: mt.Finite, phi: np.ndarray, theta: np.ndarray) -> float:
    """By the definition, row by row with 60 digits."""
    theory, learnt = kernels(case.model).theory, case.model.learnt
    function = sp.lambdify(learnt, [exact_form(e) for e in (theory.mirror_map, *theory.mean)], modules="mpmath")
    with mpmath.workdps(60):
        mp = lambda a: [mpmath.mpf(float(v)) for v in a]
        total = mpmath.mpf(0)
        for x, weight in zip(law.x, np.broadcast_to(law.weight, law.y.shape), strict=True):
            at, there = ([mpmath.fdot(mp(row), mp(x)) for row in t] for t in (theta, phi))
            value, *slopes = function(*at)
            change = function(*there)[0] - value
            linear = mpmath.fdot(slopes, [b - a for a, b in zip(at, there, strict=True)])
            total += mpmath.mpf(float(weight)) * (change - linear)
        return total


@pytest.mark.parametrize("size", [1e-9, 1e-5, 1e-3, 5e-3, 0.03, 0.3, 3.0, 100.0])
def test_bregman_near_and_far(case: Case, size: float) -> None:
    law = weighted(case, 30)
    phi = case.near + size * directions(case)[-1]
    value, right = mt.bregman(case.model, law, phi, case.near), exact_bregman(case, law, phi, case.near)
    assert value > 0
    assert abs(value - right) < 1e-9 * right


def test_bregman_of_a_saturated_gate(case: Case) -> None:
    """Where ∇A hardly moves, what is left after cancellation is noise: it may not be negative, or large."""
    law = weighted(case, 10)
    for scale in (20, 60, 200):
        theta = scale * case.truth
        for step in (0.05, 1.0):
            phi = theta * (1 + step / scale)
            value, right = mt.bregman(case.model, law, phi, theta), exact_bregman(case, law, phi, theta)
            assert value >= 0
            assert abs(value - right) < 1e-9 * right + 1e-14 * mt.mirror_map(case.model, law, theta)


def test_bregman_is_zero_at_no_distance_and_has_its_tangent_at_the_second_argument(case: Case) -> None:
    law = weighted(case)
    assert mt.bregman(case.model, law, case.near, case.near) == 0
    there, back = (mt.bregman(case.model, law, *p) for p in ((case.truth * 3, case.near), (case.near, case.truth * 3)))
    quadratic = all(part.constant is not None for part in kernels(case.model).parts)
    assert (there == pytest.approx(back, rel=1e-6)) == quadratic


@pytest.mark.parametrize("size", [0.01, 0.09, 0.5, 2.0, 8.0, 30.0])
def test_population_bregman(case: Case, size: float) -> None:
    case = case.quick()
    law, move = mt.Population(case.model, case.truth), size * directions(case)[-1]
    phi = case.near + move
    rise = mt.mirror_map(case.model, law, phi) - mt.mirror_map(case.model, law, case.near)
    right = rise - np.sum(mean_map(case.model, law, case.near) * move)
    assert mt.bregman(case.model, law, phi, case.near) == pytest.approx(right, rel=1e-8, abs=1e-8)


def test_population_bregman_keeps_its_accuracy_when_near() -> None:
    case = by_id("logistic")
    law, v = mt.Population(case.model, case.truth), directions(case)[-1]
    half = 0.5 * v.ravel() @ mt.complete_information(case.model, law, case.near) @ v.ravel()
    for size in (1e-4, 1e-6, 1e-8):
        value = mt.bregman(case.model, law, case.near + size * v, case.near)
        assert value == pytest.approx(half * size**2, rel=10 * size + 1e-7)


@pytest.mark.parametrize("divergence", [mt.bregman, mt.kl, posterior_kl])
@pytest.mark.parametrize("bad", [np.ones((2, 2)), np.ones(6), np.full((2, 3), np.nan)])
def test_divergences_check_both_arguments(divergence, bad) -> None:
    case = by_id("linear")
    for arguments in ((bad, case.near), (case.near, bad)):
        with pytest.raises(InputError, match=r"^(theta|phi): expected"):
            divergence(case.model, weighted(case), *arguments)


def direct_kl(case: Case, law: mt.Finite, theta: np.ndarray, phi: np.ndarray) -> float:
    """E_x Σ_z ∫ p_θ log(p_θ/p_φ): a sum over finite responses, else Gauss-Hermite (log p is a parabola in y)."""
    k = kernels(case.model)
    eta, other = (case.model.coefficients(t) @ law.x.T for t in (theta, phi))
    at = lambda e, y, z: k.log_gate(*e)[z] + k.log_expert(y, *e)[z]
    total = np.zeros(len(law))
    for z in range(len(case.model.latent)):
        if case.finite:
            for y in case.model.response.values:
                p = at(eta, np.full(len(law), float(y)), z)
                total += np.exp(p) * (p - at(other, np.full(len(law), float(y)), z))
            continue
        low, middle, high = (k.log_expert(np.full(len(law), float(y)), *eta)[z] for y in (-1, 0, 1))
        precision = 2 * middle - low - high
        for node, weight in zip(*np.polynomial.hermite_e.hermegauss(5), strict=True):
            y = (high - low) / 2 / precision + node / np.sqrt(precision)
            mass = weight / np.sqrt(2 * np.pi) * np.exp(k.log_gate(*eta)[z])
            total += mass * (at(eta, y, z) - at(other, y, z))
    return float(np.broadcast_to(law.weight, total.shape) @ total)


def test_kl_is_the_divergence_of_the_joint_laws(case: Case) -> None:
    law = weighted(case)
    for theta, phi in ((case.near, case.truth), (case.truth, case.near), (case.truth, -case.near)):
        value = mt.kl(case.model, law, theta, phi)
        assert value == pytest.approx(direct_kl(case, law, theta, phi), rel=1e-9, abs=1e-12)
        assert value == mt.bregman(case.model, law, phi, theta) and value > 0


def test_posterior_kl_by_its_definition(case: Case) -> None:
    law, k = weighted(case), kernels(case.model)
    p, q = (k.posterior(law.y, *(case.model.coefficients(t) @ law.x.T)) for t in (case.near, case.truth))
    right = law.weight @ np.sum(p * np.log(p / q), axis=0)
    assert posterior_kl(case.model, law, case.near, case.truth) == pytest.approx(right, rel=1e-9)
    assert posterior_kl(case.model, law, case.near, case.near) == 0
    # Finite also where a label is impossible to rounding.
    assert np.isfinite(posterior_kl(case.model, law, 300 * case.near, -300 * case.near))


def test_posterior_kl_needs_rows() -> None:
    case = by_id("linear")
    with pytest.raises(InputError, match=r"^law: expected a table or a sample"):
        posterior_kl(case.model, mt.Population(case.model, case.truth), case.near, case.truth)


# Rows ------------------------------------------------------------------------------------------------------------

OPERATORS = (
    mt.objective,
    mt.gradient,
    mt.mirror_map,
    mean_map,
    expected_statistic,
    mt.complete_information,
    mt.missing_information,
    mt.observed_information,
)


def test_weights_are_repetitions_of_rows(case: Case) -> None:
    data, times = case.sample(12, seed=4), np.arange(12) % 4
    one = mt.Finite(data.x, data.y, times.astype(float))
    other = mt.Finite(np.repeat(data.x, times, axis=0), np.repeat(data.y, times), block=5)
    for operator in OPERATORS:
        left, right = operator(case.model, one, case.near), operator(case.model, other, case.near)
        np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-13, err_msg=operator.__name__)
    left, right = (mt.EM(case.model).step(case.near, law) for law in (one, other))
    np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-10)


def test_blocks_and_order_of_rows_do_not_matter(case: Case) -> None:
    data = case.sample(100, seed=4)
    turned = mt.Data(data.x[::-1], data.y[::-1], block=7)
    for operator in OPERATORS:
        left, right = operator(case.model, data, case.near), operator(case.model, turned, case.near)
        np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-13, err_msg=operator.__name__)


def test_a_streamed_sample_is_its_data(case: Case) -> None:
    law = mt.MonteCarlo(case.model, case.truth, 9000, 5)
    for operator in OPERATORS:
        left, right = operator(case.model, law, case.near), operator(case.model, law.data(), case.near)
        np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-12, err_msg=operator.__name__)


def test_evaluate_is_all_of_it_in_one_pass(case: Case) -> None:
    for law in (weighted(case), case.sample(50, seed=2)):
        at = mt.evaluate(case.model, law, case.near)
        near = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)
        near(at.objective, mt.objective(case.model, law, case.near))
        near(at.target, expected_statistic(case.model, law, case.near))
        near(at.mean, mean_map(case.model, law, case.near))
        near(at.gradient, mt.gradient(case.model, law, case.near))
        near(at.metric(case.model, law), mt.complete_information(case.model, law, case.near))


def test_evaluate_on_a_population(case: Case) -> None:
    case = case.quick()
    law = mt.Population(case.model, case.truth)
    at = mt.evaluate(case.model, law, case.near)
    near = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12)
    near(at.objective, mt.objective(case.model, law, case.near))
    near(at.gradient, mt.gradient(case.model, law, case.near))
    near(at.metric(case.model, law), mt.complete_information(case.model, law, case.near))


# The missing-information matrix --------------------------------------------------------------------------------


def test_spectrum_of_the_missing_information_matrix(case: Case) -> None:
    law = weighted(case)
    m = mt.missing_information_matrix(case.model, law, case.near)
    complete, missing = (f(case.model, law, case.near) for f in (mt.complete_information, mt.missing_information))
    np.testing.assert_allclose(complete @ m.matrix, missing, atol=1e-12 * np.abs(missing).max())
    direct = np.sort(np.linalg.eigvals(np.linalg.solve(complete, missing)).real)[::-1]
    np.testing.assert_allclose(m.eigenvalues, direct, atol=1e-9)
    assert m.lambda_max == m.eigenvalues[0] and (np.diff(m.eigenvalues) <= 0).all()
    np.testing.assert_allclose(m.vectors.T @ complete @ m.vectors, np.eye(len(complete)), atol=1e-10)
    np.testing.assert_allclose(m.vectors.T @ missing @ m.vectors, np.diag(m.eigenvalues), atol=1e-10)


def test_units_of_the_features_do_not_matter(case: Case) -> None:
    data, units = case.sample(200), np.array([1e-6, 1.0, 1e8])
    scaled = case.transformed(np.diag(1 / units))
    one = mt.missing_information_matrix(case.model, data, case.near)
    other = mt.missing_information_matrix(scaled.model, mt.Data(data.x * units, data.y), scaled.near)
    np.testing.assert_allclose(other.eigenvalues, one.eigenvalues, rtol=1e-9, atol=1e-12)


def test_a_singular_information_is_refused() -> None:
    model, data = mt.symmetric_linear(), by_id("linear").sample(50)
    saturated = model.theta(beta=[1, 0, 0], w=[1e5, 0, 0])
    singular = mt.Finite(np.column_stack([data.x[:, :2], data.x[:, 0]]), data.y)
    for law, theta in ((data, saturated), (singular, np.ones((2, 3)))):
        with pytest.raises(InputError, match=r"^theta: expected ∇²A\(θ\) to be positive definite"):
            mt.missing_information_matrix(model, law, theta)


def test_curved_models_are_refused_by_name() -> None:
    curved = mt.Model(
        "curved",
        latent=(0, 1),
        predictors=("b1", "b2"),
        gate=None,
        expert=lambda y, z, b1, b2: mt.log_normal(y, b2 if z else b1),
        response=mt.Reals(),
    )
    law, theta = mt.Data(np.eye(2), [1.0, 2.0]), np.eye(2)
    for operator in (mean_map, mt.mirror_map, lambda *a: mt.bregman(*a, theta)):
        with pytest.raises(CurvedModelError, match=r"'curved': curved: the term -eta_b1\*\*2/2"):
            operator(curved, law, theta)
