"""The checker of certificates: true ones pass, nothing else does, and its bounds are bounds."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import math
import runpy
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from certificates import Case, bend, cases, consistent, digest, make, sealed
from flint import arb, arb_mat, ctx
from models import balanced, gate_only, gate_three, noisy_labels, offset

import moe_theory as mt
from moe_theory.certificates import ball_bounds, ball_rows, ball_sums, balls
from moe_theory.certificates.checker import check, check_file
from moe_theory.certificates.contents import read_statement
from moe_theory.certificates.flat_form import derived
from moe_theory.certificates.proof import Proof
from moe_theory.certificates.stated import symmetric_linear, symmetric_logistic

CASES = cases()
CENTRES = {name: np.round(case.fitted(start), 6) for name, (case, start) in CASES.items()}
FACTOR = np.array([[[0.9, 0.1], [0.1, 1.1]], [[1.0, 0.5], [0.1, 1.0]]])
OWN = ("gate-only", "offset")  # not of the zoo


def data_of(case: Case) -> SimpleNamespace:
    return SimpleNamespace(x=case.x, y=case.y, weight=case.weight)


def checked(name: str, certificate: Any) -> Any:
    case = CASES[name][0]
    return check(certificate, data_of(case), case.model if name in OWN else None)


def made(name: str, r: float = 0.02, method: str = "taylor", **options: Any) -> dict[str, Any]:
    return make(CASES[name][0], CENTRES[name], r, method, **options)


@pytest.fixture(scope="module")
def certificate() -> dict[str, Any]:
    return made("linear-1.0", factor=FACTOR)


# True certificates


@pytest.mark.parametrize("method", ["taylor", "worst-case"])
@pytest.mark.parametrize("name", CASES)
def test_true_certificates_are_proved(name: str, method: str) -> None:
    m, d = CASES[name][1].shape
    factor = np.stack([np.eye(d) + 0.2 * np.cos(np.arange(d * d)).reshape(d, d) for _ in range(m)])
    # Worst-case bounds lose their first order, and λ_max(M) of logistic experts is near 1.
    r = 0.001 if (name, method) == ("logistic", "worst-case") else 0.02
    for shape, cuts in itertools.product((None, factor), ((), ((m * d - 1, 3),), ((0, 2), (1, 2)))):
        found = checked(name, made(name, r, method, factor=shape, cuts=cuts))
        assert found.valid, found.reason
        assert found.reason == ""
        assert dict(found.proved)["λ_max(M) on Θ, less than"] < 1
    assert json.loads(json.dumps(found.to_dict()))["proved"][0]["statement"] == "‖G'∇L(c)‖, at most"


def test_cuts_prove_what_is_not_proved_without() -> None:
    certificate = made("linear-1.0", 0.4, cuts=((2, 4), (3, 4)))
    assert checked("linear-1.0", certificate).valid
    certificate["bound"]["cuts"] = []
    found = checked("linear-1.0", sealed(certificate))
    assert not found.valid
    assert "bound.lambda_upper" in found.reason


def test_progress_and_weights_that_are_one_number() -> None:
    case, told = CASES["linear-1.0"][0], []
    data = SimpleNamespace(x=case.x, y=case.y, weight=1 / len(case.y))
    assert check(made("linear-1.0"), data, progress=lambda done, total: told.append((done, total))).valid
    assert told == [(i, 4) for i in range(1, 5)]


# Edits


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        yield path
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[key], (*path, key))
    else:
        yield path


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def edited(certificate: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    new = copy.deepcopy(certificate)
    at(new, path[:-1])[path[-1]] = value
    return new


def numbers(value: Any) -> list[Any]:
    """Other numbers of the same type."""
    if type(value) is int:
        return [value + 1, -value - 1, 0, 10**9]
    return [w for w in (value * (1 + 1e-6), value * (1 - 1e-6), value * 1.01, value * 0.99, -value, 0.0) if w != value]


def others(value: Any) -> list[Any]:
    """Values of other types, and other texts."""
    found: list[Any] = [None, True, "x", [], {}, [value], {"x": value}, 7]
    if isinstance(value, str):
        found += [value + " ", value.upper(), value[:-1], "\ud800"]
    if isinstance(value, bool):
        found += [not value, int(value)]
    elif isinstance(value, int | float):
        found += [str(value), math.nan, math.inf, 10**400]
        found += [int(value)] if type(value) is float else [float(value)]
    if isinstance(value, list):
        found += [value[:-1], [*value, *value[:1]], [*value, 0.5], value[::-1]]
    return [other for other in found if type(other) is not type(value) or other != value]


def refused(certificate: dict[str, Any], path: tuple[Any, ...], name: str = "linear-1.0") -> str:
    """The reason of the rejection; "" if there is none."""
    if path[:1] in (("certificate",), ("format",)) and len(path) == 1:
        with pytest.raises(mt.InputError, match="expected a certificate") as error:
            checked(name, certificate)
        return str(error.value)
    found = checked(name, certificate)
    assert found.valid == (found.reason == "")
    assert "\n" not in found.reason
    return found.reason


def test_no_edit_passes_without_the_seal(certificate: dict[str, Any]) -> None:
    for path in leaves(certificate):
        if not path:
            continue
        value = at(certificate, path)
        for other in [*(numbers(value) if type(value) in (int, float) else []), *others(value)]:
            assert refused(edited(certificate, path, other), path), (path, other)
        less = copy.deepcopy(certificate)
        del at(less, path[:-1])[path[-1]]
        assert refused(less, path), path
        if isinstance(value, dict):
            assert refused(edited(certificate, (*path, "more"), 1.0), path), path


SECTIONS = ("centre", "region", "curvature", "stationary", "basin", "found", "data", "model")


@pytest.mark.parametrize(("name", "shape"), [("linear-1.0", FACTOR), ("logistic", None), ("erased-labels", None)])
def test_no_number_can_be_edited_with_the_seal_renewed(name: str, shape: Any) -> None:
    certificate = made(name, factor=shape)
    assert checked(name, certificate).valid
    count = 0
    for path in leaves(certificate):
        value = at(certificate, path) if path else None
        tied = (path[:1] and path[0] in SECTIONS) or path in (("bound", "alpha"), ("bound", "lambda_upper"))
        if tied and type(value) in (int, float):
            for other in numbers(value):
                if path[:2] == ("region", "factor") and other == -value:
                    continue  # another region with the same box, of which the same may well be true, and proved
                assert refused(sealed(edited(certificate, path, other)), path, name), (path, value, other)
                count += 1
    assert count > 100


def test_no_wrong_type_or_key_passes_with_the_seal_renewed(certificate: dict[str, Any]) -> None:
    for path in leaves(certificate):
        if not path or path[0] == "seal":
            continue
        value = at(certificate, path)
        # The names of columns and of the maker are free texts; other cuts may do as well.
        free = path[0] == "maker" or path[:2] in (("data", "features"), ("data", "response"), ("bound", "cuts"))
        for other in others(value):
            if free and (other is None or isinstance(other, str | list | dict)):
                continue
            if path == ("model", "options") and other == {}:
                continue  # without a sigma it is the default, 1: the same model
            try:
                new = sealed(edited(certificate, path, other))
            except ValueError:  # no JSON
                new = edited(certificate, path, other)
            assert refused(new, path), (path, other)
        less = copy.deepcopy(certificate)
        del at(less, path[:-1])[path[-1]]
        assert free or path == ("model", "options", "sigma") or refused(sealed(less), path), path
        if isinstance(value, dict) and path != ("maker",):
            assert refused(sealed(edited(certificate, (*path, "more"), 1.0)), path), path


def test_a_thousand_random_edits_raise_nothing(certificate: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    paths = [p for p in leaves(certificate) if p and p[0] not in ("certificate", "format", "seal")]
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    strange = [
        *(0.0, -0.0, 5e-324, 1e-300, 1e308, -1e308, 1e16, 0.5, 1.0, 2.0, -1.0, 0, 1, -1, 3, 10**30, -(10**9)),
        *(True, None, "", "é\0", "taylor", "worst-case", "ellipsoid", "euclidean", "softmax-multinomial", deep),
        *([], {}, [[]], [{"coordinate": 0, "pieces": 10**9}], [{"coordinate": 0, "pieces": 4096}] * 2),
        *({"k": 10**9}, {"k": 8.0, "sigma": 0.1}, {"sigma": 1e-310}, {"sigma": -1.0}, {"sigma": 1e300}),
        *(object(), b"x", math.nan, np.float64(2), {1: 2}, {None: 1, "a": 2}, (1.0, 2.0)),
    ]
    rejected = 0
    for _ in range(1000):
        new = certificate
        for _ in range(rng.integers(1, 3)):
            path = paths[rng.integers(len(paths))]
            if rng.random() < 0.3:
                old = at(certificate, path)
                value = (
                    float(old * 10.0 ** rng.normal(0, 3))
                    if isinstance(old, float)
                    else at(certificate, paths[rng.integers(len(paths))])
                )
            else:
                value = strange[rng.integers(len(strange))]
            try:
                new = edited(new, path, value)
            except (TypeError, KeyError, IndexError):  # its place went with the first edit
                continue
        if rng.random() < 0.8:
            with contextlib.suppress(TypeError, ValueError):
                new = sealed(new)
        rejected += not checked("linear-1.0", new).valid
    assert rejected > 925


def test_absurd_sizes_are_refused_at_once(certificate: dict[str, Any]) -> None:
    cuts = lambda *entries: [{"coordinate": k, "pieces": n} for k, n in entries]
    for path, value in (
        (("bound", "cuts"), cuts((0, 10**9))),
        (("bound", "cuts"), cuts((0, 4097))),
        (("bound", "cuts"), cuts((0, 64), (1, 65))),
        (("bound", "cuts"), cuts((0, 2), (0, 2))),
        (("bound", "cuts"), cuts((4, 2))),
        (("bound", "cuts"), cuts((0, 0))),
        (("model",), {"name": "softmax-multinomial", "options": {"k": 10**6}, "joint": ["a", "b"]}),
        (
            ("model",),
            {"name": "linear-experts", "options": {}, "joint": [str(e) for e in mt.linear_experts().log_joint]},
        ),
        (("data", "rows"), 10**12),
    ):
        found = checked("linear-1.0", sealed(edited(certificate, path, value)))
        assert not found.valid
        assert found.seconds < 1


# False statements, everything else made to fit


def fails(certificate: dict[str, Any], statement: str, name: str = "linear-1.0") -> None:
    found = checked(name, consistent(certificate))
    assert not found.valid
    assert found.reason.startswith(statement), found.reason


@pytest.mark.parametrize("method", ["taylor", "worst-case"])
@pytest.mark.parametrize("name", ["linear-1.0", "logistic"])
def test_false_statements_are_rejected_by_the_proof(name: str, method: str) -> None:
    case, centre = CASES[name][0], CENTRES[name]
    r = 0.1 if name == "linear-1.0" else 0.001
    certificate = made(name, r, method)
    assert checked(name, certificate).valid
    _, complete = case.information(centre)
    least, *_, most = np.linalg.eigvalsh(complete)
    fails(edited(certificate, ("curvature", "lower"), least * 1.0001), "curvature.lower", name)
    fails(edited(certificate, ("curvature", "upper"), most * 0.9999), "curvature.upper", name)
    slope = float(np.linalg.norm(case.gradient(centre)))
    fails(edited(certificate, ("stationary", "gradient"), slope * 0.9999), "stationary.gradient", name)
    large = edited(certificate, ("region", "radius"), 3 * r)
    fails(edited(large, ("curvature", "lower"), least), "curvature.lower", name)
    large["curvature"] = {"lower": least / 2, "upper": 2 * most, "within": r}
    fails(large, "bound.lambda_upper", name)
    # An α between that of the point found and that of others.
    top = lambda theta: float(
        np.linalg.eigvals(np.linalg.solve(case.information(theta)[1], case.information(theta)[0])).real.max()
    )
    rng = np.random.default_rng(1)
    points = [centre + 0.99 * r * u / np.linalg.norm(u) for u in rng.normal(size=(200, len(centre)))]
    values = [top(p) for p in points]
    low = points[int(np.argmin(values))]
    false = edited(certificate, ("found", "lambda"), min(values))
    false["found"]["theta"] = dict(zip(case.model.predictors, low.reshape(2, 2).tolist(), strict=True))
    alpha = math.floor((1 - (0.9 * max(values) + 0.1 * min(values))) * 2**30) / 2**30
    assert 1 - alpha > min(values)
    fails(edited(false, ("bound", "alpha"), alpha), "bound.lambda_upper", name)


def test_a_found_point_has_to_be_in_the_region_and_to_have_that_eigenvalue(certificate: dict[str, Any]) -> None:
    theta = certificate["found"]["theta"]
    away = {name: [v + 0.1 for v in row] for name, row in theta.items()}
    fails(edited(certificate, ("found", "theta"), away), "found.theta")
    for factor in (1 + 3e-8, 1 - 3e-8):
        fails(edited(certificate, ("found", "lambda"), certificate["found"]["lambda"] * factor), "found.lambda")


def test_a_found_point_outside_a_round_region_is_rejected() -> None:
    """Its eigenvalue is right, so only the place is wrong."""
    case, certificate = CASES["linear-1.0"][0], made("linear-1.0")
    top = lambda theta: float(np.max(np.linalg.eigvals(np.linalg.solve(*case.information(theta)[::-1])).real))
    steps = (0.021 * u / np.linalg.norm(u) for u in np.random.default_rng(0).normal(size=(50, 4)))
    theta = min((CENTRES["linear-1.0"] + step for step in steps), key=top)
    away = dict(zip(("beta", "w"), theta.reshape(2, 2).tolist(), strict=True))
    fails({**certificate, "found": {"lambda": top(theta), "theta": away}}, "found.theta")


def test_a_gradient_too_large_for_the_region_is_rejected() -> None:
    certificate = made("linear-1.0")
    size = 2 * certificate["region"]["radius"] * certificate["bound"]["alpha"] * certificate["curvature"]["lower"]
    fails(edited(certificate, ("stationary", "gradient"), size), "stationary.distance")


@pytest.mark.parametrize("cuts", [[(3, 5)], [(0, 2), (2, 3)], [(0, 3), (1, 3), (2, 3), (3, 4)]])
def test_cells_cover_the_region(cuts: list[tuple[int, int]]) -> None:
    certificate = edited(
        made("linear-1.0", factor=FACTOR), ("bound", "cuts"), [{"coordinate": k, "pieces": n} for k, n in cuts]
    )
    r, rng = certificate["region"]["radius"], np.random.default_rng(0)
    G = np.block([[FACTOR[0], np.zeros((2, 2))], [np.zeros((2, 2)), FACTOR[1]]])
    with ctx.workprec(128):
        cells = Proof(read_statement(certificate, ("beta", "w"), 2), rows_of("linear-1.0"), [], None).cells
        assert len(cells) <= math.prod(n for _, n in cuts)
        middles = [np.linalg.solve(G, balls.midpoints(c.theta).ravel() - CENTRES["linear-1.0"]) for c in cells]
        sizes = [({k: float(h) for k, h in c.half.items()}, float(c.rest)) for c in cells]
    for direction in rng.normal(size=(500, 4)):
        z = r * direction / np.linalg.norm(direction) * rng.choice([0.3, 1 - 1e-9])
        assert any(
            all(abs(z[k] - middle[k]) <= h + 1e-12 for k, h in half.items())
            and np.linalg.norm([z[k] for k in range(4) if k not in half]) <= rest + 1e-12
            for middle, (half, rest) in zip(middles, sizes, strict=True)
        )


def test_one_false_cell_is_enough() -> None:
    certificate = made("linear-1.0", 0.4, cuts=((2, 4), (3, 4)))
    slightly = certificate["bound"]["alpha"] + 2.0**-4
    fails(edited(certificate, ("bound", "alpha"), slightly), "bound.lambda_upper")


def test_a_factor_that_is_singular() -> None:
    factor = FACTOR.copy()
    factor[0] = [[1.0, 2.0], [2.0, 4.0]]
    certificate = made("linear-1.0", factor=FACTOR)
    certificate["region"]["factor"]["beta"] = factor[0].tolist()
    found = checked("linear-1.0", consistent(certificate))
    assert not found.valid


# Data and models


def test_other_data_are_rejected() -> None:
    case, certificate = CASES["linear-1.0"][0], made("linear-1.0")
    for name in ("x", "y", "weight"):
        data = data_of(case)
        array = getattr(data, name).copy()
        array.flat[5] = np.nextafter(array.flat[5], 9)
        setattr(data, name, array)
        assert check(certificate, data).reason.startswith("data.digest")
    data = data_of(case)
    data.y = case.y.copy()
    data.y[3] += 1
    renewed = edited(certificate, ("data", "digest"), digest(data.x, data.y, data.weight))
    assert check(sealed(renewed), data).reason.startswith("stationary.gradient")
    data = SimpleNamespace(x=case.x[1:], y=case.y[1:], weight=case.weight[1:])
    assert check(certificate, data).reason.startswith("data.rows")
    data = SimpleNamespace(x=case.x[:, :1], y=case.y, weight=case.weight)
    assert check(certificate, data).reason.startswith("data.features")


def test_bad_arguments_are_input_errors(certificate: dict[str, Any]) -> None:
    case = CASES["linear-1.0"][0]
    good = data_of(case)
    for data, model, match in (
        (SimpleNamespace(x=case.x, y=case.y), None, "data: expected an object with x, y and weight"),
        (SimpleNamespace(x=case.x, y=case.y[1:], weight=1.0), None, r"data.y: expected shape \(40,\)"),
        (SimpleNamespace(x=case.x, y=case.y, weight=-case.weight), None, "data.weight"),
        (SimpleNamespace(x=case.x * np.nan, y=case.y, weight=case.weight), None, "data.x: expected finite"),
    ):
        with pytest.raises(mt.InputError, match=match):
            check(certificate, data, model)
    with pytest.raises(mt.InputError, match="certificate: expected a certificate"):
        check([1], good)  # type: ignore[arg-type]
    with pytest.raises(mt.InputError, match="certificate: expected a certificate of format 1, got a int"):
        check({**certificate, "format": 10**5000}, good)
    assert check({**certificate, "seal": np.ones(3)}, good).reason.startswith("seal")


def test_a_model_of_ones_own_has_to_be_given_and_to_match() -> None:
    case, certificate = CASES["gate-only"][0], made("gate-only")
    assert check(certificate, data_of(case), case.model).valid
    assert check(certificate, data_of(case)).reason.startswith("model.name: expected one of")
    assert check(certificate, data_of(case), noisy_labels()).reason.startswith("model.name: expected 'noisy-labels'")
    other = case.model.with_known(1.1 * np.array(case.model.known_coefficients))
    assert not check(certificate, data_of(case), other).valid
    certificate = made("linear-1.0")
    case = CASES["linear-1.0"][0]
    assert check(certificate, data_of(case), mt.symmetric_linear()).valid
    assert check(certificate, data_of(case), mt.symmetric_linear(2)).reason.startswith("model.joint")


@pytest.mark.parametrize("model", [mt.linear_experts(), gate_three(), mt.softmax_moe(2, "poisson")])
def test_models_that_do_not_fit_are_refused(model: mt.Model) -> None:
    with pytest.raises(mt.InputError, match="model: expected"):
        derived(model)


@pytest.mark.parametrize(
    ("term", "match"),
    [
        (lambda beta: beta**2, "convex mirror map"),
        (lambda beta: mt.softplus(beta), "positive weights"),
        (lambda beta: -mt.softplus(beta**2), "softplus of affine forms"),
        (lambda beta: -(beta**4), "flat model with a mirror map quadratic"),
        (lambda beta: -sp.exp(beta), "flat model with a mirror map quadratic"),
    ],
)
def test_terms_without_a_convex_mirror_map_are_refused(term: Any, match: str) -> None:
    model = mt.Model("odd", (0, 1), ("beta",), None, lambda y, z, beta: y * z * beta + term(beta), mt.Reals())
    with pytest.raises(mt.InputError, match=match):
        derived(model)


def test_the_declarations_give_the_formulas_typed_by_hand() -> None:
    for sigma in ("1", "0.5", "0.3"):
        assert derived(mt.symmetric_linear(float(sigma))) == symmetric_linear(Fraction(sigma))
    assert derived(mt.symmetric_logistic()) == symmetric_logistic()


@pytest.mark.parametrize("model", [gate_only(), offset(), balanced(), noisy_labels(), mt.erased_labels()])
def test_formulas_give_back_the_declaration(model: mt.Model) -> None:
    """Posterior logit and gradient of the first label's density at random points, at 50 digits."""
    formulas, rng = derived(model), np.random.default_rng(0)
    values = model.response.values or (0.7, -1.3)
    for y in values:
        place = dict(zip(model.symbols, map(sp.Rational, rng.integers(-20, 20, len(model.symbols)) / 8), strict=True))
        eta = [place[s] for s in model.learnt]
        with ctx.workprec(200):
            known = [[arb(float(place[s]))] for s in model.symbols[len(eta) :]]
            terms = formulas.terms([float(y)], known)
            logit = terms.offset[0] + sum(s[0] * float(v) for s, v in zip(terms.delta, eta, strict=True))
            at_y = [e.subs(sp.Symbol("y", real=True), sp.Rational(y)) for e in model.log_joint]
            assert close(logit, (at_y[1] - at_y[0]).subs(place))
            for a, symbol in enumerate(model.learnt):
                slope = -terms.statistic[a][0]
                slope += sum(c * float(v) for c, v in zip(formulas.constant()[a], eta, strict=True))
                for (kappa, line), shift in zip(formulas.scales(), terms.shift, strict=True):
                    t = shift[0] + sum(s * float(v) for s, v in zip(line, eta, strict=True))
                    slope += kappa * line[a] * ball_bounds.expit(t)
                assert close(-slope, at_y[0].diff(symbol).subs(place))


