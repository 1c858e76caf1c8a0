"""The functions a log-density may be made of: those whose meaning, derivatives and kernels are known everywhere.

Derivatives alone prove nothing of a function that jumps (floor, or atan(tan t) - t, has derivative 0 wherever it has
one), so that a declaration is read against these lists before anything is derived from it. Of the learnt predictors it
has to be continuous and finite everywhere; of the response and known predictors alone it may be anything that can be
evaluated.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sympy as sp
from sympy.logic.boolalg import BooleanFunction

from moe_theory.atoms import (
    LogSumExp,
    expit,
    indicator,
    log_expit,
    log_factorial,
    log_ndtr,
    mills,
    relu,
    softplus,
    step,
)
from moe_theory.errors import DerivationError
from moe_theory.model import RESPONSE, Model

#: real and analytic on the whole line
ANALYTIC = (
    *(sp.exp, sp.sin, sp.cos, sp.sinh, sp.cosh, sp.tanh, sp.atan, sp.asinh, sp.erf, sp.erfc),
    *(expit, softplus, LogSumExp, log_ndtr, mills),
)
#: real and analytic where all of this, of the arguments, is positive
WHERE_POSITIVE: dict[type, Callable[..., tuple[sp.Expr, ...]]] = {
    **dict.fromkeys((sp.log, sp.loggamma, sp.gamma, sp.digamma), lambda t: (t,)),
    **dict.fromkeys((log_factorial, sp.factorial), lambda n: (n + 1,)),
    sp.beta: lambda a, b=None: (a, a if b is None else b),
    sp.binomial: lambda n, k: (n + 1, k + 1, n - k + 1),
    sp.RisingFactorial: lambda a, n: (a, a + n),
    sp.FallingFactorial: lambda a, n: (a + 1, a - n + 1),
}
#: continuous, with kinks
KINKED = (relu, sp.Abs, sp.Max, sp.Min, sp.Piecewise)
#: what jumps, or comes of differentiating a kink
JUMPING = (step, sp.sign, sp.Heaviside, sp.floor, sp.ceiling, sp.frac, sp.Mod, sp.DiracDelta, indicator)
#: of the response and known predictors only
FIXED = (*(sp.tan, sp.asin, sp.acos, sp.acosh, sp.atanh, sp.polygamma), *JUMPING)
FAR = 10
CONSTANTS = (sp.Number, sp.NumberSymbol, sp.Symbol)
RELATIONS = (sp.StrictLessThan, sp.LessThan, sp.StrictGreaterThan, sp.GreaterThan)
NAMES = "+, ·, powers, exp, log, sin, cos, sinh, cosh, tanh, atan, asinh, erf, erfc, gamma, loggamma, beta, Abs," + (
    " Max, Min, Piecewise, and those of moe_theory.atoms"
)


def require_known(model: Model) -> None:
    """DerivationError naming the first function that is not known, that jumps in a learnt predictor, or that is not
    finite somewhere."""
    learnt = frozenset(model.learnt)
    for z, declared in zip(model.latent, model.declared, strict=True):
        for part, expr in zip(("log P(z|x)", "log p(y|x,z)"), declared, strict=True):
            complaint = _complaint(expr, learnt)
            if complaint is not None:
                raise DerivationError(f"model {model.name!r}: {complaint[0]} in {part} at z = {z} {complaint[1]}")
    for z, *stable in zip(model.latent, model.log_gate, model.log_expert, strict=True):
        for node in (n for e in stable for n in sp.preorder_traversal(e)):
            danger = _not_finite(node, learnt, model)
            if danger is not None:
                raise DerivationError(f"model {model.name!r}: {node} at z = {z} {danger}")


def _complaint(expr: sp.Basic, learnt: frozenset[sp.Symbol]) -> tuple[str, str] | None:
    """(what, why it cannot be) of the first node that is on no list."""
    moving = bool(expr.free_symbols & learnt)
    head, name = type(expr), getattr(expr.func, "__name__", str(expr.func))
    if expr in (sp.I, sp.nan, sp.oo, -sp.oo, sp.zoo):
        return str(expr), "is no real number"
    # A subclass of a known function may mean anything.
    known = isinstance(expr, CONSTANTS) or head in (sp.Add, sp.Mul, sp.Pow, *ANALYTIC, *WHERE_POSITIVE, *KINKED)
    if isinstance(expr, sp.Piecewise):
        for value, condition in expr.args:
            for relation in sp.preorder_traversal(condition):
                if relation.free_symbols & learnt and not isinstance(relation, (*RELATIONS, BooleanFunction, sp.Expr)):
                    return f"the condition {relation}", "is none of <, <=, >, >= and their combinations"
            found = _complaint(value, learnt) or next(
                filter(None, (_complaint(side, learnt) for side in _sides(condition))), None
            )
            if found is not None:
                return found
        return None
    if moving and issubclass(head, JUMPING):
        return f"the function {name}, of {_brief(expr)},", "jumps: expected one that is continuous in the predictors"
    if not known and (moving or head not in FIXED):
        return f"the function {name}, of {_brief(expr)},", f"is not among those known everywhere: {NAMES}"
    return next(filter(None, (_complaint(argument, learnt) for argument in expr.args)), None)


def _sides(condition: sp.Basic) -> Iterator[sp.Expr]:
    """What a condition compares."""
    for node in sp.preorder_traversal(condition):
        if isinstance(node, sp.core.relational.Relational):
            yield from node.args


def _not_finite(node: sp.Basic, learnt: frozenset[sp.Symbol], model: Model) -> str | None:
    """Why a node that moves with the predictors may be infinite or not real; None where it is neither."""
    if not node.free_symbols & learnt:
        return None
    y = model.response.symbol
    arguments = [a.xreplace({RESPONSE: y}) for a in node.args]
    argument = arguments[0] if arguments else node
    if isinstance(node, sp.Pow) and not (node.exp.is_Integer and node.exp >= 0):
        if node.exp.is_Integer:
            return None if _never_zero(argument) else "may divide by 0: expected a denominator that is proved not to be"
        return None if _positive(argument) else "has a base that is not proved to be positive"
    if type(node) in WHERE_POSITIVE and not all(map(_positive, WHERE_POSITIVE[type(node)](*arguments))):
        return "has an argument that is not proved to be positive"
    return None


def _positive(expr: sp.Expr) -> bool:
    return bool(expr.is_positive)


def _never_zero(expr: sp.Expr) -> bool:
    return bool(expr.is_positive or expr.is_negative)


def is_analytic(expr: sp.Expr, symbols: Iterable[sp.Symbol]) -> bool:
    """True if `expr` is analytic in these real symbols, all of them at once and everywhere, whatever the others: it is
    constant then where its derivatives are identically 0."""
    moving = frozenset(symbols)
    for node in sp.preorder_traversal(expr):
        if not node.free_symbols & moving or isinstance(node, (sp.Symbol, sp.Add, sp.Mul, *ANALYTIC)):
            continue
        if isinstance(node, sp.Pow):
            whole = node.exp.is_Integer
            if (whole and node.exp >= 0) or (_never_zero(node.base) if whole else _positive(node.base)):
                continue
        of = WHERE_POSITIVE.get(type(node))
        if of is None or not all(map(_positive, of(*node.args))):
            return False
    return True


def kinks(expr: sp.Expr, symbols: Iterable[sp.Symbol]) -> list[sp.Expr]:
    """The functions g of these symbols at whose zeros `expr` may have a kink or a jump, without kinks of their own."""
    moving, found = frozenset(symbols), []
    for node in sp.preorder_traversal(expr):
        if not node.free_symbols & moving:
            continue
        if isinstance(node, (relu, step, sp.Abs, sp.sign, sp.Heaviside)):
            found.append(node.args[0])
        elif isinstance(node, (sp.Max, sp.Min)):
            found += [a - b for i, a in enumerate(node.args) for b in node.args[:i]]
        elif isinstance(node, sp.core.relational.Relational):
            found.append(node.lhs - node.rhs)
    smooth = [h for g in dict.fromkeys(found) for h in _without_kinks(g)]
    return list(dict.fromkeys(h for g in smooth for h in _factors(g) if h.free_symbols & moving))


def far_bends(expr: sp.Expr, symbols: Iterable[sp.Symbol]) -> list[sp.Expr]:
    """The arguments g of functions that are bent near g = 0 alone, where that is far from the origin."""
    moving, found = frozenset(symbols), []
    for node in sp.preorder_traversal(expr):
        if not isinstance(node, (softplus, expit, log_ndtr, mills, sp.tanh, sp.erf, sp.erfc)):
            continue
        at_origin = node.args[0].xreplace(dict.fromkeys(moving, sp.Integer(0)))
        if node.free_symbols & moving and at_origin.is_comparable and abs(at_origin) > FAR:
            found.append(node.args[0])
    return list(dict.fromkeys(found))


def _without_kinks(g: sp.Expr) -> list[sp.Expr]:
    """Functions whose zeros together hold all of g's: g on each side of each of its kinks."""
    node = next((n for n in sp.preorder_traversal(g) if isinstance(n, KINKED)), None)
    if node is None:
        return [g]
    sides = _branches(node)
    if isinstance(node, (relu, sp.Abs)):
        sides = [node.args[0], sp.Integer(0) if isinstance(node, relu) else -node.args[0]]
    return [h for side in sides for h in _without_kinks(g.xreplace({node: side}))]


