"""The population itself: x ~ N(0, covariance), (z, y) ~ model at the truth, exact in any dimension up to quadrature."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.errors import DerivationError, InputError
from moe_theory.kernels import kernels, log_sum_exp
from moe_theory.laws.gaussian import Frame, Functional, frame, tensor_nodes
from moe_theory.laws.rows import Block, Coordinates, Law, Rows
from moe_theory.model import RESPONSE, Model, Values
from moe_theory.symbolic.derive import derive
from moe_theory.symbolic.expectation import NormalExpert
from moe_theory.validation import Array, covariance, real_array, unit_interval

KEEP = 3_000_000  # rows kept in memory between passes; larger grids are generated anew in each pass


class Population(Law):
    """Exact expectations under x ~ N(0, covariance) (identity if None) and the model's (z, y) at `theta`.

    Integrands depend on x through the span of the parameters; its complement enters through one more coordinate with
    its exact covariance, so the cost does not depend on d. tolerance: target of the quadrature, by default 1e-10 up
    to a span of dimension 2 and 1e-7 beyond. Needs a finite response or normal experts with mean linear in the
    predictors (DerivationError otherwise).
    """

    def __init__(
        self,
        model: Model,
        theta: ArrayLike,
        covariance: ArrayLike | None = None,
        tolerance: float | None = None,
    ) -> None:
        self.model = model
        self.theta = model.check_theta("theta", theta)
        self.dimension = self.theta.shape[1]
        self.factor = None if covariance is None else np.linalg.cholesky(_covariance(covariance, self.dimension))
        self.tolerance = None if tolerance is None else unit_interval("tolerance", tolerance)
        self.nats: float | None = None
        if not isinstance(model.response, Values):
            _linear_means(model)

    def at_resolution(self, nats: float) -> Population:
        """The same law with a quadrature whose errors are of order exp(-nats)."""
        other = Population.__new__(Population)
        other.__dict__ = self.__dict__ | {"nats": float(nats)}
        return other

    def resolution(self, model: Model, *thetas: Array) -> float:
        """The quadrature's target in nats for a span of the given parameters."""
        if self.nats is not None:
            return self.nats
        tolerance = self.tolerance or (1e-10 if self.coordinates(model, thetas).basis.shape[1] <= 2 else 1e-7)
        return float(-np.log(tolerance)) + 2

    def coordinates(self, model: Model, thetas: tuple[Array, ...]) -> Coordinates:
        """Coordinates on the span of all parameters (and known predictors), whitened, plus one for the complement."""
        vectors = np.vstack([self.model.coefficients(self.theta), *(model.coefficients(t) for t in thetas)])
        white = vectors if self.factor is None else vectors @ self.factor
        basis = frame([Functional(v) for v in white], self.dimension).directions.T
        return Coordinates(basis, self.factor, spare=basis.shape[1] < self.dimension)

    def rows(self, model: Model, *thetas: Array, span: bool = False) -> Rows:
        """Rows for `model` at `thetas`; with `span` for every parameter in the span."""
        if not thetas:
            thetas = (self.theta,)
        self.check_dimension(model, thetas)
        if type(model.response) is not type(self.model.response):
            raise InputError(f"model: expected a response in {self.model.response}, {model.name!r} has {model.response}")
        coordinates = self.coordinates(model, thetas)
        grid = _Grid(self, model, thetas, coordinates, self.resolution(model, *thetas), span)
        return Rows(coordinates.dimension, _kept(grid.joint), _kept(grid.covariates), coordinates)


