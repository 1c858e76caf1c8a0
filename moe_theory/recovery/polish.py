"""Polishing: EM on experts, σ and gate together, from where the moments and the gate's EM have led."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy as sp

from moe_theory.algorithms.em import EM
from moe_theory.algorithms.trace import Trace, run
from moe_theory.atoms import relu
from moe_theory.errors import InputError
from moe_theory.laws.columns import Columns
from moe_theory.model import Model
from moe_theory.moments.activations import ACTIVATION_ARGUMENT, Activation
from moe_theory.operators import observed_information
from moe_theory.recovery.gate import CONSTANT, GateFit, nearest_spread
from moe_theory.recovery.joint import gauss_newton_em
from moe_theory.symbolic.lower import Compiled
from moe_theory.validation import Array
from moe_theory.zoo import activated_experts, softmax_moe

TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False)
class Polished:
    """Where EM on everything ended. activation: g. model, law: over the columns x_1 … x_d, 1; no model where g cannot
    be declared (see `declared`). log_likelihood: per row. All parameters are free: a regressor's length is learnt too.
    trace: the run, None of a nonlinear g."""

    activation: Activation
    model: Model | None
    law: Columns
    theta: Array
    log_likelihood: float
    reason: str
    message: str
    trace: Trace | None = None

    @property
    def converged(self) -> bool:
        return self.reason == "converged"

    @property
    def k(self) -> int:
        return len(self.theta) // 2

    @property
    def regressors(self) -> Array:
        """(k, d)."""
        return self.theta[: self.k, :-1]

    @property
    def sigma(self) -> float:
        return float(np.exp(self.theta[self.k, -1]))

    @property
    def gate(self) -> Array:
        """(k, d), of label 1 0."""
        return np.vstack([np.zeros(self.theta.shape[1] - 1), self.theta[self.k + 1 :, :-1]])

    @property
    def intercepts(self) -> Array:
        """(k,), of label 1 0."""
        return np.append(0.0, self.theta[self.k + 1 :, -1])

    @cached_property
    def covariance(self) -> Array | None:
        """Of the regressors, (k d, k d), by Louis' formula, without a model by the scores' outer products; None where
        the information is not positive definite."""
        if self.model is None:
            information = self._outer_products
        else:
            information = len(self.law) * observed_information(self.model, self.law, self.theta)
        try:
            np.linalg.cholesky(information)
        except np.linalg.LinAlgError:
            return None
        size = self.k * (self.theta.shape[1] - 1)
        return np.linalg.inv(information)[:size, :size]

    @property
    def _outer_products(self) -> Array:
        """Σ ∇log p(y|x) ∇log p(y|x)' over regressors, log σ and the gate's learnt entries, (p, p)."""
        total = 0.0
        learnt = np.any(self.intercepts != 0)  # a gate without a constant has none
        for block in self.law.blocks:
            x, scores = block.x[:-1], self.gate @ block.x[:-1] + self.intercepts[:, None]
            u = self.regressors @ x
            away = (block.y - self.activation.function(u)) / self.sigma
            prior = np.exp(scores - np.max(scores, axis=0))
            prior /= np.sum(prior, axis=0)
            joint = np.log(np.maximum(prior, 1e-300)) - away**2 / 2
            shares = np.exp(joint - np.max(joint, axis=0))
            shares /= np.sum(shares, axis=0)
            slopes = shares * away * self.activation.slope(u) / self.sigma
            gate = (shares - prior)[1:]
            seen = block.x if learnt else x
            parts = [slopes[:, None] * x, np.sum(shares * (away**2 - 1), axis=0)[None, None], gate[:, None] * seen]
            rows = np.vstack([part.reshape(-1, x.shape[1]) for part in parts])
            total = total + rows @ rows.T
        return np.asarray(total)


def declared(g: Activation) -> Callable[[sp.Expr], sp.Expr]:
    """g as a function of expressions whose derivatives can be evaluated; InputError where there is no expression, or
    one with kinks other than those of max, min and |·|."""
    if g.expr is None:
        raise InputError(f"activation: expected a SymPy expression to polish with, got the function {g.name}")
    expr = g.expr.replace(sp.Abs, lambda t: relu(t) + relu(-t))
    expr = expr.replace(sp.Max, lambda *terms: _larger([sp.sympify(t) for t in terms]))
    expr = expr.replace(sp.Min, lambda *terms: -_larger([-t for t in terms]))
    if expr.has(sp.Piecewise, sp.Heaviside, sp.sign):
        raise InputError(f"activation: expected kinks by max, min or |·| only to polish with, got {g.expr}")
    try:
        Compiled([ACTIVATION_ARGUMENT], [expr, expr.diff(ACTIVATION_ARGUMENT)])(np.linspace(-1.3, 1.7, 3))
    except (NameError, TypeError, AttributeError) as error:
        raise InputError(f"activation: expected functions that NumPy has to polish with, got {g.expr}") from error
    return lambda eta: expr.subs(ACTIVATION_ARGUMENT, eta)


def _larger(terms: list[sp.Expr]) -> sp.Expr:
    """max as relu."""
    first, *others = terms
    for term in others:
        first = term + relu(first - term)
    return first


def joint_model(k: int, d: int, g: Activation, intercept: bool = True) -> Model:
    """k experts N(g(a_i'x), σ²) with one σ under a softmax gate; columns x_1 … x_d and a constant, which the gate (if
    `intercept`) and log σ see."""
    model = softmax_moe(k, "gaussian", common_sigma=True) if g.name == "linear" else activated_experts(k, declared(g))
    names = [f"x{i + 1}" for i in range(d)]
    gate = (*names, CONSTANT) if intercept else tuple(names)
    sees = {p: (CONSTANT,) if p == "log_sigma" else gate if p.startswith("w") else names for p in model.predictors}
    return model.designed((*names, CONSTANT), sees)


def joint_theta(regressors: Array, sigma: float, gate: Array, intercepts: Array) -> Array:
    """θ of `joint_model`: regressors (k, d), gate (k, d), intercepts (k,)."""
    k, d = regressors.shape
    theta = np.zeros((2 * k, d + 1))
    theta[:k, :d], theta[k, d] = regressors, np.log(sigma)
    theta[k + 1 :, :d], theta[k + 1 :, d] = gate[1:] - gate[0], intercepts[1:] - intercepts[0]
    return theta


def polish_experts(
    x: Array,
    y: Array,
    g: Activation,
    regressors: Array,
    gate: GateFit,
    intercept: bool = True,
    both: bool = False,
    max_iterations: int = 2000,
    tolerance: float = TOLERANCE,
) -> Polished:
    """EM from regressors, (k, d), and a gate's fit with these given; x (n, d), y (n,).

    both: from a flat gate too, with σ the spread about the nearest expert; the better by likelihood. (Experts far off
    may lead the gate's own EM far astray, or to infinity.)
    """
    flat = np.zeros_like(regressors), np.zeros(len(regressors))
    starts = [(regressors, gate.sigma, gate.coefficients, gate.intercepts)]
    if both:
        starts.append((regressors, nearest_spread(y, g.function(x @ regressors.T)), *flat))
    law = Columns([x, 1.0], y)
    try:
        model: Model | None = joint_model(len(regressors), regressors.shape[1], g, intercept)
    except InputError:  # it is needed for nothing but standard errors
        model = None
    ends = [_end(model, law, x, y, g, *start, intercept, max_iterations, tolerance) for start in starts]
    return max(ends, key=lambda end: end.log_likelihood)


def _end(
    model: Model | None,
    law: Columns,
    x: Array,
    y: Array,
    g: Activation,
    a: Array,
    sigma: float,
    gate: Array,
    intercepts: Array,
    intercept: bool,
    limit: int,
    tolerance: float,
) -> Polished:
    """Exact EM for linear experts, Gauss-Newton EM for others."""
    theta = joint_theta(a, sigma, gate, intercepts)
    if g.name == "linear" and model is not None:
        trace = run(EM(model), law, theta, limit, tolerance, divergences=False)
        return Polished(g, model, law, trace.last, -float(trace.objective[-1]), trace.reason, trace.message, trace)
    k, d = a.shape
    own = np.zeros((2 * k, d + 1 + k))
    own[:k, d + 1 :], own[k:, : d + 1] = np.eye(k), theta[k:]
    found = gauss_newton_em(x, y, g, a, own, intercept, limit)
    theta = joint_theta(found.regressors, float(np.exp(found.theta[k, d])), *_gate_of(found.theta[k + 1 :, : d + 1]))
    return Polished(g, model, law, theta, float(found.log_likelihood[-1]), found.reason, found.message)


def _gate_of(rows: Array) -> tuple[Array, Array]:
    """(coefficients (k, d), intercepts (k,)) with label 1's, from those of labels 2 … k, (k-1, d+1)."""
    whole = np.vstack([np.zeros(rows.shape[1]), rows])
    return whole[:, :-1], whole[:, -1]
