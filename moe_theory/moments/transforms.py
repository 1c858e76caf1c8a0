"""Cubic and quadratic transforms of the response, after which score tensors see one power of each regressor only.

For y = g(u) + σN let h_m(u) = E_N P_m(y), with P₃(y) = y³ + αy² + βy and P₂(y) = y² + γy such that, for Z ~ N(0, 1),
E h₃'(Z) = E h₃''(Z) = 0 ≠ E h₃'''(Z) = c₃ and E h₂'(Z) = 0 ≠ E h₂''(Z) = c₂. Then E[P₃(y) S₃(x)] = c₃ Σ E[p_i] a_i^{⊗3}
and E[P₂(y) S₂(x)] = c₂ Σ E[p_i] a_i a_i' (Makkuva, Oh, Kannan and Viswanath, Breaking the gridlock in
Mixture-of-Experts, ICML 2019, arXiv 1802.07417). By Stein's identity E h^{(m)}(Z) = E h(Z) He_m(Z), so that all follows
from the matrix [E g^j He_m] (`pivots`); of α, β, γ, c₂, c₃ only β depends on σ, as β(σ) = β(0) - 3σ².
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike

from moe_theory.atoms import exact
from moe_theory.errors import InputError
from moe_theory.moments.activations import Activation, activation
from moe_theory.moments.pivots import Pivots, pivots
from moe_theory.validation import Array, real_array

LONG = 25  # operations


class Values(NamedTuple):
    """A transform in plain floats; mean and square are E g(Z) and E g(Z)²."""

    alpha: float
    beta: float
    gamma: float
    c2: float
    c3: float
    mean: float
    square: float


@dataclass(frozen=True)
class Transform(Pivots):
    """The transforms of an activation at one σ (in the units of y, like α and γ; β and c₂ in their square).

    alpha, beta, gamma, c2, c3: closed forms if `exact`, else SymPy floats. matrix: [E g^j He_m], j, m = 1..3. moments:
    (E g, …, E g⁶), where oo says that there is none. digits: of the floats that are right (see `Pivots`), or None.
    """

    activation: Activation
    sigma: sp.Expr

    def at(self, sigma: Any) -> Transform:
        """The transform at another σ; nothing is integrated again."""
        other = _noise(sigma)
        return replace(self, sigma=other, beta=self.beta + sp.expand(3 * self.sigma**2 - 3 * other**2))

    @property
    def mean(self) -> sp.Expr:
        """E g(Z)."""
        return self.moments[0]

    @property
    def square(self) -> sp.Expr:
        """E g(Z)²."""
        return self.moments[1]

    @property
    def values(self) -> Values:
        """As floats; InputError if there are symbols."""
        return Values(*(self._float(n, getattr(self, n)) for n in Values._fields))

    def p2(self, y: ArrayLike) -> Array:
        """y² + γy, elementwise."""
        y = real_array("y", y)
        return y * (y + self._float("gamma", self.gamma))

    def p3(self, y: ArrayLike) -> Array:
        """y³ + αy² + βy, elementwise."""
        y = real_array("y", y)
        return y * (y * (y + self._float("alpha", self.alpha)) + self._float("beta", self.beta))

    @property
    def variance2(self) -> sp.Expr:
        """Var P₂(y), y = g(Z) + σN; oo where it does not exist."""
        return self._variance(sp.Integer(1), self.gamma)

    @property
    def variance3(self) -> sp.Expr:
        """Var P₃(y), y = g(Z) + σN; oo where it does not exist."""
        return self._variance(sp.Integer(1), self.alpha, self.beta)

    @property
    def noise2(self) -> float:
        """√(2 Var P₂(y)) / |c₂|.

        The standard deviation, per row and relative to c₂, of the estimate of an entry (v, v) of E[P₂(y) S₂(x)], with
        P₂(y) centred and v a unit vector orthogonal to all regressors; (v, w) with w ⟂ v has 1/√2 of it.
        """
        return float(np.sqrt(2 * self._float("variance2", self.variance2))) / abs(self._float("c2", self.c2))

    @property
    def noise3(self) -> float:
        """√(6 Var P₃(y)) / |c₃|.

        The same for an entry (v, v, v) of E[P₃(y) S₃(x)]; (v, v, w) has 1/√3 of it, (v, w, t) 1/√6.
        """
        return float(np.sqrt(6 * self._float("variance3", self.variance3))) / abs(self._float("c3", self.c3))

    def _variance(self, *coefficients: sp.Expr) -> sp.Expr:
        """Var of y^n + c_1 y^{n-1} + … + c_{n-1} y, n coefficients with the leading 1."""
        n = len(coefficients)
        if sp.oo in self.moments[: 2 * n]:
            return sp.oo
        # Long closed forms with numbers only are not worth their expansion.
        number = lambda e: e if e.free_symbols or sp.count_ops(e) <= LONG else sp.N(e, 60)
        g = [sp.Integer(1), *map(number, self.moments[: 2 * n])]
        raw = lambda k: sum(
            (sp.binomial(k, i) * g[k - i] * self.sigma**i * sp.factorial2(i - 1) for i in range(0, k + 1, 2)),
            sp.Integer(0),
        )
        response = [raw(k) for k in range(2 * n + 1)]  # E y^k
        powers = [(n - i, number(c)) for i, c in enumerate(coefficients)]
        first = sum((c * response[k] for k, c in powers), sp.Integer(0))
        second = sum((c * d * response[k + i] for k, c in powers for i, d in powers), sp.Integer(0))
        return _plain(second - first**2)

    def _float(self, name: str, value: sp.Expr) -> float:
        if value.free_symbols:
            names = ", ".join(sorted(map(str, value.free_symbols)))
            raise InputError(f"{name}: expected no symbols, got {names} (without a value)")
        return float(value)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: floats where there are no symbols; closed forms as text; a noise that is infinite as a word."""
        names = ("alpha", "beta", "gamma", "c2", "c3", "mean", "square")
        number = lambda v: None if v.free_symbols else float(v)
        found: dict[str, Any] = {
            "activation": self.activation.name,
            "expression": None if self.activation.expr is None else str(self.activation.expr),
            "sigma": number(self.sigma),
        }
        found |= {name: number(getattr(self, name)) for name in names}
        symbolic = self.variance3.free_symbols
        for name in ("noise2", "noise3"):
            value = None if symbolic else getattr(self, name)
            found[name] = value if value is None or np.isfinite(value) else str(value)
        written = {name: str(getattr(self, name)) for name in names} if self.exact else None
        return found | {"exact": self.exact, "digits": self.digits, "closed_form": written}

    def _repr_latex_(self) -> str:
        y = sp.Symbol("y")
        shown = lambda e: sp.latex(e if self.exact else sp.N(e, 8))
        cubic = sp.Add(y**3, self.alpha * y**2, self.beta * y, evaluate=True)
        rows = {"P_3(y)": cubic, "P_2(y)": y**2 + self.gamma * y, "c_3": self.c3, "c_2": self.c2}
        return r"$\begin{aligned}" + r" \\ ".join(f"{k} &= {shown(v)}" for k, v in rows.items()) + r"\end{aligned}$"


