"""Do the declared densities integrate to 1? Exactly where that can be proved, else by quadrature that says how sure it
is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sympy as sp

from moe_theory.errors import DerivationError
from moe_theory.model import RESPONSE, Model
from moe_theory.symbolic.functions import kinks
from moe_theory.symbolic.identities import find_nonzero, prove_zero
from moe_theory.symbolic.lower import Compiled
from moe_theory.validation import Array

SURE = 1e-7  # of the quadrature's own error, from which on it decides
WRONG = 1e-5  # off 1 by more than this is not rounding
FAR = (1e3, 1e6)  # where |y| p(y) > 2 says that no law has such a tail: of one that falls, half of it is less than 1
UNSEEN = -200.0  # log-density below which there is nothing to be seen: what there is lies elsewhere
MOST = 2**20  # terms of a sum over counts

FLOATS = " (SymPy evaluates exp and log of floats, to 15 digits: write rationals there)"

LogDensity = Callable[[Array], Array]


def require_probability_law(model: Model) -> None:
    """DerivationError unless the gate sums to 1, and so do experts of a finite response; normal experts have the
    normal constant and a negative quadratic term. Other densities are integrated, counts are summed."""
    if not _vanishes(model, sp.Add(*(sp.exp(e) for e in model.log_gate)) - 1):
        raise DerivationError(
            f"model {model.name!r}: expected Σ_z P(z|x) = 1 exactly (rationals, not floats, in logarithms),"
            f" got log P = {model.log_gate}"
        )
    for z, expert in zip(model.latent, model.log_expert, strict=True):
        if not _normalised(model, expert):
            raise DerivationError(
                f"model {model.name!r}: expected Σ_y or ∫ p(y|x,z) dy = 1, got log p(y|x, z={z}) = {expert}"
                f"{FLOATS if any(a.q > 10**12 for a in expert.atoms(sp.Rational)) else ''}"
            )


def _vanishes(model: Model, residue: sp.Expr) -> bool:
    """Whether it is 0: proved, or with kinks or functions beyond the prover 0 to 30 digits wherever it was tried."""
    outcome = prove_zero(residue)
    if outcome.proved or outcome.refuted or not residue.free_symbols:
        return outcome.proved
    return find_nonzero(residue, trials=12, seed=1) is None


def _normalised(model: Model, expert: sp.Expr) -> bool:
    if model.response.values:
        return _vanishes(model, sp.Add(*(sp.exp(expert.subs(RESPONSE, y)) for y in model.response.exact)) - 1)
    curvature = sp.expand(expert.diff(RESPONSE, 2))
    if np.isinf([model.response.low, model.response.high]).all() and not (
        curvature.has(RESPONSE) or kinks(expert, [RESPONSE]) or curvature.has(sp.DiracDelta)
    ):
        # exp(a + b y + c y²) integrates to 1 exactly if c < 0 and a = log(-c/π)/2 + b²/4c.
        c, b = curvature / 2, expert.diff(RESPONSE).subs(RESPONSE, 0)
        if not c.is_negative:
            return False
        log_constant = sp.expand_log(sp.log(-c / sp.pi) / 2, force=True)
        return prove_zero(sp.expand(expert.subs(RESPONSE, 0) - log_constant - b**2 / (4 * c))).proved
    log_density = Compiled([RESPONSE, *model.symbols], [expert])
    with np.errstate(all="ignore"):
        return all(_integrates(model, log_density, shift) for shift in (0, 1, 2))


def _integrates(model: Model, log_density: Compiled, shift: int) -> bool:
    """False where p(y|x,z), at a point of the predictors, does not fall off, or its integral or sum is surely not 1;
    where quadrature is not sure (a kink, more than one scale) the declaration is taken at its word."""
    point = [(3 * i % 7 - 3 + shift % 2) / 10 * (1 + shift) for i in range(1, 1 + len(model.symbols))]

    def log_p(y: Array) -> Array:
        value = log_density(y, *(np.full(len(y), p) for p in point))[0]
        return np.where(np.isnan(value), -np.inf, value)

    low, high = model.response.low, model.response.high
    if model.response.whole:
        return _sums(log_p)
    log_q = _over_the_line(log_p, low, high)
    whole = bool(np.isinf(low) and np.isinf(high))
    return _falls(log_q, whole) and _is_one(log_q, 1e8 if whole else 700.0)


def _over_the_line(log_p: LogDensity, low: float, high: float) -> LogDensity:
    """The log-density of a u that may be any number: y itself, log(y - low), log(high - y), or the logit of y's place
    in its interval."""
    if np.isinf(low) and np.isinf(high):
        return log_p
    if np.isinf(high):
        return lambda u: log_p(low + np.exp(u)) + u
    if np.isinf(low):
        return lambda u: log_p(high - np.exp(u)) + u
    size = high - low
    return lambda u: log_p(low + size / (1 + np.exp(-u))) + np.log(size) - np.logaddexp(0, u) - np.logaddexp(0, -u)


def _falls(log_q: LogDensity, whole: bool) -> bool:
    """Whether the density falls off at both ends; u itself is y, or its logarithm."""
    far = np.outer((-1, 1), FAR) if whole else np.outer((-1, 1), (300.0, 700.0))
    tail = np.log(np.abs(far) / 2) + log_q(far.ravel()).reshape(far.shape)
    return not np.any(np.all(tail > 0, axis=1))


def _is_one(log_q: LogDensity, extent: float) -> bool:
    """Whether ∫ q = 1, or that cannot be told: both sides of q's maximum by the exp-sinh rule in units of its width."""
    side = np.geomspace(1e-3, extent, 2000)
    grid = np.concatenate([-side[::-1], [0.0], side])
    values = log_q(grid)
    top = int(np.argmax(values))
    centre, apart = grid[top], float(np.max(np.diff(grid[max(top - 1, 0) : top + 2])))
    for _ in range(8):
        near = centre + apart * np.linspace(-1.5, 1.5, 301)
        centre, apart = near[int(np.argmax(log_q(near)))], apart / 50
    peak = float(log_q(np.array([centre]))[0])
    if not peak > UNSEEN:
        return True
    away = np.geomspace(1e-10 * (1 + abs(centre)), 2 * extent, 600)
    width = np.mean([away[int(np.argmax(log_q(centre + s * away) < peak - 1))] for s in (-1, 1)])
    before, total = np.inf, 0.0
    for level in range(4, 10):
        t = np.arange(-4.5, 4.5, 2.0**-level)
        u = width * np.exp(np.pi / 2 * np.sinh(t))
        slope = u * np.pi / 2 * np.cosh(t) * 2.0**-level
        both = np.concatenate([log_q(centre + u), log_q(centre - u)])
        before, total = total, float(np.sum(np.exp(both) * np.concatenate([slope, slope])))
        if abs(total - before) < SURE:
            break
    if not abs(total - before) < SURE or abs(total - 1) <= WRONG:
        return True  # what is not sure is taken at its word
    return total < 1 and bool(np.any(values[np.abs(grid - centre) > 30 * width] > -20))  # what lacks may be there


def _sums(log_p: LogDensity) -> bool:
    """Whether Σ p(y) over 0, 1, 2, … = 1, or that cannot be told, because the terms fall too slowly."""
    count = 64
    while count <= MOST:
        p = np.exp(log_p(np.arange(float(count))))
        total = float(np.sum(p))
        if not total <= 1 + WRONG:
            return False
        if np.max(p[count // 2 :]) * count < SURE / 10 * np.max(p):
            return abs(total - 1) <= WRONG
        count *= 4
    return True
