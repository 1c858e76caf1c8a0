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
from moe_theory.validation import Array, real_array, unit_interval, whole_number
from moe_theory.zoo import by_name

NATS = 14.0  # resolution of λ_max at the truth: about 1e-7
REGION_NATS = 9.0  # and where a region's boundary is refined: about 1e-4
SPAN = (0.02, 200.0)  # of ‖β*‖ in which a boundary is looked for
LARGEST = 1000.0  # ‖β*‖ and ‖w*‖ of a map
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
