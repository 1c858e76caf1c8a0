"""Method of moments: sums against brute force, exact grids, decompositions, and how sure the estimates say they are."""

from __future__ import annotations

import pickle
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest
from gridlock import Truth, grid, order
from scipy.stats import ortho_group

from moe_theory.errors import InputError
from moe_theory.laws.rows import Block
from moe_theory.moments.adjusted import AdjustedMoments, CollinearError, hermite2, hermite3
from moe_theory.moments.components import Spectrum, find_experts, jackknife
from moe_theory.moments.decompose import decompose, refine
from moe_theory.moments.diagnostics import features_of, vanishing_moments
from moe_theory.moments.plain import PlainMoments, second_sums, symmetric, third_sums, triples
from moe_theory.moments.polynomials import Polynomials
from moe_theory.moments.source import LARGEST, Source, Whitening
from moe_theory.moments.transforms import derive

KINDS = (PlainMoments, AdjustedMoments)


def polynomials(g: str = "linear", sigma: float = 0.3) -> Polynomials:
    return Polynomials.of(derive(g), sigma**2)


def sample(n: int = 500, d: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y, weight without any structure."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) + 0.2
    return x, np.sin(x[:, 0]) + x[:, 1] ** 2 + rng.standard_normal(n), rng.uniform(0.5, 2, n)


def s2(x: np.ndarray) -> np.ndarray:
    return np.einsum("na,nb->nab", x, x) - np.eye(x.shape[1])


def s3(x: np.ndarray) -> np.ndarray:
    unit = np.eye(x.shape[1])
    out = np.einsum("na,nb,nc->nabc", x, x, x)
    for term in ("na,bc->nabc", "nb,ac->nabc", "nc,ab->nabc"):
        out = out - np.einsum(term, x, unit)
    return out


# Sums --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_moments_are_those_of_the_whole_tensors(weighted: bool, k: int) -> None:
    x, y, weight = sample()
    weight = weight if weighted else np.ones(len(y))
    p = replace(polynomials("tanh"), c2=0.7, c3=-1.3)  # c₂, c₃ divide
    moments = PlainMoments.of(Source.of(x, y, weight if weighted else None, groups=7))
    share = weight / np.sum(weight)
    second, third = np.polyval(p.second[::-1], y), np.polyval(p.third[::-1], y)
    second, third = second - share @ second, third - share @ third
    np.testing.assert_allclose(moments.second(p), np.einsum("n,nab->ab", share * second, s2(x)) / p.c2, atol=1e-13)
    basis = np.linalg.qr(np.random.default_rng(1).standard_normal((4, k)))[0]
    full = np.einsum("n,nabc->abc", share * third, s3(x)) / p.c3
    expected = np.einsum("abc,ai,bj,cl->ijl", full, basis, basis, basis)
    np.testing.assert_allclose(moments.cubes(basis).third(p), expected, atol=1e-12)
    total = moments.total
    assert total.mean(p.third) == pytest.approx(share @ np.polyval(p.third[::-1], y), rel=1e-12)
    assert total.variance(p.third) == pytest.approx(share @ third**2, rel=1e-10)
    assert total.error(p.second) == pytest.approx(np.sqrt(share @ second**2 / len(y)), rel=1e-10)
    np.testing.assert_allclose(total.first(p.third), (share * third) @ x, atol=1e-12)
    assert moments.square() == pytest.approx(share @ y**2, rel=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_one_group_left_out_is_recomputed_without_its_rows(kind) -> None:
    x, y, weight = sample(400, 3)
    p, basis = polynomials("relu"), np.linalg.qr(np.random.default_rng(1).standard_normal((3, 2)))[0]
    moments = kind.of(Source.of(x, y, weight, groups=5))
    cubes = moments.cubes(basis)
    for group in range(5):
        keep = np.arange(400) % 5 != group
        alone = kind.of(Source.of(x[keep], y[keep], weight[keep], groups=3))
        np.testing.assert_allclose(moments.second(p, group), alone.second(p), atol=1e-11)
        np.testing.assert_allclose(cubes.third(p, group), alone.cubes(basis).third(p), atol=1e-11)
        assert moments.square(group) == pytest.approx(alone.square(), rel=1e-12)


def chunk_sums(block: Block):  # type: ignore[no-untyped-def]
    return second_sums(block), third_sums(block, np.eye(3)[:, :2])


def test_sums_merge_in_any_order_and_across_processes() -> None:
    x, y, weight = sample(90, 3)
    blocks = [Block(x[a : a + 30].T.copy(), y[a : a + 30], weight[a : a + 30]) for a in (0, 30, 60)]
    whole = chunk_sums(Block(x.T.copy(), y, weight))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(chunk_sums, blocks))
    for places in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        for which in (0, 1):
            a, b, c = (parts[i][which] for i in places)
            for merged in ((a + b) + c, a + (b + c), whole[which] + a - a):
                for name, value in vars(whole[which]).items():
                    np.testing.assert_allclose(getattr(merged, name), value, rtol=1e-12, atol=1e-12)
    again = pickle.loads(pickle.dumps(parts[0][0]))
    np.testing.assert_array_equal(again.square, parts[0][0].square)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_equals_its_arrays(kind) -> None:
    x, y, _ = sample(330, 3)
    order = np.concatenate([np.arange(g, 330, 11) for g in range(11)])  # group by group, as `of` takes the rows
    chunks = [(x[rows], y[rows]) for rows in np.array_split(order, 11)]
    p, basis = polynomials("sigmoid"), np.eye(3)[:, :2]
    one, other = kind.of(Source.of(x, y, groups=11)), kind.of(Source.stream(lambda: chunks, 3, groups=11))
    for group in (None, 0, 10):
        np.testing.assert_allclose(other.second(p, group), one.second(p, group), rtol=1e-12)
        found, expected = other.cubes(basis).third(p, group), one.cubes(basis).third(p, group)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    law, same = features_of(Source.of(x, y)), features_of(Source.stream(lambda: iter(chunks), 3))
    for name, value in vars(law).items():
        np.testing.assert_allclose(getattr(same, name), value, rtol=1e-10)


def test_a_stream_takes_constant_memory() -> None:
    def peak(chunks: int) -> int:
        def passes():  # type: ignore[no-untyped-def]
            for i in range(chunks):
                rng = np.random.default_rng(i)
                x = rng.standard_normal((2000, 5))
                yield x, x[:, 0] + 0.1 * rng.standard_normal(2000)

        source = Source.stream(passes, 5, groups=4)
        tracemalloc.start()
        moments = PlainMoments.of(source)
        moments.cubes(np.eye(5)[:, :3]).third(polynomials())
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(4)
    assert peak(64) < 1.2 * peak(8)


def test_regression_is_least_squares_on_hermite_features() -> None:
    x, y, weight = sample(600, 3)
    p, basis = polynomials("tanh"), np.linalg.qr(np.random.default_rng(1).standard_normal((3, 2)))[0]
    moments = AdjustedMoments.of(Source.of(x, y, weight, groups=5))
    root = np.sqrt(weight)[:, None]
    pairs = [(a, b) for a in range(3) for b in range(a, 3)]
    quadratic = np.array([s2(x)[:, a, b] for a, b in pairs]).T
    low = np.column_stack([np.ones(600), x, quadratic])
    found = np.linalg.lstsq(root * low, root[:, 0] * np.polyval(p.second[::-1], y), rcond=None)[0][4:]
    expected = np.zeros((3, 3))
    for (a, b), value in zip(pairs, found, strict=True):  # E[S₂ S₂'] is 2 on the diagonal, 1 (once for ab, ba) off it
        expected[a, b] = expected[b, a] = 2 * value if a == b else value
    np.testing.assert_allclose(moments.second(p), expected / p.c2, atol=1e-10)
    u = x @ basis
    cubic = np.array([s3(u)[:, a, b, c] for a, b, c in triples(2)]).T
    high = np.column_stack([low, cubic])
    found = np.linalg.lstsq(root * high, root[:, 0] * np.polyval(p.third[::-1], y), rcond=None)[0][-4:]
    found = found * [6, 2, 2, 6]  # E[S₃²] at aaa, aab, abb, bbb
    np.testing.assert_allclose(moments.cubes(basis).third(p), symmetric(found, 2) / p.c3, atol=1e-10)


def test_hermite_features_are_entries_of_the_score_tensors() -> None:
    x = sample(20, 4)[0]
    upper = np.triu_indices(4)
    np.testing.assert_allclose(hermite2(x.T), s2(x)[:, upper[0], upper[1]].T, atol=1e-14)
    expected = np.array([s3(x)[:, a, b, c] for a, b, c in triples(4)])
    np.testing.assert_allclose(hermite3(x.T), expected, atol=1e-13)


# Exact populations -------------------------------------------------------------------------------------------------


def on_axes(k: int, d: int, degrees: float = 30.0) -> Truth:
    """Unit regressors, none at right angles, on the first k axes; the gate on the others."""
    a = np.eye(k, d)
    for i in range(1, k):
        a[i, i - 1] = np.tan(np.radians(degrees))
    w = np.zeros((k, d))
    w[1:, k:] = np.random.default_rng(0).standard_normal((k - 1, d - k))
    return Truth(a / np.linalg.norm(a, axis=1, keepdims=True), w, np.linspace(0, 0.8, k), 0.3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "d", "counts"), [(2, 4, (4, 4, 5, 4)), (3, 4, (4, 4, 4, 5))])
