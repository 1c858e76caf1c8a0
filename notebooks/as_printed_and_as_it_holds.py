# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which printed inequalities fail, and on what?
#
# A linear rate is often printed for the gap itself: if $L$ is $\alpha$-strongly convex relative to $A$ on a
# convex set that holds $\theta^*$ and all iterates, then $L(\theta_{t+1})-L^* \le
# (1-\alpha)(L(\theta_t)-L^*)$. Is that so?
#
# The cleanest place to look is a model in which $\alpha$ is known exactly, everywhere: experts that tell the
# label, or with probability $\varepsilon$ nothing. There $M = \varepsilon I$ whatever the gate.

# %%
import numpy as np

import moe_theory as mt

model = mt.erased_labels(erasure=0.1)
truth, start = np.array([[-3.0]]), np.array([[0.0]])
law = mt.Finite.from_model(model, truth, x=[[1.0], [10.0]])
for w in (-3.0, -1.5, 0.0):
    print(w, mt.missing_information_matrix(model, law, np.array([[w]])).lambda_max)

# %% [markdown]
# So $\alpha = 0.9$ all the way. One exact EM step from $w = 0$:

# %%
after = mt.EM(model).step(start, law)
gap = lambda theta: mt.objective(model, law, theta) - mt.objective(model, law, truth)
print(f"gap before {gap(start):.9f}, after {gap(after):.9f}: ratio {gap(after) / gap(start):.4f}, printed bound 0.1")

# %% [markdown]
# The gap falls by a factor of 3, not of 10: the printed inequality is false. What holds is the contraction of
# the divergence to $\theta^*$, $B_A(\theta^*\|\theta_{t+1}) \le (1-\alpha) B_A(\theta^*\|\theta_t)$:

# %%
before_b, after_b = (mt.bregman(model, law, truth, theta) for theta in (start, after))
print(f"B_A before {before_b:.6f}, after {after_b:.6f}: ratio {after_b / before_b:.4f}")

# %% [markdown]
# ## Found by search
# No witness has to be thought of. A claim brings an inequality and families of instances; its slack is
# minimised.

# %%
from IPython.display import Markdown, display

from moe_theory.claims.registry import select
from moe_theory.claims.search import search_cell

(claim,) = select(("printed-stationarity",))
found = search_cell(claim.search, claim.printed.claimed, claim.search.cells(150, seed=0)[0])
display(Markdown(claim.printed.statement))
print(f"left {found.slack.left:.6f}, right {found.slack.right:.6f}, at", dict(found.slack.details))
found.instance

# %% [markdown]
# The corrected statement, the same search:

# %%
corrected = search_cell(claim.search, claim.claimed, claim.search.cells(150, seed=0)[0])
print(f"smallest relative slack {corrected.slack.value:.2e} in {corrected.admissible} instances")
assert found.violated
assert not corrected.violated
