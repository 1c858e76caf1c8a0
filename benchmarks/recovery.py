"""The bars of the method of moments: accuracy, success, coverage, order of the error, cost.

    python -m benchmarks.recovery [accuracy] [success] [coverage] [order] [vanishing] [cost]

x ~ N(0, I_d), linear experts of length 1, σ = 0.1, gate of length 2 orthogonal to them. Error: root mean square of
â - a over all entries, labels matched. Success: the likelihood that EM from the truth reaches, less 1e-3 per row.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_limits

from moe_theory import EM
from moe_theory.algorithms.trace import run
from moe_theory.laws.columns import Columns
from moe_theory.moments.activations import activation
from moe_theory.moments.components import Spectrum
from moe_theory.moments.plain import PlainMoments
from moe_theory.moments.polynomials import Polynomials
from moe_theory.moments.source import Source
from moe_theory.moments.transforms import derive
from moe_theory.recovery.polish import joint_model, joint_theta
from moe_theory.recovery.recover import recover
from moe_theory.validation import Array

SIGMA = 0.1
OUT = Console()


def truth(k: int, d: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Regressors of length 1, (k, d), and gate coefficients of length 2 orthogonal to them, (k, d)."""
    a = rng.standard_normal((k, d))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    basis = np.linalg.qr(a.T)[0]
    w = rng.standard_normal((k, d))
    w -= w @ basis @ basis.T
    return a, 2 * w / np.linalg.norm(w, axis=1, keepdims=True)


