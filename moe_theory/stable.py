"""Log-densities as they are declared, in functions that do not overflow: logarithms of sums of exponentials, of normal
distribution functions and of factorials become atoms (`moe_theory.atoms`)."""

from __future__ import annotations

import sympy as sp

from moe_theory.atoms import expit, log_expit, log_factorial, log_ndtr, log_sum_exp, softplus

#: functions that are products and quotients of Γ
GAMMAS = (
    sp.gamma,
    sp.factorial,
    sp.binomial,
    sp.beta,
    sp.RisingFactorial,
    sp.FallingFactorial,
)


def stable(expr: sp.Expr) -> sp.Expr:
    """`expr` with every logarithm that would overflow, or that SymPy writes in another way, as a stable atom.

    >>> t, y = sp.Symbol("t", real=True), sp.Symbol("y", integer=True, nonnegative=True)
    >>> stable(sp.log(1 + sp.exp(t))), stable(sp.log((1 + sp.erf(t)) / 2)), stable(-sp.log(sp.factorial(y)))
    (softplus(t), log_ndtr(sqrt(2)*t), -log_factorial(y))
    """
    expr = sp.expand_log(expr)
    expr = expr.replace(sp.loggamma, lambda u: log_factorial(u - 1))
    return expr.replace(sp.log, _log)


def _log(argument: sp.Expr) -> sp.Expr:
    """log(argument), factor by factor; what is not recognised stays."""
    if not argument.free_symbols:
        return sp.log(argument)
    if argument.has(*GAMMAS):
        argument = argument.rewrite(sp.gamma)
    if argument.has(sp.tanh):
        argument = sp.together(argument.rewrite(sp.tanh, sp.exp))
    argument = argument.rewrite([sp.cosh, sp.sinh], sp.exp)
    total, left = sp.Integer(0), sp.Integer(1)
    for factor in sp.Mul.make_args(argument):
        base, power = _power(factor)
        found = _log_of(base)
        if found is None:
            left *= factor
        else:
            total += power * found
    return total + (sp.log(left) if left != 1 else 0)


def _log_of(base: sp.Expr) -> sp.Expr | None:
    """The logarithm of one factor that is known to be positive, else None."""
    if isinstance(base, sp.exp):
        return base.args[0]
    if isinstance(base, expit):
        return log_expit(base.args[0])
    if isinstance(base, sp.gamma):
        return log_factorial(base.args[0] - 1)
    if isinstance(base, sp.erfc):
        return sp.log(2) + log_ndtr(-sp.sqrt(2) * base.args[0])
    if base.is_number:
        return sp.expand_log(sp.log(base)) if base.is_positive else None
    if isinstance(base, sp.Add):
        found = _of_distribution(base) or _of_complement(base) or _of_exponentials(base)
        return found if found is not None else _of_quotient(base)
    return sp.log(base) if base.is_positive and not isinstance(base, sp.Add) else None


def _of_distribution(total: sp.Add) -> sp.Expr | None:
    """c + c erf(u) = 2c Φ(√2 u), c > 0."""
    total = sp.expand(total.replace(sp.erfc, lambda u: 1 - sp.erf(u)))
    constant, rest = total.as_independent(*total.free_symbols, as_Add=True)
    factor, erf = rest.as_coeff_Mul()
    if not isinstance(erf, sp.erf) or not constant.is_positive or abs(factor) != constant:
        return None
    sign = 1 if factor == constant else -1
    return sp.expand_log(sp.log(2 * constant)) + log_ndtr(sign * sp.sqrt(2) * erf.args[0])


def _of_complement(total: sp.Add) -> sp.Expr | None:
    """1 - e^v = tanh(-v/2) (1 + e^v), v < 0."""
    rest = 1 - total
    if not isinstance(rest, sp.exp) or not rest.args[0].is_negative:
        return None
    return sp.log(sp.tanh(-rest.args[0] / 2)) + softplus(rest.args[0])


def _of_exponentials(total: sp.Add) -> sp.Expr | None:
    """log Σ c_i exp(t_i) with numbers c_i > 0."""
    terms = []
    for term in sp.Add.make_args(sp.expand(sp.powsimp(total))):
        coefficient, rest = term.as_independent(sp.exp, as_Add=False)
        powers = sp.Mul.make_args(rest)
        if not (coefficient.is_number and coefficient.is_positive) or any(
            p != 1 and not isinstance(p, sp.exp) for p in powers
        ):
            return None
        terms.append(sp.log(coefficient) + sum((p.args[0] for p in powers if p != 1), sp.Integer(0)))
    return log_sum_exp(terms) if any(t.free_symbols for t in terms) else None


def _of_quotient(total: sp.Add) -> sp.Expr | None:
    """Of a sum that is a quotient of sums of exponentials, 1 - 1/(1 + e^t) = e^t / (1 + e^t)."""
    if not total.has(sp.exp, expit):
        return None
    whole = sp.factor_terms(sp.together(total.rewrite(expit, sp.exp)))
    if whole == total:
        return None
    found = sp.Integer(0)
    for factor in sp.Mul.make_args(whole):
        base, power = _power(factor)
        log = _of_exponentials(base) if isinstance(base, sp.Add) else _log_of(base)
        if log is None:
            return None
        found += power * log
    return found


def _power(factor: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """(base, exponent) with e^t whole."""
    return (factor, sp.Integer(1)) if isinstance(factor, sp.exp) else factor.as_base_exp()
