"""The table of models that drives the property tests: a new model is one line here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sympy as sp

import moe_theory as mt
from moe_theory import Model, Reals, log_expit, log_normal

KNOWN = {"a": [1.2, -0.8, 0.3], "b": [-0.5, 0.9, 1.0], "c": [0.2, -0.3, -1.7]}


def balanced() -> Model:
    """Balanced mixture of two linear regressions, no gate."""
    return Model(
        "balanced",
        latent=(-1, 1),
        predictors=("beta",),
        gate=None,
        expert=lambda y, z, beta: log_normal(y, z * beta),
        response=Reals(),
    )


def gate_only() -> Model:
    """A logistic gate between two known normal experts."""
    return Model(
        "gate-only",
        latent=(0, 1),
        predictors=("w",),
        gate=lambda z, w: log_expit((2 * z - 1) * w),
        expert=lambda y, z, a, b: log_normal(y, b if z else a, 0.5),
        response=Reals(),
        known={"a": KNOWN["a"], "b": KNOWN["b"]},
    )


def gate_three() -> Model:
    """A softmax gate over three labels, the experts known."""
    return Model(
        "gate-three",
        latent=(0, 1, 2),
        predictors=("w1", "w2"),
        gate=lambda z, w1, w2: (0, w1, w2)[int(z)] - sp.log(1 + sp.exp(w1) + sp.exp(w2)),
        expert=lambda y, z, a, b, c: log_normal(y, (a, b, c)[int(z)]),
        response=Reals(),
        known=KNOWN,
    )


def offset() -> Model:
    """Two parallel regressions, 2.5 apart, with a logistic gate; P(z) is not symmetric in x."""
    return Model(
        "offset",
        latent=(0, 1),
        predictors=("beta", "w"),
        gate=lambda z, w: log_expit((2 * z - 1) * w),
        expert=lambda y, z, beta: log_normal(y, beta + 2.5 * z),
        response=Reals(),
    )


def noisy_labels() -> Model:
    """Logistic regression on labels of which one in ten was flipped."""
    return Model(
        "noisy-labels",
        latent=(0, 1),
        predictors=("w",),
        gate=lambda z, w: log_expit((2 * z - 1) * w),
        expert=lambda y, z: sp.log(sp.Rational(1, 10)) * (y - z) ** 2 + sp.log(sp.Rational(9, 10)) * (1 - (y - z) ** 2),
        response=mt.Values((0, 1)),
    )


@dataclass(frozen=True)
class Case:
    """A model with a truth at which to test it, (m, 3), and a point a short way from it."""

    id: str
    model: Model
    truth: np.ndarray
    near: np.ndarray

    @property
    def finite(self) -> bool:
        return isinstance(self.model.response, mt.Values)

    def narrow(self, d: int) -> Case:
        """The same with the first d features only."""
        known = np.array(self.model.known_coefficients).reshape(-1, 3)[:, :d]
        return Case(self.id, self.model.with_known(known), self.truth[:, :d], self.near[:, :d])

    def quick(self) -> Case:
        """A case of which populations are integrated in a second: with known experts, two features."""
        return self.narrow(2) if self.model.known else self

    def transformed(self, factor: np.ndarray) -> Case:
        """The same in features u, x = factor u."""
        known = np.array(self.model.known_coefficients).reshape(-1, len(factor)) @ factor
        return Case(self.id, self.model.with_known(known), self.truth @ factor, self.near @ factor)

    def sample(self, n: int, seed: int = 0) -> mt.Data:
        """n rows drawn from the model at the truth."""
        return mt.MonteCarlo(self.model, self.truth, n, seed).data()


def _case(name: str, model: Model, truth: list[list[float]]) -> Case:
    theta = np.array(truth)
    return Case(name, model, theta, theta + 0.2 * np.cos(np.arange(theta.size)).reshape(theta.shape))


CASES = (
    _case("linear", mt.symmetric_linear(), [[1.5, -0.5, 0.2], [0.4, 1.0, -0.3]]),
    _case("linear-0.3", mt.symmetric_linear(0.3), [[0.6, -0.5, 0.2], [0.4, 1.0, -0.3]]),
    _case("logistic", mt.symmetric_logistic(), [[3.0, -1.0, 0.5], [0.4, 2.0, -0.3]]),
    _case("balanced", balanced(), [[1.5, -0.5, 0.8]]),
    _case("offset", offset(), [[1.5, -0.5, 0.2], [0.4, 1.0, -0.3]]),
    _case("noisy-labels", noisy_labels(), [[1.5, -0.5, 0.8]]),
    _case("gate-only", gate_only(), [[0.7, 1.0, -0.3]]),
    _case("gate-three", gate_three(), [[0.7, 1.0, -0.3], [-0.4, 0.2, 1.1]]),
)


def by_id(name: str) -> Case:
    """One row of the table."""
    return next(c for c in CASES if c.id == name)