def close(ball: Any, value: sp.Expr) -> bool:
    with mpmath.workdps(50):
        exact = mpmath.mpf(str(sp.N(value.rewrite(sp.exp), 45)))
        return abs(mpmath.mpf(ball.mid().str(45, radius=False)) - exact) <= mpmath.mpf(10) ** -35 * (1 + abs(exact))


# The two false certificates that were called valid (shared/cases/false_certificates)


def test_a_model_whose_derivatives_lie_is_refused() -> None:
    """All its numbers are right for the model without its stairs, which has the same derivatives."""
    folder = Path(__file__).parent / "data" / "cases" / "false_certificates"
    u, y = np.loadtxt(folder / "data.csv", delimiter=",", skiprows=1, unpack=True)
    x, n = np.column_stack([np.ones(len(u)), u]), len(u)
    own = CASES["linear-1.0"][0]
    stairs = runpy.run_path(str(folder / "stairs.py"))["stairs"]
    weight, delta = np.full(n, 1 / n), np.column_stack([2 * y, np.ones(n)])
    case = Case(stairs, {}, x, y, weight, np.zeros(n), delta, np.column_stack([-y, 0 * y]), own.quadratic, own.gates)
    certificate = make(case, np.round(case.fitted(np.array([[0, 5.0], [0.0, 0.5]])), 6), 0.02)
    with pytest.raises(mt.InputError, match="got atan"):
        check(certificate, data_of(case), stairs)
    flat = mt.symmetric_linear()
    certificate["model"] = {"name": flat.name, "options": {}, "joint": [str(e) for e in flat.log_joint], "known": {}}
    assert check(sealed(certificate), data_of(case)).valid


