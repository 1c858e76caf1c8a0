"""Enclosures of rates: against an independent quadrature at 30 digits, another rigorous one, and coarse rules."""

from __future__ import annotations

import json
import math
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from mpmath import mp
from mpmath.calculus.quadrature import GaussLegendre

import moe_theory as mt
from moe_theory.errors import InputError

pytest.importorskip("flint")
from flint import acb, arb, ctx

from moe_theory.certificates import population, quadrature
from moe_theory.certificates.population import RateEnclosure, certified_rate
from moe_theory.certificates.quadrature import Form, Rule, discretisation, moments, rule, truncation

LINEAR, LOGISTIC = mt.symmetric_linear(), mt.symmetric_logistic()
REFERENCE = [
    r for r in json.loads((Path(__file__).parent / "data" / "rates.json").read_text()) if r["beta"] == r["at_beta"]
]


def enclosed(model: mt.Model, beta, w, **options) -> RateEnclosure:
    return certified_rate(model, model.theta(beta=beta, w=w), **options)


def bilinear(a0: float = 0.3, a1: float = 0.8, c: float = 0.9) -> list[Form]:
    a = arb(a0), arb(a1)
    return [Form(a, arb(0)), Form(a, arb(c))]


# Against other computations -------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", REFERENCE, ids=lambda r: f"{r['case']}-{r['model'][10:]}")
def test_numbers_of_an_independent_quadrature(row: dict) -> None:
    model = LINEAR if row["model"] == "symmetric-linear" else LOGISTIC
    found = enclosed(model, row["beta"], row["w"], digits=8)
    slack = 10.0 ** -row["digits"]  # of the reference
    assert found.lower - slack <= row["lambda_max"] <= found.upper + slack
    assert found.width < 1e-8


def test_the_numbers_of_the_theory() -> None:
    for model, value in ((LINEAR, 0.281540089801), (LOGISTIC, 0.969143888425)):
        found = enclosed(model, [3, 0, 0], [0, 1, 0], digits=13)
        assert round(found.lower, 12) == round(found.upper, 12) == value
        assert found.width < 1e-13


CASES = [
    ([0.7], [0.5]),
    ([0.7, 1.0], [0, 0]),
    ([0.6, 0.8, 0], [-1.2, -1.6, 0]),
    ([1, -0.3], [0.5, 2]),
    ([1, -0.3, 0], [0.5, 2, 0]),
    ([1, 2, 3, 4], [0, 0, 1, 1]),
    ([4, 0, 0], [0, 1e-9, 0]),
]


@pytest.mark.parametrize("model", [LINEAR, LOGISTIC], ids=lambda m: m.name)
@pytest.mark.parametrize(("beta", "w"), CASES)
def test_predictions_lie_within_their_error_of_the_enclosure(model: mt.Model, beta: list, w: list) -> None:
    truth = model.theta(beta=beta, w=w)
    predicted, found = mt.predict_rate(model, mt.Population(model, truth), truth), certified_rate(model, truth, 9)
    assert found.lower - predicted.error <= predicted.lambda_max <= found.upper + predicted.error
    assert 0 < found.lower <= found.upper <= 1 and found.width < 1e-9


def gauss(panels: list[float]) -> list[tuple[mp.mpf, mp.mpf]]:
    """12 nodes in each panel."""
    nodes = GaussLegendre(mp).calc_nodes(3, mp.prec)
    return [((a + b) / 2 + (b - a) / 2 * t, (b - a) / 2 * s) for a, b in pairwise(panels) for t, s in nodes]


def expit(t: mp.mpf) -> mp.mpf:
    return 1 / (1 + mp.exp(-t))


def normal(t: mp.mpf) -> mp.mpf:
    return mp.exp(-t * t / 2) / mp.sqrt(2 * mp.pi)


def top(missing: mp.matrix, complete: mp.matrix) -> mp.mpf:
    root = mp.cholesky(complete) ** -1
    return max(mp.eigsy(root * missing * root.T, eigvals_only=True))


