"""What a certificate says of one data set is proved, twice and independently; and EM does as it says."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from moe_theory.algorithms import EM, run
from moe_theory.atoms import log_expit, log_normal
from moe_theory.certificates.bounds import Centre
from moe_theory.certificates.certificate import Certificate, seal
from moe_theory.certificates.checker import check as check_again
from moe_theory.certificates.curve import radius_curve
from moe_theory.certificates.make import certify_rows
from moe_theory.certificates.rows import Statistics
from moe_theory.claims import Case, Claim, Evidence, Hypothesis, Mutant, Setting, at_least
from moe_theory.kernels import kernels
from moe_theory.laws.table import Finite
from moe_theory.model import Model, Reals
from moe_theory.operators import bregman, complete_information
from moe_theory.report.certificate import certificate_figure, certificate_page
from moe_theory.sums import predictors
from moe_theory.validation import Array

SECTION = "Certificates"
FAR = 1e8  # of the responses from 0, in units of their noise: posterior logits are differences of squares
Document = dict[str, Any]


@dataclass(frozen=True)
class Sound:
    """forged: what is made of a certificate's file before it is checked. rounding: accounted for. other: checked on
    data of which one response differs."""

    forged: Callable[[Document, Certificate], Document] = lambda document, _: document
    rounding: bool = True
    other: bool = False


def check(setting: Setting, claimed: Sound) -> Iterator[Evidence]:
    """Each certificate is proved again in ball arithmetic, by code that has no numerics in common with its maker."""
    for case, certificate in setting.certificates:
        data = _altered(case) if claimed.other else case.law
        yield _proved(case.name, claimed.forged(certificate.document, certificate), data, case.model, certificate)
    model, data, centre = far_from_zero(setting)
    certificate = _certified(model, data, centre, claimed.rounding)
    document = claimed.forged(certificate.document, certificate)
    yield _proved(f"{model.name}, responses around {FAR:g}", document, data, model, certificate)


def _proved(name: str, document: Document, data: Any, model: Model, certificate: Certificate) -> Evidence:
    checked = check_again(document, data, model=model)
    what = r"bound on $\lambda_{\max}(M)$ over the region, and all that follows, proved again in ball arithmetic"
    witness = None if checked.valid else {"rejected": checked.reason}
    bound, found = document["bound"]["lambda_upper"], certificate.found.value
    return Evidence("bound", name, what, checked.valid, bound, found, witness=witness, relation="≥")


def _from_where(case: Case, certificate: Certificate) -> Evidence:
    """The same in the words that a user wants."""
    basin = certificate.basin
    what = (
        rf"EM converges from every start with $\|\theta-c\|_H \le {certificate.basin_radius:.4g}$ to one stationary"
        rf" point, $B_A(\hat\theta\|\theta_{{T+1}}) \le {certificate.lambda_upper:.4g}^T B_A(\hat\theta\|\theta_1)$"
    )
    holds = certificate.certified and basin is not None and basin.radius > 0
    return Evidence("bound", case.name, what, holds, essential=False)


def far_from_zero(setting: Setting) -> tuple[Model, Finite, Array]:
    """A gate between two known experts whose means are far from 0; its EM on the same data moved to 0."""
    rng = setting.rng()
    x = np.column_stack([np.ones(80), rng.standard_normal(80)])
    truth = np.array([[0.3, 0.8]])
    second = rng.random(80) < 1 / (1 + np.exp(-x @ truth[0]))
    y = np.round(np.where(second, 1.0, -1.0) + rng.standard_normal(80), 6)
    near, far = (_known_experts(offset) for offset in (0.0, FAR))
    peak = run(EM(near), Finite(x, y), truth, tolerance=1e-13, divergences=False).last
    # To the rounding of y + FAR these are the same rows: a point where the gradient is small is wanted, no more.
    return far, Finite(x, y + FAR), peak


def _known_experts(offset: float) -> Model:
    return Model(
        "known-experts",
        latent=(0, 1),
        predictors=("w",),
        gate=lambda z, w: log_expit((2 * z - 1) * w),
        expert=lambda y, z, a, b: log_normal(y, b if z else a),
        response=Reals(),
        known={"a": [offset - 1, 0.0], "b": [offset + 1, 0.0]},
    )


def _certified(model: Model, data: Finite, centre: Array, rounding: bool) -> Certificate:
    """A certificate; without `rounding`, of posterior logits as floating point has them and with no error."""
    options: dict[str, Any] = {"radius": 0.05, "alpha": None, "shape": "euclidean", "method": "sharpest", "cuts": 0}
    statistics = Statistics(model, data)
    if not rounding:
        anywhere = np.zeros((len(model.predictors), data.dimension))
        logits = lambda block: kernels(model).logits.rows(block.y, *predictors(model, block, anywhere))[1]
        none = lambda rows: np.zeros(len(rows.block.y))
        statistics.rows = [replace(rows, offset=(logits(rows.block), none(rows))) for rows in statistics.rows]
        for _ in range(100):  # to where the gradient seems to be 0
            slope = Centre(statistics, centre, np.abs(centre)).gradient[0]
            centre = centre - np.linalg.solve(complete_information(model, data, centre), slope[0])[None]
    return certify_rows(model, data, centre, **options, seed=0, progress=lambda _: None, statistics=statistics)


def _altered(case: Case) -> Any:
    """The same rows but for the last bit of one feature."""
    data: Finite = case.law  # type: ignore[assignment]
    x = data.x.copy()
    x[0, 0] = np.nextafter(x[0, 0], np.inf)
    return SimpleNamespace(x=x, y=data.y, weight=data.weight)


# Forgeries: every number that follows from others is made to fit, and the seal renewed


def forged(change: Callable[[Document, Certificate], None]) -> Callable[[Document, Certificate], Document]:
    """A certificate's file with a change of what is proved from the data."""

    def made(document: Document, certificate: Certificate) -> Document:
        new = copy.deepcopy(document)
        change(new, certificate)
        return _consistent(new)

    return made


