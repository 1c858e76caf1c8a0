"""Random problems: data of all scales, a centre, a region around it, a method."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

import moe_theory as mt
from moe_theory import Model
from moe_theory.certificates.region import Region, ellipsoid_factor
from moe_theory.errors import InputError
from moe_theory.laws.table import Finite
from moe_theory.operators import complete_information
from soundness.exact import Exact, digits
from soundness.models import package_model

KINDS = (
    *("symmetric-linear", "symmetric-linear-0.3", "symmetric-linear-2.5", "symmetric-logistic", "gate-only"),
    *("erased-labels", "erased-labels-0.4", "offset", "balanced"),
)


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
