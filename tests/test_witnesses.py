"""Witnesses against the statements as printed, computed a second time: densities, EM steps, divergences and likelihoods
from their definitions in 36 digits, by code that shares nothing with the package. And the search that finds them."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from click.testing import CliRunner

from moe_theory.claims.instances import Instance
from moe_theory.claims.registry import select
from moe_theory.claims.search import search_cell, slack_at
from moe_theory.cli.main import cli

DIGITS = 36
SPACING, TAIL = mp.mpf(1) / 16, 10  # of the trapezoid rule in y; its error is below 1e-20 for slopes up to 6
ERASURE, ERROR = mp.mpf(1) / 10, mp.mpf(10) ** -30
MODELS = {"erased-labels": (0, 1), "symmetric-logistic": (-1, 1), "symmetric-linear": (-1, 1), "linear-experts": (1, 2)}

INSTANCES: dict[str, dict[str, Any]] = {
    "printed-likelihood": {
        "model": "symmetric-linear",
        "x": [[1], [2]],
        "truth": [[1], [2]],
        "start": [[0], [0]],
    },
    "printed-stationarity": {"model": "symmetric-linear", "x": [[1]], "truth": [[3], [4]], "start": [[3], [0]]},
    "printed-stationarity-general": {
        "model": "linear-experts",
        "x": [[1], [-1]],
        "truth": [[1], [2], [3]],
        "start": [[-3], [2], [0]],
    },
    "printed-sublinear": {
        "model": "symmetric-logistic",
        "x": [[1, 1], [1, -1], [1, 25], [1, -25]],
        "truth": [[2, 0], [0, 3.6]],
        "start": [[1.4, 0], [0, 0.1]],
    },
    "printed-sublinear-index": {"model": "erased-labels", "x": [[1]], "truth": [[0]], "start": [[4]]},
    "printed-sublinear-region": {
        "model": "symmetric-logistic",
        "x": [[1], [3.6]],
        "truth": [[1.16], [2.83]],
        "start": [[1.37], [1.37]],
    },
    "printed-linear": {
        "model": "erased-labels",
        "x": [[1], [10]],
        "weight": [0.5, 0.5],
        "truth": [[-3]],
        "start": [[0]],
    },
    "printed-linear-index": {
        "model": "symmetric-logistic",
        "x": [[1, 1], [1, -1], [1, 40], [1, -40]],
        "truth": [[4, 0], [0, 0.4]],
        "start": [[2, 0], [0, 0.15]],
    },
    "printed-strong-convexity": {"model": "erased-labels", "x": [[1]], "truth": [[4]], "start": [[0]]},
}
EXCHANGED = {"model": "erased-labels", "x": [[1]], "truth": [[4]], "start": [[0]]}  # printed-stationarity, y finite
TWO_SCALES = {  # printed-linear, where M is not constant
    "model": "symmetric-logistic",
    "x": [[1, 1], [1, -1], [1, 60], [1, -60]],
    "truth": [[5, 0], [0, 2]],
    "start": [[3, 0], [0, 0.05]],
}


CROSSED = {  # printed-linear in the poster's other model: independent features of the gate and of the experts
    "model": "symmetric-linear",
    "x": [[1, 0], [1, 1], [1, -1], [9, 0], [9, 1], [9, -1]],
    "weight": [2, 9, 9, 10, 45, 45],
    "truth": [[0, 5], [3.3, 0]],
    "start": [[0, 5], [0.3, 0]],
}


def expit(t: mp.mpf) -> mp.mpf:
    return 1 / (1 + mp.exp(-t))


@dataclass(frozen=True, eq=False)
class Exact:
    """One instance. Thetas are tuples of rows; `law` lists (weight, x, y)."""

    model: str
    x: list[list[mp.mpf]]
    share: list[mp.mpf]
    truth: Any
    start: Any

    @classmethod
    def of(cls, value: dict[str, Any]) -> Exact:
        number = lambda v: mp.mpf(str(v))
        rows = lambda array: [[number(v) for v in row] for row in array]
        weight = [number(w) for w in value.get("weight", [1] * len(value["x"]))]
        total = mp.fsum(weight)
        return cls(
            value["model"], rows(value["x"]), [w / total for w in weight], rows(value["truth"]), rows(value["start"])
        )

    def joint(self, theta: Any, x: Any, y: Any) -> list[mp.mpf]:
        """p(y, z|x) for both labels z, as the model is described in theory.md."""
        *expert, gate = [mp.fdot(row, x) for row in theta]
        found = []
        for z, prior in zip(MODELS[self.model], (expit(-gate), expit(gate)), strict=True):
            if self.model == "erased-labels":
                density = ERASURE if y == 2 else 1 - ERASURE - ERROR if y == z else ERROR
            elif self.model == "symmetric-logistic":
                density = expit(y * z * expert[0])
            else:
                mean = z * expert[0] if len(expert) == 1 else expert[z - 1]
                density = mp.npdf(y, mean, 1)
            found.append(prior * density)
        return found

    def responses(self, *thetas: Any) -> list[list[tuple[mp.mpf, mp.mpf]]]:
        """(measure, y) at every x: counting, or the trapezoid rule around the means at the thetas."""
        if self.model == "erased-labels":
            return [[(mp.mpf(1), mp.mpf(y)) for y in (0, 1, 2)] for _ in self.x]
        if self.model == "symmetric-logistic":
            return [[(mp.mpf(1), mp.mpf(y)) for y in (-1, 1)] for _ in self.x]
        found = []
        for x in self.x:
            reach = max(abs(mp.fdot(row, x)) for theta in thetas for row in theta[:-1]) + TAIL
            count = int(reach / SPACING) + 1
            found.append([(SPACING, k * SPACING) for k in range(-count, count + 1)])
        return found

    @cached_property
    def law(self) -> list[tuple[mp.mpf, Any, mp.mpf]]:
        """The true law of (x, y)."""
        return [
            (q * h * mp.fsum(self.joint(self.truth, x, y)), x, y)
            for q, x, measure in zip(self.share, self.x, self.responses(self.truth, self.start), strict=True)
            for h, y in measure
        ]

    def loss(self, theta: Any) -> mp.mpf:
        """L = -E log p(y|x)."""
        return -mp.fsum(w * mp.log(mp.fsum(self.joint(theta, x, y))) for w, x, y in self.law)

    def gap(self, theta: Any) -> mp.mpf:
        return self.loss(theta) - self.loss(self.truth)

    def kl(self, theta: Any, phi: Any) -> mp.mpf:
        """E KL(p_theta(y,z|x) || p_phi(y,z|x)): for flat models B_A(phi||theta)."""
        terms = []
        for q, x, measure in zip(self.share, self.x, self.responses(theta, phi), strict=True):
            for h, y in measure:
                pairs = zip(self.joint(theta, x, y), self.joint(phi, x, y), strict=True)
                terms += [q * h * p * mp.log(p / r) for p, r in pairs if p > 0]
        return mp.fsum(terms)

    def em(self, theta: Any) -> Any:
        """argmax of E Σ_z P_theta(z|x,y) log p(y,z|x; ·): the gate's and the experts' regressions."""
        rows = []
        for w, x, y in self.law:
            low, high = self.joint(theta, x, y)
            rows.append((w, x, y, low / (low + high), high / (low + high)))
        gate = logistic([(w, x, p) for w, x, _, _, p in rows], theta[-1])
        if self.model == "erased-labels":
            return [gate]
        if self.model == "symmetric-logistic":
            # P(y z = 1): z is the sign of y.
            beta = logistic([(w, x, p if y > 0 else r) for w, x, y, r, p in rows], theta[0])
            return [beta, gate]
        if self.model == "symmetric-linear":
            return [least_squares([(w, x, (p - r) * y, 1) for w, x, y, r, p in rows]), gate]
        first = least_squares([(w, x, r * y, r) for w, x, y, r, _ in rows])
        return [first, least_squares([(w, x, p * y, p) for w, x, y, _, p in rows]), gate]

    @cache  # noqa: B019  one per instance, and they are few
    def path(self, steps: int) -> list[Any]:
        """The start and the iterates after it."""
        if steps == 0:
            return [self.start]
        before = self.path(steps - 1)
        return [*before, self.em(before[-1])]


def moment(rows: list[tuple[mp.mpf, Any]]) -> mp.matrix:
    """Σ weight x x'."""
    d = range(len(rows[0][1]))
    return mp.matrix([[mp.fsum(w * x[a] * x[b] for w, x in rows) for b in d] for a in d])


