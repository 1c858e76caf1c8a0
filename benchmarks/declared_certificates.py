"""Certificates of random declared models, judged from log p(y,z|x) as declared: none may be false.

    python benchmarks/declared_certificates.py --count 2000 --seed 0

Four of five models are flat, with constants of many digits; the fifth is one of `declarations`: kinks and bends, what
jumps and what has derivatives that lie, of which most are not. A certificate that `check` calls valid is judged by the
second form in which each model is written, plain functions of mpmath's numbers, at 40 digits: derivatives are
differences of values. At points of the region, climbed to among others, λ_upper ∇²A - I_{z|x,y} has to be positive
definite; the gradient, what encloses the stationary point, and EM's first steps from the basin's edge have to be as
stated. A model that is not flat must have none.
"""

from __future__ import annotations

import argparse
import collections
import random
import sys
import time
import warnings
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np
import sympy as sp
from declarations import Declared, declared, is_flat, normal

import moe_theory as mt
from moe_theory.atoms import exact
from moe_theory.certificates.rows import certifiable
from moe_theory.errors import MoeTheoryError

STEP = mp.mpf(10) ** -13  # of differences
LABELS = (-1, 1)
TABLES = 3  # data sets per model
POINTS, EM_STEPS = 3, 2
IMPOSTORS = 5  # one model in so many is any of `declarations`


@dataclass(frozen=True)
class Sums:
    """At one θ: L, its gradient, ∇²A and I_{z|x,y}, over p = 2d coordinates; weights: P(z|x,y) by row."""

    objective: Any
    gradient: Any
    complete: Any
    missing: Any
    weights: list[list[Any]]


class Judge:
    """Means over rows (x, y) of what log p(y,z|η) as declared says."""

    def __init__(self, d: Declared, x: np.ndarray, y: np.ndarray) -> None:
        self.d = d
        self.x = [[mp.mpf(v) for v in row] for row in x.tolist()]
        self.y = [mp.mpf(v) for v in y.tolist()]
        self.p = 2 * x.shape[1]

    def jets(self, theta: Any) -> list[list[tuple[Any, list[Any], list[list[Any]]]]]:
        """By row and label: value, gradient and Hessian of log p(y,z|η) in η."""
        width = self.p // 2
        found = []
        for row, y in zip(self.x, self.y, strict=True):
            eta = [mp.fdot(row, theta[a * width : (a + 1) * width]) for a in range(2)]
            found.append([self._jet(y, z, eta) for z in LABELS])
        return found

    def _jet(self, y: Any, z: int, eta: list[Any]) -> tuple[Any, list[Any], list[list[Any]]]:
        f = lambda i, j: self.d.judge(y, z, [eta[0] + i * STEP, eta[1] + j * STEP])
        here, right, left, up, down = f(0, 0), f(1, 0), f(-1, 0), f(0, 1), f(0, -1)
        across = (f(1, 1) - f(1, -1) - f(-1, 1) + f(-1, -1)) / (4 * STEP**2)
        first = [(right - left) / (2 * STEP), (up - down) / (2 * STEP)]
        second = [(right - 2 * here + left) / STEP**2, (up - 2 * here + down) / STEP**2]
        return here, first, [[second[0], across], [across, second[1]]]

    def sums(self, theta: Any, weights: list[list[Any]] | None = None) -> Sums:
        """`weights`: P(z|x,y) of another θ makes L and its gradient those of EM's M-step."""
        n, width = len(self.y), self.p // 2
        objective, gradient, used = mp.mpf(0), mp.zeros(self.p, 1), []
        complete, missing = mp.zeros(self.p), mp.zeros(self.p)
        for i, (row, jet) in enumerate(zip(self.x, self.jets(theta), strict=True)):
            (low, ds, hessian), (high, dt, _) = jet
            share = 1 / (1 + mp.exp(low - high))
            own = weights[i] if weights else [1 - share, share]
            used.append(own)
            joint = max(low, high) + mp.log1p(mp.exp(-abs(low - high)))
            objective -= own[0] * low + own[1] * high if weights else joint
            change = [b - a for a, b in zip(ds, dt, strict=True)]
            for a in range(2):
                slope = own[0] * ds[a] + own[1] * dt[a]
                for j in range(width):
                    gradient[a * width + j] -= slope * row[j]
                    for b in range(2):
                        for k in range(width):
                            both = row[j] * row[k]
                            complete[a * width + j, b * width + k] -= hessian[a][b] * both
                            missing[a * width + j, b * width + k] += share * (1 - share) * change[a] * change[b] * both
        return Sums(objective / n, gradient / n, complete / n, missing / n, used)

    def divergence(self, theta: Any, other: Any) -> Any:
        """B_A(θ‖other): what is linear in log p(y,z|η) cancels, so one label of each row tells."""
        total, width = mp.mpf(0), self.p // 2
        for row, here, there in zip(self.x, self.jets(theta), self.jets(other), strict=True):
            way = [mp.fdot(row, (theta - other)[a * width : (a + 1) * width]) for a in range(2)]
            total += there[0][0] - here[0][0] + mp.fdot(there[0][1], way)
        return total / len(self.y)

    def em(self, theta: Any) -> Any:
        """The M-step at the posterior of θ by Newton's method."""
        weights, at = self.sums(theta).weights, theta
        for _ in range(60):
            here = self.sums(at, weights)
            way = mp.lu_solve(here.complete, here.gradient)
            at = at - way
            if mp.norm(way) < mp.mpf(10) ** -20:
                return at
        return None


