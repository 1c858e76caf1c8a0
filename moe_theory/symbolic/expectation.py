"""Exact expectations over the response given the label: finite sums, moments of a recognised normal or Poisson law, or
what the mean of the score, which is 0, says of an exponential family's statistics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from moe_theory.atoms import expit, log_normal, log_poisson
from moe_theory.errors import DerivationError
from moe_theory.model import RESPONSE, Model
from moe_theory.response import Counts, Reals, Values
from moe_theory.symbolic.identities import prove_zero


@dataclass(frozen=True)
class NormalExpert:
    """y | x, z ~ N(mean, sigma²), recognised from the declared log-density; sigma may depend on predictors."""

    mean: sp.Expr
    sigma: sp.Expr


@lru_cache(maxsize=64)
def normal_laws(model: Model) -> tuple[NormalExpert, ...]:
    """The normal law of y given each label; DerivationError if an expert's density is another one."""
    experts = []
    for z, expert in zip(model.latent, model.log_expert, strict=True):
        real = isinstance(model.response, Reals)
        precision = -sp.expand(expert.diff(RESPONSE, 2)) if real else sp.Integer(0)
        found = not precision.has(RESPONSE) and precision.is_positive
        if found:
            normal = NormalExpert(
                sp.expand(expert.diff(RESPONSE).subs(RESPONSE, 0) / precision),
                sp.powdenest(precision ** sp.Rational(-1, 2)),
            )
            claimed = sp.expand_log(log_normal(RESPONSE, normal.mean, normal.sigma), force=True)
            found = prove_zero(sp.expand(expert - claimed)).proved
        if not found:
            raise DerivationError(
                f"model {model.name!r}: expected an expert with a normal density or a finite response, got"
                f" log p(y|x, z={z}) = {expert}"
            )
        experts.append(normal)
    return tuple(experts)


def normal_experts(model: Model) -> tuple[NormalExpert, ...]:
    """`normal_laws` with variances that are numbers; DerivationError otherwise."""
    laws = normal_laws(model)
    for z, law, expert in zip(model.latent, laws, model.log_expert, strict=True):
        if not law.sigma.is_number:
            raise DerivationError(
                f"model {model.name!r}: expected an expert with a normal density of constant variance or a finite"
                f" response, got log p(y|x, z={z}) = {expert}"
            )
    return laws


@lru_cache(maxsize=64)
def poisson_laws(model: Model) -> tuple[sp.Expr, ...]:
    """The log-mean of y given each label; DerivationError if an expert is not Poisson."""
    means = []
    for z, expert in zip(model.latent, model.log_expert, strict=True):
        log_mean = sp.expand(expert.subs(RESPONSE, 1) - expert.subs(RESPONSE, 0))
        if not isinstance(model.response, Counts) or sp.expand(expert - log_poisson(RESPONSE, log_mean)) != 0:
            raise DerivationError(
                f"model {model.name!r}: expected a Poisson expert of counts, got log p(y|x, z={z}) = {expert}"
            )
        means.append(log_mean)
    return tuple(means)


def expect_response(model: Model, label: int, expr: sp.Expr) -> sp.Expr:
    """E[expr(y) | x, z = latent[label]] exactly: a sum over finite responses; a polynomial in y for normal experts, of
    degree 2 at most for Poisson ones; a linear combination of the density's own functions of y for others."""
    if isinstance(model.response, Values):
        probability = lambda y: sp.exp(model.log_expert[label].subs(RESPONSE, y))
        return sp.Add(*(probability(y) * expr.subs(RESPONSE, y) for y in model.response.exact))
    curvature = expr.diff(RESPONSE, 2)
    try:
        if isinstance(model.response, Counts):
            normal, mean = None, sp.exp(poisson_laws(model)[label])
            variance = mean
        else:
            normal = normal_laws(model)[label]
            mean, variance = normal.mean, normal.sigma**2
    except DerivationError:
        return _by_the_score(model, label, expr)
    if not curvature.has(RESPONSE):
        # Around the mean nothing is expanded, so that nothing large has to cancel when it is evaluated.
        return expr.subs(RESPONSE, mean) + variance * curvature / 2
    if normal is None:
        raise DerivationError(f"model {model.name!r}: expected a polynomial of degree 2 in y at most, got {expr}")
    terms = sp.Poly(sp.expand(expr), RESPONSE).terms()
    return sp.Add(*(c * _normal_moment(k, normal) for (k,), c in terms))


