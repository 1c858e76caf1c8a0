"""One problem: bound, attack, judge."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.linalg
from flint import arb, arb_mat

from moe_theory.certificates.basin import Basin, basin, box
from moe_theory.certificates.maker import Maker, below, coarse
from moe_theory.certificates.region import Region, pieces_of
from moe_theory.certificates.relative import Prover, upper_curvature
from moe_theory.certificates.rows import Statistics
from moe_theory.errors import UnprovableError
from soundness.adversary import Landscape, exact_factor, inside
from soundness.exact import BITS, Exact, centred, definite, digits, dot
from soundness.problems import Problem

EM_STEPS = 4  # iterations that are followed
NEXT_TO_NOTHING = 1e-60  # of the first divergence: what is left is the digits' end


@dataclass
class Record:
    """What came of one pair. violations: in words; none, if the certificate stands."""

    index: int
    kind: str
    n: int
    d: int
    shape: str
    method: str
    cuts: int
    centre: str
    radius: float
    refused: str = ""
    lambda_upper: float | None = None
    lambda_found: float | None = None
    undecided: int = 0
    lower: float | None = None
    upper: float | None = None
    gradient: tuple[float, float] | None = None
    distance: tuple[float, float] | None = None
    basin_radius: float | None = None
    em: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


def examine(p: Problem, em: bool = True) -> Record:
    """Bound, attack, judge. em: follow EM where there is a basin."""
    clock = time.perf_counter()
    region = p.region
    record = Record(
        p.index,
        p.kind,
        len(p.law),
        p.law.dimension,
        region.shape,
        p.method,
        len(p.pieces),
        p.centre,
        p.radius,
    )
    statistics = Statistics(p.model, p.law)
    try:
        prover = Prover.of(statistics, region, p.method, pieces_of(p.pieces, p.law.dimension))  # type: ignore[arg-type]
        upper = sharpest(prover)
        maker = Maker(statistics, region.centre, region.shape, (p.method,), 0, 0, lambda _: None)  # type: ignore[arg-type]
        mu, nu = prover.lower(region.matrix), upper_curvature(maker.centre, region)
        epsilon = maker.gradient(region)
    except UnprovableError as error:
        record.refused, record.seconds = str(error), time.perf_counter() - clock
        return record
    record.lambda_upper = upper if math.isfinite(upper) else None
    exact = Exact(p.kind, p.known, p.law)
    _attack(record, exact, region, p.index, upper, mu, nu)
    with digits():
        judged = _length(exact_factor(region).transpose() * exact.gradient(exact.point(region.centre)))
        record.gradient = (float(judged.mid()), epsilon)
        if not judged <= arb(epsilon):
            record.violations.append(f"gradient {judged} above {epsilon!r}")
    if upper < 1 and mu > 0:
        alpha = coarse((1 - upper) * 0.999)
        if alpha > 0 and prover.holds(below(alpha)):
            ball = lambda s: upper_curvature(maker.centre, replace(region, radius=s))
            found = basin(region.radius, alpha, epsilon, mu, ball)
            if found is not None:
                record.basin_radius = found.radius
                _follow(record, exact, region, found, alpha, p.index, em)
    record.seconds = time.perf_counter() - clock
    return record


def sharpest(prover: Prover) -> float:
    """The least λ that holds, to 1e-9: the package is content with 1e-4."""
    high = prover.least()
    if not 0 < high < math.inf:
        return high
    low = high * (1 - 3e-4)
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if prover.holds(middle) else (middle, high)
    return high


def _attack(record: Record, exact: Exact, region: Region, seed: int, upper: float, mu: float, nu: float) -> None:
    """Points at which the bounds are judged: where a climb ends, and where it began."""
    land, rng = Landscape(exact, region), np.random.default_rng(seed)
    zero, r = np.zeros(land.p), region.radius
    directions = rng.standard_normal((4, land.p))
    onto = [r * v / np.linalg.norm(v) for v in directions]
    _, slope = land.largest(zero)
    size = np.linalg.norm(slope)
    ends = [r * slope / size, -r * slope / size] if size > 0 and np.isfinite(size) else []
    # Where the row that weighs most has its posterior logit 0 or next to it.
    heavy = int(np.argmax(land.weight * np.sum(land.change**2, axis=1)))
    row = land.change[heavy]
    if 0 < (square := float(row @ row)) < np.inf:
        to = -land.label[heavy] * row / square
        ends.append(to if np.linalg.norm(to) <= r else r * to / np.linalg.norm(to))
    peak = land.climb(land.largest, [zero, *ends, *onto])
    with digits():
        g, centre = exact_factor(region), exact.point(region.centre)
        place = lambda z: centre + g * arb_mat(land.p, 1, inside(z, r))
        judge = lambda z: _rayleigh(exact, place(z), g, land, z)
        best = judge(peak)
        for _ in range(3):  # the climb's last steps, with balls to say whether they lead upwards
            _, slope = land.largest(peak)
            size = np.linalg.norm(slope)
            if not (size > 0 and np.isfinite(size)):
                break
            options = [peak + share * (r * slope / size - peak) for share in (1.0, 0.1, 1e-2, 1e-3)]
            value, z = max(((judge(z), z) for z in options), key=lambda o: o[0])
            if not value > best:
                break
            best, peak = value, z
        record.lambda_found = best if math.isfinite(best) else None
        for z in (peak, zero, onto[0]):
            theta = place(z)
            if math.isfinite(upper):
                _judge(record, "λ_upper ∇²A - I", arb(upper) * exact.complete(theta) - exact.missing(theta))
        curved = lambda z: g.transpose() * exact.complete(place(z)) * g
        eye = arb_mat(land.p, land.p, [arb(int(i == j)) for i in range(land.p) for j in range(land.p)])
        for bound, sign in ((mu, -1.0), (nu, 1.0)):
            if not math.isfinite(bound):
                continue
            extreme = land.climb(land.curvature(sign), [zero, *onto[:1]]) if exact.terms else zero
            for z in (extreme, onto[1]):
                part = curved(z) - arb(bound) * eye
                _judge(record, "G'∇²AG - μ" if sign < 0 else "ν - G'∇²AG", part if sign < 0 else -part)
            value = sign * land.curvature(sign)(extreme)[0]
            if sign < 0:
                record.lower = bound / value if value > 0 else None
            else:
                record.upper = bound / value if value > 0 else None


def _judge(record: Record, what: str, matrix: arb_mat) -> None:
    verdict = definite(matrix)
    if verdict is False:
        record.violations.append(f"{what} is not positive definite")
    elif verdict is None:
        record.undecided += 1


def _rayleigh(exact: Exact, theta: arb_mat, g: arb_mat, land: Landscape, z: np.ndarray) -> float:
    """u'Iu / u'∇²Au in balls, u the float's eigenvector improved: what λ_max is not below, to 1e-15."""
    complete, missing = (g.transpose() * m * g for m in (exact.complete(theta), exact.missing(theta)))
    near = lambda m: np.array([float(v.mid()) for v in m.entries()]).reshape(land.p, land.p)
    a, i = near(complete), near(missing)
    size = np.sqrt(np.abs(np.diagonal(a))) + 1e-150
    unit = np.outer(size, size)
    try:
        u = scipy.linalg.eigh(i / unit, a / unit)[1][:, -1] / size
    except (np.linalg.LinAlgError, ValueError):
        u = np.linalg.eigh(i)[1][:, -1]
    u = u if np.isfinite(u).all() else np.ones(land.p)
    v = arb_mat(land.p, 1, [arb(float(c)) for c in u])
    value = dot(v, missing * v) / dot(v, complete * v)
    try:
        for _ in range(2):  # Rayleigh's iteration; of what it comes to only the quotient counts
            moved = centred((missing - value.mid() * complete).solve(complete * v))
            v = moved * (1 / max(abs(c) for c in moved.entries()))
            v = centred(v)
            further = dot(v, missing * v) / dot(v, complete * v)
            if not further > value:
                break
            value = further
    except (ZeroDivisionError, ValueError):
        pass
    return float(value.mid()) if value.is_finite() else -math.inf


