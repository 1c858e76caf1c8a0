"""General models: the mirror step per x in natural coordinates, projected on the model in E_X KL, is EM's M-step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import sympy as sp

from moe_theory.algorithms.projected import divergence_to, em_step, mirror_step, project
from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, at_least, close, identity, note
from moe_theory.laws import Finite
from moe_theory.model import Model
from moe_theory.symbolic.derive import AsIfFlat
from moe_theory.symbolic.natural import NaturalFamily, natural_family
from moe_theory.zoo import linear_experts, symmetric_linear, symmetric_logistic
from proofs_checks.shared import primed

Term = Callable[[NaturalFamily, sp.Matrix, sp.Matrix], sp.Expr]


def kl_to_model(family: NaturalFamily, mean: sp.Matrix, zeta: sp.Matrix) -> sp.Expr:
    """KL(p_step‖p_ζ) up to what does not depend on ζ: A(ζ) - ⟨∇A(ζ⁺), ζ⟩."""
    at = dict(zip(family.symbols, zeta, strict=True))
    return family.log_partition.subs(at, simultaneous=True) - mean.dot(zeta)


@dataclass(frozen=True)
class Projection:
    """nearest: what is minimised over the model, given ∇A(ζ⁺) and ζ(φ); gradient: the sign of ∇_ζ L_x in ∇A(ζ⁺) =
    ∇A(ζ) - ∇_ζ L_x; size: of the step. in_family: (y, z)|x is in the family that the step is taken in."""

    nearest: Term = kl_to_model
    gradient: int = 1
    size: float = 1.0
    in_family: bool = True


def check(setting: Setting, claimed: Projection) -> Iterator[Evidence]:
    """Per row, with posterior weights q: the step's mean is Σ_z q_z s(y, z), and KL(step‖φ) = Q_x(φ|θ) + const."""
    for model in (*setting.models, linear_experts()):
        family = natural_family(model)
        posterior = _posterior(family)
        step = sum((q * s for q, s in zip(posterior, family.statistics, strict=True)), sp.zeros(len(family.symbols), 1))
        log_density = sp.log(sp.Add(*(sp.exp(e) for e in family.log_joint)))
        slope = sp.Matrix([-log_density.diff(s) for s in family.symbols])
        moved = family.mean - claimed.gradient * claimed.size * slope
        yield identity(model, r"$\nabla A(\zeta) - \nabla_\zeta L_x - E[s|x,y]$", list(moved - step))
        yield identity(
            model,
            r"$\nabla_\varphi \mathrm{KL}(\mathrm{step}\|p_\varphi) - \nabla_\varphi Q_x(\varphi|\theta)$",
            _difference(claimed, family),
        )
    rng = setting.rng()
    for model in (linear_experts(), symmetric_linear(), symmetric_logistic()):
        law = _table(model, rng)
        theta = rng.standard_normal((len(model.predictors), law.dimension))
        step = mirror_step(model, law, theta, claimed.size * claimed.gradient)
        direct, projected = em_step(model, law, theta), project(model, step, theta)
        error = float(np.max(np.abs(direct - projected)))
        what = f"largest difference of EM's M-step and the projected mirror step on {len(law)} rows"
        yield close(model.name, what, error, 0.0, 1e-12 * (1 + float(np.max(np.abs(direct)))), essential=False)
        way = divergence_to(model, step, projected)
        yield at_least(
            model.name,
            r"the projection is not trivial: $E_X\,\mathrm{KL}$ of the step from it",
            way,
            1e-3,
            essential=False,
        )
        yield note(
            model.name, r"for comparison: $E_X \mathrm{KL}(\mathrm{step}\|p_\theta)$", divergence_to(model, step, theta)
        )
    # With as many distinct x as features every function of x is linear: the model is the family, nothing to project.
    model, law = linear_experts(), _table(linear_experts(), rng, distinct=2)
    theta = rng.standard_normal((3, 2))
    step = mirror_step(model, law, theta, claimed.size * claimed.gradient)
    way = divergence_to(model, step, project(model, step, theta))
    yield close(
        model.name, "the projection is trivial where x takes d values: KL(step‖its projection)", way, 0.0, 1e-12, False
    )


