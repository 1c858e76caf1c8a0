"""Sweeps: many independent cells, each stored as soon as it is known, in as many processes as wanted.

A sweep that was interrupted, killed even, goes on where it was when it is called again with the same store; the result
is that of an uninterrupted one, and does not depend on the number of processes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import IO, Any

from threadpoolctl import threadpool_limits

from moe_theory.errors import InputError
from moe_theory.validation import whole_number

Cell = Mapping[str, Any]


def sweep(
    work: Callable[[Cell], Any],
    cells: Sequence[Cell],
    store: Path | None = None,
    purpose: Mapping[str, Any] | None = None,
    jobs: int = 1,
    finished: Callable[[int, Any], None] | None = None,
    until: Callable[[Any], bool] | None = None,
) -> list[Any]:
    """[work(cell) for cell in cells], computed once per cell.

    work: a function that processes can import; cells and results: JSON values. store: a JSON-lines file, made if it is
    not there, in which every finished cell is kept; purpose: what the sweep is about; a store made for another purpose
    is refused (InputError). jobs: processes. finished: told (index, result) of every cell, also of those read back.
    until: the sweep ends with the first cell, in the order given, for which it is true; the list then ends there.
    """
    jobs = whole_number("jobs", jobs, least=1)
    results: dict[int, Any] = {}
    with _opened(store, {"purpose": purpose or {}, "cells": _digest(cells)}) as (known, keep):
        for index, result in known.items():
            if index < len(cells):
                results[index] = result
                if finished:
                    finished(index, result)

        def arrived(index: int, result: Any) -> None:
            results[index] = result = _plain(result)
            keep(index, result)
            if finished:
                finished(index, result)

        missing = [i for i in range(len(cells)) if i not in results]
        _run(work, cells, missing, arrived, lambda: _end(results, len(cells), until), jobs)
    return [results[i] for i in range(_end(results, len(cells), until))]


def each(
    work: Callable[[Any], Any], items: Sequence[Any], jobs: int = 1, finished: Callable[[int, Any], None] | None = None
) -> list[Any]:
    """[work(item) for item in items], the items independent of each other; not stored, so that items and results may be
    anything that can be pickled.

    work: a function that processes can import. finished: told (index, result) as they arrive.
    """
    results: dict[int, Any] = {}

    def arrived(index: int, result: Any) -> None:
        results[index] = result
        if finished:
            finished(index, result)

    _run(work, items, range(len(items)), arrived, lambda: len(items), whole_number("jobs", jobs, least=1))
    return [results[i] for i in range(len(items))]


def _end(results: Mapping[int, Any], total: int, until: Callable[[Any], bool] | None) -> int:
    """How many cells the sweep has, as far as is known."""
    hits = [i for i, result in results.items() if until is not None and until(result)]
    return min(hits) + 1 if hits else total


def _alone(work: Callable[[Any], Any], cell: Any) -> Any:
    """One thread of BLAS per cell: as many as there are processes would fight, and their number could change sums."""
    with threadpool_limits(1, user_api="blas"):
        return work(cell)


def _run(
    work: Callable[[Any], Any],
    cells: Sequence[Any],
    missing: Sequence[int],
    arrived: Callable[[int, Any], None],
    end: Callable[[], int],
    jobs: int,
) -> None:
    alone = partial(_alone, work)
    if jobs > 1 and len(missing) > 1:
        _side_by_side(alone, cells, missing, arrived, end, jobs)
        return
    for i in missing:
        if i >= end():
            return
        arrived(i, alone(cells[i]))


def _side_by_side(
    work: Callable[[Any], Any],
    cells: Sequence[Any],
    missing: Sequence[int],
    arrived: Callable[[int, Any], None],
    end: Callable[[], int],
    jobs: int,
) -> None:
    # Fresh interpreters: what a fork would inherit (threads of BLAS, random state) must not matter.
    context = multiprocessing.get_context("spawn")
    queue = list(reversed(missing))
    count = min(jobs, len(missing))
    failed: dict[int, BaseException] = {}
    with ProcessPoolExecutor(count, mp_context=context, initializer=_follow, initargs=(os.getpid(),)) as pool:
        running: dict[Future[Any], int] = {}
        try:
            while running or queue:
                # In turn, nothing beyond a failure or a hit would have been begun.
                while queue and len(running) < jobs and queue[-1] < min([end(), *failed]):
                    i = queue.pop()
                    running[pool.submit(work, cells[i])] = i
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    i, error = running.pop(future), future.exception()
                    if error is None:
                        arrived(i, future.result())
                    else:
                        failed[i] = error
            if failed and min(failed) < end():
                raise failed[min(failed)]
        finally:
            for future in running:
                future.cancel()


def _follow(parent: int) -> None:
    """In a process of the pool: end when the parent is gone, however it went."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _opened(
    store: Path | None, header: Mapping[str, Any]
) -> Iterator[tuple[dict[int, Any], Callable[[int, Any], None]]]:
    """({index: result} of the cells that are stored, what stores one more)."""
    if store is None:
        yield {}, lambda index, result: None
        return
    try:
        file = open(store, "a+b")  # noqa: SIM115  closed below
    except OSError as error:
        raise InputError(f"store: expected a file that can be written, got {store} ({error.strerror})") from error
    with file:
        _lock(store, file)
        file.seek(0)
        content = file.read()
        # A line without its end was being written when the process died; if it is the first, it is a part of ours.
        whole = content[: content.rfind(b"\n") + 1]
        if not whole and not _line(header).startswith(content):
            raise _foreign(store)
        lines = _parsed(store, whole)
        if lines and lines[0] != _plain(header):
            raise InputError(
                f"store: expected a file of this very sweep, {store} holds another one (other options or version):"
                " name another file or remove it"
            )
        file.truncate(len(whole))

        def write(value: Any) -> None:
            file.write(_line(value))
            file.flush()
            os.fsync(file.fileno())

        if not lines:
            write(header)
        yield (
            {line["cell"]: line["result"] for line in lines[1:]},
            lambda index, result: write({"cell": index, "result": result}),
        )


def _lock(store: Path, file: IO[bytes]) -> None:
    """One sweep at a time per store; the system frees the lock however the process ends."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise InputError(f"store: expected a file no other sweep is writing, {store} is in use") from error


def _parsed(store: Path, content: bytes) -> list[Any]:
    try:
        lines = [json.loads(line) for line in content.decode().splitlines()]
        if all(isinstance(line, dict) for line in lines) and all({"cell", "result"} <= set(x) for x in lines[1:]):
            return lines
    except ValueError:
        pass
    raise _foreign(store)


def _foreign(store: Path) -> InputError:
    return InputError(f"store: expected the JSON lines of a sweep, {store} holds something else: name another file")


def _line(value: Any) -> bytes:
    return (json.dumps(value) + "\n").encode()


def _plain(value: Any) -> Any:
    """As it comes back from a store, so that a cell just computed and one read back are the same."""
    return json.loads(json.dumps(value))


def _digest(cells: Sequence[Cell]) -> str:
    return hashlib.sha256(json.dumps(list(cells), sort_keys=True).encode()).hexdigest()
