"""One pass over the rows of a softmax mixture: array kernels for what the derived ones compute label by label.

Equal to them up to rounding (tests/test_mixture_kernels.py). The cost of a pass grows linearly with k: of a gate over
many labels the Hessian, which takes k² products, is formed only where it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_theory.errors import SingularError
from moe_theory.evaluation.base import Evaluation
from moe_theory.evaluation.curvature import Curvature, Diagonal, Shares, Whole
from moe_theory.evaluation.layout import Layout
from moe_theory.evaluation.penalty import Penalty, at_floor
from moe_theory.evaluation.softmax_kernels import (
    Predictors,
    assembled,
    e_step,
    expert_curvature,
    gate_curvature,
    gate_probabilities,
    outer_sum,
)
from moe_theory.laws.rows import Block, Law, Rows, scaled_grams
from moe_theory.model import Model
from moe_theory.sums import average, total
from moe_theory.validation import Array

SMALL = 20  # coefficients of a gate up to which its Hessian is formed in every pass
LARGE = 1000  # coefficients of a gate or a generalised linear expert beyond which its Hessian is never formed
SCARCE = 1e-3  # share of the rows below which an expert's Gram matrix is not taken as a difference


@dataclass(frozen=True, eq=False)
class Part:
    """One separate piece of Q at θ: the gate, or one expert's coefficients.

    rows: its rows of θ. columns: the features it sees. point: its coefficients, (q, d). plain_slope, (q, d), and
    plain_curvature: of -Q at φ = θ, the latter its Hessian where that is cheap. ridge: on each of
    its predictors, (d, d).
    """

    rows: slice
    columns: slice | Array
    point: Array
    plain_slope: Array
    plain_curvature: Curvature
    ridge: Array

    @property
    def slope(self) -> Array:
        """Of -Q with the ridge, (q, d)."""
        return self.plain_slope + self.point @ self.ridge

    @property
    def curvature(self) -> Curvature:
        """Of -Q with the ridge."""
        return self.plain_curvature.ridged(self.ridge)


@dataclass(frozen=True, eq=False)
class SoftmaxEvaluation(Evaluation):
    """A softmax mixture at θ.

    parts: the gate first (none for one label), then the experts. target: Σ weight P(z|x,y) ⊗ x of the labels but the
    first, (k-1, d), which the gate's M-step has to match. mass: Σ weight P(z|x,y), (k,). squares: Σ weight
    P(z|x,y) (y - η_z)² of normal experts, (k,). responsibilities: per block, (k, n); None where they are those at θ
    and no M-step needs them.
    sigma_floor: at which the gradient is projected.
    """

    layout: Layout
    parts: tuple[Part, ...]
    target: Array
    mass: Array
    squares: Array
    responsibilities: tuple[Array, ...] | None
    sigma_floor: float = 0.0

    @property
    def gradient(self) -> Array:
        """∇L(θ), (m, D)."""
        out = np.zeros_like(self.theta)
        for part in self.parts:
            out[part.rows, part.columns] = part.slope
        s = self.layout.structure
        if s.scale_predictors:
            log_sigma = self.layout.coefficients(self.theta)[1]
            own = self.mass - self.squares * np.exp(-2 * log_sigma)
            own = np.sum(own, keepdims=True) if s.common_sigma else own
            own = np.where(at_floor(self.layout, self.theta, self.sigma_floor) & (own > 0), 0.0, own)
            out[s.scales, self.layout.scale] = own
        return out

    def hessian(self, model: Model, law: Law, i: int) -> Array | None:
        """Of -Q with the ridge in part `i`, (q d, q d), by a pass of its own for a gate over many labels; None for a
        part of more than LARGE coefficients."""
        part = self.parts[i]
        if isinstance(part.plain_curvature, Shares) and part.point.size <= LARGE:

            def work(block: Block) -> list[Any]:
                x = block.x[part.columns]
                return [gate_curvature(x, gate_probabilities(part.point, x), block.weight)]

            return Whole(total(law.rows(model, self.theta).blocks, work)[0]).ridged(part.ridge).hessian
        return part.curvature.hessian

    @property
    def exact(self) -> bool:
        """Whether `dual_norm` is in the metric without asking for more."""
        return all(part.plain_curvature.hessian is not None for part in self.parts)

    def dual_norm(self, model: Model, law: Law, held: Array | None = None, exact: bool = False) -> float:
        """√(∇L' M^{-1} ∇L) over the entries that are not held, with each part's `Curvature` for M: a lower bound where
        that is a gate's `Shares`. exact: with the Hessian instead (of parts up to LARGE)."""
        left = np.ones(self.theta.shape, dtype=bool)
        if held is not None:
            left.flat[np.arange(left.size) if model.design is None else model.design.index] = ~held
        s, g = self.layout.structure, self.gradient
        out = 0.0
        try:
            for i, part in enumerate(self.parts):
                own = g[part.rows, part.columns].ravel()
                if np.all(left[part.rows, part.columns]):
                    hessian = self.hessian(model, law, i) if exact else None
                    out += float(own @ (part.curvature if hessian is None else Whole(hessian)).solve(own))
        except SingularError:
            return float("nan")
        if s.scale_predictors:
            masses = np.sum(self.mass, keepdims=True) if s.common_sigma else self.mass
            out += float(np.sum(g[s.scales, self.layout.scale] ** 2 / (2 * masses)))
        return float(np.sqrt(out))

    def metric(self, model: Model, law: Law) -> Array:
        """The complete data's information with the labels' responsibilities at θ, (p, p), block diagonal.

        Of normal experts the expected one: it is -∂²Q at every fixed point of EM, and positive everywhere. Of parts of
        more than LARGE coefficients what stands for it: a gate's `Shares`, an expert's diagonal.
        """
        m, d = self.theta.shape
        out = np.zeros((m, d, m, d))
        for i, part in enumerate(self.parts):
            place = np.ix_(range(m)[part.rows], _listed(part.columns, d), range(m)[part.rows], _listed(part.columns, d))
            block = self.hessian(model, law, i)
            out[place] = (part.curvature.dense if block is None else block).reshape(out[place].shape)
        s = self.layout.structure
        if s.scale_predictors:
            masses = [np.sum(self.mass)] if s.common_sigma else self.mass
            for row, mass in zip(range(m)[s.scales], masses, strict=True):
                out[row, self.layout.scale, row, self.layout.scale] = 2 * mass
        whole = out.reshape(m * d, m * d)
        return whole if model.design is None else whole[np.ix_(model.design.index, model.design.index)]


def evaluate_softmax(
    layout: Layout,
    model: Model,
    law: Law,
    theta: Array,
    penalty: Penalty | None = None,
    shares: Sequence[Array] | None = None,
) -> SoftmaxEvaluation:
    """L, ∇L, the curvature of Q's parts and the responsibilities at θ, in a single pass.

    shares: responsibilities to use instead of those at θ, per block, (k, n); then only an M-step makes sense.
    """
    s, rows = layout.structure, law.rows(model, theta)
    (experts, log_sigma, gate), predictors = layout.coefficients(theta), layout.predictors(theta)
    quadratic = layout.family.quadratic  # least squares need the whole Gram matrix, however large
    whole_gate, whole_experts = gate.size <= min(SMALL, LARGE), quadratic or experts[0].size <= LARGE
    own, others = s.k * s.per_expert, s.k - 1
    kept: list[Array] = []
    given = None if shares is None else iter(shares)
    direct: list[int] = []

    def work(block: Block) -> list[Any]:
        log_marginal, prior, posterior, residual = e_step(layout, block, predictors)
        if given is not None:
            posterior = next(given)
        if not layout.family.quadratic:
            kept.append(posterior)
        # A weight that all rows share is multiplied into the sums instead of the rows.
        factor, weighted, expected = block.weight, posterior, prior
        if not isinstance(factor, float):
            weighted, expected, factor = posterior * factor, prior * factor, 1.0
        mass = np.sum(weighted, axis=1)
        if not direct:
            # The heaviest label's Gram matrix is all rows' less the others'.
            direct.extend(z for z in range(s.k) if not quadratic or z != int(np.argmax(mass)))
        values = np.empty((own + 2 * others, len(block.y)))
        scores = np.multiply(weighted[:, None], residual, out=values[:own].reshape(residual.shape))
        values[own : own + others] = weighted[1:]
        np.subtract(expected[1:], weighted[1:], out=values[own + others :])
        squares = np.einsum("kn,kn->k", scores[:, 0], residual[:, 0])
        x, g = block.x[layout.experts], block.x[layout.gate]
        grams = expert_curvature(layout, x, block.y, residual, weighted, direct, whole_experts)
        terms = [mass, squares, outer_sum(block.x, values), grams]
        if s.k > 1 and not whole_gate:
            terms.append(scaled_grams(g, expected))
        exact = [gate_curvature(g, prior, block.weight)] if s.k > 1 and whole_gate else []
        return [average(block, log_marginal), *(factor * term for term in terms), *exact]

    log_likelihood, mass, squares, outer, grams, *gate_sums = total(rows.blocks, work)
    slopes = outer[:own, layout.experts].reshape(experts.shape)
    target, gate_slope = outer[own : own + others, layout.gate], outer[own + others :, layout.gate]
    rest = [z for z in range(s.k) if z not in direct]
    if rest and mass[rest[0]] < SCARCE * np.sum(mass):
        grams[rest[0]] = _gram_of(layout, rows, predictors, rest[0], shares)
    elif rest:
        grams[rest[0]] = rows.gram[layout.experts][:, layout.experts] - np.sum(grams[direct], axis=0)
    nothing = (np.zeros((experts.shape[2],) * 2), np.zeros((gate.shape[1],) * 2))
    ridges = nothing if penalty is None else penalty.forms(layout, rows)
    precision = np.exp(-2 * log_sigma)
    parts = []
    if s.k > 1:
        place = (s.gate, layout.gate)
        known = Whole(gate_sums[0]) if whole_gate else Shares(gate_sums[0], nothing[1])
        parts.append(Part(*place, gate, gate_slope, known, ridges[1]))
    for z in range(s.k):
        place = (s.expert(z), layout.experts)
        sums = precision[z] * grams[z]
        curvature = Whole(assembled(sums, *experts[z].shape)) if whole_experts else Diagonal(sums.ravel())
        parts.append(Part(*place, experts[z], -precision[z] * slopes[z], curvature, ridges[0]))
    base = rows.once(("base", s.family), lambda: _base(layout, rows))
    return SoftmaxEvaluation(
        theta,
        sum(float(np.sum(p.point @ p.ridge * p.point)) for p in parts) / 2 - log_likelihood - base,
        layout,
        tuple(parts),
        target,
        mass,
        squares,
        tuple(kept) if kept else None if shares is None else tuple(shares),
        penalty.sigma_floor if penalty else 0.0,
    )


def count(rows: Rows) -> int:
    """Number of rows."""
    return sum(b.x.shape[1] for b in rows.covariates)


def _gram_of(layout: Layout, rows: Rows, predictors: Predictors, label: int, shares: Sequence[Array] | None) -> Array:
    """Σ weight P(z|x,y) xx' of one label, (1, d, d), in a pass of its own."""
    given = None if shares is None else iter(shares)

    def work(block: Block) -> list[Any]:
        _, _, posterior, residual = e_step(layout, block, predictors)
        weighted = (posterior if given is None else next(given)) * block.weight
        x = block.x[layout.experts]
        return [expert_curvature(layout, x, block.y, residual, weighted, [label], True)[label]]

    return total(rows.blocks, work)[0]


def _base(layout: Layout, rows: Rows) -> float:
    """Σ weight log h(y)."""
    one = lambda b: average(b, np.broadcast_to(layout.family.base(b.y), b.y.shape))
    return float(sum(one(b) for b in rows.blocks))


def _listed(columns: slice | Array, d: int) -> Any:
    return range(d)[columns] if isinstance(columns, slice) else columns
