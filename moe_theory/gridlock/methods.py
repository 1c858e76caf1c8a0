"""The methods of the comparison, and what one run of each comes to on a draw."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Literal

import numpy as np

from moe_theory.algorithms import EM, Algorithm, AnnealedEM, GradientEM, Trace, run
from moe_theory.errors import InputError
from moe_theory.evaluation.base import Evaluation
from moe_theory.evaluation.softmax import SoftmaxEvaluation
from moe_theory.gridlock.draws import Draw, parameter_error
from moe_theory.laws.rows import Law
from moe_theory.operators import observed_information
from moe_theory.recovery.polish import joint_theta
from moe_theory.recovery.recover import recover
from moe_theory.recovery.result import Recovery
from moe_theory.validation import Array

TOLERANCE, LIMIT = 1e-6, 1000  # of EM: the gradient's norm in the metric of the complete data's information, per row
GRADIENT_LIMIT = 400
BASIN = 1e-3  # nats per row below the likelihood that EM from the truth reaches
SAME = 0.02  # rms distance of regressors below which two ends are said to be one
RATIO, EVERY = 0.8, 5  # of the annealed σ's floor
LAST = 0.03  # the last floor, in units of the spread of y


class _GivenSigma(SoftmaxEvaluation):
    """At a σ that is not learnt."""

    @property
    def gradient(self) -> Array:
        out = super().gradient
        out[self.layout.structure.scales] = 0.0
        return out


class GivenSigmaEM(EM):
    """EM for experts and gate with σ left as it is: the M-step's experts and gate do not depend on σ."""

    def evaluate(self, theta: Array, law: Law) -> Evaluation:
        """As EM's, with the gradient in what is learnt."""
        at = super().evaluate(theta, law)
        if isinstance(at, SoftmaxEvaluation) and not isinstance(at, _GivenSigma):
            at = _GivenSigma(**{f.name: getattr(at, f.name) for f in fields(at)})
            self._last = (law, at)
        return at

    def step(self, theta: Array, law: Law) -> Array:
        """One step of EM, σ as before."""
        scales = [i for i, name in enumerate(self.model.predictors) if name.startswith("log_sigma")]
        out = super().step(theta, law).copy()
        out[scales] = theta[scales]
        return out


@dataclass(frozen=True)
class Method:
    """label: for readers. m_step, sigma: how experts and gate are updated, and σ. random: whether it has random starts.
    algorithm, first: of an EM from there, made for a draw; None where a method is not one."""

    name: str
    label: str
    m_step: str
    sigma: str
    random: bool = True
    algorithm: Callable[[Draw], Algorithm] | None = None
    first: Callable[[Draw], float] = field(default=lambda draw: draw.spread)
    limit: int = LIMIT


def _em(draw: Draw) -> Algorithm:
    return EM(draw.model)


def _annealed(draw: Draw) -> Algorithm:
    return AnnealedEM(draw.model, draw.spread, LAST * draw.spread, RATIO, EVERY)


def _gradient(draw: Draw) -> Algorithm:
    return GradientEM(draw.model)


_LEARNT, _EXACT = "learnt, from {}", "exact"
_FALLING = f"floor sd(y)·{RATIO}^j for {EVERY} steps each down to {LAST} sd(y), then learnt"
_STEP = "one gradient step, 1/λ_max(complete information)"
_LIST = (
    Method("mle", "EM from the truth", _EXACT, _LEARNT.format("the truth"), False),
    Method("tensor", "tensor method", "none", "from E y²", False),
    Method("tensor+em", "tensor + EM", _EXACT, _LEARNT.format("the gate's fit"), False),
    Method("tensor+em-given", "tensor + EM, σ given", _EXACT, "given, the truth", False),
    Method(
        "em-given", "EM, σ given", _EXACT, "given, the truth", True, lambda w: GivenSigmaEM(w.model), lambda w: w.sigma
    ),
    Method("em-truth", "EM, σ from the truth", _EXACT, _LEARNT.format("the truth"), True, _em, lambda w: w.sigma),
    Method("em-spread", "EM, σ from sd(y)", _EXACT, _LEARNT.format("sd(y)"), True, _em),
    Method("em-annealed", "EM, σ annealed", _EXACT, _FALLING, True, _annealed),
    Method(
        "gradient", "gradient EM, σ from sd(y)", _STEP, _LEARNT.format("sd(y)"), True, _gradient, limit=GRADIENT_LIMIT
    ),
)
METHODS = {method.name: method for method in _LIST}
RANDOM = tuple(method.name for method in _LIST if method.random)


@dataclass(frozen=True)
class Outcome:
    """One run. error: rms over the entries of â - a, best matching of labels; not a number where there was no result.
    gap: final log-likelihood per row less that which EM from the truth reaches with σ learnt or given as here, in nats;
    of gradient EM that of EM from where it ended. distance: rms of â less the regressors of EM from the truth. success:
    gap >= -BASIN. louis: rms of Louis' standard errors, of EM from the truth only. reason: why the run stopped."""

    method: str
    start: int
    error: float
    gap: float
    distance: float
    success: bool
    iterations: int
    seconds: float
    reason: str
    louis: float = float("nan")

    @property
    def consistent(self) -> bool:
        """Whether the likelihood's word on success is that of the distance to the maximum."""
        return self.success == (self.distance <= SAME)


