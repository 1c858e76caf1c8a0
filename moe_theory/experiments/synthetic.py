"""EM against gradient EM and gradient descent on samples of the symmetric models, and on their populations.

The setting of arXiv 2411.06056, Section 6: x ~ N(0, I), the experts' β* and the gate's w*; several signal-to-noise
ratios ‖β*‖, samples and starts. What a run came to is a `Run`, its curve a few `Point`s; all figures are drawn from
these two tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from moe_theory.analysis.snr import planar_truth
from moe_theory.errors import InputError
from moe_theory.experiments.methods import STEPS
from moe_theory.sweeps import sweep
from moe_theory.tables import read_rows, write_rows
from moe_theory.validation import positive_number, whole_number
from moe_theory.zoo import by_name

MODELS = ("symmetric-linear", "symmetric-logistic")
DIGITS, CURVE_DIGITS = 6, 4  # of the tables' numbers


@dataclass(frozen=True)
class Run:
    """One run of one method, from one start on one law.

    law: "sample" of `rows` rows, or "population" (rows 0). beta, gate, angle: ‖β*‖, ‖w*‖, degrees between them.
    stretch: ratio of the features' scales; lengths of θ are those in features of scale 1. start: "near" (at half the
    maximum's length from it), or the length of β and w, whose directions are random. method: of `METHODS`, or "mle":
    how the maximum was sought. step: constant, in units of 1/λ_max(∇²L) at the maximum, not a number for others.
    shown: False for a step of the grid that is not the best. end: "mle" (gap at most GOAL), "other" (stationary
    elsewhere), "budget" (still on its way when its passes were spent), "failed"; of the row "mle" itself "found" or
    "none". leads: where the way goes on to: "mle" or "other" by accelerated EM from the end, "near" the maximum (not
    followed), or "unknown". reason: of the trace, or "passes". passes, seconds: spent (the seconds in a second run of
    the same steps and nothing else). gap: L - L(maximum) at the end, in nats per row; error: distance to the maximum
    modulo symmetry, error_truth: to the truth. predicted: contraction of the iterates near the maximum; measured: of
    EM's by `measure_rate`, else of the gap's square root over its last decades. goal_*: until the gap is at most GOAL,
    infinite if never.
    """

    run: int
    law: str
    model: str
    beta: float
    gate: float
    angle: float
    dimension: int
    stretch: float
    rows: int
    seed: int
    start: str
    method: str
    step: float
    shown: bool
    end: str
    leads: str
    reason: str
    iterations: int
    passes: float
    seconds: float
    gap: float
    error: float
    error_truth: float
    predicted: float
    measured: float
    goal_iterations: float
    goal_passes: float
    goal_seconds: float


@dataclass(frozen=True)
class Point:
    """A run (its number) at an iteration; passes, seconds: until then. The rest as in `Run`."""

    run: int
    iteration: int
    passes: float
    seconds: float
    gap: float
    error: float
    error_truth: float


@dataclass(frozen=True)
class Tables:
    """All runs, and the curves of those that are shown."""

    runs: tuple[Run, ...]
    points: tuple[Point, ...]

    def write(self, path: Path) -> None:
        """`path` for the runs, the curves beside it (`curves_beside`); each whole or not at all."""
        write_rows(curves_beside(path), self.points, CURVE_DIGITS)
        write_rows(path, self.runs, DIGITS)

    @classmethod
    def read(cls, path: Path) -> Tables:
        """What `write` wrote; InputError for other files."""
        return cls(tuple(read_rows(path, Run)), tuple(read_rows(curves_beside(path), Point)))

    def curve(self, run: Run) -> list[Point]:
        """Of a run that is shown."""
        return self._by_run.get(run.run, [])

    @property
    def _by_run(self) -> dict[int, list[Point]]:
        found: dict[int, list[Point]] | None = self.__dict__.get("_points")
        if found is None:
            found = {}
            for point in self.points:
                found.setdefault(point.run, []).append(point)
            object.__setattr__(self, "_points", found)
        return found


def curves_beside(path: Path) -> Path:
    """runs.csv → runs-curves.csv."""
    return path.with_name(f"{path.stem}-curves{path.suffix}")


@dataclass(frozen=True)
class Plan:
    """What is run.

    betas: the ‖β*‖. stretch: the features' scales fall from 1 to 1/stretch, the predictors keep their law. seeds:
    samples per truth, each with one start of every kind in `starts`. passes: that every method may spend. steps: of the
    grid, in units of 1/λ_max(∇²L). population: iterations there, ten times as many for logistic experts, 0 for none;
    its resolution is `nats`, and 6 more.
    """

    models: tuple[str, ...] = MODELS
    betas: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    gate: float = 1.0
    angle: float = 90.0
    stretch: float = 1.0
    seeds: int = 4
    starts: tuple[str, ...] = ("near", "0.1", "1")
    rows: int = 4000
    dimension: int = 5
    passes: int = 1000
    steps: tuple[float, ...] = STEPS
    population: int = 40
    nats: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.models:
            if name not in MODELS:
                raise InputError(f"model: expected {' or '.join(MODELS)}, got {name!r}")
        for beta in self.betas:
            positive_number("snr", beta)
        for name, least in (("seeds", 1), ("dimension", 2), ("passes", 10), ("population", 0), ("seed", 0)):
            whole_number(name, getattr(self, name), least)
        whole_number("rows", self.rows, least=10 * self.dimension)
        if positive_number("stretch", self.stretch) < 1:
            raise InputError(f"stretch: expected a ratio of scales, at least 1, got {self.stretch:g}")
        for step in self.steps:
            positive_number("steps", step)
        for kind in self.starts:
            check_start(kind)
        for what, values in (("model", self.models), ("snr", self.betas), ("starts", self.starts)):
            if not values or len(set(values)) < len(values):
                raise InputError(
                    f"{what}: expected at least one, each once, got {', '.join(map(str, values)) or 'none'}"
                )
        planar_truth(by_name(self.models[0]), 1.0, positive_number("gate", self.gate), self.angle)

    def cells(self) -> list[dict[str, Any]]:
        """One per sample, and one per population; JSON values."""
        common = {"gate": self.gate, "angle": self.angle, "dimension": self.dimension, "stretch": self.stretch}
        made = []
        for model in self.models:
            for beta in self.betas:
                truth = {"model": model, "beta": beta, **common}
                budget = {"rows": self.rows, "passes": self.passes, "steps": list(self.steps)}
                seeds = range(self.seed, self.seed + self.seeds)
                made += [
                    {"law": "sample", **truth, "seed": seed, "starts": list(self.starts), **budget} for seed in seeds
                ]
                if self.population:
                    many = model == MODELS[1]  # slower to converge, cheaper to integrate
                    limit = {"iterations": self.population * (10 if many else 1), "nats": self.nats + 6 * many}
                    made.append({"law": "population", **truth, "seed": self.seed, "rows": 0, **limit})
        return made


def check_start(kind: str) -> float | None:
    """The length of a start's β and w, None for "near"; InputError for what is neither."""
    if kind == "near":
        return None
    try:
        length = float(kind)
    except ValueError:
        length = math.nan
    if not 0 < length < 1e3:
        raise InputError(f"starts: expected near, or a length between 0 and 1000, got {kind!r}")
    return length


def synthetic(
    plan: Plan,
    store: Path | None = None,
    jobs: int = 1,
    finished: Callable[[int, Any], None] | None = None,
) -> Tables:
    """Run it all. store, jobs, finished: see `moe_theory.sweeps`; seconds depend on what else the machine does."""
    from moe_theory import __version__
    from moe_theory.experiments.synthetic_cell import work

    purpose = {"experiment": "synthetic", "version": __version__}
    return tables(sweep(work, plan.cells(), store, purpose, jobs, finished))


def tables(results: Sequence[Mapping[str, Any]]) -> Tables:
    """The cells' results as tables, runs numbered through."""
    runs: list[Run] = []
    points: list[Point] = []
    for result in results:
        first = len(runs)
        runs += [_of(Run, row, first) for row in result["runs"]]
        points += [_of(Point, row, first) for row in result["points"]]
    return Tables(tuple(runs), tuple(points))


def _of(cls: Any, row: Mapping[str, Any], first: int) -> Any:
    made = cls(**{f.name: row[f.name] for f in fields(cls)})
    return replace(made, run=made.run + first)


def plain(row: Run | Point) -> dict[str, Any]:
    """JSON-ready: what is not finite as None."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(row).items()}
