"""Drawing from densities that are known only as functions log p(y): numerical inversion of the distribution function.

Rows have parameters of their own: `log_p(row, y)` is log p at responses y for the rows of these indices, both (n,).
Every draw takes one uniform number, so that what is drawn depends on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from moe_theory.errors import InputError
from moe_theory.validation import Array

LogDensity = Callable[[Array, Array], Array]

TAIL = 1e-12  # mass that is left out at either end
SURE = 1e-7  # of the mass found: what differs from 1 by more is no law, or one that is not seen whole
MOST_COUNTS = 1 << 20  # responses looked at per row
FEW_COUNTS = 1 << 12  # beyond, one row is tried to the end before the others
ROWS = 256  # at once: what is computed of them then stays in a core's own cache
AT_ONCE = 1 << 20  # values of a density in memory
OCTAVES = 2  # points per octave on which a mode is sought
CELLS = 16  # of a row's line at first
DEEPEST = 60  # halvings of a cell
SLACK = 1e-10  # mass by which two Gauss rules on one cell may differ
ROUNDING = 1e-15  # of a response, relative
GOLDEN = (np.sqrt(5) - 1) / 2
NODES, WEIGHTS = (v / 2 for v in np.polynomial.legendre.leggauss(10))  # on [-1/2, 1/2]


def finite(log_p: LogDensity) -> LogDensity:
    """The same with -inf for what is not a number or infinite, and no warnings: far out a density may be anything."""

    def safe(row: Array, y: Array) -> Array:
        with np.errstate(all="ignore"):
            value = log_p(row, y)
            return np.where(value < np.inf, value, -np.inf)

    return safe


# Counts --------------------------------------------------------------------------------------------------------------


def invert_counts(log_p: LogDensity, u: Array) -> Array:
    """The least y in 0, 1, 2, … with Σ_{v<=y} p(v) > u, (n,), for u in [0, 1).

    Sums run over an interval around the mode that is doubled until all mass is in it. InputError where it is not within
    `MOST_COUNTS` responses (a mean too large, a tail too heavy), or where there is more than 1.
    """
    return _by_rows(_counts, finite(log_p), u)


def _counts(log_p: LogDensity, u: Array) -> Array:
    n = len(u)
    mode = np.round(_mode(log_p, n, np.concatenate([[0.0], np.unique(np.round(_ladder(0, 52)))])))
    y, half = np.full(n, np.nan), 16
    left = np.arange(n)
    while len(left):
        if 2 * half > MOST_COUNTS:
            raise InputError(
                f"model: expected counts that can be summed, got a law whose mass is not within {MOST_COUNTS} values"
                f" around its mode ({mode[left[0]]:g})"
            )
        above, below = mode[left] + half, np.maximum(mode[left] - half, 0.0)
        if half == FEW_COUNTS and n > 1:
            _counts(_shifted(log_p, left[0]), u[left[:1]])
        tails = np.log(half) + np.maximum(log_p(left, above), np.where(below > 0, log_p(left, below), -np.inf))
        ready = left[tails <= np.log(TAIL)]
        for some in np.array_split(ready, -(-len(ready) * 2 * half // AT_ONCE)) if len(ready) else ():
            y[some] = _summed(log_p, some, mode[some], half, u[some])
        left, half = left[np.isnan(y[left])], 2 * half
    return y


def _summed(log_p: LogDensity, rows: Array, mode: Array, half: int, u: Array) -> Array:
    """y, not a number where there is mass that is not within `half` of the mode."""
    span = np.arange(2.0 * half + 1)
    grid = np.maximum(mode - half, 0.0)[:, None] + span
    cumulative = np.cumsum(np.exp(log_p(np.repeat(rows, len(span)), grid.ravel())).reshape(grid.shape), axis=1)
    mass = cumulative[:, -1]
    if np.any(mass > 1 + SURE):
        raise InputError(f"model: expected a probability law given the label, got one of mass {mass.max():.6g} or more")
    place = np.sum(cumulative <= (u * mass)[:, None], axis=1)
    y = np.take_along_axis(grid, np.minimum(place, len(span) - 1)[:, None], axis=1)[:, 0]
    return np.where(mass >= 1 - SURE, y, np.nan)


# Real responses ------------------------------------------------------------------------------------------------------


def invert_density(log_p: LogDensity, u: Array, low: float, high: float) -> Array:
    """The y in (low, high) with P(y' <= y) = u, (n,), for u in [0, 1); either end may be infinite.

    Integrals are Gauss rules on cells that are halved until both rules agree, over t with y = mode + scale sinh t (its
    logarithm or logit on half a line or an interval), in which tails fall exponentially. InputError where the mass
    found is not 1.
    """
    line = _Line(low, high)
    flat = finite(lambda row, t: log_p(row, line.y(t)) + line.log_slope(t))
    return line.inside(line.y(_by_rows(lambda f, v: _quantiles(f, v, line), flat, u)))


def _by_rows(draw: Callable[[LogDensity, Array], Array], log_p: LogDensity, u: Array) -> Array:
    """`draw` for some rows at a time."""
    parts = [np.empty(0)]
    for a in range(0, len(u), ROWS):
        parts.append(draw(_shifted(log_p, a), u[a : a + ROWS]))
    return np.concatenate(parts)


def _shifted(log_p: LogDensity, first: int) -> LogDensity:
    """That of the rows from `first` on."""
    return lambda row, y: log_p(row + first, y)


def _quantiles(log_p: LogDensity, u: Array, line: _Line) -> Array:
    """The same for densities on the whole line, the coordinate of `line`."""
    n = len(u)
    every = np.arange(n)
    centre = _mode(log_p, n, np.concatenate([-line.ladder[::-1], [0.0], line.ladder]))
    scale = np.exp(-np.clip(log_p(every, centre), -690, 690))
    scale = np.clip(scale, 1e-12 * (np.abs(centre) + 1e-3), 1e300)

    def density(row: Array, t: Array) -> Array:
        with np.errstate(all="ignore"):
            grown = np.exp(t)
            sinh, cosh = (grown - 1 / grown) / 2, (grown + 1 / grown) / 2
            value = np.exp(log_p(row, centre[row] + scale[row] * sinh)) * (scale[row] * cosh)
            return np.where(value < np.inf, value, 0.0)

    # What lies far from 0 is known to the rounding of where it lies.
    rounding = ROUNDING * (np.abs(centre) + (not line.whole)) / scale
    row, left, right, mass = _cells(density, np.maximum(SLACK, rounding))
    total = np.bincount(row, mass, n)
    if np.any(np.abs(total - 1) > SURE + 10 * rounding):
        worst = total[np.argmax(np.abs(total - 1))]
        raise InputError(
            "model: expected a density given the label that can be integrated, got one whose integral is found to be"
            f" {worst:.9g}"
        )
    # Each row's cells from left to right; the last that begins where no more than u of its mass has been passed.
    order = np.lexsort((left, row))
    row, left, right, mass = (v[order] for v in (row, left, right, mass))
    ends = np.cumsum(np.bincount(row, minlength=n))
    begin = np.concatenate([[0], ends[:-1]])
    sums = np.concatenate([[0.0], np.cumsum(mass)])
    wanted = sums[begin] + u * total
    cell = np.clip(np.searchsorted(sums, wanted, side="right") - 1, begin, ends - 1)
    t = _within(density, left[cell], right[cell], wanted - sums[cell])
    return centre + scale * np.sinh(t)


class _Line:
    """The whole line, half of it or an interval as the image of the whole line."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.whole = low == -np.inf and high == np.inf
        # Of a logarithm or a logit, 2^9 is as far as it goes.
        self.ladder = _ladder(-40, 60 if self.whole else 9)

    def y(self, t: Array) -> Array:
        """Increasing in t."""
        with np.errstate(over="ignore"):
            if self.whole:
                return t
            if self.high == np.inf:
                return self.low + np.exp(t)
            if self.low == -np.inf:
                return self.high - np.exp(-t)
            # From the nearer end, so that what lies close to it is not rounded away.
            share = np.exp(-np.abs(t)) / (1 + np.exp(-np.abs(t))) * (self.high - self.low)
            return np.where(t < 0, self.low + share, self.high - share)

    def log_slope(self, t: Array) -> Array | float:
        """log dy/dt."""
        if self.whole:
            return 0.0
        if self.high == np.inf:
            return t
        if self.low == -np.inf:
            return -t
        return np.log(self.high - self.low) - np.abs(t) - 2 * np.log1p(np.exp(-np.abs(t)))

    def inside(self, y: Array) -> Array:
        """Strictly between the ends, where rounding has put some of y on one."""
        return np.clip(y, np.nextafter(self.low, np.inf), np.nextafter(self.high, -np.inf))


def _cells(density: LogDensity, slack: Array) -> tuple[Array, Array, Array, Array]:
    """(row, left end, right end, mass) of all rows' cells; on each a Gauss rule is exact to the row's slack, (n,)."""
    n = len(slack)
    reach = np.full(n, 4.0)
    every = np.arange(n)
    for _ in range(8):  # sinh overflows at 710
        far = np.maximum(density(every, reach), density(every, -reach)) > TAIL
        reach[far] = np.minimum(reach[far] * 2, 700.0)
    row = np.repeat(every, CELLS)
    step = 2 * reach[row] / CELLS
    left = -reach[row] + step * np.tile(np.arange(CELLS), n)
    right = left + step
    found = []
    whole = _gauss(density, row, left, right)
    for depth in range(DEEPEST):
        middle = (left + right) / 2
        first, second = _gauss(density, row, left, middle), _gauss(density, row, middle, right)
        good = (np.abs(first + second - whole) <= slack[row]) | (depth == DEEPEST - 1)
        for a, b, mass in ((left, middle, first), (middle, right, second)):
            found.append((row[good], a[good], b[good], mass[good]))
        bad = ~good
        row, whole = np.tile(row[bad], 2), np.concatenate([first[bad], second[bad]])
        left, right = np.concatenate([left[bad], middle[bad]]), np.concatenate([middle[bad], right[bad]])
        if not len(row):
            break
        if len(row) > 200 * n + 10_000:
            raise InputError("model: expected a density given the label that can be integrated, got one too rough")
    return tuple(np.concatenate(v) for v in zip(*found, strict=True))  # type: ignore[return-value]


def _gauss(density: LogDensity, row: Array, left: Array, right: Array) -> Array:
    """∫ density over [left, right], (n,)."""
    middle, width = (left + right) / 2, right - left
    total = np.zeros(len(row))
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        total += weight * density(row, middle + node * width)
    return total * width


def _within(density: LogDensity, left: Array, right: Array, mass: Array) -> Array:
    """t in [left, right] up to which row i has that mass from `left` on: Newton's steps, bisection where they leave."""
    row, a = np.arange(len(left)), left
    low, high = left, right
    t = (low + high) / 2
    for _ in range(80):
        excess = _gauss(density, row, a, t) - mass
        low, high = np.where(excess < 0, t, low), np.where(excess < 0, high, t)
        with np.errstate(all="ignore"):
            newton = t - excess / density(row, t)
        inside = (newton > low) & (newton < high)
        ahead = np.where(inside, newton, (low + high) / 2)
        if np.all(np.abs(ahead - t) <= 1e-12 * (1 + np.abs(t))):
            break
        t = ahead
    return t


# Modes ---------------------------------------------------------------------------------------------------------------


def _ladder(lowest: int, highest: int) -> Array:
    """2^lowest … 2^highest, `OCTAVES` points each."""
    return 2.0 ** np.arange(lowest, highest + 1 / OCTAVES, 1 / OCTAVES)


def _mode(log_p: LogDensity, n: int, grid: Array) -> Array:
    """Where each row's log p is largest, (n,): the best of the grid, then golden sections between its neighbours."""
    every = np.arange(n)
    values = log_p(np.repeat(every, len(grid)), np.tile(grid, n)).reshape(n, -1)
    best = np.argmax(values, axis=1)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, len(grid) - 1)]
    a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_a, at_b = log_p(every, a), log_p(every, b)
    for _ in range(60):
        keep = at_a > at_b
        low, high = np.where(keep, low, a), np.where(keep, b, high)
        a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        at_a, at_b = log_p(every, a), log_p(every, b)
    middle, start = (low + high) / 2, grid[best]
    return np.where(log_p(every, start) > log_p(every, middle), start, middle)
