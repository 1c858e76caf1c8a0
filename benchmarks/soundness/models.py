"""The models under attack, declared to the package and, independently of that, by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from flint import arb, fmpq

import moe_theory as mt
from moe_theory import Model, Reals, log_expit, log_normal


def balanced() -> Model:
    """Two regressions ±β with equal weights, unit variance."""
    return Model(
        "balanced",
        latent=(-1, 1),
        predictors=("beta",),
        gate=None,
        expert=lambda y, z, beta: log_normal(y, z * beta),
        response=Reals(),
    )


def offset() -> Model:
    """Two parallel regressions, 2.5 apart, with a logistic gate."""
    return Model(
        "offset",
        latent=(0, 1),
        predictors=("beta", "w"),
        gate=lambda z, w: log_expit((2 * z - 1) * w),
        expert=lambda y, z, beta: log_normal(y, beta + 2.5 * z),
        response=Reals(),
    )


@lru_cache(maxsize=32)
def gate_only(a: tuple[float, ...], b: tuple[float, ...]) -> Model:
    """A logistic gate between two known normal experts of standard deviation 1/2."""
    return Model(
        "gate-only",
        latent=(0, 1),
        predictors=("w",),
        gate=lambda z, w: log_expit((2 * z - 1) * w),
        expert=lambda y, z, a, b: log_normal(y, b if z else a, 0.5),
        response=Reals(),
        known={"a": a, "b": b},
    )


@lru_cache(maxsize=32)
def package_model(kind: str, known: tuple[tuple[float, ...], ...]) -> Model:
    """The package's model of that kind."""
    if kind == "gate-only":
        return gate_only(*known)
    name, _, number = kind.rpartition("-") if kind[-1].isdigit() else (kind, "", "")
    made: dict[str, Callable[..., Model]] = {
        "symmetric-linear": mt.symmetric_linear,
        "symmetric-logistic": mt.symmetric_logistic,
        "erased-labels": mt.erased_labels,
        "offset": offset,
        "balanced": balanced,
    }
    return made[name](float(number)) if number else made[name]()


@dataclass(frozen=True, eq=False)
class Formulas:
    """One row per datum. change: Δs, first: s(y, first label), (n, m). offset: posterior logit at η = 0, (n,).
    quadratic: C's diagonal, (m,). softplus: the predictors a with a term softplus(η_a)."""

    change: list[list[arb]]
    first: list[list[arb]]
    offset: list[arb]
    quadratic: list[arb]
    softplus: tuple[int, ...]


def by_hand(kind: str, known: tuple[tuple[float, ...], ...], x: np.ndarray, y: np.ndarray) -> Formulas:
    """What the paper's formulas say, typed in."""
    zero, one, ys = arb(0), arb(1), [arb(v) for v in y.tolist()]
    if kind.startswith("symmetric-linear"):
        # -(y - zη)²/(2σ²) = z y η/σ² - η²/(2σ²) + …, log σ(z w) = [z = 1] w - softplus(w)
        sigma = Fraction(kind[17:] or "1")
        precision = arb(fmpq(sigma.denominator**2, sigma.numerator**2))
        return Formulas(
            [[2 * v * precision, one] for v in ys],
            [[-v * precision, zero] for v in ys],
            [zero] * len(ys),
            [precision, zero],
            (1,),
        )
    if kind == "symmetric-logistic":
        # log σ(y z η) = [yz = 1] η - softplus(η)
        return Formulas(
            [[v, one] for v in ys], [[(1 - v) / 2, zero] for v in ys], [zero] * len(ys), [zero, zero], (0, 1)
        )
    if kind == "offset":
        # -(y - η - 5z/2)²/2 = (y - 5z/2) η - η²/2 + 5zy/2 - 25z²/8 + …
        shifted = [arb(5) / 2 * v - arb(25) / 8 for v in ys]
        return Formulas([[-arb(5) / 2, one] for _ in ys], [[v, zero] for v in ys], shifted, [one, zero], (1,))
    if kind == "balanced":
        return Formulas([[2 * v] for v in ys], [[-v] for v in ys], [zero] * len(ys), [one], ())
    if kind == "gate-only":
        # (y - a)²/(2/4) - (y - b)²/(2/4)
        a, b = ([sum((arb(k) * arb(v) for k, v in zip(e, r, strict=True)), zero) for r in x.tolist()] for e in known)
        logits = [2 * ((v - p) ** 2 - (v - q) ** 2) for v, p, q in zip(ys, a, b, strict=True)]
    else:
        lost, wrong = arb(fmpq(4 if kind.endswith("0.4") else 1, 10)), arb(10) ** -250
        told = ((1 - lost - wrong) / wrong).log()
        logits = [{0.0: -told, 1.0: told, 2.0: zero}[v] for v in y.tolist()]
    return Formulas([[one] for _ in ys], [[zero] for _ in ys], logits, [zero], (0,))
