"""A certificate proves relative strong convexity on a whole region of parameters: it is proved again, independently."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from moe_theory.algorithms import EM, run
from moe_theory.atoms import log_expit, log_normal
from moe_theory.certificates.adversary import adversary
from moe_theory.certificates.bounds import Centre
from moe_theory.certificates.certificate import Certificate
from moe_theory.certificates.checker import check as check_again
from moe_theory.certificates.curve import radius_curve
from moe_theory.certificates.make import certify_rows
from moe_theory.certificates.rows import Statistics
from moe_theory.claims import Case, Claim, Evidence, Hypothesis, Mutant, Setting
from moe_theory.kernels import kernels
from moe_theory.laws.table import Finite
from moe_theory.model import Model
from moe_theory.operators import complete_information
from moe_theory.report.certificate import certificate_figure, certificate_page
from moe_theory.response import Reals
from moe_theory.sums import predictors
from moe_theory.validation import Array
from proofs_checks.certificate_tight import tight_evidence
from proofs_checks.forgeries import Document, forged

SECTION = "Certificates"
FAR = 1e8  # of the responses from 0, in units of their noise: posterior logits are differences of squares


@dataclass(frozen=True)
class Sound:
    """forged: what is made of a certificate's file before it is checked. rounding: accounted for. other: checked on
    data of which one response differs."""

    forged: Callable[[Document, Certificate, Case], Document] = lambda document, *_: document
    rounding: bool = True
    other: bool = False


def check(setting: Setting, claimed: Sound) -> Iterator[Evidence]:
    """Each certificate is proved again in ball arithmetic, by code that has no numerics in common with its maker; and
    maker and checker are asked of what is known to be false by a hair."""
    if claimed == Sound():
        yield from tight_evidence()
    for case, certificate in setting.certificates:
        data = _altered(case) if claimed.other else case.law
        yield proved_again(
            case.name, claimed.forged(certificate.document, certificate, case), data, case.model, certificate
        )
    model, data, centre = far_from_zero(setting)
    certificate = _certified(model, data, centre, claimed.rounding)
    case = Case(f"{model.name}, responses around {FAR:g}", model, data, centre, 1e-13)
    document = claimed.forged(certificate.document, certificate, case)
    yield proved_again(case.name, document, data, model, certificate)


def proved_again(name: str, document: Document, data: Any, model: Model, certificate: Certificate) -> Evidence:
    checked = check_again(document, data, model=model)
    what = r"bound on $\lambda_{\max}(M)$ over the region, and all that follows, proved again in ball arithmetic"
    witness = None if checked.valid else {"rejected": checked.reason}
    bound, found = document["bound"]["lambda_upper"], certificate.found.value
    return Evidence("bound", name, what, checked.valid, bound, found, witness=witness, relation="≥")


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


# Forgeries -----------------------------------------------------------------------------------------------------


def _larger(new: Document, certificate: Certificate, case: Case) -> None:
    """Until a point of it has a λ_max that is more than the bound; with a lower curvature that may well hold there."""
    data: Finite = case.law  # type: ignore[assignment]
    statistics, region = Statistics(case.model, data), certificate.region
    while adversary(statistics, region).value <= certificate.lambda_upper:
        region = replace(region, radius=1.3 * region.radius)
    new["region"]["radius"] = region.radius
    new["curvature"]["lower"] *= 1e-6


def _faster(new: Document, certificate: Certificate, _: Case) -> None:
    """α between that of the centre and that of the worst point found, which the forger does not show."""
    _of_the_centre(new, certificate)
    new["bound"]["alpha"] = 1 - (certificate.lambda_centre + 3 * certificate.found.value) / 4


def _as_at_the_centre(new: Document, certificate: Certificate, _: Case) -> None:
    _of_the_centre(new, certificate)
    new["bound"]["alpha"] = 1 - certificate.lambda_centre * (1 + 1e-6)


def _of_the_centre(new: Document, certificate: Certificate) -> None:
    new["found"] = {"lambda": certificate.lambda_centre, "theta": new["centre"]}


def _steeper(new: Document, certificate: Certificate, case: Case) -> None:
    new["curvature"]["lower"] = 1.001 * _curvature(certificate, case)[0]


def _flatter(new: Document, certificate: Certificate, case: Case) -> None:
    new["curvature"]["upper"] = 0.999 * _curvature(certificate, case)[-1]


def _curvature(certificate: Certificate, case: Case) -> Array:
    """Eigenvalues of G'∇²A G at the centre, rising: no bound on the region can lie between them."""
    g = certificate.region.matrix
    return np.linalg.eigvalsh(g.T @ complete_information(case.model, case.law, certificate.region.centre) @ g)


def _stationary(new: Document, *_: Any) -> None:
    new["stationary"]["gradient"] *= 1e-9


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

CLAIM = Claim(
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
        "a radius with a point of larger λ_max in it": Mutant("constant", Sound(forged(_larger))),
        "a forged α, between the centre's and that of the worst point": Mutant("rate", Sound(forged(_faster))),
        "α as at the centre": Mutant("rate", Sound(forged(_as_at_the_centre))),
        "rounding left out, responses far from 0": Mutant("term", Sound(rounding=False)),
        "the curvature's lower bound too large": Mutant("constant", Sound(forged(_steeper))),
        "the curvature's upper bound too small": Mutant("constant", Sound(forged(_flatter))),
        "the gradient's bound a billionth of itself": Mutant("constant", Sound(forged(_stationary))),
    },
    order=200,
    section=SECTION,
    figures=figures,
    pages=pages,
)
