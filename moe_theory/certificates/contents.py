"""A certificate's file: its keys and types, its seal, and what it says, typed.

A file that is not one of ours is an InputError; one of ours whose contents are not what they have to be is `Rejected`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe_theory.errors import InputError
from moe_theory.printable import printable

NAME, FORMAT = "moe-theory", 1
MOST_CELLS = 4096
MOST_BYTES = 100_000_000  # of a file
MOST_CORNERS = 65536  # sign patterns of the cut coordinates, over all cells

KEYS = {
    "": "certificate format model data centre region bound curvature stationary basin found maker seal",
    "model": "name options joint known",
    "data": "rows features response intercept digest",
    "region": "shape factor radius",
    "bound": "alpha lambda_upper method cuts",
    "cut": "coordinate pieces",
    "curvature": "lower upper within",
    "stationary": "gradient distance lower upper",
    "basin": "radius divergence",
    "found": "lambda theta",
}

Vectors = tuple[tuple[float, ...], ...]  # one per predictor


class Rejected(Exception):  # noqa: N818
    """A certificate that is not valid; the message is the reason, one line."""


@dataclass(frozen=True)
class Source:
    """Of which model and which data a certificate speaks: the sections "model" and "data".

    known: {known predictor: coefficients}, which `joint`, the declared log p(y, z|x), only names.
    """

    name: str
    options: Mapping[str, float]
    joint: tuple[str, str]
    known: Mapping[str, Any]
    rows: int
    features: tuple[str, ...] | None
    response: str | None
    intercept: bool
    digest: str


@dataclass(frozen=True)
class Statement:
    """What a certificate says in numbers, exact doubles; vectors are (m, d), factor (m, d, d) or None for the identity.

    The letters are those of the theorem in `moe_theory.certificates.checker`.
    """

    centre: Vectors
    shape: str
    factor: tuple[Vectors, ...] | None
    r: float
    alpha: float
    lam: float
    method: str
    cuts: tuple[tuple[int, int], ...]
    mu: float
    nu: float
    within: float
    epsilon: float
    e: float
    lower: Vectors
    upper: Vectors
    r0: float
    b: float
    found: float
    found_theta: Vectors


def read_json(path: str | Path) -> Mapping[str, Any]:
    """The JSON object in that file; InputError if there is none."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode("utf-8") if len(content) <= MOST_BYTES else None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected a certificate (JSON in UTF-8), got bytes that are not UTF-8") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: expected a readable certificate file ({reason})") from error
    if text is None:
        raise InputError(f"{path}: expected a certificate of at most {MOST_BYTES // 10**6} MB, got more")
    try:
        value = json.loads(text, object_pairs_hook=_distinct)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected a certificate (JSON), but {error}") from error
    _ours(str(path), value)
    return value


def opened(certificate: Mapping[str, Any]) -> dict[str, Any]:
    """Its contents as JSON values only, after the seal was found to be theirs; else InputError or Rejected."""
    _ours("certificate", certificate)
    try:
        text = canonical(certificate)
        seal = hashlib.sha256(text.encode()).hexdigest()
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise Rejected(f"contents: expected finite JSON values, but {brief(str(error))}") from error
    given = certificate.get("seal")
    if not isinstance(given, str) or given != seal:
        raise Rejected(
            f"seal: expected {seal[:12]}…, the SHA-256 of the contents, got {brief(given)}: the file"
            " was changed after it was made"
        )
    return _section("", {**value, "seal": seal})


