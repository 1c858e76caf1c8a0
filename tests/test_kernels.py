"""Kernels: right to rounding at 50 digits, finite to ±800, full shapes, the same in another process."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor

import mpmath
import numpy as np
import pytest
import sympy as sp
from models import CASES, Case

import moe_theory as mt
from moe_theory.kernels import Kernels, kernels, log_sum_exp, unpack_upper
from moe_theory.model import RESPONSE
from moe_theory.symbolic.derive import Derivation
from moe_theory.symbolic.identities import evaluate, exact_form
from moe_theory.symbolic.lower import Compiled

KERNELS = (
    "log_joint",
    "log_gate",
    "log_expert",
    "posterior",
    "logits",
    "log_evidence",
    "expected_statistic",
    "statistics",
    "score",
    "missing_information",
    "mirror_map",
    "mean",
    "complete_information",
)
# Sums in which what is added may cancel, by declaration (log-densities, logits) or because a difference of two
# moments is asked for (the score is E[s|x,y] - E[s|x]; E[s|x,y] averages values of both signs): their error is
# relative to the sum of the magnitudes of the terms. All others are relatively accurate as they are.
CANCELLING = {
    "log_joint": lambda t: t.model.log_joint,
    "log_gate": lambda t: t.model.log_gate,
    "log_expert": lambda t: t.model.log_expert,
    "logits": lambda t: t.logits,
    "log_evidence": lambda t: kernels(t.model).log_evidence.expressions,
    "expected_statistic": lambda t: [
        sum(p * abs(s[j]) for p, s in zip(t.posterior, t.statistics, strict=True)) for j in range(len(t.mean))
    ],
    "score": lambda t: [a + b for a, b in zip(t.expected_statistic, t.mean, strict=True)],
}


def inputs(case: Case, scale: float, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random responses and predictors up to `scale`. Above 1 they are multiples of 1/64, so that squares and products
    are exact and what is tested is the kernel, not the conditioning of the exponent it is given."""
    rng = np.random.default_rng(seed)
    exact = (lambda a: a) if scale <= 1 else lambda a: np.round(64 * a) / 64
    eta = exact(rng.uniform(-scale, scale, (len(case.model.names), n)))
    if case.finite:
        return rng.choice(case.model.response.values, n).astype(float), eta
    return exact(rng.uniform(-scale, scale, n)), eta


def digits(scale: float) -> int:
    """50 after all cancellation: with exponents of up to 30² terms as small as the least double stand beside 1."""
    return 60 if scale <= 1 else 400


def arguments(kernel: Compiled, case: Case, y: np.ndarray, eta: np.ndarray) -> list[np.ndarray]:
    """What a kernel is called with."""
    given = dict(zip((RESPONSE, *case.model.symbols), (y, *eta), strict=True))
    return [given[s] for s in kernel.arguments]


def magnitude(expr: sp.Expr) -> sp.Expr:
    """Sum of the absolute values of the additive terms."""
    return sp.Add(*(abs(term) for term in sp.Add.make_args(sp.expand(expr))))


def reference(arguments, expressions, arrays, places: int) -> list[list[mpmath.mpf]]:
    function = sp.lambdify(arguments, [exact_form(e) for e in expressions], modules="mpmath", cse=True)
    with mpmath.workdps(places):
        return [function(*(mpmath.mpf(float(a[i])) for a in arrays)) for i in range(len(arrays[0]))]


@pytest.mark.parametrize("scale", [1, 30, 800])
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_against_50_digits(case: Case, name: str, scale: float) -> None:
    kernel = getattr(kernels(case.model), name)
    y, eta = inputs(case, scale, 20)
    arrays = arguments(kernel, case, y, eta)
    with np.errstate(all="raise", under="ignore"):
        values = kernel(*arrays)
    exact = reference(kernel.arguments, kernel.expressions, arrays, digits(scale))
    sizes = exact
    if name in CANCELLING:
        terms = [magnitude(sp.sympify(e)) for e in CANCELLING[name](kernels(case.model).theory)]
        sizes = reference(kernel.arguments, terms, arrays, digits(scale))
    for i, (row, size) in enumerate(zip(exact, sizes, strict=True)):
        for j, (right, scaled) in enumerate(zip(row, size, strict=True)):
            error = abs(mpmath.mpf(float(values[j, i])) - right)
            # Below 1e-290 doubles lose digits, and underflow to 0 is right.
            assert error <= 1e-12 * abs(scaled) + mpmath.mpf("1e-290"), (name, [float(a[i]) for a in arrays])


def test_the_reference_itself_is_exact() -> None:
    x = sp.Symbol("x", real=True)
    value = evaluate(mt.softplus(x) - x - mt.softplus(-x), {x: sp.Rational(700)}, digits(700))
    assert abs(value) < mpmath.mpf(10) ** (4 - digits(700))  # the rounding of 700, whose terms are not of its size


