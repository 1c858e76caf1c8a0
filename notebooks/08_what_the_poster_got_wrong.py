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
# # 08 · What did the poster get wrong?
#
# *Of sixteen statements that were checked twelve do not hold as they are printed:
# signs, arguments of divergences, an index, a projection, what is assumed of the start,
# and one rate. Each has a witness, most of them found by search and all evaluated here
# again, and a corrected form that one and the same check proves.*
#
# An audit is of print, not of people: most of these are slips, and the corrected
# theorems are the authors'. But nobody can build on a formula whose arguments are
# exchanged.
#
# ## The audit, live
# For every statement that is checked as printed (but those about GRUs, of the other
# paper's deck): the claim's own check, applied to it as printed and as corrected.
# Nothing in this table is typed in but the statements.

# %%
import numpy as np
from IPython.display import Markdown, display

import moe_theory as mt
from moe_theory.claims.registry import all_claims, select
from moe_theory.claims.search import search_cell

poster = [c.id for c in all_claims() if c.printed and "gru" not in c.id]
found = mt.audit(poster, quick=True)
refuted = [a for a in found if a.as_printed.verdict == "refuted"]
print(len(found), "statements,", len(refuted), "refuted as printed")
mt.audit_table(found)

# %% [markdown]
# What was held against each of the refuted:

# %%
against = [(a.claim.id, a.as_printed.against) for a in refuted]
mt.table(["claim", "evidence"], [(name, str(evidence)) for name, evidence in against])

# %% [markdown]
# ## One rate, by hand
# Inequality (3) says that the gap itself contracts at $1-\alpha$ from the first step
# on. The cleanest place to look is a model where $\alpha$ is known exactly, everywhere:
# experts that tell the label, or with probability $\varepsilon=0.1$ nothing. There
# $M=\varepsilon I$ whatever the gate, so $\alpha=0.9$:

# %%
model = mt.erased_labels(erasure=0.1)
truth, start = np.array([[-3.0]]), np.array([[0.0]])
law = mt.Finite.from_model(model, truth, x=[[1.0], [10.0]])
top = lambda w: mt.missing_information_matrix(model, law, np.array([[w]])).lambda_max
mt.table(
    ["w", r"$\lambda_{\max}(M)$"], [(w, top(w)) for w in (-3.0, -1.5, 0.0)], digits=9
)

# %% [markdown]
# One exact EM step from $w=0$. The gap should fall to a tenth, and falls to a third.
# What holds is the contraction of the divergence,
# $B_A(\theta^*\|\theta_{t+1})\le(1-\alpha)B_A(\theta^*\|\theta_t)$:

# %%
after = mt.EM(model).step(start, law)
gap = lambda w: mt.objective(model, law, w) - mt.objective(model, law, truth)
away = lambda w: mt.bregman(model, law, truth, w)
row = lambda what, f: (what, f(start), f(after), f(after) / f(start))
rows = [
    row("gap (3), as printed", gap),
    row(r"$B_A(\theta^*\|\theta)$, as it holds", away),
]
mt.table(["", "before", "after", "ratio; to be ≤ 0.1"], rows, digits=4)

# %% [markdown]
# ## Found by search
# No witness has to be thought of: a claim brings an inequality and families of
# instances, and its slack is minimised. Inequality (1) with the usual direction of KL:

# %%
(claim,) = select(("printed-stationarity",))
cell = claim.search.cells(150, seed=0)[0]
witness = search_cell(claim.search, claim.printed.claimed, cell)
display(Markdown(claim.printed.statement))
print(
    f"left {witness.slack.left:.4f} > right {witness.slack.right:.4f} at T =",
    witness.slack.details["T"],
)
mt.table(["the witness", ""], witness.instance.items())

# %% [markdown]
# The corrected statement, $\mathrm{KL}(p_{t+1}\|p_t)$, under the same search. That
# nothing was found proves nothing; its proof is the identity in the claim's evidence.

# %%
corrected = search_cell(claim.search, claim.claimed, cell)
row = corrected.slack.value, corrected.admissible, corrected.violated
mt.table(["least relative slack", "instances", "violated"], [row], digits=3)

# %% [markdown]
# ## Read kindly
# Inequalities (1) and (2) for flat families and the identity of $D_{\mathrm{KL}}$ with
# $D_A$ turn on one choice: read $D_{\mathrm{KL}}(\theta,\varphi)$ as
# $\mathrm{KL}(p_\varphi\|p_\theta)$, and they hold. What remains is (1) for every
# mixture, (2) from any start of a convex region, the rate (3) and its index, the
# projection, the tangent in strong convexity, and two signs.
#
# ## What you have seen
# A table of statements with computed verdicts, one counterexample small enough for
# pencil and paper, and one that nobody had to think of.
#
# **Try it yourself.** `moe-theory refute printed-linear` searches anew, with a seed of
# yours; it prints the command that evaluates its witness again. **Limits.** A
# refutation is of one stated reading of the print. In this notebook searches are small
# (`quick=True`).
#
# **Where it is proved.** `moe-theory verify` (every `printed-…`), with mutants and
# hypotheses; the witnesses in the README under *What fell*.
