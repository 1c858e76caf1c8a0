"""Cells that look like numbers in a notation that is not read: which one it is, and what to do about it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from moe_theory.datasets.reading import SPACES, Reading

LONGEST = 60  # characters of what may be a number
MINUS = "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"  # hyphens, dashes and minus signs that are not "-"
S = f"[{SPACES}]?"
DIGITS = f"[+-]?(?:[0-9]+(?:[.,'\u2019{SPACES}][0-9]+)*[.,]?|[.,][0-9]+)"  # whatever the marks
N = f"{DIGITS}(?:e[+-]?[0-9]+)?"
UNIT = r"""(?!(?:st|nd|rd|th)$)(?:[^\W\d_]|[°′″'"])[\w°²³⁻%/·^*.-]{0,14}"""  # ordinals are words
SIGN = "(?:(?:US|A|C|NZ|HK|R)?[$€£¥₹₽¢₩₺₴₪₫₱฿])"
CODE = r"(?:USD|EUR|GBP|JPY|CHF|CNY|INR|AUD|CAD|NZD|SEK|NOK|DKK|RUB|BRL|KRW|MXN|ZAR|PLN|CZK|TRY|Rs\.?|kr\.?)"
MONTH = r"(?:(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?)"
TIME = r"(?:[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?: ?[ap]\.?m\.?)?(?: ?(?:Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?)"
DAY = "|".join(
    (
        "[0-9]{4}[-/.][0-9]{1,2}(?:[-/.][0-9]{1,2})?",
        "[0-9]{1,2}[-/.][0-9]{1,2}[-/.](?:[0-9]{4}|[0-9]{2})",
        rf"(?:[a-z]{{3,9}},? )?[0-9]{{1,2}}\.?[-/ ]?{MONTH}(?:[-/, ]{{0,2}}[0-9]{{2,4}})?",
        f"(?:[a-z]{{3,9}},? )?{MONTH}[-/ ]?[0-9]{{1,2}}(?:,? ?[0-9]{{4}})?",
        f"{MONTH}[-/ ]?[0-9]{{4}}",
        "[0-9]{4}[-/ ]?[qwh][0-9]{1,2}|[qwh][0-9]{1,2}[-/ ][0-9]{4}",
    )
)
END = f"(?:{N}|[+-]?inf|[+-]?∞)"
MORE = "(?:or|and) (?:more|less|over|under|above|below|older|younger|up)"
LESS = r"[<>≤≥~≈±=]=?|ca\.?|approx\.?|about|under|over|below|above|less than|more than|at least|at most|up to"

# (what it is, its pattern, what to do), in the order in which they are tried; case does not matter.
NOTATIONS = [
    (what, re.compile(pattern, re.IGNORECASE), advice)
    for what, pattern, advice in (
        ("not a finite number", r"[+-]?(?:inf|infinity|∞|nan(?:\([a-z]*\))?|1\.#\w+)", ""),
        ("digits with an underscore", r"[+-]?[0-9]+(?:_[0-9]+)+(?:\.[0-9_]*)?(?:e[+-]?[0-9]+)?", ""),
        ("a number that is not decimal", r"[+-]?0(?:x[0-9a-f.]+(?:p[+-]?[0-9]+)?|b[01]+|o[0-7]+)", ""),
        ("a date", f"(?:{DAY})(?:[T ]{TIME})?", "write a number, as of days"),
        ("a duration", f"[+-]?[0-9]+ days?(?:,? [+-]?{TIME})?", "write a number, as of days"),
        ("a Fortran exponent", f"{DIGITS}{S}[dq][+-]?[0-9]+", "write E for the exponent"),
        ("a percentage", f"[%‰]{S}{N}|{N}{S}[%‰٪]", "write the number alone"),
        (
            "an amount of money",
            rf"\(?[+-]?(?:{SIGN}|{CODE}){S}{N}{S}[kmb]?n?\)?|{N}{S}(?:{SIGN}|{CODE})",
            "write the number alone",
        ),
        ("a negative number in brackets", rf"\({S}{N}{S}\)", "write a minus"),
        ("a number with its sign behind", f"{N}{S}[{MINUS}-]", "write the sign in front"),
        ("a time", TIME, "write a number, as of seconds"),
        ("a fraction", f"[+-]?(?:[0-9]+{S})?(?:[0-9]+{S}[/⁄]{S}[0-9]+|[¼½¾⅐-⅞])", "write it as a decimal"),
        ("a complex number", rf"\(?(?:{N})?{S}[+-]?{S}[0-9.]+(?:e[+-]?[0-9]+)?{S}[ij]\)?", "only real ones are read"),
        (
            "a range of numbers",
            rf"{N}{S}(?:[{MINUS}-]|to|\.\.\.?|…|~|:){S}{N}(?:{S}{UNIT})?|[\[\](]{S}{END}{S}[,;]{S}{END}{S}[\])\[]",
            "write one number",
        ),
        (
            "a number with its error",
            rf"{N}{S}(?:±|\+/-|\+-){S}{N}(?:{S}{UNIT})?|{N}{S}\([0-9.,]+\)",
            "write one number",
        ),
        (
            "a bound for a number",
            rf"(?:{LESS}){S}{N}(?:{S}{UNIT})?|{N}{S}(?:\+|plus|{MORE})(?:{S}{UNIT})?",
            "write one number",
        ),
        (
            "a power of ten",
            rf"(?:{N}{S}[×x*·⋅]{S})?10{S}(?:\^|\*\*){S}[+-]?[0-9]+|{N}{S}[×x*·⋅]{S}10[⁰¹²³⁴-⁹⁻]+",
            "write E for the exponent",
        ),
        (
            "a number with a unit",
            rf"{N}{S}{UNIT}(?: ?(?:per|/) ?[^\W\d_]+| old)?|{N} per [^\W\d_]+",
            "write the number alone",
        ),
    )
]


def looks(cell: str, reading: Reading) -> tuple[str, str] | None:
    """(what it is, what to do or "") of a cell that is no number as it is read, but looks like one; None for others."""
    if not cell or len(cell) > LONGEST or reading.number(cell) is not None:
        return None
    digits = cell if cell.isascii() else "".join(str(unicodedata.decimal(c, c)) for c in cell)
    if digits != cell and (reading.number(digits) is not None or looks(digits, reading)):
        return "digits that are not 0-9", ""
    minus = cell if cell.isascii() else re.sub(f"^[{MINUS}]|(?<=[eE])[{MINUS}]", "-", cell)
    if minus != cell and (reading.number(minus) is not None or looks(minus, reading)):
        return "a minus that is not '-'", ""
    if reading.plain(cell) is not None:
        return "too large for a number", ""
    if _readers(cell, reading):
        return other_marks(cell, [cell], reading)
    for what, pattern, advice in NOTATIONS:
        if pattern.fullmatch(cell):
            return what, advice
    kinds = {unicodedata.category(c)[0] for c in re.sub("(?<=[0-9.,])[eE][+-]?[0-9]+", "", cell)}
    return ("a number in a notation that is not read", "") if "N" in kinds and "L" not in kinds else None


def explained(cell: str, cells: Iterable[str], reading: Reading) -> str:
    """What a cell looks like and what to do, given all cells of its column; "" for words."""
    found = other_marks(cell, cells, reading) if _readers(cell, reading) else looks(cell, reading)
    return "" if found is None else ": ".join(filter(None, found))


def other_marks(cell: str, cells: Iterable[str], reading: Reading) -> tuple[str, str]:
    """(what, options) of a number with other marks than those read; all cells may tell which where one cannot."""
    readers, distinct = _readers(cell, reading), set(cells)
    counts = [sum(other.number(c) is not None for c in distinct) for other in readers]
    found: dict[float | None, Reading] = {}  # by what the cell then is, the first changes least
    for other, count in zip(readers, counts, strict=True):
        if count == max(counts):
            found.setdefault(other.number(cell), other)
    what = dict.fromkeys(_difference(other, reading) for other in found.values())
    options = [other.instead_of(reading) for other in found.values()]
    if len(found) > 1:
        options = [f"{option} if it is {value:.15g}" for option, value in zip(options, found, strict=True)]
    return " or ".join(what), ", ".join(options)


def _readers(cell: str, reading: Reading) -> Sequence[Reading]:
    """The readings with other marks that find a number in a cell in which this one finds none."""
    if not cell or cell[0] not in "+-.,0123456789" or reading.number(cell) is not None:
        return ()
    return [other for other in reading.alternatives() if other.number(cell) is not None]


def _difference(other: Reading, reading: Reading) -> str:
    decimal = f"a decimal {'comma' if other.decimal == ',' else 'point'}" if other.decimal != reading.decimal else ""
    thousands = "a thousands separator" if other.thousands not in ("", reading.thousands) else ""
    return " and ".join(filter(None, (decimal, thousands)))
