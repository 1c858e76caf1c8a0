"""Population moments of mixtures of experts against mpmath, closed forms and Monte Carlo; what tilts do to them."""

from __future__ import annotations

from itertools import product
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from scipy.special import expit

from moe_theory.claims import Setting
from moe_theory.errors import InputError
from moe_theory.moments.components import find_experts
from moe_theory.moments.polynomials import Polynomials
from moe_theory.moments.population import Mixture, PopulationMoments
from moe_theory.moments.transforms import derive
from moe_theory.validation import Array
from proofs_checks import tilted_gates
from proofs_checks.moment_tensors import BASE, probit_gate
from proofs_checks.moment_worlds import World, _uniform_moments
from proofs_checks.tilt_bias import drift, recovered, truth_of
from proofs_checks.tilted_gates import Bias, figures

DIGITS, SPACING, REACH = 25, mp.mpf(1) / 5, 9  # of the trapezoid rule: the triple poles of tanh³ at ±iπ/2 cost 1e-17


def _tanh_by_trapezoid(m: Mixture) -> dict[tuple[int, ...], mp.mpf]:
    """E[y^j He_n(x)], keys (j, n_1, n_2), two tanh experts in two dimensions: plain sums over a grid in mpmath."""
    found: dict[tuple[int, ...], mp.mpf] = {}
    keys = [key for key in product(range(4), repeat=3) if key[1] + key[2] <= 3]
    with mp.workdps(DIGITS):
        axis = [SPACING * n for n in range(-5 * REACH, 5 * REACH + 1)]
        density = [mp.exp(-(u**2) / 2) / mp.sqrt(2 * mp.pi) * SPACING for u in axis]
        hermite = [(mp.mpf(1), u, u**2 - 1, u**3 - 3 * u) for u in axis]
        a, w, b = (np.vectorize(mp.mpf)(v) for v in (m.regressors, m.weights, m.biases))
        totals = dict.fromkeys(keys, mp.mpf(0))
        for i, u in enumerate(axis):
            inner = np.full((4, 4), mp.mpf(0))  # power of y, degree in the second coordinate
            for own, v, polynomials in zip(density, axis, hermite, strict=True):
                scores = [w[e, 0] * u + w[e, 1] * v + b[e] for e in (0, 1)]
                p = 1 / (1 + mp.exp(scores[1] - scores[0]))
                powers = np.full(4, mp.mpf(0))
                for e, share in enumerate((p, 1 - p)):
                    g, s = mp.tanh(a[e, 0] * u + a[e, 1] * v), mp.mpf(m.sigmas[e]) ** 2
                    powers += share * np.array([mp.mpf(1), g, g**2 + s, g**3 + 3 * g * s])
                inner += own * np.multiply.outer(powers, np.array(polynomials))
            for key in keys:
                totals[key] += density[i] * inner[key[0], key[2]] * hermite[i][key[1]]
        found.update(totals)
    return found


@pytest.fixture(scope="module")
def plane() -> tuple[Mixture, dict[tuple[int, ...], mp.mpf]]:
    mixture = Mixture.of([[1.0, 0.0], [0.6, -0.8]], [[0.5, 0.9], [-0.3, 0.1]], "tanh", [0.5, 0.8], [0.7, 0.0])
    return mixture, _tanh_by_trapezoid(mixture)


def test_moments_of_two_tanh_experts_are_those_of_a_plain_sum_in_25_digits(
    plane: tuple[Mixture, dict[tuple[int, ...], mp.mpf]],
) -> None:
    mixture, exact = plane
    tensors = _tensors(mixture.moments())
    for (j, *degrees), value in exact.items():
        place = (0,) * degrees[0] + (1,) * degrees[1]
        assert tensors[len(place)][(j, *place)] == pytest.approx(float(value), abs=1e-15)


def test_directions_that_nothing_sees_add_nothing(plane: tuple[Mixture, dict[tuple[int, ...], mp.mpf]]) -> None:
    mixture, _ = plane
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((5, 5)))[0][:2]
    lifted = Mixture.of(
        mixture.regressors @ turn, mixture.weights @ turn, "tanh", mixture.sigmas, mixture.biases
    ).moments()
    square = np.einsum("jab,am,bn->jmn", mixture.moments().square_moments, turn, turn)
    cubic = np.einsum("jabc,am,bn,co->jmno", mixture.moments().cubic, turn, turn, turn)
    np.testing.assert_allclose(lifted.square_moments, square, atol=1e-14)
    np.testing.assert_allclose(lifted.cubic, cubic, atol=1e-14)


