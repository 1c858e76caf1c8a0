"""The idx format of MNIST and its kin: a magic number, sizes, bytes; checked to the last byte."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np

from moe_theory.errors import InputError
from moe_theory.validation import Array

BYTES = 0x08  # the format's code of unsigned bytes, the only kind that is read


def read_idx(path: str | Path, axes: int) -> tuple[Array, str]:
    """(the array of bytes with so many axes, SHA-256 of the file's content), from a file that may be gzipped.

    InputError for a file that cannot be read, is no idx file of bytes, has other axes, or is cut short or too long.
    """
    try:
        content = Path(path).read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "its gzip is damaged"
        message = f"idx file: expected a file that can be read, got {path} ({reason}): fetch it again"
        raise InputError(message) from error
    head = 4 + 4 * axes
    if len(content) < head or content[:4] != bytes([0, 0, BYTES, axes]):
        raise InputError(
            f"idx file: expected one of unsigned bytes with {axes} axes, got {path}, which begins with"
            f" {content[:4].hex() or 'nothing'} instead of {bytes([0, 0, BYTES, axes]).hex()}"
        )
    shape = tuple(int(v) for v in np.frombuffer(content[4:head], ">u4"))
    if len(content) - head != int(np.prod(shape, dtype=object)):
        raise InputError(
            f"idx file: expected {' x '.join(map(str, shape))} bytes after the head of {path}, got"
            f" {len(content) - head}: fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape), hashlib.sha256(content).hexdigest()
