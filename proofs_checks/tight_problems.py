"""Small problems whose extremes over a region are known to 40 digits: what is a hair beyond them is false.

Rows i have posterior logits τ_i = o_i + v_i'θ and gates' arguments t_i = g_i'θ, typed in here for each model; then
I_{z|x,y} = Σ ω σ'(τ_i) v_i v_i' and ∇²A = C + Σ ω σ'(t_i) g_i g_i'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import mpmath as mp
import numpy as np
import scipy.optimize

from moe_theory.atoms import log_expit, log_normal
from moe_theory.certificates.region import Region
from moe_theory.laws.table import Finite
from moe_theory.model import Model
from moe_theory.response import Reals
from moe_theory.validation import Array
from moe_theory.zoo import symmetric_linear

DIGITS = 50
SCAN = 33  # points at which a maximum is looked for, before it is refined
Value = Callable[[mp.matrix], mp.mpf]  # of θ


def balanced(sigma: float = 1.0) -> Model:
    """Two regressions ±β with equal weights: A is quadratic."""
    return Model(
        "balanced",
        latent=(-1, 1),
        predictors=("beta",),
        gate=None,
        expert=lambda y, z, beta: log_normal(y, z * beta, sigma),
        response=Reals(),
    )


def known_experts(centre: float = 0.0, apart: float = 1.0, slope: float = 0.0) -> Model:
    """A logistic gate between two known normal experts, means centre -+ apart at a first feature of 1 (`slope`: per
    unit of a second one)."""
    return Model(
        "known-experts",
        latent=(0, 1),
        predictors=("w",),
        gate=lambda z, w: log_expit((2 * z - 1) * w),
        expert=lambda y, z, a, b: log_normal(y, b if z else a),
        response=Reals(),
        known={"a": [centre - apart, slope], "b": [centre + apart, slope]},
    )


@dataclass(frozen=True, eq=False)
class Tight:
    """x (n, d), y (n,), weight (n,) under `model`, around c with G = factor (None: I) and a radius.

    logits, gates: (o, v), (n,) and (n, p), and g, (n, p); quadratic: C's precision on the first predictor. first: what
    E[s ⊗ x] is where every label is the first, row by row, (n, p). exact: whether the worst case of every row is all
    there is to say, so that a bound can be sharp. near: by how much more, relative, the expansion may claim.
    """

    name: str
    model: Model
    law: Finite
    region: Region
    logits: tuple[Array, Array]
    gates: Array | None
    precision: float
    first: Array
    exact: bool = False
    near: float | None = None

    @property
    def p(self) -> int:
        return self.region.centre.size

    @cached_property
    def _rows(self) -> list[tuple[mp.mpf, mp.mpf, mp.matrix, mp.matrix | None, mp.matrix, mp.matrix]]:
        """(ω, o, v, g, what C has, first) of every row, exact."""
        weights = np.broadcast_to(self.law.weight, self.law.y.shape).tolist()
        column = lambda values: mp.matrix([mp.mpf(float(v)) for v in values])
        found = []
        for i, weight in enumerate(weights):
            flat = np.zeros(self.p)
            flat[: self.law.dimension] = self.law.x[i]
            gate = None if self.gates is None else column(self.gates[i])
            row = (column(self.logits[1][i]), gate, column(flat), column(self.first[i]))
            found.append((mp.mpf(weight), mp.mpf(float(self.logits[0][i])), *row))
        return found

    @cached_property
    def factor(self) -> mp.matrix:
        """G."""
        return mp.matrix(self.region.matrix.tolist())

    @cached_property
    def centre(self) -> mp.matrix:
        """c, flat."""
        return mp.matrix(self.region.centre.ravel().tolist())

    def place(self, z: mp.matrix) -> mp.matrix:
        """θ = c + Gz, exact."""
        return self.centre + self.factor * z

    def informations(self, theta: mp.matrix) -> tuple[mp.matrix, mp.matrix]:
        """(∇²A, I_{z|x,y})."""
        complete, missing = mp.zeros(self.p), mp.zeros(self.p)
        for weight, offset, v, g, flat, _ in self._rows:
            missing += weight * _bell(offset + _dot(v, theta)) * v * v.T
            complete += weight * mp.mpf(self.precision) * flat * flat.T
            if g is not None:
                complete += weight * _bell(_dot(g, theta)) * g * g.T
        return complete, missing

    def largest(self, theta: mp.matrix) -> mp.mpf:
        """λ_max(M(θ))."""
        return _top(*self.informations(theta))

    def curvature(self, sign: int) -> Value:
        """sign times the extreme eigenvalue of G'∇²A G: its largest for 1, its least for -1."""
        g = self.factor
        return lambda theta: _top(mp.eye(self.p), sign * (g.T * self.informations(theta)[0] * g))

    def mean(self, theta: mp.matrix) -> mp.matrix:
        """∇A(θ)."""
        total = mp.zeros(self.p, 1)
        for weight, _, _, g, flat, _ in self._rows:
            total += weight * mp.mpf(self.precision) * _dot(flat, theta) * flat
            if g is not None:
                total += weight * _expit(_dot(g, theta)) * g
        return total

    def expected(self, theta: mp.matrix) -> mp.matrix:
        """E[s ⊗ x] under the posterior at θ."""
        total = mp.zeros(self.p, 1)
        for weight, offset, v, _, _, first in self._rows:
            total += weight * (first + _expit(offset + _dot(v, theta)) * v)
        return total

    def slope(self, theta: mp.matrix) -> mp.matrix:
        """G'∇L(θ)."""
        return self.factor.T * (self.mean(theta) - self.expected(theta))

    def potential(self, theta: mp.matrix) -> mp.mpf:
        """A(θ)."""
        total = mp.mpf(0)
        for weight, _, _, g, flat, _ in self._rows:
            total += weight * mp.mpf(self.precision) * _dot(flat, theta) ** 2 / 2
            if g is not None:
                total += weight * mp.log1p(mp.exp(_dot(g, theta)))
        return total

    def divergence(self, one: mp.matrix, other: mp.matrix) -> mp.mpf:
        """B_A(one‖other)."""
        return self.potential(one) - self.potential(other) - _dot(self.mean(other), one - other)

    def gap(self, theta: mp.matrix, other: mp.matrix) -> mp.mpf:
        """L(θ) - L(other)."""
        difference = self.potential(theta) - self.potential(other)
        for weight, offset, v, _, _, first in self._rows:
            ends = [mp.log1p(mp.exp(offset + _dot(v, at))) for at in (theta, other)]
            difference -= weight * (_dot(first, theta - other) + ends[0] - ends[1])
        return difference

    def em(self, theta: mp.matrix) -> mp.matrix:
        """One iteration: ∇A(θ⁺) = E[s ⊗ x], by Newton's method."""
        wanted = self.expected(theta)
        for _ in range(12):
            theta = theta - mp.lu_solve(self.informations(theta)[0], self.mean(theta) - wanted)
        return theta

    def stationary(self) -> mp.matrix:
        """θ̂, by Newton's method from the centre."""
        theta = self.centre
        for _ in range(12):
            complete, missing = self.informations(theta)
            theta = theta - mp.lu_solve(complete - missing, self.mean(theta) - self.expected(theta))
        return theta

    def highest(self, value: Value, radius: float) -> tuple[mp.mpf, mp.matrix]:
        """(value, z) where it is largest for ‖z‖ <= radius: at the ends to 40 digits, within to what a search finds."""
        with mp.workdps(DIGITS):
            r, inside = mp.mpf(radius), 1 - mp.mpf(10) ** -40
            if self.p == 1:
                way, bounds = (lambda t: mp.matrix([r * t])), (-1.0, 1.0)
            else:
                way, bounds = (lambda t: mp.matrix([mp.cos(t), mp.sin(t)]) * r * inside), (0.0, 2 * np.pi)
            with mp.workdps(15):
                look = lambda t: float(value(self.place(way(t))))
                grid = np.linspace(*bounds, SCAN)
                best = float(grid[int(np.argmax([look(t) for t in grid]))])
                step = (bounds[1] - bounds[0]) / (SCAN - 1)
                near = (
                    (max(best - step, bounds[0]), min(best + step, bounds[1]))
                    if self.p == 1
                    else (best - step, best + step)
                )
                inner = scipy.optimize.minimize_scalar(lambda t: -look(t), bounds=near, method="bounded")
            candidates = [way(best), way(float(inner.x)), mp.zeros(self.p, 1)]
            return max(((value(self.place(z)), z) for z in candidates), key=lambda pair: pair[0])


