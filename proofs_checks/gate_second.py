"""With the experts known, EM on the gate alone leads from every start to the same optimum, at the predicted rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from matplotlib.figure import Figure

from moe_theory.algorithms import EM, Trace, run
from moe_theory.analysis.rates import RatePrediction, measure_rate, predict_rate
from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, close, identity
from moe_theory.laws import Data, Finite, Law, MonteCarlo
from moe_theory.model import Model
from moe_theory.report.figures import rate_figure
from moe_theory.symbolic.derive import derive
from moe_theory.validation import Array
from moe_theory.zoo import gate_only
from proofs_checks.regressors_first import SECTION, SOURCE

SIGMA = 0.3
STARTS, FAR = 10, 4.0  # random starts w ~ N(0, FAR² I)
SAME = 1e-6  # largest distance of an entry between ends that are one optimum
DIGITS = 1e-3  # relative accuracy to which a run shows the predicted rate, besides its own error estimate
REGRESSORS = np.array([[1.0, 0, 0, 0], [0.6, 0.8, 0, 0], [-0.28, 0, 0.96, 0]])
GATE = np.array([[0.5, 0.0, 0.5, 1.5], [-1.0, 0.3, 0.0, -1.0]])
# Three rows, x, and log p(y|x, z=1) - log p(y|x, z=2) there, for which the likelihood of w has two maxima; found by
# search. With experts x and -x and σ = 1 that is 2xy.
FEATURES, LOG_ODDS = np.array([-0.1, 1.4, 0.6]), np.array([1.1, -1.0, 5.4])


@dataclass(frozen=True)
class Second:
    """rate, gap: contractions from the prediction. world: sample, few (rows), same (experts). optimum: how far apart
    the ends are."""

    rate: Callable[[RatePrediction], float] = lambda p: p.lambda_max
    gap: Callable[[RatePrediction], float] = lambda p: p.lambda_max**2
    world: str = "sample"
    optimum: float = 0.0


def check(setting: Setting, claimed: Second) -> Iterator[Evidence]:
    """The model is flat in w, so that all of the theory of EM as mirror descent applies to it."""
    model = gate_only(REGRESSORS, SIGMA)
    theory = derive(model)
    hessian = theory.complete_information - theory.mean.jacobian(list(model.learnt))
    yield identity(model, r"$\nabla^2 A_x(w)$ less the derivative of $E[s|x]$: flat in w", list(hessian))
    for name, own, law in _cases(claimed.world, _rows(setting), setting.seed):
        yield from _one(name, own, law, claimed, setting)


def _rows(setting: Setting) -> int:
    return 1000 if setting.quick else 2500


@lru_cache(maxsize=4)
def _cases(world: str, rows: int, seed: int) -> list[tuple[str, Model, Law]]:
    """(name, model, law) of a world."""
    if world == "few":
        y = LOG_ODDS / (2 * FEATURES)
        return [("3 rows", gate_only([[1.0], [-1.0]]), Data(FEATURES[:, None], y))]
    if world == "same":
        same = gate_only(np.array([[1.0, 0.0], [1.0, 0.0]]), SIGMA)
        data = MonteCarlo(same, np.array([[1.0, 1.0]]), rows, seed + 5).data()
        return [("2 experts that are the same", same, data)]
    model = gate_only(REGRESSORS, SIGMA)
    sample = MonteCarlo(model, GATE, rows, seed + 5).data()
    return [(f"3 experts, sample of {rows}", model, sample), ("2 experts, 9 points x", *_finite())]


def _one(name: str, model: Model, law: Law, claimed: Second, setting: Setting) -> Iterator[Evidence]:
    traces = _traces(model, law, setting.seed)
    ends = np.array([trace.last for trace in traces])
    apart = np.max(np.abs(ends - ends[0]), axis=(1, 2))
    worst = int(np.argmax(apart))
    witness = {"starts": [traces[0].thetas[0].tolist(), traces[worst].thetas[0].tolist()]}
    witness |= {"ends": [ends[0].tolist(), ends[worst].tolist()]}
    if isinstance(law, Data) and len(law) < 10:
        witness |= {"x": law.x.tolist(), "y": law.y.tolist()}
    what = rf"largest distance between the ends of EM from {len(traces)} starts $w\sim N(0, {FAR:g}^2 I)$"
    yield close(name, what, float(apart[worst]), claimed.optimum, SAME, trials=len(traces), witness=witness)
    trace = max(traces, key=lambda t: t.iterations)
    predicted, measured = predict_rate(model, law, trace.last), measure_rate(trace)
    yield close(
        name,
        "contraction of EM's iterates",
        measured.iterates,
        claimed.rate(predicted),
        DIGITS * predicted.iterates + 2 * measured.iterates_error + predicted.error,
    )
    yield close(
        name,
        r"contraction of the gap $L - L^*$",
        measured.gap,
        claimed.gap(predicted),
        2 * DIGITS * predicted.gap + 2 * measured.gap_error + 2 * predicted.error,
    )


@lru_cache(maxsize=8)
def _traces(model: Model, law: Law, seed: int) -> list[Trace]:
    rng = np.random.default_rng(seed)
    d = law.dimension
    starts: list[Array] = [FAR * rng.standard_normal((len(model.predictors), d)) for _ in range(STARTS)]
    return [run(EM(model), law, start, 500, 1e-11, divergences=False) for start in starts]


def _finite() -> tuple[Model, Finite]:
    """A finite law of x with the responses that the model draws there: its optimum is the truth."""
    model, truth = gate_only([[1.0, 0.0], [-0.6, 0.8]], SIGMA), np.array([[1.0, 1.5]])
    x = np.stack(np.meshgrid(*[[-1.4, 0.2, 1.3]] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    return model, Finite.from_model(model, truth, x, others=[FAR * truth])


def figures(setting: Setting) -> Mapping[str, Figure]:
    """The run on the sample that took longest, over its predicted rate."""
    rows = _rows(setting)
    _, model, law = _cases("sample", rows, setting.seed)[0]
    trace = run(EM(model), law, np.full((2, 4), FAR), 500, 1e-12, divergences=False)
    title = f"EM on the gate, 3 experts known, sample of {rows}"
    return {"gate-second": rate_figure(trace, predict_rate(model, law, trace.last), title)}


CLAIM = Claim(
    id="gate-second",
    title="With the experts known, EM on the gate finds it from every start",
    statement=r"for $y|z{=}i \sim N(a_i'x, \sigma^2)$ with $a_i$, $\sigma$ known, EM on the softmax gate leads from"
    r" each of the random starts to one optimum (on a finite law that the model itself draws, and on samples of many"
    r" rows), and contracts at $\lambda_{\max}(M)$ of the gate-only model, the gap at its square",
    source=SOURCE.replace("Theorem 1", "Theorem 2"),
    hypotheses=(
        Hypothesis("many rows (three rows with two maxima are a witness)", Second(world="few")),
        Hypothesis(r"the $a_i$ differ (else no w is told from another)", Second(world="same")),
    ),
    expected="supported",
    check=check,
    claimed=Second(),
    mutants={
        "iterates at λ_max² (too fast)": Mutant("rate", Second(rate=lambda p: p.lambda_max**2)),
        "the gap at λ_max": Mutant("rate", Second(gap=lambda p: p.lambda_max)),
        "α instead of 1-α": Mutant("exchange", Second(rate=lambda p: p.alpha)),
        "ends far apart": Mutant("constant", Second(optimum=1.0)),
    },
    order=225,
    section=SECTION,
    figures=figures,
)