@dataclass(frozen=True, eq=False)
class Contest:
    """All methods on one draw; what EM from the truth reaches is the measure of success. moments: of the tensor method,
    see `recover`."""

    draw: Draw
    moments: Literal["best", "averages", "regression"] = "best"

    @cached_property
    def peak(self) -> Trace:
        """EM from the truth, σ learnt."""
        return self._run(EM(self.draw.model), self.draw.true_theta)

    @cached_property
    def peak_given(self) -> Trace:
        """EM from the truth, σ given."""
        return self._run(GivenSigmaEM(self.draw.model), self.draw.true_theta)

    @property
    def maximum(self) -> Outcome:
        """Of EM from the truth, with Louis' standard errors."""
        k, d = self.draw.k, self.draw.d
        information = len(self.draw.law) * observed_information(self.draw.model, self.draw.law, self.peak.last)
        variances = np.diagonal(np.linalg.pinv(information))[: k * d]
        louis = float(np.sqrt(np.mean(np.maximum(variances, 0.0))))
        return self._outcome("mle", 0, self.peak, self.peak, louis=louis)

    @cached_property
    def _recovered(self) -> tuple[Recovery | None, float, float]:
        """What `recover` finds with polish (None where it refuses), the seconds it takes, and those without polish."""
        draw, clock = self.draw, _Clock()
        try:
            # x ~ N(0, I) is known here: whitened by chance, the experts would be those of another model.
            found = recover(
                draw.x, draw.y, draw.k, polish=True, method=self.moments, force=True, whiten=False, progress=clock
            )
        except InputError:
            return None, clock.total, clock.total
        return found, clock.total, clock.total - clock.spent("polish")

    def tensor(self) -> Outcome:
        """The tensor method alone: regressors from moments, then EM on gate and σ."""
        found, _, seconds = self._recovered
        if found is None:
            return _refused("tensor", seconds)
        # Without polish the likelihood at the end of the gate's EM chooses between the candidates.
        first = max(found.candidates, key=lambda c: c.gate.log_likelihood)
        gap = first.gate.log_likelihood + float(self.peak.objective[-1])
        return Outcome(
            "tensor",
            0,
            parameter_error(first.regressors, self.draw.regressors),
            gap,
            parameter_error(first.regressors, self._regressors(self.peak)),
            gap >= -BASIN,
            first.gate.trace.iterations,
            seconds,
            first.gate.trace.reason,
        )

    def tensor_em(self) -> Outcome:
        """Polished by EM: from both kinds of moments, where these are not clear also from a flat gate, the best by
        likelihood (so from up to four starts)."""
        found, seconds, _ = self._recovered
        if found is None or found.best.polished is None or found.best.polished.trace is None:
            return _refused("tensor+em", seconds)
        return self._outcome("tensor+em", 0, found.best.polished.trace, self.peak, seconds)

    def tensor_em_given(self) -> Outcome:
        """Polished by EM with σ given, from the same starts."""
        (found, _, seconds), draw, clock = self._recovered, self.draw, _Clock()
        if found is None:
            return _refused("tensor+em-given", seconds)
        starts, flat = [], np.zeros((draw.k, draw.d))
        for c in found.candidates:
            starts.append(joint_theta(c.regressors, draw.sigma, c.gate.coefficients, c.gate.intercepts))
            if c.experts.spectrum.supported < draw.k or not c.gate.trace.converged:
                starts.append(joint_theta(c.regressors, draw.sigma, flat, flat[:, 0]))
        traces = [self._run(GivenSigmaEM(draw.model), theta) for theta in starts]
        best = min(traces, key=lambda t: (not t.bounded, t.objective[-1]))
        return self._outcome("tensor+em-given", 0, best, self.peak_given, seconds + clock.total)

    def from_random(self, name: str, start: int) -> Outcome:
        """EM of that kind (see METHODS) from the draw's random start of that number."""
        method, draw = METHODS[name], self.draw
        if method.algorithm is None:
            raise InputError(f"name: expected one of {', '.join(RANDOM)}, got {name!r}")
        trace = self._run(method.algorithm(draw), draw.random_start(start, method.first(draw)), method.limit)
        peak, end = self.peak_given if name == "em-given" else self.peak, trace
        if name == "gradient":
            end = self._run(EM(draw.model), trace.last)
        return self._outcome(name, start, trace, peak, end=end)

    def _run(self, algorithm: Algorithm, theta: Array, limit: int = LIMIT) -> Trace:
        return run(algorithm, self.draw.law, theta, limit, TOLERANCE, divergences=False)

    def _regressors(self, trace: Trace) -> Array:
        return trace.last[: self.draw.k, : self.draw.d]

    def _outcome(
        self,
        name: str,
        start: int,
        trace: Trace,
        peak: Trace,
        seconds: float | None = None,
        louis: float = float("nan"),
        end: Trace | None = None,
    ) -> Outcome:
        end = end or trace
        gap = float(peak.objective[-1] - end.objective[-1])
        return Outcome(
            name,
            start,
            parameter_error(self._regressors(trace), self.draw.regressors),
            gap,
            parameter_error(self._regressors(end), self._regressors(peak)),
            gap >= -BASIN,
            trace.iterations,
            float(trace.seconds[-1]) if seconds is None else seconds,
            trace.reason,
            louis,
        )


def _refused(name: str, seconds: float) -> Outcome:
    return Outcome(name, 0, np.nan, -np.inf, np.nan, False, 0, seconds, "refused")


class _Clock:
    """Told of phases as they begin."""

    def __init__(self) -> None:
        self._begun = [("", time.perf_counter())]

    def __call__(self, phase: str) -> None:
        self._begun.append((phase, time.perf_counter()))

    @property
    def total(self) -> float:
        return time.perf_counter() - self._begun[0][1]

    def spent(self, phase: str) -> float:
        """In phases whose names begin so; the last one lasts until now."""
        ends = [t for _, t in self._begun[1:]] + [time.perf_counter()]
        return sum(end - t for (name, t), end in zip(self._begun, ends, strict=True) if name.startswith(phase))
