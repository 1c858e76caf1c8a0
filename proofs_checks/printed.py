"""The poster's theorems as they are printed, each beside the claim that corrects it (theory.md §5).

Every one is checked by the very check of the corrected claim, whose mutants it shares.
"""

from __future__ import annotations

from dataclasses import replace

from moe_theory.claims import Claim, Printed, Search
from proofs_checks import kl_is_bregman, linear, stationarity, sublinear
from proofs_checks.linear import GapForm
from proofs_checks.shared import bregman_of
from proofs_checks.stationarity import Stationary
from proofs_checks.sublinear import Sublinear

SECTION = "As printed, and corrected"
POSTER = "poster Learning Mixtures of Experts with EM (ICML 2025)"


def _audit(
    claim: Claim, name: str, title: str, printed: Printed, source: str, order: int, search: Search | None
) -> Claim:
    return replace(
        claim,
        id=name,
        title=title,
        printed=printed,
        source=source,
        order=order,
        section=SECTION,
        search=search,
        figures=None,
        any_model=False,
        mutants={key: m for key, m in claim.mutants.items() if m.claimed != printed.claimed},
    )


CLAIMS = (
    _audit(
        kl_is_bregman.CLAIM,
        "printed-kl",
        "The poster's mirror map identity has its arguments exchanged",
        Printed(
            r"$D_{\mathrm{KL}}(\theta_x,\varphi_x) = D_A(\varphi_x,\theta_x)$ with the poster's"
            r" $D_h(\theta^t,\theta) = h(\theta) - h(\theta^t) - \langle\nabla h(\theta^t),\theta-\theta^t\rangle$ and"
            r" $D_{\mathrm{KL}}(\theta,\varphi) = \mathrm{KL}(p_\theta\|p_\varphi)$",
            # D_A(φ, θ) as printed has its tangent at φ: it is B_A(θ‖φ).
            lambda t, eta, phi: bregman_of(t, eta, phi),
        ),
        f"{POSTER}, Theorem (simplified)",
        103,
        None,
    ),
    _audit(
        stationarity.CLAIM,
        "printed-stationarity",
        "Inequality (1) with the usual direction of KL",
        Printed(
            r"(1): $\min_{t\in[T]} E_X[D_{\mathrm{KL}}(\theta^t_x,\theta^{t+1}_x)] \le (L(\theta^1)-L(\theta^*))/T$"
            r" with"
            r" $D_{\mathrm{KL}}(\theta^t,\theta^{t+1}) = \mathrm{KL}(p_t\|p_{t+1})$",
            Stationary(exchanged=True),
        ),
        f"{POSTER}, (1)",
        105,
        stationarity.SEARCH,
    ),
    _audit(
        stationarity.CLAIM,
        "printed-stationarity-general",
        "Inequality (1) for a general mixture of experts",
        Printed(
            r"(1) for every MoE with $(y,z)|x$ in an exponential family, under no additional conditions: even with"
            r" $D_{\mathrm{KL}}(\theta^t,\theta^{t+1}) = \mathrm{KL}(p_{t+1}\|p_t)$ it needs a flat family",
            Stationary(curved=True),
        ),
        f"{POSTER}, Corollary (simplified), for a general MoE",
        106,
        stationarity.CURVED,
    ),
    _audit(
        sublinear.CLAIM,
        "printed-sublinear",
        "Inequality (2) with the usual direction of KL",
        Printed(
            r"(2): $L(\theta^{T+1})-L(\theta^*) \le E_X[D_{\mathrm{KL}}(\theta^*_x,\theta^1_x)]/T$ after T steps, with"
            r" $D_{\mathrm{KL}}(\theta^*,\theta^1) = \mathrm{KL}(p_*\|p_1)$",
            Sublinear(exchanged=True),
        ),
        f"{POSTER}, (2)",
        107,
        sublinear.EXCHANGED,
    ),
    _audit(
        sublinear.CLAIM,
        "printed-sublinear-index",
        "Inequality (2) for the T-th iterate, the start being the first",
        Printed(
            r"(2) as theory.md §3 has it: $L(\theta_T)-L(\theta^*) \le B_A(\theta^*\|\theta_1)/T$ where $\theta_1$ is"
            r" the"
            r" start: T counts iterates, not steps",
            Sublinear(shift=1),
        ),
        f"{POSTER}, (2); theory.md §3",
        108,
        sublinear.SEARCH,
    ),
    _audit(
        sublinear.CLAIM,
        "printed-sublinear-region",
        "Inequality (2) from any start in a convex region",
        Printed(
            r"(2) if $\theta^1\in\Theta$, a convex set that holds $\theta^*$ and on which L is convex: nothing is"
            r" said of"
            r" the iterates staying in $\Theta$ (here: a neighbourhood of the segment from $\theta^1$ to $\theta^*$)",
            Sublinear(leaving=True),
        ),
        f"{POSTER}, Corollary (simplified), 2)",
        109,
        sublinear.LEAVING,
    ),
    _audit(
        linear.CLAIM,
        "printed-linear",
        "Inequality (3), the linear rate of the gap itself",
        Printed(
            r"(3): $L(\theta^{T+1})-L(\theta^*) \le (1-\alpha)^T (L(\theta^1)-L(\theta^*))$ after T steps, where L is"
            r" $\alpha$-strongly convex relative to A on a convex $\Theta$ that holds $\theta^*$ and all iterates",
            GapForm(),
        ),
        f"{POSTER}, (3)",
        110,
        linear.GAPS,
    ),
    _audit(
        linear.CLAIM,
        "printed-linear-index",
        "Inequality (3) for the T-th iterate, the start being the first",
        Printed(
            r"(3) at $T = 1$ with $\theta^1$ the start: $L(\theta^1)-L(\theta^*) \le"
            r" (1-\alpha)(L(\theta^1)-L(\theta^*))$",
            GapForm(index=True),
        ),
        f"{POSTER}, (3)",
        111,
        linear.GAPS,
    ),
)
