"""EM whose sigmas are kept from falling too fast."""

from __future__ import annotations

import numpy as np

from moe_theory.algorithms.base import Algorithm
from moe_theory.algorithms.em import EM
from moe_theory.errors import InputError
from moe_theory.evaluation.layout import require_layout
from moe_theory.evaluation.penalty import Penalty
from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.validation import Array, positive_number, whole_number


class AnnealedEM(EM):
    """EM with a floor under the sigmas that falls geometrically, then plain EM (deterministic annealing of normal
    experts: Ueda and Nakano, Neural Networks 11, 1998, with σ² in place of the temperature).

    The floor is `first` for the first `every` steps, then `ratio` times what it was for as many, and so on; the first
    one below `last` is none. A step is exactly that of EM with `Penalty(sigma_floor=…)`. L and its gradient are the
    model's own, so that a run ends at EM's stationary points only, never at a floor; L may rise in the first step,
    which lifts sigmas that start below it.

    first, last: in units of y. Runs of `run` start the schedule anew; `floor`
    is what the next step uses, 0 for none. For softmax mixtures of normal experts.
    Raises InputError for numbers that are not positive, a ratio that is not below 1, last above first.
    """

    monotone = False

    def __init__(self, model: Model, first: float, last: float, ratio: float = 0.8, every: int = 5) -> None:
        super().__init__(model)
        self.first, self.last = positive_number("first", first), positive_number("last", last)
        self.ratio, self.every = positive_number("ratio", ratio), whole_number("every", every, least=1)
        if self.ratio >= 1:
            raise InputError(f"ratio: expected a number below 1, got {ratio:g}")
        if self.last > self.first:
            raise InputError(f"last: expected at most first, {first:g}, got {last:g}")
        if model.structure is None or model.structure.family != "gaussian":
            raise InputError(f"model: expected a softmax mixture of normal experts, got {model.name}")
        self._taken = 0

    @property
    def floors(self) -> Array:
        """All floors, (stages,), falling."""
        stages = 1 + int(np.floor(np.log(self.last / self.first) / np.log(self.ratio) + 1e-9))
        return self.first * self.ratio ** np.arange(stages)

    @property
    def floor(self) -> float:
        """Under the sigmas in the next step; 0 once there is none."""
        stage = self._taken // self.every
        return float(self.floors[stage]) if stage < len(self.floors) else 0.0

    def step(self, theta: Array, law: Law) -> Array:
        """One step of EM, with no sigma below the floor."""
        theta, floor = super().step(theta, law), self.floor
        self._taken += 1
        # Without a ridge the M-step's experts and gate do not depend on σ: the maximum with a floor is there.
        return Penalty(sigma_floor=floor).feasible(require_layout(self.model, law), theta)

    def localised(self, model: Model) -> Algorithm:
        """The same algorithm for the model in reduced coordinates, at its first step."""
        other = super().localised(model)
        other.__dict__.update(_taken=0)
        return other
