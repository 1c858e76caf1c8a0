"""Signal-to-noise ratio and EM's rate: λ_max(M(θ*)) and the regions around θ* on which EM contracts, as functions of
‖β*‖, ‖w*‖ and the angle between them, for x ~ N(0, I) in any dimension d >= 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize

from moe_theory.analysis.asymptotics import high_snr
from moe_theory.analysis.regions import Shape, largest_region
from moe_theory.errors import InputError
from moe_theory.laws import Population
from moe_theory.model import Model
from moe_theory.operators import MissingInformation, missing_information_matrix
from moe_theory.sweeps import sweep
from moe_theory.validation import Array, real_array, unit_interval, whole_number
from moe_theory.zoo import by_name

NATS = 14.0  # resolution of λ_max at the truth: about 1e-7
REGION_NATS = 9.0  # and where a region's boundary is refined: about 1e-4
SPAN = (0.02, 200.0)  # of ‖β*‖ in which a boundary is looked for
LARGEST = 1000.0  # ‖β*‖ and ‖w*‖ of a map
MARGIN = 0.95  # of the radii found, for what the search may have missed: seeds differ by up to three per cent
DIMENSION = 5  # the plane of β* and w*, one direction for each to leave it by, and one more that nobody sees


def planar_truth(model: Model, beta: float, gate: float, angle: float, dimension: int = DIMENSION) -> Array:
    """θ* with ‖β*‖ = beta, ‖w*‖ = gate and `angle` degrees between them, (2, dimension).

    InputError for a model whose predictors are not two, experts' and gate's.
    """
    if not isinstance(model, Model):
        raise InputError(f"model: expected a Model, got {model!r}")
    if len(model.names) != 2 or len(model.predictors) != 2:
        raise InputError(
            f"model: expected two learnt predictors, the experts' and the gate's, {model.name!r} has"
            f" {', '.join(model.names)}"
        )
    phi = np.radians(angle)
    theta = np.zeros((2, dimension))
    theta[0, 0] = beta
    theta[1, :2] = gate * np.cos(phi), gate * np.sin(phi)
    return theta + 0.0


@dataclass(frozen=True)
class Point:
    """One truth of a map.

    lambda_max: λ_max(M(θ*)). share: squared parts of M's top eigenvector in the metric ∇²A, by name. euclidean,
    bregman: radii ‖θ-θ*‖ and B_A(θ*‖θ) of the largest balls on which λ_max(M) <= 1 - α, as far as a search could tell
    (None if not asked for).
    """

    beta: float
    gate: float
    angle: float
    lambda_max: float
    share: Mapping[str, float]
    euclidean: float | None
    bregman: float | None


@dataclass(frozen=True)
class Map:
    """Points of a sweep over (‖β*‖, ‖w*‖, angle in degrees); `alpha` is the target of the regions. boundaries:
    (‖w*‖, angle, the ‖β*‖ from which on λ_max(M(θ*)) <= 1 - alpha, or None), where they were asked for."""

    model: str
    alpha: float
    points: tuple[Point, ...]
    boundaries: tuple[tuple[float, float, float | None], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @property
    def grid(self) -> tuple[list[float], list[float], list[float]]:
        """Its ‖β*‖, ‖w*‖ and angles; InputError unless there is a point for every combination."""
        betas, gates, angles = (sorted({getattr(p, key) for p in self.points}) for key in ("beta", "gate", "angle"))
        missing = len(betas) * len(gates) * len(angles) - len({(p.beta, p.gate, p.angle) for p in self.points})
        if missing:
            raise InputError(f"map: expected every combination of its ‖β*‖, ‖w*‖ and angles, {missing} are missing")
        return betas, gates, angles


def snr_map(
    model: Model,
    betas: Sequence[float],
    gates: Sequence[float],
    angles: Sequence[float],
    alpha: float = 0.5,
    regions: bool = False,
    store: Path | None = None,
    jobs: int = 1,
    seed: int = 0,
    finished: Callable[[int, Any], None] | None = None,
    boundaries: bool = False,
) -> Map:
    """λ_max(M(θ*)) for every ‖β*‖ in betas, ‖w*‖ in gates and angle in degrees; with `regions` also the largest balls
    around θ* on which λ_max(M) <= 1 - alpha, with `boundaries` what `snr_boundary` says for every ‖w*‖ and angle.

    model: of the zoo (cells go to processes by name). store, jobs, finished: see `moe_theory.sweeps`. Raises
    InputError.
    """
    cells = map_cells(model, betas, gates, angles, alpha, regions, seed, boundaries)
    from moe_theory import __version__

    purpose = {"sweep": "snr", "version": __version__, "nats": [NATS, REGION_NATS]}
    results = sweep(map_cell, cells, store, purpose, jobs, finished)
    points = tuple(Point(**result) for result in results if "beta" in result)
    solved = tuple((r["gate"], r["angle"], r["boundary"]) for r in results if "boundary" in r)
    return Map(model.name, alpha, points, solved)


def map_cells(
    model: Model,
    betas: Sequence[float],
    gates: Sequence[float],
    angles: Sequence[float],
    alpha: float,
    regions: bool,
    seed: int,
    boundaries: bool = False,
) -> list[dict[str, Any]]:
    """The cells of a map, one per point and per boundary; InputError for bad arguments."""
    for name, values, low, high in (
        ("betas", betas, 0.0, LARGEST),
        ("gates", gates, 0.0, LARGEST),
        ("angles", angles, -180.0, 180.0),
    ):
        found = real_array(name, values, ndim=1)
        if len(found) == 0 or min(found) < low or max(found) > high:
            raise InputError(f"{name}: expected one or more numbers from {low:g} to {high:g}, got {list(values)}")
    unit_interval("alpha", alpha)
    whole_number("seed", seed, least=0)
    planar_truth(model, 1.0, 1.0, 0.0)
    if by_name(model.name) != model:
        raise InputError(f"model: expected one of the zoo with its own settings, got {model.name!r} with others")
    points = [
        {
            "model": model.name,
            "beta": float(b),
            "gate": float(c),
            "angle": float(a),
            "alpha": alpha,
            "regions": regions,
            "seed": seed,
        }
        for a in angles
        for c in gates
        for b in betas
    ]
    solved = [
        {"boundary": True, "model": model.name, "gate": float(c), "angle": float(a), "alpha": alpha}
        for a in angles
        for c in gates
    ]
    return points + (solved if boundaries else [])


def snr_boundary(model: Model, alpha: float, gate: float, angle: float) -> float | None:
    """The ‖β*‖ in `SPAN` from which on λ_max(M(θ*)) <= 1 - alpha, to four digits, at ‖w*‖ = gate and an angle in
    degrees; None if it is above at the end of `SPAN` (with logistic experts it may fall below and rise again), or
    nowhere. Raises InputError."""
    level = 1 - unit_interval("alpha", alpha)
    if float(real_array("gate", gate, ndim=0)) < 0:
        raise InputError(f"gate: expected a number >= 0, got {gate}")
    real_array("angle", angle, ndim=0)
    excess = lambda log_b: (
        _at_truth(model, planar_truth(model, float(np.exp(log_b)), gate, angle))[1].lambda_max - level
    )
    grid = np.log(np.geomspace(*SPAN, 13))
    # From the far end down to the first that is above.
    before = excess(grid[-1])
    if before > 0:
        return None
    for low, high in zip(grid[-2::-1], grid[:0:-1], strict=True):
        if excess(low) > 0:
            return float(np.exp(scipy.optimize.brentq(excess, low, high, xtol=1e-5)))
    return None


def _at_truth(model: Model, truth: Array) -> tuple[Array, MissingInformation]:
    """(the truth in the coordinates of its span, M there)."""
    law, local_model, coordinates = Population(model, truth, nats=NATS).reduce(model, truth)
    local = truth if coordinates is None else coordinates.project(truth)
    return local, missing_information_matrix(local_model, law, local)


def map_cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    """One point or boundary of a map as a JSON value (what the processes of a sweep call)."""
    model = by_name(cell["model"])
    if "boundary" in cell:
        found = snr_boundary(model, cell["alpha"], cell["gate"], cell["angle"])
        return {"gate": cell["gate"], "angle": cell["angle"], "boundary": found}
    truth = planar_truth(model, cell["beta"], cell["gate"], cell["angle"])
    local, m = _at_truth(model, truth)
    radii: dict[str, float | None] = {"euclidean": None, "bregman": None}
    if cell["regions"]:
        rough = Population(model, truth, nats=REGION_NATS)
        shapes: tuple[Shape, ...] = ("euclidean", "bregman")
        for shape in shapes:
            region = largest_region(model, rough, truth, cell["alpha"], shape, seed=cell["seed"])
            radii[shape] = region.radius
    where = {key: cell[key] for key in ("beta", "gate", "angle")}
    return {**where, "lambda_max": m.lambda_max, "share": _shares(local, m), **radii}


def _shares(truth: Array, m: MissingInformation) -> dict[str, float]:
    """Parts of M's top eigenvector: per predictor (squared length in the metric ∇²A, which is block diagonal) along its
    own θ*, in the rest of the plane of β* and w*, and out of it."""
    size = truth.shape[1]
    axes, lengths, _ = np.linalg.svd(truth.T, full_matrices=False)
    plane = axes[:, lengths > 1e-9 * max(1.0, float(np.max(lengths)))]
    found: dict[str, float] = {}
    for j, name in enumerate(("experts", "gate")):
        block = slice(j * size, (j + 1) * size)
        part = m.vectors[block, 0]
        share = float(part @ m.complete[block, block] @ part)
        whole, own = float(part @ part), float(np.linalg.norm(truth[j]))
        along = float(part @ truth[j] / own) ** 2 if own > 0 else 0.0
        inside = max(float(np.sum((plane.T @ part) ** 2)), along)
        ways = {"along": along, "in the plane": inside - along, "out of the plane": max(whole - inside, 0.0)}
        found |= {f"{name} {way}": share * value / whole if whole > 0 else 0.0 for way, value in ways.items()}
    return found


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
