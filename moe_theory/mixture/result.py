"""A fitted mixture of experts: its parameters, how good it is, and what it says of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.algorithms.fit import Fit
from moe_theory.algorithms.trace import Trace
from moe_theory.analysis.rates import RateMeasurement, RatePrediction, measure_rate, predict_rate
from moe_theory.errors import InputError
from moe_theory.evaluation import Layout, Penalty
from moe_theory.evaluation.families import MOST
from moe_theory.evaluation.softmax_kernels import e_step, expert_predictors, gate_probabilities
from moe_theory.laws.rows import Block
from moe_theory.mixture.inference import Coefficient, Inference, infer
from moe_theory.mixture.problem import Problem, check_counts
from moe_theory.structure import Softmax
from moe_theory.validation import Array, real_array, whole_number


@dataclass(frozen=True, eq=False, repr=False)
class Estimate:
    """Where EM ended on a problem, and what follows from it for its parameters and for rows.

    problem: the model and its data. runs: all of EM's runs. trace: the best; in both L and `thetas` are the user's.
    local: its end, (m, D), in the problem's units. penalty: what was asked for. All else is in the user's units; arrays
    are in the order of the labels 1 … k and of the features' names.
    """

    problem: Problem
    runs: Fit
    trace: Trace
    local: Array
    penalty: Penalty

    def __repr__(self) -> str:
        experts = f"{self.k} {self.problem.family} expert{'s' * (self.k > 1)}, {len(self.problem.standard)} rows"
        return f"<{type(self).__name__}: {experts}, log-likelihood {self.log_likelihood:.10g}, {self.reason}>"

    # Parameters ----------------------------------------------------------------------------------------------

    @cached_property
    def theta(self) -> Array:
        """All parameters, (m, D), over the columns of the table."""
        return self.problem.units.lift(self.local)

    @property
    def structure(self) -> Softmax:
        return self.problem.structure

    @property
    def k(self) -> int:
        return self.structure.k

    @property
    def layout(self) -> Layout:
        return self.problem.layout

    @property
    def experts(self) -> Array:
        """The experts' coefficients, (k, d), of multinomial ones (k, C-1, d) against class 0."""
        return self.problem.experts_of(self.theta)

    @property
    def gate(self) -> Array:
        """The gate's coefficients, (k, g); those of label 1, the reference, are 0."""
        return self.problem.gate_of(self.theta)

    @property
    def sigma(self) -> Array | None:
        """The experts' standard deviations, (k,), or None for other families."""
        return self.problem.units.unit * np.exp(self._coefficients[1]) if self.structure.scale_predictors else None

    @cached_property
    def _coefficients(self) -> tuple[Array, Array, Array]:
        return self.layout.coefficients(self.local)

    # How good it is ------------------------------------------------------------------------------------------

    @property
    def reason(self) -> str:
        """Why the run stopped: converged, max_iterations, decreased, nonfinite, degenerate."""
        return self.trace.reason

    @property
    def message(self) -> str:
        return self.trace.message

    @property
    def converged(self) -> bool:
        return self.trace.converged

    @property
    def iterations(self) -> int:
        """Of the best run (one of SQUAREM takes three EM steps)."""
        return self.trace.iterations

    @property
    def events(self) -> tuple[str, ...]:
        """What was done beyond plain maximum likelihood, and which starts failed."""
        found = []
        if self.penalty.ridge > 0:
            share = self.penalty.ridge * self.penalty.intercepts
            where = f"slopes, {share:g} on intercepts" if share else "all coefficients but intercepts"
            found.append(f"ridge {self.penalty.ridge:g} on {where}")
        if self.penalty.sigma_floor > 0 and self.sigma is not None:
            held = [str(i + 1) for i in np.flatnonzero(self.sigma <= self.penalty.sigma_floor * (1 + 1e-12))]
            reached = f"reached by expert {', '.join(held)}" if held else "not reached"
            found.append(f"sigma floor {self.penalty.sigma_floor:g}, {reached}")
        found += [f"start given up: {failure}" for failure in self.runs.failures]
        return tuple(found)

    @cached_property
    def inference(self) -> Inference:
        """Information, standard errors and criteria at the estimate."""
        return infer(self.problem, self.local)

    @property
    def log_likelihood(self) -> float:
        """Σ weight log p(y|x), without any penalty."""
        return self.inference.log_likelihood

    @property
    def aic(self) -> float:
        return self.inference.aic

    @property
    def bic(self) -> float:
        return self.inference.bic

    @property
    def icl(self) -> float:
        return self.inference.icl

    def coefficients(self) -> list[Coefficient]:
        """Every parameter with its standard error, z value and p value."""
        return self.inference.coefficients()

    @cached_property
    def rate(self) -> RatePrediction | None:
        """EM's predicted rate at the estimate, with its penalty; None where the information is singular."""
        try:
            units = self.problem.units
            found = predict_rate(self.problem.model, self.problem.standard, self.local, units.penalty(self.penalty))
            return replace(found, direction=units.lift(found.direction) - units.lift(np.zeros_like(self.local)))
        except InputError:
            return None

    @property
    def measured_rate(self) -> RateMeasurement | None:
        """The contraction measured on the run; None where it cannot be: `rate_remark` says why."""
        return self._measured[0]

    @property
    def rate_remark(self) -> str:
        """Why no contraction could be measured, '' where one was."""
        return self._measured[1]

    @cached_property
    def _measured(self) -> tuple[RateMeasurement | None, str]:
        if self.trace.algorithm != "EM":
            return None, f"trace: expected a run of EM, got one of {self.trace.algorithm}"
        try:
            return measure_rate(self.trace), ""
        except InputError as error:
            return None, str(error)

    # What it says of rows ------------------------------------------------------------------------------------

    def _block(
        self, x: ArrayLike | None, gate: ArrayLike | None, offset: ArrayLike | None, y: Array | None
    ) -> list[Block]:
        return list(self.problem.law.blocks) if x is None else [self.problem.block(x, gate, offset, y)]

    def shares_of(self, block: Block) -> Array:
        """P(z|x,y), (n, k), of a block of the table's columns with responses."""
        return e_step(self.layout, self.problem.units.block(block), self.layout.predictors(self.local))[2].T

    def gate_at(self, table: Array) -> Array:
        """P(z|x), (n, k), at rows given by all columns of the table, (D, n)."""
        block = self.problem.units.block(Block(table, np.empty(0), 1.0))
        return gate_probabilities(self._coefficients[2], block.x[self.layout.gate]).T

    def means_at(self, table: Array) -> Array:
        """E[y|x,z], (n, k), or class probabilities (n, k, C), at rows given by all columns of the table, (D, n)."""
        means, units = self._means(table), self.problem.units
        return means if self.problem.family == "multinomial" else units.means(means, table)

    def _means(self, table: Array) -> Array:
        """The same in the problem's units."""
        block = self.problem.units.block(Block(table, np.empty(0), 1.0))
        with np.errstate(over="ignore"):
            means = self.layout.family.mean(expert_predictors(self.layout, block, self._coefficients[0]))
        whole = np.moveaxis(means, 2, 0)
        return whole if self.problem.family == "multinomial" else whole[:, :, 0]

    def gate_probabilities(
        self, x: ArrayLike | None = None, gate: ArrayLike | None = None, offset: ArrayLike | None = None
    ) -> Array:
        """P(z|x), (n, k), at new features or (None) at the fitted rows."""
        return np.concatenate([self.gate_at(b.x) for b in self._block(x, gate, offset, None)])

    def expert_means(
        self, x: ArrayLike | None = None, gate: ArrayLike | None = None, offset: ArrayLike | None = None
    ) -> Array:
        """E[y|x,z], (n, k), or class probabilities (n, k, C), at new features or (None) at the fitted rows."""
        return np.concatenate([self.means_at(b.x) for b in self._block(x, gate, offset, None)])

    def predict(
        self, x: ArrayLike | None = None, gate: ArrayLike | None = None, offset: ArrayLike | None = None
    ) -> Array:
        """E[y|x], (n,), or class probabilities (n, C)."""
        found = []
        for block in self._block(x, gate, offset, None):
            own = np.einsum("nk,nk...->n...", self.gate_at(block.x), self._means(block.x))
            found.append(own if own.ndim > 1 else self.problem.units.means(own[:, None], block.x)[:, 0])
        return np.concatenate(found)

    def responsibilities(
        self,
        x: ArrayLike | None = None,
        y: ArrayLike | None = None,
        gate: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> Array:
        """P(z|x,y), (n, k), of new rows or (None) of the fitted ones."""
        return self._e_step(x, y, gate, offset)[2].T

    def log_density(
        self,
        x: ArrayLike | None = None,
        y: ArrayLike | None = None,
        gate: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> Array:
        """log p(y|x) of every row, (n,)."""
        return self._e_step(x, y, gate, offset)[0]

    def _e_step(
        self, x: ArrayLike | None, y: ArrayLike | None, gate: ArrayLike | None, offset: ArrayLike | None
    ) -> tuple[Array, Array, Array, Array]:
        if (x is None) != (y is None):
            raise InputError("y: expected features and responses together, or neither")
        response = None if y is None else real_array("y", y, ndim=1)
        blocks = [] if x is None else self._block(x, gate, offset, response)
        if response is not None:
            self.problem.model.response.check("y", response)
            if self.problem.family == "poisson":
                check_counts("y", response)
            if len(response) != blocks[0].x.shape[1]:
                raise InputError(f"y: expected {blocks[0].x.shape[1]} responses, one per row of x, got {len(response)}")
        predictors = self.layout.predictors(self.local)
        blocks = list(self.problem.standard.blocks) if x is None else [self.problem.units.block(b) for b in blocks]
        parts = [e_step(self.layout, b, predictors) for b in blocks]
        base = [np.broadcast_to(self.layout.family.base(b.y), b.y.shape) for b in blocks]
        log_density = np.concatenate(
            [p[0] + own - self.problem.units.log_unit for p, own in zip(parts, base, strict=True)]
        )
        prior, posterior, residual = (np.concatenate([p[i] for p in parts], axis=-1) for i in (1, 2, 3))
        return log_density, prior, posterior, residual

    def sample(
        self,
        seed: int | np.random.Generator,
        x: ArrayLike | None = None,
        gate: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> tuple[Array, Array]:
        """(y (n,), labels (n,) in 1 … k) drawn at new features or (None) at the fitted rows."""
        rng = seed if isinstance(seed, np.random.Generator) else np.random.default_rng(whole_number("seed", seed))
        prior, means = self.gate_probabilities(x, gate, offset), self.expert_means(x, gate, offset)
        z = _drawn(prior, rng)
        own = means[np.arange(len(z)), z]
        if self.sigma is not None:
            return own + self.sigma[z] * rng.standard_normal(len(z)), z + 1
        if self.problem.family == "poisson":
            if np.max(own) > MOST:
                raise InputError(f"x: expected means of at most 2^53, {MOST:.0f}, to draw counts, got {np.max(own):g}")
            return rng.poisson(own).astype(float), z + 1
        if self.problem.family == "binomial":
            return (rng.random(len(z)) < own).astype(float), z + 1
        return _drawn(own, rng).astype(float), z + 1

    def relabelled(self, order: Sequence[int]) -> Self:
        """The same fit with label `order[i]` (1 … k) called i + 1; the trace's iterates stay as they were run."""
        if sorted(order) != list(range(1, self.k + 1)):
            raise InputError(f"order: expected a permutation of 1 … {self.k}, got {tuple(order)}")
        local = self.structure.relabelled(self.local, tuple(int(i) - 1 for i in order))
        trace = self.trace
        if trace.label is not None:
            label = list(order).index(trace.label) + 1
            trace = replace(
                trace, label=label, message=trace.message.replace(f"label {trace.label},", f"label {label},")
            )
        return replace(self, local=local, trace=trace)


def _drawn(probabilities: Array, rng: np.random.Generator) -> Array:
    """Index drawn by inversion from (n, k) probabilities, (n,)."""
    cumulative = np.cumsum(probabilities, axis=1)
    return np.sum(rng.random(len(cumulative))[:, None] > cumulative[:, :-1], axis=1)
