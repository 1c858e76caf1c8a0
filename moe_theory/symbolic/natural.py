"""The full exponential family of (y, z) given x, in natural coordinates ζ: the home of curved models.

A curved model is a surface ζ(η) in it. The mirror step is taken there, per x, and projected back (arXiv 2411.06056,
Theorem 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import sympy as sp

from moe_theory.atoms import log_sum_exp
from moe_theory.model import RESPONSE, Model
from moe_theory.response import Values
from moe_theory.symbolic.classify import require_exponential_family
from moe_theory.symbolic.density import require_probability_law
from moe_theory.symbolic.expectation import normal_experts
from moe_theory.validation import Array


@dataclass(frozen=True)
class NaturalFamily:
    """p(y, z|x) = h(y, z) exp(⟨s(y, z), ζ⟩ - A(ζ)).

    symbols: ζ. statistics: s(y, z), (k, 1) per label (for a finite response per label and response, see `statistic`).
    log_base: log h per label. log_partition: A(ζ). surface: ζ(η) of the model, (k, 1).
    """

    model: Model
    symbols: tuple[sp.Symbol, ...]
    statistics: tuple[sp.Matrix, ...]
    log_base: tuple[sp.Expr, ...]
    log_partition: sp.Expr
    surface: sp.Matrix

    def inverse_mean(self, mean: Array) -> Array:
        """The ζ with ∇A(ζ) = mean, (k, n), in closed form; not a number outside the range of ∇A.

        A finite response: ζ = log of ratios of probabilities. Normal experts: with P_i = E 1[z=i], m_i = E[y
        1[z=i]]/P_i the slopes are m_i/σ_i² and the offsets log(P_i/P_0) - (m_i²/σ_i² - m_0²/σ_0²)/2.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            if isinstance(self.model.response, Values):
                return np.log(_inside(mean)) - np.log(_inside(1 - np.sum(mean, axis=0)))
            k = len(self.model.latent)
            sigma = np.array([float(e.sigma) for e in normal_experts(self.model)])[:, None]
            p = _inside(np.vstack([1 - np.sum(mean[: k - 1], axis=0), mean[: k - 1]]))
            centre = mean[k - 1 :] / p
            offset = np.log(p) - (centre / sigma) ** 2 / 2
            return np.vstack([offset[1:] - offset[0], centre / sigma**2])

    @property
    def mean(self) -> sp.Matrix:
        """∇A(ζ) = E[s], (k, 1)."""
        return sp.Matrix([self.log_partition.diff(s) for s in self.symbols])

    @property
    def log_joint(self) -> tuple[sp.Expr, ...]:
        """log p(y, z|x) at ζ, per label."""
        zeta = sp.Matrix(self.symbols)
        return tuple(zeta.dot(s) + h - self.log_partition for s, h in zip(self.statistics, self.log_base, strict=True))


def _inside(probability: Array) -> Array:
    """Not a number where it is 0 to the rounding of 1."""
    return np.where(probability > 1e-15, probability, np.nan)


@lru_cache(maxsize=16)
def natural_family(model: Model) -> NaturalFamily:
    """The full family of a declared model: all joint laws of (y, z) for a finite response, else all mixtures of normal
    laws with the experts' variances.

    Raises NotExponentialFamilyError, or DerivationError for experts that are neither normal nor of finite response.
    """
    require_exponential_family(model)
    require_probability_law(model)
    return _finite(model) if isinstance(model.response, Values) else _normal(model)


def _normal(model: Model) -> NaturalFamily:
    """s = (1[z=i] for all labels but the first; y 1[z=i] for all), base measure N(0, σ_i²) at label i."""
    experts, k = normal_experts(model), len(model.latent)
    symbols = tuple(sp.Symbol(f"zeta{j}", real=True) for j in range(2 * k - 1))
    offsets, slopes = (sp.Integer(0), *symbols[: k - 1]), symbols[k - 1 :]
    statistics = [
        sp.Matrix([int(i == j) for j in range(1, k)] + [RESPONSE if i == j else 0 for j in range(k)]) for i in range(k)
    ]
    log_base = [-((RESPONSE / e.sigma) ** 2) / 2 - sp.log(2 * sp.pi) / 2 - sp.log(e.sigma) for e in experts]
    terms = [o + (e.sigma * b) ** 2 / 2 for o, b, e in zip(offsets, slopes, experts, strict=True)]
    at = [g - (e.mean / e.sigma) ** 2 / 2 for g, e in zip(model.log_gate, experts, strict=True)]
    surface = sp.Matrix([a - at[0] for a in at[1:]] + [e.mean / e.sigma**2 for e in experts])
    return NaturalFamily(
        model, symbols, tuple(statistics), tuple(log_base), log_sum_exp(terms), surface.applyfunc(sp.expand)
    )


def _finite(model: Model) -> NaturalFamily:
    """s = indicators of all (z, y) but the first, as polynomials in y through the responses (Lagrange)."""
    values = list(model.response.exact)
    cells = [(i, v) for i in range(len(model.latent)) for v in values]
    symbols = tuple(sp.Symbol(f"zeta{j}", real=True) for j in range(len(cells) - 1))
    indicator = lambda v: sp.prod((RESPONSE - u) / (v - u) for u in values if u != v)
    statistics = [
        sp.Matrix([sp.expand(indicator(v)) if i == z else 0 for i, v in cells[1:]]) for z in range(len(model.latent))
    ]
    log_p = [model.log_joint[i].subs(RESPONSE, v) for i, v in cells]
    surface = sp.Matrix([e - log_p[0] for e in log_p[1:]])
    zero = tuple(sp.Integer(0) for _ in model.latent)
    return NaturalFamily(model, symbols, tuple(statistics), zero, log_sum_exp([sp.Integer(0), *symbols]), surface)
