"""Real data embedded in the package, so that the main job needs no network.

Old Faithful. 272 successive eruptions of the geyser in Yellowstone National Park: duration and the waiting time that
follows, in minutes (Härdle, Smoothing Techniques, Springer 1991; Azzalini and Bowman, Applied Statistics 39, 1990,
357-365; R's data set `faithful`). The waiting time falls into two groups, short and long, about 67 minutes apart from
it by some 13 minutes each way, and after a long one a short one is likely. So, with y the waiting time less 67 minutes
and x = (1, previous waiting time), a symmetric mixture of two linear experts makes sense: z is the group, x'β half the
distance of the groups, and the gate x'w says which group follows which. The noise scale is declared to be 6 minutes,
the spread within the groups. At a signal-to-noise ratio of about 2 the groups overlap little: λ_max is near 0.1, well
away from 1, and EM's contraction can be read off the dozen iterations it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moe_theory.datasets.table import read_csv
from moe_theory.validation import Array

OLD_FAITHFUL = Path(__file__).with_name("old_faithful.csv")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Features x (n, d), response y (n,), the features' names, the declared noise scale, a start for EM (m, d)."""

    name: str
    x: Array
    y: Array
    features: tuple[str, ...]
    sigma: float
    start: Array


def old_faithful() -> Dataset:
    """Old Faithful: waiting time less 67 minutes given the previous waiting time (271 rows)."""
    table = read_csv(OLD_FAITHFUL)
    y = table.column("waiting_centred")
    x = np.column_stack([np.ones(len(y)), table.column("previous_waiting")])
    # β: half the distance of the groups; w: as likely as not at the mean, falling.
    start = np.array([[10.0, 0.0], [3.5, -0.05]])
    return Dataset("Old Faithful", x, y, ("intercept", "previous_waiting"), 6.0, start)
