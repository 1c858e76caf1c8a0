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
# # How strong must the signal be for EM to converge fast?
#
# $L$ is $\alpha$-strongly convex relative to the mirror map wherever $\lambda_{\max}(M) \le 1-\alpha$. Here
# is where that is so for symmetric mixtures of two experts under $x\sim N(0,I)$, as a function of
# $\|\beta^*\|$ (the signal-to-noise ratio), $\|w^*\|$ and the angle between them.

# %%
import numpy as np

import moe_theory as mt

linear, logistic = mt.symmetric_linear(), mt.symmetric_logistic()
grid = np.geomspace(0.5, 16, 7).round(3).tolist()
mt.phase_map(mt.snr_map(linear, grid, grid, [15, 90]))

# %% [markdown]
# Linear experts need $\|\beta^*\|$ of about 2, whatever the gate, as long as the angle is not small. Logistic
# experts are another matter:

# %%
mt.phase_map(mt.snr_map(logistic, grid, grid, [15, 90]))

# %% [markdown]
# ## The two ends
# As $\|\beta^*\|\to 0$ the labels say nothing and $\lambda_{\max} = 1 - C_0\|\beta^*\|^2$. As
# $\|\beta^*\|\to\infty$ linear experts leave doubt about the label only in the strip $|x'\beta^*| = O(1)$, so
# that $\lambda_{\max} = C/\|\beta^*\|$; the constants follow from the derivation.

# %%
betas = np.geomspace(0.08, 80, 16).round(4).tolist()
mt.asymptote_figure(mt.snr_map(linear, betas, [1.0], [90.0]), 1.0, 90.0)

# %%
for angle in (0, 45, 90):
    limit = mt.high_snr(linear, gate=1.0, angle=angle)
    print(f"angle {angle:2}°: λ_max ≈ {limit.coefficient:.6f}/‖β*‖, on top: {limit.eigenvector}")

# %% [markdown]
# ## Why logistic experts stay near 1
# Per row, averaged over $y$, the missing information of the experts is $\frac{1}{2(\cosh u+\cosh v)}$ with
# $u=x'\beta^*$, $v=x'w^*$, out of $\frac{1}{2(1+\cosh u)}$: nothing is learnt at $v=0$, and little where
# $|u|>|v|$. So however large $\|\beta^*\|$ is, $\lambda_{\max}\to E\left[\frac{v}{\sinh
# v}\left(1+\frac{v^2}{\pi^2}\right)\right]$ with $v\sim N(0,\|w^*_\perp\|^2)$, along $\beta^*$: the *scale*
# of the experts is what one bit of $y$ cannot tell. As the likelihood does not change when $\beta$ and $w$
# are exchanged, both have to be large.

# %%
mt.asymptote_figure(mt.snr_map(logistic, betas, [1.0], [90.0]), 1.0, 90.0)

# %%
point = mt.snr_map(logistic, [12.0], [1.0], [90.0]).points[0]
{name: round(share, 3) for name, share in point.share.items() if share > 0.005}

# %% [markdown]
# ## Where one may start
# Away from $\theta^*$ the largest eigenvalue grows. `largest_region` searches for the nearest point at which
# it passes $1-\alpha$: on the ball inside, EM contracts at $1-\alpha$. A Bregman ball is never left by EM.

# %%
truth = linear.theta(beta=[3, 0, 0], w=[0, 1, 0])
law = mt.Population(linear, truth, nats=9)
for shape in ("euclidean", "bregman"):
    region = mt.largest_region(linear, law, truth, alpha=0.5, shape=shape)
    print(f"{shape}: radius {region.radius:.3f}, nearest point\n{region.nearest.round(2)}")

# %% [markdown]
# ## What is proved
# The searches above support; they prove nothing. For two linear experts there is a theorem:
# $\lambda_{\max}(M(\theta)) \le C/\sqrt{1+\|\beta^*\|^2/\sigma^2}$ on a set around $\theta^*$, whatever the
# angle and the dimension (the black line in the figure of the two ends). It gives conditions that can be
# quoted, and starts from which EM on the population converges linearly:

# %%
from moe_theory.analysis.signal import guarantees

for guarantee in guarantees(linear, alpha=0.5, gates=[0.5, 1], beta=16):
    print(guarantee.statement, end="\n\n")
