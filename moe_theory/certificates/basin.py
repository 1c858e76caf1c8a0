"""From bounds on a region to a stationary point in it, and to a basin that EM does not leave.

On Θ = {c + Gz : ‖z‖ <= r} let (1-α)∇²A - I_{z|x,y} ≻ 0 and μI ⪯ G'∇²AG, and ‖G'∇L(c)‖ <= ε. Then G'∇²LG ⪰ αμI there,
so that e = ε/(αμ) < r gives one stationary point θ̂ in Θ, within e of c (distances are in z). B_A(θ̂‖·) grows along
rays from θ̂ and is at least b = μ(r-e)²/2 on the boundary of Θ, so where it is below b one is inside. There a step of
EM, taken among the points of Θ, obeys B_A(θ̂‖θ⁺) + L(θ⁺) - L(θ̂) <= (1-α) B_A(θ̂‖θ) (claim linear); so it ends inside
Θ, and is EM's step without that constraint (a local minimum of a convex function). By induction EM stays, and
contracts. Where G'∇²AG ⪯ νI for ‖z‖ <= s, a start within r0 <= s - e of c has B_A(θ̂‖θ_1) <= ν(r0+e)²/2, which is to
be below b.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from moe_theory.validation import Array

ROUNDS = 3  # of the search for the ball on which ν is bounded


@dataclass(frozen=True)
class Basin:
    """What follows on a region, all in its coordinates z.

    lower: μ, on the region. upper: ν, on ‖z‖ <= within. gradient: ε. distance: e. divergence: b, in nats. radius: r0,
    0 if there is none.
    """

    lower: float
    upper: float
    within: float
    gradient: float
    distance: float
    divergence: float
    radius: float


def basin(radius: float, alpha: float, gradient: float, lower: float, upper: Callable[[float], float]) -> Basin | None:
    """The basin from r, α, ε, μ > 0 and ν as a function of the radius s it is to hold on, all rounded to the safe side;
    None where e >= r."""
    e = _up(Fraction(gradient) / (Fraction(alpha) * Fraction(lower)))
    if not e < radius:
        return None
    b = _down(Fraction(lower) * (Fraction(radius) - Fraction(e)) ** 2 / 2)
    best = Basin(lower, upper(radius), radius, gradient, e, b, 0.0)
    for _ in range(ROUNDS):
        r0 = _start(best, best.within)
        if r0 > best.radius:
            best = Basin(lower, best.upper, best.within, gradient, e, b, r0)
        # On a smaller ball ν is smaller: as far as starts may be by it, and a little further.
        within = min(1.15 * (r0 + e), (r0 + e + radius) / 2)
        narrower = Basin(lower, upper(within), within, gradient, e, b, 0.0)
        r0 = _start(narrower, within)
        if not r0 > best.radius:
            break
        best = Basin(lower, narrower.upper, within, gradient, e, b, r0)
    return _tied(best)


def _tied(found: Basin) -> Basin:
    """The same with `within` no larger than r0 needs, and ν as large as it lets it be: no number is left free."""
    if not found.radius > 0:
        return found
    reach = Fraction(found.radius) + Fraction(found.distance)
    upper = max(_down(2 * Fraction(found.divergence) / reach**2 * (1 - Fraction(1, 10**12))), found.upper)
    return replace(found, upper=upper, within=_up(reach))


def _start(found: Basin, within: float) -> float:
    """The largest r0 <= within - e with ν(r0+e)²/2 < b."""
    nu, e, b = (Fraction(v) for v in (found.upper, found.distance, found.divergence))
    inside = lambda r0: nu * (Fraction(r0) + e) ** 2 / 2 < b and Fraction(r0) + e <= Fraction(within)
    r0 = min(math.sqrt(2 * found.divergence / found.upper), within) - found.distance
    while r0 > 0 and not inside(r0):
        r0 = r0 * (1 - 1e-15) - math.ulp(found.distance)
    return max(r0, 0.0)


def box(centre: Array, matrix: Array, distance: float) -> tuple[Array, Array]:
    """(lower, upper), (m, d) each, around {c + Gz : ‖z‖ <= distance}."""
    half = distance * np.linalg.norm(matrix, axis=1).reshape(centre.shape) * (1 + 1e-12)
    ulp = np.spacing(np.abs(centre))
    return centre - half - ulp, centre + half + ulp


def _up(value: Fraction) -> float:
    number = float(value)
    return number if Fraction(number) >= value else math.nextafter(number, math.inf)


def _down(value: Fraction) -> float:
    number = float(value)
    return number if Fraction(number) <= value else math.nextafter(number, -math.inf)
