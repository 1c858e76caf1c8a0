"""Prose with LaTeX between dollar signs, as HTML with MathML. Everything that is not mathematics is escaped."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert_to_element
from markupsafe import Markup, escape

_DOLLARS = re.compile(r"(?<!\\)(\${1,2})([^$]+?)(?<!\\)\1")
# latex2mathml sets \mathrm{d} in italics and cannot read \operatorname* or \arg; as text they come out upright.
_UPRIGHT = re.compile(r"\\(?:mathrm|operatorname\*?)\s*\{([^{}]*)\}|\\(arg)(?![a-zA-Z])")
# What is kept of the converter's output: MathML Core less links, styles and classes.
_TAGS = re.compile(
    "math|mrow|mi|mn|mo|mtext|mspace|mstyle|mfrac|msqrt|mroot|msub|msup|msubsup|munder|mover|munderover"
    "|mtable|mtr|mtd|mpadded|mphantom"
)
_ATTRIBUTES = re.compile(
    "stretchy|fence|form|accent|accentunder|movablelimits|minsize|maxsize|width|height|depth|displaystyle|scriptlevel"
    "|linethickness|columnalign|symmetric|largeop|lspace|rspace"
)
_TOKENS = {"mi", "mn", "mo", "mtext"}
_SCRIPTED = {"msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}
_ARITY = {**dict.fromkeys(_TOKENS, 0), **_SCRIPTED, "mfrac": 2, "mroot": 2}
_OPEN, _CLOSE = set("([{⟨⌊⌈"), set(")]}⟩⌋⌉")
_ORDINARY = set("∇∂∞∅∀∃ℏ⊤⊥")
_UPRIGHT_GREEK = set("ΓΔΘΛΞΠΣΥΦΨΩ")
_RELATIONS = set("=≠<>≤≥≪≫≡≈≃≅∼∝∈⊂⊆⪯⪰≺≻≔→↦⇒⇔⟹⟺⟸∣,;")
_THIN = "0.167em"
_WHOLE, _LONG = 14, 16  # characters: up to which a formula is not broken, beyond which a piece may have to scroll


def prose(text: str) -> Markup:
    """Text with each `$…$` turned into MathML; what cannot be turned is shown as its source in <code>.

    >>> prose("$x$ < 1, not $\\\\frac$")
    Markup('<math><mi>x</mi></math> &lt; 1, not <code class="tex">\\\\frac</code>')
    """
    parts, end = [], 0
    for found in _DOLLARS.finditer(text):
        parts += [_text(text[end : found.start()]), mathml(found[2])]
        end = found.end()
    return Markup("").join([*parts, _text(text[end:])])


def plain(text: str) -> str:
    """Text without its dollar signs, for places that hold no markup."""
    return _DOLLARS.sub(r"\2", text).replace(r"\$", "$")


def mathml(latex: str) -> Markup:
    """MathML of a formula, in pieces between which a line may break; its source in <code> if there is none."""
    try:
        row = _tidy(convert_to_element(_UPRIGHT.sub(_as_text, latex.strip())))
    except Exception:  # the converter fails in many ways, and a formula must not cost the report
        return Markup('<code class="tex">{}</code>').format(latex.strip())
    items = list(row[0] if len(row) == 1 and row[0].tag == "mrow" else row)
    return Markup("<wbr>").join(_math(piece) for piece in _pieces(items))


def _text(text: str) -> Markup:
    return escape(text.replace(r"\$", "$"))


def _as_text(found: re.Match[str]) -> str:
    words = (found[1] or found[2] or "").split(r"\,")
    return r"\,".join(rf"\text{{{word}}}" for word in words)


def _math(items: list[Element]) -> Markup:
    math = Element("math")
    math.extend(items)
    source = Markup(ElementTree.tostring(math, encoding="unicode"))
    return source if _length(items) <= _LONG else Markup('<span class="long-math">{}</span>').format(source)


def _tidy(element: Element) -> Element:
    """The same formula with MathML Core's elements and attributes only, every name and operator marked as what it is.

    ValueError for what the converter did not understand. Its output is not trusted: text is escaped on the way out, and
    links, styles and classes are dropped.
    """
    text = html.unescape(element.text or "")
    complete = len(element) == _ARITY.get(element.tag, len(element))
    if not _TAGS.fullmatch(element.tag) or not complete or ("\\" in text and element.tag != "mtext"):
        raise ValueError(f"not MathML: {element.tag} {text}")
    new = Element(element.tag, {k: v for k, v in element.attrib.items() if _ATTRIBUTES.fullmatch(k)})
    new.text = text or None
    if new.get("width") == "negativethinmathspace":
        new.set("width", f"-{_THIN}")
    if element.tag in _TOKENS:
        return _token(new, element.get("mathvariant"))
    children = [_tidy(child) for child in element]
    if element.tag == "mrow" and len(children) == 1:
        return children[0]
    new.extend(_spaced(children) if element.tag in ("math", "mrow", "mtd", "mstyle") else children)
    return new


def _token(new: Element, variant: str | None) -> Element:
    text = new.text or ""
    word = text.replace("\u2009", "").replace("\xa0", "")
    if new.tag == "mi" and len(text) == 1 and _is_operator(text):
        new.tag, new.text = "mo", text.replace("~", "∼")
        if text in _OPEN | _CLOSE:
            new.set("stretchy", "false")
    elif text in _ORDINARY:
        new.tag = "mi"
        new.attrib = {} if text == "∂" else {"mathvariant": "normal"}
    elif word.isalpha() and ((new.tag == "mo" and len(word) > 1) or (new.tag == "mtext" and text[0] == word[0])):
        new.tag, new.attrib = "mi", {} if len(text) > 1 else {"mathvariant": "normal"}
    elif new.tag == "mi" and len(text) == 1 and (variant == "normal" or (variant is None and text in _UPRIGHT_GREEK)):
        new.set("mathvariant", "normal")
    elif variant is not None:
        new.text = "".join(_letter(c, variant) for c in text)
    return new


def _is_operator(char: str) -> bool:
    return char not in _ORDINARY and (unicodedata.category(char) == "Sm" or char in _OPEN | _CLOSE | {":"})


def _letter(char: str, variant: str) -> str:
    """A letter in bold, script …, which MathML Core writes with characters of their own."""
    name = unicodedata.name(char, "").replace("LATIN ", "").replace("GREEK ", "").replace("LETTER ", "")
    style = variant.upper().replace("BOLD-", "BOLD ")
    for candidate in (f"MATHEMATICAL {style} {name}", f"{style} {name}"):
        try:
            return unicodedata.lookup(candidate)
        except KeyError:
            continue
    return char


def _spaced(items: list[Element]) -> list[Element]:
    """With the thin spaces that TeX puts round a function's name: log det A."""
    return [part for i, item in enumerate(items) for part in _with_space(items[i - 1] if i else None, item)]