def _by_the_score(model: Model, label: int, expr: sp.Expr) -> sp.Expr:
    """From E[∂ log p(y|x,z)/∂η] = 0, one linear equation per learnt predictor in the means of the functions of y that
    log p(y|x,z) is made of; DerivationError where these do not tell what `expr` needs."""
    density = _by_functions_of_y(model.log_expert[label])
    free = [s for s in model.learnt if model.log_expert[label].has(s)]
    moving = [f for f, c in density.items() if f != 1 and any(c.has(s) for s in free)]
    wanted = _by_functions_of_y(expr)
    unknown = set(wanted) - {sp.Integer(1), *moving}
    scores = sp.Matrix([[density[f].diff(s) for f in moving] for s in free])
    if unknown or not moving or scores.rank(simplify=True) < len(moving):
        raise DerivationError(
            f"model {model.name!r}: expected an expert whose score tells the mean of {unknown or moving}, a normal"
            f" density or a finite response, got log p(y|x, z={model.latent[label]}) = {model.log_expert[label]}"
        )
    constants = sp.Matrix([-density.get(sp.Integer(1), sp.Integer(0)).diff(s) for s in free])
    means = scores.solve(constants) if scores.is_square else scores.pinv_solve(constants)
    tidy = lambda e: sp.cancel(sp.together(e.rewrite(expit, sp.exp)))
    total = wanted.get(sp.Integer(1), sp.Integer(0))
    return total + sp.Add(*(wanted[f] * tidy(m) for f, m in zip(moving, means, strict=True) if f in wanted))


def _by_functions_of_y(expr: sp.Expr) -> dict[sp.Expr, sp.Expr]:
    """{function of y: its coefficient}, 1 for what is free of y; `expr` is their sum."""
    found: dict[sp.Expr, sp.Expr] = {}
    for term in sp.Add.make_args(sp.expand(expr)):
        coefficient, function = term.as_independent(RESPONSE, as_Add=False)
        scale, function = function.as_coeff_Mul()
        found[function] = found.get(function, sp.Integer(0)) + scale * coefficient
    return found


def expect_joint(model: Model, per_label: list[sp.Expr]) -> sp.Expr:
    """E[f(y, z) | x] under the model, f given as one expression in y per label."""
    return sp.Add(
        *(
            sp.exp(g) * expect_response(model, i, f)
            for i, (g, f) in enumerate(zip(model.log_gate, per_label, strict=True))
        )
    )


def _normal_moment(k: int, normal: NormalExpert) -> sp.Expr:
    """E[y^k] by the recursion E[y^k] = mean E[y^(k-1)] + (k-1) sigma² E[y^(k-2)] (Stein)."""
    moments = [sp.Integer(1), normal.mean]
    for j in range(2, k + 1):
        moments.append(sp.expand(normal.mean * moments[-1] + (j - 1) * normal.sigma**2 * moments[-2]))
    return moments[k]


def linear_means(model: Model) -> tuple[list[list[float]], list[float], list[float]]:
    """Per label of normal experts: coefficients of the mean in all predictors, its constant, its sigma.

    DerivationError if an expert is not normal or its mean not linear in the predictors.
    """
    vectors, constants, sigmas = [], [], []
    for expert in normal_experts(model):
        coefficients = [expert.mean.diff(s) for s in model.symbols]
        if not all(c.is_number for c in coefficients):
            raise DerivationError(
                f"model {model.name!r}: expected experts with mean linear in the predictors, got mean {expert.mean}"
            )
        vectors.append([float(c) for c in coefficients])
        constants.append(float(expert.mean.subs(dict.fromkeys(model.symbols, 0))))
        sigmas.append(float(expert.sigma))
    return vectors, constants, sigmas
