"""What every page of the package shares: templates, numbers, links, versions."""

from __future__ import annotations

import json
import math
import platform
import re
from importlib.metadata import version
from numbers import Real
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import moe_theory
from moe_theory.report.mathml import prose

PACKAGES = ("NumPy", "SciPy", "SymPy", "mpmath")  # whose versions are stated
_LINK = re.compile(r"arXiv[: ]\s*(?P<arxiv>\d{4}\.\d{4,5})|doi:\s*(?P<doi>10\.[^\s,;)]+)|(?P<url>https?://[^\s,;)]+)")


def environment() -> Environment:
    """Templates of this package, with the filters that every page uses."""
    made = Environment(
        loader=PackageLoader("moe_theory.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (prose, number, linked, exact):
        made.filters[function.__name__] = function
    return made


def versions() -> dict[str, str]:
    """Those of this package, of Python and of what the numbers come from."""
    own = {"moe_theory": moe_theory.__version__, "Python": platform.python_version()}
    return own | {name: version(name.lower()) for name in PACKAGES}


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
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=jsonable)


def jsonable(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
