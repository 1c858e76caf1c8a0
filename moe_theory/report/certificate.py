"""A certificate as a figure and as a page that a referee can read."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from moe_theory.certificates.certificate import Certificate
from moe_theory.certificates.curve import Curve
from moe_theory.certificates.rounding import at_least, at_most
from moe_theory.report.figures import BOUND, GAP, INK, ITERATES, Picture
from moe_theory.report.page import environment, versions
from moe_theory.report.svg import on_dark, picture

CEILING = 1.12  # of λ_max in the figure
STYLES = {
    "worst-case": (BOUND, "proved, worst case of every row"),
    "taylor": (ITERATES, "proved, expansion to first order"),
}


def certificate_figure(curve: Curve, title: str | None = None) -> Figure:
    """The proved bounds on λ_max(M) over regions of growing radius, above the largest λ_max found; the certificate's
    own point, and the radius r0 from which on EM was proved to converge."""
    c = curve.certificate
    figure = Picture(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    radii, start = np.concatenate([[0.0], curve.radii]), [c.lambda_centre]
    best = np.minimum.reduce(list(curve.bounds.values()))
    highest = float(np.max(best[np.isfinite(best)], initial=c.lambda_centre))
    # Room for the curves: up to 1 and a little more if they come near it, and not from 0 if they start high.
    top = min(CEILING, 2 - c.lambda_centre) if highest > 0.4 else 1.3 * highest
    bottom = max(0.0, c.lambda_centre - 2 * (top - c.lambda_centre))
    found = np.concatenate([start, curve.found])
    known = np.concatenate([start, np.where(np.isfinite(best), best, top)])
    axes.fill_between(radii, found, np.minimum(known, top), color=ITERATES, alpha=0.09, linewidth=0)
    for method, values in curve.bounds.items():
        colour, label = STYLES[method]
        shown = np.where(np.isfinite(values), values, np.nan)
        axes.plot(radii, np.concatenate([start, shown]), color=colour, linewidth=1.7, label=label)
    axes.plot(radii, found, "o-", color=GAP, markersize=3.5, linewidth=1.2, label="largest found by search (no proof)")
    small: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8.5, "color": INK}
    if top >= 1:
        axes.axhline(1.0, color=INK, linewidth=0.8, linestyle=":")
        axes.annotate("1: no linear rate above", (radii[-1], 1.0), xytext=(-3, 4), ha="right", **small)
    if c.certified and c.basin is not None:
        label = (
            rf"this certificate: $\lambda_{{\max}}(M)\leq {at_least(c.lambda_upper, 3)}$ for $r={at_most(c.radius, 3)}$"
        )
        point: dict[str, Any] = {"markersize": 7, "markeredgecolor": "white", "zorder": 5, "linestyle": "none"}
        axes.plot([c.radius], [c.lambda_upper], marker="D", color=ITERATES, label=label, **point)
        axes.axvspan(0, c.basin.radius, color=GAP, alpha=0.12, linewidth=0)
        axes.annotate(rf"starts, $r_0={at_most(c.basin.radius, 3)}$", (c.basin.radius, bottom), xytext=(4, 6), **small)
    axes.set(xlim=(0, radii[-1]), ylim=(bottom, top))
    axes.set_xlabel(rf"radius r of the region ${_norm(c)} \leq r$")
    axes.set_ylabel(r"$\lambda_{\max}(M(\theta))$ on the region")
    axes.set_title(title or f"{c.model.name}, {c.source.rows} rows", loc="left", color=INK, fontsize=11)
    axes.grid(True, which="major", alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    other = axes.secondary_yaxis("right", functions=(_complement, _complement))
    other.set_ylabel(r"$\alpha = 1-\lambda_{\max}$")
    axes.legend(fontsize=8.5, loc="best", facecolor="white", edgecolor="none", framealpha=0.9)
    return figure


def _complement(value: Any) -> Any:
    """α from λ_max and back (figures travel between processes, so this has a name)."""
    return 1 - value


def theorem(c: Certificate) -> list[str]:
    """What is proved, in numbers: prose with LaTeX between dollar signs."""
    norm = _norm(c)
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


def _norm(c: Certificate) -> str:
    return r"\|\theta-c\|" if c.region.factor is None else r"\|\theta-c\|_H"


def _starts(c: Certificate) -> str:
    """Which starts are in the basin: a ball around c where one was proved, and a Bregman ball around θ̂."""
    basin = c.proved.basin
    ball = rf"${_norm(c)} \le r_0 = {at_most(basin.radius, 4)}$, or with " if basin.radius > 0 else ""
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
