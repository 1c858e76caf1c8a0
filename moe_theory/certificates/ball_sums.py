"""Sums over rows in balls: gradient, information matrices and bounds on them over a region.

A row's missing information is q(τ) vv' with v = Δs ⊗ x, a gate's complete information κ q(t) gg' with g = l ⊗ x,
q = σ'. So all sums are Σ_i c_i x x' and Σ_i c_i x ⊗ x ⊗ x for a few coefficients c, the latter for third derivatives.
Every coefficient is an exact formula evaluated in balls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

from flint import arb, arb_mat

from moe_theory.certificates.ball_bounds import above, below, ends, expit, variance
from moe_theory.certificates.ball_formulas import Column, Formulas
from moe_theory.certificates.ball_rows import Block, Cell, Rows, columns


def gradient(rows: Rows, theta: Any) -> Any:
    """∇L(θ) = Σ ω (∇A_x(η) - s_0 - σ(τ) Δs) ⊗ x, (m, d) balls, for θ (m, d) balls."""
    m, scales, constant = rows.formulas.m, rows.formulas.scales(), rows.formulas.constant()
    total = arb_mat(m, rows.x.shape[1])
    for block in rows.blocks():
        eta = block.predictors(theta)
        second = [expit(t) for t in block.logits(eta)]
        gates = [[expit(t) for t in column] for column in block.gates(eta, scales)]
        residuals = []
        for a in range(m):
            column = [
                -s - p * v for s, p, v in zip(block.terms.statistic[a], second, block.terms.delta[a], strict=True)
            ]
            for b in range(m):
                if not constant[a][b].is_zero():
                    column = [r + constant[a][b] * v for r, v in zip(column, eta[b], strict=True)]
            for (kappa, slope), gate in zip(scales, gates, strict=True):
                if not slope[a].is_zero():
                    column = [r + kappa * slope[a] * g for r, g in zip(column, gate, strict=True)]
            residuals.append([w * r for w, r in zip(block.weight, column, strict=True)])
        total = total + arb_mat(residuals) * block.x
    return total


@dataclass(frozen=True)
class Sums:
    """I or an upper bound on it; A'' or a lower and an upper bound, (p, p) balls; and, for the third derivatives,
    Σ ω q'(τ) Δs_a Δs_b Δs_c x ⊗ xx' by (a <= b <= c) and Σ ω κ q'(t) x ⊗ xx' by gate, (d, d(d+1)/2) each: a column per
    pair of features.
    """

    formulas: Formulas
    d: int
    missing: Any
    complete_low: Any
    complete_high: Any
    third_missing: dict[tuple[int, ...], Any]
    third_gates: list[Any]

    def derivatives(self, factor: Sequence[Any] | None, lam: Any, with_missing: bool) -> Iterator[Any]:
        """∂/∂z_j of λA'' - I (or of λA'' alone) at θ + Gz, a (p, p) matrix for every j; factor: G's blocks, (d, d)."""
        m, d, scales = self.formulas.m, self.d, self.formulas.scales()
        pairs = list(combinations_with_replacement(range(m), 2))
        for a in range(m):
            blocks = []
            for b, c in pairs:
                total = arb_mat(d, d * (d + 1) // 2)
                for (_, slope), third in zip(scales, self.third_gates, strict=True):
                    size = slope[a] * slope[b] * slope[c]
                    if not size.is_zero():
                        total = total + third * (lam * size)
                if with_missing:
                    total = total - self.third_missing[tuple(sorted((a, b, c)))]
                blocks.append((total if factor is None else factor[a].transpose() * total).tolist())
            for j in range(d):
                yield _assembled({pair: rows[j] for pair, rows in zip(pairs, blocks, strict=True)}, m, d)


def sums_at(rows: Rows, theta: Any) -> Sums:
    """I(θ) and A''(θ), the latter as both of its bounds; no third derivatives."""

    def coefficients(block: Block, scales: Sequence[tuple[Any, list[Any]]]) -> _Coefficients:
        eta = block.predictors(theta)
        values = [[variance(t) for t in column] for column in block.gates(eta, scales)]
        return _Coefficients([variance(t) for t in block.logits(eta)], values, values, None, None)

    return _summed(rows, coefficients)


def sums_over(rows: Rows, cell: Cell, factor: Sequence[Any] | None, method: str, whole: Cell | None = None) -> Sums:
    """Bounds over the cell: "worst-case" I⁺ ⪰ I, A⁻ ⪯ A'' ⪯ A⁺ everywhere; "taylor" the first two up to linear terms,
    whose third derivatives come along. whole: what the cell is a cell of; nothing outside of it matters.
    """
    reach = Reach(cell, factor)
    around = None if whole is None else Reach(whole, factor)

    def coefficients(block: Block, scales: Sequence[tuple[Any, list[Any]]]) -> _Coefficients:
        eta = block.predictors(cell.theta)
        logits, gates = block.logits(eta), block.gates(eta, scales)
        intervals = _intervals(block, logits, gates, reach, scales)
        if whole is not None and around is not None:
            there = block.predictors(whole.theta)
            outer = _intervals(block, block.logits(there), block.gates(there, scales), around, scales)
            intervals = [
                [(a.max(c), b.min(e)) for (a, b), (c, e) in zip(*pair, strict=True)]
                for pair in zip(intervals, outer, strict=True)
            ]
        own, at_gates = intervals[0], intervals[1:]
        highs = [[ends(*interval)[1] for interval in column] for column in at_gates]
        if method == "worst-case":
            lows = [[ends(*interval)[0] for interval in column] for column in at_gates]
            return _Coefficients([ends(*interval)[1] for interval in own], lows, highs, None, None)
        label = [above(t, *interval) for t, interval in zip(logits, own, strict=True)]
        lower = [
            [below(t, *interval) for t, interval in zip(*pair, strict=True)]
            for pair in zip(gates, at_gates, strict=True)
        ]
        return _Coefficients(
            [constant for constant, _ in label],
            [[constant for constant, _ in column] for column in lower],
            highs,
            [slope for _, slope in label],
            [[slope for _, slope in column] for column in lower],
        )

    return _summed(rows, coefficients)


def _intervals(
    block: Block, logits: Column, gates: Sequence[Column], reach: Reach, scales: Sequence[tuple[Any, list[Any]]]
) -> list[list[tuple[Any, Any]]]:
    """Where the logits, then every gate's arguments, may be: a (low, high) per row."""
    reached = reach.of(block)
    away = [reached(block.terms.delta), *(reached([[s] * len(logits) for s in slope]) for _, slope in scales)]
    return [
        [(t - rho, t + rho) for t, rho in zip(column, moves, strict=True)]
        for column, moves in zip([logits, *gates], away, strict=True)
    ]


class Reach:
    """How far a row's arguments move in a cell: |w'(θ - centre)| <= Σ_k h_k |(G'w)_k| + rest ‖the rest of G'w‖."""

    def __init__(self, cell: Cell, factor: Sequence[Any] | None) -> None:
        self.cell, self.factor = cell, factor

    def of(self, block: Block) -> Callable[[Sequence[Column]], Column]:
        """The bound of every row as a function of w's coefficients (m columns), w = coefficients ⊗ x."""
        m, d = self.cell.theta.nrows(), len(block.columns)
        moved = [block.columns if self.factor is None else columns(block.x * self.factor[a]) for a in range(m)]
        squares: list[Column] = []
        for a in range(m):
            if a and self.factor is None and not self.cell.half:
                squares.append(squares[0])
                continue
            total = [arb(0)] * len(block.weight)
            for j in range(d):
                if a * d + j not in self.cell.half:
                    total = [t + v * v for t, v in zip(total, moved[a][j], strict=True)]
            squares.append(total)

        def reached(coefficients: Sequence[Column]) -> Column:
            total = [arb(0)] * len(block.weight)
            for coefficient, square in zip(coefficients, squares, strict=True):
                total = [t + c * c * s for t, c, s in zip(total, coefficient, square, strict=True)]
            # Every summand is a square: what a ball has below 0 is rounding.
            total = [self.cell.rest * t.nonnegative_part().sqrt() for t in total]
            for k, h in self.cell.half.items():
                a, j = divmod(k, d)
                total = [t + h * abs(c * v) for t, c, v in zip(total, coefficients[a], moved[a][j], strict=True)]
            return total

        return reached


@dataclass(frozen=True)
class _Coefficients:
    """Per row, without weights and κ: of the missing information, the gates' lower and upper ones, and the slopes."""

    missing: Column
    low: list[Column]
    high: list[Column]
    slope: Column | None
    slopes: list[Column] | None


def _summed(rows: Rows, coefficients: Callable[[Block, Sequence[tuple[Any, list[Any]]]], _Coefficients]) -> Sums:
    formulas, d, scales = rows.formulas, rows.x.shape[1], rows.formulas.scales()
    m = formulas.m
    pairs = list(combinations_with_replacement(range(m), 2))
    triples = list(combinations_with_replacement(range(m), 3))
    total: Any = None
    third = False
    for block in rows.blocks():
        c = coefficients(block, scales)
        weigh = lambda column, block=block: [w * v for w, v in zip(block.weight, column, strict=True)]
        times = lambda left, right: [a * b for a, b in zip(left, right, strict=True)]
        delta = block.terms.delta
        products = {(a, b): times(delta[a], delta[b]) for a, b in pairs}
        missing = weigh(c.missing)
        left = [block.weight, *(times(missing, products[pair]) for pair in pairs)]
        left += [[kappa * v for v in weigh(column)] for (kappa, _), column in zip(scales, c.low, strict=True)]
        left += [[kappa * v for v in weigh(column)] for (kappa, _), column in zip(scales, c.high, strict=True)]
        if c.slope is not None and c.slopes is not None:
            third = True
            slope = weigh(c.slope)
            cubes = [times(times(slope, products[a, b]), delta[e]) for a, b, e in triples]
            cubes += [[kappa * v for v in weigh(column)] for (kappa, _), column in zip(scales, c.slopes, strict=True)]
            left += [times(x, cube) for cube in cubes for x in block.columns]
        squares = []
        for i in range(d):
            rows.check()
            squares += [times(block.columns[i], block.columns[j]) for j in range(i, d)]
        product = arb_mat(left) * arb_mat(squares).transpose()
        total = product if total is None else total + product
    table = total.tolist()
    entries = iter(table)
    plain = next(entries)
    missing_blocks = {pair: next(entries) for pair in pairs}
    lows, highs = ([next(entries) for _ in scales] for _ in range(2))
    chunk = lambda: arb_mat([next(entries) for _ in range(d)])
    return Sums(
        formulas,
        d,
        _assembled(missing_blocks, m, d),
        _complete(formulas, plain, lows, d),
        _complete(formulas, plain, highs, d),
        {triple: chunk() for triple in triples} if third else {},
        [chunk() for _ in scales] if third else [],
    )


def _complete(formulas: Formulas, plain: Column, gates: Sequence[Column], d: int) -> Any:
    """C ⊗ Σ ω xx' + Σ_k (l_k l_k') ⊗ gates[k], from sums in the distinct pairs of features."""
    constant, scales = formulas.constant(), formulas.scales()
    blocks = {}
    for a, b in combinations_with_replacement(range(formulas.m), 2):
        total = [constant[a][b] * v for v in plain]
        for (_, slope), gate in zip(scales, gates, strict=True):
            if not (slope[a] * slope[b]).is_zero():
                total = [t + slope[a] * slope[b] * v for t, v in zip(total, gate, strict=True)]
        blocks[a, b] = total
    return _assembled(blocks, formulas.m, d)


def _assembled(blocks: dict[tuple[int, int], Column], m: int, d: int) -> Any:
    """The symmetric (m d, m d) matrix of symmetric (d, d) blocks (a <= b), each in its distinct pairs of features."""
    index = {}
    for position, (i, j) in enumerate(combinations_with_replacement(range(d), 2)):
        index[i, j] = index[j, i] = position
    order = [[index[i, j] for j in range(d)] for i in range(d)]
    rows = []
    for a in range(m):
        across = [blocks[min(a, b), max(a, b)] for b in range(m)]
        rows += [[column[k] for column in across for k in order[i]] for i in range(d)]
    return arb_mat(rows)
