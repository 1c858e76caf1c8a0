"""The relations between a certificate's numbers, in exact rational arithmetic: they leave no single number free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from moe_theory.certificates.contents import Rejected, Statement

NEAR = Fraction(1, 10**9)  # how tight the numbers have to be that follow from others
FOUND = Fraction(1, 10**8)  # the same for the largest eigenvalue that was found
TINY = Fraction(1, 10**300)


def check_relations(s: Statement) -> None:
    """Rejected unless the numbers fit one another; nothing here looks at the data."""
    exact = Fraction
    for name, value in (("region.radius", s.r), ("curvature.lower", s.mu), ("found.lambda", s.found)):
        if not value > 0:
            raise Rejected(f"{name}: expected a number > 0, got {value!r}")
    for name, value in (
        ("stationary.gradient", s.epsilon),
        ("stationary.distance", s.e),
        ("basin.radius", s.r0),
        ("basin.divergence", s.b),
    ):
        if not value >= 0:
            raise Rejected(f"{name}: expected a number >= 0, got {value!r}")
    if not 0 < s.alpha < 1 or 1 - s.alpha != s.lam:
        raise Rejected(f"bound: expected 0 < alpha < 1 and lambda_upper = 1 - alpha, got {s.alpha!r} and {s.lam!r}")
    if not s.mu <= s.nu:
        raise Rejected(f"curvature: expected lower <= upper, got {s.mu!r} and {s.nu!r}")
    if not s.e < s.r:
        raise Rejected(f"stationary.distance: expected less than the region's radius {s.r!r}, got {s.e!r}")
    if not 0 < s.within <= s.r:
        raise Rejected(f"curvature.within: expected a number in (0, {s.r!r}], the region's radius, got {s.within!r}")
    r, e, b, nu, r0, within = (exact(v) for v in (s.r, s.e, s.b, s.nu, s.r0, s.within))
    excess = e - exact(s.epsilon) / (exact(s.alpha) * exact(s.mu))
    if not 0 <= excess <= NEAR * e + TINY:
        raise Rejected(
            f"stationary.distance: expected gradient/(alpha lower) = {s.epsilon / s.alpha / s.mu!r}, rounded up, got"
            f" {s.e!r}"
        )
    divergence = exact(s.mu) * (r - e) ** 2 / 2
    if not (1 - NEAR) * divergence <= b <= divergence:
        raise Rejected(
            f"basin.divergence: expected lower (radius - distance)²/2 = {_float(divergence)!r}, rounded down, got"
            f" {s.b!r}"
        )
    holds = lambda radius: nu * (radius + e) ** 2 / 2 < b
    # Radius 0 also says that there is none.
    if (r0 > 0 and not holds(r0)) or holds(r0 + NEAR * r):
        largest = max(0.0, math.sqrt(2 * s.b / s.nu) - s.e)
        raise Rejected(f"basin.radius: expected {largest!r}, rounded down, got {s.r0!r}")
    if r0 > 0 and not r0 + e <= within <= (r0 + e) * (1 + NEAR):
        raise Rejected(
            f"curvature.within: expected basin.radius + stationary.distance = {s.r0 + s.e!r}, rounded up, got"
            f" {s.within!r}"
        )
    if exact(s.found) > exact(s.lam) * (1 + FOUND):
        raise Rejected(f"found.lambda: expected at most lambda_upper = {s.lam!r}, got {s.found!r}")
    _check_box(s)


def _check_box(s: Statement) -> None:
    """stationary.lower and .upper are the box around the ball of radius e: c -+ e times the norms of G's rows."""
    e = Fraction(s.e)
    for a, centre in enumerate(s.centre):
        for j, c in enumerate(centre):
            square = e**2 * (1 if s.factor is None else _square(s.factor[a][j]))
            for name, value in (("lower", s.lower[a][j]), ("upper", s.upper[a][j])):
                side = (Fraction(value) - Fraction(c)) * (1 if name == "upper" else -1)
                rest = side - 4 * Fraction(math.ulp(c))
                if side < 0 or side**2 < square or (rest > 0 and rest**2 > (1 + NEAR) ** 2 * square):
                    raise Rejected(
                        f"stationary.{name}: expected {c!r} {'-' if name == 'lower' else '+'}"
                        f" {math.sqrt(_float(square)):.17g}, rounded outwards, got {value!r}"
                    )


def _square(row: Sequence[float]) -> Fraction:
    return sum((Fraction(v) ** 2 for v in row), Fraction(0))


def _float(value: Fraction) -> float:
    """For messages only."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