def test_a_population_of_linear_experts_is_recovered_exactly(kind, k: int, d: int, counts: tuple[int, ...]) -> None:
    truth = on_axes(k, d)
    x, y, weight = grid(truth, counts)
    moments = kind.of(Source.of(x, y, weight, groups=2))
    p = polynomials()
    assert moments.square() == pytest.approx(1 + 0.3**2, rel=1e-12)
    mixing = weight @ truth.shares(x)
    expected = np.einsum("i,ia,ib->ab", mixing, truth.a, truth.a)
    np.testing.assert_allclose(moments.second(p), expected, atol=1e-12)
    third = moments.cubes(np.eye(d)[:, :k]).third(p)
    own = truth.a[:, :k]
    np.testing.assert_allclose(third, np.einsum("i,ia,ib,ic->abc", mixing, own, own, own), atol=1e-12)
    spectrum = Spectrum.of(moments, p)
    found = find_experts(moments, k, p, False, spectrum)
    np.testing.assert_allclose(spectrum.values[k:], 0, atol=1e-12)
    assert spectrum.gap(k) == pytest.approx(np.linalg.eigvalsh(expected)[-k], abs=1e-11)
    place = order(found.components.regressors, truth.a)
    np.testing.assert_allclose(found.components.regressors[place], truth.a, atol=1e-8)
    np.testing.assert_allclose(found.components.norms, 1, atol=1e-9)
    np.testing.assert_allclose(found.components.mixing[place], mixing, atol=1e-9)
    assert found.decomposition.residual < 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_a_common_length_is_told_exactly_where_sigma_is_estimated(kind) -> None:
    """With linear g only E y² = ‖a‖² + σ² enters: regressors of length 3 come out, with their mixing weights."""
    truth = on_axes(2, 3)
    x, y, weight = grid(replace(truth, a=3 * truth.a), (4, 4, 5))
    moments = kind.of(Source.of(x, y, weight, groups=2))
    p = polynomials().at(moments.square() - 1)
    found = find_experts(moments, 2, p, True).components
    place = order(found.regressors, truth.a)
    np.testing.assert_allclose(found.regressors[place], truth.a, atol=1e-8)
    np.testing.assert_allclose(found.norms, 3, atol=1e-8)
    assert np.sum(found.mixing) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("name", "g"), [("tanh", np.tanh), ("sigmoid", lambda u: 1 / (1 + np.exp(-u)))])
