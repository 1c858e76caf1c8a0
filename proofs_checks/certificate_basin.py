"""From every start in a certificate's basin EM converges linearly, as the certificate says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from moe_theory.algorithms import EM, run
from moe_theory.certificates.certificate import Certificate
from moe_theory.certificates.rounding import at_least as upper
from moe_theory.certificates.rounding import at_most
from moe_theory.claims import Case, Claim, Evidence, Hypothesis, Mutant, Setting, at_least
from moe_theory.operators import bregman
from proofs_checks.certificate_sound import SECTION, proved_again
from proofs_checks.certificate_tight import tight_runs


@dataclass(frozen=True)
class Basin:
    """EM from `reach` times r0 obeys B_A(θ̂‖θ_{T+1}) <= rate(certificate)^T B_A(θ̂‖θ_1). moved: θ̂ is said to lie that
    many half-widths of its enclosure off. exchanged: the arguments of B_A."""

    rate: Callable[[Certificate], float] = lambda c: 1 - c.alpha
    reach: float = 1.0
    moved: float = 0.0
    exchanged: bool = False


def check(setting: Setting, claimed: Basin) -> Iterator[Evidence]:
    """The certificates are proved again; on runs from the edge of the basin what they say can be seen, and refuted, on
    small problems in 50 digits."""
    if claimed == Basin():
        yield from tight_runs()
        for case, certificate in setting.certificates:
            proof = proved_again(case.name, certificate.document, case.law, case.model, certificate)
            yield proof
            yield _from_where(case, certificate, proof)
    for case, certificate in setting.certificates:
        yield from _runs(setting, case, certificate, claimed)


def _runs(setting: Setting, case: Case, certificate: Certificate, claimed: Basin) -> Iterator[Evidence]:
    g, centre, r0 = certificate.region.matrix, certificate.region.centre, certificate.basin_radius
    limit = run(EM(case.model), case.law, centre, tolerance=1e-14, divergences=False).last
    half = (np.asarray(certificate.upper) - np.asarray(certificate.lower)) / 2
    inside = 1 - float(np.max(np.abs(limit - centre - claimed.moved * half) / half))
    what = r"$\hat\theta$ in its enclosure: least distance of EM's limit from the box's sides, in its half-widths"
    yield at_least(case.name, what, inside, 0.0, 1e-3, essential=False)
    rng, worst, at, trials = setting.rng(), math.inf, centre, 0
    starts = [case.start, 2 * centre - case.start]
    for z in rng.standard_normal((4 if setting.quick else 12, centre.size)):
        starts.append(centre + (g @ (r0 * z / np.linalg.norm(z))).reshape(centre.shape))
    for start in (centre + claimed.reach * (s - centre) for s in starts):
        thetas = run(EM(case.model), case.law, start, max_iterations=60, divergences=False).thetas
        pairs = [(limit, t) if not claimed.exchanged else (t, limit) for t in thetas]
        distance = np.array([bregman(case.model, case.law, *pair) for pair in pairs])
        kept = distance > 1e-13 * max(1.0, distance[0])  # above rounding
        bound = claimed.rate(certificate) ** np.arange(len(distance)) * distance[0]
        slack = np.min((bound - distance)[kept] / bound[kept])
        trials += int(np.sum(kept))
        if slack < worst:
            worst, at = float(slack), start
    yield at_least(
        case.name,
        r"least slack of $B_A(\hat\theta\|\theta_{T+1}) \le (1-\alpha)^T B_A(\hat\theta\|\theta_1)$, relative, over"
        " starts on the edge of the basin and all T",
        worst,
        0.0,
        1e-6,
        essential=False,
        trials=trials,
        witness={"start": at.tolist()},
    )


def _from_where(case: Case, certificate: Certificate, proof: Evidence) -> Evidence:
    """What was proved again, in the words that a user wants."""
    radius, factor = at_most(certificate.basin_radius, 4), upper(certificate.lambda_upper, 4)
    what = (
        rf"EM converges from every start with $\|\theta-c\|_H \le {radius}$ to one stationary point,"
        rf" $B_A(\hat\theta\|\theta_{{T+1}}) \le {factor}^T B_A(\hat\theta\|\theta_1)$"
    )
    holds = bool(proof.holds) and certificate.basin_radius > 0
    return Evidence("bound", case.name, what, holds, essential=False)


CLAIM = Claim(
    id="certificate-basin",
    title="From every start in a certificate's basin EM converges linearly, as it says",
    statement=r"from every $\theta_1$ within $r_0$ of the centre, EM's iterates stay in the region and"
    r" $B_A(\hat\theta\|\theta_{T+1}) \le (1-\alpha)^T B_A(\hat\theta\|\theta_1)$ for every T, $\hat\theta$ being"
    r" the one stationary point there",
    source="arXiv 2411.06056, Theorem 4.2 (3), in the B-form; Bregman balls are star-shaped and never left",
    hypotheses=(Hypothesis(r"$\theta_1$ within $r_0$ of the centre", Basin(reach=80.0)),),
    expected="certified",
    check=check,
    claimed=Basin(),
    mutants={
        "the contraction λ_max(M(c))^2.5, faster than the limit's": Mutant(
            "rate", Basin(rate=lambda c: c.lambda_centre**2.5)
        ),
        "θ̂ moved by two half-widths of its enclosure": Mutant("constant", Basin(moved=2.0)),
        "λ_max(M(c))², the limit's own rate, from the first step on": Mutant(
            "rate", Basin(rate=lambda c: c.lambda_centre**2 * 0.98)
        ),
    },
    order=201,
    section=SECTION,
)
