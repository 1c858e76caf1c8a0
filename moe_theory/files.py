"""Writing files: whole or not at all, and never over what is another's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from moe_theory.errors import InputError

IMAGES = (".png", ".svg", ".pdf")
MARK = "moe_theory figure"  # the key that a figure's table begins with
TABLE_HEAD = f'{{"{MARK}": '


def table_path(path: str | Path) -> Path:
    """Where the table of a figure's file lies: fit.png.json of fit.png."""
    path = Path(path)
    if not path.name:
        raise InputError(f"figure: expected the name of a file, got {str(path)!r}")
    return path if path.suffix == ".json" else path.with_name(f"{path.name}.json")


def is_ours(path: Path, mark: str) -> bool:
    """Whether a file has our mark in it."""
    return mark.encode() in path.read_bytes()


def check_ours(option: str, path: Path, mark: str) -> None:
    """InputError where there is a file that another program, or a person, wrote: without `mark` in it."""
    if path.is_file() and not is_ours(path, mark):
        raise InputError(
            f"{option}: expected no {path.name} in {path.parent} but our own, there is another's: choose another place"
        )


def check_writable(option: str, path: Path) -> None:
    """InputError unless a file can be made at `path`: asked before long work, not after."""
    folder = path.parent
    if path.is_dir():
        raise InputError(f"{option}: expected a file, got the folder {path}")
    if str(path) == "-" or (path.exists() and not path.is_file()):
        raise InputError(f"{option}: expected an ordinary file, got {path}")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{option}: expected a file in a writable folder, got {path}")


def check_figure(option: str, path: Path, table: bool = True) -> None:
    """InputError unless a figure can be written at `path`, and its table, if it has one, beside it over nobody else's
    file."""
    if path.suffix.lower() not in IMAGES:
        raise InputError(f"{option}: expected a .png, .svg or .pdf file, got {str(path)!r}")
    try:
        for file in (path, table_path(path)) if table else (path,):
            check_writable(option, file)
        if table:
            check_ours(option, table_path(path), TABLE_HEAD)
    except (OSError, ValueError) as error:
        raise InputError(f"{option}: expected a file that can be written, got {str(path)!r} ({error})") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Several files, each whole or not at all."""
    for path, content in contents.items():
        write_atomically(path, content)


BEGIN, END = "<!-- measured -->", "<!-- /measured -->"


def remade(option: str, path: Path, content: str) -> str:
    """A page of ours with what stands between its two marks replaced; InputError for one that has none."""
    try:
        page = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{option}: expected a page that can be read, got {path}") from error
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{option}: expected the marks {BEGIN} and {END} in {path}")
    return f"{before}{BEGIN}\n{content}\n{END}{after}"
