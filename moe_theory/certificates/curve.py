"""How much can be proved at which radius: the bound on λ_max(M) beside the largest λ_max that was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from moe_theory.certificates.adversary import Found, adversary
from moe_theory.certificates.bounds import Centre
from moe_theory.certificates.certificate import Certificate
from moe_theory.certificates.maker import METHODS
from moe_theory.certificates.relative import Prover
from moe_theory.certificates.rows import Statistics
from moe_theory.laws.table import Finite
from moe_theory.validation import Array

REACH = 1.6  # times the certificate's radius: how far the curve goes
POINTS = 11


@dataclass(frozen=True, eq=False)
class Curve:
    """radii: (k,). bounds: {method: the least bound on λ_max(M) it proves, (k,)}, inf where none. found: the largest
    λ_max(M) a search came to, (k,). certificate: whose centre and shape they are."""

    radii: Array
    bounds: dict[str, Array]
    found: Array
    certificate: Certificate


@threadpool_limits.wrap(limits=1, user_api="blas")
def radius_curve(
    data: Finite,
    certificate: Certificate,
    radii: Sequence[float] | None = None,  # ascending
    progress: Callable[[int], None] | None = None,
) -> Curve:
    """The curve around a certificate's centre, on the data it is about; by default for radii up to REACH times its own
    (or to 1 where it has none)."""
    statistics = Statistics(certificate.model, data)
    end = REACH * certificate.radius or 1.0
    grid = np.linspace(0, end, POINTS + 1)[1:] if radii is None else np.asarray(radii, dtype=float)
    point = certificate.region
    centre = Centre(statistics, point.centre, np.abs(point.centre))
    bounds: dict[str, list[float]] = {method: [] for method in METHODS}
    found: list[Found] = []
    for i, radius in enumerate(grid):
        region = replace(point, radius=float(radius))
        for method in METHODS:
            bounds[method].append(Prover.of(statistics, region, method, centre=centre).least())
        found.append(adversary(statistics, region))
        if progress is not None:
            progress(i + 1)
    # What was found in a smaller region lies in the larger ones too, and what was proved of a larger one holds on it.
    values = np.maximum.accumulate([f.value for f in found])
    proved = {name: np.minimum.accumulate(v[::-1])[::-1] for name, v in bounds.items()}
    return Curve(grid, proved, values, certificate)
