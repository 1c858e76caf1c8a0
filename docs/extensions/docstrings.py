"""Docstrings as they are written (plain prose, Unicode mathematics, `code`) as reStructuredText that says the same.

Nothing in the prose is markup but backquotes, `- ` lists and doctests. Arguments that a sentence introduces ("name:
what it is") become a list, names of the package's public objects links.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from typing import Any

from docutils import nodes
from numpy.typing import ArrayLike
from sphinx.addnodes import desc_annotation, pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.typing import stringify_annotation

import moe_theory
from moe_theory.validation import Array

ALIASES = {
    name: stringify_annotation(alias, "smart") for name, alias in {"ArrayLike": ArrayLike, "Array": Array}.items()
}
_ARRAY = "ndarray[tuple[Any, ...], dtype[Any]]"
PUBLIC = frozenset(dir(moe_theory))
_TOKEN = re.compile(r"(`+)(?P<code>.+?)\1|(?P<arxiv>arXiv (?P<number>\d{4}\.\d{4,5}))|(?P<error>\b[A-Z]\w+Error\b)")
_ENUMERATOR = re.compile(r"\(?([0-9]+|[A-Za-z#])[.)] ")


def text(prose: str, own: frozenset[str] = frozenset()) -> str:
    """One paragraph as reStructuredText; `own`: names that mean something else here than in the package."""
    parts, end = [], 0
    for found in _TOKEN.finditer(prose):
        parts += [_escaped(prose[end : found.start()]), _marked(found, own)]
        end = found.end()
    joined = "".join([*parts, _escaped(prose[end:])])
    return rf"\{joined}" if _ENUMERATOR.match(joined) else joined


def _escaped(prose: str) -> str:
    return re.sub(r"([\\*|`_])", r"\\\1", prose)


def _marked(found: re.Match[str], own: frozenset[str]) -> str:
    """Markup for a piece of code, a paper or an error; backslash and space keep it apart from what follows."""
    if found["number"]:
        return rf"`{found['arxiv']} <https://arxiv.org/abs/{found['number']}>`__\ "
    name = found["code"] or found["error"]
    if name in PUBLIC and name not in own and not name.startswith("_"):
        return rf":py:obj:`~moe_theory.{name}`\ "
    return rf"``{name}``\ " if found["code"] else _escaped(name)


def paragraphs(lines: Sequence[str]) -> Iterator[list[str]]:
    """Lines between blank ones."""
    block: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []


def restructured(lines: Sequence[str], arguments: frozenset[str], own: frozenset[str]) -> Iterator[str]:
    """The docstring's lines in reStructuredText."""
    for block in paragraphs(lines):
        if block[0].lstrip().startswith(">>>"):
            yield from block
        elif block[0].startswith("- "):
            for item in re.split(r"(?m)^- ", "\n".join(block))[1:]:
                yield f"- {text(' '.join(item.split()), own)}"
        else:
            yield from _introduced(" ".join(line.strip() for line in block), arguments, own)
        yield ""


def _introduced(prose: str, arguments: frozenset[str], own: frozenset[str]) -> Iterator[str]:
    """A paragraph; from its first argument on, a list with an item for each; what is raised, after it."""
    name = "|".join(sorted(map(re.escape, arguments), key=len, reverse=True)) or r"(?!)"
    shape = r"(?: \([^()]*\)| = [^:.,]{1,30})?"  # what may stand between a name and what is said of it
    start = re.compile(rf"(?:^|(?<=[.;)] ))((?:{name}){shape}(?:, (?:{name}){shape})*):? ?(?<=[:)] )")
    found = list(start.finditer(prose))
    raising = re.search(r"(?<=[.;)] )Raises ", prose[found[-1].end() :]) if found else None
    last = found[-1].end() + raising.start() if raising else len(prose)
    before = prose[: found[0].start()] if found else prose
    if before.strip():
        yield text(before.strip(), own)
        if found:
            yield ""
    for i, match in enumerate(found):
        end = found[i + 1].start() if i + 1 < len(found) else last
        names = re.sub(rf"(?<!\w)({name})(?!\w)(?![^(]*\))", r"**\1**", match[1].replace("*", r"\*"))
        yield f"- {names}: {text(prose[match.end() : end].strip(), own)}"
    if raising:
        yield ""
        yield text(prose[last:], own)


def _arguments(what: str, thing: Any) -> frozenset[str]:
    if what == "property":
        return frozenset()
    found = {f.name for f in fields(thing)} if is_dataclass(thing) else set()
    with suppress(TypeError, ValueError):  # what has no signature, such as an exception
        found |= set(inspect.signature(thing).parameters)
    return frozenset(found - {"self", "cls"})


def process(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Handler of autodoc-process-docstring."""
    arguments = _arguments(what, thing)
    members = frozenset(vars(thing)) if inspect.isclass(thing) else frozenset()
    lines[:] = list(restructured(lines, arguments, arguments | members | {name.rpartition(".")[2]}))


def shorten(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, arguments: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Handler of autodoc-process-signature: aliases by their names, not by what they stand for."""

    def short(signature: str | None) -> str | None:
        for alias, long in ALIASES.items():
            signature = signature and signature.replace(long, alias)
        return signature and signature.replace("<factory>", "...")  # which would not parse

    return short(arguments), short(returned)


def shorten_properties(app: Sphinx, document: nodes.document) -> None:
    """Handler of doctree-read: the same for what a property is said to be."""
    for node in document.findall(desc_annotation):
        # A reference holds its text twice, short and long.
        said = "".join((part[-1] if isinstance(part, pending_xref) else part).astext() for part in node)
        if _ARRAY in said:
            node.clear()
            node += nodes.Text(said.replace(_ARRAY, "Array"))


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """Types that a signature names by where they are defined, or by their last word, where a page describes them."""
    if node.get("refdomain") != "py":
        return None
    objects, target = env.domains.python_domain.objects, node["reftarget"]
    homes = {_defined(name): name for name, entry in objects.items() if entry.objtype in ("class", "exception")}
    last = [name for where, name in homes.items() if where.rpartition(".")[2] == target]
    name = homes.get(target) or (last[0] if len(last) == 1 else None)
    if name is None:
        return None
    address = f"{app.builder.get_relative_uri(node['refdoc'], objects[name].docname)}#{objects[name].node_id}"
    return nodes.reference("", "", content, internal=True, refuri=address, reftitle=name)


@cache
def _defined(name: str) -> str:
    """Where a documented class is defined."""
    module, _, last = name.rpartition(".")
    thing = getattr(import_module(module), last)
    return f"{thing.__module__}.{thing.__qualname__}"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", shorten)
    app.connect("doctree-read", shorten_properties)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
