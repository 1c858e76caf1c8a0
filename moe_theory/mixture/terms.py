"""What a formula makes of a data frame, through formulaic, with one line for what goes wrong."""

from __future__ import annotations

import ast
import builtins
import copy
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.errors import InputError
from moe_theory.mixture.problem import INTERCEPT
from moe_theory.validation import Array

if TYPE_CHECKING:
    from pandas import DataFrame

MOSTLY = 0.9  # share of numbers among a column's cells from which on the others are no categories
SHOWN = 5  # rows named in a message
TEXT_FAMILIES = ("binomial", "multinomial")  # whose responses may be text


@dataclass(frozen=True)
class Places:
    """How messages call the data and its rows, by number from 0 or by their lines in a file."""

    name: str = "data"
    lines: Sequence[int] | None = None

    def of(self, rows: Sequence[int] | Array) -> str:
        """row 3; rows 3, 5, 8; lines 5, 7, 10, …"""
        unit = "row" if self.lines is None else "line"
        shown = [str(r if self.lines is None else self.lines[r]) for r in rows[:SHOWN]]
        return f"{unit}{'s' if len(rows) > 1 else ''} {', '.join(shown)}{', …' if len(rows) > SHOWN else ''}"


DATA, FRAME = Places(), Places("frame")


def refuse_missing(missing: Mapping[str, Array], places: Places) -> None:
    """InputError where a column, {name: (n,) whether each value is missing}, has any."""
    count = {name: int(np.sum(where)) for name, where in missing.items() if np.any(where)}
    if count:
        rows = np.flatnonzero(np.logical_or.reduce([missing[name] for name in count]))
        raise InputError(
            f"{places.name}: expected no missing values, got {sum(count.values())} in"
            f" column{'s' if len(count) > 1 else ''} {', '.join(count)} ({places.of(rows)})"
        )


@dataclass(frozen=True, eq=False)
class Terms:
    """What a formula has learnt from the frame it was fitted to, so that it can read others.

    response: its column, where it is one. classes: of a response of text, in order of their codes. lhs, parts:
    formulaic's specs of other responses, of the experts and (where there is a bar) the gate. text: which columns are.
    constant: whether all parts have an intercept, which `Problem` then adds itself. offset: its column. values: the
    numeric columns that the features are made of, (n,) each; usual: what all such columns are held at in a figure,
    numbers at their mean, text at its most frequent value.
    """

    formula: str
    response: str
    classes: tuple[str, ...]
    lhs: Any
    parts: tuple[Any, ...]
    text: frozenset[str]
    constant: bool
    offset: str | None
    values: Mapping[str, Array]
    usual: Mapping[str, Any]

    def read(
        self, frame: DataFrame | Mapping[str, ArrayLike], offset: ArrayLike | None, response: bool
    ) -> tuple[Array, Array | None, ArrayLike | None, Array | None]:
        """(x (n, d), gate (n, g), offset (n,), y (n,)) as the fit's methods take them; y only with `response`.

        Raises InputError for columns that are not there, missing values, levels and classes that the fit has not seen.
        """
        given = data_of(frame, FRAME)
        wanted = {"frame": variables(given.columns, *self.parts), "offset": [self.offset] if self.offset else []}
        if response:
            wanted["y"] = [self.response] if self.classes else variables(given.columns, self.lhs)
        data = used(given, wanted, FRAME)
        for column in data:
            if is_text(data[column]) != (column in self.text):
                kinds = ("categories", "numbers") if column in self.text else ("numbers", "categories")
                raise InputError(f"frame: expected {kinds[0]} in column {column}, as in the fit, got {kinds[1]}")
        x, gate = self.features([matrix_of(part, data, FRAME) for part in self.parts])
        shift = offset if self.offset is None else numbers_of("offset", data, self.offset)
        if not response:
            return x, gate, shift, None
        return x, gate, shift, self.codes(data) if self.classes else np.asarray(matrix_of(self.lhs, data, FRAME))[:, 0]

    def along(self, variable: str, points: int) -> tuple[Array, tuple[Array, Array | None]]:
        """(a numeric column over its range, (points,); (x, gate) there, the other columns as usual)."""
        import pandas as pd

        grid = np.linspace(np.min(self.values[variable]), np.max(self.values[variable]), points)
        data = pd.DataFrame({name: [value] * points for name, value in self.usual.items()} | {variable: grid})
        return grid, self.features([matrix_of(part, data, FRAME) for part in self.parts])

    def features(self, matrices: Sequence[Any]) -> tuple[Array, Array | None]:
        """(x, gate or None) of formulaic's matrices, less the intercepts if `Problem` adds them."""
        arrays = [
            np.asarray(m)[:, [not self.constant or name != INTERCEPT for name in names_of(m)]].astype(float)
            for m in matrices
        ]
        return arrays[0], arrays[1] if len(arrays) > 1 else None

    def codes(self, data: DataFrame) -> Array:
        """A response of text as places among the classes, (n,)."""
        codes = {name: float(i) for i, name in enumerate(self.classes)}
        text = [str(value) for value in data[self.response]]
        unknown = [i for i, value in enumerate(text) if value not in codes]
        if unknown:
            got = f"got {text[unknown[0]]!r} in row {unknown[0]}"
            raise InputError(f"y: expected one of {_listed(self.classes)} in column {self.response}, {got}")
        return np.array([codes[value] for value in text])


