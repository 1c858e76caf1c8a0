"""The units in which a mixture is fitted: columns and response centred and scaled, and the way back to the user's.

With u = (x - m)/s for the features of a part (experts, gate) that has a constant to absorb the shift, u = x/s where it
has none, and v = (y - offset - c)/t for a normal response, the law of v given u is a mixture of the same model: its
parameters are an affine function of the user's, log p(y|x) = log p(v|u) - log t, and no digit is lost to a mean that is
far from 0. Means are taken in two steps, so that what is left of a column is the same to the last digit wherever it
stands. Scales are powers of 2, and what is near 0 is left there: then nothing is rounded, and θ is the user's to the
last digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.linalg

from moe_theory.algorithms.trace import Trace
from moe_theory.design import Design
from moe_theory.errors import InputError
from moe_theory.evaluation.layout import Layout
from moe_theory.evaluation.penalty import Penalty
from moe_theory.laws.rows import Block, Rows
from moe_theory.structure import Softmax
from moe_theory.validation import Array

CONSTANT = 1e-14  # of its mean: a standard deviation below which a column is constant but for rounding
FAR = 0.1  # of its mean: a standard deviation above which a column stays where it is


@dataclass(frozen=True, eq=False)
class Units:
    """An affine change of a table's D columns and of its response.

    design, structure, sigma: which entries of θ are learnt, which row is what, and the log sigmas' column. parts: the
    columns that experts and gate see. constants: each one's constant column, None without. high, low: the columns'
    means, in two parts, (D,); 0 where they are not centred. scale: (D,). offset: its column, None without. absorbed:
    whether it is taken off the response (of normal experts), v = (y - response - (offset - high) - level)/unit; else
    it stays in the predictors, and responses are the user's.
    """

    design: Design
    structure: Softmax
    sigma: int
    parts: tuple[Array, Array]
    constants: tuple[int | None, int | None]
    high: Array
    low: Array
    scale: Array
    offset: int | None = None
    absorbed: bool = False
    response: float = 0.0
    level: float = 0.0
    unit: float = 1.0

    @classmethod
    def of(
        cls,
        pieces: Sequence[Array | float],
        y: Array,
        weight: Array | None,
        design: Design,
        structure: Softmax,
        parts: tuple[Sequence[int], Sequence[int]],
        sigma: int,
        offset: int | None,
    ) -> Units:
        """From the table's columns, (n,) or a number each, the responses (n,) and weights (n,) (rows without do not
        count)."""
        used = slice(None) if weight is None else weight > 0
        share = None if weight is None else weight[used] / np.sum(weight)
        columns = [np.broadcast_to(np.asarray(p, dtype=float), y.shape) for p in pieces]
        held = [bool(np.all(c == c[0])) for c in columns]
        constants = [next((j for j in part if held[j] and columns[j][0] != 0), None) for part in parts]
        centred = {j for part, c in zip(parts, constants, strict=True) if c is not None for j in part if not held[j]}
        high, low, scale = np.zeros(len(columns)), np.zeros(len(columns)), np.ones(len(columns))
        for j, column in enumerate(columns):
            if held[j]:
                scale[j] = column[0] or 1.0
                continue
            if j in centred:
                high[j], low[j], scale[j] = centre(column[used], share)
            if j not in centred or not CONSTANT * abs(high[j]) < scale[j] < FAR * abs(high[j]):
                high[j], low[j], scale[j] = 0.0, 0.0, root_mean_square(column[used], share)
            scale[j] = power_of_two(scale[j])
        normal = structure.family == "gaussian"
        response, level, unit = 0.0, 0.0, 1.0
        if offset is not None:
            scale[offset], high[offset], low[offset] = 1.0, 0.0, 0.0
        if normal:
            left = y[used]
            if constants[0] is not None:
                response = centre(left, share)[0]
            left = left - response
            if offset is not None:
                if constants[0] is not None:
                    high[offset] = centre(columns[offset][used], share)[0]
                left = left - (columns[offset][used] - high[offset])
            if constants[0] is None:
                unit = root_mean_square(left, share)
            else:
                first, second, unit = centre(left, share)
                level = first + second
            unit = power_of_two(unit)
        places = (np.array(parts[0], dtype=np.intp), np.array(parts[1], dtype=np.intp))
        constant = (constants[0], constants[1])
        units = cls(design, structure, sigma, places, constant, high, low, scale, offset, normal)
        return replace(units, response=response, level=level, unit=unit)

    @property
    def log_unit(self) -> float:
        """What log p in these units exceeds that in the user's by."""
        return float(np.log(self.unit))

    # Rows ----------------------------------------------------------------------------------------------------

    def standardise(self, x: Array) -> None:
        """Bring the user's columns, (D, n), into these units, in place."""
        kept = None if self.offset is None or self.absorbed else x[self.offset].copy()
        x -= self.high[:, None]
        x -= self.low[:, None]
        x /= self.scale[:, None]
        if self.offset is not None:
            x[self.offset] = 0.0 if kept is None else kept

    def respond(self, y: Array, x: Array) -> Array:
        """The responses in these units, (n,), of the user's, with the user's columns, (D, n)."""
        return (y - self.response - self._apart(x) - self.level) / self.unit if self.absorbed else y

    def block(self, block: Block) -> Block:
        """The user's rows in these units; their responses too, if there are any."""
        y = self.respond(block.y, block.x) if len(block.y) else block.y
        x = np.array(block.x, dtype=float)
        self.standardise(x)
        return Block(x, y, block.weight)

    def means(self, means: Array, x: Array) -> Array:
        """Expected responses in the user's units, (n, k), of those in these, with the user's columns, (D, n)."""
        if not self.absorbed:
            return means
        return self.response + (np.atleast_1d(self._apart(x))[:, None] + (self.level + self.unit * means))

    def _apart(self, x: Array) -> Array | float:
        """Offsets less their mean, (n,)."""
        return 0.0 if self.offset is None else x[self.offset] - self.high[self.offset]

    # Parameters ----------------------------------------------------------------------------------------------

    def lift(self, local: Array) -> Array:
        """The user's θ, (m, D), of one in these units."""
        s, out = self.structure, local.copy()
        out[s.experts], out[s.gate] = local[s.experts] @ self.turn(0).T, local[s.gate] @ self.turn(1).T
        if self.constants[0] is not None:
            out[s.experts, self.constants[0]] += self._shift / self.scale[self.constants[0]]
        out[s.scales, self.sigma] += self.log_unit
        return out

    def project(self, theta: Array) -> Array:
        """The user's θ, (m, D), in these units."""
        s, out, shift = self.structure, theta.copy(), (self._shift, 0.0)
        for part, (rows, c) in enumerate(zip((s.experts, s.gate), self.constants, strict=True)):
            own, unit = self.parts[part], 1.0 if part else self.unit
            out[rows, own] = theta[rows, own] * self.scale[own] / unit
            if c is not None:
                moved = theta[rows, own] @ self.high[own] + theta[rows, own] @ self.low[own]
                out[rows, c] = (theta[rows, c] * self.scale[c] - shift[part] + moved) / unit
        out[s.scales, self.sigma] -= self.log_unit
        return out

    def turn(self, part: int) -> Array:
        """What takes coefficients of the experts (0) or the gate (1) to the user's but for a constant, (D, D)."""
        own, c = self.parts[part], self.constants[part]
        out = np.eye(len(self.scale))
        size = (1.0 if part else self.unit) / self.scale[own]
        out[own, own] = size
        if c is not None:
            out[c, own] -= size * (self.high[own] + self.low[own]) / self.scale[c]
        return out

    @property
    def _shift(self) -> float:
        """What the user's means of normal experts are where all coefficients in these units are 0, the offset 0."""
        return float(self.response + self.level - (0.0 if self.offset is None else self.high[self.offset]))

    @property
    def jacobian(self) -> Array:
        """∂ user's θ / ∂ θ in these units, on the learnt entries, (p, p)."""
        s, turns = self.structure, (self.turn(0), self.turn(1))
        blocks = []
        for j, columns in enumerate(self.design.free):
            rows = range(len(self.design.free))
            one = np.ones((1, 1)) if j in rows[s.scales] else turns[j in rows[s.gate]][np.ix_(columns, columns)]
            blocks.append(one)
        return np.asarray(scipy.linalg.block_diag(*blocks))

    # What comes from them ------------------------------------------------------------------------------------

    def penalty(self, penalty: Penalty) -> Penalty:
        """The same penalty on θ in these units."""
        return InUnits(penalty.ridge, penalty.sigma_floor / self.unit, penalty.intercepts, units=self)

    def told(self, trace: Trace) -> Trace:
        """A run in these units, as one whose L and θ are the user's."""
        return replace(trace, objective=trace.objective + self.log_unit, coordinates=self)


