"""The shape that flat models with two labels share: one logistic weight per row for the label, one per gate.

The posterior logit is affine in the predictors, τ = offset(y, known) + Δs(y)·η, so that I_{z|x,y} = σ'(τ) ΔsΔs'; and
where the mirror map is a quadratic form plus softplus of affine forms, ∇²A_x = C + Σ κ σ'(l·η + b) ll'. Whatever bounds
σ' on an interval then bounds both informations on a region.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from moe_theory.atoms import softplus
from moe_theory.errors import InputError
from moe_theory.model import RESPONSE, Model
from moe_theory.symbolic.derive import derive
from moe_theory.symbolic.identities import prove_zero


@dataclass(frozen=True)
class Softplus:
    """A term κ log(1 + exp(l·η + b)) of the mirror map: weight κ > 0, slopes l (m rationals), shift b (a function of
    known predictors)."""

    weight: sp.Expr
    slopes: tuple[sp.Expr, ...]
    shift: sp.Expr


@dataclass(frozen=True, eq=False)
class TwoLabels:
    """change: Δs(y) = s(y, second label) - s(y, first), (m,). first: s(y, first label), (m,). offset: the posterior
    logit of the second label at η = 0, a function of y and the known predictors. quadratic: C, (m, m). linear: of A,
    (m,).
    """

    model: Model
    change: tuple[sp.Expr, ...]
    first: tuple[sp.Expr, ...]
    offset: sp.Expr
    quadratic: sp.Matrix
    linear: tuple[sp.Expr, ...]
    terms: tuple[Softplus, ...]


@lru_cache(maxsize=64)
def two_labels(model: Model) -> TwoLabels:
    """That shape of `model`, from its derivation.

    Raises InputError for a model with other than two labels or with a mirror map that is not of this kind, and
    CurvedModelError for one that is not flat.
    """
    theory = derive(model)
    mirror = theory.mirror_map  # CurvedModelError says which term is not flat
    if len(model.latent) != 2:
        raise InputError(f"model: expected two labels, {model.name!r} has {len(model.latent)}")
    learnt, known = model.learnt, set(model.symbols) - set(model.learnt)
    first, second = theory.statistics
    change = tuple(sp.expand(e) for e in second - first)
    if any(e.free_symbols - {RESPONSE} for e in (*change, *first)):
        raise InputError(f"model: expected statistics of y and z alone, {model.name!r} has some of known predictors")
    polynomial, terms = sp.Integer(0), []
    for term in sp.Add.make_args(sp.expand(mirror)):
        if term.has(softplus):
            terms.append(_softplus(model, term))
        else:
            polynomial += term
    if not polynomial.is_polynomial(*learnt) or (polynomial.free_symbols & known):
        raise _other(model, mirror)
    hessian = sp.hessian(polynomial, learnt)
    zero = dict.fromkeys(learnt, 0)
    if not all(e.is_number for e in hessian) or not hessian.is_positive_semidefinite:
        raise _other(model, mirror)
    found = TwoLabels(
        model,
        change,
        tuple(first),
        sp.expand(theory.logits[1].subs(zero)),
        hessian,
        tuple(polynomial.diff(s).subs(zero) for s in learnt),
        tuple(terms),
    )
    eta = sp.Matrix(learnt)
    curvature = hessian
    for t in found.terms:
        curvature += t.weight * sp.hessian(softplus(sp.Matrix(t.slopes).dot(eta) + t.shift), learnt)
    if not prove_zero(list(curvature - theory.complete_information)).proved:
        raise _other(model, mirror)
    return found


def _softplus(model: Model, term: sp.Expr) -> Softplus:
    """The parts of κ softplus(l·η + b), or InputError."""
    weight, rest = term.as_independent(*model.learnt, as_Add=False)
    if not isinstance(rest, softplus) or not (weight.is_number and weight.is_positive):
        raise _other(model, term)
    (inside,) = rest.args
    slopes = tuple(sp.expand(inside).diff(s) for s in model.learnt)
    if not all(e.is_rational for e in slopes):
        raise _other(model, term)
    return Softplus(weight, slopes, sp.expand(inside.subs(dict.fromkeys(model.learnt, 0))))


def _other(model: Model, term: sp.Expr) -> InputError:
    return InputError(
        f"model: expected a mirror map of quadratic terms and softplus of affine forms, {model.name!r} has {term}"
    )
