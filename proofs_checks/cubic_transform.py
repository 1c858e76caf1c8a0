"""Cubic and quadratic transforms of the response: which they are, for which activations, and what depends on σ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import mpmath
import sympy as sp

from moe_theory.atoms import expit
from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, close, identity
from moe_theory.errors import NoClosedFormError
from moe_theory.moments.activations import ACTIVATION_ARGUMENT, leaky_relu
from moe_theory.moments.closed_form import closed_form, hermite_polynomial
from moe_theory.moments.transforms import derive
from moe_theory.symbolic.identities import exact_form

U = ACTIVATION_ARGUMENT
SIGMA = sp.Symbol("sigma", positive=True)
SLOPE = sp.Symbol("slope", positive=True)
GENERIC = sp.Matrix(3, 3, lambda j, m: sp.Symbol(f"M_{j + 1}{m + 1}", real=True))

Formula = Callable[[sp.Matrix, sp.Expr], sp.Expr]  # of M and σ


def minor(m: sp.Matrix, i: int, j: int, a: int, b: int) -> sp.Expr:
    return m[i, a] * m[j, b] - m[i, b] * m[j, a]


def alpha(m: sp.Matrix, sigma: sp.Expr) -> sp.Expr:
    return -minor(m, 0, 2, 0, 1) / minor(m, 0, 1, 0, 1)


def beta(m: sp.Matrix, sigma: sp.Expr) -> sp.Expr:
    return minor(m, 1, 2, 0, 1) / minor(m, 0, 1, 0, 1) - 3 * sigma**2


def gamma(m: sp.Matrix, sigma: sp.Expr) -> sp.Expr:
    return -m[1, 0] / m[0, 0]


def c2(m: sp.Matrix, sigma: sp.Expr) -> sp.Expr:
    return minor(m, 0, 1, 0, 1) / m[0, 0]


def c3(m: sp.Matrix, sigma: sp.Expr) -> sp.Expr:
    return m.det() / minor(m, 0, 1, 0, 1)


def linear_forms(sigma: sp.Expr) -> tuple[sp.Expr, ...]:
    """α, β, γ, c₂, c₃ of g(u) = u, as theory.md states them."""
    return tuple(map(sp.sympify, (0, -3 * (1 + sigma**2), 0, 2, 6)))


@dataclass(frozen=True)
class Cubic:
    """α, β, γ, c₂, c₃ as functions of M = [E g^j He_m] and σ.

    linear: their values for g(u) = u. noise: E N, E N², E N³. others: activations claimed to admit transforms too.
    """

    alpha: Formula = alpha
    beta: Formula = beta
    gamma: Formula = gamma
    c2: Formula = c2
    c3: Formula = c3
    linear: Callable[[sp.Expr], tuple[sp.Expr, ...]] = linear_forms
    noise: tuple[sp.Expr, sp.Expr, sp.Expr] = (sp.Integer(0), sp.Integer(1), sp.Integer(0))
    others: Mapping[str, sp.Expr] = field(default_factory=dict, hash=False)

    def all(self, m: sp.Matrix, sigma: sp.Expr) -> list[sp.Expr]:
        return [f(m, sigma) for f in (self.alpha, self.beta, self.gamma, self.c2, self.c3)]


def check(setting: Setting, claimed: Cubic) -> Iterator[Evidence]:
    yield from _in_general(setting, claimed)
    yield from _closed_forms(setting, claimed)
    for name, g in claimed.others.items():
        yield _admits(name, _matrix(g))
    yield from _by_derivatives(claimed)


def _in_general(setting: Setting, claimed: Cubic) -> Iterator[Evidence]:
    """For any g: M, σ are symbols; E He_m(Z) = 0 for m >= 1, so that constants drop out."""
    a, b, c, d2, d3 = claimed.all(GENERIC, SIGMA)
    powers = {name: _mean_over_noise(claimed, n) for name, n in (("h2", 2), ("h3", 3), ("h1", 1))}
    against = lambda polynomial, m: sum(
        (polynomial.coeff_monomial(_G**j) * GENERIC[j - 1, m - 1] for j in (1, 2, 3)), 0
    )
    quadratic = powers["h2"] + c * powers["h1"]
    cubic = powers["h3"] + a * powers["h2"] + b * powers["h1"]
    conditions = {
        r"$E h_2'$": against(quadratic, 1),
        r"$E h_2'' - c_2$": against(quadratic, 2) - d2,
        r"$E h_3'$": against(cubic, 1),
        r"$E h_3''$": against(cubic, 2),
        r"$E h_3''' - c_3$": against(cubic, 3) - d3,
    }
    for what, expression in conditions.items():
        yield identity("any g", what + r", by $E h^{(m)}(Z) = E h(Z) He_m(Z)$", expression, seed=setting.seed)
    upper = _eliminated(GENERIC)
    what = r"$c_2$, $c_3$ less the second and third pivot of $M$"
    yield identity("any g", what, [d2 - upper[1, 1], d3 - upper[2, 2]], seed=setting.seed)
    still = [e.diff(SIGMA) for e in (a, c, d2, d3)]
    yield identity("any g", r"derivatives of $\alpha, \gamma, c_2, c_3$ by $\sigma$", still, seed=setting.seed)
    fall = b - b.subs(SIGMA, 0) + 3 * SIGMA**2
    yield identity("any g", r"$\beta(\sigma) - \beta(0) + 3\sigma^2$", fall, seed=setting.seed)


_G, _N = sp.symbols("g N", real=True)


def _mean_over_noise(claimed: Cubic, power: int) -> sp.Poly:
    """E_N (g + σN)^power, a polynomial in g."""
    moments = (sp.Integer(1), *claimed.noise)
    expanded = sp.Poly((_G + SIGMA * _N) ** power, _N)
    return sp.Poly(sum(c * moments[k] for (k,), c in expanded.terms()), _G)


def _eliminated(m: sp.Matrix) -> sp.Matrix:
    """Upper triangle of Gauss' elimination without exchanges."""
    rows = m.as_mutable()
    for k in range(2):
        for i in range(k + 1, 3):
            rows[i, :] = rows[i, :] - rows[k, :] * (rows[i, k] / rows[k, k])
    return rows


