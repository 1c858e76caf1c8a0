"""Every contestant from the same starts on every data set: where it ends, how soon, and how our own fit compares."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .contestants import COLLAPSED, Contestant, Result
from .ours import best_over_restarts
from .problems import DataSet
from .tables import ABSENT, Bar, Table, median, shown, verdict

TOLERANCE = 1e-10  # on |Δℓ| / (|ℓ| + 0.1), of every contestant
SHORT = 1e-6  # of |ℓ|: what a best ℓ may lack
RESTARTS = 8  # of our own fit: what a user gets who says nothing
ML_SIGMA = "log_likelihood_ml_sigma"  # flexmix's ℓ with the σ of maximum likelihood instead of its own


@dataclass(frozen=True)
class Runs:
    """A contestant's run from every start; unbounded: those that ended with an expert on a few rows (σ = 0)."""

    name: str
    ours: bool
    results: list[Result]
    unbounded: list[bool]

    @property
    def values(self) -> list[float]:
        """ℓ of every run (flexmix's with the better σ); minus infinity where it failed or is unbounded."""
        found = []
        for result, unbounded in zip(self.results, self.unbounded, strict=True):
            known = (result.log_likelihood, result.figures.get(ML_SIGMA, np.nan))
            found.append(max((v for v in known if math.isfinite(v) and not unbounded), default=-np.inf))
        return found

    @property
    def best(self) -> float:
        return max(self.values)


@dataclass(frozen=True)
class Comparison:
    """A data set's runs; own: our fit from its own starts."""

    data: DataSet
    runs: list[Runs]
    own: Runs

    def reaches(self, peer: Runs) -> bool:
        """Is our own best as good as the peer's?"""
        return self.own.best >= peer.best - SHORT * abs(peer.best) if math.isfinite(peer.best) else True


def compare(
    data: DataSet,
    ours: Sequence[Contestant],
    peers: Sequence[Contestant],
    starts: int,
    most: int,
    ran: Callable[[str], None],
) -> Comparison:
    """Everybody who can, from the same starts, at most so many iterations; ran: told what has been run."""
    problems = data.problems(starts)
    able = [c for c in (*ours, *peers) if c.supports(problems[0]) is None]
    results: list[list[Result]] = [[] for _ in able]
    for problem in problems:  # by turns, so that a slow spell hits all
        for contestant, made in zip(able, results, strict=True):
            made.append(contestant.run(problem, most, TOLERANCE))
            ran(f"{problem.name}, {contestant.name}")
    own = best_over_restarts(data, RESTARTS)
    ran(f"{data.name}, {own.name}")
    flags = lambda made: [unbounded(data, result) for result in made]
    runs = [Runs(c.name, c in ours, made, flags(made)) for c, made in zip(able, results, strict=True)]
    return Comparison(data, runs, Runs(own.name, True, [own], flags([own])))


def unbounded(data: DataSet, result: Result) -> bool:
    """Did an expert end on a few rows?"""
    sigma = None if result.parameters is None else result.parameters.sigma
    return sigma is not None and bool(np.min(sigma) < COLLAPSED * float(np.std(data.y)))


def bar(comparisons: Sequence[Comparison]) -> Bar:
    """Our own best against every peer's on every data set."""
    judged = {c.data.name: [r for r in c.runs if not r.ours] for c in comparisons}
    missed = {c.data.name: c for c in comparisons if not all(map(c.reaches, judged[c.data.name]))}
    gaps = [f"{name} (by {max(r.best for r in judged[name]) - c.own.best:.3g})" for name, c in missed.items()]
    count = sum(map(bool, judged.values()))
    found = f"{count - len(missed)} of {count}" + (f"; not {', '.join(gaps)}" if gaps else "")
    return Bar(
        "own best ℓ at least every peer's best, less 1e-6 |ℓ|", "all data sets", found, not missed if count else None
    )


def summary(comparisons: Sequence[Comparison]) -> Table:
    """One row per data set."""
    title = "Best ℓ: our own fit's, and how far above it the others' best is"
    columns = ("data set", "n", "k", "own best", "ours", "flexmix", "mixtools", "NumPy", "sklearn", "bar")
    table = Table(title, columns)
    for c in comparisons:
        above = []
        for start in ("moe_theory", "flexmix", "mixtools", "NumPy", "scikit-learn"):
            best = max((r.best for r in c.runs if r.name.startswith(start)), default=-np.inf)
            above.append(signed(best - c.own.best))
        met = all(c.reaches(r) for r in c.runs if not r.ours) if any(not r.ours for r in c.runs) else None
        size = (f"{len(c.data.y):,}", str(c.data.k))
        table.add(c.data.name, *size, fixed(c.own.best), *above, verdict(met))
    table.foot = (
        "Above 0: better than our own fit. NumPy: the best of its four. A run whose σ collapsed (unbounded ℓ) does not "
        "count; flexmix's σ, divided by n - d, is replaced by the maximum's where that is better."
    )
    return table


