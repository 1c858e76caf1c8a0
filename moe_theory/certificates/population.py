"""EM's rate on a population, enclosed: λ_max(M(θ*)) between two doubles, every rounding and truncation accounted for.

At the truth p(y|x) q, with q = p(1-p) and p the posterior, is a product of hyperbolic secants (l_w = w'x, l_β = β'x):

    linear    p(y|x) q = φ(y) exp(-l_β²/2) sech(l_w/2) sech(l_w/2 + y l_β) / 4
    logistic  p(y|x) q = sech(l_w/2) sech(l_β/2) sech((l_w + y l_β)/2) / 8

and σ'(l) = sech²(l/2)/4. In an orthonormal basis of span{β, w} whose first axis is along β, and for linear experts
with t_0 = √(1+|β|²) times the first coordinate, t_2 = y, all entries of I_{z|x,y} and ∇²A are combinations of the
moments that `moe_theory.certificates.quadrature` encloses. Linear experts with noise sigma are those with β/sigma and
noise 1; a covariance of x enters through the inner products of β and w only.

A Rayleigh quotient at any vector is a lower bound of λ_max; μ is an upper bound if all pivots of μ ∇²A - I_{z|x,y} are
positive balls. Each direction of the complement of span{β, w} adds the same block of size 2. At the truth
∇²A - I_{z|x,y} = ∇²L = E[score score'] ⪰ 0, so 1 is an upper bound always.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.linalg
import sympy as sp
from flint import arb, ctx, fmpq
from numpy.typing import ArrayLike

from moe_theory.certificates.quadrature import Form, moments, rule
from moe_theory.errors import InputError
from moe_theory.model import RESPONSE, Model
from moe_theory.validation import Array, covariance_matrix, whole_number
from moe_theory.zoo import symmetric_linear, symmetric_logistic

LARGEST = 1000  # standard deviation of x'β or x'w
ROUNDS = 4  # of finer quadratures, until the wanted digits are reached
SPARE, NATS = 6.0, 10.0  # beyond the digits in the first, and added in each other
_IDENTITY = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]], dtype=object) * arb(1)  # moments of x itself
Block = tuple[Array, Array]  # I_{z|x,y} and ∇²A on one invariant subspace, (n, n) each, of balls


@dataclass(frozen=True)
class RateEnclosure:
    """lower <= λ_max(M(θ*)) <= upper: a theorem, given the model and x ~ N(0, covariance).

    model: its name. truth: θ*, (2, d). nats: moments were enclosed to exp(-nats). nodes: terms that were summed.
    """

    lower: float
    upper: float
    model: str
    truth: Array = field(repr=False)
    nats: float
    nodes: int

    @property
    def width(self) -> float:
        """upper - lower."""
        return self.upper - self.lower

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return self.__dict__ | {"truth": self.truth.tolist()}


def certified_rate(
    model: Model, theta: ArrayLike, digits: int = 10, covariance: ArrayLike | None = None
) -> RateEnclosure:
    """Enclose λ_max(M(θ*)) for `Population(model, theta, covariance)`: the contraction of EM's iterates near θ*.

    theta: (2, d), rows β* and w*, taken as the exact numbers that the doubles are. digits: significant ones wanted, 1
    to 14; where they are not reached the enclosure is wider, and as valid. covariance: (d, d), of x; identity if None.

    Raises InputError for models other than `symmetric_linear(sigma)` and `symmetric_logistic()`, for a design, a θ of
    the wrong shape, a covariance not verified to be positive definite, and predictors with a standard deviation beyond
    LARGEST or so large that the quadrature has too many nodes.

    >>> import moe_theory as mt
    >>> model = mt.symmetric_logistic()
    >>> rate = certified_rate(model, model.theta(beta=[3, 0, 0], w=[0, 1, 0]), digits=6)
    >>> rate.lower <= 0.969143888425 <= rate.upper < 0.969144
    True
    """
    if (digits := whole_number("digits", digits, least=1)) > 14:
        raise InputError(f"digits: expected at most 14, which doubles can tell, got {digits}")
    variance = _variance(model)
    truth = model.check_theta("theta", theta)
    gram = _gram(truth, covariance)
    # The curvature along a steep predictor is of order 1/slope³, so its moments are wanted to more digits.
    steep = 1.5 * math.log1p(float(arb(gram[2] if variance else max(gram[0], gram[2]))))
    best = RateEnclosure(0.0, 1.0, model.name, truth, 0.0, 0)
    for nats in (digits * math.log(10) + steep + SPARE + NATS * i for i in range(ROUNDS)):
        try:
            lower, upper, nodes = _enclose(gram, variance, truth.shape[1], nats)
        except InputError:
            if best.nodes == 0:
                raise
            break
        nodes += best.nodes
        best = RateEnclosure(max(best.lower, lower), min(best.upper, upper), model.name, truth, nats, nodes)
        if best.width <= 10.0**-digits * best.upper:
            break
    return best


def _enclose(gram: tuple[fmpq, fmpq, fmpq], variance: fmpq | None, d: int, nats: float) -> tuple[float, float, int]:
    with ctx.workprec(int(1.5 * nats) + 80):
        plane = _Plane.of(gram, variance)
        blocks, nodes = _logistic(plane, nats) if variance is None else _linear(plane, nats)
        # Without a complement only the plane counts.
        bounds = [_largest(*block) for block in blocks[: 1 if d == plane.rank else 2]]
    return max(lower for lower, _ in bounds), max(upper for _, upper in bounds), nodes


def _variance(model: Model) -> fmpq | None:
    """The noise variance of linear experts, None for logistic ones."""
    if model.design is not None:
        features = ", ".join(model.design.features)
        raise InputError(f"model: expected one without a design, got {model.name} on the features {features}")
    shape = lambda m: (m.latent, m.names, m.predictors, m.response, m.log_gate)
    linear, logistic = symmetric_linear(), symmetric_logistic()
    if shape(model) == shape(logistic) and model.log_expert == logistic.log_expert:
        return None
    curvature = sp.diff(model.log_expert[0], RESPONSE, 2)
    if shape(model) == shape(linear) and curvature.is_Rational and curvature < 0:
        squares = [(RESPONSE - z * model.symbols[0]) ** 2 for z in model.latent]
        rest = [sp.expand(e - curvature * s / 2) for e, s in zip(model.log_expert, squares, strict=True)]
        if not any(e.free_symbols for e in rest):
            return -fmpq(int(curvature.q), int(curvature.p))
    raise InputError(f"model: expected symmetric_linear(sigma) or symmetric_logistic(), got {model.name}: not covered")


def _gram(truth: Array, covariance: ArrayLike | None) -> tuple[fmpq, fmpq, fmpq]:
    """β'Σβ, β'Σw and w'Σw, exactly."""
    d = truth.shape[1]
    beta, w = ([Fraction(v) for v in row] for row in truth.tolist())
    image = lambda v: v
    if covariance is not None:
        lower = np.tril(covariance_matrix("covariance", covariance, d))  # what Population reads of it
        matrix = [[Fraction(v) for v in row] for row in (lower + np.tril(lower, -1).T).tolist()]
        balls = np.array([[arb(_exact(v)) for v in row] for row in matrix], dtype=object)
        if not _positive_definite(balls):
            raise InputError("covariance: expected a matrix that is positive definite beyond rounding")
        image = lambda v: [_dot(row, v) for row in matrix]
    bb, bw, ww = (_exact(_dot(u, image(v))) for u, v in ((beta, beta), (beta, w), (w, w)))
    if (top := max(bb, ww)) > LARGEST**2:
        size = arb(top).sqrt().str(3, radius=False)
        raise InputError(f"theta: expected predictors of standard deviation at most {LARGEST}, got {size}")
    return bb, bw, ww


