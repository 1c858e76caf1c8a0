"""Fitting from a formula, `y ~ x1 + x2 | w1 + w2`: the experts' features before the bar, the gate's after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.errors import InputError
from moe_theory.evaluation import Penalty
from moe_theory.mixture.fit import MixtureFit, fit_problem
from moe_theory.mixture.frames import data_of, is_text, numbers_of, used, usual_values
from moe_theory.mixture.places import DATA, Places
from moe_theory.mixture.problem import INTERCEPT, Problem
from moe_theory.mixture.terms import (
    Terms,
    judged,
    matrix_of,
    names_of,
    parsed,
    refuse_numbers_in_terms,
    response_of,
    stated,
    variables,
)
from moe_theory.structure import FAMILIES
from moe_theory.validation import Array

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import RenderableType


def fit_formula(
    formula: str,
    frame: DataFrame | Mapping[str, ArrayLike],
    k: int = 2,
    family: str = "gaussian",
    *,
    weights: str | ArrayLike | None = None,
    offset: str | ArrayLike | None = None,
    common_sigma: bool = False,
    ridge: float = 0.0,
    sigma_floor: float = 0.0,
    ridge_intercepts: float = 0.0,
    **options: Any,
) -> FormulaFit:
    """`fit_mixture` with features from a formula in R's notation (the formulaic package's), n rows from a data frame.

    Without a bar the gate sees what the experts see. Either part has an intercept unless it says `0 +` or `- 1`. Text
    and `C(x)` become contrasts; interactions and transformations (`x:z`, `log(x)`, `poly(x, 2)`) are formulaic's; `.`
    stands for all other columns. A response of text is coded 0, 1, … in sorted order (a pandas categorical: in its
    own): two values for binomial experts, any number for multinomial ones. weights, offset: a column's name, or (n,).
    options: those of `fit_mixture`.

    Text is a category if it is words that recur. Cells that look like numbers ("1,5", "5 %", a date), marks among words
    ("."), words for no value ("nan") and more than five levels that occur once are refused, unless `C(x)` or a pandas
    categorical says that they are levels. Numbers are read from any column that holds nothing else, of Decimals, say.

    Raises InputError where formulaic is not installed, for a formula that does not parse, unknown columns, missing
    values, text that is no category, and as `fit_mixture` does.

    >>> rng = np.random.default_rng(0)
    >>> x, site = rng.uniform(-1, 1, 200), np.array(["north", "south"] * 100)
    >>> y = np.where(rng.random(200) < 0.5, 2 * x, 1 - x) + 0.1 * rng.standard_normal(200)
    >>> found = fit_formula("y ~ x | site", {"x": x, "y": y, "site": site}, restarts=2)
    >>> found.fit.problem.features.gate
    ('(Intercept)', 'site[T.south]')
    """
    for name in options:
        if name not in signature(fit_problem).parameters:
            raise InputError(f"{name}: expected an option of fit_formula or fit_mixture, got one that neither has")
    problem, terms = formula_problem(formula, frame, k, family, weights, offset, common_sigma)
    return FormulaFit(fit_problem(problem, penalty=Penalty.of(ridge, sigma_floor, ridge_intercepts), **options), terms)


def formula_problem(
    formula: str,
    frame: DataFrame | Mapping[str, ArrayLike],
    k: int = 2,
    family: str = "gaussian",
    weights: str | ArrayLike | None = None,
    offset: str | ArrayLike | None = None,
    common_sigma: bool = False,
    places: Places = DATA,
) -> tuple[Problem, Terms]:
    """What `fit_formula` fits, and the terms that make the same features of other frames."""
    if family not in FAMILIES:
        raise InputError(f"family: expected one of {', '.join(FAMILIES)}, got {family!r}")
    data = data_of(frame, places)
    named = {"weights": weights, "offset": offset}
    columns = {argument: c for argument, c in named.items() if isinstance(c, str)}
    lhs, *rhs = parsed(formula, [str(c) for c in data.columns if c not in columns.values()])
    read = variables(data.columns, lhs, *rhs)
    wanted = {"formula": read} | {argument: [c] for argument, c in columns.items()}
    seen = variables(data.columns, *rhs)
    data = used(data, wanted, places, stated(data.columns, lhs, *rhs), judged(data.columns, lhs, *rhs))
    for column in data.select_dtypes("category"):  # as R: levels that never occur are no features
        data[column] = data[column].cat.remove_unused_categories()
    y, reading = response_of(lhs, data, family, places)
    parts = [matrix_of(part, data, places) for part in rhs]
    refuse_numbers_in_terms(parts, data.columns, places)
    names = [names_of(part) for part in parts]
    # An intercept of both is the problem's own; that of one alone is a feature like any other.
    constant = all(INTERCEPT in own for own in names)
    specs, text = tuple(part.model_spec for part in parts), frozenset(c for c in read if is_text(data[c]))
    if reading[0] in seen:
        raise InputError(f"formula: expected features other than the response, got {reading[0]}")
    terms = Terms(formula, *reading, specs, text, constant, columns.get("offset"), *usual_values(data, seen))
    x, gate = terms.features(parts)
    kept = [tuple(n for n in own if not (constant and n == INTERCEPT)) for own in names]
    weight, shift = (numbers_of(argument, data, value, places) for argument, value in named.items())
    problem = Problem.of(
        x,
        y,
        k,
        family,
        gate,
        weights=weight,
        offset=shift,
        intercept=constant,
        common_sigma=common_sigma,
        names=kept[0],
        gate_names=None if gate is None else kept[1],
        classes=terms.classes,
    )
    return problem, terms


@dataclass(frozen=True, eq=False, repr=False)
class FormulaFit:
    """A fitted mixture that reads data frames: `fit`, whose attributes are also its own, and the formula's terms.

    Its methods take the fitted rows (None) or those of a frame; `offset`, (n,), only if the fit had one that was not a
    column. Rows in messages are counted from 0.
    """

    fit: MixtureFit
    terms: Terms

    def __repr__(self) -> str:
        return f"{repr(self.fit)[:-1]}, {self.formula}>"

    def __getattr__(self, name: str) -> Any:
        """What it has not itself is `fit`'s: bic, rate, inference …"""
        if name.startswith("_") or name in ("fit", "terms"):
            raise AttributeError(name)
        return getattr(self.fit, name)

    @property
    def formula(self) -> str:
        return self.terms.formula

    def summary(self) -> RenderableType:
        """As of `fit`, with the formula."""
        from moe_theory.mixture.summary import summary

        return summary(self.fit, self.formula)

    def _given(self, frame: Any, offset: ArrayLike | None, response: bool = False) -> dict[str, Any]:
        if frame is None:
            return {}
        found = dict(zip(("x", "gate", "offset", "y"), self.terms.read(frame, offset, response), strict=True))
        return found if response else {name: value for name, value in found.items() if name != "y"}

    def predict(self, frame: Any = None, offset: ArrayLike | None = None) -> Array:
        """E[y|x], (n,), or class probabilities (n, C)."""
        return self.fit.predict(**self._given(frame, offset))

    def gate_probabilities(self, frame: Any = None, offset: ArrayLike | None = None) -> Array:
        """P(z|x), (n, k)."""
        return self.fit.gate_probabilities(**self._given(frame, offset))

    def responsibilities(self, frame: Any = None, offset: ArrayLike | None = None) -> Array:
        """P(z|x,y), (n, k)."""
        return self.fit.responsibilities(**self._given(frame, offset, response=True))

    def log_density(self, frame: Any = None, offset: ArrayLike | None = None) -> Array:
        """log p(y|x) of every row, (n,)."""
        return self.fit.log_density(**self._given(frame, offset, response=True))

    def sample(
        self, seed: int | np.random.Generator, frame: Any = None, offset: ArrayLike | None = None
    ) -> tuple[Array, Array]:
        """(y (n,), labels (n,) in 1 … k) drawn at each row; responses of text by their codes."""
        return self.fit.sample(seed, **self._given(frame, offset))
