"""Claims: a theorem's statement, source and hypotheses, a check that can fail, and mutants that it must refute."""

from moe_theory.claims.claim import Claim, Hypothesis, Mutant, Printed, Result, Verdict, alone, check_claim
from moe_theory.claims.evidence import Evidence, at_least, close, identity, note
from moe_theory.claims.instances import Crossed, Diagonal, Gate, Instance, Planar, Scalar, TwoScales
from moe_theory.claims.search import Search, Slack, searched
from moe_theory.claims.setting import Case, Setting

__all__ = [
    "Case",
    "Claim",
    "Crossed",
    "Diagonal",
    "Evidence",
    "Gate",
    "Hypothesis",
    "Instance",
    "Mutant",
    "Planar",
    "Printed",
    "Result",
    "Scalar",
    "Search",
    "Setting",
    "Slack",
    "TwoScales",
    "Verdict",
    "alone",
    "at_least",
    "check_claim",
    "close",
    "identity",
    "note",
    "searched",
]
