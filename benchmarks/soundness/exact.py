"""The judge: L, its gradient and both informations in ball arithmetic at 170 bits, from formulas by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from flint import arb, arb_mat, ctx

from moe_theory.laws.table import Finite
from soundness.models import by_hand

BITS = 170  # 51 digits


@contextmanager
def digits(bits: int = BITS) -> Iterator[None]:
    """Ball arithmetic at so many bits."""
    before, ctx.prec = ctx.prec, bits
    try:
        yield
    finally:
        ctx.prec = before


def sigmoid(t: arb) -> arb:
    """σ(t)."""
    if t > 0:
        return 1 / (1 + (-t).exp())
    e = t.exp()
    return e / (1 + e)


def softplus(t: arb) -> arb:
    """log(1 + exp t)."""
    return t + (1 + (-t).exp()).log() if t > 0 else (1 + t.exp()).log()


class Exact:
    """One data set under one model, θ a column of p balls."""

    def __init__(self, kind: str, known: tuple[tuple[float, ...], ...], law: Finite) -> None:
        with digits():
            f = by_hand(kind, known, law.x, law.y)
            rows = [[arb(v) for v in row] for row in law.x.tolist()]
            self.n, d, m = len(rows), law.dimension, len(f.quadratic)
            self.p, self.d = m * d, d
            self.weight = [arb(float(w)) for w in np.broadcast_to(law.weight, law.y.shape)]
            stacked = lambda parts: arb_mat(
                self.n, self.p, [c * v for part, row in zip(parts, rows, strict=True) for c in part for v in row]
            )
            self.change, self.offset = stacked(f.change), f.offset
            one = [[[arb(int(a == b)) for b in range(m)] for _ in rows] for a in range(m)]
            self.terms = [stacked(one[a]) for a in f.softplus]
            self.constant = arb_mat(self.p, self.p)
            for a, c in enumerate(f.quadratic):
                self.constant += c * self.gram(stacked(one[a]), self.weight)
            self.first = stacked(f.first).transpose() * arb_mat(self.n, 1, self.weight)

    def gram(self, v: arb_mat, weight: Sequence[arb]) -> arb_mat:
        """V' diag(weight) V."""
        p = self.p
        scaled = arb_mat(self.n, p, [w * v[i, j] for i, w in enumerate(weight) for j in range(p)])
        return v.transpose() * scaled

    def point(self, theta: np.ndarray) -> arb_mat:
        """Doubles as balls."""
        return arb_mat(self.p, 1, [arb(v) for v in theta.ravel().tolist()])

    def logits(self, theta: arb_mat) -> list[arb]:
        """τ, (n,)."""
        return [t + b for t, b in zip((self.change * theta).entries(), self.offset, strict=True)]

    def missing(self, theta: arb_mat) -> arb_mat:
        """I_{z|x,y}."""
        return self.gram(self.change, [w * _weight(t) for w, t in zip(self.weight, self.logits(theta), strict=True)])

    def complete(self, theta: arb_mat) -> arb_mat:
        """∇²A."""
        total = self.constant
        for v in self.terms:
            weight = [w * _weight(t) for w, t in zip(self.weight, (v * theta).entries(), strict=True)]
            total = total + self.gram(v, weight)
        return total

    def mean(self, theta: arb_mat) -> arb_mat:
        """∇A."""
        total = self.constant * theta
        for v in self.terms:
            weight = [w * sigmoid(t) for w, t in zip(self.weight, (v * theta).entries(), strict=True)]
            total = total + v.transpose() * arb_mat(self.n, 1, weight)
        return total

    def expected(self, theta: arb_mat) -> arb_mat:
        """E[s ⊗ x], what the E-step hands to the M-step."""
        weight = [w * sigmoid(t) for w, t in zip(self.weight, self.logits(theta), strict=True)]
        return self.first + self.change.transpose() * arb_mat(self.n, 1, weight)

    def gradient(self, theta: arb_mat) -> arb_mat:
        """∇L."""
        return self.mean(theta) - self.expected(theta)

    def mirror(self, theta: arb_mat) -> arb:
        """A."""
        total = dot(theta, self.constant * theta) / 2
        for v in self.terms:
            for w, t in zip(self.weight, (v * theta).entries(), strict=True):
                total += w * softplus(t)
        return total

    def objective(self, theta: arb_mat) -> arb:
        """L, up to a constant."""
        label = sum((w * softplus(t) for w, t in zip(self.weight, self.logits(theta), strict=True)), arb(0))
        return self.mirror(theta) - dot(self.first, theta) - label

    def divergence(self, one: arb_mat, other: arb_mat) -> arb:
        """B_A(one‖other)."""
        return self.mirror(one) - self.mirror(other) - dot(self.mean(other), one - other)

    def newton(self, theta: arb_mat, step: Callable[[arb_mat], arb_mat], steps: int = 40) -> arb_mat | None:
        """Until the steps vanish; None where they do not, or cannot be taken."""
        size = None
        for _ in range(steps):
            try:
                move = centred(step(theta))
            except (ZeroDivisionError, ValueError):
                return None
            theta = centred(theta - move)
            length = math.hypot(*(float(v) for v in move.entries()))
            if not math.isfinite(length):
                return None
            around = max(abs(float(v)) for v in theta.entries())
            if length <= 2.0 ** (30 - ctx.prec) * around or (size is not None and length < 1e-40 * size):
                return theta
            size = max(size or 0.0, length)
        return None

    def stationary(self, theta: arb_mat) -> arb_mat | None:
        """The minimum of L that Newton's method finds from θ; None if there is none."""
        found = self.newton(theta, lambda at: (self.complete(at) - self.missing(at)).solve(self.gradient(at)))
        if found is None or definite(self.complete(found) - self.missing(found)) is not True:
            return None
        return found

    def em(self, theta: arb_mat) -> arb_mat | None:
        """One iteration."""
        wanted = self.expected(theta)
        return self.newton(theta, lambda at: self.complete(at).solve(self.mean(at) - wanted))


def _weight(t: arb) -> arb:
    e = (-abs(t)).exp()
    return e / (1 + e) ** 2


def dot(a: arb_mat, b: arb_mat) -> arb:
    """⟨a, b⟩ of columns."""
    return (a.transpose() * b)[0, 0]


def centred(a: arb_mat) -> arb_mat:
    """The middles of the balls."""
    return arb_mat(a.nrows(), a.ncols(), [v.mid() for v in a.entries()])


def definite(a: arb_mat) -> bool | None:
    """Whether a symmetric matrix is positive definite: proved, disproved (a pivot ≤ 0), or not decided."""
    p = a.nrows()
    work = [[a[i, j] for j in range(p)] for i in range(p)]
    for k in range(p):
        pivot = work[k][k]
        if not pivot > 0:
            return False if pivot <= 0 else None
        for i in range(k + 1, p):
            factor = work[i][k] / pivot
            for j in range(k + 1, i + 1):
                work[i][j] = work[i][j] - factor * work[j][k]
    return True