@pytest.mark.parametrize("world", [*BASE, World(3, ("relu",), tilt=0.4), World(2, ("tanh",), gate=probit_gate)])
def test_two_resolutions_agree(world: World) -> None:
    mixture = world.population(1).mixture
    coarse, fine = mixture.moments(), mixture.moments(refined=1.25)
    for a, b in zip(_tensors(coarse), _tensors(fine), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)


def test_moments_of_three_relu_experts_are_those_of_a_sample() -> None:
    world = World(3, ("relu",), sigma=(0.4, 0.7, 0.2), norms=(1.0, 0.8, 1.3), biases=(0.5, 0.0, -0.4), tilt=0.5)
    population = world.population(3)
    m, rng, n = population.mixture, np.random.default_rng(11), 150_000
    x = rng.standard_normal((n, 5))
    logits = x @ m.weights.T + m.biases + rng.gumbel(size=(n, 3))
    z = np.argmax(logits, axis=1)
    y = np.maximum(np.einsum("nd,nd->n", x, m.regressors[z]), 0) + m.sigmas[z] * rng.standard_normal(n)
    unit, worst = np.eye(5), 0.0
    for a, b in product(range(5), repeat=2):
        second = x[:, a] * x[:, b] - unit[a, b]
        for j in (1, 2, 3):
            worst = max(worst, _errors(y**j * second, population.moments.square_moments[j, a, b]))
        for c in range(b, 5):
            third = x[:, a] * x[:, b] * x[:, c]
            third -= x[:, a] * unit[b, c] + x[:, b] * unit[a, c] + x[:, c] * unit[a, b]
            worst = max(worst, _errors(y**3 * third, population.moments.cubic[3, a, b, c]))
    assert worst < 4.5  # of some hundred entries


def _errors(sample: Array, mean: float) -> float:
    return float(abs(sample.mean() - mean) / (sample.std() / np.sqrt(len(sample))))


def test_moments_of_uniform_features_under_a_constant_gate_are_known() -> None:
    a = np.array([[0.6, 0.8, 0.0], [0.0, 0.6, 0.8]])
    found = _uniform_moments(Mixture.of(a, np.zeros((2, 3)), "linear", 0.5))
    # E x⁴ = 9/5: E[y²(x_a² - 1)] = 4/5 a_a², E[y² x_a x_b] = 2 a_a a_b, E[y (x_a³ - 3 x_a)] = -6/5 a_a.
    expected = np.mean([2 * np.outer(v, v) - np.diag(6 / 5 * v**2) for v in a], axis=0)
    np.testing.assert_allclose(found.square_moments[2], expected, atol=1e-13)
    for i in range(3):
        assert found.cubic[1, i, i, i] == pytest.approx(-6 / 5 * a[:, i].mean(), abs=1e-13)
    assert found.cubic[1, 0, 1, 1] == pytest.approx(0.0, abs=1e-13)


def test_a_gates_mean_derivatives_are_those_of_one_dimension() -> None:
    w, bias = np.array([0.0, 1.2, -0.5]), 0.9
    mixture = Mixture.of(np.eye(3)[:2], [w, np.zeros(3)], biases=[bias, 0.0])
    length = float(np.linalg.norm(w))
    sigma = lambda t: 1 / (1 + mp.exp(-t))
    normal = lambda f: mp.quad(lambda z: mp.npdf(z) * f(length * z + bias), np.arange(-12, 13).tolist())
    first = float(normal(lambda t: sigma(t) * (1 - sigma(t))))
    second = float(normal(lambda t: sigma(t) * (1 - sigma(t)) * (1 - 2 * sigma(t))))
    np.testing.assert_allclose(mixture.mixing[0], float(normal(sigma)), atol=1e-14)
    np.testing.assert_allclose(mixture.score_moment(mixture.gate, 1)[0], first * w, atol=1e-14)
    np.testing.assert_allclose(mixture.score_moment(mixture.gate, 2)[0], second * np.outer(w, w), atol=1e-14)