def test_a_population_of_nonlinear_experts_is_recovered(name: str, g) -> None:
    truth = replace(on_axes(2, 3), g=g)
    x, y, weight = grid(truth, (0, 0, 3), noise=2)
    p = polynomials(name)
    assert weight @ y**2 - p.square == pytest.approx(0.09, abs=1e-12)
    moments = PlainMoments.of(Source.of(x, y, weight, groups=2))
    found = find_experts(moments, 2, p, False).components
    place = order(found.regressors, truth.a)
    np.testing.assert_allclose(found.regressors[place], truth.a, atol=1e-8)
    np.testing.assert_allclose(found.norms, 1, atol=1e-8)
    np.testing.assert_allclose(found.mixing[place], weight @ truth.shares(x), atol=1e-8)


def test_moments_that_must_vanish_do_on_the_exact_population() -> None:
    truth, p = on_axes(2, 3), polynomials()
    x, y, weight = grid(truth, (4, 4, 5))
    total = PlainMoments.of(Source.of(x, y, weight, groups=2)).total
    np.testing.assert_allclose(total.first(p.third), 0, atol=1e-12)
    np.testing.assert_allclose(total.second(p.third), 0, atol=1e-12)
    np.testing.assert_allclose(total.first(p.second), 0, atol=1e-12)
    # … and do not where the gate sees what the experts see, at another σ, or with lengths that differ.
    tilted = replace(truth, w=truth.w + np.array([[0, 0, 0], [0.5, 0, 0]]))
    assert np.max(np.abs(moments_of(tilted).second(p.third))) > 0.05
    off = moments_of(truth).first(polynomials(sigma=0.6).third)  # E[P₃(y)x] = -3 (σ'² - σ²) Σ E[p_i] a_i then
    np.testing.assert_allclose(off, -0.81 * (weight @ truth.shares(x)) @ truth.a, atol=1e-12)
    stretched = replace(truth, a=truth.a * np.array([[1], [1.3]]))
    apart = (1.69 - 1) * (weight * truth.shares(x)[:, 1]) @ x  # E[P₂(y)x] = Σ ‖a_i‖² E[p_i x] then
    assert np.max(np.abs(apart)) > 0.01
    np.testing.assert_allclose(moments_of(stretched).first(p.second), apart, atol=1e-12)