def test_the_sigma_that_is_stated_is_the_one_that_is_proved() -> None:
    """Rounding took this double to 1: θ̂ lay 1.2e-8 outside an enclosure of half width 4e-11."""
    sigma, own = 1.0000000775613402, CASES["linear-1.0"][0]
    stated = mt.symmetric_linear(sigma)
    certificate = made("linear-1.0")
    certificate["model"]["options"] = {"sigma": sigma}
    assert not checked("linear-1.0", sealed(certificate)).valid  # of sigma 1, whatever joint it names
    certificate["model"]["joint"] = [str(e) for e in stated.log_joint]
    found = checked("linear-1.0", sealed(certificate))
    assert not found.valid
    case = replace(
        own,
        model=stated,
        options={"sigma": sigma},
        delta=np.column_stack([2 * own.y / sigma**2, np.ones(len(own.y))]),
        statistic=np.column_stack([-own.y / sigma**2, 0 * own.y]),
        quadratic=own.quadratic / sigma**2,
    )
    truth = make(case, case.fitted(CASES["linear-1.0"][1]), 0.02)
    assert truth["stationary"]["distance"] < 1e-10
    assert check(truth, data_of(case)).valid


# Bounds against brute force


def test_the_range_of_the_second_derivative() -> None:
    rng = np.random.default_rng(0)
    with ctx.workprec(128):
        for _ in range(300):
            low = abs(rng.normal()) * rng.choice([0.0, 0.1, 1, 3, 10])
            high = low + abs(rng.normal()) * rng.choice([1e-3, 0.3, 3])
            least, most = ball_bounds.curvature_range((-arb(low)).exp(), (-arb(high)).exp())
            grid = bend(np.linspace(low, high, 3001))
            assert grid.min() - 1e-6 * (high - low) ** 2 - 1e-15 <= float(least) <= grid.min() + 1e-15
            assert grid.max() - 1e-15 <= float(most) <= grid.max() + 1e-6 * (high - low) ** 2 + 1e-15
        # At the peak itself balls cannot tell the side: 1/24 it is.
        edge = 5 - 2 * arb(6).sqrt()
        assert ball_bounds.curvature_range(edge, edge / 2)[1].overlaps(arb(1) / 24)


