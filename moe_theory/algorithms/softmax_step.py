"""The M-step of softmax mixtures: weighted least squares for normal experts, Newton for the gate and other experts.

All parts that iterate share their passes over the rows. Nothing is repaired: a part without a maximum is an error that
names the label and its rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from moe_theory.algorithms.degenerate import (
    degenerate,
    flat_way,
    iterated,
    refuse_collapse,
    refuse_vanished,
    saturation,
    tilt,
)
from moe_theory.algorithms.newton import (
    Ask,
    Solution,
    Solver,
    drive,
    inverse_of,
    newton,
    newton_cg,
)
from moe_theory.errors import DegenerateError, SingularError
from moe_theory.evaluation.curvature import repeated
from moe_theory.evaluation.softmax import Part, SoftmaxEvaluation
from moe_theory.evaluation.softmax_kernels import (
    assembled,
    expert_curvature,
    expert_predictors,
    gate_curvature,
    gate_probabilities,
    outer_sum,
    products,
)
from moe_theory.laws.rows import Block, Law
from moe_theory.model import Model
from moe_theory.sums import total
from moe_theory.validation import Array

SWEEPS = 1000
RISING = 1e-11  # residual per row that is a slope and no rounding
SETTLED = 1e-10  # what L could still gain from a saturated part that is left as it is
RANK = 1e-13  # least eigenvalue of an expert's Gram matrix scaled to unit diagonal

Memory = dict[int, Solution]  # by a part's index


def softmax_step(
    model: Model,
    law: Law,
    at: SoftmaxEvaluation,
    one: bool = False,
    held: list[int] | None = None,
    memory: Memory | None = None,
) -> tuple[Array, float]:
    """(argmax_φ Q(φ|θ), (m, D); the largest Newton decrement left in a part, over its aim).

    one: a single Newton step for each part that needs iterations, unguarded (generalised EM). held: a list that takes
    the indices of parts without a maximum, which stay where Newton's method had to stop, far out. Without it such a
    part raises DegenerateError, naming the label and its rows; an expert that collapses or vanishes always does.
    memory: the last step's solutions for parts whose Hessian is dear; their curvature serves again until it no longer
    does, and they are replaced by this step's.
    """
    known = {} if memory is None else memory
    refuse_vanished(model, law, at)
    passes = _Passes(model, law, at)
    theta, residual = at.theta.copy(), 0.0
    offset = len(at.parts) - at.layout.structure.k
    if at.layout.family.quadratic:
        _normal_experts(model, law, at, at.parts[offset:], theta)
    solvers: dict[int, Solver] = {}
    for i in iterated(at):
        part = at.parts[i]
        name = "the gate" if i < offset else "its coefficients"
        point, slope = part.point.ravel(), part.slope.ravel()
        past = known.pop(i, None)
        if past is not None and past.hessian is not None:
            solvers[i] = _labelled(newton(point, slope, past.hessian, name, past.inverse), model, law, at, i, held)
            continue
        hessian = at.hessian(model, law, i)
        if hessian is not None and passes.at_infinity(i, point, hessian):
            if one:
                raise saturation(model, law, at, i)
            if held is not None and _is_settled(part):
                held.append(i)
                continue
            solver = _from_zero(len(point), name)
        elif one and hessian is not None:
            theta[part.rows, part.columns] -= (inverse_of(hessian, name) @ slope).reshape(part.point.shape)
            continue
        elif hessian is not None:
            solver = newton(point, slope, hessian, name)
        else:
            solver = newton_cg(point, slope, part.curvature, name, once=one)
        solvers[i] = _labelled(solver, model, law, at, i, held)
    if solvers:
        for i, solution in drive(solvers, passes.answer).items():
            part = at.parts[i]
            theta[part.rows, part.columns] = solution.point.reshape(part.point.shape)
            residual = max(residual, solution.residual)
            if i in (held or ()):
                continue
            if not one and passes.at_infinity(i, solution.point, solution.hessian):
                if held is None:
                    raise saturation(model, law, at, i)
                held.append(i)
            elif memory is not None and part.curvature.hessian is None:
                memory[i] = solution
    return theta, residual


def saturated(model: Model, law: Law, at: SoftmaxEvaluation) -> list[int]:
    """The parts whose M-step has its maximum at infinity, as far as can be told at θ."""
    passes = _Passes(model, law, at)
    return [i for i in iterated(at) if passes.at_infinity(i, at.parts[i].point.ravel(), at.hessian(model, law, i))]


def _is_settled(part: Part) -> bool:
    """Whether a part without curvature has no slope to speak of: it is at its bound, not beyond its maximum."""
    diagonal = np.maximum(np.diagonal(part.curvature.dense), 1e-300)
    return float(np.sum(part.slope.ravel() ** 2 / diagonal)) <= SETTLED


def _labelled(solver: Solver, model: Model, law: Law, at: SoftmaxEvaluation, i: int, held: list[int] | None) -> Solver:
    """The solver with errors that name the label and its rows, or held at the last point it accepted."""
    point = at.parts[i].point.ravel()
    try:
        ask = next(solver)
        while True:
            value = yield ask
            if ask.what == "hessian":  # asked for where a step was accepted
                point = ask.point
            ask = solver.send(value)
    except StopIteration as end:
        return end.value
    except DegenerateError as error:
        if held is not None:
            held.append(i)
            return Solution(point, None, 0.0)
        if isinstance(error, SingularError):
            raise saturation(model, law, at, i) from error
        offset = len(at.parts) - at.layout.structure.k
        label = i - offset if i >= offset else 1 + int(np.argmax(np.sum(at.parts[i].slope ** 2, axis=1)))
        raise degenerate(model, law, at, label, str(error)) from error


def _from_zero(size: int, name: str) -> Solver:
    """Newton's method from 0, for a part without curvature where it stands: its maximum may be elsewhere."""
    zero = np.zeros(size)
    gradient = yield Ask("gradient", zero)
    hessian = yield Ask("hessian", zero)
    return (yield from newton(zero, gradient, hessian, name))


