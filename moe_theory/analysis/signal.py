"""What the signal-to-noise ratio guarantees: a bound on λ_max(M) for two symmetric linear experts, proved.

x ~ N(0, I) in any dimension, y ~ N(±x'β*, σ²), the sign drawn with log-odds x'w*. For every θ = (β, w) with
‖β - β*‖ <= ρσ < σ and ‖w - w*‖ <= τ, whatever the angle between β* and w*,

    λ_max(M(θ)) <= C(‖w*‖; ρ, τ)/√(1 + ‖β*‖²/σ²),    C = max{E[g²y² S(h)], E[g² S(h)]/κ(‖w*‖ + τ)},

h = ρ|yg| + τ|g|/2, y and g independent N(0, 1), S(h) = max_B cosh(B - h)/cosh² B, κ(r) = E[g² sech²(rg/2)].

Proof, σ = 1. With u = x'β, v = x'w, u*, v* likewise, A = yu* + v*/2 and A + h' = yu + v/2, the density of y at θ* times
the missing information of a row is φ(y) exp(-u*²/2) cosh(A)/(4 cosh(v*/2) cosh²(A+h')) [4y², 2y; 2y, 1] ⊗ xx'. Here
cosh(v*/2) >= 1 and cosh(A)/cosh²(A+h') <= S(|h'|), which grows with |h'| <= |y||(β-β*)'x| + |(w-w*)'x|/2; put there, it
makes the integrand even in y, so that the mixed blocks vanish. exp(-u*²/2) turns N(0, I) into (1 + ‖β*‖²)^{-1/2} times
a normal law with a smaller covariance, under which every |a'x|, ‖a‖ = 1, is stochastically smaller than |g|. Given y,
the integrand is S(|y| s + t/2) r² of three such variables, growing in each, and supermodular as S, a maximum of convex
functions, is convex: its mean is largest where they are one and the same (Lorentz, 1953; Tchen, 1980). The complete
information is I for the experts, at least κ(‖w*‖+τ)/4 I for the gate. (proofs_checks: signal-gives-rate.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.optimize

from moe_theory.errors import DerivationError, InputError
from moe_theory.model import Model
from moe_theory.symbolic.expectation import normal_experts
from moe_theory.validation import Array, real_array, unit_interval
from moe_theory.zoo import symmetric_linear

NEAREST = 0.9  # largest ρ: C grows without limit as ρ goes to 1
REACH = 12.0  # of quadrature, in standard deviations
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(300)


@dataclass(frozen=True)
class Guarantee:
    """λ_max(M(θ)) <= 1 - alpha wherever ‖w*‖ <= gate, ‖β*‖ >= beta, ‖β-β*‖ <= rho and ‖w-w*‖ <= tau; the Bregman ball
    {B_A(θ*‖θ) <= nats} lies in that set of θ, so that EM on the population contracts from every start in it."""

    model: str
    alpha: float
    gate: float
    beta: float
    rho: float
    tau: float
    nats: float

    @property
    def statement(self) -> str:
        """One sentence, ‖β*‖ rounded up, ρ, τ and nats down."""
        where = (
            f"For {self.model}, every ‖w*‖ ≤ {self.gate:g}, any angle and any dimension, ‖β*‖ ≥"
            f" {_rounded(self.beta, np.ceil):g} gives α ≥ {self.alpha:g}"
        )
        if self.nats == 0:
            return f"{where} at θ*; proved (signal-gives-rate)."
        return (
            f"{where} for ‖β-β*‖ ≤ {_rounded(self.rho, np.floor):g}, ‖w-w*‖ ≤ {_rounded(self.tau, np.floor):g}, and EM"
            f" on the population contracts the divergence by 1-α at every step from every start with B_A(θ*‖θ) ≤"
            f" {_rounded(self.nats, np.floor):g} nats; proved (signal-gives-rate)."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"statement": self.statement}


def guarantees(model: Model, alpha: float, gates: Sequence[float], beta: float) -> list[Guarantee]:
    """Per ‖w*‖ in gates: the least ‖β*‖ that gives alpha at θ*, and the largest basin from ‖β*‖ = beta on, if there is
    one. Empty for models the bound is not proved for."""
    try:
        _noise(model)
    except InputError:
        return []
    made = []
    for gate in gates:
        made.append(least_signal(model, alpha, gate))
        basin = largest_basin(model, alpha, beta, gate)
        made += [basin] if basin is not None and basin.nats > 0 else []
    return made


def rate_bound(model: Model, beta: float, gate: float, rho: float = 0.0, tau: float = 0.0) -> float:
    """The bound on λ_max(M(θ)) for all θ with ‖β-β*‖ <= rho, ‖w-w*‖ <= tau, ‖β*‖ = beta, ‖w*‖ <= gate; inf for
    rho > 0.9 σ.

    model: `symmetric_linear`, of any sigma, on the population x ~ N(0, I). Raises InputError.
    """
    beta, gate, rho, tau = (_length(n, v) for n, v in (("beta", beta), ("gate", gate), ("rho", rho), ("tau", tau)))
    sigma = _noise(model)
    return _constant(gate, rho / sigma, tau) / float(np.hypot(1.0, beta / sigma))


def least_signal(model: Model, alpha: float, gate: float, rho: float = 0.0, tau: float = 0.0) -> Guarantee:
    """The least ‖β*‖ from which on the bound gives alpha for every ‖w*‖ <= gate and all θ with ‖β-β*‖ <= rho,
    ‖w-w*‖ <= tau. Raises InputError."""
    level, sigma = 1 - unit_interval("alpha", alpha), _noise(model)
    gate, rho, tau = (_length(n, v) for n, v in (("gate", gate), ("rho", rho), ("tau", tau)))
    if rho > NEAREST * sigma:
        raise InputError(f"rho: expected at most {NEAREST:g} σ = {NEAREST * sigma:g}, got {rho:g}")
    ratio = _constant(gate, rho / sigma, tau) / level
    nats = min((rho / sigma) ** 2 / 2, gate_curvature(gate + tau) * tau**2 / 8)
    return Guarantee(model.name, alpha, gate, sigma * float(np.sqrt(max(ratio**2 - 1, 0.0))), rho, tau, nats)


def largest_basin(model: Model, alpha: float, beta: float, gate: float) -> Guarantee | None:
    """The largest Bregman ball on which the bound gives alpha for every ‖β*‖ >= beta and ‖w*‖ <= gate; None if it does
    not even at θ*. Raises InputError."""
    level, sigma = 1 - unit_interval("alpha", alpha), _noise(model)
    beta, gate = _length("beta", beta), _length("gate", gate)
    allowed = level * float(np.hypot(1.0, beta / sigma))
    if _constant(gate, 0.0, 0.0) > allowed:
        return None
    # τ with κ(gate + τ)τ²/8 = nats, on the branch on which it grows with nats.
    depth = lambda tau: gate_curvature(gate + tau) * tau**2 / 8
    widest = scipy.optimize.minimize_scalar(lambda tau: -depth(tau), bounds=(0.0, 50.0), method="bounded").x
    most = min(NEAREST**2 / 2, depth(widest)) * (1 - 1e-9)
    across = lambda nats: float(scipy.optimize.brentq(lambda tau: depth(tau) - nats, 0.0, widest)) if nats > 0 else 0.0
    excess = lambda nats: _constant(gate, float(np.sqrt(2 * nats)), across(nats)) - allowed
    nats = most if excess(most) <= 0 else float(scipy.optimize.brentq(excess, 0.0, most, xtol=1e-9)) * (1 - 1e-6)
    nats = max(nats, 0.0)
    return Guarantee(model.name, alpha, gate, beta, sigma * float(np.sqrt(2 * nats)), across(nats), nats)


@lru_cache(maxsize=4096)
def gate_curvature(r: float) -> float:
    """κ(r) = E[g² sech²(rg/2)], g ~ N(0, 1): four times the gate's information along w, ‖w‖ = r; it falls with r."""
    g, weight = _nodes(REACH)
    decay = np.exp(-r * g)
    return float(weight @ (np.sqrt(2 / np.pi) * np.exp(-(g**2) / 2) * g**2 * 4 * decay / (1 + decay) ** 2))


