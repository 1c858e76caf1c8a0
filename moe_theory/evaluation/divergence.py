"""KL between the joint laws of (y, z) given x, of any model whose experts have known moments."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import sympy as sp

from moe_theory.evaluation.general import table_rows
from moe_theory.laws.rows import Block, Law
from moe_theory.model import Model
from moe_theory.sums import average, predictors, total
from moe_theory.symbolic.expectation import expect_response
from moe_theory.symbolic.lower import Compiled
from moe_theory.validation import Array


def kl_general(model: Model, law: Law, theta: Array, phi: Array) -> float:
    """E_X KL(p_θ(y,z|x) ‖ p_φ(y,z|x)); DerivationError for experts without exact moments."""
    theta, phi = (model.check_theta(n, t, law.dimension) for n, t in (("theta", theta), ("phi", phi)))
    kernel, rows = _kernel(model), table_rows(model, law, theta)
    learnt = len(model.predictors)

    def work(block: Block) -> list[float]:
        eta = predictors(model, block, theta)
        to = predictors(model, block, phi)[:learnt]
        return [average(block, np.broadcast_to(kernel.rows(*eta, *to)[0], block.y.shape))]

    return total(rows.covariates, work)[0]


@lru_cache(maxsize=16)
def _kernel(model: Model) -> Compiled:
    """Σ_z P_θ(z|x) (log P_θ(z|x) - log P_φ(z|x) + E_{y|z;θ}[log p_θ(y|x,z) - log p_φ(y|x,z)])."""
    other = tuple(sp.Symbol(f"phi_{name}", real=True) for name in model.predictors)
    to = dict(zip(model.learnt, other, strict=True))
    moved = lambda e: e.subs(to, simultaneous=True)
    terms = []
    for i, (gate, expert) in enumerate(zip(model.log_gate, model.log_expert, strict=True)):
        gap = expect_response(model, i, expert - moved(expert))
        terms.append(sp.exp(gate) * (gate - moved(gate) + gap))
    return Compiled((*model.symbols, *other), [sp.Add(*terms)])
