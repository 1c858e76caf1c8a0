"""The poster's projection and its strong convexity: which coordinates, which argument (theory.md §5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from moe_theory.algorithms import EM
from moe_theory.certificates.enclosure import largest_on
from moe_theory.claims import (
    Claim,
    Evidence,
    Gate,
    Hypothesis,
    Instance,
    Mutant,
    Printed,
    Search,
    Setting,
    Slack,
    close,
    searched,
)
from moe_theory.laws import Finite
from moe_theory.operators import bregman, gradient, objective
from moe_theory.validation import Array
from moe_theory.zoo import symmetric_linear, symmetric_logistic
from proofs_checks import em_is_mirror_descent
from proofs_checks.printed import POSTER, SECTION
from proofs_checks.shared import FLAT, relative_hessian, worst_lambda


@dataclass(frozen=True)
class PerRow:
    """The mirror step is taken per x in natural coordinates, and needs no projection."""


def projection(setting: Setting, claimed: Any) -> Iterator[Evidence]:
    if not isinstance(claimed, PerRow):
        yield from em_is_mirror_descent.check(setting, claimed)
        return
    x, theta, truth = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.eye(2), np.array([[2.0, -1.0], [0.5, 1.0]])
    for model in (symmetric_linear(), symmetric_logistic()):
        # With an indicator of x as its features a model has natural parameters of its own at every x.
        rows = Finite.from_model(model, truth, x, others=[theta])
        free = _saturated(rows, x)
        step = EM(model).step(theta @ x.T, free)
        nearest = EM(model).step(theta, rows) @ x.T
        yield close(
            model.name,
            r"$E_X\,\mathrm{KL}$ of the step from its projection on the model",
            bregman(model, free, nearest, step),
            0.0,
            1e-9,
            witness={"x": x.tolist(), "truth": truth.tolist(), "theta": theta.tolist()},
        )


def _saturated(rows: Finite, x: Array) -> Finite:
    """The same law with the indicator of every x, one of the rows of `x`, in its place."""
    which = np.all(np.abs(rows.x[:, None] - x) < 1e-12, axis=2)
    return Finite(which.astype(float), rows.y, rows.weight)


PROJECTION = replace(
    em_is_mirror_descent.CLAIM,
    id="printed-no-projection",
    title="For symmetric mixtures the projection is trivial: in θ, not per x",
    statement=r"with the mirror map $A(\theta) = E_X A_x(\theta_x)$ of the parameters EM is the plain mirror step,"
    r" without"
    r" a projection",
    source=f"{POSTER}, Theorem (simplified)",
    check=projection,
    any_model=False,
    order=104,
    section=SECTION,
    printed=Printed(
        r"EM is the mirror step in the natural parameters $\theta_x = (x'\beta, x'w)$ of $(y,z)|x$, projected; for"
        r" symmetric mixtures of linear or logistic experts the projection is trivial (read per x: the step is in the"
        r" model; read in $\theta$, as A($\theta$) is printed there, it is so)",
        PerRow(),
    ),
)


@dataclass(frozen=True)
class StrongConvexity:
    """λ_max(M) <= 1-α between θ and φ gives L(φ) >= L(θ) + ⟨∇L(θ), φ-θ⟩ + factor α B_A(φ‖θ).

    exchanged: with B_A(θ‖φ). least: α from λ_max at θ alone. sign: of the gradient's term.
    """

    exchanged: bool = False
    factor: float = 1.0
    everywhere: bool = True
    sign: int = 1


def convexity_slack(claimed: StrongConvexity, instance: Instance, certain: bool) -> Slack | None:
    """Between start and truth, either way round; the lesser slack."""
    model, law = instance.model, instance.law
    if not claimed.everywhere:
        worst = worst_lambda(instance, instance.start, 1)
    elif certain:
        worst = largest_on(model, law, [instance.start, instance.truth]).upper
    else:
        worst = worst_lambda(instance, instance.start)
    if worst >= 1:
        return None
    alpha, found = 1 - worst, []
    for theta, phi in ((instance.start, instance.truth), (instance.truth, instance.start)):
        divergence = bregman(model, law, *((theta, phi) if claimed.exchanged else (phi, theta)))
        if divergence < 1e-6:
            return None
        slope = claimed.sign * float(np.sum(gradient(model, law, theta) * (phi - theta)))
        left = objective(model, law, theta) + slope + claimed.factor * alpha * divergence
        right = objective(model, law, phi)
        found.append(Slack.of(left, right, divergence, 1e-9 / min(1.0, divergence), alpha=alpha, theta=theta.tolist()))
    return min(found, key=lambda s: s.value)


CONVEXITY_SEARCH = Search(convexity_slack, (Gate(), *Search(convexity_slack).families))


def convexity(setting: Setting, claimed: StrongConvexity) -> Iterator[Evidence]:
    """L - αA has the Hessian (1-α)∇²A - I_z, which is ⪰ 0 between θ and φ: it is above its tangent at θ."""
    if claimed == StrongConvexity():
        yield from (relative_hessian(theory) for theory in setting.theories)
    if setting.flat:
        what = r"$L(\varphi) \ge L(\theta) + \langle\nabla L(\theta),\varphi-\theta\rangle + \alpha D$"
        yield from searched(CONVEXITY_SEARCH, claimed, what, setting.budget, setting.seed)


CONVEXITY = Claim(
    id="printed-strong-convexity",
    title="Strong relative convexity with the poster's Bregman divergence",
    statement=r"$\lambda_{\max}(M) \le 1-\alpha$ on a convex $\Theta$ gives $L(\varphi) \ge L(\theta) +"
    r" \langle\nabla L(\theta),\varphi-\theta\rangle + \alpha B_A(\varphi\|\theta)$ on $\Theta$",
    source=f"{POSTER}, Local Average Strong Relative Convexity, and Theorem (simplified) on M",
    hypotheses=(
        FLAT,
        Hypothesis(r"$\lambda_{\max}(M) \le 1-\alpha$ on all of $\Theta$", StrongConvexity(everywhere=False)),
    ),
    expected="proved",
    check=convexity,
    claimed=StrongConvexity(),
    mutants={
        "twice the divergence": Mutant("constant", StrongConvexity(factor=2.0)),
        "the gradient's sign": Mutant("sign", StrongConvexity(sign=-1)),
        "α at one end only": Mutant("hypothesis", StrongConvexity(everywhere=False)),
    },
    order=112,
    section=SECTION,
    printed=Printed(
        r"$\lambda_{\max}(M) \le 1-\alpha$ on $\Theta$ gives $L(\varphi) \ge L(\theta) +"
        r" \langle\nabla L(\theta),\varphi-\theta\rangle + \alpha D_h(\varphi,\theta)$ with the poster's"
        r" $D_h(\varphi,\theta) = h(\theta) - h(\varphi) - \langle\nabla h(\varphi),\theta-\varphi\rangle ="
        r" B_h(\theta\|\varphi)$",
        StrongConvexity(exchanged=True),
    ),
    search=CONVEXITY_SEARCH,
)

CLAIMS = (PROJECTION, CONVEXITY)
