"""Maker and checker a hair beyond the truth: on problems whose extremes are known to 40 digits they must say no."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import mpmath as mp
import numpy as np

from moe_theory.certificates.bounds import Centre, Method
from moe_theory.certificates.certificate import Certificate
from moe_theory.certificates.checker import check as check_again
from moe_theory.certificates.make import certify_rows
from moe_theory.certificates.maker import METHODS, Maker
from moe_theory.certificates.relative import Prover, upper_curvature
from moe_theory.certificates.rows import Statistics
from moe_theory.claims import Case, Evidence
from moe_theory.errors import UnprovableError
from proofs_checks.forgeries import Document, altered, forged
from proofs_checks.tight_problems import DIGITS, Tight, cancelling, tight_problems

ROUNDING = 1e-11  # relative: what the maker, in floats, may give away
STEPS = 3  # of EM, from the ends of a basin
Pieces = dict[tuple[int, int], int]


@dataclass(frozen=True, eq=False)
class Judged:
    """A problem with what is true of it: the largest λ_max(M) on the region, and the least curvature."""

    problem: Tight

    @cached_property
    def worst(self) -> mp.mpf:
        return self.problem.highest(self.problem.largest, self.problem.region.radius)[0]

    @cached_property
    def least(self) -> mp.mpf:
        return -self.problem.highest(self.problem.curvature(-1), self.problem.region.radius)[0]

    @cached_property
    def gradient(self) -> mp.mpf:
        """‖G'∇L(c)‖."""
        with mp.workdps(DIGITS):
            return mp.norm(self.problem.slope(self.problem.place(mp.zeros(self.problem.p, 1))))

    @cached_property
    def shown(self) -> dict[str, Any]:
        """A point of the region with a small λ_max, as a file has it."""
        p = self.problem
        _, z = p.highest(lambda theta: -p.largest(theta), 0.9 * p.region.radius)
        with mp.workdps(DIGITS):
            flat = [float(v) for v in p.place(z)]
            value = float(p.largest(mp.matrix(flat)))
        rows = np.reshape(flat, p.region.centre.shape).tolist()
        return {"lambda": value, "theta": dict(zip(p.model.predictors, rows, strict=True))}

    @cached_property
    def pieces(self) -> list[Pieces]:
        """How the region is cut."""
        if self.problem.p == 1:
            return [{}, {(0, 0): 3}, {(0, 0): 4}]
        return [{}, {(0, 0): 3}, {(1, 0): 2}, {(0, 0): 2, (1, 0): 3}]

    def sharp(self, method: Method, pieces: Pieces) -> float | None:
        """How little above the truth, relative, a bound has to be had; None where that is not known."""
        p = self.problem
        if method == "worst-case":
            return 2 * ROUNDING if p.exact else None
        return None if p.near is None or pieces else p.near + 2 * ROUNDING

    def case(self) -> Case:
        return Case(self.problem.name, self.problem.model, self.problem.law, self.problem.region.centre, 1e-13)


def tight_evidence() -> Iterator[Evidence]:
    """What maker and checker say of statements that are false by a hair, or true by one."""
    yield _rounding(cancelling())
    for number, problem in enumerate(tight_problems()):
        judged = Judged(problem)
        yield _maker(judged)
        certificate = _certificate(judged)
        yield _said(judged, "the maker's certificate, proved again", [(certificate.document, "")])
        yield _said(judged, "files with a bound a hair off, checked", list(_bounds(judged, certificate)))
        yield _said(
            judged, "files with another number a hair off, checked", list(_numbers(judged, certificate, number))
        )


def tight_runs() -> Iterator[Evidence]:
    """EM in 50 digits from the ends of the basins of the maker's certificates."""
    yield from (_run(Judged(problem)) for problem in tight_problems())


# The basin -------------------------------------------------------------------------------------------------------


