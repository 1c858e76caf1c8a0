"""Data sets for EM on mixtures of experts: synthetic, from R and its packages, and big ones for the clock.

A `DataSet` is the data; `problems` gives it its starts, random soft responsibilities from seeds: those of even index
independent from row to row (as flexmix starts when told nothing, and as hard to leave as a saddle), those of odd index
a softmax of random directions in (x, g, y), which already sets the experts apart.
"""

from __future__ import annotations

import csv
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.special import expit, softmax

from moe_theory.datasets import old_faithful

from .contestants import HERE, Family, Parameters, Problem, deviations, log_density
from .from_r import absent


@dataclass(frozen=True, eq=False)
class DataSet:
    """x (n, d) and g (n, q) with their intercept columns, y (n,); truth where the data were drawn."""

    name: str
    family: Family
    x: np.ndarray
    g: np.ndarray
    y: np.ndarray
    k: int
    truth: Parameters | None = None

    def problems(self, starts: int = 5, seed: int = 0) -> list[Problem]:
        """One problem per start."""
        return [
            Problem(f"{self.name} #{i}", self.family, self.x, self.g, self.y, self.k, r)
            for i, r in enumerate(random_starts(self, starts, seed))
        ]


def random_starts(data: DataSet, starts: int, seed: int) -> list[np.ndarray]:
    """Soft responsibilities (n, k), each from a generator of its own: the i-th is the same however many are asked."""
    columns = np.column_stack([data.x, data.g, data.y])
    columns = columns[:, np.std(columns, axis=0) > 0]
    z = (columns - np.mean(columns, axis=0)) / np.std(columns, axis=0)
    answer = []
    for i in range(starts):
        rng = np.random.default_rng([seed, i])
        if i % 2 == 0:
            answer.append(rng.dirichlet(np.ones(data.k), len(data.y)))
        else:
            directions = rng.standard_normal((z.shape[1], data.k))
            answer.append(softmax(2 * z @ (directions / np.linalg.norm(directions, axis=0)), axis=1))
    return answer


def draw(name: str, family: Family, n: int, truth: Parameters, seed: int) -> DataSet:
    """Standard normal covariates, x = g, responses from the truth."""
    rng = np.random.default_rng(seed)
    k, d = truth.experts.shape
    x = np.column_stack([np.ones(n), rng.standard_normal((n, d - 1))])
    chances = np.cumsum(softmax(x @ truth.gate.T, axis=1), axis=1)
    z = np.minimum(np.sum(rng.random(n)[:, None] > chances, axis=1), k - 1)
    eta = np.sum(x * truth.experts[z], axis=1)
    if family == "gaussian":
        y = eta + deviations(truth)[z] * rng.standard_normal(n)
    elif family == "binomial":
        y = (rng.random(n) < expit(eta)).astype(float)
    else:
        y = rng.poisson(np.exp(eta)).astype(float)
    return DataSet(name, family, x, x, y, k, truth)


def synthetic() -> list[DataSet]:
    """Overlapping experts, so that EM takes tens to hundreds of iterations."""
    zero = np.zeros
    two = Parameters(np.array([zero(2), [0.3, 1.0]]), np.array([[1.0, 1.0], [-0.5, -0.5]]), np.array([1.0, 0.7]))
    wide = Parameters(
        np.array([zero(4), [0.2, 0.8, -0.5, 0.3]]),
        np.array([[0.5, 1.0, 0.0, -0.5], [-0.5, -1.0, 0.5, 0.5]]),
        np.array([0.8, 1.2]),
    )
    three = Parameters(
        np.array([zero(3), [0.3, 1.0, -0.5], [-0.2, -1.0, 0.8]]),
        np.array([[2.0, 1.0, 0.0], [0.0, -1.0, 0.5], [-2.0, 0.5, 1.0]]),
        np.array([0.8, 1.0, 0.6]),
    )
    logistic = Parameters(np.array([zero(3), [0.0, 2.0, 0.0]]), np.array([[1.0, 1.0, 3.0], [-1.0, 1.0, -3.0]]))
    poisson = Parameters(np.array([zero(3), [0.0, 1.0, 0.5]]), np.array([[1.0, 0.4, 0.0], [0.2, -0.3, 0.5]]))
    return [
        draw("gaussian, k 2, d 2", "gaussian", 500, two, 1),
        draw("gaussian, k 2, d 4", "gaussian", 1000, wide, 2),
        draw("gaussian, k 3, d 3", "gaussian", 2000, three, 3),
        draw("logistic, k 2, d 3", "binomial", 2000, logistic, 4),
        draw("poisson, k 2, d 3", "poisson", 1000, poisson, 5),
    ]


