"""Certified bounds against an adversary: random data sets and regions, and 50 digits to judge by.

For each pair the package bounds λ_max(M), the curvature of A, the gradient and what follows from them. The adversary
climbs in floats from several starts; its points are then judged in ball arithmetic at 170 bits (51 digits) by formulas
of its own, written out below for each model: λ_upper ∇²A - I_{z|x,y} has to be positive definite there. One that is
proved not to be is a violation, and the run ends with exit code 1. So do a stationary point outside of what encloses
it and an EM iteration that contracts more slowly than it should.

    python benchmarks/soundness.py --pairs 10000 --store soundness.jsonl
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.linalg
from flint import arb, arb_mat, ctx, fmpq
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from threadpoolctl import threadpool_limits

import moe_theory as mt
from moe_theory import Model, Reals, log_expit, log_normal
from moe_theory.certificates.basin import Basin, basin, box
from moe_theory.certificates.maker import Maker, below, coarse
from moe_theory.certificates.region import Region, ellipsoid_factor, pieces_of
from moe_theory.certificates.relative import Prover, upper_curvature
from moe_theory.certificates.rows import Statistics
from moe_theory.errors import InputError, UnprovableError
from moe_theory.laws.table import Finite
from moe_theory.operators import complete_information

BITS = 170  # 51 digits
CLIMB = 10  # steps of one search
EM_STEPS = 4  # iterations that are followed
NOTABLE = 1e-3  # a λ_max below it is not counted in the table of how tight the bounds are
NEXT_TO_NOTHING = 1e-60  # of the first divergence: what is left is the digits' end
EM_SHARE = 4  # every so many of the pairs with a basin
KINDS = (
    *("symmetric-linear", "symmetric-linear-0.3", "symmetric-linear-2.5", "symmetric-logistic", "gate-only"),
    *("erased-labels", "erased-labels-0.4", "offset", "balanced"),
)


# Models, declared to the package and, independently of that, by hand -----------------------------------------


def balanced() -> Model:
    """Two regressions ±β with equal weights, unit variance."""
    return Model(
        "balanced",
        latent=(-1, 1),
        predictors=("beta",),
        gate=None,
        expert=lambda y, z, beta: log_normal(y, z * beta),
        response=Reals(),
    )


def offset() -> Model:
    """Two parallel regressions, 2.5 apart, with a logistic gate."""
    return Model(
        "offset",
        latent=(0, 1),
        predictors=("beta", "w"),
        gate=lambda z, w: log_expit((2 * z - 1) * w),
        expert=lambda y, z, beta: log_normal(y, beta + 2.5 * z),
        response=Reals(),
    )


@lru_cache(maxsize=32)
def gate_only(a: tuple[float, ...], b: tuple[float, ...]) -> Model:
    """A logistic gate between two known normal experts of standard deviation 1/2."""
    return Model(
        "gate-only",
        latent=(0, 1),
        predictors=("w",),
        gate=lambda z, w: log_expit((2 * z - 1) * w),
        expert=lambda y, z, a, b: log_normal(y, b if z else a, 0.5),
        response=Reals(),
        known={"a": a, "b": b},
    )


@lru_cache(maxsize=32)
def package_model(kind: str, known: tuple[tuple[float, ...], ...]) -> Model:
    """The package's model of that kind."""
    if kind == "gate-only":
        return gate_only(*known)
    name, _, number = kind.rpartition("-") if kind[-1].isdigit() else (kind, "", "")
    made: dict[str, Callable[..., Model]] = {
        "symmetric-linear": mt.symmetric_linear,
        "symmetric-logistic": mt.symmetric_logistic,
        "erased-labels": mt.erased_labels,
        "offset": offset,
        "balanced": balanced,
    }
    return made[name](float(number)) if number else made[name]()


@dataclass(frozen=True, eq=False)
class Formulas:
    """One row per datum. change: Δs, first: s(y, first label), (n, m). offset: posterior logit at η = 0, (n,).
    quadratic: C's diagonal, (m,). softplus: the predictors a with a term softplus(η_a)."""

    change: list[list[arb]]
    first: list[list[arb]]
    offset: list[arb]
    quadratic: list[arb]
    softplus: tuple[int, ...]


