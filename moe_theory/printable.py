"""Text of files and command lines, made safe to print: it can move no cursor, hide nothing and begin no line."""

from __future__ import annotations

import re
import unicodedata

# Printable by Unicode's account, but seen as nothing or as a blank.
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
PLAIN = {
    **{"‖": "||", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "≺": "<", "≻": ">", "⪯": "<=", "⪰": ">=", "±": "+-"},
    **{"·": "*", "×": "x", "−": "-", "–": "-", "—": "-", "…": "...", "→": "->", "∇": "grad ", "∞": "inf", "√": "sqrt"},
    **{"∈": "in", "Σ": "sum", "∂": "d", "⟨": "<", "⟩": ">", "’": "'", "‘": "'", "“": '"', "”": '"', "\u0302": "^"},
}


def printable(text: str, keep: str = "") -> str:
    r"""`text` with every character that is not a plain visible one, or a space, as an escape; those in `keep` stay.

    Escaped are control characters (new lines and C1 among them), marks that change the direction of writing, those of
    no width, lone surrogates, and blanks other than the space.

    >>> print(printable("name\x1b[2K\rvalid\u202e"))
    name\x1b[2K\rvalid\u202e
    """
    if text.isprintable() and not INVISIBLE.search(text):
        return text
    return "".join(c if c in keep or (c.isprintable() and not INVISIBLE.match(c)) else escaped(c) for c in text)


def escaped(character: str) -> str:
    """A character as Python writes it in ASCII."""
    return character.encode("unicode_escape").decode("ascii")


def transliterated(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: λ as lambda, ≤ as <=, others as escapes, for output that is not in UTF-8."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    if character in PLAIN:
        return PLAIN[character]
    kind, *_, last = unicodedata.name(character, "? ?").split()
    if kind == "GREEK":
        name = last.lower().replace("lamda", "lambda")
        return name if character.islower() else name.capitalize()
    power = unicodedata.decomposition(character)
    if power.startswith("<super> 00"):
        return "^" + chr(int(power[8:], 16))
    return escaped(character)