def canonical(certificate: Mapping[str, Any]) -> str:
    """The text whose SHA-256 is the seal: JSON of all keys but the seal, sorted, without spaces."""
    body = {key: value for key, value in certificate.items() if key != "seal"}
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def read_source(value: Mapping[str, Any]) -> Source:
    """The sections "model" and "data" of opened contents."""
    model, data = _section("model", value["model"]), _section("data", value["data"])
    options = _typed("model.options", model["options"], dict)
    if len(options) > 8:
        raise Rejected(f"model.options: expected a few, got {len(options)}")
    for key, option in options.items():
        _number(f"model.options.{brief(key)}", option)
    joint = _list("model.joint", model["joint"], 2)
    features = data["features"]
    if features is not None:
        features = tuple(_typed("data.features", name, str) for name in _list("data.features", features))
        named = features[data["intercept"] is True :]
        if len(set(named)) < len(named):
            twice = next(name for i, name in enumerate(named) if name in named[:i])
            raise Rejected(f"data.features: expected distinct columns, got {quoted(twice)} twice")
    if data["response"] is not None:
        _typed("data.response", data["response"], str)
    intercept = _typed("data.intercept", data["intercept"], bool)
    if intercept and (not features or features[0] != "intercept"):
        raise Rejected(f"data.features: expected 'intercept' first, as data.intercept says, got {brief(features)}")
    rows = _typed("data.rows", data["rows"], int)
    return Source(
        _typed("model.name", model["name"], str),
        options,
        (_typed("model.joint", joint[0], str), _typed("model.joint", joint[1], str)),
        _typed("model.known", model["known"], dict),
        rows,
        features,
        data["response"],
        intercept,
        _typed("data.digest", data["digest"], str),
    )


def read_statement(value: Mapping[str, Any], predictors: Sequence[str], d: int) -> Statement:
    """The numbers of opened contents for a model with these learnt predictors and d features."""
    region, bound = _section("region", value["region"]), _section("bound", value["bound"])
    curvature, stationary = _section("curvature", value["curvature"]), _section("stationary", value["stationary"])
    basin, found = _section("basin", value["basin"]), _section("found", value["found"])
    maker = _typed("maker", value["maker"], dict)
    if "moe_theory" not in maker or any(type(entry) is not str for entry in maker.values()):
        raise Rejected(f"maker: expected texts, among them moe_theory, got {brief(maker)}")
    vectors = lambda where, entry: _vectors(where, entry, predictors, d)
    shape, factor = region["shape"], region["factor"]
    if shape not in ("euclidean", "ellipsoid") or (shape == "euclidean") != (factor is None):
        raise Rejected(
            f"region: expected shape euclidean without or ellipsoid with a factor, got {brief(shape)}"
            f" with{'out' if factor is None else ''} one"
        )
    if bound["method"] not in ("worst-case", "taylor"):
        raise Rejected(f"bound.method: expected worst-case or taylor, got {brief(bound['method'])}")
    return Statement(
        vectors("centre", value["centre"]),
        shape,
        None if factor is None else _matrices("region.factor", factor, predictors, d),
        _number("region.radius", region["radius"]),
        _number("bound.alpha", bound["alpha"]),
        _number("bound.lambda_upper", bound["lambda_upper"]),
        bound["method"],
        _cuts(bound["cuts"], len(predictors) * d),
        _number("curvature.lower", curvature["lower"]),
        _number("curvature.upper", curvature["upper"]),
        _number("curvature.within", curvature["within"]),
        _number("stationary.gradient", stationary["gradient"]),
        _number("stationary.distance", stationary["distance"]),
        vectors("stationary.lower", stationary["lower"]),
        vectors("stationary.upper", stationary["upper"]),
        _number("basin.radius", basin["radius"]),
        _number("basin.divergence", basin["divergence"]),
        _number("found.lambda", found["lambda"]),
        vectors("found.theta", found["theta"]),
    )


def brief(value: Any) -> str:
    """A text, or how another value prints, on one short line that is safe to print."""
    try:
        text = printable(" ".join((value if isinstance(value, str) else repr(value)).split()))
    except (RecursionError, ValueError):  # nested too deep, or a number of too many digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 70 else text[:67] + "…"


def quoted(value: Any) -> str:
    """The same with quotes around a text."""
    return brief(repr(value)) if isinstance(value, str) else brief(value)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's keys and values; two readers could disagree on a key that is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"expected distinct keys, got {twice!r} twice")
    return found


