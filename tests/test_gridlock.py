"""The comparison of the tensor method with EM: draws, what counts as success, intervals, the table and its figure."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

import moe_theory as mt
from moe_theory.errors import InputError
from moe_theory.gridlock.draws import Draw, parameter_error
from moe_theory.gridlock.intervals import clustered, more_often, wilson
from moe_theory.gridlock.methods import BASIN, METHODS, RANDOM, Contest, GivenSigmaEM, Outcome
from moe_theory.gridlock.table import Summary, markdown, read_table, summarise, write_table
from moe_theory.operators import objective
from moe_theory.recovery.recover import recover
from moe_theory.report.gridlock import STYLES, gridlock_figure

TABLE = Path(__file__).parent.parent / "docs" / "gridlock.csv"


@pytest.fixture(scope="module")
def contest() -> Contest:
    """Three experts, 500 rows."""
    return Contest(Draw.of(3, 8, 500, truth=0))


# Draws -------------------------------------------------------------------------------------------------------


def test_draws_are_as_described() -> None:
    draw = Draw.of(3, 8, 4000, truth=2)
    np.testing.assert_allclose(np.linalg.norm(draw.regressors, axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(draw.gate, axis=1), 2, rtol=1e-14)
    np.testing.assert_allclose(draw.gate @ draw.regressors.T, 0, atol=1e-14)
    shares = np.exp(draw.x @ draw.gate.T)
    shares /= shares.sum(axis=1, keepdims=True)
    residuals = draw.y[:, None] - draw.x @ draw.regressors.T
    # E(y - Σ p_i a_i'x | x) = 0: in standard errors, against every feature.
    z = draw.x * np.sum(shares * residuals, axis=1)[:, None]
    assert np.abs(z.mean(axis=0) / (z.std(axis=0) / np.sqrt(4000))).max() < 4
    assert np.sqrt(np.mean(np.min(residuals**2, axis=1))) == pytest.approx(
        0.09, abs=0.012
    )  # the nearest is not always own


def test_samples_of_a_truth_share_it_and_starts_do_not_depend_on_the_rows() -> None:
    one, other, third = Draw.of(3, 8, 50, 1), Draw.of(3, 8, 60, 1), Draw.of(3, 8, 50, 2)
    assert np.array_equal(one.regressors, other.regressors) and np.array_equal(one.gate, other.gate)
    assert not np.array_equal(one.x, other.x[:50]) and not np.array_equal(one.regressors, third.regressors)
    assert np.array_equal(one.random_start(4, 0.3), other.random_start(4, 0.3))
    start = one.random_start(4, 0.3)
    np.testing.assert_allclose(np.linalg.norm(start[:3, :8], axis=1), 1, rtol=1e-14)
    assert start[3, 8] == np.log(0.3) and not start[4:].any()
    assert not np.array_equal(start[:3], one.random_start(5, 0.3)[:3])
    assert not np.array_equal(one.x, Draw.of(3, 8, 50, 1, seed=1).x)


def test_no_room_for_the_gate() -> None:
    with pytest.raises(InputError, match=r"^d: expected more features than experts, 3, got 3$"):
        Draw.of(3, 3, 50, 0)


def test_the_error_is_the_least_over_matchings() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.standard_normal((2, 4, 3))
        least = min(np.sqrt(np.mean((b[list(order)] - a) ** 2)) for order in itertools.permutations(range(4)))
        assert parameter_error(b, a) == pytest.approx(least, rel=1e-13)


# Methods -----------------------------------------------------------------------------------------------------


def test_em_with_sigma_given(contest: Contest) -> None:
    draw = contest.draw
    em, theta = GivenSigmaEM(draw.model), draw.random_start(0, 0.1)
    step, right = em.step(theta, draw.law), mt.EM(draw.model).step(theta, draw.law)
    assert step[3, 8] == np.log(0.1) and right[3, 8] != np.log(0.1)
    right[3, 8] = np.log(0.1)
    np.testing.assert_array_equal(step, right)
    trace = mt.run(GivenSigmaEM(draw.model), draw.law, draw.true_theta, tolerance=1e-9, divergences=False)
    assert trace.converged and trace.iterations < 100 and (np.diff(trace.objective) < 1e-13).all()
    # A maximum in all that is learnt but σ: by finite differences of L.
    free = draw.model.design.index
    slopes = []
    for i in free:
        move = np.zeros(trace.last.size)
        move[i] = 1e-5
        ends = [objective(draw.model, draw.law, trace.last + s * move.reshape(trace.last.shape)) for s in (1, -1)]
        slopes.append((ends[0] - ends[1]) / 2e-5)
    own = free == np.ravel_multi_index((3, 8), trace.last.shape)
    assert np.abs(np.array(slopes)[~own]).max() < 1e-7 and abs(np.array(slopes)[own][0]) > 1e-3


def test_success_is_the_likelihood_of_the_maximum(contest: Contest) -> None:
    top = contest.maximum
    assert top.success and top.gap == 0 and top.distance == 0
    assert top.louis == pytest.approx(top.error, rel=0.4)  # 24 errors of about that size
    runs = [contest.from_random(name, start) for name in ("em-given", "em-truth", "em-spread") for start in range(3)]
    for run in runs:
        assert run.success == (run.gap >= -BASIN) and run.consistent
        assert (run.error < 2 * top.error) == run.success
    assert any(run.success for run in runs)
    lost = dataclasses.replace(runs[0], gap=-0.01, success=False, distance=0.001)
    assert not lost.consistent


def test_gradient_em_is_judged_by_where_em_leads_from_its_end(contest: Contest) -> None:
    run = contest.from_random("gradient", 0)
    assert run.iterations == METHODS["gradient"].limit and run.reason == "max_iterations"
    assert run.success == (run.gap >= -BASIN)


def test_the_tensor_method_alone_is_recover_without_polish(contest: Contest) -> None:
    draw = contest.draw
    alone, polished, given = contest.tensor(), contest.tensor_em(), contest.tensor_em_given()
    found = recover(draw.x, draw.y, 3, force=True, whiten=False)
    # Of length 1, as in the deck; a short run of the gate's EM chooses between the two kinds of moments.
    errors = [parameter_error(c.experts.components.regressors, draw.regressors) for c in found.candidates]
    assert alone.error == pytest.approx(min(errors, key=lambda error: abs(error - alone.error)), rel=1e-9)
    assert alone.error > 3 * polished.error and polished.success and given.success
    assert polished.error == pytest.approx(contest.maximum.error, rel=1e-3)
    assert 0 < alone.seconds < min(polished.seconds, given.seconds)


def test_refused_moments_are_no_success(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise InputError("k: expected less")

    monkeypatch.setattr("moe_theory.gridlock.methods.recover", refuse)
    new = Contest(contest.draw)
    for outcome in (new.tensor(), new.tensor_em(), new.tensor_em_given()):
        assert outcome.reason == "refused" and not outcome.success and np.isnan(outcome.error)


def test_methods_without_starts_have_none(contest: Contest) -> None:
    assert RANDOM == ("em-given", "em-truth", "em-spread", "em-annealed", "gradient")
    with pytest.raises(InputError, match=r"^name: expected one of em-given, .*, got 'tensor'$"):
        contest.from_random("tensor", 0)


# Intervals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "trials"), [(0, 5), (1, 5), (17, 40), (40, 40), (3, 1000)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson(count: int, trials: int, level: float) -> None:
    low, high = wilson(count, trials, level)
    right = binomtest(count, trials).proportion_ci(level, method="wilson")
    assert (low, high) == pytest.approx((right.low, right.high), abs=1e-12)


def test_an_interval_over_clusters() -> None:
    ones = np.ones(12)
    s = np.array([1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1])
    assert clustered(s, ones) == pytest.approx(wilson(9, 12), abs=1e-12)  # one start per truth
    assert clustered(3 * s, 3 * ones) == pytest.approx(wilson(9, 12), abs=1e-12)  # all starts of a truth alike
    even = clustered(np.tile([2, 2, 1], 4), 3 * ones)  # less spread than binomial: as if independent
    assert even == pytest.approx(wilson(20, 36), abs=1e-12)
    low, high = clustered(np.tile([3, 2, 0], 4), 3 * ones)
    assert wilson(20, 36)[0] > low > wilson(20 / 3, 12)[0] and high < wilson(20 / 3, 12)[1]
    assert clustered(3 * ones, 3 * ones) == pytest.approx(wilson(12, 12))  # nothing is seen of the effect
    assert clustered(0 * ones, 3 * ones)[0] == 0


def test_coverage_of_the_interval_over_clusters() -> None:
    """Truths of very different chances: the clustered interval covers their mean, the plain one does not."""
    rng, hits, plain = np.random.default_rng(1), 0, 0
    for _ in range(2000):
        chance = rng.choice([0.1, 0.95], 20)
        wins = rng.binomial(5, chance)
        low, high = clustered(wins, np.full(20, 5.0))
        hits += low <= 0.525 <= high
        low, high = wilson(float(wins.sum()), 100)
        plain += low <= 0.525 <= high
    assert 0.93 < hits / 2000 < 0.985 and plain / 2000 < 0.85


def test_the_exact_test_of_more_often() -> None:
    own, rivals = [1, 1, 0, 1, 0, 1], [0, 1, 0, 0, 1, 0]
    wins, losses = 3, 1
    assert more_often(own, rivals, 1) == pytest.approx(binomtest(wins, wins + losses, alternative="greater").pvalue)
    # Three rival runs: every way to say which of the runs was the method's.
    own, rivals = [1, 1, 0, 1], [1, 0, 3, 2]
    pools = [[1] * (a + b) + [0] * (4 - a - b) for a, b in zip(own, rivals, strict=True)]
    chosen = [sum(pick) >= sum(own) for pick in itertools.product(*pools)]
    assert more_often(own, rivals, 3) == pytest.approx(np.mean(chosen))
    assert more_often([1, 1], [2, 2], 2) == pytest.approx(1)
    with pytest.raises(InputError, match=r"^successes: expected a 0 or 1"):
        more_often([2], [0], 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wilson(1, 0), "^trials: expected a number > 0, got 0$"),
        (lambda: wilson(3, 2), "^successes: expected a number between 0 and 2, got 3$"),
        (lambda: clustered(np.array([3.0]), np.array([2.0])), "^successes: expected numbers between 0"),
    ],
)
def test_bad_counts_say_what_is_wrong(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


# Table and figure --------------------------------------------------------------------------------------------


def outcome(method: str, start: int, error: float, reason: str = "converged") -> Outcome:
    return Outcome(method, start, error, 0.0 if error < 0.1 else -1.0, error, error < 0.1, 10 + start, 0.5, reason)


def small() -> list[Summary]:
    """Two sizes, two truths."""
    draws = [
        [outcome("mle", 0, 0.01), outcome("em-spread", 0, 0.015), outcome("em-spread", 1, 0.3, "max_iterations")],
        [outcome("mle", 0, 0.02), outcome("em-spread", 0, 0.012), outcome("em-spread", 1, np.nan, "refused")],
    ]
    return summarise({(3, 10, 1000): draws, (3, 10, 300): draws})


def test_a_summary_counts() -> None:
    rows = small()
    assert [(row.n, row.method) for row in rows] == [(n, m) for n in (300, 1000) for m in ("mle", "em-spread")]
    row = rows[1]
    assert (row.truths, row.runs, row.successes, row.truths_reached) == (2, 4, 2, 2)
    assert (row.capped, row.refused, row.rate, row.iterations) == (1, 1, 0.5, 10.5)
    assert (row.error_q25, row.error_median, row.error_q75) == (0.012, 0.015, 0.3)
    assert (row.low, row.high) == pytest.approx(wilson(2, 4))
    assert (row.m_step, row.sigma) == ("exact", "learnt, from sd(y)")


def test_the_table_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_table(small(), path)
    back = read_table(path)
    for one, other in zip(small(), back, strict=True):
        for f in dataclasses.fields(Summary):
            value = getattr(one, f.name)
            right = pytest.approx(value, rel=1e-3, nan_ok=True) if isinstance(value, float) else value
            assert getattr(other, f.name) == right
    write_table(back, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == path.read_text()


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"^table: expected the columns k, d, n, .* with others$"):
        read_table(path)
    with pytest.raises(InputError, match=r"^table: expected a CSV file that can be read"):
        read_table(tmp_path / "none.csv")
    write_table(small(), path)
    path.write_text(path.read_text().replace("converged", "x").replace(",300,", ",many,"))
    with pytest.raises(InputError, match=r"^table: expected numbers in "):
        read_table(path)


def test_the_committed_table_is_whole() -> None:
    rows = read_table(TABLE)
    assert {(row.k, row.d) for row in rows} == {(3, 10), (4, 10), (6, 20)}
    assert {row.method for row in rows} == set(METHODS)
    for row in rows:
        assert row.sigma == METHODS[row.method].sigma and row.m_step == METHODS[row.method].m_step
        assert row.low <= row.rate <= row.high and row.truths <= row.runs and row.truths_reached <= row.truths
        assert row.method != "mle" or row.successes == row.runs


def test_the_tables_of_the_page_are_those_of_the_committed_table() -> None:
    assert markdown(read_table(TABLE)) in TABLE.with_suffix(".md").read_text(encoding="utf-8")


def test_the_figure_of_the_committed_table(tmp_path: Path) -> None:
    figure = gridlock_figure(read_table(TABLE))
    upper, lower = figure.axes[:3], figure.axes[3:]
    assert [axes.get_title(loc="left") for axes in upper] == [
        "3 experts, $d=10$",
        "4 experts, $d=10$",
        "6 experts, $d=20$",
    ]
    assert all(axes.get_yscale() == "log" and axes.get_xscale() == "log" for axes in upper)
    assert len(lower) == 3 and all(axes.get_xscale() == "log" for axes in lower)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {style.label for style in STYLES} <= set(labels)
    figure.savefig(tmp_path / "gridlock.png")


def test_a_figure_of_little(tmp_path: Path) -> None:
    gridlock_figure(small()).savefig(tmp_path / "small.png")
    with pytest.raises(InputError, match=r"^rows: expected at least one row of the table, got none$"):
        gridlock_figure([])