def test_experts_come_out_of_exact_moments_exactly() -> None:
    for world in (World(2, ("tanh",), biases=(0.8, 0.0)), World(3, ("relu",)), World(3, ("linear",), sigma=(1.0,))):
        population = world.population(2)
        moments, p = population.moments, Polynomials.of(derive(world.g[0]), world.sigma[0] ** 2)
        found = find_experts(moments, world.k, p, False)
        np.testing.assert_allclose(recovered(world, 2), truth_of(world, 2), atol=1e-13)
        np.testing.assert_allclose(found.components.norms, 1.0, atol=1e-13)
        np.testing.assert_allclose(np.sort(found.components.mixing), np.sort(population.mixing), atol=1e-13)
        assert moments.square() == pytest.approx(p.square + p.variance)  # one σ, unit lengths


def test_the_first_order_of_a_tilted_second_moment_is_the_predicted_matrix() -> None:
    world = World(3, ("relu",), sigma=(0.4,), biases=(0.3, 0.0, -0.2))
    population, k, step = world.population(6), 3, 1e-3
    p = Polynomials.of(population.transform.at(0), 0.16)
    at = lambda e: world.tilted(e).population(6).moments.second(p)
    slope = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
    a, mixing = population.mixture.regressors, population.mixing
    delta = drift(world, 6, Bias().drift)
    # Weights: Σ_j E q_ij (v_j'a_i) E h₂'''/c₂; for ReLU h₂ = g² + γg, E h₂''' = E g² He_3 + γ E g He_3.
    matrix, v = population.transform.matrix, population.transform.values
    ratio = (float(matrix[1, 2]) + v.gamma * float(matrix[0, 2])) / v.c2
    s = population.mixture
    jacobian = lambda scores: (lambda q: np.array([q[i] * ((i == j) - q[j]) for i in range(k) for j in range(k)]))(
        s.gate(scores)
    )
    weights = np.sum(s.score_moment(jacobian, 0).reshape(k, k) * (a @ population.tilts.T), axis=1) * ratio
    expected = np.einsum("i,ia,ib->ab", weights, a, a)
    cross = np.einsum("i,ia,ib->ab", mixing, delta, a)
    np.testing.assert_allclose(slope, expected + cross + cross.T, atol=1e-10)
    assert np.max(np.abs(cross)) > 1e-3


def test_a_second_derivative_of_two_gates_vanishes_without_bias_only() -> None:
    curvature = lambda world: np.max(np.abs(world.population(0).mixture.score_moment(_softmax, 2)))
    assert curvature(World(2)) < 1e-15
    assert curvature(World(2, biases=(0.8, 0.0))) > 0.01
    assert curvature(World(3)) > 0.01


def _softmax(scores: Array) -> Array:
    return np.array([1 / np.sum(np.exp(scores - s), axis=0) for s in scores])


def test_probit_gate_is_one_of_two_labels() -> None:
    p = probit_gate(np.array([[0.3, -4.0], [0.1, 2.0]]))
    np.testing.assert_allclose(p.sum(axis=0), 1.0)
    assert p[0, 0] > 0.5 > p[0, 1]
    assert expit(0.2) != pytest.approx(p[0, 0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"weights": [[1.0, 0.0]]}, r"^weights: expected shape \(2, 2\) like the regressors, got \(1, 2\)$"),
        ({"sigma": [1.0, 2.0, 3.0]}, r"^sigma: expected a number or 2 of them, got shape \(3,\)$"),
        ({"biases": [[1.0]]}, r"^biases: expected a number or 2 of them, got shape \(1, 1\)$"),
        ({"sigma": -0.5}, r"^sigma: expected numbers >= 0, got -0\.5$"),
        ({"g": ["tanh"] * 3}, r"^g: expected one activation or 2 of them, got 3$"),
        ({"regressors": [1.0, 2.0]}, r"^regressors: expected 2 axes, got shape \(2,\)$"),
    ],
)
def test_wrong_mixtures_are_refused(wrong: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"regressors": np.eye(2), "weights": np.eye(2)}
    with pytest.raises(InputError, match=message):
        Mixture.of(**(good | wrong))


def test_a_gate_too_steep_for_the_rule_is_refused() -> None:
    steep = Mixture.of(np.eye(4), 40 * np.eye(4)[::-1])
    with pytest.raises(InputError, match=r"^weights: expected a gate that 2e\+07 nodes resolve, this needs \d"):
        steep.moments()


def test_figure_shows_four_cases_on_logarithmic_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tilted_gates, "TILTS", np.array([0.01, 0.1]))
    (figure,) = figures(Setting(seed=1)).values()
    axes = figure.axes[0]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert len(figure.legends[0].get_texts()) == 5


def _tensors(moments: PopulationMoments) -> tuple[Array, ...]:
    return moments.mean, moments.linear, moments.square_moments, moments.cubic
