"""The adversary: climbs, in floats, to where a bound is likeliest to be false."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.linalg
from flint import arb, arb_mat

from moe_theory.certificates.region import Region
from soundness.exact import Exact, digits

CLIMB = 10  # steps of one search


Height = Callable[[np.ndarray], tuple[float, np.ndarray]]  # a value at z with its gradient


class Landscape:
    """Both informations over a region in floats, in its coordinates z; the arguments at the centre are exact."""

    def __init__(self, exact: Exact, region: Region) -> None:
        self.radius, self.p = region.radius, exact.p
        with digits():
            g = exact_factor(region)
            centre = exact.point(region.centre)
            near = lambda m, *shape: np.array([float(v.mid()) for v in m]).reshape(shape)
            self.weight = near(exact.weight, exact.n)
            self.label = near(exact.logits(centre), exact.n)
            self.change = near((exact.change * g).entries(), exact.n, exact.p)
            self.terms = [
                (near((v * centre).entries(), exact.n), near((v * g).entries(), exact.n, exact.p)) for v in exact.terms
            ]
            self.constant = near((g.transpose() * exact.constant * g).entries(), exact.p, exact.p)

    def informations(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(∇²A, I_{z|x,y})."""
        missing = _gram(self.change, self.weight * _bell(self.label + self.change @ z))
        complete = self.constant + sum(_gram(v, self.weight * _bell(t + v @ z)) for t, v in self.terms)
        return complete, missing

    def uphill(self, z: np.ndarray, u: np.ndarray, label: float, terms: float) -> np.ndarray:
        """Gradient of label u'Iu + terms u'∇²Au."""
        t = self.label + self.change @ z
        total = label * self.change.T @ (self.weight * _tilt(t) * (self.change @ u) ** 2)
        for t0, v in self.terms:
            total = total + terms * v.T @ (self.weight * _tilt(t0 + v @ z) * (v @ u) ** 2)
        return total

    def largest(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """λ_max and its gradient."""
        complete, missing = self.informations(z)
        size = np.sqrt(np.diagonal(complete))
        if not (np.isfinite(size).all() and np.all(size > 0)):
            return -np.inf, np.zeros(self.p)
        unit = np.outer(size, size)
        try:
            values, vectors = scipy.linalg.eigh(missing / unit, complete / unit)
        except (np.linalg.LinAlgError, ValueError):
            return -np.inf, np.zeros(self.p)
        u = vectors[:, -1] / size
        return float(values[-1]), self.uphill(z, u, 1.0, -float(values[-1]))

    def curvature(self, sign: float) -> Height:
        """The largest eigenvalue of sign ∇²A, with its gradient."""

        def value(z: np.ndarray) -> tuple[float, np.ndarray]:
            values, vectors = np.linalg.eigh(sign * self.informations(z)[0])
            return float(values[-1]), self.uphill(z, vectors[:, -1], 0.0, sign)

        return value

    def climb(
        self, value: Callable[[np.ndarray], tuple[float, np.ndarray]], starts: Sequence[np.ndarray]
    ) -> np.ndarray:
        """The z of the largest value found from these starts: steps towards where the gradient points, as far as
        pays."""
        best, best_z = -np.inf, np.zeros(self.p)
        for z in starts:
            here, slope = value(z)
            for _ in range(CLIMB):
                size = np.linalg.norm(slope)
                if not size > 0:
                    break
                vertex = self.radius * slope / size
                options = [z + share * (vertex - z) for share in (1.0, 0.4, 0.1, 0.02)]
                reached = [(*value(o), o) for o in options]
                higher = max(reached, key=lambda r: r[0])
                if not higher[0] > here + 1e-9 * abs(here):
                    break
                here, slope, z = higher
            if here > best:
                best, best_z = here, z
        return best_z


def exact_factor(region: Region) -> arb_mat:
    """G."""
    g = region.matrix
    return arb_mat(len(g), len(g), [arb(v) for v in g.ravel().tolist()])


def inside(z: np.ndarray, radius: float) -> list[arb]:
    """z as balls, moved into the ball where it is outside."""
    balls = [arb(v) for v in z.tolist()]
    square = sum((v * v for v in balls), arb(0))
    if square <= arb(radius) ** 2:
        return balls
    shrink = (arb(radius) / square.sqrt() * (1 - arb(2) ** -150)).mid()
    return [(v * shrink).mid() for v in balls]


def _bell(t: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(t))
    return e / (1 + e) ** 2


def _tilt(t: np.ndarray) -> np.ndarray:
    return -_bell(t) * np.tanh(t / 2)


def _gram(v: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return (v.T * weight) @ v