def _with_space(before: Element | None, item: Element) -> Iterator[Element]:
    named = before is not None and _is_name(before) and _starts_term(item)
    if named or (before is not None and _is_name(item) and (_starts_term(before) or _core(before) in _CLOSE)):
        yield Element("mspace", {"width": _THIN})
    yield item


def _is_name(item: Element) -> bool:
    base = item[0] if item.tag in _SCRIPTED else item
    return base.tag == "mi" and len(base.text or "") > 1


def _starts_term(item: Element) -> bool:
    """Whether the item is an operand and not an operator, a bracket, a space or text with its own spaces."""
    base = item
    while len(base) and (base.tag in _SCRIPTED or base.tag == "mrow"):
        base = base[0]
    return base.tag not in ("mo", "mspace", "mtext")


def _core(item: Element) -> str:
    """The operator that an item is, scripts aside; or nothing."""
    base = item[0] if item.tag in _SCRIPTED else item
    return (base.text or "") if base.tag == "mo" else ""


def _length(items: list[Element]) -> int:
    return sum(len(text.strip()) for item in items for text in item.itertext())


def _pieces(items: list[Element]) -> Iterator[list[Element]]:
    """Cut a long formula where TeX would break its line: after relations, signs and commas outside all brackets."""
    if _length(items) <= _WHOLE:
        yield items
        return
    piece: list[Element] = []
    depth, rest = 0, _length(items)
    for item in items:
        before = piece[-1] if piece else None
        piece.append(item)
        core = _core(item)
        depth += (core in _OPEN) - (core in _CLOSE)
        size = _length(piece)
        sign = core in ("+", "−") and before is not None and (not _core(before) or _core(before) in _CLOSE)
        wide = item.tag == "mspace" and item.get("width") in ("1em", "2em")
        here = (core in _RELATIONS and core != "" and size > 4) or (sign and size > 9) or (wide and size > 4)
        if depth == 0 and here and rest - size > 2:
            if item.tag == "mo":
                item.set("form", "infix")
            rest -= size
            yield piece
            piece = []
    if piece:
        yield piece
