"""Claims: a theorem's statement, source and hypotheses, a check that can fail, and mutants that it must refute."""

from moe_theory.claims.claim import Claim, Result, Verdict, check_claim
from moe_theory.claims.evidence import Evidence, at_least, close, identity, note
from moe_theory.claims.setting import Case, Setting

__all__ = [
    "Case",
    "Claim",
    "Evidence",
    "Result",
    "Setting",
    "Verdict",
    "at_least",
    "check_claim",
    "close",
    "identity",
    "note",
]
