"""The steps of a certificate, whatever the region's size: each either adds to what is known or says why it ends
there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from moe_theory.certificates.adversary import Found, adversary, largest_eigenvalue, thinned
from moe_theory.certificates.basin import basin, box
from moe_theory.certificates.bounds import Centre, Method
from moe_theory.certificates.region import Region, Shape, ellipsoid_factor, pieces_of
from moe_theory.certificates.relative import Prover, upper_curvature
from moe_theory.certificates.rounding import UP, gamma
from moe_theory.certificates.rows import Statistics
from moe_theory.errors import InputError, UnprovableError
from moe_theory.operators import complete_information
from moe_theory.validation import Array

GRAIN = 2.0**-40  # of an α that is found: 1 - α is exact then
RADIUS = 0.005  # relative: how near to the largest provable radius one is looked for
SCOUTS = 40_000  # rows on which a radius is looked for before it is proved on all
METHODS: tuple[Method, ...] = ("worst-case", "taylor")
PIECES = 4  # per coordinate that is cut
KEPT = 8  # provers
SINGULAR = "∇²A is not positive definite at the centre, as far as rounding lets it be seen"


@dataclass(frozen=True, eq=False)
class Maker:
    """One model, data set and centre, whatever the region's size."""

    statistics: Statistics
    theta: Array
    shape: Shape
    methods: tuple[Method, ...]
    cuts: int
    seed: int
    tell: Callable[[str], None]
    kept: dict[Any, Prover] = field(default_factory=dict)

    def steps(self, radius: float | str, alpha: float | None) -> Iterator[dict[str, Any]]:
        """What is known of the certificate, step by step; UnprovableError where it cannot go on."""
        level = 1.0 if alpha is None else 1 - alpha
        yield {"lambda_centre": self.at_centre, "found": Found(self.at_centre, self.theta)}
        if not self.at_centre < level:
            goal = "1" if alpha is None else f"1 - α = {level:.6g}"
            raise UnprovableError(f"λ_max(M(c)) = {self.at_centre:.6g} at the centre itself, which is not below {goal}")
        if radius == "largest":
            alpha = alpha if alpha is not None else coarse((1 - self.at_centre) / 2)
            level = 1 - alpha
            yield {"alpha": alpha}
            radius = self.largest(alpha)
        region = self.region(float(radius))
        self.tell("search for the largest λ_max")
        found = adversary(self.statistics, region, seed=self.seed, at_centre=self.at_centre)
        yield {"region": region, "found": found}
        if not found.value < level:
            where = "at the centre" if found.theta is self.theta else "at a point of the region (`found`)"
            raise UnprovableError(f"λ_max(M) = {found.value:.6g} {where}, which is not below {level:.6g}")
        self.tell("proof")
        proofs = self.proofs(region)
        best = min(proofs, key=lambda proof: proof.upper)
        yield {
            "bounds": {proof.label: proof.upper for proof in proofs},
            "lambda_upper": best.upper,
            "method": best.method,
            "cuts": tuple(best.cuts.items()),
        }
        proved = best.alpha(alpha)
        if proved is None:
            raise UnprovableError(
                f"the bound on λ_max(M) over the region is {best.upper:.6g}, not below {level:.6g}, though no more than"
                f" {found.value:.6g} was found there: a smaller radius can be proved"
            )
        yield {"alpha": proved, "lambda_upper": 1 - proved}
        gradient, mu = self.gradient(region), max(self.prover(region, m).lower(region.matrix) for m in self.methods)
        whole = upper_curvature(self.centre, region)
        if not (mu > 0 and math.isfinite(whole)):
            raise UnprovableError("∇²A could not be bounded from below and above on the region")
        upper = lambda s: whole if s == region.radius else upper_curvature(self.centre, self.region(s))
        settled = basin(region.radius, proved, gradient, mu, upper)
        if settled is None:
            within = gradient / (proved * mu)
            raise UnprovableError(
                f"a stationary point is proved within {within:.3g} of the centre only, which is not below the radius"
                f" {region.radius:.6g}: take a centre at which EM has converged"
            )
        lower, higher = box(self.theta, region.matrix, settled.distance)
        yield {"basin": settled, "lower": lower, "upper": higher}

    # What does not depend on the radius --------------------------------------------------------------------

    @cached_property
    def at_centre(self) -> float:
        """λ_max(M(c))."""
        value = largest_eigenvalue(self.statistics, self.theta)[0]
        if not value > -math.inf:
            raise UnprovableError(SINGULAR)
        return value

    @cached_property
    def centre(self) -> Centre:
        return Centre(self.statistics, self.theta, np.abs(self.theta))

    @cached_property
    def factor(self) -> Array | None:
        """G's blocks, None for I."""
        if self.shape == "euclidean":
            return None
        complete = complete_information(self.statistics.model, self.statistics.law, self.theta)
        try:
            return ellipsoid_factor(complete, *self.theta.shape)
        except InputError as error:
            raise UnprovableError(SINGULAR) from error

    def region(self, radius: float) -> Region:
        """The ball or ellipsoid of that radius."""
        return Region(self.theta, self.factor, radius)

    # Proofs ------------------------------------------------------------------------------------------------

    def largest(self, alpha: float) -> float:
        """The largest radius, to RADIUS, at which α can be proved; looked for on some of the rows if they are many."""
        law = self.statistics.law
        if len(law) > 2 * SCOUTS:
            scouts = replace(self, statistics=Statistics(self.statistics.model, thinned(law, SCOUTS)), kept={})
            radius = scouts._largest(alpha)
        else:
            radius = self._largest(alpha)
        for _ in range(40):
            if self.holds(radius, alpha):
                return radius
            radius *= 0.98 if len(law) > 2 * SCOUTS else 1 - RADIUS
        raise UnprovableError(f"no radius was found at which λ_max(M) ≤ {1 - alpha:.6g} could be proved")

    def _largest(self, alpha: float) -> float:
        def holds(radius: float) -> bool:
            self.tell(f"radius {radius:.4g}")
            return self.holds(radius, alpha)

        low, high = 0.0, 0.1 * (1 + float(np.linalg.norm(self.theta)) if self.shape == "euclidean" else 1.0)
        while high > 1e-12 and not holds(high):
            high /= 4
        if high <= 1e-12:
            raise UnprovableError(f"λ_max(M) ≤ {1 - alpha:.6g} could not be proved on any ball: rounding is in the way")
        while holds(2 * high) and high < 1e6:
            high *= 2
        low, high = high, 2 * high
        while high - low > RADIUS * low:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if holds(middle) else (low, middle)
        return low

    def holds(self, radius: float, alpha: float) -> bool:
        """Whether α is proved for that radius, by any of the methods, without cuts."""
        region = self.region(radius)
        return any(self.prover(region, method).holds(below(alpha)) for method in self.methods)

    def prover(self, region: Region, method: Method, cuts: Mapping[int, int] | None = None) -> Prover:
        """What is proved of a region; kept, as several questions are asked of it."""
        key = (region.radius, method, tuple((cuts or {}).items()))
        if key not in self.kept:
            if len(self.kept) >= KEPT:
                self.kept.pop(next(iter(self.kept)))
            pieces = pieces_of(cuts or {}, self.theta.shape[1])
            self.kept[key] = Prover.of(self.statistics, region, method, pieces, self.centre)
        return self.kept[key]

    def proofs(self, region: Region) -> list[Proof]:
        """The best bound of every method, and with the cuts that help most, one coordinate at a time."""
        made = [Proof(self, region, method) for method in self.methods]
        chosen: dict[int, int] = {}
        for _ in range(self.cuts):
            left = [k for k in self._promising(region) if k not in chosen]
            options = [Proof(self, region, method, chosen | {k: PIECES}) for method in self.methods for k in left]
            if not options:
                break
            made.append(min(options, key=lambda proof: proof.upper))
            chosen = made[-1].cuts
        return made

    def _promising(self, region: Region) -> list[int]:
        """Coordinates of z that are worth a cut: per predictor the two along which its own value changes most."""
        m, d = self.theta.shape
        along = np.abs(self.theta.ravel() @ region.matrix).reshape(m, d)
        order = np.argsort(-along, axis=1)[:, :2]
        return [a * d + int(j) for a in range(m) for j in order[a]]

    def gradient(self, region: Region) -> float:
        """≥ ‖G'∇L(c)‖."""
        value, error = self.centre.gradient
        g, p = np.abs(region.matrix), self.theta.size
        off = g.T @ (error + gamma(p + 4) * np.abs(value)).ravel()
        return UP * float(np.linalg.norm(np.abs(region.matrix.T @ value.ravel()) + off)) + 1e-300


