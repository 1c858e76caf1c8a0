"""Seconds per EM iteration, contestants taking turns, and what an iteration of ours costs as k grows."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from moe_theory.algorithms.em import EM
from moe_theory.algorithms.starts import start_from
from moe_theory.evaluation import evaluate

from .contestants import WARM, Contestant, InProcess, Problem, Result, quiet
from .memory import FIT, ITERATIONS, RESTARTS, Memory
from .ours import Ours, mixture_of
from .problems import timing
from .tables import ABSENT, Bar, Table, median, shown, spread, verdict
from .whole_arrays import WholeArrays, by_logsumexp

PATIENCE = 60.0  # seconds at one n after which a contestant outside this process takes no further turn
EXACT, ONE_STEP = Ours(), Ours(one_step=True)
LABELS = (2, 4, 8, 16, 32)
ROWS = 20_000  # of the problems with more and more labels
LIGHT = 2.0  # times the data, at most
LINEAR = 1.1  # exponent of k in the cost of an evaluation, at most


@dataclass(frozen=True)
class Timing:
    """milliseconds per iteration, one for every turn; ratio: over those of `against` (one of ours) in the same round.

    difference: in ℓ, from `against` after as many iterations; None where paths differ: one Newton step (our start is an
    exact M-step), another process. peak_mib: by that process's own count. note: why there are no turns.
    """

    name: str
    n: int
    against: str
    milliseconds: list[float]
    ratio: list[float]
    difference: float | None
    peak_mib: float | None
    note: str


def rival(contestant: Contestant) -> Ours:
    """Which of ours does the same: exact M-steps, or one Newton step each."""
    one = contestant is ONE_STEP or (isinstance(contestant, WholeArrays) and contestant.gate_steps == 1)
    return ONE_STEP if one else EXACT


def needed(contestant: Contestant) -> float | None:
    """How many times faster than this one we have to be."""
    if contestant.name == "flexmix":
        return 50.0
    textbook = isinstance(contestant, WholeArrays) and contestant.log_sum is by_logsumexp
    return 5.0 if textbook or contestant.name.startswith("scikit-learn") else None


def take_turns(n: int, rounds: int, peers: Sequence[Contestant], ran: Callable[[str], None]) -> list[Timing]:
    """One iteration of everybody in each round, after WARM; ours first. Layouts are made before the clock runs."""
    problem = timing(n)
    able = [EXACT, ONE_STEP, *(p for p in peers if p.supports(problem) is None)]
    inside = {c.name: turns(c, problem) for c in able if isinstance(c, InProcess)}
    taken: dict[str, list[float]] = {c.name: [] for c in able}
    spent: dict[str, float] = defaultdict(float)
    outside: dict[str, Result] = {}
    value: dict[str, float] = {}
    for name, steps in inside.items():
        for _ in range(WARM):
            next(steps)
        ran(f"{problem.name}, {name}")
    for _ in range(rounds):
        for contestant in able:
            name, seconds = contestant.name, None
            if name in inside:
                seconds, value[name] = next(inside[name])
            elif spent[name] < PATIENCE:
                clock = time.perf_counter()
                outside[name] = contestant.run(problem, WARM + 2, 0.0)  # of which one is timed
                spent[name] += time.perf_counter() - clock
                seconds = outside[name].seconds_per_iteration
            else:
                continue
            if seconds is None:
                spent[name] = PATIENCE
            else:
                taken[name].append(1e3 * seconds)
            ran(f"{problem.name}, {name}")
    timings = []
    for contestant in able:
        name, against = contestant.name, rival(contestant).name
        ratio = [a / b for a, b in zip(taken[name], taken[against], strict=False)]
        gap = abs(value[name] - value[against]) if name in value and against == EXACT.name else None
        run = outside.get(name)
        peak, note = (None, "") if run is None else (run.peak_mib, "" if taken[name] else run.note)
        timings.append(Timing(name, n, against, taken[name], ratio, gap, peak, note))
    return timings


def turns(contestant: InProcess, problem: Problem) -> Iterator[tuple[float, float]]:
    """(seconds, ℓ) of one iteration after the other."""
    steps = contestant.iterate(problem)
    while True:
        with quiet():
            clock = time.perf_counter()
            value = next(steps)[1]
            seconds = time.perf_counter() - clock
        yield seconds, value


def speed_bars(timings: Sequence[Timing], peers: Sequence[Contestant]) -> list[Bar]:
    """How many times faster we are, by the median over the rounds; peers that are not here have no verdict."""
    bars = []
    for n in dict.fromkeys(t.n for t in timings):
        for peer in peers:
            least = needed(peer)
            if least is not None:
                found = next((median(t.ratio) for t in timings if (t.n, t.name) == (n, peer.name)), None)
                met = None if found is None else found >= least
                bars.append(Bar(f"n {n:,}: {peer.name}", f"at least {least:.0f} times ours", times(found), met))
    return bars


def memory_bars(sizes: Sequence[int], measured: Sequence[Memory]) -> list[Bar]:
    """Ours: EM, and the whole fit."""
    bars = []
    for n in sizes:
        for what in (EXACT.name, FIT):
            found = next((m.multiple for m in measured if (m.n, m.what) == (n, what)), None)
            word, least = f"n {n:,}: memory of {described(what)}", f"at most {LIGHT:.0f} times the data"
            bars.append(Bar(word, least, times(found), None if found is None else found <= LIGHT))
    return bars


def times(found: float | None) -> str:
    return ABSENT if found is None else f"{shown(found)} times"


def described(what: str) -> str:
    return f"fit_mixture, {RESTARTS} restarts" if what == FIT else what


def speed_table(timings: Sequence[Timing], peers: Sequence[Contestant]) -> Table:
    columns = ("contestant", "ms", "min … max", "× ours", "min … max", "against", "turns", "|Δℓ|", "bar")
    table = Table("One EM iteration: Gaussian experts, d 10, k 2", columns, words=("against",))
    bars = {(n, p.name): needed(p) for n in {t.n for t in timings} for p in peers}
    for n in dict.fromkeys(t.n for t in timings):
        table.add(f"n {n:,}")
        for t in (t for t in timings if t.n == n):
            least, ratio = bars.get((n, t.name)), median(t.ratio)
            met = None if least is None or ratio is None else ratio >= least
            table.add(
                t.name,
                shown(median(t.milliseconds)),
                spread(t.milliseconds),
                shown(ratio),
                spread(t.ratio),
                t.note or ("1 Newton step" if t.against == ONE_STEP.name else "exact"),
                str(len(t.milliseconds)),
                ABSENT if t.difference is None else f"{t.difference:.0e}",
                verdict(met) + ("" if met is None else f" ({least:.0f})"),
            )
    table.foot = (
        "× ours: median of the ratios to ours of the same round; against: which of ours; |Δℓ|: to our exact one after "
        "as many iterations; bar: how many times slower than ours."
    )
    return table


def memory_table(measured: Sequence[Memory], timings: Sequence[Timing]) -> Table:
    title = "Peak memory beyond the data, each in a process of its own"
    table = Table(title, ("contestant", "MiB", "× data", "bar"))
    for n in dict.fromkeys(m.n for m in measured):
        own = [m for m in measured if m.n == n]
        data = own[0].data_mib
        table.add(f"n {n:,}: data of {shown(data)} MiB")
        for m in own:
            met = m.multiple <= LIGHT if m.what in (EXACT.name, FIT) else None
            word = verdict(met) + ("" if met is None else f" ({LIGHT:.0f})")
            table.add(described(m.what), shown(m.peak_mib), shown(m.multiple), word)
        for t in timings:
            if t.n == n and t.peak_mib is not None:
                table.add(t.name, shown(t.peak_mib), shown(t.peak_mib / data), ABSENT)
    table.foot = (
        f"A layout of the data and {ITERATIONS} EM iterations, or the whole fit; R: by its gc, {WARM + 2} of them."
    )
    return table


@dataclass(frozen=True)
class Cost:
    """Milliseconds at one k, one per round: an evaluation (E-step with all derivatives), an exact EM iteration."""

    k: int
    evaluation: list[float]
    iteration: list[float]


def costs(rounds: int, ran: Callable[[str], None]) -> list[Cost]:
    """All k take turns; the iterations follow one another, after WARM."""
    found = [Cost(k, [], []) for k in LABELS]
    steps = [turns_of_k(k) for k in LABELS]
    for _ in range(rounds):
        for cost, pairs in zip(found, steps, strict=True):
            evaluation, iteration = next(pairs)
            cost.evaluation.append(1e3 * evaluation)
            cost.iteration.append(1e3 * iteration)
            ran(f"k {cost.k}")
    return found


def turns_of_k(k: int) -> Iterator[tuple[float, float]]:
    """(seconds of an evaluation, seconds of an iteration from there)."""
    problem = timing(ROWS, k=k)
    mixture = mixture_of(problem)
    model, law = mixture.model, mixture.law
    em, theta = EM(model), start_from(model, law, problem.responsibilities)
    for _ in range(WARM):
        theta = em.step(theta, law)
    while True:
        em.evaluate(theta, law)
        clock = time.perf_counter()
        evaluate(model, law, theta)
        between = time.perf_counter()
        theta = em.step(theta, law)
        em.evaluate(theta, law)
        yield between - clock, time.perf_counter() - between


def slope(ks: Sequence[int], values: Sequence[float]) -> float:
    """The exponent in cost ~ k^exponent, by least squares on the logarithms."""
    return float(np.polyfit(np.log(ks), np.log(values), 1)[0])


def cost_bar(found: Sequence[Cost]) -> Bar:
    """Linear in k?"""
    exponent = slope([c.k for c in found], [float(np.median(c.evaluation)) for c in found])
    needed = f"grows as k^{LINEAR} at most"
    return Bar(f"n {ROWS:,}: cost of an evaluation as k grows", needed, f"k^{exponent:.2f}", exponent <= LINEAR)


def cost_table(found: Sequence[Cost]) -> Table:
    columns = ("k", "evaluation, ms", "min … max", "exponent", "EM iteration, ms", "min … max", "exponent")
    table = Table(f"Cost of ours as k grows: Gaussian experts, n {ROWS:,}, d 10", columns)
    ks = [c.k for c in found]
    medians = [[float(np.median(c.evaluation)) for c in found], [float(np.median(c.iteration)) for c in found]]
    for i, c in enumerate(found):
        cells = []
        for values, own in zip(medians, (c.evaluation, c.iteration), strict=True):
            step = ABSENT if i == 0 else f"{slope(ks[i - 1 : i + 1], values[i - 1 : i + 1]):.2f}"
            cells += [shown(values[i]), spread(own), step]
        table.add(str(c.k), *cells)
    overall = [f"{slope(ks, values):.2f}" for values in medians]
    table.add("all", "", "", overall[0], "", "", overall[1])
    table.foot = "exponent: of k, from the line above (all: least squares on the logarithms of the medians)."
    return table
