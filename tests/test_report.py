"""The HTML report: one file, everything escaped, mathematics as MathML, the same bytes twice, good in a browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Printed, Result, Setting, check_claim, close, note
from moe_theory.claims.registry import select
from moe_theory.errors import InputError
from moe_theory.report.html import brief, comparison, complaints, html_report, without_timings
from moe_theory.report.mathml import mathml, plain, prose
from moe_theory.report.page import linked, number

HOSTILE = """<script>alert("x")</script> & 'quoted' </style> <b class="seconds">7</b> <img src=x onerror=alert(1)>"""
LONG = r"$\left(" + "+".join(rf"x_{{{i}}}\beta_{{{i}}}" for i in range(40)) + r"\right)$"


def check(_: Setting, claimed: str) -> Iterator[Evidence]:
    """Holds for "true"; each other word gives its own outcome."""
    if claimed == "stops":
        raise InputError("collinear predictors")
    false = claimed != "true"
    point = {"beta": "-57/50", "theta": np.array([[0.1, np.pi], [2.0, 3.0]]), "t": 7}
    yield Evidence(
        "identity",
        "symmetric-linear",
        r"$\mathrm{KL} - B_A$, per row",
        not false,
        "3*x_1 - 0.25" if false else None,
        witness=point if false else None,
    )
    for i in range(10):
        yield close("sample", rf"check {i} of $\lambda_{{\max}}$", 0.5 + 9e-10 + false, 0.5, 1e-9, essential=False)
    yield note("sample", "reason it stopped", "converged")


def wide(_: Setting, claimed: str) -> Iterator[Evidence]:
    """Words that do not break."""
    point = {"k" * 60: "v" * 90}
    yield Evidence("identity", "s" * 90, "w" * 90, claimed == "true", "c" * 90, "p" * 90, witness=point)
    yield note("s", LONG, "c" * 90, "p" * 90)


def claim(name: str = "toy", **changes: Any) -> Claim:
    fields: dict[str, Any] = {
        "id": name,
        "title": "A claim with $A$ in its title",
        "statement": r"$\mathbb{E}\,\mathrm{KL}(p_\theta\|p_\varphi) = B_A(\varphi\|\theta)$, α ≤ β, not $\frac{a$",
        "source": "arXiv 2411.06056, Theorem 4.1",
        "hypotheses": (
            Hypothesis(r"$\mathbb{E}[xx^\top] \succ 0$", "false"),
            Hypothesis("a softmax gate", "true", needed=False),
        ),
        "expected": "proved",
        "check": check,
        "claimed": "true",
        "mutants": {"sign": Mutant("sign", "false"), r"rate $(1-\alpha)^2$": Mutant("rate", "also false")},
        "order": 0,
        "section": "Toys",
        "printed": Printed(r"$\mathrm{KL} = B_A(\theta\|\varphi)$", "printed"),
    }
    return Claim(**(fields | changes))


def figure(title: str = r"$\lambda_{\max}$ against t") -> Figure:
    made = Figure(figsize=(4, 3), layout="constrained")
    axes = made.add_subplot()
    axes.plot(range(5), marker="o", color="#0b6e99", label="measured")
    made.colorbar(axes.imshow(np.eye(3)))
    axes.legend()
    axes.set_title(title)
    return made


def render(results: list[Result], figures: dict[str, dict[str, Figure]] | None = None, **changes: Any) -> str:
    options: dict[str, Any] = {"seed": 5, "seconds": 1.25, "command": "moe-theory verify --out report", "quick": False}
    return html_report(results, figures or {}, **(options | changes))


@pytest.fixture(scope="module")
def results() -> list[Result]:
    """A toy, a hostile one, one with everything wrong, one that has to fit a phone, and a real one."""
    hostile: dict[str, Any] = dict.fromkeys(("title", "statement", "source", "section"), HOSTILE)
    hostile |= {"hypotheses": (Hypothesis(HOSTILE, "false"),), "mutants": {HOSTILE: Mutant("sign", "false")}}
    hostile |= {"check": lambda _, c: iter([Evidence("identity", HOSTILE, HOSTILE, c == "true", HOSTILE)])}
    wrong = {
        "expected": "refuted",
        "mutants": {"no mutant": Mutant("form", "true")},
        "hypotheses": (Hypothesis("unneeded", "true"), Hypothesis("no collinearity", "stops")),
        "printed": Printed("x", "true"),
        "search": object(),
    }
    claims = [
        claim(),
        claim("hostile", **hostile),
        claim("wrong", **wrong),
        claim(
            "wide", statement=LONG, title="x" * 90, source="https://example.org/" + "y" * 90, check=wide, printed=None
        ),
        *select(("kl-is-bregman",)),
    ]
    setting = Setting()
    return [check_claim(c, setting) for c in claims]


@pytest.fixture(scope="module")
def page(results: list[Result]) -> str:
    return render(results, {"toy": {"first": figure(), "second": figure()}, "wide": {"third": figure("other")}})


class Tags(HTMLParser):
    """Every start tag with its attributes; the elements that are open; the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_needs_nothing_else(page: str) -> None:
    tags = Tags(page).tags
    assert {"script", "iframe", "object", "embed", "base"}.isdisjoint(tag for tag, _ in tags)
    for tag, attributes in tags:
        for key, value in attributes.items():
            assert not key.startswith("on") and key not in ("src", "srcset", "xlink:href", "xmlns"), (tag, key, value)
            if value and re.search("https?:", value):
                assert (tag, key) == ("a", "href"), (tag, key, value)
            if key == "href" and tag != "a":
                assert value is not None and value.startswith(("#", "data:")), (tag, value)
    without_links = re.sub(r'<a href="https?://[^"]*">[^<]*</a>', "", page)
    assert "http:" not in without_links and "https:" not in without_links
    assert "url(" not in page.replace("url(#", "") and "@import" not in page


