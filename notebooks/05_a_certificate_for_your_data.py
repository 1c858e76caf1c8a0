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
# # 05 · Can EM's convergence be proved on your data?
#
# *Yes, for flat models with two labels: `certify` makes a machine-checked proof that
# from every start in a region EM converges linearly to the one stationary point there,
# and at least how fast. `check` proves it again, in ball arithmetic with code of its
# own, from the file and your table alone.*
#
# ## Data
# Old Faithful: the waiting time to the next eruption (less 67 minutes) given the last
# one, $n=271$. Short and long waits alternate, so that two experts $\pm x^\top\beta$
# and a gate make sense; the noise is declared to be 6 minutes. It is embedded, as a CSV
# file; put your own there.

# %%
import copy

import numpy as np

import moe_theory as mt
from moe_theory.certificates.certificate import seal
from moe_theory.datasets import OLD_FAITHFUL

# %%
FILE, SIGMA = OLD_FAITHFUL, 6.0
COLUMNS = {"response": "waiting_centred", "features": "previous_waiting"}
data = mt.read_data(FILE, **COLUMNS, intercept=True)
model = mt.symmetric_linear(sigma=SIGMA)
print(len(data), "rows; features:", *data.names)

# %% [markdown]
# ## Prove
# The centre is the best of eight EM runs; the region an ellipsoid around it, in the
# metric of $\nabla^2A$, which does not depend on the features' units; its size and
# $\alpha$ are chosen. On all of it $\lambda_{\max}(M(\theta))<1-\alpha$ is proved, all
# rounding accounted for.

# %%
named = {"response": COLUMNS["response"], "intercept": True}
certificate = mt.certify(model, data, shape="ellipsoid", **named)
print(certificate)

# %% [markdown]
# With $r_0$ the basin's radius, $\hat\theta$ the stationary point and $c$ the centre,
# the theorem reads
# $$\|\theta_1-c\|_H\le r_0 \;\Rightarrow\; B_A(\hat\theta\|\theta_{T+1}) \le (1-\alpha)^T\,B_A(\hat\theta\|\theta_1)\quad\text{for all }T.$$
# Below, what is proved of $\lambda_{\max}$ against the region's radius, above what an
# adversary found: the truth is in between. Starts are in the narrower basin, as
# iterates must not leave the region.

# %%
mt.certificate_figure(mt.radius_curve(data, certificate))

# %% [markdown]
# ## Check
# The checker shares no numerics with the maker. It lists what it proved:

# %%
checked = mt.check(certificate.document, data)
print("valid:", checked.valid)
mt.table(["proved again", "value"], checked.proved)

# %% [markdown]
# ## See it happen
# EM from the edge of the basin, in $M$'s slowest direction: the divergence that is
# proved to fall by the factor $1-\alpha$ per step falls by
# $\lambda_{\max}(M(\hat\theta))^2$ in the end.

# %%
slowest = mt.predict_rate(model, data, certificate.region.centre).direction
trace = mt.run(mt.EM(model), data, certificate.edge(slowest), tolerance=1e-13)
found = np.array([mt.bregman(model, data, trace.last, t) for t in trace.thetas[:9]])
bound = found[0] * certificate.lambda_upper ** np.arange(9)
names = ["T", r"$B_A(\hat\theta\|\theta_{T+1})$", "proved bound", "next over this"]
mt.table(names, zip(range(8), found, bound, found[1:] / found[:-1]), digits=3)

# %% [markdown]
# ## Tamper
# A file that was changed is noticed by its seal. Whoever renews the seal still has to
# prove what the file says, of these very data.

# %%
document = certificate.document
edited, other = copy.deepcopy(document), mt.Data(data.x[:200], data.y[:200])
edited["basin"]["radius"] *= 1.01
borrowed = mt.certify(model, other, shape="ellipsoid").document | {
    "data": document["data"]
}
resealed = lambda d: d | {"seal": seal(d)}

# %%
off = mt.Data(data.x, [data.y[0] + 1e-9, *data.y[1:]])
tried = {
    "basin 1% wider": (edited, data),
    "the same, seal renewed": (resealed(edited), data),
    "another table's proof, said of this one": (resealed(borrowed), data),
    "one response off by 1e-9": (document, off),
}
said = [(name, mt.check(*pair).reason) for name, pair in tried.items()]
mt.table(["what was done", "why it is rejected"], said)

# %% [markdown]
# ## What it does not say
# - **Nothing about other starts.** Outside the basin EM may converge all the same, and mostly does.
# - **Nothing about the model.** That two experts with this $\sigma$ describe the geyser is declared, not proved; nor that $\hat\theta$ is the global maximum.
# - **Nothing where it fails.** A refusal comes with its reason, and is no proof that EM is slow:

# %%
print(mt.certify(model, data, shape="ellipsoid", alpha=0.95))

# %% [markdown]
# ## What you have seen
# A theorem about your own table, with numbers, in a file that anybody can check without
# trusting its maker.
#
# **Try it yourself.** Set `FILE`, `COLUMNS` and `SIGMA` above; or `moe-theory certify
# FILE.csv --response COL --features A,B --intercept --shape ellipsoid --out CERT.json
# --page CERT.html`, then `moe-theory check CERT.json FILE.csv`. **Limits.** Two labels,
# flat, mirror maps of quadratic terms and softplus: the two symmetric models, gates
# between given experts, and declarations like these. Logistic experts seldom have
# $\lambda_{\max}$ clear of 1. Bounds are conservative: the gap between the curves in
# the figure is their price.
#
# **Where it is proved.** `moe-theory verify certificate-sound certificate-basin
# linear`; the theorem, its proof and the methods in
# [docs/certificates.md](../docs/certificates.md).
