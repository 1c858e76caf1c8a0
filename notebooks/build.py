"""Build the notebooks from their text sources: execute NAME.py (percent format) and
write NAME.ipynb beside it.

    python notebooks/build.py [NAME…]          build all, or those named
    python notebooks/build.py --check [NAME…]  execute only, compare sources: CI

--check fails, and says which, where a cell fails or warns, a notebook takes more than
LIMIT seconds, or a committed notebook is not its source's (`differences`). Reading
sources needs the standard library only; executing needs the extra `notebooks`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
LIMIT = 60.0  # seconds a notebook may take
WIDGETS = "application/vnd.jupyter.widget"
# Warnings are errors, but for the kernel's own.
STRICT = (
    "import warnings; warnings.simplefilter('error');"
    " warnings.filterwarnings('ignore', module='ipykernel')"
)


class Cell(NamedTuple):
    """kind: markdown or code."""

    kind: str
    text: str


def sources(names: list[str] | None = None) -> list[Path]:
    """The text sources, all of them or those whose name starts with one of `names`."""
    found = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
    return [p for p in found if not names or p.name.startswith(tuple(names))]


def cells(source: Path) -> list[Cell]:
    """The cells of a text source; what stands before the first `# %%` is the header."""
    parts: list[tuple[str, list[str]]] = []
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("# %%"):
            parts.append(
                ("markdown" if line.strip() == "# %% [markdown]" else "code", [])
            )
        elif parts:
            kind, lines = parts[-1]
            lines.append(
                line.removeprefix("#").removeprefix(" ") if kind == "markdown" else line
            )
    return [Cell(kind, "\n".join(lines).strip("\n")) for kind, lines in parts]


def differences(source: Path) -> list[str]:
    """What is wrong with the committed notebook of a source, one line each: cells that
    are not the source's or were not executed, no outputs, a widget's state."""
    built = source.with_suffix(".ipynb")
    if not built.exists():
        return [f"{built.name}: is missing"]
    found = json.loads(built.read_text(encoding="utf-8"))
    wrong = []
    wanted = cells(source)
    if len(wanted) != len(found["cells"]):
        wrong.append(
            f"{built.name}: expected {len(wanted)} cells, got {len(found['cells'])}"
        )
    for i, (cell, got) in enumerate(zip(wanted, found["cells"], strict=False), start=1):
        if (got["cell_type"], "".join(got["source"])) != cell:
            wrong.append(f"{built.name}: cell {i} is not that of {source.name}")
        if got["cell_type"] == "code" and got["execution_count"] is None:
            wrong.append(f"{built.name}: cell {i} was not executed")
    outputs = [o for cell in found["cells"] for o in cell.get("outputs", [])]
    if not outputs:
        wrong.append(f"{built.name}: has no outputs")
    if "widgets" in found["metadata"] or any(
        k.startswith(WIDGETS) for o in outputs for k in o.get("data", {})
    ):
        wrong.append(f"{built.name}: holds a widget's state")
    return wrong


def build(source: Path) -> tuple[Any, float]:
    """The executed notebook and the seconds it took; raises where a cell fails."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    make = {"markdown": new_markdown_cell, "code": new_code_cell}
    notebook = new_notebook(
        cells=[make[cell.kind](cell.text) for cell in cells(source)]
    )
    seen: set[str] = set()
    for cell in notebook.cells:
        cell["id"] = _identifier(cell.source, seen)
    root = str(FOLDER.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    environment = os.environ | {
        "PYTHONPATH": path,
        "MOE_THEORY_STATIC": "1",
        "MPLBACKEND": "agg",
    }
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        extra_arguments=[
            f"--IPKernelApp.exec_lines={STRICT}",
            "--IPKernelApp.log_level=ERROR",
        ],
        store_widget_state=False,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    clock = time.perf_counter()
    client.execute(env=environment)
    seconds = time.perf_counter() - clock
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
    }
    for i, cell in enumerate(notebook.cells, start=1):
        cell.metadata = {}
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                raise SystemExit(f"{source.name}: cell {i} warns: {output.text}")
            if any(
                place in json.dumps(output)
                for place in (root, str(Path.home()) + os.sep)
            ):
                raise SystemExit(
                    f"{source.name}: cell {i} shows a path of this machine"
                )
    return notebook, seconds


def _identifier(text: str, seen: set[str]) -> str:
    """Eight digits of the cell's own text: a cell that is put in renames no other."""
    name = hashlib.sha256(text.encode()).hexdigest()[:8]
    while name in seen:
        name = hashlib.sha256(name.encode()).hexdigest()[:8]
    seen.add(name)
    return name


def main() -> None:
    """Build or check all notebooks of this folder, or those named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "names",
        nargs="*",
        help="notebooks, by how their names start (01, …); all if none are given",
    )
    parser.add_argument(
        "--check", action="store_true", help="execute only, and compare the sources"
    )
    arguments = parser.parse_args()
    wrong = []
    for source in sources(arguments.names):
        notebook, seconds = build(source)
        count = sum(cell.cell_type == "code" for cell in notebook.cells)
        print(f"{source.name}: {count} cells, {seconds:.1f} s", flush=True)
        if seconds > LIMIT:
            wrong.append(f"{source.name}: took {seconds:.0f} s, more than {LIMIT:.0f}")
        if arguments.check:
            wrong += differences(source)
        else:
            import nbformat

            nbformat.validate(notebook)
            nbformat.write(notebook, source.with_suffix(".ipynb"))
    print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
