"""Symmetric tensors with orthogonal components: the robust power method, deflation, simultaneous refinement.

Anandkumar, Ge, Hsu, Kakade and Telgarsky, Tensor decompositions for learning latent variable models (JMLR 2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moe_theory.errors import InputError
from moe_theory.validation import Array, real_array

STARTS, STEPS = 32, 60  # random starts and steps of the power method, per component
SWEEPS = 200
SETTLED = 1e-11


@dataclass(frozen=True, eq=False)
class Decomposition:
    """T ≈ Σ_i value_i v_i ⊗ v_i ⊗ v_i. vectors: v_i as rows, (k, k), orthonormal. values: (k,), positive, falling.
    residual: Frobenius norm of what is left, relative to that of T."""

    vectors: Array
    values: Array
    residual: float

    @property
    def tensor(self) -> Array:
        """The sum, (k, k, k)."""
        return np.einsum("i,ia,ib,ic->abc", self.values, self.vectors, self.vectors, self.vectors)


def decompose(tensor: Array, seed: int = 0) -> Decomposition:
    """The orthogonal decomposition nearest to a symmetric tensor, (k, k, k).

    Components are found one by one by power iteration v ← T(·, v, v)/‖·‖ from random starts, the best of them taken
    off; then all are refined together by V ← polar factor of T(·, v_i, v_i), which has no deflation's errors in it.
    Raises InputError for another shape, a tensor that is not symmetric, or one that is 0 (any other has a positive
    component: T(v, v, v) changes its sign with v).
    """
    t = real_array("tensor", tensor, ndim=3)
    k = len(t)
    if t.shape != (k, k, k) or k == 0:
        raise InputError(f"tensor: expected shape (k, k, k), got {t.shape}")
    largest = np.max(np.abs(t))
    if largest == 0:
        raise InputError("tensor: expected one that is not 0")
    if max(np.max(np.abs(t - np.transpose(t, axes))) for axes in ((1, 0, 2), (0, 2, 1))) > 1e-9 * largest:
        raise InputError("tensor: expected a symmetric tensor")
    rng = np.random.default_rng(seed)
    left, found = t, []
    for _ in range(k):
        vectors = np.vstack([rng.standard_normal((STARTS, k)), np.linalg.svd(left.reshape(k, -1))[0].T])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        for _ in range(STEPS):
            vectors = _powered(left, vectors)
        values = np.sum(_applied(left, vectors) * vectors, axis=1)
        best = int(np.argmax(values))
        found.append(vectors[best])
        left = left - values[best] * np.einsum("a,b,c->abc", *[vectors[best]] * 3)
    vectors, values = refine(t, np.array(found))
    order = np.argsort(-values)
    vectors, values = vectors[order], values[order]
    rest = t - np.einsum("i,ia,ib,ic->abc", values, vectors, vectors, vectors)
    return Decomposition(vectors, values, float(np.linalg.norm(rest) / np.linalg.norm(t)))


def refine(tensor: Array, vectors: Array) -> tuple[Array, Array]:
    """(V, values): the fixed point of the orthogonalised power iteration near `vectors`, rows, (k, k)."""
    for _ in range(SWEEPS):
        u, _, v = np.linalg.svd(_applied(tensor, vectors))
        fresh = u @ v
        moved = float(np.max(np.abs(fresh - vectors)))
        vectors = fresh
        if moved < SETTLED:
            break
    return vectors, np.sum(_applied(tensor, vectors) * vectors, axis=1)


def _applied(tensor: Array, vectors: Array) -> Array:
    """T(·, v, v) of each row v, (l, k)."""
    return np.einsum("lbc,lc->lb", np.tensordot(vectors, tensor, 1), vectors)


def _powered(tensor: Array, vectors: Array) -> Array:
    moved = _applied(tensor, vectors)
    size = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.where(size > 0, moved / np.where(size > 0, size, 1.0), vectors)