def _half_line(m: sp.Expr, j: int) -> sp.Expr:
    """E[u^j He_m(u); u > 0] from E[u^k; u > 0] = 2^{k/2-1} Γ((k+1)/2) / √π."""
    moment = lambda k: sp.Rational(2) ** (sp.Rational(k, 2) - 1) * sp.gamma(sp.Rational(k + 1, 2)) / sp.sqrt(sp.pi)
    return sp.expand(sum(c * moment(k) for (k,), c in sp.Poly(U**j * hermite_polynomial(m), U).terms()))


def _leaky(slope: sp.Expr) -> sp.Matrix:
    """M of max(u, 0) + slope min(u, 0): u < 0 is u > 0 mirrored."""
    entry = lambda j, m: _half_line(m, j) * (1 + (-1) ** (j + m) * slope**j)
    return sp.Matrix(3, 3, lambda j, m: sp.expand(entry(j + 1, m + 1)))


def leaky_forms(s: sp.Expr, sigma: sp.Expr) -> tuple[sp.Expr, ...]:
    """α, β, γ, c₂, c₃ of the leaky ReLU with slope s."""
    pi, q = sp.pi, (1 - s) ** 2
    block = pi * (1 + s**2) - 2 * q
    a = -3 * sp.sqrt(2 * pi) * (1 - s) * (s**2 + 3 * s + 1) / (2 * block)
    three = (pi - 3) * (s**4 + 1) + (5 - pi) * (s**3 + s) + 2 * (pi - 2) * s**2
    b = 3 * ((4 - pi) * (s**4 - s**3 - s + 1) - 2 * pi * s**2) / block - 3 * sigma**2
    return a, b, -2 * sp.sqrt(2 / pi) * (1 - s), block / pi, 3 * (1 + s) * three / block


def _closed_forms(setting: Setting, claimed: Cubic) -> Iterator[Evidence]:
    named = {
        "linear": (_leaky(sp.Integer(1)), claimed.linear(SIGMA), "linear"),
        "ReLU": (_leaky(sp.Integer(0)), leaky_forms(sp.Integer(0), SIGMA), "relu"),
        "leaky ReLU, slope a symbol": (_leaky(SLOPE), leaky_forms(SLOPE, SIGMA), leaky_relu(SLOPE)),
    }
    for name, (m, forms, g) in named.items():
        what = r"closed forms of $\alpha, \beta, \gamma, c_2, c_3$ less the formulas in $M$"
        differences = [sp.together(f - e) for f, e in zip(forms, claimed.all(m, SIGMA), strict=True)]
        yield identity(name, what, differences, seed=setting.seed)
        found = derive(g, SIGMA)
        derived = (found.alpha, found.beta, found.gamma, found.c2, found.c3)
        differences = [sp.together(f - e) for f, e in zip(forms, derived, strict=True)]
        yield identity(name, "closed forms less those derived by the package", differences, seed=setting.seed)
        yield _positive(name, forms[3:])


