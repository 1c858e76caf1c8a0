"""A claim, the computation of its verdict, and the hunt for its mutants."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from moe_theory.claims.evidence import Evidence
from moe_theory.claims.setting import Setting
from moe_theory.errors import MoeTheoryError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from moe_theory.claims.search import Search

Verdict = Literal["proved", "certified", "supported", "refuted", "inconclusive"]
MutantKind = Literal["sign", "exchange", "constant", "rate", "term", "form", "hypothesis"]
_RESTS_ON: dict[str, Verdict] = {"identity": "proved", "bound": "certified", "estimate": "supported"}


@dataclass(frozen=True)
class Mutant:
    """A false variant of a claim. kind: what was done to it; claimed: handed to the claim's check."""

    kind: MutantKind
    claimed: Any


@dataclass(frozen=True)
class Hypothesis:
    """An assumption of a claim, and the claim without it.

    without: handed to the claim's check in place of `claimed` (None: `claimed` itself, where `setting` drops the
    hypothesis or the check makes no use of it). setting: takes the setting to one in which the hypothesis does not
    hold. needed: whether dropping it is expected to refute the claim; what is reported is what the check finds.
    """

    text: str
    without: Any = None
    setting: Callable[[Setting], Setting] | None = None
    needed: bool = True


@dataclass(frozen=True)
class Printed:
    """A statement as its source prints it, in one stated reading; `claimed` is handed to the claim's check."""

    statement: str
    claimed: Any
    expected: Verdict = "refuted"


@dataclass(frozen=True)
class Claim:
    """One result of the theory.

    check(setting, claimed) yields evidence for `claimed`, the part of the statement that could be false; the same
    check is run on every mutant, on the claim without each hypothesis, and on what is `printed` where that differs,
    and its outcome there is computed like any other. statement, printed statement: prose with LaTeX between dollar
    signs. order: place in reports, by `section`. search: what `moe-theory refute` minimises. figures: pictures of the
    evidence, {file stem: figure}. pages: HTML pages of their own beside a report, {file stem: page}. any_model: its
    check speaks of whatever models the setting has.
    """

    id: str
    title: str
    statement: str
    source: str
    hypotheses: tuple[Hypothesis, ...]
    expected: Verdict
    check: Callable[[Setting, Any], Iterator[Evidence]]
    claimed: Any
    mutants: Mapping[str, Mutant]
    order: int
    section: str = "EM as mirror descent"
    printed: Printed | None = None
    search: Search | None = None
    figures: Callable[[Setting], Mapping[str, Figure]] | None = None
    pages: Callable[[Setting], Mapping[str, str]] | None = None
    any_model: bool = False


@dataclass(frozen=True)
class Outcome:
    """What the check found for one variant of the claim."""

    verdict: Verdict
    evidence: tuple[Evidence, ...]

    @property
    def against(self) -> Evidence | None:
        """The first evidence against that has a witness, else the first."""
        against = [e for e in self.evidence if e.refutes]
        return next((e for e in against if e.witness), against[0] if against else None)


