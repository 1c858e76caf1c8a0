"""Balls that cannot tell (overlapping, of infinite radius, not a number) prove nothing, at every comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from certificates import cases, make
from flint import arb, arb_mat, ctx

import moe_theory as mt
from moe_theory.certificates import adversary, ball_bounds, ball_rows, ball_sums, balls, exact, population, proof
from moe_theory.certificates import quadrature as quad
from moe_theory.certificates.contents import Rejected, Statement, read_statement
from moe_theory.certificates.flat_form import derived
from moe_theory.certificates.region import Region
from moe_theory.certificates.relations import check_relations

NAN, ANY = arb("nan"), arb(0, float("inf"))
LOST = {"nan": NAN, "infinite radius": ANY}
CASE, START = cases()["linear-1.0"]
FACTOR = np.array([[[0.9, 0.1], [0.1, 1.1]], [[1.0, 0.5], [0.1, 1.0]]])


@pytest.fixture(autouse=True)
def precision() -> Any:
    with ctx.workprec(balls.BITS):
        yield


@pytest.fixture(scope="module")
def statements() -> dict[str, Statement]:
    """About a ball and about an ellipsoid; both are true."""
    centre = np.round(CASE.fitted(START), 6)
    return {
        name: read_statement(make(CASE, centre, 0.02, factor=factor), ("beta", "w"), 2)
        for name, factor in (("ball", None), ("ellipsoid", FACTOR))
    }


def proof_of(statement: Statement) -> proof.Proof:
    rows = ball_rows.Rows(CASE.x, CASE.y, CASE.weight, np.zeros((0, 2)), derived(CASE.model))
    return proof.Proof(statement, rows, [], None)


def test_what_the_comparisons_of_balls_say() -> None:
    """The rule that the modules rely on, of the library itself."""
    wide = arb(1, 0.5)
    for lost in (NAN, ANY, wide):
        for other in (arb(1), wide, arb(1.25)):
            assert not (lost < other or lost <= other or lost > other or lost >= other)
    assert arb(1) <= arb(1) and not arb(1) < arb(1) and arb(2) > wide and not wide.is_zero() and not arb(0, 1).is_zero()
    assert not any(v.is_finite() for v in LOST.values())
    for result in (
        NAN.max(1),
        arb(1).max(NAN),
        NAN.min(1),
        arb(1).min(NAN),
        abs(NAN),
        NAN.sqrt(),
        NAN.nonnegative_part(),
    ):
        assert result.is_nan()
    assert arb(0, 1).sqrt().is_nan() and arb(-1).sqrt().is_nan()
    assert min(arb(3), NAN) == 3 and max(arb(3), NAN) == 3  # Python's own


# Definiteness


@pytest.mark.parametrize("definite", [balls.positive_definite, lambda m: balls._pivots(m.tolist())])
def test_matrices_that_may_be_singular_are_not_definite(definite: Callable[[Any], bool]) -> None:
    one = balls.identity(3)
    assert definite(one) and definite(balls.identity(1, arb(1, 0.5)))
    for size in (1, 2, 3):
        for place in range(size):
            for lost in (NAN, ANY, arb(0), arb(0, 1), arb(-1, 2), arb(1, 1.001), arb(-1)):
                matrix = balls.identity(size)
                matrix[place, place] = lost
                assert not definite(matrix), (size, place, lost)
    for entry in (NAN, ANY, arb(1), arb(-1), arb(0, 1.001), arb(0.5, 0.6)):
        matrix = balls.identity(3)
        matrix[2, 0] = matrix[0, 2] = entry
        assert not definite(matrix)
    assert not definite(arb_mat([[1, -1], [-1, 1]]))


def test_linear_terms_that_are_lost_prove_nothing() -> None:
    one, none = balls.identity(2), lambda: []
    term = arb_mat([[0, 1], [1, 0]])
    stays = lambda along=(), rest=none, radius=0.4, base=one: balls.stays_definite(base, along, rest, arb(radius))
    assert stays() and stays(rest=lambda: [term]) and stays(along=[(arb(0.9), term)])
    for lost in (*LOST.values(), arb(0.5, 0.7)):
        assert not stays(along=[(lost, term)])
        assert not stays(along=[(arb(1), term * lost)])
        assert not stays(rest=lambda lost=lost: [term * lost], radius=arb(1))  # type: ignore[misc]
        assert not stays(rest=lambda: [term], radius=2 * lost)
        assert not stays(base=one * (lost - 0.5))
    assert not stays(along=[(arb(1), term)])  # singular at a corner
    assert not stays(rest=lambda: [term], radius=arb(1))


# Bounds along an interval


def test_weights_at_undecided_arguments_enclose_all_members() -> None:
    for t in (arb(0, 0.5), arb(-0.1, 0.3), arb(2, 3)):
        for at in (t.lower(), t.mid(), t.upper()):
            assert ball_bounds.expit(t).contains(ball_bounds.expit(at).mid())
            assert ball_bounds.variance(t).contains(ball_bounds.variance(at).mid())
    for lost in LOST.values():
        for value in (ball_bounds.expit(lost), ball_bounds.variance(lost), *ball_bounds.ends(lost, arb(1))):
            assert not value < 1e9 and not value > -1e9
        for value in (*ball_bounds.ends(arb(-1), lost), *ball_bounds.expansion(lost, arb(1))):
            assert not value < 1e9 and not value > -1e9
        for value in (ball_bounds.above(arb(0), arb(-1), lost)[0], ball_bounds.below(arb(0), lost, arb(1))[0]):
            assert not value < 1e9 and not value > -1e9


def test_bounds_hold_for_all_members_of_wide_balls() -> None:
    """The peak of q'' and 0 are inside of the balls, so that no comparison can tell a side."""
    rng, bend = np.random.default_rng(0), lambda t: mpmath.sech(t / 2) ** 2 / 4 * (1 - 6 * mpmath.sech(t / 2) ** 2 / 4)
    for centre in (0.0, 2.2924, 1.0, 4.0):
        near, far = (arb(-v, 0.3).exp() for v in (centre, centre + 0.4))
        least, most = ball_bounds.curvature_range(near.min(1), far)
        for t in np.linspace(max(centre - 0.3, 0), centre + 0.7, 200):
            assert float(least.lower()) <= bend(t) <= float(most.upper())
        for _ in range(40):
            t, s = centre + rng.uniform(-0.3, 0.3), rng.uniform(-1, 1)
            low, high, slope = ball_bounds.expansion(arb(centre, 0.3), arb(1))
            value = mpmath.sech((t + s) / 2) ** 2 / 4
            assert float((low + slope * s).lower()) <= value <= float((high + slope * s).upper())
            for bound, sign in ((ball_bounds.above, 1), (ball_bounds.below, -1)):
                constant, slope = bound(arb(centre, 0.3), arb(centre - 1.3), arb(centre + 1.3))
                # Above or below for every t of the ball, so for this one.
                assert (
                    sign * (float((constant + slope * s).mid()) - value) > -float((constant + slope * s).rad()) - 1e-12
                )


# Statements


def wide(matrix: Any, ball: Any) -> Any:
    return arb_mat([[v + ball for v in row] for row in matrix.tolist()])


@pytest.mark.parametrize("name", ["ball", "ellipsoid"])
def test_a_gradient_that_may_be_larger_is_rejected(statements: Any, monkeypatch: Any, name: str) -> None:
    """The mutant `if norm > epsilon: raise` survived all tests."""
    of = proof_of(statements[name])
    of._gradient()
    true = ball_sums.gradient(of.rows, of.centre)
    for ball in (*LOST.values(), arb(0, of.s.epsilon), arb(0, 2 * of.s.epsilon), arb(of.s.epsilon)):
        monkeypatch.setattr(proof, "gradient", lambda *a, ball=ball: wide(true, ball))
        with pytest.raises(Rejected, match=r"stationary\.gradient"):
            of._gradient()
    monkeypatch.setattr(proof, "gradient", lambda *a: true * 0)
    exactly = proof_of(replace(statements["ball"], epsilon=0.0))
    exactly._gradient()  # 0 <= 0 can be told


def test_an_eigenvalue_that_may_be_another_is_rejected(statements: Any, monkeypatch: Any) -> None:
    of = proof_of(statements["ball"])
    of._found()
    true = ball_sums.sums_at(of.rows, arb_mat([list(row) for row in of.s.found_theta]))
    for ball in (*LOST.values(), arb(0, 1e-3)):
        monkeypatch.setattr(proof, "sums_at", lambda *a, ball=ball: replace(true, missing=wide(true.missing, ball)))
        with pytest.raises(Rejected, match="to be less than"):
            of._found()
        with monkeypatch.context() as patch:
            patch.setattr(proof, "positive_definite", lambda balls: True)
            with pytest.raises(Rejected, match="to be more than"):
                of._found()
    monkeypatch.setattr(proof, "sums_at", lambda *a: true)
    monkeypatch.setattr(proof, "_top_vector", lambda *a: np.zeros((4, 1)))  # where floating point finds none
    with pytest.raises(Rejected, match="to be more than"):
        of._found()


def test_a_point_that_may_be_outside_is_rejected(statements: Any) -> None:
    of = proof_of(statements["ellipsoid"])
    of._inside()
    assert of.factor is not None
    for ball in (*LOST.values(), arb(1, 0.9), arb(1, 0.1)):
        true, of.factor = of.factor, [block * ball for block in of.factor]
        with pytest.raises(Rejected, match=r"found\.theta: not proved|region\.factor: expected invertible"):
            of._inside()
        of.factor = true
    round_ = statements["ball"]
    for radius, inside in ((0.5, True), (np.nextafter(0.5, 0), False)):
        far = replace(round_, centre=((0.0, 0.0), (0.0, 0.0)), found_theta=((0.5, 0.0), (0.0, 0.0)), r=radius)
        for factor in (None, (((1.0, 0.0), (0.0, 1.0)),) * 2):
            if inside:  # on the edge, which can be told
                proof_of(replace(far, factor=factor))._inside()
            else:
                with pytest.raises(Rejected, match=r"found\.theta: not proved"):
                    proof_of(replace(far, factor=factor))._inside()


@pytest.mark.parametrize("method", ["taylor", "worst-case"])
def test_curvatures_and_bounds_that_are_lost_are_rejected(statements: Any, monkeypatch: Any, method: str) -> None:
    of = proof_of(replace(statements["ball"], method=method, alpha=statements["ball"].alpha / 2))
    whole = ball_rows.Cell(of.centre, {}, arb(of.s.r))
    true = {m: ball_sums.sums_over(of.rows, whole, None, m) for m in ("taylor", "worst-case")}
    for ball in (*LOST.values(), arb(0, 10)):
        lost = {
            name: {m: replace(s, **{name: wide(getattr(s, name), ball)}) for m, s in true.items()}
            for name in ("complete_low", "complete_high", "missing")
        }
        for name, match in (("complete_low", "curvature.lower"), ("complete_high", "curvature.upper")):
            with monkeypatch.context() as patch:
                patch.setattr(proof, "sums_over", lambda *a, found=lost[name]: found[a[3]])
                with pytest.raises(Rejected, match=match):
                    of._curvature(whole, lost[name][method])
        for name in ("complete_low", "missing"):
            with pytest.raises(Rejected, match=r"bound\.lambda_upper"):
                of._convex(lost[name][method], whole, "")
    if method == "taylor":
        for ball in (*LOST.values(), arb(0, 1e3)):
            thirds = {key: wide(t, ball) for key, t in true["taylor"].third_missing.items()}
            with pytest.raises(Rejected, match="the linear terms are too large"):
                of._convex(replace(true["taylor"], third_missing=thirds), whole, "")
            gates = [wide(t, ball) for t in true["taylor"].third_gates]
            assert not of._above(replace(true["taylor"], third_gates=gates), of.s.mu)
    assert of._above(true["taylor"], of.s.mu)
    of._convex(true[method], whole, "")


def test_no_starts_around_the_centre_are_said_to_be_proved_that_are_not(statements: Any) -> None:
    said = {}
    for r0 in (0.0, statements["ball"].r0):
        of = proof_of(replace(statements["ball"], r0=r0))
        of.run()
        said[r0 > 0] = [text for text, _ in of.proved if text.startswith("distance from the centre")]
    assert said == {False: [], True: ["distance from the centre from which EM converges, at most"]}


def test_cells_on_the_edge_are_not_left_out(statements: Any) -> None:
    """Exact rationals decide which cells meet the region; 3-4-5: one touches it in a corner only."""
    of = proof_of(replace(statements["ball"], r=1.0, cuts=((0, 10), (1, 10))))
    cells = {tuple(round(float(v), 6) for v in balls.midpoints(c.theta - of.centre)[0]): c for c in of.cells}
    assert (0.9, 0.9) not in cells and (0.9, 0.7) in cells and len(cells) == 100 - 4
    touching = proof_of(replace(statements["ball"], r=5.0, cuts=((0, 10), (1, 10))))
    corner = [c for c in touching.cells if c.rest.is_zero()]
    assert len(corner) == 8  # (±3, ±4) and (±4, ±3)


def test_numbers_of_a_statement_that_are_no_numbers_are_rejected(statements: Any) -> None:
    true = statements["ball"]
    check_relations(true)
    for field in fields(true):
        if isinstance(getattr(true, field.name), float):
            with pytest.raises((Rejected, ValueError)):
                check_relations(replace(true, **{field.name: float("nan")}))


# The maker's and the population's


def test_enclosures_of_rates_from_lost_balls_say_nothing() -> None:
    one = np.array([[arb(2), arb(0)], [arb(0), arb(1)]], dtype=object)
    half = one * arb(0.5)
    lower, upper = population._largest(half, one)
    assert lower <= 0.5 <= upper < 0.5 + 1e-12
    for lost in (*LOST.values(), arb(0, 3)):
        for place in ((0, 0), (1, 1)):
            changed = one.copy()
            changed[place] = lost
            assert not population._positive_definite(changed)
            assert population._largest(half, changed) == (0.0, 1.0)
            assert population._largest(changed, one)[1] == 1.0
    assert not population._positive_definite(np.array([[arb(0)]], dtype=object))


def test_quadratures_from_lost_balls_say_nothing() -> None:
    zero = arb(0)
    for lost in LOST.values():
        with pytest.raises(mt.InputError, match="finite coefficients"):
            quad.rule([quad.Form((lost, zero), zero)], 20)
        with pytest.raises(mt.InputError, match="finite coefficients"):
            quad.rule([quad.Form((zero, zero), lost)], 20)
        assert quad._leak([lost], 0.1) == 3  # what always holds
    assert quad._leak([arb(1, 0.5)], 0.1) >= quad._leak([arb(1)], 0.1)
    assert quad._leak([arb(1)], 0.1) < 1e-20


def test_a_point_that_is_not_proved_to_be_inside_is_not() -> None:
    region = Region(np.zeros((1, 2)), None, 0.5)
    assert adversary.contains(region, np.array([[0.5, 0.0]]))
    assert not adversary.contains(region, np.array([[np.nextafter(0.5, 1), 0.0]]))
    third = Region(np.zeros((1, 1)), np.array([[[3.0]]]), 1 / 3)
    assert not adversary.contains(third, np.array([[1.0]]))  # 1/3 as a double is less than 1/3
    assert exact.number(sp.exp(1) - sp.exp(1)) == 0
    assert exact.number(sp.log(3) - sp.log(2)) == float(Fraction(0.4054651081081644))
