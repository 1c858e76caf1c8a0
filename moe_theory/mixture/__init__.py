"""General mixtures of experts on data: the problem, its fit, what can be inferred from it."""

from moe_theory.mixture.fit import MixtureFit, fit_mixture
from moe_theory.mixture.problem import Problem

__all__ = ["MixtureFit", "Problem", "fit_mixture"]