def least_squares(rows: list[Any]) -> list[mp.mpf]:
    """b of the mean x'b, from rows (weight, x, response times share, share)."""
    right = mp.matrix([mp.fsum(w * x[a] * r for w, x, r, _ in rows) for a in range(len(rows[0][1]))])
    return list(mp.lu_solve(moment([(w * share, x) for w, x, _, share in rows]), right))


def logistic(rows: list[Any], start: list[mp.mpf]) -> list[mp.mpf]:
    """Newton's method for E[(target - σ(x'b)) x] = 0, rows (weight, x, target); steps halved while the loss rises."""
    loss = lambda b: mp.fsum(w * (mp.log1p(mp.exp(mp.fdot(b, x))) - t * mp.fdot(b, x)) for w, x, t in rows)
    b, here = mp.matrix(start), loss(start)
    for _ in range(100):
        score = [(w, x, t - expit(mp.fdot(b, x))) for w, x, t in rows]
        slope = mp.matrix([mp.fsum(w * x[a] * r for w, x, r in score) for a in range(len(start))])
        curvature = [(w * expit(mp.fdot(b, x)) * expit(-mp.fdot(b, x)), x) for w, x, _ in rows]
        move = mp.lu_solve(moment(curvature), slope)
        while loss(b + move) > here + mp.mpf(10) ** (5 - DIGITS):
            move /= 2
        b, here = b + move, loss(b + move)
        if mp.norm(move) < mp.mpf(10) ** (8 - DIGITS):
            return list(b)
    raise AssertionError("Newton's method does not settle")