def _run(judged: Judged) -> Evidence:
    """What a certificate says of θ̂, of the starts at the ends of its basin, and of every step from there."""
    p, certificate = judged.problem, _certificate(judged)
    basin, low, high = certificate.proved
    wrong: list[Any] = []
    with mp.workdps(DIGITS):
        best = p.stationary()
        back = mp.lu_solve(p.factor, best - p.centre)
        sides = zip(low.ravel().tolist(), best, high.ravel().tolist(), strict=True)
        if not (mp.norm(back) <= basin.distance and all(a <= v <= b for a, v, b in sides)):
            wrong.append(("θ̂", mp.nstr(back, 9)))
        rate, trials = 1 - mp.mpf(certificate.alpha), 1
        for way in [mp.matrix([s] + [t] * (p.p - 1)) for s in (1, -1) for t in range(p.p)]:
            theta = p.place(mp.mpf(basin.radius) * way / mp.norm(way))
            start = before = p.divergence(best, theta)
            if not start < basin.divergence:
                wrong.append(("start", mp.nstr(start, 9)))
            for step in range(1, STEPS + 1):
                theta = p.em(theta)
                after, trials = p.divergence(best, theta), trials + 1
                inside = mp.norm(mp.lu_solve(p.factor, theta - p.centre)) <= p.region.radius
                if not (inside and after <= rate * before and p.gap(theta, best) <= rate**step * start):
                    wrong.append((f"step {step}", mp.nstr(after / before, 9)))
                before = after
    what = (
        "statements on the stationary point, and on EM's steps from the ends of the basin, that are false in 50 digits"
    )
    return _counted(p.name, what, wrong, trials)


# The maker -------------------------------------------------------------------------------------------------------


def _maker(judged: Judged) -> Evidence:
    """Levels just below the largest λ_max must not hold, nor those just above it fail; curvature and gradient alike."""
    p, trials = judged.problem, 0
    wrong: list[Any] = []
    statistics = Statistics(p.model, p.law)
    centre = Centre(statistics, p.region.centre, np.abs(p.region.centre))
    for method in METHODS:
        for pieces in judged.pieces:
            prover, sharp = Prover.of(statistics, p.region, method, pieces, centre), judged.sharp(method, pieces)
            said = [("λ", prover.holds(_under(judged.worst)), False)]
            said += [("μ", mp.mpf(prover.lower(p.region.matrix)) > judged.least, False)]
            if sharp is not None:
                said += [("λ", prover.holds(float(judged.worst * (1 + mp.mpf(sharp)))), True)]
            trials += len(said)
            wrong += [
                (name, method, pieces, "held" if found else "not held") for name, found, so in said if found != so
            ]
    if not mp.mpf(upper_curvature(centre, p.region)) >= p.highest(p.curvature(1), p.region.radius)[0]:
        wrong.append(("ν", "worst-case", {}, "held"))
    maker = Maker(statistics, p.region.centre, p.region.shape, METHODS, 0, 0, lambda _: None)
    epsilon = maker.gradient(p.region)
    if not judged.gradient <= mp.mpf(epsilon) <= judged.gradient * (1 + 1e-3) + 1e-11:
        wrong.append(("ε", "", {}, f"{epsilon!r}"))
    what = "levels of λ, μ, ν, ε a hair from the truth of which the maker's bounds say the wrong thing"
    return _counted(p.name, what, wrong, trials + 2)


def _rounding(p: Tight) -> Evidence:
    """Where floats have lost the arguments the maker says so, or its bound allows for it."""
    highest = p.largest(p.place(mp.zeros(p.p, 1)))
    wrong: list[Any] = []
    for method in METHODS:
        try:
            prover = Prover.of(Statistics(p.model, p.law), p.region, method)
        except UnprovableError:
            continue
        if prover.holds(_under(highest)):
            wrong.append(("λ", method, {}, "held"))
    return _counted(p.name, "levels of λ below the truth that the maker's bounds hold for", wrong, len(METHODS))


# The checker -----------------------------------------------------------------------------------------------------


def _certificate(judged: Judged) -> Certificate:
    p = judged.problem
    options: dict[str, Any] = {"alpha": None, "method": "sharpest", "cuts": 0, "seed": 0, "progress": lambda _: None}
    made = certify_rows(p.model, p.law, p.region.centre, radius=p.region.radius, shape="euclidean", **options)
    if p.region.factor is None:
        return made
    # An ellipsoid of our own.
    maker = Maker(Statistics(p.model, p.law), p.region.centre, "ellipsoid", METHODS, 0, 0, lambda _: None)
    maker.__dict__["factor"] = p.region.factor
    known: dict[str, Any] = {}
    for more in maker.steps(p.region.radius, None):
        known |= more
    return replace(made, certified=True, reason="", **known)