class _Grid:
    """Quadrature nodes for one truth, one evaluated model and its parameters, in the coordinates of their span."""

    def __init__(
        self, law: Population, model: Model, thetas: tuple[Array, ...], coordinates: Coordinates, nats: float, span: bool
    ) -> None:
        self.truth, self.model, self.nats, self.span = law.model, model, nats, span
        self.r = coordinates.basis.shape[1]
        self.spare = coordinates.spare
        local = lambda m, t: coordinates.project(m.coefficients(t))[:, : self.r]
        self.true_rows = local(law.model, law.theta)
        self.rows = [local(model, t) for t in thetas]

    def covariates(self) -> Iterator[Block]:
        """Nodes for functions of x alone: the predictors at θ (and the whole span, if asked)."""
        fr = frame([Functional(v) for rows in self.rows for v in rows] + self._axes(self.r), self.r)
        slopes = [max((self._smooth_slope(rows, e) for rows in self._seen()), default=0.0) for e in fr.directions]
        for t, w in tensor_nodes(fr, slopes, self.nats):
            yield self._block(fr, t, np.zeros(t.shape[1]), w)

    def joint(self) -> Iterator[Block]:
        """Nodes for functions of x and y."""
        yield from self._finite() if isinstance(self.truth.response, Values) else self._normal()

    # Finite response: the joint law is a sum over its values -------------------------------------------------

    def _finite(self) -> Iterator[Block]:
        vectors = [v for rows in self.rows for v in rows] + list(self.true_rows)
        fr = frame([Functional(v) for v in vectors] + self._axes(self.r), self.r)
        slopes = [
            max([float(np.sum(np.abs(rows @ e))) for rows in self._seen()] + [float(np.max(np.abs(self.true_rows @ e)))])
            for e in fr.directions
        ]
        log_joint = kernels(self.truth).log_joint
        for t, w in tensor_nodes(fr, slopes, self.nats):
            eta = self.true_rows @ fr.directions.T @ t
            for value in self.truth.response.values:  # type: ignore[union-attr]
                y = np.full(t.shape[1], float(value))
                yield self._block(fr, t, y, w * np.exp(log_sum_exp(log_joint(y, *eta))))

    # Normal experts: given the label, (x, y) is jointly normal and only the gate tilts it ----------------------

    def _normal(self) -> Iterator[Block]:
        gate = kernels(self.truth).log_gate
        uses_gate = [
            i for i, s in enumerate(self.truth.symbols) if any(e.has(s) for e in self.truth.log_gate)
        ]
        for label, (means, constants, sigmas) in enumerate(zip(*_linear_means(self.truth), strict=True)):
            noise = np.append(np.zeros(self.r), sigmas)
            y = np.append(means @ self.true_rows, 0.0) + noise
            fr, spread, products = self._normal_frame(y, constants, uses_gate)
            slopes = [self._slope(e, uses_gate, products) for e in fr.directions]
            response = fr.coefficients(y)
            for t, w in tensor_nodes(fr, slopes, self.nats, spread):
                eta = self.true_rows @ fr.directions[:, : self.r].T @ t
                yield self._block(fr, t, constants + response @ t, w * np.exp(gate.rows(*eta)[label]))

    def _normal_frame(self, y: Array, constant: float, uses_gate: list[int]) -> tuple[Frame, float, list]:
        """Slope and centred response of the first parameter's logit, then its predictors, the gate, the rest."""
        pad = lambda v: np.append(v, 0.0)
        products = []
        for rows in self._seen():
            product = _logit_product(self.model)
            if product is not None:
                slope, centre, offset = product
                products.append((pad(slope @ rows), y - pad(centre @ rows), constant - offset))
        functionals = []
        if products:
            d, c, shift = products[0]
            functionals += [Functional(d, graded=True), Functional(c, shift, graded=True)]
        functionals += [Functional(pad(v)) for rows in self.rows for v in rows]
        functionals += [Functional(y, constant)]
        functionals += [Functional(pad(self.true_rows[i])) for i in uses_gate]
        fr = frame(functionals + [Functional(pad(f.vector)) for f in self._axes(self.r)], self.r + 1)
        spread = max((float(np.linalg.norm(self._additive() @ rows)) for rows in self.rows), default=0.0)
        return fr, spread, products

    def _slope(self, e: Array, uses_gate: list[int], products: list) -> float:
        """Largest rate at which an argument of a logistic function changes along direction e of (x, noise)."""
        reach = np.sqrt(2 * self.nats)
        slopes = [self._smooth_slope(rows, e[: self.r]) for rows in self._seen()]
        slopes += [abs(float(self.true_rows[i] @ e[: self.r])) for i in uses_gate]
        for d, c, _ in products[1:] if self.span else []:
            slopes.append(reach * (np.linalg.norm(c) * abs(d @ e) + np.linalg.norm(d) * abs(c @ e)))
        return float(max(slopes, default=0.0))

    def _seen(self) -> list[Array]:
        """Coefficients of all parameters whose kernels are evaluated: with `span` the truth's too."""
        same = self.truth == self.model
        return [*self.rows, self.true_rows] if self.span and same else self.rows

    def _smooth_slope(self, rows: Array, e: Array) -> float:
        """How fast the predictors that enter the logit additively, or ∇A_x nonlinearly, change along e."""
        return float(np.sum(np.abs(self._nonlinear() * (rows @ e))))

    def _nonlinear(self) -> Array:
        mask = np.ones(len(self.model.names))
        for part in kernels(self.model).parts:
            if part.constant is not None:
                mask[list(part.index)] = 0.0
        mask[len(self.model.predictors) :] = 0.0
        return mask

    def _additive(self) -> Array:
        """Coefficients of the predictors in the logit where y = 0, (m + known,)."""
        logit = kernels(self.model).theory.logits[-1]
        at = dict.fromkeys((RESPONSE, *self.model.symbols), 0)
        learnt = [float(logit.diff(s).subs(at)) for s in self.model.learnt]
        return np.pad(learnt, (0, len(self.model.known)))

    def _axes(self, n: int) -> list[Functional]:
        return [Functional(row) for row in np.eye(n)] if self.span else []

    def _block(self, fr: Frame, t: Array, y: Array, weight: Array) -> Block:
        residual = fr.residual[: self.r, : self.r]
        x = fr.directions[:, : self.r].T @ t
        if self.spare:
            residual = np.pad(residual, (0, 1))
            residual[-1, -1] = 1.0
            x = np.vstack([x, np.zeros(t.shape[1])])
        return Block(x, y, weight, residual if np.any(np.abs(residual) > 1e-14) else None)