def embedded() -> list[DataSet]:
    """Old Faithful as it is (minutes) and standardised: the same maximum, since both have an intercept."""
    data = old_faithful()
    plain = DataSet("Old Faithful", "gaussian", data.x, data.x, data.y, 2)
    x = standardised(data.x)
    return [plain, DataSet("Old Faithful, standardised", "gaussian", x, x, data.y, 2)]


def exported() -> list[DataSet]:
    """What R has to give; empty without R."""
    tables = from_r()
    made: list[tuple[str, str, Callable[[dict[str, np.ndarray]], DataSet]]] = [
        ("NPreg", "NPreg, normal", lambda t: same(t["yn"], t["x"], t["x"] ** 2)),
        ("NPreg", "NPreg, Poisson", lambda t: same(t["yp"], t["x"], family="poisson")),
        ("CO2data", "CO2", lambda t: same(t["CO2"], t["GNP"])),
        ("NOdata", "NO", lambda t: same(t["Equivalence"], t["NO"])),
        ("tonedata", "tone", lambda t: same(t["tuned"], t["stretchratio"])),
        ("airquality", "air quality", lambda t: same(np.log(t["Ozone"]), t["Temp"], t["Wind"])),
        ("patent", "patents, k 3", patents),
        ("bioChemists", "biochemists", lambda t: same(t["art"], t["fem"], t["phd"], t["ment"], family="poisson")),
        ("Pima.tr", "Pima", lambda t: same(t["type"] - 1, t["glu"], t["age"], family="binomial")),
    ]
    return [rename(make(tables[table]), name) for table, name, make in made if table in tables]


def same(y: np.ndarray, *covariates: np.ndarray, family: Family = "gaussian", k: int = 2) -> DataSet:
    """Gate and experts on the same covariates, in the units they came in."""
    x = np.column_stack([np.ones(len(y)), *covariates])
    return DataSet("", family, x, x, y, k)


def patents(table: dict[str, np.ndarray]) -> DataSet:
    """Patents given log R&D, the gate on R&D over sales (Wang, Cockburn and Puterman 1998; flexmix's example)."""
    ones = np.ones(len(table["Patents"]))
    x, g = np.column_stack([ones, table["lgRD"]]), np.column_stack([ones, table["RDS"]])
    return DataSet("", "poisson", x, g, table["Patents"], 3)


def rename(data: DataSet, name: str) -> DataSet:
    return DataSet(name, data.family, data.x, data.g, data.y, data.k, data.truth)


def standardised(x: np.ndarray) -> np.ndarray:
    """All columns but the intercept with mean 0 and standard deviation 1."""
    rest = x[:, 1:]
    return np.column_stack([x[:, 0], (rest - np.mean(rest, axis=0)) / np.std(rest, axis=0)])


@cache
def from_r() -> dict[str, dict[str, np.ndarray]]:
    """Tables by name and column; empty where R is absent."""
    if absent("stats") is not None:
        return {}
    tables = {}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["Rscript", str(HERE / "export_data.R"), folder], capture_output=True, check=True)
        for path in sorted(Path(folder).glob("*.csv")):
            with path.open(encoding="utf-8", newline="") as file:
                head, *rows = csv.reader(file)
            tables[path.stem] = dict(zip(head, np.array(rows, dtype=float).T, strict=True))
    return tables


def catalogue() -> list[DataSet]:
    """Every small data set."""
    return [*synthetic(), *embedded(), *exported()]


def timing(n: int, d: int = 10, k: int = 2, seed: int = 0) -> Problem:
    """A big Gaussian problem, x = g, that starts from the posterior a little off the truth."""
    rng = np.random.default_rng([seed, d, k])
    gate, experts, off_gate, off_experts = rng.standard_normal((4, k, d)) / np.sqrt(d)
    gate[0] = off_gate[0] = 0
    data = draw(f"n {n:,}, d {d}, k {k}", "gaussian", n, Parameters(gate, experts, np.full(k, 0.7)), seed)
    near = Parameters(gate + 0.3 * off_gate, experts + 0.3 * off_experts, np.full(k, 1.0))
    problem = Problem(data.name, "gaussian", data.x, data.g, data.y, k, np.empty((n, 0)))
    start = softmax(data.g @ near.gate.T, axis=1)
    start = softmax(np.log(start) + log_density(problem, near), axis=1)
    return Problem(data.name, "gaussian", data.x, data.g, data.y, k, start)
