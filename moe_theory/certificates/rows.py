"""Rows at a centre: every logistic weight's argument, how far off it may be, and how far a region moves it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import sympy as sp
from flint import arb

from moe_theory.atoms import exact
from moe_theory.certificates.exact import KNOWN, ball_function, number, precision
from moe_theory.certificates.region import Region
from moe_theory.certificates.rounding import SCALAR, UNIT, UP, gamma
from moe_theory.errors import InputError
from moe_theory.laws.rows import Block, scaled_grams
from moe_theory.laws.table import Finite
from moe_theory.model import RESPONSE, Model
from moe_theory.symbolic.two_labels import TwoLabels, two_labels
from moe_theory.validation import Array

SAFE = 1e-6  # errors of a logistic weight's argument beyond this are no rounding any more


@dataclass(frozen=True, eq=False)
class Argument:
    """The argument t = t_0 + v·θ of a logistic weight, v = slopes ⊗ x.

    value: t at the centre, (n,). error: how far off it may be, (n,). slopes: (m, n), or (m,) where all rows share them,
    each relatively accurate.
    """

    value: Array
    error: Array
    slopes: Array

    def on(self, region: Region, spread: tuple[Array, Array], around: Interval | None = None) -> Interval:
        """Where t may be on the region, for the features' `Region.spread` there; no further than `around` says, if it
        is given."""
        rest, box = spread
        slopes = self.slopes if self.slopes.ndim == 2 else self.slopes[:, None]
        reach = region.radius * np.sqrt(np.sum(slopes**2 * rest, axis=0))
        if len(box):
            along = [np.abs(slopes[a] * b) for (a, _), b in zip(region.cut, box, strict=True)]
            reach = reach + sum(h * v for h, v in zip(region.halves, along, strict=True))
        # Four times the error, so that a quarter of the interval still holds it (`logistic.remainder`).
        reach = reach * (1 + SCALAR) + 4 * self.error
        low, high = self.value - reach, self.value + reach
        if around is not None:
            low, high = np.maximum(low, around.low), np.minimum(high, around.high)
            reach = np.maximum(np.abs(low - self.value), np.abs(high - self.value)) * (1 + SCALAR) + 4 * self.error
        return Interval(self.value, low, np.maximum(low, high), reach)


@dataclass(frozen=True, eq=False)
class Interval:
    """An argument's value at a centre, how low and how high it may be, and how far from that value, (n,) each."""

    value: Array
    low: Array
    high: Array
    reach: Array

    @property
    def ends(self) -> tuple[Array, Array]:
        """(middle, half of the length)."""
        return (self.low + self.high) / 2, (self.high - self.low) / 2 * (1 + SCALAR)


@dataclass(frozen=True, eq=False)
class Centred:
    """One block at a centre: the label's argument (the posterior logit) and each softplus term's, with the score.

    score: ∇A_x - E[s|x,y] at the centre, (m, n), and score_error, how far off it may be.
    """

    block: Block
    label: Argument
    terms: tuple[Argument, ...]
    score: Array
    score_error: Array


@dataclass(frozen=True, eq=False)
class Prepared:
    """One block, and all of its rows that does not depend on θ: Δs and s(y, first label), (m, n), the posterior logit's
    offset and the shifts of the softplus terms, each with bounds on its errors, (n,)."""

    block: Block
    change: Array
    first: Array
    offset: tuple[Array, Array]
    shifts: tuple[tuple[Array, Array], ...]


