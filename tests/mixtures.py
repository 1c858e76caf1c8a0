"""The table of softmax mixtures beside which stands an independent computation at 40 digits (data/mixtures.json)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import moe_theory as mt
from moe_theory.mixture.problem import Problem

FAMILY = {"bernoulli": "binomial"}


@dataclass(frozen=True)
class Mixture:
    """One case: problem, θ at which everything was computed, and the results."""

    name: str
    problem: Problem
    theta: np.ndarray
    extreme: bool
    results: dict[str, Any]

    @property
    def model(self) -> mt.Model:
        return self.problem.model

    @property
    def law(self) -> mt.Finite:
        return self.problem.law

    def vector(self, key: str) -> np.ndarray:
        """A result as an array."""
        return np.array(self.results[key], dtype=float)


def load() -> tuple[Mixture, ...]:
    """All cases."""
    cases = json.loads((Path(__file__).parent / "data" / "mixtures.json").read_text())["cases"]
    return tuple(_made(case) for case in cases)


def _made(case: dict[str, Any]) -> Mixture:
    problem = Problem.of(
        case["x"],
        case["y"],
        case["k"],
        FAMILY.get(case["family"], case["family"]),
        case["g"],
        weights=case["weight"],
        offset=case["offset"],
        intercept=False,
        common_sigma=bool(case["common_sigma"]),
    )
    theta = problem.model.filled(np.array(case["theta_vector"]), problem.law.dimension)
    return Mixture(case["name"], problem, theta, case["extreme"], case["results"])


MIXTURES = load()
