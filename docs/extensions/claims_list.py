"""The directive `claims-list`: every registered claim with its statement, source, hypotheses and mutants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from moe_theory.claims import Claim, registry


def markdown(claim: Claim) -> Iterator[str]:
    """What the claim says of itself, in MyST."""
    yield f"**{claim.title}.**"
    yield ""
    yield claim.statement
    yield ""
    if claim.printed is not None:
        yield f"As printed: {claim.printed.statement} (to come out {claim.printed.expected})"
        yield ""
    kinds = Counter(mutant.kind for mutant in claim.mutants.values())
    yield f"- Source: {claim.source}"
    yield f"- Verdict to come out: {claim.expected}"
    for hypothesis in claim.hypotheses:
        yield f"- Under: {hypothesis.text}" + ("" if hypothesis.needed else " (found not to be needed)")
    yield f"- Mutants: {', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}"


class ClaimsList(SphinxDirective):
    """All claims, by section."""

    def run(self) -> list[nodes.Node]:
        chapters: dict[str, nodes.section] = {}
        for claim in registry.all_claims():
            chapter = chapters.get(claim.section)
            if chapter is None:
                name = nodes.make_id(claim.section)
                chapter = chapters[claim.section] = nodes.section("", nodes.title("", claim.section), ids=[name])
                self.state.document.note_explicit_target(chapter)
            section = nodes.section("", nodes.title("", "", nodes.literal(claim.id, claim.id)), ids=[claim.id])
            self.state.document.note_explicit_target(section)
            self.state.nested_parse(StringList(list(markdown(claim)), claim.id), 0, section)
            chapter += section
        return list(chapters.values())


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("claims-list", ClaimsList)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