class Statistics:
    """A model's constants, and its rows prepared once for all parameters.

    quadratic: C, (m, m). linear: (m,). terms: (weight, slopes (m,)) of each softplus term. InputError for a model with
    a design, or whose statistics are not known to 60 bits at some response.
    """

    def __init__(self, model: Model, law: Finite) -> None:
        constants = _constants(certifiable(model))
        if model.dimension not in (None, law.dimension):
            raise InputError(f"data: expected {model.dimension} features, as the known predictors, got {law.dimension}")
        self.model, self.law = model, law
        self.quadratic, self.linear, self.terms = constants.quadratic, constants.linear, constants.terms
        anywhere = np.zeros((len(model.predictors), law.dimension))
        self.rows = [
            Prepared(
                block,
                np.array([f(block.y) for f in constants.change]),
                np.array([f(block.y) for f in constants.first]),
                # Models are told apart without their known coefficients, so these come from the model itself.
                constants.offset(block, model.known_coefficients),
                tuple(f(block, model.known_coefficients) for f in constants.shifts),
            )
            for block in law.rows(model, anywhere).blocks
        ]
        # Additions that a term of a sum over the rows goes through: those of its block, then those of the blocks.
        self.depth = max(len(rows.block.y) for rows in self.rows) + len(self.rows) + 8

    @property
    def pairs(self) -> list[tuple[int, ...]]:
        """(a, b) with a <= b: what `label_information` wants sums of."""
        return list(itertools.combinations_with_replacement(range(len(self.model.predictors)), 2))

    @cached_property
    def constant_information(self) -> Array:
        """C ⊗ E[xx'], (p, p): the part of ∇²A that no parameter changes."""
        ones = lambda rows: np.ones((1, len(rows.block.y))) * rows.block.weight
        return np.kron(self.quadratic, sum(scaled_grams(rows.block.x, ones(rows))[0] for rows in self.rows))

    def label_information(self, grams: Array) -> Array:
        """Σ σ' ΔsΔs' ⊗ xx', (p, p), from Σ σ' Δs_a Δs_b xx' for the `pairs`, (d, d) each."""
        m, d = len(self.model.predictors), self.law.dimension
        out = np.zeros((m, d, m, d))
        for (a, b), gram in zip(self.pairs, grams, strict=True):
            out[a, :, b, :] = out[b, :, a, :] = gram
        return out.reshape(m * d, m * d)

    def term_information(self, grams: Array) -> Array:
        """Σ_k κ_k l_k l_k' ⊗ Σ σ'(t_k) xx', (p, p), from Σ σ'(t_k) xx' for the softplus terms, (d, d) each."""
        out = np.zeros_like(self.constant_information)
        for (weight, slopes), gram in zip(self.terms, grams, strict=True):
            out += weight * np.kron(np.outer(slopes, slopes), gram)
        return out


@dataclass(frozen=True, eq=False)
class _Constants:
    """What of a model's shape the rows need, as numbers and functions of rows."""

    quadratic: Array
    linear: Array
    terms: list[tuple[float, Array]]
    change: list[_Response]
    first: list[_Response]
    offset: _Function
    shifts: list[_Function]


@lru_cache(maxsize=64)
def _constants(shape: TwoLabels) -> _Constants:
    return _Constants(
        np.array([[number(e) for e in row] for row in shape.quadratic.tolist()]),
        np.array([number(e) for e in shape.linear]),
        [(number(t.weight), np.array([number(e) for e in t.slopes])) for t in shape.terms],
        [_Response(shape, e) for e in shape.change],
        [_Response(shape, e) for e in shape.first],
        _Function(shape, shape.offset),
        [_Function(shape, t.shift) for t in shape.terms],
    )


def certifiable(model: Model) -> TwoLabels:
    """The model's shape, or InputError (CurvedModelError) that says why there is no certificate for it."""
    if model.design is not None:
        raise InputError(f"model: expected one whose predictors see all features, {model.name!r} has a design")
    return two_labels(model)


def centred(statistics: Statistics, theta: Array, size: Array) -> Iterator[Centred]:
    """Each block at θ, (m, d). size: |θ| or more, entry by entry, which rounding is relative to."""
    n_terms = gamma(theta.shape[1] + 12)
    quadratic, linear = statistics.quadratic, statistics.linear[:, None]
    for rows in statistics.rows:
        block, change, first = rows.block, rows.change, rows.first
        eta = np.array([row @ block.x for row in theta])
        wide = np.abs(block.x)
        # Sums and products of η that follow are covered by the twelve operations more.
        eta_error = n_terms * np.array([row @ wide for row in size]) + 1e-290
        label = Argument(
            np.sum(change * eta, axis=0) + rows.offset[0],
            UP * np.sum(np.abs(change) * (2 * eta_error), axis=0)
            + 2 * rows.offset[1]
            + 4 * UNIT * np.abs(rows.offset[0]),
            change,
        )
        score = quadratic @ eta + linear
        # What the score is the sum of, in size: each term is a few roundings accurate.
        heap = np.abs(quadratic) @ np.abs(eta) + np.abs(linear)
        error, terms = np.abs(quadratic) @ eta_error, []
        for (weight, slopes), (shift, shift_error) in zip(statistics.terms, rows.shifts, strict=True):
            t_error = UP * np.abs(slopes) @ (2 * eta_error) + 2 * shift_error + 4 * UNIT * np.abs(shift)
            terms.append(Argument(slopes @ eta + shift, t_error, slopes))
            mean = weight * _expit(terms[-1].value)
            score, heap = score + slopes[:, None] * mean, heap + np.abs(slopes)[:, None] * mean
            error = error + np.abs(slopes)[:, None] * (weight * t_error / 4)
        p = _expit(label.value)
        score, heap = score - first - p * change, heap + np.abs(first) + p * np.abs(change)
        error = error + np.abs(change) * label.error / 4 + SCALAR * heap
        yield Centred(block, label, tuple(terms), score, UP * error)


