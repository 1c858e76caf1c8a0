"""What a contestant needs beyond the data, in a process of its own: from benchmarks/, python -m peers.memory WHAT N

WHAT: a contestant's name (its layout of the data and three EM iterations), or "fit_mixture" (the whole fit, two
restarts). The peak is VmHWM less what the process held once the data were made; a small problem comes first, so that
modules loaded when first used do not count.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from itertools import islice

from machine import memory, reset_peak

from moe_theory.mixture.fit import fit_mixture

from .contestants import HERE, InProcess, Problem, quiet
from .field import peers
from .ours import Ours
from .problems import timing

FIT = "fit_mixture"
ITERATIONS, RESTARTS = 3, 2
WARM_UP = 1000  # rows


@dataclass(frozen=True)
class Memory:
    """MiB of the data (x, g if it is another table, y) and of the peak beyond them."""

    what: str
    n: int
    data_mib: float
    peak_mib: float
    multiple: float


def size_mib(problem: Problem) -> float:
    """x, g if it is another table, and y."""
    return ((0 if problem.g is problem.x else problem.g.nbytes) + problem.x.nbytes + problem.y.nbytes) / 2**20


def in_process() -> list[InProcess]:
    """Ours, then the peers that can be measured in Python."""
    return [Ours(), Ours(one_step=True), *(p for p in peers() if isinstance(p, InProcess) and p.available() is None)]


def measure(what: str, n: int) -> list[Memory]:
    """In a fresh process; empty where the system does not tell."""
    command = [sys.executable, "-m", f"{__package__}.memory", what, str(n)]
    ended = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{what}: {(ended.stderr.strip().splitlines() or ['ended without a word'])[-1]}")
    return [Memory(what, n, data, peak, peak / data) for data, peak in json.loads(ended.stdout)]


def work(what: str, problem: Problem) -> None:
    if what == FIT:
        fit_mixture(problem.x, problem.y, k=problem.k, intercept=False, restarts=RESTARTS)
        return
    contestant = next(c for c in in_process() if c.name == what)
    with quiet():
        for _ in islice(contestant.iterate(problem), ITERATIONS):
            pass


def main() -> None:
    what, n = sys.argv[1], int(sys.argv[2])
    work(what, timing(WARM_UP))
    problem = timing(n)
    before = reset_peak()
    work(what, problem)
    print(json.dumps([] if before is None else [[size_mib(problem), (memory("VmHWM") - before) / 1024]]))


if __name__ == "__main__":
    main()
