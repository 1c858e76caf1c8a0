"""EM against gradient descent with the best constant step, on the papers' synthetic setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from matplotlib.figure import Figure

from moe_theory.algorithms import EM, GradientDescent, GradientEM, Trace, run
from moe_theory.analysis.snr import planar_truth
from moe_theory.analysis.symmetry import distance
from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, at_least, note
from moe_theory.laws import MonteCarlo, Population
from moe_theory.model import Model
from moe_theory.operators import complete_information, missing_information, missing_information_matrix
from moe_theory.report.figures import race_figure
from moe_theory.validation import Array
from moe_theory.zoo import symmetric_linear, symmetric_logistic

GRID = [(b, c, a) for b in (0.5, 1.0, 2.0, 4.0) for c in (0.5, 2.0) for a in (0.0, 90.0)]
LOW = [(0.1, 0.1, 90.0), (0.1, 0.5, 90.0), (0.2, 0.3, 90.0), (0.25, 0.1, 90.0)]
STEPS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 1.9, 2.0)  # constant steps tried, in units of 1/λ_max(∇²L(θ*))
GOAL = 1e-8  # the gap in nats that runs are timed to
LIMIT = 3000


def plain(condition: float) -> float:
    """Contraction of gradient descent with the best constant step, 2/(λ_min + λ_max)."""
    return (condition - 1) / (condition + 1)


def heavy_ball(condition: float) -> float:
    """Contraction of Polyak's heavy ball with its best step and momentum."""
    return (np.sqrt(condition) - 1) / (np.sqrt(condition) + 1)


@dataclass(frozen=True)
class Race:
    """EM's contraction to the power `power` is less than that of the rival, from the condition number of ∇²L(θ*); and
    on samples EM takes at most `share` of its iterations. slower: the other way round. low: at low signal-to-noise
    ratio."""

    model: Callable[[], Model] = symmetric_linear
    rival: Callable[[float], float] = plain
    power: float = 1.0
    share: float = 1.0
    slower: bool = False
    low: bool = False


@lru_cache(maxsize=4)
def _rates(model: Model, low: bool) -> tuple[tuple[float, float], ...]:
    """(λ_max(M), condition of ∇²L) at the truths of a grid, on the population."""
    found = []
    for b, c, a in LOW if low else GRID:
        truth = planar_truth(model, b, c, a)
        law, local, coordinates = Population(model, truth, nats=12).reduce(model, truth)
        point = truth if coordinates is None else coordinates.project(truth)
        complete, missing = complete_information(local, law, point), missing_information(local, law, point)
        values = np.linalg.eigvalsh(complete - missing)
        rate = float(np.max(np.linalg.eigvals(np.linalg.solve(complete, missing)).real))
        found.append((rate, float(values[-1] / max(values[0], 1e-300))))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Field:
    """The runs from one start on one sample: EM, gradient EM, and the best of the gradient descents."""

    em: Trace
    inner: Trace
    descent: Trace
    step: float
    peak: Array
    rate: float
    hessian: tuple[float, ...]

    def iterations(self, trace: Trace) -> int:
        """Until the gap is at most GOAL; the limit if it never is."""
        below = np.flatnonzero(trace.gaps(self.peak) <= GOAL)
        return int(below[0]) if len(below) else LIMIT


@lru_cache(maxsize=2)
def field_of(seed: int, rows: int) -> Field:
    """Runs on a sample of so many rows, from a start at random."""
    model = symmetric_linear()
    truth = np.array([[3.0, 0, 0], [0, 1.0, 0]])
    data = MonteCarlo(model, truth, rows, seed + 1).data()
    peak = run(EM(model), data, truth, tolerance=1e-12, divergences=False).last
    start = peak + 0.5 * np.random.default_rng(seed).standard_normal(peak.shape)
    m = missing_information_matrix(model, data, peak)
    hessian = tuple(np.linalg.eigvalsh(m.complete - m.missing).tolist())
    go = lambda algorithm: run(algorithm, data, start, LIMIT, 1e-7, divergences=False)
    descents = [(s, go(GradientDescent(model, step=s / hessian[-1]))) for s in STEPS]
    field = Field(
        go(EM(model)), go(GradientEM(model, inner=5)), descents[0][1], descents[0][0], peak, m.lambda_max, hessian
    )
    step, best = min(descents, key=lambda pair: field.iterations(pair[1]))
    return replace(field, descent=best, step=step)


