"""One cell of the synthetic experiment: all methods from all starts on one sample, or on one population."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_theory.algorithms import EM, Squarem, Trace, run
from moe_theory.analysis.contractions import Curvature
from moe_theory.analysis.rates import measure_rate, predict_rate
from moe_theory.analysis.snr import planar_truth
from moe_theory.analysis.symmetry import distance, nearest
from moe_theory.errors import InputError
from moe_theory.experiments.curve import contraction, reached, thinned
from moe_theory.experiments.methods import METHODS, POPULATION, Method, best_step
from moe_theory.experiments.synthetic import check_start
from moe_theory.laws import MonteCarlo, Population
from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.validation import Array
from moe_theory.zoo import by_name

GOAL = 1e-8  # nats per row: a gap that runs are timed to
TOLERANCE = 3e-7  # of runs, on the dual gradient norm
PEAK = 1e-11  # the same for the maximum
NEAR = 0.5  # distance of a near start from the maximum, in lengths of the maximum
FOLLOWED = 600  # accelerated steps in which a stationary point is sought
SAME = 1e-9  # nats by which one maximum has to be above another to be a better one
HIGH, LOW = 1e-5, 1e-12  # gaps between which contractions are measured


@dataclass(frozen=True, eq=False)
class Field:
    """Where methods run: a law, the maximum of the likelihood (of a population: the truth), its L and curvature. scale:
    of the features, (d,)."""

    model: Model
    law: Law
    truth: Array
    peak: Array
    level: float
    curvature: Curvature
    scale: Array

    def apart(self, theta: Array, other: Array) -> float:
        """Distance modulo symmetry, in features of scale 1."""
        return distance(self.model, theta * self.scale, other * self.scale)

    def image(self, of: Array, near: Array) -> Array:
        """Of all images under the symmetries the one nearest to a point."""
        return nearest(self.model, of * self.scale, near * self.scale) / self.scale

    @property
    def sampled(self) -> bool:
        return not isinstance(self.law, Population)

    def gaps(self, trace: Trace) -> Array:
        """L(θ_t) - L(maximum), (T+1,), with relative accuracy also where it is tiny."""
        direct = trace.objective - self.level
        image = self.image(self.peak, trace.last)
        away = self.apart(trace.last, self.peak) > 0.1 * np.linalg.norm(self.peak * self.scale)
        if away or not np.isfinite(direct).all():
            return direct
        return np.where(direct > 1e-7, direct, trace.gaps(image))


def work(cell: Mapping[str, Any]) -> dict[str, Any]:
    """{"runs": rows of `Run`, "points": rows of `Point`}, the runs numbered from 0; seconds are this machine's."""
    model, d = by_name(cell["model"]), cell["dimension"]
    scale = np.geomspace(1.0, 1.0 / cell["stretch"], d)
    truth = planar_truth(model, cell["beta"], cell["gate"], cell["angle"], d)
    return (_sample if cell["law"] == "sample" else _population)(cell, model, truth / scale, scale)


def start_of(kind: str, seed: int, peak: Array) -> Array:
    """A start, (m, d): from the seed and its kind only, and for "near" the maximum."""
    length = check_start(kind)
    rng = np.random.default_rng([seed, 0 if length is None else int(1e6 * length)])
    directions = rng.standard_normal(peak.shape)
    if length is None:
        return peak + NEAR * np.linalg.norm(peak) * directions / np.linalg.norm(directions)
    return length * directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _sample(cell: Mapping[str, Any], model: Model, truth: Array, scale: Array) -> dict[str, Any]:
    data = MonteCarlo(model, truth, cell["rows"], cell["seed"], np.diag(scale**2)).data()
    start = lambda kind, peak: start_of(kind, cell["seed"], peak * scale) / scale
    sought = [_sought(model, data, at) for at in (truth, *(start(k, truth) for k in cell["starts"] if k != "near"))]
    best = min(sought, key=lambda t: float(np.nan_to_num(t.objective[-1], nan=np.inf)))
    found = [t for t in sought if t.converged and t.objective[-1] <= best.objective[-1] + SAME]
    table = _Table(cell)
    at = nearest(model, (found or [best])[0].last * scale, truth * scale) / scale
    apart = float(np.linalg.norm((at - truth) * scale))
    if not found:
        table.add(best, "none", apart, float("nan"))
        return table.rows
    field = Field(model, data, truth, at, float(found[0].objective[-1]), Curvature.at(model, data, at), scale)
    table.add(found[0], "found", apart, predict_rate(model, data, at).lambda_max)
    for kind in cell["starts"]:
        for method in METHODS.values():
            _race(table, field, kind, start(kind, at), method, cell["steps"], cell["passes"])
    return table.rows


