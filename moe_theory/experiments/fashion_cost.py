"""What a pass over altered images costs, against the two matrix products that it cannot do without."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_theory.evaluation.first_order import first_order
from moe_theory.evaluation.layout import require_layout
from moe_theory.experiments.altered import Altered, experts
from moe_theory.laws.rows import Block
from moe_theory.sums import total


@dataclass(frozen=True)
class Floor:
    """Milliseconds. products: of the two products of a pass alone, of every predictor with all features and back, as
    fast as they were had of two ways; evaluation: of L, or Q, with its gradient. ratio: evaluation / products.
    """

    products: float
    evaluation: float

    @property
    def ratio(self) -> float:
        return self.evaluation / self.products


def floor(data: Altered, rounds: int = 7) -> Floor:
    """Medians over rounds in which all take turns."""
    model = experts(2, data.images)
    plan, theta = require_layout(model, data.law), np.zeros((len(model.predictors), data.dimension))
    rows = data.law.rows(model, theta)
    at = first_order(plan, model, data.law, theta)
    weights = np.full(theta.shape, 0.01, np.float32)
    back = {id(block): np.full((len(theta), len(block.y)), 0.1, np.float32) for block in rows.blocks}

    def products(block: Block) -> list[Any]:
        # Both in full: nothing may be taken from the one for the other.
        return [float((weights @ block.x)[0, 0]), back[id(block)] @ block.x.T]

    ways: dict[str, Callable[[], Any]] = {
        "shared": lambda: total(rows.blocks, products, data.law.threads),
        "whole": lambda: total(rows.blocks, products),
        "evaluation": lambda: first_order(plan, model, data.law, theta, None, at.responsibilities),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            way()  # the threads of the way before, still awake, would be in this one's way
            clock = time.perf_counter()
            way()
            times[name].append(1e3 * (time.perf_counter() - clock))
    median = {name: float(np.median(values)) for name, values in times.items()}
    return Floor(min(median["shared"], median["whole"]), median["evaluation"])
