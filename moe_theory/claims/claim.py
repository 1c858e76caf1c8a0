"""A claim, the computation of its verdict, and the hunt for its mutants."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from moe_theory.claims.evidence import Evidence
from moe_theory.claims.setting import Setting
from moe_theory.errors import MoeTheoryError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Verdict = Literal["proved", "certified", "supported", "refuted", "inconclusive"]
_RESTS_ON: dict[str, Verdict] = {"identity": "proved", "bound": "certified", "estimate": "supported"}


@dataclass(frozen=True)
class Claim:
    """One result of the theory.

    check(setting, claimed) yields evidence for `claimed`, the part of the statement that could be false; the same
    check is run on every mutant, a false variant of it, and has to refute that. order: place in reports. figures:
    pictures of the evidence, {file stem: figure}.
    """

    id: str
    title: str
    statement: str
    source: str
    hypotheses: tuple[str, ...]
    expected: Verdict
    check: Callable[[Setting, Any], Iterator[Evidence]]
    claimed: Any
    mutants: Mapping[str, Any]
    order: int
    figures: Callable[[Setting], Mapping[str, Figure]] | None = field(default=None)


@dataclass(frozen=True)
class Result:
    """What a claim's check came to. survivors: names of mutants that it failed to refute."""

    claim: Claim
    verdict: Verdict
    evidence: tuple[Evidence, ...]
    survivors: tuple[str, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """The verdict is the expected one and every mutant was killed."""
        return self.verdict == self.claim.expected and not self.survivors

    @property
    def killed(self) -> int:
        return len(self.claim.mutants) - len(self.survivors)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with the keys that `moe-theory verify --json` documents."""
        return {
            "id": self.claim.id,
            "title": self.claim.title,
            "source": self.claim.source,
            "hypotheses": list(self.claim.hypotheses),
            "verdict": self.verdict,
            "expected": self.claim.expected,
            "evidence": [e.to_dict() for e in self.evidence],
            "mutants": {
                "total": len(self.claim.mutants),
                "killed": self.killed,
                "survivors": list(self.survivors),
            },
            "seconds": round(self.seconds, 3),
        }


def verdict(evidence: Iterable[Evidence]) -> Verdict:
    """Refuted by any evidence against; as strong as the weakest kind among the essential evidence otherwise."""
    judged = [e for e in evidence if e.kind != "note"]
    if any(e.holds is False for e in judged):
        return "refuted"
    essential = [e for e in judged if e.essential]
    if not essential or any(e.holds is None for e in judged):
        return "inconclusive"
    return next(_RESTS_ON[kind] for kind in ("estimate", "bound", "identity") if any(e.kind == kind for e in essential))


def check_claim(claim: Claim, setting: Setting, progress: Callable[[str], None] | None = None) -> Result:
    """Check a claim and all its mutants; `progress` is told what is being done."""
    tell = progress or (lambda _: None)
    clock = time.perf_counter()
    tell(claim.id)
    evidence = tuple(_evidence(claim, setting, claim.claimed))
    survivors = []
    for name, mutant in claim.mutants.items():
        tell(f"{claim.id}: mutant {name}")
        if not any(e.holds is False and e.kind != "note" for e in _evidence(claim, setting, mutant)):
            survivors.append(name)
    return Result(claim, verdict(evidence), evidence, tuple(survivors), time.perf_counter() - clock)


def _evidence(claim: Claim, setting: Setting, claimed: Any) -> Iterator[Evidence]:
    """The check's evidence; where it cannot go on, that it could not tell (which neither supports nor refutes)."""
    try:
        yield from claim.check(setting, claimed)
    except MoeTheoryError as error:
        yield Evidence("estimate", claim.id, f"the check stopped: {error}", None)
