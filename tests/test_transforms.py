"""Cubic transforms: right to 25 digits, refused with reasons, and their noise."""

from __future__ import annotations

import json
import math
import pickle
from functools import cache

import mpmath
import numpy as np
import pytest
import sympy as sp

from moe_theory.errors import InputError
from moe_theory.moments.activations import ACTIVATION_ARGUMENT as U
from moe_theory.moments.activations import activation, leaky_relu
from moe_theory.moments.closed_form import closed_form
from moe_theory.moments.gaussian_moments import gaussian_moments
from moe_theory.moments.transforms import Transform, derive

T = sp.Symbol("t")
PHI = (1 + sp.erf(T / sp.sqrt(2))) / 2
DIGITS = 45
M = mpmath

# (what is given, the same function for mpmath written by hand, whether it is analytic, its kinks)
CASES = {
    "linear": ("linear", lambda u: u, ()),
    "relu": ("relu", lambda u: max(u, M.mpf(0)), (0,)),
    "leaky 0.01": (leaky_relu(0.01), lambda u: u if u > 0 else u / 100, (0,)),
    "leaky 0.3": (leaky_relu(sp.Rational(3, 10)), lambda u: u if u > 0 else 3 * u / 10, (0,)),
    "leaky -0.5": (leaky_relu(-0.5), lambda u: u if u > 0 else -u / 2, (0,)),
    "sigmoid": ("sigmoid", lambda u: 1 / (1 + M.exp(-u)), None),
    "tanh": ("tanh", lambda u: M.tanh(u), None),
    "softplus": (sp.log(1 + sp.exp(T)), lambda u: M.log(1 + M.exp(u)), None),
    "erf": (sp.erf(T), lambda u: M.erf(u), None),
    "gelu": (T * PHI, lambda u: u * M.ncdf(u), None),
    "swish, callable": (lambda u: u / (1 + sp.exp(-u)), lambda u: u / (1 + M.exp(-u)), None),
    "sine": (sp.sin(T), lambda u: M.sin(u), None),
    "sine and cosine": (sp.sin(2 * T) + T * sp.cos(T), lambda u: M.sin(2 * u) + u * M.cos(u), None),
    "cubic": (T**3 + T, lambda u: u**3 + u, None),
    "cubic, callable": (lambda u: u**3 + u, lambda u: u**3 + u, None),
    "exponential": (sp.exp(T / 2), lambda u: M.exp(u / 2), None),
    "hinge at -1": (sp.Max(T, -1), lambda u: max(u, M.mpf(-1)), (-1,)),
    "elu": (sp.Piecewise((T, T > 0), (sp.exp(T) - 1, True)), lambda u: u if u > 0 else M.expm1(u), (0,)),
    "hard tanh": (sp.Min(1, sp.Max(-1, T)), lambda u: min(M.mpf(1), max(M.mpf(-1), u)), (-1, 1)),
    "soft shrink": (
        sp.sign(T) * sp.Max(sp.Abs(T) - sp.Rational(1, 2), 0),
        lambda u: M.sign(u) * max(abs(u) - M.mpf(1) / 2, 0),
        (-0.5, 0.5),
    ),
    "mpmath callable": (lambda u: M.atan(u), lambda u: M.atan(u), None),
    "mpmath callable, kinked": (lambda u: max(u, u / 4), lambda u: max(u, u / 4), (0,)),
    "square off centre": ((T - 1) ** 2, lambda u: (u - 1) ** 2, None),
}
FLOATS = {
    "np.tanh": (np.tanh, "tanh"),
    "math.tanh": (math.tanh, "tanh"),
    "np.maximum": (lambda u: np.maximum(u, 0.0), "relu"),
    "where": (lambda u: np.where(u > 0, u, 0.3 * u), "leaky 0.3"),
    "branch": (lambda u: u if u > 0 else math.expm1(u), "elu"),
    "clip": (lambda u: float(np.clip(u, -1, 1)), "hard tanh"),
}