@dataclass(frozen=True)
class InUnits(Penalty):
    """A penalty stated in the user's units, of θ in others, in which sigma_floor is."""

    units: Units = field(kw_only=True)

    def forms(self, layout: Layout, rows: Rows) -> tuple[Array, Array]:
        """As `Penalty.forms`: those of the user's coefficients."""
        turn = lambda part, columns: self.units.turn(part)[columns][:, columns]
        turns = (turn(0, layout.experts), turn(1, layout.gate))
        experts, gate = (t.T @ form @ t for t, form in zip(turns, super().forms(layout, rows), strict=True))
        return experts, gate

    def weights(self, layout: Layout, rows: Rows, theta: Array) -> Array:
        """Not defined: the ridge is no sum of squares of these coefficients."""
        raise InputError("penalty: expected one on the coefficients themselves, got one in the user's units")


def centre(values: Array, share: Array | None) -> tuple[float, float, float]:
    """((n,) values' mean in two parts, their standard deviation), with weights of sum 1."""
    size = float(np.max(np.abs(values))) or 1.0
    high = size * mean(values / size, share)
    apart = values - high
    low = mean(apart, share)
    return high, low, root_mean_square(apart - low, share)


def root_mean_square(values: Array, share: Array | None) -> float:
    """Of (n,) values with weights of sum 1, whatever their size."""
    size = float(np.max(np.abs(values))) or 1.0
    return size * float(np.sqrt(mean((values / size) ** 2, share)))


def power_of_two(size: float) -> float:
    """The nearest, by which to divide is exact; 1 for 0."""
    return float(2.0 ** np.round(np.log2(size))) if size > 0 else 1.0


def mean(values: Array, share: Array | None) -> float:
    return float(np.mean(values) if share is None else share @ values)
