"""Certified bounds are bounds: judged at 51 digits by formulas that share nothing with the package, and by mutants.

Problems, adversary and judge are those of benchmarks/soundness, whose campaign has run on 10,000 pairs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from flint import arb, arb_mat

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import declared_certificates
import soundness.examine
from soundness.adversary import exact_factor
from soundness.exact import Exact, definite, digits
from soundness.examine import examine
from soundness.models import by_hand, package_model
from soundness.problems import Problem, problem

import moe_theory as mt
from moe_theory import Model, Reals, log_expit, log_normal
from moe_theory.atoms import LogSumExp, log_factorial
from moe_theory.certificates import bounds, logistic, rows
from moe_theory.certificates.adversary import contains
from moe_theory.certificates.basin import basin
from moe_theory.certificates.bounds import Centre
from moe_theory.certificates.exact import number
from moe_theory.certificates.forms import Form
from moe_theory.certificates.make import certify
from moe_theory.certificates.region import Region, pieces_of
from moe_theory.certificates.relative import Prover
from moe_theory.certificates.rounding import norm_above, positive_definite
from moe_theory.certificates.rows import Statistics
from moe_theory.errors import UnprovableError
from moe_theory.laws.table import Finite

PAIRS = 150
ORIGIN = np.zeros((1, 1))


def violations(indices: list[int], em: bool = False) -> list[str]:
    return [v for i in indices for v in examine(problem(0, i), em=em).violations]


# The campaigns, in small ---------------------------------------------------------------------------------------


def test_certificates_of_declared_models_are_true_of_what_is_declared() -> None:
    """A part of benchmarks/declared_certificates.py, whose 2,000 take most of an hour; a stated bound that is moved
    is seen by its judge."""
    found = [declared_certificates.certificates(seed) for seed in (8, 23)]
    assert [f for one in found for f in one if f.startswith(("false", "not valid", "refused"))] == []
    assert sum(f == "right" for one in found for f in one) >= 4


@pytest.mark.parametrize("key", ["lambda_upper", "gradient", "distance", "divergence"])
def test_the_judge_of_declared_models_sees_a_bound_that_does_not_hold(key: str, monkeypatch: Any) -> None:
    true = declared_certificates.false

    def moved(d: Any, document: dict[str, Any], judge: Any, rng: Any) -> str:
        for part in ("bound", "stationary", "basin"):
            if key in document[part]:
                document[part][key] /= 20
        return true(d, document, judge, rng)

    monkeypatch.setattr(declared_certificates, "TABLES", 1)
    monkeypatch.setattr(declared_certificates, "false", moved)
    (found,) = declared_certificates.certificates(23)
    assert found.startswith("false: "), found


def test_no_bound_is_below_what_the_adversary_finds() -> None:
    records = [examine(problem(0, i), em=i % 4 == 0) for i in range(PAIRS)]
    assert [(r.index, r.violations) for r in records if r.violations] == []
    bounded = [r for r in records if r.lambda_upper is not None and r.lambda_found is not None]
    assert len(bounded) > 0.8 * PAIRS
    assert sum(r.em > 0 for r in records) >= 5 and sum(r.distance is not None for r in records) >= 20
    assert sum(r.undecided for r in records) == 0
    # A bound that is far off would be no less sound; so that the adversary is seen to be one:
    small = [r.lambda_upper / r.lambda_found for r in bounded if r.radius < 1e-3 and r.lambda_found > 1e-3]
    assert np.median(small) < 1 + 1e-3


def test_formulas_by_hand_are_the_derived_ones() -> None:
    for index in range(30):
        p = problem(1, index)
        exact, theta = Exact(p.kind, p.known, p.law), p.region.centre
        if np.max(np.abs(p.law.x) @ np.abs(theta).T) > 1e3:
            continue  # floats have lost the arguments' digits
        try:
            spectrum = mt.missing_information_matrix(p.model, p.law, theta)
        except mt.errors.InputError:
            continue
        with digits():
            at = exact.point(theta)
            for ours, theirs in ((exact.complete(at), spectrum.complete), (exact.missing(at), spectrum.missing)):
                flat = np.array([float(v.mid()) for v in ours.entries()]).reshape(theirs.shape)
                size = np.sqrt(np.outer(np.diagonal(flat), np.diagonal(flat)))
                assert np.all(np.abs(flat - theirs) <= 1e-9 * size + 1e-200), p.kind
            gradient = np.array([float(v.mid()) for v in exact.gradient(at).entries()]).reshape(theta.shape)
        scale = np.mean(np.abs(p.law.x) * (1 + np.abs(p.law.y[:, None])), axis=0) * 1e3
        assert np.all(np.abs(gradient - mt.gradient(p.model, p.law, theta)) < 1e-9 * scale), p.kind


# Mutants: each has to be caught ---------------------------------------------------------------------------------


def cancelling() -> Problem:
    """Rows (u, u - a few ulps) under coefficients (a, -a), u a ≈ 2^54: floats may think x'θ far from 0 where it is not.

    Of many rows those are taken for which they do so; two rows (u, -u) without a label keep ∇²A well-conditioned.
    """
    rng, a = np.random.default_rng(5), 1234567.8
    u = rng.uniform(1.2e10, 1.7e10, 4000)
    x = np.column_stack([u, u - rng.integers(-2, 3, 4000) * np.spacing(u)])
    exact = np.array([float((Fraction(p) - Fraction(q)) * Fraction(a)) for p, q in x.tolist()])
    floats = np.array([a, -a]) @ np.ascontiguousarray(x.T)
    chosen = np.argsort(np.abs(exact) - np.abs(floats))[:10]
    x = np.concatenate([x[chosen], [[1.5e10, -1.5e10], [1.4e10, -1.4e10]]])
    y = np.concatenate([np.where(np.arange(10) % 2, 1.0, -1.0), np.zeros(2)])
    region = Region(np.array([[a, -a]]), None, 1e-15)
    return Problem(0, "balanced", (), Finite(x, y), region, "worst-case", {}, "", 0.0)


def test_rounding_dropped_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = cancelling()
    x, theta = wrong.law.x, wrong.region.centre[0]
    true = [float(sum(Fraction(t) * Fraction(v) for t, v in zip(theta.tolist(), r, strict=True))) for r in x.tolist()]
    assert np.max(np.abs(theta @ np.ascontiguousarray(x.T) - true)) > 0.5  # the logit is twice that
    assert examine(wrong).refused.startswith("rounding")
    monkeypatch.setattr(rows, "gamma", lambda n: 0.0)
    record = examine(wrong)
    assert any("λ_upper" in v for v in record.violations)
    assert record.lambda_upper is not None and record.lambda_found is not None
    assert record.lambda_upper < 0.9 * record.lambda_found


def test_remainder_dropped_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "remainder", lambda t, reach: (np.zeros_like(t), np.zeros_like(t)))
    assert any("λ_upper" in v for v in violations([0, 12, 28]))


def test_extremes_at_the_centre_only_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    most = bounds.most
    monkeypatch.setattr(bounds, "most", lambda t, reach: most(t, 0 * reach))
    found = violations([0, 3, 12])
    assert any("λ_upper" in v for v in found) and any("ν" in v for v in found)


def test_slopes_halved_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    spread = Region.spread
    monkeypatch.setattr(Region, "spread", lambda self, x: (spread(self, x)[0] / 4, spread(self, x)[1] / 2))
    found = violations([3, 5, 12, 25])
    assert {v.split()[0] for v in found} >= {"λ_upper", "G'∇²AG", "ν"}


def test_linear_term_of_the_wrong_sign_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the missing information only: turned round in both, the ball is the same."""
    sloping, calls = bounds._sloping, iter(range(10**6))

    def mutant(form: Any, tensor: Any, widest: Any, region: Any) -> Any:
        return sloping(form, tensor if next(calls) % 2 else -tensor, widest, region)

    monkeypatch.setattr(bounds, "_sloping", mutant)
    assert violations([124])


