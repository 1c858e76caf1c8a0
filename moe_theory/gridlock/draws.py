"""Data sets and starts of the comparison, each from its own seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from moe_theory.errors import InputError
from moe_theory.laws.columns import Columns
from moe_theory.model import Model
from moe_theory.moments.activations import activation
from moe_theory.recovery.polish import joint_model, joint_theta
from moe_theory.validation import Array, positive_number, whole_number

SIGMA = 0.1  # of the noise
GATE = 2.0  # ‖w_i‖
REGRESSORS, ROWS, STARTS = 1, 2, 3  # what a seed is for


@dataclass(frozen=True, eq=False)
class Draw:
    """A sample of n rows from a mixture of k linear experts: y|z=i ~ N(a_i'x, σ²), z ~ softmax(w_i'x), x ~ N(0, I_d).

    regressors: a_i, (k, d), independent and uniform on the unit sphere. gate: w_i, (k, d), uniform among the vectors of
    norm 2 that are orthogonal to all a_j. x (n, d), y (n,). truth: which one. seed: of everything random.
    """

    regressors: Array
    gate: Array
    sigma: float
    x: Array
    y: Array
    truth: int
    seed: int

    @classmethod
    def of(cls, k: int, d: int, n: int, truth: int, seed: int = 0, sigma: float = SIGMA) -> Draw:
        """Regressors and gate depend on (k, d, truth, seed) only; samples of different n share them.

        Raises InputError for d <= k, where no gate is orthogonal to all regressors, and numbers out of range.
        """
        k, d, n = whole_number("k", k, least=2), whole_number("d", d, least=1), whole_number("n", n, least=1)
        truth, seed = whole_number("truth", truth), whole_number("seed", seed)
        if d <= k:
            raise InputError(f"d: expected more features than experts, {k}, got {d}")
        rng = np.random.default_rng([REGRESSORS, seed, k, d, truth])
        regressors = directions(rng, k, d)
        basis = np.linalg.qr(regressors.T)[0]
        gate = rng.standard_normal((k, d))
        gate -= gate @ basis @ basis.T
        gate *= GATE / np.linalg.norm(gate, axis=1, keepdims=True)
        rng = np.random.default_rng([ROWS, seed, k, d, truth, n])
        x = rng.standard_normal((n, d))
        z = np.argmax(x @ gate.T + rng.gumbel(size=(n, k)), axis=1)
        noise = positive_number("sigma", sigma) * rng.standard_normal(n)
        return cls(regressors, gate, float(sigma), x, np.sum(x * regressors[z], axis=1) + noise, truth, seed)

    @property
    def k(self) -> int:
        return len(self.regressors)

    @property
    def d(self) -> int:
        return self.regressors.shape[1]

    @cached_property
    def model(self) -> Model:
        """Regressors, one log σ, gate and its intercepts, all to be learnt."""
        return joint_model(self.k, self.d, activation("linear"))

    @cached_property
    def law(self) -> Columns:
        """The rows, with a constant."""
        return Columns([self.x, 1.0], self.y)

    @cached_property
    def spread(self) -> float:
        """Standard deviation of y."""
        return float(np.std(self.y))

    @cached_property
    def true_theta(self) -> Array:
        return joint_theta(self.regressors, self.sigma, self.gate, np.zeros(self.k))

    def random_start(self, start: int, sigma: float) -> Array:
        """θ with independent uniform unit regressors and a flat gate; the same for all n."""
        rng = np.random.default_rng([STARTS, self.seed, self.k, self.d, self.truth, whole_number("start", start)])
        flat = np.zeros((self.k, self.d))
        return joint_theta(directions(rng, self.k, self.d), sigma, flat, flat[:, 0])


def directions(rng: np.random.Generator, k: int, d: int) -> Array:
    """k unit vectors, (k, d), uniform on the sphere."""
    a = rng.standard_normal((k, d))
    return a / np.linalg.norm(a, axis=1, keepdims=True)


def parameter_error(found: Array, regressors: Array) -> float:
    """Root mean square over all entries of â - a, (k, d) both, after the matching of labels that makes it least."""
    return float(np.sqrt(np.mean((found - matched(found, regressors)) ** 2)))


def matched(found: Array, regressors: Array) -> Array:
    """The regressors, (k, d), in the order of those found: that which makes the sum of squared distances least."""
    from scipy.optimize import linear_sum_assignment

    return regressors[linear_sum_assignment(np.sum((found[:, None] - regressors[None]) ** 2, axis=2))[1]]