def moments_of(truth: Truth):  # type: ignore[no-untyped-def]
    return PlainMoments.of(Source.of(*grid(truth, (6, 6, 5)), groups=2)).total


# Decomposition -----------------------------------------------------------------------------------------------------


def tensor_of(vectors: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.einsum("i,ia,ib,ic->abc", values, vectors, vectors, vectors)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8])
def test_orthogonal_tensors_are_decomposed_exactly(k: int) -> None:
    rng = np.random.default_rng(k)
    vectors = np.eye(1) if k == 1 else ortho_group.rvs(k, random_state=k)
    values = np.sort(rng.uniform(1, 4, k))[::-1]
    found = decompose(tensor_of(vectors, values), seed=1)
    np.testing.assert_allclose(found.values, values, rtol=1e-10)
    np.testing.assert_allclose(found.vectors, vectors, atol=1e-9)
    np.testing.assert_allclose(found.tensor, tensor_of(vectors, values), atol=1e-9)
    assert found.residual < 1e-10
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(k), atol=1e-12)


def test_equal_values_and_negative_components() -> None:
    vectors = ortho_group.rvs(4, random_state=0)
    found = decompose(tensor_of(vectors, np.full(4, 2.0)))
    np.testing.assert_allclose(found.vectors[order(found.vectors, vectors)], vectors, atol=1e-9)
    np.testing.assert_allclose(found.values, 2, rtol=1e-10)
    # -v⊗v⊗v is (-v)⊗(-v)⊗(-v): there are no negative components of odd order.
    signed = decompose(tensor_of(vectors, np.array([4.0, -3, 2, -1])))
    np.testing.assert_allclose(signed.values, [4, 3, 2, 1], rtol=1e-9)
    np.testing.assert_allclose(signed.vectors, vectors * np.array([[1], [-1], [1], [-1]]), atol=1e-9)


@pytest.mark.parametrize("noise", [1e-8, 1e-4, 1e-2])
def test_noise_moves_components_by_its_own_size(noise: float) -> None:
    """To first order v_i moves by the noise at (i, i, j) over a value, values by that at (i, i, i)."""
    rng = np.random.default_rng(0)
    vectors, values = ortho_group.rvs(4, random_state=1), np.array([3.0, 2.5, 2, 1.5])
    error = symmetric(rng.standard_normal(len(triples(4))), 4) * noise
    found = decompose(tensor_of(vectors, values) + error)
    own = np.einsum("abc,ia,ib,ic->i", error, vectors, vectors, vectors)
    np.testing.assert_allclose(found.values - values, own, atol=30 * noise**2 + 1e-12)
    # Rotation: the antisymmetric part of what makes V Tᵥ symmetric, (λ_i - …) in the basis of the truth.
    seen = np.einsum("abc,ia,ib,jc->ij", error, vectors, vectors, vectors)
    turn = (seen - seen.T) / (values[:, None] + values[None, :])
    np.testing.assert_allclose(found.vectors @ vectors.T - np.eye(4), turn, atol=30 * noise**2 + 1e-9)
    fixed, _ = refine(tensor_of(vectors, values) + error, found.vectors)
    np.testing.assert_allclose(fixed, found.vectors, atol=1e-10)


