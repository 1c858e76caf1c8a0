"""λ_max(M(θ*)) against the signal-to-noise ratio: its limits, their constants, and what they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import mpmath
import numpy as np
import sympy as sp
from matplotlib.figure import Figure

from moe_theory.analysis.asymptotics import Asymptote, high_snr, low_snr, strip_density, strip_moments
from moe_theory.analysis.rates import predict_rate
from moe_theory.analysis.regions import Shape, boundary, lambda_at, largest_region
from moe_theory.analysis.snr import planar_truth, snr_map
from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, at_least, close, identity, note
from moe_theory.laws import Population
from moe_theory.model import RESPONSE, Model
from moe_theory.report.maps import asymptote_figure, phase_map
from moe_theory.symbolic.derive import derive
from moe_theory.zoo import symmetric_linear, symmetric_logistic

GATE, ANGLE = 2.0, 60.0  # ‖w*‖ and the angle (degrees) at which the limits are compared


@dataclass(frozen=True)
class Limits:
    """low, high: the asymptotes from (model, ‖w*‖, angle); order_low, order_high: at which power of ‖β*‖ what is left
    falls (linear, logistic experts). gate: ‖w*‖; angle: in degrees. stretch: standard deviation of x along w*.
    dimension: of x."""

    low: Callable[[Model, float, float], Asymptote] = low_snr
    high: Callable[[Model, float, float], Asymptote] = high_snr
    order_low: float = 4.0
    order_high: tuple[float, float] = (-3.0, -2.0)
    gate: float = GATE
    angle: float = ANGLE
    stretch: float = 1.0
    dimension: int = 5

    def remainder(self, model: Model) -> float:
        return self.order_high[1 if model.response.values else 0]


def check(setting: Setting, claimed: Limits) -> Iterator[Evidence]:
    models = (symmetric_linear(), symmetric_logistic())
    for model in models:
        derived, form = strip_density(model)
        yield identity(model, "the gate's missing information per row, in closed form", derived - form)
    yield from _antiderivatives()
    yield from _bessel((1.5,) if setting.quick else (0.0, 1.5))
    for model in models:
        where = (claimed.gate, claimed.angle, claimed.stretch, claimed.dimension)
        value = lambda b, model=model, where=where: _lambda(model, b, *where)
        low = claimed.low(model, claimed.gate, claimed.angle)
        yield _falls(model, r"$\|\beta^*\| \to 0$", low, "low", value, (0.08, 0.04), claimed.order_low)
        high = claimed.high(model, claimed.gate, claimed.angle)
        yield _falls(model, r"$\|\beta^*\| \to \infty$", high, "high", value, (40.0, 80.0), claimed.remainder(model))
    if claimed == Limits():
        yield from _logistic_story(setting)
        if not setting.quick:
            yield from _region(setting)


@lru_cache(maxsize=64)
def _lambda(
    model: Model, beta: float, gate: float, angle: float, stretch: float, dimension: int
) -> tuple[float, float]:
    """λ_max(M(θ*)) and its error."""
    truth = planar_truth(model, beta, gate, angle, dimension)
    covariance = None if stretch == 1 else np.diag([1.0, stretch**2, 1.0, 1.0, 1.0])
    predicted = predict_rate(model, Population(model, truth, covariance), truth)
    return predicted.lambda_max, predicted.error


def _falls(
    model: Model,
    where: str,
    asymptote: Asymptote,
    regime: str,
    value: Callable[[float], tuple[float, float]],
    betas: tuple[float, float],
    order: float,
) -> Evidence:
    """The distance to the asymptote falls with the power `order` of ‖β*‖ from one to the other of two values."""
    off, errors = [], []
    for b in betas:
        computed, error = value(b)
        off.append(abs(computed - asymptote.at(regime, model, b)))
        errors.append(error / max(off[-1], 1e-300))
    power = float(np.log(off[1] / off[0]) / np.log(betas[1] / betas[0]))
    # The next term of the series is of a relative size of at most 1/3 at these values; rounding comes on top.
    tolerance = 0.35 + 2 * max(errors) / np.log(2)
    what = rf"power of $\|\beta^*\|$ at which $\lambda_{{\max}}$ nears its asymptote as {where}"
    return close(
        model.name, what, power, order, tolerance, trials=2, witness={"asymptote": asymptote.coefficient, "off": off}
    )


@lru_cache(maxsize=1)
def _antiderivatives() -> tuple[Evidence, ...]:
    """∫ du/(2(cosh u + cosh v)) = v/sinh v, through its antiderivative; the second moment numerically."""
    u, v = sp.symbols("u v", real=True)
    ratio = sp.cosh((u + v) / 2) / sp.cosh((u - v) / 2)
    slope = ratio.diff(u) / ratio / (2 * sp.sinh(v))
    what = r"$\frac{d}{du} \log(\cosh\frac{u+v}{2}/\cosh\frac{u-v}{2})/(2\sinh v) - \frac{1}{2(\cosh u+\cosh v)}$"
    first = identity("symmetric-logistic", what, slope - 1 / (2 * (sp.cosh(u) + sp.cosh(v))))
    with mpmath.workdps(30):
        worst = mpmath.mpf(0)
        for at in (mpmath.mpf(1) / 3, mpmath.mpf(2), mpmath.mpf(7)):
            integral = mpmath.quad(lambda s, at=at: s**2 / (mpmath.cosh(s) + mpmath.cosh(at)), [0, at, 10 + at, 90])
            worst = max(worst, abs(integral - at * (mpmath.pi**2 + at**2) / (3 * mpmath.sinh(at))))
    what = r"$\int_0^\infty u^2/(\cosh u+\cosh v)\,du - v(\pi^2+v^2)/(3\sinh v)$ at three v, 30 digits"
    return first, close("symmetric-logistic", what, float(worst), 0.0, 1e-20, essential=False, trials=3)


@lru_cache(maxsize=2)
def _bessel(at: tuple[float, ...]) -> tuple[Evidence, ...]:
    """The strip's moments against their double integral, by the trapezoidal rule: with the nearest pole at a distance
    of π/18, a step of 0.02 leaves exp(-54)."""
    found = []
    step = 0.02
    y = np.arange(-9, 9 + step / 2, step)
    u = y[:, None]
    for v in at:
        normal = np.exp(-(y * y + u * u) / 2) / np.cosh(y * u + v / 2)
        for k, power in zip(strip_moments(np.array([v])), (0, 2), strict=True):
            double = step**2 * float(np.sum(normal * (2 * y) ** power)) / (np.sqrt(2 * np.pi) * 4 * np.cosh(v / 2))
            what = rf"strip moment $k_{power}({v:g})$ through Bessel functions, against its double integral"
            found.append(close("symmetric-linear", what, float(k[0]), float(double), 1e-12, essential=False))
    return tuple(found)


def _logistic_story(setting: Setting) -> Iterator[Evidence]:
    """Why λ_max stays near 1 for logistic experts: its eigenvector, the symmetry, the limit."""
    model = symmetric_logistic()
    theory = derive(model)
    u, v = theory.model.learnt
    density = theory.density * theory.missing_information[0, 0]
    missing = sp.Add(*(density.subs(RESPONSE, y) for y in model.response.values))
    left = (sp.cosh(v) - 1) / (2 * (1 + sp.cosh(u)) * (sp.cosh(u) + sp.cosh(v)))
    what = (
        r"what one bit of y tells of the experts, $\nabla^2 A_x - E[I_{z|x,y}|x]$, less"
        r" $\frac{\cosh v-1}{2(1+\cosh u)(\cosh u+\cosh v)}$: nothing at $v = x'w^* = 0$, little where $|u| ="
        r" |x'\beta^*| > |v|$"
    )
    yield identity(model, what, theory.complete_information[0, 0] - missing - left)
    for gate, angle in ((1.0, 90.0), (1.0, 45.0)):
        limit = high_snr(model, gate, angle).coefficient
        yield note(
            model.name,
            rf"$\lambda_\infty$ at $\|w^*\| = {gate:g}$, angle {angle:g}°: near 1 however large $\|\beta^*\|$, as"
            r" $1-\lambda_\infty \approx (1/6 - 1/\pi^2)\|w^*\|^2 \sin^2$",
            limit,
            1 - (1 / 6 - 1 / np.pi**2) * (gate * np.sin(np.radians(angle))) ** 2,
        )
    beta, gate = 12.0, 1.0
    point = snr_map(model, [beta], [gate], [90.0]).points[0]
    yield at_least(
        model.name,
        r"share of M's top eigenvector along $\beta^*$, the experts' scale, at $\|\beta^*\| = 12$, $\|w^*\| = 1$",
        point.share["experts along"],
        0.95,
        essential=False,
    )
    swapped = snr_map(model, [gate], [beta], [90.0]).points[0]
    what = r"$\lambda_{\max}$ with $\beta^*$ and $w^*$ exchanged (the likelihood cannot tell them apart)"
    yield close(model.name, what, swapped.lambda_max, point.lambda_max, 1e-6, essential=False)
    yield close(
        model.name,
        r"$\lambda_{\max}$ at $w^* = \beta^*$, a fixed point of that symmetry",
        snr_map(model, [3.0], [3.0], [0.0]).points[0].lambda_max,
        1.0,
        1e-6,
        essential=False,
    )


def _region(setting: Setting) -> Iterator[Evidence]:
    """What a condition on the signal-to-noise ratio gives: a ball around θ* on which α >= 1/2."""
    model, alpha = symmetric_linear(), 0.5
    truth = planar_truth(model, 3.0, 1.0, 90.0)
    law = Population(model, truth, nats=9)
    rng = setting.rng()
    shapes: tuple[Shape, ...] = ("euclidean", "bregman")
    for shape in shapes:
        region = largest_region(model, law, truth, alpha, shape, seed=setting.seed)
        yield note(
            model.name,
            rf"$\|\beta^*\| = 3$, $\|w^*\| = 1$, 90°: radius of the largest {shape} ball with $\alpha \ge 1/2$ found"
            + (" (nats)" if shape == "bregman" else ""),
            region.radius,
        )
        worst = 0.0
        for v in rng.standard_normal((30, *truth.shape)):
            v /= np.linalg.norm(v)
            edge = region.radius if shape == "euclidean" else boundary(model, law, truth, v, region.radius)
            worst = max(worst, lambda_at(model, law, truth + 0.95 * edge * v))
        what = rf"$1-\alpha$ against the largest $\lambda_{{\max}}$ at random points near that {shape} ball's boundary"
        yield at_least(model.name, what, 1 - alpha, worst, 1e-3, essential=False, trials=30)


def figures(setting: Setting) -> Mapping[str, Figure]:
    """Curves between their asymptotes, and phase maps."""
    made = {}
    betas = np.geomspace(0.08, 80, 12 if setting.quick else 22).round(4).tolist()
    grid = np.geomspace(0.5, 16, 5 if setting.quick else 9).round(3).tolist()
    for model in (symmetric_linear(), symmetric_logistic()):
        curve = snr_map(model, betas, [GATE], [ANGLE])
        made[f"asymptotes-{model.name}"] = asymptote_figure(curve, GATE, ANGLE)
        made[f"phase-map-{model.name}"] = phase_map(snr_map(model, grid, grid, [15.0, 90.0]))
    return made


CLAIM = Claim(
    id="snr",
    title="What the signal-to-noise ratio does to EM's rate",
    statement=r"for $x\sim N(0,I)$ in $d\ge 3$ dimensions and $w^*\ne 0$ fixed: $\lambda_{\max}(M(\theta^*)) = 1 -"
    r" C_0\|\beta^*\|^2 + O(\|\beta^*\|^4)$ as"
    r" $\|\beta^*\|\to 0$; as $\|\beta^*\|\to\infty$ it is $C/\|\beta^*\| + O(\|\beta^*\|^{-3})$ for linear experts and"
    r" $\lambda_\infty + K/\|\beta^*\| + O(\|\beta^*\|^{-2})$ with"
    r" $\lambda_\infty = E[\frac{v}{\sinh v}(1+\frac{v^2}{\pi^2})]$, $v\sim N(0,\|w^*_\perp\|^2)$, $w^*_\perp$"
    r" the part of $w^*$ orthogonal to $\beta^*$, for logistic ones; $C_0$, C and K are what low_snr and high_snr of"
    r" moe_theory.analysis.asymptotics compute in closed form up to one-dimensional means",
    source="theory.md §3 (snr), in the setting of arXiv 2411.06056, Theorem B.4; constants derived here",
    hypotheses=(
        Hypothesis(
            r"$w^* \ne 0$ (the limits $w^*\to 0$ and $\beta^*\to 0$ do not commute)",
            Limits(low=lambda m, c, a: low_snr(m, 1e-3, a), gate=0.0),
        ),
        Hypothesis(r"$x \sim N(0, I)$ (its constants)", Limits(stretch=2.0)),
        Hypothesis(r"$d \ge 3$", Limits(gate=4.0, angle=20.0, dimension=2)),
    ),
    expected="supported",
    check=check,
    claimed=Limits(),
    mutants={
        "the experts' block on top": Mutant(
            "exchange", Limits(high=lambda m, c, a: _changed(high_snr(m, c, a), 0.6116751916566929))
        ),
        "constants 1% too large": Mutant("constant", Limits(high=lambda m, c, a: _scaled(high_snr(m, c, a), 1.01))),
        "the remainder at the order before": Mutant("rate", Limits(order_high=(-2.0, -1.0))),
        "rising above 1 at low SNR": Mutant("sign", Limits(low=lambda m, c, a: _scaled(low_snr(m, c, a), -1.0))),
        "without the gate's angle": Mutant("form", Limits(high=lambda m, c, a: high_snr(m, c, 90.0))),
    },
    order=17,
    figures=figures,
)


def _scaled(asymptote: Asymptote, factor: float) -> Asymptote:
    return Asymptote(factor * asymptote.coefficient, asymptote.eigenvector, asymptote.correction)


def _changed(asymptote: Asymptote, coefficient: float) -> Asymptote:
    return Asymptote(coefficient, asymptote.eigenvector, asymptote.correction)
