"""Is the declared joint law of (y, z) given x an exponential family, and is it flat? Which term says no?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement

import mpmath
import sympy as sp

from moe_theory.errors import DerivationError, NotExponentialFamilyError
from moe_theory.model import RESPONSE, Counts, Model, Values
from moe_theory.symbolic.expectation import poisson_laws
from moe_theory.symbolic.identities import exact_form, prove_zero

SURE = 1e-9  # of a quadrature's own error, from which on it decides
AROUND = [30 * 1.03**k for k in range(1, 350)]  # where mass is looked for that quadrature has not seen
FAR = (1e3, 1e6)  # where |y| p(y) > 2 says that no law has such a tail: of one that falls, half of it is less than 1


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


def require_probability_law(model: Model) -> None:
    """DerivationError unless the gate sums to 1, and so do experts of a finite response; normal experts have the
    normal constant and a negative quadratic term; experts of counts are Poisson. Other densities are integrated."""
    if isinstance(model.response, Counts):
        poisson_laws(model)
    total = sp.Add(*(sp.exp(e) for e in model.log_gate)) - 1
    if not prove_zero(total).proved:
        raise DerivationError(
            f"model {model.name!r}: expected Σ_z P(z|x) = 1 exactly (rationals, not floats, in logarithms),"
            f" got log P = {model.log_gate}"
        )
    for z, expert in zip(model.latent, model.log_expert, strict=True):
        if isinstance(model.response, Counts):
            continue
        if model.response.values:
            residue = sp.Add(*(sp.exp(expert.subs(RESPONSE, y)) for y in model.response.values)) - 1
            normalised = prove_zero(residue).proved
        elif not (curvature := sp.expand(expert.diff(RESPONSE, 2))).has(RESPONSE):
            # exp(a + b y + c y²) integrates to 1 exactly if c < 0 and a = log(-c/π)/2 + b²/4c.
            c, b = curvature / 2, expert.diff(RESPONSE).subs(RESPONSE, 0)
            normalised = bool(c.is_negative)
            if normalised:
                log_constant = sp.expand_log(sp.log(-c / sp.pi) / 2, force=True)
                normalised = prove_zero(sp.expand(expert.subs(RESPONSE, 0) - log_constant - b**2 / (4 * c))).proved
        else:
            normalised = _integrates(model, expert)
        if not normalised:
            raise DerivationError(
                f"model {model.name!r}: expected Σ_y or ∫ p(y|x,z) dy = 1, got log p(y|x, z={z}) = {expert}"
            )


def _integrates(model: Model, expert: sp.Expr) -> bool:
    """False where p(y|x,z) at a point of the predictors does not fall far out, or quadrature is sure that its integral
    is not 1; where it is not sure (a kink, a heavy tail, mass far from 0) the declaration is taken at its word."""
    logarithm = sp.lambdify([RESPONSE, *model.symbols], exact_form(expert), "mpmath")
    density = sp.lambdify([RESPONSE, *model.symbols], exact_form(sp.exp(expert)), "mpmath")
    point = [mpmath.mpf(3 * i % 7 - 3) / 10 for i in range(1, 1 + len(model.symbols))]
    at = lambda y: density(mpmath.mpf(y), *point)
    nodes = [-30, -8, -4, -2, -1, 0, 1, 2, 4, 8, 30]
    try:
        far = lambda y, side: mpmath.log(y / 2) + logarithm(mpmath.mpf(side * y), *point)
        if any(all(far(y, side) > 0 for y in FAR) for side in (-1, 1)):
            return False
        if max(abs(at(nodes[0])), abs(at(nodes[-1]))) > SURE:  # there is more outside
            return True
        value, error = mpmath.quad(at, nodes, error=True, maxdegree=7)
    except (ArithmeticError, ValueError, TypeError):
        return True
    if error > SURE or abs(value) < SURE or abs(value - 1) <= 1000 * SURE:
        return True
    return value < 1 and any(abs(at(side * y)) > SURE for y in AROUND for side in (-1, 1))  # what lacks may be there


def curvature_obstruction(model: Model) -> str | None:
    """None if the family is flat in the predictors; else one line naming a term that makes it curved.

    Flat: the Hessian of log p(y,z|x) in η is the same for every y and z, so that log p is affine in η up to -A_x(η).
    """
    first = None
    for z, y, e in points(model):  # one by one: the first two labels mostly tell
        row = (z, y, e, sp.hessian(e, model.learnt))
        first = first or row
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
