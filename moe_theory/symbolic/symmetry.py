"""Maps of the predictors that leave the law of y given x as it is: parameters that no data can tell apart."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import sympy as sp

from moe_theory.atoms import log_factorial
from moe_theory.model import RESPONSE, Model
from moe_theory.symbolic.identities import prove_zero


def symmetries(model: Model, density: sp.Expr) -> tuple[sp.Matrix, ...]:
    """Linear maps G of the learnt predictors with p(y|x; Gη) = p(y|x; η) identically, I first; density: p(y|x).

    Each is proved exactly. Looked for among signed permutations; of softmax mixtures among the changes of labels (of
    more than three labels, the swaps of neighbours, which make all others).
    """
    eta = sp.Matrix(model.learnt)
    # A base measure is the same on both sides, whatever it is.
    density = density.replace(log_factorial, lambda y: sp.Symbol("log_base", real=True))
    found = []
    for g in _candidates(model):
        difference = density.subs(dict(zip(model.learnt, g * eta, strict=True)), simultaneous=True) - density
        each = [difference if y is None else difference.subs(RESPONSE, y) for y in model.response.exact or (None,)]
        if g == sp.eye(len(eta)) or prove_zero(each).proved:
            found.append(g)
    return tuple(found)


def _candidates(model: Model) -> Iterator[sp.Matrix]:
    m, structure = len(model.learnt), model.structure
    if structure is not None:
        k = structure.k
        orders = list(itertools.permutations(range(k)))
        if k > 3:
            swap = lambda i: (*range(i), i + 1, i, *range(i + 2, k))
            orders = [tuple(range(k)), *(swap(i) for i in range(k - 1))]
        for order in orders:
            yield sp.Matrix(structure.relabelled(np.eye(m), order).astype(int).tolist())
        return
    for order in itertools.permutations(range(m)):
        for signs in itertools.product((1, -1), repeat=m):
            g = sp.zeros(m, m)
            for row, (column, sign) in enumerate(zip(order, signs, strict=True)):
                g[row, column] = sign
            yield g