def drawn(a: Array, w: Array, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """n rows (x, y)."""
    x = rng.standard_normal((n, a.shape[1]))
    scores = x @ w.T
    z = np.argmax(scores + rng.gumbel(size=scores.shape), axis=1)
    return x, np.einsum("nd,nd->n", x, a[z]) + SIGMA * rng.standard_normal(n)


def matched(found: Array, a: Array) -> Array:
    """The order in which the rows of `found` are nearest to those of `a`."""
    cost = np.sum((found[:, None] - a) ** 2, axis=2)
    return linear_sum_assignment(cost.T)[1]


def rms(found: Array, a: Array) -> float:
    """Root mean square error after matching."""
    return float(np.sqrt(np.mean((found[matched(found, a)] - a) ** 2)))


def reference(x: Array, y: Array, a: Array, w: Array) -> float:
    """The log-likelihood per row that EM from the truth reaches."""
    k, d = a.shape
    model = joint_model(k, d, activation("linear"))
    start = joint_theta(a, SIGMA, w, np.zeros(k))
    trace = run(EM(model), Columns([x, 1.0], y), start, 500, 1e-7, divergences=False)
    return -float(trace.objective[-1])


def accuracy() -> None:
    """Error from moments and polished."""
    table = Table("k", "d", "n", "moments", "polished", "worst", title="rms error, 20 seeds (medians)")
    for k, d, n in ((3, 10, 100_000), (4, 10, 10_000)):
        alone, polished = [], []
        for seed in range(20):
            rng = np.random.default_rng(seed)
            a, w = truth(k, d, rng)
            x, y = drawn(a, w, n, rng)
            alone.append(rms(recover(x, y, k, force=True).regressors, a))
            polished.append(rms(recover(x, y, k, polish=True).regressors, a))
        worst = f"{max(alone):.4f}, {max(polished):.5f}"
        table.add_row(str(k), str(d), str(n), f"{np.median(alone):.4f}", f"{np.median(polished):.5f}", worst)
    OUT.print(table)


def success() -> None:
    """How often the maximum-likelihood basin is reached."""
    table = Table("k", "d", "n", "truths", "reached", "median rms", title="moments and polish")
    for k, d, n in ((4, 10, 500), (4, 10, 300), (6, 20, 2000)):
        reached, errors = 0, []
        for seed in range(40):
            rng = np.random.default_rng(1000 + seed)
            a, w = truth(k, d, rng)
            x, y = drawn(a, w, n, rng)
            found = recover(x, y, k, polish=True, force=True)
            reached += found.log_likelihood >= reference(x, y, a, w) - 1e-3
            errors.append(rms(found.regressors, a))
        table.add_row(str(k), str(d), str(n), "40", str(reached), f"{np.median(errors):.4f}")
    OUT.print(table)


def coverage() -> None:
    """Of 95% intervals, over entries and 200 samples."""
    table = Table("k", "d", "n", "stage", "coverage", "± (by sample)", title="95% intervals, 200 samples")
    for k, d, n in ((3, 10, 20_000), (3, 10, 100_000)):
        shares: dict[str, list[float]] = {"moments: averages": [], "moments: regression": [], "polished": []}
        for seed in range(200):
            rng = np.random.default_rng(5000 + seed)
            a, w = truth(k, d, rng)
            x, y = drawn(a, w, n, rng)
            runs = {f"moments: {m}": recover(x, y, k, method=m, force=True) for m in ("averages", "regression")}
            runs["polished"] = recover(x, y, k, polish=True, method="averages")
            for name, found in runs.items():
                interval = found.intervals()
                if interval is not None:
                    own = interval[matched(found.regressors, a)]
                    shares[name].append(float(np.mean((own[..., 0] <= a) & (a <= own[..., 1]))))
        for name, values in shares.items():
            error = np.std(values) / np.sqrt(len(values))
            table.add_row(str(k), str(d), str(n), name, f"{np.mean(values):.4f}", f"{error:.4f}")
    OUT.print(table)


def order() -> None:
    """The error's slope in n."""
    sizes, seeds = (10_000, 30_000, 100_000, 300_000, 1_000_000), 8
    table = Table("n", "moments", "polished", title="rms error, k = 3, d = 10, root mean square over seeds")
    errors = np.empty((len(sizes), 2))
    for i, n in enumerate(sizes):
        squares = []
        for seed in range(seeds):
            rng = np.random.default_rng(100 + seed)
            a, w = truth(3, 10, rng)
            x, y = drawn(a, w, n, rng)
            found = [recover(x, y, 3, method="averages", polish=polish, force=True) for polish in (False, True)]
            squares.append([rms(f.regressors, a) ** 2 for f in found])
        errors[i] = np.sqrt(np.mean(squares, axis=0))
        table.add_row(str(n), f"{errors[i, 0]:.5f}", f"{errors[i, 1]:.6f}")
    OUT.print(table)
    for name, column in zip(("moments", "polished"), errors.T, strict=True):
        OUT.print(f"slope of {name}: {np.polyfit(np.log(sizes), np.log(column), 1)[0]:.3f}")


def vanishing() -> None:
    """The size of the tests of moments that must vanish."""
    table = Table("n", "moment", "bootstrap 5%", "chi-square 5%", title="rejections of a true model, 400 samples")
    for n in (500, 2000, 20_000):
        p, naive, names = [], [], []
        for seed in range(400):
            rng = np.random.default_rng(9000 + seed)
            a, w = truth(3, 10, rng)
            x, y = drawn(a, w, n, rng)
            plain = PlainMoments.of(Source.of(x, y))
            polynomials = Polynomials.of(derive("linear"), plain.square() - 1)
            from moe_theory.moments.diagnostics import vanishing_moments

            found = vanishing_moments(plain, polynomials, True)
            names = [v.name for v in found]
            p.append([v.p for v in found])
            naive.append([v.naive for v in found])
        sizes = np.mean(np.array(p) < 0.05, axis=0), np.mean(np.array(naive) < 0.05, axis=0)
        for name, ours, theirs in zip(names, *sizes, strict=True):
            table.add_row(str(n), name, f"{ours:.3f}", f"{theirs:.3f}")
    OUT.print(table)


def cost() -> None:
    """Two passes of moments against joint EM on the same data."""
    n, k, d = 1_000_000, 3, 10
    rng = np.random.default_rng(0)
    a, w = truth(k, d, rng)
    x, y = drawn(a, w, n, rng)
    model = joint_model(k, d, activation("linear"))
    law = Columns([x, 1.0], y)
    start = joint_theta(a + 0.1 * rng.standard_normal(a.shape), 0.3, w, np.zeros(k))
    p = Polynomials.of(derive("linear"), SIGMA**2)
    with threadpool_limits(limits=1, user_api="blas"):
        ours, theirs = [], []
        for _ in range(5):
            clock = time.perf_counter()
            moments = PlainMoments.of(Source.of(x, y))
            basis = Spectrum.of(moments, p).vectors[:, :k]
            moments.cubes(basis)
            ours.append(time.perf_counter() - clock)
            clock = time.perf_counter()
            algorithm, theta = EM(model), start
            for _ in range(3):
                theta = algorithm.step(theta, law)
            theirs.append(time.perf_counter() - clock)
    ratio = np.median(np.array(ours) / np.array(theirs))
    OUT.print(
        f"n = {n:,}: two passes of moments {np.median(ours):.2f} s, three EM iterations {np.median(theirs):.2f} s;"
        f" ratio of pairs {ratio:.2f}"
    )


PARTS = {f.__name__: f for f in (accuracy, success, coverage, order, vanishing, cost)}

if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        clock = time.perf_counter()
        PARTS[name]()
        OUT.print(f"{name}: {time.perf_counter() - clock:.0f} s\n")
