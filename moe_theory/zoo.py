"""The models of the papers, each declared in a few lines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import sympy as sp
from numpy.typing import ArrayLike

from moe_theory.atoms import exact, log_categorical, log_expit, log_normal, log_poisson, log_sum_exp
from moe_theory.errors import InputError
from moe_theory.model import Model
from moe_theory.response import Counts, Reals, Values
from moe_theory.structure import FAMILIES, Softmax
from moe_theory.validation import positive_number, real_array, unit_interval, whole_number


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
        options={"sigma": float(sigma)},
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


def linear_experts(sigma: float = 1) -> Model:
    """Two linear experts with coefficients of their own: P(z=2|x) = σ(x'w), y|x,z ~ N(x'β_z, sigma²), sigma given.

    Curved: −(x'β_z)²/2 depends on the label and is not linear, so that EM is *projected* mirror descent
    (arXiv 2411.06056, Theorem 4.1).
    """
    positive_number("sigma", sigma)
    return Model(
        "linear-experts",
        latent=(1, 2),
        predictors=("beta1", "beta2", "w"),
        gate=lambda z, w: log_expit((2 * z - 3) * w),
        expert=lambda y, z, beta1, beta2: log_normal(y, (beta1, beta2)[int(z) - 1], exact(sigma)),
        response=Reals(),
    )


def erased_labels(erasure: float = 0.1, error: float = 1e-250) -> Model:
    """Gate only: y ∈ {0, 1, 2} tells the label z ∈ {0, 1}, or with probability `erasure` nothing (y = 2), P(z=1|x) =
    σ(x'w).

    With probability `error` it tells the other label. While |x'w| stays well below log(1/error), here and at the truth,
    M = `erasure` I to rounding whatever w and x: a model whose relative strong convexity, α = 1 - erasure, is known.
    """
    lost, wrong = exact(unit_interval("erasure", erasure)), exact(positive_number("error", error))
    if not 0 < erasure < 1 - error:
        raise InputError(f"erasure: expected a probability in (0, 1 - error), got {erasure}")
    responses = (0, 1, 2)
    # The three probabilities by label, as a polynomial in y through their logarithms.
    lagrange = lambda y, v: sp.prod(sp.Rational(1, v - u) * (y - u) for u in responses if u != v)
    return Model(
        "erased-labels",
        latent=(0, 1),
        predictors=("w",),
        gate=lambda z, w: log_expit((2 * z - 1) * w),
        expert=lambda y, z: sp.Add(
            *(sp.log(lost if v == 2 else 1 - lost - wrong if v == z else wrong) * lagrange(y, v) for v in responses)
        ),
        response=Values(responses),
        options={"erasure": float(erasure), "error": float(error)},
    )


def softmax_moe(k: int = 2, expert: str = "gaussian", classes: int = 3, common_sigma: bool = False) -> Model:
    """k experts with a softmax gate over labels 1 … k, of which the first is the reference (its w is 0).

    expert: "gaussian" y|x,z=i ~ N(x'β_i, σ_i²) with predictors log_sigma_i (one log_sigma for all if `common_sigma`);
    "binomial" P(y=1|x,z=i) = σ(x'β_i); "poisson" with log-mean x'β_i; "multinomial" over `classes` values 0, 1, … with
    logits x'β_i_c against class 0. Curved. Which features a predictor sees is said by `Model.designed`.

    >>> softmax_moe(2, "poisson").predictors
    ('beta1', 'beta2', 'w2')
    """
    structure = Softmax(
        whole_number("k", k, least=1),
        expert,
        whole_number("classes", classes, least=2) if expert == "multinomial" else 0,
        bool(common_sigma),
    )
    labels = tuple(range(1, structure.k + 1))

    def density(y: sp.Expr, z: sp.Expr, **eta: sp.Expr) -> sp.Expr:
        own = [eta[name] for name in structure.expert_predictors(int(z) - 1)]
        if expert == "gaussian":
            return log_normal(y, own[0], sp.exp(eta[structure.scale_predictors[0 if common_sigma else int(z) - 1]]))
        if expert == "binomial":
            return y * own[0] + log_expit(-own[0])
        return log_poisson(y, own[0]) if expert == "poisson" else log_categorical(y, [sp.Integer(0), *own])

    response: dict[str, Reals | Values | Counts] = {
        "binomial": Values((0, 1)),
        "poisson": Counts(),
        "gaussian": Reals(),
    }
    return Model(
        f"softmax-{FAMILIES[expert]}" + (f"-{structure.k}" if structure.k != 2 else ""),
        latent=labels,
        predictors=structure.predictors,
        gate=(lambda z, **w: _softmax(z, [w[f"w{i}"] for i in labels[1:]])) if structure.k > 1 else None,
        expert=density,
        response=response[expert] if expert in response else Values(tuple(range(classes))),
        structure=structure,
    )


def gate_only(regressors: ArrayLike, sigma: float = 1, g: Callable[[sp.Expr], sp.Expr] | None = None) -> Model:
    """Given experts y|x,z=i ~ N(g(x'a_i), sigma²), regressors (k, d), sigma given, under a softmax gate that is learnt:
    w_2 … w_k, the first label its reference. Flat: the gridlock's second stage (Makkuva et al., ICML 2019).

    g: of SymPy expressions, by default linear.

    >>> gate_only([[1, 0], [0, 1]]).predictors
    ('w2',)
    """
    positive_number("sigma", sigma)
    rows = real_array("regressors", regressors, ndim=2)
    labels = tuple(range(1, whole_number("k", len(rows), least=2) + 1))
    mean = g or (lambda eta: eta)

    return Model(
        f"gate-only-{len(rows)}",
        latent=labels,
        predictors=tuple(f"w{i}" for i in labels[1:]),
        gate=lambda z, **eta: _softmax(z, [eta[f"w{i}"] for i in labels[1:]]),
        expert=lambda y, z, **eta: log_normal(y, mean(eta[f"a{int(z)}"]), exact(sigma)),
        response=Reals(),
        known={f"a{i}": row for i, row in zip(labels, rows, strict=True)},
    )


def _softmax(z: sp.Expr, scores: list[sp.Expr]) -> sp.Expr:
    """log P(z) for labels 1 … k, of which the first has score 0."""
    every = [sp.Integer(0), *scores]
    return every[int(z) - 1] - log_sum_exp(every)


def activated_experts(k: int, g: Callable[[sp.Expr], sp.Expr]) -> Model:
    """k experts y|x,z=i ~ N(g(x'β_i), σ²) with one σ, a softmax gate over labels 1 … k, the first its reference
    (Makkuva et al., ICML 2019). g: of SymPy expressions; where it has a kink, through `atoms.relu`.

    Curved; predictors β_1 … β_k, log σ, w_2 … w_k.

    >>> activated_experts(2, sp.tanh).predictors
    ('beta1', 'beta2', 'log_sigma', 'w2')
    """
    labels = tuple(range(1, whole_number("k", k, least=2) + 1))
    return Model(
        f"activated-{k}",
        latent=labels,
        predictors=(*(f"beta{i}" for i in labels), "log_sigma", *(f"w{i}" for i in labels[1:])),
        gate=lambda z, **eta: _softmax(z, [eta[f"w{i}"] for i in labels[1:]]),
        expert=lambda y, z, **eta: log_normal(y, g(eta[f"beta{int(z)}"]), sp.exp(eta["log_sigma"])),
        response=Reals(),
    )


ZOO: dict[str, Callable[..., Model]] = {
    "symmetric-linear": symmetric_linear,
    "symmetric-logistic": symmetric_logistic,
    "linear-experts": linear_experts,
    "erased-labels": erased_labels,
    "softmax-linear": softmax_moe,
    "softmax-logistic": partial(softmax_moe, expert="binomial"),
    "softmax-poisson": partial(softmax_moe, expert="poisson"),
    "softmax-multinomial": partial(softmax_moe, expert="multinomial"),
}


def by_name(name: str, **options: Any) -> Model:
    """The model of that name; InputError lists the names there are, or the option it does not take."""
    if name not in ZOO:
        raise InputError(f"model: expected one of {', '.join(ZOO)}, got {name!r}")
    try:
        return ZOO[name](**options)
    except TypeError as error:
        raise InputError(f"model: {name} takes no option {', '.join(map(repr, options))}") from error
