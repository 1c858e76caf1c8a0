"""Not flat: atan(tan t) - t is constant between its jumps, so SymPy's derivative is 0.

moe-theory certify data.csv --model stairs.py:stairs --response y --intercept --out C.json
moe-theory check C.json data.csv --model stairs.py:stairs
said valid; the declared model's |∇L| there is 2.2e-3, "proved" <= 1.6e-12.
"""

import sympy as sp

import moe_theory as mt
from moe_theory.atoms import log_normal, softplus


def wave(t):
    return (sp.atan(sp.tan(t)) - t) / 16


stairs = mt.Model(
    "stairs",
    latent=(-1, 1),
    predictors=("beta", "w"),
    response=mt.Reals(),
    gate=lambda z, w: -softplus(-z * w),
    expert=lambda y, z, beta: log_normal(y, z * beta + (wave(3 * beta / 8) if z == 1 else 0)),
)