def strip_ratio(h: Array) -> Array:
    """exp(-h) S(h), h >= 0, with S(h) = max_B cosh(B - h)/cosh² B, where tanh B = (1 - √(1 + 8 tanh² h))/(4 tanh h)."""
    slope = np.tanh(h)
    at = -2 * slope / (1 + np.sqrt(1 + 8 * slope**2))
    return (1 + np.exp(-2 * h)) / 2 * (1 - slope * at) * np.sqrt(1 - at**2)


@lru_cache(maxsize=4096)
def _constant(gate: float, rho: float, tau: float) -> float:
    """C(gate; rho, tau), rho in units of the noise."""
    if rho > NEAREST:
        return float("inf")
    # -(y² + g²)/2 + h <= -(1-ρ)(y² + g²)/2 + τg/2
    g, weight = _nodes((REACH + tau / 2) / float(np.sqrt(1 - rho)))
    h = rho * g[:, None] * g + tau * g[:, None] / 2
    density = np.exp(h - (g[:, None] ** 2 + g**2) / 2) * (2 / np.pi) * strip_ratio(h)
    over_y = (weight * g**2) @ density
    return max(float(over_y @ (weight * g**2)), float(over_y @ weight) / gate_curvature(gate + tau))


def _nodes(reach: float) -> tuple[Array, Array]:
    """Gauss–Legendre's nodes and weights on (0, reach)."""
    return reach * (1 + _NODES) / 2, reach / 2 * _WEIGHTS


def _noise(model: Model) -> float:
    """σ; InputError for a model that is not `symmetric_linear`."""
    try:
        sigma = float(normal_experts(model)[0].sigma)
    except DerivationError:
        sigma = float("nan")
    if not sigma > 0 or model != symmetric_linear(sigma=sigma):
        raise InputError(f"model: expected symmetric-linear, for which the bound is proved, got {model.name!r}")
    return sigma


def _length(name: str, value: float) -> float:
    number = float(real_array(name, value, ndim=0))
    if number < 0:
        raise InputError(f"{name}: expected a number >= 0, got {number:g}")
    return number


def _rounded(value: float, towards: Any) -> float:
    """To three digits, up or down."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (np.floor(np.log10(value)) - 2)
    return float(f"{towards(value / step) * step:.6g}")
