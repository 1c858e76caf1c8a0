"""Writing files: whole or not at all, and never over what is another's."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from moe_theory.errors import InputError


def check_ours(option: str, path: Path, mark: str) -> None:
    """InputError where there is a file that another program, or a person, wrote: without `mark` in it."""
    if path.is_file() and mark.encode() not in path.read_bytes():
        raise InputError(
            f"{option}: expected no {path.name} in {path.parent} but our own, there is another's: name another folder"
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
