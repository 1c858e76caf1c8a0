"""Colours of figures, light and dark, and which of the two the next one is made in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import to_hex, to_rgb

from moe_theory.errors import InputError

# A predicted line is to be seen on the measured one that it predicts: ink, nearly, on a colour paler than its markers.
PALER, DEEPER = 0.35, 0.85


@dataclass(frozen=True)
class Theme:
    """paper, ink, soft (a weaker ink: spines, references), grid: colours. colours: of series, in order; told apart by
    colour-blind readers, and with 3:1 at least against the paper."""

    name: str
    paper: str
    ink: str
    soft: str
    grid: str
    colours: tuple[str, ...]

    def colour(self, slot: int) -> str:
        """Of a series; they come again after the last."""
        return self.colours[slot % len(self.colours)]

    def tones(self, slot: int) -> tuple[str, str, str]:
        """(pale, whole, deep)."""
        return self.pale(slot), self.colour(slot), self.deep(slot)

    def pale(self, slot: int) -> str:
        """The series' colour towards the paper."""
        return mixed(self.colour(slot), self.paper, PALER)

    def deep(self, slot: int) -> str:
        """The series' colour towards the ink."""
        return mixed(self.colour(slot), self.ink, DEEPER)


LIGHT = Theme(
    "light",
    "#ffffff",
    "#262626",
    "#5f5f5f",
    "#d9d9d9",
    ("#1659b8", "#b53c0c", "#00a271", "#66175c", "#c08818", "#7a88f0", "#6d7070", "#2a0d6b"),
)
DARK = Theme(
    "dark",
    "#15171a",
    "#e6e6e1",
    "#a3a8af",
    "#3a3f45",
    ("#78aeff", "#db7a35", "#3fe0a0", "#ffc2e0", "#c2d64a", "#9270ff", "#9a9792", "#dd3a64"),
)
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}


def on_dark() -> dict[str, str]:
    """Every colour of the light theme to its own of the dark one."""
    tones = [(LIGHT.paper, DARK.paper), (LIGHT.ink, DARK.ink), (LIGHT.soft, DARK.soft), (LIGHT.grid, DARK.grid)]
    for slot in range(len(LIGHT.colours)):
        tones += zip(LIGHT.tones(slot), DARK.tones(slot), strict=True)
    return dict(tones)


_everywhere = LIGHT
_here: ContextVar[Theme | None] = ContextVar("moe_theory_theme", default=None)


def current() -> Theme:
    """What the next picture is made with."""
    return _here.get() or _everywhere


def set_theme(name: str) -> None:
    """From now on, in all threads, figures are made in this theme ("light" or "dark")."""
    global _everywhere
    _everywhere = _named(name)


@contextmanager
def theme(name: str) -> Iterator[Theme]:
    """Within the block, and in this thread or task only, figures are made in this theme ("light" or "dark")."""
    token = _here.set(_named(name))
    try:
        yield current()
    finally:
        _here.reset(token)


def _named(name: str) -> Theme:
    if name not in THEMES:
        raise InputError(f"theme: expected {' or '.join(THEMES)}, got {name!r}")
    return THEMES[name]


def mixed(colour: str, other: str, share: float) -> str:
    """So much of the other in a colour, as hex."""
    red, green, blue = (1 - share) * np.array(to_rgb(colour)) + share * np.array(to_rgb(other))
    return to_hex((red, green, blue))
