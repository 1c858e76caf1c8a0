"""Figures as SVG inside a page: ids of their own, ink and paper that follow the page's."""

from __future__ import annotations

import copy
import io
import re
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.text import Text

from moe_theory.report import themes
from moe_theory.report.mathml import plain

DARK_PAPER = tuple(bytes.fromhex(themes.DARK.paper[1:]))  # as in style.css
DARKER = themes.on_dark()
LEAST, REM = (
    5.5,
    9.0,
)  # on the page, for an inch in print: letters of about 9 pixels at least, of 14 where there is room
CONTRAST = 4.5  # of a figure's colours with the dark page
PALETTE = 12  # a figure with more colours than this shows a colour map, which stays as it is
_COLOUR = re.compile(r"#([0-9a-f]{6})\b")


def picture(figure: Figure, stem: str, prefix: str) -> tuple[str, Markup, set[str]]:
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
    size["style"] = f"min-width: {width / 72 * LEAST:.1f}rem; max-width: {width / 72 * REM:.1f}rem"
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


def on_dark(colour: str) -> str:
    """Of the light theme: its own in the dark one. Another: mixed with as much white as it takes to be read there."""
    if f"#{colour}" in DARKER:
        return DARKER[f"#{colour}"]
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