def test_every_claim_is_there_and_every_id_only_once(page: str, results: list[Result]) -> None:
    tags = Tags(page).tags
    ids = Counter(attributes["id"] for _, attributes in tags if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    assert {r.claim.id for r in results} <= ids.keys()
    used = [a["href"] for _, a in tags if (a.get("href") or "").startswith("#")]
    used += re.findall(r"url\((#[^)]+)\)", page)
    assert {name[1:] for name in used if name} <= ids.keys()
    for key in ("aria-labelledby", "aria-describedby"):
        assert {a[key] for _, a in tags if key in a} <= ids.keys()


def test_hostile_text_is_only_text(page: str) -> None:
    assert "<script" not in page and "<img" not in page and "<b class" not in page
    shown = "".join(Tags(page).texts)
    assert shown.count(HOSTILE) >= 8


def test_head_tells_the_whole(page: str, results: list[Result]) -> None:
    lead = re.search(r'<p class="lead">(.*?)</p>', page, re.S)
    assert lead is not None
    text = " ".join(re.sub("<[^>]+>", "", lead[1]).split())
    killed, total = sum(r.killed for r in results), sum(r.total for r in results)
    assert text.startswith("5 claims of the theory were checked with seed 5: 5 proved, 1 not as expected;")
    assert f"{killed} of {total} mutants were killed; refuted as printed: toy, hostile." in text
    assert all(f"<dt>{name}</dt>" in page for name in ("moe_theory", "Python", "NumPy", "SciPy", "SymPy", "mpmath"))
    assert "moe-theory verify wrong --seed 5" in page and "moe-theory refute wrong" in page
    assert "moe-theory refute toy" not in page
    assert "moe-theory verify toy --seed 5 --quick<" in render(results, quick=True)


def test_what_is_not_as_expected_is_said(results: list[Result]) -> None:
    toy, wrong = (next(r for r in results if r.claim.id == name) for name in ("toy", "wrong"))
    assert toy.ok and complaints(toy) == []
    assert complaints(wrong) == [
        "the verdict is proved, expected refuted",
        "mutant survives: no mutant",
        "as printed it is proved, expected refuted",
        "proved without a hypothesis said to be needed: unneeded",
        "inconclusive without a hypothesis said to be needed: no collinearity",
    ]
    unneeded = check_claim(claim(hypotheses=(Hypothesis("h", "false", needed=False),)), Setting())
    assert complaints(unneeded) == ["refuted without a hypothesis said not to be needed: h"]
    assert not unneeded.ok and "Not as expected" in render([unneeded])


def test_hypotheses_evidence_and_witness_are_shown(results: list[Result]) -> None:
    text = render([results[0]])
    assert "Without it the check refutes the claim." in text and "Without it the claim is still proved." in text
    assert "<dt>theta</dt><dd>[[0.1, 3.141592653589793], [2.0, 3.0]]</dd>" in text
    assert text.count('<tr role="row" class="estimate">') == 10
    assert "All 12: 1 identity, 10 numeric checks; closest: " in text
    assert "Without it the check cannot tell." in render([results[2]])


def test_dollars_become_mathml(page: str) -> None:
    assert prose("$x$ < 1") == "<math><mi>x</mi></math> &lt; 1"
    assert prose(r"costs \$5 or $6") == "costs $5 or $6"
    assert prose("$$x$$") == prose("$x$") == mathml("x")
    assert plain(r"$\lambda$ of \$5") == r"\lambda of $5"
    assert page.count("<math>") > 50 and '<code class="tex">\\frac{a</code>' in page


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        (r"\mathrm{d}x", '<mi mathvariant="normal">d</mi><mi>x</mi>'),
        (r"\mathrm{KL}(p)", '<mi>KL</mi><mo stretchy="false">('),
        (r"\log\det A", '<mi>log</mi><mspace width="0.167em" /><mi>det</mi><mspace width="0.167em" /><mi>A</mi>'),
        (r"\operatorname*{arg\,min}_x", '<mi>arg</mi><mspace width="0.167em" /><msub><mi>min</mi><mi>x</mi></msub>'),
        (r"\arg\min_\theta L", '<mi>arg</mi><mspace width="0.167em" /><msub><mi>min</mi><mi>θ</mi></msub>'),
        (r"\Theta", '<mi mathvariant="normal">Θ</mi>'),
        (r"A \succeq 0", "<mi>A</mi><mo>⪰</mo><mn>0</mn>"),
        (r"a \sim b", "<mi>a</mi><mo>∼</mo><mi>b</mi>"),
        (r"\langle a\rangle", '<mo stretchy="false">⟨</mo><mi>a</mi><mo stretchy="false">⟩</mo>'),
        (r"\boldsymbol{\theta}\mathscr{F}", "<mi>𝜽</mi><mi>ℱ</mi>"),
        (r"\mathbb{1}", "<mn>𝟙</mn>"),
        (r"\text{<script>}", "<mtext>&lt;script&gt;</mtext>"),
    ],
)
def test_mathml_is_what_tex_would_set(latex: str, expected: str) -> None:
    assert expected in mathml(latex)