def definite(matrix: Any) -> bool:
    """Whether it is positive definite, or semi-definite to rounding of the differences."""
    return bool(min(mp.eigsy(matrix, eigvals_only=True)) > -(mp.mpf(10) ** -12) * (1 + mp.norm(matrix)))


def false(d: Declared, document: dict[str, Any], judge: Judge, rng: random.Random) -> str:
    """What in a valid certificate is false, or ""."""
    theta = lambda named: mp.matrix([mp.mpf(v) for row in named.values() for v in row])
    centre, radius = theta(document["centre"]), mp.mpf(document["region"]["radius"])
    lam, alpha = mp.mpf(document["bound"]["lambda_upper"]), mp.mpf(document["bound"]["alpha"])
    p, factor = judge.p, mp.eye(judge.p)
    for a, block in enumerate((document["region"].get("factor") or {}).values()):
        for j, row in enumerate(block):
            for k, v in enumerate(row):
                factor[a * p // 2 + j, a * p // 2 + k] = mp.mpf(v)
    place = lambda z: centre + factor * z
    sphere = lambda z: z * (radius / mp.norm(z) * (1 - mp.mpf(10) ** -30))

    def rate(at: Any) -> Any:
        s = judge.sums(at)
        inner = mp.cholesky(s.complete) ** -1
        return max(mp.eigsy(inner * s.missing * inner.T, eigvals_only=True))

    points = [theta(document["found"]["theta"]), centre]
    points += [place(sphere(mp.matrix([rng.gauss(0, 1) for _ in range(p)]))) for _ in range(POINTS)]
    # From the best of them, in the metric's unit steps, towards where the rate grows.
    best = max(points[1:], key=rate)
    base, h = rate(best), radius * mp.mpf(10) ** -12
    slope = mp.matrix([(rate(best + h * factor[:, k]) - base) / h for k in range(p)])
    if mp.norm(slope) > 0:
        points.append(place(sphere(slope)))
    for at in points:
        s = judge.sums(at)
        if not definite(lam * s.complete - s.missing):
            return f"λ_max(M) is {mp.nstr(rate(at), 10)} at a point, above {mp.nstr(lam, 10)}"
    stated, middle = document["stationary"], judge.sums(centre)
    if mp.norm(factor.T * middle.gradient) > mp.mpf(stated["gradient"]) + mp.mpf(10) ** -20:
        return "the gradient is larger than stated"
    best = centre
    for _ in range(40):
        here = judge.sums(best)
        way = mp.lu_solve(here.complete - here.missing, here.gradient)
        best = best - way
        if mp.norm(way) < mp.mpf(10) ** -20:
            break
    if mp.norm(mp.lu_solve(factor, best - centre)) > mp.mpf(stated["distance"]) + mp.mpf(10) ** -20:
        return "the stationary point is farther than stated"
    if not document["basin"]["radius"]:
        return ""  # no start is promised
    edge = sphere(mp.matrix([rng.gauss(0, 1) for _ in range(p)])) / radius * mp.mpf(document["basin"]["radius"])
    at = place(edge)
    before = judge.divergence(best, at)
    if before > mp.mpf(document["basin"]["divergence"]):
        return "a start of the basin is farther than stated"
    for _ in range(EM_STEPS):
        at = judge.em(at)
        if at is None:
            return "an M-step from the basin has no solution"
        after = judge.divergence(best, at)
        if after > (1 - alpha) * before + mp.mpf(10) ** -22:
            return f"EM contracts by {mp.nstr(after / before, 8)} only"
        before = after
    return ""


def constant(rng: random.Random, low: float, high: float) -> tuple[Any, Any]:
    """A number as users type them, float or fraction, and the same for the judge."""
    if rng.random() < 0.3:
        top, bottom = rng.randint(1, 9), rng.randint(2, 9)
        value = sp.Rational(top, bottom) * rng.choice([1, -1 if low < 0 else 1])
        return value, mp.mpf(value.p) / value.q
    typed = rng.uniform(low, high)
    typed = typed if rng.random() < 0.5 else round(typed, rng.randint(1, 4)) or 0.5
    return typed, mp.mpf(repr(typed))


def flat_model(seed: int) -> Declared:
    """A random flat model with two labels in both forms."""
    rng = random.Random(seed)
    (scale, scale_), (shift, shift_), (sigma, sigma_) = (constant(rng, *r) for r in ((0.3, 2), (-1, 1), (0.2, 3)))
    (slope, slope_), (lift, lift_), (apart, apart_) = (constant(rng, *r) for r in ((0.3, 2), (-1, 1), (0.5, 3)))
    name = rng.choice(["normal", "normal", "log-normal", "logit-normal", "logistic", "binomial"])
    mirrored = name in ("logistic", "binomial") or rng.random() < 0.5
    if name in ("logistic", "binomial"):
        shift, shift_ = 0, mp.mpf(0)
    place = lambda z, t: z * (scale * t + shift) if mirrored else scale * t + shift + apart * (z + 1)
    place_ = lambda z, t: z * (scale_ * t + shift_) if mirrored else scale_ * t + shift_ + apart_ * (z + 1)
    tries = rng.randint(1, 4)
    log_p, judged, response, draw = {
        "normal": (
            lambda y, t: mt.log_normal(y, t, sigma),
            lambda y, t: normal(y, t, sigma_),
            mt.Reals(),
            lambda r: round(r.gauss(0, 2), r.randint(1, 12)),
        ),
        "log-normal": (
            lambda y, t: mt.log_normal(sp.log(y), t, sigma) - sp.log(y),
            lambda y, t: normal(mp.log(y), t, sigma_) - mp.log(y),
            mt.Positive(),
            lambda r: r.lognormvariate(0, 1.5),
        ),
        "logit-normal": (
            lambda y, t: mt.log_normal(sp.log(y / (1 - y)), t, sigma) - sp.log(y * (1 - y)),
            lambda y, t: normal(mp.log(y / (1 - y)), t, sigma_) - mp.log(y) - mp.log(1 - y),
            mt.Interval(0, 1),
            lambda r: r.uniform(0.02, 0.98),
        ),
        "logistic": (
            lambda y, t: mt.log_expit(y * t),
            lambda y, t: -mp.log1p(mp.exp(-y * t)),
            mt.Values((-1, 1)),
            lambda r: r.choice([-1, 1]),
        ),
        "binomial": (
            lambda y, t: sp.log(sp.binomial(tries, y)) + y * t - tries * mt.softplus(t),
            lambda y, t: mp.log(mp.binomial(tries, y)) + y * t - tries * mp.log1p(mp.exp(t)),
            mt.Values(tuple(range(tries + 1))),
            lambda r: r.randint(0, tries),
        ),
    }[name]
    if rng.random() < 0.5:
        gate = lambda z, w: mt.log_expit(z * (slope * w + lift))
    else:
        # SymPy itself would round e^lift, were it a float.
        gate = lambda z, w: -sp.log(1 + sp.exp(-z * (exact(slope) * w + exact(lift))))
    name = f"{name} {seed}"

    def model() -> mt.Model:
        return mt.Model(name, (-1, 1), ("b", "w"), gate, lambda y, z, b: log_p(y, place(z, b)), response)

    def judge(y: Any, z: int, eta: Any) -> Any:
        return -mp.log1p(mp.exp(-z * (slope_ * eta[1] + lift_))) + judged(y, place_(z, eta[0]))

    return Declared(name, "line", model, judge, draw)


def of_seed(seed: int) -> Declared:
    """That seed's model."""
    return flat_model(seed) if seed % IMPOSTORS else declared(seed)


def certificates(seed: int) -> list[str]:
    """For the certificates of the seed's model on some tables: "right", what is false, or what went wrong."""
    d, rng = of_seed(seed), random.Random(seed + 7)
    found: list[str] = []
    with mp.workdps(40):
        flat = d.kind != "refused" and is_flat(d, random.Random(seed + 1))
    try:
        model = d.model()
        certifiable(model)
    except MoeTheoryError as error:
        return [f"refused: {error}"]
    for table in range(TABLES):
        n, width = rng.randint(6, 12), rng.randint(1, 2)
        x = np.array([[1.0, rng.uniform(-3, 3)][-width:] for _ in range(n)])
        y = np.array([float(d.draw(rng)) for _ in range(n)])
        law = mt.Data(x, y)
        try:
            start = np.array([[rng.uniform(-1, 1) for _ in range(width)] for _ in range(2)])
            trace = mt.run(mt.EM(model), law, start, max_iterations=300, tolerance=1e-10, divergences=False)
            size = rng.choice(["largest", "largest", 10 ** rng.uniform(-4, 0)])
            shape = rng.choice(["ellipsoid", "ellipsoid", "euclidean"])
            made = mt.certify(model, law, trace.last, size, shape=shape, cuts=int(table == 2))
            if not made.certified:
                found.append("none")
                continue
            document = made.document
            if not mt.check(document, law, model).valid:
                found.append("not valid")
                continue
        except MoeTheoryError as error:
            found.append(f"refused: {error}")
            continue
        with mp.workdps(40):
            if not flat:
                found.append("false: a certificate of what is not flat")
            else:
                wrong = false(d, document, Judge(d, x, y), rng)
                found.append(f"false: {wrong}" if wrong else "right")
    return found


def main() -> int:
    """Exit code 1 if a certificate is false or anything ended in a traceback."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=2000, help="certificates to judge")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    began, seed = time.process_time(), asked.seed
    while counts["right"] + counts["false"] < asked.count:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                results = certificates(seed)
        except Exception as error:
            results = [f"traceback: {type(error).__name__}: {error}"]
        for found in results:
            counts[found.split(":")[0]] += 1
            if found.startswith(("false", "traceback")):
                print(f"{seed}  {of_seed(seed).name}: {found}", flush=True)
        seed += 1
    print(f"{seed - asked.seed} models: {dict(counts)}; {time.process_time() - began:.0f} CPU seconds")
    return int(counts["false"] + counts["traceback"] > 0)


if __name__ == "__main__":
    sys.exit(main())
