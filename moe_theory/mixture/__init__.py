"""General mixtures of experts on data: the problem, its fit, what can be inferred from it."""

from moe_theory.mixture.compare import Choice, align, choose_k
from moe_theory.mixture.fit import MixtureFit, fit_mixture
from moe_theory.mixture.problem import Problem

__all__ = ["Choice", "MixtureFit", "Problem", "align", "choose_k", "fit_mixture"]
