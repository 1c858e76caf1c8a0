"""The models of the papers, each declared in a few lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moe_theory.atoms import exact, log_expit, log_normal
from moe_theory.errors import InputError
from moe_theory.model import Model, Reals, Values
from moe_theory.validation import positive_number


def symmetric_linear(sigma: float = 1) -> Model:
    """Symmetric mixture of two linear experts (SymMoLinE, arXiv 2411.06056, Section 5).

    z ∈ {−1, +1}, P(z|x) = σ(z x'w), y|x,z ~ N(z x'β, sigma²) with sigma given.
    """
    positive_number("sigma", sigma)
    return Model(
        "symmetric-linear",
        latent=(-1, 1),
        predictors=("beta", "w"),
        gate=lambda z, w: log_expit(z * w),
        expert=lambda y, z, beta: log_normal(y, z * beta, exact(sigma)),
        response=Reals(),
    )


def symmetric_logistic() -> Model:
    """Symmetric mixture of two logistic experts (SymMoLogE, arXiv 2411.06056, Section 5).

    z ∈ {−1, +1}, P(z|x) = σ(z x'w), y ∈ {−1, +1}, P(y|x,z) = σ(y z x'β).
    """
    return Model(
        "symmetric-logistic",
        latent=(-1, 1),
        predictors=("beta", "w"),
        gate=lambda z, w: log_expit(z * w),
        expert=lambda y, z, beta: log_expit(y * z * beta),
        response=Values((-1, 1)),
    )


ZOO: dict[str, Callable[..., Model]] = {
    "symmetric-linear": symmetric_linear,
    "symmetric-logistic": symmetric_logistic,
}


def by_name(name: str, **options: Any) -> Model:
    """The model of that name; InputError lists the names there are, or the option it does not take."""
    if name not in ZOO:
        raise InputError(f"model: expected one of {', '.join(ZOO)}, got {name!r}")
    try:
        return ZOO[name](**options)
    except TypeError as error:
        raise InputError(f"model: {name} takes no option {', '.join(map(repr, options))}") from error
