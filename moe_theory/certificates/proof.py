"""The proof of a certificate's statements about its data, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.linalg
from flint import arb, arb_mat, fmpq

from moe_theory.certificates.ball_rows import Cell, Rows
from moe_theory.certificates.ball_sums import Sums, gradient, sums_at, sums_over
from moe_theory.certificates.balls import (
    block_diagonal,
    congruence,
    fraction,
    identity,
    inverse_cholesky,
    least_eigenvalue,
    matrix,
    midpoints,
    positive_definite,
    stays_definite,
)
from moe_theory.certificates.contents import Rejected, Statement
from moe_theory.certificates.limits import Cost, Deadline, measured

NEAR = fmpq(1, 10**8)  # of the largest eigenvalue found


class Proof:
    """statement: what is to be proved about the rows. proved: grows as statements are proved. deadline: until when.

    cells: the cut region's. passes: over the rows.
    """

    def __init__(
        self,
        statement: Statement,
        rows: Rows,
        proved: list[tuple[str, float]],
        progress: Callable[[int, int], None] | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        self.s, self.proved, self.deadline = statement, proved, deadline or Deadline()
        self.level = arb(1 - fraction(statement.alpha))  # which lambda_upper is, rounded
        self.centre = arb_mat([list(row) for row in statement.centre])
        self.factor = None
        if statement.factor is not None:
            self.factor = [arb_mat([list(row) for row in block]) for block in statement.factor]
        self.m, self.d = len(statement.centre), len(statement.centre[0])
        self.p = self.m * self.d
        cells = list(self._cells()) if statement.cuts else []
        self.cells, self.passes, done = cells, 4 + len(cells), itertools.count(1)
        total = self.passes * rows.count
        tell = (lambda: progress(min(next(done), total), total)) if progress else rows.tell
        self.rows = replace(rows, tell=tell, check=self.deadline.check)

    def cost(self) -> Cost:
        """What the proof costs, by one block of rows and one product of matrices: of those a cell takes some for every
        coordinate, and some more for every corner of its cut ones."""
        self.deadline.statement = "what the proof costs"
        whole = Cell(self.centre, {}, arb(self.s.r))
        first, made = self.rows.first(), []
        block = measured(lambda: made.append(sums_over(first, whole, self.factor, self.s.method)))
        product = measured(lambda: congruence(made[0].complete_low, made[0].missing))
        cells, linear = max(len(self.cells), 1), 4 * self.p * (self.s.method == "taylor")
        seconds = self.passes * self.rows.count * block + cells * (linear + 3 * 2 ** len(self.s.cuts)) * product
        return Cost(len(self.rows.y), self.passes, cells, seconds)

    def run(self) -> None:
        """Rejected with the first statement that could not be proved."""
        s, self.deadline.statement = self.s, "stationary.gradient"
        self._gradient()
        self.deadline.statement = "found.lambda"
        self._found()
        self.deadline.statement = "curvature"
        whole = Cell(self.centre, {}, arb(s.r))
        sums = sums_over(self.rows, whole, self.factor, s.method)
        self._curvature(whole, sums)
        self.deadline.statement = "bound.lambda_upper"
        if not s.cuts:
            self._convex(sums, whole, "")
        for number, cell in enumerate(self.cells):
            here = f" in cell {number + 1} of {len(self.cells)}"
            self.deadline.statement = f"bound.lambda_upper{here}"
            self._convex(sums_over(self.rows, cell, self.factor, s.method, whole), cell, here)
        self._add("λ_max(M) on Θ, less than", s.lam)
        self._add("strong convexity of L relative to A on Θ, α", s.alpha)
        self._add("distance of the one stationary point from the centre, at most", s.e)
        self._add("B_A(θ̂‖θ) from which EM converges, less than", s.b)
        if s.r0 > 0:
            self._add("distance from the centre from which EM converges, at most", s.r0)

    def _add(self, statement: str, value: float) -> None:
        self.proved.append((statement, value))

    def _gradient(self) -> None:
        """ε >= ‖G'∇L(c)‖."""
        slope = gradient(self.rows, self.centre)
        if self.factor is not None:
            slope = arb_mat(
                [(arb_mat([row]) * block).tolist()[0] for row, block in zip(slope.tolist(), self.factor, strict=True)]
            )
        norm = sum((v * v for v in slope.entries()), arb(0)).sqrt()
        if not norm <= arb(self.s.epsilon):  # true of every member, or there is no proof (`balls`)
            raise Rejected(
                f"stationary.gradient: expected at least ‖G'∇L(c)‖ = {float(norm):.17g}, got {self.s.epsilon!r}"
            )
        self._add("‖G'∇L(c)‖, at most", self.s.epsilon)

    def _found(self) -> None:
        """θ_f ∈ Θ, and λ_max(M(θ_f)) within 1e-8 of λ_f."""
        s = self.s
        theta = arb_mat([list(row) for row in s.found_theta])
        self._inside()
        sums = sums_at(self.rows, theta)
        low, high = arb(fraction(s.found) * (1 - NEAR)), arb(fraction(s.found) * (1 + NEAR))
        if not positive_definite(sums.complete_low * high - sums.missing):
            raise Rejected(
                f"found.lambda: λ_max(M) at found.theta is not proved to be less than {s.found!r} (1 + 1e-8)"
            )
        u = matrix(_top_vector(midpoints(sums.missing), midpoints(sums.complete_low)))
        value = (u.transpose() * (sums.missing - sums.complete_low * low) * u)[0, 0]
        if not value > 0:
            raise Rejected(
                f"found.lambda: λ_max(M) at found.theta is not proved to be more than {s.found!r} (1 - 1e-8)"
            )
        self._add("λ_max(M) at a point of Θ, to 1e-8", s.found)

    def _inside(self) -> None:
        """θ_f = c + Gz with ‖z‖ <= r, by exact subtraction."""
        s, square = self.s, fmpq(0)
        away = [
            [fraction(v) - fraction(c) for v, c in zip(*rows, strict=True)]
            for rows in zip(s.found_theta, s.centre, strict=True)
        ]
        if self.factor is None:
            inside = sum((v * v for row in away for v in row), square) <= fraction(s.r) ** 2
        else:
            try:
                moves = [
                    block.solve(arb_mat([[arb(v)] for v in row])) for row, block in zip(away, self.factor, strict=True)
                ]
            except ZeroDivisionError:
                raise Rejected("region.factor: expected invertible matrices, one is not proved to be") from None
            inside = sum((v * v for z in moves for v in z.entries()), arb(0)) <= arb(fraction(s.r) ** 2)
        if not inside:
            raise Rejected("found.theta: not proved to lie in the region")

    def _curvature(self, whole: Cell, sums: Sums) -> None:
        """(b): μ 1 ⪯ G'A''G on Θ, by the certificate's method, else by the other; G'A''G ⪯ ν 1 for ‖z‖ <= within."""
        s = self.s
        if not self._above(sums, s.mu):
            method = "taylor" if s.method == "worst-case" else "worst-case"
            other = sums_over(replace(self.rows, tell=lambda: None), whole, self.factor, method)
            if not self._above(other, s.mu):
                bound = least_eigenvalue(midpoints(self._scaled(sums.complete_low)))
                raise Rejected(
                    f"curvature.lower: {s.mu!r} is not proved; without the linear terms the bound is about {bound:.9g}"
                )
        self._add("curvature G'∇²A G on Θ, at least", s.mu)
        near = sums_over(self.rows, Cell(self.centre, {}, arb(s.within)), self.factor, "worst-case")
        scaled = self._scaled(near.complete_high)
        if not positive_definite(identity(self.p, arb(s.nu)) - scaled):
            bound = -least_eigenvalue(midpoints(-scaled))
            raise Rejected(f"curvature.upper: {s.nu!r} is not proved; the bound is about {bound:.9g}")
        self._add(f"curvature G'∇²A G within {s.within:.6g} of the centre, at most", s.nu)

    def _above(self, sums: Sums, level: float) -> bool:
        """G'A''G - level ≻ 0 on Θ."""
        base = self._scaled(sums.complete_low) - identity(self.p, arb(level))
        if not sums.third_gates:
            return positive_definite(base)
        terms = lambda: (self._scaled(t) for t in sums.derivatives(self.factor, arb(1), with_missing=False))
        radius = arb(self.s.r)
        check = self.deadline.check
        if stays_definite(base, (), terms, radius, check):
            return True
        guess = inverse_cholesky(midpoints(base))
        if guess is None:
            return False
        factor = matrix(guess)
        return stays_definite(
            congruence(factor, base), (), lambda: (congruence(factor, t) for t in terms()), radius, check
        )

    def _scaled(self, balls: Any) -> Any:
        """G' · G."""
        return balls if self.factor is None else congruence(block_diagonal(self.factor).transpose(), balls)

    def _convex(self, sums: Sums, cell: Cell, where: str) -> None:
        """(a): λA'' - I ≻ 0 on the cell."""
        base = sums.complete_low * self.level - sums.missing
        guess = midpoints(base)
        factor = inverse_cholesky(guess)
        if factor is None or not self._stays_convex(sums, cell, base, matrix(factor)):
            least = least_eigenvalue(guess)
            what = "even without the linear terms" if factor is None else "the linear terms are too large"
            raise Rejected(
                f"bound.lambda_upper: λ_max(M) < {self.s.lam!r} is not proved{where} by method {self.s.method}"
                + (f": {what} (least eigenvalue about {least:.3g} at the centre)" if np.isfinite(least) else "")
            )

    def _stays_convex(self, sums: Sums, cell: Cell, base: Any, factor: Any) -> bool:
        if not sums.third_missing:
            return positive_definite(base)
        terms = lambda: (congruence(factor, t) for t in sums.derivatives(self.factor, self.level, with_missing=True))
        along = [(cell.half[k], t) for k, t in enumerate(terms()) if k in cell.half] if cell.half else []
        rest = lambda: (t for k, t in enumerate(terms()) if k not in cell.half)
        return stays_definite(congruence(factor, base), along, rest, cell.rest, self.deadline.check)

    def _cells(self) -> Iterator[Cell]:
        """The cut region's cells that meet it: on a cut coordinate N equal parts of [-r, r]."""
        s = self.s
        r = fraction(s.r)
        for places in itertools.product(*(range(pieces) for _, pieces in s.cuts)):
            half = {k: r / n for k, n in s.cuts}
            middle = {k: r * (2 * i + 1 - n) / n for i, (k, n) in zip(places, s.cuts, strict=True)}
            nearest = (max(abs(middle[k]) - half[k], fmpq(0)) for k in half)
            left = r**2 - sum((v * v for v in nearest), fmpq(0))
            if left < 0:
                continue
            yield Cell(self._at(middle), {k: arb(h) for k, h in half.items()}, arb(left).nonnegative_part().sqrt())

    def _at(self, middle: dict[int, Any]) -> Any:
        """c + Gm, (m, d), for m on some coordinates."""
        shift = [[arb(middle.get(a * self.d + j, fmpq(0))) for j in range(self.d)] for a in range(self.m)]
        if self.factor is not None:
            shift = [
                (block * arb_mat([[v] for v in row])).entries() for row, block in zip(shift, self.factor, strict=True)
            ]
        return self.centre + arb_mat(shift)


def _top_vector(missing: Any, complete: Any) -> Any:
    """About the top eigenvector of M, (p, 1); zeros where floating point finds none."""
    with np.errstate(all="ignore"):
        factor = inverse_cholesky(complete)
        if factor is None or not np.all(np.isfinite(missing)):
            return np.zeros((len(complete), 1))
        inner = factor @ missing @ factor.T
        if not np.all(np.isfinite(inner)):
            return np.zeros((len(complete), 1))
        vectors = scipy.linalg.eigh((inner + inner.T) / 2)[1]
        return factor.T @ vectors[:, -1:]
