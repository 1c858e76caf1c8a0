"""A derived model is looked at once more, as numbers: what is compiled from it against log p as it was declared.

Nothing that the derivation is made of enters the right values: the declaration itself at 50 digits, and differences of
it. So a rule of differentiation that does not hold, a rewriting, a wrong class or a kernel that loses its digits is
found, whatever its cause.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import mpmath
import numpy as np
import sympy as sp

from moe_theory.errors import DerivationError
from moe_theory.model import RESPONSE, Model
from moe_theory.symbolic.functions import kinks
from moe_theory.symbolic.identities import evaluator, trial_points
from moe_theory.symbolic.lower import Compiled

if TYPE_CHECKING:
    from moe_theory.symbolic.derive import Derivation

DIGITS = 50
STEP = mpmath.mpf(10) ** -15
TRIALS = 4  # points beside those next to kinks
MOST = 40  # points
BENT = 5
TOLERANCE = 1e-7  # relative to the log-densities' and the value's own size
LARGE = 1e100  # beyond it doubles are not what is tested
Point = dict[sp.Symbol, sp.Rational]
Values = list[Any]


def self_check(theory: Derivation) -> None:
    """DerivationError with the numbers if L, the score, or the complete or missing information of a row, compiled, are
    not those of the declaration at some point: random ones, and both sides of every kink."""
    model = theory.model
    direction = _direction(len(model.learnt))
    compiled, k, m = _compiled(theory, direction), len(model.latent), len(model.learnt)
    names = [f"log p(y, z={z}|x)" for z in model.latent]
    names += ["log p(y|x)", *(f"∂ log p(y|x)/∂{s}" for s in model.learnt)]
    names += ["the complete information", "the missing information"]
    joint = [evaluator(sp.Add(*parts)) for parts in model.declared]
    digits = DIGITS + _cancelling(model)
    real = 0
    for point in itertools.islice(_points(model), MOST):
        right = _right(model, joint, point, direction, digits)
        real += right is not None
        if right is None or max(map(abs, right)) > LARGE:
            continue
        with np.errstate(all="ignore"):
            values = compiled(*(np.array([float(point[s])]) for s in (RESPONSE, *model.symbols)))[:, 0].tolist()
        slopes = [values[k + i * m : k + (i + 1) * m] for i in range(k)]
        got = _row(values[:k], slopes, values[k + k * m :], [float(v) for v in direction])
        # The first entries are log p(y,z|x), whose terms may be larger than any other quantity.
        scale = 1 + max(map(abs, right[: len(joint)]))
        for name, value, wanted in zip(names, got, right, strict=True):
            if not abs(value - wanted) <= TOLERANCE * (scale + abs(wanted)):
                where = ", ".join(f"{s} = {float(v):.6g}" for s, v in point.items())
                raise DerivationError(
                    f"model {model.name!r}: {name} comes out as {float(value):.10g} at {where}, but from log p as"
                    f" declared it is {float(wanted):.10g}: this declaration is not understood"
                )
    if not real:
        raise DerivationError(
            f"model {model.name!r}: expected log p(y, z|x) that are real numbers at responses in {model.response},"
            f" got none at {MOST} points"
        )


def _direction(m: int) -> list[sp.Rational]:
    """Some numbers, 0 but for at most BENT predictors: second derivatives along all pairs of many take their time."""
    return [
        sp.Rational(3 + 2 * (j % 3), 4 + j % 5) * (-1) ** j if j * BENT // m != (j - 1) * BENT // m else sp.Integer(0)
        for j in range(m)
    ]


def _compiled(theory: Derivation, direction: list[sp.Rational]) -> Compiled:
    """The kernel of log p(y,z|x), its first derivatives by label and predictor, its second along the direction, per
    label: of a flat model from its statistics and its mirror map."""
    model = theory.model
    learnt, u = model.learnt, sp.Matrix(direction)
    if theory.flat:
        slopes = [list(s - theory.mean) for s in theory.statistics]
        bends = [-u.dot(theory.complete_information * u)] * len(slopes)
    else:
        slopes, bent = [[e.diff(s) for s in learnt] for e in model.log_joint], [a for a, v in enumerate(u) if v]
        bends = [
            sp.Add(*(u[a] * u[b] * row[a].diff(s) for a in bent for b, s in enumerate(learnt) if b in bent))
            for row in slopes
        ]
    return Compiled((RESPONSE, *model.symbols), [*model.log_joint, *(e for row in slopes for e in row), *bends])


def _row(joint: Values, slopes: list[Values], bends: Values, direction: Values) -> list[Any]:
    """log p(y,z|x) per label, log p(y|x), its score, and along the direction the complete and the missing information
    of a row, by Fisher's and Louis' identities; of floats or of mpmath's numbers."""
    top = max(joint)
    log_density = top + mpmath.log(sum(mpmath.exp(e - top) for e in joint))
    posterior = [mpmath.exp(e - log_density) for e in joint]
    mean = lambda each: sum(p * v for p, v in zip(posterior, each, strict=True))
    score = [mean(column) for column in zip(*slopes, strict=True)]
    along = [sum(u * v for u, v in zip(direction, row, strict=True)) for row in slopes]
    missing = mean([(a - mean(along)) ** 2 for a in along])
    return [*joint, log_density, *score, -mean(bends), missing]