@pytest.mark.parametrize("scale", [1, 30, 800])
def test_log_density_against_50_digits(case: Case, scale: float) -> None:
    y, eta = inputs(case, scale, 20)
    with np.errstate(all="raise", under="ignore"):
        values = kernels(case.model).log_density(y, eta)
    assert values.shape == y.shape
    theory = kernels(case.model).theory
    wanted = [sp.log(theory.density), *map(magnitude, case.model.log_joint)]
    exact = reference((RESPONSE, *case.model.symbols), wanted, [y, *eta], digits(scale))
    for value, (right, *sizes) in zip(values, exact, strict=True):
        # Where the response is finite, log p is relatively accurate even where p is near 1 (its terms cancel there).
        size = abs(right) if case.finite else max(sizes)
        assert abs(mpmath.mpf(float(value)) - right) <= 1e-12 * size + mpmath.mpf("1e-290")


@pytest.mark.parametrize("n", [1, 2, 5])
def test_all_kernels_are_finite_and_quiet_at_the_extremes(case: Case, n: int) -> None:
    k, corners = kernels(case.model), np.array([-800.0, -37.0, 0.0, 1e-300, 800.0])
    rng = np.random.default_rng(n)
    for _ in range(15):
        eta = rng.choice(corners, (len(case.model.names), n))
        y = rng.choice(np.array(case.model.response.values if case.finite else corners, dtype=float), n)
        for name in (*KERNELS, "posterior_step", "varying_parts", "estep", "first_order", "logit_coefficients"):
            kernel = getattr(k, name)
            with np.errstate(all="raise", under="ignore"):
                values = kernel(*arguments(kernel, case, y, eta))
            assert values.shape == (len(kernel.expressions), n), name
            assert np.isfinite(values).all(), name
        with np.errstate(all="raise", under="ignore"):
            density = k.log_density(y, eta)
        assert density.shape == (n,) and np.isfinite(density).all()


def test_probabilities_are_probabilities(case: Case) -> None:
    y, eta = inputs(case, 30, 200)
    k = kernels(case.model)
    for p in (k.posterior(y, *eta), np.exp(k.log_gate(*eta))):
        assert p.min() >= 0 and np.abs(p.sum(axis=0) - 1).max() < 1e-13


def test_informations_are_positive_semidefinite(case: Case) -> None:
    y, eta = inputs(case, 30, 300)
    k, m = kernels(case.model), len(case.model.predictors)
    for values in (k.missing_information(y, *eta), k.complete_information(*eta)):
        matrices = np.empty((len(y), m, m))
        for a, b, value in unpack_upper(list(values), m):
            matrices[:, a, b] = matrices[:, b, a] = value
        assert (np.diagonal(matrices, axis1=1, axis2=2) >= 0).all()
        assert (np.linalg.eigvalsh(matrices) >= -1e-15 * np.abs(matrices).max(axis=(1, 2))[:, None]).all()


def test_the_fused_kernels_agree_with_the_single_ones(case: Case) -> None:
    y, eta = inputs(case, 3, 50)
    k, model = kernels(case.model), case.model
    evidence, target = k.log_evidence(y, *eta), k.expected_statistic(y, *eta)
    near = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    near(k.posterior_step(y, *eta), np.vstack([evidence, target]))
    near(evidence[0], k.log_density(y, eta) + k.mirror_map(*eta)[0])
    near(k.score(y, *eta), target - k.mean(*eta))
    parts = k.varying_parts(*eta)
    estep = k.estep(y, *eta)
    near(estep[1:], np.vstack([target, parts]))
    first_order = k.first_order(y, *eta)
    near(first_order[1:], np.vstack([target, k.mean(*eta)]))
    near(first_order[0], estep[0])
    # Absolutely accurate only: it is there to be summed.
    np.testing.assert_allclose(estep[0], k.log_density(y, eta), rtol=1e-13, atol=1e-13)
    labels = len(model.latent)
    statistics = k.statistics(y, *eta).reshape(labels, -1, len(y))
    near(target, np.einsum("kn,kmn->mn", k.posterior(y, *eta), statistics))
    if not model.known:
        slopes = k.logit_coefficients(y).reshape(labels - 1, len(model.predictors), -1)
        moved = k.logits(y, *eta) - k.logits(y, *np.zeros_like(eta))
        near(moved[1:], np.einsum("kmn,mn->kn", slopes, eta))


