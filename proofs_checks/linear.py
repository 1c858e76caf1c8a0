"""On a region of α-strong relative convexity around θ*: B_A(θ*‖θ_{t+1}) <= (1-α) B_A(θ*‖θ_t)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_theory.certificates.enclosure import largest_on
from moe_theory.claims import (
    Claim,
    Crossed,
    Diagonal,
    Evidence,
    Gate,
    Hypothesis,
    Instance,
    Mutant,
    Planar,
    Scalar,
    Search,
    Setting,
    Slack,
    TwoScales,
    at_least,
    identity,
    note,
    searched,
)
from moe_theory.operators import bregman, gradient, missing_information_matrix, objective
from proofs_checks.shared import FLAT, HOLDS, iterates, kl_between, path, three_points, worst_lambda

LONG = 100  # steps that are followed where the iterates may leave Θ


@dataclass(frozen=True)
class Contraction:
    """B after a step <= rate(α) B before it, B = B_A(θ*‖θ), and the gap after T steps <= rate(α)^T B_A(θ*‖θ_1).

    exchanged: B = B_A(θ‖θ*). backwards: with the times of B exchanged. convex: α is that on all of Θ, else at θ*
    alone. step: of mirror descent, 1 being EM. least: α from the least eigenvalue of M. fixed: θ* is the minimiser,
    else a point halfway to it. leaving: α is that between the start and θ* only, the iterates may leave that. curved: B
    is E KL(p_θ‖p_*) of a model that is not flat.
    """

    rate: Callable[[Any], Any] = lambda alpha: 1 - alpha
    exchanged: bool = False
    backwards: bool = False
    least: bool = False
    convex: bool = True
    step: float = 1.0
    fixed: bool = True
    leaving: bool = False
    curved: bool = False

    @property
    def proof(self) -> tuple[Evidence, ...]:
        """The three-point identity for this variant, and that no step leaves Θ, where they hold and their slacks are to
        be had; else none."""
        if self.least or self.curved or self.leaving or not self.fixed:
            return ()
        label = r"$(1-\alpha)B_A(\theta^*\|\theta) - B_A(\theta^*\|\theta^+) - (L(\theta^+)-L^*)$ - the two slacks"
        left = three_points(self.rate, self.step, self.exchanged, self.backwards, self.convex)
        found = (identity("any flat model", label, left), path(self.rate, self.step))
        return found if all(e.holds for e in found) else ()


def slack(claimed: Contraction, instance: Instance, certain: bool) -> Slack | None:
    """Slack of one step, relative to B before it, with α = 1 - the largest λ_max(M) on the segment to θ*."""
    if claimed.curved:
        return _curved_slack(claimed, instance)
    if claimed.leaving:
        return _leaving_slack(claimed, instance, certain)
    model, law, truth = instance.model, instance.law, instance.truth
    if not claimed.fixed:
        truth = (truth + instance.start) / 2
    if worst_lambda(instance, instance.start, 3 if claimed.convex else 1) >= 1:
        return None
    thetas = iterates(instance, 1, claimed.step)
    pairs = [(theta, truth) if claimed.exchanged else (truth, theta) for theta in thetas]
    before, after = (bregman(model, law, *pair) for pair in pairs)
    if before < 1e-6:
        return None
    first, second = (after, before) if claimed.backwards else (before, after)

    def made(worst: float) -> Slack | None:
        if worst >= 1:
            return None
        return Slack.of(second, claimed.rate(1 - worst) * first, before, 1e-9 / min(1.0, before), alpha=1 - worst)

    if claimed.least:
        return made(float(missing_information_matrix(model, law, truth).eigenvalues[-1]))
    if not claimed.convex:
        return made(worst_lambda(instance, truth, 1))
    return made(largest_on(model, law, [thetas[0], truth]).upper if certain else worst_lambda(instance, thetas[0]))


def _leaving_slack(claimed: Contraction, instance: Instance, certain: bool) -> Slack | None:
    """The least over T of rate(α)^T B_1 - B_{T+1}, α on the segment from the start to θ* alone."""
    model, law, truth = instance.model, instance.law, instance.truth
    worst = largest_on(model, law, [instance.start, truth]).upper if certain else worst_lambda(instance, instance.start)
    if worst >= 1:
        return None
    distance = np.array([bregman(model, law, truth, theta) for theta in iterates(instance, LONG)])
    if distance[0] < 1e-6:
        return None
    right = claimed.rate(1 - worst) ** np.arange(1, LONG + 1) * distance[0]
    t = int(np.argmin(right - distance[1:]))
    return Slack.of(distance[1 + t], right[t], distance[0], 1e-9 / min(1.0, distance[0]), alpha=1 - worst, T=t + 1)


def _curved_slack(claimed: Contraction, instance: Instance) -> Slack | None:
    """α is the largest with L(θ*) >= L(θ) + ⟨∇L(θ), θ*-θ⟩ + α E KL(p_θ‖p_*) at the start."""
    model, law, truth = instance.model, instance.law, instance.truth
    before, after = (kl_between(model, law, theta, truth) for theta in iterates(instance, 1))
    if before < 1e-6:
        return None
    slope = float(np.sum(gradient(model, law, instance.start) * (instance.start - truth)))
    alpha = (slope - objective(model, law, instance.start) + objective(model, law, truth)) / before
    if not 0 < alpha < 1:
        return None
    return Slack.of(after, claimed.rate(alpha) * before, before, 1e-9 / min(1.0, before), alpha=alpha)


@dataclass(frozen=True)
class GapForm:
    """gap_{t+1} <= (1-α) gap_t, or with index: the same for the T-th iterate, T counted from 1 at the start."""

    index: bool = False


def gap_slack(claimed: GapForm, instance: Instance, certain: bool) -> Slack | None:
    """Slack of one step (of none with `index`), relative to the gap before it; α from the largest λ_max(M) on the
    hull of θ_1, θ_2 and θ*."""
    model, law, truth = instance.model, instance.law, instance.truth
    if worst_lambda(instance, instance.start, 3) >= 1:
        return None
    thetas = iterates(instance, 1)
    first, second = (objective(model, law, theta) - objective(model, law, truth) for theta in thetas)
    if first < 1e-6:
        return None
    after = first if claimed.index else second
    corners = [*(thetas[:1] if claimed.index else thetas), truth]
    worst = largest_on(model, law, corners).upper if certain else worst_lambda(instance, thetas[0])
    if worst >= 1:
        return None
    return Slack.of(after, worst * first, first, 1e-9 / min(1.0, first), alpha=1 - worst, T=1)


SEARCH = Search(slack, (*Search(slack).families, Gate()))
LEAVING = Search(slack, (Diagonal(),))
CURVED = Search(slack, (Scalar("linear-experts"), Planar("linear-experts")))
# In the last of these models α is known: M is 0.1 I everywhere.
GAPS = Search(gap_slack, (Crossed("symmetric-linear"), TwoScales("symmetric-logistic"), Gate()))


def check(setting: Setting, claimed: Contraction | GapForm) -> Iterator[Evidence]:
    if isinstance(claimed, GapForm):
        what = (
            r"$L(\theta_{t+1}) - L^* \le (1-\alpha)(L(\theta_t) - L^*)$, $\alpha$ on the hull of $\theta_t,"
            r" \theta_{t+1}, \theta^*$"
        )
        for family in GAPS.families:
            alone = Search(gap_slack, (family,))
            yield from searched(alone, claimed, what, setting.budget, setting.seed, essential=True)
        return
    proof = claimed.proof
    yield from proof
    what = r"$B_A(\theta^*\|\theta^+) \le (1-\alpha) B_A(\theta^*\|\theta)$, $\alpha$ on the segment"
    special = CURVED if claimed.curved else LEAVING if claimed.leaving else SEARCH if not claimed.fixed else None
    if special is not None:
        yield from searched(special, claimed, what, setting.patience, setting.seed)
        return
    for case in setting.all_cases:
        path = case.path
        first, worst = path.contracting
        if first + 1 >= len(path.thetas):
            yield note(case.name, r"no iterate with a Bregman ball on which $\alpha > 0$ was sampled", float("nan"))
            continue
        distance, gap = path.distance[first:], path.gap[first:]
        if claimed.least:
            worst = float(missing_information_matrix(path.model, path.law, path.limit).eigenvalues[-1])
        allowed = claimed.rate(1 - worst)
        yield at_least(
            case.name,
            rf"all iterates $t \ge {first + 1}$ stay in the Bregman ball $\Theta$ around $\theta^*$ through the first"
            rf" of"
            r" them: its $B_A(\theta^*\|\theta_t)$ less the largest after it",
            float(path.distance[first] - np.max(path.distance[first + 1 :])),
            0.0,
            essential=False,
            trials=len(distance) - 1,
        )
        ratio = distance[:-1] / distance[1:] if claimed.backwards else distance[1:] / distance[:-1]
        t = int(np.argmax(ratio))
        yield at_least(
            case.name,
            rf"$1-\alpha$ on $\Theta$ (least sampled $\alpha = {1 - worst:.4f}$) against the worst"
            r" $B_A(\theta^*\|\theta_{t+1})/B_A(\theta^*\|\theta_t)$",
            allowed,
            float(ratio[t]),
            essential=False,
            trials=len(ratio),
            witness={"t": first + 1 + t, "alpha": 1 - worst},
        )
        counts = np.arange(1, len(gap))
        logs = counts * np.log(max(allowed, 1e-300)) + np.log(distance[0]) - np.log(gap[1:])
        t = int(np.argmin(logs))
        yield at_least(
            case.name,
            rf"log of the bound $(1-\alpha)^T B_A(\theta^*\|\theta_1)$ over the gap after T steps, least over T ≤"
            f" {counts[-1]} (at {counts[t]})",
            float(logs[t]),
            0.0,
            essential=False,
            trials=len(counts),
        )
    yield from searched(SEARCH, claimed, what, setting.budget if proof else setting.patience, setting.seed)


CLAIM = Claim(
    id="linear",
    title="Linear convergence on a region of relative strong convexity",
    statement=r"$B_A(\theta^*\|\theta_{t+1}) \le (1-\alpha) B_A(\theta^*\|\theta_t)$, hence"
    r" $L(\theta_{T+1}) - L(\theta^*) \le (1-\alpha)^T B_A(\theta^*\|\theta_1)$ after every number T of steps from"
    r" $\theta_1\in\Theta$, a Bregman ball $\{\theta : B_A(\theta^*\|\theta)\le\rho\}$ on which"
    r" $\lambda_{\max}(M)\le 1-\alpha$ and $\theta^*$ minimises L (on it: what L is elsewhere does not matter)",
    source="arXiv 2411.06056, Theorem 4.2 (3), in the B-form of theory.md §3; Lu, Freund and Nesterov (2018)",
    hypotheses=(
        Hypothesis(FLAT.text, Contraction(curved=True)),
        Hypothesis(r"$\theta^*$ minimises L on $\Theta$", Contraction(fixed=False)),
        Hypothesis(
            r"L $\alpha$-strongly convex relative to A on $\Theta$ (on runs: $\lambda_{\max}$ sampled, not certified)",
            Contraction(convex=False),
        ),
        Hypothesis("1-smoothness relative to A: steps of size 1 (claim majorization)", Contraction(step=3.0)),
        Hypothesis(HOLDS, Contraction(leaving=True)),
        Hypothesis(r"$\Theta$ convex (star-shaped around $\theta^*$ is enough, and Bregman balls are)", needed=False),
    ),
    expected="proved",
    check=check,
    claimed=Contraction(),
    mutants={
        "contraction (1-α)², the limit's": Mutant("rate", Contraction(rate=lambda alpha: (1 - alpha) ** 2)),
        "divergence with arguments exchanged": Mutant("exchange", Contraction(exchanged=True)),
        "contraction (1-α)^1.2": Mutant("constant", Contraction(rate=lambda alpha: (1 - alpha) ** 1.2)),
        "the least eigenvalue of M for the largest": Mutant("form", Contraction(least=True)),
        "before and after exchanged": Mutant("exchange", Contraction(backwards=True)),
    },
    order=15,
    any_model=True,
    search=SEARCH,
)
