"""Projected mirror descent for models that need not be flat, on tables (arXiv 2411.06056, Theorem 4.1).

Per x, the mirror step is taken in the natural coordinates of the full exponential family, where it is free; then the
point of the model nearest to it in E_X KL(step‖model) is sought. EM's M-step is computed beside it from the declared
densities alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import sympy as sp

from moe_theory.errors import DegenerateError
from moe_theory.laws import Finite
from moe_theory.model import RESPONSE, Model
from moe_theory.symbolic.derive import derive
from moe_theory.symbolic.lower import Compiled
from moe_theory.symbolic.natural import NaturalFamily, natural_family
from moe_theory.validation import Array

NEWTON = 100
TOLERANCE = 1e-14
SINGULAR = 1e-12  # least curvature of a step's objective, in the features' units, that is still a minimum


@dataclass(frozen=True, eq=False)
class MirrorStep:
    """The free step at the distinct features: x (n, d), weight (n,), ζ⁺ (k, n), its means ∇A(ζ⁺) (k, n)."""

    x: Array
    weight: Array
    zeta: Array
    mean: Array


def em_step(model: Model, law: Finite, theta: Array) -> Array:
    """argmin_φ Q(φ|θ) = -E Σ_z P_θ(z|x,y) log p(y,z|x;φ), (m, d), row by row from the declared densities.

    Raises DegenerateError where the minimum is not attained or not found.
    """
    theta = model.check_theta("theta", theta, law.dimension)
    model.response.check("y", law.y)
    posterior = _compiled_posterior(model)(law.y, *(model.coefficients(theta) @ law.x.T))
    value, slope, curvature = _complete_kernels(model)
    weight = np.broadcast_to(law.weight, law.y.shape)

    def derivatives(eta: Array) -> tuple[Array, Array, Array]:
        at = (law.y, *eta, *posterior)
        return value(*at)[0], slope(*at), curvature(*at)

    return _minimise(model, law.x, weight, derivatives, theta)


def mirror_step(model: Model, law: Finite, theta: Array, size: float = 1.0) -> MirrorStep:
    """Per distinct x: ∇A(ζ⁺) = ∇A(ζ) - size ∇_ζ L_x(ζ) at ζ = ζ(Θx), solved for ζ⁺.

    L_x(ζ) = -E[log p(y|x; ζ) | x], differentiated as the marginal it is. Raises DegenerateError if the step leaves the
    range of ∇A.
    """
    theta = model.check_theta("theta", theta, law.dimension)
    model.response.check("y", law.y)
    family, lowered = natural_family(model), _family_kernels(model)
    mass = np.broadcast_to(law.weight, law.y.shape)
    law = Finite(law.x[mass > 0], law.y[mass > 0], mass[mass > 0])
    x, group = np.unique(law.x, axis=0, return_inverse=True)
    weight = np.bincount(group.ravel(), np.broadcast_to(law.weight, law.y.shape), len(x))
    zeta = lowered.surface(*(model.coefficients(theta) @ x.T))
    score = lowered.score(law.y, *zeta[:, group.ravel()])
    share = np.broadcast_to(law.weight, law.y.shape) / weight[group.ravel()]
    gradient = np.stack([-np.bincount(group.ravel(), share * row, len(x)) for row in score])
    target = lowered.mean(*zeta) - size * gradient
    return MirrorStep(x, weight, _invert(family, target), target)


def project(model: Model, step: MirrorStep, start: Array) -> Array:
    """argmin_φ E_X KL(step_x ‖ p_φ(·|x)), (m, d): the projection on the model.

    Raises DegenerateError where the minimum is not attained or not found.
    """
    value, slope, curvature = _projection_kernels(model)

    def derivatives(eta: Array) -> tuple[Array, Array, Array]:
        at = (*eta, *step.mean)
        return value(*at)[0], slope(*at), curvature(*at)

    return _minimise(model, step.x, step.weight, derivatives, start)


def divergence_to(model: Model, step: MirrorStep, theta: Array) -> float:
    """E_X KL(step_x ‖ p_θ(·|x)) = E_X B_A(ζ(Θx)‖ζ⁺) >= 0: how far the free step is from the model's point θ."""
    lowered = _family_kernels(model)
    zeta = lowered.surface(*(model.coefficients(theta) @ step.x.T))
    gap = lowered.log_partition(*zeta)[0] - lowered.log_partition(*step.zeta)[0]
    return float(step.weight @ (gap - np.sum(step.mean * (zeta - step.zeta), axis=0)))


def kl_of_family(model: Model, law: Finite, theta: Array, phi: Array) -> float:
    """E_X KL(p_θ(y,z|x) ‖ p_φ(y,z|x)) = E_X B_A(ζ(Φx)‖ζ(Θx)), for any model with a natural family."""
    lowered = _family_kernels(model)
    at, to = (lowered.surface(*(model.coefficients(t) @ law.x.T)) for t in (theta, phi))
    gap = lowered.log_partition(*to)[0] - lowered.log_partition(*at)[0]
    value = gap - np.sum(lowered.mean(*at) * (to - at), axis=0)
    return float(np.broadcast_to(law.weight, law.y.shape) @ value)


@dataclass(frozen=True, eq=False)
class _FamilyKernels:
    surface: Compiled
    score: Compiled
    mean: Compiled
    log_partition: Compiled


