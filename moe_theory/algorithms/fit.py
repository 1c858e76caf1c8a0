"""Fitting by EM from several starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from moe_theory.algorithms.base import Algorithm
from moe_theory.algorithms.em import EM
from moe_theory.algorithms.starts import STARTS, check_starts, start_from
from moe_theory.algorithms.trace import Trace, run
from moe_theory.errors import DegenerateError, InputError
from moe_theory.evaluation import Penalty
from moe_theory.laws.table import Finite
from moe_theory.model import Model
from moe_theory.validation import Array, whole_number

SHORT = 50  # iterations from every start before the best are chosen
FINALISTS = 4  # different ones of these that are run to the end
SAME = 1e-9  # difference in L, relative to 1 + |L|, below which two short runs are the same


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """The best run of EM and all of them.

    best: from its start to its end. traces: the short run of every start that had one, in order; starts: which kind of
    start each was. failures: what was wrong with starts and runs that ended degenerate. finalists: the runs to the end.
    """

    best: Trace
    traces: tuple[Trace, ...]
    starts: tuple[str, ...]
    failures: tuple[str, ...]
    finalists: tuple[Trace, ...]

    def told(self, tell: Callable[[Trace], Trace]) -> Fit:
        """The same with every run as `tell` tells it."""
        all_ = lambda runs: tuple(map(tell, runs))
        return replace(self, best=tell(self.best), traces=all_(self.traces), finalists=all_(self.finalists))

    def __repr__(self) -> str:
        return f"<Fit: best of {len(self.traces)} runs, {self.best!r}>"


# Threads gain nothing on blocks of rows, and on a busy machine they wait for each other.
@threadpool_limits.wrap(limits=1, user_api="blas")
def fit(
    model: Model,
    data: Finite,
    restarts: int = 8,
    seed: int = 0,
    max_iterations: int = 10_000,
    tolerance: float = 1e-13,
    progress: Callable[[int], None] | None = None,
    starts: Sequence[str] = ("random",),
    penalty: Penalty | None = None,
    accelerate: Callable[[EM], Algorithm] | None = None,
    responsibilities: Sequence[Array] = (),
) -> Fit:
    """Fit θ to a table by EM from `restarts` starts, of the kinds `starts` by turns; the largest likelihood wins.

    Short runs (50 iterations) from every start select those that are run to the end. All runs are kept. Starts whose
    M-step has no maximum are given up; if all are, they are tried again with what separates held far out. A degenerate
    one wins by its likelihood as any other, unless that is unbounded there (a sigma that goes to 0) and another run
    ended well.

    data: a table. seed: of the starts. max_iterations, tolerance: as for `run`. progress: called with the start's
    number. penalty: see `Penalty`. accelerate: wraps EM in the long runs, e.g. `Squarem`. responsibilities: the user's
    own starts, (n, k) each, before the others. Raises InputError if no start leads anywhere (e.g. labels that the
    features separate).
    """
    if not isinstance(data, Finite):
        raise InputError(f"data: expected a table (Data or Finite), got {type(data).__name__}")
    whole_number("seed", seed)
    kinds = ["given"] * len(responsibilities)
    names = check_starts(starts)
    kinds += [names[i % len(names)] for i in range(whole_number("restarts", restarts, least=0 if kinds else 1))]
    long = accelerate or (lambda em: em)
    short: list[Trace] = []
    made: list[str] = []
    failures: list[str] = []
    first: DegenerateError | None = None
    for hold in (False, True):
        rng = np.random.default_rng(seed)
        for i, kind in enumerate(kinds):
            try:
                shares = responsibilities[i] if kind == "given" else STARTS[kind](model, data, rng)
                start = start_from(model, data, shares, penalty, hold)
                short.append(run(EM(model, penalty), data, start, SHORT, tolerance, divergences=False))
                made.append(kind)
            except DegenerateError as error:
                failures += [str(error)] * (not hold)
                first = first or error
            if progress is not None:
                progress(i + 1)
        if short:
            break
    usable = [t for t in short if t.reason in ("converged", "max_iterations")]
    failures += [f"{t.reason}: {t.message}" for t in short if t not in usable]
    at_bound = [t for t in short if t.reason == "degenerate" and t.bounded]
    chosen: list[Trace] = []
    for trace in sorted(usable, key=lambda t: float(f"{t.objective[-1]:.9e}")):
        level = trace.objective[-1]
        if all(abs(level - t.objective[-1]) > SAME * (1 + abs(level)) for t in chosen):
            chosen.append(trace)
    finals: list[Trace] = []
    for trace in chosen:
        finals.append(run(long(EM(model, penalty)), data, trace.local[0], max_iterations, tolerance, divergences=False))
        if finals[-1].reason == "degenerate":
            failures.append(f"degenerate: {finals[-1].message}")
        if sum(_is_proper(t) for t in finals) == FINALISTS:
            break
    proper = [t for t in finals if _is_proper(t)] + at_bound
    ended = proper or finals or [t for t in short if t.reason == "degenerate"]
    if not ended:
        raise InputError(f"data: expected a maximum of the likelihood; every start failed ({failures[0]})") from first
    best = min(ended, key=lambda t: t.objective[-1])
    return Fit(best, tuple(short), tuple(made), tuple(failures), tuple(finals))


def _is_proper(trace: Trace) -> bool:
    """Whether its likelihood can be compared: not where it may be unbounded."""
    return trace.reason != "degenerate" or trace.bounded
