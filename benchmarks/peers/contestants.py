"""EM for a k-expert mixture of experts as its peers do it: flexmix, mixtools, whole-array NumPy, scikit-learn.

The model: P(z = j | g) is the softmax of g'w_j with w_1 = 0, and y given x and z = j is normal (mean x'β_j, σ_j²),
Bernoulli (logit x'β_j) or Poisson (log-mean x'β_j). Every contestant starts with the M-step of the problem's
responsibilities. An iteration is an M-step, the log-likelihood at its result and the responsibilities there; EM has
converged when |Δℓ| / (|ℓ| + 0.1) is below the tolerance, which is flexmix's rule.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from scipy.linalg import LinAlgWarning
from scipy.special import expit, gammaln, log_expit, logsumexp
from threadpoolctl import ThreadpoolController

try:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
except ImportError:
    LinearRegression = LogisticRegression = PoissonRegressor = None
    ConvergenceWarning = Warning

Family = Literal["gaussian", "binomial", "poisson"]

HERE = Path(__file__).resolve().parent
GRADIENT = 1e-12  # of an exact M-step's objective, per row and per root mean square of the column
WARM = 3  # iterations that the seconds per iteration leave out
COLLAPSED = 1e-6  # σ_j over the standard deviation of y below which an expert sits on a few rows: ℓ is unbounded
FEW = 20_000  # rows below which scikit-learn has one thread: more wait for each other, and long if a core is busy
R_SECONDS = 3600.0  # an R run that takes longer is ended


@dataclass(frozen=True, eq=False)
class Problem:
    """x (n, d) and g (n, q) with their intercept columns, y (n,), responsibilities (n, k) to start from."""

    name: str
    family: Family
    x: np.ndarray
    g: np.ndarray
    y: np.ndarray
    k: int
    responsibilities: np.ndarray


@dataclass(frozen=True, eq=False)
class Parameters:
    """gate (k, q) with a first row of zeros, experts (k, d), sigma (k,) or None."""

    gate: np.ndarray
    experts: np.ndarray
    sigma: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """Where EM ended. log_likelihood: exact, at `parameters`; iterations: M-steps, the start's included.

    figures: what a contestant has to say besides. A run that failed has log_likelihood nan and says why in the note.
    """

    name: str
    log_likelihood: float
    iterations: int
    seconds: float
    seconds_per_iteration: float | None
    peak_mib: float | None
    converged: bool
    parameters: Parameters | None
    note: str = ""
    figures: dict[str, float] = field(default_factory=dict)


class Contestant(Protocol):
    """What a benchmark asks of a contestant."""

    name: str

    def available(self) -> str | None:
        """None, or the word why not here."""

    def supports(self, problem: Problem) -> str | None:
        """None, or the word why it cannot do this problem."""

    def run(self, problem: Problem, max_iterations: int, tolerance: float) -> Result:
        """EM from the problem's start."""

    def seconds_per_iteration(self, problem: Problem, iterations: int) -> float:
        """Mean over this many iterations, after the first WARM; start and reading are outside the clock."""


def log_likelihood(problem: Problem, parameters: Parameters) -> float:
    """The judge: ℓ summed over the rows, in plain NumPy apart from all contestants."""
    scores = problem.g @ parameters.gate.T
    joint = scores - logsumexp(scores, axis=1, keepdims=True) + log_density(problem, parameters)
    return float(np.sum(logsumexp(joint, axis=1)))


def log_density(problem: Problem, parameters: Parameters) -> np.ndarray:
    """log f_j(y_i | x_i), (n, k)."""
    eta, y = problem.x @ parameters.experts.T, problem.y[:, None]
    if problem.family == "gaussian":
        sigma = deviations(parameters)
        return -(((y - eta) / sigma) ** 2) / 2 - np.log(sigma) - np.log(2 * np.pi) / 2
    if problem.family == "binomial":
        return log_expit((2 * y - 1) * eta)
    return y * eta - np.exp(eta) - gammaln(y + 1)


def deviations(parameters: Parameters) -> np.ndarray:
    """σ (k,) of Gaussian experts."""
    assert parameters.sigma is not None
    return parameters.sigma


