"""Distances modulo a model's symmetries: parameters that no data can tell apart are the same point."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.errors import InputError
from moe_theory.model import Model
from moe_theory.symbolic.derive import derive

MANY = 8


def distance(model: Model, theta: ArrayLike, truth: ArrayLike) -> float:
    """min over the symmetries G of ‖Gθ - truth‖ (Frobenius), the G derived and proved by `derive(model).symmetries`;
    of a softmax mixture over all orders of its labels, eight at most.

    >>> from moe_theory.zoo import symmetric_linear
    >>> distance(symmetric_linear(), [[1, 0], [0, 1]], [[-1, 0], [0, -1]])
    0.0
    """
    a = model.check_theta("theta", theta)
    b = model.check_theta("truth", truth, a.shape[1])
    if model.structure is not None:
        labels = range(model.structure.k)
        if len(labels) > MANY:
            raise InputError(f"model: expected at most {MANY} labels to try all their orders, got {len(labels)}")
        return min(
            float(np.linalg.norm(model.structure.relabelled(a, order) - b)) for order in itertools.permutations(labels)
        )
    moved = [np.array(g.tolist(), dtype=float) @ a for g in derive(model).symmetries]
    return min(float(np.linalg.norm(g - b)) for g in moved)
