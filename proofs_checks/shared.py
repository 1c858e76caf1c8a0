"""Symbols, expressions and inequalities that several claims speak of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np
import sympy as sp

from moe_theory.algorithms import MirrorDescent
from moe_theory.algorithms.projected import em_step, kl_of_family
from moe_theory.analysis.regions import lambda_at
from moe_theory.atoms import exact
from moe_theory.claims import Evidence, Hypothesis, Instance, Setting, identity
from moe_theory.laws import Finite
from moe_theory.model import Model
from moe_theory.operators import bregman
from moe_theory.symbolic.derive import Derivation, derive
from moe_theory.validation import Array

_WHOLE = sp.Integer(1)
FLAT = Hypothesis("flat: the coordinates are natural parameters of (y, z)|x (derived)", setting=Setting.curved)


def primed(model: Model) -> dict[sp.Symbol, sp.Symbol]:
    """{η_name: φ_name}: a second point for every learnt predictor."""
    return {s: sp.Symbol(f"phi_{name}", real=True) for s, name in zip(model.learnt, model.predictors, strict=True)}


def at(theory: Derivation, expr: sp.Expr | sp.Matrix, point: sp.Matrix) -> sp.Expr | sp.Matrix:
    """An expression in η at another point."""
    return expr.subs(dict(zip(theory.model.learnt, point, strict=True)), simultaneous=True)


def bregman_of(theory: Derivation, phi: sp.Matrix, eta: sp.Matrix) -> sp.Expr:
    """B_{A_x}(φ‖η), the tangent at the second argument."""
    a = theory.mirror_map
    return at(theory, a, phi) - at(theory, a, eta) - at(theory, theory.mean, eta).dot(phi - eta)


def posterior_kl_of(theory: Derivation, eta: sp.Matrix, phi: sp.Matrix) -> sp.Expr:
    """KL(P_η(z|x,y) ‖ P_φ(z|x,y))."""
    log = [sp.log(p) for p in theory.posterior]
    return sp.Add(
        *(
            at(theory, p, eta) * (at(theory, e, eta) - at(theory, e, phi))
            for p, e in zip(theory.posterior, log, strict=True)
        )
    )


@lru_cache(maxsize=8)
def relative_hessian(theory: Derivation) -> Evidence:
    """L - αA has the Hessian (1-α)∇²A - I_z, per row."""
    alpha, learnt = sp.Symbol("alpha", real=True), theory.model.learnt
    hessian = sp.hessian(-sp.log(theory.density) - alpha * theory.mirror_map, learnt)
    predicted = (1 - alpha) * theory.complete_information - theory.missing_information
    what = r"$\partial^2(L_x - \alpha A_x)/\partial\eta^2 - ((1-\alpha)\nabla^2 A_x - I_{z|x,y})$"
    return identity(theory.model, what, list(hessian - predicted))


def decrease_less(theory: Derivation, guaranteed: sp.Expr, eta: sp.Matrix, phi: sp.Matrix, exact: bool) -> sp.Expr:
    """L_x(η) - L_x(φ) - guaranteed - KL(post_η‖post_φ), plus ⟨∇L(η) + ∇A(φ) - ∇A(η), φ - η⟩, whose mean over x is 0
    where φ is the exact EM step, if it is that (`exact`)."""
    loss = -sp.log(theory.density)
    slope = sp.Matrix([loss.diff(s) for s in eta])
    vanishing = (slope + at(theory, theory.mean, phi) - theory.mean).dot(phi - eta)
    rest = loss - at(theory, loss, phi) - guaranteed - posterior_kl_of(theory, eta, phi)
    return rest + (vanishing if exact else 0)


def three_points(
    rate: Callable[[sp.Expr], sp.Expr] = lambda alpha: 1 - alpha,
    step: float = 1.0,
    exchanged: bool = False,
    backwards: bool = False,
    convex: bool = True,
    share: sp.Expr = _WHOLE,
) -> sp.Expr:
    """rate(α) B(θ*‖θ) - B(θ*‖θ⁺) - (L(θ⁺) - L(θ*)) less the two slacks that are >= 0 by hypothesis:

    L(θ*) - L(θ) - ⟨∇L(θ), θ*-θ⟩ - αB(θ*‖θ)   (relative strong convexity between θ and θ*) and
    L(θ) + ⟨∇L(θ), θ⁺-θ⟩ + B(θ⁺‖θ) - L(θ⁺)   (1-smoothness, by majorization),

    where step ∇L(θ) = ∇A(θ) - ∇A(θ⁺). For EM's step and the rate 1-α it is identically 0 in all values, points and
    gradients: that is the proof. exchanged: the B's arguments; backwards: their times; convex: the first slack is to be
    had. Where it does not vanish, nothing is proved (and nothing refuted).

    share: θ⁺ after that share s of the step, ∇A(θ_s) = ∇A(θ) - s step ∇L(θ), and for α, the gap and the slacks s times
    of each; (1-s) B(θ_s‖θ) is taken off besides. See `path`.
    """
    alpha = sp.Symbol("alpha", real=True)
    loss, potential, point, slope = (
        dict(zip("tns", symbols, strict=True))
        for symbols in (
            sp.symbols("L_t L_n L_s", real=True),
            sp.symbols("A_t A_n A_s", real=True),
            [sp.Matrix(sp.symbols(f"{k}1 {k}2", real=True)) for k in "tns"],
            [sp.Matrix(sp.symbols(f"g{k}1 g{k}2", real=True)) for k in "tns"],
        )
    )
    b = lambda p, q: potential[p] - potential[q] - slope[q].dot(point[p] - point[q])
    gradient = (slope["t"] - slope["n"]) / (share * exact(step))
    slack = loss["s"] - loss["t"] - gradient.dot(point["s"] - point["t"]) - alpha * b("s", "t")
    smooth = loss["t"] + gradient.dot(point["n"] - point["t"]) + b("n", "t") - loss["n"]
    before, after = (b(q, "s") if exchanged else b("s", q) for q in ("nt" if backwards else "tn"))
    slacks = loss["n"] - loss["s"] + smooth + (slack if convex else 0)
    return sp.expand(rate(share * alpha) * before - after - share * slacks - (1 - share) * b("n", "t"))


def path(rate: Callable[[sp.Expr], sp.Expr] = lambda alpha: 1 - alpha, step: float = 1.0) -> Evidence:
    """EM from a Bregman ball Θ = {B_A(θ*‖·) <= ρ} ends its step in Θ, though L >= L(θ*) is known in Θ alone.

    The steps of size s in [0, 1] lead along a continuous path from θ to θ⁺ (∇A maps onto a convex set). As long as
    θ_s is in Θ, L(θ_s) >= L(θ*) and both slacks are >= 0, so that by the identity B_A(θ*‖θ_s) <= (1-sα) B_A(θ*‖θ) -
    (1-s) B_A(θ_s‖θ). Were θ inside Θ and θ_s the first of them on its boundary, that would be less than ρ, and it is
    not: there is no such s. A θ on the boundary is a limit of points inside, and Θ is closed.
    """
    what = (
        r"$(1-s\alpha)B_A(\theta^*\|\theta) - B_A(\theta^*\|\theta_s) - s(L(\theta_s)-L^*)$ - s times the slacks -"
        r" $(1-s)B_A(\theta_s\|\theta)$ for every share $s\in(0,1]$ of the step: no path of them leaves $\Theta$"
    )
    share = sp.Symbol("s", positive=True)
    return identity("any flat model", what, three_points(rate, step, share=share))


def telescoped() -> list[sp.Expr]:
    """Σ_{t=1}^{T} (f_t - f_{t+1}) - (f_1 - f_{T+1}), by induction: its value at T = 1 and its increment in T."""
    f, t = sp.Function("f"), sp.Symbol("T", integer=True, positive=True)
    partial = lambda n: f(1) - f(n + 1)
    start = (f(1) - f(2)) - partial(1)
    increment = (f(t + 1) - f(t + 2)) - (partial(t + 1) - partial(t))
    return [sp.expand(start), sp.expand(increment)]


HOLDS = (
    r"$\Theta$ holds the iterates: a Bregman ball around $\theta^*$ does (the path from one to the next, of steps of"
    r" size $0\le s\le 1$, cannot leave it); without: $\Theta$ is the segment from $\theta_1$ to $\theta^*$"
)


def iterates(instance: Instance, steps: int, step: float = 1.0) -> list[Array]:
    """θ_1 (the start) … θ_{steps+1} of EM, or for step ≠ 1 of mirror descent with that step size."""
    model, law, thetas = instance.model, instance.law, [instance.start]
    flat = MirrorDescent(model, step) if derive(model).flat else None
    for _ in range(steps):
        thetas.append(flat.step(thetas[-1], law) if flat else em_step(model, law, thetas[-1]))
    return thetas


def kl_between(model: Model, law: Finite, theta: Array, phi: Array) -> float:
    """E_X KL(p_θ(y,z|x) ‖ p_φ(y,z|x)), the true law first, for flat models and curved ones."""
    if derive(model).flat:
        return bregman(model, law, phi, theta)
    return kl_of_family(model, law, theta, phi)


def worst_lambda(instance: Instance, theta: Array, points: int = 9) -> float:
    """The largest λ_max(M) on the segment from θ to the truth, looked at at so many points."""
    return worst_on(instance, [theta + share * (instance.truth - theta) for share in np.linspace(0, 1, points)])


def worst_on(instance: Instance, thetas: Iterable[Array]) -> float:
    """The largest λ_max(M) of those at the thetas."""
    return max(lambda_at(instance.model, instance.law, theta) for theta in thetas)