def _length(v: arb_mat) -> arb:
    square = sum((e * e for e in v.entries()), arb(0))
    return square.sqrt() if square > 0 else arb(0).union(square.abs_upper().sqrt())


def _follow(record: Record, exact: Exact, region: Region, found: Basin, alpha: float, seed: int, em: bool) -> None:
    """θ̂ by Newton's method, its distance, its box; then EM from random starts of the basin."""
    with digits(2 * BITS):
        g, centre = exact_factor(region), exact.point(region.centre)
        best = exact.stationary(centre)
        if best is None:
            record.violations.append("no stationary point where one was promised")
            return
        distance = _length(g.solve(best - centre))
        record.distance = (float(distance.mid()), found.distance)
        if not distance <= arb(found.distance):
            record.violations.append(f"stationary point {distance} from the centre, not {found.distance!r}")
        low, high = box(region.centre, region.matrix, found.distance)
        inside_box = all(
            arb(a) <= v and v <= arb(b)
            for a, v, b in zip(low.ravel().tolist(), best.entries(), high.ravel().tolist(), strict=True)
        )
        if not inside_box:
            record.violations.append("stationary point outside of its box")
        if not em or not found.radius > 0:
            return
        # From a random point of the sphere, and where ∇²A is largest, both ways: followed from the farthest of them.
        curved = g.transpose() * exact.complete(best) * g
        wide = np.linalg.eigh(np.array([float(v.mid()) for v in curved.entries()]).reshape(exact.p, exact.p))[1][:, -1]
        ways = [np.random.default_rng(seed).standard_normal(exact.p), wide, -wide]
        ends = [found.radius * z / np.linalg.norm(z) for z in ways]
        starts = [centre + g * arb_mat(exact.p, 1, inside(z, found.radius)) for z in ends]
        start, theta = max(((exact.divergence(best, t), t) for t in starts), key=lambda s: float(s[0].mid()))
        before, lowest, rate = start, exact.objective(best), 1 - arb(alpha)
        if not start < arb(found.divergence):
            record.violations.append(f"start with divergence {start}, not below {found.divergence!r}")
        for step in range(1, EM_STEPS + 1):
            stepped = exact.em(theta)
            if stepped is None:
                record.violations.append("an EM iteration that could not be made")
                return
            theta = stepped
            after = exact.divergence(best, theta)
            if after > rate * before:
                record.violations.append(f"EM contracts by {after / before} only, not by {rate}")
            if exact.objective(theta) - lowest > rate**step * start:
                record.violations.append("EM's objective falls too slowly")
            if _length(g.solve(theta - centre)) > arb(region.radius):
                record.violations.append("EM leaves the region")
            record.em, before = step, after
            if not after > NEXT_TO_NOTHING * start:
                break