def _consistent(new: Document) -> Document:
    bound, curvature, stationary = new["bound"], new["curvature"], new["stationary"]
    alpha, mu, r = bound["alpha"], curvature["lower"], new["region"]["radius"]
    bound["lambda_upper"] = 1 - alpha
    exact = Fraction(stationary["gradient"]) / (Fraction(alpha) * Fraction(mu))
    e = math.nextafter(float(exact), math.inf)
    b = math.nextafter(float(Fraction(mu) * (Fraction(r) - Fraction(e)) ** 2 / 2), 0.0)
    r0 = max((math.sqrt(2 * b / curvature["upper"]) - e) * (1 - 1e-12), 0.0)
    curvature["within"] = math.nextafter(r0 + e, math.inf)
    new["basin"] = {"radius": r0, "divergence": b}
    stretch = e / stationary["distance"]
    for side, sign in (("lower", -1), ("upper", 1)):
        for name, row in new["centre"].items():
            old = stationary[side][name]
            moved = [c + (v - c) * stretch * (1 + 1e-12) for c, v in zip(row, old, strict=True)]
            stationary[side][name] = [math.nextafter(v, sign * math.inf) for v in moved]
    stationary["distance"] = e
    return {**new, "seal": seal(new)}


def _larger(new: Document, _: Certificate) -> None:
    new["region"]["radius"] *= 1.5


def _faster(new: Document, certificate: Certificate) -> None:
    """α between that of the whole region and that of the worst point found."""
    new["bound"]["alpha"] = 1 - (0.98 * certificate.found.value + 0.02 * certificate.lambda_upper)


def _as_at_the_centre(new: Document, certificate: Certificate) -> None:
    new["bound"]["alpha"] = (1 - certificate.lambda_centre) * 0.999


def _steeper(new: Document, _: Certificate) -> None:
    new["curvature"]["lower"] *= 1.5


