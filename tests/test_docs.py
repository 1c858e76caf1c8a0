"""The documentation: code on its pages runs and prints what they show, links lead somewhere, what they name exists."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import math
import re
import shlex
from functools import cache
from pathlib import Path

import click
import numpy as np
import pytest

import moe_theory as mt
from moe_theory.claims.registry import all_claims
from moe_theory.cli.main import cli

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(p for folder in ("", "docs/**/", "benchmarks/**/") for p in ROOT.glob(f"{folder}*.md"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
README = ROOT / "README.md"
RUN = [*sorted((DOCS / "howto").glob("*.md")), *(DOCS / f"{stem}.md" for stem in ("index", "sharp_bits", "what_fell"))]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)
LINK = re.compile(
    r"\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)|(?:src|href|srcset)=\"([^\"]+)\"|^\[[^\]]+\]:\s+(\S+)", re.M
)
NUMBER = r"-?\d+\.\d+(?:e[-+]?\d+)?"


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text(path: Path) -> str:
    """A page, or a notebook's Markdown cells."""
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return content
    cells = [cell for cell in json.loads(content)["cells"] if cell["cell_type"] == "markdown"]
    return "\n\n".join("".join(cell["source"]) for cell in cells)


def without_code(page: str) -> str:
    """A page less its blocks and pieces of code."""
    return re.sub(r"(`+)[^`].*?\1", "", re.sub(r"^(?: {4}|\t).*$", "", FENCE.sub("", page), flags=re.M))


