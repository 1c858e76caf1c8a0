"""λ_max(M(θ*)) of the symmetric models as the signal-to-noise ratio b = ‖β*‖ goes to 0 and to infinity.

x ~ N(0, I), w* ≠ 0 of length c at the angle φ to β*. The information per row is expanded or averaged by SymPy; what is
left are means over the two coordinates of x that w* and β* see, computed by quadrature.

b → 0:                 λ_max = 1 - C₀ b² + O(b⁴): the gate's eigenvector is on top, and C₀ is the least eigenvalue of a
                       Schur complement of the observed information.
b → ∞, linear experts: λ_max = C/b + O(b⁻³). Labels are in doubt only in the strip x'β* = O(1), which has a
probability of
                       order 1/b; again the gate's eigenvector is on top.
b → ∞, logistic ones:  λ_max → λ_∞ > 0: all that the experts ever learn comes from the strip that the doubt is in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.linalg
import scipy.special
import sympy as sp

from moe_theory.errors import InputError
from moe_theory.model import RESPONSE, Model
from moe_theory.symbolic.derive import derive
from moe_theory.symbolic.expectation import expect_response
from moe_theory.symbolic.identities import exact_form, prove_zero
from moe_theory.symbolic.lower import Compiled
from moe_theory.validation import Array, positive_number, real_array
from moe_theory.zoo import symmetric_linear, symmetric_logistic

REACH = 9.0  # of the trapezoid rule for N(0, 1), in standard deviations
STRIP = np.linspace(-45.0, np.log(700.0), 2600)  # log t, for the integrals over t in (0, ∞) with Bessel functions


@dataclass(frozen=True)
class Asymptote:
    """coefficient: C₀ (low), C (high, linear) or λ_∞ (high, logistic). eigenvector: on top, in words. correction: K in
    λ_∞ + K/b (high, logistic), else 0."""

    coefficient: float
    eigenvector: str
    correction: float = 0.0

    def at(self, regime: str, model: Model, beta: float) -> float:
        """λ_max as the asymptote has it at ‖β*‖ = beta, for regime low or high."""
        if regime == "low":
            return 1 - self.coefficient * beta**2
        if model.response.values:
            return self.coefficient + self.correction / beta
        return self.coefficient / beta


@dataclass(frozen=True)
class LowInformation:
    """E[score score' | x] at η_β = ε u to leading order in ε, entries in u = η_β and v = η_w: `experts` (of order 1),
    `mixed` (of order ε), `gate` (of order ε²); `complete`: ∇²A_x for the gate, of order 1."""

    experts: sp.Expr
    mixed: sp.Expr
    gate: sp.Expr
    complete: sp.Expr


@lru_cache(maxsize=8)
def low_information(model: Model) -> LowInformation:
    """Expand the observed information of a model with predictors (expert, gate) around experts that are 0.

    InputError if the gate's score does not vanish there, so that λ_max does not go to 1 as it is assumed.
    """
    theory = derive(model)
    beta, _ = _two_predictors(model)
    at_zero = [exact_form(s).subs(beta, 0) for s in theory.score]
    slope = [exact_form(s).diff(beta).subs(beta, 0) * beta for s in theory.score]
    values = model.response.exact or (RESPONSE,)
    if not prove_zero([at_zero[1].subs(RESPONSE, y) for y in values]).proved:
        raise InputError(f"model: expected labels that tell nothing at β = 0, {model.name!r} has others")

    def averaged(expr: sp.Expr) -> sp.Expr:
        """Over y, drawn at β = 0."""
        terms = [
            exact_form(sp.exp(gate)) * exact_form(expect_response(model, label, expr)).subs(model.learnt[0], 0)
            for label, gate in enumerate(model.log_gate)
        ]
        return sp.Add(*terms)

    unit = sp.Dummy("u", real=True)  # stands for η_β where the law's own η_β is put to 0
    freed = lambda e: e.subs(beta, unit)
    entries = [
        averaged(at_zero[0] ** 2),
        averaged(freed(at_zero[0] * slope[1])),
        averaged(freed(slope[1] ** 2)),
        exact_form(theory.complete_information[1, 1]),
    ]
    return LowInformation(*(_in_tanh(e.subs(unit, beta), model.learnt[1]) for e in entries))


def low_snr(model: Model, gate: float, angle: float) -> Asymptote:
    """C₀ in λ_max = 1 - C₀ ‖β*‖² + …, for ‖w*‖ = gate > 0 at `angle` (degrees) to β*, d >= 3.

    The limits do not commute: at w* = 0 the experts' information vanishes with β* as well.
    """
    entries, (u, v) = low_information(model), _two_predictors(model)
    plane = _Plane(positive_number("gate", gate), float(np.radians(real_array("angle", angle, ndim=0))))
    terms = plane.values((u, v), [entries.experts, entries.mixed, entries.gate, entries.complete])
    blocks = {}
    for name, block in (("in the plane of β* and w*", plane.gram), ("orthogonal to β* and w*", plane.mass)):
        experts, mixed, observed, complete = (block(t) for t in terms)
        schur = observed - mixed @ np.linalg.solve(experts, mixed)
        blocks[name] = float(scipy.linalg.eigh(schur, complete, eigvals_only=True)[0])
    name = min(blocks, key=lambda key: blocks[key])
    return Asymptote(blocks[name], f"gate, {name}")


def high_snr(model: Model, gate: float, angle: float) -> Asymptote:
    """C in λ_max = C/‖β*‖ + … (linear experts) or λ_∞ and K in λ_∞ + K/‖β*‖ + … (logistic experts).

    gate = ‖w*‖ >= 0, angle in degrees, d >= 3, no angle 0 for logistic experts' K. InputError for other models.
    """
    if not np.isfinite(gate) or gate < 0:
        raise InputError(f"gate: expected a finite number >= 0, got {gate}")
    radians = float(np.radians(real_array("angle", angle, ndim=0)))
    if model == symmetric_linear():
        return _linear(gate, radians)
    if model == symmetric_logistic():
        return _logistic(gate, radians)
    raise InputError(f"model: expected symmetric-linear (sigma 1) or symmetric-logistic, got {model.name!r}")


def strip_moments(v: Array) -> tuple[Array, Array]:
    """(k₀, k₂)(v) = ∫∫ p(y|u,v) P(1-P) (2y)^j du dy for linear experts, with P(z=1|y,u,v) = σ(v + 2uy); k₁ = 0 by
    symmetry.

    The integrand is exp(-(y² + u²)/2)/√(2π) (2y)^j / (4 cosh(v/2) cosh(yu + v/2)) (`strip_density`); the product s =
    yu of two normals has the density K₀(|s|)/π, and y² given s adds |s|K₁/K₀.
    """
    t, size = np.exp(STRIP), np.abs(np.asarray(v)[..., None])
    weight = t * (STRIP[1] - STRIP[0])
    # cosh t/(sinh² t + cosh²(v/2)) in decaying exponentials; where that of |v| - 2t does not, the ratio is nothing.
    decay = np.exp(-2 * t)
    label = np.exp(np.minimum(size - 2 * t, 690.0)) * (1 + np.exp(-size)) ** 2
    ratio = 2 * np.exp(-t) * (1 + decay) / ((1 - decay) ** 2 + label)
    factor = 1 / np.sqrt(2 * np.pi)
    moments = [factor * ratio @ (weight * scipy.special.k0(t)), 4 * factor * ratio @ (weight * t * scipy.special.k1(t))]
    return moments[0], moments[1]


def strip_density(model: Model) -> tuple[sp.Expr, sp.Expr]:
    """(derived, claimed) p(y|x) times the missing information of the gate, for the models of `high_snr`: the claimed
    form is the integrand of `strip_moments`, or, summed over y, 1/(2 (cosh u + cosh v))."""
    theory, (u, v) = derive(model), _two_predictors(model)
    derived = theory.density * theory.missing_information[1, 1]
    if model.response.values:
        summed = sp.Add(*(derived.subs(RESPONSE, y) for y in model.response.exact))
        return summed, 1 / (2 * (sp.cosh(u) + sp.cosh(v)))
    y = RESPONSE
    normal = sp.exp(-(y**2 + u**2) / 2) / sp.sqrt(2 * sp.pi)
    return derived, normal / (4 * sp.cosh(v / 2) * sp.cosh(y * u + v / 2))


def _largest(values: Mapping[str, float]) -> str:
    """The name of the largest; of those equal to it but for rounding (β* along w*) the first."""
    most = max(values.values())
    return next(name for name, value in values.items() if value >= most * (1 - 1e-9))


def _linear(gate: float, angle: float) -> Asymptote:
    """The four blocks of b M as b → ∞; x_⊥ is the part of x orthogonal to β*, the only one the strip leaves free."""
    g, weight = _normal_rule(gate)
    across, along = abs(np.sin(angle)), np.cos(angle)
    k0, k2 = strip_moments(gate * across * g)
    sigma = scipy.special.expit(gate * g)
    curvature = sigma * (1 - sigma)
    flat, bent = float(weight @ curvature), float(weight @ (curvature * g**2))
    values = {
        "gate, orthogonal to β* and w*": float(weight @ k0) / flat,
        # The gate's ∇²A is over all of x: its inverse, not the inverse of its part, meets the strip.
        "gate, in the plane of β* and w*": float(weight @ (k0 * g**2)) * (across**2 / bent + along**2 / flat),
        "experts, orthogonal to β* and w*": float(weight @ k2),
        "experts, in the plane of β* and w*": float(weight @ (k2 * g**2)),
    }
    name = _largest(values)
    return Asymptote(values[name] / np.sqrt(2 * np.pi), name)


def _logistic(gate: float, angle: float) -> Asymptote:
    """With m = 1/(2(cosh u + cosh v)): ∫ m du = v/sinh v, ∫ u² m du = (π² + v²)/3 · v/sinh v, against 1 and π²/3."""
    g, weight = _normal_rule(gate)
    across, along = abs(np.sin(angle)), np.cos(angle)
    v = gate * across * g
    size = np.maximum(np.abs(v), 1e-8)
    share = 2 * size * np.exp(-size) / -np.expm1(-2 * size)  # v/sinh v
    values = {
        "experts, along β*": float(weight @ (share * (1 + v**2 / np.pi**2))),
        "experts, orthogonal to β* and w*": float(weight @ share),
        "experts, in the plane of β* and w*, across β*": float(weight @ (share * g**2)),
    }
    name = _largest(values)
    correction = 0.0
    if across > 0 and gate > 0:
        # Second-order perturbation by the coupling with the gate, ∫ u m tanh(u/2) tanh(v/2) du = v²/(2 sinh v).
        sigma = scipy.special.expit(gate * g)
        curvature = sigma * (1 - sigma)
        coupling = float(weight @ (g * v * share / 2))
        inverse = across**2 / float(weight @ (curvature * g**2)) + along**2 / float(weight @ curvature)
        correction = 3 / np.pi**2 * coupling**2 * inverse / values[name] / np.sqrt(2 * np.pi)
    return Asymptote(values[name], name, correction)


class _Plane:
    """x'β*/‖β*‖ = t and x'w* = c (t cos φ + g sin φ), (t, g) standard normal."""

    def __init__(self, gate: float, angle: float) -> None:
        one, weight = _normal_rule(gate)
        t, g = (a.ravel() for a in np.meshgrid(one, one, indexing="ij"))
        self.x, self.weight = np.stack([t, g]), np.outer(weight, weight).ravel()
        self.eta = (t, gate * (np.cos(angle) * t + np.sin(angle) * g))

    def values(self, symbols: tuple[sp.Symbol, sp.Symbol], expressions: list[sp.Expr]) -> Array:
        """The expressions at the nodes, (k, n)."""
        return Compiled(symbols, expressions)(*self.eta)

    def gram(self, values: Array) -> Array:
        """E[values xx'] in the plane."""
        return (self.x * (self.weight * values)) @ self.x.T

    def mass(self, values: Array) -> Array:
        """E[values], which is E[values x_k²] for a coordinate k out of the plane, (1, 1)."""
        return np.array([[self.weight @ values]])


def _normal_rule(gate: float) -> tuple[Array, Array]:
    """Nodes and weights for functions of gate · g: their poles at iπ/gate leave errors of exp(-2π²/(gate · step))."""
    count = int(np.ceil(2 * REACH / min(0.05, 0.5 / max(gate, 1e-9))))
    nodes = np.linspace(-REACH, REACH, count + 1)
    return nodes, (nodes[1] - nodes[0]) * np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)


def _in_tanh(expr: sp.Expr, v: sp.Symbol) -> sp.Expr:
    """A rational function of exp(v), in tanh(v/2), which does not overflow."""
    tangent = sp.Dummy("T", real=True)
    rational = expr.subs(sp.exp(-v), 1 / sp.exp(v)).rewrite(sp.exp)
    rational = rational.replace(
        lambda e: isinstance(e, sp.exp), lambda e: ((1 + tangent) / (1 - tangent)) ** sp.cancel(e.args[0] / v)
    )
    return sp.factor(sp.cancel(rational)).subs(tangent, sp.tanh(v / 2))


def _two_predictors(model: Model) -> tuple[sp.Symbol, sp.Symbol]:
    if len(model.learnt) != 2 or len(model.symbols) != 2:
        raise InputError(f"model: expected the predictors of experts and gate, {model.name!r} has {model.names}")
    return model.learnt[0], model.learnt[1]
