"""flexmix and mixtools, run by Rscript."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .contestants import HERE, WARM, Parameters, Problem, Result

R_SECONDS = 3600.0  # an R run that takes longer is ended


class FromR(ABC):
    """A script beside this file, run by Rscript in a temporary folder."""

    name: str
    package: str
    script: str

    def available(self) -> str | None:
        return absent(self.package)

    def supports(self, problem: Problem) -> str | None:
        return None

    def run(self, problem: Problem, max_iterations: int, tolerance: float) -> Result:
        options = {"max_iterations": str(max_iterations), "tolerance": repr(tolerance)}
        clock = time.perf_counter()
        try:
            answer = self._call(problem, options)
        except RuntimeError as error:
            seconds = time.perf_counter() - clock
            return Result(self.name, float("nan"), 0, seconds, None, None, False, None, str(error))
        sigma = None if answer["sigma"] is None else numbers(answer["sigma"]).ravel()
        parameters = Parameters(numbers(answer["gate"]), numbers(answer["experts"]), sigma)
        named = ("log_likelihood_claimed", "log_likelihood_ml_sigma", "log_likelihood_refitted_gate")
        figures = {key: number(answer[key]) for key in (*named, "gate_fits_stopped", "restarts") if key in answer}
        return Result(
            self.name,
            number(answer["log_likelihood"]),
            int(answer["iterations"]),
            float(answer["seconds"]),
            answer["seconds_per_iteration"],
            answer["peak_mib"],
            bool(answer["converged"]),
            parameters,
            self._note(problem, answer),
            figures,
        )

    @abstractmethod
    def seconds_per_iteration(self, problem: Problem, iterations: int) -> float: ...

    def _note(self, problem: Problem, answer: dict[str, Any]) -> str:
        return ""

    def _call(self, problem: Problem, options: dict[str, str]) -> dict[str, Any]:
        """The script's answer; RuntimeError with R's last word where it fails."""
        columns = [("y", problem.y[:, None]), ("x", problem.x), ("g", problem.g)]
        names = [f"{c}{j + 1}" if c != "y" else "y" for c, a in columns for j in range(a.shape[1])]
        with tempfile.TemporaryDirectory() as folder:
            data, start, out = (Path(folder) / f for f in ("data.csv", "start.csv", "out.json"))
            write_csv(data, names, np.hstack([a for _, a in columns]))
            write_csv(start, [f"r{j + 1}" for j in range(problem.k)], problem.responsibilities)
            files = {"data": str(data), "start": str(start), "out": str(out), "family": problem.family}
            arguments = [f"{key}={value}" for key, value in (files | options).items()]
            command = ["Rscript", str(HERE / self.script), *arguments]
            try:
                ended = subprocess.run(command, capture_output=True, text=True, timeout=R_SECONDS, check=False)
            except subprocess.TimeoutExpired:
                raise RuntimeError(f"R took more than {R_SECONDS:.0f} s") from None
            if ended.returncode or not out.is_file():
                lines = [line for line in ended.stderr.splitlines() if line.strip()]
                error = next((i for i, line in enumerate(lines) if line.startswith("Error")), len(lines) - 1)
                raise RuntimeError(" ".join(line.strip() for line in lines[error : error + 2]) or "R said nothing")
            return json.loads(out.read_text())


class Flexmix(FromR):
    """flexmix: FLXMRglm experts and an FLXPmultinom gate, from the very responsibilities."""

    name, package, script = "flexmix", "flexmix", "flexmix_em.R"

    def seconds_per_iteration(self, problem: Problem, iterations: int) -> float:
        options = {"max_iterations": str(WARM + iterations + 1), "tolerance": "0", "warm": str(WARM)}
        return float(self._call(problem, options)["seconds_per_iteration"])

    def _note(self, problem: Problem, answer: dict[str, Any]) -> str:
        notes = []
        if answer["components"] != problem.k:
            notes.append(f"{answer['components']} components left")
        if problem.family == "gaussian":
            notes.append("σ² divided by n - d")
        if answer["gate_fits_stopped"]:
            notes.append(f"{answer['gate_fits_stopped']} gate fits stopped at 100 BFGS steps")
        return "; ".join(notes)


class Mixtools(FromR):
    """mixtools' hmeEM: two Gaussian experts, one matrix for gate and experts; right for two columns only.

    any_columns: let it also do what it does wrongly, to show it.
    """

    name, package, script = "mixtools", "mixtools", "mixtools_em.R"

    def __init__(self, any_columns: bool = False) -> None:
        self.any_columns = any_columns

    def supports(self, problem: Problem) -> str | None:
        if problem.family != "gaussian" or problem.k != 2:
            return "hmeEM has two Gaussian experts only"
        if not np.array_equal(problem.x, problem.g):
            return "hmeEM has one matrix for gate and experts"
        columns = problem.x.shape[1]
        if columns < 2:
            return "hmeEM needs a covariate beside the intercept"
        if columns > 2 and not self.any_columns:
            return "hmeEM's gate step is wrong beyond an intercept and one covariate"
        return None

    def seconds_per_iteration(self, problem: Problem, iterations: int) -> float:
        seconds = self._call(problem, {"timed": str(iterations)})["seconds_per_iteration"]
        return float("nan") if seconds is None else float(seconds)  # it restarted

    def _note(self, problem: Problem, answer: dict[str, Any]) -> str:
        if answer["restarts"]:
            return f"{answer['restarts']} random restarts: not from the start given, iterations since the last"
        return ""


@cache
def absent(package: str) -> str | None:
    """None, or what of R is absent."""
    if shutil.which("Rscript") is None:
        return "Rscript is absent"
    code = f"quit(status = !requireNamespace('{package}', quietly = TRUE))"
    ended = subprocess.run(["Rscript", "-e", code], capture_output=True, check=False)
    return f"R package {package} is absent" if ended.returncode else None


def write_csv(path: Path, names: list[str], table: np.ndarray) -> None:
    np.savetxt(path, table, fmt="%.17g", delimiter=",", header=",".join(names), comments="")


def number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def numbers(rows: list[list[float | None]]) -> np.ndarray:
    return np.array([[number(value) for value in row] for row in rows])
