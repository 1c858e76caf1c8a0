"""The directive `command-line`: a section for every command of moe-theory, from what click knows of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from moe_theory.cli.main import cli


def prose(text: str) -> list[nodes.Node]:
    """Help text, in which only backquotes mean anything."""
    parts = re.split(r"`([^`]+)`", text)
    return [nodes.literal(part, part) if i % 2 else nodes.Text(part) for i, part in enumerate(parts) if part]


def described(command: click.Command, context: click.Context) -> Iterator[nodes.Node]:
    """Usage, help, examples and options of a command."""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield nodes.literal_block(usage, usage, language="none")
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith((" ", "\b")):  # an example, or click's mark of lines that are to be left as they are
            example = inspect.cleandoc(paragraph.removeprefix("\b"))
            yield nodes.literal_block(example, example, language="none")
        else:
            yield nodes.paragraph("", "", *prose(" ".join(paragraph.split())))
    options = nodes.definition_list(classes=["options"])
    for parameter in command.params:
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None:
            term = nodes.term("", "", nodes.literal(record[0], record[0]))
            definition = nodes.definition("", nodes.paragraph("", "", *prose(record[1])))
            options += nodes.definition_list_item("", term, definition)
    yield options


def leaves(parent: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    """(name, command, its context) of all that are no groups; those of a group by two words."""
    assert isinstance(parent.command, click.Group)
    for name, command in parent.command.commands.items():
        context = click.Context(command, info_name=name, parent=parent)
        if isinstance(command, click.Group):
            yield from ((f"{name} {own}", inner, at) for own, inner, at in leaves(context))
        else:
            yield name, command, context


def slug(name: str) -> str:
    """Of a command, in a link."""
    return name.replace(" ", "-")


class CommandLine(SphinxDirective):
    """All commands, in the order in which they were added."""

    def run(self) -> list[nodes.Node]:
        root = click.Context(cli, info_name="moe-theory")
        sections: list[nodes.Node] = []
        for name, command, context in leaves(root):
            section = nodes.section(
                "", nodes.title("", "", nodes.literal(name, name)), ids=[f"moe-theory-{slug(name)}"]
            )
            section.extend(described(command, context))
            self.state.document.note_explicit_target(section)
            sections.append(section)
        return sections


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
