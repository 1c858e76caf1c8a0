"""The report as one HTML page that needs nothing else: no network, no script, figures as SVG, mathematics as MathML."""

from __future__ import annotations

import copy
import io
import json
import math
import platform
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from numbers import Real
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from matplotlib.text import Text

import moe_theory
from moe_theory.claims.claim import Result
from moe_theory.claims.evidence import Evidence
from moe_theory.claims.instances import KEYS
from moe_theory.report.mathml import plain, prose

PACKAGES = ("NumPy", "SciPy", "SymPy", "mpmath")  # whose versions are stated
DARK_PAPER = (0x15, 0x17, 0x1A)  # as in style.css
CONTRAST = 4.5  # of a figure's colours with the dark page
PALETTE = 12  # a figure with more colours than this shows a colour map, which stays as it is
_LINK = re.compile(r"arXiv[: ]\s*(?P<arxiv>\d{4}\.\d{4,5})|doi:\s*(?P<doi>10\.[^\s,;)]+)|(?P<url>https?://[^\s,;)]+)")
_SECONDS = re.compile(r'(<(\w+)[^<>]*\bclass="seconds"[^<>]*>)[^<]*(?=</\2>)')
_COLOUR = re.compile(r"#([0-9a-f]{6})\b")


def html_report(
    results: Sequence[Result],
    figures: Mapping[str, Mapping[str, Figure]],
    *,
    seed: int,
    seconds: float,
    command: str,
    quick: bool,
) -> str:
    """One self-contained page for all results.

    figures: {claim id: {file stem: figure}}; a figure's caption is its label (`figure.set_label`), else its title, else
    its stem. The same results and seed give the same page but for its timings (see `without_timings`).
    """
    sections: dict[str, list[Result]] = {}
    for result in results:
        sections.setdefault(result.claim.section, []).append(result)
    drawn: dict[str, list[dict[str, Any]]] = {}
    colours: set[str] = set()
    for claim in (r.claim.id for members in sections.values() for r in members):
        for stem, figure in figures.get(claim, {}).items():
            count = 1 + sum(map(len, drawn.values()))
            caption, picture, used = _picture(figure, stem, f"_f{count}")
            drawn.setdefault(claim, []).append({"count": count, "caption": caption, "svg": picture})
            colours |= used
    template = _environment().get_template("report.html.j2")
    return template.render(
        results=results,
        sections=sections,
        figures=drawn,
        colours={c: _on_dark(c) for c in sorted(colours)},
        verdicts=Counter(r.verdict for r in results),
        refuted=[r for r in results if r.printed is not None and r.printed.verdict == "refuted"],
        killed=sum(r.killed for r in results),
        total=sum(r.total for r in results),
        seed=seed,
        seconds=seconds,
        command=command,
        quick=quick,
        versions={
            "moe_theory": moe_theory.__version__,
            "Python": platform.python_version(),
            **{name: version(name.lower()) for name in PACKAGES},
        },
    )


