"""The population itself: x ~ N(0, covariance), (z, y) ~ model at the truth, exact in any dimension up to quadrature."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.errors import InputError
from moe_theory.kernels import kernels
from moe_theory.laws.gaussian import Frame, Functional, orthonormal, product_step, radius
from moe_theory.laws.rows import Block, Coordinates, Law, Rows
from moe_theory.model import Model
from moe_theory.response import Values
from moe_theory.symbolic.expectation import linear_means
from moe_theory.symbolic.lower import log_sum_exp
from moe_theory.validation import Array, covariance_matrix

RESOLUTION = 22.0  # default, in nats: λ_max to about 1e-10


class Population(Law):
    """Exact expectations under x ~ N(0, covariance) (identity if None) and the model's (z, y) at `theta`.

    The quadrature's errors are of the order of exp(-nats). Needs a finite response or normal experts with mean linear
    in the predictors (DerivationError otherwise).
    """

    def __init__(
        self,
        model: Model,
        theta: ArrayLike,
        covariance: ArrayLike | None = None,
        nats: float = RESOLUTION,
    ) -> None:
        self.model = model
        self.theta = model.check_theta("theta", theta)
        self.dimension = self.theta.shape[1]
        self.factor = None
        if covariance is not None:
            self.factor = np.linalg.cholesky(covariance_matrix("covariance", covariance, self.dimension))
        if not isinstance(nats, int | float) or not 5 <= nats <= 40:
            raise InputError(f"nats: expected a resolution between 5 and 40, got {nats!r}")
        self.nats = float(nats)
        self.accuracy = 10 * float(np.exp(-self.nats))
        if not isinstance(model.response, Values):
            linear_means(model)

    def reduce(self, model: Model, *thetas: Array) -> tuple[Law, Model, Coordinates | None]:
        """Law and model in coordinates of the parameters' span plus one for its complement, x ~ N(0, I) there.

        No integrand sees more of x than that, so the cost of everything else does not depend on d.
        """
        self.check_dimension(model, thetas)
        vectors = np.vstack([self.model.coefficients(self.theta), *(model.coefficients(t) for t in thetas)])
        white = vectors if self.factor is None else vectors @ self.factor
        basis = orthonormal(list(white), self.dimension)[0].T
        coordinates = Coordinates(basis, self.factor, spare=basis.shape[1] < self.dimension)
        localised = lambda m: m.with_known(
            coordinates.project(np.array(m.known_coefficients).reshape(-1, self.dimension))
        )
        local = Population(localised(self.model), coordinates.project(self.theta), nats=self.nats)
        return local, localised(model), coordinates

    def at_resolution(self, nats: float) -> Population:
        """The same law with a quadrature whose errors are of order exp(-nats)."""
        other = copy.copy(self)
        other.nats, other.accuracy = float(nats), 10 * float(np.exp(-nats))
        return other

    def rows(self, model: Model, theta: Array) -> Rows:
        """Rows exact for functions of y and the posterior at θ times polynomials of degree 2 in x, and, for the law
        of x alone, for functions of the predictors at θ times such polynomials."""
        self.check_dimension(model, [theta])
        if model.response != self.model.response:
            raise InputError(
                f"model: expected a response in {self.model.response}, {model.name!r} has {model.response}"
            )
        grid = _Quadrature(self, model, theta)
        return Rows(self.dimension, grid.joint, grid.covariates)


class _Quadrature:
    """Nodes in whitened features u (x = factor u) for one evaluated model and parameter."""

    def __init__(self, law: Population, model: Model, theta: Array) -> None:
        self.truth, self.model, self.factor = law.model, model, law.factor
        self.d = law.dimension
        self.nats = law.nats
        white = lambda rows: rows if law.factor is None else rows @ law.factor
        self.true_rows = white(law.model.coefficients(law.theta))
        self.at = white(model.coefficients(theta))

    def covariates(self) -> Iterator[Block]:
        """Nodes for functions of the predictors at θ."""
        linear = {j for part in kernels(self.model).parts if part.constant is not None for j in part.index}
        functionals = [Functional(v, scale=0.0 if j in linear else 1.0) for j, v in enumerate(self.at)]
        frame = Frame.make(functionals, self.d, self.nats)
        for t, w in frame.all_points():
            yield self._block(frame, t, np.zeros(t.shape[1]), w)

    def joint(self) -> Iterator[Block]:
        """Nodes for functions of y and the posterior at θ."""
        return self._finite() if isinstance(self.truth.response, Values) else self._normal()

    def _finite(self) -> Iterator[Block]:
        log_joint = kernels(self.truth).log_joint
        for value in self.truth.response.values:
            functionals = self._posterior_functionals(float(value)) + [Functional(v) for v in self.true_rows]
            frame = Frame.make(functionals, self.d, self.nats)
            for t, w in frame.all_points():
                y = np.full(t.shape[1], float(value))
                eta = self.true_rows @ frame.directions.T @ t
                yield self._block(frame, t, y, w * np.exp(log_sum_exp(log_joint(y, *eta))))

    def _normal(self) -> Iterator[Block]:
        """Given the label, (x, y) is jointly normal and only the gate tilts it: integrate over y first, then, at each
        y, over the logit of the posterior (linear in x there) and the gate."""
        gate = kernels(self.truth).log_gate
        uses_gate = [i for i, s in enumerate(self.truth.symbols) if any(e.has(s) for e in self.truth.log_gate)]
        widen = lambda v: np.append(v, 0.0)
        slope = np.linalg.norm(self._posterior_slope() @ self.at, axis=1).max()
        tail = [Functional(widen(self.true_rows[i])) for i in uses_gate]
        for label, (means, constant, sigma) in enumerate(zip(*linear_means(self.truth), strict=True)):
            response = Functional(
                np.append(np.asarray(means) @ self.true_rows, sigma),
                constant,
                scale=radius(self.nats) * slope,
                grade=product_step(self.nats),
            )
            outer = Frame.make([response, *tail], self.d + 1, self.nats)
            t1, w1 = outer.extend(np.zeros((0, 1)), np.ones(1), 0, outer.rule(0))
            size = np.linalg.norm(response.vector)
            for t, w in zip(t1[0], w1, strict=True):
                y = constant + size * t
                inner = [Functional(widen(f.vector), f.constant, f.scale) for f in self._posterior_functionals(y)]
                frame = Frame.make([response, *inner, *tail], self.d + 1, self.nats)
                for points, weights in frame.points(np.array([[t]]), np.array([w])):
                    eta = self.true_rows @ frame.directions[:, : self.d].T @ points
                    yield self._block(frame, points, np.full(len(weights), y), weights * np.exp(gate.rows(*eta)[label]))

    def _posterior_functionals(self, y: float) -> list[Functional]:
        """Functionals of x that determine the posterior at response y."""
        if not self.model.known:
            at_zero = kernels(self.model).logits(np.array([y]), *np.zeros((len(self.at), 1)))[1:, 0]
            rows = self._logit_rows(y) @ self.at
            return [Functional(row, float(constant)) for row, constant in zip(rows, at_zero, strict=True)]
        # Known predictors enter the logit as products; all predictors become coordinates, with a typical slope (twice
        # a standard deviation of the partner: further out the density is small; the two resolutions tell).
        steep = 2 * np.max(np.abs(self._posterior_slope()), axis=0) * np.max(np.linalg.norm(self.at, axis=1))
        learnt = len(self.model.predictors)
        scales = [1.0] * learnt + steep[learnt:].tolist()
        return [Functional(v, scale=s) for v, s in zip(self.at, scales, strict=True)]

    def _logit_rows(self, y: float) -> Array:
        """Coefficients in the predictors of the logits against label 0 at response y, (k - 1, m + known)."""
        return kernels(self.model).logit_coefficients(np.array([y])).reshape(-1, len(self.model.names))

    def _posterior_slope(self) -> Array:
        """d/dy of these coefficients."""
        return self._logit_rows(1.0) - self._logit_rows(0.0)

    def _block(self, frame: Frame, t: Array, y: Array, weight: Array) -> Block:
        residual = frame.residual[: self.d, : self.d]
        x = frame.directions[:, : self.d].T @ t
        if self.factor is not None:
            x, residual = self.factor @ x, self.factor @ residual @ self.factor.T
        return Block(x, y, weight, residual)