@pytest.mark.parametrize("latex", [r"\frac", r"\frac{a", r"\nosuch{x}", "x^2^3", "{", r"\left", r"\def\x{\x}\x", "<{"])
def test_what_cannot_be_converted_is_shown(latex: str) -> None:
    assert mathml(latex) == f'<code class="tex">{html.escape(latex)}</code>'


def test_links_styles_and_classes_of_a_formula_are_dropped() -> None:
    for latex in (r"\href{javascript:alert(1)}{x}", r"\style{color:red}{x}", r"\class{seconds}{x}", r"\color{red}x"):
        assert re.fullmatch(r"(<math>|<m\w+>|x|</m\w+>)*|<code class=\"tex\">.*</code>", mathml(latex)), mathml(latex)


def test_long_formulas_may_break_after_relations_and_not_in_brackets() -> None:
    pieces = mathml(r"A(\varphi)-B(\theta) = f(x = y, a + b + c + d + e) + g(\theta) \le 100").split("<wbr>")
    last = [re.findall(">([^<]+)</m[ion]>", piece)[-1] for piece in pieces]
    assert last == ["=", "+", "≤", "100"]
    assert "<wbr>" not in mathml("a = b + c")


def test_numbers_and_comparisons() -> None:
    assert number(-0.25) == '<span class="number">−0.25</span>'
    assert number(1.5e-9) == '<span class="number">1.5\u202f×\u202f10<sup>−9</sup></span>'
    assert (number(float("nan")), number(None), number("<")) == ("not a number", "", "&lt;")
    assert comparison(Evidence("identity", "s", "w", False, "x < 1")) == "≠ 0: <code>x &lt; 1</code>"
    checks = [close("s", "w", 1.0, 1.25, 0.5), close("s", "w", 1.0, 1.75, 1.0), close("s", "w", 1.0, 3.0, 0.5)]
    assert re.sub("<[^>]+>", "", brief(checks)) == "2 of 3 numeric checks; closest: 0.75 of 1 allowed"
    assert linked("arXiv 1802.07417, <3>") == (
        '<a href="https://arxiv.org/abs/1802.07417">arXiv 1802.07417</a>, &lt;3&gt;'
    )
    assert linked("javascript:alert(1) https://x.org/a?b=1&c") == (
        'javascript:alert(1) <a href="https://x.org/a?b=1&amp;c">https://x.org/a?b=1&amp;c</a>'
    )


