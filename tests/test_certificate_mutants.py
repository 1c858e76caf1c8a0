"""Mutants of maker and checker that would make a false certificate: each is killed by the claims' own check.

A mutant is a function's source with a piece of it replaced. To add one: a line in CHECKER or MAKER. These are none, as
nothing false follows: a linear term's sign turned round in both informations (a ball and a cell are symmetric), another
`TILT`, another t > 0 in the bound of the linear term (any will do).
"""

from __future__ import annotations

import functools
import importlib
import inspect
import textwrap
from types import CodeType
from typing import Any

import pytest

from moe_theory.claims import Setting
from moe_theory.claims.claim import judge
from proofs_checks import certificate_basin, certificate_sound, certificate_tight

# (function, what is replaced, by what)
CHECKER = [
    # linear algebra
    ("balls:stays_definite", "radius / (2 * arb(t))", "radius / (8 * arb(t))"),
    ("balls:stays_definite", "corner = corner - (", "corner = corner - arb(1) / 2 * ("),
    ("balls:stays_definite", "if not none:", "if False:"),
    ("balls:stays_definite", "(h * sign)", "h"),
    ("balls:stays_definite", "(h * sign)", "(h * sign / 2)"),
    ("balls:stays_definite", "square = square + term * term", "square = term * term"),
    ("balls:positive_definite", "row[i] > sum(", "row[i] > 0 * sum("),
    ("balls:positive_definite", "return _pivots(rows)", "return True"),
    ("balls:_pivots", "if not pivot > 0:", "if pivot <= -1:"),
    # a row's bounds
    ("ball_bounds:ends", ".nonnegative_part()", ""),
    ("ball_bounds:ends", "low.max(-high)", "low.max(high)"),
    ("ball_bounds:ends", "abs(low).max(abs(high))", "abs(low).min(abs(high))"),
    ("ball_bounds:variance", "(1 + e) ** 2", "(1 + e + e / 1000) ** 2"),
    ("ball_bounds:above", "return (constant, slope) if", "return (constant, -slope) if"),
    ("ball_bounds:below", "return (constant, slope) if", "return (constant, -slope) if"),
    ("ball_bounds:above", "(constant, slope) if constant", "(constant, slope / 2) if constant"),
    ("ball_bounds:above", "_, constant, slope = ", "constant, _, slope = "),
    ("ball_bounds:below", "constant, _, slope = ", "_, constant, slope = "),
    ("ball_bounds:above", "(high - t).max(t - low)", "(high - t).min(t - low) / 2"),
    ("ball_bounds:below", "(high - t).max(t - low)", "(high - t).min(t - low) / 2"),
    ("ball_bounds:expansion", "centre + square * low.min(0)", "centre"),
    ("ball_bounds:expansion", "centre + square * high.max(0)", "centre"),
    ("ball_bounds:expansion", "rho * rho / 32", "rho * rho / 64"),
    ("ball_bounds:expansion", "(7, 5, 3, 1)", "(7, 5, 3, 0)"),
    ("ball_bounds:expansion", "(rho / 4).exp()", "(rho / 8).exp()"),
    ("ball_bounds:curvature_range", "most = arb(fmpq(1, 24))", "most = at_near.max(at_far)"),
    ("ball_bounds:curvature_range", "at_near.min(at_far)", "at_far"),
    ("ball_bounds:curvature_range", "1 - 6 * q_near", "1 - 5 * q_near"),
    # sums
    ("ball_sums:Reach.of", "self.cell.rest * t", "self.cell.rest / 2 * t"),
    ("ball_sums:Reach.of", "t + h * abs", "t + h / 2 * abs"),
    ("ball_sums:Reach.of", "t + h * abs(c * v)", "t + h * c * v"),
    ("ball_sums:Reach.of", "t + v * v for", "t for"),
    ("ball_sums:_intervals", "(t - rho, t + rho)", "(t, t + rho)"),
    ("ball_sums:_intervals", "(t - rho, t + rho)", "(t - rho, t)"),
    ("ball_sums:sums_over", "(a.max(c), b.min(e))", "(a.max(c), a.max(c))"),
    ("ball_sums:sums_over", "ends(*interval)[1] for interval in own", "ends(*interval)[0] for interval in own"),
    ("ball_sums:sums_over", "lows = [[ends(*interval)[0]", "lows = [[ends(*interval)[1]"),
    ("ball_sums:sums_over", "highs = [[ends(*interval)[1]", "highs = [[ends(*interval)[0]"),
    ("ball_sums:Sums.derivatives", "total = total - self", "total = total + self"),
    ("ball_sums:Sums.derivatives", "(lam * size)", "(lam * size / 2)"),
    ("ball_sums:gradient", "-s - p * v", "-s - p * v / 2"),
    ("ball_sums:gradient", "residuals.append([w * r", "residuals.append([w * r / 2"),
    # the proof's statements
    ("proof:Proof._cells", "itertools.product(*(range(pieces)", "itertools.product(*(range(1, pieces)"),
    ("proof:Proof._cells", "range(pieces)", "range(pieces - 1)"),
    ("proof:Proof._cells", "range(pieces)", "[i for i in range(pieces) if i != pieces // 2]"),
    ("proof:Proof._cells", "half = {k: r / n", "half = {k: r / (2 * n)"),
    ("proof:Proof._cells", "(2 * i + 1 - n)", "(2 * i - n)"),
    ("proof:Proof._cells", "abs(middle[k]) - half[k]", "abs(middle[k]) + half[k]"),
    ("proof:Proof._cells", "if left < 0:", "if left < r**2 / 2:"),
    ("proof:Proof.run", "for number, cell in enumerate(self.cells):", "for number, cell in enumerate(self.cells[:1]):"),
    ("proof:Proof.run", "if not s.cuts:", "if False:"),
    ("proof:Proof._curvature", "if not self._above(sums, s.mu):", "if False:"),
    ("proof:Proof._curvature", "if not positive_definite(identity(self.p, arb(s.nu)) - scaled):", "if False:"),
    ("proof:Proof._curvature", "arb(s.within)", "arb(s.within) / 2"),
    ("proof:Proof._above", "identity(self.p, arb(level))", "identity(self.p, arb(level) / 2)"),
    ("proof:Proof._above", "radius = arb(self.s.r)", "radius = arb(self.s.r) / 2"),
    ("proof:Proof._scaled", "block_diagonal(self.factor).transpose()", "block_diagonal(self.factor).transpose() * 2"),
    ("proof:Proof._convex", "self.level", "(self.level * 2)"),
    ("proof:Proof._stays_convex", "cell.rest, self", "cell.rest / 2, self"),
    ("proof:Proof._stays_convex", "(cell.half[k], t)", "(cell.half[k] / 2, t)"),
    ("proof:Proof._found", "self._inside()", "pass"),
    # relations between numbers
    ("relations:check_relations", "if not 0 <= excess", "if not -NEAR * e <= excess"),
    ("relations:check_relations", "<= b <= divergence", "<= b <= (1 + NEAR) * divergence"),
    ("relations:check_relations", "(r - e) ** 2 / 2", "(r - e) ** 2"),
    ("relations:check_relations", "(r0 > 0 and not holds(r0)) or ", ""),
    ("relations:check_relations", "r0 + e <= within", "(r0 + e) * (1 - NEAR) <= within"),
    ("relations:check_relations", "1 - s.alpha != s.lam", "abs(1 - s.alpha - s.lam) > 1e-9"),
    ("relations:_check_box", "side**2 < square or", ""),
    ("relations:_check_box", "if side < 0 or side**2 < square", "if side**2 < square / 4"),
]  # fmt: skip
MAKER = [
    ("logistic:most", "np.maximum(np.abs(t) - reach, 0.0)", "np.abs(t)"),
    ("logistic:most", "np.maximum(np.abs(t) - reach, 0.0)", "np.abs(t) - reach"),
    ("logistic:least", "np.abs(t) + reach", "np.abs(t)"),
    ("logistic:remainder", "high += ", "high += 0 * "),
    ("logistic:remainder", "low += ", "low += 0 * "),
    ("logistic:remainder", "weight * np.maximum(np.where", "weight / 2 * np.maximum(np.where"),
    ("logistic:remainder", "((k + 1) / PIECES)", "(k / PIECES)"),
    ("logistic:remainder", "np.where(inside, 1 / 24, np.maximum(*ends))", "np.maximum(*ends)"),
    ("logistic:_third", "1 - 6 * v", "1 - 5 * v"),
    ("region:Region.spread", "np.abs(self.factor[a].T @ x)", "np.abs(self.factor[a].T @ x) / 2"),
    ("region:Region.spread", 'np.einsum("jn,jn->n", kept, kept)', 'np.einsum("jn,jn->n", kept, kept) / 4'),
    ("region:Region.spread", "box[k] = turned[j]", "box[k] = turned[j] / 2"),
    ("region:Region.cells", "(range(n) for n", "(range(1, n) for n"),
    ("region:Region.cells", "(range(n) for n", "(range(n - 1) for n"),
    ("region:Region.cells", "float(high - low) / 2", "float(high - low) / 4"),
    ("region:Region.cells", "middles.append(float((low + high) / 2))", "middles.append(float(low))"),
    ("region:Region.cells", "min(low * low, high * high)", "max(low * low, high * high)"),
    ("rows:Argument.on", "region.radius * np.sqrt", "region.radius / 2 * np.sqrt"),
    ("rows:Argument.on", "reach = reach + sum(", "reach = reach + 0 * sum("),
    ("rows:Argument.on", "np.maximum(low, around.low), np.minimum(high, around.high)", "self.value, self.value"),
    ("rows:centred", "2 * eta_error", "0 * eta_error"),
    ("rows:centred", "heap = score - first - p * change", "heap = (score - first - p * change) / 2"),
    ("bounds:_top", "np.where(better, tilt, 0.0)", "np.where(better, -tilt, 0.0)"),
    ("bounds:_low", "np.where(better, tilt, 0.0)", "np.where(better, -tilt, 0.0)"),
    ("bounds:_top", "np.where(better, tilt, 0.0)", "np.where(better, tilt / 2, 0.0)"),
    ("bounds:_top", "[1] * t.reach**2", "[0] * t.reach**2"),
    ("bounds:_low", "[0] * t.reach**2", "[1] * t.reach**2"),
    ("bounds:_sloping", "region.radius * g[:, inside]", "region.radius / 2 * g[:, inside]"),
    ("bounds:_sloping", "* np.array(region.halves)", "* np.array(region.halves) / 2"),
    ("bounds:above", "most(*t.on(region, spread).ends)", "least(*t.on(region, spread).ends)"),
    ("bounds:bounds", "change += weight", "change += 0 * weight"),
    ("forms:Congruent.least", "return min(", "return max("),
    ("forms:Congruent._corners", "(1.0, -1.0)", "(1.0,)"),
    ("forms:Congruent._least", "value - spread / (2 * t) - t / 2", "value - spread / (4 * t) - t / 4"),
    ("forms:Congruent._least", "value - spread / (2 * t) - t / 2", "value - t / 2"),
    ("forms:_square_sum", "stacked @ stacked.T", "slope[0] @ slope[0].T / 4"),
    ("forms:_proved", "slack * scale", "-slack * scale"),
    ("forms:Form.__mul__", "Form(factor * self.value", "Form(2 * factor * self.value"),
    ("rounding:gamma", "UP * n * UNIT / (1 - n * UNIT)", "0.0"),
    ("relative:Prover.holds", "return all(", "return any("),
    ("relative:Prover.lower", "return min(", "return 1.001 * min("),
    ("relative:Prover.of", "for c in cells", "for c in list(cells)[1:]"),
    ("relative:_positive", ".least() > 0", ".least() > -1e-3"),
    ("relative:upper_curvature", "return -(", "return -0.999 * ("),
    ("maker:Maker.gradient", "UP * float(np.linalg.norm", "0.999 * float(np.linalg.norm"),
    ("maker:Proof.alpha", "return alpha if alpha > 0 else None", "return alpha + 1e-3"),
    ("basin:basin", "Fraction(alpha) * Fraction(lower))", "Fraction(alpha) * Fraction(lower) * 2)"),
    ("basin:basin", "- Fraction(e)) ** 2 / 2)", "- Fraction(e)) ** 2)"),
    ("basin:_start", "** 2 / 2 < b and Fraction(r0) + e <= Fraction(within)", "** 2 / 4 < 2 * b"),
    ("basin:_tied", "within=_up(reach)", "within=_down(reach)"),
    ("basin:box", "half = distance *", "half = 0.1 * distance *"),
]  # fmt: skip


