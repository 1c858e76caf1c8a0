"""Poisson experts with counts up to 2^53, against mpmath."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest

import moe_theory as mt
from moe_theory.errors import InputError
from moe_theory.evaluation import twofold
from moe_theory.evaluation.families import MOST, Poisson


def exact(eta: mp.mpf, y: float) -> mp.mpf:
    return int(y) * eta - mp.e**eta - mp.loggamma(int(y) + 1)


@pytest.mark.parametrize("size", [1.0, 30.0, 1e3, 9e4, 1.1e5, 1e8, 5e10, 1e15, 8e15])
def test_log_density_is_right_to_1e_12(size: float) -> None:
    rng = np.random.default_rng(1)
    x = np.stack([np.ones(60), rng.uniform(-1, 1, 60)])
    b = np.array([[np.log(size) - 0.1, 0.1]])
    y = np.minimum(rng.poisson(np.exp(b @ x)[0]), MOST).astype(float)
    y[:3] = 0, size // 2, min(2 * size, MOST) // 1
    poisson, eta = Poisson(), b @ x
    lost = twofold.lost(b, x, eta) if poisson.exacting(y) else 0.0
    log_density, residual = poisson.log_density(y, eta[None], lost)
    mp.mp.dps = 60
    means = [mp.mpf(b[0, 0]) + mp.mpf(b[0, 1]) * mp.mpf(v) for v in x[1]]
    for found, rest, e, own in zip(log_density[0] + poisson.base(y), residual[0, 0], means, y, strict=True):
        assert abs(mp.mpf(found) / exact(e, own) - 1) < 1e-12
        assert abs(mp.mpf(rest) - (int(own) - mp.e**e)) < 1e-14 * max(own, mp.e**e)
    zero = poisson.log_density(np.zeros(60), np.full((1, 1, 60), -800.0))
    assert np.all(zero[0] == 0) and np.all(np.isfinite(zero[1]))


def test_logarithms_in_two_parts() -> None:
    y = np.concatenate([2.0 ** np.arange(0, 54, 5), [3.0, 1e5 + 1, 1e15, MOST - 1, 0.7, 1.4142]])
    high, low = twofold.log(y)
    mp.mp.dps = 40
    worst = max(abs(mp.log(mp.mpf(v)) - mp.mpf(h) - mp.mpf(r)) for v, h, r in zip(y, high, low, strict=True))
    assert worst < 1e-19 and np.all(np.abs(low) <= 1e-15 * (1 + np.abs(high)))


@pytest.fixture(scope="module")
def far() -> tuple[np.ndarray, np.ndarray, mt.MixtureFit]:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 60)
    y = rng.poisson(1e14 * np.exp(np.where(rng.random(60) < 0.5, 1 + x, 3 - x))).astype(float)
    return x, y, mt.fit_mixture(x[:, None], y, k=2, family="poisson", restarts=2)


def test_a_fit_of_large_counts(far: tuple[np.ndarray, np.ndarray, mt.MixtureFit]) -> None:
    x, y, fit = far
    assert fit.converged
    mp.mp.dps = 60
    total = mp.mpf(0)
    for v, own in zip(x, y, strict=True):
        score = mp.mpf(fit.gate[1, 0]) + mp.mpf(fit.gate[1, 1]) * mp.mpf(v)
        log_gate = -mp.log1p(mp.e**score), score - mp.log1p(mp.e**score)
        joint = [
            g + exact(mp.mpf(b[0]) + mp.mpf(b[1]) * mp.mpf(v), own) for g, b in zip(log_gate, fit.experts, strict=True)
        ]
        total += max(joint) + mp.log1p(mp.e ** (min(joint) - max(joint)))
    assert abs(mp.mpf(fit.log_likelihood) / total - 1) < 1e-12
    # Each expert is the maximum on its rows: the labels are certain. The score there is that of exact arithmetic.
    hard = fit.responsibilities()[:, 0] > 0.5
    for z, own in enumerate((hard, ~hard)):
        b = [mp.mpf(v) for v in fit.experts[z]]
        for _ in range(3):
            mean = [mp.e ** (b[0] + b[1] * mp.mpf(v)) for v in x[own]]
            score = [
                mp.fsum((int(c) - m) * s for c, m, s in zip(y[own], mean, f, strict=True)) for f in features(x[own])
            ]
            gram = [
                [mp.fsum(m * s * t for m, s, t in zip(mean, f, g, strict=True)) for g in features(x[own])]
                for f in features(x[own])
            ]
            step = mp.lu_solve(mp.matrix(gram), mp.matrix(score))
            b = [b[0] + step[0], b[1] + step[1]]
        # An M-step aims at 1e-14 of θ in the metric of the information, here 1e-5 standard errors per root of a row.
        away = fit.experts[z] - [float(v) for v in b]
        assert np.max(np.abs(away) / fit.inference.standard_errors[2 * z : 2 * z + 2]) < 1e-3


def features(x: np.ndarray) -> list[list[mp.mpf]]:
    return [[mp.mpf(1)] * len(x), [mp.mpf(v) for v in x]]


def test_what_is_said_of_large_counts(far: tuple[np.ndarray, np.ndarray, mt.MixtureFit]) -> None:
    x, y, fit = far
    drawn, labels = fit.sample(0)
    means = fit.expert_means()[np.arange(60), labels - 1]
    assert np.max(np.abs((drawn - means) / np.sqrt(means))) < 5
    assert fit.rate is not None and 0 <= fit.rate.lambda_max < 1e-6  # labels that are certain hide nothing
    assert np.all(np.isfinite(fit.inference.standard_errors))
    np.testing.assert_allclose(fit.log_density(x[:, None], y), fit.log_density(), rtol=1e-15)


def test_counts_beyond_doubles_are_refused(far: tuple[np.ndarray, np.ndarray, mt.MixtureFit]) -> None:
    x, y, fit = far
    large = y.copy()
    large[7] = 2.0**53 + 2
    with pytest.raises(InputError, match=r"2\^53.*in row 7"):
        mt.fit_mixture(x[:, None], large, k=2, family="poisson")
    with pytest.raises(InputError, match=r"2\^53.*in row 7"):
        fit.log_density(x[:, None], large)
    with pytest.raises(InputError, match="to draw counts"):
        fit.sample(0, np.full((200, 1), 4.0))
