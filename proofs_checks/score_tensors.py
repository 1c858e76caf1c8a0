"""Stein's identity for the score tensors of N(0, I): E[f(x) S_m(x)] = E[∇^m f(x)], m = 1, 2, 3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement as sorted_indices

import numpy as np
import sympy as sp

from moe_theory.atoms import expit
from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, close, identity

X = sp.symbols("x1:4", real=True)  # an entry of S_m, m <= 3, has at most three coordinates: d = 3 is enough
STEP, REACH = 0.4, 8.4  # of the trapezoid rule: exp(-2 (π/STEP)²) and exp(-REACH²/2) are below rounding

Entry = Callable[..., sp.Expr]


def delta(i: int, j: int) -> int:
    return int(i == j)


def first(i: int) -> sp.Expr:
    """S_1 = x."""
    return X[i]


def second(i: int, j: int) -> sp.Expr:
    """S_2 = xx' - I."""
    return X[i] * X[j] - delta(i, j)


def traces(i: int, j: int, k: int) -> sp.Expr:
    """x_i δ_jk + x_j δ_ik + x_k δ_ij."""
    return X[i] * delta(j, k) + X[j] * delta(i, k) + X[k] * delta(i, j)


def third(i: int, j: int, k: int) -> sp.Expr:
    """S_3 = x⊗x⊗x less the three traces."""
    return X[i] * X[j] * X[k] - traces(i, j, k)


def normal() -> sp.Expr:
    """The density of N(0, I), up to a factor."""
    return sp.exp(-sum(x**2 for x in X) / 2)


@dataclass(frozen=True)
class Scores:
    """S_1, S_2, S_3 by their entries, the density of x up to a factor, and whether f is to be differentiable."""

    tensors: tuple[Entry, Entry, Entry] = (first, second, third)
    density: Callable[[], sp.Expr] = normal
    smooth: bool = True


def check(setting: Setting, claimed: Scores) -> Iterator[Evidence]:
    p = claimed.density()
    for m, tensor in enumerate(claimed.tensors, start=1):
        difference = [
            tensor(*index) - sp.expand((-1) ** m * p.diff(*(X[i] for i in index)) / p)
            for index in sorted_indices(range(3), m)
        ]
        what = rf"$S_{m} - (-1)^{m} \nabla^{m} p / p$, all entries in three coordinates"
        yield identity(f"S_{m}", what, difference, seed=setting.seed)
    yield _parts()
    if claimed.smooth:
        yield from _by_quadrature(claimed)
    else:
        # A jump: ∇f = 0 almost everywhere, while E[f(x) x_1] is the density at 0.
        yield close("f(x) = 1 if x_1 > 0, else 0", "E[f x_1] against E of the derivative", (2 * np.pi) ** -0.5, 0, 1e-9)


def _parts() -> Evidence:
    """Integration by parts three times (so twice and once): f ∂³p + p ∂³f is a sum of derivatives."""
    f, p = sp.Function("f")(*X), sp.Function("p")(*X)
    x, y, z = X
    flow = (f * p.diff(y, z)).diff(x) - (f.diff(x) * p.diff(z)).diff(y) + (f.diff(x, y) * p).diff(z)
    left = sp.expand(f * p.diff(x, y, z) + p * f.diff(x, y, z) - flow)
    what = r"$f\,\partial_i\partial_j\partial_k p + p\,\partial_i\partial_j\partial_k f$ less a divergence, any f, p"
    return Evidence("identity", "parts", what, True if left == 0 else None)


def _by_quadrature(claimed: Scores) -> Iterator[Evidence]:
    """Both sides for a few f, by the trapezoid rule on a grid in three dimensions."""
    grid = np.arange(-REACH, REACH + STEP / 2, STEP)
    points = [c.ravel() for c in np.meshgrid(grid, grid, grid)]
    at = lambda e: np.broadcast_to(sp.lambdify(X, e, modules=[{"expit": _expit}, "numpy"])(*points), points[0].shape)
    weight = at(claimed.density())
    weight = weight / weight.sum()
    a = (X[0] + 2 * X[1] - X[2]) / 3
    for f in (sp.exp(a), sp.sin(a), expit(2 * a), X[0] * X[1] * X[2] + X[0] ** 3 * X[1] ** 2):
        values = weight * at(f)
        for index in ((0,), (0, 0), (0, 1), (0, 0, 0), (0, 0, 1), (0, 1, 2)):
            left = float(values @ at(claimed.tensors[len(index) - 1](*index)))
            right = float(weight @ at(f.diff(*(X[i] for i in index))))
            what = f"E[f S_{len(index)}] against E[∇^{len(index)} f], entry {tuple(i + 1 for i in index)}"
            yield close(f"f(x) = {f}", what, left, right, 1e-11, essential=False, trials=len(weight))


def _expit(t: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-t))


def logistic() -> sp.Expr:
    """Independent coordinates with the logistic density."""
    return sp.Mul(*(expit(x) * expit(-x) for x in X))


def correlated() -> sp.Expr:
    """N(0, Σ) with correlation ½ between the first two coordinates."""
    x, y, z = X
    return sp.exp(-sp.Rational(2, 3) * (x**2 - x * y + y**2) - z**2 / 2)


CLAIM = Claim(
    id="score-tensors",
    title="Stein's identity for the score tensors of a normal law",
    statement=r"$E[f(x) S_m(x)] = E[\nabla^m f(x)]$ for $x\sim N(0,I)$, $m=1,2,3$: $S_1=x$, $S_2=xx^T-I$,"
    r" $(S_3)_{ijk}=x_ix_jx_k-x_i\delta_{jk}-x_j\delta_{ik}-x_k\delta_{ij}$",
    source="Stein (1981); Janzamin, Sedghi and Anandkumar (arXiv 1412.2863); arXiv 1802.07417, Section 2; theory.md §4",
    hypotheses=(
        Hypothesis("x is normal (a logistic law has other scores)", Scores(density=logistic)),
        Hypothesis("with identity covariance", Scores(density=correlated)),
        Hypothesis("f is differentiable, and grows slower than the density decays", Scores(smooth=False)),
    ),
    expected="proved",
    check=check,
    claimed=Scores(),
    mutants={
        "S_1 with the other sign": Mutant("sign", Scores((lambda i: -X[i], second, third))),
        "S_2 without -I": Mutant("term", Scores((first, lambda i, j: X[i] * X[j], third))),
        "S_2 with +I": Mutant("sign", Scores((first, lambda i, j: X[i] * X[j] + delta(i, j), third))),
        "S_3 with one trace for three": Mutant(
            "form", Scores((first, second, lambda i, j, k: X[i] * X[j] * X[k] - 3 * X[i] * delta(j, k)))
        ),
        "S_3 without its traces": Mutant("term", Scores((first, second, lambda i, j, k: X[i] * X[j] * X[k]))),
        "S_3 with a third of them": Mutant(
            "constant", Scores((first, second, lambda i, j, k: X[i] * X[j] * X[k] - traces(i, j, k) / 3))
        ),
    },
    order=220,
    section="Breaking the gridlock",
)
