"""A declared model's formulas, read off the exact normal form of its log-densities (`ball_formulas` says which).

Both identities hold between functions of η: the normal form *has* these terms and no others, so that its coefficients
are offset, Δs, C, κ, l, b and s_0. No derivative is looked at, as those of what jumps lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from moe_theory.certificates import normal_form as nf
from moe_theory.certificates import normal_functions as nfs
from moe_theory.certificates.ball_formulas import ZERO, Formulas, Gate
from moe_theory.certificates.contents import brief
from moe_theory.certificates.declared import Declaration
from moe_theory.certificates.normal_form import Atom, Expression
from moe_theory.errors import InputError
from moe_theory.model import Model


def derived(model: Model) -> Formulas:
    """From the declaration; InputError, with the term that breaks it, for a model that is not flat with two labels and
    a mirror map quadratic plus softplus.
    """
    if len(model.latent) != 2:
        raise InputError(f"model: expected two latent labels, {model.name} has {len(model.latent)}")
    if model.design is not None:
        raise InputError(f"model: expected predictors that see every feature, {model.name} has a design")
    declaration = Declaration(model)
    values: tuple[float, ...] = model.response.values
    mirror: tuple[Any, ...] | None = None  # one for all responses
    expressions: dict[float | None, tuple[Expression, ...]] = {}
    for y in values or (None,):
        first, second = declaration.at(y)
        change = nfs.affine(second - first, declaration.learnt)
        if change is None:
            raise InputError(
                f"model: expected a flat model, log p(y, z|x) of {model.name} at the second label less that at the"
                f" first is not affine in the learnt predictors{_odd(second - first, declaration)}"
            )
        quadratic, gates, shifts, statistic = _mirror_map(declaration, first)
        if mirror not in (None, (quadratic, gates, shifts)):
            raise InputError(
                f"model: expected a mirror map that does not depend on y, {model.name} has another at y = {y}"
            )
        mirror = quadratic, gates, shifts
        slopes, offset = change
        expressions[None if y is None else float(y)] = (offset, *slopes, *statistic, *shifts)
    return Formulas(quadratic, gates, (declaration.y, *declaration.known), expressions)


def _mirror_map(
    declaration: Declaration, label: Expression
) -> tuple[tuple[tuple[Expression, ...], ...], tuple[Gate, ...], tuple[Expression, ...], list[Expression]]:
    """(C, gates, their shifts b, s_0) of ℓ_0, term by term."""
    name, learnt = declaration.model.name, declaration.learnt
    m = len(learnt)
    quadratic, linear = [[ZERO] * m for _ in range(m)], [ZERO] * m
    gates: dict[tuple[tuple[Fraction, ...], Expression], Fraction] = {}
    for product, c in label.terms:
        own = [(atom, n) for atom, n in product if _learnt(atom, declaration)]
        others = nf.expression([(tuple(factor for factor in product if factor not in own), c)])
        degree = sum(n for _, n in own)
        places = [learnt[atom] for atom, n in own for _ in range(n) if atom in learnt]
        if not own:
            continue
        if len(places) == degree == 1:
            linear[places[0]] += others
        elif len(places) == degree == 2 and not others.symbols:
            a, b = places
            quadratic[a][b] -= others
            quadratic[b][a] -= others
        elif degree == 1 and own[0][0].kind == "softplus":
            gate = _gate(declaration, own[0][0])
            kappa = others.number
            if kappa is None or kappa > 0:
                raise InputError(
                    f"model: expected softplus terms with positive weights, {name} has"
                    f" {brief(str(others * -1))} at {brief(str(own[0][0].inside))}"
                )
            gates[gate] = -kappa
        else:
            raise InputError(
                f"model: expected a flat model with a mirror map quadratic + softplus, {name} has the term"
                f" {brief(str(nf.expression([(product, c)])))}"
            )
    if not _semidefinite(quadratic):
        raise InputError(
            f"model: expected a convex mirror map, {name} has the quadratic part"
            f" {brief(str([[str(entry) for entry in row] for row in quadratic]))}"
        )
    order = sorted(gates, key=lambda gate: ([-v for v in gate[0]], gate[1].key))
    return (
        tuple(map(tuple, quadratic)),
        tuple((gates[gate], gate[0]) for gate in order),
        tuple(shift for _, shift in order),
        linear,
    )


def _gate(declaration: Declaration, atom: Atom) -> tuple[tuple[Fraction, ...], Expression]:
    """(l, b) of softplus(l'η + b); b may depend on known predictors."""
    inside = atom.inside or ZERO
    found = nfs.affine(inside, declaration.learnt)
    slopes = [] if found is None else [slope.number for slope in found[0]]
    if found is None or None in slopes or declaration.y in found[1].symbols:
        raise InputError(
            f"model: expected softplus of affine forms with rational slopes and shifts without y,"
            f" {declaration.model.name} has softplus({brief(str(inside))})"
        )
    return tuple(Fraction(v or 0) for v in slopes), found[1]


def _learnt(atom: Atom, declaration: Declaration) -> bool:
    return atom in declaration.learnt or (
        atom.inside is not None and bool(atom.inside.symbols & declaration.learnt.keys())
    )


def _odd(e: Expression, declaration: Declaration) -> str:
    """The first term that is not affine, for a message."""
    for term in e.terms:
        if nfs.affine(nf.expression([term]), declaration.learnt) is None:
            return f": {brief(str(nf.expression([term])))}"
    return ""


def _semidefinite(matrix: Sequence[Sequence[Expression]]) -> bool:
    """Whether a symmetric matrix of constants is proved positive semidefinite: by exact elimination of rational ones,
    or as a diagonal of constants >= 0."""
    size = len(matrix)
    numbers = [[entry.number for entry in row] for row in matrix]
    if any(v is None for row in numbers for v in row):
        off = any(matrix[a][b].terms for a in range(size) for b in range(size) if a != b)
        return not off and all(not matrix[a][a].terms or nf.positive(matrix[a][a]) for a in range(size))
    rest = [[Fraction(v or 0) for v in row] for row in numbers]
    for k in range(size):
        pivot = rest[k][k]
        if pivot < 0 or (pivot == 0 and any(rest[k])):
            return False
        if pivot > 0:
            below = [row[k] / pivot for row in rest]
            rest = [
                [v - below[i] * rest[k][j] if min(i, j) >= k else v for j, v in enumerate(row)]
                for i, row in enumerate(rest)
            ]
    return True