def one_row(y: float, radius: float, side: int = 1, near: float | None = None, off: float = 0.0) -> Tight:
    """Balanced regressions, one row x = 1: θ̂ = y tanh(yθ̂), or 0 where y < 1; λ_max(M) = 4y² σ'(2yθ). side: -1 turns
    the signs of y and θ round."""
    theta = 1.0
    for _ in range(4000):
        theta = y * float(np.tanh(y * theta)) if y > 1 else 0.0
    y *= side
    law = Finite(np.ones((1, 1)), np.array([y]))
    region = Region(np.array([[side * theta + off]]), None, radius)
    return Tight(
        f"one row, y = {y:g}, θ̂ = {side * theta:.3f}, radius {radius:g}",
        balanced(),
        law,
        region,
        (np.zeros(1), np.array([[2 * y]])),
        None,
        1.0,
        np.array([[-y]]),
        exact=True,
        near=near,
    )


def two_rows(at: float, radius: float, side: int = 1, factor: float | None = None) -> Tight:
    """A gate between experts N(-+1, 1), rows y = ±3/2 weighted so that the gate's argument is `at` (`side` -1: all is
    mirrored): τ = t ± 3."""
    sigma = lambda t: 1 / (1 + float(np.exp(-t)))
    share = (sigma(at) - sigma(at - 3)) / (sigma(at + 3) - sigma(at - 3))
    y, x = side * np.array([1.5, -1.5]), np.array([[1.0, 0.0], [1.0, 0.0]])
    x[:, 1] = (0.5, -0.5)
    model = known_experts()
    law = Finite(x[:, :1], y, np.array([share, 1 - share]))
    model = model.with_known(np.array([[-1.0], [1.0]]))
    grown = None if factor is None else np.array([[[factor]]])
    region = Region(np.array([[side * at]]), grown, radius)
    gates = np.ones((2, 1))
    return Tight(
        f"two rows, t = {side * at:g}, radius {radius:g}" + (f", G = {factor:g}" if factor else ""),
        model,
        law,
        region,
        (2 * y, gates),
        gates,
        0.0,
        np.zeros((2, 1)),
        near=2 * radius**2,
    )


