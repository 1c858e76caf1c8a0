"""Does the rate measured on a run of EM agree with the one predicted at its end, within the errors both state?

    python benchmarks/measured_rates.py --problems 1000 [--seed 0] [--processes 2]

Random models, data sets and starts: flat and curved, k = 1 to 3, few rows and many, responses of pure noise, of two or
three values, of experts far apart (rates near 0) and nearly the same (rates near 1), equal eigenvalues, an EM with a
ridge, populations. A quarter of the runs is cut short; these are judged at the limit that EM reaches from their end.
Exit code 1 if one in a hundred of the measured rates, or more, disagrees.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from multiprocessing import Pool

import numpy as np
import sympy as sp

import moe_theory as mt
from moe_theory.algorithms.starts import STARTS, start_from
from moe_theory.errors import DegenerateError, DerivationError, InputError
from moe_theory.evaluation import Penalty
from moe_theory.mixture.problem import Problem
from moe_theory.validation import Array

SHORT = 0.25  # share of the runs that are cut off
SINGULAR = 1e-9  # a λ_max closer to 1 is that of limits that are not isolated


@dataclass(frozen=True)
class Run:
    """A run of EM and where it is judged: kind of problem; point: EM's limit, (m, d), None if it has none."""

    kind: str
    trace: mt.Trace
    model: mt.Model
    law: mt.Law
    penalty: Penalty | None
    point: Array | None
    cut: bool


@dataclass(frozen=True)
class Outcome:
    """What came of one run. difference, allowed: of the iterates' rate, then of the gap's; refusal: why there is no
    measured rate, or ''. judged: whether EM has a limit that a rate is predicted at."""

    number: int
    kind: str
    cut: bool
    reason: str
    judged: bool
    predicted: float = np.nan
    measured: float = np.nan
    error: float = np.nan
    difference: float = np.nan
    allowed: float = np.nan
    gap_difference: float = np.nan
    gap_allowed: float = np.nan
    refusal: str = ""

    @property
    def disagrees(self) -> bool:
        return self.difference > self.allowed

    @property
    def gap_disagrees(self) -> bool:
        return self.gap_difference > self.gap_allowed


# Problems ----------------------------------------------------------------------------------------------------------


def _balanced() -> mt.Model:
    return mt.Model("balanced", (-1, 1), ("beta",), None, lambda y, z, beta: mt.log_normal(y, z * beta), mt.Reals())


def _offset() -> mt.Model:
    return mt.Model(
        "offset",
        (0, 1),
        ("beta", "w"),
        lambda z, w: mt.log_expit((2 * z - 1) * w),
        lambda y, z, beta: mt.log_normal(y, beta + sp.Rational(5, 2) * z),
        mt.Reals(),
    )


def _curved() -> mt.Model:
    return mt.Model(
        "curved", (-1, 1), ("beta",), None, lambda y, z, beta: mt.log_normal(y, z * sp.tanh(beta)), mt.Reals()
    )


DECLARED: dict[str, Callable[[], mt.Model]] = {
    "symmetric-linear": mt.symmetric_linear,
    "symmetric-linear-0.2": lambda: mt.symmetric_linear(0.2),
    "symmetric-logistic": mt.symmetric_logistic,
    "linear-experts": mt.linear_experts,
    "erased-labels": mt.erased_labels,
    "balanced": _balanced,
    "offset": _offset,
    "curved": _curved,
}


@cache
def declared(name: str) -> mt.Model:
    """One model per process, so that it is derived once."""
    return DECLARED[name]()


def of_declared(name: str, rng: np.random.Generator, limit: int) -> Run:
    """Rows of the model at a random truth (or, of curved ones, nearly), EM from a random start."""
    model, d = declared(name), int(rng.integers(1, 5))
    n = int(rng.choice([15, 40, 100, 400])) + 4 * d
    truth = rng.standard_normal((len(model.predictors), d)) * rng.choice([0.1, 0.5, 1.0, 2.0, 5.0])
    data = mt.MonteCarlo(model, truth, n, int(rng.integers(1 << 30))).data()
    start = truth + rng.standard_normal(truth.shape) * rng.choice([0.01, 0.3, 2.0])
    return finished(name, model, data, start, None, limit, float(rng.choice([1e-8, 1e-10, 1e-13])))


