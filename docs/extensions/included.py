"""Links of pages that stand elsewhere in the repository, as they are read from here.

CHANGELOG, CONTRIBUTING and the benchmarks' README are pages of the site too: their links are relative to where they
lie, and links to them are to their pages.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "README.md": "index.md"}
PAGES["benchmarks/README.md"] = "benchmarks.md"
_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")


def relinked(content: str, home: Path, docs: Path, page: str) -> str:
    """Content of a file in the folder `home`, with its links as they are from the docs' page of that name."""

    def moved(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(home / found[1]))
        inside = target.relative_to(docs.parent).as_posix() if target.is_relative_to(docs.parent) else ""
        target = docs / PAGES[inside] if inside in PAGES else target
        return f"]({os.path.relpath(target, (docs / page).parent)}"

    return _LINK.sub(moved, content)


def include(app: Sphinx, path: Path, page: str, content: list[str]) -> None:
    """Handler of include-read."""
    content[0] = relinked(content[0], (Path(app.srcdir) / path).resolve().parent, Path(app.srcdir), page)


def read(app: Sphinx, page: str, content: list[str]) -> None:
    """Handler of source-read."""
    content[0] = relinked(content[0], (Path(app.srcdir) / page).parent, Path(app.srcdir), page)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("include-read", include)
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