def _difference(claimed: Projection, family: NaturalFamily) -> list[sp.Expr]:
    """∂/∂φ of what is minimised less ∂/∂φ of -Σ_z q_z log p(y, z; φ), the weights q summing to 1."""
    model = family.model
    move = primed(model)
    at = lambda e: e.subs(move, simultaneous=True)
    free = [sp.Symbol(f"q{i}", real=True) for i in range(1, len(model.latent))]
    weights = [1 - sp.Add(*free), *free]
    statistics = family.statistics
    if not claimed.in_family:
        # A family without the statistic that comes last, and so without the model's laws.
        statistics = tuple(sp.Matrix([*s[:-1], 0]) for s in statistics)
    mean = sum((q * s for q, s in zip(weights, statistics, strict=True)), sp.zeros(len(family.symbols), 1))
    q = -sp.Add(*(w * at(e) for w, e in zip(weights, model.log_joint, strict=True)))
    nearest = claimed.nearest(family, mean, at(family.surface))
    return [(nearest - q).diff(phi) for phi in move.values()]


def _posterior(family: NaturalFamily) -> list[sp.Expr]:
    joint = [sp.exp(e) for e in family.log_joint]
    return [j / sp.Add(*joint) for j in joint]


def _table(model: Model, rng: np.random.Generator, distinct: int = 6) -> Finite:
    """A finite law of x in R² and of y, several y to each x, with unequal weights."""
    x = np.repeat(rng.standard_normal((distinct, 2)), 4, axis=0)
    values = model.response.values
    # A response that is never seen at some x would put the free step on the boundary there.
    y = np.resize(values, len(x)).astype(float) if values else 2 * rng.standard_normal(len(x))
    return Finite(x, y, 0.5 + rng.random(len(x)))


def _as_if_flat(family: NaturalFamily, mean: sp.Matrix, zeta: sp.Matrix) -> sp.Expr:
    """The flat formula, no projection: A as a function of the predictors, their own statistics' mean matched."""
    theory = AsIfFlat(family.model)
    move = primed(family.model)
    free = [sp.Symbol(f"q{i}", real=True) for i in range(1, len(family.model.latent))]
    weights = [1 - sp.Add(*free), *free]
    target = sum((w * s for w, s in zip(weights, theory.statistics, strict=True)), sp.zeros(len(move), 1))
    return theory.mirror_map.subs(move, simultaneous=True) - target.dot(sp.Matrix(list(move.values())))


CLAIM = Claim(
    id="em-is-projected-mirror-descent",
    title="In general EM is projected mirror descent",
    statement=r"per x, $\nabla A(\zeta^+_x) = \nabla A(\zeta_x) - \nabla_\zeta L_x$ in the natural coordinates of"
    r" $p(y,z|x)$, where there is such a $\zeta^+_x$; then EM's next iterate is"
    r" $\arg\min_\varphi E_X \mathrm{KL}(p_{\zeta^+_x}\|p_\varphi)$",
    source="arXiv 2411.06056, Theorem 4.1; Kunstner, Kumar and Schmidt (AISTATS 2021)",
    hypotheses=(
        Hypothesis("(y, z)|x is in the exponential family of the step (derived)", Projection(in_family=False)),
    ),
    expected="proved",
    check=check,
    claimed=Projection(),
    mutants={
        "no projection: the flat formula": Mutant("form", Projection(nearest=_as_if_flat)),
        "projection with the arguments exchanged": Mutant(
            "exchange",
            Projection(
                nearest=lambda f, mean, zeta: (
                    kl_to_model(f, mean, zeta) - 2 * f.log_partition.subs(dict(zip(f.symbols, zeta, strict=True)))
                )
            ),
        ),
        "half the step": Mutant("constant", Projection(size=0.5)),
        "uphill": Mutant("sign", Projection(gradient=-1)),
        "Euclidean projection in natural coordinates": Mutant(
            "form", Projection(nearest=lambda f, mean, zeta: (zeta - mean).dot(zeta - mean) / 2)
        ),
    },
    order=12,
)
