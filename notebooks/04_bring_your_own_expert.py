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
# # 04 · Does the theory hold for your expert?
#
# *Declare its log-density and ask: either the term that stands in the way is named, or
# everything follows, from the mirror map to a measured rate and verdicts on fifteen
# claims. Here a panel of referees who may abstain: a model that no paper has, in four
# lines.*
#
# ## A first try that is refused
# Robust experts: $y|x,z$ Laplace around $z\,x^\top\beta$.

# %%
import numpy as np
import sympy as sp
from IPython.display import Math

import moe_theory as mt

gate = lambda z, w: mt.log_expit(z * w)
laplace = lambda y, z, beta: -sp.Abs(y - z * beta) - sp.log(2)
print(
    mt.why_not(mt.Model("laplace", (-1, 1), ("beta", "w"), gate, laplace, mt.Reals()))
)

# %% [markdown]
# A location family with a kink is no exponential family: no statistic $s(y,z)$ of fixed
# dimension tells all of $y$'s news about $\beta$. There is no mirror map to be had.
#
# ## One that works
# A referee of camp $z=\pm1$ sees a paper $x$ and says $y=-1$ (no), $0$ (no opinion) or
# $1$ (yes):
# $$P(y|x,z) = \frac{e^{\,yz\,x^\top\beta + y^2 x^\top c}}{1+e^{x^\top(c+\beta)}+e^{x^\top(c-\beta)}},\qquad P(z|x)=\sigma(z\,x^\top w).$$
# $\beta$ is what the camps disagree on, $c$ what makes anybody speak up, $w$ who gets
# which paper.

# %%
opinion = lambda y, z, beta, c: (
    y * z * beta + y**2 * c - sp.log(1 + sp.exp(c + beta) + sp.exp(c - beta))
)
opinions = mt.Values((-1, 0, 1))
model = mt.Model("referees", (-1, 1), ("beta", "c", "w"), gate, opinion, opinions)
theory = mt.derive(model)
Math(theory.latex("statistic", "mirror_map", "posterior[1]"))

# %% [markdown]
# The family is flat, as the normaliser does not depend on the camp. What is missing is
# missing about $\beta$ and $w$ only: $y^2$ does not depend on $z$, so the row of $c$ is
# zero, and to first order an error in $c$ alone is gone after one step of EM.

# %%
Math(theory.latex("missing_information"))

# %% [markdown]
# ## Verdicts
# Every claim that speaks of any flat model, on this one. *Proved* is an exact reduction
# to zero; numeric checks corroborate, on samples and on the population.

# %%
mt.verdict_table(mt.verify_model(model, quick=True))

# %% [markdown]
# ## Fit
# 4,000 opinions with known truth, EM from random starts, standard errors from the
# observed information $\nabla^2L=\nabla^2A-I_{z|x,y}$. Signs are free:
# $(\beta,w)\to(-\beta,-w)$ is a symmetry, found by the derivation, and `distance` is
# taken modulo it.

# %%
truth = model.theta(beta=[2, 0, 0], c=[0, 0, 1], w=[0, 1.5, 0])
data = mt.MonteCarlo(model, truth, n=4000, seed=1).data()
best = mt.fit(model, data, restarts=3, seed=0).best
information = len(data) * mt.observed_information(model, data, best.last)
errors = np.sqrt(np.diagonal(np.linalg.inv(information))).reshape(truth.shape)
distance = mt.distance(model, best.last, truth)
print(best.reason, "after", best.iterations, f"iterations; distance {distance:.3f}")

# %%
show = lambda v, e: "  ".join(f"{a:.2f}±{b:.2f}" for a, b in zip(v, e))
rows = zip(model.predictors, map(str, truth), map(show, best.last, errors))
mt.table(["predictor", "truth", "estimate ± standard error"], rows)

# %% [markdown]
# ## Predicted against measured
# $\lambda_{\max}(M)$ at the fixed point against what the run shows, on the population
# and on a sample, at three strengths of disagreement.

# %%
at = lambda b: model.theta(beta=[b, 0, 0], c=[0, 0, 1], w=[0, 1.5, 0])
found = {b: mt.rate_experiment(model, at(b), rows=4000) for b in (2, 4, 8)}
there = lambda b: mt.predict_rate(model, mt.Population(model, at(b)), at(b)).lambda_max
rows = [(b, there(b), e.rates[0], e.rates[2], e.agrees) for b, e in found.items()]
names = "population | sample, predicted | sample, measured | agree"
mt.table([r"$\|\beta^*\|$", *names.split(" | ")], rows)

# %%
mt.rate_figure(found[2].trace, found[2].predicted)

# %% [markdown]
# ## What it cannot do
# Certificates bound mirror maps made of quadratic terms and softplus; this normaliser
# is neither, and is turned down rather than trusted to a bound that was not proved for
# it.

# %%
try:
    mt.certify(model, data, best.last)
except mt.InputError as error:
    print(error)

# %% [markdown]
# ## What you have seen
# From a declaration to its mirror map, verdicts, a fit with standard errors, and a rate
# that was predicted before it was measured.
#
# **Try it yourself.** Write the declaration into `mine.py` and run `moe-theory derive
# mine.py:model`, `moe-theory verify --model mine.py:model` and `moe-theory rate
# mine.py:model --data FILE.csv --response y`. **Limits.** With a real response experts
# are normal, with counts Poisson; a finite response is free. Claims are for flat
# models: a normaliser that depends on the label makes yours curved, and then rates are
# still predicted, but mirror descent becomes projected.
#
# **Where it is proved.** The table above is `moe-theory verify --model`; for the
# papers' own models, with mutants and hypotheses dropped one by one, `moe-theory
# verify`.
