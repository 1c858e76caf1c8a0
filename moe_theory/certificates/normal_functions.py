"""Functions of exact normal forms: logarithms, softplus, σ and log Γ, written so that equal things look the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from moe_theory.certificates.normal_form import (
    MOST_BITS,
    PRIMES,
    Atom,
    Expression,
    Product,
    alone,
    exp,
    expression,
    inside_of,
    number,
    positive,
    sign_of,
    under_log,
)
from moe_theory.errors import InputError


def log(inside: Expression) -> Expression:
    """With the logarithm of a product as a sum, log(a + b) = log a + softplus(log b - log a); InputError unless it is
    of what is proved to be positive."""
    if not positive(inside):
        raise InputError(f"model: expected logarithms of what is known to be positive everywhere, got log({inside})")
    if len(inside.terms) == 1:
        ((product, c),) = inside.terms
        total = _log_number(c)
        for atom, n in product:
            total = total + _log_atom(atom) * n
        return total
    if all(c > 0 and sign_of(product) == 1 for product, c in inside.terms):
        first, *others = (expression([term]) for term in inside.terms)
        if len(others) == 1:
            return log(first) + softplus(log(others[0]) - log(first))
        rest = inside * first**-1
        return log(first) + alone(Atom(f"log_sum({rest.key})", "log_sum", rest))
    c = abs(inside.terms[0][1])
    scaled = inside * (1 / c)
    return _log_number(c) + alone(Atom(f"log_sum({scaled.key})", "log_sum", scaled))


def softplus(inside: Expression) -> Expression:
    """log(1 + e^t), written with that of t and -t whose first coefficient is positive."""
    value = exp(inside).number
    if value is not None:
        return _log_number(1 + value)
    if _leading(inside) < 0:
        return inside + softplus(inside * -1)
    return alone(Atom(f"softplus({inside.key})", "softplus", inside))


def expit(inside: Expression) -> Expression:
    """1/(1 + e^-t), written with that of t and -t whose first coefficient is positive."""
    value = exp(inside * -1).number
    if value is not None:
        return number(1 / (1 + value))
    if _leading(inside) < 0:
        return number(1) - expit(inside * -1)
    return alone(Atom(f"expit({inside.key})", "expit", inside))


def loggamma(inside: Expression) -> Expression:
    """log Γ, of whole numbers as the logarithm of a factorial; InputError unless it is of what is proved positive."""
    value = inside.number
    if value is not None and value.denominator == 1 and 0 < value <= 1000:
        return _log_number(Fraction(math.factorial(int(value) - 1)))
    if not positive(inside):
        raise InputError(f"model: expected log Γ of what is known to be positive everywhere, got loggamma({inside})")
    return alone(Atom(f"loggamma({inside.key})", "loggamma", inside))


def same(a: Expression, b: Expression) -> bool:
    """Whether they are proved equal: one normal form, or rational multiples of logarithms of numbers that cancel."""
    rest = a - b
    numbers: list[tuple[Fraction, Fraction]] = []
    for product, c in rest.terms:
        under, n = under_log(product)
        if under or not n:
            return False
        numbers.append((n, c))
    scale = math.lcm(*(c.denominator for _, c in numbers))
    if any(abs(c * scale) * n.numerator.bit_length() > MOST_BITS for n, c in numbers):
        return False
    return math.prod((n ** int(c * scale) for n, c in numbers), start=Fraction(1)) == 1


def affine(e: Expression, symbols: Mapping[Atom, int]) -> tuple[list[Expression], Expression] | None:
    """(coefficients by the symbols' numbers, rest) free of these symbols, or None for what is not affine in them."""
    parts: list[list[tuple[Product, Fraction]]] = [[] for _ in range(len(symbols) + 1)]
    for product, c in e.terms:
        own = [(atom, n) for atom, n in product if atom in symbols]
        others = tuple((atom, n) for atom, n in product if atom not in symbols)
        if sum(n for _, n in own) > 1 or any(
            a.inside is not None and a.inside.symbols & symbols.keys() for a, _ in others
        ):
            return None
        parts[symbols[own[0][0]] if own else -1].append((others, c))
    *found, rest = (expression(part) for part in parts)
    return found, rest


def _log_number(value: Fraction) -> Expression:
    """Of a number > 0, by its small prime factors and what is left."""
    total: dict[int, int] = {}
    for n, sign in ((value.numerator, 1), (value.denominator, -1)):
        left = n
        for prime in PRIMES:
            while left % prime == 0:
                left //= prime
                total[prime] = total.get(prime, 0) + sign
        if left > 1:
            total[left] = total.get(left, 0) + sign
    found = number(0)
    for n, k in total.items():
        inside = number(n)
        found = found + alone(Atom(f"log({inside.key})", "log", inside)) * k
    return found


def _log_atom(atom: Atom) -> Expression:
    """Of an atom that is > 0."""
    if atom.kind == "exp":
        return inside_of(atom)
    if atom.kind == "expit":
        return softplus(inside_of(atom) * -1) * -1
    if atom.kind == "inverse":
        return log(inside_of(atom)) * -1
    inside = alone(atom)
    return alone(Atom(f"log({inside.key})", "log", inside))


def _leading(e: Expression) -> Fraction:
    """The coefficient that settles the sign in which a term is written: the first of a product, else the number."""
    return next((c for product, c in e.terms if product), e.terms[0][1])
