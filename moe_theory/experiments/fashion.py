"""The papers' experiment on altered images: all methods, from all starts, each tuned; what the tables say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from moe_theory.errors import InputError
from moe_theory.experiments.altered import STARTS, Altered
from moe_theory.experiments.fashion_cell import Run, Seen, Step, altered, work
from moe_theory.experiments.fashion_methods import CONTESTANTS
from moe_theory.sweeps import sweep
from moe_theory.tables import read_rows, write_rows
from moe_theory.validation import whole_number

RIDGE = 5e-4
RIDGES = (0.0, 1e-4, 1e-3, 2e-3, 1e-2)  # looked at beside it
HELD_OUT = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3)  # that it was chosen among, by EM on held out training images
SPLIT = 60  # images from which on some are held out
LOOKED = 2  # seeds that ridges are looked at on
MORE = 2  # times as many seeds for EM from small random starts
DATASETS = ("fashion", "digits")
TABLES: dict[str, type] = {"runs": Run, "steps": Step, "seen": Seen}


@dataclass(frozen=True)
class Plan:
    """What is run. dataset: "fashion" or "digits"; folder: of its files, None to look for them. rows: the first so many
    images, None for all. seeds: of the inversions, the starts and the batches: 0 … seeds - 1. passes: over the data, of
    methods that are not stochastic. threads: that a pass is shared among.

    InputError for unknown names, and for counts that are none.
    """

    dataset: str = "fashion"
    folder: str | None = None
    rows: int | None = None
    methods: tuple[str, ...] = tuple(CONTESTANTS)
    starts: tuple[str, ...] = tuple(STARTS)
    seeds: int = 5
    passes: int = 165
    ridge: float = RIDGE
    threads: int = 1

    def __post_init__(self) -> None:
        for name, given, known in (
            ("dataset", (self.dataset,), DATASETS),
            ("methods", self.methods, tuple(CONTESTANTS)),
            ("starts", self.starts, tuple(STARTS)),
        ):
            if bad := [value for value in given if value not in known] or ([""] if not given else []):
                raise InputError(f"{name}: expected among {', '.join(known)}, got {bad[0]!r}")
        whole_number("seeds", self.seeds, least=1)
        whole_number("passes", self.passes, least=1)
        whole_number("threads", self.threads, least=1)
        if not np.isfinite(self.ridge) or self.ridge < 0:
            raise InputError(f"ridge: expected a number >= 0, got {self.ridge:g}")

    def purpose(self, stage: str) -> dict[str, Any]:
        """Of a store: what decides its results."""
        return {"experiment": "fashion", "stage": stage, "folder": self.folder or ""}

    def cell(self, method: str, start: str, seed: int, setting: float, **changes: Any) -> dict[str, Any]:
        """One run."""
        base: dict[str, Any] = {
            "dataset": self.dataset,
            "folder": self.folder,
            "rows": self.rows,
            "threads": self.threads,
        }
        base |= {"method": method, "start": start, "seed": seed, "setting": setting}
        base |= {"ridge": self.ridge, "passes": self.passes, "tuning": False, "held_out": False}
        return base | changes

    def tuning(self) -> list[dict[str, Any]]:
        """Every setting of every method that has several, on the first seed, from an informed and from a small
        start.
        """
        kinds = dict.fromkeys(_alike(kind) for kind in self.starts)
        return [
            self.cell(method, next(s for s in self.starts if _alike(s) == kind), 0, setting, tuning=True)
            for kind in kinds
            for method in self.methods
            if len(CONTESTANTS[method].settings) > 1
            for setting in CONTESTANTS[method].settings
        ]

    def cells(self, best: Mapping[tuple[str, str], float]) -> list[dict[str, Any]]:
        """All runs in the order of their seeds; best: (method, kind of start) to its setting."""
        found = []
        for seed in range(self.seeds):
            # The oracle sees the same images whatever the seed.
            found += [self.cell(name, "zero", seed, 0.0) for name in ("regression", "oracle")[: 1 + (seed == 0)]]
            found += [
                self.cell(method, start, seed, best.get((method, _alike(start)), CONTESTANTS[method].settings[0]))
                for method in self.methods
                for start in self.starts
            ]
        if "em" in self.methods:
            if "small" in self.starts:
                found += [self.cell("em", "small", seed, 0.0) for seed in range(self.seeds, MORE * self.seeds)]
            for seed in range(min(LOOKED, self.seeds)):
                beside = [s for s in self.starts if s != "pc1"]
                found += [self.cell("em", s, seed, 0.0, ridge=r) for r in RIDGES if r != self.ridge for s in beside]
                kept = (
                    sorted({*HELD_OUT, self.ridge}) if "kmeans" in self.starts and (self.rows or SPLIT) >= SPLIT else []
                )
                found += [self.cell("em", "kmeans", seed, 0.0, ridge=r, held_out=True) for r in kept]
        return sorted(found, key=lambda cell: (cell["seed"], cell["method"] == "oracle", cell["held_out"]))


@dataclass(frozen=True)
class Found:
    """The tables: runs, their steps, what experts of EM's runs see."""

    runs: list[Run]
    steps: list[Step]
    seen: list[Seen]

    def save(self, folder: Path) -> None:
        """runs.csv, steps.csv, seen.csv."""
        for name in TABLES:
            if rows := getattr(self, name):
                write_rows(folder / f"{name}.csv", rows)
            else:
                (folder / f"{name}.csv").unlink(missing_ok=True)  # of a run before

    @classmethod
    def load(cls, folder: Path) -> Found:
        """What `save` wrote; InputError for another folder. Where EM was not run nothing was seen."""
        runs, steps, seen = (folder / f"{name}.csv" for name in TABLES)
        return cls(read_rows(runs, Run), read_rows(steps, Step), read_rows(seen, Seen) if seen.exists() else [])

    def of(self, run: Run) -> list[Step]:
        """The run's steps."""
        return self._by_run.get(run.run, [])

    @cached_property
    def _by_run(self) -> dict[int, list[Step]]:
        known: dict[int, list[Step]] = {}
        for step in self.steps:
            known.setdefault(step.run, []).append(step)
        return known

    def shown(self, ridge: float | None = None) -> list[Run]:
        """Runs with their best setting; of one ridge, by default the one most of them have."""
        kept = [run for run in self.runs if not run.tuning and not run.held_out]
        values = [run.ridge for run in kept]
        wanted = max(set(values), key=values.count) if ridge is None else ridge
        return [run for run in kept if run.ridge == wanted]

    def held_out(self) -> dict[float, list[Run]]:
        """{ridge: runs scored on held out training images}, from the least ridge on."""
        own = [run for run in self.runs if run.held_out]
        return {ridge: [run for run in own if run.ridge == ridge] for ridge in sorted({run.ridge for run in own})}

    def pictured(self) -> Found:
        """With what is seen in EM's best and worst runs only, by their gates, then their accuracy."""
        known = {row.run for row in self.seen}
        own = sorted((run for run in self.shown() if run.run in known), key=lambda run: (run.gate, run.accuracy))
        kept = {own[0].run, own[-1].run} if own else set()
        return replace(self, seen=[row for row in self.seen if row.run in kept])

    def thinned(self, at: float, count: int = 40) -> Found:
        """With so many steps of a run at most, evenly spaced in the logarithm of the iteration, the ends among them and
        the last one after `at` passes; and none of those that only tuned or were held out."""
        kept: list[Step] = []
        for run in self.runs:
            if not run.tuning and not run.held_out:
                own = self.of(run)
                places = np.unique(np.round(np.geomspace(1, len(own), min(count, len(own)))).astype(int) - 1)
                last = sum(step.passes <= at + 1 for step in own) - 1
                kept += [own[i] for i in sorted({*places.tolist(), last})]
        return replace(self, steps=kept)