def largest(exact: Exact, corners: list[Any], level: float) -> float:
    """An upper bound of λ_max(M) on the convex hull of up to three points, certain up to rounding of floats.

    Every logit is linear in the parameters. On a box, each σσ' is replaced by its largest value in I_z and its smallest
    in ∇²A: that bounds M, and boxes are halved until the bound is below `level`: no spike is narrow enough to be
    missed.
    """
    to_array = lambda theta: np.array([[float(v) for v in row] for row in theta])
    origin, *others = [to_array(c) for c in corners]
    axes = [other - origin for other in others]
    x, share = to_array(exact.x), np.array([float(q) for q in exact.share])
    predictors = len(origin)
    gram = np.einsum("i,ia,ib->iab", share, x, x)
    rows = [(float(w), np.array([float(v) for v in at]), float(y)) for w, at, y in exact.law]

    def spread(logit: np.ndarray, radius: np.ndarray, high: bool) -> np.ndarray:
        t = np.maximum(0, np.abs(logit) - radius) if high else np.abs(logit) + radius
        return np.exp(-t) / (1 + np.exp(-t)) ** 2

    def posterior_logit(theta: np.ndarray, at: np.ndarray, y: float, move: bool = False) -> float:
        eta = theta @ at
        if exact.model == "erased-labels":
            odds = float(mp.log((1 - ERASURE - ERROR) / ERROR))
            return eta[0] + (0 if move else {0: -odds, 1: odds, 2: 0}[int(y)])
        return eta[1] + (y if exact.model == "symmetric-logistic" else 2 * y) * eta[0]

    def bound(centre: np.ndarray, half: list[np.ndarray]) -> float:
        complete = np.zeros((predictors, x.shape[1], predictors, x.shape[1]))
        for j in range(predictors):
            radius = sum(np.abs(x @ h[j]) for h in half)
            known = exact.model == "symmetric-linear" and j == 0
            v = np.ones(len(x)) if known else spread(x @ centre[j], radius, high=False)
            complete[j, :, j, :] = np.einsum("i,iab->ab", v, gram)
        missing = np.zeros_like(complete)
        logits = np.array([posterior_logit(centre, at, y) for _, at, y in rows])
        radius = np.array([sum(abs(posterior_logit(h, at, y, move=True)) for h in half) for _, at, y in rows])
        for (w, at, y), v in zip(rows, spread(logits, radius, high=True), strict=True):
            ds = np.array([1.0] if predictors == 1 else [y if exact.model == "symmetric-logistic" else 2 * y, 1.0])
            missing += w * v * np.einsum("a,b,c,d->abcd", ds, at, ds, at)
        size = predictors * x.shape[1]
        factor = np.linalg.inv(np.linalg.cholesky(complete.reshape(size, size)))
        return float(np.linalg.eigvalsh(factor @ missing.reshape(size, size) @ factor.T)[-1])

    worst, boxes = 0.0, [(np.full(len(axes), 0.5), np.full(len(axes), 0.5))]
    for count in itertools.count():
        if not boxes:
            return worst
        assert count < 20_000, "the hypothesis is not certified"
        middle, half = boxes.pop()
        if np.sum(middle - half) > 1:
            continue  # outside the triangle
        centre = origin + sum(m * axis for m, axis in zip(middle, axes, strict=True))
        above = bound(centre, [h * axis for h, axis in zip(half, axes, strict=True)])
        if above <= level:
            worst = max(worst, above)
            continue
        assert bound(centre, []) <= level or np.sum(middle) > 1, f"λ_max exceeds {level} at {centre.tolist()}"
        k = int(np.argmax([h * np.abs(axis).max() for h, axis in zip(half, axes, strict=True)]))
        half = np.where(np.arange(len(half)) == k, half / 2, half)
        step = np.where(np.arange(len(half)) == k, half, 0)
        boxes += [(middle - step, half), (middle + step, half)]
    raise AssertionError


