"""Exact normal forms: sums of rational multiples of products of atoms, in which equal things look the same.

Atoms are symbols, pi, and log, exp, softplus, σ, log Γ and reciprocals of other such sums. Nothing is ever
differentiated, rounded or simplified by a computer algebra system; what is not known to be defined everywhere (the
logarithm of what may be negative, a reciprocal of what may be 0) is refused, never assumed. Two expressions with one
normal form are equal wherever their symbols may be; different normal forms say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import cast

from moe_theory.errors import InputError

MOST_TERMS, MOST_POWER, MOST_BITS = 5_000, 64, 20_000  # of a product, of a sum's power, of a number's power
PRIMES = tuple(n for n in range(2, 100) if all(n % k for k in range(2, n)))

Product = tuple[tuple["Atom", int], ...]  # (atom, power != 0), sorted; an exp has power 1 and is there at most once


@dataclass(frozen=True)
class Atom:
    """kind: symbol, pi, log (of one atom or a whole number), log_sum, exp, softplus, expit, inverse or loggamma, of
    `inside`. key: tells atoms apart.

    low, high: the open interval that a symbol is in; reached: low too is a value of it.
    """

    key: str
    kind: str = field(compare=False)
    inside: Expression | None = field(default=None, compare=False)
    low: float = field(default=-math.inf, compare=False)
    high: float = field(default=math.inf, compare=False)
    reached: bool = field(default=False, compare=False)

    @property
    def sign(self) -> int | None:
        """1: always > 0. 0: always >= 0. None: not known."""
        if self.kind == "symbol":
            if self.low > 0 or (self.low == 0 and not self.reached):
                return 1
            return 0 if self.low == 0 else None
        if self.kind == "log":  # of numbers only those beyond 1 are made
            return None if inside_of(self).number is None else 1
        return 1 if self.kind in ("pi", "exp", "softplus", "expit", "inverse") else None


@dataclass(frozen=True)
class Expression:
    """terms: (product, its coefficient != 0), sorted."""

    terms: tuple[tuple[Product, Fraction], ...]

    @cached_property
    def key(self) -> str:
        return "+".join(f"{c}{_product_key(product)}" for product, c in self.terms)

    @cached_property
    def symbols(self) -> frozenset[Atom]:
        """All symbols in it, however deep."""
        found: set[Atom] = set()
        for product, _ in self.terms:
            for atom, _ in product:
                found |= {atom} if atom.inside is None else atom.inside.symbols
        return frozenset(a for a in found if a.kind == "symbol")

    @property
    def number(self) -> Fraction | None:
        """Its value, if it is a rational number."""
        if not self.terms:
            return Fraction(0)
        return self.terms[0][1] if len(self.terms) == 1 and not self.terms[0][0] else None

    def __str__(self) -> str:
        each = (["" if p and c == 1 else str(c), *(_text(a) + f"^{n}" * (n != 1) for a, n in p)] for p, c in self.terms)
        return " + ".join("·".join(filter(None, parts)) for parts in each) or "0"

    def __add__(self, other: Expression) -> Expression:
        return expression([*self.terms, *other.terms])

    def __sub__(self, other: Expression) -> Expression:
        return self + other * -1

    def __mul__(self, other: Expression | Fraction | int) -> Expression:
        if not isinstance(other, Expression):
            return expression((product, c * other) for product, c in self.terms)
        if len(self.terms) * len(other.terms) > MOST_TERMS:
            raise InputError(f"model: expected products of at most {MOST_TERMS} terms, got more")
        return expression(_times(p, c, q, k) for p, c in self.terms for q, k in other.terms)

    def __pow__(self, power: int) -> Expression:
        """Of what is not 0 anywhere, if the power is negative; else InputError."""
        if power == 0:
            return number(1)
        size = max((c.numerator.bit_length() + c.denominator.bit_length() for _, c in self.terms), default=0)
        if abs(power) * size > MOST_BITS or (len(self.terms) > 1 and abs(power) > MOST_POWER):
            raise InputError(f"model: expected powers that are not as large as {power}")
        if power < 0:
            return _inverse(self) ** -power
        if len(self.terms) == 1:
            ((product, c),) = self.terms
            return _single(c**power, [(atom, n * power) for atom, n in product])
        value = self
        for _ in range(power - 1):
            value = value * self
        return value


def expression(terms: Iterable[tuple[Product, Fraction]]) -> Expression:
    """Their sum."""
    total: dict[Product, Fraction] = {}
    for product, c in terms:
        total[product] = total.get(product, Fraction(0)) + c
    kept = [(product, c) for product, c in total.items() if c]
    return Expression(tuple(sorted(kept, key=lambda term: _order(term[0]))))


def number(value: Fraction | int) -> Expression:
    """A rational number."""
    return expression([((), Fraction(value))])


def symbol(name: str, low: float = -math.inf, high: float = math.inf, reached: bool = False) -> Expression:
    """A real variable; they are sorted by name."""
    return alone(Atom(f" {name}", "symbol", None, low, high, reached))


def pi() -> Expression:
    """π."""
    return alone(Atom("pi", "pi"))


def exp(inside: Expression) -> Expression:
    """With exp(k log n + a + b) = n^k exp(a + b)."""
    c, powers, rest = Fraction(1), [], []
    for product, k in inside.terms:
        (under, n), whole = under_log(product), math.floor(k)
        if not n or abs(whole) * n.numerator.bit_length() > MOST_BITS:
            rest.append((product, k))
            continue
        c *= n**whole
        powers += [(atom, whole) for atom, _ in under]
        rest.append((product, k - whole))
    left = expression(rest)
    return _single(c, [*powers, *([(Atom(f"exp({left.key})", "exp", left), 1)] if left.terms else [])])


def positive(e: Expression) -> bool:
    """Whether it is proved to be > 0 wherever its symbols may be: a sum of positive terms, or affine in one symbol and
    positive at the ends of its interval."""
    signs = [sign_of(product) if c > 0 else None for product, c in e.terms]
    if signs and None not in signs:
        return 1 in signs
    if len(e.symbols) != 1 or not all(p in ((), ((next(iter(e.symbols)), 1),)) for p, _ in e.terms):
        return False
    (t,), found = e.symbols, dict(e.terms)
    constant, slope = found.get((), Fraction(0)), found.get(((t, 1),), Fraction(0))
    end = t.low if slope > 0 else t.high  # where it is least
    if not math.isfinite(end):
        return False
    least = constant + slope * exact(end)
    return least > 0 or (least == 0 and not (t.reached and slope > 0))


def exact(value: float) -> Fraction:
    """The decimal that a number prints as (0.3 is 3/10): what a declaration means by it."""
    return Fraction(value) if isinstance(value, int | Fraction) else Fraction(repr(float(value)))


def alone(atom: Atom) -> Expression:
    return Expression(((((atom, 1),), Fraction(1)),))


def _times(p: Product, c: Fraction, q: Product, k: Fraction) -> tuple[Product, Fraction]:
    """The product of two terms, which is one."""
    if not p or not q:
        return p or q, c * k
    ((product, value),) = _single(c * k, [*p, *q]).terms
    return product, value


def _single(c: Fraction, factors: Iterable[tuple[Atom, int]]) -> Expression:
    """c times a product of powers of atoms; exponentials are gathered in one."""
    powers: dict[Atom, int] = {}
    for atom, n in factors:
        powers[atom] = powers.get(atom, 0) + n
    exponents = [(atom, n) for atom, n in powers.items() if atom.kind == "exp" and n]
    rest = {atom: n for atom, n in powers.items() if atom.kind != "exp" and n}
    if len(exponents) == 1 and exponents[0][1] == 1:
        rest[exponents[0][0]] = 1
    elif exponents:
        inside = number(0)
        for atom, n in exponents:
            inside = inside + inside_of(atom) * n
        # What comes of it has one exponential at most, so this ends.
        ((product, k),) = exp(inside).terms
        return _single(c * k, [*rest.items(), *product])
    return expression([(tuple(sorted(rest.items(), key=lambda factor: factor[0].key)), c)])


def _inverse(e: Expression) -> Expression:
    if len(e.terms) == 1 and (e.number is not None or sign_of(tuple((a, 1) for a, _ in e.terms[0][0])) == 1):
        ((product, c),) = e.terms
        return _single(1 / c, [(atom, -n) for atom, n in product])
    if not positive(e):
        raise InputError(f"model: expected quotients by what is known to be positive everywhere, got 1/({e})")
    c = abs(e.terms[0][1])
    scaled = e * (1 / c)
    return alone(Atom(f"inverse({scaled.key})", "inverse", scaled)) * (1 / c)


def inside_of(atom: Atom) -> Expression:
    return cast(Expression, atom.inside)


def sign_of(product: Product) -> int | None:
    """Of a product, as of an atom."""
    signs = [(atom.sign if n % 2 or atom.sign else 0) for atom, n in product]
    return None if None in signs else min((s for s in signs if s is not None), default=1)


def under_log(product: Product) -> tuple[Product, Fraction]:
    """The one term that a product is the logarithm of; with coefficient 0 if it is none."""
    if len(product) == 1 and product[0][1] == 1 and product[0][0].kind == "log":
        return inside_of(product[0][0]).terms[0]
    return (), Fraction(0)


def _order(product: Product) -> list[tuple[str, int]]:
    return [(atom.key, n) for atom, n in product]


def _product_key(product: Product) -> str:
    return "".join(f"*{atom.key}^{n}" for atom, n in product)


def _text(atom: Atom) -> str:
    """For messages: a symbol's name comes after what it is sorted by."""
    return f"{atom.kind}({atom.inside})" if atom.inside is not None else atom.key.split()[-1]