def _matrix(g: sp.Expr) -> sp.Matrix:
    closed = closed_form(g)
    if closed is None:
        raise NoClosedFormError(f"no closed form of the moments of {g}")
    return sp.Matrix(3, 3, lambda j, m: closed.moment(j + 1, m + 1))


def _admits(name: str, m: sp.Matrix) -> Evidence:
    """Whether there are α, β, γ at all: the linear systems are solved, whatever the pivots, and c₂, c₃ looked at."""
    a, b, c = sp.symbols("a b c")
    quadratic = [m[1, k] + c * m[0, k] for k in range(2)]
    cubic = [m[2, k] + a * m[1, k] + b * m[0, k] for k in range(3)]
    values = []
    for conditions, last, unknowns in ((quadratic[:1], quadratic[1], [c]), (cubic[:2], cubic[2], [a, b])):
        solution = next(iter(sp.linsolve(conditions, unknowns)), None)
        if solution is None:
            values.append("none")
            continue
        value = sp.expand(last.subs(dict(zip(unknowns, solution, strict=True)), simultaneous=True))
        # Free unknowns leave a value that is not 0 for almost all of them, unless it is 0 for all.
        at = value.subs(dict.fromkeys(unknowns, sp.Rational(7, 5)))
        values.append("0" if abs(sp.N(at, 40, maxn=200)) < 1e-30 else str(sp.N(at, 8)))
    what = r"there are $\alpha, \beta, \gamma$ as wanted with $c_2 \neq 0$ and $c_3 \neq 0$"
    holds = not {"none", "0"} & set(values)
    shown = f"c_2 {values[0]}, c_3 {values[1]}"
    if holds:
        return Evidence("identity", name, what, True)
    return Evidence("identity", name, what, False, computed=shown, witness={"g": name})


def _positive(name: str, forms: tuple[sp.Expr, ...]) -> Evidence:
    """c₂, c₃ > 0 for every slope >= 0: quotients of polynomials in it without a negative coefficient."""
    parts = [sp.Poly(sp.expand(part), SLOPE) for form in forms for part in sp.fraction(sp.together(form))]
    holds = all(c.is_positive for part in parts for c in part.coeffs()) and all(p.eval(0) != 0 for p in parts)
    what = "$c_2$ and $c_3$, quotients of polynomials in the slope with positive coefficients"
    return Evidence("identity", name, what, holds or None, relation=">")


@lru_cache(maxsize=8)
def _derivatives(g: sp.Expr) -> Callable[[Any], Any]:
    """The first three derivatives of g, g², g³ (rows) at an mpmath number."""
    rows = [[sp.diff(g**j, U, m) for m in (1, 2, 3)] for j in (1, 2, 3)]
    return sp.lambdify([U], [[exact_form(e) for e in row] for row in rows], modules="mpmath", cse=True)


@lru_cache(maxsize=8)
def _slopes(g: sp.Expr) -> sp.Matrix:
    """[E (g^j)^{(m)}(Z)] by the trapezoid rule.

    The poles at ±iπ/2, of order 6 at most, leave an error of order exp(-π²/step) (2π/step)^5 = 1e-34; the ends less.
    """
    with mpmath.workdps(45):
        step, count = mpmath.mpf(1) / 10, 130
        function = _derivatives(g)
        total = mpmath.matrix(3, 3)
        for i in range(-count, count + 1):
            total += mpmath.matrix(function(i * step)) * (mpmath.npdf(i * step) * step)
        return sp.Matrix(3, 3, lambda j, m: sp.Float(total[j, m], 40))


