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
# # 02 · Is EM mirror descent?
#
# *For a flat model, exactly: one EM step is one mirror-descent step of length 1, with
# the log-partition function $A$ as mirror map. So $L$ need not be convex, and no step
# size has to be chosen, for every step to go downhill by at least
# $B_A(\theta_t\|\theta_{t+1})$.*
#
# ## Two algorithms, one step
# EM maximises the expected complete log-likelihood. Mirror descent knows nothing of
# labels: it takes the gradient of the marginal likelihood, and solves
# $$\nabla A(\theta^+) = \nabla A(\theta) - \gamma\,\nabla L(\theta).$$
# At $\gamma=1$ the two agree to rounding.

# %%
import numpy as np

import moe_theory as mt
from moe_theory.operators import posterior_kl
from moe_theory.report.figures import race_figure

start, law = {}, {}
for m in (mt.symmetric_linear(), mt.symmetric_logistic()):
    truth = m.theta(beta=[3, 0, 0], w=[0, 1, 0])
    start[m], law[m] = truth - 0.5, mt.MonteCarlo(m, truth, n=2000, seed=1).data()

# %%
step = lambda method, m: method(m).step(start[m], law[m])
moved = lambda m: np.abs(step(mt.EM, m) - start[m]).max()
apart = lambda m: np.abs(step(mt.EM, m) - step(mt.MirrorDescent, m)).max()
headings = ["model", "EM moves by", "EM against the unit mirror step"]
mt.table(headings, [(m.name, moved(m), apart(m)) for m in law], digits=2)

# %% [markdown]
# ## See it
# With one feature, $\theta=(\beta,w)$ is a point of the plane. Left: EM on the contours
# of $L$. Right: what one step does. It minimises the dashed curve
# $$L(\theta)+\langle\nabla L(\theta),\varphi-\theta\rangle+B_A(\varphi\|\theta),$$
# which touches $L$ at $\theta$ and lies above it everywhere: not a parabola, but a
# divergence made from the model.

# %%
model = mt.symmetric_linear()
data = mt.MonteCarlo(model, model.theta(beta=[1.5], w=[1.0]), n=400, seed=3).data()
draw = lambda step=1.0: mt.landscape_figure(model, data, [[0.3], [-2.0]], step=step)
mt.slider(draw, step=(0.25, 2.0, 0.25))

# %% [markdown]
# (Run this notebook with `ipywidgets` and the step has a slider.) Shorter steps
# minimise a steeper majoriser; beyond
# 1 the curve may cut through $L$, and nothing is promised any more:

# %%
mt.landscape_figure(model, data, [[1.1], [0.3]], step=2.0)

# %% [markdown]
# ## Why it lies above
# The gap between the two curves is itself a divergence, that of the posteriors of the
# label, and so not negative:
# $$L(\varphi) = L(\theta) + \langle\nabla L(\theta),\varphi-\theta\rangle + B_A(\varphi\|\theta)
# - E\,\mathrm{KL}\big(P_\theta(z|x,y)\,\|\,P_\varphi(z|x,y)\big).$$
# At a point $\varphi$ far away:

# %%
here, there = np.array([[0.3], [-2.0]]), np.array([[2.0], [1.0]])
upper = mt.majoriser(model, data, there, here)
posteriors = posterior_kl(model, data, here, there)
row = upper, posteriors, upper - posteriors, mt.objective(model, data, there)
mt.table(["majoriser", "posteriors", "difference", r"$L(\varphi)$"], [row], digits=12)

# %% [markdown]
# ## Every step goes downhill
# From $\theta_t$ to $\theta_{t+1}$ the dashed curve falls by
# $B_A(\theta_t\|\theta_{t+1})$ (three-point identity), and $L$ by at least as much:
# $$L(\theta_t)-L(\theta_{t+1}) \ge B_A(\theta_t\|\theta_{t+1}) = E\,\mathrm{KL}(p_{t+1}\|p_t).$$
# The poster prints the KL with its arguments exchanged, and that is false (notebook
# 08).

# %%
trace = mt.run(mt.EM(model), data, [[0.3], [-2.0]])
fall, least = trace.decrease, trace.divergence
names = r"t | $L(\theta_t)-L(\theta_{t+1})$ | $B_A(\theta_t\|\theta_{t+1})$ | ratio"
mt.table(names.split(" | "), zip(range(9), fall, least, fall / least), digits=5)

# %% [markdown]
# ## How much a unit step is worth
# Near a fixed point a step of length $\gamma$ has the Jacobian $I-\gamma(I-M)$: with
# $\gamma=\frac12$ the gap contracts at $(1+\lambda_{\max})^2/4$ instead of
# $\lambda_{\max}^2$. Gradient descent, in the Euclidean metric, has
# $I-\gamma\nabla^2L$. Solid is measured, dashed predicted.

# %%
methods = {"EM": mt.EM(model), "step ½": mt.MirrorDescent(model, 0.5)}
methods["gradient, step 1"] = mt.GradientDescent(model, step=1.0)
trace = lambda method: mt.run(method, data, [[0.3], [-2.0]], tolerance=1e-13)
runs = {name: trace(method) for name, method in methods.items()}
limit = runs["EM"].last

# %%
top = mt.predict_rate(model, data, limit).lambda_max
flattest = np.linalg.eigvalsh(mt.observed_information(model, data, limit))[0]
predicted = dict(zip(runs, (top**2, (1 + top) ** 2 / 4, (1 - flattest) ** 2)))
race_figure(runs, limit, "One unit step beats two half ones", predicted)

# %% [markdown]
# ## Gradient EM with one step is gradient descent
# By Fisher's identity $\nabla_\varphi Q(\varphi|\theta)|_{\varphi=\theta}=\nabla
# L(\theta)$. So replacing the M-step by one gradient step gives gradient descent,
# whatever the model; more inner steps lead back to EM.

# %%
plain = mt.GradientDescent(model, step=0.5).step(here, data)
em = mt.EM(model).step(here, data)
inner = {
    n: mt.GradientEM(model, step=0.5, inner=n).step(here, data) for n in (1, 10, 500)
}
away = [(n, np.abs(t - plain).max(), np.abs(t - em).max()) for n, t in inner.items()]
mt.table(["inner steps", "from gradient descent", "from EM"], away, digits=2)

# %% [markdown]
# ## What you have seen
# One EM step is the unit mirror step; it minimises a majoriser of $L$ made of the
# model's own KL divergence; descent follows, and so does the worth of the step's
# length.
#
# **Try it yourself.** Another start or law in `landscape_figure`;
# `mt.MirrorDescent(model, 1.9)` from afar. **Limits.** All this is for flat models. For
# curved ones (experts with coefficients of their own) the mirror step leaves the model
# and EM projects back: *projected* mirror descent, where descent by $B_A$ is not true
# as it stands here.
#
# **Where it is proved.** `moe-theory verify em-is-mirror-descent majorization descent
# fisher-identity em-is-projected-mirror-descent em-beats-gd`.
