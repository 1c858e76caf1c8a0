"""What a map of λ_max(M) says in sentences that a paper could quote, with what supports them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from moe_theory.analysis.asymptotics import high_snr
from moe_theory.analysis.snr import Map
from moe_theory.errors import InputError
from moe_theory.zoo import by_name

MARGIN = 0.95  # of the radii found, for what the search may have missed: seeds differ by up to three per cent


@dataclass(frozen=True)
class Condition:
    """For ‖w*‖ in `gates`, any of the `angles` and every ‖β*‖ in `betas`: λ_max(M) <= 1 - alpha on balls of these
    radii.

    A statement about the points of the map; `statement` says it as a paper could, with what supports it. onwards:
    whether the limit for ‖β*‖ → ∞ is below 1 - alpha too.
    """

    model: str
    alpha: float
    gates: tuple[float, ...]
    angles: tuple[float, ...]
    betas: tuple[float, ...]
    lambda_max: float
    euclidean: float | None
    bregman: float | None
    onwards: bool

    def implied(self, other: Condition) -> bool:
        """Whether the other condition says all that this one does."""
        sets = ((self.gates, other.gates), (self.angles, other.angles), (self.betas, other.betas))
        radii = ((self.euclidean, other.euclidean), (self.bregman, other.bregman))
        within = all(set(mine) <= set(theirs) for mine, theirs in sets)
        return within and all((mine or 0.0) <= (theirs or 0.0) for mine, theirs in radii)

    @property
    def statement(self) -> str:
        """One sentence, and what supports it. Radii are those found less a margin (`MARGIN`), rounded down."""
        gate = f"‖w*‖ = {self.gates[0]:g}"
        if len(self.gates) > 1:
            low, high = min(self.gates), max(self.gates)
            gate = f"‖w*‖ ≤ {high:g}" if low == 0 else f"‖w*‖ from {low:g} to {high:g}"
        angle = f"angles of {min(self.angles):g} to {max(self.angles):g} degrees"
        if len(self.angles) == 1:
            angle = f"an angle of {self.angles[0]:g} degrees"
        if {0.0, 90.0} < set(self.angles):
            angle = "any angle"
        signal = (
            f"‖β*‖ ≥ {min(self.betas):g}" if self.onwards else f"‖β*‖ from {min(self.betas):g} to {max(self.betas):g}"
        )
        where = f"For {self.model}, {gate} and {angle}, {signal} gives α ≥ {self.alpha:g}"
        if self.euclidean is None or self.bregman is None:
            how = f" at θ* (largest λ_max(M(θ*)): {self.lambda_max:.4f})"
        else:
            ball, nats = (_rounded_down(MARGIN * r) for r in (self.euclidean, self.bregman))
            how = f" on the ball of radius {ball:g} around θ* and on the Bregman ball of {nats:g} nats"
            how += f" (radii found by search, less {100 * (1 - MARGIN):.0f}%)"
        count = len(self.betas) * len(self.gates) * len(self.angles)
        listed = lambda values: ", ".join(f"{v:g}" for v in values)
        return (
            f"{where}{how}; not proved: supported by {count} truths, ‖w*‖ in {listed(self.gates)}, angles of"
            f" {listed(self.angles)} degrees, ‖β*‖ up to {max(self.betas):g}."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"statement": self.statement}


def conditions(found: Map, low: float, high: float) -> list[Condition]:
    """What the map says for its ‖w*‖ from low to high and all its angles: one condition per ‖β*‖ from which on α is
    reached at every larger ‖β*‖ of the map (two of them at least); strongest last. Empty if none. InputError for a map
    that is not complete."""
    found.grid  # noqa: B018  raises
    points = [p for p in found.points if low <= p.gate <= high]
    made = []
    for least in sorted({p.beta for p in points}):
        held = [p for p in points if p.beta >= least]
        if any(p.lambda_max > 1 - found.alpha for p in held) or len({p.beta for p in held}) < 2:
            continue
        made.append(
            Condition(
                found.model,
                found.alpha,
                gates=tuple(sorted({p.gate for p in held})),
                angles=tuple(sorted({p.angle for p in held})),
                betas=tuple(sorted({p.beta for p in held})),
                lambda_max=max(p.lambda_max for p in held),
                euclidean=_least([p.euclidean for p in held]),
                bregman=_least([p.bregman for p in held]),
                onwards=all(_limit(found.model, p.gate, p.angle) <= 1 - found.alpha for p in held),
            )
        )
    return made


@lru_cache(maxsize=1024)
def _limit(model: str, gate: float, angle: float) -> float:
    """λ_max(M(θ*)) as ‖β*‖ → ∞; inf if it is not known."""
    try:
        asymptote = high_snr(by_name(model), gate, angle)
    except InputError:
        return float("inf")
    return asymptote.at("high", by_name(model), float("inf"))


def _least(radii: Sequence[float | None]) -> float | None:
    known = [r for r in radii if r is not None]
    return min(known) if len(known) == len(radii) else None


def _rounded_down(value: float) -> float:
    """To two digits."""
    step = 10.0 ** (np.floor(np.log10(value)) - 1) if value > 0 else 1.0
    return float(f"{np.floor(value / step + 1e-9) * step:.6g}")
