"""The picture of a fitted mixture: rows by responsibility, the experts' curves, the gate."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from test_mixture_em import FAMILIES, draw

import moe_theory as mt
from moe_theory.errors import InputError
from moe_theory.mixture.fit import fit_problem
from moe_theory.report.themes import LIGHT


@pytest.mark.parametrize("family", FAMILIES)
def test_curves_are_the_fit(family: str) -> None:
    fit = fit_problem(draw(family, 2, 150, 7), restarts=2, max_iterations=40, penalty=mt.Penalty(1e-2))
    figure = mt.mixture_figure(fit, title="a title")
    above, below = figure.axes
    assert above.get_title(loc="left") == "a title" and below.get_ylabel() == r"gate $P(z\,|\,x)$"
    # The gate sees a feature of its own, so the two panels have axes of their own.
    assert above.get_xlabel() == "x1" and below.get_xlabel().startswith("w1 (curves:")
    grid = above.lines[0].get_xdata()
    means = fit.expert_means(grid[:, None], np.full((len(grid), 1), np.mean(fit.problem.law.x[:, 2])))
    drawn = np.stack([line.get_ydata() for line in above.lines])
    np.testing.assert_allclose(drawn, np.moveaxis(means.reshape(len(grid), -1), 0, 1), rtol=1e-10)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[0].startswith("expert 1") and names[-1].startswith("expert 2")
    prior = np.stack([line.get_ydata() for line in below.lines])
    np.testing.assert_allclose(np.sum(prior, axis=0), 1, rtol=1e-12)


def test_rows_are_coloured_by_responsibility() -> None:
    fit = fit_problem(draw("gaussian", 2, 80, 7), restarts=2)
    points = mt.mixture_figure(fit).axes[0].collections[0]
    expected = fit.responsibilities() @ np.array([to_rgb(c) for c in LIGHT.colours[:2]])
    np.testing.assert_allclose(points.get_facecolor()[:, :3], expected, atol=1e-12)
    np.testing.assert_allclose(points.get_offsets()[:, 1], fit.problem.law.y)


def test_the_feature_is_the_users_choice() -> None:
    fit = fit_problem(draw("poisson", 2, 80, 3, d=2), restarts=2)
    assert mt.mixture_figure(fit, "x2").axes[0].get_xlabel() == "x2"
    with pytest.raises(InputError, match=r"^feature: expected one of x1, x2, w1, got 'age'$"):
        mt.mixture_figure(fit, "age")
    rng = np.random.default_rng(0)
    empty = mt.fit_mixture(np.empty((40, 0)), rng.standard_normal(40) + 4 * (np.arange(40) % 2), restarts=2)
    with pytest.raises(InputError, match="intercepts only"):
        mt.mixture_figure(empty)


def test_the_trace_is_drawn_over_its_predicted_rate() -> None:
    fit = fit_problem(draw("gaussian", 2, 300, 5), restarts=2, tolerance=1e-10)
    figure = mt.rate_figure(fit.trace, fit.rate)
    text = " ".join(t.get_text() for t in figure.legends[0].get_texts())
    assert f"{fit.rate.lambda_max:.4f}" in text


def test_terms_made_of_one_variable_move_together() -> None:
    pytest.importorskip("formulaic")
    rng = np.random.default_rng(0)
    x, g = rng.uniform(-2, 2, 300), np.array(["a", "b", "b"] * 100)
    z = rng.standard_normal(300) + 5
    frame = {"x": x, "g": g, "z": z, "out": x**2 + (g == "b") * x + z + 0.1 * rng.standard_normal(300)}
    found = mt.fit_formula("out ~ x * g + I(x**2) + z", frame, 1, restarts=1)
    figure = mt.mixture_figure(found)
    curve = next(line for line in figure.axes[0].lines if line.get_label() == "expert 1")
    at, mean = curve.get_data()
    np.testing.assert_allclose(mean, at**2 + at + np.mean(z), atol=0.1)  # text at its most frequent, b; z at its mean
    assert figure.axes[0].get_ylabel().replace("\n", " ") == "out and E[out | x, z] ± σ"
    under = figure.axes[1].get_xlabel().replace("\n", " ")
    assert under == "x (curves: the other variables at their means, text at its most frequent)"
    with pytest.raises(mt.InputError, match=r"^feature: expected one of x, z, got 'g'$"):
        mt.mixture_figure(found, "g")
