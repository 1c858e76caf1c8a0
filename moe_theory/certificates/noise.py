"""The noise's scale that a model declares, beside the one that its residuals have: a certificate is for the former.

σ is no parameter of these models. A wrong one leaves every proof right, of another model than the data call for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from moe_theory.errors import DerivationError
from moe_theory.kernels import kernels
from moe_theory.laws.table import Finite
from moe_theory.model import Model
from moe_theory.sums import average, predictors
from moe_theory.symbolic.expectation import normal_experts
from moe_theory.symbolic.lower import Compiled
from moe_theory.validation import Array

FACTOR = 1.25  # by which the two may differ and still be called the same
ERRORS = 3.0  # standard errors of a standard deviation, 1/√(2n) of it, by which they may always differ


@dataclass(frozen=True)
class Noise:
    """sigma: σ of the normal experts as declared. residual_sd: √E[Σ_z P(z|x,y) (y - mean_z)²] at the centre, which is
    what one step of EM would make of σ. rows: how many that is a mean over."""

    sigma: float
    residual_sd: float
    rows: int

    @property
    def disagrees(self) -> bool:
        """Whether the two differ by more than FACTOR, and by more than so many rows leave open."""
        off = abs(math.log(self.residual_sd / self.sigma)) if self.residual_sd > 0 else math.inf
        return off > max(math.log(FACTOR), ERRORS / math.sqrt(2 * self.rows))

    @property
    def suggested(self) -> str:
        """The residuals' standard deviation in three digits, to declare instead."""
        return f"{self.residual_sd:.3g}"

    def __str__(self) -> str:
        but = "but at the centre" if self.disagrees else "and at the centre"
        return f"σ = {self.sigma:.6g} is declared, {but} the residuals' standard deviation is {self.suggested}"


def noise_at(model: Model, law: Finite, theta: Array) -> Noise | None:
    """At θ, (m, d); None for experts that are not normal or not all of one σ, and where residuals are not finite."""
    try:
        experts = normal_experts(model)
    except DerivationError:
        return None
    sigmas = {float(expert.sigma) for expert in experts}
    if len(sigmas) > 1:
        return None
    means, posterior, square = Compiled(model.symbols, [e.mean for e in experts]), kernels(model).posterior, 0.0
    with np.errstate(all="ignore"):
        for block in law.rows(model, theta).blocks:
            eta = predictors(model, block, theta)
            shares = posterior(block.y, *eta)
            square += average(block, np.sum(shares * (block.y - means(*eta)) ** 2, axis=0))
    return Noise(sigmas.pop(), math.sqrt(square), len(law)) if math.isfinite(square) else None
