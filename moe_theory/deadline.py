"""Work that ends: a computation that takes longer than it may is given up, wherever it is."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class _GiveUp(BaseException):
    """Raised in the working thread from outside; no handler of `Exception` catches it."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` returns; TimeoutError if it has not after so many seconds of this thread (not inside one long
    operation of compiled code). On a busy machine only the seconds that it had count, where the system tells them."""
    worker, done, lock = threading.get_ident(), threading.Event(), threading.Lock()
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    clock = time.pthread_getcpuclockid(worker) if hasattr(time, "pthread_getcpuclockid") else time.CLOCK_MONOTONIC
    end = time.clock_gettime(clock) + seconds

    fired = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            with lock:
                # Again and again, as a handler may swallow it.
                if not done.is_set() and time.clock_gettime(clock) > end:
                    fired.set()
                    raise_in(ctypes.c_ulong(worker), ctypes.py_object(_GiveUp))

    threading.Thread(target=watch, daemon=True).start()
    failure: Exception | None = None
    try:
        try:
            result = work()
        except Exception as error:
            failure = error
        with lock:
            done.set()
        # One that is on its way is met here: to call it back would leave the interpreter looking for it for ever.
        for _ in range(50 * fired.is_set()):
            time.sleep(0.001)
    except _GiveUp:
        raise TimeoutError from None
    finally:
        done.set()
    if failure is not None:
        raise failure
    return result