def _normal_experts(model: Model, law: Law, at: SoftmaxEvaluation, parts: tuple[Part, ...], theta: Array) -> None:
    """Weighted least squares and the sigmas, from the moments at θ; with a ridge the two depend on each other."""
    s, plan = at.layout.structure, at.layout
    variance = np.exp(2 * plan.coefficients(theta)[1])
    grams = [p.plain_curvature.dense * v for p, v in zip(parts, variance, strict=True)]
    slopes = [p.plain_slope.ravel() * v for p, v in zip(parts, variance, strict=True)]
    ridged = any(np.any(p.ridge) for p in parts)
    for _ in range(SWEEPS):
        moves, squares = [], []
        for z, (part, gram, slope) in enumerate(zip(parts, grams, slopes, strict=True)):
            ridge = variance[z] * part.ridge
            move = _least_squares(model, law, at, z, gram + ridge, slope + ridge @ part.point.ravel())
            moves.append(move)
            squares.append(at.squares[z] + 2 * slope @ move + move @ gram @ move)
        fresh = np.sum(squares) / np.sum(at.mass) if s.common_sigma else np.array(squares) / at.mass
        fresh = np.broadcast_to(np.maximum(fresh, at.sigma_floor**2), (s.k,))
        settled = not ridged or np.allclose(fresh, variance, rtol=1e-15, atol=0)
        variance = fresh
        if settled:
            break
    else:
        raise DegenerateError(f"normal experts with a ridge: did not settle in {SWEEPS} sweeps")
    refuse_collapse(model, law, at, variance)
    for part, move in zip(parts, moves, strict=True):
        theta[part.rows, part.columns] = part.point + move.reshape(part.point.shape)
    logs = np.log(variance) / 2
    if at.sigma_floor > 0:  # exactly there, as what holds it (`at_floor`) asks
        logs = np.where(variance <= at.sigma_floor**2, np.log(at.sigma_floor), logs)
    theta[s.scales, plan.scale] = logs[:1] if s.common_sigma else logs


def _least_squares(model: Model, law: Law, at: SoftmaxEvaluation, label: int, gram: Array, slope: Array) -> Array:
    """-gram^{-1} slope, (d,); DegenerateError where the expert's features have no full rank on its rows."""
    scale = np.sqrt(np.maximum(np.diagonal(gram), 1e-300))
    values, vectors = np.linalg.eigh(gram / np.outer(scale, scale))
    if np.min(values, initial=1.0) < RANK:  # none where the expert is given
        what = "has fewer rows in effect than coefficients (singular least squares)"
        raise degenerate(model, law, at, label, what, bounded=False)
    return -(vectors / values) @ (vectors.T @ (slope / scale)) / scale


