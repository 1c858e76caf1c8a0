"""Standard output and error as the commands write to them: safe to show on a terminal, and in any encoding."""

from __future__ import annotations

import codecs
import contextlib
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from moe_theory.printable import printable, transliterated

HANDLER = "moe_theory.transliterated"
codecs.register_error(HANDLER, transliterated)


class Shown:
    """A text stream of which `write` escapes what is no plain text; rich tables, which escape their cells and colour
    them, go to `unfiltered`."""

    def __init__(self, stream: TextIO) -> None:
        self.unfiltered = stream

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"expected text, got {type(text).__name__}")
        return self.unfiltered.write(printable(text, keep="\n\t"))

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # nothing goes past
            raise AttributeError(name)
        return getattr(self.unfiltered, name)


@contextlib.contextmanager
def shown_streams() -> Iterator[None]:
    """Both streams so, for a while; what an encoding does not have is written in another way instead of failing."""
    before = sys.stdout, sys.stderr
    handlers = [getattr(stream, "errors", None) for stream in before]
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)
    sys.stdout, sys.stderr = (stream and Shown(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream, handler in zip(before, handlers, strict=True):
            if hasattr(stream, "reconfigure"):
                with contextlib.suppress(OSError):  # its reader went away
                    stream.reconfigure(errors=handler)


def is_unicode(stream: Any) -> bool:
    """Whether it takes every character."""
    try:
        return codecs.lookup(getattr(stream, "encoding", None) or "utf-8").name.startswith("utf")
    except LookupError:
        return False