def _population(cell: Mapping[str, Any], model: Model, truth: Array, scale: Array) -> dict[str, Any]:
    law = Population(model, truth, np.diag(scale**2) if cell["stretch"] > 1 else None, nats=cell["nats"])
    curvature = Curvature.at(model, law, truth)
    field = Field(model, law, truth, truth, float("nan"), curvature, scale)
    start = start_of("near", cell["seed"], truth * scale) / scale
    table, best = _Table(cell), best_step(curvature)
    for name in POPULATION:
        method = METHODS[name]
        trace = run(method.make(model, best), law, start, cell["iterations"], TOLERANCE, divergences=False)
        table.finish(field, "near", method, best if method.tuned else float("nan"), trace, trace.gaps(truth))
    return table.rows


def _sought(model: Model, law: Law, start: Array, tolerance: float = PEAK) -> Trace:
    return run(Squarem(EM(model)), law, start, FOLLOWED, tolerance, divergences=False)


def _race(
    table: _Table, field: Field, kind: str, start: Array, method: Method, steps: list[float], passes: int
) -> None:
    """Run a method with every step of the grid, if it takes one, and keep the best's curve."""
    lengths = [s / field.curvature.smoothness for s in steps] if method.tuned else [float("nan")]
    traces = []
    for length in lengths:
        algorithm = method.make(field.model, length)
        trace = run(algorithm, field.law, start, passes // method.passes, TOLERANCE, divergences=False)
        keep = int(np.searchsorted(trace.passes, passes, side="right"))
        traces.append((length, trace, field.gaps(trace)[:keep]))
    best = min(range(len(traces)), key=lambda i: _rank(traces[i][1], traces[i][2]))
    for i, (length, trace, gaps) in enumerate(traces):
        table.finish(field, kind, method, length, trace, gaps, best=i == best)


def _rank(trace: Trace, gaps: Array) -> tuple[float, float]:
    """Passes to the goal, then the gap at the end; runs that fail come last."""
    end = float(gaps[-1])
    failed = trace.reason in ("nonfinite", "degenerate") or not np.isfinite(end)
    return reached(trace.passes[: len(gaps)], gaps, GOAL), np.inf if failed else end


class _Table:
    """The rows of a cell."""

    def __init__(self, cell: Mapping[str, Any]) -> None:
        keys = ("law", "model", "beta", "gate", "angle", "dimension", "stretch", "rows", "seed")
        self.common = {key: cell[key] for key in keys}
        self.runs: list[dict[str, Any]] = []
        self.points: list[dict[str, Any]] = []

    @property
    def rows(self) -> dict[str, Any]:
        return {"runs": self.runs, "points": self.points}

    def add(self, trace: Trace, end: str, error_truth: float, rate: float) -> None:
        """How the maximum was sought; rate: λ_max(M) there."""
        nan, inf = float("nan"), float("inf")
        self._append(
            {
                "start": "",
                "method": "mle",
                "step": nan,
                "shown": False,
                "end": end,
                "leads": "mle" if end == "found" else "unknown",
                "reason": trace.reason,
                "iterations": trace.iterations,
                "passes": float(trace.passes[-1]),
                "seconds": nan,
                "gap": 0.0 if end == "found" else nan,
                "error": 0.0 if end == "found" else nan,
                "error_truth": error_truth,
                "predicted": rate,
                "measured": nan,
                **{f"goal_{unit}": inf for unit in ("iterations", "passes", "seconds")},
            }
        )

    def _append(self, row: dict[str, Any]) -> None:
        self.runs.append({"run": len(self.runs), **self.common, **row})

    def finish(
        self,
        field: Field,
        kind: str,
        method: Method,
        length: float,
        trace: Trace,
        gaps: Array,
        best: bool = False,
    ) -> None:
        """A run's row and, where it has the best step or is on a population, its curve."""
        last = len(gaps) - 1
        passes = trace.passes[: last + 1]
        shown = best or not field.sampled
        clock = trace.seconds[: last + 1] if best else np.full(last + 1, np.nan)
        thetas = trace.thetas[: last + 1]
        end = _end(trace, gaps, last)
        near = field.apart(thetas[-1], field.peak) <= 0.3 * float(np.linalg.norm(field.peak * field.scale))
        predicted = float("nan")
        if near and end in ("mle", "budget"):
            image = field.image(field.peak, thetas[-1])
            own = np.array_equal(np.abs(image), np.abs(field.peak))  # a change of signs only
            at = field.curvature if own else Curvature.at(field.model, field.law, image)
            predicted = method.contraction(at, length)
        number = len(self.runs)
        kept = thinned(gaps) if shown else [last]
        row = lambda t: {
            "run": number,
            "iteration": t,
            "passes": float(passes[t]),
            "seconds": float(clock[t]),
            "gap": float(gaps[t]),
            "error": field.apart(thetas[t], field.peak),
            "error_truth": field.apart(thetas[t], field.truth),
        }
        points = [row(t) for t in kept]
        final = {key: points[-1][key] for key in ("passes", "seconds", "gap", "error", "error_truth")}
        units = {"iterations": np.arange(last + 1), "passes": passes, "seconds": clock}
        judged = end in ("mle", "budget")
        self._append(
            {
                "start": kind,
                "method": method.name,
                "step": length * field.curvature.smoothness,
                "shown": shown,
                "end": end,
                "leads": _leads(field, thetas[-1], end, near) if shown else "unknown",
                "reason": trace.reason if last == trace.iterations else "passes",
                "iterations": last,
                **final,
                "predicted": predicted,
                "measured": _measured(method, trace, gaps) if judged else float("nan"),
                **{f"goal_{unit}": reached(x, gaps, GOAL) for unit, x in units.items()},
            }
        )
        self.points += points if shown else []


def _measured(method: Method, trace: Trace, gaps: Array) -> float:
    """EM's contraction by `measure_rate`, where the run went far enough; else the slope of the gap."""
    if method.name == "em" and trace.converged:
        with contextlib.suppress(InputError):
            return measure_rate(trace).iterates
    return float(np.sqrt(contraction(gaps, HIGH, LOW)))


def _end(trace: Trace, gaps: Array, last: int) -> str:
    if gaps[-1] <= GOAL and np.isfinite(gaps[-1]):
        return "mle"
    if trace.reason in ("nonfinite", "degenerate", "decreased") or not np.isfinite(gaps[-1]):
        return "failed"
    return "other" if trace.converged and last == trace.iterations else "budget"


def _leads(field: Field, theta: Array, end: str, near: bool) -> str:
    """Where a run that was cut off would go: by accelerated EM from its end."""
    if end in ("mle", "other"):
        return end
    if end == "failed" or not field.sampled:
        return "unknown"
    if near:
        return "near"
    trace = _sought(field.model, field.law, theta, TOLERANCE)
    if not trace.converged:
        return "unknown"
    return "mle" if trace.objective[-1] <= field.level + GOAL else "other"
