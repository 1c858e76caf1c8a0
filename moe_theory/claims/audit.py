"""Claims from Python: those that speak of any model on a model of one's own; what is printed beside what holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moe_theory.claims.claim import Claim, Outcome, Printed, Result, alone, check_claim, judge
from moe_theory.claims.registry import select
from moe_theory.claims.setting import Setting
from moe_theory.errors import InputError
from moe_theory.model import Model


@dataclass(frozen=True)
class Audited:
    """A claim that corrects a printed statement, and what one check says of both; `as_printed` ends at the first
    evidence against."""

    claim: Claim
    printed: Printed
    as_printed: Outcome
    corrected: Outcome


def verify_model(model: Model, ids: Sequence[str] = (), seed: int = 0, quick: bool = False) -> list[Result]:
    """`moe-theory verify --model`: the claims that speak of any flat model (or those of them with these ids), on this
    one; mutants, which are mutants for the papers' models, are left out.

    Raises NotExponentialFamilyError or CurvedModelError, with the term, for a model they do not speak of; InputError
    for an id that is not one of theirs.
    """
    claims = select(tuple(ids))
    for claim in claims:
        if ids and not claim.any_model:
            raise InputError(f"ids: expected claims that speak of any model, got {claim.id!r}")
    setting = Setting.on(model, seed=seed, quick=quick)
    return [check_claim(alone(claim), setting) for claim in claims if claim.any_model]


def audit(ids: Sequence[str] = (), seed: int = 0, quick: bool = False) -> list[Audited]:
    """Every claim that has a statement as printed (or those with these ids), judged as printed and as corrected.

    quick: smaller samples and search budgets, as for `moe-theory verify`. InputError for a claim of which nothing else
    is printed.
    """
    setting = Setting(seed=seed, quick=quick, rows=2000 if quick else 5000)
    found = []
    for claim in select(tuple(ids)):
        if claim.printed is not None:
            printed = judge(claim, setting, claim.printed.claimed, to_first=True)
            found.append(Audited(claim, claim.printed, printed, judge(claim, setting, claim.claimed)))
        elif ids:
            raise InputError(f"ids: expected claims that correct what is printed, got {claim.id!r}")
    return found