def _formulaic() -> ModuleType:
    try:
        import formulaic
    except ImportError as error:
        raise InputError(
            "formula: expected the formulaic package, which is not installed: pip install 'moe-theory[formula]'"
        ) from error
    return formulaic


def parsed(formula: str, columns: Sequence[str]) -> tuple[Any, ...]:
    """Formulaic's terms of the response, the experts and, after a bar, the gate."""
    expected = "formula: expected RESPONSE ~ FEATURES [| GATE]"
    library = _formulaic()
    if not isinstance(formula, str):
        raise InputError(f"{expected}, got {type(formula).__name__}")
    try:
        found = library.Formula(formula, _context={"__formulaic_variables_available__": list(columns)})
    except Exception as error:  # a formula may fail in any way
        raise InputError(f"{expected}, got {formula!r} ({_reason(error)})") from error
    lhs, rhs = getattr(found, "lhs", None), getattr(found, "rhs", None)
    if lhs is None or not len(lhs):
        raise InputError(f"{expected}, got no response in {formula!r}")
    if isinstance(lhs, tuple):
        raise InputError(f"{expected}, got a bar before the ~ in {formula!r}")
    parts = rhs if isinstance(rhs, tuple) else (rhs,)
    if len(parts) > 2:
        raise InputError(f"{expected}, got {len(parts) - 1} bars in {formula!r}")
    return (lhs, *parts)


