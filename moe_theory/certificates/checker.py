"""Checking a certificate: what it says about EM on one data set is proved again, in ball arithmetic.

The setting: a flat model with two labels (`moe_theory.certificates.ball_formulas`), rows with weights ω, θ in R^{m×d},
I the missing and A'' the complete information, L = -Σ ω log p(y|x), Θ = {c + Gz : ‖z‖ <= r} with G block-diagonal.

Theorem. Let λ = 1 - α with 0 < α < 1 and 0 < μ <= ν, and on all of Θ
(a) λA'' - I ≻ 0 (so that L is α-strongly convex relative to A), (b) μ 1 ⪯ G'A''G, and G'A''G ⪯ ν 1 for ‖z‖ <= s <= r.
Let ε >= ‖G'∇L(c)‖ and e = ε/(αμ) < r. Then Θ holds exactly one stationary point θ̂ of L, at c + Gz with ‖z‖ <= e. From
every θ_1 with B_A(θ̂‖θ_1) < b = μ(r-e)²/2, so from every c + Gz with ‖z‖ <= r0 where ν(r0+e)²/2 < b, r0 + e <= s, EM's
iterates exist, stay in Θ, and B_A(θ̂‖θ_{t+1}) <= (1-α) B_A(θ̂‖θ_t), L(θ_{T+1}) - L(θ̂) <= (1-α)^T B_A(θ̂‖θ_1).

Proof. L's restriction z -> L(c + Gz) is αμ-strongly convex and has slope > 0 along z beyond ‖z‖ = e: its minimiser lies
within. Majorisation (global for flat models), relative convexity and the three-point identity give the contraction for
the M-step restricted to Θ; B_A(θ̂‖.) grows along rays from θ̂ and is at least b on Θ's boundary, so that this step is
inside Θ, hence a minimiser of the convex M-step problem over all θ, and the only one as A'' ≻ 0 there.

Nothing here comes from the certificate's maker: no kernel, no sum, no bound; NumPy only guesses (see `balls`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flint import ctx

from moe_theory.certificates.ball_formulas import Formulas
from moe_theory.certificates.ball_rows import Rows
from moe_theory.certificates.balls import BITS
from moe_theory.certificates.contents import (
    Rejected,
    Source,
    Statement,
    brief,
    opened,
    quoted,
    read_json,
    read_source,
    read_statement,
)
from moe_theory.certificates.limits import Cost, Deadline
from moe_theory.certificates.proof import Proof
from moe_theory.certificates.relations import check_relations
from moe_theory.certificates.stated import formulas_of
from moe_theory.datasets.reading import MISSING, Reading
from moe_theory.datasets.table import read_csv
from moe_theory.errors import InputError, MoeTheoryError
from moe_theory.model import Model
from moe_theory.printable import printable
from moe_theory.validation import Array, positive_number, real_array
from moe_theory.zoo import ZOO, by_name

Progress = Callable[[int, int], None]  # (done, total), in blocks of rows


@dataclass(frozen=True)
class Checked:
    """valid: whether all of the certificate was proved. reason: else one line, which statement failed and how.
    proved: (statement, value) in the order proved. seconds: what it took. cost: what it was expected to take, if that
    was asked for and the proof began.
    """

    valid: bool
    reason: str
    proved: tuple[tuple[str, float], ...]
    seconds: float
    cost: Cost | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "valid": self.valid,
            "reason": self.reason,
            "proved": [{"statement": statement, "value": value} for statement, value in self.proved],
            "seconds": self.seconds,
            "cost": None if self.cost is None else self.cost.to_dict(),
        }


@dataclass(frozen=True)
class Table:
    """The arrays of a CSV file: x (n, d), y (n,), weight 1/n."""

    x: Array
    y: Array
    weight: float


def check(
    certificate: Mapping[str, Any],
    data: Any,
    model: Model | None = None,
    progress: Progress | None = None,
    time_limit: float | None = None,
    announce: Callable[[Cost], None] | None = None,
) -> Checked:
    """Prove what `certificate` (its JSON object) says about `data`, or say what of it could not be proved.

    data: anything with x (n, d), y (n,) and weight, a float or (n,), e.g. `Data`; all taken as exact numbers. model: of
    which the certificate speaks; by default the zoo's of that name. time_limit: seconds, beyond which the certificate
    is not valid but "not decided". announce: called with the cost before the proof begins. Raises InputError for what
    is no certificate of this format, for arrays of wrong shape, and for a given model that is not flat with two labels.
    """
    return _checked(certificate, data, model, progress, announce, _deadline(time_limit))


def check_file(
    certificate_path: str | Path,
    csv_path: str | Path,
    model: Model | None = None,
    progress: Progress | None = None,
    time_limit: float | None = None,
    announce: Callable[[Cost], None] | None = None,
    *,
    decimal: str = ".",
    thousands: str = "",
    missing: str | Sequence[str] = MISSING,
    options: str = "",
) -> Checked:
    """`check` for a certificate's file and the CSV file with its data; InputError also for files that are none.

    decimal, thousands, missing: as `read_data` has them. options: what a command writes before its options' names.
    """
    deadline = _deadline(time_limit)
    certificate = read_json(certificate_path)
    try:
        source = read_source(opened(certificate))
    except Rejected as rejection:
        return Checked(False, _line(rejection), (), time.perf_counter() - deadline.start)
    if source.features is None or source.response is None:
        raise InputError(
            f"{certificate_path}: expected the names of features and response, which tell the columns; this certificate"
            " was made from arrays: use moe_theory.check(certificate, data) from Python"
        )
    table = read_csv(csv_path, Reading.of(decimal, thousands, missing, options))
    y = table.column(source.response)
    columns = [table.column(name) for name in source.features[source.intercept :]]
    x = np.column_stack([np.ones(len(y))] * source.intercept + columns)
    return _checked(certificate, Table(x, y, 1.0 / len(y)), model, progress, announce, deadline)


def _deadline(time_limit: float | None) -> Deadline:
    return Deadline() if time_limit is None else Deadline(positive_number("time_limit", time_limit))


def _checked(
    certificate: Mapping[str, Any],
    data: Any,
    model: Model | None,
    progress: Progress | None,
    announce: Callable[[Cost], None] | None,
    deadline: Deadline,
) -> Checked:
    proved: list[tuple[str, float]] = []
    cost, reason = None, ""
    try:
        with ctx.workprec(BITS):
            statement, rows = _read(certificate, data, model)
            deadline.check()
            proof = Proof(statement, rows, proved, progress, deadline)
            if announce is not None:
                cost = proof.cost()
                announce(cost)
            proof.run()
    except Rejected as rejection:
        reason = _line(rejection)
    return Checked(not reason, reason, tuple(proved), time.perf_counter() - deadline.start, cost)


def _line(rejection: Rejected) -> str:
    """The reason on one line that is safe to print."""
    return printable(" ".join(str(rejection).split()))


def _read(certificate: Mapping[str, Any], data: Any, model: Model | None) -> tuple[Statement, Rows]:
    """What is to be proved about which rows, all of it that can be read off without a proof being right."""
    contents = opened(certificate)
    source = read_source(contents)
    x, y, weight = _arrays(data)
    if source.rows != len(y):
        raise Rejected(f"data.rows: the data have {len(y)} rows, the certificate says {source.rows}")
    declared, formulas = _model(source, model)
    if declared.dimension not in (None, x.shape[1]):
        raise Rejected(f"model: {declared.name} has {declared.dimension} features, the data have {x.shape[1]}")
    if source.features is not None and len(source.features) != x.shape[1]:
        raise Rejected(f"data.features: the data have {x.shape[1]} features, the certificate {len(source.features)}")
    statement = read_statement(contents, declared.predictors, x.shape[1])
    check_relations(statement)
    _check_data(source, declared, x, y, weight)
    known = np.array(declared.known_coefficients).reshape(-1, x.shape[1])
    return statement, Rows(x, y, weight, known, formulas)


def _arrays(data: Any) -> tuple[Array, Array, Array | float]:
    """x (n, d), y (n,), weight as floats; InputError for what is none."""
    missing = [name for name in ("x", "y", "weight") if not hasattr(data, name)]
    if missing:
        raise InputError(
            f"data: expected an object with x, y and weight, got a {type(data).__name__} without {missing[0]}"
        )
    x, y = real_array("data.x", data.x, ndim=2), real_array("data.y", data.y, ndim=1)
    if len(x) != len(y) or not x.size:
        raise InputError(f"data.y: expected shape ({len(x)},) to match x {x.shape}, got {y.shape}")
    weight = real_array("data.weight", data.weight)
    if weight.shape not in ((), y.shape) or np.min(weight) < 0:
        raise InputError(f"data.weight: expected a number or shape {y.shape}, none < 0, got shape {weight.shape}")
    return x, y, weight if weight.ndim else float(weight)


def _model(source: Source, given: Model | None) -> tuple[Model, Formulas]:
    """The declaration and its formulas in balls; what the file says is rejected, a given misfit an InputError."""
    if given is not None and given.name != source.name:
        raise Rejected(f"model.name: expected {quoted(given.name)}, the given model's, got {quoted(source.name)}")
    of_zoo = source.name in ZOO
    declared = given
    if of_zoo:
        try:
            zoo = by_name(source.name, **source.options)
        except (MoeTheoryError, ArithmeticError, ValueError, TypeError) as error:
            raise Rejected(f"model.options: {brief(str(error))}") from error
        _check_joint(source, zoo)
        declared = given or zoo
    if declared is None:
        raise Rejected(
            f"model.name: expected one of {', '.join(ZOO)}, or a given model of that name, got {quoted(source.name)}"
        )
    _check_joint(source, declared)
    expected = {name: list(row) for name, row in zip(declared.known, declared.known_coefficients, strict=True)}
    if source.known != expected:
        raise Rejected(f"model.known: expected {brief(expected)}, the model's, got {brief(source.known)}")
    try:
        return declared, formulas_of(declared, dict(source.options) if of_zoo else None)
    except InputError as error:
        if given is not None:
            raise
        raise Rejected(str(error)) from error


def _check_joint(source: Source, model: Model) -> None:
    expected = tuple(str(term) for term in model.log_joint)
    if source.joint != expected:
        z = 0 if len(expected) != 2 or source.joint[0] != expected[0] else 1
        raise Rejected(
            f"model.joint: expected log p(y, z|x) = {brief(expected[z])} of {model.name} with these options, got"
            f" {brief(source.joint[z])}"
        )


def _check_data(source: Source, model: Model, x: Array, y: Array, weight: Array | float) -> None:
    """Rejected unless these are the data that the certificate was made for."""
    if source.intercept and not np.all(x[:, 0] == 1):
        raise Rejected("data.intercept: expected a first feature of ones in the data, it is another")
    try:
        model.response.check("y", y)
    except InputError as error:
        raise Rejected(f"data: {error}") from error
    digest = hashlib.sha256(repr((len(x), x.shape[1])).encode())
    for values in (x, y, np.broadcast_to(weight, y.shape)):
        digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    if digest.hexdigest() != source.digest:
        raise Rejected(
            f"data.digest: the data have {digest.hexdigest()[:12]}…, the certificate says {brief(source.digest)}"
        )
