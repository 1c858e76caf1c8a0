"""Piecewise log-densities have to be continuous in the predictors: where two pieces meet they are proved to agree."""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from moe_theory.errors import DerivationError
from moe_theory.model import RESPONSE, Model
from moe_theory.symbolic.functions import kinks
from moe_theory.symbolic.identities import prove_zero, trial_points


def require_continuous(model: Model) -> None:
    """DerivationError naming two pieces that do not agree where they meet, or not provably."""
    for z, *parts in zip(model.latent, model.log_gate, model.log_expert, strict=True):
        for node in (n for e in parts for n in sp.preorder_traversal(e) if isinstance(n, sp.Piecewise)):
            for at, left, right in _meetings(node, model):
                outcome = prove_zero(left.xreplace(at) - right.xreplace(at))
                if not outcome.proved:
                    (symbol, place), *_ = at.items()
                    jumps = "jumps" if outcome.refuted else "is not proved to be continuous"
                    raise DerivationError(
                        f"model {model.name!r}: {node} at z = {z} {jumps} at {symbol} = {place}: expected one that is"
                        " continuous in the predictors"
                    )


def _meetings(node: sp.Piecewise, model: Model) -> Iterator[tuple[dict[sp.Symbol, sp.Expr], sp.Expr, sp.Expr]]:
    """({predictor: where}, piece before, piece after) of all pairs of pieces that were found to meet."""
    seen: set[tuple[int, int, sp.Expr]] = set()
    symbols = [RESPONSE, *model.symbols]
    conditions = [condition for _, condition in node.args]
    for g in dict.fromkeys(h for c in conditions for h in kinks(c, model.learnt)):
        affine = [s for s in model.learnt if g.has(s) and not g.diff(s).has(s)]
        if not affine:
            raise DerivationError(
                f"model {model.name!r}: the condition on {g} in {node}: expected a function that is affine in a"
                " predictor"
            )
        s = affine[0]
        place = sp.expand(-g.xreplace({s: sp.Integer(0)}) / g.diff(s))
        for point in trial_points(sp.Integer(0), symbols, trials=12):
            where = place.xreplace(point)
            pair = [_piece(node, point | {s: where + away}) for away in (-sp.Rational(1, 10**9), sp.Rational(1, 10**9))]
            if None not in pair and pair[0] != pair[1] and (*pair, g) not in seen:
                seen.add((pair[0], pair[1], g))  # type: ignore[arg-type]
                yield {s: place}, node.args[pair[0]][0], node.args[pair[1]][0]


def _piece(node: sp.Piecewise, point: dict[sp.Symbol, sp.Expr]) -> int | None:
    """Which piece holds there."""
    return next((i for i, (_, c) in enumerate(node.args) if c == True or c.xreplace(point) == True), None)  # noqa: E712