def function(path: str) -> Any:
    """The function that is called `module:name` among the certificates."""
    module, _, name = path.partition(":")
    found: Any = importlib.import_module(f"moe_theory.certificates.{module}")
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    if isinstance(found, functools.cached_property):
        found = found.func
    return found.fget if isinstance(found, property) else getattr(found, "__func__", found)


def mutated(target: Any, old: str, new: str) -> CodeType:
    """The code of `target` with that piece of its source replaced."""
    source = textwrap.dedent(inspect.getsource(target))
    assert old in source, "no such text: the mutant has to follow the code"
    scope: dict[str, Any] = dict(target.__globals__)
    lines = source.replace(old, new).splitlines()
    body = "\n".join(lines[next(i for i, line in enumerate(lines) if line.startswith("def ")) :])
    exec(compile(body, "<mutant>", "exec", flags=annotations.compiler_flag), scope)
    return scope[target.__name__].__code__


def killed() -> bool:
    """Whether either claim's check, on what it claims, refutes (or cannot go on)."""
    for claim in (certificate_sound.CLAIM, certificate_basin.CLAIM):
        try:
            verdict = judge(claim, Setting(quick=True), claim.claimed, to_first=True).verdict
        except (ArithmeticError, ValueError, TypeError, AssertionError, LookupError):
            return True
        if verdict == "refuted":
            return True
    return False