class InProcess(ABC):
    """EM in this process: the loop, the clock and the peak; a contestant gives the iterations."""

    name: str
    failures: tuple[type[Exception], ...] = (np.linalg.LinAlgError,)  # which end a run with a note

    def available(self) -> str | None:
        return None

    def supports(self, problem: Problem) -> str | None:
        return None

    @abstractmethod
    def iterate(self, problem: Problem) -> Iterator[tuple[Parameters, float]]:
        """After every iteration the parameters and ℓ there; a layout of the data is made before the first."""

    def run(self, problem: Problem, max_iterations: int, tolerance: float) -> Result:
        parameters, value, iteration, converged, notes = None, -np.inf, 0, False, []
        falls, fall, smallest = 0, 0.0, COLLAPSED * float(np.std(problem.y))
        before, clock = reset_peak(), time.perf_counter()
        stamps = [clock]
        try:
            with quiet():
                for iteration, (parameters, new) in enumerate(self.iterate(problem), 1):
                    stamps.append(time.perf_counter())
                    last, value = value, new
                    if value < last:
                        falls, fall = falls + 1, max(fall, last - value)
                    if not np.isfinite(value):
                        notes.append("ℓ is not finite")
                        break
                    if parameters.sigma is not None and np.min(parameters.sigma) < smallest:
                        notes.append("an expert's σ collapsed")
                        break
                    converged = abs(value - last) / (abs(value) + 0.1) < tolerance
                    if converged or iteration >= max_iterations:
                        break
        except self.failures as error:
            notes.append(f"ended by {error}")
        seconds = time.perf_counter() - clock
        peak = None if before is None else (memory("VmHWM") - before) / 1024
        exact = float("nan") if parameters is None else log_likelihood(problem, parameters)
        each = (stamps[-1] - stamps[WARM]) / (len(stamps) - 1 - WARM) if len(stamps) > WARM + 1 else None
        figures = {"falls": float(falls), "largest_fall": fall}
        return Result(
            self.name, exact, iteration, seconds, each, peak, converged, parameters, "; ".join(notes), figures
        )

    def seconds_per_iteration(self, problem: Problem, iterations: int) -> float:
        steps = self.iterate(problem)
        with quiet():
            for _ in range(WARM):
                next(steps)
            clock = time.perf_counter()
            for _ in range(iterations):
                next(steps)
        return (time.perf_counter() - clock) / iterations


class TwoSteps(InProcess):
    """A contestant that gives the M-step and the E-step."""

    def prepare(self, problem: Problem) -> Any:
        """Its own layout of the data, made once."""
        return None

    @abstractmethod
    def m_step(self, problem: Problem, layout: Any, r: np.ndarray, last: Parameters | None) -> Parameters:
        """Parameters for the responsibilities r (n, k), from the last ones where it iterates."""

    @abstractmethod
    def e_step(self, problem: Problem, parameters: Parameters) -> tuple[float, np.ndarray]:
        """ℓ and the responsibilities at these parameters."""

    def iterate(self, problem: Problem) -> Iterator[tuple[Parameters, float]]:
        layout, r, parameters = self.prepare(problem), problem.responsibilities, None
        while True:
            parameters = self.m_step(problem, layout, r, parameters)
            value, r = self.e_step(problem, parameters)
            yield parameters, value


@contextmanager
def quiet() -> Iterator[None]:
    """scikit-learn's words on gates that separate the experts, whose maximum is at infinity, are left unsaid."""
    with warnings.catch_warnings():
        for category in (ConvergenceWarning, LinAlgWarning):
            warnings.simplefilter("ignore", category)
        yield


LogSum = Callable[[np.ndarray], np.ndarray]  # (n, k) to (n, 1)


def by_logsumexp(a: np.ndarray) -> np.ndarray:
    """The textbook's way."""
    return logsumexp(a, axis=1, keepdims=True)


def by_logaddexp(a: np.ndarray) -> np.ndarray:
    """The quicker way for few experts."""
    return np.logaddexp.reduce(a, axis=1, keepdims=True)