def _kept(make):  # type: ignore[no-untyped-def]
    """A pass function that keeps its blocks for the next pass while they are few."""
    kept: list[Block] = []
    complete = False

    def blocks() -> Iterator[Block]:
        nonlocal complete
        if complete:
            yield from kept
            return
        kept.clear()
        size = 0
        for block in make():
            size += len(block.y)
            if size <= KEEP:
                kept.append(block)
            yield block
        complete = size <= KEEP
        if not complete:
            kept.clear()

    return blocks


def _linear_means(model: Model) -> tuple[list[Array], list[float], list[float]]:
    """Per label: coefficients of the expert's mean in the predictors, its constant, its sigma."""
    vectors, constants, sigmas = [], [], []
    for expert in derive(model).normal_experts:
        coefficients = [expert.mean.diff(s) for s in model.symbols]
        if not all(c.is_number for c in coefficients):
            raise DerivationError(
                f"model {model.name!r}: expected experts with mean linear in the predictors, got mean {expert.mean}"
            )
        vectors.append(np.array(coefficients, dtype=float))
        constants.append(float(expert.mean.subs(dict.fromkeys(model.symbols, 0))))
        sigmas.append(float(expert.sigma))
    return vectors, constants, sigmas


def _logit_product(model: Model) -> tuple[Array, Array, float] | None:
    """(slope, centre, constant) with logit = (slope·η)(y - centre·η - constant) + …, for two normal experts of one sigma."""
    experts: tuple[NormalExpert, ...] = derive(model).normal_experts
    if len(experts) != 2 or experts[0].sigma != experts[1].sigma:
        return None
    vectors, constants, sigmas = _linear_means(model)
    if constants[0] != constants[1]:
        return None
    return (vectors[1] - vectors[0]) / sigmas[0] ** 2, (vectors[1] + vectors[0]) / 2, constants[0]


def _covariance(value: ArrayLike, d: int) -> Array:
    return covariance("covariance", real_array("covariance", value), d)
