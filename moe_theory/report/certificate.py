"""A certificate as a figure and as a page that a referee can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_theory.certificates.certificate import Certificate
from moe_theory.certificates.curve import Curve
from moe_theory.certificates.rounding import at_least, at_most
from moe_theory.report import style
from moe_theory.report.drawing import drawing
from moe_theory.report.page import environment, versions
from moe_theory.report.style import Picture
from moe_theory.report.svg import on_dark, picture
from moe_theory.report.themes import theme

LAMBDA = r"$\lambda_{\max}(M(\theta))$ on the region"
CEILING = 1.12  # of λ_max in the figure


@dataclass(frozen=True)
class CertificatePoint:
    """Regions of one radius. found: the largest λ_max(M) a search came to. worst_case, taylor: proved bounds by each
    method, inf where none. The certificate itself, the same in all rows: its radius, lambda_upper and basin (r₀), nan
    where nothing was proved; ellipsoid: whether distances are in the metric ∇²A at the centre."""

    radius: float
    found: float
    worst_case: float
    taylor: float
    certified_radius: float
    lambda_upper: float
    basin: float
    ellipsoid: bool


def certificate_points(curve: Curve) -> list[CertificatePoint]:
    """What `certificate_figure` draws; the first row is the centre."""
    c, ellipsoid = curve.certificate, curve.certificate.region.factor is not None
    radius, upper, basin = np.nan, np.nan, np.nan
    if c.certified and c.basin is not None:
        radius, upper, basin = float(c.radius), float(c.lambda_upper), float(c.basin.radius)
    return [
        CertificatePoint(float(r), float(found), float(worst), float(first), radius, upper, basin, ellipsoid)
        for r, found, worst, first in zip(
            [0.0, *curve.radii],
            [c.lambda_centre, *curve.found],
            [c.lambda_centre, *curve.bounds["worst-case"]],
            [c.lambda_centre, *curve.bounds["taylor"]],
            strict=True,
        )
    ]


@drawing("certificate", certificate=CertificatePoint)
def draw_certificate(points: Sequence[CertificatePoint], title: str) -> Picture:
    """The figure of such a table."""
    radii, found, worst, taylor = np.array([(p.radius, p.found, p.worst_case, p.taylor) for p in points]).T
    own, centre = points[0], points[0].found
    best = np.minimum(worst, taylor)
    highest = float(np.max(best[np.isfinite(best)]))
    # Room for the curves: up to 1 and a little more if they come near it, and not from 0 if they start high.
    top = min(CEILING, 2 - centre) if highest > 0.4 else 1.3 * highest
    bottom = max(0.0, centre - 2 * (top - centre))
    picture, axes = style.panel(height=3.4)
    look = picture.theme
    style.band(axes, radii, found, np.minimum(np.where(np.isfinite(best), best, top), top), 0, alpha=0.1)
    proofs = (
        (worst, None, "v", "proved bound, worst case of every row"),
        (taylor, 0, "^", "proved bound, expansion to first order"),
    )
    for values, slot, marker, label in proofs:
        shown = np.where(np.isfinite(values), values, np.nan)
        style.bound(axes, radii, shown, slot, label, marker=marker, markersize=3.4, linewidth=1.4)
    style.measured(axes, radii, found, 1, "largest found by search (no proof)", markevery=1, linewidth=1.6)
    if top >= 1:
        style.reference(axes, [0, radii[-1]], [1.0, 1.0], "1: no linear rate above")
    if np.isfinite(own.lambda_upper):
        at = rf"$\lambda_{{\max}}(M)\leq {at_least(own.lambda_upper, 3)}$ for $r={at_most(own.certified_radius, 3)}$"
        point: dict[str, Any] = {"marker": "D", "markersize": 6, "markeredgecolor": look.paper, "zorder": 5}
        whole = {"color": look.ink, "linestyle": "none", "label": f"this certificate: {at}"}
        axes.plot([own.certified_radius], [own.lambda_upper], **(point | whole))
        axes.axvspan(0, own.basin, color=look.colour(4), alpha=0.16, linewidth=0)
        style.note(axes, rf"starts, $r_0={at_most(own.basin, 3)}$", (own.basin, bottom), (3, 4))
    axes.set(xlim=(0, radii[-1]), ylim=(bottom, top))
    style.names(axes, rf"radius $r$ of the region ${_norm(own.ellipsoid)} \leq r$", LAMBDA)
    style.title(axes, title)
    other = axes.secondary_yaxis("right", functions=(_complement, _complement))
    other.set_ylabel(r"$\alpha = 1-\lambda_{\max}$")
    style.ink(other)
    style.legend(axes)
    return picture


def certificate_figure(curve: Curve, title: str | None = None) -> Picture:
    """The proved bounds on λ_max(M) over regions of growing radius, above the largest λ_max found; the certificate's
    own point, and the radius r0 from which on EM was proved to converge."""
    c = curve.certificate
    return draw_certificate(certificate_points(curve), title or f"{c.model.name}, {c.source.rows} rows")


def _complement(value: Any) -> Any:
    """α from λ_max and back (figures travel between processes, so this has a name)."""
    return 1 - value


def theorem(c: Certificate) -> list[str]:
    """What is proved, in numbers: prose with LaTeX between dollar signs."""
    norm = _norm(c.region.factor is not None)
    return [
        rf"For all $\theta$ with ${norm} \le r = {at_most(c.radius)}$: $\lambda_{{\max}}(M(\theta)) <"
        rf" {at_least(c.lambda_upper, 8)}$; that is, $L$ is $\alpha$-strongly convex relative to $A$ there, with"
        rf" $\alpha = {at_most(c.alpha, 8)}$.",
        r"Exactly one stationary point $\hat\theta$ of $L$ lies there. It is enclosed below.",
        rf"From every $\theta_1$ with {_starts(c)}, EM's iterates exist and stay in the region; after"
        r" every number $T$ of steps $B_A(\hat\theta\|\theta_{T+1}) \le (1-\alpha)^T B_A(\hat\theta\|\theta_1)$ and"
        r" $L(\theta_{T+1}) - L(\hat\theta) \le (1-\alpha)^T B_A(\hat\theta\|\theta_1)$.",
    ]


def proof(c: Certificate) -> list[str]:
    """Why it holds, in short."""
    basin = c.proved.basin
    gradient, distance = _power(basin.gradient), _power(basin.distance)
    return [
        r"Each row's weight in the missing information is $\sigma'(\tau_i)$ with the posterior logit $\tau_i$ affine"
        r" in $\theta$, and so is the gate's in $\nabla^2 A$. On the region every argument stays in a known interval:"
        r" this gives matrices with $I_{z|x,y}(\theta) \preceq \bar I$ and $\nabla^2 A(\theta) \succeq \underline{A}$"
        r" for all $\theta$ of the region at once. The sharper method keeps what is of first order in $\theta$.",
        r"One positive definite matrix, $(1-\alpha)\underline{A} - \bar I \succ 0$, therefore proves 1. It was tested"
        r" by a Cholesky factorisation that allows for its own rounding (Rump, BIT 46, 2006), all sums with their"
        r" a-priori errors (Higham, SIAM 2002).",
        r"In the region's coordinates $\nabla^2 L = \nabla^2 A - I_{z|x,y} \succeq \alpha\mu$,"
        rf" $\mu = {at_most(basin.lower)}$, and the gradient at $c$ is at most $\varepsilon = {gradient}$. As"
        rf" $e = \varepsilon/(\alpha\mu) = {distance}$ is below $r$, 2 follows, with $\hat\theta$ within $e$ of $c$.",
        r"Where $B_A(\hat\theta\|\cdot) < b = \mu(r-e)^2/2$ one is in the region. By the three-point identity EM's step"
        r" from there, taken among the points of the region, has"
        r" $B_A(\hat\theta\|\theta^+) + L(\theta^+) - L(\hat\theta) \le (1-\alpha) B_A(\hat\theta\|\theta)$; so it"
        r" ends inside, and is EM's step without that constraint. With"
        rf" $\nabla^2 A \preceq \nu = {at_least(basin.upper)}$ near $c$, $\nu(r_0+e)^2/2 < b$ gives 3.",
    ]


def _norm(ellipsoid: bool) -> str:
    return r"\|\theta-c\|_H" if ellipsoid else r"\|\theta-c\|"


def _starts(c: Certificate) -> str:
    """Which starts are in the basin: a ball around c where one was proved, and a Bregman ball around θ̂."""
    basin = c.proved.basin
    norm = _norm(c.region.factor is not None)
    ball = rf"${norm} \le r_0 = {at_most(basin.radius, 4)}$, or with " if basin.radius > 0 else ""
    return ball + rf"$B_A(\hat\theta\|\theta_1) < {at_most(basin.divergence, 4)}$"


def _lead(c: Certificate) -> str:
    return (
        rf"For the {c.model.name} model on these {c.source.rows} rows, EM from every start with"
        rf" {_starts(c)} converges to one and the same stationary point; each step divides its"
        rf" divergence from it by {at_most(1 / c.lambda_upper, 4)} at least. This is proved, not estimated."
    )


def _setting(c: Certificate) -> str:
    text = r"$L$ is the negative log-likelihood per row, $A$ the mirror map, $M = (\nabla^2 A)^{-1} I_{z|x,y}$ the"
    text += r" missing-information matrix, $B_A$ the Bregman divergence, and $c$ the centre of the region."
    if c.region.factor is not None:
        text += r" $\|\theta-c\|_H^2 = \sum_a (\theta_a-c_a)' H_a (\theta_a-c_a)$ over the predictors, with $H_a$ the"
        text += r" blocks of $\nabla^2 A(c)$ (as the file has them)."
    return text


def _power(value: float) -> str:
    """In LaTeX, rounded up."""
    mantissa, exponent = f"{float(at_least(value, 3)):.2e}".split("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"


def certificate_page(certificate: Certificate, curve: Curve, data: str) -> str:
    """One self-contained HTML page: what is proved, of what, from which hypotheses and how; data: what to call it.
    InputError where nothing was proved."""
    with theme("light"):  # the page makes it dark where it is
        figure = certificate_figure(curve, "")
    figure.set_label("Bounds on λ_max(M) against the region's radius")
    caption, drawing, colours = picture(figure, "certificate", "_c")
    c = certificate
    features = c.source.features or tuple(f"x{j + 1}" for j in range(c.region.centre.shape[1]))
    point = [
        (name, feature, float(middle), float(max(high - middle, middle - low)))
        for name, row, lows, highs in zip(c.model.predictors, c.region.centre, *c.proved[1:], strict=True)
        for feature, middle, low, high in zip(features, row, lows, highs, strict=True)
    ]
    return (
        environment()
        .get_template("certificate.html.j2")
        .render(
            c=c,
            data=data,
            lead=_lead(c),
            setting=_setting(c),
            theorem=theorem(c),
            proof=proof(c),
            features=features,
            point=point,
            caption=caption,
            figure=drawing,
            colours={colour: on_dark(colour) for colour in sorted(colours)},
            document=c.document,
            versions=versions(),
        )
    )