def logistic_at_30_digits(b: float, w: tuple[float, float]) -> mp.mpf:
    """λ_max in d >= 3 from the definition, β = (b, 0): density, posterior and A'' in x, term by term."""
    missing, complete = mp.zeros(6), mp.zeros(6)
    grid = gauss([1.6 * i for i in range(-6, 7)])
    for u, su in grid[len(grid) // 2 :]:
        for v, sv in grid:
            weight = 2 * su * sv * normal(u) * normal(v)
            lb, lw = b * u, w[0] * u + w[1] * v
            x = (u * u, u * v, v * v, mp.mpf(1))  # the last for a direction orthogonal to both
            q = []
            for y in (-1, 1):
                joint = expit(lw) * expit(y * lb), expit(-lw) * expit(-y * lb)
                q.append(joint[0] * joint[1] / (joint[0] + joint[1]))
            even, odd = weight * (q[0] + q[1]), weight * (q[1] - q[0])
            curvature = [weight * expit(t) * expit(-t) for t in (lb, lw)]
            for i, j, k in ((0, 0, 0), (0, 1, 1), (1, 1, 2), (2, 2, 3)):
                missing[i, j] += even * x[k]
                missing[3 + i, j] += odd * x[k]
                complete[i, j] += curvature[0] * x[k]
                complete[3 + i, 3 + j] += curvature[1] * x[k]
    for i, j in product(range(3), repeat=2):
        low, high = min(i, j), max(i, j)
        missing[i, j] = missing[3 + i, 3 + j] = missing[low, high]
        complete[i, j], complete[3 + i, 3 + j] = complete[low, high], complete[3 + low, 3 + high]
        missing[3 + i, j] = missing[3 + low, high]
    for i, j in product(range(3), repeat=2):
        missing[j, 3 + i] = missing[3 + i, j]
    return top(missing, complete)


def linear_at_30_digits(b: float, w: float) -> tuple[mp.mpf, mp.mpf]:
    """λ_max in d = 1 and in d >= 2 from the definition, β = (b, 0), w = (w, 0)."""
    missing, gate = [mp.matrix(2, 2), mp.matrix(2, 2)], [mp.mpf(0), mp.mpf(0)]
    ys = gauss([0.8 * i for i in range(-11, 12)])
    for u, su in gauss([1.0 * i for i in range(10)]):
        weight, lb, lw = 2 * su * normal(u), b * u, w * u
        sums = [mp.mpf(0)] * 3
        for y, sy in ys:
            joint = expit(lw) * normal(y - lb), expit(-lw) * normal(y + lb)
            q = sy * joint[0] * joint[1] / (joint[0] + joint[1])
            sums = [sums[0] + 4 * y * y * q, sums[1] + 2 * y * q, sums[2] + q]
        for k, square in enumerate((u * u, 1)):
            missing[k] += weight * square * mp.matrix([[sums[0], sums[1]], [sums[1], sums[2]]])
            gate[k] += weight * square * expit(lw) * expit(-lw)
    along, across = (top(m, mp.diag([1, g])) for m, g in zip(missing, gate, strict=True))
    return along, max(along, across)


def test_logistic_experts_at_30_digits() -> None:
    found = enclosed(LOGISTIC, [1.5, 0, 0], [0.375, 0.75, 0], digits=11)
    with mp.workdps(30):
        assert found.lower < logistic_at_30_digits(1.5, (0.375, 0.75)) < found.upper
    assert found.width < 1e-11


def test_linear_experts_at_30_digits() -> None:
    with mp.workdps(30):
        line, space = linear_at_30_digits(0.75, 0.5)
        for value, zeros in ((line, []), (space, [0]), (space, [0, 0])):
            found = enclosed(LINEAR, [0.75, *zeros], [0.5, *zeros])
            assert found.lower < value < found.upper and found.width < 1e-10


# The quadrature ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [0.2, 1.5, 7.5])
def test_moments_overlap_those_of_adaptive_integration_in_balls(a: float) -> None:
    with ctx.workprec(100):
        form = Form((arb(a), arb(0)), arb(0))
        found = moments([form, form], rule([form, form], 40.0))[0]
        for i in (0, 2):
            density = lambda t, _: t**i * (-t * t / 2).exp() / (a * t).cosh() ** 2  # noqa: B023
            other = acb.integral(density, -12, 12).real / (2 * arb.pi()).sqrt() + arb(0, 1e-29)
            assert found[i, 0, 0].overlaps(other) and found[i, 0, 0].rad() < 1e-15
        assert found[2, 2, 2].overlaps(found[2, 0, 0])  # coordinates that no form sees have variance 1
        assert found[2, 1, 0].contains(0) and found[1, 0, 0] == 0


ORDERS = [(0, 0, 0), (2, 0, 0), (0, 2, 1), (1, 1, 1), (0, 0, 2), (2, 0, 2)]


@pytest.fixture(scope="module")
def fine() -> np.ndarray:
    """Moments to 14 digits."""
    with ctx.workprec(160):
        return moments(bilinear(), rule(bilinear(), 34.0))[0]


@pytest.mark.parametrize("steps", [(0.9, 0.8, 0.9), (0.5, 0.9, 0.1), (0.1, 0.9, 0.5), (0.4, 0.4, 0.4), (0.2, 0.5, 0.2)])
def test_the_discretisation_error_is_needed_and_suffices(steps: tuple, fine: np.ndarray, monkeypatch) -> None:
    coarse = Rule.of(steps, 10.0)
    with ctx.workprec(160):
        honest = moments(bilinear(), coarse)[0]
        assert all(honest[order].contains(fine[order]) for order in ORDERS)
        monkeypatch.setattr(quadrature, "discretisation", lambda *_: arb(0))
        mutant = moments(bilinear(), coarse)[0]
        assert not all(mutant[order].overlaps(fine[order]) for order in ORDERS)


@pytest.mark.parametrize("reach", [1.6, 2.5, 4.0, 6.0])
def test_the_truncation_error_is_needed_and_suffices(reach: float, fine: np.ndarray, monkeypatch) -> None:
    short = Rule(steps := (0.1, 0.3, 0.1), tuple(math.floor(reach / h) for h in steps))
    with ctx.workprec(160):
        honest = moments(bilinear(), short)[0]
        assert all(honest[order].contains(fine[order]) for order in ORDERS)
        monkeypatch.setattr(quadrature, "truncation", lambda *_: arb(0))
        mutant = moments(bilinear(), short)[0]
        assert not all(mutant[order].overlaps(fine[order]) for order in ORDERS)


@pytest.mark.parametrize("nats", [3.0, 6.0, 12.0, 20.0])
def test_what_is_left_out_is_accounted_for(nats: float, fine: np.ndarray) -> None:
    grid = rule(bilinear(), nats)
    with ctx.workprec(160):
        found, summed = moments(bilinear(), grid)
        assert summed < math.prod(2 * n + 1 for n in grid.counts)
        assert all(found[order].contains(fine[order]) for order in ORDERS)
        # No more than the three parts of the error, of about exp(-nats) each.
        stated = truncation(grid) + sum(discretisation(bilinear(), j, h) for j, h in enumerate(grid.steps))
        assert stated < found[0, 0, 0].rad() < 2 * stated < 20 * math.exp(-nats)


def test_a_strip_that_reaches_the_poles_is_not_taken() -> None:
    """sech(a t) has its first pole at iπ/2a: the error falls like exp(-π²/ah), and the bound no faster."""
    for a, h in ((2.0, 0.5), (8.0, 0.1), (20.0, 0.05)):
        form = Form((arb(a), arb(0)), arb(0))
        bound = discretisation([form], 0, h)
        assert bound > math.exp(-(math.pi**2) / (a * h))
        sums = sum(h * math.exp(-((n * h) ** 2) / 2) / math.cosh(a * n * h) for n in range(-400, 401))
        exact = float(mp.quad(lambda t: mp.exp(-t * t / 2) * mp.sech(a * t), np.linspace(-9, 9, 73).tolist()))  # noqa: B023
        assert abs(sums - exact) / math.sqrt(2 * math.pi) < bound


@pytest.mark.parametrize("model", [LINEAR, LOGISTIC], ids=lambda m: m.name)
@pytest.mark.parametrize("nats", [6.0, 9.0, 14.0])
def test_rates_by_coarse_rules(model: mt.Model, nats: float, monkeypatch) -> None:
    """Wide enclosures that hold; without the errors of their moments they miss."""
    truth = model.theta(beta=[1, 0.5, 0], w=[0.2, 1, 0])
    exact = certified_rate(model, truth, digits=13)
    monkeypatch.setattr(population, "ROUNDS", 1)
    monkeypatch.setattr(population, "rule", lambda forms, _: rule(forms, nats))
    honest = certified_rate(model, truth)
    assert honest.lower <= exact.lower <= exact.upper <= honest.upper and honest.width > 1e-7
    bare = lambda values: np.vectorize(lambda v: v.mid(), otypes=[object])(values)
    monkeypatch.setattr(population, "moments", lambda forms, grid: (bare(moments(forms, grid)[0]), 1))
    mutant = certified_rate(model, truth)
    assert mutant.width < 1e-13 and not mutant.lower <= (exact.lower + exact.upper) / 2 <= mutant.upper


# Invariances and limits ----------------------------------------------------------------------------------------


def overlap(a: RateEnclosure, b: RateEnclosure) -> bool:
    return max(a.lower, b.lower) <= min(a.upper, b.upper)


def test_sigma_and_covariance_only_change_units() -> None:
    half = mt.symmetric_linear(sigma=0.5)
    base = enclosed(LINEAR, [1, 0.5, 0], [0.25, 1, 0], digits=8)
    assert overlap(base, enclosed(half, [0.5, 0.25, 0], [0.25, 1, 0], digits=8))
    assert not overlap(base, enclosed(half, [1, 0.5, 0], [0.25, 1, 0], digits=3))
    covariance = np.array([[4, 1, 0], [1, 1, 0.5], [0, 0.5, 2]])
    for model in (LINEAR, LOGISTIC):
        truth = model.theta(beta=[1, 0.5, -0.25], w=[0.25, 1, 0])
        predicted = mt.predict_rate(model, mt.Population(model, truth, covariance), truth)
        found = certified_rate(model, truth, 8, covariance)
        assert found.lower - predicted.error <= predicted.lambda_max <= found.upper + predicted.error
        assert not overlap(found, certified_rate(model, truth, 3))


def test_symmetries() -> None:
    beta, w = np.array([1, 0.5, 0]), np.array([0.25, 1, 0])
    for model, digits in ((LINEAR, 5), (LOGISTIC, 10)):
        base = enclosed(model, beta, w, digits=digits)
        for other in ((-beta, -w), (beta, -w), (np.append(beta, 0), np.append(w, 0)), (beta[::-1], w[::-1])):
            assert overlap(base, enclosed(model, *other, digits=digits))
    assert overlap(base, enclosed(LOGISTIC, w, beta))


@pytest.mark.parametrize("model", [LINEAR, LOGISTIC], ids=lambda m: m.name)
def test_without_experts_all_information_is_missing(model: mt.Model) -> None:
    for zeros, w in ([[0], [0]], [[0], [2]], [[0, 0], [0, 0]], [[0, 0, 0], [3, 4, 0]]):
        found = enclosed(model, zeros, w)
        assert found.upper == 1 and found.lower >= 1 - 1e-10


def test_steep_predictors() -> None:
    for model, beta, w in (
        (LINEAR, [1000, 0, 0], [0, 0.5, 0]),
        (LINEAR, [3, 0], [100, 0]),
        (LOGISTIC, [50, 0, 0], [40, 30, 0]),
        (LOGISTIC, [0, 50], [-30, 0]),
    ):
        found = enclosed(model, beta, w)
        assert 0 < found.lower < found.upper < 1 and found.width < 1e-10 * found.upper
    assert enclosed(LINEAR, [1000, 0, 0], [0, 0.5, 0], digits=3).upper * 1000 == pytest.approx(0.9, abs=0.1)


# Verdicts of matrices ------------------------------------------------------------------------------------------


def test_eigenvalues_of_matrices_with_known_ones() -> None:
    balls = lambda rows: np.array([[arb(v) for v in row] for row in rows], dtype=object)
    lower, upper = population._largest(balls([[2, 1], [1, 2]]), balls([[4, 0], [0, 4]]))
    assert lower <= 0.75 <= upper and upper - lower < 1e-14
    assert population._positive_definite(balls([[2, 1], [1, 2]]))
    assert not population._positive_definite(balls([[1, 2], [2, 1]]))
    assert not population._positive_definite(balls([[1, 1], [1, 1]]))
    wide = np.array([[arb(1, 2)]], dtype=object)
    assert not population._positive_definite(wide)
    assert population._largest(wide, wide) == (0, 1)


ROUNDED = [[0.1, 0.53, 1.14], [0.53, 10.73, 13.34], [1.14, 13.34, 19.72]]  # of rank 2 as decimals

# Bad input -----------------------------------------------------------------------------------------------------


def test_what_is_not_covered() -> None:
    theta = [[1.0, 0], [0, 1]]
    for model, at in (
        (mt.linear_experts(), [[1.0], [2], [3]]),
        (mt.erased_labels(), [[1.0]]),
        (mt.softmax_moe(2, "poisson"), [[1.0], [1], [1]]),
    ):
        with pytest.raises(InputError, match=f"model: expected symmetric_linear.*got {model.name}: not covered"):
            certified_rate(model, at)
    sighted = LINEAR.designed(("a", "b"), sees={"beta": ("a",), "w": ("b",)})
    with pytest.raises(InputError, match="without a design, got symmetric-linear on the features a, b"):
        certified_rate(sighted, theta)
    other = mt.Model(
        "slow",
        latent=(-1, 1),
        predictors=("beta", "w"),
        gate=lambda z, w: mt.log_expit(z * w),
        expert=lambda y, z, beta: mt.log_normal(y, z * beta / 2),
        response=mt.Reals(),
    )
    with pytest.raises(InputError, match="got slow: not covered"):
        certified_rate(other, theta)


@pytest.mark.parametrize(
    ("theta", "options", "message"),
    [
        ([[1.0, 0]], {}, r"theta: expected shape \(2, d\), got \(1, 2\)"),
        ([[1.0, np.nan], [0, 1]], {}, "theta: expected finite values"),
        ([[2000.0, 0], [0, 1]], {}, "standard deviation at most 1000, got 2.00e"),
        ([[1.0, 0], [0, 1e200]], {}, "standard deviation at most 1000, got 1.00e"),
        ([[700.0, 0], [600, 600]], {}, "nodes, this needs"),
        ([[1.0, 0], [0, 1]], {"digits": 0}, "digits: expected a whole number >= 1"),
        ([[1.0, 0], [0, 1]], {"digits": 15}, "digits: expected at most 14"),
        ([[1.0, 0], [0, 1]], {"covariance": np.eye(3)}, "covariance: expected shape"),
        ([[1.0, 0], [0, 1]], {"covariance": [[1, 2], [2, 1]]}, "positive definite"),
        # Positive definite to NumPy's Cholesky factorisation, but by less than rounding of the balls.
        ([[1.0, 0, 0], [0, 1, 0]], {"covariance": ROUNDED}, "positive definite beyond rounding"),
    ],
)
def test_bad_input(theta: list, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        certified_rate(LINEAR, theta, **options)


def test_rules_beyond_the_bounds_are_refused() -> None:
    for bad in (Rule.of((1.5, 0.5, 0.5), 9.0), Rule((0.1, 0.1, 0.1), (5, 90, 90))):
        with pytest.raises(InputError, match="grid: expected steps of at most 1"):
            moments(bilinear(), bad)


@pytest.mark.parametrize("digits", [1, 3])
def test_few_digits_of_steep_predictors(digits: int) -> None:
    for scale in (0.01, 1, 20):
        beta, w = [scale, 0, 0.5 * scale], [0.7 * scale, 0.6 * scale, 0]
        rough, fine = (enclosed(LOGISTIC, beta, w, digits=k) for k in (digits, 4))
        assert rough.lower <= fine.upper and fine.lower <= rough.upper and rough.width <= 10.0**-digits


def test_an_enclosure_as_json() -> None:
    found = enclosed(LOGISTIC, [1], [0.5], digits=6)
    again = json.loads(json.dumps(found.to_dict()))
    assert again["truth"] == [[1], [0.5]] and again["lower"] == found.lower and again["model"] == "symmetric-logistic"


def test_the_command(command) -> None:
    code, out, _ = command("rate", "symmetric-logistic", "--beta", "3,0,0", "--w=0,1,0", "--certified", "--json")
    said = json.loads(out)
    assert code == 0 and said["lambda_lower"] <= 0.969143888425 <= said["lambda_upper"] < said["lambda_lower"] + 1e-9
    for more, message in ((("--at-beta", "1,0,0"), "expected the truth itself"), (("--data", "x.csv"), "got both")):
        code, _, err = command("rate", "symmetric-logistic", "--beta", "3,0,0", "--w=0,1,0", "--certified", *more)
        assert code == 2 and message in err
