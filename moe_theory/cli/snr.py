"""`moe-theory snr MODEL`: EM's rate and its regions against the signal-to-noise ratio."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.table import Table

from moe_theory.analysis.asymptotics import high_snr, low_snr
from moe_theory.analysis.conditions import Condition, conditions
from moe_theory.analysis.signal import guarantees
from moe_theory.analysis.snr import Map, map_cells, snr_map
from moe_theory.cli.common import console, load_model, numbers, out_folder, print_json, progress_bar
from moe_theory.errors import InputError
from moe_theory.files import check_figure, check_ours, check_writable, write_all, write_atomically
from moe_theory.validation import whole_number


@click.command()
@click.argument("model")
@click.option("--alpha", type=float, default=0.5, show_default=True, help="Target of strong relative convexity.")
@click.option("--beta", "betas", default="0.5:16:6", show_default=True, help="‖β*‖: numbers, or LOW:HIGH:COUNT.")
@click.option("--gate", "gates", default="0,0.5,1,2,4", show_default=True, help="‖w*‖: numbers, or LOW:HIGH:COUNT.")
@click.option("--angle", "angles", default="0,45,90", show_default=True, help="Angles between them, in degrees.")
@click.option("--regions", is_flag=True, help="Also the largest balls around θ* with λ_max ≤ 1 - ALPHA (10 s a point).")
@click.option("--out", "out_name", help="Write map.json and the figures into this folder.")
@click.option("--store", help="Keep every finished point in this file, and go on from it.")
@click.option("--jobs", type=int, default=1, show_default=True, help="Processes; the result does not depend on it.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the regions' search.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def snr(
    model: str,
    alpha: float,
    betas: str,
    gates: str,
    angles: str,
    regions: bool,
    out_name: str | None,
    store: str | None,
    jobs: int,
    seed: int,
    as_json: bool,
) -> None:
    """Map λ_max(M(θ*)) of a symmetric MODEL over ‖β*‖, ‖w*‖ and their angle, with its asymptotes and what follows.

    x ~ N(0, I) in any dimension d >= 5.
    """
    declared = load_model(model)
    grid = (numbers("--beta", betas), numbers("--gate", gates), numbers("--angle", angles))
    cells = map_cells(declared, *grid, alpha, regions, seed, True)  # what is wrong is said before a folder is made
    whole_number("--jobs", jobs, least=1)
    if store is not None:
        check_writable("--store", Path(store))
    folder = out_folder("--out", out_name) if out_name is not None else None
    if folder is not None:
        check_ours("--out", folder / "map.json", '"points": [')
    bar, task = progress_bar(len(cells))
    with bar:
        tell = lambda index, result: bar.update(task, advance=1, description=_where(result))
        path = Path(store) if store else None
        found = snr_map(declared, *grid, alpha, regions, path, jobs, seed, tell, boundaries=True)
    statements = _conditions(found)
    gated = sorted({p.gate for p in found.points if p.gate > 0})
    proved = guarantees(declared, alpha, gated, max(p.beta for p in found.points))
    asymptotes = _asymptotes(declared, found)
    options = ["--alpha", alpha, "--beta", betas, "--gate", gates, "--angle", angles, "--seed", seed]
    command = shlex.join(["moe-theory", "snr", model, *map(str, options), *(["--regions"] if regions else [])])
    report = found.to_dict() | {
        "command": command,
        "asymptotes": asymptotes,
        "conditions": [c.to_dict() for c in statements],
        "proved": [g.to_dict() for g in proved],
    }
    if as_json:
        print_json(report)
    else:
        _show(
            found,
            asymptotes,
            [*(g.statement for g in proved), *(c.statement for c in statements), *_beyond(found, asymptotes)],
        )
        click.echo(f"again: {command}")
    if folder is not None:
        _write(folder, found, report)
        click.echo(f"map.json and figures are in {out_name}", err=as_json)


def _conditions(found: Map) -> list[Condition]:
    """For ‖w*‖ up to each of the map's, and from each on: from the least ‖β*‖ on with which α is reached, and the
    largest; without those that others imply."""
    gates = sorted({p.gate for p in found.points})
    ranges = dict.fromkeys([*((gates[0], g) for g in gates), *((g, gates[-1]) for g in gates)])
    made = []
    for low, high in ranges:
        steps = conditions(found, low, high)
        made += steps if len(steps) < 3 else [steps[0], steps[-1]]
    # Of two that say the same, the first.
    return [
        c
        for i, c in enumerate(made)
        if not any(c.implied(o) and not (o.implied(c) and i < j) for j, o in enumerate(made) if j != i)
    ]


def _beyond(found: Map, asymptotes: list[dict[str, Any]]) -> list[str]:
    """What no signal gives: where the limit for ‖β*‖ → ∞ is above 1 - α."""
    limits = [(row["high"]["coefficient"], row["gate"], row["angle"]) for row in asymptotes if row["high"]]
    above = [(limit, gate, angle) for limit, gate, angle in limits if limit > 1 - found.alpha]
    if found.model != "symmetric-logistic" or not above:
        return []
    gates, angles = (", ".join(f"{v:g}" for v in sorted({row[i] for row in above})) for i in (1, 2))
    whole = len(above) == len({row[1] for row in above}) * len({row[2] for row in above})
    where = f"‖w*‖ in {gates} and angles of {angles} degrees" if whole else f"{len(above)} of the map's ‖w*‖ and angles"
    least = min(above)[0]
    return [
        f"For {found.model}, {where}, α ≥ {found.alpha:g} fails for all large ‖β*‖: λ_max(M(θ*)) tends to"
        f" λ_∞ ≥ {np.floor(1e4 * least) / 1e4:g} > {1 - found.alpha:g} (one bit of y cannot tell the experts' scale)."
    ]


def _where(result: Any) -> str:
    if "boundary" in result:
        return f"boundary at ‖w*‖ = {result['gate']:g}, {result['angle']:g}°"
    return f"‖β*‖ = {result['beta']:g}, ‖w*‖ = {result['gate']:g}, {result['angle']:g}°: {result['lambda_max']:.4f}"


def _asymptotes(model: Any, found: Map) -> list[dict[str, Any]]:
    """Per ‖w*‖ and angle of the map: the constants of both ends, and where λ_max(M(θ*)) = 1 - α."""
    made = []
    for gate, angle, boundary in sorted(found.boundaries, key=lambda row: row[:2]):
        row: dict[str, Any] = {"gate": gate, "angle": angle, "boundary": boundary}
        for name, function in (("low", low_snr), ("high", high_snr)):
            try:
                asymptote = function(model, gate, angle)
                row[name] = {"coefficient": asymptote.coefficient, "eigenvector": asymptote.eigenvector}
            except InputError:  # no gate, or a model without a known limit
                row[name] = None
        made.append(row)
    return made


def _show(found: Map, asymptotes: list[dict[str, Any]], statements: list[str]) -> None:
    out = console()
    table = Table(title=f"λ_max(M(θ*)) for {found.model}", title_justify="left", title_style="bold")
    regions = any(p.euclidean is not None for p in found.points)
    heads = ("‖β*‖", "‖w*‖", "angle", "λ_max", "mostly along", *(("ball", "Bregman ball") if regions else ()))
    for head in heads:
        table.add_column(head, justify="left" if head == "mostly along" else "right", no_wrap=True)
    for p in found.points:
        cells = [
            f"{p.beta:g}",
            f"{p.gate:g}",
            f"{p.angle:g}°",
            f"{p.lambda_max:.6f}",
            max(p.share, key=lambda k: p.share[k]),
        ]
        table.add_row(*cells, *([f"{p.euclidean:.3g}", f"{p.bregman:.3g}"] if regions else []))
    out.print(table)
    limits = Table(title="Asymptotes in b = ‖β*‖", title_justify="left", title_style="bold")
    logistic = found.model == "symmetric-logistic"
    heads = (
        "‖w*‖",
        "angle",
        "b → 0: 1 - C₀b², C₀",
        "b → ∞: λ_∞" if logistic else "b → ∞: C/b, C",
        f"λ_max = {1 - found.alpha:g} at b",
    )
    for head in heads:
        limits.add_column(head, justify="right")
    for row in asymptotes:
        constants = [f"{row[k]['coefficient']:.6g}" if row[k] else "" for k in ("low", "high")]
        boundary = f"{row['boundary']:.3g}" if row["boundary"] is not None else "nowhere"
        limits.add_row(f"{row['gate']:g}", f"{row['angle']:g}°", *constants, boundary)
    out.print(limits)
    for text in statements:
        click.echo(text)


def _write(folder: Path, found: Map, report: dict[str, Any]) -> None:
    from moe_theory.report.drawing import figure_files
    from moe_theory.report.maps import asymptote_figure, phase_map

    figures = {}
    betas, gates, angles = (sorted({getattr(p, key) for p in found.points}) for key in ("beta", "gate", "angle"))
    if min(len(betas), len(gates)) > 1:
        figures["phase-map"] = phase_map(found)
    if len([b for b in betas if b > 0]) > 2 and gates[-1] > 0:
        for angle in angles:
            figures[f"asymptotes-{angle:g}"] = asymptote_figure(found, gates[-1], angle)
    for name in figures:
        check_figure("--out", folder / f"{name}.png")
    for name, figure in figures.items():
        write_all(figure_files(figure, folder / f"{name}.png"))
    told = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(folder / "map.json", told.encode())
