"""Signal-to-noise ratio and EM's rate: λ_max(M(θ*)) and the regions around θ* on which EM contracts, as functions of
‖β*‖, ‖w*‖ and the angle between them, for x ~ N(0, I) in any dimension d >= 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize

from moe_theory.analysis.regions import Shape, largest_region
from moe_theory.errors import InputError
from moe_theory.laws import Population
from moe_theory.model import Model
from moe_theory.operators import MissingInformation, missing_information_matrix
from moe_theory.sweeps import sweep
from moe_theory.validation import Array, real_array, unit_interval
from moe_theory.zoo import by_name

NATS = 14.0  # resolution of λ_max at the truth: about 1e-7
REGION_NATS = 9.0  # and where a region's boundary is refined: about 1e-4
SPAN = (0.02, 200.0)  # of ‖β*‖ in which a boundary is looked for
MARGIN = 0.95  # of the radii found, for what the search may have missed: seeds differ by up to three per cent
DIMENSION = 5  # the plane of β* and w*, one direction for each to leave it by, and one more that nobody sees


def planar_truth(model: Model, beta: float, gate: float, angle: float, dimension: int = DIMENSION) -> Array:
    """θ* with ‖β*‖ = beta, ‖w*‖ = gate and `angle` degrees between them, (2, dimension).

    InputError for a model whose predictors are not two, experts' and gate's.
    """
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
    """Points of a sweep over (‖β*‖, ‖w*‖, angle in degrees); `alpha` is the target of the regions."""

    model: str
    alpha: float
    points: tuple[Point, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


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
) -> Map:
    """λ_max(M(θ*)) for every ‖β*‖ in betas, ‖w*‖ in gates and angle in degrees; with `regions` also the largest balls
    around θ* on which λ_max(M) <= 1 - alpha.

    model: of the zoo (cells go to processes by name). store, jobs, finished: see `moe_theory.sweeps`. Raises
    InputError.
    """
    cells = map_cells(model, betas, gates, angles, alpha, regions, seed)
    from moe_theory import __version__

    purpose = {"sweep": "snr", "version": __version__, "nats": [NATS, REGION_NATS]}
    results = sweep(map_cell, cells, store, purpose, jobs, finished)
    return Map(model.name, alpha, tuple(Point(**result) for result in results))


def map_cells(
    model: Model,
    betas: Sequence[float],
    gates: Sequence[float],
    angles: Sequence[float],
    alpha: float,
    regions: bool,
    seed: int,
) -> list[dict[str, Any]]:
    """The cells of a map, one per point; InputError for bad arguments."""
    for name, values in (("betas", betas), ("gates", gates)):
        if len(real_array(name, values, ndim=1)) == 0 or min(values) < 0:
            raise InputError(f"{name}: expected one or more numbers >= 0, got {list(values)}")
    real_array("angles", angles, ndim=1)
    unit_interval("alpha", alpha)
    planar_truth(model, 1.0, 1.0, 0.0)
    if by_name(model.name) != model:
        raise InputError(f"model: expected one of the zoo with its own settings, got {model.name!r} with others")
    return [
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


def snr_boundary(model: Model, alpha: float, gate: float, angle: float) -> float | None:
    """The ‖β*‖ at which λ_max(M(θ*)) = 1 - alpha, to four digits, at ‖w*‖ = gate and an angle in degrees; the
    largest one if there are several, None if there is none in `SPAN`."""
    level = 1 - unit_interval("alpha", alpha)
    excess = lambda log_b: (
        _at_truth(model, planar_truth(model, float(np.exp(log_b)), gate, angle))[1].lambda_max - level
    )
    grid = np.log(np.geomspace(*SPAN, 13))
    values = [excess(log_b) for log_b in grid]
    falls = [i for i in range(len(grid) - 1) if values[i] > 0 >= values[i + 1]]
    if not falls:
        return None
    return float(np.exp(scipy.optimize.brentq(excess, grid[falls[-1]], grid[falls[-1] + 1], xtol=1e-5)))


def _at_truth(model: Model, truth: Array) -> tuple[Array, MissingInformation]:
    """(the truth in the coordinates of its span, M there)."""
    law, local_model, coordinates = Population(model, truth, nats=NATS).reduce(model, truth)
    local = truth if coordinates is None else coordinates.project(truth)
    return local, missing_information_matrix(local_model, law, local)


def map_cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    """One point of a map as a JSON value (what the processes of a sweep call)."""
    model = by_name(cell["model"])
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

    A statement about the points of the map; `statement` says it as a paper could, with what supports it.
    """

    model: str
    alpha: float
    gates: tuple[float, ...]
    angles: tuple[float, ...]
    betas: tuple[float, ...]
    lambda_max: float
    euclidean: float | None
    bregman: float | None

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
        if {0.0, 90.0} <= set(self.angles):
            angle = "any angle"
        where = f"For {self.model}, {gate} and {angle}, ‖β*‖ ≥ {min(self.betas):g} gives α ≥ {self.alpha:g}"
        if self.euclidean is None or self.bregman is None:
            how = f" at θ* (largest λ_max(M(θ*)): {self.lambda_max:.4f})"
        else:
            ball, nats = (_rounded_down(MARGIN * r) for r in (self.euclidean, self.bregman))
            how = f" on the ball of radius {ball:g} around θ* and on the Bregman ball of {nats:g} nats"
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
    reached at every larger ‖β*‖ of the map (two of them at least); strongest last. Empty if none."""
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
            )
        )
    return made


def _least(radii: Sequence[float | None]) -> float | None:
    known = [r for r in radii if r is not None]
    return min(known) if len(known) == len(radii) else None


def _rounded_down(value: float) -> float:
    """To two digits."""
    step = 10.0 ** (np.floor(np.log10(value)) - 1) if value > 0 else 1.0
    return float(f"{np.floor(value / step + 1e-9) * step:.6g}")
