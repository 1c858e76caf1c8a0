"""What a benchmark ran on, and the memory of its process."""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import moe_theory as mt


def environment() -> dict[str, Any]:
    """Versions, processors, their load before the run, BLAS threads (None where threadpoolctl is absent)."""
    versions = {"python": platform.python_version()}
    for package in ("numpy", "scipy", "scikit-learn"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    versions["moe-theory"] = mt.__version__
    try:
        from threadpoolctl import threadpool_info

        pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    except ImportError:
        pools = []
    threads = max(pools, default=None)
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "load": load}
    return {"versions": versions, **machine, "blas_threads": threads}


def reset_peak() -> int | None:
    """Forget this process's peak memory; what it holds now, KiB, or None where the system cannot.

    What earlier contestants freed goes back first (glibc keeps it), or the next one would live on it for nothing.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return memory("VmRSS")
    except OSError:
        return None


def memory(entry: str) -> int:
    """VmRSS (held now) or VmHWM (the peak), KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(entry)).split()[1])