def test_a_tensor_of_lower_rank_has_values_of_zero() -> None:
    found = decompose(tensor_of(np.eye(3)[:1], np.array([2.0])))
    np.testing.assert_allclose(found.values, [2, 0, 0], atol=1e-9)
    np.testing.assert_allclose(found.vectors[0], [1, 0, 0], atol=1e-9)


def half_symmetric() -> np.ndarray:
    """Symmetric in its first two indices only."""
    t = np.zeros((2, 2, 2))
    t[0, 0, 1] = 1
    return t


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (np.zeros((2, 2, 2)), "not 0"),
        (np.arange(8.0).reshape(2, 2, 2), "symmetric"),
        (half_symmetric(), "symmetric"),
        (np.zeros((2, 3, 2)), "shape"),
        (np.zeros((0, 0, 0)), "shape"),
        (np.eye(2), "3 axes"),
        (np.full((2, 2, 2), np.nan), "finite"),
    ],
)
def test_what_is_no_symmetric_tensor_is_refused(tensor: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=rf"^tensor: expected .*{said}"):
        decompose(tensor)


# How sure they are -------------------------------------------------------------------------------------------------


def near(count: int, trials: int, share: float, sigmas: float = 3.5) -> bool:
    """Whether a count is that of a probability, by its binomial standard error."""
    return abs(count / trials - share) <= sigmas * np.sqrt(share * (1 - share) / trials)


def spectra(kind, truth: Truth, n: int, trials: int, groups: int = 40):  # type: ignore[no-untyped-def]
    p = polynomials()
    for seed in range(trials):
        moments = kind.of(Source.of(*truth.draw(n, seed), groups=groups))
        yield Spectrum.of(moments, p.at(moments.square() - 1), seed)


@pytest.mark.parametrize(("kind", "trials"), [(PlainMoments, 400), (AdjustedMoments, 200)])
def test_the_spectrums_false_alarms_are_one_in_a_hundred(kind, trials: int) -> None:
    truth = Truth.of(2, 4, sigma=0.5)
    false = sum(s.values[2] > s.edge(2) for s in spectra(kind, truth, 1500, trials))
    assert false / trials <= 0.01 + 3.5 * np.sqrt(0.01 * 0.99 / trials)


def test_the_spectrum_sees_experts_as_rows_grow() -> None:
    truth = Truth.of(2, 4, sigma=0.5)
    power = [np.mean([s.supported >= 2 for s in spectra(PlainMoments, truth, n, 40)]) for n in (200, 800, 3200)]
    assert power[0] < power[1] < power[2] or power[1] == power[2] == 1
    assert power[0] < 0.9 and power[2] == 1


def test_the_jackknife_tells_the_spread_over_samples() -> None:
    truth, p, trials = Truth.of(2, 3, sigma=0.5, seed=2), polynomials(sigma=0.5), 100
    found, told = [], []
    for seed in range(trials):
        moments = PlainMoments.of(Source.of(*truth.draw(3000, seed), groups=25))
        experts = find_experts(moments, 2, p, False)
        place = order(experts.components.regressors, truth.a)
        found.append(np.concatenate([experts.components.regressors[place].ravel(), experts.components.norms[place]]))
        variance = np.diagonal(experts.covariance()).reshape(2, 3)[place]
        told.append(np.concatenate([variance.ravel(), experts.scale_errors[0][place] ** 2]))
    ratio = np.mean(told, axis=0) / np.var(found, axis=0, ddof=1)
    # A variance from so many samples has a relative standard error of √(2/trials), of tails heavier than normal more.
    assert np.all(np.abs(np.log(ratio)) < 4 * np.sqrt(2 / trials))