def _by_derivatives(claimed: Cubic) -> Iterator[Evidence]:
    """Sigmoid and tanh, to 25 digits: the package's transform against integrals of derivatives, without He_m."""
    sigma = sp.Rational(1, 2)
    for name, g in (("sigmoid", expit(U)), ("tanh", sp.tanh(U))):
        slopes, found = _slopes(g), derive(name, sigma)
        formulas = claimed.all(found.matrix, sigma)
        a, b, c, d2, d3 = formulas
        cubic = [slopes[2, m] + a * slopes[1, m] + (b + 3 * sigma**2) * slopes[0, m] for m in range(3)]
        quadratic = [slopes[1, m] + c * slopes[0, m] for m in range(2)]
        residuals = {
            "E h_2'": quadratic[0],
            "E h_2'' - c_2": quadratic[1] - d2,
            "E h_3'": cubic[0],
            "E h_3''": cubic[1],
            "E h_3''' - c_3": cubic[2] - d3,
        }
        for what, value in residuals.items():
            yield close(name, f"{what}, derivatives of h integrated", float(value), 0.0, 1e-25, essential=False)
        package = (found.alpha, found.beta, found.gamma, found.c2, found.c3)
        worst = max(abs(float(p - f)) for p, f in zip(package, formulas, strict=True))
        what = "the package's α, β, γ, c_2, c_3 less the formulas in its M, the largest"
        yield close(name, what, worst, 0.0, 1e-25, essential=False)


CLAIM = Claim(
    id="cubic-transform",
    title="Cubic and quadratic transforms of the response isolate the regressors' tensors",
    statement=r"for $P_3(y)=y^3+\alpha y^2+\beta y$, $P_2(y)=y^2+\gamma y$ and $h_m(u)=E_N P_m(g(u)+\sigma N)$:"
    r" $E h_3'(Z)=E h_3''(Z)=0\neq E h_3'''(Z)=c_3$ and $E h_2'(Z)=0\neq E h_2''(Z)=c_2$, where $c_2$, $c_3$ are the"
    r" second and third pivot of $M=[E g^j(Z) He_m(Z)]$, $\alpha$, $\gamma$, $c_2$, $c_3$ do not depend on $\sigma$,"
    r" $\beta(\sigma)=\beta(0)-3\sigma^2$; for linear $g$: $\alpha=\gamma=0$, $\beta=-3(1+\sigma^2)$, $c_2=2$, $c_3=6$",
    source="Makkuva, Oh, Kannan and Viswanath, Breaking the gridlock in Mixture-of-Experts (ICML 2019, arXiv"
    " 1802.07417); theory.md §4",
    hypotheses=(
        Hypothesis("g is not even (odd moments of an even g vanish)", Cubic(others={"u²": U**2})),
        Hypothesis("g takes more than two values", Cubic(others={"sign u": sp.sign(U)})),
        Hypothesis("and more than three", Cubic(others={"dead zone": (sp.sign(U - 1) + sp.sign(U + 1)) / 2})),
        Hypothesis("$M_{11} = E g'(Z) \\neq 0$", Cubic(others={"u³ - 3u": U**3 - 3 * U})),
        Hypothesis("the noise has mean 0", Cubic(noise=(sp.Rational(1, 3), sp.Integer(1), sp.Symbol("n3", real=True)))),
        Hypothesis(
            "the noise is normal (mean 0 and variance σ² are enough)",
            Cubic(noise=(sp.Integer(0), sp.Integer(1), sp.Symbol("n3", real=True))),
            needed=False,
        ),
    ),
    expected="proved",
    check=check,
    claimed=Cubic(),
    mutants={
        "β does not depend on σ": Mutant("term", Cubic(beta=lambda m, s: beta(m, sp.Integer(0)))),
        "β grows with σ": Mutant("sign", Cubic(beta=lambda m, s: beta(m, s) + 6 * s**2)),
        "α with the other sign": Mutant("sign", Cubic(alpha=lambda m, s: -alpha(m, s))),
        "γ from the second column": Mutant("exchange", Cubic(gamma=lambda m, s: -m[1, 1] / m[0, 1])),
        "M transposed": Mutant("exchange", Cubic(alpha=lambda m, s: alpha(m.T, s), beta=lambda m, s: beta(m.T, s))),
        "c_3 is the determinant": Mutant("form", Cubic(c3=lambda m, s: m.det())),
        "c_2 is M_22": Mutant("term", Cubic(c2=lambda m, s: m[1, 1])),
        "β = -3 for linear g at any σ": Mutant(
            "constant", Cubic(linear=lambda s: (*linear_forms(s)[:1], sp.Integer(-3), *linear_forms(s)[2:]))
        ),
        "c_3 = 3 for linear g": Mutant("constant", Cubic(linear=lambda s: (*linear_forms(s)[:4], sp.Integer(3)))),
    },
    order=221,
    section="Breaking the gridlock",
)
