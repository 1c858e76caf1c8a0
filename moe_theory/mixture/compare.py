"""Comparing fits: labels brought into line, numbers of experts weighed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import numpy as np

from moe_theory.errors import InputError
from moe_theory.mixture.fit import MixtureFit, fit_mixture
from moe_theory.mixture.formula import FormulaFit
from moe_theory.validation import Array, real_array, whole_number

Criterion = Literal["bic", "aic", "icl"]


AnyFit = TypeVar("AnyFit", MixtureFit, FormulaFit)


def align(fit: AnyFit, reference: MixtureFit | FormulaFit | Array) -> AnyFit:
    """`fit` with its labels in the order in which they agree best with a reference on the fit's rows.

    reference: another fit with as many experts (its responsibilities are taken at the fit's own rows), or labels or
    responsibilities of these rows, (n,) in 1 … k or (n, k). The permutation maximises the rows in common (Hungarian
    algorithm). Raises InputError for another number of experts or rows.
    """
    from scipy.optimize import linear_sum_assignment  # takes long to import

    if isinstance(fit, FormulaFit):
        return replace(fit, fit=align(fit.fit, reference))
    if isinstance(reference, FormulaFit):
        reference = reference.fit
    own = fit.responsibilities()
    if isinstance(reference, MixtureFit):
        law, other = fit.problem.law, reference.problem
        if reference.k != fit.k or other.features.columns != fit.problem.features.columns:
            raise InputError(
                f"reference: expected a fit with {fit.k} experts and the same features, got {reference.k} experts"
                f" of {', '.join(other.features.columns)}"
            )
        theirs = np.concatenate([reference.shares_of(block) for block in law.blocks])
    else:
        theirs = real_array("reference", reference)
        if theirs.ndim == 1 and np.isin(theirs, np.arange(1, fit.k + 1)).all():
            theirs = np.eye(fit.k)[theirs.astype(int) - 1]
        if theirs.shape != own.shape:
            raise InputError(
                f"reference: expected labels 1 … {fit.k} or responsibilities of {len(own)} rows, got shape"
                f" {theirs.shape}"
            )
    order = linear_sum_assignment(theirs.T @ own, maximize=True)[1]
    return fit.relabelled([int(i) + 1 for i in order])


@dataclass(frozen=True, eq=False)
class Choice:
    """Fits with several numbers of experts, and the one chosen by the criterion.

    fits: in rising order of k. failures: why there is none for other k. best: the least criterion among those that
    ended well (converged or at max_iterations; of all, if none did).
    """

    criterion: Criterion
    fits: tuple[Any, ...]
    failures: dict[int, str] = field(default_factory=dict)

    @property
    def best(self) -> Any:
        ended = [f for f in self.fits if f.reason in ("converged", "max_iterations")] or list(self.fits)
        return min(ended, key=lambda f: getattr(f, self.criterion))

    def to_rows(self) -> list[dict[str, Any]]:
        """JSON-ready: one object per fit."""
        keys = ("k", "log_likelihood", "aic", "bic", "icl", "reason", "iterations")
        return [
            {key: getattr(f, key) for key in keys} | {"parameters": f.inference.parameters, "chosen": f is self.best}
            for f in self.fits
        ]


def choose_k(
    fit_with: Callable[[int], MixtureFit | FormulaFit] | None = None,
    ks: Iterable[int] = range(1, 5),
    criterion: Criterion = "bic",
    **data: Any,
) -> Choice:
    """Fit every number of experts in `ks` and choose by "bic", "aic" or "icl".

    fit_with: k -> fit (also of `fit_formula`); by default `fit_mixture(k=k, **data)`. Raises InputError for bad numbers
    or another criterion, and where no k has a fit.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(-1, 1, 300)
    >>> y = np.where(rng.random(300) < 0.5, 2 * x, 1 - x) + 0.1 * rng.standard_normal(300)
    >>> choose_k(ks=(1, 2, 3), x=x[:, None], y=y, restarts=4).best.k
    2
    """
    if criterion not in ("bic", "aic", "icl"):
        raise InputError(f"criterion: expected bic, aic or icl, got {criterion!r}")
    if not isinstance(ks, Iterable) or (fit_with is not None and not callable(fit_with)):
        raise InputError(
            "choose_k: expected choose_k(ks=range(1, 5), x=x, y=y, …), or a function from k to a fit first"
        )
    numbers = sorted({whole_number("ks", k, least=1) for k in ks})
    if not numbers:
        raise InputError("ks: expected at least one number of experts, got none")
    make = fit_with or (lambda k: fit_mixture(k=k, **data))
    fits, failures = [], {}
    for k in numbers:
        try:
            fits.append(make(k))
        except InputError as error:
            failures[k] = error
    if not fits:
        raise next(iter(failures.values()))
    return Choice(criterion, tuple(fits), {k: str(error) for k, error in failures.items()})
