"""The second stage: EM on the gate alone, the experts given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moe_theory.algorithms.em import EM
from moe_theory.algorithms.trace import Trace, run
from moe_theory.errors import InputError
from moe_theory.laws.columns import Columns
from moe_theory.model import Model
from moe_theory.validation import Array, full_rank, positive_number, real_array
from moe_theory.zoo import softmax_moe

CONSTANT = "(Intercept)"
TOLERANCE = 1e-8


def given_experts(k: int, d: int, intercept: bool = True) -> Model:
    """k normal experts whose means are given as columns of the table, with a softmax gate and one σ to be learnt.

    Columns: d features, a constant, k means. Flat in the gate; its EM converges from any start (theory.md §4).
    """
    names = [f"x{i + 1}" for i in range(d)]
    means = [f"mean{i + 1}" for i in range(k)]
    model = softmax_moe(k, "gaussian", common_sigma=True)
    s, own = model.structure, model.predictors
    if s is None:
        raise InputError(f"k: expected a softmax mixture, got {model.name}")
    sees: dict[str, tuple[str, ...]] = dict.fromkeys(own[s.experts], ())
    sees |= dict.fromkeys(own[s.scales], (CONSTANT,))
    sees |= dict.fromkeys(own[s.gate], (*names, CONSTANT) if intercept else tuple(names))
    return model.designed((*names, CONSTANT, *means), sees, dict(zip(own[s.experts], means, strict=True)))


@dataclass(frozen=True, eq=False)
class GateFit:
    """EM's run on the gate alone. model, law: of `given_experts`. trace: the run."""

    model: Model
    law: Columns
    trace: Trace

    @property
    def k(self) -> int:
        return len(self.model.latent)

    @property
    def coefficients(self) -> Array:
        """(k, d): features' coefficients, those of label 1 are 0."""
        d = self.law.dimension - self.k - 1
        return np.vstack([np.zeros(d), self.trace.last[-(self.k - 1) :, :d]]) if self.k > 1 else np.zeros((1, d))

    @property
    def intercepts(self) -> Array:
        """(k,), of label 1 0."""
        d = self.law.dimension - self.k - 1
        return np.append(0.0, self.trace.last[self.k + 1 :, d])

    @property
    def sigma(self) -> float:
        return float(np.exp(self.trace.last[self.k, self.law.dimension - self.k - 1]))

    @property
    def converged(self) -> bool:
        return self.trace.converged

    @property
    def reason(self) -> str:
        return self.trace.reason

    @property
    def message(self) -> str:
        return self.trace.message

    @property
    def log_likelihood(self) -> float:
        """Per row."""
        return -float(self.trace.objective[-1])

    @property
    def mixing(self) -> Array:
        """Mean of P(z|x), (k,)."""
        return mixing_weights(self.law, self.coefficients, self.intercepts)


def mixing_weights(law: Columns, coefficients: Array, intercepts: Array) -> Array:
    """Mean of the softmax gate over the rows, (k,); coefficients (k, d) on the first d columns."""
    total = np.zeros(len(intercepts))
    for block in law.blocks:
        scores = coefficients @ block.x[: coefficients.shape[1]] + intercepts[:, None]
        shares = np.exp(scores - np.max(scores, axis=0))
        shares /= np.sum(shares, axis=0)
        total += np.sum(shares * block.weight, axis=1)
    return total


def fit_gate(
    x: Array,
    y: Array,
    means: Array,
    *,
    intercept: bool = True,
    start: Array | None = None,
    sigma: float | None = None,
    max_iterations: int = 2000,
    tolerance: float = TOLERANCE,
    callback: Callable[[int, float], None] | None = None,
) -> GateFit:
    """EM for gate and σ; x (n, d), y (n,), means (n, k) of the experts at the rows.

    intercept: of the gate. start: (k, d) gate coefficients, by default 0 (a flat gate). sigma: to start from, by
    default the spread of y about the nearest mean. max_iterations, tolerance, callback: as for `run`. σ is learnt: held
    at the truth, the experts' own errors would be read as the gate's.
    """
    x, y, means = real_array("x", x, ndim=2), real_array("y", y, ndim=1), real_array("means", means, ndim=2)
    n, d = x.shape
    if means.shape[0] != n or y.shape != (n,):
        raise InputError(f"means: expected {n} rows, one per row of x, got shape {means.shape}")
    full_rank("x", np.column_stack([x, np.ones(n)]) if intercept else x)
    k = means.shape[1]
    model = given_experts(k, d, intercept)
    law = Columns([x, 1.0, means], y)
    theta = _template(model)
    spread = nearest_spread(y, means) if sigma is None else positive_number("sigma", sigma)
    if spread == 0:
        raise InputError("y: expected responses that differ from the nearest expert's mean, got none")
    theta[k, d] = np.log(spread)
    if start is not None:
        first = real_array("start", start, ndim=2)
        if first.shape != (k, d):
            raise InputError(f"start: expected shape ({k}, {d}), got {first.shape}")
        theta[k + 1 :, :d] = first[1:] - first[0]
    trace = run(EM(model), law, theta, max_iterations, tolerance, divergences=False, callback=callback)
    return GateFit(model, law, trace)


def nearest_spread(y: Array, means: Array) -> float:
    """Root mean square of y, (n,), about the nearest of its k means, (n, k)."""
    return float(np.sqrt(np.mean(np.min((y[:, None] - means) ** 2, axis=1))))


def _template(model: Model) -> Array:
    if model.design is None:
        raise InputError(f"model: expected one with a design, got {model.name}")
    return model.design.template.copy()
