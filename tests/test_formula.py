"""Formulas against matrices built by hand; frames that are refused, each in one line."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from moe_theory.errors import InputError
from moe_theory.mixture import fit_mixture
from moe_theory.mixture.formula import FormulaFit, fit_formula, formula_problem
from moe_theory.mixture.problem import INTERCEPT, Problem

pd = pytest.importorskip("pandas")
pytest.importorskip("formulaic")

N = 90
QUICK: dict[str, Any] = {"restarts": 1, "max_iterations": 15}


def table() -> dict[str, Any]:
    rng = np.random.default_rng(7)
    x, w = rng.uniform(-1, 1, N), rng.standard_normal(N)
    g = np.array(["a", "b", "c"] * (N // 3))
    y = np.where(rng.random(N) < 1 / (1 + np.exp(-3 * w)), 2 * x, 1 - x) + 0.3 * rng.standard_normal(N)
    return {
        "y": y,
        "x": x,
        "w": w,
        "g": g,
        "ok": np.where(rng.random(N) < 1 / (1 + np.exp(-2 * x)), "yes", "no"),
        "count": rng.poisson(np.exp(x)),
        "site": np.tile([1, 2], N // 2),
        "wt": rng.integers(1, 4, N),
        "two words": w**2,
    }


T = table()
ONE = np.ones(N)
B, C = (T["g"] == "b") * 1.0, (T["g"] == "c") * 1.0


def columns(problem: Problem) -> dict[str, np.ndarray]:
    x = np.concatenate([block.x for block in problem.law.blocks], axis=1)
    return dict(zip(problem.features.columns, x, strict=True))


# formula, the experts' features by hand, the gate's
SEMANTICS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "y ~ x": ({INTERCEPT: ONE, "x": T["x"]}, {INTERCEPT: ONE, "x": T["x"]}),
    "y ~ x | w": ({INTERCEPT: ONE, "x": T["x"]}, {INTERCEPT: ONE, "w": T["w"]}),
    "y ~ x | x + w": ({INTERCEPT: ONE, "x": T["x"]}, {INTERCEPT: ONE, "x": T["x"], "w": T["w"]}),
    "y ~ x - 1": ({"x": T["x"]}, {"x": T["x"]}),
    "y ~ 0 + x | w": ({"x": T["x"]}, {INTERCEPT: ONE, "w": T["w"]}),
    "y ~ x | w - 1": ({INTERCEPT: ONE, "x": T["x"]}, {"w": T["w"]}),
    "y ~ 0 + x | 0 + w": ({"x": T["x"]}, {"w": T["w"]}),
    "y ~ 1 | w": ({INTERCEPT: ONE}, {INTERCEPT: ONE, "w": T["w"]}),
    "y ~ x | 1": ({INTERCEPT: ONE, "x": T["x"]}, {INTERCEPT: ONE}),
    "y ~ x |": ({INTERCEPT: ONE, "x": T["x"]}, {INTERCEPT: ONE}),
    "y ~ g": ({INTERCEPT: ONE, "g[T.b]": B, "g[T.c]": C},) * 2,
    "y ~ 0 + g": ({"g[a]": 1 - B - C, "g[b]": B, "g[c]": C},) * 2,
    "y ~ C(site) | g": (
        {INTERCEPT: ONE, "C(site)[T.2]": T["site"] == 2},
        {INTERCEPT: ONE, "g[T.b]": B, "g[T.c]": C},
    ),
    "y ~ x * g | 1": (
        {INTERCEPT: ONE, "x": T["x"], "g[T.b]": B, "g[T.c]": C, "x:g[T.b]": B * T["x"], "x:g[T.c]": C * T["x"]},
        {INTERCEPT: ONE},
    ),
    "y ~ x:w + I(x**2) | np.exp(w)": (
        {INTERCEPT: ONE, "I(x ** 2)": T["x"] ** 2, "x:w": T["x"] * T["w"]},
        {INTERCEPT: ONE, "np.exp(w)": np.exp(T["w"])},
    ),
    "y ~ scale(x) + `two words` | center(w)": (
        {INTERCEPT: ONE, "scale(x)": (T["x"] - T["x"].mean()) / T["x"].std(ddof=1), "two words": T["two words"]},
        {INTERCEPT: ONE, "center(w)": T["w"] - T["w"].mean()},
    ),
    "y ~ . - g - ok - `two words` - site - wt - count | w": (
        {INTERCEPT: ONE, "x": T["x"], "w": T["w"]},
        {INTERCEPT: ONE, "w": T["w"]},
    ),
}


@pytest.mark.parametrize("formula", SEMANTICS)
def test_a_formula_makes_the_matrices_built_by_hand(formula: str) -> None:
    experts, gate = SEMANTICS[formula]
    problem, _ = formula_problem(formula, T)
    features = problem.features
    assert (features.experts, features.gate) == (tuple(experts), tuple(gate))
    found = columns(problem)
    for name, expected in experts.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-13, atol=1e-13)
    for name, expected in gate.items():
        np.testing.assert_allclose(found[features.gate_column(name)], expected, rtol=1e-13, atol=1e-13)
    # The log sigmas see a column of ones, whoever has an intercept; what both see is there once.
    assert np.all(found[features.scale] == 1.0)
    assert features.scale == (INTERCEPT if INTERCEPT in (*experts, *gate) else "(scale)")
    assert set(features.shared) == set(experts) & set(gate)
    np.testing.assert_array_equal(problem.law.y, T["y"])


def test_the_response_is_transformed() -> None:
    problem, _ = formula_problem("log(count + 1) ~ x", T)
    np.testing.assert_allclose(problem.law.y, np.log1p(T["count"]), rtol=1e-15)


@pytest.mark.parametrize("formula", ["y ~ x | w", "y ~ 0 + x | w", "y ~ x | w - 1", "y ~ 0 + x | 0 + w"])
def test_a_fit_is_the_fit_of_those_matrices(formula: str) -> None:
    """Intercepts as features by hand: the same iterates."""
    found = fit_formula(formula, T, **QUICK).fit
    experts, gate = SEMANTICS[formula]
    stack = lambda part: np.column_stack(list(part.values()))
    expected = fit_mixture(
        stack(experts),
        T["y"],
        2,
        gate=stack(gate),
        intercept=False,
        names=tuple(experts),
        gate_names=tuple(gate),
        **QUICK,
    )
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(found.experts, expected.experts, rtol=1e-9)
    np.testing.assert_allclose(found.gate, expected.gate, rtol=1e-9)


def test_weights_and_offset_by_name_and_as_arrays() -> None:
    named = fit_formula("count ~ x | 1", T, family="poisson", weights="wt", offset="w", ridge=0.01, **QUICK)
    arrays = fit_formula("count ~ x | 1", T, family="poisson", weights=T["wt"], offset=T["w"], ridge=0.01, **QUICK)
    expected = fit_mixture(
        T["x"][:, None],
        T["count"],
        2,
        "poisson",
        np.empty((N, 0)),
        weights=T["wt"],
        offset=T["w"],
        ridge=0.01,
        **QUICK,
    )
    assert named.fit.log_likelihood == arrays.fit.log_likelihood == expected.log_likelihood
    assert named.fit.problem.rows == np.sum(T["wt"])
    np.testing.assert_allclose(named.predict(T), expected.predict(), rtol=1e-12)
    np.testing.assert_allclose(arrays.predict(T, offset=T["w"]), expected.predict(), rtol=1e-12)
    # `.` is all other columns.
    problem, _ = formula_problem("count ~ . - g - ok - y - site - `two words`", T, 1, "poisson", "wt", "w")
    assert problem.features.experts == (INTERCEPT, "x")


def test_responses_of_text() -> None:
    binomial = fit_formula("ok ~ x", T, 1, "binomial", **QUICK).fit
    assert binomial.problem.classes == ("no", "yes")
    expected = fit_mixture(T["x"][:, None], T["ok"] == "yes", 1, "binomial", **QUICK)
    np.testing.assert_array_equal(binomial.experts, expected.experts)
    multinomial = fit_formula("g ~ x", T, 1, "multinomial", **QUICK).fit
    assert multinomial.problem.classes == ("a", "b", "c")
    expected = fit_mixture(T["x"][:, None], B + 2 * C, 1, "multinomial", **QUICK)
    np.testing.assert_array_equal(multinomial.experts, expected.experts)
    assert {c.category for c in multinomial.coefficients()} == {"b", "c"}


def test_a_response_may_be_stated_to_be_a_category() -> None:
    """C(y): text as it is, numbers as their names."""
    problem, terms = formula_problem("C(ok) ~ x", T, 1, "binomial")
    np.testing.assert_array_equal(problem.law.y, T["ok"] == "yes")
    assert terms.classes == ("no", "yes")
    codes = np.array([10.0, 9.0, 30.0])[np.arange(N) % 3]
    found = fit_formula("C(code) ~ x", T | {"code": codes}, 1, "multinomial", **QUICK)
    assert found.terms.classes == ("9", "10", "30")
    y = found.terms.read({"x": [0.0, 0.0], "code": [30, 9]}, None, response=True)[3]
    np.testing.assert_array_equal(y, [2.0, 0.0])


def test_a_categorical_has_its_own_order_and_no_unused_levels() -> None:
    frame = pd.DataFrame(T)
    frame["ok"] = pd.Categorical(frame["ok"], ["yes", "perhaps", "no"])
    frame["g"] = pd.Categorical(frame["g"], ["c", "d", "b", "a"])
    problem, _ = formula_problem("ok ~ g", frame, 1, "binomial")
    assert problem.classes == ("yes", "no")
    assert problem.features.experts == (INTERCEPT, "g[T.b]", "g[T.a]")
    np.testing.assert_array_equal(problem.law.y, T["ok"] == "no")
    frame["ok"] = frame["ok"] == "yes"
    assert np.array_equal(formula_problem("ok ~ x", frame, 1, "binomial")[0].law.y, T["ok"] == "yes")


@pytest.fixture(scope="module")
def fitted() -> FormulaFit:
    return fit_formula("ok ~ scale(x) + g | w + C(site)", T, family="binomial", ridge=0.01, **QUICK)


def test_a_fit_reads_other_frames(fitted: FormulaFit) -> None:
    """Rows of one level, in any order and under any index, with the location and scale of the fit."""
    rows = np.flatnonzero(T["g"] == "b")[::-1]
    other = pd.DataFrame(T).iloc[rows]
    assert list(other.index) != list(range(len(other)))
    for method in ("predict", "gate_probabilities", "responsibilities", "log_density"):
        np.testing.assert_allclose(getattr(fitted, method)(other), getattr(fitted, method)()[rows], rtol=1e-12)
    assert np.sum(fitted.log_density(T)) == pytest.approx(fitted.fit.log_likelihood, rel=1e-12)
    without = other.drop(columns=["ok", "y"])
    np.testing.assert_array_equal(fitted.predict(without), fitted.predict(other))
    y, z = fitted.sample(3, without)
    assert set(y) <= {0.0, 1.0} and set(z) <= {1, 2} and len(y) == len(without)
    np.testing.assert_array_equal(fitted.sample(3, T)[0], fitted.sample(3)[0])
    np.testing.assert_array_equal(
        fitted.predict({"x": [0.5], "g": ["b"], "w": [0.0], "site": [2]}),
        fitted.predict({"x": 0.5, "g": "b", "w": [0.0], "site": 2}),
    )


@pytest.mark.parametrize("formula", ["y ~ x", "y ~ x | w", "y ~ 0 + x | w", "y ~ 0 + x | 0 + w", "y ~ poly(x, 2) | 1"])
def test_other_frames_whoever_has_the_intercept(formula: str) -> None:
    found = fit_formula(formula, T, **QUICK)
    rows = slice(10, 40)
    np.testing.assert_allclose(found.predict(pd.DataFrame(T)[rows]), found.predict()[rows], rtol=1e-12)
    np.testing.assert_allclose(found.log_density(pd.DataFrame(T)[rows]), found.log_density()[rows], rtol=1e-12)


def test_other_frames_where_the_experts_alone_have_an_intercept() -> None:
    found = fit_formula("y ~ x | w - 1", T, **QUICK)
    np.testing.assert_allclose(found.predict(T), found.predict(), rtol=1e-12)


OTHER_FRAMES: dict[str, tuple[dict[str, Any], str]] = {
    "level": ({"g": ["a", "zz"] * (N // 2)}, "frame: expected one of a, b, c in column g, got 'zz' in row 1"),
    "level of C()": (
        {"site": [1] * (N - 1) + [3]},
        f"frame: expected one of 1, 2 in column site, got '3' in row {N - 1}",
    ),
    "text": ({"x": "t"}, "frame: expected numbers in column x, as in the fit, got categories"),
    "numbers": ({"g": 1}, "frame: expected categories in column g, as in the fit, got numbers"),
    "missing": ({"w": [np.nan, *T["w"][1:]]}, "frame: expected no missing values, got 1 in column w (row 0)"),
    "infinite": ({"x": np.inf}, "formula: expected finite values, got inf in scale(x), row 0"),
    "class": ({"ok": ["no", "maybe"] * (N // 2)}, "y: expected one of no, yes in column ok, got 'maybe' in row 1"),
}


@pytest.mark.parametrize("case", OTHER_FRAMES)
def test_other_frames_that_are_refused_and_leave_no_trace(fitted: FormulaFit, case: str) -> None:
    change, message = OTHER_FRAMES[case]
    before = fitted.predict(T)
    with pytest.raises(InputError) as refused:
        fitted.responsibilities(T | change)
    assert str(refused.value) == message
    np.testing.assert_array_equal(fitted.predict(T), before)


def test_frames_that_are_none(fitted: FormulaFit) -> None:
    there = "g, ok, count, site, wt, two words"
    for frame, message in (
        ([1, 2], "frame: expected a pandas data frame or a mapping of columns, got list"),
        (pd.DataFrame(T)[:0], "frame: expected at least one row, got none"),
        (pd.DataFrame(T).drop(columns=["x", "y", "w"]), f"frame: expected columns w, x, as in the fit, got {there}"),
        ({"x": [1, 2], "w": [1]}, "frame: expected columns of one length (All arrays must be of the same length)"),
    ):
        with pytest.raises(InputError) as refused:
            fitted.predict(frame)
        assert str(refused.value) == message


NAMES = ", ".join(T)
NOT = "formula: expected RESPONSE ~ FEATURES [| GATE], got"
BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "two bars": ("y ~ x | w | g", {}, f"{NOT} 2 bars in 'y ~ x | w | g'"),
    "bar before": ("y | x ~ w", {}, f"{NOT} a bar before the ~ in 'y | x ~ w'"),
    "no response": ("~ x", {}, f"{NOT} no response in '~ x'"),
    "features only": ("x + w", {}, f"{NOT} no response in 'x + w'"),
    "bracket": ("y ~ (x", {}, f"{NOT} 'y ~ (x' (Could not find matching context marker)"),
    "operator": ("y ~ x . w", {}, f"{NOT} 'y ~ x . w' (Missing operator between `x` and `.`)"),
    "python": ("y ~ x + {a b}", {}, f"{NOT} 'y ~ x + {{a b}}' (invalid syntax)"),
    "columns": ("y ~ nope + log(zz) | w", {}, f"formula: expected columns among {NAMES}, got nope, zz"),
    "column in a transformation": ("y ~ scale(zz)", {}, f"formula: expected columns among {NAMES}, got zz"),
    "two responses": ("y + x ~ w", {}, "formula: expected a response in one column, got 2 (y, x)"),
    "response in contrasts": (
        "C(ok):x ~ w",
        {"family": "binomial"},
        "formula: expected a response in one column, got 2 (C(ok)[no]:x, C(ok)[yes]:x)",
    ),
    "text": ("ok ~ x", {}, f"y: expected numbers for gaussian experts, got text in column ok, '{T['ok'][0]}' (row 0)"),
    "categories": ("C(ok) ~ x", {}, "y: expected numbers for gaussian experts, got categories, C(ok)"),
    "three values": (
        "g ~ x",
        {"family": "binomial"},
        "y: expected two different values for binomial experts, got 3 in column g (a, b, c)",
    ),
    "logarithm": ("y ~ log(0 * x)", {}, "formula: expected finite values, got -inf in log(0 * x), row 0"),
    "failing term": (
        "y ~ x + {x.bar}",
        {},
        "formula: expected terms that can be evaluated on the data: Unable to evaluate factor `x.bar`."
        " [AttributeError: 'Series' object has no attribute 'bar']",
    ),
    "rank": (
        "y ~ x + I(2 * x)",
        {},
        "x: expected full column rank, but column 'I(2 * x)' is a linear combination of those before it",
    ),
    "no gate": ("y ~ x | 0", {}, "gate: expected at least one feature or an intercept, got none"),
    "no experts": ("y ~ 0 | x", {}, "x: expected at least one feature or an intercept, got none"),
    "family": (
        "y ~ x",
        {"family": "gamma"},
        "family: expected one of gaussian, binomial, poisson, multinomial, got 'gamma'",
    ),
    "weights": ("y ~ x", {"weights": "zz"}, f"weights: expected columns among {NAMES}, got zz"),
    "weights of text": ("y ~ x", {"weights": "g"}, "weights: expected numbers in column g, got text, 'a' (row 0)"),
    "offset of text": ("y ~ x", {"offset": "g"}, "offset: expected numbers in column g, got text, 'a' (row 0)"),
    "weights' length": (
        "y ~ x",
        {"weights": [1.0]},
        f"weights: expected shape ({N},), one number per response, got (1,)",
    ),
    "too many": ("y ~ x", {"k": N + 1}, f"k: expected at most as many experts as rows, {N}, got {N + 1}"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_formulas_are_one_line(case: str) -> None:
    formula, options, message = BAD[case]
    with pytest.raises(InputError) as refused:
        fit_formula(formula, T, **options)
    assert str(refused.value) == message


def test_missing_values_are_named_and_only_where_they_matter() -> None:
    frame = pd.DataFrame(T, index=range(100, 100 + N))
    frame.loc[frame.index[[5, 9, 12]], "x"] = np.nan
    frame.loc[frame.index[[5]], "g"] = None
    with pytest.raises(InputError) as refused:
        fit_formula("y ~ x | g", frame)
    assert str(refused.value) == "data: expected no missing values, got 4 in columns g, x (rows 5, 9, 12)"
    frame.loc[frame.index[40:], "x"] = np.nan
    with pytest.raises(InputError, match=r"got 53 in column x \(rows 5, 9, 12, 40, 41, …\)$"):
        fit_formula("y ~ x", frame)
    with pytest.raises(InputError, match=r"got 1 in column wt \(row 2\)$"):
        fit_formula("y ~ w", T | {"wt": [1, 1, None] + [1] * (N - 3)}, weights="wt")
    assert fit_formula("y ~ w", frame, 1).fit.converged


def test_without_formulaic_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "formulaic", None)
    with pytest.raises(InputError) as refused:
        fit_formula("y ~ x", T)
    assert str(refused.value) == (
        "formula: expected the formulaic package, which is not installed: pip install 'moe-theory[formula]'"
    )
