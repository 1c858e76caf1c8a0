"""Where claims are checked: the models, their truths, and laws on which predicted and measured are compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from moe_theory.algorithms import EM, Trace, run
from moe_theory.analysis.rates import predict_rate
from moe_theory.datasets import old_faithful
from moe_theory.laws import Data, Law, MonteCarlo, Population
from moe_theory.model import Model
from moe_theory.symbolic.derive import Derivation, derive
from moe_theory.validation import Array
from moe_theory.zoo import symmetric_linear, symmetric_logistic


@dataclass(frozen=True, eq=False)
class Case:
    """One model with a truth and a law, and EM's run there."""

    name: str
    model: Model
    law: Law
    start: Array
    tolerance: float
    limit: int = 3000

    @cached_property
    def trace(self) -> Trace:
        """EM from `start` (with the divergences between successive iterates)."""
        return run(EM(self.model), self.law, self.start, max_iterations=self.limit, tolerance=self.tolerance)

    @cached_property
    def limit_point(self) -> Array:
        """The fixed point the run led to: the truth of a population, else the last iterate."""
        return self.law.theta if isinstance(self.law, Population) else self.trace.last


@dataclass(frozen=True, eq=False)
class Setting:
    """The models under check and the seed of everything random."""

    models: tuple[Model, ...] = field(default_factory=lambda: (symmetric_linear(), symmetric_logistic()))
    seed: int = 0
    rows: int = 5000

    @property
    def theories(self) -> list[Derivation]:
        return [derive(model) for model in self.models]

    def rng(self) -> np.random.Generator:
        """A fresh generator from the seed."""
        return np.random.default_rng(self.seed)

    @cached_property
    def truths(self) -> dict[str, Array]:
        """β* = (3, 0, 0), w* = (0, 1, 0) of theory.md §6, as far as the model has these predictors."""
        return {m.name: np.eye(len(m.predictors), 3) * ([3.0], [1.0])[: len(m.predictors)] for m in self.models}

    @cached_property
    def populations(self) -> list[Case]:
        """Per model: the population, EM started off the truth."""
        made = []
        for model, truth in zip(self.models, self.truths.values(), strict=True):
            law = Population(model, truth, nats=14)
            start = truth + 0.1 * _top_direction(model, law, truth)
            made.append(Case(f"{model.name}, population", model, law, start, 1e-9, limit=150))
        return made

    @cached_property
    def samples(self) -> list[Case]:
        """Per model: `rows` rows drawn from it, EM started off the maximum of the likelihood."""
        made = []
        for model, truth in zip(self.models, self.truths.values(), strict=True):
            data = MonteCarlo(model, truth, self.rows, self.seed + 1).data()
            peak = run(EM(model), data, truth, tolerance=1e-10, divergences=False).last
            start = peak + 0.3 * _top_direction(model, data, peak)
            made.append(Case(f"{model.name}, sample of {self.rows}", model, data, start, 1e-13))
        return made

    @cached_property
    def real(self) -> Case:
        """Old Faithful (see `moe_theory.datasets`), with its noise scale declared."""
        table = old_faithful()
        model = symmetric_linear(sigma=table.sigma)
        data = Data(table.x, table.y, names=table.features)
        return Case(f"{table.name} ({len(data)} rows)", model, data, table.start, 1e-13)

    @property
    def all_cases(self) -> list[Case]:
        return [*self.populations, *self.samples, self.real]


def _top_direction(model: Model, law: Law, theta: Array) -> Array:
    """M's top eigenvector at a fixed point, of length 1: from such a start the rate that it predicts can be seen."""
    direction = predict_rate(model, law, theta).direction
    return direction / np.linalg.norm(direction)