def test_the_same_results_give_the_same_page(results: list[Result], page: str) -> None:
    again = render(results, {"toy": {"first": figure(), "second": figure()}, "wide": {"third": figure("other")}})
    assert again == page
    later = [Result(**(vars(r) | {"seconds": r.seconds + 3.5})) for r in results]
    figures = {"toy": {"a": figure()}}
    pair = render(results, figures), render(later, figures, seconds=99.0)
    assert pair[0] != pair[1]
    assert without_timings(pair[0]) == without_timings(pair[1])
    assert without_timings('<b class="seconds">1 s</b> <i>2 s</i>') == '<b class="seconds"></b> <i>2 s</i>'


def test_figures_follow_the_page_and_stay_as_they_were() -> None:
    made = figure()
    made.set_label("A label & <b>")
    titled = figure()
    pages = [render([check_claim(claim(), Setting())], {"toy": {"a-stem": f}}) for f in (made, titled, figure(""))]
    assert "A label &amp; &lt;b&gt;</figcaption>" in pages[0]
    assert "Figure 1.</b> <math>" in pages[1] and "a stem</figcaption>" in pages[2]
    assert titled.axes[0].get_title() == r"$\lambda_{\max}$ against t" and titled.axes[0].title.get_visible()
    assert len(pages[0]) > len(pages[1]), "the title is drawn where the caption is another"
    svg = pages[1][pages[1].index("<svg") : pages[1].index("</svg>")]
    assert 'role="img"' in svg and "<title>" in svg and "stroke: currentColor" in svg and "#000000" not in svg
    assert "var(--c0b6e99, #0b6e99)" in svg and re.search(r"--c0b6e99: #(?!0b6e99)", pages[1])


BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on PATH")


def browse(path: Path, folder: Path) -> tuple[str, list[str]]:
    """(the DOM after loading, console messages)."""
    options = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --dump-dom"
    command = [str(BROWSER), *options.split(), "--enable-logging=stderr", f"--user-data-dir={folder}", path.as_uri()]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@needs_browser
def test_a_browser_shows_every_claim_and_complains_of_nothing(page: str, results: list[Result], tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    dom, messages = browse(file, tmp_path / "profile")
    found = {attributes.get("id") for tag, attributes in Tags(dom).tags if tag == "article"}
    assert found == {r.claim.id for r in results}
    assert messages == []


MEASURE = """
const frame = document.querySelector("iframe");
frame.onload = () => {
  const page = frame.contentDocument, found = [];
  for (const details of page.querySelectorAll("details")) details.open = true;
  for (const width of [320, 360, 1300]) {
    frame.style.width = width + "px";
    found.push([frame.contentWindow.innerWidth, page.documentElement.scrollWidth]);
  }
  document.title = JSON.stringify([page.querySelectorAll("article").length, ...found]);
  console.log("measured");
};
frame.srcdoc = PAGE;
"""


@needs_browser
def test_on_a_phone_nothing_is_wider_than_the_page(page: str, tmp_path: Path) -> None:
    """A headless window has a least width, so the page is measured in a frame, with everything unfolded."""
    script = MEASURE.replace("PAGE", json.dumps(page).replace("</", "<\\/"))
    file = tmp_path / "frame.html"
    frame = '<iframe style="height:740px;border:0"></iframe>'
    file.write_text(f'<!DOCTYPE html><meta charset="utf-8">{frame}<script>{script}</script>', encoding="utf-8")
    dom, messages = browse(file, tmp_path / "profile")
    assert len(messages) == 1 and "measured" in messages[0], "the console is heard, and says nothing else"
    title = re.search("<title>(.*?)</title>", dom, re.S)
    assert title is not None
    count, *widths = json.loads(title[1])
    assert count == 5 and [inner for inner, _ in widths] == [320, 360, 1300]
    assert all(width <= inner for inner, width in widths), widths