@pytest.fixture(autouse=True)
def _digits() -> Any:
    with mp.workdps(DIGITS):
        yield


def package(claim: str, value: dict[str, Any], corrected: bool = False) -> Any:
    """The slack as the package evaluates it."""
    (found,) = select((claim,))
    assert found.search is not None
    claimed = found.claimed if corrected or not found.printed else found.printed.claimed
    return slack_at(found.search, claimed, Instance.from_dict(value))


def agree(slack: Any, left: mp.mpf, right: mp.mpf, relative: float = 1e-9, bound: float = 0.0) -> None:
    """The package has both sides right, and the inequality is violated by far more than rounding. bound: how much an
    enclosed λ_max may change a side, relatively, in the inequality's favour."""
    assert slack.violated
    assert slack.left == pytest.approx(float(left), rel=max(relative, bound))
    assert slack.right == pytest.approx(float(right), rel=max(relative, bound))
    assert slack.right - slack.left >= float(right - left) - 1e-9
    assert left > right + mp.mpf(10) ** -4 * abs(right)


def at(claim: str) -> tuple[dict[str, Any], Exact]:
    return INSTANCES[claim], Exact.of(INSTANCES[claim])


def test_the_likelihood_as_printed_is_not_minimal_at_the_truth() -> None:
    value, exact = at("printed-likelihood")
    agree(package("printed-likelihood", value), -exact.loss(exact.truth), -exact.loss(exact.start))
    assert exact.gap(exact.start) > 0
    assert not package("printed-likelihood", value, corrected=True).violated


@pytest.mark.parametrize("value", [INSTANCES["printed-stationarity"], EXCHANGED], ids=["linear", "erased"])
def test_stationarity_with_kl_in_its_usual_direction_fails_at_the_first_step(value: dict[str, Any]) -> None:
    exact = Exact.of(value)
    first, second = exact.path(1)
    agree(package("printed-stationarity", value), exact.kl(first, second), exact.gap(first))
    assert exact.kl(second, first) <= exact.gap(first)
    assert not package("stationarity", value).violated


def test_stationarity_fails_for_a_curved_model() -> None:
    value, exact = at("printed-stationarity-general")
    first, second = exact.path(1)
    agree(package("printed-stationarity-general", value), exact.kl(second, first), exact.gap(first))
    # Descent, which EM owes to no flatness, does hold: only the amount of it is not KL.
    assert 0 < exact.loss(first) - exact.loss(second) < exact.kl(second, first)


def test_sublinear_with_kl_in_its_usual_direction_fails() -> None:
    """Θ is the convex hull of θ* and the iterates, and λ_max <= 1 on all of it."""
    value, exact = at("printed-sublinear")
    slack = package("printed-sublinear", value)
    thetas = exact.path(8)
    steps = slack.details["T"]
    agree(slack, exact.gap(thetas[steps]), exact.kl(exact.truth, exact.start) / steps)
    for count, theta in enumerate(thetas[1:], 1):
        assert exact.gap(theta) <= exact.kl(exact.start, exact.truth) / count
    # All points are in the plane of (β_1, w_2); triangles with a common corner cover the hull.
    corners = hull([(t[0][0], t[1][1]) for t in [exact.truth, *thetas[: steps + 1]]])
    as_theta = lambda c: [[c[0], mp.mpf(0)], [mp.mpf(0), c[1]]]
    for one, two in itertools.pairwise(corners[1:]):
        assert largest(exact, [as_theta(c) for c in (corners[0], one, two)], 1.0) <= 1