def _ours(argument: str, value: Any) -> None:
    """InputError unless it is a certificate of this kind and format."""
    if not isinstance(value, Mapping):
        raise InputError(f"{argument}: expected a certificate (a JSON object), got {brief(value)}")
    kind, version = value.get("certificate"), value.get("format")
    if not isinstance(kind, str) or kind != NAME:
        raise InputError(f"{argument}: expected a certificate with certificate = {NAME!r}, got {quoted(kind)}")
    if type(version) is not int or version != FORMAT:
        raise InputError(f"{argument}: expected a certificate of format {FORMAT}, got {quoted(version)}")


def _section(name: str, value: Any) -> dict[str, Any]:
    """An object with exactly the keys of its kind."""
    where = name or "contents"
    section, wanted = _typed(where, value, dict), KEYS[name].split()
    missing = [key for key in wanted if key not in section]
    unknown = [key for key in section if key not in wanted]
    if missing or unknown:
        what = f"no {missing[0]!r}" if missing else f"unknown {brief(unknown[0])!r}"
        raise Rejected(f"{where}: expected the keys {', '.join(wanted)}, got {what}")
    return section


def _typed(where: str, value: Any, kind: type) -> Any:
    if type(value) is not kind:  # a bool is an int to isinstance
        names = {dict: "an object", str: "a text", bool: "true or false", int: "a whole number", list: "a list"}
        raise Rejected(f"{where}: expected {names[kind]}, got {quoted(value)}")
    return value


def _number(where: str, value: Any) -> float:
    if type(value) is not float:
        raise Rejected(f"{where}: expected a number with a decimal point, got {quoted(value)}")
    return value


def _list(where: str, value: Any, length: int | None = None) -> list[Any]:
    entries = _typed(where, value, list)
    if length is not None and len(entries) != length:
        raise Rejected(f"{where}: expected {length} entries, got {len(entries)}")
    return entries


def _by_predictor(where: str, value: Any, predictors: Sequence[str]) -> list[Any]:
    section = _typed(where, value, dict)
    if set(section) != set(predictors):
        raise Rejected(f"{where}: expected {', '.join(predictors)}, got {brief(', '.join(section))}")
    return [section[name] for name in predictors]


def _vectors(where: str, value: Any, predictors: Sequence[str], d: int) -> Vectors:
    return tuple(
        tuple(_number(where, entry) for entry in _list(where, row, d))
        for row in _by_predictor(where, value, predictors)
    )


def _matrices(where: str, value: Any, predictors: Sequence[str], d: int) -> tuple[Vectors, ...]:
    return tuple(
        tuple(tuple(_number(where, entry) for entry in _list(where, row, d)) for row in _list(where, matrix, d))
        for matrix in _by_predictor(where, value, predictors)
    )


def _cuts(value: Any, p: int) -> tuple[tuple[int, int], ...]:
    cuts: list[tuple[int, int]] = []
    cells = 1
    for entry in _list("bound.cuts", value):
        cut = _section("cut", entry)
        coordinate = _typed("bound.cuts: coordinate", cut["coordinate"], int)
        pieces = _typed("bound.cuts: pieces", cut["pieces"], int)
        if not 0 <= coordinate < p or any(coordinate == other for other, _ in cuts):
            raise Rejected(f"bound.cuts: expected distinct coordinates in 0 … {p - 1}, got {quoted(coordinate)}")
        if pieces < 1:
            raise Rejected(f"bound.cuts: expected at least one piece, got {quoted(pieces)}")
        cuts.append((coordinate, pieces))
        cells *= pieces
        if cells > MOST_CELLS or cells * 2 ** len(cuts) > MOST_CORNERS:
            raise Rejected(f"bound.cuts: expected at most {MOST_CELLS} cells, got more")
    return tuple(cuts)
