"""Build every notebook from its text source (percent format), execute it, and write NAME.ipynb beside it.

--check executes without writing: what CI does. Needs the extra `notebooks`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jupytext
from nbclient import NotebookClient


def build(source: Path, write: bool) -> None:
    """Execute one notebook; a cell that fails raises."""
    notebook = jupytext.read(source)
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem.replace('_', '-')[:50]}-{index}"
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    if write:
        jupytext.write(notebook, source.with_suffix(".ipynb"))
    print(f"{source.name}: {sum(c.cell_type == 'code' for c in notebook.cells)} cells executed")


def main() -> None:
    """Build all notebooks of this folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="execute only")
    write = not parser.parse_args().check
    for source in sorted(Path(__file__).parent.glob("*.py")):
        if source.name != Path(__file__).name:
            build(source, write)


if __name__ == "__main__":
    main()