def _factors(g: sp.Expr) -> list[sp.Expr]:
    """A polynomial in one symbol by its real roots, else g."""
    if len(g.free_symbols) == 1 and g.is_polynomial():
        (s,) = g.free_symbols
        if sp.degree(g, s) > 1:
            return [s - root for root in dict.fromkeys(sp.Poly(g, s).real_roots())]
    return [g]


def singular(expr: sp.Expr) -> bool:
    """Whether some y may make `expr` infinite or not real (log y, 1/y), so that responses are looked at where they
    enter."""
    smooth = expr.replace(lambda e: isinstance(e, KINKED), lambda e: sp.Add(*_branches(e)))
    return not is_analytic(smooth, [s for s in expr.free_symbols if s.name == RESPONSE.name])


def _branches(node: sp.Expr) -> list[sp.Expr]:
    return [b for b, _ in node.args] if isinstance(node, sp.Piecewise) else list(node.args)


def in_canonical_signs(expr: sp.Expr) -> sp.Expr:
    """Kinks as `relu`, log-partitions by one of the terms that they are taken relative to: what is the same function
    is then mostly the same expression."""
    expr = expr.replace(sp.Piecewise, lambda *pieces: _joined(sp.Piecewise(*pieces, evaluate=False)))
    expr = expr.replace(sp.Abs, lambda t: t if t.is_nonnegative else relu(t) + relu(-t))
    expr = expr.replace(lambda e: isinstance(e, (sp.Max, sp.Min)), lambda e: _as_relu(e))
    expr = expr.replace(relu, lambda t: relu(-t) + t if t.could_extract_minus_sign() else relu(t))
    expr = expr.replace(softplus, lambda t: t - log_expit(t) if t.could_extract_minus_sign() else softplus(t))
    return expr.replace(LogSumExp, _relative)