def hull(points: list[tuple[mp.mpf, mp.mpf]]) -> list[tuple[mp.mpf, mp.mpf]]:
    """The corners of the convex hull in order (monotone chains)."""
    turn = lambda o, a, b: (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])

    def chain(ordered: list[tuple[mp.mpf, mp.mpf]]) -> list[tuple[mp.mpf, mp.mpf]]:
        kept: list[tuple[mp.mpf, mp.mpf]] = []
        for p in ordered:
            while len(kept) > 1 and turn(kept[-2], kept[-1], p) <= 0:
                kept.pop()
            kept.append(p)
        return kept[:-1]

    return chain(sorted(points)) + chain(sorted(points, reverse=True))


def test_sublinear_with_the_start_as_first_iterate_fails() -> None:
    """For erased labels M = erasure·I: a label that is told has no posterior variance, one that is not has p(1-p)."""
    value, exact = at("printed-sublinear-index")
    bound = exact.kl(exact.start, exact.truth)
    agree(package("printed-sublinear-index", value), exact.gap(exact.start), bound)
    assert largest(exact, [exact.truth, exact.start], 0.2) <= 0.2
    assert all(exact.gap(theta) <= bound / steps for steps, theta in enumerate(exact.path(5)) if steps)
    assert not package("sublinear", value).violated


def test_sublinear_needs_the_iterates_to_stay_where_l_is_convex() -> None:
    """L is convex from the start to θ*, but EM goes to a saddle (β = w) and leaves that segment."""
    value, exact = at("printed-sublinear-region")
    slack = package("printed-sublinear-region", value)
    steps = slack.details["T"]
    theta = exact.path(steps)[-1]
    agree(slack, exact.gap(theta), exact.kl(exact.start, exact.truth) / steps, relative=1e-8)
    assert largest(exact, [exact.truth, exact.start], 1.0) <= 1
    with pytest.raises(AssertionError, match="λ_max exceeds"):
        largest(exact, [exact.truth, theta], 1.0)
    assert package("sublinear", value) is None  # not admissible for the claim as corrected


def test_the_gap_does_not_contract_at_one_minus_alpha() -> None:
    """M = erasure·I everywhere (a label told has no posterior variance, one erased p(1-p)): α = 0.9 on any Θ."""
    value, exact = at("printed-linear")
    first, second = exact.path(1)
    agree(package("printed-linear", value), exact.gap(second), ERASURE * exact.gap(first), bound=0.006)
    assert mp.nstr(exact.gap(first), 12) == "0.537943225505"
    assert mp.nstr(exact.gap(second), 12) == "0.163031167804"
    worst = largest(exact, [exact.truth, first], 0.2)  # θ_2 lies between them
    assert exact.truth[0][0] < second[0][0] < first[0][0]
    assert exact.gap(second) > worst * exact.gap(first)
    assert exact.kl(second, exact.truth) <= ERASURE * exact.kl(first, exact.truth) * (1 + mp.mpf(10) ** -9)
    assert exact.gap(second) <= ERASURE * exact.kl(first, exact.truth)
    assert not package("linear", value).violated


@pytest.mark.parametrize(("instance", "level"), [(TWO_SCALES, 0.6), (CROSSED, 0.33)], ids=["two scales", "crossed"])
def test_the_gap_does_not_contract_at_one_minus_alpha_in_the_posters_models_either(
    instance: dict[str, Any], level: float
) -> None:
    exact = Exact.of(instance)
    slack = package("printed-linear", instance)
    first, second = exact.path(1)
    agree(slack, exact.gap(second), mp.mpf(1 - slack.details["alpha"]) * exact.gap(first))
    worst = largest(exact, [exact.truth, first, second], level)
    assert 1 - slack.details["alpha"] <= level
    assert exact.gap(second) > worst * exact.gap(first)
    # Nor does the divergence the other way round.
    assert exact.kl(exact.truth, second) > worst * exact.kl(exact.truth, first)
    # What is claimed instead holds.
    assert exact.kl(second, exact.truth) <= worst * exact.kl(first, exact.truth)


def test_the_divergence_does_not_contract_at_the_square() -> None:
    """As it does next to θ*. M = erasure·I, so α = 0.9 on any Θ."""
    exact = Exact.of({"model": "erased-labels", "x": [[1]], "truth": [[-4]], "start": [[0]]})
    first, second = exact.path(1)
    before, after = exact.kl(first, exact.truth), exact.kl(second, exact.truth)
    assert 2.9 * ERASURE**2 * before < after < ERASURE * before


