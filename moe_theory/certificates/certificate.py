"""A certificate: what was proved of EM on one data set, from what, and the file that carries it."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import moe_theory
from moe_theory.certificates.adversary import Found
from moe_theory.certificates.basin import Basin
from moe_theory.certificates.noise import Noise
from moe_theory.certificates.region import Region
from moe_theory.certificates.rounding import at_least, at_most
from moe_theory.errors import InputError
from moe_theory.files import check_writable, write_atomically
from moe_theory.model import Model
from moe_theory.validation import Array, unit_interval

FORMAT = 1


@dataclass(frozen=True)
class Source:
    """The data a certificate speaks of.

    features, response: columns, where they have names. intercept: the first feature is a constant 1 that is no column.
    digest: SHA-256 of shape, features, responses and weights.
    """

    rows: int
    features: tuple[str, ...] | None
    response: str | None
    intercept: bool
    digest: str


class Proved(NamedTuple):
    """The basin, and what encloses the stationary point θ̂: lower <= θ̂ <= upper, (m, d)."""

    basin: Basin
    lower: Array
    upper: Array


@dataclass(frozen=True, eq=False, repr=False)
class Certificate:
    """Whether EM for `model` on a data set was proved to converge linearly around `region.centre`, and if not, why not.

    reason: "" if certified. source: what it is about. alpha: L is α-strongly convex relative to A on the region.
    lambda_upper: 1 - alpha, or where that could not be proved the least bound on λ_max(M) that could (inf: none).
    lambda_centre: λ_max(M(c)). found: the largest λ_max(M) a search over the region came to. method, cuts: of the
    proof. basin: what follows. lower, upper: enclose the stationary point θ̂, (m, d). bounds: {method: the least bound
    on λ_max(M) it proves on this region}. noise: σ as declared beside the residuals', None where the experts have none.
    seconds: what it took. supported: made on a population's quadrature, whose `error` is an estimate.
    """

    certified: bool
    reason: str
    model: Model
    source: Source
    region: Region
    alpha: float
    lambda_upper: float
    lambda_centre: float
    found: Found
    method: str
    cuts: tuple[tuple[int, int], ...] = ()
    basin: Basin | None = None
    lower: Array | None = None
    upper: Array | None = None
    bounds: Mapping[str, float] = field(default_factory=dict)
    noise: Noise | None = None
    seconds: float = 0.0
    supported: bool = False
    error: float = math.nan

    @property
    def radius(self) -> float:
        return self.region.radius

    @property
    def proved(self) -> Proved:
        """What was proved of the basin and the stationary point; InputError with the reason if nothing was."""
        if not self.certified or self.basin is None or self.lower is None or self.upper is None:
            raise InputError(f"certificate: expected one that was proved, got none: {self.reason}")
        return Proved(self.basin, self.lower, self.upper)

    @property
    def basin_radius(self) -> float:
        """r0: EM converges linearly from every start c + Gz with ‖z‖ <= r0; 0 where that was not proved."""
        return self.basin.radius if self.basin else 0.0

    def edge(self, direction: Array) -> Array:
        """The start on the basin's edge, (m, d), from the centre in that direction, (m, d); InputError if nothing is
        proved."""
        self.proved  # noqa: B018  raises
        factor = self.region.matrix
        way = np.linalg.solve(factor, direction.ravel())
        return self.region.centre + (factor @ (self.basin_radius * way / np.linalg.norm(way))).reshape(direction.shape)

    def iterations(self, factor: float = 1e-6) -> int:
        """How many iterations of EM from the basin are enough to multiply B_A(θ̂‖θ) by `factor` < 1, by the proved
        rate; InputError if nothing is proved."""
        self.proved  # noqa: B018  raises
        unit_interval("factor", factor)
        return math.ceil(math.log(factor) / math.log1p(-self.alpha))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the keys that `moe-theory certify --json` documents; null for what was not come by.

        sigma, residual_sd: σ of the normal experts as declared, and the residuals' standard deviation at the centre.
        """
        rows = lambda theta: None if theta is None else self._named(theta)
        return {
            "certified": self.certified,
            "reason": self.reason,
            "supported": self.supported,
            "alpha": _finite(self.alpha),
            "radius": self.radius,
            "basin_radius": self.basin_radius if self.certified or self.supported else None,
            "basin_divergence": self.basin.divergence if self.basin else None,
            "lambda_upper": _finite(self.lambda_upper),
            "lambda_found": _finite(self.found.value),
            "lambda_centre": _finite(self.lambda_centre),
            "shape": self.region.shape,
            "method": self.method,
            "bounds": {name: _finite(value) for name, value in self.bounds.items()},
            "curvature": {key: getattr(self.basin, key) for key in ("lower", "upper", "within")}
            if self.basin
            else None,
            "centre": self._named(self.region.centre),
            "stationary": {
                "gradient": self.basin.gradient,
                "distance": self.basin.distance,
                "lower": rows(self.lower),
                "upper": rows(self.upper),
            }
            if self.basin
            else None,
            "sigma": self.noise.sigma if self.noise else None,
            "residual_sd": self.noise.residual_sd if self.noise else None,
            "model": self.model.name,
            "rows": self.source.rows,
            "features": list(self.source.features or ()),
            "digest": self.source.digest,
            "seconds": round(self.seconds, 3),
        }

    @property
    def document(self) -> dict[str, Any]:
        """The certificate as its file holds it; InputError if nothing was proved."""
        basin, lower, upper = self.proved
        factor = self.region.factor
        body: dict[str, Any] = {
            "certificate": "moe-theory",
            "format": FORMAT,
            "model": {
                "name": self.model.name,
                "options": dict(self.model.options),
                "joint": [str(e) for e in self.model.log_joint],
                "known": {
                    name: list(row) for name, row in zip(self.model.known, self.model.known_coefficients, strict=True)
                },
            },
            "data": {
                "rows": self.source.rows,
                "features": None if self.source.features is None else list(self.source.features),
                "response": self.source.response,
                "intercept": self.source.intercept,
                "digest": self.source.digest,
            },
            "centre": self._named(self.region.centre),
            "region": {
                "shape": self.region.shape,
                "factor": None if factor is None else self._named(factor),
                "radius": self.region.radius,
            },
            "bound": {
                "alpha": self.alpha,
                "lambda_upper": self.lambda_upper,
                "method": self.method,
                "cuts": [{"coordinate": k, "pieces": n} for k, n in self.cuts],
            },
            "curvature": {"lower": basin.lower, "upper": basin.upper, "within": basin.within},
            "stationary": {
                "gradient": basin.gradient,
                "distance": basin.distance,
                "lower": self._named(lower),
                "upper": self._named(upper),
            },
            "basin": {"radius": basin.radius, "divergence": basin.divergence},
            "found": {"lambda": self.found.value, "theta": self._named(self.found.theta)},
            "maker": {
                "moe_theory": moe_theory.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }
        return body | {"seal": seal(body)}

    def text(self) -> str:
        """The file's text."""
        return json.dumps(self.document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, path: str | Path) -> None:
        """Write the file whole or not at all; InputError if nothing was proved or it cannot be written."""
        content = self.text().encode()
        check_writable("path", Path(path))
        write_atomically(Path(path), content)

    def _named(self, theta: Array) -> dict[str, Any]:
        return {name: row.tolist() for name, row in zip(self.model.predictors, theta, strict=True)}

    def __repr__(self) -> str:
        return f"<Certificate: {' '.join(str(self).splitlines())}>"

    def __str__(self) -> str:
        doubt = f"\n{self.noise}." if self.noise and self.noise.disagrees else ""
        if not self.certified:
            return f"no certificate for {self.model.name} on {self.source.rows} rows: {self.reason}{doubt}"
        basin = self.proved.basin
        norm = "‖θ-c‖" if self.region.factor is None else "‖θ-c‖_H"
        starts = f"B_A(θ̂‖θ_1) < {at_most(basin.divergence)}"
        if basin.radius > 0:  # no ball of starts around c was proved otherwise, not even c
            starts = f"{norm} ≤ {at_most(basin.radius)}"
        return (
            f"{self.model.name}, {self.source.rows} rows: for {norm} ≤ {at_most(self.radius)},"
            f" λ_max(M) ≤ {at_least(self.lambda_upper)} (proved; {self.found.value:.6g} found).\n"
            f"From every start with {starts} EM converges to the one stationary point there,"
            f" B_A(θ̂‖θ_T+1) ≤ {at_least(self.lambda_upper)}^T B_A(θ̂‖θ_1).{doubt}"
        )


def seal(body: Mapping[str, Any]) -> str:
    """SHA-256 of all that a certificate says, in canonical JSON."""
    kept = {key: value for key, value in body.items() if key != "seal"}
    canonical = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
