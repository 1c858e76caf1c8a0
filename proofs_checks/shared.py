"""Symbols and expressions that several claims speak of."""

from __future__ import annotations

import sympy as sp

from moe_theory.model import Model
from moe_theory.symbolic.derive import Derivation


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
