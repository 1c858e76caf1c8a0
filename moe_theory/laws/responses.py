"""Drawing responses from a model's experts given labels and predictors: exactly where the law is recognised, else by
numerical inversion of log p(y|x,z)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache

import numpy as np

from moe_theory.errors import DerivationError, InputError
from moe_theory.laws.inversion import invert_counts, invert_density
from moe_theory.model import RESPONSE, Model
from moe_theory.response import Values
from moe_theory.symbolic.expectation import normal_laws, poisson_laws
from moe_theory.symbolic.lower import Compiled
from moe_theory.validation import Array

LARGEST_MEAN = 1e15  # of a Poisson law: a count above 2^53 is no float64
SURE = 1e-9  # of a sum of probabilities


class Responses(ABC):
    """A model's law of y given z and x. costly: what is drawn is better kept than drawn anew."""

    costly = False

    def __init__(self, model: Model) -> None:
        self.model = model

    @abstractmethod
    def draw(self, z: Array, eta: Array, uniform: Array, normal: Array, rng: np.random.Generator) -> Array:
        """y, (n,), at the labels' indices z, (n,), and all predictors eta, (m + known, n).

        uniform, normal: a number per row to draw with, of that law; rng: for what needs more. InputError where the
        declared expert is no probability law, or none that can be drawn from.
        """


class FiniteResponses(Responses):
    """Finitely many values: by inversion."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.values = np.asarray(model.response.values, dtype=float)
        self._log_p = Compiled((RESPONSE, *model.symbols), list(model.log_expert))

    def draw(self, z: Array, eta: Array, uniform: Array, normal: Array, rng: np.random.Generator) -> Array:
        rows = np.arange(len(z))
        log_p = np.stack([self._log_p(np.full(len(z), y), *eta)[z, rows] for y in self.values])
        return self.values[categorical(uniform, np.exp(log_p), "p(y|x,z)")]


class NormalResponses(Responses):
    """Normal experts, whose sigmas may depend on predictors."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        laws = normal_laws(model)
        self._moments = [Compiled(model.symbols, [getattr(law, name) for law in laws]) for name in ("mean", "sigma")]

    def draw(self, z: Array, eta: Array, uniform: Array, normal: Array, rng: np.random.Generator) -> Array:
        rows = np.arange(len(z))
        mean, sigma = (kernel(*eta)[z, rows] for kernel in self._moments)
        return mean + sigma * normal


class PoissonResponses(Responses):
    """Poisson experts."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._log_means = Compiled(model.symbols, list(poisson_laws(model)))

    def draw(self, z: Array, eta: Array, uniform: Array, normal: Array, rng: np.random.Generator) -> Array:
        log_mean = self._log_means(*eta)[z, np.arange(len(z))]
        if not np.all(log_mean <= np.log(LARGEST_MEAN)):
            raise InputError(f"theta: expected Poisson means up to {LARGEST_MEAN:g}, got exp({np.max(log_mean):.6g})")
        return rng.poisson(np.exp(log_mean)).astype(float)


class InvertedResponses(Responses):
    """Any other law: the distribution function is summed or integrated from log p(y|x,z), and inverted."""

    costly = True

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._log_p = [Compiled((RESPONSE, *model.symbols), [expert]) for expert in model.log_expert]

    def draw(self, z: Array, eta: Array, uniform: Array, normal: Array, rng: np.random.Generator) -> Array:
        y = np.empty(len(z))
        for label, kernel in enumerate(self._log_p):
            mine = np.flatnonzero(z == label)
            own = eta[:, mine]
            log_p = lambda row, at, kernel=kernel, own=own: kernel(at, *own[:, row])[0]
            try:
                if self.model.response.whole:
                    y[mine] = invert_counts(log_p, uniform[mine])
                else:
                    y[mine] = invert_density(log_p, uniform[mine], self.model.response.low, self.model.response.high)
            except InputError as error:
                shown = f"model {self.model.name!r}, label {self.model.latent[label]}"
                raise InputError(str(error).replace("model", shown, 1)) from None
        return y


@lru_cache(maxsize=64)
def responses(model: Model) -> Responses:
    """How to draw y from `model` (compiled once per model and process)."""
    if isinstance(model.response, Values):
        return FiniteResponses(model)
    try:
        return PoissonResponses(model) if model.response.whole else NormalResponses(model)
    except DerivationError:
        return InvertedResponses(model)


def categorical(u: Array, probabilities: Array, what: str) -> Array:
    """Index drawn by inversion from (k, n) probabilities; InputError names `what` where they do not sum to 1."""
    cumulative = np.cumsum(probabilities, axis=0)
    if not np.all(np.abs(cumulative[-1] - 1) <= SURE):
        worst = cumulative[-1][np.argmax(np.nan_to_num(np.abs(cumulative[-1] - 1), nan=np.inf))]
        raise InputError(f"model: expected probabilities {what} that sum to 1, got {worst:.9g}")
    return np.sum(u > cumulative[:-1], axis=0)
