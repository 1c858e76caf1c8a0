"""What the commands share: models by name or from a user's file, number lists, output."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from moe_theory.cli.streams import HANDLER, is_unicode
from moe_theory.errors import InputError
from moe_theory.files import IMAGES, check_figure, check_writable, table_path
from moe_theory.model import Model
from moe_theory.printable import printable
from moe_theory.validation import Array, real_array
from moe_theory.zoo import by_name

WIDTH = 110  # of tables where there is no terminal to ask


class _Console(Console):
    """Takes no string for markup or emoji, and escapes what is no plain text."""

    def __init__(self, stderr: bool, **options: Any) -> None:
        stream = sys.stderr if stderr else sys.stdout
        super().__init__(file=getattr(stream, "unfiltered", stream), markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        text = printable(text, keep="\n\t")
        if not is_unicode(self.file):  # now, so that columns are as wide as what is written
            text = text.encode(self.encoding, HANDLER).decode(self.encoding)
        return super().render_str(text, **options)


def console(stderr: bool = False) -> Console:
    """A console that writes plain text of a fixed width into pipes; of strings, nothing is taken for markup."""
    plain = _Console(stderr)
    width = os.environ.get("COLUMNS", "")
    wide = int(width) if width.isdecimal() and int(width) > 0 else WIDTH
    return plain if plain.is_terminal else _Console(stderr, width=wide, color_system=None)


def readable(text: str) -> str:
    """Prose with LaTeX between dollar signs as plain text for a terminal."""
    from pylatexenc.latex2text import LatexNodes2Text

    return LatexNodes2Text(math_mode="text").latex_to_text(text.replace(r"\|", "‖"))


def progress_bar(total: int) -> tuple[Progress, TaskID]:
    """A bar on standard error that leaves nothing behind, and stays away from pipes; with its one task."""
    out = console(stderr=True)
    columns = (
        TextColumn("{task.description:56}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    bar = Progress(*columns, console=out, transient=True, disable=not out.is_terminal)
    return bar, bar.add_task("", total=total)


def out_folder(option: str, name: str) -> Path:
    """The folder of that name, made if it is not there; InputError if files cannot be written there."""
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{option}: expected a folder that can be made or written to, got {name} ({error.strerror})"
        ) from error
    check_writable(option, folder / "file")
    return folder


def own_files(
    options: Mapping[str, str | None], endings: Mapping[str, tuple[str, ...]], data_file: str
) -> dict[str, Path]:
    """{name: path} of the files to be written, those of `options` that are given: writable, none of them the data, each
    its own, with one of its `endings` (any if none are named). InputError names the option (--name)."""
    real, found = os.path.realpath, {}
    taken = {real(data_file): "the data"}
    for name, allowed in endings.items():
        text = options[name]
        if text is None:
            continue
        option, path = f"--{name.replace('_', '-')}", Path(text)
        if allowed and path.suffix.lower() not in allowed:
            listed = " or ".join(filter(None, [", ".join(allowed[:-1]), allowed[-1]]))
            raise InputError(f"{option}: expected a {listed} file, got {text!r}")
        (check_figure if allowed == IMAGES else check_writable)(option, path)
        for own in (path, table_path(path)) if allowed == IMAGES else (path,):
            if real(own) in taken:
                raise InputError(f"{option}: expected a file of its own, got {taken[real(own)]}, {text!r}")
            taken[real(own)] = "another option's"
        found[name] = path
    return found


def numbers(name: str, text: str) -> list[float]:
    """Numbers separated by commas, or LOW:HIGH:COUNT for so many on a logarithmic scale."""
    if text.count(":") != 2:
        return vector(name, text).tolist()
    parts = vector(name, text.replace(":", ","))
    if len(parts) != 3:
        raise InputError(f"{name}: expected LOW:HIGH:COUNT, got {text!r}")
    low, high, count = parts
    if not 0 < low < high or count != int(count) or count < 2:
        raise InputError(f"{name}: expected LOW:HIGH:COUNT with 0 < LOW < HIGH and a COUNT of at least 2, got {text!r}")
    return [float(f"{v:.4g}") for v in np.geomspace(low, high, int(count))]


def load_model(spec: str, sigma: float | None = None) -> Model:
    """A model of the zoo by name, or FILE.py:NAME for a `Model` (or a function that returns one) in a user's file."""
    options = {} if sigma is None else {"sigma": sigma}
    if ":" not in spec:
        return by_name(spec, **options)
    model = load_object("model", spec, lambda found: found if isinstance(found, Model) else found(**options))
    if not isinstance(model, Model):
        raise InputError(f"model: expected {spec} to be a Model, got {type(model).__name__}")
    return model


def load_object(argument: str, spec: str, made: Callable[[Any], Any] = lambda found: found) -> Any:
    """What `made` makes of NAME in a user's file, FILE.py:NAME; InputError names the argument."""
    path, _, name = spec.rpartition(":")
    if not Path(path).is_file():
        raise InputError(f"{argument}: expected FILE.py:NAME with a readable file, got {spec!r}")
    loader = importlib.util.spec_from_file_location("moe_theory_user_model", path)
    if loader is None or loader.loader is None:
        raise InputError(f"{argument}: expected FILE.py:NAME with a Python file, got {spec!r}")
    module = importlib.util.module_from_spec(loader)
    try:
        loader.loader.exec_module(module)
        return made(getattr(module, name))
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # a user's file may fail in any way; it is their line that matters
        raise InputError(f"{argument}: {spec} failed with {type(error).__name__}: {error}") from error


def vector(name: str, text: str) -> Array:
    """Numbers separated by commas, (d,)."""
    try:
        values = [float(cell) for cell in text.split(",")]
    except ValueError as error:
        raise InputError(f"{name}: expected numbers separated by commas, got {text!r}") from error
    return real_array(name, values, ndim=1)


def print_json(value: Any) -> None:
    """One JSON object on standard output; in ASCII where the encoding, or a terminal, cannot take all of it."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    if not is_unicode(sys.stdout) or printable(text, keep="\n") != text:
        text = json.dumps(value, indent=2, allow_nan=False)
    click.echo(text)
