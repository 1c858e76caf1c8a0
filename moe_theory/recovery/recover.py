"""Recovery of a mixture of experts from moments: the experts without the gate, then the gate, then both.

Makkuva, Oh, Kannan and Viswanath, Breaking the gridlock in Mixture-of-Experts (ICML 2019, arXiv 1802.07417):
x ~ N(0, I), z ~ softmax(w_i'x), y|z=i ~ N(g(a_i'x), σ²), ‖a_i‖ = 1, w_i ⟂ span{a_j}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from moe_theory.errors import CollinearError, InputError
from moe_theory.moments.activations import Activation
from moe_theory.moments.activations import activation as make_activation
from moe_theory.moments.adjusted import AdjustedMoments
from moe_theory.moments.components import Experts, Moments, Spectrum, find_experts
from moe_theory.moments.diagnostics import Features, features_of, vanishing_moments
from moe_theory.moments.plain import PlainMoments
from moe_theory.moments.polynomials import Polynomials
from moe_theory.moments.source import GROUPS, Source, Whitening
from moe_theory.moments.transforms import derive
from moe_theory.recovery.gate import fit_gate
from moe_theory.recovery.polish import Polished, polish_experts
from moe_theory.recovery.result import BEYOND, Candidate, Recovery
from moe_theory.recovery.tilt import tilt_bias
from moe_theory.validation import Array, real_array, whole_number

Method = Literal["best", "averages", "regression"]
METHODS: tuple[Method, ...] = ("best", "averages", "regression")
SHORT, LONG = 50, 2000  # iterations of the gate's EM, with polish and without
UNITS = 3.0  # a regressor's length, or its inverse, beyond which EM should not start from length 1
NUMBERS = 4e6  # in all groups' second moments
CLEAR = 0.25  # share of 1/k: noise below it would let an expert of usual weight be seen
SURE = 0.1  # … all but odd ones
OFF = 3.0  # standard deviations of y that its mean may be off: the moments are polynomials in y, and drown in it


# Threads gain nothing on blocks of rows.
@threadpool_limits.wrap(limits=1, user_api="blas")
def recover(
    x: ArrayLike,
    y: ArrayLike,
    k: int,
    activation: Any = "linear",
    sigma: float | None = None,
    *,
    polish: bool = False,
    method: Method = "best",
    intercept: bool = True,
    whiten: bool | None = None,
    force: bool = False,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Recovery:
    """Regressors, then gate and σ, of k experts y|z=i ~ N(g(a_i'x), σ²) under a softmax gate.

    x (n, d) of full rank, Gaussian; y (n,). activation: g, as for `moments.transforms.derive`. sigma: of the noise, for
    the moments (None: from E y² = E g(Z)² + σ²); EM learns it. polish: EM on everything afterwards. method: which
    moments, the averages or those adjusted by regression; "best" keeps the better by likelihood (after polish).
    intercept: of the gate. whiten: x is taken to standard coordinates first (None: where its mean or covariance is
    clearly not that of N(0, I)); then the theory's ‖a_i‖ = 1 is Var(a_i'x) = 1. force: go on where the spectrum does
    not support k experts. seed: of decomposition and bootstrap. progress: told what is being done.

    Raises InputError for bad arguments, an activation without a transform, and, unless `force`, where y's mean is more
    than OFF standard deviations from E g(Z), which experts without a constant leave, or where the spectrum does not
    support k experts: with polish only where it could tell, as then the likelihood has the last word.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((20000, 3))
    >>> a, w = np.array([[1.0, 0, 0], [0, 1.0, 0]]), np.array([0, 0, 2.0])
    >>> first = rng.random(20000) < 1 / (1 + np.exp(-x @ w))
    >>> found = recover(x, np.where(first, x @ a[0], x @ a[1]) + 0.1 * rng.standard_normal(20000), k=2, polish=True)
    >>> bool(np.abs(np.sort(found.regressors, axis=0)[::-1] - [[1, 1, 0], [0, 0, 0]]).max() < 0.02)
    True
    """
    tell = progress or (lambda _: None)
    k, seed = whole_number("k", k, least=2), whole_number("seed", seed)
    g, variance = make_activation(activation), _variance(sigma)
    g.require_numbers()
    if method not in METHODS:
        raise InputError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    features, response = real_array("x", x, ndim=2), real_array("y", y, ndim=1)
    source = Source.of(features, response, groups=_groups(features.shape[1]))
    n, d = features.shape
    if k > d:
        raise InputError(f"k: expected at most as many experts as features, {d}, got {k}")
    transform = derive(g)
    p = Polynomials.of(transform, variance or 0.0)
    if not force:
        _require_centred(response, transform.values.mean)
    tell("features")
    law = features_of(source)
    warnings: list[str] = []
    if whiten is False and not law.standard:
        warnings.append(f"x was taken as it is, though {_departure(law)}: the moments are biased")
    whitening = law.whitening if whiten or (whiten is None and not law.standard) else None
    if whitening is not None:
        source = source.whitened(whitening)
        warnings.append(_whitened(law, whitening))
    tell("moments: averages")
    plain = PlainMoments.of(source)
    if variance is None:
        p = p.at(plain.square() - p.square)
    off, doubts = _off_centre(plain, transform.values.mean), _warned_of(law)
    warnings += [*doubts, *off]
    experts: list[Experts] = []
    refused: InputError | None = None
    for kind in _kinds(method, n, d, k, source.groups):
        tell(f"moments: {kind.name}")
        moments: Moments = plain if kind is PlainMoments else kind.of(source)
        try:
            spectrum = Spectrum.of(moments, p, seed)
        except CollinearError as error:
            if method == "regression":
                raise
            warnings.append(f"moments by regression were left out: {error}")
            continue
        try:
            _require(spectrum, k, n, polish, force)
        except InputError as error:
            refused = error
            continue
        experts.append(find_experts(moments, k, p, variance is None, spectrum, seed))
    if not experts:
        said = "k: expected experts that the moments can tell apart, got none" if refused is None else str(refused)
        raise InputError("; ".join([*off, said, *doubts]))  # a mean that is off is the likelier cause
    if variance is None and p.variance < -BEYOND * plain.total.error(np.array([0.0, 0.0, 1.0])):
        warnings.append(_no_room(p))
    warnings += _at_odds(plain, p, variance)
    centred = features if whitening is None else features - whitening.mean
    candidates = []
    for found in experts:
        candidates.append(_candidate(found, g, centred, response, whitening, intercept, polish, tell))
    best = max(candidates, key=lambda c: c.log_likelihood)
    vanishing = vanishing_moments(plain, p, variance is None, seed)
    return Recovery(g, n, sigma, best, tuple(candidates), law, whitening, vanishing, tuple(warnings))


def _candidate(
    found: Experts,
    g: Activation,
    x: Array,
    y: Array,
    whitening: Whitening | None,
    intercept: bool,
    polish: bool,
    tell: Callable[[str], None],
) -> Candidate:
    """What the later stages make of one kind of moments' experts; x less its mean, (n, d), not whitened."""
    lengths = g.name == "linear" and _has_lengths(found, polish)
    own = found.components.scaled(lengths)
    regressors = own if whitening is None else whitening.back(own)
    tell(f"gate: {found.name}")
    # Where EM on everything follows, the gate's is but its start.
    limit = SHORT if polish else LONG
    gate = fit_gate(x, y, g.function(x @ regressors.T), intercept=intercept, max_iterations=limit)
    polished: Polished | None = None
    if polish:
        tell(f"polish: {found.name}")
        clear = found.spectrum.supported >= found.k and gate.reason in ("converged", "max_iterations")
        polished = polish_experts(x, y, g, regressors, gate, intercept, both=not clear)
    # In standard coordinates.
    z, seen = (x, gate.coefficients) if whitening is None else whitening.standard(x, gate.coefficients)
    bias = tilt_bias(z, own, seen, gate.intercepts)
    return Candidate(found, lengths, regressors, gate, polished, bias if whitening is None else whitening.back(bias))


# Arguments ---------------------------------------------------------------------------------------------------


def _variance(sigma: float | None) -> float | None:
    if sigma is None:
        return None
    number = float(real_array("sigma", sigma, ndim=0))
    if number < 0:
        raise InputError(f"sigma: expected a number >= 0, got {number:g}")
    return number**2


def _groups(d: int) -> int:
    """Fewer where their second moments would take much memory."""
    return int(np.clip(NUMBERS / (4 * max(d, 1) ** 2), 10, GROUPS))


def _kinds(method: Method, n: int, d: int, k: int, groups: int) -> list[type[PlainMoments] | type[AdjustedMoments]]:
    serves = AdjustedMoments.serves(n, d, k, groups)
    if method == "regression" and not serves:
        raise InputError(f"method: expected rows enough for a regression on Hermite features, got {n} for {d} features")
    if method == "regression":
        return [AdjustedMoments]
    return [PlainMoments, AdjustedMoments] if method == "best" and serves else [PlainMoments]


# What is said ------------------------------------------------------------------------------------------------


def _require(spectrum: Spectrum, k: int, n: int, polish: bool, force: bool) -> None:
    """InputError where the spectrum does not support k experts."""
    value, edge, supported = float(spectrum.values[k - 1]), spectrum.edge(k - 1), spectrum.supported
    if value > edge or (force and value > 0):
        return
    could_tell = edge < CLEAR / k
    if polish and value > 0 and edge >= SURE / k:
        return
    has = f"eigenvalue {k} of the second moment is {value:.3g}, noise alone reaches {edge:.3g}"
    if could_tell or value <= 0:
        raise InputError(
            f"k: expected at most {max(supported, 1)} experts, which the spectrum supports, got {k}: {has} (an"
            " expert of little weight, or with a regressor near the span of the others, takes more rows)"
        )
    raise InputError(
        f"x: expected more rows, {n} are too few to tell {k} experts from noise: {has}; it falls like n^(-1/2)"
        f" (about {_rounded(n * (edge / max(value, CLEAR / k)) ** 2)} rows may do), or polish by EM"
    )


def _has_lengths(found: Experts, polish: bool) -> bool:
    """Whether lengths are clearly not 1 by the moments, which tell those of linear experts; where EM follows and learns
    them, whether none is even nearly 1 (y may be in units of its own)."""
    norms = found.components.norms
    if polish:
        return bool(np.all(np.abs(np.log(norms)) > np.log(UNITS)))
    return bool(np.any(np.abs(norms - 1) > BEYOND * found.scale_errors[0]))


def _rounded(rows: float) -> str:
    """Up, to one digit."""
    unit = 10.0 ** np.floor(np.log10(rows))
    return f"{np.ceil(rows / unit) * unit:,.0f}"


def _warned_of(law: Features) -> list[str]:
    return [] if law.far is None else [f"x is far from Gaussian: {law.far}; the moments' bias is not known"]


def _departure(law: Features) -> str:
    """How x's mean and covariance differ from those of N(0, I); nothing where they do not."""
    parts = []
    if not law.scaled:
        parts.append(f"its covariance is not I (largest departure of an entry: {law.covariance_z:.3g} standard errors)")
    if not law.centred:
        parts.append(f"its mean is not 0 (largest entry: {law.mean_z:.3g} standard errors)")
    return " and ".join(parts)


def _whitened(law: Features, whitening: Whitening) -> str:
    text = (
        f"x was taken to standard coordinates, as {_departure(law) or 'was asked for'}: ‖a_i‖ = 1 is read as"
        " Var(a_i'x) = 1"
    )
    if np.any(whitening.mean):
        text += "; regressors and gate are of x less its mean, and experts without a constant were assumed there"
    return text


def _require_centred(y: Array, expected: float) -> None:
    """InputError where y is measured from a point so far off that its moments tell of nothing else."""
    mean, spread = float(np.mean(y)), float(np.std(y))
    if abs(mean - expected) > OFF * spread > 0:
        raise InputError(
            f"y: expected a mean near E g(Z) = {expected:.3g}, as of experts without a constant, got {mean:.6g} with"
            f" standard deviation {spread:.3g}, in which the moments drown: subtract a typical value, such as"
            f" {mean - expected:.6g}, from y"
        )


def _off_centre(plain: PlainMoments, expected: float) -> list[str]:
    """Where y's mean is not the theory's: E g(a_i'x), the same for all experts, whatever a gate orthogonal to them."""
    identity = np.array([0.0, 1.0])
    mean, error = plain.total.mean(identity), plain.total.error(identity)
    if abs(mean - expected) <= BEYOND * error:
        return []
    return [
        f"y has mean {mean:.3g} ± {error:.2g}, where experts without a constant and a gate orthogonal to them leave"
        f" E g(Z) = {expected:.3g}: if y is measured from another point, subtract that from it"
    ]


def _at_odds(plain: PlainMoments, p: Polynomials, given: float | None) -> list[str]:
    """Where a given σ is not what is left of E y²."""
    if given is None:
        return []
    left, error = plain.square() - p.square, plain.total.error(np.array([0.0, 0.0, 1.0]))
    if abs(left - given) <= BEYOND * error:
        return []
    return [f"sigma: σ² = {given:.3g} was given, E y² - E g(Z)² with ‖a‖ = 1 leaves {left:.3g} ± {error:.2g}"]


def _no_room(p: Polynomials) -> str:
    return (
        f"sigma: y varies less than g(a'x) with ‖a‖ = 1 would alone (σ² = E y² - {p.square:.3g} = {p.variance:.3g}):"
        " the regressors' lengths are not 1"
    )
