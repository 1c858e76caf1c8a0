"""Search for a witness against an inequality: minimise its slack over instances, with a stated budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize

from moe_theory.claims.evidence import Evidence, at_least
from moe_theory.claims.instances import Family, Instance, Planar, family
from moe_theory.errors import MoeTheoryError
from moe_theory.sweeps import sweep
from moe_theory.validation import Array, whole_number

CELL = 150  # evaluations of the slack in one cell of a search
LEAST = 40  # with a small budget
SCOUTS = 1 / 3  # the share of them that goes to random instances; the rest improves on the best of these
INADMISSIBLE = 1e3
SECOND_LOOKS = 4  # at violations, per cell
CLEAR = 0.1  # a relative slack of minus this needs no improving


@dataclass(frozen=True)
class Slack:
    """An inequality left <= right at one instance.

    value: (right - left)/scale, negative where it is violated; error: what rounding may change in it. details: numbers
    that say where, the number of steps T above all.
    """

    left: float
    right: float
    value: float
    error: float
    details: Mapping[str, Any]

    @classmethod
    def of(cls, left: float, right: float, scale: float, error: float = 1e-9, **details: Any) -> Slack:
        """left <= right, the slack relative to `scale` > 0."""
        return cls(float(left), float(right), float((right - left) / scale), float(error), details)

    @property
    def violated(self) -> bool:
        return self.value < -self.error


@dataclass(frozen=True)
class Search:
    """What to minimise: slack(claimed, instance, certain), over the instances of some families.

    The slack is None where a hypothesis of the claim does not hold at the instance (or the check cannot go on).
    certain: hypotheses over a region are bounded on it (`moe_theory.certificates.enclosure`); else they may be looked
    at at points, which is fast, and is what minimising goes by.
    """

    slack: Callable[[Any, Instance, bool], Slack | None]
    families: Sequence[Family] = (Planar("symmetric-linear"), Planar("symmetric-logistic"))

    def cells(self, budget: int, seed: int) -> list[dict[str, Any]]:
        """The cells of a search that evaluates the slack about `budget` times, one per family at least."""
        count = max(len(self.families), round(whole_number("budget", budget, least=1) / CELL))
        share = max(LEAST, min(CELL, budget // count))
        return [
            {"family": self.families[i % len(self.families)].to_dict(), "seed": seed, "cell": i, "budget": share}
            for i in range(count)
        ]


@dataclass(frozen=True)
class Found:
    """The least slack of a search, with its instance; None where no instance was admissible."""

    slack: Slack | None
    instance: dict[str, Any] | None
    evaluations: int
    admissible: int

    @property
    def violated(self) -> bool:
        return self.slack is not None and self.slack.violated

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Found:
        slack = value["slack"]
        return cls(
            Slack(**slack) if slack else None,
            value["instance"],
            value["evaluations"],
            value["admissible"],
        )


def search_cell(search: Search, claimed: Any, cell: Mapping[str, Any], hasty: bool = False) -> Found:
    """Random instances, then Nelder–Mead from the best; `hasty` stops at the first clear violation.

    A violation counts if it stands when the hypotheses are bounded (see `Search`); the best `SECOND_LOOKS` get that
    look.
    """
    drawn = family(cell["family"])
    rng = np.random.default_rng([cell["seed"], cell["cell"]])
    seen: list[tuple[Slack, Instance]] = []
    evaluations = looks = 0
    witness: tuple[Slack, Instance] | None = None

    def value(cube: Array) -> float:
        nonlocal evaluations, looks, witness
        evaluations += 1
        instance = drawn.instance(np.clip(cube, 0, 1))
        slack = slack_at(search, claimed, instance, certain=False)
        if slack is None:
            return INADMISSIBLE
        if hasty and slack.value < -max(CLEAR, slack.error) and looks < SECOND_LOOKS:
            looks += 1
            certain = slack_at(search, claimed, instance)
            if certain is None or not certain.violated:
                return INADMISSIBLE
            witness = certain, instance
            raise StopIteration
        seen.append((slack, instance))
        return slack.value

    try:
        scouts = rng.random((max(2, round(SCOUTS * cell["budget"])), drawn.dimensions))
        start = scouts[int(np.argmin([value(cube) for cube in scouts]))]
        scipy.optimize.minimize(
            value,
            start,
            method="Nelder-Mead",
            bounds=[(0, 1)] * drawn.dimensions,
            options={"maxfev": cell["budget"] - len(scouts), "initial_simplex": _simplex(start)},
        )
    except StopIteration:
        pass
    best = witness or _best(search, claimed, seen)
    admissible = len(seen) + (witness is not None)
    if best is None:
        return Found(None, None, evaluations, admissible)
    return Found(best[0], best[1].to_dict(), evaluations, admissible)


def _best(search: Search, claimed: Any, seen: list[tuple[Slack, Instance]]) -> tuple[Slack, Instance] | None:
    """The least slack that stands a second look; None if there is none."""
    looks = 0
    for slack, instance in sorted(seen, key=lambda pair: pair[0].value):
        if not slack.violated:
            return slack, instance
        if looks < SECOND_LOOKS:
            looks += 1
            certain = slack_at(search, claimed, instance)
            if certain is not None:
                return certain, instance
    return None


def slack_at(search: Search, claimed: Any, instance: Instance, certain: bool = True) -> Slack | None:
    """The slack at one instance; None where it is not defined."""
    try:
        slack = search.slack(claimed, instance, certain)
    except MoeTheoryError:
        return None
    return slack if slack is None or np.isfinite(slack.value) else None


def least(found: Sequence[Found]) -> Found:
    """The search as a whole: the least slack of its cells, the counts added up."""
    best = min(found, key=lambda f: f.slack.value if f.slack else np.inf)
    return Found(best.slack, best.instance, sum(f.evaluations for f in found), sum(f.admissible for f in found))


def searched(
    search: Search, claimed: Any, what: str, budget: int, seed: int, essential: bool = False
) -> Iterator[Evidence]:
    """Evidence from a search that ends at the first violation: it can refute, and supports no more than it tried."""
    found = []
    for cell in search.cells(budget, seed) if budget else ():
        found.append(search_cell(search, claimed, cell, hasty=True))
        if found[-1].violated:
            break
    result = least(found) if found else Found(None, None, 0, 0)
    if result.slack is not None:
        names = result.instance["model"] if result.violated and result.instance else _names(search)
        yield at_least(
            names,
            f"least relative slack of {what}, by search",
            result.slack.value,
            0.0,
            result.slack.error,
            essential=essential,
            trials=result.admissible,
            witness=result.instance and result.instance | dict(result.slack.details),
        )


def _names(search: Search) -> str:
    return ", ".join(dict.fromkeys(family.model for family in search.families))


def run_search(
    name: str,
    search: Search,
    budget: int,
    seed: int,
    work: Callable[[Mapping[str, Any]], Any],
    purpose: Mapping[str, Any],
    options: Mapping[str, Any],
    store: Path | None = None,
    jobs: int = 1,
    finished: Callable[[int, Any], None] | None = None,
) -> Found:
    """The whole search as a sweep, which ends with the first cell that holds a violation. work: one cell, which is
    given the claim's name and the options with it."""
    cells = [{**cell, "claim": name, **options} for cell in search.cells(budget, seed)]
    results = sweep(work, cells, store, purpose, jobs, finished, until=lambda r: Found.from_dict(r).violated)
    return least([Found.from_dict(r) for r in results])


def _simplex(start: Array) -> Array:
    """A simplex around the start, inside the cube."""
    corners = np.tile(start, (len(start) + 1, 1))
    for i in range(len(start)):
        corners[i + 1, i] += 0.15 if start[i] < 0.5 else -0.15
    return corners
