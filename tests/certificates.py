"""A naive maker of certificates for the checker's tests: dense NumPy, plain floats, generous slack, small data.

It follows the statement in `moe_theory.certificates.checker` from formulas of its own and shares no code with the
package.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.linalg
from models import KNOWN, gate_only, offset

from moe_theory import Model, erased_labels, symmetric_linear, symmetric_logistic


@dataclass
class Case:
    """A model with its certificate's options, x (n, d), y (n,), weight (n,) and the formulas of its rows, by hand."""

    model: Model
    options: dict[str, float]
    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    offset: np.ndarray  # (n,)
    delta: np.ndarray  # (n, m)
    statistic: np.ndarray  # (n, m)
    quadratic: np.ndarray  # (m, m)
    gates: tuple[tuple[float, np.ndarray], ...]

    @property
    def v(self) -> np.ndarray:
        return np.einsum("na,nj->naj", self.delta, self.x).reshape(len(self.x), -1)

    def g(self, slope: np.ndarray) -> np.ndarray:
        return np.einsum("a,nj->naj", slope, self.x).reshape(len(self.x), -1)

    def information(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """I and A'' at θ, flat."""
        v, w = self.v, self.weight
        missing = np.einsum("n,ni,nj->ij", w * q(self.offset + v @ theta), v, v)
        complete = np.kron(self.quadratic, np.einsum("n,ni,nj->ij", w, self.x, self.x))
        for kappa, slope in self.gates:
            g = self.g(slope)
            complete += np.einsum("n,ni,nj->ij", w * kappa * q(g @ theta), g, g)
        return missing, complete

    def gradient(self, theta: np.ndarray) -> np.ndarray:
        eta = self.x @ theta.reshape(len(self.quadratic), -1).T
        mean = eta @ self.quadratic
        for kappa, slope in self.gates:
            mean = mean + kappa * sigma(eta @ slope)[:, None] * slope
        second = sigma(self.offset + self.v @ theta)
        residual = self.weight[:, None] * (mean - self.statistic - second[:, None] * self.delta)
        return (residual.T @ self.x).ravel()

    def fitted(self, start: np.ndarray) -> np.ndarray:
        """A stationary point, flat, by EM's steps in Newton's form."""
        theta = np.array(start, dtype=float).ravel()
        for _ in range(500):
            theta = theta - np.linalg.solve(self.information(theta)[1], self.gradient(theta))
        return theta


def cases() -> dict[str, tuple[Case, np.ndarray]]:
    """Models on small data drawn from them, each with the parameters they were drawn with."""
    rng = np.random.default_rng(7)
    n, found = 40, {}
    x, one, zero = rng.normal(size=(n, 2)), np.ones(n), np.zeros(n)
    weight, first, second = np.full(n, 1 / n), np.array([1.0, 0.0]), np.array([0.0, 1.0])
    for scale in (1.0, 0.5):
        z = np.where(rng.random(n) < sigma(x[:, 1]), 1, -1)
        y = z * 3 * scale * x[:, 0] + scale * rng.normal(size=n)
        found[f"linear-{scale}"] = (
            Case(
                symmetric_linear(scale),
                {"sigma": scale},
                *(x, y, weight, zero),
                np.column_stack([2 * y / scale**2, one]),
                np.column_stack([-y / scale**2, zero]),
                np.diag([1 / scale**2, 0]),
                ((1.0, second),),
            ),
            np.array([[3 * scale, 0], [0, 1.0]]),
        )
    z = np.where(rng.random(n) < sigma(2 * x[:, 1]), 1, -1)
    y = np.where(rng.random(n) < sigma(4 * z * x[:, 0]), 1.0, -1.0)
    found["logistic"] = (
        Case(
            symmetric_logistic(),
            {},
            *(x, y, weight, zero),
            np.column_stack([y, one]),
            np.column_stack([(1 - y) / 2, zero]),
            np.zeros((2, 2)),
            ((1.0, first), (1.0, second)),
        ),
        np.array([[4.0, 0], [0, 2.0]]),
    )
    wide = rng.normal(size=(n, 3))
    a, b = wide @ KNOWN["a"], wide @ KNOWN["b"]
    y = np.where(rng.random(n) < sigma(wide @ [0.7, 1.0, -0.3]), b, a) + 0.5 * rng.normal(size=n)
    gate = (np.zeros((n, 1)), np.zeros((1, 1)), ((1.0, np.ones(1)),))
    found["gate-only"] = (
        Case(gate_only(), {}, wide, y, weight, 2 * ((y - a) ** 2 - (y - b) ** 2), one[:, None], *gate),
        np.array([[0.7, 1.0, -0.3]]),
    )
    y = np.where(rng.random(n) < 0.2, 2.0, (rng.random(n) < sigma(x[:, 0])).astype(float))
    odds = math.log(0.8) + 250 * math.log(10)
    found["erased-labels"] = (
        Case(
            erased_labels(0.2),
            {"erasure": 0.2, "error": 1e-250},
            *(x, y, weight),
            np.where(y == 2, 0, np.where(y == 1, odds, -odds)),
            one[:, None],
            *gate,
        ),
        np.array([[1.0, 0.0]]),
    )
    y = 1.5 * x[:, 0] + 2.5 * (rng.random(n) < sigma(x[:, 1])) + rng.normal(size=n)
    found["offset"] = (
        Case(
            offset(),
            {},
            *(x, y, rng.dirichlet(np.full(n, 9.0)), 2.5 * y - 3.125),
            np.column_stack([-2.5 * one, one]),
            np.column_stack([y, zero]),
            np.diag([1.0, 0.0]),
            ((1.0, second),),
        ),
        np.array([[1.5, 0.0], [0.0, 1.0]]),
    )
    return found


def sigma(t: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -t))