def of_population(rng: np.random.Generator, limit: int) -> Run:
    """The same on the law itself, one or two features."""
    name = str(rng.choice(["symmetric-linear", "symmetric-logistic", "balanced"]))
    model, d = declared(name), int(rng.integers(1, 3))
    truth = rng.standard_normal((len(model.predictors), d)) * rng.choice([0.5, 1.0, 2.0])
    law = mt.Population(model, truth, nats=10)
    start = truth + 0.3 * rng.standard_normal(truth.shape)
    return finished("population", model, law, start, None, limit or 80, 1e-8)


def of_softmax(rng: np.random.Generator, limit: int) -> Run:
    """A softmax mixture of experts on rows that need not come from one, EM from one of the usual starts."""
    family = str(rng.choice(["gaussian", "gaussian", "gaussian", "binomial", "poisson", "multinomial"]))
    k, d = int(rng.choice([1, 2, 3], p=[0.05, 0.7, 0.25])), int(rng.integers(1, 4))
    n = int(rng.choice([25, 60, 150, 400])) + 8 * k * d * (1 if family == "gaussian" else 3)
    x = rng.standard_normal((n, d))
    shape = rng.integers(4)
    if shape == 1:
        x = np.round(x * 2) / 2  # few values
    elif shape == 2:
        x[:, -1] = rng.integers(0, 2, n)  # a factor
    elif shape == 3:
        x = x + rng.choice([0.0, 3.0, 30.0])
    label = rng.integers(0, k, n) if rng.random() < 0.5 else (x[:, 0] > np.median(x[:, 0])).astype(int)
    slopes = rng.standard_normal((k + 1, d)) * rng.choice([0.0, 0.3, 1.0, 3.0])
    mean = np.einsum("nd,nd->n", x - x.mean(0), slopes[label]) + label * rng.choice([0.0, 1.0, 4.0])
    if family != "gaussian":
        mean = 2 * np.tanh(mean / 2)  # or most sets would be separable
    if family == "gaussian":
        y = mean + rng.choice([0.05, 0.5, 2.0]) * rng.standard_normal(n)
        y = np.round(y, int(rng.choice([1, 3, 15])))
    elif family == "poisson":
        y = rng.poisson(np.exp(np.clip(mean, -3, 4))).astype(float)
    elif family == "binomial":
        y = (rng.random(n) < 1 / (1 + np.exp(-mean))).astype(float)
    else:
        y = rng.permutation(np.arange(n) % 3) if rng.random() < 0.3 else np.digitize(mean, [-0.5, 0.8])
        y[:3] = [0, 1, 2]
    gate = x[:, :1] if rng.random() < 0.3 else None
    problem = Problem.of(x, y, k, family, gate, common_sigma=family == "gaussian" and rng.random() < 0.3)
    penalty = Penalty.of(float(rng.choice([1e-3, 0.1])), 0.0, 0.0) if rng.random() < 0.2 else None
    kind = str(rng.choice(["kmeans", "random", "soft", "dirichlet"]))
    shares = STARTS[kind](problem.model, problem.law, rng)
    start = start_from(problem.model, problem.law, shares, penalty, True)
    name = f"softmax-{family}-{k}"
    return finished(name, problem.model, problem.law, start, penalty, limit, float(rng.choice([1e-8, 1e-8, 1e-12])))


def finished(
    kind: str, model: mt.Model, law: mt.Law, start: Array, penalty: Penalty | None, limit: int, tolerance: float
) -> Run:
    """The run, cut after `limit` iterations (0: it is not), and EM's limit from its end."""
    cut = limit > 0
    trace = mt.run(mt.EM(model, penalty), law, start, limit or 1500, tolerance, divergences=False)
    rest = trace
    if cut and trace.reason == "max_iterations":
        rest = mt.run(mt.EM(model, penalty), law, trace.last, 1500, 1e-10, divergences=False)
    return Run(kind, trace, model, law, penalty, rest.last if rest.converged else None, cut)


