"""The exact M-step of every kind of model."""

from __future__ import annotations

from collections.abc import Sequence

from moe_theory.algorithms.general_step import general_step
from moe_theory.algorithms.mirror import inverse_mirror
from moe_theory.algorithms.softmax_step import Memory, softmax_step
from moe_theory.evaluation import (
    Evaluation,
    FirstOrder,
    FlatEvaluation,
    GeneralEvaluation,
    SoftmaxEvaluation,
    first_order,
)
from moe_theory.evaluation.general import evaluate_general, q_derivatives
from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.operators import mean_map
from moe_theory.validation import Array


def maximise(
    model: Model,
    law: Law,
    at: Evaluation,
    one: bool = False,
    held: list[int] | None = None,
    memory: Memory | None = None,
) -> tuple[Array, float]:
    """(argmax_φ Q(φ|θ), (m, d); the largest Newton decrement left, over its aim, 0 where none is needed).

    one, held, memory: for softmax mixtures only, see `softmax_step`. Raises DegenerateError where the maximum is not
    attained or not found.
    """
    if isinstance(at, SoftmaxEvaluation):
        return softmax_step(model, law, at, one, held, memory)
    if isinstance(at, GeneralEvaluation):
        return general_step(model, law, at.theta, at.responsibilities)
    if isinstance(at, FlatEvaluation):
        return inverse_mirror(model, law, at.target, at), 0.0
    raise TypeError(f"at: expected an evaluation, got {type(at).__name__}")


def complete_gradient(model: Model, law: Law, at: Evaluation, phi: Array) -> Array:
    """Gradient of -Q(·|θ) at φ, (m, d), the responsibilities frozen at θ (at φ = θ it is ∇L, Fisher's identity)."""
    if isinstance(at, FlatEvaluation):
        return mean_map(model, law, phi) - at.target
    if isinstance(at, FirstOrder):
        return first_order(at.layout, model, law, phi, at.penalty, at.responsibilities).gradient
    if isinstance(at, GeneralEvaluation):
        frozen: Sequence[Array] = at.responsibilities
    else:
        frozen = evaluate_general(model, law, at.theta).responsibilities
    return q_derivatives(model, law, phi, frozen)[1]
