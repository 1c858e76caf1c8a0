"""One mutant against its tests, in a process forked from one that has loaded what the package imports."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

LOADED = (
    "numpy scipy.linalg scipy.optimize scipy.special scipy.stats sympy mpmath flint matplotlib.pyplot rich jinja2 click"
    " threadpoolctl"
)
MEMORY = 6 << 30  # bytes a trial may map: a mutant may ask for anything
SLACK = 20.0  # seconds a test may take beyond 10 times what it takes without a mutation

fork = multiprocessing.get_context("fork")


def load() -> None:
    """Imports what every trial would; BLAS keeps to one thread, as trials share the cores."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    for name in LOADED.split():
        importlib.import_module(name)


class Watch:
    """Puts the tests most likely to fail first, limits the time of each, and says which failed."""

    def __init__(self, order: Sequence[str], usual: dict[str, float]) -> None:
        self.rank = {name: i for i, name in enumerate(order)}
        self.usual = usual
        self.seconds: dict[str, float] = {}
        self.failed: str | None = None

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items.sort(key=lambda item: self.rank.get(item.nodeid, len(self.rank)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Any:
        signal.setitimer(signal.ITIMER_REAL, SLACK + 10 * self.usual.get(item.nodeid, 60.0))
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed and self.failed is None:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and self.failed is None:
            self.failed = f"collection of {report.nodeid}"


def _run(tree: Path, tests: Sequence[str], watch: Watch, bytecode: bool, out: Connection) -> None:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, lambda *_: (out.send(("killed", "time", {})), os._exit(0)))
    log = os.open(tree / "trial.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(tree)
    os.environ["PYTHONPATH"] = str(tree)
    sys.path.insert(0, str(tree))
    sys.dont_write_bytecode = not bytecode
    options = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--no-header", "--tb=short"]
    code = pytest.main([*options, *tests], plugins=[watch])
    outcome = {0: "survived", 1: "killed", 2: "killed"}.get(int(code), "error")
    out.send((outcome, watch.failed or f"pytest ended with {int(code)}", watch.seconds))
    os._exit(0)


class Trial:
    """A run under way. connection: ready when it has ended."""

    def __init__(
        self, tree: Path, tests: Sequence[str], order: Sequence[str], usual: dict[str, float], bytecode: bool = False
    ) -> None:
        self.connection, out = fork.Pipe(duplex=False)
        self.process = fork.Process(target=_run, args=(tree, tests, Watch(order, usual), bytecode, out))
        self.process.start()
        out.close()

    def result(self) -> tuple[str, str, dict[str, float]]:
        """("survived", "killed" or "error", the test that failed, seconds by test); waits for the end."""
        try:
            found = self.connection.recv()
        except EOFError:
            found = ("killed", "the process died", {})
        self.end()
        return found

    def end(self) -> None:
        """Ends the run and what it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()
        self.connection.close()