def test_a_rows_expansion_holds_all_along() -> None:
    rng, with_digits = np.random.default_rng(1), mpmath.workdps(50)
    with ctx.workprec(128), with_digits:
        q = lambda t: 1 / ((1 + mpmath.exp(-t)) * (1 + mpmath.exp(t)))
        for _ in range(100):
            t, rho = rng.normal() * rng.choice([0.01, 1, 4, 30]), abs(rng.normal()) * rng.choice([0.01, 1, 5])
            low, high, slope = (mpmath.mpf(v.str(40, radius=False)) for v in ball_bounds.expansion(arb(t), arb(rho)))
            for s in np.linspace(-rho, rho, 41):
                value = q(mpmath.mpf(t) + mpmath.mpf(s)) - slope * mpmath.mpf(s)
                assert low - mpmath.mpf(10) ** -33 <= value <= high + mpmath.mpf(10) ** -33


def rows_of(name: str) -> ball_rows.Rows:
    case = CASES[name][0]
    known = np.array(case.model.known_coefficients).reshape(-1, case.x.shape[1])
    return ball_rows.Rows(case.x, case.y, case.weight, known, derived(case.model))


HALF = mpmath.mpf(1) / 2
ODDS = {2.0: 0, 1.0: 1, 0.0: -1}
# (τ, Δs, s_0) of a row from y, the learnt and the known predictors; from the models' definitions.
ROW = {
    "linear-1.0": lambda y, eta, known: (eta[1] + 2 * y * eta[0], (2 * y, 1), (-y, 0)),
    "linear-0.5": lambda y, eta, known: (eta[1] + 8 * y * eta[0], (8 * y, 1), (-4 * y, 0)),
    "logistic": lambda y, eta, known: (eta[1] + y * eta[0], (y, 1), (HALF - y / 2, 0)),
    "gate-only": lambda y, eta, known: (eta[0] + 2 * ((y - known[0]) ** 2 - (y - known[1]) ** 2), (1,), (0,)),
    "erased-labels": lambda y, eta, known: (
        eta[0] + ODDS[float(y)] * (mpmath.log(4 - 5 * mpmath.mpf(10) ** -250) - mpmath.log(5) + 250 * mpmath.log(10)),
        (1,),
        (0,),
    ),
    "offset": lambda y, eta, known: (eta[1] - 5 * HALF * eta[0] + 5 * HALF * y - 25 * HALF / 4, (-5 * HALF, 1), (y, 0)),
}


