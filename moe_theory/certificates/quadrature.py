"""Moments of three normals times hyperbolic secants, enclosed in balls by the trapezoid rule.

    moments[i, j, k] = ∫ t_0^i t_1^j t_2^k φ(t_0) φ(t_1) φ(t_2) Π_f sech(l_f(t)) dt,   i, j, k <= 2,
    l_f = a_0 t_0 + a_1 t_1 + c t_0 t_2.

T_j is the trapezoid rule with step h_j <= 1 in coordinate j; S_j stands for T_j or ∫. A coordinate that no form sees
has the exact moments (1, 0, 1).

**Discretisation.** With the other coordinates real, l_f has slope κ_f = a_0 + c t_2, a_1 or c t_0 in t_j. For |b| < a,
where κ_f a < π/2, |sech(A + iκ_f b)| <= sec(κ_f a), |φ(t + ib)| <= φ(t) exp(a²/2), ∫ φ |t + ib|^m <= 1 + a² (m <= 2),
so the integrand is analytic in the strip |Im t_j| < a, decays in it, and Theorem 5.1 of Trefethen and Weideman
(SIAM Review 56, 2014) gives, times φ |t|^m of the other coordinates,

    |∫ - T_j| <= leak := 2 exp(a²/2) (1 + a²) Π_f sec(κ_f a) / (exp(2πa/h_j) - 1).

It is also at most 3: sech <= 1, ∫ φ |t|^m <= 1 and T_j[φ |t|^m] <= 2, as φ |t|^m is unimodal on each half-line, so that
its sum exceeds its integral there by at most h max φ |t|^m < h/2. As ∫∫∫ - T_0 T_1 T_2 = (∫ - T_0)∫∫ + T_0(∫ - T_1)∫ +
T_0 T_1(∫ - T_2), the three errors add, each times at most 2 for either other coordinate. Where c ≠ 0 the slopes in t_0
grow with r = |t_2| (those in t_2 with |t_0|), and so does the leak at a given a; S is cut in bins of r:
S[φ |t|^m leak(|t|)] <= Σ_k leak(r_{k+1}) min(2, tail(r_k)).

**Truncation.** tail(R) := 2 φ(R) (R² + R + 1/R) >= S[φ |t|^m on |t| >= R] for R >= √2, m <= 2, h <= 1: there
|t|^m <= t², ∫_R^∞ t²φ <= (R + 1/R) φ(R), and t²φ falls, so that a sum exceeds its integral by at most its first term.

**Left out.** Terms that a float computation puts below exp(-cut) with sech(l) <= 2 exp(-|l|); its rounding is far below
the nat that is spared. They are bounded by exp(-cut) times their number. All else is done in balls (python-flint; F.
Johansson, Arb, IEEE Transactions on Computers 66, 2017), in the precision of the caller's context.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flint import arb, arb_mat

from moe_theory.errors import InputError
from moe_theory.validation import Array

NODES = 4_000_000_000  # of a tensor grid, with those that are left out
BINS = 4  # of r, per unit length
STRIPS = (0.5, 0.7, 0.8, 0.87, 0.92, 0.95, 0.98)  # parts of the strip without poles that are tried
GAUSSIAN = np.array([arb(1), arb(0), arb(1)], dtype=object)  # moments of a coordinate that no form sees


@dataclass(frozen=True)
class Form:
    """l(t) = a_0 t_0 + a_1 t_1 + product t_0 t_2, with balls for coefficients."""

    a: tuple[arb, arb]
    product: arb

    def slopes(self, j: int) -> tuple[arb, arb]:
        """(k, c), exact, with |slope in t_j| <= k + c |t_i|, t_i the partner of t_j in the product."""
        zero = arb(0)
        return (self.a[j].abs_upper() if j < 2 else zero), (self.product.abs_upper() if j != 1 else zero)


@dataclass(frozen=True)
class Rule:
    """Trapezoid rules in the three coordinates: nodes n step for |n| <= count (a step None: exact moments)."""

    steps: tuple[float | None, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, steps: Sequence[float | None], reach: float) -> Rule:
        """Nodes up to `reach` >= √2 at least."""
        return cls(tuple(steps), tuple(0 if h is None else math.ceil(reach / h) for h in steps))


def rule(forms: Sequence[Form], nats: float) -> Rule:
    """About the coarsest rule whose errors are exp(-nats) for each coordinate; InputError for coefficients that are not
    finite, for which there is none."""
    if not all(v.is_finite() for form in forms for v in (*form.a, form.product)):
        raise InputError(f"theta: expected finite coefficients, got {forms}")
    wanted = arb(-nats).exp()
    reach = next(r / 8 for r in range(12, 10_000) if tail(arb(r) / 8) < wanted)
    steps: list[float | None] = []
    for j in range(3):
        if all(k == 0 and c == 0 for k, c in (form.slopes(j) for form in forms)):
            steps.append(None)
            continue
        low, high = 0.0, 0.0  # logarithms
        while not discretisation(forms, j, math.exp(low)) < wanted:
            low, high = 2 * low - 0.5, low
        while high - low > 0.02:
            middle = (low + high) / 2
            low, high = (middle, high) if discretisation(forms, j, math.exp(middle)) < wanted else (low, middle)
        steps.append(math.exp(low))
    return Rule.of(steps, reach)


def tail(r: arb) -> arb:
    """Bound of the integral and of sums of φ |t|^m over |t| >= r >= √2, for m <= 2 and steps <= 1."""
    return 2 * _density(r) * (r * r + r + 1 / r)


def truncation(grid: Rule) -> arb:
    """Bound of the sums over the nodes beyond the rule's, for every moment."""
    seen = [(n, h) for n, h in zip(grid.counts, grid.steps, strict=True) if h is not None]
    return sum((4 * tail(n * arb(h)) for n, h in seen), arb(0))


