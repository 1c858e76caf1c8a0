"""The report as one HTML page that needs nothing else: no network, no script, figures as SVG, mathematics as MathML."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from moe_theory.claims.claim import Result
from moe_theory.claims.evidence import Evidence
from moe_theory.claims.instances import KEYS
from moe_theory.report.page import environment, jsonable, number, versions
from moe_theory.report.svg import on_dark, picture

_SECONDS = re.compile(r'(<(\w+)[^<>]*\bclass="seconds"[^<>]*>)[^<]*(?=</\2>)')


def html_report(
    results: Sequence[Result],
    figures: Mapping[str, Mapping[str, Figure]],
    pages: Mapping[str, Mapping[str, str]] | None = None,
    *,
    seed: int,
    seconds: float,
    command: str,
    quick: bool,
) -> str:
    """One self-contained page for all results.

    figures: {claim id: {file stem: figure}}; a figure's caption is its label (`figure.set_label`), else its title,
    else its stem. pages: {claim id: {file stem: a page of its own}}, linked to. The same results and seed give the
    same page but for its timings (see `without_timings`).
    """
    sections: dict[str, list[Result]] = {}
    for result in results:
        sections.setdefault(result.claim.section, []).append(result)
    drawn: dict[str, list[dict[str, Any]]] = {}
    colours: set[str] = set()
    for claim in (r.claim.id for members in sections.values() for r in members):
        for stem, figure in figures.get(claim, {}).items():
            count = 1 + sum(map(len, drawn.values()))
            caption, drawing, used = picture(figure, stem, f"_f{count}")
            drawn.setdefault(claim, []).append({"count": count, "caption": caption, "svg": drawing})
            colours |= used
    templates = environment()
    for function in (comparison, brief, complaints, witnessed):
        templates.filters[function.__name__] = function
    return templates.get_template("report.html.j2").render(
        results=results,
        sections=sections,
        figures=drawn,
        pages={claim: sorted(made) for claim, made in (pages or {}).items()},
        colours={c: on_dark(c) for c in sorted(colours)},
        verdicts=Counter(r.verdict for r in results),
        refuted=[r for r in results if r.printed is not None and r.printed.verdict == "refuted"],
        killed=sum(r.killed for r in results),
        total=sum(r.total for r in results),
        seed=seed,
        seconds=seconds,
        command=command,
        quick=quick,
        versions=versions(),
    )


def without_timings(html: str) -> str:
    """The page without the text of its timings: the same for two runs with the same input and seed."""
    return _SECONDS.sub(r"\1", html)


# What the template shows of a result


def comparison(e: Evidence) -> Markup:
    """What was computed against what was predicted, on one line."""
    if e.kind == "identity":
        words = {True: "≡ 0", None: "not reduced to 0", False: "≠ 0: <code>{}</code>"}
        if e.relation == ">":
            words = {True: "&gt; 0", None: "undecided", False: "not &gt; 0: <code>{}</code>"}
        return Markup(words[e.holds]).format(e.computed)
    if e.computed is None:
        return Markup("")
    text = number(e.computed)
    if e.predicted is not None:
        between = ("≥" if e.holds else "not ≥") if e.relation == "≥" else "against"
        text += Markup(" {} ").format(between) + number(e.predicted)
        text += " ± " + number(e.error, 2) if e.error else ""
    return text


def brief(evidence: Sequence[Evidence]) -> Markup:
    """The evidence in short, and the comparison that came closest to its error."""
    identities = [e for e in evidence if e.kind == "identity"]
    numeric = [e for e in evidence if e.kind in ("estimate", "bound")]
    parts = [_count(identities, "identity", "identities"), _count(numeric, "numeric check", "numeric checks")]
    compared = [e for e in numeric if e.relation != "≥"]
    used = [(d, e.error) for e in compared if e.error and (d := _distance(e)) <= e.error]
    text = Markup(", ").join(part for part in parts if part) or Markup("none")
    if used:
        distance, error = max(used, key=lambda pair: pair[0] / pair[1])
        text += Markup("; closest: {} of {} allowed").format(number(distance, 2), number(error, 2))
    return text


def _count(evidence: Sequence[Evidence], one: str, many: str) -> str:
    held = sum(e.holds is True for e in evidence)
    short = "" if held == len(evidence) else f"{held} of "
    return f"{short}{len(evidence)} {one if len(evidence) == 1 else many}" if evidence else ""


def _distance(e: Evidence) -> float:
    if isinstance(e.computed, Real) and isinstance(e.predicted, Real):
        return abs(float(e.computed) - float(e.predicted))
    return math.inf


def complaints(result: Result) -> list[str]:
    """Everything about a result that is not as expected, in words."""
    claim, found = result.claim, []
    if result.verdict != claim.expected:
        found.append(f"the verdict is {result.verdict}, expected {claim.expected}")
    found += [f"mutant survives: {name}" for name, o in result.mutants.items() if o.verdict != "refuted"]
    if claim.printed and result.printed and result.printed.verdict != claim.printed.expected:
        found.append(f"as printed it is {result.printed.verdict}, expected {claim.printed.expected}")
    for hypothesis, without in zip(claim.hypotheses, result.dropped, strict=True):
        if hypothesis.needed and without.verdict != "refuted":
            found.append(f"{without.verdict} without a hypothesis said to be needed: {hypothesis.text}")
        elif not hypothesis.needed and hypothesis.text not in result.not_needed:
            found.append(f"{without.verdict} without a hypothesis said not to be needed: {hypothesis.text}")
    return found


def witnessed(result: Result) -> str:
    """The witness against the printed statement, quoted for a shell as `moe-theory refute CLAIM --at` takes it; empty
    where there is none or it is not an instance."""
    against = result.printed.against if result.printed else None
    witness = (against.witness if against else None) or {}
    instance = {key: witness[key] for key in sorted(KEYS) if key in witness}
    complete = result.claim.search is not None and KEYS - {"weight"} <= set(instance)
    return shlex.quote(json.dumps(instance, default=jsonable)) if complete else ""
