"""Per-row quantities of a model as NumPy functions, compiled from its derivation.

Predictors come feature-major: `eta` has shape (m + known, n), one row per name in `model.names`. Everything is finite
and free of warnings for predictors up to ±800.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import sympy as sp

from moe_theory.model import RESPONSE, Model, Values
from moe_theory.symbolic.derive import Derivation, derive
from moe_theory.symbolic.lower import Compiled
from moe_theory.validation import Array


@lru_cache(maxsize=64)
def kernels(model: Model) -> Kernels:
    """The compiled kernels of `model` (one set per model and process)."""
    return Kernels(derive(model))


@dataclass(frozen=True)
class Part:
    """A set of predictors whose mirror map is separate from the others': A = Σ over parts (∇²A is block diagonal).

    index: which learnt predictors. mean, hessian: kernels of the part's ∇A_x, (len, n), and of the upper triangle
    of its ∇²A_x, (len (len+1)/2, n). uses: predictors (index into `model.names`) that they take as arguments.
    constant: ∇²A_x where it does not depend on η, else None.
    """

    index: tuple[int, ...]
    uses: tuple[int, ...]
    potential: Compiled
    mean: Compiled
    hessian: Compiled
    joint: Compiled
    constant: Array | None


@dataclass(frozen=True)
class Kernels:
    """All kernels of one model, each compiled when first used."""

    theory: Derivation
    model: Model = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", self.theory.model)

    def _compile(self, expressions: list[sp.Expr], response: bool = True) -> Compiled:
        arguments = (RESPONSE, *self.model.symbols) if response else self.model.symbols
        return Compiled(arguments, expressions)

    @cached_property
    def log_joint(self) -> Compiled:
        """(y, *eta) -> log p(y,z|x), (k, n)."""
        return self._compile(list(self.model.log_joint))

    @cached_property
    def log_gate(self) -> Compiled:
        """(*eta) -> log P(z|x), (k, n)."""
        return self._compile(list(self.model.log_gate), response=False)

    @cached_property
    def log_expert(self) -> Compiled:
        """(y, *eta) -> log p(y|x,z), (k, n)."""
        return self._compile(list(self.model.log_expert))

    @cached_property
    def posterior(self) -> Compiled:
        """(y, *eta) -> P(z|x,y), (k, n)."""
        return self._compile(list(self.theory.posterior))

    @cached_property
    def logits(self) -> Compiled:
        """(y, *eta) -> log P(z_i|x,y) - log P(z_0|x,y), (k, n)."""
        return self._compile(list(self.theory.logits))

    @cached_property
    def expected_statistic(self) -> Compiled:
        """(y, *eta) -> E[s|x,y], (m, n)."""
        return self._compile(list(self.theory.expected_statistic))

    @cached_property
    def score(self) -> Compiled:
        """(y, *eta) -> ∂ log p(y|x)/∂η, (m, n)."""
        return self._compile(list(self.theory.score))

    @cached_property
    def missing_information(self) -> Compiled:
        """(y, *eta) -> upper triangle of I_{z|x,y}, (m(m+1)/2, n)."""
        return self._compile(_upper(self.theory.missing_information))

    @cached_property
    def mirror_map(self) -> Compiled:
        """(*eta) -> A_x, (1, n)."""
        return self._compile([self.theory.mirror_map], response=False)

    @cached_property
    def mean(self) -> Compiled:
        """(*eta) -> ∇A_x, (m, n)."""
        return self._compile(list(self.theory.mean), response=False)

    @cached_property
    def complete_information(self) -> Compiled:
        """(*eta) -> upper triangle of ∇²A_x, (m(m+1)/2, n)."""
        return self._compile(_upper(self.theory.complete_information), response=False)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The predictors grouped so that ∇²A_x is block diagonal: each group's M-step is a problem of its own."""
        hessian = self.theory.complete_information
        groups: list[set[int]] = []
        for j in range(len(self.model.predictors)):
            linked = [g for g in groups if any(hessian[i, j] != 0 for i in g)]
            groups = [g for g in groups if g not in linked] + [set().union({j}, *linked)]
        made = []
        for group in sorted(groups, key=min):
            index = tuple(sorted(group))
            learnt = [self.model.learnt[j] for j in index]
            potential = self.theory.mirror_map.as_independent(*learnt, as_Add=True)[1]
            mean = [self.theory.mean[j] for j in index]
            sub = hessian.extract(list(index), list(index))
            free = set().union(*(e.free_symbols for e in [*mean, *sub]))
            uses = tuple(i for i, s in enumerate(self.model.symbols) if s in free)
            arguments = tuple(self.model.symbols[i] for i in uses)
            constant = np.array(sub.tolist(), dtype=float) if all(e.is_number for e in sub) else None
            made.append(
                Part(
                    index,
                    uses,
                    Compiled(arguments, [potential]),
                    Compiled(arguments, mean),
                    Compiled(arguments, _upper(sub)),
                    Compiled(arguments, mean + _upper(sub)),
                    constant,
                )
            )
        return tuple(made)

    def log_density(self, y: Array, eta: Array) -> Array:
        """log p(y|x), (n,), relatively accurate also where p is near 1."""
        if isinstance(self.model.response, Values):
            return self._finite_log_density(y, eta)
        joint, logits = self.log_joint.rows(y, *eta), self.logits.rows(y, *eta)
        if len(joint) == 2:
            return np.maximum(joint[0], joint[1]) + np.log1p(np.exp(-np.abs(logits[1])))
        return log_sum_exp(np.stack(np.broadcast_arrays(*joint)))

    def _finite_log_density(self, y: Array, eta: Array) -> Array:
        """log p(y) = -log(1 + Σ_{y'≠y} p(y')/p(y)): no cancellation when the others' probability is tiny."""
        values = np.asarray(self.model.response.values, dtype=float)  # type: ignore[union-attr]
        each = np.stack([log_sum_exp(self.log_joint(np.full(eta.shape[1], v), *eta)) for v in values])
        own = values[:, None] == y
        other = log_sum_exp(np.where(own, -np.inf, each)) - np.sum(np.where(own, each, 0.0), axis=0)
        return -(np.maximum(other, 0.0) + np.log1p(np.exp(-np.abs(other))))


def log_sum_exp(terms: Array) -> Array:
    """log Σ exp over the first axis; -inf entries are allowed where another is finite."""
    top = np.max(terms, axis=0)
    return top + np.log(np.sum(np.exp(terms - top), axis=0))


def unpack_upper(values: list, m: int) -> list[tuple[int, int, Array | float]]:
    """[(a, b, value)] with a <= b from the order in which the upper triangles above are stored."""
    pairs = [(a, b) for a in range(m) for b in range(a, m)]
    return [(a, b, v) for (a, b), v in zip(pairs, values, strict=True)]


def _upper(matrix: sp.Matrix) -> list[sp.Expr]:
    return [matrix[a, b] for a in range(matrix.rows) for b in range(a, matrix.cols)]
