"""What a recovery says, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from moe_theory.mixture.summary import Summary

if TYPE_CHECKING:
    from moe_theory.recovery.result import Recovery

SHOWN = 8  # eigenvalues that are told one by one


def summary(found: Recovery, names: Sequence[str] = ()) -> Summary:
    """Header, regressors with intervals, gate, spectrum, moments that must vanish, warnings."""
    d = found.regressors.shape[1]
    features = list(names) or [f"x{i + 1}" for i in range(d)]
    parts: list[RenderableType] = [_header(found), _regressors(found, features), _gate(found, features)]
    parts += [_spectrum(found), _vanishing(found)]
    parts += [Padding(Text(f"Warning: {said}."), (0, 0, 0, 1)) for said in found.warnings]
    return Summary(*parts)


def _header(found: Recovery) -> RenderableType:
    how = "polished by EM" if found.polished else "from moments, then the gate by EM"
    shown = Table(box=None, show_header=False, padding=(0, 2, 0, 1))
    shown.add_row(f"{found.k} {found.activation.name} experts", f"{found.rows} rows", how)
    shown.add_row(
        f"moments: {found.best.experts.name}",
        f"sigma {found.sigma:.5g}",
        f"log-likelihood {found.log_likelihood * found.rows:.3f}",
    )
    return shown


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    return table


def _regressors(found: Recovery, names: Sequence[str]) -> Table:
    intervals = found.intervals()
    kind = "" if intervals is None else " with 95% intervals"
    table = _table(f"Regressors{kind}", [f"expert {i + 1}" for i in range(found.k)])
    for j, name in enumerate(names):
        cells = []
        for i in range(found.k):
            cell = f"{found.regressors[i, j]:.4f}"
            if intervals is not None:
                cell += f" [{intervals[i, j, 0]:.4f}, {intervals[i, j, 1]:.4f}]"
            cells.append(cell)
        table.add_row(name, *cells)
    return table


def _gate(found: Recovery, names: Sequence[str]) -> Table:
    table = _table("Gate: log-odds against expert 1", [f"expert {i + 1}" for i in range(found.k)])
    for j, name in enumerate(names):
        table.add_row(name, *(f"{found.gate[i, j]:.4f}" for i in range(found.k)))
    table.add_row("(Intercept)", *(f"{value:.4f}" for value in found.intercepts))
    table.add_row("mixing weight", *(f"{value:.4f}" for value in found.mixing))
    return table


def _spectrum(found: Recovery) -> RenderableType:
    spectrum = found.best.experts.spectrum
    shown = ", ".join(f"{value:.3f}" for value in spectrum.values[:SHOWN])
    more = ", …" if len(spectrum.values) > SHOWN else ""
    text = (
        f"Spectrum of the second moment: {shown}{more}; beside {found.k} experts noise reaches"
        f" {spectrum.edge(found.k):.3f}; it supports {spectrum.supported}."
    )
    return Padding(Text(text), (0, 0, 0, 1))


def _vanishing(found: Recovery) -> RenderableType:
    weights = found.best.experts.components.mixing
    parts = [f"{v.name} (p = {v.p:.2g})" for v in found.vanishing]
    text = f"Must vanish: {', '.join(parts)}. The moments' mixing weights sum to {np.sum(weights):.3f}."
    return Padding(Text(text), (0, 0, 1, 1))
