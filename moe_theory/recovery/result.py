"""What a recovery has found, how sure it is, and what speaks against it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from moe_theory.moments.activations import Activation
from moe_theory.moments.components import Experts
from moe_theory.moments.diagnostics import Features, Vanishing
from moe_theory.moments.source import Whitening
from moe_theory.recovery.gate import GateFit, mixing_weights
from moe_theory.recovery.polish import Polished
from moe_theory.validation import Array, unit_interval

if TYPE_CHECKING:
    from rich.console import RenderableType

ALARM = 0.01  # p-value below which a moment that must vanish is said not to
LEANING = 1.0  # standard errors of bias from a gate that sees the regressors' span, beyond which it is said
BEYOND = 3.0  # standard errors at which Σp̂ or a norm is said not to be 1


@dataclass(frozen=True, eq=False)
class Candidate:
    """One kind of moments and what was made of them. lengths: whether linear experts' own lengths were taken, as they
    are not 1. regressors: (k, d), of x. gate: with these given, a short run
    where EM on everything follows. polished: that, or None. tilt: the regressors' bias, (k, d), from the gate's part in
    their span, to first order."""

    experts: Experts
    lengths: bool
    regressors: Array
    gate: GateFit
    polished: Polished | None
    tilt: Array

    @property
    def log_likelihood(self) -> float:
        """Per row, of the last stage."""
        return (self.polished or self.gate).log_likelihood


@dataclass(frozen=True, eq=False, repr=False)
class Recovery:
    """A recovered mixture of experts y|z=i ~ N(g(a_i'(x - centre)), σ²).

    activation: g. rows: n. given_sigma: what was asked for. best: of the candidates, by likelihood. features: the law
    of x as the sample shows it. whitening: how x was taken to standard coordinates, or None. vanishing: tests of
    moments that must be 0. noted: what was said on the way.
    """

    activation: Activation
    rows: int
    given_sigma: float | None
    best: Candidate
    candidates: tuple[Candidate, ...]
    features: Features
    whitening: Whitening | None
    vanishing: tuple[Vanishing, ...]
    noted: tuple[str, ...]

    def __repr__(self) -> str:
        how = "polished" if self.polished else "from moments"
        return f"<Recovery: {self.k} {self.activation.name} experts {how}, {self.rows} rows, sigma {self.sigma:.4g}>"

    @property
    def k(self) -> int:
        return self.best.experts.k

    @property
    def polished(self) -> bool:
        """Whether EM on everything followed."""
        return self.best.polished is not None

    @property
    def regressors(self) -> Array:
        """a_i, (k, d); from moments of length 1 in standard coordinates (of linear experts with their own, where these
        are clearly not 1), polished with their own."""
        return self.best.regressors if self.best.polished is None else self.best.polished.regressors

    @property
    def centre(self) -> Array:
        """(d,), which is taken off x: 0 unless x had a mean."""
        return np.zeros(self.regressors.shape[1]) if self.whitening is None else self.whitening.mean

    @property
    def gate(self) -> Array:
        """The gate's coefficients, (k, d), of x - centre; of label 1 0."""
        return self.best.gate.coefficients if self.best.polished is None else self.best.polished.gate

    @property
    def intercepts(self) -> Array:
        """The gate's, (k,)."""
        return self.best.gate.intercepts if self.best.polished is None else self.best.polished.intercepts

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise, of the last stage."""
        return (self.best.polished or self.best.gate).sigma

    @property
    def mixing(self) -> Array:
        """E[P(z|x)], (k,), of the last stage's gate."""
        return mixing_weights((self.best.polished or self.best.gate).law, self.gate, self.intercepts)

    @property
    def spectrum(self) -> Array:
        """Eigenvalues of the second moment, (d,), falling: k of them belong to experts."""
        return self.best.experts.spectrum.values

    @property
    def log_likelihood(self) -> float:
        """Per row."""
        return self.best.log_likelihood

    @cached_property
    def standard_errors(self) -> Array | None:
        """Of the regressors, (k, d): of moments by the jackknife over groups of rows, polished by Louis' formula; None
        where the information is singular."""
        if self.best.polished is None:
            whitening = None if self.whitening is None else self.whitening.matrix
            covariance: Array | None = self.best.experts.covariance(whitening, self.best.lengths)
        else:
            covariance = self.best.polished.covariance
        return None if covariance is None else np.sqrt(np.diagonal(covariance)).reshape(self.regressors.shape)

    def intervals(self, level: float = 0.95) -> Array | None:
        """Confidence intervals of the regressors' entries, (k, d, 2): Student's t with groups - 1 degrees of freedom
        for moments, normal for polished ones."""
        from scipy.special import ndtri, stdtrit

        if self.standard_errors is None:
            return None
        tail = 0.5 + unit_interval("level", level) / 2
        groups = len(self.best.experts.replicates)
        factor = float(stdtrit(groups - 1, tail)) if self.best.polished is None else float(ndtri(tail))
        return self.regressors[..., None] + factor * self.standard_errors[..., None] * np.array([-1.0, 1.0])

    @property
    def converged(self) -> bool:
        """Whether EM did, in its last stage."""
        return (self.best.polished or self.best.gate).converged

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against taking this at its word, one sentence each."""
        found, experts = list(self.noted), self.best.experts
        spectrum, k = experts.spectrum, self.k
        if spectrum.values[k - 1] <= spectrum.edge(k - 1):
            found.append(
                f"the moments do not tell {k} experts from noise: eigenvalue {k} is {spectrum.values[k - 1]:.3g}, noise"
                f" alone reaches {spectrum.edge(k - 1):.3g}" + ("; the likelihood decided" if self.polished else "")
            )
        if spectrum.supported > k:
            found.append(
                f"the spectrum supports {spectrum.supported} experts, {k} were asked for: eigenvalue {k + 1} is"
                f" {spectrum.values[k]:.3g}, noise alone reaches {spectrum.edge(k):.3g}"
            )
        errors, error = experts.scale_errors
        total = float(np.sum(experts.components.mixing))
        if abs(total - 1) > BEYOND * error:
            found.append(f"the moments' mixing weights sum to {total:.3g} ± {error:.2g} instead of 1")
        for i, (norm, own) in enumerate(zip(experts.components.norms, errors, strict=True)):
            if abs(norm - 1) > BEYOND * own:
                taken = ", which was taken" if self.best.lengths and not self.polished else ""
                found.append(
                    f"by the moments' scale regressor {i + 1} has length {norm:.3g} ± {own:.2g} instead of 1{taken}"
                )
        if self.best.polished is None and self.standard_errors is not None:
            worst = int(np.argmax(np.abs(self.best.tilt) / self.standard_errors))
            bias, own = abs(self.best.tilt.flat[worst]), self.standard_errors.flat[worst]
            if bias > LEANING * own:
                found.append(
                    f"the gate sees the regressors' span, which biases them by up to {bias:.2g} ({bias / own:.1f}"
                    " standard errors), to first order"
                )
        for v in self.vanishing:
            if v.p < ALARM:
                found.append(f"{v.name} must be 0 and is not (p = {v.p:.2g} by bootstrap)")
        last = self.best.polished or self.best.gate
        if not last.converged:
            found.append(f"EM did not converge: {last.reason}" + (f", {last.message}" if last.message else ""))
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with the keys that `moe-theory recover --json` documents."""
        experts, intervals = self.best.experts, self.intervals()
        spectrum, c = experts.spectrum, experts.components
        return {
            "regressors": self.regressors.tolist(),
            "standard_errors": None if self.standard_errors is None else self.standard_errors.tolist(),
            "intervals": None if intervals is None else intervals.tolist(),
            "gate": self.gate.tolist(),
            "gate_intercepts": self.intercepts.tolist(),
            "mixing": self.mixing.tolist(),
            "sigma": self.sigma,
            "spectrum": spectrum.values.tolist(),
            "spectrum_noise": spectrum.edge(self.k),
            "spectrum_supports": spectrum.supported,
            "warnings": list(self.warnings),
            "experts": self.k,
            "rows": self.rows,
            "activation": self.activation.name,
            "method": experts.name,
            "polished": self.polished,
            "converged": self.converged,
            "log_likelihood": self.log_likelihood * self.rows,
            "centre": self.centre.tolist(),
            "moments": {
                "mixing": c.mixing.tolist(),
                "norms": c.norms.tolist(),
                "sigma_squared": experts.polynomials.variance,
                "residual": experts.decomposition.residual,
                "vanishing": [
                    {"name": v.name, "statistic": v.statistic, "entries": v.entries, "p": v.p, "p_chi_square": v.naive}
                    for v in self.vanishing
                ],
            },
        }

    def summary(self) -> RenderableType:
        """Tables, for rich's `print` and for notebooks."""
        from moe_theory.recovery.summary import summary

        return summary(self)