def four_rows(radius: float, factor: Array | None = None) -> Tight:
    """The symmetric model with linear experts, one feature: p = 2."""
    sigma, x, y = 0.75, np.array([1.0, 1.0, 0.5, 2.0, 1.5]), np.array([1.3, -1.0, 0.6, 2.4, -2.0])
    centre = np.array([[1.2], [0.4]])
    law = Finite(x[:, None], y)
    v = np.column_stack([2 * y * x / sigma**2, x])
    first = np.column_stack([-y * x / sigma**2, 0 * x])
    gates = np.column_stack([0 * x, x])
    region = Region(centre, factor, radius)
    name = f"five rows, radius {radius:g}" + ("" if factor is None else ", an ellipsoid")
    made = Tight(name, symmetric_linear(sigma), law, region, (0 * x, v), gates, 1 / sigma**2, first)
    with mp.workdps(DIGITS):
        peak = np.array([[float(v)] for v in made.stationary()])
    return replace(made, region=replace(region, centre=peak))


def cancelling() -> Tight:
    """Rows (u, u - a few ulps) under coefficients (a, -a), u a ≈ 2^54: floats may think x'θ far from 0 where it is not.

    Of many rows those are taken for which they do so; two rows (u, -u) without a label keep ∇²A well-conditioned.
    """
    rng, a = np.random.default_rng(5), 1234567.8
    u = rng.uniform(1.2e10, 1.7e10, 4000)
    x = np.column_stack([u, u - rng.integers(-2, 3, 4000) * np.spacing(u)])
    true = np.array([float((Fraction(p) - Fraction(q)) * Fraction(a)) for p, q in x.tolist()])
    chosen = np.argsort(np.abs(true) - np.abs(np.array([a, -a]) @ np.ascontiguousarray(x.T)))[:10]
    x = np.concatenate([x[chosen], [[1.5e10, -1.5e10], [1.4e10, -1.4e10]]])
    y = np.concatenate([np.where(np.arange(10) % 2, 1.0, -1.0), np.zeros(2)])
    region = Region(np.array([[a, -a]]), None, 1e-15)
    v, none = 2 * y[:, None] * x, np.zeros(12)
    return Tight("products that cancel", balanced(), Finite(x, y), region, (none, v), None, 1.0, -y[:, None] * x)


def tight_problems() -> Iterator[Tight]:
    """Where the largest λ_max is at the left, the right and in the middle; where λ_max and curvature move alike and
    against each other; small regions, on which bounds are sharp to 1e-8 and better, and large ones."""
    yield one_row(1.3, 1e-3, near=1e-8)
    yield one_row(1.3, 1e-3, side=-1, near=1e-8, off=1e-6)
    yield one_row(1.6, 0.4)
    yield one_row(1.1847, 0.2)  # τ = 2.292 at θ̂, where σ''' is largest
    yield one_row(0.9, 0.7)
    yield one_row(0.9, 1e-3, off=1e-5)
    yield two_rows(-1.0, 1e-3)
    yield two_rows(-1.0, 1e-3, side=-1)
    yield two_rows(-1.0, 0.3)
    yield two_rows(0.2, 0.3, factor=1.7)
    yield two_rows(-2.5, 0.2, side=-1)
    yield four_rows(1e-3)
    yield four_rows(0.05, np.array([[[0.6]], [[2.3]]]))


def _top(a: mp.matrix, i: mp.matrix) -> mp.mpf:
    """The largest root λ of |i - λ a| = 0, (1, 1) or (2, 2)."""
    if a.rows == 1:
        return i[0] / a[0]
    size = a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]
    half = (a[0, 0] * i[1, 1] + a[1, 1] * i[0, 0] - 2 * a[0, 1] * i[0, 1]) / size / 2
    return half + mp.sqrt(abs(half**2 - (i[0, 0] * i[1, 1] - i[0, 1] ** 2) / size))


def _bell(t: mp.mpf) -> mp.mpf:
    e = mp.exp(-abs(t))
    return e / (1 + e) ** 2


def _expit(t: mp.mpf) -> mp.mpf:
    return 1 / (1 + mp.exp(-t))


def _dot(a: mp.matrix, b: mp.matrix) -> mp.mpf:
    return (a.T * b)[0]