def test_linear_term_dropped_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    sloping = bounds._sloping
    monkeypatch.setattr(
        bounds, "_sloping", lambda form, tensor, widest, region: sloping(form, 0 * tensor, widest, region)
    )
    assert violations([0, 12, 28, 40])


@pytest.mark.parametrize("gap", ["narrow", "last"])
def test_cells_that_do_not_cover_are_caught(gap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = Region.cells

    def mutant(self: Region, pieces: dict[tuple[int, int], int]) -> Iterator[Region]:
        own = list(cells(self, pieces))
        if gap == "last":
            return iter(own[:-1])
        return (replace(c, halves=tuple(h / 2 for h in c.halves)) for c in own)

    monkeypatch.setattr(Region, "cells", mutant)
    assert violations([2, 77, 113, 125, 142])


def test_basin_by_the_curvature_at_the_centre_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = lambda r, alpha, gradient, mu, upper: basin(r, alpha, gradient, mu, lambda s: upper(1e-9 * s))
    monkeypatch.setattr(soundness.examine, "basin", mutant)
    assert any("divergence" in v for v in violations([6, 28, 32], em=True))


def test_stationary_point_not_allowed_for_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """e = 0, as if the centre were stationary: its box and its distance say otherwise."""
    monkeypatch.setattr(
        soundness.examine, "basin", lambda r, alpha, gradient, mu, upper: basin(r, alpha, 0.0, mu, upper)
    )
    assert any("stationary" in v for v in violations([6, 28, 32, 35]))


# The scalar bounds against dense grids ----------------------------------------------------------------------------


def bell(t: arb) -> arb:
    e = (-abs(t)).exp()
    return e / (1 + e) ** 2


def bell_slope(t: arb) -> arb:
    return -bell(t) * (t / 2).tanh()


def arguments() -> Iterator[tuple[float, float]]:
    rng = np.random.default_rng(0)
    special = [0.0, logistic.BEND, -logistic.BEND, 1e-300, 690.0, 720.0, 5.0, -1.3, np.log(2 + np.sqrt(3)), 745.5]
    for t in [*special, *(rng.standard_normal(30) * 10.0 ** rng.uniform(-3, 1.5, 30))]:
        for reach in (0.0, 1e-300, 1e-9, 1e-3, 0.1, 1.0, 3.0, 30.0, 10.0 ** rng.uniform(-6, 2)):
            yield float(t), float(reach)


def test_extremes_hold_on_dense_grids() -> None:
    grid = np.unique(np.concatenate([np.linspace(-1, 1, 41), [0.999999, -0.999999, 1e-9, -1e-9]])).tolist()
    with digits():
        for t, reach in arguments():
            at, far = np.array([t]), np.array([reach])
            top, bottom = arb(float(logistic.most(at, far)[0])), arb(float(logistic.least(at, far)[0]))
            low, high = (arb(float(v[0])) for v in logistic.remainder(at, far))
            assert low <= 0 <= high and bottom >= 0
            base, tilt = bell(arb(t)), bell_slope(arb(t))
            for share in grid:
                s = arb(reach) * arb(share)
                value = bell(arb(t) + s)
                assert bottom <= value <= top, (t, reach, share)
                rest = value - base - tilt * s
                assert low * s**2 <= rest + arb(10) ** -40 and rest - arb(10) ** -40 <= high * s**2, (t, reach, share)
            if abs(t) <= reach < 100:
                assert top >= arb(1) / 4


def test_extremes_are_not_loose() -> None:
    t, reach = np.array([0.3, 2.0, -4.0, 6.0]), np.array([0.2, 1.0, 0.5, 5.0])
    dense = t[:, None] + reach[:, None] * np.linspace(-1, 1, 20001)
    value = logistic.variance(dense)
    assert np.allclose(logistic.most(t, reach), value.max(axis=1), rtol=1e-7)
    assert np.allclose(logistic.least(t, reach), value.min(axis=1), rtol=1e-7)
    tiny = np.full(4, 1e-6)
    low, high = logistic.remainder(t, tiny)
    v = logistic.variance(t)
    third = v * (1 - 6 * v) / 2
    assert np.allclose(np.where(third > 0, high, low), third, atol=1e-6)


def test_remainder_holds_for_an_argument_that_is_off() -> None:
    """Where t is known to `error` only and the reach has four times that added, the bounds hold around every t."""
    rng = np.random.default_rng(1)
    with digits():
        for _ in range(200):
            t, error, reach = rng.standard_normal() * 3, 10.0 ** rng.uniform(-6, -1), 10.0 ** rng.uniform(-3, 0.5)
            low, high = (arb(float(v[0])) for v in logistic.remainder(np.array([t]), np.array([reach + 4 * error])))
            for off in (-1.0, 1.0, float(rng.uniform(-1, 1))):
                true = arb(t) + arb(error) * arb(off)
                for share in (-1.0, -0.5, 0.25, 1.0):
                    s = arb(reach) * arb(share)
                    rest = bell(true + s) - bell(true) - bell_slope(true) * s
                    assert low * s**2 <= rest <= high * s**2


# Positive definiteness --------------------------------------------------------------------------------------------


def exactly(matrix: np.ndarray, shift: float = 0.0) -> bool | None:
    """Whether matrix - shift is positive definite, in balls."""
    p = len(matrix)
    entries = [arb(v) - (arb(shift) if i % (p + 1) == 0 else 0) for i, v in enumerate(matrix.ravel().tolist())]
    with digits(400):
        return definite(arb_mat(p, p, entries))


def test_positive_definite_is_never_true_of_an_indefinite_matrix() -> None:
    rng, said, indefinite = np.random.default_rng(0), 0, 0
    for k in range(600):
        p = int(rng.integers(1, 9))
        basis = np.linalg.qr(rng.standard_normal((p, p)))[0]
        values = 10.0 ** rng.uniform(-3, 3, p)
        values[0] = rng.choice([-1, 1]) * 10.0 ** rng.uniform(-18, -8)
        scale = 10.0 ** rng.uniform(-5, 5, p) if k % 2 else np.ones(p)
        matrix = (basis * values) @ basis.T * np.outer(scale, scale)
        matrix = (matrix + matrix.T) / 2
        error = 0.0 if k % 3 else 10.0 ** rng.uniform(-18, -6)
        truth = exactly(matrix, error)
        answer = positive_definite(matrix, error)
        assert truth or not answer, (k, matrix, error)
        said, indefinite = said + answer, indefinite + (truth is False)
    assert said > 100 and indefinite > 100


def test_positive_definite_of_small_examples() -> None:
    assert positive_definite(np.eye(3)) and positive_definite(np.eye(3), 0.999)
    assert not positive_definite(np.eye(3), 1.0) and not positive_definite(np.zeros((1, 1)))
    # Singular by construction: the exact eigenvalue is 0, and one ulp below it is negative.
    ones = np.ones((2, 2))
    assert not positive_definite(ones) and not positive_definite(ones - np.diag([0.0, 2.0**-53]))
    assert positive_definite(ones + 1e-13 * np.eye(2))
    assert not positive_definite(np.array([[1.0, np.nan], [np.nan, 1.0]]))


# Regions -----------------------------------------------------------------------------------------------------------


def test_cells_cover_the_ball() -> None:
    rng = np.random.default_rng(0)
    region = Region(np.zeros((2, 2)), None, 0.7)
    for pieces in ({(0, 0): 3}, {(0, 1): 4, (1, 0): 5}, {(0, 0): 2, (0, 1): 2, (1, 0): 2, (1, 1): 2}):
        cells = list(region.cells(pieces))
        z = rng.standard_normal((2000, 4))
        z *= (
            0.7 * rng.random((2000, 1)) ** rng.choice([0.0, 0.25], (2000, 1)) / np.linalg.norm(z, axis=1, keepdims=True)
        )
        held = np.zeros(2000, dtype=bool)
        for cell in cells:
            own = cell.cut_indices
            along = np.abs(z[:, own] - np.array(cell.middles)) <= np.array(cell.halves)
            rest = np.linalg.norm(np.delete(z, own, axis=1), axis=1) <= cell.radius * (1 + 1e-12)
            held |= along.all(axis=1) & rest
        assert held.all()


def test_hand_written_rows_have_the_package_s_shapes() -> None:
    x, y = np.ones((4, 2)), np.array([1.0, -1.0, 1.0, -1.0])
    for kind in ("symmetric-linear", "symmetric-logistic", "balanced", "offset"):
        with digits():
            f = by_hand(kind, (), x, y)
        statistics = Statistics(package_model(kind, ()), Finite(x, y))
        assert len(f.quadratic) == len(statistics.quadratic) and len(f.softplus) == len(statistics.terms)


def test_refusals_are_errors_of_the_package() -> None:
    p = cancelling()
    with pytest.raises(UnprovableError, match="rounding"):
        Prover.of(Statistics(p.model, p.law), p.region, "worst-case").least()


# Holes that were found -----------------------------------------------------------------------------------------------


def test_overflow_proves_nothing() -> None:
    """The factorisation ends with NaN in it here, which is not below 0: it was taken for a proof."""
    huge = np.array([[1e-10, 0.0, 1.7e308], [0.0, 1.0, 0.0], [1.7e308, 0.0, 1.0]])
    assert exactly(huge) is False
    with np.errstate(all="ignore"):
        assert not positive_definite(huge)
    assert norm_above(np.array([[np.nan]])) == np.inf and norm_above(np.array([[1.0, np.inf]])) == np.inf


def test_squares_that_overflow_prove_nothing() -> None:
    x = np.column_stack([np.ones(40), np.linspace(-1, 1, 40)]) * 1e100
    y = np.where(np.arange(40) % 2, 4.0, -4.0) * (1 + 1e-101 * x[:, 1])
    region = Region(np.array([[4e-100, 4e-101], [1e-100, 3e-101]]), None, 1e-101)
    with np.errstate(all="ignore"):
        prover = Prover.of(Statistics(mt.symmetric_linear(), Finite(x, y)), region, "taylor")
        assert prover.lower(region.matrix) == -np.inf  # it was an error of NumPy's


def test_constants_that_cancel_are_evaluated_exactly() -> None:
    """e^30 - 10686474581524 = 0.46215, which floats have as 0.46289: a certificate was false by 5 % for it."""
    c = sp.exp(30) - sp.Integer(10686474581524)
    model = Model("scaled", (-1, 1), ("beta",), None, lambda y, z, beta: log_normal(y, z * beta * c), Reals())
    y = 3 * np.array([1.0, -1.0, 1.0, -1.0, 1.0, 1.0])
    statistics = Statistics(model, Finite(np.ones((6, 1)), y))
    region = Region(np.array([[6.491441]]), None, 0.1)
    upper = Prover.of(statistics, region, "worst-case").least()
    with digits():
        scale = arb(30).exp() - arb(10686474581524)
        beta = arb(float(region.centre[0, 0])) - arb(float(region.radius))
        true = 4 * 9 * bell(2 * scale * 3 * beta)
        assert true <= arb(upper) <= arb(1.01) * true
        assert abs(arb(float(statistics.rows[0].change[0, 0])) - 6 * scale) < 1e-14


def test_constants_that_cancel_in_tables_and_offsets() -> None:
    """The same where a response has finitely many values, and beyond a hundred digits (where SymPy's N gives up)."""
    tiny = sp.exp(400) - sp.floor(sp.exp(400)).evalf(200).round()
    gate = lambda z, w: log_expit((2 * z - 1) * w)
    expert = lambda y, z: sp.log((1 + (2 * z - 1) * (2 * y - 1) * tiny / 2) / 2)
    model = Model("noisy", (0, 1), ("w",), gate, expert, mt.Values((0, 1)))
    statistics = Statistics(model, Finite(np.ones((2, 1)), np.array([0.0, 1.0])))
    exact = sp.log((1 + tiny / 2) / (1 - tiny / 2)).evalf(30, maxn=1000)
    assert np.allclose(statistics.rows[0].offset[0], [-float(exact), float(exact)], rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("expr", "value"),
    [
        (mt.softplus(sp.Rational(3, 4)) - mt.softplus(-900), lambda: mp.log1p(mp.exp(0.75)) - mp.exp(-900)),
        (mt.softplus(10**9) - 10**9 + mt.expit(-2), lambda: 1 / (1 + mp.exp(2))),
        (sp.sqrt(sp.pi) * sp.Rational(7, 3) ** sp.Rational(-2, 3), lambda: mp.sqrt(mp.pi) * mp.cbrt(mp.mpf(9) / 49)),
        (sp.tanh(2) + sp.cosh(1) * sp.sinh(3), lambda: mp.tanh(2) + mp.cosh(1) * mp.sinh(3)),
        (
            sp.loggamma(sp.Rational(5, 2)) + sp.gamma(sp.Rational(1, 3)),
            lambda: mp.loggamma(2.5) + mp.gamma(mp.mpf(1) / 3),
        ),
        (sp.binomial(5, sp.Rational(1, 2), evaluate=False), lambda: mp.binomial(5, 0.5)),
        (sp.beta(3, sp.Rational(1, 2), evaluate=False), lambda: mp.beta(3, 0.5)),
        (LogSumExp(sp.Integer(1), sp.Integer(3), sp.Rational(1, 2)), lambda: mp.log(mp.e + mp.exp(3) + mp.exp(0.5))),
        (log_factorial(sp.Rational(5, 2)), lambda: mp.loggamma(3.5)),
    ],
    ids=lambda v: str(v) if isinstance(v, sp.Basic) else "",
)
def test_constants_are_right_to_the_last_bit(expr: sp.Expr, value: Callable[[], Any]) -> None:
    with mp.workdps(40):
        assert number(expr) == float(value())


def test_constants_that_vanish() -> None:
    assert number(sp.log(6) - sp.log(2) - sp.log(3)) == 0.0
    assert number(sp.sqrt(2)) == 2**0.5 and number(sp.Rational(1, 3)) == 1 / 3
    with pytest.raises(mt.errors.InputError, match="constants"):
        number(sp.zoo)


@pytest.mark.parametrize("block", [1, 7, 2**17])
def test_sums_are_as_deep_as_the_blocks_make_them(block: int) -> None:
    """65,500 rows in blocks of one lost 7.1e-12 of a sum of which 5.4e-12 was allowed for: rows that each add just less
    than half an ulp."""
    n = 2**17 if block == 2**17 else 500
    small = np.full(n, 1.04e-8)
    small[0] = 1.0
    centre = Centre(
        Statistics(package_model("balanced", ()), Finite(small[:, None], np.ones(n), block=block)), ORIGIN, ORIGIN
    )
    assert centre.statistics.depth >= max(-(-n // block), min(n, block))
    assert centre.relative > centre.statistics.depth * 2.0**-53
    value = centre.quadratic
    weight = Fraction(1 / n)
    true = sum((weight * Fraction(v) ** 2 for v in small.tolist()), Fraction(0))
    allowed = Fraction(value.error) * Fraction(float(value.size[0])) ** 2
    assert abs(true - Fraction(float(value.value[0, 0]))) <= allowed


def test_nothing_missing_is_bounded_too() -> None:
    """Responses 0: I_{z|x,y} = 0, and the search for the least λ did not end."""
    x = np.random.default_rng(0).standard_normal((20, 2))
    statistics = Statistics(package_model("balanced", ()), Finite(x, np.zeros(20)))
    assert 0 < Prover.of(statistics, Region(np.zeros((1, 2)), None, 0.1), "taylor").least() < 1e-6
    found = certify(package_model("balanced", ()), Finite(x, np.zeros(20)), np.zeros((1, 2)), 0.1)
    assert found.certified


def test_known_predictors_of_another_length_are_refused() -> None:
    with pytest.raises(mt.errors.InputError, match="features"):
        Statistics(package_model("gate-only", ((1.0, 2.0, 3.0), (0.0, 1.0, 1.0))), Finite(np.eye(2), np.zeros(2)))


def test_no_ball_of_starts_is_claimed_that_was_not_proved() -> None:
    """e > r/2: not even a start at the centre is covered, as the text said it was."""
    x = np.column_stack([np.ones(40), np.linspace(-1, 1, 40)])
    y = np.where(np.arange(40) % 2, 4.0, -4.0) * (1 + 0.1 * x[:, 1])
    make = lambda centre: certify(mt.symmetric_linear(), mt.Data(x, y), centre, 0.1, shape="euclidean")
    found = make(make(None).region.centre + np.array([[0.006, 0], [0, 0]]))
    assert found.certified and found.basin_radius == 0 and found.basin is not None
    assert found.basin.upper * found.basin.distance**2 / 2 >= found.basin.divergence
    assert "≤ 0 " not in str(found) and "From every start with B_A(θ̂‖θ_1) <" in str(found)


def test_rounding_of_sums_and_multiples_of_forms() -> None:
    """What E allows for covers every entry's rounding, that of large slopes too."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        a, b = (
            Form(np.array([[v]]), np.array([np.sqrt(v)]), 0.0, np.full((1, 1, 1), s), np.full((1, 1, 1), -s))
            for v, s in zip(rng.uniform(0.1, 10, 2), 10.0 ** rng.uniform(-3, 8, 2), strict=True)
        )
        factor = float(rng.uniform(0.1, 2))
        for form, exact in (
            (a * factor, lambda v, w, c=factor: Fraction(float(v[0])) * Fraction(c)),
            (a + b, lambda v, w: Fraction(float(v[0])) + Fraction(float(w[0]))),
        ):
            assert form.slope is not None and form.edge is not None
            off = abs(exact(a.value.ravel(), b.value.ravel()) - Fraction(float(form.value[0, 0])))
            off += abs(exact(a.slope.ravel(), b.slope.ravel()) - Fraction(float(form.slope[0, 0, 0])))
            off += abs(exact(a.edge.ravel(), b.edge.ravel()) - Fraction(float(form.edge[0, 0, 0])))
            assert off <= Fraction(form.error) * Fraction(float(form.size[0])) ** 2


def test_remainder_holds_on_an_interval_that_is_cut_off() -> None:
    """A cell's argument is somewhere in [low, high] = t ± far; at the centre itself it is within `error` of t."""
    rng = np.random.default_rng(3)
    x, none = np.ones((1, 1)), np.zeros(1)
    with digits():
        for _ in range(1500):
            t, error, far = rng.standard_normal() * 3, 10.0 ** rng.uniform(-3, -0.5), 10.0 ** rng.uniform(-3, 0.5)
            at, ends = np.array([t]), (np.array([t - far]), np.array([t + far]))
            own = rows.Argument(at, np.array([error]), np.ones((1, 1)))
            wide = Region(np.zeros((1, 1)), None, 10.0)
            interval = own.on(wide, wide.spread(x), rows.Interval(at, *ends, none))
            low, high = (arb(float(v[0])) for v in logistic.remainder(at, interval.reach))
            for off in (-1, 1):
                true = arb(t) + off * arb(error)
                for end in ends:
                    s = arb(float(end[0])) - true
                    rest = bell(true + s) - bell(true) - bell_slope(true) * s
                    assert low * s**2 <= rest <= high * s**2


def two_groups(seed: int) -> mt.Data:
    x = np.column_stack([np.ones(40), np.linspace(-1, 1, 40)])
    noise = 0.3 * np.random.default_rng(seed).standard_normal(40)
    return mt.Data(x, np.where(np.arange(40) % 2, 4.0, -4.0) * (1 + 0.1 * x[:, 1]) + noise)


@pytest.mark.parametrize("shape", ["euclidean", "ellipsoid"])
def test_the_point_found_lies_in_the_region_as_it_is_rounded(shape: str) -> None:
    """Rounding θ is more than a billionth of a small radius: it lay outside, and the file contradicted itself."""
    for seed in range(3):
        for radius in (1e-9, 1e-10):
            found = mt.certify(mt.symmetric_linear(), two_groups(seed), radius=radius, restarts=1, shape=shape)  # type: ignore[arg-type]
            assert found.certified and contains(found.region, found.found.theta)
    far = found.region.centre + 1e-9
    assert not contains(found.region, far) and contains(found.region, found.region.centre)


@pytest.mark.parametrize("alpha", [0.1, 0.3, 0.45, 0.7, 0.9])
def test_the_alpha_that_is_asked_for_is_proved(alpha: float) -> None:
    """1 - 0.3 is no double: what is proved is the double below it, and the checker proves 1 - α itself."""
    data = two_groups(0)
    found = mt.certify(mt.symmetric_linear(), data, radius=1e-3, alpha=alpha, restarts=1)
    assert found.certified and found.alpha == alpha and found.lambda_upper == 1 - alpha
    assert mt.check(found.document, data).valid


# Stated error bounds -------------------------------------------------------------------------------------------------


def test_stated_errors_of_arguments_scores_and_sums_hold() -> None:
    """Every error bound on the way, against 51 digits; that they are no more than 1e4 too large at their sharpest."""
    sharpest = dict.fromkeys(("argument", "gradient", "sum"), 0.0)
    for index in range(40):
        p = problem(2, index)
        exact, region = Exact(p.kind, p.known, p.law), p.region
        centre = Centre(Statistics(p.model, p.law), region.centre, region.size)
        try:
            (row,) = centre.rows
        except UnprovableError:
            continue
        with digits():
            at = exact.point(region.centre)
            arguments = [(row.label, exact.logits(at))]
            arguments += [(t, (v * at).entries()) for t, v in zip(row.terms, exact.terms, strict=True)]
            for claimed, true in arguments:
                off = np.array([float(abs(t - arb(v))) for t, v in zip(true, claimed.value.tolist(), strict=True)])
                assert np.all(off <= claimed.error)
                sharpest["argument"] = max(sharpest["argument"], float(np.max(off / claimed.error)))
            value, error = (part.ravel() for part in centre.gradient)
            off = [float(abs(g - arb(v))) for g, v in zip(exact.gradient(at).entries(), value.tolist(), strict=True)]
            assert np.all(off <= error)
            sharpest["gradient"] = max(sharpest["gradient"], float(np.max(off / error)))
            found = bounds.bounds(centre, replace(region, radius=1e-290), "taylor")
            pairs = ((found.missing, exact.missing(at)), (found.below, exact.complete(at)))
            for form, true_form in pairs:
                flat = [float(abs(t - arb(v))) for t, v in zip(true_form.entries(), form.value.ravel(), strict=True)]
                allowed = form.error * np.outer(form.size, form.size).ravel()
                assert np.all(np.array(flat) <= allowed), (index, p.kind)
                sharpest["sum"] = max(sharpest["sum"], float(np.max(np.array(flat) / allowed)))
    assert all(1e-4 < v < 1 for v in sharpest.values()), sharpest


def test_forms_bound_both_informations_at_every_point_of_a_cell() -> None:
    """Not only λ_max: value + Σ z_j slope_j ± E is above I_{z|x,y} and below ∇²A in the order of matrices."""
    rng, judged = np.random.default_rng(0), 0
    for index in range(120):
        p = problem(7, index)
        statistics, region = Statistics(p.model, p.law), p.region
        try:
            whole = Centre(statistics, region.centre, region.size)
            cells = list(region.cells(pieces_of(p.pieces, p.law.dimension))) if p.pieces else [region]
            cell = cells[int(rng.integers(len(cells)))]
            at = Centre(statistics, cell.middle, cell.size) if p.pieces else whole
            found = bounds.bounds(at, cell, "taylor", whole if p.pieces else None)
        except UnprovableError:
            continue
        exact, cut = Exact(p.kind, p.known, p.law), cell.cut_indices
        rest = [k for k in range(exact.p) if k not in cut]
        for _ in range(3):
            z, v = np.zeros(exact.p), rng.standard_normal(len(rest))
            shares = rng.choice([-0.999, 0.3, 0.999], len(cut))
            z[rest] = 0.999999 * cell.radius * v / np.linalg.norm(v) if len(rest) else 0.0
            z[cut] = np.array(cell.middles) + np.array(cell.halves) * shares
            if np.linalg.norm(z) > region.radius:  # of a cell only what lies in the ball matters
                continue
            with digits():
                place = arb_mat(exact.p, 1, [arb(c) for c in z.tolist()])
                theta = exact.point(region.centre) + exact_factor(region) * place
                moves = [(arb(z[k]) - arb(m)) / arb(h) for k, m, h in zip(cut, cell.middles, cell.halves, strict=True)]
                inner = [arb(z[k]) / arb(cell.radius) for k in rest]
                for form, true, sign in (
                    (found.missing, exact.missing(theta), 1),
                    (found.below, exact.complete(theta), -1),
                ):
                    assert form.slope is not None and form.edge is not None
                    total = matrix_of(form.value) - true
                    for move, part in zip([*inner, *moves], [*form.slope, *form.edge], strict=True):
                        total += move * matrix_of(part)
                    # |E_ab| <= error size_a size_b: E is below p error diag(size²).
                    allowed = matrix_of(np.diag(exact.p * form.error * 1.000001 * form.size**2))
                    assert definite(sign * total + allowed) is not False, (index, sign)
                    judged += 1
    assert judged > 300


def matrix_of(values: np.ndarray) -> arb_mat:
    return arb_mat(*values.shape, [arb(v) for v in values.ravel().tolist()])