@dataclass(frozen=True, eq=False)
class Proof:
    """One way to bound λ_max(M) over a region. cuts: {coordinate of z: pieces}."""

    maker: Maker
    region: Region
    method: Method
    cuts: dict[int, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return self.method + (f", {len(self.cuts)} cut{'s' * (len(self.cuts) > 1)}" if self.cuts else "")

    @cached_property
    def prover(self) -> Prover:
        return self.maker.prover(self.region, self.method, self.cuts)

    @cached_property
    def upper(self) -> float:
        """The least bound."""
        return self.prover.least()

    def alpha(self, wanted: float | None) -> float | None:
        """The α proved: the one that is wanted, or the largest; None if there is none."""
        if wanted is not None:
            return wanted if self.prover.holds(below(wanted)) else None
        alpha = coarse(1 - self.upper)
        while alpha > 0 and not self.prover.holds(below(alpha)):
            alpha -= GRAIN
        return alpha if alpha > 0 else None


def coarse(alpha: float) -> float:
    """α rounded down to GRAIN, so that 1 - α is exact; 0 for what is not positive."""
    return math.floor(alpha / GRAIN) * GRAIN if alpha > 0 else 0.0


def below(alpha: float) -> float:
    """The largest double not above 1 - α."""
    level = 1 - alpha
    return level if Fraction(level) <= 1 - Fraction(alpha) else math.nextafter(level, 0.0)
