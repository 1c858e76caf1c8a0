"""The theory's model for the tests of moments and recovery: x ~ N(0, I), ‖a_i‖ = 1, a gate orthogonal to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np


def linear(u: Any) -> Any:
    return u


@dataclass(frozen=True)
class Truth:
    """a, w: (k, d). b: the gate's constants, (k,)."""

    a: np.ndarray
    w: np.ndarray
    b: np.ndarray
    sigma: float = 0.3
    g: Callable[[Any], Any] = linear

    @classmethod
    def of(cls, k: int, d: int, seed: int = 0, strength: float = 2.0, axes: bool = False, **options: Any) -> Truth:
        """Regressors in general position in k dimensions, none at right angles; a gate in the others."""
        rng = np.random.default_rng(seed)
        turn = np.eye(d) if axes else np.linalg.qr(rng.standard_normal((d, d)))[0]
        a = np.eye(k, d) if axes else (np.eye(k) + 0.25 * rng.standard_normal((k, k))) @ turn[:k]
        a /= np.linalg.norm(a, axis=1, keepdims=True)
        w = np.zeros((k, d))
        if d > k:
            w[1:] = strength * rng.standard_normal((k - 1, d - k)) @ turn[k:] / np.sqrt(d - k)
        return cls(a, w, options.pop("b", np.zeros(k)), **options)

    @property
    def k(self) -> int:
        return len(self.a)

    def shares(self, x: np.ndarray) -> np.ndarray:
        """P(z|x), (n, k)."""
        scores = np.exp(x @ self.w.T + self.b)
        return scores / np.sum(scores, axis=1, keepdims=True)

    def draw(self, n: int, seed: int = 0, x: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """x (n, d), y (n,)."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((n, self.a.shape[1])) if x is None else x
        z = np.sum(rng.random((len(x), 1)) > np.cumsum(self.shares(x), axis=1)[:, :-1], axis=1)
        return x, self.g(np.sum(x * self.a[z], axis=1)) + self.sigma * rng.standard_normal(len(x))


def nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Hermite nodes and weights of N(0, 1)."""
    at, weight = np.polynomial.hermite_e.hermegauss(count)
    return at, weight / np.sum(weight)


def trapezoid(step: float = 0.25, end: float = 9.0) -> tuple[np.ndarray, np.ndarray]:
    """The same by equal steps: the error is of order exp(-2π·strip/step)."""
    at = np.arange(-end, end + step / 2, step)
    weight = np.exp(-(at**2) / 2)
    return at, weight / np.sum(weight)


def grid(truth: Truth, counts: tuple[int, ...], noise: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, y, weight): a product grid in x, all labels and `noise` nodes of the noise.

    Exact for polynomials of degree up to 2 count - 1 in an axis, where the gate has axes of its own; a count of 0: the
    trapezoid rule, for analytic functions.
    """
    rules = [nodes(c) if c else trapezoid() for c in counts]
    x = np.array(list(product(*(r[0] for r in rules))))
    weight = np.prod(list(product(*(r[1] for r in rules))), axis=1)
    at, share = nodes(noise)
    mean = truth.g(x @ truth.a.T)  # (n, k)
    y = mean[:, :, None] + truth.sigma * at
    whole = weight[:, None, None] * truth.shares(x)[:, :, None] * share
    return np.repeat(x, truth.k * noise, axis=0), y.ravel(), whole.ravel()


def order(found: np.ndarray, truth: np.ndarray) -> list[int]:
    """The order of `found`, (k, d), that is nearest to `truth`."""
    return list(min(permutations(range(len(truth))), key=lambda p: float(np.sum((found[list(p)] - truth) ** 2))))