@cache
def independent(name: str) -> tuple[M.mpf, ...]:
    """α, β(0), γ, c₂, c₃, E g, …, E g⁶ at 45 digits: trapezoid or tanh-sinh rule, then lu_solve."""
    _, g, kinks = CASES[name]
    g, density = cache(g), cache(M.npdf)
    with M.workdps(DIGITS):
        if kinks is None:
            step = M.mpf(1) / 12  # exp(-π²/step) for poles at ±iπ/2
            points = [i * step for i in range(-12 * 17, 12 * 17 + 1)]
            mean = lambda f: step * M.fsum(f(t) * density(t) for t in points)
        else:
            mean = lambda f: M.quad(lambda t: f(t) * density(t), [-17, -5, *kinks, 5, 17])
        hermite = [lambda u: u, lambda u: u * u - 1, lambda u: u**3 - 3 * u]
        m = [[mean(lambda u, j=j, h=h: g(u) ** j * h(u)) for h in hermite] for j in (1, 2, 3)]
        raw = [mean(lambda u, j=j: g(u) ** j) for j in range(1, 7)]
        solution = M.lu_solve(M.matrix([[m[1][0], m[0][0]], [m[1][1], m[0][1]]]), M.matrix([-m[2][0], -m[2][1]]))
        a, b = solution[0], solution[1]
        gamma = -m[1][0] / m[0][0]
        c2, c3 = m[1][1] + gamma * m[0][1], m[2][2] + a * m[1][2] + b * m[0][2]
        return (a, b, gamma, c2, c3, *raw)


def numbers(found: Transform) -> tuple[sp.Expr, ...]:
    return (found.alpha, found.beta, found.gamma, found.c2, found.c3, *found.moments)


@pytest.mark.parametrize("name", CASES)
def test_to_25_digits(name: str) -> None:
    wanted = independent(name)
    found = derive(CASES[name][0])
    assert found.exact or found.digits >= 28
    with M.workdps(DIGITS):
        for value, right in zip(numbers(found), wanted, strict=True):
            value = M.mpmathify(sp.N(value, 50))
            assert abs(value - right) <= M.mpf("1e-25") * max(1, abs(right)), (name, value, right)
        for sigma in (0.1, 1, sp.Rational(7, 3)):
            exact = M.mpf(sp.nsimplify(sigma, rational=True).p) / sp.nsimplify(sigma, rational=True).q
            other = derive(CASES[name][0], sigma)
            beta = M.mpmathify(sp.N(other.beta, 50))
            assert abs(beta - (wanted[1] - 3 * exact**2)) <= M.mpf("1e-25") * max(1, abs(wanted[1]))
            assert (other.alpha, other.gamma, other.c2, other.c3) == (found.alpha, found.gamma, found.c2, found.c3)


@pytest.mark.parametrize("name", FLOATS)
def test_float_callables_have_the_digits_they_say(name: str) -> None:
    g, same = FLOATS[name]
    found, wanted = derive(g), independent(same)
    assert not found.exact
    assert 9 <= found.digits <= 13
    unit = float(M.sqrt(wanted[6] - wanted[5] ** 2))
    for value, right, power in zip(numbers(found)[:5], wanted, (1, 2, 1, 2, 3), strict=False):
        assert float(value) == pytest.approx(float(right), rel=10.0**-found.digits, abs=unit**power * 1e-11)


def test_closed_forms_where_there_are_any() -> None:
    exact = {name for name, (g, _, _) in CASES.items() if derive(g).exact}
    assert exact >= {"linear", "relu", "leaky 0.01", "sine", "cubic", "exponential", "elu", "hard tanh", "soft shrink"}
    assert not exact & {"sigmoid", "tanh", "softplus", "erf", "gelu"}
    sigma = sp.Symbol("sigma", positive=True)
    linear, relu = derive("linear", sigma), derive("relu", sigma)
    assert (linear.alpha, linear.gamma, linear.c2, linear.c3) == (0, 0, 2, 6)
    assert sp.expand(linear.beta + 3 + 3 * sigma**2) == 0
    assert sp.simplify(relu.c2 - (1 - 2 / sp.pi)) == 0
    assert sp.simplify(relu.c3 - 3 * (sp.pi - 3) / (sp.pi - 2)) == 0
    assert sp.diff(relu.beta, sigma) == -6 * sigma
    leaky = derive("leaky-relu")
    slope = leaky.activation.parameters[0]
    for s, other in ((0, "relu"), (1, "linear"), (sp.Rational(3, 10), leaky_relu(0.3))):
        for value, right in zip(numbers(leaky), numbers(derive(other)), strict=True):
            assert abs(sp.N(value.subs(slope, s) - right, 40)) < 1e-35


