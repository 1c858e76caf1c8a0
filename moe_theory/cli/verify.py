"""`moe-theory verify`: every claim, its evidence, what was printed, its mutants; the report."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from moe_theory.claims import Claim, Result, Setting, alone, check_claim
from moe_theory.claims.registry import select
from moe_theory.cli.common import console, load_model, out_folder, print_json, progress_bar, readable
from moe_theory.errors import InputError
from moe_theory.files import check_figure, check_ours, check_writable, table_path, write_all, write_atomically
from moe_theory.sweeps import each
from moe_theory.validation import whole_number

MOST_JOBS = 4  # by default: runs and derivations are shared within a process only

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
@click.option("--out", "out_name", help="Write report.html, its figures and verify.json into this folder.")
@click.option(
    "--model",
    "model_spec",
    help="Verify on this model instead: a name of the zoo, or FILE.py:NAME, which runs that file.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
@click.option("--quick", is_flag=True, help="Smaller samples and search budgets.")
@click.option("--jobs", type=int, help=f"Processes (default: one per core, {MOST_JOBS} at most).")
@click.option("--list", "list_only", is_flag=True, help="List the claims and stop.")
@click.pass_context
def verify(
    context: click.Context,
    claims: tuple[str, ...],
    json_file: str | None,
    out_name: str | None,
    model_spec: str | None,
    seed: int,
    quick: bool,
    jobs: int | None,
    list_only: bool,
) -> None:
    """Verify all claims, or those named: derive, prove, compare predicted with measured, hunt the mutants.

    A claim that corrects a printed statement is checked both ways. With --model, the claims that hold for any flat
    model are verified on it; mutants, which are mutants for the papers' models, are left out. Exit code 1 if a verdict
    is not the expected one or a mutant survives. The result does not depend on the number of processes.
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
    jobs = whole_number("--jobs", jobs, least=1) if jobs is not None else min(MOST_JOBS, _cores())
    task = _Task((), model_spec, seed, quick, figures=out_name is not None)
    _setting(task)  # a model that cannot be used is refused before anything is made
    if model_spec is not None:
        chosen = _for_any_model(chosen, named=bool(claims))
    folder = out_folder("--out", out_name) if out_name is not None else None
    if folder is not None:
        check_ours("--out", folder / "report.html", 'content="moe-theory"')
        check_ours("--out", folder / "verify.json", '"claims": [')
    clock = time.perf_counter()
    checked = _check_all(chosen, task, jobs)
    results = [result for result, _, _ in checked]
    figures = {result.claim.id: made for result, made, _ in checked if made}
    pages = {result.claim.id: made for result, _, made in checked if made}
    seconds = time.perf_counter() - clock
    ok = all(r.ok for r in results)
    report = {
        "ok": ok,
        "seed": seed,
        "quick": quick,
        "seconds": round(seconds, 3),
        "mutants": {"total": sum(r.total for r in results), "killed": sum(r.killed for r in results)},
        "figures": sorted(f"{name}.png" for made in figures.values() for name in made),
        "pages": sorted(f"{name}.html" for made in pages.values() for name in made),
        "claims": [r.to_dict() for r in results],
    }
    content = (json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    if json_file == "-":
        print_json(report)
    else:
        _show(results, seconds)
        if json_file is not None:
            write_atomically(Path(json_file), content)
    if folder is not None:
        _write(folder, results, figures, pages, content, report, _command(claims, model_spec, seed, quick, out_name))
        click.echo(f"report.html, figures and verify.json are in {out_name}", err=json_file == "-")
    context.exit(0 if ok else 1)


def _cores() -> int:
    """Those this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class _Task:
    """What one process is asked for: some claims, by id, and the setting they are checked in."""

    ids: tuple[str, ...]
    model: str | None
    seed: int
    quick: bool
    figures: bool


@lru_cache(maxsize=1)
def _setting(task: _Task) -> Setting:
    """One per process (for a task without ids), so that claims share runs and derivations."""
    if task.model is not None:
        return Setting.on(load_model(task.model), seed=task.seed, quick=task.quick)
    return Setting(seed=task.seed, quick=task.quick, rows=2000 if task.quick else 5000)


Made = tuple[dict[str, Any], dict[str, Any], dict[str, str]]


def _check(task: _Task, tell: Callable[[str], None] | None = None) -> list[Made]:
    """Per claim: a result's fields but for the claim itself, which does not travel between processes; its figures and
    pages."""
    setting, found = _setting(replace(task, ids=())), []
    for claim in select(task.ids):
        result = check_claim(claim if task.model is None else alone(claim), setting, tell)
        drawn = task.figures and task.model is None
        figures = dict(claim.figures(setting)) if drawn and claim.figures else {}
        pages = dict(claim.pages(setting)) if drawn and claim.pages else {}
        found.append(({key: value for key, value in vars(result).items() if key != "claim"}, figures, pages))
    return found


def _check_all(claims: list[Claim], task: _Task, jobs: int) -> list[tuple[Result, dict[str, Any], dict[str, str]]]:
    """Every claim's result, figures and pages, in their order; claims that share a check are checked in one process."""
    groups: dict[Any, list[Claim]] = {}
    for claim in claims:
        groups.setdefault(claim.check, []).append(claim)
    tasks = [replace(task, ids=tuple(claim.id for claim in group)) for group in groups.values()]
    bar, shown = progress_bar(len(claims))
    tell = lambda text: bar.update(shown, description=readable(text)[:56])

    def finished(index: int, _: object) -> None:
        tell(tasks[index].ids[-1])
        bar.advance(shown, len(tasks[index].ids))

    with bar:
        # In one process, what is being done can be told as well.
        found = each(_check if jobs > 1 else partial(_check, tell=tell), tasks, jobs, finished)
    by_id: dict[str, Made] = {}
    for group, parts in zip(tasks, found, strict=True):
        by_id.update(zip(group.ids, parts, strict=True))
    kept = claims if task.model is None else [alone(claim) for claim in claims]
    return [(Result(claim, **by_id[claim.id][0]), *by_id[claim.id][1:]) for claim in kept]


def _for_any_model(claims: list[Claim], named: bool) -> list[Claim]:
    """Those that speak of any flat model; InputError if one was named that does not."""
    for claim in claims:
        if named and not claim.any_model:
            raise InputError(f"claim: expected one that speaks of any model with --model, got {claim.id!r}")
    return [claim for claim in claims if claim.any_model]


def _command(claims: tuple[str, ...], model: str | None, seed: int, quick: bool, out: str | None) -> str:
    options = [*claims, *(["--model", model] if model else []), *(["--quick"] if quick else []), "--seed", str(seed)]
    return shlex.join(["moe-theory", "verify", *options, "--out", out or ""])


def _write(
    folder: Path,
    results: list[Result],
    figures: dict[str, Any],
    pages: dict[str, dict[str, str]],
    content: bytes,
    report: dict[str, Any],
    command: str,
) -> None:
    from moe_theory.report.drawing import figure_files
    from moe_theory.report.html import html_report

    page = html_report(
        results, figures, pages, seed=report["seed"], seconds=report["seconds"], command=command, quick=report["quick"]
    )
    earlier = _earlier(folder / "verify.json")
    for name in {name for name in (*report["figures"], *earlier) if name.endswith(".png")}:
        check_figure("--out", folder / name)
    for name in report["pages"]:
        check_ours("--out", folder / name, 'content="moe-theory"')
    for name in earlier:
        (folder / name).unlink(missing_ok=True)
        if name.endswith(".png"):
            table_path(folder / name).unlink(missing_ok=True)
    for name, figure in (item for made in figures.values() for item in made.items()):
        write_all(figure_files(figure, folder / f"{name}.png"))
    for name, text in (item for made in pages.values() for item in made.items()):
        write_atomically(folder / f"{name}.html", text.encode())
    write_atomically(folder / "verify.json", content)
    write_atomically(folder / "report.html", page.encode())


def _earlier(path: Path) -> list[str]:
    """The figures and pages of the run before, as its verify.json lists them."""
    try:
        listed = json.loads(path.read_text())
        return [n for n in [*listed.get("figures", []), *listed.get("pages", [])] if Path(n).name == n]
    except (OSError, ValueError):
        return []


def _show(results: list[Result], seconds: float) -> None:
    table = Table(title="Claims", title_justify="left", title_style="bold", row_styles=["", "dim"])
    headings = (
        ("claim", "left"),
        ("verdict", "left"),
        ("as printed", "left"),
        ("evidence", "left"),
        ("mutants", "right"),
    )
    for heading, justify in headings:
        table.add_column(heading, justify=justify, no_wrap=heading != "evidence")  # type: ignore[arg-type]
    for r in results:
        printed = (
            "" if r.printed is None or r.claim.printed is None else _mark(r.printed.verdict, r.claim.printed.expected)
        )
        share = f"{r.killed}/{r.total}" if r.total else ""
        table.add_row(r.claim.id, _mark(r.verdict, r.claim.expected), printed, _summary(r), share)
    out = console()
    out.print(table)
    say = lambda text: out.print(readable(text), highlight=False)
    for r in results:
        for e in r.evidence:
            if e.holds is not True:
                say(f"{r.claim.id}: against: {e}")
        for survivor in r.survivors:
            say(f"{r.claim.id}: mutant survives: {survivor}")
        if r.claim.printed is None:  # what is printed shares its hypotheses with the claim that corrects it
            for text in r.not_needed:
                say(f"{r.claim.id}: not needed, as far as the check goes: {text}")
    refuted = [r for r in results if r.printed is not None and r.printed.verdict == "refuted"]
    for r in refuted:
        witness = r.printed.against if r.printed else None
        say(f"{r.claim.id}: as printed, refuted: {witness}")
    for e in (e for r in results for e in r.evidence if e.subject.startswith("Old Faithful")):
        if "contraction of EM" in e.what:
            say(f"on real data, measured against predicted: {e}")
        elif e.kind == "bound" and e.holds and not e.essential:
            say(f"on real data, proved: {e}")
    fallen = sum(not r.ok for r in results)
    total, killed = (sum(getattr(r, key) for r in results) for key in ("total", "killed"))
    verdict = "all as expected" if not fallen else f"{fallen} NOT as expected"
    printed = f"; {len(refuted)} refuted as printed, proved as corrected" if refuted else ""
    mutants = f"{killed} of {total} mutants killed; " if total else ""
    out.print(f"{len(results)} claims, {verdict}{printed}; {mutants}{seconds:.1f} s", highlight=False)


def _mark(found: str, expected: str) -> Text:
    return Text.assemble((found, _STYLE[found]), "" if found == expected else f" ≠ {expected}")


def _summary(result: Result) -> str:
    """How many identities and numeric comparisons."""
    parts = []
    for name, kinds in (("identities", {"identity"}), ("numeric checks", {"estimate", "bound"})):
        judged = [e for e in result.evidence if e.kind in kinds]
        held = sum(e.holds is True for e in judged)
        if judged:
            parts.append(f"{len(judged) if held == len(judged) else f'{held} of {len(judged)}'} {name}")
    return ", ".join(parts)