@pytest.mark.parametrize("name", CASES)
def test_sums_contain_those_at_fifty_digits(name: str) -> None:
    case, start = CASES[name]
    m, d = start.shape
    places = list(itertools.product(range(m), range(d)))
    with ctx.workprec(128), mpmath.workdps(50):
        sums = ball_sums.sums_at(rows_of(name), balls.matrix(start))
        slope = ball_sums.gradient(rows_of(name), balls.matrix(start))
        missing, complete, gradient = (np.zeros(s, dtype=object) for s in ((m * d, m * d), (m * d, m * d), m * d))
        exact = np.vectorize(mpmath.mpf, otypes=[object])
        sigma = lambda t: 1 / (1 + mpmath.exp(-t))
        q = lambda t: sigma(t) * sigma(-t)
        known = exact(np.array(case.model.known_coefficients).reshape(-1, d))
        quadratic = exact(case.quadratic)
        for x, y, w in zip(exact(case.x), exact(case.y), exact(case.weight), strict=True):
            eta = exact(start) @ x
            tau, delta, statistic = ROW[name](y, eta, known @ x)
            delta, curvature = np.array(delta, dtype=object), quadratic
            mean = quadratic @ eta - np.array(statistic, dtype=object) - sigma(tau) * delta
            for kappa, line in case.gates:
                t, line = exact(line) @ eta, exact(line)
                mean, curvature = mean + kappa * sigma(t) * line, curvature + kappa * q(t) * np.outer(line, line)
            missing += w * q(tau) * np.kron(np.outer(delta, delta), np.outer(x, x))
            complete += w * np.kron(curvature, np.outer(x, x))
            gradient += w * np.array([mean[a] * x[j] for a, j in places])
        for found, values in ((sums.missing, missing), (sums.complete_low, complete), (slope, gradient)):
            for ball, value in zip(found.entries(), values.ravel(), strict=True):
                assert float(ball.rad()) < 1e-28
                assert abs(mpmath.mpf(ball.mid().str(45, radius=False)) - value) < mpmath.mpf(10) ** -28


