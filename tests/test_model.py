"""Declarations: what a model is, what is refused and how."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import moe_theory as mt
from moe_theory import Model, Reals, Values, derive, log_expit, log_normal
from moe_theory.errors import InputError
from moe_theory.validation import positive_number, unit_interval, whole_number
from moe_theory.zoo import ZOO, by_name


def test_models_are_values() -> None:
    assert mt.symmetric_linear() == mt.symmetric_linear() and hash(mt.symmetric_linear()) == hash(mt.symmetric_linear())
    assert mt.symmetric_linear() != mt.symmetric_linear(0.3)
    assert derive(mt.symmetric_linear()) is derive(mt.symmetric_linear())


def test_theta_stacks_the_vectors_in_the_order_of_the_predictors() -> None:
    theta = mt.symmetric_linear().theta(w=[3, 4], beta=[1, 2])
    assert theta.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent": ()}, r"^latent: expected distinct values, at least one, got \(\)$"),
        ({"latent": (1, 1.0)}, r"^latent: expected distinct values, at least one"),
        ({"latent": ("p", "q")}, r"^latent: expected"),
        ({"latent": (0, float("nan"))}, r"^latent: expected"),
        ({"predictors": ()}, r"^predictors: expected at least one name, got none$"),
        ({"predictors": ("y",)}, r"^predictors: expected identifiers other than y and z, got 'y'$"),
        ({"predictors": ("b", "b")}, r"^predictors: expected distinct names"),
        ({"known": {"b": [1.0]}}, r"^predictors: expected distinct names"),
        ({"known": {"c": [1.0], "d": [1.0, 2.0]}}, r"^known: expected vectors of one length, got \[1, 2\]$"),
        ({"known": {"c": [float("nan")]}}, r"^known\['c'\]: expected finite values, got nan at index \(0\)$"),
        ({"expert": lambda y, q: log_normal(y, q)}, r"^expert: expected arguments among .*, got 'q'$"),
        ({"gate": lambda z, q: log_expit(z * q)}, r"^gate: expected arguments among .*, got 'q'$"),
        (
            {"expert": lambda y, b: log_normal(y, b * sp.Symbol("q"))},
            r"^expert: expected an expression in .*got q",
        ),
        ({"expert": lambda y, b: "not maths !"}, r"^expert: expected"),
        ({"expert": lambda y, b: None}, r"^expert: expected"),
    ],
)
def test_bad_declarations_say_what_is_wrong(options, message: str) -> None:
    good = {"latent": (0, 1), "predictors": ("b",), "gate": None, "response": Reals()}
    good["expert"] = lambda y, b: log_normal(y, b)
    with pytest.raises(InputError, match=message):
        derive(Model("mine", **(good | options)))


@pytest.mark.parametrize("values", [(), (1,), (1, 1)])
def test_a_finite_response_has_two_values(values) -> None:
    with pytest.raises(InputError, match=r"^values: expected at least two distinct responses, got \("):
        Values(values)


def test_the_values_of_a_response_are_numbers() -> None:
    with pytest.raises(InputError, match=r"^values: expected"):
        Values(("yes", "no"))


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [
        ({"beta": [1, 2]}, "^theta: expected one vector for each of beta, w, got beta$"),
        ({"beta": [1, 2], "v": [1, 2]}, "^theta: expected one vector for each of beta, w, got beta, v$"),
        ({"beta": [1, 2], "w": [1]}, "^theta: expected vectors of one length, got beta: 2, w: 1$"),
        ({"beta": [1, float("inf")], "w": [1, 1]}, r"^beta: expected finite values, got inf at index \(1\)$"),
        ({"beta": [[1]], "w": [1]}, r"^beta: expected 1 axis, got shape \(1, 1\)$"),
        ({"beta": "abc", "w": [1]}, "^beta: expected real numbers, got 'abc'$"),
        ({"beta": [], "w": []}, r"^theta: expected shape \(2, d\), got \(2, 0\)$"),
    ],
)
def test_bad_parameters_say_what_is_wrong(coefficients, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mt.symmetric_linear().theta(**coefficients)


@pytest.mark.parametrize("sigma", [0, -1, float("nan"), float("inf"), "a", [1, 2]])
def test_sigma_is_checked(sigma) -> None:
    with pytest.raises(InputError, match=r"^sigma: expected"):
        mt.symmetric_linear(sigma)


def test_known_coefficients_can_be_exchanged() -> None:
    model = Model("known", (0, 1), ("w",), None, lambda y, z, w, a: log_normal(y, w + z * a), Reals(), {"a": [1, 2]})
    other = model.with_known(np.array([[3.0, 4.0]]))
    assert (model.known, other.known) == ({"a": (1.0, 2.0)}, {"a": (3.0, 4.0)})
    assert model.dimension == 2 and model != other and hash(model) != hash(other)
    assert model.coefficients([[5.0, 6.0]]).tolist() == [[5.0, 6.0], [1.0, 2.0]]
    with pytest.raises(InputError, match=r"^theta: expected shape \(1, 2\), got \(1, 3\)$"):
        model.check_theta("theta", [[1, 2, 3]])


def test_the_zoo_by_name() -> None:
    assert {name: make().name for name, make in ZOO.items()} == {name: name for name in ZOO}
    assert by_name("symmetric-linear", sigma=0.3) == mt.symmetric_linear(0.3)
    with pytest.raises(InputError, match=r"^model: expected one of symmetric-linear, .*, got 'linear'$"):
        by_name("linear")
    with pytest.raises(InputError, match=r"^model: symmetric-logistic takes no option 'sigma'$"):
        by_name("symmetric-logistic", sigma=1)


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (unit_interval, 0, r"^α: expected a number in the open interval \(0, 1\), got 0$"),
        (unit_interval, 1.0, r"^α: expected a number in the open interval \(0, 1\), got 1$"),
        (unit_interval, float("nan"), r"^α: expected finite values, got nan"),
        (unit_interval, [0.5], r"^α: expected 0 axes, got shape \(1,\)$"),
        (positive_number, 0, r"^α: expected a number > 0, got 0$"),
        (positive_number, True + 1j, r"^α: expected real numbers, got \(1\+1j\)$"),
        (whole_number, "3", r"^α: expected a whole number, got '3'$"),
        (whole_number, -1, r"^α: expected a whole number >= 0, got -1$"),
    ],
)
def test_validators_name_the_argument(check, value, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check("α", value)


def test_validators_pass_what_is_right() -> None:
    assert unit_interval("α", 0.25) == 0.25 and positive_number("α", "2.5") == 2.5 and whole_number("n", 7) == 7
