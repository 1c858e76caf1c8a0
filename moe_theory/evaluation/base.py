"""What one iteration of any algorithm needs at θ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from moe_theory.errors import SingularError
from moe_theory.evaluation.curvature import scaled_solve
from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.validation import Array


@dataclass(frozen=True, eq=False)
class Evaluation(ABC):
    """L and its derivatives at θ, (m, d), from one pass over the rows, with what an M-step from there needs."""

    theta: Array
    objective: float

    @property
    @abstractmethod
    def gradient(self) -> Array:
        """∇L(θ), (m, d); 0 where an entry is not learnt."""

    @abstractmethod
    def metric(self, model: Model, law: Law) -> Array:
        """The complete data's information at θ on the learnt entries, (p, p): ∇²A(θ) for a flat model."""

    @property
    def exact(self) -> bool:
        """Whether `dual_norm` is exact without being asked to."""
        return True

    def dual_norm(self, model: Model, law: Law, held: Array | None = None, exact: bool = False) -> float:
        """√(∇L' M^{-1} ∇L) in the metric M, over the learnt entries but those held, (p,); nan where M is singular.

        exact: where a bound of M that is cheaper would serve (`exact` of the evaluation says so), in M itself.
        """
        metric, g = self.metric(model, law), model.free(self.gradient)
        if held is not None:
            metric, g = metric[np.ix_(~held, ~held)], g[~held]
        try:
            return float(np.sqrt(g @ scaled_solve(metric, g)))
        except SingularError:
            return float("nan")
