"""One pass over the rows for all that an iteration needs: a flat model's, any other's, a softmax mixture's kernels."""

from __future__ import annotations

from moe_theory.errors import InputError
from moe_theory.evaluation.base import Evaluation
from moe_theory.evaluation.first_order import FirstOrder, first_order, serves
from moe_theory.evaluation.flat import FlatEvaluation, evaluate_flat
from moe_theory.evaluation.general import GeneralEvaluation, evaluate_general, is_flat
from moe_theory.evaluation.layout import Layout, layout
from moe_theory.evaluation.penalty import Penalty
from moe_theory.evaluation.softmax import SoftmaxEvaluation, evaluate_softmax
from moe_theory.laws.rows import Law
from moe_theory.model import Model
from moe_theory.validation import Array

__all__ = [
    "Evaluation",
    "FirstOrder",
    "FlatEvaluation",
    "GeneralEvaluation",
    "Layout",
    "Penalty",
    "SoftmaxEvaluation",
    "evaluate",
    "evaluate_flat",
    "evaluate_general",
    "evaluate_softmax",
    "first_order",
    "layout",
    "serves",
]


def evaluate(
    model: Model, law: Law, theta: Array, penalty: Penalty | None = None, second_order: bool = True
) -> Evaluation:
    """L, ∇L and what an M-step needs at θ, in a single pass over a table; L with the penalty, if there is one.

    second_order: with curvature, where there is a choice.
    """
    plan = layout(model, law)
    if plan is not None:
        if not second_order and serves(plan):
            return first_order(plan, model, law, theta, penalty)
        return evaluate_softmax(plan, model, law, theta, penalty)
    if penalty:
        raise InputError(f"penalty: expected a softmax mixture of experts with array kernels, got {model.name}")
    return evaluate_flat(model, law, theta, second_order) if is_flat(model) else evaluate_general(model, law, theta)
