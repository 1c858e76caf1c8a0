"""Claims from Python: on one's own model, and what is printed beside what holds."""

from __future__ import annotations

import pytest
import sympy as sp
from models import gate_three

import moe_theory as mt


def referee() -> mt.Model:
    """y in {-1, 0, 1}; the expert's two predictors share its log-partition: Q's curvature has (β, c) entries."""
    return mt.Model(
        "referee",
        latent=(-1, 1),
        predictors=("beta", "c", "w"),
        gate=lambda z, w: mt.log_expit(z * w),
        expert=lambda y, z, beta, c: y * z * beta + y**2 * c - sp.log(1 + sp.exp(c + beta) + sp.exp(c - beta)),
        response=mt.Values((-1, 0, 1)),
    )


def tied() -> mt.Model:
    """The gate sees the experts' predictor, which nothing forbids a declaration."""
    return mt.Model(
        "tied",
        latent=(-1, 1),
        predictors=("beta", "w"),
        gate=lambda z, beta, w: mt.log_expit(z * (w + beta)),
        expert=lambda y, z, beta: mt.log_expit(y * z * beta),
        response=mt.Values((-1, 1)),
    )


@pytest.mark.parametrize("model", [referee(), gate_three()], ids=lambda m: m.name)
def test_separable_is_about_gate_and_experts_not_about_predictors_of_one_of_them(model: mt.Model) -> None:
    (found,) = mt.verify_model(model, ("separable",))
    assert found.verdict == "proved"


def test_separable_falls_where_the_gate_sees_the_experts_predictor() -> None:
    (found,) = mt.verify_model(tied(), ("separable",))
    assert found.verdict == "refuted"


def test_verify_model_names_what_it_does_not_speak_of() -> None:
    with pytest.raises(mt.CurvedModelError, match="curved: the term"):
        mt.verify_model(mt.linear_experts(), ("separable",))
    with pytest.raises(mt.InputError, match="ids: expected claims that speak of any model, got 'snr'"):
        mt.verify_model(referee(), ("snr",))


def test_audit_judges_as_printed_and_as_corrected_by_one_check() -> None:
    found = mt.audit(("printed-likelihood", "printed-kl", "printed-logistic-density"), quick=True)
    assert [(a.as_printed.verdict, a.corrected.verdict) for a in found] == [
        ("refuted", "proved"),
        ("refuted", "proved"),
        ("proved", "proved"),
    ]
    assert found[1].as_printed.against is not None
    with pytest.raises(mt.InputError, match="ids: expected claims that correct what is printed, got 'snr'"):
        mt.audit(("snr",))


def test_tables_of_verdicts_name_claim_statement_and_verdict() -> None:
    verdicts = mt.verdict_table(mt.verify_model(referee(), ("fisher-identity", "separable")))
    assert [(row[0], row[2]) for row in verdicts.rows] == [("fisher-identity", "proved"), ("separable", "proved")]
    fallen = mt.verdict_table(mt.verify_model(tied(), ("separable",)))
    assert fallen.rows[0][3].startswith("against: ")
    listed = mt.audit_table(mt.audit(("printed-likelihood",), quick=True))
    assert [row[3] for row in listed.rows] == ["refuted", "proved"]
