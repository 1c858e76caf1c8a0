"""Kernels of the complete data of any model, label by label: what EM needs where the family is curved.

Nothing of the exponential family enters: log p(y,z|x) as declared, its gradient and its Hessian in the learnt
predictors. Responsibilities are handed in or computed from log p(y,z|x).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import sympy as sp

from moe_theory.model import RESPONSE, Model
from moe_theory.symbolic.derive import derive
from moe_theory.symbolic.lower import Compiled, log_sum_exp
from moe_theory.validation import Array


@lru_cache(maxsize=64)
def complete_kernels(model: Model) -> CompleteKernels:
    """The kernels of `model`; raises as `derive` does."""
    derive(model)
    return CompleteKernels(model)


@dataclass(frozen=True, eq=False)
class CompleteKernels:
    """Kernels (y, *eta) -> per label, compiled when first used; only entries that are not 0 are computed."""

    model: Model

    @cached_property
    def log_joint(self) -> Compiled:
        """log p(y,z|x), (k, n)."""
        return Compiled((RESPONSE, *self.model.symbols), list(self.model.log_joint))

    @cached_property
    def _slopes(self) -> list[list[sp.Expr]]:
        return [[e.diff(s) for s in self.model.learnt] for e in self.model.log_joint]

    @cached_property
    def _curvatures(self) -> dict[tuple[int, ...], list[sp.Expr]]:
        """{(a, b): -∂² log p(y,z|x)/∂η_a ∂η_b per label} of the pairs a <= b where some label's is not 0."""
        learnt = self.model.learnt
        pairs: dict[tuple[int, ...], list[sp.Expr]] = {}
        for a in range(len(learnt)):
            for b in range(a, len(learnt)):
                values = [-slopes[a].diff(learnt[b]) for slopes in self._slopes]
                if any(v != 0 for v in values):
                    pairs[a, b] = values
        return pairs

    @cached_property
    def slopes(self) -> Entries:
        """∂ log p(y,z|x)/∂η_j by predictor j."""
        columns: dict[tuple[int, ...], list[sp.Expr]] = {
            (j,): [s[j] for s in self._slopes] for j in range(len(self.model.learnt))
        }
        return Entries.of(self.model, columns)

    @cached_property
    def curvatures(self) -> Entries:
        """-∂² log p(y,z|x)/∂η_a ∂η_b by (a, b), a <= b."""
        return Entries.of(self.model, self._curvatures)

    @cached_property
    def linked(self) -> tuple[tuple[int, ...], ...]:
        """The learnt predictors grouped so that Q separates into a function of each group."""
        groups: list[set[int]] = []
        for j in range(len(self.model.learnt)):
            met = [g for g in groups if any((min(i, j), max(i, j)) in self._curvatures for i in g)]
            groups = [g for g in groups if g not in met] + [{j}.union(*met)]
        return tuple(tuple(sorted(g)) for g in sorted(groups, key=min))

    def posterior(self, y: Array, eta: Sequence[Array]) -> tuple[Array, Array]:
        """(log p(y|x) (n,), P(z|x,y) (k, n))."""
        joint = self.log_joint(y, *eta)
        log_density = log_sum_exp(joint)
        return log_density, np.exp(joint - log_density)


@dataclass(frozen=True, eq=False)
class Entries:
    """Expressions per key and label, compiled together.

    keys: which predictors each stands for. places: per key, {label: row of `kernel`}, or one row for all labels where
    they agree (label None).
    """

    keys: tuple[tuple[int, ...], ...]
    places: tuple[dict[int | None, int], ...]
    kernel: Compiled

    @classmethod
    def of(cls, model: Model, columns: dict[tuple[int, ...], list[sp.Expr]]) -> Entries:
        """From {key: expression per label}."""
        expressions: list[sp.Expr] = []
        places: list[dict[int | None, int]] = []
        for values in columns.values():
            same = all(v == values[0] for v in values)
            place: dict[int | None, int] = {}
            for label, value in [(None, values[0])] if same else list(enumerate(values)):
                if value != 0:
                    place[label] = len(expressions)
                    expressions.append(value)
            places.append(place)
        return cls(tuple(columns), tuple(places), Compiled((RESPONSE, *model.symbols), expressions))

    def averaged(self, values: Sequence[Array | float], posterior: Array) -> Iterator[Array | float]:
        """Per key Σ_z P(z) value_z, from `kernel`'s values."""
        for place in self.places:
            yield sum((values[i] if z is None else posterior[z] * values[i] for z, i in place.items()), 0.0)

    def deviations(self, values: Sequence[Array | float], posterior: Array) -> list[Array]:
        """Per key value_z - Σ_z P(z) value_z, (k, n): free of cancellation in their weighted squares."""
        k, n = posterior.shape
        out = []
        for place in self.places:
            each = np.zeros((k, n))
            for z, i in place.items():
                each[slice(None) if z is None else z] = values[i]
            out.append(each - np.sum(posterior * each, axis=0))
        return out