def _right(
    model: Model,
    joint: Sequence[Callable[..., mpmath.mpf | None]],
    point: Point,
    direction: list[sp.Rational],
    digits: int,
) -> list[float] | None:
    """The same from the declaration at so many digits by central differences; None where it is no real number."""

    def values(moves: dict[sp.Symbol, mpmath.mpf]) -> list[mpmath.mpf]:
        at = {s: mpmath.mpf(v.p) / v.q + moves.get(s, 0) for s, v in point.items()}
        found = [function(at, digits) for function in joint]
        if None in found:
            raise ArithmeticError
        return found

    with mpmath.workdps(digits):
        numbers = [mpmath.mpf(v.p) / v.q for v in direction]
        u = {s: STEP * v for s, v in zip(model.learnt, numbers, strict=True)}
        try:
            here = values({})
            ahead, behind = values(u), values({s: -v for s, v in u.items()})
            steps = [(values({s: STEP}), values({s: -STEP})) for s in model.learnt]
        except ArithmeticError:
            return None
        columns = [[(a - b) / (2 * STEP) for a, b in zip(*pair, strict=True)] for pair in steps]
        bends = [(a + b - 2 * e) / STEP**2 for a, b, e in zip(ahead, behind, here, strict=True)]
        return [float(v) for v in _row(here, [list(row) for row in zip(*columns, strict=True)], bends, numbers)]


def _cancelling(model: Model) -> int:
    """Digits that constants may lose: those before the point of the largest."""
    numbers = [n for e in model.declared for part in e for n in part.atoms(sp.exp, sp.Pow, sp.Rational) if n.is_number]
    return max((max(0, math.ceil(float(sp.log(abs(n), 10).evalf(5)))) for n in numbers if n != 0), default=0)


def _points(model: Model) -> Iterator[Point]:
    """Points of the predictors, random ones and those around kinks, each with a response of the domain."""
    rng = random.Random(len(model.learnt))
    whole = sp.Tuple(*model.log_joint)
    edges = kinks(whole, [RESPONSE, *model.symbols])
    for point in trial_points(whole, model.symbols, TRIALS):
        found = {RESPONSE: _response(model, rng)} | point
        if all(g.xreplace(found) != 0 for g in edges):  # on a kink nothing has a derivative
            yield found


def _response(model: Model, rng: random.Random) -> sp.Rational:
    domain = model.response
    if domain.values:
        return rng.choice(domain.exact)
    if domain.whole:
        return sp.Integer(rng.randint(0, 9))
    part = sp.Rational(rng.randint(1, 99), 100)
    low, high = domain.low, domain.high
    if np.isfinite(low) and np.isfinite(high):
        return sp.Rational(str(low)) + part * (sp.Rational(str(high)) - sp.Rational(str(low)))
    if np.isfinite(low):
        return sp.Rational(str(low)) + 4 * part
    return sp.Rational(str(high)) - 4 * part if np.isfinite(high) else sp.Rational(rng.randint(-300, 300), 100)