@pytest.mark.parametrize("method", ["taylor", "worst-case"])
@pytest.mark.parametrize("name", CASES)
def test_bounds_hold_at_random_points_of_a_cell(name: str, method: str) -> None:
    case, lam, rng = CASES[name][0], 0.7, np.random.default_rng(2)
    m, d = CASES[name][1].shape
    p, r = m * d, 0.6
    factor = np.stack([np.eye(d) + 0.3 * np.cos(np.arange(d * d) + a).reshape(d, d) for a in range(m)])
    G = np.block([[factor[a] if a == b else np.zeros((d, d)) for b in range(m)] for a in range(m)])
    centre = CENTRES[name]
    with ctx.workprec(128):
        blocks = [balls.matrix(f) for f in factor]
        cell = ball_rows.Cell(balls.matrix(centre.reshape(m, d)), {p - 1: arb(0.3)}, arb(r))
        sums = ball_sums.sums_over(rows_of(name), cell, blocks, method)
        low, high, top = (balls.midpoints(b) for b in (sums.complete_low, sums.complete_high, sums.missing))
        slopes = [np.zeros((p, p))] * p
        slopes_complete = slopes
        if method == "taylor":
            slopes = [balls.midpoints(t) for t in sums.derivatives(blocks, arb(lam), True)]
            slopes_complete = [balls.midpoints(t) for t in sums.derivatives(blocks, arb(1), False)]
    for _ in range(60):
        z = rng.normal(size=p)
        z[-1] = 0
        z *= r * rng.random() ** 0.3 / np.linalg.norm(z)
        z[-1] = rng.uniform(-0.3, 0.3)
        missing, complete = case.information(centre + G @ z)
        moved = sum(v * t for v, t in zip(z, slopes, strict=True))
        moved_complete = sum(v * t for v, t in zip(z, slopes_complete, strict=True))
        for gap in (
            lam * complete - missing - (lam * low - top) - moved,
            complete - low - moved_complete,
            high + moved_complete - complete,
        ):
            assert np.linalg.eigvalsh(gap)[0] > -1e-12