def test_the_definition_holds_by_derivatives_under_noise() -> None:
    """E h' etc. from finite differences of h_m(u) = E_N P_m(g(u) + σN), with no Stein identity and no moments of g."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(90)
    weights = weights / weights.sum()
    for g, sigma in (("sigmoid", 0.4), ("tanh", 0.4), (sp.log(1 + sp.exp(T)), 1.0)):
        found = derive(g, sigma)
        f, h = found.activation.function, 0.05
        noise = lambda p, u, f=f, s=sigma: np.tensordot(weights, p(f(u)[None] + s * nodes[:, None]), 1)
        for p, slopes in ((found.p3, (0, 0, found.values.c3)), (found.p2, (0, found.values.c2))):
            at = {k: weights @ noise(p, nodes + k * h) for k in range(-4, 5)}
            # Central differences of order 4 and higher
            first = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * h)
            second = (16 * (at[1] + at[-1]) - (at[2] + at[-2]) - 30 * at[0]) / (12 * h**2)
            third = (-at[3] + 8 * at[2] - 13 * at[1] + 13 * at[-1] - 8 * at[-2] + at[-3]) / (8 * h**3)
            for value, right in zip((first, second, third), slopes, strict=False):
                assert value == pytest.approx(right, abs=2e-5)


@pytest.mark.parametrize(
    ("g", "reason"),
    [
        (sp.Integer(3), "it is constant"),
        (lambda u: 0 * u + 2, "it is constant"),
        (T**2, r"it is even, so E g\(Z\)\^j He_m\(Z\) = 0 for m = 1, 3"),
        (sp.cosh(T), "it is even"),
        (sp.cos(T) + 1, "it is even"),
        (sp.tanh(T) ** 2, "it is even"),
        (leaky_relu(-1), "it is even"),
        (np.abs, "it is even"),
        (lambda u: np.cos(np.asarray(u, dtype=float)), "it is even"),
        (sp.sign(T), "it takes two values, so g² is an affine function of g, and c_2 = 0"),
        (sp.Heaviside(T - 1), "it takes two values"),
        (lambda u: np.where(u > 0.3, 2.0, -1.0), "it takes two values"),
        (
            (sp.sign(T - 1) + sp.sign(T + 2)),
            "it takes three values, so g³ is a combination of 1, g and g², and c_3 = 0",
        ),
        (lambda u: np.round(np.clip(u, -1, 1)), "it takes three values"),
        (T**3 - 3 * T, "M_11 = E g'"),
        (T**2 + T**3 - 3 * T, "M_11 = E g'"),
    ],
)
def test_refused_with_the_reason(g: object, reason: str) -> None:
    with pytest.raises(InputError, match=f"^activation: .* admits no transform: {reason}"):
        derive(g)


def test_pivots_that_vanish_are_named() -> None:
    """g = u exp(-au²): c₂ ∝ 3/(1+4a) - 1 and c₃ ∝ 15/(1+6a) - 9/(1+2a), which vanish at a = ½ and at a = ¼."""
    with pytest.raises(InputError, match=r"admits no transform: c_2 = 0, the second pivot$"):
        derive(T * sp.exp(-(T**2) / 2))
    with pytest.raises(InputError, match=r"admits no transform: c_3 = 0, the third pivot$"):
        derive(T * sp.exp(-(T**2) / 4))
    with pytest.raises(InputError, match=r"admits no transform: c_3 = 0, the third pivot$"):
        derive(lambda u: u * np.exp(-(u**2) / 4))
    assert derive(T * sp.exp(-(T**2) / 3)).exact


def test_an_affine_map_of_the_response_scales_the_coefficients() -> None:
    a, b = sp.Rational(5, 2), sp.Rational(-7, 3)
    one, two = derive(U**3 + U**2), derive(a * (U**3 + U**2) + b)
    assert sp.simplify(two.c3 - a**3 * one.c3) == 0
    assert sp.simplify(two.c2 - a**2 * one.c2) == 0


def test_expectations_that_do_not_exist() -> None:
    with pytest.raises(
        InputError, match=r"^activation: E g\(Z\) does not exist, as exp\(u\*\*2\) outgrows the normal density$"
    ):
        derive(sp.exp(T**2))
    with pytest.raises(InputError, match=r"^activation: E g\(Z\)\^3 does not exist, or g is too rough near u = "):
        derive(1 / T)
    with pytest.raises(InputError, match=r"^activation: E g\(Z\) does not exist"):
        derive(lambda u: np.exp(u * u))
    with pytest.raises(InputError, match=r"^activation: E g\(Z\) does not exist"):
        derive(sp.exp(sp.exp(T)))
    with pytest.raises(InputError, match=r"^activation: expected a real function of every real u"):
        derive(sp.log(T))
    for g in (sp.exp(T**2 / 8) + T, sp.exp(T**2 / 8) * sp.tanh(T)):  # E g³ exists, E g⁶ does not
        found = derive(g, 0.5)
        assert found.noise3 == math.inf
        assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["noise3"] == "inf"


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "cubic", "elu", "square off centre"])
def test_variances_and_noise_by_quadrature(name: str) -> None:
    """Var P_m(y) from a product rule in (Z, N), with P_m as it is called."""
    for sigma in (0.0, 0.1, 1.0):
        found = derive(CASES[name][0], sigma)
        grid = np.linspace(-13, 13, 20801)  # kinks at 0 cost step² / 12 times the jump of the slope
        z = np.exp(-(grid**2) / 2)
        z /= z.sum()
        n, w = np.polynomial.hermite_e.hermegauss(12)
        y = found.activation.function(grid)[:, None] + sigma * n
        weight = z[:, None] * (w / w.sum())
        for p, variance, noise, order in (
            (found.p2, found.variance2, found.noise2, 2),
            (found.p3, found.variance3, found.noise3, 6),
        ):
            mean = np.sum(weight * p(y))
            right = np.sum(weight * (p(y) - mean) ** 2)
            assert float(variance) == pytest.approx(right, rel=1e-5)
            c = found.values.c2 if order == 2 else found.values.c3
            assert noise == pytest.approx(math.sqrt(order * right) / abs(c), rel=1e-5)


def test_noise_is_the_deviation_of_an_entry_along_an_orthogonal_direction() -> None:
    """Monte Carlo: per row, entries (v, v), (v, w) and (v, v, v), (v, v, w), (v, w, t) with v, w, t ⟂ a."""
    rng = np.random.default_rng(5)
    found = derive("tanh", 0.3)
    z, noise, v, w, t = rng.standard_normal((5, 400_000))
    y = found.activation.function(z) + 0.3 * noise
    two, three = found.p2(y), found.p3(y)
    two, three = (two - two.mean()) / found.values.c2, (three - three.mean()) / found.values.c3
    entries = [
        (two * (v * v - 1), found.noise2),
        (two * v * w, found.noise2 / math.sqrt(2)),
        (three * (v**3 - 3 * v), found.noise3),
        (three * (v * v - 1) * w, found.noise3 / math.sqrt(3)),
        (three * v * w * t, found.noise3 / math.sqrt(6)),
    ]
    for entry, deviation in entries:
        square = entry**2
        error = square.std() / math.sqrt(len(square))
        assert abs(square.mean() - deviation**2) < 4 * error
    # What they are to estimate, along a: c₂ and c₃.
    for entry, right in ((two * (z * z - 1), 1.0), (three * (z**3 - 3 * z), 1.0)):
        assert abs(entry.mean() - right) < 4 * entry.std() / math.sqrt(len(entry))


def test_activations_are_evaluated_without_overflow() -> None:
    u = np.array([[-800.0, -3.0, -0.1], [0.2, 4.0, 800.0]])
    for name, (g, exact, _) in CASES.items():
        if name in ("exponential", "mpmath callable", "mpmath callable, kinked"):
            continue
        a = activation(g)
        for point, value, slope in zip(u.ravel(), a.function(u).ravel(), a.slope(u).ravel(), strict=True):
            right = exact(M.mpf(point))
            assert value == pytest.approx(float(right), rel=1e-13, abs=1e-300), (name, point)
            with M.workdps(50):
                h = M.mpf("1e-15")
                difference = (exact(M.mpf(point) + h) - exact(M.mpf(point) - h)) / (2 * h)
            assert slope == pytest.approx(float(difference), rel=1e-9, abs=1e-20), (name, point)
    for g in (np.tanh, math.tanh, M.tanh):
        assert activation(g).slope(np.array([0.3, -2.0])) == pytest.approx(1 - np.tanh([0.3, -2.0]) ** 2, rel=1e-10)


def test_what_a_callable_becomes() -> None:
    assert activation(lambda t: sp.tanh(t)).expr == sp.tanh(U)
    assert activation(lambda t: t**3 + t).expr == U**3 + U
    assert [activation(g).mode for g in (M.tanh, np.tanh, math.tanh)] == ["mpmath", "array", "element"]
    assert activation(lambda t: t * math.exp(-abs(t))).mode == "element"  # 16 digits, whatever it is given
    assert activation(T + sp.Float(0.1)).expr == U + sp.Rational(1, 10)
    same = activation("relu")
    assert activation(same) is same
    assert activation(sp.Symbol("u") * 2).expr == 2 * U


def test_pickled_with_what_was_given() -> None:
    for g in ("relu", "tanh", T * PHI, np.tanh, leaky_relu(0.1)):
        found = derive(g, 0.1)
        found.activation.function([0.5])
        found.activation.slope([0.5])
        again = pickle.loads(pickle.dumps(found))
        assert again == found
        assert again.activation.function([0.5]) == found.activation.function([0.5])
        assert again.p3([1.0, 2.0]) == pytest.approx(found.p3([1.0, 2.0]))


def test_views() -> None:
    found = derive("sigmoid", 0.5)
    assert derive("sigmoid").at(0.5) == found
    assert found.at(0) == derive("sigmoid")
    y = np.array([[0.3, -1.0], [2.0, 0.0]])
    v = found.values
    assert found.p3(y) == pytest.approx(y**3 + v.alpha * y**2 + v.beta * y)
    assert found.p2(y) == pytest.approx(y**2 + v.gamma * y)
    as_json = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert as_json["c3"] == v.c3
    assert as_json["closed_form"] is None
    assert derive("relu").to_dict()["closed_form"]["c2"]
    for g in ("sigmoid", "relu", "leaky-relu"):
        assert derive(g)._repr_latex_().startswith("$\\begin{aligned}P_3(y)")
    symbolic = derive("relu", sp.Symbol("s", positive=True))
    assert symbolic.variance3.free_symbols
    assert symbolic.to_dict()["noise3"] is None
    assert derive("tanh").matrix.shape == (3, 3)
    assert gaussian_moments(activation("tanh")).digits >= 35
    assert closed_form(sp.tanh(U)) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: derive("gelu"),
            r"^activation: expected one of linear, relu, leaky-relu, sigmoid, tanh, .* got 'gelu'$",
        ),
        (lambda: derive(3), "^activation: expected a name, a SymPy expression or a callable, got int$"),
        (lambda: derive("relu", -0.1), "^sigma: expected a number >= 0, got -0.1$"),
        (lambda: derive("relu", float("nan")), "^sigma: expected a number >= 0, got nan$"),
        (lambda: derive("relu", float("inf")), "^sigma: expected a number >= 0, got inf$"),
        (lambda: derive("relu", "a"), "^sigma: expected a number >= 0, got 'a'$"),
        (lambda: derive("relu", [1]), r"^sigma: expected a number >= 0, got \[1\]$"),
        (lambda: derive("relu", 1j), "^sigma: expected a number >= 0, got 1j$"),
        (lambda: derive("leaky-relu").values, "^alpha: expected no symbols, got slope"),
        (lambda: activation("leaky-relu").function([1.0]), "^slope: expected a number, got a symbol"),
        (lambda: derive(sp.Symbol("a", real=True) * sp.tanh(U)), "^a: expected a number, got a symbol"),
        (lambda: leaky_relu("x y"), "^slope: expected a"),
        (lambda: leaky_relu(1j), "^slope: expected a (real )?number"),
        (lambda: leaky_relu(float("nan")), "^slope: expected a (real )?number"),
        (
            lambda: activation(sp.Symbol("a") + sp.Symbol("b")),
            "^activation: expected one symbol, or the argument",
        ),
        (lambda: activation(sp.Function("f")(T)), "^activation: expected a known function"),
        (lambda: activation(sp.I * T), "^activation: expected a real function"),
        (lambda: activation(lambda: 1), "^activation: expected a callable of one real number"),
        (lambda: derive(sp.Piecewise((T, T > 0))), "^activation: expected a function of every real u"),
        (lambda: derive("relu").p3(["a"]), "^y: expected real numbers"),
    ],
)
def test_wrong_inputs(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()  # type: ignore[operator]
