"""Is the declared joint law of (y, z) given x an exponential family, and is it flat? Which term says no?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement

import sympy as sp

from moe_theory.errors import NotExponentialFamilyError
from moe_theory.model import RESPONSE, Model, Values
from moe_theory.symbolic.identities import prove_zero


def require_exponential_family(model: Model) -> None:
    """NotExponentialFamilyError naming the first term that is not a sum of products statistic(y, z) · parameter(η).

    With finitely many responses every law is one; with real responses each additive term of an expert that holds
    both y and a learnt predictor must factor, i.e. T ∂²T/∂y∂η = ∂T/∂y ∂T/∂η.
    """
    if isinstance(model.response, Values):
        return
    for z, expert in zip(model.latent, model.log_expert, strict=True):
        for term in sp.Add.make_args(sp.expand(expert)):
            mixed = [s for s in model.learnt if term.has(s)] if term.has(RESPONSE) else []
            for s in mixed:
                residue = term * term.diff(RESPONSE, s) - term.diff(RESPONSE) * term.diff(s)
                if not prove_zero(residue).proved:
                    raise NotExponentialFamilyError(
                        f"model {model.name!r}: not an exponential family in (y, z): the term {term} of"
                        f" log p(y|x, z={z}) is not a product of a function of y and a function of {s}"
                    )


def curvature_obstruction(model: Model) -> str | None:
    """None if the family is flat in the predictors; else one line naming a term that makes it curved.

    Flat: the Hessian of log p(y,z|x) in η is the same for every y and z, so that log p is affine in η up to -A_x(η).
    """
    rows = [(z, y, e, sp.hessian(e, model.learnt)) for z, y, e in points(model)]
    first = rows[0]
    for row in rows:
        for a, b in combinations_with_replacement(range(len(model.learnt)), 2):
            differences = [(row[3] - first[3])[a, b]]
            if row[1] is RESPONSE:
                differences.append(row[3][a, b].diff(RESPONSE))
            if not prove_zero(differences).proved:
                z, term = _bent_term((row, first), model.learnt[a], model.learnt[b])
                return (
                    f"model {model.name!r}: curved: the term {term} of log p(y, z={z}|x) is not affine in the"
                    " predictors and differs between values of (y, z)"
                )
    return None


def points(model: Model) -> Iterator[tuple[sp.Expr, sp.Expr, sp.Expr]]:
    """(z, y, log p(y,z|x)) over all labels and, if they are finitely many, all responses (else y stays a symbol)."""
    finite = isinstance(model.response, Values)
    for z, log_joint in zip(model.latent, model.log_joint, strict=True):
        for y in model.response.values if finite else (RESPONSE,):
            yield z, sp.sympify(y), log_joint.subs(RESPONSE, y)


def _bent_term(
    rows: Sequence[tuple[sp.Expr, sp.Expr, sp.Expr, sp.Matrix]], a: sp.Symbol, b: sp.Symbol
) -> tuple[sp.Expr, sp.Expr]:
    """(label, term) of the first additive term with a second derivative in (a, b)."""
    return next(
        (z, term)
        for z, _, log_joint, _ in rows
        for term in sp.Add.make_args(sp.expand(log_joint))
        if term.diff(a, b) != 0
    )
