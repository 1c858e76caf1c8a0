"""On an α-strongly relatively convex Θ that holds all iterates: B_A(θ*‖θ_{t+1}) <= (1-α) B_A(θ*‖θ_t)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import sympy as sp

from moe_theory.claims import Case, Claim, Evidence, Setting, at_least, identity, note
from moe_theory.laws import Law
from moe_theory.model import Model
from moe_theory.operators import bregman, missing_information_matrix
from moe_theory.validation import Array

POINTS = 40
PAIRS = 12


@dataclass(frozen=True)
class Contraction:
    """rate: contraction of B from α; exchanged: of B_A(θ_t‖θ*) instead; free: without using strong convexity."""

    rate: Callable[[sp.Expr], sp.Expr] = lambda alpha: 1 - alpha
    exchanged: bool = False
    free: bool = False


def three_points(claimed: Contraction) -> sp.Expr:
    """(1-α) B(θ*‖θ) - B(θ*‖θ⁺) - (L(θ⁺) - L(θ*)) less the two slacks that are >= 0 by hypothesis:

    L(θ*) - L(θ) - ⟨∇L(θ), θ*-θ⟩ - αB(θ*‖θ)   (strong relative convexity on Θ) and
    L(θ) + ⟨∇L(θ), θ⁺-θ⟩ + B(θ⁺‖θ) - L(θ⁺)   (1-smoothness, by majorization),

    where ∇L(θ) = ∇A(θ) - ∇A(θ⁺) is the step. Identically 0 in all values, points and gradients.
    """
    alpha = sp.Symbol("alpha", real=True)
    loss, potential, point, slope = (
        dict(zip("tns", symbols, strict=True))
        for symbols in (
            sp.symbols("L_t L_n L_s", real=True),
            sp.symbols("A_t A_n A_s", real=True),
            [sp.Matrix(sp.symbols(f"{k}1 {k}2", real=True)) for k in "tns"],
            [sp.Matrix(sp.symbols(f"g{k}1 g{k}2", real=True)) for k in "tns"],
        )
    )
    b = lambda p, q: potential[p] - potential[q] - slope[q].dot(point[p] - point[q])
    step = slope["t"] - slope["n"]
    convex = loss["s"] - loss["t"] - step.dot(point["s"] - point["t"]) - alpha * b("s", "t")
    smooth = loss["t"] + step.dot(point["n"] - point["t"]) + b("n", "t") - loss["n"]
    before, after = (b("t", "s"), b("n", "s")) if claimed.exchanged else (b("s", "t"), b("s", "n"))
    claim = claimed.rate(alpha) * before - after - (loss["n"] - loss["s"])
    return sp.expand(claim - (0 if claimed.free else convex) - smooth)


def check(setting: Setting, claimed: Contraction) -> Iterator[Evidence]:
    yield identity("any flat model", "(1-α)B_A(θ*‖θ) - B_A(θ*‖θ⁺) - (L(θ⁺)-L*) - the two slacks", three_points(claimed))
    for case in setting.all_cases:
        yield from _on_run(case, claimed, setting.rng())


def _on_run(case: Case, claimed: Contraction, rng: np.random.Generator) -> Iterator[Evidence]:
    trace, model = case.trace, case.model
    law, model, coordinates = case.law.reduce(model, case.start)
    centre = case.limit_point if coordinates is None else coordinates.project(case.limit_point)
    distance = _metric_distance(trace.local - centre, trace.metric)
    first, alpha = _region(law, model, trace.local, centre, distance, trace.metric, rng)
    if first is None:
        yield note(case.name, "no iterate with a ball on which α > 0 was sampled", float("nan"))
        return
    # Below this the divergences are at the level of the law's own error in the fixed point.
    last = int(np.argmax(np.append(distance < 1e3 * max(trace.accuracy, 1e-13), True)))
    steps = np.unique(np.linspace(first, max(last - 2, first), PAIRS).astype(int))
    inside = bool(np.all(distance[first:] <= distance[first] * (1 + 1e-9)))
    yield Evidence(
        "estimate",
        case.name,
        f"all iterates t ≥ {first} stay in Θ, the ball ‖θ-θ*‖ ≤ ‖θ_{first}-θ*‖ in the metric ∇²A(θ*)",
        inside,
        float(np.max(distance[first:])),
        float(distance[first]),
        essential=False,
        trials=len(distance) - first,
    )
    order = (lambda t: (trace.local[t], centre)) if claimed.exchanged else (lambda t: (centre, trace.local[t]))
    ratios = [bregman(model, law, *order(t + 1)) / bregman(model, law, *order(t)) for t in steps]
    allowed = float(claimed.rate(sp.Float(alpha)))
    worst = int(np.argmax(ratios))
    yield at_least(
        case.name,
        f"1-α on Θ (least sampled α = {alpha:.4f}) against the worst B_A(θ*‖θ_{{t+1}})/B_A(θ*‖θ_t)",
        allowed,
        float(ratios[worst]),
        essential=False,
        trials=len(ratios),
        witness={"t": int(steps[worst]), "alpha": alpha},
    )
    gap = np.cumsum(trace.decrease[::-1])[::-1]
    usable = steps[steps + 1 < len(gap)]
    slack = float(np.min((1 - alpha) - gap[usable + 1] / gap[usable])) if len(usable) else float("nan")
    yield note(case.name, "gap-form (not claimed): least (1-α) - gap_{t+1}/gap_t on the run", slack)


def _metric_distance(moves: Array, metric: Array) -> Array:
    flat = moves.reshape(len(moves), -1)
    return np.sqrt(np.einsum("ti,ij,tj->t", flat, metric, flat))


def _region(
    law: Law, model: Model, thetas: Array, centre: Array, distance: Array, metric: Array, rng: np.random.Generator
) -> tuple[int | None, float]:
    """(first iterate, α): the largest ball through an iterate on which the sampled λ_max stays below 1."""
    root = np.linalg.inv(np.linalg.cholesky(metric)).T
    directions = rng.standard_normal((POINTS, centre.size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions[0] = np.linalg.cholesky(metric).T @ (thetas[0] - centre).ravel() / distance[0]
    radii = rng.random(POINTS) ** (1 / centre.size)
    radii[: POINTS // 2] = 1.0
    candidates = [t for t in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if t + 4 < len(thetas)]
    for first in candidates:
        worst = 0.0
        for direction, share in zip(directions, radii, strict=True):
            point = centre + (distance[first] * share * (root @ direction)).reshape(centre.shape)
            worst = max(worst, missing_information_matrix(model, law, point).lambda_max)
            if worst >= 1:
                break
        if worst < 1:
            return first, 1 - worst
    return None, float("nan")


CLAIM = Claim(
    id="linear",
    title="Linear convergence on a region of relative strong convexity",
    statement="B_A(θ*‖θ_{t+1}) ≤ (1−α) B_A(θ*‖θ_t), hence L(θ_T) − L(θ*) ≤ (1−α)^T B_A(θ*‖θ_1)",
    source="arXiv 2411.06056, Theorem 4.2 (3), in the B-form of theory.md §3; Lu, Freund and Nesterov (2018)",
    hypotheses=(
        "Θ convex, L α-strongly convex relative to A on Θ (on runs: λ_max sampled over Θ, not certified)",
        "Θ holds θ* and all iterates (checked on runs)",
        "1-smoothness relative to A (claim majorization)",
    ),
    expected="proved",
    check=check,
    claimed=Contraction(),
    mutants={
        "contraction (1-α)²": Contraction(rate=lambda alpha: (1 - alpha) ** 2),
        "contraction 1-2α": Contraction(rate=lambda alpha: 1 - 2 * alpha),
        "divergence with arguments exchanged": Contraction(exchanged=True),
        "without strong convexity": Contraction(free=True),
    },
    order=12,
)