def _dot(u: Sequence[Fraction], v: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(u, v, strict=True)), Fraction(0))


def _exact(value: Fraction) -> fmpq:
    return fmpq(value.numerator, value.denominator)


@dataclass(frozen=True)
class _Plane:
    """span{β, w} in an orthonormal basis: β = (b, 0), w = (w_0, w_1), or w = (w_0, 0) if β = 0. rank: its dimension."""

    b: arb
    w: tuple[arb, arb]
    length: arb  # of w
    rank: int

    @classmethod
    def of(cls, gram: tuple[fmpq, fmpq, fmpq], variance: fmpq | None) -> _Plane:
        bb, bw, ww = gram
        determinant = bb * ww - bw * bw
        length = arb(ww).sqrt()
        if bb == 0:
            return cls(arb(0), (length, arb(0)), length, int(ww != 0))
        w = arb(bw) / arb(bb).sqrt(), (arb(determinant) / arb(bb)).sqrt()
        return cls(arb(bb / (variance or 1)).sqrt(), w, length, 2 if determinant != 0 else 1)


def _linear(plane: _Plane, nats: float) -> tuple[list[Block], int]:
    scale = (1 + plane.b**2).sqrt()
    a = plane.w[0] / (2 * scale), plane.w[1] / 2
    m, nodes = _moments([Form(a, arb(0)), Form(a, plane.b / scale)], nats)
    # [i, j, k]: E[x_0^i x_1^j y^k q]
    m = m * np.array([1 / (4 * scale ** (i + 1)) for i in range(3)], dtype=object)[:, None, None]
    gate, more = _curvature(plane.w, plane.length, nats)
    return _blocks(4 * m[:, :, 2], 2 * m[:, :, 1], m[:, :, 0], _IDENTITY, gate, plane.rank), nodes + more