@pytest.fixture(scope="module")
def honest() -> dict[str, Any]:
    """What the maker, unharmed, has to do with: its evidence and its files, for all of the checker's mutants."""
    judged = certificate_tight._judged()
    maker = {id(j): certificate_tight._maker(j) for j in judged}
    files = {id(j): certificate_tight._files(j, number) for number, j in enumerate(judged)}
    return {"_maker": lambda j: maker[id(j)], "_files": lambda j, _: files[id(j)]}


@pytest.mark.parametrize(("path", "old", "new"), CHECKER, ids=lambda v: v[:50])
def test_mutants_of_the_checker(path: str, old: str, new: str, honest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in honest.items():
        monkeypatch.setattr(certificate_tight, name, value)
    target = function(path)
    monkeypatch.setattr(target, "__code__", mutated(target, old, new))
    assert killed(), f"{path}: {old!r} -> {new!r} survives"


@pytest.mark.parametrize(("path", "old", "new"), MAKER, ids=lambda v: v[:50])
def test_mutants_of_the_maker(path: str, old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = function(path)
    monkeypatch.setattr(target, "__code__", mutated(target, old, new))
    assert killed(), f"{path}: {old!r} -> {new!r} survives"


def test_unharmed_nothing_is_refuted(honest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in honest.items():
        monkeypatch.setattr(certificate_tight, name, value)
    found = [*certificate_tight.tight_evidence(), *certificate_tight.tight_runs()]
    assert [str(e) for e in found if not e.holds] == []
    assert sum(e.trials for e in found) > 500
