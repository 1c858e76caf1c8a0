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
# # 01 · What is the mirror map of your mixture of experts?
#
# *It is the log-partition function $A$ of $(y,z)$ given $x$: the two log-densities of a
# declaration determine it, and with it the Fisher information, the missing information
# and the matrix $M$ that says how fast EM is. Where a model has no such $A$, the
# derivation names the term that is to blame.*
#
# ## Declare
# A label $z\in\{-1,1\}$, two predictors $\eta_\beta=x^\top\beta$ and $\eta_w=x^\top w$,
# a gate $P(z|x)=\sigma(z\,\eta_w)$, and experts $y|x,z\sim N(z\,\eta_\beta,1)$. Nothing
# else is said about this model, here or anywhere in the package.

# %%
import sympy as sp
from IPython.display import Math

import moe_theory as mt

gate = lambda z, w: mt.log_expit(z * w)
normal = lambda y, z, beta: mt.log_normal(y, z * beta)
model = mt.Model("symmetric-linear", (-1, 1), ("beta", "w"), gate, normal, mt.Reals())

# %% [markdown]
# ## Derive
# The joint density is an exponential family if
# $$\log p(y,z|x;\theta) = \log h(y,z) + \langle s(y,z),\eta\rangle - A_x(\eta).$$
# Then $s=\partial_\eta\log p$ up to a constant, and $A_x$ is what is left.

# %%
theory = mt.derive(model)
Math(theory.latex("statistic", "natural_parameters", "mirror_map"))

# %% [markdown]
# The natural parameters are the predictors themselves: the family is *flat*. So
# $A(\theta)=E_x A_x(\Theta x)$ is a function of $\theta$, convex, and
# $B_A(\varphi\|\theta) = E_x\,\mathrm{KL}(p_\theta\|p_\varphi)$. Its derivatives are
# the mean of $s$ and the Fisher information of the complete data.

# %%
Math(theory.latex("mean", "complete_information"))

# %% [markdown]
# ## What is missing
# Not seeing $z$ costs the information $I_{z|x,y}=\mathrm{Cov}(s|x,y)$. With the
# posterior $p=P(z=1|x,y)$ and $\Delta s=s(y,1)-s(y,-1)$ it is $p(1-p)\,\Delta s\,\Delta
# s^\top$:

# %%
Math(theory.latex("posterior[1]", "missing_information"))

# %% [markdown]
# Averaged over a law of $(x,y)$, with $\otimes\,xx^\top$, the two give
# $M(\theta)=(\nabla^2A)^{-1}I_{z|x,y}$. EM contracts at $\lambda_{\max}(M)$ near a
# fixed point, and $L$ is $\alpha$-strongly convex relative to $A$ where
# $\lambda_{\max}(M)\le 1-\alpha$. Here for $x\sim N(0,I_3)$, $\beta^*=(3,0,0)$,
# $w^*=(0,1,0)$, by quadrature:

# %%
truth = model.theta(beta=[3, 0, 0], w=[0, 1, 0])
rate = mt.predict_rate(model, mt.Population(model, truth), truth)
mt.table(
    ["i", r"$\lambda_i(M(\theta^*))$"], enumerate(rate.eigenvalues, start=1), digits=10
)

# %% [markdown]
# ## Is it true?
# The same declaration goes through the claims that speak of any flat model. *Proved*
# means that an expression was reduced to zero exactly; a verdict is computed, never
# typed in.

# %%
names = "exponential-family mirror-map-convex kl-is-bregman fisher-identity"
mt.verdict_table(mt.verify_model(model, names.split()))

# %% [markdown]
# ## Another expert, another mirror map
# Logistic experts, $P(y|x,z)=\sigma(y\,z\,\eta_\beta)$ for $y\in\{-1,1\}$. Only the
# expert and the domain of $y$ change.

# %%
bernoulli = lambda y, z, beta: mt.log_expit(y * z * beta)
signs = mt.Values((-1, 1))
binary = mt.Model("symmetric-logistic", (-1, 1), ("beta", "w"), gate, bernoulli, signs)
Math(mt.derive(binary).latex("statistic", "mirror_map", "complete_information"))

# %% [markdown]
# Symmetries are derived as well: the linear maps $G$ with $p(y|x;G\eta)=p(y|x;\eta)$.
# Errors are measured modulo these. The logistic model has one that the linear one has
# not, the exchange of $\beta$ and $w$: from one bit of $y$ alone, gate and expert
# cannot be told apart.

# %%
show = lambda m: "  ".join(f"${sp.latex(g)}$" for g in mt.derive(m).symmetries)
mt.table(["model", "symmetries $G$"], [(m.name, show(m)) for m in (model, binary)])

# %% [markdown]
# ## What is refused, and why
# *Curved*: experts with coefficients of their own, $N(x^\top\beta_z,1)$, or a scale
# that depends on $\beta$. The term $-\eta_{\beta_1}^2/2$ belongs to one label only, and
# no $A$ can absorb it. *Not an exponential family*: the Laplace law and Student's. *No
# law at all*: a normal density without its constant.

# %%
curved = lambda y, z, beta: mt.log_normal(y, z * beta, sp.exp(beta))
laplace = lambda y, z, beta: -sp.Abs(y - z * beta) - sp.log(2)
student = lambda y, z, beta: -2 * sp.log(1 + (y - z * beta) ** 2 / 3)
bare = lambda y, z, beta: -((y - z * beta) ** 2) / 2

# %%
own = {"scale": curved, "laplace": laplace, "student": student, "no-constant": bare}
make = lambda name: mt.Model(name, (-1, 1), ("beta", "w"), gate, own[name], mt.Reals())
models = [mt.linear_experts(), *map(make, own)]
mt.table(["model", "what stands in its way"], [(m.name, mt.why_not(m)) for m in models])

# %% [markdown]
# A curved model is no dead end: EM is then *projected* mirror descent, $M$ still
# predicts its rate, and everything but $A$ and $B_A$ is computed. A model that is no
# exponential family is refused outright.
#
# ## What you have seen
# Two log-densities gave $s$, $\eta$, $A$, $\nabla^2A$, $I_{z|x,y}$, $M$ and the
# symmetries; and four ways to fail.
#
# **Try it yourself.** Change an expert above and run again; or `moe-theory derive
# FILE.py:NAME` on a declaration of your own. **Limits.** A real response needs normal
# experts, a count Poisson ones, if the law is to be checked exactly and integrated (of
# any other real response the normalising constant is checked by quadrature, where that
# can tell); with finitely many responses any experts will do.
#
# **Where it is proved.** `moe-theory verify exponential-family mirror-map-convex
# kl-is-bregman fisher-identity information-split`; for curved models
# `em-is-projected-mirror-descent`.