def check(setting: Setting, claimed: Race) -> Iterator[Evidence]:
    model = claimed.model()
    margins = [claimed.rival(condition) - rate**claimed.power for rate, condition in _rates(model, claimed.low)]
    worst, grid = int(np.argmin(margins)), LOW if claimed.low else GRID
    sign = -1 if claimed.slower else 1
    yield at_least(
        f"{model.name}, population",
        r"contraction of the best constant-step gradient descent less EM's $\lambda_{\max}(M(\theta^*))$, least over"
        rf" {len(grid)} truths (at $\|\beta^*\|, \|w^*\|$, angle = {grid[worst]})",
        sign * margins[worst],
        0.0,
        1e-5,
        trials=len(grid),
        witness=dict(zip(("beta", "gate", "angle"), grid[worst], strict=True)),
    )
    if claimed.model is not symmetric_linear or claimed.low:
        return
    field = field_of(setting.seed, setting.rows)
    fast, slow = field.iterations(field.em), field.iterations(field.descent)
    yield at_least(
        f"symmetric-linear, sample of {setting.rows}",
        f"iterations to a gap of {GOAL:g} by gradient descent (best of {len(STEPS)} constant steps) against EM's",
        claimed.share * slow if not claimed.slower else fast,
        fast if not claimed.slower else slow,
        trials=len(STEPS),
    )
    yield note(
        f"symmetric-linear, sample of {setting.rows}",
        "the same by gradient EM with 5 inner steps",
        field.iterations(field.inner),
    )
    after = min(len(field.em.thetas), len(field.descent.thetas)) - 1
    errors = [distance(symmetric_linear(), trace.thetas[after], field.peak) for trace in (field.em, field.descent)]
    yield at_least(
        f"symmetric-linear, sample of {setting.rows}",
        f"error, modulo symmetry, of gradient descent after EM's {after} iterations against EM's",
        errors[1],
        errors[0],
        1e-9,
        essential=False,
    )


def figures(setting: Setting) -> Mapping[str, Figure]:
    """Gap against iterations, and what is predicted of it near the limit."""
    field = field_of(setting.seed, setting.rows)
    descent = rf"gradient descent, best constant step (${field.step:g}/\lambda_{{\max}}(\nabla^2 L)$)"
    traces = {"EM": field.em, "gradient EM, 5 inner steps": field.inner, descent: field.descent}
    # A constant step s contracts an eigenvalue h of the Hessian at |1 - s h|, the gap at its square.
    slowest = max(abs(1 - field.step * h / field.hessian[-1]) for h in field.hessian)
    predicted = {"EM": field.rate**2, descent: slowest**2}
    title = f"Symmetric linear experts, sample of {setting.rows}"
    return {"em-beats-gd": race_figure(traces, field.peak, title, predicted)}


CLAIM = Claim(
    id="em-beats-gd",
    title="EM beats gradient descent on mixtures of linear experts",
    statement=r"for symmetric linear experts, $x\sim N(0,I)$, at the 16 truths with $\|\beta^*\|$ in"
    r" $\{\frac12,1,2,4\}$, $\|w^*\|$ in $\{\frac12,2\}$, along each other or orthogonal:"
    r" $\lambda_{\max}(M(\theta^*)) < (\kappa-1)/(\kappa+1)$, $\kappa$ the"
    r" condition"
    r" number of $\nabla^2 L(\theta^*)$: near $\theta^*$ EM contracts faster than gradient descent with any constant"
    r" step",
    source="arXiv 2411.06056, Section 6 (experiments); theory.md §3",
    hypotheses=(
        Hypothesis(
            r"$\|\beta^*\|$ not small (as $\|\beta^*\| \to 0$ EM's rate goes to 1, gradient descent's need not)",
            Race(low=True),
        ),
        Hypothesis("linear experts (logistic ones lose at low signal-to-noise ratio)", Race(model=symmetric_logistic)),
        Hypothesis("gradient descent without momentum (the heavy ball wins at low ratio)", Race(rival=heavy_ball)),
    ),
    expected="supported",
    check=check,
    claimed=Race(),
    mutants={
        "gradient descent wins": Mutant("exchange", Race(slower=True)),
        "even squared, gradient descent contracts slower": Mutant("rate", Race(rival=lambda k: plain(k) ** 2)),
        "a hundredth of the iterations": Mutant("constant", Race(share=0.01)),
    },
    order=19,
    figures=figures,
)
