"""Distances modulo a model's symmetries: parameters that no data can tell apart are the same point."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.errors import InputError
from moe_theory.model import Model
from moe_theory.symbolic.derive import derive
from moe_theory.validation import Array

MANY = 8


def distance(model: Model, theta: ArrayLike, truth: ArrayLike) -> float:
    """min over the symmetries G of ‖Gθ - truth‖ (Frobenius), the G derived and proved by `derive(model).symmetries`;
    of a softmax mixture over all orders of its labels, eight at most.

    >>> from moe_theory.zoo import symmetric_linear
    >>> distance(symmetric_linear(), [[1, 0], [0, 1]], [[-1, 0], [0, -1]])
    0.0
    """
    return float(np.linalg.norm(nearest(model, theta, truth) - model.check_theta("truth", truth)))


def nearest(model: Model, theta: ArrayLike, truth: ArrayLike) -> Array:
    """The image of θ under the model's symmetries that is nearest to the truth, (m, d); see `distance`."""
    a = model.check_theta("theta", theta)
    b = model.check_theta("truth", truth, a.shape[1])
    if model.structure is not None:
        labels = range(model.structure.k)
        if len(labels) > MANY:
            raise InputError(f"model: expected at most {MANY} labels to try all their orders, got {len(labels)}")
        orders = itertools.permutations(labels)
        return min((model.structure.relabelled(a, order) for order in orders), key=lambda g: np.linalg.norm(g - b))
    moved = [np.array(g.tolist(), dtype=float) @ a for g in derive(model).symmetries]
    return min(moved, key=lambda g: np.linalg.norm(g - b))
