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
# # Does EM converge at the rate the theory predicts?
#
# A symmetric mixture of two linear experts is declared once, its theory derived, and EM's rate predicted from
# the missing-information matrix $M$. Then EM is run, on the population itself and on a sample, and the
# contraction that it shows is laid over the prediction.

# %%
import moe_theory as mt

model = mt.symmetric_linear()
theory = mt.derive(model)
theory

# %% [markdown]
# Nothing of this was typed in: `theory.mirror_map`, `theory.statistic`, `theory.missing_information` follow
# from the two log-densities of the declaration.

# %%
theory.missing_information

# %% [markdown]
# ## The prediction
# Near a fixed point the iterates contract at $\lambda_{\max}(M)$ and the gap $L-L^*$ at its square. On the
# population ($x\sim N(0,I)$) the expectation is exact up to a stated error, in any dimension.

# %%
truth = model.theta(beta=[3, 0, 0], w=[0, 1, 0])
population = mt.Population(model, truth)
predicted = mt.predict_rate(model, population, truth)
print(f"lambda_max = {predicted.lambda_max:.10f} ± {predicted.error:.1e}, alpha = {predicted.alpha:.6f}")

# %% [markdown]
# ## The run
# The same on 5,000 rows drawn from the model: now the prediction is $\lambda_{\max}(M_n(\hat\theta))$.

# %%
data = mt.MonteCarlo(model, truth, n=5000, seed=1).data()
trace = mt.run(mt.EM(model), data, start=truth + 0.1, tolerance=1e-13)
on_data = mt.predict_rate(model, data, trace.last)
measured = mt.measure_rate(trace)
print(trace.reason, "after", trace.iterations, "iterations")
print(f"iterates: predicted {on_data.iterates:.6f}, measured {measured.iterates:.6f} ± {measured.iterates_error:.0e}")
print(f"gap:      predicted {on_data.gap:.6f}, measured {measured.gap:.6f} ± {measured.gap_error:.0e}")

# %%
mt.rate_figure(trace, on_data)

# %% [markdown]
# The dashed line is the theorem's bound $(1-\alpha)^t$ on the gap: valid, and loose by a square root.
#
# ## Your own model
# A balanced mixture of two linear regressions (no gate), declared here and now. Everything works on it.

# %%
balanced = mt.Model(
    "balanced",
    latent=(-1, 1),
    predictors=("beta",),
    gate=None,
    expert=lambda y, z, beta: mt.log_normal(y, z * beta),
    response=mt.Reals(),
)
mt.derive(balanced)

# %%
for snr in (0.5, 1, 2, 4, 8):
    at = balanced.theta(beta=[snr, 0])
    rate = mt.predict_rate(balanced, mt.Population(balanced, at), at)
    print(f"|beta*| = {snr:<4}  lambda_max = {rate.lambda_max:.8f}")

# %% [markdown]
# And one whose experts are known, so that only the gate is learnt (the second stage of "Breaking the
# gridlock").

# %%
gate_only = mt.Model(
    "gate-only",
    latent=(0, 1),
    predictors=("w",),
    gate=lambda z, w: mt.log_expit(w if z == 1 else -w),
    expert=lambda y, z, a, b: mt.log_normal(y, b if z == 1 else a),
    response=mt.Reals(),
    known={"a": [2, 0, 0], "b": [-1, 1, 0]},
)
gate = gate_only.theta(w=[0, 0.5, 1])
sample = mt.MonteCarlo(gate_only, gate, n=5000, seed=2).data()
run = mt.run(mt.EM(gate_only), sample, start=0 * gate, tolerance=1e-13)
print(run.reason, run.last.round(3))
print(mt.predict_rate(gate_only, sample, run.last).lambda_max, mt.measure_rate(run).iterates)
