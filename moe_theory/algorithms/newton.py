"""Newton's method for smooth convex functions known through passes over the rows, several at a time.

A solver is a generator: it asks for derivatives at a point (`Ask`) and is sent them, so that many solvers can share one
pass over the rows (`drive`). Hessians are kept and improved by secants (BFGS) as long as the steps contract; for large
problems they are not formed, and the Newton equations are solved by conjugate gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from moe_theory.errors import DegenerateError, SingularError
from moe_theory.evaluation.curvature import Curvature, scaled_solve
from moe_theory.validation import Array

TOLERANCE = 1e-14  # on the Newton decrement, relative to the size of the parameter in the same metric
MAX_NEWTON = 200
MAX_CG = 200
DIVERGED = 1e12  # in units of the curvature at the start
SHORTEST = 1e-10  # fraction of a Newton step
SHORT = 0.01  # a step's size over the point's, up to which a curvature may be trusted to hold over it
UNSURE = 100.0  # times the aim, from which on a decrement that no longer falls is looked at again
FADED = 1e-6  # of the curvature at the start: where no step decreases then, the rest is rounding
FLATTENED = 1e-8  # change of a curvature in one step that only a step much too long makes


@dataclass(frozen=True, eq=False)
class Ask:
    """What a solver wants to know at `point`, (p,): the gradient, the Hessian, or its product with `vector`."""

    what: Literal["gradient", "hessian", "product"]
    point: Array
    vector: Array | None = None


@dataclass(frozen=True, eq=False)
class Solution:
    """The minimum (p,), the last Hessian known (None if never formed), the Newton decrement there over its aim: at most
    1 where the tolerance was met, above where rounding stopped it; and the inverse as the secants have improved it."""

    point: Array
    hessian: Array | None
    residual: float
    inverse: Array | None = None


Solver = Generator[Ask, Array, Solution]


def drive(solvers: Mapping[int, Solver], answer: Callable[[dict[int, Ask]], dict[int, Array]]) -> dict[int, Solution]:
    """Run all solvers to their ends, one call of `answer` for all open questions at a time."""
    done: dict[int, Solution] = {}
    open_: dict[int, Ask] = {}

    def advance(key: int, value: Array | None) -> None:
        try:
            open_[key] = next(solvers[key]) if value is None else solvers[key].send(value)
        except StopIteration as end:
            done[key] = end.value
            open_.pop(key, None)

    for key in solvers:
        advance(key, None)
    while open_:
        for key, value in answer(dict(open_)).items():
            advance(key, value)
    return done


def newton(
    point: Array, gradient: Array, hessian: Array, name: str, inverse: Array | None = None, most: int = MAX_NEWTON
) -> Solver:
    """Damped Newton from `point` with its gradient (p,) and Hessian (p, p); `name` says whose minimum is sought.

    inverse: what is known of the Hessian's inverse, if `hessian` is of a point nearby; it is replaced where its steps
    contract too little. Raises DegenerateError where the iterates diverge (the minimum is not attained) or no step
    decreases.
    """
    fresh = inverse is None
    if inverse is None:
        inverse = inverse_of(hessian, name)
    best, contraction, longest, looked = np.inf, 1.0, 1.0, False
    begun = np.diagonal(hessian).copy()
    for _ in range(most):
        move = -inverse @ gradient
        decrement = float(np.sqrt(np.maximum(0.0, -gradient @ move)))
        aim = TOLERANCE * (1 + float(np.sqrt(np.maximum(0.0, point @ hessian @ point))))
        settled = decrement <= 1e5 * aim and decrement >= best / 2  # rounding: it no longer falls
        if settled and not fresh and not looked and decrement > UNSURE * aim:
            # What looks like rounding may be an inverse that has grown old.
            hessian = yield Ask("hessian", point)
            inverse, contraction, longest, fresh, looked = inverse_of(hessian, name), 1.0, 1.0, True, True
            best = np.inf
            continue
        if decrement <= aim or settled:
            return Solution(point, hessian, decrement / aim, inverse)
        best = min(best, decrement)
        slope, fraction = gradient @ move, longest
        while fraction >= SHORTEST:
            trial = point + fraction * move
            short = np.max(np.abs(move)) <= SHORT * np.max(np.abs(point))
            if short and fraction == 1.0 and contraction <= 0.1 and decrement * contraction <= aim:
                # The step's contraction is known: to look at the gradient once more would cost a pass for nothing.
                return Solution(trial, hessian, decrement * contraction / aim, inverse)
            moved = yield Ask("gradient", trial)
            # Along a descent direction of a convex function: not beyond the minimum by more than half the way in.
            if np.isfinite(moved).all() and moved @ move <= -0.5 * slope:
                break
            fraction /= 2
        else:
            if fresh and np.min(np.diagonal(hessian) / begun) < FADED:
                raise SingularError(f"{name}: its curvature fades to rounding, the minimum is not attained")
            if fresh:
                raise DegenerateError(f"{name}: found no step that decreases its objective")
            hessian = yield Ask("hessian", point)  # the secants have misled
            inverse, contraction, longest, fresh = inverse_of(hessian, name), 1.0, 1.0, True
            continue
        before, change = (point, gradient), moved - gradient
        point, gradient = trial, moved
        if np.max(np.abs(point) * np.sqrt(np.maximum(begun, 0.0))) > DIVERGED:
            raise SingularError(f"{name}: diverges, the minimum is not attained")
        remaining = float(np.sqrt(np.maximum(0.0, gradient @ inverse @ gradient)))
        contraction = remaining / decrement
        if contraction > 0.3 and remaining > 1e5 * aim:
            ahead = yield Ask("hessian", point)
            if np.all(np.diagonal(ahead) > FLATTENED * np.diagonal(hessian)):
                inverse, hessian, contraction, longest, fresh = inverse_of(ahead, name), ahead, 1.0, 1.0, True
            else:
                # So far beyond the minimum that nothing curves: back, and not so far again.
                (point, gradient), longest = before, fraction / 4
                if longest < SHORTEST:
                    raise SingularError(f"{name}: its curvature vanishes on the way to the minimum")
        else:
            inverse, fresh = _secant(inverse, fraction * move, change), False
    raise SingularError(f"{name}: did not converge in {most} Newton steps, the minimum is not attained")


def newton_cg(point: Array, gradient: Array, curvature: Curvature, name: str, once: bool = False) -> Solver:
    """The same without a Hessian: Newton's equations by conjugate gradients, preconditioned by what is known of it.

    once: a single step (damped) is the solution.
    """
    best = np.inf
    for _ in range(MAX_NEWTON):
        aim = TOLERANCE * (1 + curvature.norm(point))
        preconditioned = curvature.solve(gradient)
        size = float(np.sqrt(gradient @ preconditioned))
        if size <= aim or (size <= 1e5 * aim and size >= best / 2):
            return Solution(point, None, size / aim)
        best = min(best, size)
        move, residual = np.zeros_like(point), -gradient
        direction = -preconditioned
        energy, target = residual @ direction, min(0.1, np.sqrt(size)) * size
        for _ in range(MAX_CG):
            product = yield Ask("product", point, direction)
            bend = direction @ product
            if bend <= 0:
                break
            step = energy / bend
            move = move + step * direction
            residual = residual - step * product
            preconditioned = curvature.solve(residual)
            ahead = residual @ preconditioned
            if np.sqrt(ahead) <= target:
                break
            direction, energy = preconditioned + ahead / energy * direction, ahead
        slope, fraction = gradient @ move, 1.0
        while True:
            trial = point + fraction * move
            moved = yield Ask("gradient", trial)
            if np.isfinite(moved).all() and moved @ move <= -0.5 * slope:
                break
            fraction /= 2
            if fraction < 1e-10:
                raise DegenerateError(f"{name}: found no step that decreases its objective")
        point, gradient = trial, moved
        if once:
            return Solution(point, None, float("nan"))
        if curvature.norm(point) > DIVERGED:
            raise SingularError(f"{name}: diverges, the minimum is not attained")
    raise DegenerateError(f"{name}: did not converge in {MAX_NEWTON} Newton steps")


def _secant(inverse: Array, move: Array, change: Array) -> Array:
    """The BFGS update of an inverse Hessian, by what the last step taught (unchanged where that is only rounding)."""
    curvature = float(move @ change)
    if curvature <= 0:
        return inverse
    # (I - s c'/s'c) H (I - c s'/s'c) + s s'/s'c in O(p²).
    seen = inverse @ change
    along = np.outer(seen, move)
    return inverse + ((1 + change @ seen / curvature) * np.outer(move, move) - along - along.T) / curvature


def inverse_of(hessian: Array, name: str) -> Array:
    """The inverse of a positive definite matrix; SingularError, naming whose it is, otherwise."""
    try:
        return scaled_solve(hessian, np.eye(len(hessian)))
    except SingularError as error:
        raise SingularError(f"{name}: {error}") from error