def discretisation(forms: Sequence[Form], j: int, step: float) -> arb:
    """Bound of what coordinate j's rule without end differs by from the integral, for every moment."""
    slopes = [form.slopes(j) for form in forms]
    if all(c == 0 for _, c in slopes):
        return 4 * _leak([k for k, _ in slopes], step)
    bound, mass, bins = arb(0), arb(2), 0
    while not 100 * mass < bound:
        bins += 1
        bound += mass * _leak([k + c * bins / BINS for k, c in slopes], step)
        if bins >= 2 * BINS:
            mass = tail(arb(bins) / BINS)
    return 2 * (bound + 3 * mass)


def _leak(slopes: Sequence[arb], step: float) -> arb:
    steepest = max(float(k.upper()) for k in slopes)
    best = arb(3)
    for part in STRIPS:
        a = arb(min(part * math.pi / 2 / steepest if steepest > 0 else math.inf, 2 * math.pi / step))
        if all(k * a < arb.pi() / 2 for k in slopes):
            bound = 2 * (a * a / 2).exp() * (1 + a * a) / (2 * arb.pi() * a / step).expm1()
            for k in slopes:
                bound /= (k * a).cos()
            best = min(best, bound.upper())  # stays where the comparison cannot tell
    return best


def moments(forms: Sequence[Form], grid: Rule) -> tuple[Array, int]:
    """Balls around the (3, 3, 3) moments [i, j, k] with i + j even (the others are 0), and the number of terms summed.

    At most one form has a product. Raises InputError for a grid that the error bounds do not cover or that
    has more than NODES nodes.
    """
    if any(h is not None and (not 0 < h <= 1 or n * h < 1.5) for n, h in zip(grid.counts, grid.steps, strict=True)):
        raise InputError(f"grid: expected steps of at most 1 and nodes up to 1.5 or more, got {grid}")
    size = math.prod(2 * n + 1 for n in grid.counts)
    if size > NODES:
        raise InputError(f"theta: expected a quadrature of at most {NODES:.0e} nodes, this needs {size:.0e}")
    error = truncation(grid)
    for j, h in enumerate(grid.steps):
        if h is not None:
            error += discretisation(forms, j, h)
    spacing, reach = 1.0, 1.0
    for n, h in zip(grid.counts, grid.steps, strict=True):
        if h is not None:
            spacing, reach = spacing * h, reach * max(1.0, n * h) ** 2
    largest = spacing * reach * 2.0 ** len(forms)  # of a term, times exp(-energy)
    cut = math.log(largest * size) - float(error.log()) + 1 if error > 0 else math.inf
    total, summed = _sum(forms, grid, cut)
    if summed < size:
        error += 1.01 * largest * (size - summed) * arb(1 - cut).exp()
    ball = arb(0, error.upper())
    for i, j in np.ndindex(3, 3):
        total[i, j] = total[i, j] + ball if (i + j) % 2 == 0 else arb(0)
    return total, summed


