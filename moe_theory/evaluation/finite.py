"""Which quantity is not finite, and where: what is said of a run that had to stop for it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from moe_theory.complete import complete_kernels
from moe_theory.evaluation.layout import layout
from moe_theory.evaluation.softmax_kernels import e_step
from moe_theory.laws.rows import Block, Law
from moe_theory.model import Model
from moe_theory.sums import predictors
from moe_theory.validation import Array

Quantity = tuple[str, Array]  # its name, a value per row, (n,)


def not_finite(model: Model, law: Law, theta: Array) -> str | None:
    """The first quantity of an iteration at θ that is not finite at some row, in words; None if all are.

    Predictors come first, then log p(y|x), its derivatives, the curvature of Q.
    """
    if not np.isfinite(theta).all():
        j, i = np.argwhere(~np.isfinite(theta))[0]
        return f"θ is {theta[j, i]} in predictor {model.predictors[j]}, feature {i}"
    rows = law.rows(model, theta)
    found: dict[str, str] = {}
    order: list[str] = []
    first = 0
    with np.errstate(all="ignore"):
        for block in rows.blocks:
            eta = predictors(model, block, theta)
            for name, values in _quantities(model, law, block, eta, theta):
                order += [name] * (name not in order)
                bad = np.flatnonzero(~np.isfinite(np.broadcast_to(values, block.y.shape)))
                if len(bad) and name not in found:
                    i = int(bad[0])
                    value = float(np.broadcast_to(values, block.y.shape)[i])
                    known = {"y": block.y, **dict(zip(model.names, eta, strict=True))}
                    at = ", ".join(f"{own} = {v[i]:.6g}" for own, v in known.items())
                    place = "a point of the quadrature" if rows.split else f"row {first + i}"
                    found[name] = f"{name} is {value} at {place} ({at})"
            first += len(block.y)
    return next((found[name] for name in order if name in found), None)


def _quantities(model: Model, law: Law, block: Block, eta: list[Array], theta: Array) -> Iterator[Quantity]:
    """All that a pass is made of, in the order in which one follows from another."""
    yield from ((f"predictor {name}", value) for name, value in zip(model.names, eta, strict=True))
    plan = layout(model, law)
    if plan is not None:
        log_density, _, _, residual = e_step(plan, block, plan.predictors(theta))
        yield "log p(y|x)", log_density + plan.family.base(block.y)
        yield "the residual y - E[y|x,z]", np.sum(residual, axis=(0, 1))
        return
    k = complete_kernels(model)
    log_density, posterior = k.posterior(block.y, eta)
    yield "log p(y|x)", log_density
    slopes = k.slopes.averaged(k.slopes.kernel.rows(block.y, *eta), posterior)
    for (j,), value in zip(k.slopes.keys, slopes, strict=True):
        yield f"the derivative of log p(y|x) by {model.predictors[j]}", np.asarray(value)
    curvatures = k.curvatures.averaged(k.curvatures.kernel.rows(block.y, *eta), posterior)
    for (a, b), value in zip(k.curvatures.keys, curvatures, strict=True):
        yield f"the curvature of Q by {model.predictors[a]} and {model.predictors[b]}", np.asarray(value)