def test_the_parts_make_up_the_mirror_map(case: Case) -> None:
    _, eta = inputs(case, 3, 50)
    k, m = kernels(case.model), len(case.model.predictors)
    mean, hessian = k.mean(*eta), np.zeros((m, m, 50))
    for part in k.parts:
        np.testing.assert_allclose(part.mean(*eta[list(part.uses)]), mean[list(part.index)], rtol=1e-14)
        for a, b, value in unpack_upper(list(part.hessian(*eta[list(part.uses)])), len(part.index)):
            hessian[part.index[a], part.index[b]] = hessian[part.index[b], part.index[a]] = value
        if part.constant is not None:
            affine = part.constant @ eta[list(part.index)] + part.offset[:, None]
            np.testing.assert_allclose(affine, mean[list(part.index)], rtol=1e-14)
    whole = np.stack([hessian[a, b] for a in range(m) for b in range(a, m)])
    np.testing.assert_allclose(whole, k.complete_information(*eta), rtol=1e-12)
    assert sorted(j for part in k.parts for j in part.index) == list(range(m))


@pytest.mark.parametrize(
    ("name", "groups"), [("linear", [(0,), (1,)]), ("logistic", [(0,), (1,)]), ("gate-three", [(0, 1)])]
)
def test_the_parts_are_the_blocks_of_the_information(name: str, groups: list) -> None:
    k = kernels(next(c for c in CASES if c.id == name).model)
    assert [part.index for part in k.parts] == groups


@pytest.mark.parametrize("n", [1, 5])
def test_constants_are_broadcast(n: int) -> None:
    x = sp.Symbol("x", real=True)
    compiled = Compiled([x], [sp.Integer(3), x, sp.Integer(0), sp.pi])
    values = compiled(np.arange(float(n)))
    assert values.shape == (4, n) and values.dtype == np.float64
    assert (values[0] == 3).all() and (values[1] == np.arange(n)).all() and (values[3] == np.pi).all()
    assert compiled.constant == (3.0, None, 0.0, np.pi)


def test_common_subexpressions_change_nothing(case: Case) -> None:
    for scale in (1, 30):
        y, eta = inputs(case, scale, 50)
        for name in (*KERNELS, "estep"):
            kernel = getattr(kernels(case.model), name)
            plain = Compiled(kernel.arguments, kernel.expressions, cse=False)
            arrays = arguments(kernel, case, y, eta)
            a, b = kernel(*arrays), plain(*arrays)
            for left, right in zip(a, b, strict=True):
                # Sums that may cancel differ by the rounding of their largest terms.
                slack = 1e-14 * max(1.0, np.abs(left).max()) if name in CANCELLING or name == "estep" else 0.0
                np.testing.assert_allclose(left, right, rtol=1e-12, atol=slack, err_msg=name)


def test_log_sum_exp_with_infinite_terms() -> None:
    terms = np.array([[-np.inf, 0.0, 800.0], [1.0, 0.0, 800.0]])
    np.testing.assert_allclose(log_sum_exp(terms), [1.0, np.log(2), 800 + np.log(2)], rtol=1e-15)


# Other processes ---------------------------------------------------------------------------------------------


def all_values(case: Case) -> dict[str, np.ndarray]:
    """Every kernel of a model on random inputs."""
    y, eta = inputs(case, 30, 50)
    out = {"log_density": kernels(case.model).log_density(y, eta)}
    for name in (*KERNELS, "estep"):
        kernel = getattr(kernels(case.model), name)
        out[name] = kernel(*arguments(kernel, case, y, eta))
    return out


def work(cases: tuple[Case, ...]) -> tuple[int, list[dict[str, np.ndarray]]]:
    """What a worker process does."""
    return os.getpid(), [all_values(case) for case in cases]


def test_pickle_round_trip(case: Case) -> None:
    y, eta = inputs(case, 3, 50)
    model = pickle.loads(pickle.dumps(case.model))
    assert model == case.model and hash(model) == hash(case.model) and model.known == case.model.known
    theory = pickle.loads(pickle.dumps(kernels(case.model).theory))
    assert isinstance(theory, Derivation) and theory.mirror_map == kernels(case.model).theory.mirror_map
    fresh = pickle.loads(pickle.dumps(kernels(case.model)))
    assert isinstance(fresh, Kernels)
    for name in KERNELS:
        kernel, copy = getattr(kernels(case.model), name), getattr(fresh, name)
        arrays = arguments(kernel, case, y, eta)
        assert np.array_equal(kernel(*arrays), copy(*arrays)), name


def test_a_worker_process_gets_the_same_bits() -> None:
    # The models travel by pickle, though they were declared with lambdas; the kernels are derived and compiled there.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        process, theirs = pool.submit(work, CASES).result(timeout=120)
    assert process != os.getpid()
    for case, mine, other in zip(CASES, work(CASES)[1], theirs, strict=True):
        for name, values in mine.items():
            assert np.array_equal(values, other[name]), (case.id, name)
