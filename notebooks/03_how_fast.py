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
# # 03 · How fast is EM?
#
# *Near a fixed point its iterates contract at $\lambda_{\max}(M)$ and the gap of the
# likelihood at its square, on a population as on your sample, and $M$ follows from the
# declaration. Linear experts are fast once $\|\beta^*\|\gtrsim 2$; logistic ones stay
# slow at any signal, because one bit of $y$ cannot tell the scale of the experts.*
#
# ## Predict, then run
# $M(\theta)=(\nabla^2A)^{-1}I_{z|x,y}$ is the Jacobian of the EM map at a fixed point.
# Predicted: its largest eigenvalue. Measured: the contraction that a run shows, by a
# Rayleigh–Ritz value of its last steps. Both with their errors, for symmetric linear
# experts, $x\sim N(0,I_3)$, $w^*=(0,1,0)$ and $\beta^*=(b,0,0)$:

# %%
import numpy as np

import moe_theory as mt
from moe_theory.analysis.signal import guarantees

linear, logistic = mt.symmetric_linear(), mt.symmetric_logistic()
at = lambda model, b: model.theta(beta=[b, 0, 0], w=[0, 1, 0])
signals = (1, 2, 4)
population = {b: mt.rate_experiment(linear, at(linear, b)) for b in signals}

# %%
names = [r"$\|\beta^*\|$", "predicted", "± error", "measured", "± error", "agree"]
row = lambda b, e: (b, *(f"{r:.{n}}" for r, n in zip(e.rates, "8282")), e.agrees)
mt.table(names, [row(b, e) for b, e in population.items()])

# %% [markdown]
# The same on 5,000 rows drawn from each population. Now the prediction is
# $\lambda_{\max}(M_n(\hat\theta))$, at the maximum of this sample's likelihood: it
# differs from the population's, and EM follows the sample's.

# %%
sample = {b: mt.rate_experiment(linear, at(linear, b), rows=5000) for b in signals}
mt.table(names, [row(b, e) for b, e in sample.items()])

# %% [markdown]
# ## One run, whole
# Distance to the limit and gap against the iteration, on the lines $\lambda_{\max}^t$
# and $\lambda_{\max}^{2t}$. The theorem's $(1-\alpha)^t$ for the gap is valid and loose
# by a square root.

# %%
run = lambda b: mt.rate_experiment(linear, at(linear, b), rows=2000)
draw = lambda b=2.0: mt.rate_figure((e := run(b)).trace, e.predicted)
mt.slider(draw, b=(0.5, 6.0, 0.5))

# %% [markdown]
# ## How strong a signal is needed?
# $L$ is $\alpha$-strongly convex relative to $A$ wherever
# $\lambda_{\max}(M)\le1-\alpha$. At $\theta^*$, over $\|\beta^*\|$, $\|w^*\|$ and the
# angle between them; in the population only the span of the two counts, whatever the
# dimension.

# %%
grid = [0.5, 1, 2, 4, 8]
mt.phase_map(mt.snr_map(linear, grid, grid[:-1], [15, 90]))

# %% [markdown]
# Linear experts need $\|\beta^*\|$ of about 2, whatever the gate, as long as the angle
# is not small. Logistic experts are another matter:

# %%
mt.phase_map(mt.snr_map(logistic, [*grid, 16], [*grid, 16], [15, 90]))

# %% [markdown]
# ## The two ends
# As $\|\beta^*\|\to0$ labels leave no trace in $y$, and
# $\lambda_{\max}=1-C_0\|\beta^*\|^2$. As $\|\beta^*\|\to\infty$ linear experts leave
# doubt about the label only in the strip $|x^\top\beta^*|=O(1)$, so that
# $\lambda_{\max}\sim C/\|\beta^*\|$. Both constants are derived from the declaration.

# %%
betas = np.geomspace(0.08, 80, 16).round(4).tolist()
mt.asymptote_figure(mt.snr_map(linear, betas, [1.0], [90.0]), 1.0, 90.0)

# %%
high = {angle: mt.high_snr(linear, gate=1.0, angle=angle) for angle in (0, 45, 90)}
rows = [(f"{a}°", h.coefficient, h.eigenvector) for a, h in high.items()]
mt.table(["angle of $\\beta^*,w^*$", "$C$", "slowest direction"], rows)

# %% [markdown]
# ## Why logistic experts stay slow
# With $u=x^\top\beta^*$ and $v=x^\top w^*$, the missing information about the experts,
# averaged over $y$, is $\frac{1}{2(\cosh u+\cosh v)}$ out of $\frac{1}{2(1+\cosh u)}$
# per row: nothing is learnt at $v=0$, and little where $|u|>|v|$. However large
# $\|\beta^*\|$ is,
# $$\lambda_{\max}\to E\left[\frac{v}{\sinh v}\left(1+\frac{v^2}{\pi^2}\right)\right],\qquad v\sim N(0,\|w^*_\perp\|^2),$$
# along $\beta^*$: the *scale* of the experts is what one bit of $y$ cannot tell. As the
# likelihood does not change when $\beta$ and $w$ are exchanged, both have to be large.

# %%
mt.asymptote_figure(mt.snr_map(logistic, betas, [1.0], [90.0]), 1.0, 90.0)

# %% [markdown]
# ## Where one may start
# Away from $\theta^*$ the largest eigenvalue grows. `largest_region` searches for the
# nearest point at which it passes $1-\alpha$. What it finds is an upper bound on the
# radius, not a proof. EM may leave a Euclidean ball; a Bregman ball $\{\theta:
# B_A(\theta^*\|\theta)\le r\}$ it never leaves.

# %%
truth = at(linear, 3)
law = mt.Population(linear, truth, nats=7)
found = {
    s: mt.largest_region(linear, law, truth, 0.5, s) for s in ("euclidean", "bregman")
}
mt.table(
    ["shape", "radius for α = ½"], [(s, r.radius) for s, r in found.items()], digits=3
)

# %% [markdown]
# ## What is proved of the signal
# Maps and searches support; they prove nothing. For two linear experts there is a
# theorem: $\lambda_{\max}(M(\theta))\le C/\sqrt{1+\|\beta^*\|^2/\sigma^2}$ on a set
# around $\theta^*$, whatever the angle and the dimension (the dash-dotted line in the
# figure of the two ends). It gives conditions that can be quoted:

# %%
for guarantee in guarantees(linear, alpha=0.5, gates=[1], beta=16):
    print(guarantee.statement, end="\n\n")

# %% [markdown]
# ## What you have seen
# Predicted and measured rates agree within their errors, to five digits and more; the
# signal that linear experts need, with both limits; why no signal is enough for
# logistic ones; and how much of it is a theorem.
#
# **Try it yourself.** `moe-theory rate MODEL --data FILE.csv --response COL` predicts
# on your data; `moe-theory snr MODEL --alpha 0.5 --regions` draws the maps. **Limits.**
# The rate is asymptotic: far from the fixed point EM may be slower or faster, and where
# $\lambda_{\max}\ge1$ away from it nothing linear follows. $x$ is Gaussian here;
# certificates (05) are for any data. The proved constants are loose.
#
# **Where it is proved.** `moe-theory verify em-jacobian relative-convexity-iff linear
# information-order snr signal-gives-rate`.