def without_timings(html: str) -> str:
    """The page without the text of its timings: the same for two runs with the same input and seed."""
    return _SECONDS.sub(r"\1", html)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("moe_theory.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (prose, number, comparison, brief, complaints, linked, exact, witnessed):
        environment.filters[function.__name__] = function
    return environment


# What the template shows of a result


def number(value: Any, digits: int = 8) -> Markup:
    """A number with that many digits, powers of ten as such; other values as their text."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return escape("" if value is None else value)
    value = float(value)
    if not math.isfinite(value):
        return escape("not a number" if math.isnan(value) else "∞" if value > 0 else "−∞")
    plainly = value == 0 or 1e-3 <= abs(value) < 10**digits
    mantissa, _, exponent = (f"{value:.{digits}g}" if plainly else f"{value:.{digits - 1}e}").partition("e")
    mantissa = mantissa if plainly else mantissa.rstrip("0").rstrip(".")
    power = Markup("\u202f×\u202f10<sup>{}</sup>").format(_minus(str(int(exponent)))) if exponent else ""
    return Markup('<span class="number">{}{}</span>').format(_minus(mantissa), power)


def _minus(digits: str) -> str:
    return digits.replace("-", "−")


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
    return shlex.quote(json.dumps(instance, default=_jsonable)) if complete else ""


def linked(source: str) -> Markup:
    """A source with its arXiv numbers, DOIs and addresses as links."""
    parts, end = [], 0
    for found in _LINK.finditer(source):
        arxiv, doi, url = found.group("arxiv", "doi", "url")
        target = f"https://arxiv.org/abs/{arxiv}" if arxiv else f"https://doi.org/{doi}" if doi else url
        parts += [escape(source[end : found.start()]), Markup('<a href="{}">{}</a>').format(target, found[0])]
        end = found.end()
    return Markup("").join([*parts, escape(source[end:])])


def exact(value: Any) -> str:
    """A witness's value with all its digits, as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_jsonable)


def _jsonable(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


# Figures


def _picture(figure: Figure, stem: str, prefix: str) -> tuple[str, Markup, set[str]]:
    """(caption, SVG to be inlined, colours to be lightened on a dark page)."""
    figure = copy.deepcopy(figure)  # drawing moves the axes of a constrained layout: the next drawing would differ
    top = figure.get_suptitle()
    titles = [top] if top else [a.get_title(loc) for a in figure.axes for loc in ("left", "center", "right")]
    title = max(titles, key=bool, default="") if sum(map(bool, titles)) == 1 else ""
    caption = str(figure.get_label() or title or stem.replace("-", " ").replace("_", " "))
    for text in figure.findobj(Text):  # what the caption says need not stand in the picture too
        text.set_visible(text.get_visible() and not title == caption == text.get_text())
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "moe_theory", "svg.fonttype": "path", "svg.image_inline": True}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return caption, *_inlined(buffer.getvalue(), plain(caption), prefix)


def _inlined(svg: str, label: str, prefix: str) -> tuple[Markup, set[str]]:
    """An SVG file's root as part of a page: ids of its own, and colours that follow the page's."""
    root = ElementTree.fromstring(svg)
    referenced = re.findall(r'(?:href="|url\()#([^")]+)', svg)
    ids = {name: f"{prefix}-{i}" for i, name in enumerate(dict.fromkeys(referenced))}
    found = {c for c in _COLOUR.findall(svg) if not _neutral(c)}
    colours = found if len(found) <= PALETTE else set()
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        name = ids.get(attributes.pop("id", ""))
        element.attrib.clear()
        for key, value in attributes.items():
            value = re.sub(r"#([^\s\")]+)", lambda m: "#" + ids.get(m[1], m[1]), value) if "#" in value else value
            element.set(key, _COLOUR.sub(lambda m: _paint(m[1], colours), value) if key == "style" else value)
        if name is not None:
            element.set("id", name)
        element.text = element.tail = None
        for child in [c for c in element if c.tag.endswith(("}metadata", "}style"))]:
            element.remove(child)
    width, height = (float(n) for n in root.attrib["viewBox"].split()[2:])
    root.attrib.pop("version", None)
    size = {"width": f"{width * 4 / 3:.0f}", "height": f"{height * 4 / 3:.0f}"}
    root.attrib |= {**size, "role": "img", "aria-label": label}
    title = ElementTree.Element("title")
    title.text = label
    root.insert(0, title)
    return Markup(ElementTree.tostring(root, encoding="unicode")), colours


def _neutral(colour: str) -> bool:
    """Ink or paper."""
    rgb = _rgb(colour)
    return max(rgb) - min(rgb) <= 16 and (max(rgb) <= 0x66 or min(rgb) >= 0xF5)


def _paint(colour: str, themed: set[str]) -> str:
    """A colour for a style: the page's ink or paper, a variable that dark pages set, or itself."""
    if _neutral(colour):
        return "currentColor" if max(_rgb(colour)) <= 0x66 else "var(--paper)"
    return f"var(--c{colour}, #{colour})" if colour in themed else f"#{colour}"


def _on_dark(colour: str) -> str:
    """The colour mixed with as much white as it takes to be read on the dark page."""
    rgb = np.array(_rgb(colour), float)
    for white in np.linspace(0, 1, 21):
        mixed = rgb + white * (255 - rgb)
        if (_luminance(mixed) + 0.05) / (_luminance(DARK_PAPER) + 0.05) >= CONTRAST:
            break
    return "#" + "".join(f"{round(c):02x}" for c in mixed)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour))


def _luminance(rgb: Any) -> float:
    """Relative luminance as WCAG defines it."""
    c = np.asarray(rgb) / 255
    return float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])
