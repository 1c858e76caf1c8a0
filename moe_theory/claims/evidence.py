"""Evidence: one thing computed, one thing predicted, and whether they agree. Nothing here takes a verdict as input."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import sympy as sp

from moe_theory.model import RESPONSE, Model
from moe_theory.response import Values
from moe_theory.symbolic.identities import prove_zero

Kind = Literal["identity", "bound", "estimate", "note"]


@dataclass(frozen=True)
class Evidence:
    """kind: identity (reduced to 0 exactly), bound (rigorous, rounding accounted for), estimate (numeric, with its
    error), note (shown, not judged). essential: the verdict rests on it; otherwise it corroborates (and can still
    refute). holds: None where the computation could not tell. error: what computed may differ from predicted by.
    relation: of computed to predicted (an identity's: to 0). witness: numbers with which anyone can re-run a
    refutation.
    """

    kind: Kind
    subject: str
    what: str
    holds: bool | None
    computed: float | str | None = None
    predicted: float | str | None = None
    error: float | None = None
    trials: int = 1
    essential: bool = True
    witness: Mapping[str, Any] | None = None
    relation: Literal["=", "≥", ">"] | None = None

    @property
    def refutes(self) -> bool:
        """True where this speaks against the claim."""
        return self.holds is False and self.kind != "note"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; numbers that are not finite become words."""
        return {
            key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }

    def __str__(self) -> str:
        """One line for a terminal."""
        if self.kind == "identity":
            sign, other = (">", "not >") if self.relation == ">" else ("≡", "≠")
            text = f"{sign} 0" if self.holds else "not reduced" if self.holds is None else f"{other} 0: {self.computed}"
        elif self.computed is None:
            return f"{self.subject}: {self.what}"
        elif self.predicted is None:
            text = _show(self.computed)
        else:
            between = {"≥": "≥" if self.holds else "not ≥"}.get(self.relation or "", "against")
            text = f"{_show(self.computed)} {between} {_show(self.predicted)}"
            text += f" ± {self.error:.1e}" if self.error is not None else ""
        return f"{self.subject}: {self.what}: {text}"


def identity(
    subject: Model | str,
    what: str,
    expressions: sp.Expr | Iterable[sp.Expr],
    base: Mapping[sp.Symbol, sp.Expr] | None = None,
    seed: int = 0,
) -> Evidence:
    """Evidence that the expressions are identically 0: an exact proof, a witness against it, or neither.

    subject: the model they are about, for every response of which they have to vanish; or just a name.
    """
    items = [expressions] if isinstance(expressions, sp.Basic) else list(expressions)
    if isinstance(subject, Model) and isinstance(subject.response, Values):
        items = [e.subs(RESPONSE, y) for e in items for y in subject.response.exact]
    outcome = prove_zero(items, base, seed=seed)
    return Evidence(
        "identity",
        subject.name if isinstance(subject, Model) else subject,
        what,
        True if outcome.proved else False if outcome.refuted else None,
        computed=outcome.residual if outcome.refuted else None,
        trials=outcome.trials,
        witness=outcome.witness,
    )


def close(
    subject: str,
    what: str,
    computed: float,
    predicted: float,
    error: float,
    essential: bool = True,
    trials: int = 1,
    witness: Mapping[str, Any] | None = None,
) -> Evidence:
    """Evidence that two numbers agree within `error`, which the caller derives from resolution or sampling."""
    return _compared(
        "=", subject, what, abs(computed - predicted) <= error, computed, predicted, error, essential, trials, witness
    )


def at_least(
    subject: str,
    what: str,
    computed: float,
    bound: float,
    error: float = 0.0,
    essential: bool = True,
    trials: int = 1,
    witness: Mapping[str, Any] | None = None,
) -> Evidence:
    """Evidence that computed >= bound - error (a least slack over `trials`, say)."""
    return _compared("≥", subject, what, computed >= bound - error, computed, bound, error, essential, trials, witness)


def _compared(
    relation: Literal["=", "≥"],
    subject: str,
    what: str,
    holds: bool,
    computed: float,
    predicted: float,
    error: float,
    essential: bool,
    trials: int,
    witness: Mapping[str, Any] | None,
) -> Evidence:
    """An estimate; a number that is not finite never holds."""
    numbers = float(computed), float(predicted), float(error)
    holds = bool(holds) and bool(np.isfinite(numbers).all())
    return Evidence("estimate", subject, what, holds, *numbers, trials, essential, witness, relation)


def note(subject: str, what: str, computed: float | str, predicted: float | str | None = None) -> Evidence:
    """Something worth showing that is not judged."""
    return Evidence("note", subject, what, True, computed, predicted, essential=False)


def _show(value: float | str | None) -> str:
    return f"{value:.8g}" if isinstance(value, float) else str(value)
