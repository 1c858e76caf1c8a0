"""Is the declared joint law of (y, z) given x an exponential family, and is it flat? Which term says no?

Both are statements about values, proved or refuted by values: derivatives at a point say nothing of a function with
kinks or jumps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sympy as sp

from moe_theory.errors import DerivationError, NotExponentialFamilyError
from moe_theory.model import RESPONSE, Model
from moe_theory.symbolic.functions import in_canonical_signs, is_analytic
from moe_theory.symbolic.identities import nonzero_at, prove_zero, trial_points

FIRST = [sp.Rational(v) for v in ("0", "1", "-1", "1/2", "-1/2", "2", "-2", "1/3", "3", "10", "-10")]


def require_exponential_family(model: Model) -> None:
    """NotExponentialFamilyError naming the first term that is not a sum of products statistic(y, z) · parameter(η).

    With finitely many responses every law is one; with others each additive term T of an expert that holds both y and a
    learnt predictor must factor, i.e. T(y, η) T(y', η') = T(y, η') T(y', η) for all y, η and some y', η' where T ≠ 0.
    """
    if model.response.values:
        return
    for z, expert in zip(model.latent, model.log_expert, strict=True):
        for term in _terms(model, expert):
            mixed = [s for s in model.learnt if term.has(s)] if term.has(RESPONSE) else []
            if not mixed or _factors(term, mixed):
                continue
            raise NotExponentialFamilyError(
                f"model {model.name!r}: not an exponential family in (y, z): the term {term} of"
                f" log p(y|x, z={z}) is not a product of a function of y and a function of"
                f" {', '.join(map(str, mixed))}"
            )


def _factors(term: sp.Expr, mixed: Sequence[sp.Symbol]) -> bool:
    for point in trial_points(term, sorted(term.free_symbols, key=str), trials=8):
        if nonzero_at(term, point):
            at_y, at_eta = {RESPONSE: point[RESPONSE]}, {s: point[s] for s in mixed}
            residue = term * term.xreplace(at_y | at_eta) - term.xreplace(at_y) * term.xreplace(at_eta)
            return prove_zero(sp.expand(residue)).proved
    return False


def base_response(model: Model) -> sp.Expr | None:
    """A response at which the density of every label is finite, the rounder the better; None where none was found."""
    low, high = model.response.low, model.response.high
    candidates = list(model.response.exact) or [v for v in FIRST if low < v < high or (model.response.whole and v == 0)]
    if not candidates or not model.response.values:
        ends = [sp.Rational(str(e)) for e in (low, high) if abs(e) < float("inf")]
        if len(ends) == 2:
            candidates += [ends[0] + (ends[1] - ends[0]) * t for t in (sp.Rational(1, 2), sp.Rational(1, 3))]
        candidates += [e + v for e in ends for v in FIRST if low < e + v < high]
    bad = (sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I)
    for y in candidates:
        if not any(e.subs(RESPONSE, y).has(*bad) for e in model.log_joint):
            return y
    return None


def points(model: Model) -> Iterator[tuple[int, sp.Expr, sp.Expr]]:
    """(position of the label, y, log p(y,z|x)) over all labels and, if they are finitely many, all responses (else y
    stays a symbol)."""
    for i, log_joint in enumerate(model.log_joint):
        for y in model.response.exact or (RESPONSE,):
            yield i, y, log_joint.subs(RESPONSE, y)


@dataclass(frozen=True)
class Affine:
    """log p(y,z|x) - log p(y_0,z_0|x) = offset(y,z) + ⟨slopes(y,z), η⟩ for all η, z_0 the first label: a flat family.

    response: y_0. slopes: {(position of the label, y): one per learnt predictor}, y a symbol or a member of a finite
    domain.
    """

    response: sp.Expr
    slopes: dict[tuple[int, sp.Expr], tuple[sp.Expr, ...]]


def affine_family(model: Model) -> Affine | str:
    """The family's slopes where it is proved to be flat in the predictors, else one line naming a term that makes it
    curved. DerivationError where neither could be decided.

    Flat: log p(y,z|x) is affine in η, whatever y and z, up to one -A_x(η) that all of them share.
    """
    response = base_response(model)
    if response is None:
        return f"model {model.name!r}: curved: no response was found at which all densities are finite"
    reference = model.log_joint[0].subs(RESPONSE, response)
    slopes: dict[tuple[int, sp.Expr], tuple[sp.Expr, ...]] = {}
    zero = dict.fromkeys(model.learnt, sp.Integer(0))
    for i, y, log_joint in points(model):
        difference = sp.Add(*_terms(model, in_canonical_signs(log_joint - reference)))
        linear, rest = _linear(difference, model.learnt)
        if rest:
            bent = sp.Add(*rest)
            slope = [bent.diff(s).subs(zero) for s in model.learnt]
            line = sum((b * s for b, s in zip(slope, model.learnt, strict=True)), bent.subs(zero))
            outcome = prove_zero(bent - line, base=zero)
            if outcome.refuted:
                return _bend(model, i, y, rest)
            if not outcome.proved:
                raise DerivationError(
                    f"model {model.name!r}: could not decide whether {bent} is affine in the predictors, which"
                    f" log p(y, z={model.latent[i]}|x) has more than at the first label"
                )
            linear = [a + b for a, b in zip(linear, slope, strict=True)]
        slopes[i, y] = tuple(sp.expand(s) for s in linear)
    return Affine(response, slopes)


def _terms(model: Model, expr: sp.Expr) -> tuple[sp.Expr, ...]:
    """The additive terms of `expr`, pieces of y alone as factors: Piecewise((a, y > 0), (b, True)) is a 1[y > 0] + …"""
    moving = set(model.learnt)

    def split(node: sp.Piecewise) -> sp.Expr:
        return sp.Add(
            *(
                value * sp.Piecewise(*((int(i == j), c) for j, (_, c) in enumerate(node.args)), evaluate=False)
                for i, (value, _) in enumerate(node.args)
            )
        )

    fixed = lambda e: (
        isinstance(e, sp.Piecewise)
        and e.free_symbols & moving
        and not any(condition.free_symbols & moving for _, condition in e.args)
    )
    return sp.Add.make_args(sp.expand(expr.replace(fixed, split)))


def _linear(expr: sp.Expr, learnt: Sequence[sp.Symbol]) -> tuple[list[sp.Expr], list[sp.Expr]]:
    """(coefficients of the terms c · η_j, the other terms with a learnt predictor)."""
    slopes, rest = [sp.Integer(0)] * len(learnt), []
    for term in sp.Add.make_args(expr):
        for j, s in enumerate(learnt):
            coefficient, own = term.as_independent(s, as_Add=False)
            if own == s and not coefficient.free_symbols & set(learnt):
                slopes[j] += coefficient
                break
        else:
            if term.free_symbols & set(learnt):
                rest.append(term)
    return slopes, rest


def _bend(model: Model, label: int, y: sp.Expr, rest: Sequence[sp.Expr]) -> str:
    """The obstruction: the first term in the declaration that is not affine in the predictors of what is left."""
    left = {sign * t for t in rest for sign in (1, -1)}
    for i, response, log_joint in points(model):
        if i not in (0, label) or (i == label and response != y):
            continue
        for term in sp.Add.make_args(sp.expand(log_joint)):
            own = _linear(sp.expand(in_canonical_signs(term)), model.learnt)[1]
            if left.intersection(own):
                kink = "" if is_analytic(term, model.learnt) else " (it has kinks)"
                return (
                    f"model {model.name!r}: curved: the term {term} of log p(y, z={model.latent[i]}|x) is not affine in"
                    f" the predictors{kink} and differs between values of (y, z)"
                )
    return f"model {model.name!r}: curved: {rest[0]} of log p(y, z={model.latent[label]}|x) is not affine"