@lru_cache(maxsize=16)
def _family_kernels(model: Model) -> _FamilyKernels:
    family = natural_family(model)
    log_density = sp.log(sp.Add(*(sp.exp(e) for e in family.log_joint)))
    return _FamilyKernels(
        Compiled(model.symbols, list(family.surface)),
        Compiled((RESPONSE, *family.symbols), [log_density.diff(s) for s in family.symbols]),
        Compiled(family.symbols, list(family.mean)),
        Compiled(family.symbols, [family.log_partition]),
    )


@lru_cache(maxsize=16)
def _compiled_posterior(model: Model) -> Compiled:
    return Compiled((RESPONSE, *model.symbols), list(derive(model).posterior))


@lru_cache(maxsize=16)
def _complete_kernels(model: Model) -> tuple[Compiled, Compiled, Compiled]:
    """-Σ_z q_z log p(y, z|x) with weights q: value, gradient and Hessian in the learnt predictors."""
    weights = [sp.Symbol(f"q{i}", real=True) for i in range(len(model.latent))]
    value = -sp.Add(*(q * e for q, e in zip(weights, model.log_joint, strict=True)))
    return _derivatives((RESPONSE, *model.symbols, *weights), value, model.learnt)


@lru_cache(maxsize=16)
def _projection_kernels(model: Model) -> tuple[Compiled, Compiled, Compiled]:
    """A(ζ(η)) - ⟨μ, ζ(η)⟩, which is KL(step‖model) up to a constant: value, gradient and Hessian in η."""
    family = natural_family(model)
    means = sp.Matrix([sp.Symbol(f"mu{j}", real=True) for j in range(len(family.symbols))])
    at = dict(zip(family.symbols, family.surface, strict=True))
    value = family.log_partition.subs(at, simultaneous=True) - means.dot(family.surface)
    return _derivatives((*model.symbols, *means), value, model.learnt)


def _derivatives(
    arguments: Sequence[sp.Symbol], value: sp.Expr, learnt: Sequence[sp.Symbol]
) -> tuple[Compiled, Compiled, Compiled]:
    return (
        Compiled(arguments, [value]),
        Compiled(arguments, [value.diff(s) for s in learnt]),
        Compiled(arguments, list(sp.hessian(value, learnt))),
    )


def _invert(family: NaturalFamily, target: Array) -> Array:
    """ζ⁺ with ∇A(ζ⁺) = target for every column; DegenerateError on the boundary of ∇A's range and outside it."""
    zeta = family.inverse_mean(target)
    at = _family_kernels(family.model).mean(*np.nan_to_num(zeta, posinf=0.0, neginf=0.0))
    if not np.isfinite(zeta).all() or np.max(np.abs(at - target)) > 1e-9 * (1 + np.max(np.abs(target))):
        raise DegenerateError(f"{family.model.name}: the mirror step is on the boundary of ∇A's range, or outside it")
    return zeta


def _minimise(
    model: Model,
    x: Array,
    weight: Array,
    derivatives: Callable[[Array], tuple[Array, Array, Array]],
    theta: Array,
) -> Array:
    """Damped Newton for Σ weight f(Θx), f given per row by value (n,), gradient (m, n) and Hessian (m², n) in η."""
    m, d = theta.shape
    known = model.coefficients(theta)[m:] @ x.T
    at = lambda t: derivatives(np.vstack([t @ x.T, known]))
    gram = (x.T * weight) @ x
    unit = np.sqrt(np.maximum(np.diagonal(gram), 1e-300))
    scale = np.tile(unit, m)
    unattained = DegenerateError(
        f"{model.name}: the minimum is not attained, or not unique (features that separate the labels, or without full"
        " rank)"
    )
    _, slope, curvature = at(theta)
    for _ in range(NEWTON):
        gradient = ((slope * weight) @ x).ravel()
        blocks = np.einsum("abn,n,ni,nj->aibj", curvature.reshape(m, m, -1), weight, x, x, optimize=True)
        hessian = blocks.reshape(m * d, m * d) / np.outer(scale, scale)
        least = float(np.linalg.eigvalsh(hessian)[0]) if np.isfinite(hessian).all() else -np.inf
        if -np.inf < least < -1e-9:
            raise DegenerateError(f"{model.name}: the objective of the step is not convex here")
        if least < SINGULAR:
            raise unattained
        move = -np.linalg.solve(hessian, gradient / scale) / scale
        decrement, fraction = -float(gradient @ move), 1.0
        if decrement <= TOLERANCE**2:
            return theta
        while True:
            trial = theta + fraction * move.reshape(m, d)
            _, slope, curvature = at(trial)
            ahead = float(((slope * weight) @ x).ravel() @ move)
            if ahead <= 0.5 * decrement:
                break
            fraction /= 2
            if fraction < 1e-12:
                raise DegenerateError(f"{model.name}: no step decreases the objective")
        theta = trial
        if np.max(np.abs(fraction * move.reshape(m, d)) / (1 + np.abs(theta))) < TOLERANCE:
            return theta
        if np.max(np.abs(theta)) > 1e8:
            raise unattained
    raise DegenerateError(f"{model.name}: no convergence in {NEWTON} Newton steps")
