"""A start of EM from moments: linear experts found without the gate (see `moe_theory.moments`)."""

from __future__ import annotations

import numpy as np

from moe_theory.errors import DegenerateError, InputError
from moe_theory.evaluation.layout import layout
from moe_theory.evaluation.penalty import varying
from moe_theory.laws.table import Finite
from moe_theory.model import Model
from moe_theory.moments.adjusted import AdjustedMoments, CollinearError
from moe_theory.moments.components import Experts, find_experts
from moe_theory.moments.diagnostics import features_of
from moe_theory.moments.plain import PlainMoments
from moe_theory.moments.polynomials import Polynomials
from moe_theory.moments.source import Source
from moe_theory.moments.transforms import derive
from moe_theory.validation import Array

GROUPS = 10


def moment_responsibilities(model: Model, data: Finite, rng: np.random.Generator) -> Array:
    """How near y is to each of k regressors found from moments of standardised features, (n, k).

    For normal experts. Rows are weighted at random (Bayesian bootstrap, Rubin 1981), so that each call gives another
    start. Of the theory's hypotheses only Gaussian features matter much for a start: the common scale and a constant
    are estimated. DegenerateError where moments give none: other experts, more experts than features that vary, a
    spectrum without so many positive eigenvalues.
    """
    plan, k = layout(model, data), len(model.latent)
    if plan is None or plan.structure.family != "gaussian" or k < 2:
        raise DegenerateError("a start from moments takes two or more normal experts")
    zero = np.zeros((len(model.predictors), data.dimension)) if model.design is None else model.design.template
    rows = data.rows(model, zero)
    columns = np.arange(data.dimension)[plan.experts]
    columns = columns[varying(rows)[columns]]
    if len(columns) < k:
        raise DegenerateError(f"a start from moments takes at least {k} features that vary, got {len(columns)}")
    x, y = data.x[:, columns], data.y
    weight = rng.exponential(size=len(y)) * (1.0 if isinstance(data.weight, float) else data.weight)
    mean = float(weight @ y / np.sum(weight))
    try:
        source = Source.of(x, y - mean, weight, GROUPS)
        whitening = features_of(source).full_whitening
        source = source.whitened(whitening)
        p, seed = Polynomials.of(derive("linear"), 0.0), int(rng.integers(2**31))
        found = _found(source, k, p, seed, AdjustedMoments.serves(len(y), len(columns), k, GROUPS))
    except InputError as error:
        raise DegenerateError(f"a start from moments: {error}") from error
    regressors = found.components.regressors * found.components.norms[:, None]
    away = (y - mean - regressors @ whitening(x.T)) ** 2
    away /= 2 * np.mean(np.min(away, axis=0))
    shares = np.exp(np.min(away, axis=0) - away)
    return (shares / np.sum(shares, axis=0)).T


def _found(source: Source, k: int, p: Polynomials, seed: int, adjusted: bool) -> Experts:
    """From moments by regression, where that can be had, else from averages."""
    moments = AdjustedMoments.of(source) if adjusted else PlainMoments.of(source)
    try:
        return find_experts(moments, k, p.at(moments.square() - p.square), True, seed=seed)
    except CollinearError:
        return _found(source, k, p, seed, False)
