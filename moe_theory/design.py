"""Which features each predictor of a model sees: concomitant variables, offsets, parameters that do not vary with x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from moe_theory.errors import InputError
from moe_theory.validation import Array


@dataclass(frozen=True)
class Design:
    """θ is an (m, D) array over all D features of a table; of predictor j only the entries in `free[j]` are learnt.

    features: names of the D columns of x. free: per predictor the columns it sees, in order. offsets: per predictor
    the column added to it with coefficient 1, or None. All other entries of θ are 0.
    """

    features: tuple[str, ...]
    free: tuple[tuple[int, ...], ...]
    offsets: tuple[int | None, ...]

    @classmethod
    def of(
        cls,
        features: Sequence[str],
        predictors: Sequence[str],
        sees: Mapping[str, Sequence[str]],
        offsets: Mapping[str, str] | None = None,
    ) -> Design:
        """From names: `sees[predictor]` its features, `offsets[predictor]` its offset's column.

        Raises InputError for unknown names, repeated features, and a predictor that sees none and has no offset (with
        one it is given, not learnt).
        """
        names, offsets = tuple(features), offsets or {}
        if len(set(names)) != len(names):
            raise InputError(f"features: expected distinct names, got {', '.join(names)}")
        for given in (sees, offsets):
            unknown = [p for p in given if p not in predictors]
            if unknown:
                raise InputError(f"sees: expected predictors among {', '.join(predictors)}, got {unknown[0]!r}")

        def column(predictor: str, name: str) -> int:
            if name not in names:
                raise InputError(f"sees: expected features among {', '.join(names)} for {predictor}, got {name!r}")
            return names.index(name)

        free = []
        for p in predictors:
            columns = tuple(column(p, name) for name in sees.get(p, names))
            if not (columns or p in offsets) or len(set(columns)) != len(columns):
                raise InputError(
                    f"sees: expected distinct features for {p}, at least one, got {tuple(sees.get(p, ()))}"
                )
            free.append(columns)
        return cls(names, tuple(free), tuple(column(p, offsets[p]) if p in offsets else None for p in predictors))

    @cached_property
    def index(self) -> Array:
        """Positions of the learnt entries in the flattened (m, D) θ, predictor by predictor, (p,)."""
        d = len(self.features)
        return np.array([j * d + i for j, columns in enumerate(self.free) for i in columns], dtype=np.intp)

    @cached_property
    def template(self) -> Array:
        """θ with all learnt entries 0, (m, D)."""
        theta = np.zeros((len(self.free), len(self.features)))
        for j, i in enumerate(self.offsets):
            if i is not None:
                theta[j, i] = 1.0
        return theta