def variables(columns: Iterable[str], *parts: Any) -> list[str]:
    """The columns that formulas or specs read, sorted, and names that should be columns but are not."""
    from formulaic.transforms import TRANSFORMS

    there, found = set(columns), set()
    for factor in {factor.expr for part in parts for term in getattr(part, "formula", part) for factor in term.factors}:
        if factor in there:
            found.add(factor)
            continue
        found |= set(re.findall("`([^`]+)`", factor))
        try:
            nodes = list(ast.walk(ast.parse(re.sub("`[^`]+`", "None", factor), mode="eval")))
        except SyntaxError as error:
            raise InputError(f"formula: expected terms in Python's notation, got {factor!r} ({error.msg})") from error
        functions = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
        functions |= {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
        for node in nodes:
            if isinstance(node, ast.Name) and (
                node.id in there or not (id(node) in functions or node.id in TRANSFORMS or hasattr(builtins, node.id))
            ):
                found.add(node.id)
    return sorted(found)


def data_of(frame: Any, places: Places) -> DataFrame:
    _formulaic()
    import pandas as pd

    if not isinstance(frame, pd.DataFrame | Mapping):
        raise InputError(
            f"{places.name}: expected a pandas data frame or a mapping of columns, got {type(frame).__name__}"
        )
    try:
        data = pd.DataFrame(frame).reset_index(drop=True).infer_objects()
        # formulaic reads text as Python's objects only.
        data = data.astype({c: object for c, kind in data.dtypes.items() if isinstance(kind, pd.StringDtype)})
    except ValueError as error:
        raise InputError(f"{places.name}: expected columns of one length ({error})") from error
    if not len(data):
        raise InputError(f"{places.name}: expected at least one row, got none")
    return data


def used(data: DataFrame, wanted: Mapping[str, Sequence[str]], places: Places) -> DataFrame:
    """The columns that are wanted, {argument: names}: all there, and without missing values."""
    for argument, names in wanted.items():
        unknown = [c for c in names if c not in data.columns]
        if unknown:
            if places is FRAME:
                lacks = f"column{'s' if len(unknown) > 1 else ''} {_listed(unknown)}, as in the fit"
                raise InputError(f"frame: expected {lacks}, got {_listed(data.columns)}")
            raise InputError(f"{argument}: expected columns among {_listed(data.columns)}, got {_listed(unknown)}")
    twice = data.columns[data.columns.duplicated()]
    if len(twice):
        raise InputError(f"{places.name}: expected distinct columns, got {twice[0]} twice")
    columns = list(dict.fromkeys(c for names in wanted.values() for c in names))
    refuse_missing({c: data[c].isna().to_numpy(dtype=bool) for c in columns}, places)
    for column in columns:
        _refuse_mixed(data[column], places)
    return data[columns].copy()


def _refuse_mixed(column: Any, places: Places) -> None:
    """InputError for a column of numbers with some text in it: not categories, but cells that went wrong."""
    if not is_text(column) or hasattr(column, "cat"):
        return
    other = np.flatnonzero([not _is_number(value) for value in column])
    if 0 < len(other) <= (1 - MOSTLY) * len(column):
        got = f"got {len(column) - len(other)} numbers and {column.iloc[other[0]]!r} ({places.of(other)})"
        raise InputError(f"{places.name}: expected numbers or categories in column {column.name}, {got}")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def matrix_of(terms: Any, data: DataFrame, places: Places) -> Any:
    """Formulaic's model matrix of a formula's part, or of the spec of one, all finite."""
    from formulaic.errors import DataMismatchWarning

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", DataMismatchWarning)
            # A copy: formulaic writes what it sees into a spec, even where it then refuses it.
            matrix = copy.deepcopy(terms).get_model_matrix(data, output="numpy", na_action="ignore")
            finite = np.isfinite(np.asarray(matrix, dtype=float))
    except DataMismatchWarning as warning:
        raise _unseen(terms, data, str(warning), places) from warning
    except Exception as error:  # terms are Python expressions, which may fail in any way
        raise InputError(f"formula: expected terms that can be evaluated on the data: {_reason(error)}") from error
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        name = matrix.model_spec.column_names[column]
        raise InputError(f"formula: expected finite values, got {matrix[row, column]:g} in {name}, {places.of([row])}")
    return matrix


def names_of(matrix: Any) -> tuple[str, ...]:
    """The features' names, formulaic's but for the intercept."""
    return tuple(
        INTERCEPT if str(part.term) == "1" else str(column)
        for part in matrix.model_spec.structure
        for column in part.columns
    )


def response_of(
    lhs: Any, data: DataFrame, family: str, places: Places
) -> tuple[Array, tuple[str, tuple[str, ...], Any]]:
    """(y (n,), the first fields of `Terms` that say how it is read)."""
    factors = [factor for term in lhs for factor in term.factors]
    column = factors[0].expr if len(factors) == 1 else ""
    if column not in data.columns or not is_text(data[column]):
        matrix = matrix_of(lhs, data, places)
        if matrix.shape[1] != 1:
            got = f"{matrix.shape[1]} ({_listed(matrix.model_spec.column_names)})"
            raise InputError(f"formula: expected a response in one column, got {got}")
        return np.asarray(matrix, dtype=float)[:, 0], (column, (), matrix.model_spec)
    own = data[column]
    if family not in TEXT_FAMILIES:
        raise InputError(f"y: expected numbers for {family} experts, got text in column {column} ({str(own[0])!r})")
    classes = tuple(map(str, own.cat.categories)) if hasattr(own, "cat") else tuple(sorted(set(own.astype(str))))
    if len(classes) < 2 or (family == "binomial" and len(classes) > 2):
        least = "two" if family == "binomial" else "at least two"
        got = f"{len(classes)} in column {column} ({_listed(classes)})"
        raise InputError(f"y: expected {least} different values for {family} experts, got {got}")
    terms = Terms("", column, classes, None, (), frozenset(), False, None, {}, {})
    return terms.codes(data), (column, classes, None)


def usual_values(data: DataFrame, columns: Sequence[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """(`Terms.values`, `Terms.usual`) of these columns."""
    values = {c: data[c].to_numpy(dtype=float) for c in columns if not is_text(data[c])}
    usual = {c: float(np.mean(values[c])) if c in values else data[c].mode().iloc[0] for c in columns}
    return values, usual


def is_text(column: Any) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return not (is_numeric_dtype(column) or is_bool_dtype(column))


def numbers_of(argument: str, data: DataFrame, value: Any) -> Any:
    """A column as numbers if `value` is the name of one, else `value`."""
    if not isinstance(value, str):
        return value
    if is_text(data[value]):
        raise InputError(f"{argument}: expected numbers in column {value}, got text ({str(data[value][0])!r})")
    return data[value].to_numpy(dtype=float)


def _unseen(terms: Any, data: DataFrame, warning: str, places: Places) -> InputError:
    """The error for levels that the fit has not seen, with the column where it can be told."""
    for factor, (_, state) in getattr(terms, "encoder_state", {}).items():
        read = re.fullmatch(r"(?:C\()?`?([^`,()]+)`?(?:,.*|\))?", str(factor), re.DOTALL)
        if read and read[1].strip() in data.columns and "categories" in state:
            column, levels = data[read[1].strip()], state["categories"]
            unknown = ~column.isin(levels).to_numpy(dtype=bool)
            if unknown.any():
                row = int(np.argmax(unknown))
                got = f"got {str(column.iloc[row])!r} in row {row}"
                return InputError(f"{places.name}: expected one of {_listed(levels)} in column {column.name}, {got}")
    levels = re.search(r"\{.*\}", warning)
    return InputError(f"{places.name}: expected levels that the fit has seen, got {levels[0] if levels else 'others'}")


def _listed(names: Iterable[Any], most: int = 20) -> str:
    found = [str(n) for n in names]
    return ", ".join(found[:most]) + (", …" if len(found) > most else "")


def _reason(error: Exception) -> str:
    """The first line of a message, as one sentence's part."""
    text = str(getattr(error, "msg", error)).strip()
    return (text.split("\n")[0] or type(error).__name__).rstrip(".")
