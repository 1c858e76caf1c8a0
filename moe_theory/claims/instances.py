"""Instances of a theorem: a finite law, its truth and a start, exact to rounding and written down in a few numbers."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_theory.errors import InputError
from moe_theory.laws import Finite
from moe_theory.model import Model
from moe_theory.validation import Array, real_array
from moe_theory.zoo import by_name

_model = functools.cache(by_name)  # a search makes thousands of instances
FOUND = {"T", "alpha", "theta", "steps"}  # may stand in a witness as it is shown, and say nothing new
KEYS = {"model", "x", "weight", "truth", "start"}


@dataclass(frozen=True, eq=False)
class Instance:
    """x uniform (or by `weight`) on a few points, (n, d); (y, z) from `model` at `truth`; iterations start at `start`.

    The model is one of the zoo's, so that an instance can be written down: `to_dict` and `from_dict`.
    """

    model: Model
    x: Array
    weight: Array | None
    truth: Array
    start: Array

    @functools.cached_property
    def law(self) -> Finite:
        """The joint law of x and y."""
        return Finite.from_model(self.model, self.truth, self.x, self.weight, others=[self.start])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        found = {
            "model": self.model.name,
            "x": self.x.tolist(),
            "truth": self.truth.tolist(),
            "start": self.start.tolist(),
        }
        return found if self.weight is None else found | {"weight": self.weight.tolist()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Instance:
        """InputError if a key is missing, unknown, or has the wrong shape."""
        if not isinstance(value, Mapping) or not KEYS - {"weight"} <= set(value) <= KEYS | FOUND:
            got = ", ".join(sorted(value)) if isinstance(value, Mapping) else type(value).__name__
            wanted = ", ".join(sorted(KEYS - {"weight"}))
            raise InputError(f"instance: expected an object with the keys {wanted} (and weight), got {got}")
        model = _model(str(value["model"]))
        x = real_array("x", value["x"], ndim=2)
        truth, start = (model.check_theta(name, value[name], x.shape[1]) for name in ("truth", "start"))
        weight = value.get("weight")
        return cls(model, x, None if weight is None else real_array("weight", weight, ndim=1), truth, start)


class Family(ABC):
    """Instances for every point of a unit cube, [0, 1]^dimensions, with numbers that can be typed in."""

    model: str
    dimensions: int

    @abstractmethod
    def instance(self, cube: Array) -> Instance:
        """The instance at a point of the cube, (dimensions,)."""

    @property
    def name(self) -> str:
        """How it is called in evidence."""
        return f"{self.model} ({type(self).__name__})"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; see `family`."""
        return {"kind": type(self).__name__} | dict(self.__dict__)


@dataclass(frozen=True)
class Planar(Family):
    """Any truth and any start in R², x uniform on four points of the half circle of radius √2 (E[xx'] = I; symmetric
    models cannot tell x from -x). The last coordinate draws the start towards the truth."""

    model: str
    largest: float = 4.0

    @property
    def dimensions(self) -> int:  # type: ignore[override]
        return 4 * len(_model(self.model).predictors) + 1

    def instance(self, cube: Array) -> Instance:
        angles = np.pi * np.arange(4) / 4
        x = np.round(np.sqrt(2) * np.column_stack([np.cos(angles), np.sin(angles)]), 12)
        truth, free = (self.largest * (2 * cube[:-1] - 1)).reshape(2, -1, 2)
        truth = np.round(truth, 2)
        start = np.round(truth + cube[-1] * (free - truth), 2)
        return Instance(_model(self.model), x + 0.0, None, truth + 0.0, start + 0.0)


@dataclass(frozen=True)
class TwoScales(Family):
    """Features (1, ±s) of two sizes s, β on the first and w on the second of them: EM stays in that plane."""

    model: str
    largest: float = 5.0
    dimensions = 5

    def instance(self, cube: Array) -> Instance:
        s = float(np.round(10 ** (1 + cube[0]), 1))
        x = np.array([[1.0, 1.0], [1.0, -1.0], [1.0, s], [1.0, -s]])
        b, v, at_b, at_v = np.round(self.largest * cube[1:], 2)
        return Instance(_model(self.model), x, None, np.diag([b, v]), np.diag([at_b, at_v]))


@dataclass(frozen=True)
class Gate(Family):
    """One gate parameter, x in {1, s} with weights q and 1 - q; the experts tell the label or nothing."""

    model: str = "erased-labels"
    largest: float = 4.0
    dimensions = 4

    def instance(self, cube: Array) -> Instance:
        s, q = float(np.round(10 ** (2 * cube[0]), 1)), float(np.round(0.1 + 0.8 * cube[1], 2))
        truth, start = np.round(self.largest * (2 * cube[2:, None, None] - 1), 2) + 0.0
        return Instance(_model(self.model), np.array([[1.0], [s]]), np.round([q, 1 - q], 2), truth, start)


@dataclass(frozen=True)
class Scalar(Family):
    """One feature that is always 1: any truth and any start in R; the last coordinate draws the start towards the
    truth."""

    model: str
    largest: float = 4.0

    @property
    def dimensions(self) -> int:  # type: ignore[override]
        return 2 * len(_model(self.model).predictors) + 1

    def instance(self, cube: Array) -> Instance:
        truth, free = (self.largest * (2 * cube[:-1] - 1)).reshape(2, -1, 1)
        truth = np.round(truth, 2) + 0.0
        return Instance(
            _model(self.model), np.array([[1.0]]), None, truth, np.round(truth + cube[-1] * (free - truth), 2) + 0.0
        )


@dataclass(frozen=True)
class Crossed(Family):
    """Independent features: the first, of the gate, in {1, s} with weights q and 1 - q, the second, of the experts, in
    {0, ±1} with weights 0.1, 0.45, 0.45; β starts at its truth."""

    model: str
    largest: float = 4.0
    dimensions = 5

    def instance(self, cube: Array) -> Instance:
        s, q = float(np.round(10 ** (0.5 + cube[0]), 1)), float(np.round(0.05 + 0.9 * cube[1], 2))
        b, w, start = np.round([4 + 2 * cube[2], *(self.largest * (2 * cube[3:] - 1))], 2) + 0.0
        x = np.array([[first, second] for first in (1.0, s) for second in (0.0, 1.0, -1.0)])
        weight = np.outer([q, 1 - q], [0.1, 0.45, 0.45]).ravel().round(6)
        at = lambda gate: np.array([[0.0, b], [gate, 0.0]])
        return Instance(_model(self.model), x, weight, at(w), at(start))


@dataclass(frozen=True)
class Diagonal(Family):
    """One feature in {1, s}; a start with β = w, which the symmetric logistic model's exchange of them leaves in
    place."""

    model: str = "symmetric-logistic"
    largest: float = 5.0
    dimensions = 4

    def instance(self, cube: Array) -> Instance:
        s = float(np.round(1 + 5 * cube[0], 1))
        b, w, start = np.round(self.largest * cube[1:], 2)
        return Instance(
            _model(self.model), np.array([[1.0], [s]]), None, np.array([[b], [w]]), np.array([[start], [start]])
        )


FAMILIES = {kind.__name__: kind for kind in (Planar, Scalar, TwoScales, Crossed, Gate, Diagonal)}


def family(value: Mapping[str, Any]) -> Family:
    """The family that `to_dict` describes."""
    options = dict(value)
    return FAMILIES[options.pop("kind")](**options)