def test_definiteness_is_proved_only_where_it_holds() -> None:
    rng = np.random.default_rng(0)
    with ctx.workprec(128):
        for p in (1, 3, 12):
            basis = arb_mat(rng.integers(-9, 9, (p, p)).tolist()) + balls.identity(p, 40)
            for least, expected in ((1e-25, True), (1e-3, True), (0.0, False), (-1e-25, False), (-1.0, False)):
                middle = arb_mat(p, p)
                for i in range(p):
                    middle[i, i] = arb(10.0 ** (i % 4)) if i else arb(least)
                assert balls.positive_definite(balls.congruence(basis, middle)) == expected
        wide = balls.identity(3) + arb_mat([[arb(0, 0.6)] * 3 for _ in range(3)])
        assert not balls.positive_definite(wide)
        assert not balls.positive_definite(arb_mat([[arb("nan")]]))
        assert not balls.positive_definite(arb_mat([[arb("inf") - arb("inf"), 0], [0, 1]]))


def test_linear_terms_are_bounded_as_said() -> None:
    rng = np.random.default_rng(0)
    with ctx.workprec(128):
        for _ in range(30):
            p = int(rng.integers(1, 5))
            symmetric = lambda p=p: (lambda a: a + a.T)(rng.normal(size=(p, p)))
            rest, along = [symmetric() for _ in range(3)], [symmetric() for _ in range(2)]
            base = np.eye(p) * rng.uniform(1, 8) + 0.3 * symmetric()
            sizes = np.geomspace(1e-3, 10, 12)
            start, others = balls.matrix(base), [balls.matrix(t) for t in rest]
            valid = [
                balls.stays_definite(start, [(arb(s / 2), balls.matrix(t)) for t in along], others.copy, arb(s))
                for s in sizes
            ]
            least = []
            for s in sizes:
                directions = rng.normal(size=(100, 3))
                directions *= s / np.linalg.norm(directions, axis=1)[:, None]
                corners = rng.choice([-s / 2, s / 2], size=(100, 2))
                least.append(
                    min(
                        np.linalg.eigvalsh(base + np.tensordot(z, rest, 1) + np.tensordot(c, along, 1))[0]
                        for z, c in zip(directions, corners, strict=True)
                    )
                )
            assert all(value > 0 for value, ok in zip(least, valid, strict=True) if ok)
            assert valid[0] or least[0] < 0.1