def test_a_jackknife_of_means_is_their_variance() -> None:
    values = np.random.default_rng(0).standard_normal((30, 3))
    without = (np.sum(values, axis=0) - values) / 29
    np.testing.assert_allclose(jackknife(without), np.cov(values.T) / 30, rtol=1e-12)


def p_values(truth: Truth, n: int, trials: int, p: Polynomials, estimated: bool) -> tuple[np.ndarray, np.ndarray]:
    """(bootstrap, χ²), (trials, 3)."""
    found = []
    for seed in range(trials):
        moments = PlainMoments.of(Source.of(*truth.draw(n, seed), groups=50))
        at = p.at(moments.square() - p.square) if estimated else p
        found.append(vanishing_moments(moments, at, estimated, seed))
    return np.array([[v.p for v in row] for row in found]), np.array([[v.naive for v in row] for row in found])


@pytest.mark.parametrize("estimated", [False, True])
def test_what_must_vanish_is_called_at_its_level(estimated: bool) -> None:
    trials = 250
    boot, _ = p_values(Truth.of(2, 3), 2000, trials, polynomials(), estimated)
    for share in np.mean(boot < 0.05, axis=0):
        assert share <= 0.05 + 3.5 * np.sqrt(0.05 * 0.95 / trials), share


def test_power_where_a_hypothesis_fails() -> None:
    truth, p = Truth.of(2, 3, sigma=0.3), polynomials()
    along = truth.w + np.array([np.zeros(3), 1.5 * truth.a[0]])
    cases = {
        "lengths": (replace(truth, a=truth.a * np.array([[0.6], [1.4]])), 2, p),
        "a gate along a regressor": (replace(truth, w=along), 1, p),
        "another activation": (replace(truth, g=lambda u: np.maximum(u, 0)), 2, p),
    }
    for name, (wrong, entry, at) in cases.items():
        boot, _ = p_values(wrong, 4000, 12, at, False)
        assert np.sum(boot[:, entry] < 0.01) >= 10, name


# Input -------------------------------------------------------------------------------------------------------------


def test_whitening_there_and_back() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3000, 3)) @ rng.standard_normal((3, 3)) + [1, -2, 3]
    y = x[:, 0]
    law = features_of(Source.of(x, y))
    np.testing.assert_allclose(law.mean, np.mean(x, axis=0), rtol=1e-12)
    np.testing.assert_allclose(law.covariance, np.cov(x.T, bias=True), rtol=1e-12)
    white = law.full_whitening
    z = white(x.T)
    np.testing.assert_allclose(z @ z.T / 3000, np.eye(3), atol=1e-12)
    a = rng.standard_normal((2, 3))
    np.testing.assert_allclose((x - white.mean) @ white.back(a).T, z.T @ a.T, atol=1e-12)
    np.testing.assert_allclose(white.root @ white.root.T, law.covariance, atol=1e-11)
    ident = Source.of(x, y).whitened(Whitening(np.zeros(3), np.eye(3)))
    np.testing.assert_array_equal(PlainMoments.of(ident).total.square, PlainMoments.of(Source.of(x, y)).total.square)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_mean_is_told_in_its_own_standard_errors(scale: float) -> None:
    x, y = Truth.of(2, 3).draw(4000)
    assert features_of(Source.of(scale * x, y)).centred
    assert not features_of(Source.of(scale * (x + 0.2), y)).centred


def test_a_large_mean_leaves_the_covariance_its_digits() -> None:
    x, y = Truth.of(2, 3).draw(2000)
    law, far = features_of(Source.of(x, y)), features_of(Source.of(x + 2.0**22, y))
    np.testing.assert_allclose(far.covariance, law.covariance, atol=1e-8)
    assert far.kurtosis == pytest.approx(law.kurtosis, abs=1e-8)


def test_features_that_are_affine_in_the_others_are_refused() -> None:
    """Of full rank without a constant, singular as a covariance: shares that sum to 1, say."""
    x, y = Truth.of(2, 3).draw(500)
    for own in (0.0, 1e-9):
        shares = np.column_stack([x[:, :2], 1 - x[:, 0] - x[:, 1] + own * x[:, 2]])
        with pytest.raises(InputError, match=r"^x: expected features that vary by themselves, but column \d"):
            features_of(Source.of(shares, y))


