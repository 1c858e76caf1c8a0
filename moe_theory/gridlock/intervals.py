"""Intervals of success rates."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from moe_theory.errors import InputError
from moe_theory.validation import Array, real_array, unit_interval


def wilson(successes: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a probability (J. Am. Stat. Assoc. 22, 1927): all p with (p̂ - p)² <= z² p(1-p)/trials.

    Neither need be whole (an effective number of trials). Raises InputError for trials <= 0 or successes outside.

    >>> [round(end, 4) for end in wilson(40, 40)]
    [0.9124, 1.0]
    """
    count, total = float(real_array("successes", successes, ndim=0)), float(real_array("trials", trials, ndim=0))
    if total <= 0:
        raise InputError(f"trials: expected a number > 0, got {total:g}")
    if not 0 <= count <= total:
        raise InputError(f"successes: expected a number between 0 and {total:g}, got {count:g}")
    z2, p = float(ndtri(0.5 + unit_interval("level", level) / 2)) ** 2, count / total
    centre, half = p + z2 / (2 * total), np.sqrt(z2 * (p * (1 - p) / total + z2 / (4 * total**2)))
    low, high = (centre - half) / (1 + z2 / total), (centre + half) / (1 + z2 / total)
    return 0.0 if count == 0 else float(low), 1.0 if count == total else float(high)


def clustered(successes: Array, trials: Array, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a rate over clusters: successes (c,) in trials (c,), here the starts of c truths.

    The number of trials is divided by the design effect, the variance of the rate between clusters (linearised ratio)
    over the binomial one, held between 1 and trials per cluster; where all succeed or all fail it cannot be seen, and
    a cluster counts as one trial (Korn and Graubard, Survey Methodology 24, 1998, with Wilson's for their interval).
    """
    s, m = real_array("successes", successes, ndim=1), real_array("trials", trials, ndim=1)
    if s.shape != m.shape or len(s) == 0 or np.any(m <= 0) or np.any(s < 0) or np.any(s > m):
        raise InputError(
            "successes: expected numbers between 0 and the trials of each cluster, of which there are some"
        )
    c, total, p = len(s), float(np.sum(m)), float(np.sum(s) / np.sum(m))
    effect = total / c
    if 0 < p < 1 and c > 1:
        between = c / (c - 1) * float(np.sum((s - p * m) ** 2)) / total**2
        effect = float(np.clip(between / (p * (1 - p) / total), 1.0, total / c))
    trials_left = total / effect
    return wilson(p * trials_left, trials_left, level)


def more_often(successes: ArrayLike, rivals: ArrayLike, runs: int) -> float:
    """Exact p-value of "the method succeeds more often than its rival" over truths: one run of the method, successes
    (c,) of 0 or 1, and `runs` of the rival, rivals (c,) of which succeed, on each of c truths.

    If on a truth all runs were alike, each would as likely be the method's: given how many of the 1 + runs succeeded,
    its success has that share for probability, independently over truths. The p-value is that of as many successes or
    more (the exact conditional test of Cochran, Mantel and Haenszel; for one rival run McNemar's).

    >>> round(more_often([1, 1, 1, 1, 1], [0, 0, 0, 0, 0], 1) * 32)
    1
    """
    own, other = real_array("successes", successes, ndim=1), real_array("rivals", rivals, ndim=1)
    if own.shape != other.shape or np.any((own != 0) & (own != 1)) or np.any((other < 0) | (other > runs)):
        raise InputError(f"successes: expected a 0 or 1, and rivals: 0 to {runs}, for each truth")
    law = np.ones(1)  # of the number of successes
    for p in (own + other) / (1 + runs):
        law = np.convolve(law, [1 - p, p])
    return float(min(1.0, np.sum(law[int(own.sum()) :])))