@cache
def anchors(path: Path) -> frozenset[str]:
    """What a #fragment can name on a page: its headings, as GitHub and MyST spell them, and explicit ids."""
    page = FENCE.sub("", text(path))
    headings = [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", h) for h in re.findall(r"^#+ +(.*)$", page, re.M)]
    slugs = [re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in headings]
    return frozenset([*slugs, *re.findall(r"<\w+ [^>]*(?:id|name)=\"([^\"]+)\"", page)])


def broken_links(page: Path) -> list[str]:
    """Targets in the repository that are not there, or do not have the heading."""
    broken = []
    for target in (next(filter(None, found)) for found in LINK.findall(without_code(text(page)))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        where = (page.parent / path).resolve() if path else page
        listed = where.exists() and (where == ROOT or where.name in {p.name for p in where.parent.iterdir()})
        if not listed or (anchor and where.suffix in (".md", ".ipynb") and anchor not in anchors(where)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=name)
def test_every_link_and_image_leads_somewhere(page: Path) -> None:
    assert not broken_links(page)


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "There.md").write_text("# A `b` (c)\n", encoding="utf-8")
    page = tmp_path / "page.md"
    good = (
        "[a](There.md) [b](There.md#a-b-c) [c](#here) [d](https://x.org/y) `[e](no)`\n\n# Here\n\n```\n[f](no)\n```\n"
    )
    bad = '![a](there.png) [b](There.md#no) [c](#no)\n<source srcset="no.png"> <img src="no.svg">\n\n[d]: no.txt\n'
    page.write_text(good + bad, encoding="utf-8")
    assert broken_links(page) == ["there.png", "There.md#no", "#no", "no.png", "no.svg", "no.txt"]


def agree(want: str, printed: str) -> bool:
    """Whether a page shows what was printed, spaces aside: `...` is anything, decimals are to 1e-4 of each other."""
    parts = re.split(rf"({NUMBER}|\.\.\.)", " ".join(want.split()))
    shapes = ("(.*?)" if p == "..." else f"({NUMBER})" if i % 2 else re.escape(p) for i, p in enumerate(parts))
    found = re.fullmatch("".join(shapes), " ".join(printed.split()))
    pairs = zip(parts[1::2], found.groups(), strict=True) if found else []
    return bool(found) and all(w == "..." or math.isclose(float(w), float(p), rel_tol=1e-4) for w, p in pairs)


def parsed(line: str) -> None:
    """A command whose arguments click accepts, options of `rate` that are the model's predictors aside."""
    words = shlex.split(line)
    assert words[0] == "moe-theory"
    cli.commands[words[1]].make_context(words[1], words[2:])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("page", RUN, ids=name)
def test_code_on_a_page_prints_what_is_shown(page: Path, tmp_path: Path, monkeypatch, command) -> None:
    """Blocks run in their order in one namespace; a `text` block is what the block before it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    blocks, namespace = FENCE.findall(page.read_text(encoding="utf-8")), {"__name__": page.stem}
    for (language, source), (following, want) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        shown, printed = following == "text", ""
        if language == "python":
            if named := re.match(r"# (\w+\.py)\n", source):
                Path(named[1]).write_text(source, encoding="utf-8")
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(source, f"{page.name}: {source.splitlines()[0]}", "exec"), namespace)
            printed = out.getvalue()
            assert shown or not printed, f"not shown: {printed}"
        elif language == "sh":
            lines = source.replace("\\\n", " ").splitlines()
            for line in (line for line in lines if line.startswith("moe-theory")):
                parsed(line)
                if shown:
                    code, out_text, error = command(*shlex.split(line)[1:])
                    assert code == 0, error
                    printed += out_text
        if shown:
            assert agree(want, printed), f"{source}\nprinted\n{printed}"


def test_code_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its x and y are the reader's: here three linear experts under a gate that does not see what they see."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 6))
    label = (rng.gumbel(size=(len(x), 3)) + 2 * x[:, 3:]).argmax(axis=1)
    y = x[np.arange(len(x)), label] + 0.1 * rng.standard_normal(len(x))
    namespace = {"x": x, "y": y}
    for language, source in FENCE.findall(README.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(source, f"README.md: {source.splitlines()[0]}", "exec"), namespace)


def unknown_names(content: str) -> list[str]:
    """Public names, commands, their options and claims that a page mentions and that there are not."""
    missing = [f"mt.{found}" for found in re.findall(r"\bmt\.([A-Za-z_]\w*)", content) if not hasattr(mt, found)]
    for called, rest in re.findall(r"moe-theory ([a-z]+)((?:[^\n`\\]|\\\n)*)", content):
        known = cli.commands.get(called)
        if known is None:
            missing.append(f"moe-theory {called}")
            continue
        if isinstance(known, click.Group) and rest.strip():  # else the group itself is meant
            called, rest = (*rest.split(maxsplit=1), "", "")[:2]
            if called not in known.commands:
                missing.append(f"moe-theory {known.name} {called}")
                continue
            known = known.commands[called]
        options = {o for p in known.params if isinstance(p, click.Option) for o in (*p.opts, *p.secondary_opts)}
        if not known.context_settings.get("ignore_unknown_options"):
            missing += [o for o in re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest) if o not in {*options, "--help"}]
    claims = {claim.id for claim in all_claims()}
    return missing + [
        c for c in re.findall(r"`(?:moe-theory )?(?:refute|verify) ([a-z][a-z-]+)", content) if c not in claims
    ]


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=name)
def test_names_options_and_claims_on_a_page_exist(page: Path) -> None:
    assert not unknown_names(text(page))


def test_an_unknown_name_is_found() -> None:
    good = "`mt.EM` `moe-theory verify linear --quick` `refute snr`\n\n    moe-theory snr M \\\n  --json\n"
    good += "\n    moe-theory reproduce synthetic --quick\n"
    bad = "`mt.Em` `moe-theory verify --fast` `moe-theory prove x` `verify no-claim` `moe-theory reproduce all`"
    bad += " `moe-theory reproduce synthetic --fast`"
    missing = ["mt.Em", "--fast", "moe-theory prove", "moe-theory reproduce all", "--fast", "no-claim"]
    assert unknown_names(good + bad) == missing
    assert agree("at 1.00001 in ... s", "at  1.0000\nin 0.3 s")
    assert not agree("at 1.001", "at 1.000")
    assert not agree("at 1.0 and", "at 1.0")


def reference() -> list[str]:
    """What the API pages describe."""
    pages = "\n".join(p.read_text(encoding="utf-8") for p in sorted((DOCS / "api").glob("*.md")))
    return re.findall(r"^\.\. auto(?:class|function|exception):: (\S+)$", pages, re.M)


def test_every_public_name_is_in_the_reference() -> None:
    entries = reference()
    assert len(entries) == len(set(entries))
    assert {entry.rpartition(".")[2] for entry in entries if entry.count(".") == 1} == set(dir(mt)) - {"__version__"}
    for entry in entries:
        module, _, last = entry.rpartition(".")
        assert getattr(importlib.import_module(module), last).__doc__, entry


def test_no_word_of_a_docstring_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS / "extensions"))
    docstrings = importlib.import_module("docstrings")
    markup = re.compile(r"<https://arxiv.org/abs/[\d.]+>`__|:py:obj:`~moe_theory\.|\\")
    words = lambda prose: re.findall(r"\w+", markup.sub("", prose))
    for entry in reference():
        module, _, last = entry.rpartition(".")
        thing = getattr(importlib.import_module(module), last)
        members = [m for n, m in vars(thing).items() if n[0] != "_"] if inspect.isclass(thing) else []
        for documented in (thing, *members):
            lines = (inspect.getdoc(documented) or "").splitlines()
            made = docstrings.restructured(lines, docstrings._arguments("", thing), frozenset())
            assert words(" ".join(made)) == words(" ".join(lines)), entry


def test_docstrings_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS / "extensions"))
    docstrings = importlib.import_module("docstrings")
    lines = ["λ_max(M(θ*)) of p(y|x) and w*_, with `x` as `Data`. x: (n, d). y, z (n,): see z. Raises InputError.", ""]
    lines += [">>> 2 * 3", "6", "", "A. Not a list, and `x*` is code."]
    assert list(docstrings.restructured(lines, frozenset("xyz"), frozenset())) == [
        r"λ\_max(M(θ\*)) of p(y\|x) and w\*\_, with ``x``\  as :py:obj:`~moe_theory.Data`\ .",
        "",
        "- **x**: (n, d).",
        "- **y**, **z** (n,): see z.",
        "",
        r"Raises :py:obj:`~moe_theory.InputError`\ .",
        "",
        ">>> 2 * 3",
        "6",
        "",
        r"\A. Not a list, and ``x*``\  is code.",
        "",
    ]
