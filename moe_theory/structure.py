"""The shape of a softmax mixture of experts: which row of θ is which coefficient vector."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from moe_theory.errors import InputError
from moe_theory.validation import Array

#: the experts' families, and what a model of them is called
FAMILIES = {"gaussian": "linear", "binomial": "logistic", "poisson": "poisson", "multinomial": "multinomial"}


@dataclass(frozen=True)
class Softmax:
    """k experts of one family under a softmax gate whose first label is the reference.

    θ's rows: the experts' (label by label, class by class), then the log sigmas, then the gate's of labels 2 … k.
    classes: of multinomial experts, else 0.
    """

    k: int
    family: str
    classes: int = 0
    common_sigma: bool = False

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise InputError(f"expert: expected one of {', '.join(FAMILIES)}, got {self.family!r}")
        if self.common_sigma and self.family != "gaussian":
            raise InputError(f"common_sigma: expected gaussian experts, got {self.family}")

    @property
    def per_expert(self) -> int:
        """Linear predictors of one expert."""
        return self.classes - 1 if self.family == "multinomial" else 1

    def expert_predictors(self, label: int) -> tuple[str, ...]:
        """Names of the predictors of the expert at position `label`, 0 … k-1."""
        if self.family != "multinomial":
            return (f"beta{label + 1}",)
        return tuple(f"beta{label + 1}_{c}" for c in range(1, self.classes))

    @cached_property
    def scale_predictors(self) -> tuple[str, ...]:
        """Names of the log sigmas."""
        if self.family != "gaussian":
            return ()
        return ("log_sigma",) if self.common_sigma else tuple(f"log_sigma{i + 1}" for i in range(self.k))

    @cached_property
    def gate_predictors(self) -> tuple[str, ...]:
        """Names of the gate's predictors, of all labels but the first."""
        return tuple(f"w{i + 1}" for i in range(1, self.k))

    @cached_property
    def predictors(self) -> tuple[str, ...]:
        """All names, in the order of θ's rows."""
        experts = (name for label in range(self.k) for name in self.expert_predictors(label))
        return (*experts, *self.scale_predictors, *self.gate_predictors)

    @property
    def experts(self) -> slice:
        """θ's rows of all experts, expert by expert."""
        return slice(0, self.k * self.per_expert)

    def expert(self, label: int) -> slice:
        """θ's rows of one expert."""
        return slice(label * self.per_expert, (label + 1) * self.per_expert)

    @property
    def scales(self) -> slice:
        """θ's rows of the log sigmas."""
        first = self.k * self.per_expert
        return slice(first, first + len(self.scale_predictors))

    @property
    def gate(self) -> slice:
        """θ's rows of the gate."""
        return slice(self.scales.stop, self.scales.stop + self.k - 1)

    def relabelled(self, theta: Array, order: tuple[int, ...] | Array) -> Array:
        """The same law with label `order[i]` called i, (m, D): rows permuted, the gate's reference moved along."""
        out = theta.copy()
        gate = np.vstack([np.zeros((1, theta.shape[1])), theta[self.gate]])[list(order)]
        out[self.gate] = (gate - gate[0])[1:]
        for i, source in enumerate(order):
            out[self.expert(i)] = theta[self.expert(int(source))]
        if not self.common_sigma:
            out[self.scales] = theta[self.scales][list(order)] if self.scale_predictors else theta[self.scales]
        return out
