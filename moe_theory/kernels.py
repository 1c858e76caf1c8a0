"""Per-row quantities of a model as NumPy functions, compiled from its derivation.

Predictors come feature-major: `eta` has shape (m + known, n), one row per name in `model.names`. Everything is finite
and free of warnings for predictors up to ±800.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import sympy as sp

from moe_theory.atoms import log_sum_exp as nested_log_sum_exp
from moe_theory.errors import InputError
from moe_theory.model import RESPONSE, Model
from moe_theory.primitives import larger
from moe_theory.symbolic.derive import Derivation, derive
from moe_theory.symbolic.functions import singular
from moe_theory.symbolic.lower import Compiled, log_sum_exp
from moe_theory.validation import Array


@lru_cache(maxsize=64)
def kernels(model: Model) -> Kernels:
    """The compiled kernels of `model` (one set per model and process)."""
    return Kernels(derive(model))


@dataclass(frozen=True, eq=False)
class Part:
    """A set of predictors whose mirror map is separate from the others' (∇²A is block diagonal in the parts).

    index: which learnt predictors. expressions: ∇A_x (q), then the upper triangle of ∇²A_x (q (q+1)/2); uses: the
    predictors in them (indices into `model.names`). mean, hessian: their kernels, of the predictors used.
    constant: ∇²A_x, (q, q), where it does not depend on η, else None; then ∇A_x = constant η + offset, offset (q,).
    """

    index: tuple[int, ...]
    expressions: tuple[sp.Expr, ...]
    uses: tuple[int, ...]
    mean: Compiled
    hessian: Compiled
    constant: Array | None
    offset: Array | None


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
    def logit_coefficients(self) -> Compiled:
        """(y) -> ∂(logits of labels 1…)/∂η at η = 0, ((k - 1)(m + known), n): for a model without known predictors
        the logits are affine in η with these coefficients."""
        zero = dict.fromkeys(self.model.symbols, 0)
        return Compiled((RESPONSE,), [e.diff(s).subs(zero) for e in self.theory.logits[1:] for s in self.model.symbols])

    @cached_property
    def _log_evidence(self) -> sp.Expr:
        theory = self.theory
        linear = sp.Matrix(self.model.learnt).dot(theory.statistics[0])
        return theory.log_base_measures[0] + linear + nested_log_sum_exp(list(theory.logits))

    @cached_property
    def log_evidence(self) -> Compiled:
        """(y, *eta) -> log p(y|x) + A_x, (1, n): what of the log-likelihood the law of x alone does not give."""
        return self._compile([self._log_evidence])

    @cached_property
    def posterior_step(self) -> Compiled:
        """(y, *eta) -> `log_evidence`, then E[s|x,y], (1 + m, n)."""
        return self._compile([self._log_evidence, *self.theory.expected_statistic])

    @cached_property
    def expected_statistic(self) -> Compiled:
        """(y, *eta) -> E[s|x,y], (m, n)."""
        return self._compile(list(self.theory.expected_statistic))

    @cached_property
    def statistics(self) -> Compiled:
        """(y, *eta) -> s(y, z), (k m, n), label by label; of eta only the known predictors can matter."""
        return self._compile([e for s in self.theory.statistics for e in s])

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
            mean = [self.theory.mean[j] for j in index]
            sub = hessian.extract(list(index), list(index))
            constant = offset = None
            if all(e.is_number for e in sub):
                constant = np.array(sub.tolist(), dtype=float)
                zero = dict.fromkeys(learnt, 0)
                offset = np.array([float(e.subs(zero)) for e in mean])
            expressions = (*mean, *_upper(sub))
            uses = tuple(i for i, s in enumerate(self.model.symbols) if any(e.has(s) for e in expressions))
            arguments = [self.model.symbols[i] for i in uses]
            made.append(
                Part(
                    index,
                    expressions,
                    uses,
                    Compiled(arguments, mean, sharing=True),
                    Compiled(arguments, _upper(sub), sharing=True),
                    constant,
                    offset,
                )
            )
        return tuple(made)

    @property
    def _varying_expressions(self) -> list[sp.Expr]:
        return [e for part in self.parts if part.constant is None for e in part.expressions]

    @cached_property
    def varying_parts(self) -> Compiled:
        """(*eta) -> ∇A_x then the upper triangle of ∇²A_x, part by part, for the parts whose Hessian varies."""
        return Compiled(self.model.symbols, self._varying_expressions, sharing=True)

    @cached_property
    def estep(self) -> Compiled:
        """(y, *eta) -> log p(y|x), E[s|x,y] (m), then `varying_parts`: all that an EM step needs, computed together."""
        return self._with_density(self._varying_expressions)

    @cached_property
    def first_order(self) -> Compiled:
        """(y, *eta) -> log p(y|x), E[s|x,y] (m), then ∇A_x (m): what a gradient needs."""
        return self._with_density(self.theory.mean)

    def _with_density(self, others: Iterable[sp.Expr]) -> Compiled:
        """log p(y|x) = log p(y,z|x) - log P(z|x,y) of any z (the likeliest loses nothing), E[s|x,y], others."""
        t = self.theory
        top, share = self.model.log_joint[0], t.posterior[0]
        for joint, posterior in zip(self.model.log_joint[1:], t.posterior[1:], strict=True):
            top, share = larger(top, joint), larger(share, posterior)
        log_density = top - sp.log(share)
        arguments = (RESPONSE, *self.model.symbols)
        return Compiled(arguments, [log_density, *t.expected_statistic, *others], sharing=True)

    def log_density(self, y: Array, eta: Sequence[Array] | Array) -> Array:
        """log p(y|x), (n,), relatively accurate also where p is near 1."""
        if self.model.response.values:
            return self._finite_log_density(y, eta)
        joint, logits = self.log_joint.rows(y, *eta), self.logits.rows(y, *eta)
        if len(joint) == 2:
            return np.maximum(joint[0], joint[1]) + np.log1p(np.exp(-np.abs(logits[1])))
        return log_sum_exp(np.stack(np.broadcast_arrays(*joint)))

    def _finite_log_density(self, y: Array, eta: Sequence[Array] | Array) -> Array:
        """log p(y) = -log(1 + Σ_{y'≠y} p(y')/p(y)): no cancellation when the others' probability is tiny."""
        values = np.asarray(self.model.response.values, dtype=float)
        each = np.stack([log_sum_exp(self.log_joint(np.full(len(y), v), *eta)) for v in values])
        own = values[:, None] == y
        other = log_sum_exp(np.where(own, -np.inf, each)) - np.sum(np.where(own, each, 0.0), axis=0)
        return -(np.maximum(other, 0.0) + np.log1p(np.exp(-np.abs(other))))


def check_responses(model: Model, name: str, y: Array) -> None:
    """InputError, with the first row, unless every response, (n,), is in the model's domain and has a density there:
    log y or 1/y in a declaration for all real numbers says which have none."""
    model.response.check(name, y)
    if not any(singular(e.xreplace({RESPONSE: model.response.symbol})) for e in model.log_expert):
        return
    origin = dict.fromkeys(model.symbols, sp.Integer(0))
    with np.errstate(all="ignore"):
        values = Compiled([RESPONSE], [e.subs(origin) for e in model.log_expert])(y)
    bad = ~np.all(np.isfinite(values), axis=0)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{name}: expected responses at which log p(y|x,z) of {model.name} is finite, got {y[row]:.17g} in row"
            f" {row}"
        )


def unpack_upper(values: list, m: int) -> list[tuple[int, int, Array | float]]:
    """[(a, b, value)] with a <= b from the order in which the upper triangles above are stored."""
    pairs = [(a, b) for a in range(m) for b in range(a, m)]
    return [(a, b, v) for (a, b), v in zip(pairs, values, strict=True)]


def _upper(matrix: sp.Matrix) -> list[sp.Expr]:
    return [matrix[a, b] for a in range(matrix.rows) for b in range(a, matrix.cols)]