class WholeArrays(TwoSteps):
    """NumPy as one writes it: (n, k) arrays, normal equations, Newton on the gate and on GLM experts.

    gate_steps: None for an exact gate (to GRADIENT), 1 for one Newton step per iteration (no line search then:
    ℓ may fall, and `figures` says how often it did).
    """

    def __init__(self, log_sum: LogSum = by_logsumexp, gate_steps: int | None = None) -> None:
        self.log_sum, self.gate_steps = log_sum, gate_steps
        gate = "exact gate" if gate_steps is None else f"{gate_steps} Newton step{'s' * (gate_steps > 1)}"
        self.name = f"NumPy, {log_sum.__name__.removeprefix('by_')}, {gate}"

    def m_step(self, problem: Problem, layout: Any, r: np.ndarray, last: Parameters | None) -> Parameters:
        gate = self._gate(problem.g, r, np.zeros((problem.k, problem.g.shape[1])) if last is None else last.gate)
        if problem.family == "gaussian":
            return Parameters(gate, *gaussian_experts(problem, r))
        experts = [
            self._glm(problem, r[:, j], first_coefficients(problem, r[:, j]) if last is None else last.experts[j])
            for j in range(problem.k)
        ]
        return Parameters(gate, np.stack(experts))

    def e_step(self, problem: Problem, parameters: Parameters) -> tuple[float, np.ndarray]:
        scores = problem.g @ parameters.gate.T
        joint = scores - self.log_sum(scores) + log_density(problem, parameters)
        log_rows = self.log_sum(joint)
        return float(np.sum(log_rows)), np.exp(joint - log_rows)

    def _gate(self, g: np.ndarray, r: np.ndarray, gate: np.ndarray) -> np.ndarray:
        (n, q), k = g.shape, r.shape[1]

        def evaluate(free: np.ndarray) -> tuple[float, np.ndarray, Callable[[], np.ndarray]]:
            scores = g @ np.vstack([np.zeros(q), free.reshape(k - 1, q)]).T
            log_p = scores - self.log_sum(scores)
            p = np.exp(log_p)

            def information() -> np.ndarray:
                h = np.empty((k - 1, q, k - 1, q))
                for a in range(1, k):
                    for b in range(a, k):
                        h[a - 1, :, b - 1] = h[b - 1, :, a - 1] = (g.T * (p[:, a] * ((a == b) - p[:, b]))) @ g
                return h.reshape((k - 1) * q, -1) / n

            return float(np.sum(r * log_p)) / n, ((r - p)[:, 1:].T @ g).ravel() / n, information

        scale = np.tile(np.sqrt(np.mean(g**2, axis=0)), k - 1)
        free = newton(evaluate, gate[1:].ravel(), scale, self.gate_steps)
        return np.vstack([np.zeros(q), free.reshape(k - 1, q)])

    def _glm(self, problem: Problem, weight: np.ndarray, beta: np.ndarray) -> np.ndarray:
        x, y, n = problem.x, problem.y, len(problem.y)

        def evaluate(beta: np.ndarray) -> tuple[float, np.ndarray, Callable[[], np.ndarray]]:
            eta = x @ beta
            if problem.family == "binomial":
                mean, value = expit(eta), log_expit((2 * y - 1) * eta)
                variance = mean * (1 - mean)
            else:
                mean = variance = np.exp(eta)
                value = y * eta - mean
            information = lambda: (x.T * (weight * variance)) @ x / n
            return float(weight @ value) / n, (weight * (y - mean)) @ x / n, information

        return newton(evaluate, beta, np.sqrt(np.mean(x**2, axis=0)) * max(1.0, float(np.mean(y))), None)


def newton(
    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray, Callable[[], np.ndarray]]],
    theta: np.ndarray,
    scale: np.ndarray,
    steps: int | None,
) -> np.ndarray:
    """Maximum of a concave function, evaluate(θ) its value, gradient and information; steps: that many full ones.

    Exact (None): to a gradient of GRADIENT times scale, steps halved while the value falls, ended when none helps.
    """
    value, gradient, information = evaluate(theta)
    for _ in range(100 if steps is None else steps):
        if np.all(np.abs(gradient) <= GRADIENT * scale):
            break
        step = newton_step(information(), gradient)
        if steps == 1:
            return theta + step
        slack = 1e-14 * (1 + abs(value))  # rounding is no fall
        for _ in range(40):
            new = evaluate(theta + step)
            if new[0] >= value - slack:
                break
            step = step / 2
        else:
            break
        smaller = np.max(np.abs(new[1]) / scale) < np.max(np.abs(gradient) / scale)
        if not smaller and new[0] <= value + slack:
            break  # as exact as the rounding lets it be
        theta, (value, gradient, information) = theta + step, new
    return theta