def by_hand(kind: str, known: tuple[tuple[float, ...], ...], x: np.ndarray, y: np.ndarray) -> Formulas:
    """What the paper's formulas say, typed in."""
    zero, one, ys = arb(0), arb(1), [arb(v) for v in y.tolist()]
    if kind.startswith("symmetric-linear"):
        # -(y - zη)²/(2σ²) = z y η/σ² - η²/(2σ²) + …, log σ(z w) = [z = 1] w - softplus(w)
        sigma = Fraction(kind[17:] or "1")
        precision = arb(fmpq(sigma.denominator**2, sigma.numerator**2))
        return Formulas(
            [[2 * v * precision, one] for v in ys],
            [[-v * precision, zero] for v in ys],
            [zero] * len(ys),
            [precision, zero],
            (1,),
        )
    if kind == "symmetric-logistic":
        # log σ(y z η) = [yz = 1] η - softplus(η)
        return Formulas(
            [[v, one] for v in ys], [[(1 - v) / 2, zero] for v in ys], [zero] * len(ys), [zero, zero], (0, 1)
        )
    if kind == "offset":
        # -(y - η - 5z/2)²/2 = (y - 5z/2) η - η²/2 + 5zy/2 - 25z²/8 + …
        shifted = [arb(5) / 2 * v - arb(25) / 8 for v in ys]
        return Formulas([[-arb(5) / 2, one] for _ in ys], [[v, zero] for v in ys], shifted, [one, zero], (1,))
    if kind == "balanced":
        return Formulas([[2 * v] for v in ys], [[-v] for v in ys], [zero] * len(ys), [one], ())
    if kind == "gate-only":
        # (y - a)²/(2/4) - (y - b)²/(2/4)
        a, b = ([sum((arb(k) * arb(v) for k, v in zip(e, r, strict=True)), zero) for r in x.tolist()] for e in known)
        logits = [2 * ((v - p) ** 2 - (v - q) ** 2) for v, p, q in zip(ys, a, b, strict=True)]
    else:
        lost, wrong = arb(fmpq(4 if kind.endswith("0.4") else 1, 10)), arb(10) ** -250
        told = ((1 - lost - wrong) / wrong).log()
        logits = [{0.0: -told, 1.0: told, 2.0: zero}[v] for v in y.tolist()]
    return Formulas([[one] for _ in ys], [[zero] for _ in ys], logits, [zero], (0,))


# Problems ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Problem:
    """A data set and a region. pieces: {coordinate of z: pieces}."""

    index: int
    kind: str
    known: tuple[tuple[float, ...], ...]
    law: Finite
    region: Region
    method: str
    pieces: dict[int, int]
    centre: str
    radius: float

    @property
    def model(self) -> Model:
        return package_model(self.kind, self.known)


