"""min_{t<=T} E KL(p_{t+1}‖p_t) <= (L(θ_1) - inf L)/T for every T."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import sympy as sp

from moe_theory.claims import (
    Case,
    Claim,
    Evidence,
    Hypothesis,
    Instance,
    Mutant,
    Planar,
    Search,
    Setting,
    Slack,
    at_least,
    identity,
    searched,
)
from moe_theory.operators import bregman, objective
from moe_theory.validation import Array
from proofs_checks.shared import FLAT, bregman_of, decrease_less, iterates, kl_between, primed, telescoped

STEPS = 6  # how far runs are followed in the search


@dataclass(frozen=True)
class Stationary:
    """min_{t<=T} D_t <= factor (L_1 - inf L)/T^power for T >= 1, with D_t = E KL(p_{t+1}‖p_t).

    exchanged: D_t = E KL(p_t‖p_{t+1}) instead. step: of mirror descent, 1 being EM. curved: also for models that are
    not flat.
    """

    exchanged: bool = False
    factor: float = 1.0
    power: float = 1.0
    step: float = 1.0
    curved: bool = False

    @property
    def follows(self) -> bool:
        """Whether it is what the proof from `descent` gives."""
        return self == Stationary()


def slack(claimed: Stationary, instance: Instance, certain: bool) -> Slack | None:
    """The least relative slack over T = 1 … STEPS; None at the truth, where nothing moves."""
    model, law = instance.model, instance.law
    gap = objective(model, law, instance.start) - objective(model, law, instance.truth)
    if gap < 1e-6:
        return None
    thetas = iterates(instance, STEPS, claimed.step)
    pairs = zip(thetas[1:], thetas[:-1], strict=True)
    moved = [kl_between(model, law, *(pair[::-1] if claimed.exchanged else pair)) for pair in pairs]
    counts = np.arange(1, STEPS + 1)
    left, right = np.minimum.accumulate(moved), claimed.factor * gap / counts**claimed.power
    worst = int(np.argmin((right - left) / right))
    return Slack.of(left[worst], right[worst], right[worst], 1e-9 / min(1.0, gap), T=worst + 1)


SEARCH = Search(slack)
CURVED = Search(slack, (Planar("linear-experts"),))


def check(setting: Setting, claimed: Stationary) -> Iterator[Evidence]:
    what = r"$\min_{t\le T} E\,\mathrm{KL} \le (L(\theta_1) - L(\theta^*))/T$"
    if claimed.follows:
        for theory in setting.theories:
            move = primed(theory.model)
            eta, phi = sp.Matrix(theory.model.learnt), sp.Matrix(list(move.values()))
            rest = decrease_less(theory, bregman_of(theory, eta, phi), eta, phi, exact=True)
            label = (
                r"$L_t - L_{t+1} - \mathrm{KL}(p_{t+1}\|p_t) - \mathrm{KL}(\mathrm{post}_t\|\mathrm{post}_{t+1})$ +"
                r" [0 at the EM step]"
            )
            yield identity(theory.model, label, rest, {new: old for old, new in move.items()})
        yield identity("any", r"$\sum_{t\le T}(L_t - L_{t+1}) - (L_1 - L_{T+1})$, by induction on T", telescoped())
    if claimed.curved:
        yield from searched(CURVED, claimed, what, setting.patience, setting.seed)
        return
    for case in setting.all_cases:
        moved = case.trace.divergence if not claimed.exchanged else _exchanged(case)
        counts = np.arange(1, len(moved) + 1)
        bound = claimed.factor * case.trace.gaps(case.limit_point)[0] / counts**claimed.power
        ratio = np.minimum.accumulate(moved) / bound
        worst = int(np.argmax(ratio))
        yield at_least(
            case.name,
            f"bound over the least divergence so far, least over every T up to {len(moved)} (at T = {worst + 1})",
            float(1 / ratio[worst]),
            1.0,
            10 * case.trace.accuracy,
            essential=False,
            trials=len(moved),
        )
    budget = setting.budget if claimed.follows else setting.patience
    yield from searched(SEARCH, claimed, what, budget, setting.seed)


def _exchanged(case: Case) -> Array:
    path = case.path
    pairs = zip(path.thetas[:-1], path.thetas[1:], strict=True)
    return np.array([bregman(path.model, path.law, there, here) for here, there in pairs])


CLAIM = Claim(
    id="stationarity",
    title="Within T steps EM comes to a nearly stationary point",
    statement=r"$\min_{t\le T} E\,\mathrm{KL}(p_{t+1}\|p_t) \le (L(\theta_1) - \inf L)/T$ for every $T\ge 1$,"
    r" from any start $\theta_1$ ($\Theta$ is the whole space, every M-step attained)",
    source="arXiv 2411.06056, Theorem 4.2 (1), in the reading of theory.md §3",
    hypotheses=(
        Hypothesis(FLAT.text, Stationary(curved=True)),
        Hypothesis("mirror descent's steps are at most 1 (EM's are)", Stationary(step=1.5)),
    ),
    expected="proved",
    check=check,
    claimed=Stationary(),
    mutants={
        "divergence with arguments exchanged": Mutant("exchange", Stationary(exchanged=True)),
        "half the bound": Mutant("constant", Stationary(factor=0.5)),
        "at the rate 1/T²": Mutant("rate", Stationary(power=2.0)),
        "the bound's sign": Mutant("sign", Stationary(factor=-1.0)),
    },
    order=13,
    any_model=True,
    search=SEARCH,
)