def worst_error(rows: Sequence[Centred]) -> float:
    """The largest error of any logistic weight's argument."""
    return max(float(np.max(a.error)) for r in rows for a in (r.label, *r.terms))


def _expit(t: Array) -> Array:
    small = np.exp(-np.abs(t))
    return np.where(t >= 0, 1.0, small) / (1 + small)


class _Response:
    """A function of y, each value within 8 UNIT relative: a table, a monomial of degree <= 1, or evaluated in balls."""

    def __init__(self, shape: TwoLabels, expr: sp.Expr) -> None:
        self.expr, self.values = expr, shape.model.response.values
        per_unit = sp.expand(expr / RESPONSE)
        self.factor = None if expr.is_number or not per_unit.is_number else number(per_unit)
        self.constant = number(expr) if expr.is_number else None

    def __call__(self, y: Array) -> Array:
        if self.constant is not None:
            return np.full(len(y), self.constant)
        if self.factor is not None:
            return self.factor * y
        if self.values:
            each = [number(self.expr.subs(RESPONSE, exact(v))) for v in self.values]
            return np.select([y == v for v in self.values], each)
        ball, out = ball_function((RESPONSE,), self.expr), np.empty(len(y))
        with precision():
            for i, v in enumerate(y.tolist()):
                value = ball(arb(v))
                if not (value.rel_accuracy_bits() > KNOWN or value == 0):
                    raise InputError(f"y: expected responses at which {self.expr} is known to 60 bits, got {v!r}")
                out[i] = float(value.mid())
        return out


class _Function:
    """A function of y and the known predictors, given by their coefficients, on a block: (values, bounds on their
    errors), (n,) each."""

    def __init__(self, shape: TwoLabels, expr: sp.Expr) -> None:
        self.expr, self.values = expr, shape.model.response.values
        self.known = shape.model.symbols[len(shape.model.learnt) :]
        self.free = expr.free_symbols
        self.ball = ball_function((RESPONSE, *self.known), expr)

    def __call__(self, block: Block, known: Sequence[Sequence[float]]) -> tuple[Array, Array]:
        n = len(block.y)
        if self.free.isdisjoint(self.known) and (self.values or not self.free):
            responses = self.values or (0,)
            each = [number(self.expr.subs(RESPONSE, exact(v))) for v in responses]
            found = np.select([block.y == v for v in responses], each) if self.free else np.full(n, each[0])
            return found, 4 * UNIT * np.abs(found)
        values, errors = np.empty(n), np.empty(n)
        coefficients = [[arb(v) for v in row] for row in known]
        with precision():
            # A response of a finite domain stands for the decimal that it prints as.
            stands = {
                float(v): arb(int(q.p)) / arb(int(q.q))
                for v, q in zip(self.values, map(exact, self.values), strict=True)
            }
            for i, (y, x) in enumerate(zip(block.y.tolist(), block.x.T.tolist(), strict=True)):
                eta = [sum((a * v for a, v in zip(row, x, strict=True)), arb(0)) for row in coefficients]
                value = self.ball(stands.get(y, arb(y)), *eta)
                values[i] = float(value.mid())
                errors[i] = 4 * UNIT * abs(values[i]) + float(value.rad()) * UP
        return values, errors
