"""A model: a declaration and nothing else.

A mixture of experts is declared by its latent labels, its linear predictors η_j = x'θ_j, the gate's log P(z|x) and
the experts' log p(y|x,z), each a Python function that returns a SymPy expression, and the domain of the response.
Everything the package knows about a model is derived from these (`moe_theory.derive`).
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike

from moe_theory.atoms import exact, indicator
from moe_theory.deadline import within
from moe_theory.design import Design
from moe_theory.errors import InputError
from moe_theory.response import Domain
from moe_theory.stable import stable
from moe_theory.structure import Softmax
from moe_theory.validation import Array, real_array

RESPONSE = sp.Symbol("y", real=True)
LABEL = sp.Symbol("z", real=True)
SECONDS = 4  # for the logarithms of a declaration


@dataclass(frozen=True)
class Model:
    """A declared mixture of experts.

    name: how it is called on the command line and in reports.
    latent: the values of the latent label z (distinct numbers; one is a mixture of one).
    predictors: names of the linear predictors that are learnt; θ is an (m, d) array with one row each.
    gate: function (z, <predictor names>) -> log P(z|x); None means a uniform label.
    expert: function (y, z, <predictor names>) -> log p(y|x,z).
    response: `Reals()`, `Positive()`, `Interval(low, high)`, `Values((…))` or `Counts()`.
    known: predictors that are not learnt, {name: coefficient vector in R^d} (e.g. experts that are given).
    structure: set by `softmax_moe` only: which array kernels may stand in for the derived ones.
    options: how a function of the zoo was called for it, so that it can be had by name again.
    design: which features each predictor sees (`designed`); None: every predictor sees all of them.

    The functions are called once per label with z a SymPy integer and every predictor a real SymPy symbol that
    stands for η = x'θ_j (all of them, if the function takes **keywords). Raises InputError if they ask for a name
    that is not declared.

    >>> from moe_theory.atoms import log_normal
    >>> from moe_theory.response import Reals
    >>> model = Model("balanced", latent=(-1, 1), predictors=("beta",), gate=None,
    ...               expert=lambda y, z, beta: log_normal(y, z * beta), response=Reals())
    >>> model.log_joint[1]
    -(-eta_beta + y)**2/2 - 3*log(2)/2 - log(pi)/2
    """

    name: str
    latent: Sequence[int]
    predictors: Sequence[str]
    gate: Callable[..., Any] | None = field(repr=False, compare=False)
    expert: Callable[..., Any] = field(repr=False, compare=False)
    response: Domain
    known: Mapping[str, ArrayLike] = field(default_factory=dict, compare=False)
    structure: Softmax | None = field(default=None, repr=False)
    # No derivation and no kernel depends on the design, so models are told apart without it.
    design: Design | None = field(default=None, repr=False, compare=False)
    options: Mapping[str, float] = field(default_factory=dict, repr=False, compare=False)
    log_gate: tuple[sp.Expr, ...] = field(init=False, repr=False)
    log_expert: tuple[sp.Expr, ...] = field(init=False, repr=False)
    # As the functions returned them, floats exact: what every derived quantity is checked against.
    declared: tuple[tuple[sp.Expr, sp.Expr], ...] = field(init=False, repr=False, compare=False)
    known_coefficients: tuple[tuple[float, ...], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        put = lambda attribute, value: object.__setattr__(self, attribute, value)
        put("latent", tuple(_label(v) for v in self.latent))
        put("predictors", tuple(self.predictors))
        if len(set(self.latent)) != len(self.latent) or not self.latent:
            raise InputError(f"latent: expected distinct values, at least one, got {self.latent}")
        if not self.predictors:
            raise InputError("predictors: expected at least one name, got none")
        names = (*self.predictors, *self.known)
        for name in names:
            if not str(name).isidentifier() or name in ("y", "z"):
                raise InputError(f"predictors: expected identifiers other than y and z, got {name!r}")
        if len(set(names)) != len(names):
            raise InputError(f"predictors: expected distinct names, got {names}")
        uniform = -sp.log(len(self.latent))
        gates = [self._read(uniform if self.gate is None else self._declared("gate", z)) for z in self.latent]
        experts = [self._read(self._declared("expert", z)) for z in self.latent]
        put("declared", tuple((g, e) for (g, _), (e, _) in zip(gates, experts, strict=True)))
        put("log_gate", tuple(stable for _, stable in gates))
        put("log_expert", tuple(stable for _, stable in experts))
        known = {name: real_array(f"known[{name!r}]", value, ndim=1) for name, value in self.known.items()}
        if len({len(v) for v in known.values()}) > 1:
            raise InputError(f"known: expected vectors of one length, got {[len(v) for v in known.values()]}")
        put("known_coefficients", tuple(tuple(v.tolist()) for v in known.values()))
        put("known", {name: tuple(v.tolist()) for name, v in known.items()})
        # The functions have served; dropping them keeps models picklable when they were declared with lambdas.
        put("gate", None)
        put("expert", None)

    def with_known(self, coefficients: Array) -> Model:
        """The same declaration with other coefficients, (number known, d), for the known predictors."""
        if not self.known:
            return self
        other = copy.copy(self)
        rows = tuple(tuple(row) for row in coefficients.tolist())
        object.__setattr__(other, "known_coefficients", rows)
        object.__setattr__(other, "known", dict(zip(self.known, rows, strict=True)))
        return other

    def designed(
        self,
        features: Sequence[str],
        sees: Mapping[str, Sequence[str]] | None = None,
        offsets: Mapping[str, str] | None = None,
    ) -> Model:
        """The same declaration for a table with these `features`, where each predictor sees only some of them.

        sees: {predictor: its features}, all where it is not named. offsets: {predictor: feature that is added to it
        with coefficient 1}. Raises InputError for unknown names and for models with known predictors.

        >>> from moe_theory.zoo import symmetric_linear
        >>> model = symmetric_linear().designed(("one", "x", "u"), sees={"beta": ("one", "x"), "w": ("one", "u")})
        >>> model.theta(beta=[1, 2], w=[3, 4])
        array([[1., 2., 0.],
               [3., 0., 4.]])
        """
        if self.known:
            raise InputError(f"design: expected a model without known predictors, got {self.name}")
        other = copy.copy(self)
        object.__setattr__(other, "design", Design.of(features, self.predictors, sees or {}, offsets))
        return other

    def free(self, theta: Array) -> Array:
        """The learnt entries of θ (or of a gradient), (…, m, d), predictor by predictor: (…, p)."""
        flat = theta.reshape(*theta.shape[:-2], -1)
        return flat if self.design is None else flat[..., self.design.index]

    def filled(self, vector: Array, d: int) -> Array:
        """θ, (m, d), from its learnt entries, (p,): the inverse of `free`."""
        if self.design is None:
            return vector.reshape(len(self.predictors), d)
        theta = self.design.template.copy()
        theta.ravel()[self.design.index] = vector
        return theta

    def direction(self, vector: Array, d: int) -> Array:
        """A (p,) direction among the learnt entries as an (m, d) array, 0 elsewhere."""
        return self.filled(vector, d) - self.filled(np.zeros_like(vector), d)

    def _declared(self, part: str, z: sp.Expr) -> sp.Expr:
        function = getattr(self, part)
        scope = {"z": z, **dict(zip(self.names, self.symbols, strict=True))}
        if part == "expert":
            scope["y"] = RESPONSE
        parameters = inspect.signature(function).parameters.values()
        wanted = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        missing = [name for name in wanted if name not in scope]
        if missing:
            raise InputError(f"{part}: expected arguments among {sorted(scope)}, got {missing[0]!r}")
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            wanted = list(scope)
        value = function(**{name: scope[name] for name in wanted})
        if not isinstance(value, sp.Expr | int | float):
            raise InputError(f"{part}: expected a SymPy expression for z = {z}, got {value!r}")
        expr = exact(value)
        unknown = expr.free_symbols - set(scope.values())
        if unknown:
            raise InputError(f"{part}: expected an expression in {sorted(map(str, scope))}, got {unknown.pop()} in it")
        return expr

    def _read(self, expr: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """`expr`, and the same with stable functions, which ones may depend on the sign of y; both value by value where
        a logarithm or the pieces of a density mix a finite response with predictors."""
        y = self.response.symbol

        def read() -> tuple[sp.Expr, sp.Expr]:
            found = stable(expr.xreplace({RESPONSE: y})).xreplace({y: RESPONSE})
            mixed = any(
                RESPONSE in e.free_symbols and len(e.free_symbols) > 1 for e in found.atoms(sp.log, sp.Piecewise)
            )
            if mixed and self.response.exact:
                each = [(indicator(RESPONSE, v), expr.subs(RESPONSE, v)) for v in self.response.exact]
                if not any(e.has(sp.zoo, sp.nan, sp.oo, -sp.oo) for _, e in each):
                    return sp.Add(*(a * b for a, b in each)), sp.Add(*(a * stable(b) for a, b in each))
            return expr, found

        try:
            return within(SECONDS, read)
        except TimeoutError:
            raise InputError(f"model {self.name!r}: expected logarithms that can be read in {SECONDS} s") from None

    @property
    def names(self) -> tuple[str, ...]:
        """All predictors' names: the learnt ones (the rows of θ), then the known ones."""
        return (*self.predictors, *self.known)

    @property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """One real symbol η_name per predictor, in the order of `names`."""
        return tuple(sp.Symbol(f"eta_{name}", real=True) for name in self.names)

    @property
    def learnt(self) -> tuple[sp.Symbol, ...]:
        """The symbols of the learnt predictors."""
        return self.symbols[: len(self.predictors)]

    @property
    def log_joint(self) -> tuple[sp.Expr, ...]:
        """log p(y, z|x), one expression per label."""
        return tuple(g + e for g, e in zip(self.log_gate, self.log_expert, strict=True))

    @property
    def dimension(self) -> int | None:
        """d where a design or known predictors fix it, else None."""
        if self.design is not None:
            return len(self.design.features)
        return len(self.known_coefficients[0]) if self.known_coefficients else None

    def theta(self, **coefficients: ArrayLike) -> Array:
        """The (m, d) parameter array from one coefficient vector per learnt predictor, over the features it sees.

        >>> from moe_theory.zoo import symmetric_linear
        >>> symmetric_linear().theta(beta=[3, 0], w=[0, 1])
        array([[3., 0.],
               [0., 1.]])
        """
        if set(coefficients) != set(self.predictors):
            raise InputError(
                f"theta: expected one vector for each of {', '.join(self.predictors)},"
                f" got {', '.join(sorted(coefficients)) or 'none'}"
            )
        rows = [real_array(name, coefficients[name], ndim=1) for name in self.predictors]
        if self.design is not None:
            for name, row, columns in zip(self.predictors, rows, self.design.free, strict=True):
                if len(row) != len(columns):
                    raise InputError(f"{name}: expected {len(columns)} numbers, one per feature, got {len(row)}")
            return self.filled(np.concatenate(rows), len(self.design.features))
        if len({len(row) for row in rows}) > 1:
            sizes = ", ".join(f"{name}: {len(row)}" for name, row in zip(self.predictors, rows, strict=True))
            raise InputError(f"theta: expected vectors of one length, got {sizes}")
        return self.check_theta("theta", np.stack(rows))

    def check_theta(self, name: str, theta: ArrayLike, d: int | None = None) -> Array:
        """`theta` as a finite (m, d) array, or InputError."""
        array = real_array(name, theta, ndim=2)
        d = d if d is not None else self.dimension
        if array.shape[0] != len(self.predictors) or array.shape[1] < 1 or (d is not None and array.shape[1] != d):
            raise InputError(f"{name}: expected shape ({len(self.predictors)}, {d or 'd'}), got {array.shape}")
        if self.design is not None and not np.array_equal(self.filled(self.free(array), array.shape[1]), array):
            raise InputError(f"{name}: expected 0 where a predictor does not see a feature, and 1 at its offset")
        return array

    def coefficients(self, theta: Array) -> Array:
        """θ with the known predictors' rows appended, (m + number known, d)."""
        return np.vstack([theta, np.array(self.known_coefficients)]) if self.known_coefficients else theta


def _label(value: Any) -> sp.Expr:
    """A latent label as an exact number."""
    try:
        number = exact(value)
    except (InputError, sp.SympifyError):
        number = sp.nan
    if not number.is_Rational or isinstance(value, bool):
        raise InputError(f"latent: expected finite numbers, got {value!r}")
    return number