# Files and the command


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, dict[str, Any]]:
    """A certificate for a table with an intercept, and the table."""
    case = CASES["linear-1.0"][0]
    x = np.column_stack([np.ones(len(case.y)), case.x[:, 0]])
    own = Case(**{**vars(case), "x": x})
    certificate = make(own, np.round(own.fitted(np.array([[0, 3.0], [0.1, 0]])), 6), 0.02)
    certificate["data"].update(features=["intercept", "u"], response="v", intercept=True)
    folder = tmp_path_factory.mktemp("certificates")
    table, path = folder / "t.csv", folder / "c.json"
    lines = [f"{u!r},{v!r},{k}" for k, (u, v) in enumerate(zip(case.x[:, 0].tolist(), case.y.tolist(), strict=True))]
    table.write_text("\n".join(["u,v,k", *lines]), encoding="utf-8")
    path.write_text(json.dumps(sealed(certificate)), encoding="utf-8")
    return str(path), str(table), sealed(certificate)


def test_the_command_checks_files(command, files, tmp_path: Path) -> None:
    path, table, certificate = files
    code, out, _ = command("check", path, table, "--json")
    report = json.loads(out)
    assert code == 0
    assert set(report) == {"valid", "reason", "proved", "seconds", "cost", "certificate", "data"}
    assert (report["valid"], report["reason"], report["certificate"], report["data"]) == (True, "", path, table)
    code, out, _ = command("check", path, table)
    assert code == 0
    assert "valid: all of it is proved" in out
    assert "λ_max(M) on Θ" in out
    code, out, _ = command("check", path, table, "--model", "symmetric-linear", "--json")
    assert code == 0
    assert json.loads(out)["valid"]
    other = tmp_path / "other.json"
    other.write_text(json.dumps(edited(certificate, ("basin", "radius"), 0.0)), encoding="utf-8")
    code, out, _ = command("check", str(other), table)
    assert code == 1
    assert "rejected: seal" in out
    code, out, _ = command("check", path, table, "--model", "symmetric-logistic", "--json")
    assert code == 1
    assert json.loads(out)["reason"].startswith("model.name")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "expected a certificate"),
        ("[1]", "expected a certificate"),
        ("{}", "expected a certificate with certificate = 'moe-theory'"),
        ('{"certificate": "moe-theory", "format": 2}', "of format 1"),
        ('{"certificate": "moe-theory", "format": true}', "of format 1"),
        ('{"certificate": "moe-theory", "format": 1, "format": 1}', "distinct keys"),
        ("[" * 100000, "expected a certificate"),
        ('{"a": ' + "9" * 5000 + "}", "expected a certificate"),
        ("\ud800", "UTF-8"),
    ],
)
def test_files_that_are_no_certificates(command, files, tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(mt.InputError, match=match):
        check_file(path, files[1])
    code, out, err = command("check", str(path), files[1])
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_files_that_do_not_go_together(files, tmp_path: Path) -> None:
    path, table, certificate = files
    with pytest.raises(mt.InputError, match="readable certificate"):
        check_file(tmp_path / "none.json", table)
    with pytest.raises(mt.InputError, match="readable CSV"):
        check_file(path, tmp_path / "none.csv")
    other = tmp_path / "t.csv"
    other.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(mt.InputError, match="'v'"):
        check_file(path, other)
    other.write_text(Path(table).read_text(encoding="utf-8").replace("1", "2", 1), encoding="utf-8")
    assert not check_file(path, other).valid
    arrays = edited(certificate, ("data", "features"), None)
    arrays["data"].update(intercept=False, response=None)
    (tmp_path / "c.json").write_text(json.dumps(sealed(arrays)), encoding="utf-8")
    with pytest.raises(mt.InputError, match=r"use moe_theory\.check"):
        check_file(tmp_path / "c.json", table)
    (tmp_path / "c.json").write_text(json.dumps({**certificate, "more": 1}), encoding="utf-8")
    assert check_file(tmp_path / "c.json", table).reason.startswith("seal")