def _flatter(new: Document, _: Certificate) -> None:
    new["curvature"]["upper"] *= 0.7


def _stationary(new: Document, _: Certificate) -> None:
    new["stationary"]["gradient"] *= 1e-6


# The basin


@dataclass(frozen=True)
class Basin:
    """EM from `reach` times r0 obeys B_A(θ̂‖θ_{T+1}) <= rate(certificate)^T B_A(θ̂‖θ_1). moved: θ̂ is said to lie that
    many half-widths of its enclosure off. exchanged: the arguments of B_A."""

    rate: Callable[[Certificate], float] = lambda c: 1 - c.alpha
    reach: float = 1.0
    moved: float = 0.0
    exchanged: bool = False


def check_basin(setting: Setting, claimed: Basin) -> Iterator[Evidence]:
    """The certificates are proved again; on runs from the edge of the basin what they say can be seen, and refuted."""
    if claimed == Basin():
        for case, certificate in setting.certificates:
            yield _proved(case.name, certificate.document, case.law, case.model, certificate)
            yield _from_where(case, certificate)
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


def figures(setting: Setting) -> Mapping[str, Figure]:
    """Bounds against the radius, per certificate."""
    made = {}
    for case, certificate in setting.certificates:
        name = case.name.lower().replace(",", "").replace(" ", "-").replace("(", "").replace(")", "")
        figure = certificate_figure(radius_curve(case.law, certificate), case.name)
        made[f"certificate-{name}"] = figure
    return made


def pages(setting: Setting) -> Mapping[str, str]:
    """The certificate of the real data, for a referee."""
    case, certificate = setting.certificates[-1]
    data: Finite = case.law  # type: ignore[assignment]
    return {"certificate-old-faithful": certificate_page(certificate, radius_curve(data, certificate), case.name)}


_SAME = Hypothesis(
    "the rows, the weights and the model are those of the file (compared by digest and declaration)", Sound(other=True)
)

CLAIMS = (
    Claim(
        id="certificate-sound",
        title="A certificate proves relative strong convexity on a whole region of parameters",
        statement=r"if a certificate is made for a data set, then for all $\theta$ in its region"
        r" $\lambda_{\max}(M(\theta)) < 1-\alpha$, and exactly one stationary point lies there, in its enclosure; in"
        r" real arithmetic, whatever the rounding",
        source="theory.md §3, relative-convexity-iff and linear, on finite data; Rump, BIT 46 (2006)",
        hypotheses=(_SAME,),
        expected="certified",
        check=check,
        claimed=Sound(),
        mutants={
            "a radius half as large again": Mutant("constant", Sound(forged(_larger))),
            "a forged α, near that of the worst point found": Mutant("rate", Sound(forged(_faster))),
            "α as at the centre": Mutant("rate", Sound(forged(_as_at_the_centre))),
            "rounding left out, responses far from 0": Mutant("term", Sound(rounding=False)),
            "the curvature's lower bound too large": Mutant("constant", Sound(forged(_steeper))),
            "the curvature's upper bound too small": Mutant("constant", Sound(forged(_flatter))),
            "the gradient's bound a millionth of itself": Mutant("constant", Sound(forged(_stationary))),
        },
        order=200,
        section=SECTION,
        figures=figures,
        pages=pages,
    ),
    Claim(
        id="certificate-basin",
        title="From every start in a certificate's basin EM converges linearly, as it says",
        statement=r"from every $\theta_1$ within $r_0$ of the centre, EM's iterates stay in the region and"
        r" $B_A(\hat\theta\|\theta_{T+1}) \le (1-\alpha)^T B_A(\hat\theta\|\theta_1)$ for every T, $\hat\theta$ being"
        r" the one stationary point there",
        source="arXiv 2411.06056, Theorem 4.2 (3), in the B-form; Bregman balls are star-shaped and never left",
        hypotheses=(Hypothesis(r"$\theta_1$ within $r_0$ of the centre", Basin(reach=80.0)),),
        expected="certified",
        check=check_basin,
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
    ),
)
