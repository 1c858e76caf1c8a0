"""The tensor method polished by EM against joint EM from random starts, where rows are few."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, at_least, close, note
from moe_theory.gridlock.draws import Draw
from moe_theory.gridlock.intervals import more_often
from moe_theory.gridlock.methods import METHODS, Contest, Outcome

K, D = 4, 10
FEW, MANY = 400, 3000
LEVEL = 0.05  # of the exact test
NEAR = 1e-3  # of the ratio of errors to 1: EM ends within 1e-6 of the maximum, whose error is 1e-2


@dataclass(frozen=True)
class Comparison:
    """Tensor + EM reaches the basin of the maximum more often than `rival` (of METHODS) does from `starts` random
    starts per truth, with n rows, or less often if `exchanged`; and there the error of `accurate` is `ratio` times that
    of the maximum."""

    rival: str = "em-given"
    starts: int = 3
    n: int = FEW
    accurate: str = "tensor+em"
    ratio: float = 1.0
    exchanged: bool = False


@lru_cache(maxsize=64)
def _contest(seed: int, n: int, truth: int) -> Contest:
    return Contest(Draw.of(K, D, n, truth, seed))


@lru_cache(maxsize=512)
def _outcome(seed: int, n: int, truth: int, method: str, start: int = 0) -> Outcome:
    contest = _contest(seed, n, truth)
    own = {"mle": lambda: contest.maximum, "tensor": contest.tensor, "tensor+em": contest.tensor_em}
    return own[method]() if method in own else contest.from_random(method, start)


def check(setting: Setting, claimed: Comparison) -> Iterator[Evidence]:
    truths = range(7 if setting.quick else 8)
    get = lambda truth, method, start=0: _outcome(setting.seed, claimed.n, truth, method, start)
    subject = f"k = {K}, d = {D}, n = {claimed.n}, σ = 0.1, {len(truths)} truths"
    wins = np.array([get(truth, "tensor+em").success for truth in truths], dtype=int)
    others = np.array(
        [[get(truth, claimed.rival, start).success for start in range(claimed.starts)] for truth in truths]
    )
    label = METHODS[claimed.rival].label
    counts = (
        f"tensor + EM on {wins.sum()} of {len(wins)} truths, {label} on {others.sum()} of {others.size} random starts"
    )
    yield note(subject, "runs that reach the basin of the maximum of the likelihood", counts)
    if claimed.exchanged:
        p = more_often(others[:, 0].astype(int), wins, 1)
    else:
        p = more_often(wins, others.sum(axis=1), claimed.starts)
    better, worse = (label, "tensor + EM") if claimed.exchanged else ("tensor + EM", label)
    what = f"level of the exact test against the p-value of: {better} reaches it more often than {worse}"
    witness = {"seed": setting.seed, "tensor+em": wins.tolist(), claimed.rival: others.astype(int).tolist()}
    yield at_least(subject, what, LEVEL, p, trials=others.size + len(wins), witness=witness)
    reached = [truth for truth in truths if get(truth, "tensor+em").success]
    errors = [get(truth, claimed.accurate).error / get(truth, "mle").error for truth in reached]
    what = (
        rf"error of {METHODS[claimed.accurate].label} over that of EM from the truth, median where the basin is reached"
    )
    yield close(subject, what, float(np.median(errors or [np.nan])), claimed.ratio, NEAR, trials=len(errors))


CLAIM = Claim(
    id="beats-joint-em",
    title="Tensor + EM against joint EM, where rows are few and σ is given",
    statement=rf"$k = {K}$ linear experts, $d = {D}$, $\sigma = 0.1$, $\|w_i\| = 2$, $n = {FEW}$ rows, exact M-steps:"
    r" the tensor method polished by EM ($\sigma$ learnt, the best of up to four runs) reaches the basin of the"
    r" maximum of the likelihood more often than one run of joint EM with $\sigma$ given (held at the truth) from"
    r" random unit regressors and a flat gate, and there has the maximum's error",
    source="arXiv 1802.07417, experiments; theory.md §4",
    hypotheses=(
        Hypothesis(rf"few rows per parameter (at $n = {MANY}$ both reach it)", Comparison(n=MANY, starts=1)),
        Hypothesis(
            r"$\sigma$ is given to joint EM (learnt, from sd(y), the test sees no gap)",
            Comparison(rival="em-spread", starts=1),
        ),
        Hypothesis(
            r"$\sigma$ is not annealed (with a falling floor the test sees no gap)",
            Comparison(rival="em-annealed", starts=1),
        ),
    ),
    expected="supported",
    check=check,
    claimed=Comparison(),
    mutants={
        "joint EM beats tensor + EM": Mutant("exchange", Comparison(exchanged=True)),
        f"at n = {MANY} too": Mutant("hypothesis", Comparison(n=MANY, starts=1)),
        "the tensor method alone is as accurate": Mutant("form", Comparison(accurate="tensor")),
        "half the error of the maximum": Mutant("constant", Comparison(ratio=0.5)),
    },
    order=226,
    section="Breaking the gridlock",
)