class _Passes:
    """Answers the solvers' questions about -Q(·|θ), all open ones in one pass."""

    def __init__(self, model: Model, law: Law, at: SoftmaxEvaluation) -> None:
        self.model, self.law, self.at, self.plan = model, law, at, at.layout
        self.rows = law.rows(model, at.theta)
        self.offset = len(at.parts) - self.plan.structure.k

    def at_infinity(self, i: int, point: Array, hessian: Array | None) -> bool:
        """Whether part `i` has directions without curvature in which -Q does not rise either, (p,) further on."""
        product = self.answer({i: Ask("product", point, point)})[i] if hessian is None else None
        way = flat_way(self.model, self.law, self.at, i, point, hessian, product)
        if way is None:
            return False
        slope = self.answer({i: Ask("gradient", point + way)})[i]
        return not tilt(self.model, self.law, self.at, i, way, slope) > RISING

    def answer(self, asked: dict[int, Ask]) -> dict[int, Array]:
        """Gradients (p,), Hessians (p, p) or products (p,), with the ridge."""
        labels = sorted(i - self.offset for i in asked if i >= self.offset)
        given = iter(self.at.responsibilities or ())
        shapes = [part.point.shape for part in self.at.parts]
        experts = np.stack([asked[z + self.offset].point.reshape(shapes[-1]) for z in labels]) if labels else None
        gate = asked[0].point.reshape(shapes[0]) if self.offset and 0 in asked else None

        def work(block: Block) -> list[Any]:
            terms: list[Any] = []
            if gate is not None:
                terms.append(self._gate(block, gate, asked[0]))
            if experts is not None:
                weighted = next(given)[labels] * block.weight
                terms += self._experts(block, experts, weighted, [asked[z + self.offset] for z in labels])
            return terms

        found = total(self.rows.blocks, work)
        keys = ([0] if gate is not None else []) + [z + self.offset for z in labels]
        return {i: self._completed(i, asked[i], value) for i, value in zip(keys, found, strict=True)}

    def _gate(self, block: Block, gate: Array, ask: Ask) -> Array:
        x = block.x[self.plan.gate]
        prior = gate_probabilities(gate, x)
        if ask.what == "hessian":
            return gate_curvature(x, prior, block.weight)
        factor, weighted = (block.weight, prior) if isinstance(block.weight, float) else (1.0, prior * block.weight)
        if ask.what == "gradient":
            return factor * outer_sum(x, weighted[1:])
        moved = products(np.asarray(ask.vector).reshape(gate.shape), x)
        return factor * outer_sum(x, weighted[1:] * (moved - np.sum(prior[1:] * moved, axis=0)))

    def _experts(self, block: Block, experts: Array, weighted: Array, asks: list[Ask]) -> list[Array]:
        family, x = self.plan.family, block.x[self.plan.experts]
        residual = family.residual(block.y, expert_predictors(self.plan, block, experts))
        wanted = [z for z, ask in enumerate(asks) if ask.what == "hessian"]
        hessians = expert_curvature(self.plan, x, block.y, residual, weighted, wanted, True) if wanted else None
        terms = []
        for z, ask in enumerate(asks):
            if ask.what == "gradient":
                terms.append(-outer_sum(x, weighted[z] * residual[z]))
            elif hessians is not None and ask.what == "hessian":
                terms.append(hessians[z])
            else:
                moved = products(np.asarray(ask.vector).reshape(experts[z].shape), x)
                change = np.zeros_like(moved)
                for a, b, value in family.curvature(block.y, residual):
                    change[a] += value[z] * moved[b]
                    if a != b:
                        change[b] += value[z] * moved[a]
                terms.append(outer_sum(x, weighted[z] * change))
        return terms

    def _completed(self, i: int, ask: Ask, value: Array) -> Array:
        part = self.at.parts[i]
        ridged = lambda v: (v.reshape(part.point.shape) @ part.ridge).ravel()
        if ask.what == "hessian":
            return (value if i < self.offset else assembled(value, *part.point.shape)) + repeated(
                part.ridge, part.point.size
            )
        if ask.what == "product":
            return value.ravel() + ridged(np.asarray(ask.vector))
        if i < self.offset:
            value = value - self.at.target
        return value.ravel() + ridged(ask.point)
