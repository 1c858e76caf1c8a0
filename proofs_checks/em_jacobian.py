"""The EM map's derivative at a fixed point is M(θ*): the iterates contract at λ_max, the gap at λ_max²."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp
from matplotlib.figure import Figure

from moe_theory.algorithms import EM
from moe_theory.analysis.rates import RatePrediction, measure_rate, predict_rate
from moe_theory.claims import Case, Claim, Evidence, Hypothesis, Mutant, Setting, close, identity
from moe_theory.laws import Finite, Population
from moe_theory.operators import missing_information_matrix
from moe_theory.report.figures import rate_figure
from moe_theory.symbolic.derive import Derivation
from moe_theory.zoo import symmetric_linear

DIGITS = 1e-4  # relative accuracy to which a run is claimed to show the predicted rate, besides its own error estimate


@dataclass(frozen=True)
class Jacobian:
    """missing: ∂E[s|x,y]/∂η; iterates, gap: contractions from the prediction at the fixed point.

    fixed: the derivative is taken at the fixed point, else where the run starts. reached: the run converges to that
    fixed point, else to another than θ* = 0. share: θ_t - θ* keeps a share in M's top eigenvector.
    """

    missing: Callable[[Derivation], sp.Matrix] = lambda t: t.missing_information
    iterates: Callable[[RatePrediction], float] = lambda p: p.lambda_max
    gap: Callable[[RatePrediction], float] = lambda p: p.lambda_max**2
    fixed: bool = True
    reached: bool = True
    share: bool = True


def check(setting: Setting, claimed: Jacobian) -> Iterator[Evidence]:
    """Differentiating ∇A(F(θ)) = E[E[s|x,y;θ] ⊗ x] gives ∇²A(F(θ)) DF(θ) = E[∂E[s|x,y]/∂η ⊗ xx']."""
    for theory in setting.theories:
        jacobian = theory.expected_statistic.jacobian(list(theory.model.learnt))
        difference = list(jacobian - claimed.missing(theory))
        yield identity(theory.model, r"$\partial E[s|x,y]/\partial\eta - I_{z|x,y}$", difference)
    for case in setting.samples:
        theta, step = case.limit_point if claimed.fixed else case.start, 1e-5
        v = setting.rng().standard_normal(theta.shape)
        em = EM(case.model)
        moved = (em.step(theta + step * v, case.law) - em.step(theta - step * v, case.law)) / (2 * step)
        exact = missing_information_matrix(case.model, case.law, theta).matrix @ v.ravel()
        error = float(np.max(np.abs(moved.ravel() - exact)))
        yield close(
            case.name,
            r"largest difference of $DF\,v$ by central differences and $M v$",
            error,
            0.0,
            1e-7,
            essential=False,
        )
    for case in setting.all_cases if claimed.share else [_without_share()]:
        at = case.limit_point if claimed.reached else 0 * case.limit_point
        predicted = predict_rate(case.model, case.law, at)
        measured = measure_rate(case.trace)
        yield close(
            case.name,
            "contraction of EM's iterates",
            measured.iterates,
            claimed.iterates(predicted),
            DIGITS * predicted.iterates + 2 * measured.iterates_error + predicted.error,
            essential=False,
            trials=case.trace.iterations,
        )
        yield close(
            case.name,
            r"contraction of the gap $L - L^*$",
            measured.gap,
            claimed.gap(predicted),
            2 * DIGITS * predicted.gap + 2 * measured.gap_error + 2 * predicted.error,
            essential=False,
            trials=case.trace.iterations,
        )


def _without_share() -> Case:
    """A law that is the same with x₂ in place of -x₂, parameters along x₁: iterates that start there stay there, and
    the top eigenvector of M is out of it."""
    model, truth = symmetric_linear(), np.array([[1.0, 0.0], [1.0, 0.0]])
    x = np.array([[a, b] for a in (0.3, 1.5) for b in (1.0, -1.0)])
    start = truth + np.array([[0.1, 0.0], [0.1, 0.0]])
    law = Finite.from_model(model, truth, x, others=[start])
    return Case("symmetric-linear, a symmetric law", model, law, start, 1e-12)


def figures(setting: Setting) -> Mapping[str, Figure]:
    """Measured gap and iterates over the predicted lines, per law."""
    return {
        "rate-" + case.name.lower().replace(",", "").replace(" ", "-").replace("(", "").replace(")", ""): rate_figure(
            case.trace,
            predict_rate(case.model, case.law, case.limit_point),
            title=case.name,
            limit=case.limit_point if isinstance(case.law, Population) else None,
        )
        for case in setting.all_cases
    }


CLAIM = Claim(
    id="em-jacobian",
    title="EM contracts at the largest eigenvalue of the missing information",
    statement=r"at a fixed point $\theta^*$ of EM's map F, $\nabla^2 A(\theta^*) \succ 0$: $DF(\theta^*) ="
    r" M(\theta^*)$; so if $\theta_t\to\theta^*$, $\|\theta_{t+1} - \theta^*\|/\|\theta_t - \theta^*\| \to"
    r" \lambda_{\max}(M(\theta^*))$ and $L(\theta_t) - L(\theta^*)$ contracts at $\lambda_{\max}^2$ in the limit:"
    r" faster than at $1-\alpha$ where $\lambda_{\max}(M(\theta^*)) = 1-\alpha$",
    source="Dempster, Laird and Rubin (1977), Theorem 4; theory.md §3",
    hypotheses=(
        Hypothesis(r"$\theta^*$ is a fixed point of EM", Jacobian(fixed=False)),
        Hypothesis(r"$\theta_t \to \theta^*$", Jacobian(reached=False)),
        Hypothesis(
            r"$(\theta_t - \theta^*)/\lambda_{\max}^t$ does not tend to 0: a share in M's top eigenvector",
            Jacobian(share=False),
        ),
    ),
    expected="proved",
    check=check,
    claimed=Jacobian(),
    mutants={
        "iterates at λ_max² (too fast)": Mutant("rate", Jacobian(iterates=lambda p: p.lambda_max**2)),
        "the gap at λ_max (the bound were tight)": Mutant("rate", Jacobian(gap=lambda p: p.lambda_max)),
        "the second eigenvalue": Mutant("exchange", Jacobian(iterates=lambda p: p.eigenvalues[1])),
        "information of the prior instead of the posterior": Mutant(
            "form", Jacobian(missing=lambda t: t.complete_information)
        ),
        "the derivative's sign": Mutant("sign", Jacobian(missing=lambda t: -t.missing_information)),
    },
    order=11,
    any_model=True,
    figures=figures,
)