def test_features_in_very_different_units_are_whitened_exactly() -> None:
    x, y = Truth.of(2, 3).draw(2000)
    x = x @ [[1, 0.5, 0.2], [0, 1, 0.3], [0, 0, 1]]
    units = np.array([1e-12, 1.0, 1e9])
    one, other = (features_of(Source.of(v, y)) for v in (x, x * units))
    z = other.full_whitening((x * units).T)
    np.testing.assert_allclose(z @ z.T / 2000, np.eye(3), atol=1e-10)
    assert other.kurtosis == pytest.approx(one.kurtosis, rel=1e-9)


def test_features_of_a_gaussian_are_called_far_or_not_standard_at_their_levels() -> None:
    trials, d = 300, 4
    laws = [
        features_of(Source.of(np.random.default_rng(s).standard_normal((800, d)), np.arange(800.0)))
        for s in range(trials)
    ]
    assert near(sum(law.kurtosis_z > 1.96 for law in laws), trials, 0.05)
    assert sum(not law.centred for law in laws) / trials <= 0.01 + 3.5 * np.sqrt(0.0099 / trials)
    assert sum(not law.scaled for law in laws) / trials <= 0.01 + 3.5 * np.sqrt(0.0099 / trials)
    assert not any(law.far for law in laws)
    values = np.array([law.kurtosis for law in laws])
    assert abs(np.mean(values) - 799 / 801) < 4 * np.sqrt(8 / (d * (d + 2) * 800) / trials)  # E: (n-1)/(n+1)


def test_what_is_no_source_is_refused() -> None:
    x, y, _ = sample(30, 2)
    for args, said in (
        ((x, y[:-1]), "x: expected 29 rows"),
        ((x, np.full(30, 2.0)), "y: expected responses that vary, got 2"),
        ((x, np.append(y[:-1], np.inf)), "y: expected finite"),
        ((x, 2 * LARGEST * y), "y: .*sixth powers are finite"),
        ((x, y / LARGEST / 1e9), "y: .*sixth powers are not 0"),
        ((np.column_stack([x, x[:, 0]]), y), "x: expected full column rank"),
        ((x[:1], y[:1]), "responses that vary"),
        ((x, y, -np.ones(30)), "weight: expected 30 numbers"),
        ((x, y, np.zeros(30)), "weight: expected 30 numbers"),
        ((x, y, None, 1), "groups: expected a whole number >= 2"),
    ):
        with pytest.raises(InputError, match=said):
            Source.of(*args)


def test_streams_that_are_short_or_wrong_are_refused() -> None:
    x, y, _ = sample(30, 2)
    with pytest.raises(InputError, match=r"x: expected shape \(30, 3\)"):
        PlainMoments.of(Source.stream(lambda: [(x, y)], 3))
    for chunks, count in (([], 0), ([(x, y)], 1)):
        moments = PlainMoments.of(Source.stream(lambda chunks=chunks: chunks, 2))  # type: ignore[misc]
        with pytest.raises(InputError, match=f"two groups or more, got {count}"):
            Spectrum.of(moments, polynomials())
    with pytest.raises(InputError, match="x: expected rows, got none"):
        features_of(Source.stream(lambda: [], 2))


def test_features_with_two_values_have_no_square_of_their_own() -> None:
    x, y, _ = sample(200, 3)
    x[:, 2] = x[:, 2] > 0
    with pytest.raises(CollinearError, match="a feature with two values"):
        AdjustedMoments.of(Source.of(x, y)).second(polynomials())


def test_more_experts_than_positive_eigenvalues_are_refused() -> None:
    moments = PlainMoments.of(Source.of(*Truth.of(2, 3).draw(400)))
    for k in (0, 4):
        with pytest.raises(InputError, match="k: expected 1 to 3 experts"):
            find_experts(moments, k, polynomials(), False)
    negative = PlainMoments.of(Source.of(*Truth.of(2, 3).draw(400)))
    with pytest.raises(InputError, match="k: expected 3 positive eigenvalues"):
        find_experts(negative, 3, replace(polynomials(), c2=-2.0), False)