def derive(g: Any, sigma: Any = 0) -> Transform:
    """The transforms of an activation (see `activation`) under noise of standard deviation `sigma`, number or symbol.

    InputError, with the reason, if g admits none: constant or even g, two or three values, a pivot of 0.

    >>> derive("linear", sp.Symbol("sigma", positive=True)).beta
    -3*sigma**2 - 3
    """
    return _noiseless(activation(g)).at(sigma)


def _plain(value: sp.Expr) -> sp.Expr:
    return sp.expand(value) if sp.count_ops(value) < 400 else value


def _noiseless(g: Activation) -> Transform:
    try:
        return _remembered(g)
    except TypeError as error:  # a callable without a hash
        if "unhashable" not in str(error):
            raise
        return _computed(g)


def _computed(g: Activation) -> Transform:
    return Transform(**vars(pivots(g)), activation=g, sigma=sp.Integer(0))


_remembered = lru_cache(maxsize=128)(_computed)


def _noise(sigma: Any) -> sp.Expr:
    """A standard deviation: the number, a float as the decimal it prints as, or a symbol."""
    wrong = InputError(f"sigma: expected a number >= 0, got {sigma!r}")
    if isinstance(sigma, bool | str) or np.ndim(sigma):
        raise wrong
    try:
        value = exact(sigma.item() if isinstance(sigma, np.generic) else sigma)
    except (sp.SympifyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise wrong from error
    if value.free_symbols:
        if value.is_negative or value.is_real is False:
            raise wrong
        return value
    if value.is_nonnegative is not True or value.is_finite is not True:
        raise wrong
    return value