def q(t: np.ndarray) -> np.ndarray:
    return sigma(t) * sigma(-t)


def bend(t: np.ndarray) -> np.ndarray:
    """q''."""
    return q(t) * (1 - 6 * q(t))


PEAK = math.log(5 + 2 * math.sqrt(6))
QUARTERS = tuple(zip((7, 5, 3, 1), (0.25, 0.5, 0.75, 1.0), strict=True))


def bend_range(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest q'' on [low, high], 0 <= low."""
    ends = np.array([bend(low), bend(high)])
    return ends.min(0), np.where((low <= PEAK) & (high >= PEAK), 1 / 24, ends.max(0))


def make(
    case: Case,
    centre: np.ndarray,
    r: float,
    method: str = "taylor",
    factor: np.ndarray | None = None,
    cuts: tuple[tuple[int, int], ...] = (),
) -> dict[str, Any]:
    """A certificate for the region of that centre (p,), radius and factor (m, d, d)."""
    names, (m, d) = case.model.predictors, (case.delta.shape[1], case.x.shape[1])
    p = m * d
    G = np.eye(p) if factor is None else scipy.linalg.block_diag(*factor)
    split = lambda flat: {name: row.tolist() for name, row in zip(names, np.reshape(flat, (m, d)), strict=True)}
    bounds = [_bounds(case, centre, G, method, cell) for cell in _cells(p, r, cuts)]
    low, high = 0.0, 1.0
    for _ in range(30):
        lam = (low + high) / 2
        low, high = (low, lam) if all(_definite(lam, b) for b in bounds) else (lam, high)
    lam = math.ceil((high + 1e-4) * 2**30) / 2**30
    assert lam < 1, "no bound below 1: a smaller region, please"
    alpha = 1 - lam
    whole = _bounds(case, centre, G, method, next(iter(_cells(p, r, ()))))
    scaled = [G.T @ t @ G for t in whole["A slopes"]]
    mu = _least(G.T @ whole["A low"] @ G, scaled, r) * (1 - 1e-3)
    highest = _bounds(case, centre, G, "worst-case", next(iter(_cells(p, r, ()))))["A high"]
    nu = -_least(-G.T @ highest @ G, [], r) * (1 + 1e-3)
    assert mu > 0, "no positive curvature: a smaller region, please"
    epsilon = float(np.linalg.norm(G.T @ case.gradient(centre))) * (1 + 1e-9) + 1e-13
    best = max(
        (centre + G @ (r * 0.99 * u / np.linalg.norm(u)) for u in np.random.default_rng(0).normal(size=(20, p))),
        key=lambda theta: _top(case, theta),
    )
    certificate = {
        "certificate": "moe-theory",
        "format": 1,
        "model": {
            "name": case.model.name,
            "options": case.options,
            "joint": [str(e) for e in case.model.log_joint],
            "known": {name: list(row) for name, row in case.model.known.items()},
        },
        "data": {
            "rows": len(case.y),
            "features": [f"x{j + 1}" for j in range(d)],
            "response": "y",
            "intercept": False,
            "digest": digest(case.x, case.y, case.weight),
        },
        "centre": split(centre),
        "region": {
            "shape": "euclidean" if factor is None else "ellipsoid",
            "factor": None if factor is None else {n: f.tolist() for n, f in zip(names, factor, strict=True)},
            "radius": r,
        },
        "bound": {
            "alpha": alpha,
            "lambda_upper": lam,
            "method": method,
            "cuts": [{"coordinate": k, "pieces": n} for k, n in cuts],
        },
        "curvature": {"lower": mu, "upper": nu, "within": r},
        "stationary": {"gradient": epsilon},
        "basin": {},
        "found": {"lambda": _top(case, best), "theta": split(best)},
        "maker": {"moe_theory": "0.1.0", "numpy": np.__version__},
    }
    return consistent(certificate)


def consistent(certificate: dict[str, Any]) -> dict[str, Any]:
    """A copy whose numbers that follow from others do, with a new seal."""
    new = copy.deepcopy(certificate)
    alpha, mu, nu = new["bound"]["alpha"], new["curvature"]["lower"], new["curvature"]["upper"]
    r, epsilon = new["region"]["radius"], new["stationary"]["gradient"]
    new["bound"]["lambda_upper"] = 1 - alpha
    e = epsilon / (alpha * mu)
    while Fraction(e) < Fraction(epsilon) / (Fraction(alpha) * Fraction(mu)):
        e = math.nextafter(e, math.inf)
    b = mu * (r - e) ** 2 / 2
    while Fraction(b) > Fraction(mu) * (Fraction(r) - Fraction(e)) ** 2 / 2:
        b = math.nextafter(b, 0)
    r0 = max(0.0, (math.sqrt(2 * b / nu) - e) * (1 - 1e-12))
    new["curvature"]["within"] = math.nextafter(r0 + e, math.inf)
    new["stationary"]["distance"] = e
    new["basin"] = {"radius": r0, "divergence": b}
    for name, sign in (("lower", -1), ("upper", 1)):
        new["stationary"][name] = {
            predictor: [
                math.nextafter(c + sign * e * (1 + 1e-12) * _row_norm(new, predictor, j), sign * math.inf)
                for j, c in enumerate(row)
            ]
            for predictor, row in new["centre"].items()
        }
    return sealed(new)


def sealed(certificate: dict[str, Any]) -> dict[str, Any]:
    """The same with the seal of its contents."""
    body = {key: value for key, value in certificate.items() if key != "seal"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return {**body, "seal": hashlib.sha256(text.encode()).hexdigest()}


def digest(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> str:
    content = repr(x.shape).encode() + b"".join(np.ascontiguousarray(a, dtype="<f8").tobytes() for a in (x, y, weight))
    return hashlib.sha256(content).hexdigest()


def _row_norm(certificate: dict[str, Any], predictor: str, j: int) -> float:
    factor = certificate["region"]["factor"]
    return 1.0 if factor is None else float(np.linalg.norm(factor[predictor][j]))


def _top(case: Case, theta: np.ndarray) -> float:
    missing, complete = case.information(theta)
    return float(scipy.linalg.eigh(missing, complete, eigvals_only=True)[-1])


def _cells(p: int, r: float, cuts: tuple[tuple[int, int], ...]):  # type: ignore[no-untyped-def]
    """(middle (p,), half widths of the cut coordinates, radius of the others) of every cell."""
    for places in itertools.product(*(range(n) for _, n in cuts)):
        middle, half = np.zeros(p), {}
        for i, (k, n) in zip(places, cuts, strict=True):
            middle[k], half[k] = r * (2 * i + 1 - n) / n, r / n
        left = r**2 - sum(max(abs(middle[k]) - h, 0) ** 2 for k, h in half.items())
        if left >= 0:
            yield middle, half, math.sqrt(left)


def _bounds(case: Case, centre: np.ndarray, G: np.ndarray, method: str, cell: Any) -> dict[str, Any]:
    middle, half, rest = cell
    theta, others = centre + G @ middle, [k for k in range(len(G)) if k not in half]

    def reach(v: np.ndarray) -> np.ndarray:
        moved = v @ G
        return sum((h * abs(moved[:, k]) for k, h in half.items()), rest * np.linalg.norm(moved[:, others], axis=1))

    def parts(t: np.ndarray, v: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        rho, size = reach(v), abs(t)
        total = lambda c: np.einsum("n,ni,nj->ij", case.weight * scale * c, v, v)
        if method == "worst-case":
            return total(q(size + rho)), total(q(np.maximum(size - rho, 0))), []
        ends = [(w, bend_range(np.maximum(size - rho * k, 0), size + rho * k)) for w, k in QUARTERS]
        low = q(t) + rho**2 * np.minimum(sum(w * a for w, (a, _) in ends) / 32, 0)
        high = q(t) + rho**2 * np.maximum(sum(w * b for w, (_, b) in ends) / 32, 0)
        slope = -q(t) * np.tanh(t / 2)
        return total(low), total(high), [total(slope * column) for column in (v @ G).T]

    _, missing, slopes = parts(case.offset + case.v @ theta, case.v, 1.0)
    complete = np.kron(case.quadratic, np.einsum("n,ni,nj->ij", case.weight, case.x, case.x))
    low, high = complete.copy(), complete.copy()
    complete_slopes = [np.zeros_like(low) for _ in slopes]
    for kappa, slope in case.gates:
        a, b, t = parts(case.g(slope) @ theta, case.g(slope), kappa)
        low, high = low + a, high + b
        complete_slopes = [s + u for s, u in zip(complete_slopes, t, strict=True)]
    return {
        "I": missing,
        "I slopes": slopes,
        "A low": low,
        "A high": high,
        "A slopes": complete_slopes,
        "half": half,
        "rest": rest,
    }


def _definite(lam: float, b: dict[str, Any]) -> bool:
    base = lam * b["A low"] - b["I"]
    if np.linalg.eigvalsh(base)[0] <= 0:
        return False
    K = np.linalg.inv(np.linalg.cholesky(base))
    slopes = [K @ (lam * s - t) @ K.T for s, t in zip(b["A slopes"], b["I slopes"], strict=True)]
    if not slopes:
        return True
    rest = [s for k, s in enumerate(slopes) if k not in b["half"]]
    corners = itertools.product((-1, 1), repeat=len(b["half"]))
    return all(
        _least(
            np.eye(len(base)) + sum(s * h * slopes[k] for s, (k, h) in zip(signs, b["half"].items(), strict=True)),
            rest,
            b["rest"],
        )
        > 0
        for signs in corners
    )


def _least(base: np.ndarray, slopes: list[np.ndarray], radius: float) -> float:
    """The best lower bound on the eigenvalues of base + Σ z_j slopes_j, ‖z‖ <= radius, over some t."""
    S = sum((s @ s for s in slopes), np.zeros_like(base))
    top = np.linalg.eigvalsh(S)[-1]
    if top == 0:
        return float(np.linalg.eigvalsh(base)[0])
    one = np.eye(len(base))
    return max(
        float(np.linalg.eigvalsh(base - radius * (S / (2 * t) + t / 2 * one))[0])
        for t in math.sqrt(top) * np.geomspace(1e-3, 4, 40)
    )
