"""Where claims are checked: the models, their truths, and laws on which predicted and measured are compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from moe_theory.algorithms import EM, Trace, run
from moe_theory.analysis.rates import predict_rate
from moe_theory.analysis.regions import largest_lambda
from moe_theory.certificates import Certificate, certify
from moe_theory.datasets import old_faithful
from moe_theory.errors import DerivationError
from moe_theory.laws import Data, Law, MonteCarlo, Population
from moe_theory.model import Model
from moe_theory.operators import bregman
from moe_theory.symbolic.derive import AsIfFlat, Derivation, derive
from moe_theory.validation import Array
from moe_theory.zoo import linear_experts, symmetric_linear, symmetric_logistic


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

    @cached_property
    def path(self) -> Path:
        """The run as the convergence theorems see it."""
        limit, trace = self.limit_point, self.trace
        thetas = trace.thetas
        size = 1 + float(np.linalg.norm(limit))
        away = np.linalg.norm((thetas - limit).reshape(len(thetas), -1), axis=1)
        # Nearer than this, divergences to the limit are at the level of the law's own error, or of rounding, in it.
        last = int(np.argmax(np.append(away < max(30 * trace.accuracy, 1e-10) * size, True)))
        law, model, coordinates = self.law.reduce(self.model, limit, thetas[0])
        local = lambda theta: theta if coordinates is None else coordinates.project(theta)
        kept = [local(theta) for theta in thetas[:last]]
        distance = np.array([bregman(model, law, local(limit), theta) for theta in kept])
        return Path(kept, local(limit), law, model, distance, trace.gaps(limit)[:last])


@dataclass(frozen=True, eq=False)
class Path:
    """Iterates θ_1, θ_2, … of a run (`thetas`, as long as they are off the limit beyond rounding), its limit θ*, the
    law and model they are to be used with, B_A(θ*‖θ_t) and L(θ_t) - L(θ*)."""

    thetas: list[Array]
    limit: Array
    law: Law
    model: Model
    distance: Array
    gap: Array

    @cached_property
    def contracting(self) -> tuple[int, float]:
        """(t, λ): the first iterate whose Bregman ball {θ : B_A(θ*‖θ) <= B_A(θ*‖θ_t)} has sampled λ_max(M) below 1."""
        for t in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
            if t + 2 < len(self.thetas):
                worst = largest_lambda(self.model, self.law, self.limit, float(self.distance[t]))
                if worst < 1:
                    return t, worst
        return len(self.thetas), float("nan")


@dataclass(frozen=True, eq=False)
class Setting:
    """The models under check and the seed of everything random.

    quick: smaller samples and budgets. flat: False treats `models` as if they were flat whatever they are, and draws no
    laws: a setting in which a hypothesis of flatness is dropped. own: a model of the user's. judged: outcomes of the
    checks made in it.
    """

    models: tuple[Model, ...] = field(default_factory=lambda: (symmetric_linear(), symmetric_logistic()))
    seed: int = 0
    rows: int = 5000
    quick: bool = False
    flat: bool = True
    own: bool = False
    judged: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def theories(self) -> list[Derivation]:
        return [derive(model) if self.flat else AsIfFlat(model) for model in self.models]

    @cached_property
    def _curved(self) -> Setting:
        return Setting((linear_experts(),), self.seed, self.rows, self.quick, flat=False)

    @classmethod
    def on(cls, model: Model, seed: int = 0, quick: bool = False) -> Setting:
        """The setting of one model of the user's own; searches for witnesses and real data are left out."""
        derive(model).natural_parameters  # noqa: B018  CurvedModelError says which term is not flat
        return cls((model,), seed, 2000, quick, own=True)

    def curved(self) -> Setting:
        """The setting without flatness: two linear experts of their own, to which the flat formulas are applied."""
        return self._curved

    @property
    def budget(self) -> int:
        """Evaluations of a slack in a search for witnesses."""
        return 0 if self.own else 120 if self.quick else 600

    @property
    def patience(self) -> int:
        """The same where a witness is expected: such a search ends early, but for bad luck."""
        return 0 if self.own else 900

    def rng(self) -> np.random.Generator:
        """A fresh generator from the seed."""
        return np.random.default_rng(self.seed)

    @cached_property
    def truths(self) -> dict[str, Array]:
        """β* = (3, 0, 0), w* = (0, 1, 0) of theory.md §6; further predictors are (0, 0, 1), (1, 0, 0) and so on."""
        truths = {}
        for model in self.models:
            truth = np.eye(3)[np.arange(len(model.predictors)) % 3]
            truth[0] *= 3
            truths[model.name] = truth
        return truths

    @cached_property
    def populations(self) -> list[Case]:
        """Per model: the population, EM started off the truth."""
        made = []
        for model, truth in self._drawn:
            try:
                law = Population(model, truth, nats=14)
            except DerivationError:  # experts whose population is not known: the samples have to do
                continue
            start = truth + 0.1 * _top_direction(model, law, truth)
            made.append(Case(f"{model.name}, population", model, law, start, 1e-9, limit=150))
        return made

    @cached_property
    def samples(self) -> list[Case]:
        """Per model: `rows` rows drawn from it, EM started off the maximum of the likelihood."""
        made = []
        for model, truth in self._drawn:
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

    @cached_property
    def certificates(self) -> list[tuple[Case, Certificate]]:
        """A certificate with ellipsoids, for real data and for small samples, each with EM started on the edge of its
        basin."""
        made: list[tuple[str, Model, Law, Array]] = []
        for model, truth in self._drawn:
            data = MonteCarlo(model, truth, 250 if self.quick else 600, self.seed + 2).data()
            peak = run(EM(model), data, truth, tolerance=1e-13, divergences=False).last
            made.append((f"{model.name}, sample of {len(data)}", model, data, peak))
        real = self.real
        made.append((real.name, real.model, real.law, real.limit_point))
        found = []
        for name, model, law, peak in made:
            certificate = certify(model, law, peak, shape="ellipsoid")
            start = certificate.edge(_top_direction(model, law, peak))
            found.append((Case(name, model, law, start, 1e-13), certificate))
        return found

    @property
    def all_cases(self) -> list[Case]:
        if not self.flat:
            return []
        return [*self.populations, *self.samples, *([] if self.own else [self.real])]

    @property
    def _drawn(self) -> list[tuple[Model, Array]]:
        return list(zip(self.models, self.truths.values(), strict=True)) if self.flat else []


def _top_direction(model: Model, law: Law, theta: Array) -> Array:
    """M's top eigenvector at a fixed point, of length 1: from such a start the rate that it predicts can be seen."""
    direction = predict_rate(model, law, theta).direction
    return direction / np.linalg.norm(direction)