def test_the_gap_form_does_not_hold_before_the_first_step() -> None:
    value, exact = at("printed-linear-index")
    slack = package("printed-linear-index", value)
    gap, (first, second) = exact.gap(exact.start), exact.path(1)
    worst = largest(exact, [exact.truth, first, second], 0.95)
    agree(slack, gap, mp.mpf(1 - slack.details["alpha"]) * gap)
    assert 1 - slack.details["alpha"] <= worst < 1
    assert exact.kl(second, exact.truth) <= (1 - slack.details["alpha"]) * exact.kl(first, exact.truth)


def test_strong_convexity_with_the_tangent_at_the_other_point_fails() -> None:
    """For erased labels L = (1-erasure)·A + a linear function: the corrected inequality is an equality."""
    value, exact = at("printed-strong-convexity")
    slack = package("printed-strong-convexity", value)
    pairs = [(exact.start, exact.truth), (exact.truth, exact.start)]
    sides = {}
    for theta, phi in pairs:
        slope = mp.diff(lambda t, old=theta: exact.loss([[old[0][0] + t]]), 0) * (phi[0][0] - theta[0][0])
        tangent = exact.loss(theta) + slope
        printed, corrected = (tangent + (1 - ERASURE) * exact.kl(*p) for p in ((phi, theta), (theta, phi)))
        sides[float(theta[0][0])] = printed, exact.loss(phi)
        assert corrected <= exact.loss(phi) + mp.mpf(10) ** -9
    agree(slack, *sides[slack.details["theta"][0][0]], bound=0.006)
    assert largest(exact, [exact.truth, exact.start], 0.2) <= 0.2
    assert not package("printed-strong-convexity", value, corrected=True).violated


# What sparse grids of λ_max once took for violations: the hypothesis fails at a spike between their points.
SPIKES: dict[str, dict[str, Any]] = {
    "linear": {
        "model": "symmetric-linear",
        "x": [[1.414213562373, 0.0], [1.0, 1.0], [0.0, 1.414213562373], [-1.0, 1.0]],
        "truth": [[-2.32, -2.91], [-2.2, -2.22]],
        "start": [[2.93, -0.76], [3.2, 0.11]],
    },
    "printed-strong-convexity": {
        "model": "erased-labels",
        "x": [[1.0], [89.8]],
        "weight": [0.81, 0.19],
        "truth": [[3.3]],
        "start": [[-3.0]],
    },
    "printed-linear": {
        "model": "symmetric-logistic",
        "x": [[1, 1], [1, -1], [1, 17.1], [1, -17.1]],
        "truth": [[0.98, 0], [0, 3.66]],
        "start": [[1.25, 0], [0, 0.13]],
    },
}


@pytest.mark.parametrize("claim", SPIKES)
def test_a_hypothesis_that_fails_at_a_narrow_spike_makes_no_violation(claim: str) -> None:
    slack = package(claim, SPIKES[claim], corrected=claim == "printed-strong-convexity")
    assert slack is None or not slack.violated


@pytest.mark.parametrize("claim", SPIKES)
def test_the_spikes_are_there(claim: str) -> None:
    exact = Exact.of(SPIKES[claim])
    with pytest.raises(AssertionError, match="λ_max exceeds"):
        largest(exact, [exact.truth, exact.start], 1.0)


@pytest.mark.parametrize("claim", ["stationarity", "sublinear", "linear", "information-order"])
def test_nothing_is_found_against_a_true_claim(claim: str) -> None:
    (found,) = select((claim,))
    assert found.search is not None
    for cell in found.search.cells(1, seed=1):
        result = search_cell(found.search, found.claimed, {**cell, "budget": 25})
        assert result.admissible > 0 and not result.violated


def refuted(*arguments: str) -> dict[str, Any]:
    """The JSON of a search but for its time."""
    outcome = CliRunner().invoke(cli, ["refute", *arguments, "--json"])
    assert outcome.exit_code == 0, outcome.output
    return {key: value for key, value in json.loads(outcome.output).items() if key != "seconds"}


@pytest.mark.parametrize("claim", ["printed-stationarity", "information-order"])
def test_a_search_can_be_repeated(claim: str) -> None:
    once, again = (refuted(claim, "--budget", "150", "--seed", "1") for _ in range(2))
    assert once == again and once["refuted"] == once["expected"]


def test_processes_do_not_change_a_search() -> None:
    one, two = (refuted("information-order", "--budget", "450", "--jobs", jobs) for jobs in ("1", "2"))
    assert one == two and one["evaluations"] == 450
