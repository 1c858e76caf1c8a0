"""The methods of the experiment on altered images, and the settings they are tuned over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from moe_theory.algorithms import LBFGS, Algorithm, GradientDescent, GradientEM, InexactEM, StochasticGradient
from moe_theory.evaluation import Penalty
from moe_theory.model import Model

EVALUATIONS = 20  # of Q in an M-step
INNER = 5  # gradient steps in an M-step of gradient EM
MOMENTUM = 0.9


@dataclass(frozen=True)
class Contestant:
    """label: for readers. make(model, penalty, setting, seed). settings: tried, the best one shown; none to be tuned if
    there is one. unit: of the settings. per_step: passes over the data an iteration takes. share: of the passes of the
    experiment that it is given. second_order: whether it needs the table's Gram matrix first."""

    label: str
    make: Callable[[Model, Penalty, float, int], Algorithm]
    settings: tuple[float, ...] = (0.0,)
    unit: str = ""
    per_step: float = 1.0
    share: float = 1.0
    gram: bool = False


# In units of 1/Λ, Λ the largest eigenvalue of Böhning's bound: below 2 a step of gradient descent never raises L.
STEPS = (12.0, 24.0, 36.0, 48.0, 64.0)

CONTESTANTS: dict[str, Contestant] = {
    "em": Contestant(
        "EM",
        lambda m, p, s, seed: InexactEM(m, p, EVALUATIONS),
        per_step=EVALUATIONS + 1,
        gram=True,
    ),
    "em-plain": Contestant(
        "EM, M-step in the plain metric",
        lambda m, p, s, seed: InexactEM(m, p, EVALUATIONS, "identity"),
        per_step=EVALUATIONS + 1,
    ),
    "gradient-em": Contestant(
        f"gradient EM, {INNER} inner steps",
        lambda m, p, s, seed: GradientEM(m, s, INNER, p),
        STEPS,
        "step × Λ",
        per_step=INNER,
    ),
    "gd": Contestant("gradient descent", lambda m, p, s, seed: GradientDescent(m, s, penalty=p), STEPS, "step × Λ"),
    "heavy-ball": Contestant(
        f"gradient descent, momentum {MOMENTUM:g}",
        lambda m, p, s, seed: GradientDescent(m, s, penalty=p, momentum=MOMENTUM),
        STEPS,
        "step × Λ",
    ),
    "sgd": Contestant(
        f"SGD, momentum {MOMENTUM:g}, batches of 64",
        lambda m, p, s, seed: StochasticGradient(m, s, 64, seed, "sgd", MOMENTUM, p),
        (0.001, 0.003, 0.01),
        "rate",
        share=0.2,
    ),
    "adam": Contestant(
        "Adam, batches of 64",
        lambda m, p, s, seed: StochasticGradient(m, s, 64, seed, "adam", penalty=p),
        (0.0001, 0.0003, 0.001),
        "rate",
        share=0.2,
    ),
    "lbfgs": Contestant("L-BFGS on L", lambda m, p, s, seed: LBFGS(m, p, "identity")),
    "lbfgs-bound": Contestant("L-BFGS on L, in Böhning's metric", lambda m, p, s, seed: LBFGS(m, p), gram=True),
}
GRADIENTS = ("gradient-em", "gd", "heavy-ball")  # whose settings are in units of 1/Λ
