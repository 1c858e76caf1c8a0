"""What comes in: rows and weights, columns by index or name, seeds."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from moe_theory.algorithms.starts import STARTS as KINDS
from moe_theory.errors import DegenerateError, InputError
from moe_theory.validation import Array, real_array, whole_number

SHOWN = 5  # rows named in a message


def weights_of(sample_weight: ArrayLike | None, n: int) -> Array:
    if sample_weight is None:
        return np.ones(n)
    weight = real_array("sample_weight", np.asarray(sample_weight), ndim=1)
    if weight.shape != (n,):
        raise InputError(f"sample_weight: expected shape ({n},), one number per row, got {weight.shape}")
    if np.min(weight) < 0 or not np.any(weight > 0):
        raise InputError(f"sample_weight: expected weights >= 0, not all of them zero, got least {np.min(weight):g}")
    return weight


def distinct(table: Array, weight: Array) -> tuple[Array, Array, Array]:
    """(the distinct rows with weight in lexicographic order, their weights, where each row is among them or -1)."""
    used = np.flatnonzero(weight > 0)
    order = used[np.lexsort(table[used].T[::-1])]
    ordered = table[order]
    fresh = np.append(True, np.any(ordered[1:] != ordered[:-1], axis=1))
    group = np.cumsum(fresh) - 1
    place = np.full(len(table), -1)
    place[order] = group
    return ordered[fresh], np.bincount(group, weights=weight[order]), place


def names_of(estimator: Any) -> tuple[str, ...]:
    """Of X's columns; x0, x1, … where they have none."""
    return tuple(getattr(estimator, "feature_names_in_", [f"x{i}" for i in range(estimator.n_features_in_)]))


def columns_of(estimator: Any, argument: str, names: tuple[str, ...]) -> tuple[int, ...]:
    """Where the columns that a parameter lists are in X."""
    wanted, d = getattr(estimator, argument), len(names)
    if wanted is None:
        return tuple(range(d))
    named = hasattr(estimator, "feature_names_in_")
    expected = f"{argument}: expected a list of columns, indices 0 … {d - 1}" + f" or names {', '.join(names)}" * named
    if isinstance(wanted, str) or not np.iterable(wanted):
        raise InputError(f"{expected}, got {wanted!r}")
    found = []
    for column in wanted:
        if isinstance(column, (int, np.integer)) and not isinstance(column, bool) and 0 <= column < d:
            found.append(int(column))
        elif isinstance(column, str) and named and column in names:
            found.append(names.index(column))
        else:
            raise InputError(f"{expected}, got {column!r}")
        if found[-1] in found[:-1]:
            raise InputError(f"{argument}: expected each column once, got {column!r} again")
    return tuple(found)


def kinds(init: str | Sequence[str]) -> tuple[str, ...]:
    kinds = (init,) if isinstance(init, str) else tuple(init) if np.iterable(init) else (init,)
    bad = [kind for kind in kinds if kind not in KINDS]
    if bad or not kinds:
        raise InputError(f"init: expected names among {', '.join(KINDS)}, got {bad[0] if bad else 'none'!r}")
    return kinds


def seed_of(random_state: Any) -> int:
    """A seed that follows from the state; None: a new one, and numpy's global state stays as it was."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, Integral):
        return whole_number("random_state", random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def told(error: DegenerateError, rows: Array | None = None) -> str:
    """The error's message, with places in experts_ and rows of X: the core counts from 1, and distinct rows."""
    if error.label is None:
        return str(error)
    where = ""
    if rows is not None:
        shown = ", ".join(map(str, rows[:SHOWN])) + (", …" if len(rows) > SHOWN else "")
        where = f", {len(rows)} rows of X ({shown})" if len(rows) else ", no rows"
    return f"experts_[{error.label - 1}]{where}: {str(error).partition(': ')[2]}"
