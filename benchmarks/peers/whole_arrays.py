"""EM as one writes it in NumPy: whole (n, k) arrays, normal equations, Newton for gate and GLM experts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, log_expit, logsumexp

from .contestants import Parameters, Problem, TwoSteps, log_density

GRADIENT = 1e-12  # of an exact M-step's objective, per row and per root mean square of the column

LogSum = Callable[[np.ndarray], np.ndarray]  # (n, k) to (n, 1)


def by_logsumexp(a: np.ndarray) -> np.ndarray:
    """The textbook's way."""
    return logsumexp(a, axis=1, keepdims=True)


def by_logaddexp(a: np.ndarray) -> np.ndarray:
    """The quicker way for few experts."""
    return np.logaddexp.reduce(a, axis=1, keepdims=True)


class WholeArrays(TwoSteps):
    """NumPy as one writes it: (n, k) arrays, normal equations, Newton on the gate and on GLM experts.

    gate_steps: None for an exact gate (to GRADIENT), 1 for one Newton step per iteration (no line search then:
    ℓ may fall, and `figures` says how often it did).
    """

    def __init__(self, log_sum: LogSum = by_logsumexp, gate_steps: int | None = None) -> None:
        self.log_sum, self.gate_steps = log_sum, gate_steps
        gate = "exact gate" if gate_steps is None else f"{gate_steps} Newton step{'s' * (gate_steps > 1)}"
        self.name = f"NumPy, {log_sum.__name__.removeprefix('by_')}, {gate}"

    def m_step(self, problem: Problem, layout: Any, r: np.ndarray, last: Parameters | None) -> Parameters:
        gate = self._gate(problem.g, r, np.zeros((problem.k, problem.g.shape[1])) if last is None else last.gate)
        if problem.family == "gaussian":
            return Parameters(gate, *gaussian_experts(problem, r))
        experts = [
            self._glm(problem, r[:, j], first_coefficients(problem, r[:, j]) if last is None else last.experts[j])
            for j in range(problem.k)
        ]
        return Parameters(gate, np.stack(experts))

    def e_step(self, problem: Problem, parameters: Parameters) -> tuple[float, np.ndarray]:
        scores = problem.g @ parameters.gate.T
        joint = scores - self.log_sum(scores) + log_density(problem, parameters)
        log_rows = self.log_sum(joint)
        return float(np.sum(log_rows)), np.exp(joint - log_rows)

    def _gate(self, g: np.ndarray, r: np.ndarray, gate: np.ndarray) -> np.ndarray:
        (n, q), k = g.shape, r.shape[1]

        def evaluate(free: np.ndarray) -> tuple[float, np.ndarray, Callable[[], np.ndarray]]:
            scores = g @ np.vstack([np.zeros(q), free.reshape(k - 1, q)]).T
            log_p = scores - self.log_sum(scores)
            p = np.exp(log_p)

            def information() -> np.ndarray:
                h = np.empty((k - 1, q, k - 1, q))
                for a in range(1, k):
                    for b in range(a, k):
                        h[a - 1, :, b - 1] = h[b - 1, :, a - 1] = (g.T * (p[:, a] * ((a == b) - p[:, b]))) @ g
                return h.reshape((k - 1) * q, -1) / n

            return float(np.sum(r * log_p)) / n, ((r - p)[:, 1:].T @ g).ravel() / n, information

        scale = np.tile(np.sqrt(np.mean(g**2, axis=0)), k - 1)
        free = newton(evaluate, gate[1:].ravel(), scale, self.gate_steps)
        return np.vstack([np.zeros(q), free.reshape(k - 1, q)])

    def _glm(self, problem: Problem, weight: np.ndarray, beta: np.ndarray) -> np.ndarray:
        x, y, n = problem.x, problem.y, len(problem.y)

        def evaluate(beta: np.ndarray) -> tuple[float, np.ndarray, Callable[[], np.ndarray]]:
            eta = x @ beta
            if problem.family == "binomial":
                mean, value = expit(eta), log_expit((2 * y - 1) * eta)
                variance = mean * (1 - mean)
            else:
                mean = variance = np.exp(eta)
                value = y * eta - mean
            information = lambda: (x.T * (weight * variance)) @ x / n
            return float(weight @ value) / n, (weight * (y - mean)) @ x / n, information

        return newton(evaluate, beta, np.sqrt(np.mean(x**2, axis=0)) * max(1.0, float(np.mean(y))), None)


def newton(
    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray, Callable[[], np.ndarray]]],
    theta: np.ndarray,
    scale: np.ndarray,
    steps: int | None,
) -> np.ndarray:
    """Maximum of a concave function, evaluate(θ) its value, gradient and information; steps: that many full ones.

    Exact (None): to a gradient of GRADIENT times scale, steps halved while the value falls, ended when none helps.
    """
    value, gradient, information = evaluate(theta)
    for _ in range(100 if steps is None else steps):
        if np.all(np.abs(gradient) <= GRADIENT * scale):
            break
        step = newton_step(information(), gradient)
        if steps == 1:
            return theta + step
        slack = 1e-14 * (1 + abs(value))  # rounding is no fall
        for _ in range(40):
            new = evaluate(theta + step)
            if new[0] >= value - slack:
                break
            step = step / 2
        else:
            break
        smaller = np.max(np.abs(new[1]) / scale) < np.max(np.abs(gradient) / scale)
        if not smaller and new[0] <= value + slack:
            break  # as exact as the rounding lets it be
        theta, (value, gradient, information) = theta + step, new
    return theta


def newton_step(information: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The solution; the shortest one where a gate that separates its experts leaves the matrix singular."""
    try:
        return np.linalg.solve(information, gradient)
    except np.linalg.LinAlgError:
        return np.linalg.lstsq(information, gradient)[0]


def gaussian_experts(problem: Problem, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """β (k, d) by the normal equations, σ (k,): the M-step's maximum, so divided by the sum of weights."""
    x, y = problem.x, problem.y
    beta = np.stack([np.linalg.solve((x.T * w) @ x, x.T @ (w * y)) for w in r.T])
    residuals = y[:, None] - x @ beta.T
    return beta, np.sqrt(np.sum(r * residuals**2, axis=0) / np.sum(r, axis=0))


def first_coefficients(problem: Problem, weight: np.ndarray) -> np.ndarray:
    """Where Newton begins for a GLM expert: least squares on the response moved off the border, as glm.fit does."""
    x, y = problem.x, problem.y
    eta = np.log(y + 0.1) if problem.family == "poisson" else np.log((y + 0.5) / (1.5 - y))
    w = weight * (y + 0.1 if problem.family == "poisson" else 0.1875)
    return np.linalg.solve((x.T * w) @ x, x.T @ (w * eta))
