"""λ_max(M) <= C/√(1 + ‖β*‖²) around θ*, for all truths of two symmetric linear experts at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp

from moe_theory.algorithms import EM
from moe_theory.analysis.regions import boundary, lambda_at
from moe_theory.analysis.signal import Guarantee, largest_basin, rate_bound, strip_ratio
from moe_theory.analysis.snr import planar_truth
from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, at_least, close, identity, note
from moe_theory.laws import Population
from moe_theory.model import RESPONSE, Model
from moe_theory.operators import bregman
from moe_theory.symbolic.derive import derive
from moe_theory.validation import Array
from moe_theory.zoo import symmetric_linear
from proofs_checks.shared import at, primed

NATS = 9.0  # resolution of λ_max off the truth: about 1e-4
ERROR = 1e-3
RESOLVED = 1e-6  # nats: as far as runs are followed; the population's own fixed point is off θ* by about 1e-10 nats


@dataclass(frozen=True)
class Bound:
    """value: the bound from (model, ‖β*‖, ‖w*‖, ρ, τ). decay: of exp(-decay u*²) in the density. sigma: of the model;
    stretch: standard deviation of x along β*; other: y is drawn with this ‖β*‖ instead."""

    value: Callable[[Model, float, float, float, float], float] = rate_bound
    decay: float = 0.5
    sigma: float = 1.0
    stretch: float = 1.0
    other: float | None = None


def check(setting: Setting, claimed: Bound) -> Iterator[Evidence]:
    yield from _steps(claimed.decay)
    yield _maximum()
    model = symmetric_linear(sigma=claimed.sigma)
    for gates in ((0.0, 1.0), (4.0,)):
        yield _at_truths(model, claimed, gates, setting.quick)
    yield _around_truths(model, claimed, setting)
    if claimed == Bound():
        yield from _basin(model, setting)


@lru_cache(maxsize=4)
def _steps(decay: float) -> tuple[Evidence, ...]:
    """The steps of the proof (`moe_theory.analysis.signal`) that are identities."""
    theory = derive(symmetric_linear())
    (u, v), y = theory.model.learnt, RESPONSE
    truth = sp.Matrix(list(primed(theory.model).values()))
    density, missing = at(theory, theory.density, truth), theory.missing_information
    a, b = y * truth[0] + truth[1] / 2, y * u + v / 2
    normal = sp.exp(-(y**2) / 2 - sp.Rational(decay) * truth[0] ** 2) / sp.sqrt(2 * sp.pi)
    form = normal * sp.cosh(a) / (4 * sp.cosh(truth[1] / 2) * sp.cosh(b) ** 2)
    weights = ((0, 0, 4 * y**2), (0, 1, 2 * y), (1, 1, sp.Integer(1)))
    g, t, level, shift = sp.symbols("g t B h", real=True)
    ratio = sp.cosh(level - shift) / sp.cosh(level) ** 2
    slope = sp.cosh(level) * sp.sinh(level - shift) - 2 * sp.sinh(level) * sp.cosh(level - shift)
    return (
        identity(
            theory.model,
            r"density at $\theta^*$ times missing information at $\theta$, per row, in closed form",
            [density * missing[i, j] - weight * form for i, j, weight in weights],
        ),
        identity(
            theory.model,
            r"complete information: 1 for the experts, $\frac14\mathrm{sech}^2(v/2)$ for the gate, nothing mixed",
            [
                theory.complete_information[0, 0] - 1,
                theory.complete_information[0, 1],
                theory.complete_information[1, 1] - 1 / (4 * sp.cosh(v / 2) ** 2),
            ],
        ),
        identity(
            "a function of B and h",
            r"derivatives of $\cosh(B-h)/\cosh^2 B$: in B, where S is attained; twice in h: S is a maximum of convex"
            r" functions",
            [ratio.diff(level) * sp.cosh(level) ** 3 - slope, ratio.diff(shift, 2) - ratio],
        ),
        identity(
            "the normal law",
            r"$e^{-tg^2/2}\varphi(g) - \varphi(\sqrt{1+t}\,g)$: $e^{-u^2/2}$ times $N(0,1)$, $t = \|\beta^*\|^2$",
            sp.exp(-t * g**2 / 2) * sp.exp(-(g**2) / 2) - sp.exp(-((1 + t) * g**2) / 2),
        ),
    )


@lru_cache(maxsize=1)
def _maximum() -> Evidence:
    """S in closed form against the maximum over a fine grid."""
    levels, worst = np.linspace(-3, 3, 60_001), 0.0
    for h in (0.0, 1e-4, 0.3, 1.0, 4.0):
        found = float(np.max(np.cosh(levels - h) / np.cosh(levels) ** 2))
        worst = max(worst, abs(float(strip_ratio(np.array(h))) * np.exp(h) / found - 1))
    what = r"$S(h) = \max_B \cosh(B-h)/\cosh^2 B$ in closed form against a grid in B, largest relative difference"
    return close("a function of B and h", what, worst, 0.0, 1e-8, essential=False, trials=5)


def _least(slacks: list[tuple[float, dict[str, Any]]], what: str) -> Evidence:
    slack, witness = min(slacks, key=lambda pair: pair[0])
    return at_least("symmetric-linear", what, slack, 0.0, ERROR, essential=False, trials=len(slacks), witness=witness)


def _at_truths(model: Model, claimed: Bound, gates: tuple[float, ...], quick: bool) -> Evidence:
    slacks: list[tuple[float, dict[str, Any]]] = []
    for gate in gates:
        for angle in (0.0, 90.0) if quick else (0.0, 45.0, 90.0):
            for beta in (0.5, 100.0) if quick else (0.5, 5.0, 100.0):
                found = _lambda(model, beta, gate, angle, claimed.stretch, claimed.other)
                bound = claimed.value(model, beta, gate, 0.0, 0.0)
                where = {"beta": beta, "gate": gate, "angle": angle, "lambda_max": found, "bound": bound}
                slacks.append(((bound - found) / found, where))
    listed = ", ".join(f"{g:g}" for g in gates)
    return _least(slacks, rf"least relative slack of the bound at $\theta^*$, $\|w^*\|$ in {{{listed}}}")


@lru_cache(maxsize=512)
def _lambda(
    model: Model, beta: float, gate: float, angle: float, stretch: float = 1.0, other: float | None = None
) -> float:
    theta = planar_truth(model, beta, gate, angle)
    truth = theta if other is None else planar_truth(model, other, gate, angle)
    covariance = None if stretch == 1 else np.diag([stretch**2, 1.0, 1.0, 1.0, 1.0])
    return lambda_at(model, Population(model, truth, covariance, nats=NATS), theta)


def _around_truths(model: Model, claimed: Bound, setting: Setting) -> Evidence:
    """On the boundary of {‖β-β*‖ <= ρ, ‖w-w*‖ <= τ}: along the axes and at random."""
    slacks: list[tuple[float, dict[str, Any]]] = []
    for beta, gate, rho, tau in ((3.0, 0.0, 0.6, 1.0), (10.0, 1.0, 0.2, 0.5))[: 1 if setting.quick else 2]:
        truth = planar_truth(model, beta, gate, 60.0)
        law = Population(model, truth, nats=NATS)
        bound = claimed.value(model, beta, gate, rho, tau)
        for theta in _points(truth, rho, tau, setting.rng()):
            found = lambda_at(model, law, theta)
            where = {"truth": truth.tolist(), "theta": theta.tolist(), "lambda_max": found, "bound": bound}
            slacks.append(((bound - found) / found, where))
    return _least(slacks, r"least relative slack of the bound on $\|\beta-\beta^*\|\le\rho$, $\|w-w^*\|\le\tau$")


def _points(truth: Array, rho: float, tau: float, rng: np.random.Generator) -> Iterator[Array]:
    axes = np.eye(truth.shape[1])[:3]
    moves = [(a * p, b * q) for a in axes[:2] for b in axes[1:] for p in (1, -1) for q in (1, -1)]
    for first, second in [*moves, *rng.standard_normal((8, *truth.shape))]:
        yield truth + np.stack([rho * first / np.linalg.norm(first), tau * second / np.linalg.norm(second)])


def _basin(model: Model, setting: Setting) -> Iterator[Evidence]:
    """EM from the boundary of the Bregman ball: inside the set, and contracted by 1 - α at every step."""
    found = largest_basin(model, 0.5, 10.0, 1.0)
    assert isinstance(found, Guarantee)
    yield note(model.name, "a guarantee", found.statement)
    truth = planar_truth(model, found.beta, found.gate, 60.0)
    law, em = Population(model, truth), EM(model)
    inside, contraction = [], []
    for v in setting.rng().standard_normal((2 if setting.quick else 6, *truth.shape)):
        theta = truth + boundary(model, law, truth, v, found.nats) * v
        away = np.linalg.norm(theta - truth, axis=1)
        inside.append(min(1 - away[0] / found.rho, 1 - away[1] / found.tau))
        before = bregman(model, law, truth, theta)
        while before > RESOLVED:
            theta = em.step(theta, law)
            after = bregman(model, law, truth, theta)
            contraction.append(after / before)
            before = after
    what = r"the Bregman ball's boundary inside $\|\beta-\beta^*\|\le\rho$, $\|w-w^*\|\le\tau$: least relative slack"
    yield at_least(model.name, what, min(inside), 0.0, 1e-6, essential=False, trials=len(inside))
    what = r"$1-\alpha$ against the largest $B_A(\theta^*\|\theta_{t+1})/B_A(\theta^*\|\theta_t)$ from its boundary"
    yield at_least(model.name, what, 0.5, max(contraction), ERROR, essential=False, trials=len(contraction))


CLAIM = Claim(
    id="signal-gives-rate",
    title="A strong signal gives a fast rate, whatever the angle",
    statement=r"two symmetric linear experts, $x\sim N(0,I)$ in any dimension: for $\|\beta-\beta^*\|\le\rho\sigma <"
    r" \sigma$, $\|w-w^*\|\le\tau$: $\lambda_{\max}(M(\theta)) \le C/\sqrt{1+\|\beta^*\|^2/\sigma^2}$ with $C ="
    r" \max\{E[g^2y^2S(h)], E[g^2S(h)]/\kappa(\|w^*\|+\tau)\}$, $h = \rho|yg| + \tau|g|/2$, $y, g\sim N(0,1)$"
    r" independent, $S(h) = \max_B \cosh(B-h)/\cosh^2 B$, $\kappa(r) = E[g^2\,\mathrm{sech}^2(rg/2)]$; at $\theta^*$:"
    r" $C = 1/\kappa(\|w^*\|)$. So EM on the population contracts $B_A(\theta^*\|\theta_t)$ by $1-\alpha ="
    r" C/\sqrt{1+\|\beta^*\|^2/\sigma^2}$ from every start with $B_A(\theta^*\|\theta_1) \le \min\{\rho^2/2,"
    r" \kappa(\|w^*\|+\tau)\tau^2/8\}$",
    source="this package (moe_theory.analysis.signal has the proof); theory.md §3 (snr) asks for it",
    hypotheses=(
        Hypothesis(r"$x \sim N(0, I)$", Bound(stretch=0.05)),
        Hypothesis(r"$y$ is drawn from the model at $\theta^*$", Bound(other=0.0)),
    ),
    expected="proved",
    check=check,
    claimed=Bound(),
    mutants={
        "1 + ‖β*‖² without the root": Mutant("rate", Bound(lambda m, b, c, r, t: rate_bound(m, b, c, r, t) ** 2)),
        "β* and w* exchanged": Mutant("exchange", Bound(lambda m, b, c, r, t: rate_bound(m, c, b, r, t))),
        "the gate's information taken for I/4": Mutant(
            "constant", Bound(lambda m, b, c, r, t: rate_bound(m, b, 0.0, r, t))
        ),
        "the bound at θ* all around it": Mutant("form", Bound(lambda m, b, c, r, t: rate_bound(m, b, c))),
        "‖β*‖ in place of ‖β*‖/σ": Mutant(
            "term", Bound(lambda m, b, c, r, t: rate_bound(symmetric_linear(), b, c, r, t), sigma=3.0)
        ),
        "the density falls as exp(-u²)": Mutant("constant", Bound(decay=1.0)),
    },
    order=18,
)
