"""`moe-theory verify`: every claim, its evidence, its mutants."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from moe_theory.claims import Result, Setting, check_claim
from moe_theory.claims.registry import select
from moe_theory.cli.common import check_writable, console, write_atomically
from moe_theory.errors import InputError

_STYLE = {
    "proved": "green",
    "certified": "green",
    "supported": "cyan",
    "refuted": "red",
    "inconclusive": "yellow",
}


@click.command()
@click.argument("claims", nargs=-1)
@click.option("--json", "json_file", help="Write the results as one JSON object to this file (- for standard output).")
@click.option("--out", "out_folder", help="Write figures and verify.json into this folder.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
@click.option("--list", "list_only", is_flag=True, help="List the claims and stop.")
@click.pass_context
def verify(
    context: click.Context,
    claims: tuple[str, ...],
    json_file: str | None,
    out_folder: str | None,
    seed: int,
    list_only: bool,
) -> None:
    """Verify all claims, or those named: derive, prove, compare predicted with measured, hunt the mutants.

    Exit code 1 if a verdict is not the expected one or a mutant survives.
    """
    chosen = select(claims)
    if list_only:
        for claim in chosen:
            click.echo(f"{claim.id:32} {claim.title}")
        return
    if seed < 0:
        raise InputError(f"--seed: expected a whole number >= 0, got {seed}")
    if json_file not in (None, "-"):
        check_writable("--json", Path(json_file))
    folder = _folder(out_folder)
    setting, results, clock = Setting(seed=seed), [], time.perf_counter()
    progress = Progress(
        TextColumn("{task.description:48}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console(stderr=True),
        transient=True,
        disable=not console(stderr=True).is_terminal,
    )
    with progress:
        task = progress.add_task("", total=len(chosen))
        for claim in chosen:
            results.append(check_claim(claim, setting, lambda text: progress.update(task, description=text)))
            progress.advance(task)
        seconds = time.perf_counter() - clock
        if folder is not None:
            progress.update(task, description="figures")
            figures = {k: v for c in chosen if c.figures for k, v in c.figures(setting).items()}
            for name, figure in figures.items():
                buffer = io.BytesIO()
                figure.savefig(buffer, format="png", dpi=160)
                write_atomically(folder / f"{name}.png", buffer.getvalue())
    ok = all(r.ok for r in results)
    report = {
        "ok": ok,
        "seed": seed,
        "seconds": round(seconds, 3),
        "claims": [r.to_dict() for r in results],
    }
    content = (json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    if json_file == "-":
        click.echo(content.decode(), nl=False)
    else:
        _show(results, seconds)
        if json_file is not None:
            write_atomically(Path(json_file), content)
    if folder is not None:
        write_atomically(folder / "verify.json", content)
        click.echo(f"figures and verify.json are in {out_folder}", err=json_file == "-")
    context.exit(0 if ok else 1)


def _folder(name: str | None) -> Path | None:
    if name is None:
        return None
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--out: expected a folder that can be made or written to, got {name} ({error.strerror})"
        ) from error
    check_writable("--out", folder / "verify.json")
    return folder


def _show(results: list[Result], seconds: float) -> None:
    table = Table(title="Claims", title_justify="left", title_style="bold", row_styles=["", "dim"])
    for heading, justify in (
        ("claim", "left"),
        ("verdict", "left"),
        ("evidence", "left"),
        ("mutants killed", "right"),
    ):
        table.add_column(heading, justify=justify, no_wrap=heading in ("claim", "verdict"))  # type: ignore[arg-type]
    for r in results:
        mark = f"[{_STYLE[r.verdict]}]{r.verdict}[/]" + (
            "" if r.verdict == r.claim.expected else f" ≠ {r.claim.expected}"
        )
        table.add_row(r.claim.id, mark, _summary(r), f"{r.killed}/{len(r.claim.mutants)}")
    out = console()
    out.print(table)
    for r in results:
        for e in r.evidence:
            if e.holds is not True:
                out.print(f"{r.claim.id}: against: {e}", markup=False, highlight=False)
        for name in r.survivors:
            out.print(f"{r.claim.id}: mutant survives: {name}", markup=False, highlight=False)
    real = [
        e for r in results for e in r.evidence if e.subject.startswith("Old Faithful") and "contraction of EM" in e.what
    ]
    for e in real:
        out.print(f"on real data, measured against predicted: {e}", markup=False, highlight=False)
    fallen = sum(not r.ok for r in results)
    total, killed = sum(len(r.claim.mutants) for r in results), sum(r.killed for r in results)
    verdict = "all as expected" if not fallen else f"{fallen} NOT as expected"
    out.print(
        f"{len(results)} claims, {verdict}; {killed} of {total} mutants killed; {seconds:.1f} s",
        highlight=False,
    )


def _summary(result: Result) -> str:
    """How many identities and numeric comparisons, and how close the closest of these was to its error."""
    identities = [e for e in result.evidence if e.kind == "identity"]
    numeric = [e for e in result.evidence if e.kind in ("estimate", "bound")]
    parts = []
    if identities:
        parts.append(f"{sum(e.holds is True for e in identities)}/{len(identities)} identities reduced to 0")
    if numeric:
        held, trials = sum(e.holds is True for e in numeric), sum(e.trials for e in numeric)
        parts.append(f"{held}/{len(numeric)} numeric checks, {trials} trials")
    return "; ".join(parts)