def newton_step(information: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The solution; the shortest one where a gate that separates its experts leaves the matrix singular."""
    try:
        return np.linalg.solve(information, gradient)
    except np.linalg.LinAlgError:
        return np.linalg.lstsq(information, gradient)[0]


def gaussian_experts(problem: Problem, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """β (k, d) by the normal equations, σ (k,): the M-step's maximum, so divided by the sum of weights."""
    x, y = problem.x, problem.y
    beta = np.stack([np.linalg.solve((x.T * w) @ x, x.T @ (w * y)) for w in r.T])
    residuals = y[:, None] - x @ beta.T
    return beta, np.sqrt(np.sum(r * residuals**2, axis=0) / np.sum(r, axis=0))


def first_coefficients(problem: Problem, weight: np.ndarray) -> np.ndarray:
    """Where Newton begins for a GLM expert: least squares on the response moved off the border, as glm.fit does."""
    x, y = problem.x, problem.y
    eta = np.log(y + 0.1) if problem.family == "poisson" else np.log((y + 0.5) / (1.5 - y))
    w = weight * (y + 0.1 if problem.family == "poisson" else 0.1875)
    return np.linalg.solve((x.T * w) @ x, x.T @ (w * eta))


class ScikitLearn(TwoSteps):
    """M-step by scikit-learn: the gate on k weighted copies of the rows; E-step as in `WholeArrays`."""

    def __init__(self, solver: str = "newton-cholesky", tolerance: float = 1e-12) -> None:
        self.solver, self.tolerance = solver, tolerance
        self.name = f"scikit-learn, {solver}"
        self._e_step = WholeArrays(by_logaddexp).e_step

    def available(self) -> str | None:
        return "scikit-learn is absent" if LogisticRegression is None else None

    def prepare(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        return np.tile(problem.g, (problem.k, 1)), np.repeat(np.arange(problem.k), len(problem.y))

    def m_step(self, problem: Problem, layout: Any, r: np.ndarray, last: Parameters | None) -> Parameters:
        with pools().limit(limits=1 if len(problem.y) < FEW else None, user_api="openmp"):
            return self._maximum(problem, layout, r, last)

    def _maximum(self, problem: Problem, layout: Any, r: np.ndarray, last: Parameters | None) -> Parameters:
        copies, labels = layout
        gate = self._logistic(copies, labels, r.T.ravel(), None if last is None else last.gate)
        if problem.family == "gaussian":
            linear = LinearRegression(fit_intercept=False)
            beta = np.stack([linear.fit(problem.x, problem.y, sample_weight=w).coef_ for w in r.T])
            residuals = problem.y[:, None] - problem.x @ beta.T
            return Parameters(gate, beta, np.sqrt(np.sum(r * residuals**2, axis=0) / np.sum(r, axis=0)))
        rows = []
        for j, weight in enumerate(r.T):
            start = None if last is None else last.experts[j]
            if problem.family == "binomial":
                pair = None if start is None else np.stack([np.zeros_like(start), start])
                rows.append(self._logistic(problem.x, problem.y.astype(int), weight, pair)[1])
            else:
                poisson = PoissonRegressor(
                    alpha=0, fit_intercept=False, solver="newton-cholesky", tol=self.tolerance, warm_start=True
                )
                if start is not None:
                    poisson.coef_, poisson.intercept_ = start.copy(), 0.0
                rows.append(poisson.fit(problem.x, problem.y, sample_weight=weight).coef_)
        return Parameters(gate, np.stack(rows))

    def e_step(self, problem: Problem, parameters: Parameters) -> tuple[float, np.ndarray]:
        return self._e_step(problem, parameters)

    def _logistic(self, x: np.ndarray, labels: np.ndarray, weight: np.ndarray, start: np.ndarray | None) -> np.ndarray:
        """Coefficients (k, q), the first row zero, from those of the last iteration."""
        model = LogisticRegression(
            C=np.inf, fit_intercept=False, solver=self.solver, tol=self.tolerance, max_iter=1000, warm_start=True
        )
        if start is not None:  # where a warm start begins; two classes have one row
            model.coef_ = (start if len(start) > 2 else start[1:]).copy()
            model.intercept_ = np.zeros(len(model.coef_))
            model.classes_ = np.arange(len(start))
        coefficients = model.fit(x, labels, sample_weight=weight).coef_
        if len(coefficients) == 1:
            coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
        return coefficients - coefficients[0]


@cache
def pools() -> ThreadpoolController:
    """The thread pools loaded by now."""
    return ThreadpoolController()


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


def peers() -> list[Contestant]:
    """Every peer, each with its strongest settings; those that are not available say so."""
    return [
        Flexmix(),
        Mixtools(),
        WholeArrays(by_logsumexp),
        WholeArrays(by_logaddexp),
        WholeArrays(by_logsumexp, gate_steps=1),
        WholeArrays(by_logaddexp, gate_steps=1),
        ScikitLearn(),
    ]