def _sum(forms: Sequence[Form], grid: Rule, cut: float) -> tuple[Array, int]:
    """The sum over nodes with energy <= cut, where a term is at most a constant times exp(-energy), and their number.

    x -> -x, which changes the sign of t_0, t_1 and of every form, leaves all terms with i + j even: t_0 >= 0 will do.
    """
    flat = [form for form in forms if form.product == 0]
    bent = next((form for form in forms if form.product != 0), Form((arb(0), arb(0)), arb(0)))
    (t0, v0), (t1, v1), (t2, v2) = (_nodes(n, h) for n, h in zip(grid.counts, grid.steps, strict=True))
    x0, x1, x2 = (t.astype(float) for t in (t0, t1, t2))
    # Nodes lie symmetrically, so exp(-l) is exp(l) in reverse order.
    up = [_exp(form.a[1] * t1) for form in [*flat, bent]]
    columns = arb_mat(v2.tolist())
    total, summed, zero = np.full((3, 3, 3), arb(0)), 0, arb(0)
    for n in range(grid.counts[0], len(t0)):
        slope = lambda form: float(form.a[0]) * x0[n] + float(form.a[1]) * x1  # noqa: B023
        energy = (x0[n] ** 2 + x1**2) / 2 + sum(np.abs(slope(form)) for form in flat)
        tilt = np.abs(slope(bent)[:, None] + float(bent.product) * x0[n] * x2)
        row, column = np.nonzero(energy[:, None] + x2**2 / 2 + tilt <= cut)
        if len(row) == 0:
            continue
        summed += len(row) * (2 if n > grid.counts[0] else 1)
        rows, row = np.unique(row, return_inverse=True)
        weight = np.full(len(rows), arb(2 ** (len(flat) + 1)))
        for form, e in zip(flat, up, strict=False):
            shift = (form.a[0] * t0[n]).exp()
            weight = weight / (shift * e[rows] + e[::-1][rows] / shift)
        shift, turn = (bent.a[0] * t0[n]).exp(), _exp(bent.product * t0[n] * t2)
        rising, falling = shift * up[-1][rows], up[-1][::-1][rows] / shift
        terms = np.full((len(rows), len(t2)), zero)
        terms[row, column] = weight[row] / (rising[row] * turn[column] + falling[row] * turn[::-1][column])
        product = arb_mat(v1[rows].T.tolist()) * (arb_mat(terms.tolist()) * columns)
        inner = np.array(product.tolist(), dtype=object)
        total += (2 if n > grid.counts[0] else 1) * v0[n][:, None, None] * inner
    return total, summed


def _nodes(count: int, step: float | None) -> tuple[Array, Array]:
    """Nodes (2 count + 1,) and their weights times 1, t and t²."""
    if step is None:
        return np.full(1, arb(0)), GAUSSIAN[None, :]
    t = np.array([n * arb(step) for n in range(-count, count + 1)], dtype=object)
    weight = np.array([step * _density(x) for x in t], dtype=object)
    return t, np.stack([weight, weight * t, weight * t * t], axis=1)


def _exp(values: Array) -> Array:
    return np.array([v.exp() for v in values], dtype=object)


def _density(t: arb) -> arb:
    return (-t * t / 2).exp() / (2 * arb.pi()).sqrt()
