"""Notebooks are their sources', hold outputs, and hold no logic of their own. (CI executes them.)"""

from __future__ import annotations

import ast
import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
LINES, BODY, LOOP = 12, 3, 3  # of a code cell; of a function, in lines; of a loop, in statements


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build", FOLDER / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = _loaded()
SOURCES = BUILD.sources()


def logic(text: str) -> list[str]:
    """What of a code cell belongs into the package, one line each."""
    found = [] if len(text.splitlines()) <= LINES else [f"{len(text.splitlines())} lines"]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            found.append(f"class {node.name}")
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= BODY:
            found.append(f"def {node.name}")
        if isinstance(node, ast.For | ast.While) and sum(isinstance(n, ast.stmt) for n in ast.walk(node)) > LOOP + 1:
            found.append(f"a loop in line {node.lineno}")
    return found


def test_there_are_notebooks_with_numbers_of_their_own() -> None:
    numbers = [source.name[:2] for source in SOURCES]
    assert len(numbers) >= 7 and len(set(numbers)) == len(numbers)
    assert {p.stem for p in FOLDER.glob("*.ipynb")} == {p.stem for p in SOURCES}


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_a_notebook_is_its_sources(source: Path) -> None:
    assert BUILD.differences(source) == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_a_notebook_holds_no_logic(source: Path) -> None:
    codes = [cell.text for cell in BUILD.cells(source) if cell.kind == "code"]
    assert [(text.splitlines()[0], logic(text)) for text in codes if logic(text)] == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_formulas_are_closed(source: Path) -> None:
    from latex2mathml.converter import convert

    for cell in (c for c in BUILD.cells(source) if c.kind == "markdown"):
        displayed = cell.text.split("$$")
        assert len(displayed) % 2 == 1, cell.text
        inline = " ".join(displayed[::2]).split("$")
        assert len(inline) % 2 == 1, cell.text
        for formula in (*displayed[1::2], *inline[1::2]):
            assert convert(formula).startswith("<math"), formula


def test_the_check_names_what_is_wrong(tmp_path: Path) -> None:
    source = Path(shutil.copy(SOURCES[0], tmp_path))
    assert BUILD.differences(source) == [f"{source.stem}.ipynb: is missing"]
    built = Path(shutil.copy(SOURCES[0].with_suffix(".ipynb"), tmp_path))
    assert BUILD.differences(source) == []
    found = json.loads(built.read_text())
    code = next(i for i, cell in enumerate(found["cells"]) if cell["cell_type"] == "code")
    found["cells"][code]["execution_count"] = None
    found["cells"][0]["source"] = "another"
    built.write_text(json.dumps(found))
    assert BUILD.differences(source) == [
        f"{built.name}: cell 1 is not that of {source.name}",
        f"{built.name}: cell {code + 1} was not executed",
    ]
    for cell in found["cells"]:
        cell.pop("outputs", None)
    found["metadata"]["widgets"] = {}
    del found["cells"][-1]
    built.write_text(json.dumps(found))
    wrong = BUILD.differences(source)
    assert wrong[0].endswith(f"got {len(found['cells'])}") and wrong[-2:] == [
        f"{built.name}: has no outputs",
        f"{built.name}: holds a widget's state",
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("class A:\n    pass", ["class A"]),
        ("def f(x):\n    y = x\n    z = y\n    return z", ["def f"]),
        ("for i in range(3):\n    a = i\n    b = i\n    c = i\n    d = i", ["a loop in line 1"]),
        ("\n".join(f"x{i} = {i}" for i in range(13)), ["13 lines"]),
        ("f = lambda x: x\nfor i in range(3):\n    print(f(i))", []),
    ],
)
def test_logic_is_seen(text: str, found: list[str]) -> None:
    assert logic(text) == found


def test_sources_read_as_jupytext_reads_them() -> None:
    jupytext = pytest.importorskip("jupytext")
    for source in SOURCES:
        theirs = [(c.cell_type, c.source) for c in jupytext.read(source).cells]
        assert theirs == [tuple(cell) for cell in BUILD.cells(source)]