def reproduce(
    plan: Plan,
    store: Path | None = None,
    jobs: int = 1,
    finished: Callable[[int, int, Mapping[str, Any]], None] | None = None,
) -> Found:
    """All runs: first the settings of methods that have several, then every method with its best one.

    store: two JSON-lines files of that name (the second ends in .tuning) from which an interrupted experiment goes on.
    finished: told (number of runs done, number of runs in all, the run) after each.
    """
    tried = plan.tuning()
    count = len(tried) + len(plan.cells({}))
    done = 0

    def tell(_: int, result: Mapping[str, Any]) -> None:
        nonlocal done
        done += 1
        if finished is not None:
            finished(done, count, result["run"])

    aside = None if store is None else store.with_name(store.name + ".tuning")
    first = sweep(work, tried, aside, plan.purpose("tuning"), jobs, tell) if tried else []
    best: dict[tuple[str, str], float] = {}
    for key in dict.fromkeys((r["run"]["method"], _alike(r["run"]["start"])) for r in first):
        own = [r["run"] for r in first if (r["run"]["method"], _alike(r["run"]["start"])) == key]
        usable = [run for run in own if run["reason"] not in ("nonfinite", "degenerate")]
        best[key] = min(usable or own, key=lambda run: run["objective"])["setting"]
    second = sweep(work, plan.cells(best), store, plan.purpose("runs"), jobs, tell)
    runs: list[Run] = []
    steps: list[Step] = []
    seen: list[Seen] = []
    for number, result in enumerate([*first, *second]):
        runs.append(Run(number, **result["run"]))
        steps += [Step(number, **row) for row in result["steps"]]
        seen += [Seen(number, **row) for row in result["seen"]]
    return Found(runs, steps, seen)


def _alike(start: str) -> str:
    """The kinds of start that settings are shared among."""
    return "small" if start == "small" else "informed"


def data_of(plan: Plan, seed: int = 0) -> Altered:
    """The altered images of a seed."""
    return altered(plan.dataset, plan.folder, plan.rows, seed, plan.threads)
