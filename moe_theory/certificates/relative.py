"""Is L strongly convex relative to A on a region? λ∇²A - I_{z|x,y} ≻ 0 everywhere on it says so, with α = 1 - λ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from moe_theory.certificates.bounds import Bounds, Centre, Method, above, bounds
from moe_theory.certificates.forms import Form
from moe_theory.certificates.region import Region
from moe_theory.certificates.rows import Statistics
from moe_theory.validation import Array

FINE = 1e-4  # of λ: how near to the least provable one is looked for
SMALLEST = 1e-15  # λ below which one is not looked for (0, where nothing is missing, would not grow)
LARGEST = 1e3  # λ beyond which a bound is of no interest


@dataclass(frozen=True, eq=False)
class Prover:
    """The bounds of one region, or of all cells that it is cut into."""

    cells: tuple[Bounds, ...]

    @classmethod
    def of(
        cls,
        statistics: Statistics,
        region: Region,
        method: Method,
        pieces: Mapping[tuple[int, int], int] | None = None,
        centre: Centre | None = None,
    ) -> Prover:
        """centre: the region's, where its rows are known already."""
        centre = centre or Centre(statistics, region.centre, region.size)
        if not pieces:
            return cls((bounds(centre, region, method),))
        cells = region.cells(dict(pieces))
        return cls(tuple(bounds(Centre(statistics, c.middle, c.size), c, method, centre) for c in cells))

    def holds(self, level: float) -> bool:
        """Whether level ∇²A - I_{z|x,y} ≻ 0 on the whole region is proved."""
        return all(_positive(level * cell.below + -1.0 * cell.missing) for cell in self.cells)

    def least(self, most: float = LARGEST) -> float:
        """The least λ that `holds`, to FINE; inf beyond `most`."""
        low = max(SMALLEST, *(_generalised(cell) for cell in self.cells))
        if not low < most:
            return np.inf
        step, high = 2 * FINE, low * (1 + FINE)
        while not self.holds(high):
            if high >= most:
                return np.inf
            low, high = high, min(high * (1 + step), most)
            step *= 2
        while high - low > FINE * high:
            middle = (low + high) / 2
            low, high = (low, middle) if self.holds(middle) else (middle, high)
        return high

    def lower(self, factor: Array) -> float:
        """μ with μI ⪯ G'∇²AG on the region, G (p, p)."""
        return min(cell.below.congruent(factor.T).least() for cell in self.cells)


def upper_curvature(centre: Centre, region: Region) -> float:
    """ν with G'∇²AG ⪯ νI on a ball or ellipsoid around the centre."""
    return -(-1.0 * above(centre, region)).congruent(region.matrix.T).least()


def _positive(form: Form) -> bool:
    """Whether N(z) ≻ 0 is proved for the whole region."""
    scaled = form.value / np.outer(form.size, form.size)
    try:
        lower = np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        return False
    inverse = scipy.linalg.solve_triangular(lower, np.eye(len(lower)), lower=True)
    return bool(np.isfinite(inverse).all()) and form.congruent(inverse / form.size).least() > 0


def _generalised(cell: Bounds) -> float:
    """λ_max of the pair at the middle: no λ below it can hold."""
    size = np.maximum(cell.below.size, cell.missing.size)
    unit = np.outer(size, size)
    try:
        return float(scipy.linalg.eigh(cell.missing.value / unit, cell.below.value / unit, eigvals_only=True)[-1])
    except (np.linalg.LinAlgError, ValueError):  # singular, or not finite
        return np.inf