@dataclass(frozen=True)
class Result:
    """What a claim's check came to.

    mutants: the outcome for each (short of evidence after the first against). dropped: for the claim without each of
    its hypotheses, in their order. printed: for the statement as printed.
    """

    claim: Claim
    outcome: Outcome
    mutants: Mapping[str, Outcome]
    dropped: tuple[Outcome, ...]
    printed: Outcome | None
    seconds: float

    @property
    def verdict(self) -> Verdict:
        return self.outcome.verdict

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        return self.outcome.evidence

    @property
    def survivors(self) -> tuple[str, ...]:
        """Names of the mutants that the check failed to refute, dropped hypotheses that are said to be needed among
        them."""
        alive = [name for name, outcome in self.mutants.items() if outcome.verdict != "refuted"]
        pairs = zip(self.claim.hypotheses, self.dropped, strict=True)
        return (*alive, *(f"without: {h.text}" for h, o in pairs if h.needed and o.verdict != "refuted"))

    @property
    def total(self) -> int:
        """How many mutants there were to kill."""
        return len(self.mutants) + sum(h.needed for h in self.claim.hypotheses)

    @property
    def killed(self) -> int:
        return self.total - len(self.survivors)

    @property
    def not_needed(self) -> tuple[str, ...]:
        """Hypotheses without which the check still holds."""
        pairs = zip(self.claim.hypotheses, self.dropped, strict=True)
        return tuple(h.text for h, o in pairs if o.verdict not in ("refuted", "inconclusive"))

    @property
    def ok(self) -> bool:
        """Verdicts are the expected ones, every mutant was killed, and hypotheses are needed as said."""
        unneeded = {h.text for h in self.claim.hypotheses if not h.needed}
        printed = self.claim.printed is None or (
            self.printed is not None and self.printed.verdict == self.claim.printed.expected
        )
        return (
            self.verdict == self.claim.expected and not self.survivors and printed and unneeded == set(self.not_needed)
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with the keys that `moe-theory verify --json` documents."""
        claim = self.claim
        found = {
            "id": claim.id,
            "section": claim.section,
            "title": claim.title,
            "statement": claim.statement,
            "source": claim.source,
            "hypotheses": [h.text for h in claim.hypotheses],
            "verdict": self.verdict,
            "expected": claim.expected,
            "evidence": [e.to_dict() for e in self.evidence],
            "mutants": {
                "total": self.total,
                "killed": self.killed,
                "survivors": list(self.survivors),
                "kinds": {name: mutant.kind for name, mutant in claim.mutants.items()},
                "against": {name: _evidence_dict(outcome.against) for name, outcome in self.mutants.items()},
            },
            "dropped": [
                {"hypothesis": h.text, "needed": _needed(o), "against": _evidence_dict(o.against)}
                for h, o in zip(claim.hypotheses, self.dropped, strict=True)
            ],
            "seconds": round(self.seconds, 3),
        }
        if claim.printed is not None and self.printed is not None:
            found["printed"] = {
                "statement": claim.printed.statement,
                "verdict": self.printed.verdict,
                "expected": claim.printed.expected,
                "evidence": [e.to_dict() for e in self.printed.evidence],
            }
        return found


def verdict(evidence: Iterable[Evidence]) -> Verdict:
    """Refuted by any evidence against; as strong as the weakest kind among the essential evidence otherwise."""
    judged = [e for e in evidence if e.kind != "note"]
    if any(e.refutes for e in judged):
        return "refuted"
    essential = [e for e in judged if e.essential]
    if not essential or any(e.holds is None for e in judged):
        return "inconclusive"
    return next(_RESTS_ON[kind] for kind in ("estimate", "bound", "identity") if any(e.kind == kind for e in essential))


def alone(claim: Claim) -> Claim:
    """The claim without what is printed, its mutants and its hypotheses: to be checked, not to be attacked."""
    return replace(claim, mutants={}, hypotheses=(), printed=None)


def check_claim(claim: Claim, setting: Setting, progress: Callable[[str], None] | None = None) -> Result:
    """Check a claim, what is printed, all its mutants, and itself without each hypothesis; `progress` is told what is
    being done."""
    tell = progress or (lambda _: None)
    clock = time.perf_counter()
    tell(claim.id)
    outcome, printed, killed, dropped = judge(claim, setting, claim.claimed), None, {}, []
    if claim.printed is not None:
        tell(f"{claim.id}: as printed")
        printed = judge(claim, setting, claim.printed.claimed)
    for name, mutant in claim.mutants.items():
        tell(f"{claim.id}: mutant {name}")
        killed[name] = judge(claim, setting, mutant.claimed, to_first=True)
    for hypothesis in claim.hypotheses:
        tell(f"{claim.id}: without {hypothesis.text}")
        there = hypothesis.setting(setting) if hypothesis.setting else setting
        without = claim.claimed if hypothesis.without is None else hypothesis.without
        # A check that makes no use of a hypothesis has judged the claim without it already.
        same = there is setting and without is claim.claimed
        dropped.append(outcome if same else judge(claim, there, without, to_first=True))
    return Result(claim, outcome, killed, tuple(dropped), printed, time.perf_counter() - clock)


def judge(claim: Claim, setting: Setting, claimed: Any, to_first: bool = False) -> Outcome:
    """The check's verdict on `claimed`; `to_first` stops at the first evidence against.

    A claim as printed shares its check and its mutants with the claim that corrects it: what was judged in a setting is
    not judged there again.
    """
    key = (claim.check, claimed) if isinstance(claimed, Hashable) else None
    known = setting.judged.get(key)
    if known is not None and (to_first or known[1]):
        return known[0]
    found, complete = [], True
    for e in _evidence(claim, setting, claimed):
        found.append(e)
        if to_first and e.refutes:
            complete = False
            break
    outcome = Outcome(verdict(found), tuple(found))
    if key is not None:
        setting.judged[key] = outcome, complete
    return outcome


def _evidence(claim: Claim, setting: Setting, claimed: Any) -> Iterator[Evidence]:
    """The check's evidence; where it cannot go on, that it could not tell (which neither supports nor refutes)."""
    try:
        yield from claim.check(setting, claimed)
    except MoeTheoryError as error:
        yield Evidence("estimate", claim.id, f"the check stopped: {error}", None)


def _needed(outcome: Outcome) -> bool | None:
    return None if outcome.verdict == "inconclusive" else outcome.verdict == "refuted"


def _evidence_dict(evidence: Evidence | None) -> dict[str, Any] | None:
    return None if evidence is None else evidence.to_dict()