def _joined(node: sp.Piecewise) -> sp.Expr:
    """Pieces along one symbol that bend by multiples of the way from where they meet, as their first piece and a `relu`
    per bend; any other Piecewise as it is."""
    symbols = {s for _, condition in node.args for s in condition.free_symbols}
    relations = [
        r for _, c in node.args for r in sp.preorder_traversal(c) if isinstance(r, sp.core.relational.Relational)
    ]
    if len(symbols) != 1 or not all(isinstance(r, RELATIONS) for r in relations):
        return node
    (s,) = symbols
    gaps = [sp.expand(r.lhs - r.rhs) for r in relations]
    if not all(g.diff(s).is_Rational and g.subs(s, 0).is_Rational for g in gaps):
        return node
    ends = sorted({-g.subs(s, 0) / g.diff(s) for g in gaps if g.diff(s) != 0})
    inside = [ends[0] - 1, *((a + b) / 2 for a, b in itertools.pairwise(ends)), ends[-1] + 1]
    pieces: list[Any] = [next((v for v, c in node.args if c == True or c.subs(s, t) == True), None) for t in inside]  # noqa: E712
    if None in pieces:
        return node
    joined = pieces[0]
    for end, (before, after) in zip(ends, itertools.pairwise(pieces), strict=True):
        bend = sp.cancel((after - before) / (s - end))
        if bend.has(s) or sp.expand(bend * (s - end) - after + before) != 0:
            return node
        joined += bend * relu(s - end)
    return joined


def _as_relu(node: sp.Expr) -> sp.Expr:
    """max(a, b) = b + relu(a - b), min(a, b) = b - relu(b - a), one argument after the other."""
    first, *rest = node.args
    for term in rest:
        first = term + relu(first - term) if isinstance(node, sp.Max) else term - relu(term - first)
    return first


def _relative(*terms: sp.Expr) -> sp.Expr:
    """log Σ exp(t) = t_i + log Σ exp(t - t_i), for the i that gives the first in SymPy's order."""
    key = lambda ts: [sp.default_sort_key(t) for t in ts]
    options = []
    for own in terms:
        moved = sorted((sp.expand(t - own) for t in terms), key=sp.default_sort_key)
        options.append((key(moved), own, moved))
    _, own, moved = min(options, key=lambda option: (option[0],))
    return own + LogSumExp(*moved)


def _brief(expr: sp.Basic) -> str:
    text = str(expr)
    return text if len(text) <= 60 else text[:57] + "…"