def _bounds(judged: Judged, certificate: Certificate) -> Iterator[tuple[Document, str | tuple[str, ...]]]:
    """α a hair more than 1 - λ_max at the worst point, which the forger does not show; and a hair less, where sharp."""
    for method in METHODS:
        for pieces in judged.pieces:
            cuts = [{"coordinate": a + j, "pieces": n} for (a, j), n in pieces.items()]
            over = _above(1 - judged.worst)
            yield _with_bound(judged, certificate, over, method, cuts), "bound.lambda_upper"
            sharp = judged.sharp(method, pieces)
            if sharp is not None:
                under = float(1 - judged.worst * (1 + mp.mpf(sharp)))
                yield _with_bound(judged, certificate, under, method, cuts), ""


def _with_bound(judged: Judged, certificate: Certificate, alpha: float, method: str, cuts: list[Any]) -> Document:
    def change(new: Document, *_: Any) -> None:
        new["bound"] |= {"alpha": alpha, "method": method, "cuts": cuts}
        new["found"] = judged.shown

    return forged(change)(certificate.document, certificate, judged.case())


def _numbers(judged: Judged, certificate: Certificate, number: int) -> Iterator[tuple[Document, str | tuple[str, ...]]]:
    p, document, case = judged.problem, certificate.document, judged.case()
    basin = certificate.proved.basin
    made = lambda section, key, value: forged(lambda new, *_: new[section].__setitem__(key, value))(
        document, certificate, case
    )
    yield made("curvature", "lower", _above(judged.least)), "curvature.lower"
    highest = p.highest(p.curvature(1), basin.within)[0]
    yield made("curvature", "upper", float(highest) * (1 - 1e-9)), "curvature.upper"
    yield made("stationary", "gradient", _under(judged.gradient)), "stationary.gradient"
    if number % 4:  # the rest is the same on all
        return
    ulps = lambda value, way: math.nextafter(value, way * math.inf)
    yield altered(document, "stationary", "distance", ulps(basin.distance, -1)), "stationary.distance"
    yield altered(document, "basin", "divergence", ulps(basin.divergence, 1)), "basin.divergence"
    yield altered(document, "basin", "radius", basin.radius * (1 + 1e-9)), ("basin.radius", "curvature.within")
    yield altered(document, "curvature", "within", ulps(basin.radius, -1)), "curvature.within"
    yield altered(document, "bound", "lambda_upper", ulps(certificate.lambda_upper, -1)), "bound"
    for side, way in (("lower", 1), ("upper", -1)):
        inner = {
            name: [v + way * 0.9 * abs(v - c) for v, c in zip(values, document["centre"][name], strict=True)]
            for name, values in document["stationary"][side].items()
        }
        yield altered(document, "stationary", side, inner), f"stationary.{side}"
    found = document["found"]["lambda"]
    for share in (3e-8, -3e-8):
        yield altered(document, "found", "lambda", found * (1 + share)), "found.lambda"
    out = p.region.centre + (p.region.matrix @ np.full(p.p, (1 + 1e-9) * p.region.radius / math.sqrt(p.p))).reshape(
        -1, 1
    )
    with mp.workdps(DIGITS):
        value = float(p.largest(mp.matrix(out.ravel().tolist())))
    if value < certificate.lambda_upper:
        point = {name: row.tolist() for name, row in zip(p.model.predictors, out, strict=True)}
        yield altered({**document, "found": {"lambda": value, "theta": point}}, "found", "lambda", value), "found.theta"


def _said(judged: Judged, what: str, files: list[tuple[Document, Any]]) -> Evidence:
    """What the checker says of files that are to be valid ("") or rejected for a reason that begins so."""
    p, wrong = judged.problem, []
    for document, expected in files:
        checked = check_again(document, p.law, model=p.model)
        if checked.valid if expected else not checked.valid:
            wrong.append((str(expected) or "valid", checked.reason or "said valid", document["bound"]))
        elif expected and not checked.reason.startswith(expected):
            wrong.append((str(expected), checked.reason, document["bound"]))
    return _counted(p.name, f"{what}: verdicts that are wrong", wrong, len(files))


def _counted(name: str, what: str, wrong: list[Any], trials: int) -> Evidence:
    witness = {"first": repr(wrong[0])} if wrong else None
    return Evidence("bound", name, what, not wrong, len(wrong), 0, trials=trials, witness=witness)


def _above(value: mp.mpf) -> float:
    """The least double above."""
    number = float(value)
    return number if mp.mpf(number) > value else math.nextafter(number, math.inf)


def _under(value: mp.mpf) -> float:
    """The largest double below."""
    number = float(value)
    return number if mp.mpf(number) < value else math.nextafter(number, -math.inf)
