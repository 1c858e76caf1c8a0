"""One exact EM iteration of SymMoLinE: the core, whole-array NumPy, scikit-learn, interleaved in one process.

An iteration is the objective L(θ), the posterior at θ and the exact M-step (β and the gate) to θ⁺. Every
contestant starts from the same θ, keeps its own layout of the data (made outside the clock) and has to end at
the same θ⁺.

    python benchmarks/em_iteration.py --n 100000 1000000 --rounds 7 --json times.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy.linalg
from machine import environment, memory, reset_peak
from rich.console import Console
from rich.table import Table
from scipy.special import expit, log_expit, logsumexp

import moe_theory as mt
from moe_theory.laws.rows import Block, Law, Rows

try:
    from sklearn.linear_model import LinearRegression, LogisticRegression
except ImportError:
    LinearRegression = LogisticRegression = None

GATE_TOLERANCE = 1e-14  # on the gate's gradient per row; the core asks as much of its Newton decrement
EXACT = 1e-12  # a gradient of the M-step's objective above it: "less exact" in the table
AGREEMENT = 1e-9  # on θ⁺ and L, between any contestant and the core; the run fails beyond
MODEL = mt.symmetric_linear()


@dataclass(frozen=True)
class Outcome:
    """What an iteration returns. work: passes over the data or Newton steps, in words."""

    theta: np.ndarray
    objective: float
    work: str


class Core:
    """moe_theory: blocks, one pass for the E-step with the gate's Hessian, then Newton steps that keep it."""

    name = "moe_theory"

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.law = Counted(mt.Data(x, y))
        _ = self.law.rows(MODEL, np.zeros((2, x.shape[1]))).gram  # X'X, kept like the blocks

    def __call__(self, theta: np.ndarray) -> Outcome:
        self.law.passes = 0
        em = mt.EM(MODEL)  # a new one: EM remembers its last E-step
        objective = em.evaluate(theta, self.law).objective
        return Outcome(em.step(theta, self.law), objective, f"{self.law.passes} passes")


class Counted(Law):
    """The rows of a data set, counting the passes over them."""

    def __init__(self, data: mt.Data) -> None:
        self.dimension, self.passes, self._data = data.dimension, 0, data
        self._source = data.rows(MODEL, np.zeros((2, data.dimension)))
        self._rows = Rows(data.dimension, self._pass, sample=self._source.sample)

    def rows(self, model: mt.Model, theta: np.ndarray) -> Rows:
        self._data.rows(model, theta)  # its checks are part of an iteration
        return self._rows

    def _pass(self) -> Iterable[Block]:
        self.passes += 1
        return self._source.blocks


class WholeArrays:
    """NumPy as one writes it: whole arrays, X'X factored once, Newton on the gate from its last value."""

    def __init__(self, x: np.ndarray, y: np.ndarray, log_sum: Callable, name: str) -> None:
        self.x, self.y, self.log_sum, self.name = x, y, log_sum, name
        self.gram = scipy.linalg.cho_factor(x.T @ x)

    def __call__(self, theta: np.ndarray) -> Outcome:
        objective, p = e_step(self.x, self.y, theta, self.log_sum)
        beta = scipy.linalg.cho_solve(self.gram, self.x.T @ ((2 * p - 1) * self.y))
        w, steps = self._gate(p, theta[1])
        return Outcome(np.stack([beta, w]), objective, f"{steps} Newton")

    def _gate(self, p: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, int]:
        for steps in range(100):
            s = expit(self.x @ w)
            gradient = self.x.T @ (s - p) / len(p)
            if np.max(np.abs(gradient)) <= GATE_TOLERANCE:
                return w, steps
            hessian = (self.x.T * (s * (1 - s))) @ self.x / len(p)
            w = w - np.linalg.solve(hessian, gradient)
        return w, steps


class ScikitLearn:
    """M-step by scikit-learn: soft labels as two weighted copies of the rows; E-step as in `WholeArrays`."""

    name = "scikit-learn"

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = x, y
        self.twice, self.labels = np.concatenate([x, x]), np.repeat([1, 0], len(y))

    def __call__(self, theta: np.ndarray) -> Outcome:
        objective, p = e_step(self.x, self.y, theta)
        beta = LinearRegression(fit_intercept=False).fit(self.x, (2 * p - 1) * self.y).coef_
        gate = LogisticRegression(
            C=np.inf, fit_intercept=False, solver="newton-cholesky", tol=GATE_TOLERANCE, warm_start=True
        )
        gate.coef_, gate.intercept_ = theta[1:].copy(), np.zeros(1)  # where a warm start begins
        gate.fit(self.twice, self.labels, sample_weight=np.concatenate([p, 1 - p]))
        return Outcome(np.stack([beta, gate.coef_[0]]), objective, f"{gate.n_iter_[0]} Newton")


def e_step(
    x: np.ndarray, y: np.ndarray, theta: np.ndarray, log_sum: Callable = np.logaddexp
) -> tuple[float, np.ndarray]:
    """L(θ) and P(z=1|x,y), (n,)."""
    mean, gate = x @ theta[0], x @ theta[1]
    plus = log_expit(gate) - (y - mean) ** 2 / 2
    minus = log_expit(-gate) - (y + mean) ** 2 / 2
    return np.log(2 * np.pi) / 2 - float(np.mean(log_sum(plus, minus))), expit(plus - minus)


