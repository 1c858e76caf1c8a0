"""What a formula makes of a data frame, through formulaic, with one line for what goes wrong."""

from __future__ import annotations

import ast
import builtins
import copy
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from moe_theory.errors import InputError
from moe_theory.mixture.categories import cell_at, refuse_levels, text_of
from moe_theory.mixture.frames import (
    data_of,
    formulaic_package,
    is_text,
    listed,
    numbers_of,
    used,
)
from moe_theory.mixture.places import FRAME, Places
from moe_theory.mixture.problem import INTERCEPT
from moe_theory.validation import Array

if TYPE_CHECKING:
    from pandas import DataFrame

TEXT_FAMILIES = ("binomial", "multinomial")  # whose responses may be text
EXPLICIT = ("C", "hashed")  # what makes categories of whatever it is given


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
        data = used(given, wanted, FRAME, self.text, ())
        for column in data:
            if is_text(data[column]) != (column in self.text):
                kinds = ("categories", "numbers") if column in self.text else ("numbers", "categories")
                raise InputError(f"frame: expected {kinds[0]} in column {column}, as in the fit, got {kinds[1]}")
        x, gate = self.features([matrix_of(part, data, FRAME) for part in self.parts])
        shift = offset if self.offset is None else numbers_of("offset", data, self.offset, FRAME)
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
        text = [label(value) for value in data[self.response]]
        unknown = [i for i, value in enumerate(text) if value not in codes]
        if unknown:
            got = f"got {text[unknown[0]]!r} in row {unknown[0]}"
            raise InputError(f"y: expected one of {listed(self.classes)} in column {self.response}, {got}")
        return np.array([codes[value] for value in text])


def parsed(formula: str, columns: Sequence[str]) -> tuple[Any, ...]:
    """Formulaic's terms of the response, the experts and, after a bar, the gate."""
    expected = "formula: expected RESPONSE ~ FEATURES [| GATE]"
    library = formulaic_package()
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
    return sorted({name for name, _ in _uses(columns, parts)})


def stated(columns: Iterable[str], *parts: Any) -> set[str]:
    """Those that the formula says are categories, by C()."""
    return {name for name, how in _uses(columns, parts) if how == "stated"}


def judged(columns: Iterable[str], *parts: Any) -> set[str]:
    """Those whose text would be categories without the formula saying so."""
    return {name for name, how in _uses(columns, parts) if how == "plain"}


def _uses(columns: Iterable[str], parts: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """(name, how) of all that formulas or specs read: plain, stated to be a category, or in an expression of the user's
    own, such as x.str.len() or x == "a", whose value is another thing than the column."""
    from formulaic.transforms import TRANSFORMS

    there = set(columns)
    for factor in {factor.expr for part in parts for term in getattr(part, "formula", part) for factor in term.factors}:
        if factor in there:
            yield factor, "plain"
            continue
        quoted = dict(enumerate(re.findall("`([^`]+)`", factor)))
        numbers = iter(quoted)
        source = re.sub("`[^`]+`", lambda _, numbers=numbers: f"_quoted_{next(numbers)}", factor)  # type: ignore[misc]
        names = {f"_quoted_{i}": name for i, name in quoted.items()}
        try:
            tree = ast.parse(source, mode="eval").body
        except SyntaxError as error:
            raise InputError(f"formula: expected terms in Python's notation, got {factor!r} ({error.msg})") from error
        for name, how, called in _names(tree, "plain"):
            known = called or name in TRANSFORMS or hasattr(builtins, name)
            if name in names or name in there or not known:
                yield names.get(name, name), how


def _names(node: ast.AST, how: str) -> Iterator[tuple[str, str, bool]]:
    """(name, how it is used, whether as a function or for an attribute) of all names in an expression."""
    own = how if how == "stated" else "own"
    if isinstance(node, ast.Name):
        yield node.id, how, False
    elif isinstance(node, ast.Call):
        yield from ((name, inner, True) for name, inner, _ in _names(node.func, how) if isinstance(node.func, ast.Name))
        inside = "stated" if isinstance(node.func, ast.Name) and node.func.id in EXPLICIT else how
        others = [*node.args, *node.keywords] if isinstance(node.func, ast.Name) else list(ast.iter_child_nodes(node))
        for child in others:
            yield from _names(child, inside)
    elif isinstance(node, ast.Attribute):
        direct = isinstance(node.value, ast.Name)
        yield from ((name, inner, direct or called) for name, inner, called in _names(node.value, own))
    else:
        for child in ast.iter_child_nodes(node):
            yield from _names(child, own if isinstance(node, ast.Compare) else how)


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
    expression = factors[0].expr if len(factors) == 1 else ""
    named = re.fullmatch(r"C\((?:`([^`]+)`|(\w+))\)", expression)
    column = (named[1] or named[2]) if named else expression
    if column not in data.columns or not (named or is_text(data[column])):
        matrix = matrix_of(lhs, data, places)
        if matrix.shape[1] != 1:
            got = f"{matrix.shape[1]} ({listed(matrix.model_spec.column_names)})"
            raise InputError(f"formula: expected a response in one column, got {got}")
        return np.asarray(matrix, dtype=float)[:, 0], (column, (), matrix.model_spec)
    own = data[column]
    if family not in TEXT_FAMILIES:
        got = f"categories, {expression}" if named else f"text in column {column}, {cell_at(own.tolist(), 0, places)}"
        raise InputError(f"y: expected numbers for {family} experts, got {got}")
    ordered = own.cat.categories if hasattr(own, "cat") else sorted(set(own if not is_text(own) else map(label, own)))
    classes = tuple(map(label, ordered))
    if len(classes) < 2 or (family == "binomial" and len(classes) > 2):
        least = "two" if family == "binomial" else "at least two"
        got = f"{len(classes)} in column {column} ({listed(classes)})"
        raise InputError(f"y: expected {least} different values for {family} experts, got {got}")
    terms = Terms("", column, classes, None, (), frozenset(), False, None, {}, {})
    return terms.codes(data), (column, classes, None)


def label(value: Any) -> str:
    """A class by name; 1.0 is 1."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else text_of(value)


def refuse_numbers_in_terms(matrices: Iterable[Any], columns: Iterable[str], places: Places) -> None:
    """InputError for an expression in a formula whose values are numbers that became levels."""
    there = set(columns)
    for matrix in matrices:
        for factor, (_, state) in matrix.model_spec.encoder_state.items():
            explicit = re.match(rf"(?:{'|'.join(EXPLICIT)})\(", str(factor))
            if "categories" in state and factor not in there and not explicit:
                refuse_levels(factor, state["categories"], places)


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
                return InputError(f"{places.name}: expected one of {listed(levels)} in column {column.name}, {got}")
    levels = re.search(r"\{.*\}", warning)
    return InputError(f"{places.name}: expected levels that the fit has seen, got {levels[0] if levels else 'others'}")


def _reason(error: Exception) -> str:
    """The first line of a message, as one sentence's part."""
    text = str(getattr(error, "msg", error)).strip()
    return (text.split("\n")[0] or type(error).__name__).rstrip(".")
