"""The regressors' bias where the gate sees their span: of first order, as derived in claim `tilted-gates`."""

from __future__ import annotations

import numpy as np

from moe_theory.validation import Array


def tilt_bias(z: Array, regressors: Array, gate: Array, intercepts: Array) -> Array:
    """δ_i = Σ_j (v_j'a_i) E∇q_ij / E p_i, (k, d), q_ij = ∂p_i/∂s_j, v_j the part of w_j in the regressors' span.

    z (n, d) standard normal, regressors (k, d) of length 1, gate (k, d), intercepts (k,). E∇q_ij = E q_ij z by Stein's
    identity, off the span. To second order in v, and exactly 0 for two experts without intercept and odd g.
    """
    basis = np.linalg.svd(regressors, full_matrices=False)[2]
    inner = (gate @ basis.T @ basis) @ regressors.T  # (j, i): v_j'a_i
    scores = z @ gate.T + intercepts
    shares = np.exp(scores - np.max(scores, axis=1, keepdims=True))
    shares /= np.sum(shares, axis=1, keepdims=True)
    k, out = len(regressors), np.zeros_like(regressors)
    for i in range(k):
        moved = shares[:, i] * (inner[i, i] - shares @ inner[:, i])  # Σ_j (v_j'a_i) q_ij
        slope = moved @ z / len(z)
        out[i] = (slope - slope @ basis.T @ basis) / np.mean(shares[:, i])
    return out
