"""gru-is-moe: what the claim states, by mpmath and NumPy code of its own; the claim's verdict and its mutants."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
import sympy as sp

from moe_theory.claims import Setting, check_claim
from moe_theory.claims.claim import Result
from proofs_checks.gru_bounds import Bounds
from proofs_checks.gru_figure import RESETS, gap_figure, largest_gaps
from proofs_checks.gru_gap import (
    BUMP,
    RELU,
    SIGMOID,
    TANH,
    Curvature,
    Value,
    in_values,
    least_slack,
    limits,
    sign_change,
)
from proofs_checks.gru_is_moe import CLAIM

sigmoid = lambda t: 1 / (1 + mpmath.exp(-t))
FUNCTIONS = {"tanh": mpmath.tanh, "sigmoid": sigmoid}
SUP = {"tanh": 4 / (3 * mpmath.sqrt(3)), "sigmoid": mpmath.sqrt(3) / 18}
SEEDS = range(12)


def gap(f, u, v, r):  # type: ignore[no-untyped-def]
    return (1 - r) * f(u) + r * f(u + v) - f(u + r * v)


def drawn(seed: int) -> tuple[mpmath.mpf, mpmath.mpf, mpmath.mpf]:
    """u, v of either sign and r in (0, 1)."""
    rng = np.random.default_rng(seed)
    u, v, r = 1.5 * rng.standard_normal(), rng.choice([-1, 1]) * rng.exponential(2.5), rng.uniform(0.02, 0.98)
    return mpmath.mpf(u), mpmath.mpf(v), mpmath.mpf(r)


@pytest.fixture(scope="module")
def result() -> Result:
    return check_claim(CLAIM, Setting(seed=11, quick=True))


def test_the_claim_is_proved_and_what_is_printed_refuted(result: Result) -> None:
    assert (result.verdict, result.printed and result.printed.verdict) == ("proved", "refuted")
    assert result.survivors == ()
    assert result.not_needed == ("reset gates of different units are independent",)
    assert result.ok
    assert {m.kind for m in CLAIM.mutants.values()} >= {"sign", "exchange", "constant", "term", "form"}


@pytest.mark.parametrize("name", CLAIM.mutants)
def test_every_mutant_falls_to_evidence_that_says_where(name: str, result: Result) -> None:
    outcome = result.mutants[name]
    assert outcome.verdict == "refuted"
    assert outcome.against is not None
    assert outcome.against.computed is not None


def test_the_printed_witness_is_a_zero_though_tanh_is_not_affine(result: Result) -> None:
    assert result.printed is not None and result.printed.against is not None
    witness = result.printed.against.witness
    assert witness is not None
    u, v, r = (mpmath.mpf(sp.Rational(witness[k]).p) / sp.Rational(witness[k]).q for k in "uvr")
    for f in FUNCTIONS.values():
        assert abs(gap(f, u, v, r)) < 1e-15
        assert abs(gap(f, u, v, r / 2)) > 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_layers_of_units(seed: int) -> None:
    """Deck less GRU is z J per unit; the mean over gates is the deck's form for ρ⊙Bh, however they depend; not for
    B(ρ⊙h), but with a diagonal B or one common gate."""
    rng = np.random.default_rng(seed)
    a, h, z, r = rng.standard_normal(3), rng.standard_normal(3), rng.random(3), rng.random(3)
    matrix = 2 * rng.standard_normal((3, 3))
    gru = (1 - z) * h + z * np.tanh(a + r * (matrix @ h))
    deck = lambda b, r: (1 - z) * h + z * (1 - r) * np.tanh(a) + z * r * np.tanh(a + b @ h)
    gaps = [float(gap(np.tanh, *each)) for each in zip(a, matrix @ h, r, strict=True)]
    np.testing.assert_allclose(deck(matrix, r) - gru, z * gaps, atol=1e-14)

    all_gates = [np.array(g) for g in itertools.product((0, 1), repeat=3)]
    independent = [np.prod(np.where(g == 1, r, 1 - r)) for g in all_gates]
    mean = lambda weights, inside: (
        (1 - z) * h + z * sum(w * np.tanh(a + inside(g)) for w, g in zip(weights, all_gates, strict=True))
    )
    after = lambda g: g * (matrix @ h)
    np.testing.assert_allclose(mean(independent, after), deck(matrix, r), atol=1e-14)
    # One uniform variable for all gates: they are as dependent as can be, with the same marginals.
    cuts = np.sort(np.concatenate(([0.0, 1.0], r)))
    coupled = [0.0] * len(all_gates)
    for low, high in itertools.pairwise(cuts):
        pattern = ((low + high) / 2 < r).astype(int)
        coupled[next(i for i, g in enumerate(all_gates) if np.array_equal(g, pattern))] += high - low
    np.testing.assert_allclose(mean(coupled, after), deck(matrix, r), atol=1e-14)

    before = lambda g: matrix @ (g * h)
    assert np.max(np.abs(mean(independent, before) - deck(matrix, r))) > 1e-2
    diagonal = np.diag(np.diag(matrix))
    np.testing.assert_allclose(mean(independent, lambda g: diagonal @ (g * h)), deck(diagonal, r), atol=1e-14)
    common = [1 - r[0] if not g.any() else r[0] if g.all() else 0.0 for g in all_gates]
    np.testing.assert_allclose(mean(common, before), deck(matrix, r[0]), atol=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_gap_is_the_kernel_against_the_second_derivative(name: str, seed: int) -> None:
    f, (u, v, r) = FUNCTIONS[name], drawn(seed)
    with mpmath.workdps(30):
        second = lambda s: mpmath.diff(f, u + s * v, 2)
        integral = mpmath.quad(lambda s: min(s * (1 - r), r * (1 - s)) * second(s), [0, r / 2, r, (1 + r) / 2, 1])
        assert abs(gap(f, u, v, r) - v**2 * integral) < 1e-11
        # f''(ξ) = J / (½r(1-r)v²) is a value of f'' on the segment.
        values = [second(mpmath.mpf(i) / 400) for i in range(401)]
        inner = gap(f, u, v, r) / (r * (1 - r) * v**2 / 2)
        assert min(values) - 1e-3 < inner < max(values) + 1e-3
        assert abs(inner) <= SUP[name]
        rise = abs(f(u + v) - f(u))
        signed = gap(f, u, v, r) * mpmath.sign(v)
        assert -(1 - r) * rise <= signed <= r * rise
        slope = 1 if name == "tanh" else mpmath.mpf(1) / 4
        assert abs(signed) <= r * (1 - r) * slope * abs(v)
        assert rise <= (2 * mpmath.tanh(abs(v) / 2) if name == "tanh" else mpmath.tanh(abs(v) / 4))


@pytest.mark.parametrize("activation", [TANH, SIGMOID], ids=lambda a: a.name)
def test_the_largest_second_derivative(activation) -> None:  # type: ignore[no-untyped-def]
    f = FUNCTIONS[activation.name]
    with mpmath.workdps(30):
        peak = mpmath.findroot(lambda t: mpmath.diff(f, t, 3), (0.3, 2.0), solver="anderson", tol=1e-24)
        found = abs(mpmath.diff(f, peak, 2))
        assert abs(found - mpmath.mpmathify(activation.sup.evalf(30))) < 1e-15
        assert abs(peak - mpmath.mpmathify(activation.peak.evalf(30))) < 1e-9
        assert abs(found - SUP[activation.name]) < 1e-15
        assert abs(activation.steepest(mpmath.mpf(-1), mpmath.mpf(9)) - found) < 1e-15
        assert activation.steepest(mpmath.mpf(2), mpmath.mpf(1)) < found
        # ½ sup|f''''| / sup|f''|, which the claim takes to be below 4.
        fourth = max(abs(mpmath.diff(f, mpmath.mpf(i) / 20, 4)) for i in range(-80, 81))
        assert fourth / (2 * found) < 4
        for k in (2, 4, 6):
            v = mpmath.mpf(10) ** -k
            assert 0 <= 1 - abs(gap(f, peak, v, mpmath.mpf(1) / 2)) / (found * v**2 / 8) < 4 * v**2


def test_the_worst_gap_is_the_range_and_is_not_attained() -> None:
    for name, width in (("tanh", 2), ("sigmoid", 1)):
        f = FUNCTIONS[name]
        with mpmath.workdps(400):
            for k in (2, 3):
                r = mpmath.mpf(10) ** -k
                low = gap(f, mpmath.mpf(-100), 200 / r, r)  # f(u), f(u+rv), f(u+v) next to inf f, sup f, sup f
                assert -width < low < -width * (1 - r) * (1 - mpmath.mpf(10) ** -40)
                high = gap(f, 100 - 200 / r, 200 / r, 1 - r)
                assert width * (1 - r) * (1 - mpmath.mpf(10) ** -40) < high < width
    q = next(iter(limits(sp.tanh)[0].free_symbols))
    assert [float(e.subs(q, 3)) for e in limits(sp.tanh)] == [-1.5, 0.5]  # r = 1/4


@pytest.mark.parametrize("name", FUNCTIONS)
def test_zeros_inside_as_the_chord_and_the_tangents_say(name: str) -> None:
    """One if the chord is steeper than f at both ends, else none; never on one side of the inflection."""
    f = {"tanh": np.tanh, "sigmoid": lambda t: 1 / (1 + np.exp(-t))}[name]
    slope = {"tanh": lambda t: 1 - np.tanh(t) ** 2, "sigmoid": lambda t: f(t) * (1 - f(t))}[name]
    rng = np.random.default_rng(5)
    r = np.linspace(0, 1, 4001)[1:-1]
    counts = []
    for _ in range(300):
        u, w = np.sort(3 * rng.standard_normal(2))
        chord = (f(w) - f(u)) / (w - u)
        margins = chord - slope(u), chord - slope(w)
        if min(abs(m) for m in margins) < 1e-3 or w - u < 0.1:
            continue  # a zero that is nearer to an end than the grid's step, or lost in rounding
        signs = np.sign(gap(f, u, w - u, r))
        zeros = int(np.sum(signs[1:] != signs[:-1]))
        assert zeros == (margins[0] > 0 and margins[1] > 0), (u, w)
        assert zeros == 0 or u < 0 < w
        counts.append(zeros)
    assert 20 < sum(counts) < len(counts) - 20


def test_a_change_of_sign_is_proved_or_not_seen() -> None:
    found = sign_change(sp.tanh, sp.Rational(-3, 2), sp.Integer(4))
    assert found is not None
    low, high = (float(sp.Rational(r)) for r in found)
    root = float(mpmath.findroot(lambda r: gap(mpmath.tanh, -1.5, 4, r), (0.2, 0.5), solver="anderson"))
    assert low < root < high
    assert gap(np.tanh, -1.5, 4, low) > 0 > gap(np.tanh, -1.5, 4, high)
    assert sign_change(sp.tanh, sp.Integer(1), sp.Integer(2)) is None
    assert sign_change(lambda t: 2 * t + 1, sp.Integer(-1), sp.Integer(2)) is None  # 0 everywhere, of no sign


def test_without_a_second_derivative_and_without_monotonicity() -> None:
    relu, bump = (RELU.numeric, BUMP.numeric)
    for v in (1e-6, 1.0, 1e3):
        u, r = mpmath.mpf(-v) / 4, mpmath.mpf(1) / 4
        assert abs(gap(relu, u, mpmath.mpf(v), r) - r * (1 - r) * v) < 1e-12 * v
    assert RELU.steepest(mpmath.mpf(-1), mpmath.mpf(2)) == 0
    middle = gap(bump, mpmath.mpf(-3), mpmath.mpf(6), mpmath.mpf(1) / 2)
    assert abs(middle) > 0.9 and bump(-3) == bump(3)
    rng = np.random.default_rng(0)
    flat = lambda a, u, v, r: (-abs(gap(a.numeric, u, v, r)), abs(gap(a.numeric, u, v, r)))
    value, at = least_slack(TANH, flat, rng, 8)
    assert value == pytest.approx(-1)
    assert set(at) == {"u", "v", "r"}


def test_values_slopes_and_curvatures_are_variables_by_argument() -> None:
    x, y = sp.symbols("x y", real=True)
    expr = in_values(Value(x * (1 + y)) - Value(x + x * y) + Value(2 * x).diff(x, 2) - 4 * Curvature(2 * x))
    assert expr == 0
    assert in_values(Value(x) - Value(y)) != 0
    assert Bounds() == Bounds()
    assert hash(Bounds()) == hash(Bounds())


def test_the_figure_draws_gaps_below_their_bounds() -> None:
    v = np.array([0.05, 0.7, 5.0, 40.0])
    for r in RESETS:
        found = largest_gaps(v, r)
        u = np.random.default_rng(1).uniform(-45, 5, (4000, 1))
        assert np.all(np.max(np.abs(gap(np.tanh, u, v, r)), axis=0) <= found * (1 + 1e-9))
        assert np.all(found <= r * (1 - r) * v**2 / 2 * float(SUP["tanh"]))
        assert np.all(found <= np.minimum(r * (1 - r) * v, 2 * max(r, 1 - r) * np.tanh(v / 2)))
    assert len(gap_figure().axes) == 2