def _logistic(plane: _Plane, nats: float) -> tuple[list[Block], int]:
    zero, (w0, w1) = arb(0), plane.w
    parts, nodes = [], 0
    for y in (1, -1):
        vectors = [(w0 / 2, w1 / 2), (plane.b / 2, zero), ((w0 + y * plane.b) / 2, w1 / 2)]
        m, count = _moments([Form(a, zero) for a in vectors], nats)
        parts.append(m[:, :, 0] / 8)  # [i, j]: E[x_0^i x_1^j q; y]
        nodes += count
    even, odd = parts[0] + parts[1], parts[0] - parts[1]
    expert, more = _curvature((plane.b, zero), plane.b, nats)
    gate, most = _curvature(plane.w, plane.length, nats)
    return _blocks(even, odd, even, expert, gate, plane.rank), nodes + more + most


def _moments(forms: list[Form], nats: float) -> tuple[Array, int]:
    return moments(forms, rule(forms, nats))


def _curvature(vector: tuple[arb, arb], length: arb, nats: float) -> tuple[Array, int]:
    """[i, j]: E[x_0^i x_1^j σ'(v'x)] for i + j = 0 and 2, from one integral along v."""
    if length == 0:
        return _IDENTITY / 4, 0
    form = Form((length / 2, arb(0)), arb(0))
    m, nodes = _moments([form, form], nats)
    across, along = m[0, 0, 0] / 4, m[2, 0, 0] / 4
    e0, e1 = (v / length for v in vector)
    more = along - across
    found = across * _IDENTITY
    found[2, 0], found[1, 1], found[0, 2] = across + more * e0 * e0, more * e0 * e1, across + more * e1 * e1
    return found, nodes


def _blocks(ee: Array, eg: Array, gg: Array, expert: Array, gate: Array, rank: int) -> list[Block]:
    """The blocks of the plane and of a direction orthogonal to it, from moments [i, j] of x_0^i x_1^j."""
    inside = [(2, 0), (1, 1), (0, 2)]
    none = np.zeros_like(ee)
    block = lambda a, b, c, at: np.block([[at(a), at(b)], [at(b), at(c)]])
    plane = lambda m: np.array([[m[inside[i + j]] for j in range(rank)] for i in range(rank)], dtype=object)
    point = lambda m: m[:1, :1]
    return [
        (block(ee, eg, gg, at), block(expert, none, gate, at)) for at in ((plane, point) if rank else (point, point))
    ]


def _largest(missing: Array, complete: Array) -> tuple[float, float]:
    """Doubles around the largest λ with missing v = λ complete v, in [0, 1] at the truth, for symmetric balls."""
    nothing = 0.0, 1.0  # is known from balls so wide
    if not _positive_definite(complete):
        return nothing
    floats = lambda m: m.astype(float)
    scale = 1 / np.sqrt(np.diagonal(floats(complete)))
    scaled = [floats(m) * np.outer(scale, scale) for m in (missing, complete)]
    try:
        v = scale * scipy.linalg.eigh(*scaled)[1][:, -1]
    except (np.linalg.LinAlgError, ValueError):  # singular, or not finite
        return nothing
    quotient = (v @ missing @ v) / (v @ complete @ v)
    if not quotient.is_finite():
        return nothing
    lower = max(0.0, math.nextafter(float(quotient.lower()), -math.inf))
    for power in range(-52, 1):
        upper = math.nextafter(float(quotient.upper()), math.inf) * (1 + 2.0**power)
        if _positive_definite(arb(upper) * complete - missing):
            return lower, min(upper, 1.0)
    return lower, 1.0


def _positive_definite(matrix: Array) -> bool:
    """Whether all pivots are positive, hence every symmetric matrix within the balls positive definite."""
    rest = matrix.copy()
    for i in range(len(rest)):
        if not rest[i, i] > 0:
            return False
        rest[i + 1 :, i + 1 :] -= np.outer(rest[i + 1 :, i], rest[i, i + 1 :] / rest[i, i])
    return True
