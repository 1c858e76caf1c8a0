"""Algorithms: each one class with `step`; `run` iterates any of them and keeps the whole trace."""

from moe_theory.algorithms.annealed import AnnealedEM
from moe_theory.algorithms.base import Algorithm
from moe_theory.algorithms.block_gradient import BlockGradientEM
from moe_theory.algorithms.em import EM, GeneralisedEM
from moe_theory.algorithms.gradient import GradientDescent, GradientEM
from moe_theory.algorithms.mirror_descent import MirrorDescent
from moe_theory.algorithms.quasi_newton import LBFGS, InexactEM
from moe_theory.algorithms.squarem import Squarem
from moe_theory.algorithms.stochastic import StochasticGradient
from moe_theory.algorithms.trace import Trace, run

__all__ = [
    "EM",
    "LBFGS",
    "Algorithm",
    "AnnealedEM",
    "BlockGradientEM",
    "GeneralisedEM",
    "GradientDescent",
    "GradientEM",
    "InexactEM",
    "MirrorDescent",
    "Squarem",
    "StochasticGradient",
    "Trace",
    "run",
]