def details(comparisons: Sequence[Comparison]) -> Table:
    """One row per data set and contestant."""
    columns = ("contestant", "best ℓ", "above own", "there", "conv.", "iter.", "ms/iter.", "s", "MiB", "bar")
    table = Table("All contestants from the same starts", columns)
    for c in comparisons:
        d = c.data
        table.add(f"{d.name}: {d.family}, n {len(d.y):,}, d {d.x.shape[1]}, k {d.k}")
        for runs in [c.own, *c.runs]:
            results, best, own = runs.results, runs.best, runs is c.own
            there = sum(v >= best - SHORT * abs(best) for v in runs.values) if math.isfinite(best) else 0
            each = median([r.seconds_per_iteration for r in results])
            peak = max((r.peak_mib for r in results if r.peak_mib is not None), default=None)
            table.add(
                runs.name,
                fixed(best),
                ABSENT if own else signed(best - c.own.best),
                ABSENT if own else f"{there}/{len(results)}",
                f"{sum(r.converged for r in results)}/{len(results)}",
                f"{median([float(r.iterations) for r in results]):g}",
                shown(None if each is None else 1e3 * each),
                shown(sum(r.seconds for r in results)),
                ABSENT if peak is None else f"{peak:.1f}",
                ABSENT if runs.ours else verdict(c.reaches(runs)),
            )
    table.foot = (
        "there: starts that reach the contestant's best (1e-6 |ℓ|); conv.: converged before the limit; iterations, ms: "
        "medians over the starts; s: all together; MiB: largest peak beyond what the process held (R's: by its gc)."
    )
    return table


def words(comparisons: Sequence[Comparison]) -> Table:
    """What the runs said besides, and where: on all starts, or on those with a number."""
    table = Table("What the runs said", ("contestant", "word", "where"), words=("word", "where"))
    said: dict[tuple[str, str], list[str]] = {}
    for c in comparisons:
        for runs in [c.own, *c.runs]:
            starts: dict[str, list[int]] = {}
            for i, (result, no_maximum) in enumerate(zip(runs.results, runs.unbounded, strict=True)):
                for word in notes(result, no_maximum):
                    starts.setdefault(word, []).append(i)
            for word, which in starts.items():
                some = [f"#{i}" for i in which] if len(which) < len(runs.results) else []
                said.setdefault((runs.name, word), []).append(" ".join([c.data.name, *some]))
    for (name, word), where in said.items():
        table.add(name, word, "; ".join(where))
    return table


def notes(result: Result, no_maximum: bool) -> list[str]:
    """What is to be said of a run, labels and rows left out."""
    found = [re.sub(r"label \d+, [^:]*: ", "", result.note)] if result.note else []
    found += ["σ collapsed: ℓ is unbounded, left out"] if no_maximum else []
    found += ["ℓ fell on the way"] if result.figures.get("falls", 0) > 0 else []
    return found + (["some starts or runs given up"] if result.figures.get("given_up", 0) > 0 else [])


def record(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Every run, for JSON."""
    return [
        {
            "data": c.data.name,
            "family": c.data.family,
            "n": len(c.data.y),
            "k": c.data.k,
            "runs": [
                {"start": None if runs is c.own else i, "unbounded": no_maximum, **plain(result)}
                for runs in [c.own, *c.runs]
                for i, (result, no_maximum) in enumerate(zip(runs.results, runs.unbounded, strict=True))
            ],
        }
        for c in comparisons
    ]


def plain(result: Result) -> dict[str, Any]:
    p = result.parameters
    parameters = None if p is None else {k: None if v is None else v.tolist() for k, v in vars(p).items()}
    return asdict(replace(result, parameters=None)) | {"parameters": parameters}


def fixed(value: float) -> str:
    return f"{value:,.5f}" if math.isfinite(value) else ABSENT


def signed(value: float) -> str:
    """A difference; rounding is called 0."""
    if not math.isfinite(value):
        return ABSENT
    return "0" if abs(value) < 5e-7 else f"{value:+.1e}" if abs(value) < 1e-3 else f"{value:+.3f}"