def random_run(number: int, seed: int) -> Run:
    """Problem `number` of the campaign with that seed; raises InputError or DegenerateError where there is none."""
    rng = np.random.default_rng([seed, number])
    limit = int(rng.integers(3, 80)) if rng.random() < SHORT else 0
    choice = rng.random()
    if choice < 0.5:
        return of_softmax(rng, limit)
    if choice < 0.55:
        return of_population(rng, limit)
    return of_declared(str(rng.choice(sorted(DECLARED))), rng, limit)


# Judgement ---------------------------------------------------------------------------------------------------------


def judge(number: int, run: Run) -> Outcome:
    """Measured against predicted."""
    told = {"number": number, "kind": run.kind, "cut": run.cut, "reason": run.trace.reason}
    try:
        if run.point is None:
            raise InputError("no limit")
        predicted = mt.predict_rate(run.model, run.law, run.point, run.penalty)
        if predicted.lambda_max > 1 - SINGULAR:
            raise InputError("no linear rate follows where L is not strongly convex relative to A")
    except (InputError, DerivationError):
        predicted = None
    try:
        found = mt.measure_rate(run.trace)
    except InputError as error:
        rate = np.nan if predicted is None else predicted.lambda_max
        return Outcome(**told, judged=predicted is not None, predicted=rate, refusal=str(error))
    if predicted is None:
        return Outcome(**told, judged=False, measured=found.iterates, error=found.iterates_error)
    return Outcome(
        **told,
        judged=True,
        predicted=predicted.lambda_max,
        measured=found.iterates,
        error=found.iterates_error,
        difference=abs(found.iterates - predicted.lambda_max),
        allowed=found.iterates_error + predicted.error,
        gap_difference=abs(found.gap - predicted.gap),
        gap_allowed=found.gap_error + 2 * predicted.error,
    )


def outcome(task: tuple[int, int]) -> Outcome | None:
    """One problem, None if it has no run."""
    number, seed = task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            run = random_run(number, seed)
        except (InputError, DegenerateError):
            return None
        return judge(number, run)


def told(outcomes: list[Outcome]) -> bool:
    """Print counts and quantiles; whether fewer than one in a hundred disagree."""
    judged = [o for o in outcomes if o.judged and not np.isnan(o.measured)]
    wrong = [o for o in judged if o.disagrees]
    late = [o for o in judged if o.gap_disagrees]
    print(f"{len(outcomes)} runs, {len(judged)} with a rate and a limit, {sum(o.cut for o in judged)} of them cut")
    for what, found in (("rates", wrong), ("gaps", late)):
        print(f"measured {what} beyond the stated error: {len(found)} ({len(found) / max(len(judged), 1):.2%})")
    for o in wrong:
        print(f"  {o.number} {o.kind}: predicted {o.predicted:.6f}, measured {o.measured:.6f} ± {o.error:.1g}")
    shares = (0.1, 0.5, 0.9, 0.99)
    for what, values in (
        ("stated error", [o.error for o in judged]),
        ("difference / allowed", [o.difference / o.allowed for o in judged if o.allowed > 0]),
    ):
        found = ", ".join(f"{q:.0%} {v:.2g}" for q, v in zip(shares, np.quantile(values, shares), strict=True))
        print(f"{what}: {found}")
    outside = [o for o in outcomes if not np.isnan(o.measured) and not 0 <= o.measured < 1]
    print(f"measured outside [0, 1): {len(outside)}")
    refused = [o for o in outcomes if o.refusal]
    print(f"refused: {len(refused)}, of these {sum(o.judged and not o.cut for o in refused)} whole runs with a limit")
    for reason in sorted({o.refusal.split(", got")[0] for o in refused}):
        print(f"  {sum(o.refusal.startswith(reason) for o in refused)} {reason}")
    return len(wrong) < max(len(judged), 1) / 100 and not outside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    tasks = [(number, options.seed) for number in range(options.problems)]
    with Pool(options.processes) as pool:
        outcomes = [o for o in pool.imap_unordered(outcome, tasks, chunksize=4) if o is not None]
    sys.exit(0 if told(sorted(outcomes, key=lambda o: o.number)) else 1)


if __name__ == "__main__":
    main()