def contestants(x: np.ndarray, y: np.ndarray) -> Iterator[Callable[[], Core | WholeArrays | ScikitLearn]]:
    """What makes each contestant, the core first."""
    yield lambda: Core(x, y)
    yield lambda: WholeArrays(x, y, np.logaddexp, "NumPy, logaddexp")
    # The textbook's way; an (n, 2) array is slow to reduce, so this is not the rival to beat.
    textbook = lambda a, b: logsumexp(np.stack([a, b], axis=1), axis=1)
    yield lambda: WholeArrays(x, y, textbook, "NumPy, logsumexp")
    if LogisticRegression is not None:
        yield lambda: ScikitLearn(x, y)


def m_step_gradient(x: np.ndarray, y: np.ndarray, start: np.ndarray, theta: np.ndarray) -> float:
    """Largest entry of the gradient, per row, of the M-step's objective Q(·|start) at θ, in plain NumPy."""
    _, p = e_step(x, y, start)
    beta = x.T @ (x @ theta[0] - (2 * p - 1) * y)
    gate = x.T @ (expit(x @ theta[1]) - p)
    return float(max(np.max(np.abs(beta)), np.max(np.abs(gate)))) / len(y)


@dataclass(frozen=True)
class Result:
    """One contestant's figures at one n; ratio: its time over the core's in the same round."""

    name: str
    n: int
    milliseconds: list[float]
    ratio: list[float]
    work: str
    gradient: float
    difference: float
    peak_mib: float | None


def problem(n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (n, d) row by row as users hold it, y (n,), and a start 0.3 off a truth with ‖β‖ = ‖w‖ = 2."""
    rng = np.random.default_rng(seed)
    truth, move = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in rng.standard_normal((2, 2, d)))
    x, y, first = np.empty((n, d)), np.empty(n), 0
    for block in mt.MonteCarlo(MODEL, 2 * truth, n, seed).rows(MODEL, truth):
        rows = slice(first, first + len(block.y))
        x[rows], y[rows], first = block.x.T, block.y, rows.stop
    return x, y, 2 * truth + 0.3 * move


def compare(n: int, d: int, rounds: int, seed: int) -> list[Result]:
    """The contestants' figures; SystemExit if they do not agree on θ⁺ and L."""
    x, y, start = problem(n, d, seed)
    made, first, peaks = [], [], []
    for make in contestants(x, y):
        before = reset_peak()
        made.append(make())
        first.append(made[-1](start))  # warms up: compilation, cached moments, the BLAS threads
        peaks.append(None if before is None else (memory("VmHWM") - before) / 1024)
    times: list[list[float]] = [[] for _ in made]
    for _ in range(rounds):
        for contestant, taken in zip(made, times, strict=True):
            clock = time.perf_counter()
            contestant(start)
            taken.append(1e3 * (time.perf_counter() - clock))
    results = []
    for contestant, outcome, taken, peak in zip(made, first, times, peaks, strict=True):
        difference = float(np.max(np.abs(outcome.theta - first[0].theta)))
        if not max(difference, abs(outcome.objective - first[0].objective)) <= AGREEMENT:
            raise SystemExit(f"{contestant.name}, n = {n}: not the core's L or θ⁺ ({difference:.2g} off)")
        ratio = [t / core for t, core in zip(taken, times[0], strict=True)]
        gradient = m_step_gradient(x, y, start, outcome.theta)
        results.append(Result(contestant.name, n, taken, ratio, outcome.work, gradient, difference, peak))
    return results


def show(console: Console, results: list[Result]) -> None:
    """The figures as a table."""
    table = Table("contestant", "n", "ms", "min … max", "× core", "work", "|∇Q|", "max |Δθ⁺|", "peak MiB")
    for column in table.columns[1:]:
        column.justify = "right"
    for r in results:
        if r.name == results[0].name and table.rows:
            table.add_section()
        table.add_row(
            r.name,
            f"{r.n:,}",
            f"{statistics.median(r.milliseconds):.1f}",
            f"{min(r.milliseconds):.1f} … {max(r.milliseconds):.1f}",
            f"{statistics.median(r.ratio):.2f}",
            r.work,
            f"{r.gradient:.0e}" + (" less exact" if r.gradient > EXACT else ""),
            f"{r.difference:.0e}",
            "–" if r.peak_mib is None else f"{r.peak_mib:.0f}",
        )
    console.print(table)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--n", type=int, nargs="+", default=[100_000, 1_000_000], help="numbers of rows")
    parser.add_argument("--d", type=int, default=10, help="number of features")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds, each contestant once in each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here")
    options = parser.parse_args()
    if min(options.d, options.rounds) < 1 or options.seed < 0 or min(options.n) <= options.d:
        parser.error("expected --d and --rounds of at least 1, --n above --d, --seed of at least 0")
    console, where = Console(width=None if sys.stdout.isatty() else 120), environment()
    console.print(", ".join(f"{name} {number}" for name, number in where["versions"].items()))
    threads = where["blas_threads"] or "unknown number of"
    console.print(f"{where['machine']}, {where['cpus']} CPUs, load {where['load']}, {threads} BLAS threads")
    if LogisticRegression is None:
        console.print("scikit-learn is absent; its row is left out (the extra `bench` installs it)")
    results = [r for n in options.n for r in compare(n, options.d, options.rounds, options.seed)]
    show(console, results)
    if options.json is not None:
        record = where | {"d": options.d, "rounds": options.rounds, "seed": options.seed}
        record["results"] = [asdict(r) for r in results]
        options.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
