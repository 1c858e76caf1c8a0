"""σ, q = σ' and bounds on q along an interval, on balls: what one row contributes.

Every comparison here chooses between two bounds that are both valid, so that it may go either way where it cannot tell.
"""

from __future__ import annotations

from typing import Any

from flint import arb, fmpq


def expit(t: Any) -> Any:
    """σ(t)."""
    if t < 0:
        e = t.exp()
        return e / (1 + e)
    return 1 / (1 + (-t).exp())


def variance(t: Any) -> Any:
    """q(t) = σ(t)(1 - σ(t)), even."""
    e = (-abs(t)).exp()
    return e / (1 + e) ** 2


TILT = fmpq(3, 10)  # share of the reach at which an expansion is compared with the worst case; any choice is valid


def ends(low: Any, high: Any) -> tuple[Any, Any]:
    """The least and the largest q on [low, high]: it falls with |t|."""
    return variance(abs(low).max(abs(high))), variance(low.max(-high).nonnegative_part())


def above(t: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """(constant, slope): q(t + s) <= constant + slope s where t + s lies in [low, high]; by the expansion or the worst
    case, whichever looks better."""
    rho, worst = (high - t).max(t - low), ends(low, high)[1]
    _, constant, slope = expansion(t, rho)
    return (constant, slope) if constant + rho * abs(slope) * TILT < worst else (worst, arb(0))


def below(t: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """The same with >=."""
    rho, worst = (high - t).max(t - low), ends(low, high)[0]
    constant, _, slope = expansion(t, rho)
    return (constant, slope) if constant - rho * abs(slope) * TILT > worst else (worst, arb(0))


def expansion(t: Any, rho: Any) -> tuple[Any, Any, Any]:
    """(low, high, slope): low + slope s <= q(t + s) <= high + slope s for |s| <= rho.

    q(t + s) = q + q's + s² ∫ (1-u) q''(t + us) du over [0, 1]. In the k-th quarter q'' lies between its least and
    largest value on [t - rho k/4, t + rho k/4], and 1-u weighs 7, 5, 3, 1 thirty-seconds.
    """
    e = (-abs(t)).exp()
    step = (rho / 4).exp()
    centre = e / (1 + e) ** 2
    near = far = e
    low = high = arb(0)
    for weight in (7, 5, 3, 1):
        # exp(-|.|) at the two ends of the interval; at 0 if that lies in it.
        near, far = near * step, far / step
        least, most = curvature_range(near.min(1), far)
        low, high = low + weight * least, high + weight * most
    square = rho * rho / 32
    # s² may be anything from 0 to rho².
    slope = centre * (2 * expit(t) - 1)
    return centre + square * low.min(0), centre + square * high.max(0), -slope


def curvature_range(near: Any, far: Any) -> tuple[Any, Any]:
    """(a lower, an upper bound) of q'' on an interval of |t|, given exp(-|t|) at its ends, near >= far.

    q'' = q - 6q² rises from -1/8 at t = 0 to 1/24 where q = 1/12 and falls to 0: its least value is at an end, and its
    largest is 1/24 unless the interval is on one side of that point; so it is where balls cannot tell the side.
    """
    q_near, q_far = near / (1 + near) ** 2, far / (1 + far) ** 2
    at_near, at_far = q_near * (1 - 6 * q_near), q_far * (1 - 6 * q_far)
    if 12 * q_near < 1:
        most = at_near
    elif 12 * q_far > 1:
        most = at_far
    else:
        most = arb(fmpq(1, 24))
    return at_near.min(at_far), most