def features(rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """(x, the columns' typical sizes)."""
    tail = rng.choice(["normal", "heavy", "grid", "uniform"], p=[0.5, 0.2, 0.15, 0.15])
    x = {
        "normal": lambda: rng.standard_normal((n, d)),
        "heavy": lambda: rng.standard_t(1.5, (n, d)),
        "grid": lambda: rng.integers(-2, 3, (n, d)).astype(float),
        "uniform": lambda: rng.uniform(-1, 1, (n, d)),
    }[tail]()
    scale = 10.0 ** rng.uniform(-4, 4, d) if rng.random() < 0.5 else np.ones(d)
    if rng.random() < 0.3:
        x[:, int(rng.integers(d))] += 10.0 ** rng.uniform(0, 8) * rng.choice([-1, 1])
    if d > 1 and rng.random() < 0.2:
        x[:, 1] = x[:, 0] + 10.0 ** rng.uniform(-5, -1) * x[:, 1]
    if rng.random() < 0.3:
        x[:, 0] = 1.0
    if rng.random() < 0.15:
        x = x[rng.integers(0, max(n // 3, 1), n)]
    return x * scale, scale


def responses(rng: np.random.Generator, kind: str, known: np.ndarray, x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Drawn from about the model at θ, some of them far off."""
    n, eta = len(x), x @ theta.T
    gate = rng.random(n) < 1 / (1 + np.exp(-np.clip(eta[:, -1], -500, 500)))
    noise = rng.standard_normal(n) if rng.random() < 0.8 else rng.standard_t(1.2, n)
    if kind.startswith("symmetric-linear"):
        return np.where(gate, 1, -1) * eta[:, 0] + float(kind[17:] or 1) * noise
    if kind == "symmetric-logistic":
        p = 1 / (1 + np.exp(-np.clip(np.where(gate, 1, -1) * eta[:, 0], -500, 500)))
        return np.where(rng.random(n) < p, 1.0, -1.0)
    if kind == "offset":
        return eta[:, 0] + 2.5 * gate + noise
    if kind == "balanced":
        return rng.choice([-1, 1], n) * eta[:, 0] + noise
    if kind == "gate-only":
        return np.where(gate, x @ known[1], x @ known[0]) + 0.5 * noise
    return np.where(rng.random(n) < 0.3, 2.0, gate.astype(float))


def problem(seed: int, index: int) -> Problem:
    """The pair of that number; the same whatever came before."""
    rng = np.random.default_rng([seed, index])
    while True:
        try:
            return _draw(rng, index)
        except (InputError, np.linalg.LinAlgError):  # no ellipsoid where ∇²A is singular to rounding
            continue


def _draw(rng: np.random.Generator, index: int) -> Problem:
    kind = str(rng.choice(KINDS))
    n, d = int(rng.integers(4, 61)), int(rng.integers(1, 5))
    x, scale = features(rng, n, d)
    if kind == "gate-only":  # a few experts, so that they are derived once
        known = np.random.default_rng([1, d, int(rng.integers(3))]).standard_normal((2, d)).round(2)
        if rng.random() < 0.7:
            x = x / scale
            scale = np.ones(d)
    else:
        known = np.zeros((0, d))
    key = tuple(tuple(row) for row in known.tolist())
    model = package_model(kind, key)
    m = len(model.predictors)
    typical = np.sqrt(np.mean(x**2, axis=0)) + 1e-300
    units = typical if rng.random() < 0.7 else scale
    truth = rng.standard_normal((m, d)) / units * 10.0 ** rng.uniform(-1, 0.7)
    y = responses(rng, kind, known, x, truth)
    weight = None
    if rng.random() < 0.3:
        weight = rng.exponential(size=n) if rng.random() < 0.5 else 10.0 ** rng.uniform(-4, 0, n)
    law = Finite(x, y, weight)
    where = str(rng.choice(["fitted", "truth", "random"], p=[0.6, 0.2, 0.2]))
    if where == "random":
        theta = rng.standard_normal((m, d)) / units * 10.0 ** rng.uniform(-1, 1)
    else:
        theta = truth if where == "truth" else fitted(model, Exact(kind, key, law), law, truth)
    radius = 10.0 ** rng.uniform(-6, math.log10(3))
    if where == "fitted" and rng.random() < 0.5:
        theta = theta + rng.standard_normal((m, d)) / units * radius * 10.0 ** rng.uniform(-4, 0)
    if rng.random() < 0.5:
        factor = ellipsoid_factor(complete_information(model, law, theta), m, d)
        if not np.isfinite(factor).all() or np.max(np.abs(factor)) > 1e12:
            raise InputError("no ellipsoid")
        region = Region(theta, factor, radius)
    else:
        region = Region(theta, None, radius / float(np.sqrt(np.mean(np.sum(x**2, axis=1)))))
    method, pieces, style = str(rng.choice(["worst-case", "taylor"])), {}, rng.random()
    p = m * d
    if style < 0.2:
        pieces = {int(rng.integers(p)): int(rng.integers(2, 6))}
    elif style < 0.3 and p > 1:
        pieces = {int(k): int(rng.integers(2, 5)) for k in rng.choice(p, 2, replace=False)}
    return Problem(index, kind, key, law, region, method, pieces, where, radius)


def fitted(model: Model, exact: Exact, law: Finite, start: np.ndarray) -> np.ndarray:
    """Some EM iterations from `start`, then Newton's method where that leads to a minimum."""
    em, theta = mt.EM(model), start
    try:
        for _ in range(12):
            theta = em.step(theta, law)
    except Exception:  # a gate that separates, a step that is not to be had: a centre is all that is wanted
        return start
    with digits():
        found = exact.stationary(exact.point(theta))
    return theta if found is None else np.array([float(v.mid()) for v in found.entries()]).reshape(theta.shape)


# 50 digits --------------------------------------------------------------------------------------------------


@contextmanager
def digits(bits: int = BITS) -> Iterator[None]:
    """Ball arithmetic at so many bits."""
    before, ctx.prec = ctx.prec, bits
    try:
        yield
    finally:
        ctx.prec = before


def sigmoid(t: arb) -> arb:
    """σ(t)."""
    if t > 0:
        return 1 / (1 + (-t).exp())
    e = t.exp()
    return e / (1 + e)


def softplus(t: arb) -> arb:
    """log(1 + exp t)."""
    return t + (1 + (-t).exp()).log() if t > 0 else (1 + t.exp()).log()


class Exact:
    """One data set under one model, θ a column of p balls."""

    def __init__(self, kind: str, known: tuple[tuple[float, ...], ...], law: Finite) -> None:
        with digits():
            f = by_hand(kind, known, law.x, law.y)
            rows = [[arb(v) for v in row] for row in law.x.tolist()]
            self.n, d, m = len(rows), law.dimension, len(f.quadratic)
            self.p, self.d = m * d, d
            self.weight = [arb(float(w)) for w in np.broadcast_to(law.weight, law.y.shape)]
            stacked = lambda parts: arb_mat(
                self.n, self.p, [c * v for part, row in zip(parts, rows, strict=True) for c in part for v in row]
            )
            self.change, self.offset = stacked(f.change), f.offset
            one = [[[arb(int(a == b)) for b in range(m)] for _ in rows] for a in range(m)]
            self.terms = [stacked(one[a]) for a in f.softplus]
            self.constant = arb_mat(self.p, self.p)
            for a, c in enumerate(f.quadratic):
                self.constant += c * self.gram(stacked(one[a]), self.weight)
            self.first = stacked(f.first).transpose() * arb_mat(self.n, 1, self.weight)

    def gram(self, v: arb_mat, weight: Sequence[arb]) -> arb_mat:
        """V' diag(weight) V."""
        p = self.p
        scaled = arb_mat(self.n, p, [w * v[i, j] for i, w in enumerate(weight) for j in range(p)])
        return v.transpose() * scaled

    def point(self, theta: np.ndarray) -> arb_mat:
        """Doubles as balls."""
        return arb_mat(self.p, 1, [arb(v) for v in theta.ravel().tolist()])

    def logits(self, theta: arb_mat) -> list[arb]:
        """τ, (n,)."""
        return [t + b for t, b in zip((self.change * theta).entries(), self.offset, strict=True)]

    def missing(self, theta: arb_mat) -> arb_mat:
        """I_{z|x,y}."""
        return self.gram(self.change, [w * _weight(t) for w, t in zip(self.weight, self.logits(theta), strict=True)])

    def complete(self, theta: arb_mat) -> arb_mat:
        """∇²A."""
        total = self.constant
        for v in self.terms:
            weight = [w * _weight(t) for w, t in zip(self.weight, (v * theta).entries(), strict=True)]
            total = total + self.gram(v, weight)
        return total

    def mean(self, theta: arb_mat) -> arb_mat:
        """∇A."""
        total = self.constant * theta
        for v in self.terms:
            weight = [w * sigmoid(t) for w, t in zip(self.weight, (v * theta).entries(), strict=True)]
            total = total + v.transpose() * arb_mat(self.n, 1, weight)
        return total

    def expected(self, theta: arb_mat) -> arb_mat:
        """E[s ⊗ x], what the E-step hands to the M-step."""
        weight = [w * sigmoid(t) for w, t in zip(self.weight, self.logits(theta), strict=True)]
        return self.first + self.change.transpose() * arb_mat(self.n, 1, weight)

    def gradient(self, theta: arb_mat) -> arb_mat:
        """∇L."""
        return self.mean(theta) - self.expected(theta)

    def mirror(self, theta: arb_mat) -> arb:
        """A."""
        total = dot(theta, self.constant * theta) / 2
        for v in self.terms:
            for w, t in zip(self.weight, (v * theta).entries(), strict=True):
                total += w * softplus(t)
        return total

    def objective(self, theta: arb_mat) -> arb:
        """L, up to a constant."""
        label = sum((w * softplus(t) for w, t in zip(self.weight, self.logits(theta), strict=True)), arb(0))
        return self.mirror(theta) - dot(self.first, theta) - label

    def divergence(self, one: arb_mat, other: arb_mat) -> arb:
        """B_A(one‖other)."""
        return self.mirror(one) - self.mirror(other) - dot(self.mean(other), one - other)

    def newton(self, theta: arb_mat, step: Callable[[arb_mat], arb_mat], steps: int = 40) -> arb_mat | None:
        """Until the steps vanish; None where they do not, or cannot be taken."""
        size = None
        for _ in range(steps):
            try:
                move = centred(step(theta))
            except (ZeroDivisionError, ValueError):
                return None
            theta = centred(theta - move)
            length = math.hypot(*(float(v) for v in move.entries()))
            if not math.isfinite(length):
                return None
            around = max(abs(float(v)) for v in theta.entries())
            if length <= 2.0 ** (30 - ctx.prec) * around or (size is not None and length < 1e-40 * size):
                return theta
            size = max(size or 0.0, length)
        return None

    def stationary(self, theta: arb_mat) -> arb_mat | None:
        """The minimum of L that Newton's method finds from θ; None if there is none."""
        found = self.newton(theta, lambda at: (self.complete(at) - self.missing(at)).solve(self.gradient(at)))
        if found is None or definite(self.complete(found) - self.missing(found)) is not True:
            return None
        return found

    def em(self, theta: arb_mat) -> arb_mat | None:
        """One iteration."""
        wanted = self.expected(theta)
        return self.newton(theta, lambda at: self.complete(at).solve(self.mean(at) - wanted))


def _weight(t: arb) -> arb:
    e = (-abs(t)).exp()
    return e / (1 + e) ** 2


def dot(a: arb_mat, b: arb_mat) -> arb:
    """⟨a, b⟩ of columns."""
    return (a.transpose() * b)[0, 0]


def centred(a: arb_mat) -> arb_mat:
    """The middles of the balls."""
    return arb_mat(a.nrows(), a.ncols(), [v.mid() for v in a.entries()])


def definite(a: arb_mat) -> bool | None:
    """Whether a symmetric matrix is positive definite: proved, disproved (a pivot ≤ 0), or not decided."""
    p = a.nrows()
    work = [[a[i, j] for j in range(p)] for i in range(p)]
    for k in range(p):
        pivot = work[k][k]
        if not pivot > 0:
            return False if pivot <= 0 else None
        for i in range(k + 1, p):
            factor = work[i][k] / pivot
            for j in range(k + 1, i + 1):
                work[i][j] = work[i][j] - factor * work[j][k]
    return True


# The adversary ----------------------------------------------------------------------------------------------


Height = Callable[[np.ndarray], tuple[float, np.ndarray]]  # a value at z with its gradient


class Landscape:
    """Both informations over a region in floats, in its coordinates z; the arguments at the centre are exact."""

    def __init__(self, exact: Exact, region: Region) -> None:
        self.radius, self.p = region.radius, exact.p
        with digits():
            g = exact_factor(region)
            centre = exact.point(region.centre)
            near = lambda m, *shape: np.array([float(v.mid()) for v in m]).reshape(shape)
            self.weight = near(exact.weight, exact.n)
            self.label = near(exact.logits(centre), exact.n)
            self.change = near((exact.change * g).entries(), exact.n, exact.p)
            self.terms = [
                (near((v * centre).entries(), exact.n), near((v * g).entries(), exact.n, exact.p)) for v in exact.terms
            ]
            self.constant = near((g.transpose() * exact.constant * g).entries(), exact.p, exact.p)

    def informations(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(∇²A, I_{z|x,y})."""
        missing = _gram(self.change, self.weight * _bell(self.label + self.change @ z))
        complete = self.constant + sum(_gram(v, self.weight * _bell(t + v @ z)) for t, v in self.terms)
        return complete, missing

    def uphill(self, z: np.ndarray, u: np.ndarray, label: float, terms: float) -> np.ndarray:
        """Gradient of label u'Iu + terms u'∇²Au."""
        t = self.label + self.change @ z
        total = label * self.change.T @ (self.weight * _tilt(t) * (self.change @ u) ** 2)
        for t0, v in self.terms:
            total = total + terms * v.T @ (self.weight * _tilt(t0 + v @ z) * (v @ u) ** 2)
        return total

    def largest(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """λ_max and its gradient."""
        complete, missing = self.informations(z)
        size = np.sqrt(np.diagonal(complete))
        if not (np.isfinite(size).all() and np.all(size > 0)):
            return -np.inf, np.zeros(self.p)
        unit = np.outer(size, size)
        try:
            values, vectors = scipy.linalg.eigh(missing / unit, complete / unit)
        except (np.linalg.LinAlgError, ValueError):
            return -np.inf, np.zeros(self.p)
        u = vectors[:, -1] / size
        return float(values[-1]), self.uphill(z, u, 1.0, -float(values[-1]))

    def curvature(self, sign: float) -> Height:
        """The largest eigenvalue of sign ∇²A, with its gradient."""

        def value(z: np.ndarray) -> tuple[float, np.ndarray]:
            values, vectors = np.linalg.eigh(sign * self.informations(z)[0])
            return float(values[-1]), self.uphill(z, vectors[:, -1], 0.0, sign)

        return value

    def climb(
        self, value: Callable[[np.ndarray], tuple[float, np.ndarray]], starts: Sequence[np.ndarray]
    ) -> np.ndarray:
        """The z of the largest value found from these starts: steps towards where the gradient points, as far as
        pays."""
        best, best_z = -np.inf, np.zeros(self.p)
        for z in starts:
            here, slope = value(z)
            for _ in range(CLIMB):
                size = np.linalg.norm(slope)
                if not size > 0:
                    break
                vertex = self.radius * slope / size
                options = [z + share * (vertex - z) for share in (1.0, 0.4, 0.1, 0.02)]
                reached = [(*value(o), o) for o in options]
                higher = max(reached, key=lambda r: r[0])
                if not higher[0] > here + 1e-9 * abs(here):
                    break
                here, slope, z = higher
            if here > best:
                best, best_z = here, z
        return best_z


def exact_factor(region: Region) -> arb_mat:
    """G."""
    g = region.matrix
    return arb_mat(len(g), len(g), [arb(v) for v in g.ravel().tolist()])


def inside(z: np.ndarray, radius: float) -> list[arb]:
    """z as balls, moved into the ball where it is outside."""
    balls = [arb(v) for v in z.tolist()]
    square = sum((v * v for v in balls), arb(0))
    if square <= arb(radius) ** 2:
        return balls
    shrink = (arb(radius) / square.sqrt() * (1 - arb(2) ** -150)).mid()
    return [(v * shrink).mid() for v in balls]


def _bell(t: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(t))
    return e / (1 + e) ** 2


def _tilt(t: np.ndarray) -> np.ndarray:
    return -_bell(t) * np.tanh(t / 2)


def _gram(v: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return (v.T * weight) @ v


# Examination ------------------------------------------------------------------------------------------------


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


# The run ----------------------------------------------------------------------------------------------------


def summary(console: Console, records: Sequence[Record]) -> None:
    """Counts and tightness."""
    table = Table("method", "cuts", "pairs", "bounded", "< 1", "basins", "median", "90 %", "99 %", "largest")
    for column in table.columns[1:]:
        column.justify = "right"
    for method in ("worst-case", "taylor"):
        for cuts in (0, 1, 2):
            own = [r for r in records if r.method == method and r.cuts == cuts]
            if own:
                table.add_row(method, str(cuts), *_row(own))
    for low, high in ((1e-6, 1e-4), (1e-4, 1e-2), (1e-2, 0.1), (0.1, 0.5), (0.5, 3.0)):
        own = [r for r in records if low <= r.radius < high]
        if own:
            table.add_row(f"radius {low:g} … {high:g}", "", *_row(own))
    table.add_row("all", "", *_row(records))
    table.title = f"λ_upper over the largest λ_max found, where that is {NOTABLE:g} or more"
    console.print(table)
    ratio = lambda pairs: [b / a for a, b in pairs if a > 0]
    parts = {
        "what was found over μ": [1 / r.lower for r in records if r.lower and r.lower > 0],
        "ν over what was found": [r.upper for r in records if r.upper],
        "ε over the gradient (where above 1e-12)": ratio(
            r.gradient for r in records if r.gradient and r.gradient[0] > 1e-12
        ),
        "e over the distance of θ̂": ratio(r.distance for r in records if r.distance),
    }
    for name, values in parts.items():
        if values:
            v = np.array(values)
            quantiles = ", ".join(f"{q:.6g}" for q in np.quantile(v, [0.0, 0.5, 0.9, 1.0]))
            console.print(f"{name}: {len(v)} pairs; least, median, 90 %, largest {quantiles}")
    bad = [r for r in records if r.violations]
    refused = sum(bool(r.refused) for r in records)
    console.print(
        f"{len(records)} pairs, {refused} refused, {sum(r.lambda_upper is not None for r in records)} bounded,"
        f" {sum(r.distance is not None for r in records)} with a stationary point,"
        f" {sum(r.em > 0 for r in records)} with EM followed, {sum(r.undecided for r in records)} verdicts open,"
        f" {len(bad)} with violations"
    )
    for r in bad[:20]:
        console.print(f"pair {r.index}: {r.kind}, {r.method}, {'; '.join(r.violations)}")


def _row(records: Sequence[Record]) -> list[str]:
    bounded = [r for r in records if r.lambda_upper is not None and (r.lambda_found or 0) >= NOTABLE]
    counts = [
        len(records),
        sum(r.lambda_upper is not None for r in records),
        sum(r.lambda_upper is not None and r.lambda_upper < 1 for r in records),
        sum(bool(r.basin_radius) for r in records),
    ]
    if not bounded:
        return [*map(str, counts), *["–"] * 4]
    tight = np.array([r.lambda_upper / r.lambda_found for r in bounded])  # type: ignore[operator]
    return [*map(str, counts), *(f"{q:.5g}" for q in np.quantile(tight, [0.5, 0.9, 0.99, 1.0]))]


def stored(path: Path | None, seed: int) -> dict[int, Record]:
    """What an earlier run with this seed left."""
    if path is None or not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    own = [line for line in lines if line.pop("seed") == seed]
    return {line["index"]: Record(**line) for line in own}


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--pairs", type=int, default=10_000, help="number of pairs")
    parser.add_argument("--first", type=int, default=0, help="the first pair's number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", type=Path, metavar="FILE", help="one JSON line per pair; what is there is kept")
    options = parser.parse_args()
    if min(options.pairs, options.seed + 1, options.first + 1) < 1:
        parser.error("expected --pairs of at least 1, --seed and --first of at least 0")
    console = Console(width=None if sys.stdout.isatty() else 120)
    known = stored(options.store, options.seed)
    wanted = range(options.first, options.first + options.pairs)
    missing = [i for i in wanted if i not in known]
    store = options.store.open("a") if options.store else None
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        for index in progress.track(missing):
            record = examine(problem(options.seed, index), em=index % EM_SHARE == 0)
            known[index] = record
            if store is not None:
                store.write(json.dumps({"seed": options.seed, **asdict(record)}) + "\n")
                store.flush()
    records = [known[i] for i in wanted]
    summary(console, records)
    if any(r.violations for r in records):
        sys.exit(1)


if __name__ == "__main__":
    with threadpool_limits(limits=1), np.errstate(all="ignore"):  # some data sets overflow on purpose
        main()
