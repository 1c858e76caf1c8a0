"""`moe-theory refute CLAIM`: search for a witness against a claim, with a stated budget."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from moe_theory import __version__
from moe_theory.claims import Claim, Setting
from moe_theory.claims.claim import judge
from moe_theory.claims.instances import Instance
from moe_theory.claims.registry import select
from moe_theory.claims.search import Found, Search, Slack, run_search, search_cell, slack_at
from moe_theory.cli.common import print_json, progress_bar, readable
from moe_theory.errors import InputError
from moe_theory.files import check_writable
from moe_theory.validation import whole_number


@click.command()
@click.argument("claim")
@click.option(
    "--corrected", is_flag=True, help="Search against the corrected statement where one is printed otherwise."
)
@click.option("--budget", type=int, default=3000, show_default=True, help="Evaluations of the slack.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the search.")
@click.option("--jobs", type=int, default=1, show_default=True, help="Processes; the result does not depend on it.")
@click.option("--store", help="Keep every finished cell in this file, and go on from it.")
@click.option("--at", "instance", help="Evaluate one instance instead: JSON, or a file that holds it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def refute(
    context: click.Context,
    claim: str,
    corrected: bool,
    budget: int,
    seed: int,
    jobs: int,
    store: str | None,
    instance: str | None,
    as_json: bool,
) -> None:
    """Minimise the slack of CLAIM's inequality over truths, starts and numbers of steps T.

    The search ends with the first cell that holds a violation: its witness is printed with the command that
    evaluates it again. Of a true claim it reports the smallest slack. Statements that are printed otherwise than
    they hold are searched as printed. Exit code 1 if what is found is not what is expected of the claim.
    """
    (found,) = select((claim,))
    printed = found.printed if not corrected else None
    claimed = printed.claimed if printed else found.claimed
    expected = (printed.expected if printed else found.expected) == "refuted"
    whole_number("--budget", budget, least=1)
    whole_number("--seed", seed)
    whole_number("--jobs", jobs, least=1)
    if found.search is None:
        for option, value in (("--at", instance), ("--store", store)):
            if value is not None:
                raise InputError(
                    f"{option}: expected only for a claim that is an inequality, {claim} is checked exactly"
                )
        report = _identities(found, claimed, seed)
    elif instance is not None:
        report = _at(found, claimed, instance)
    else:
        report = _search(found, claimed, corrected, budget, seed, jobs, store, quiet=as_json)
    report = {"claim": claim, "statement": _statement(found, corrected)} | report | {"expected": expected}
    if as_json:
        print_json(report)
    else:
        _show(report, _again(found, corrected, report.get("instance")))
    context.exit(0 if instance is not None or report["refuted"] == expected else 1)


def cell(task: Mapping[str, Any]) -> dict[str, Any]:
    """One cell of a search, by the claim's name (what the processes of a sweep call)."""
    (claim,) = select((task["claim"],))
    printed = claim.printed if not task["corrected"] else None
    return search_cell(_search_of(claim), printed.claimed if printed else claim.claimed, task).to_dict()


def _search_of(claim: Claim) -> Search:
    if claim.search is None:
        raise InputError(f"claim: expected one with a search, got {claim.id!r}")
    return claim.search


def _search(
    claim: Claim, claimed: Any, corrected: bool, budget: int, seed: int, jobs: int, store: str | None, quiet: bool
) -> dict[str, Any]:
    if store is not None:
        check_writable("--store", Path(store))
    cells = _search_of(claim).cells(budget, seed)
    bar, task = progress_bar(len(cells))
    clock = time.perf_counter()
    with bar:

        def finished(index: int, result: Any) -> None:
            slack = Found.from_dict(result).slack
            text = f"cell {index}: slack {slack.value:.3g}" if slack else f"cell {index}: nothing admissible"
            bar.update(task, advance=1, description=f"{claim.id}: {text}")

        result = run_search(
            claim.id,
            _search_of(claim),
            budget,
            seed,
            cell,
            {"search": claim.id, "version": __version__},
            {"corrected": corrected},
            Path(store) if store else None,
            jobs,
            finished,
        )
    slack = result.slack
    return {
        "refuted": result.violated,
        "slack": None if slack is None else slack.value,
        "left": None if slack is None else slack.left,
        "right": None if slack is None else slack.right,
        "error": None if slack is None else slack.error,
        "details": {} if slack is None else dict(slack.details),
        "instance": result.instance,
        "evaluations": result.evaluations,
        "admissible": result.admissible,
        "budget": sum(c["budget"] for c in cells),
        "seed": seed,
        "seconds": round(time.perf_counter() - clock, 2),
    }


def _at(claim: Claim, claimed: Any, text: str) -> dict[str, Any]:
    try:
        source = Path(text).read_text() if not text.lstrip().startswith("{") else text
        value = json.loads(source)
    except (OSError, ValueError) as error:
        raise InputError(f"--at: expected JSON or a file that holds it, got {text[:60]!r}") from error
    instance = Instance.from_dict(value)
    slack: Slack | None = slack_at(_search_of(claim), claimed, instance)
    if slack is None:
        raise InputError("--at: expected an instance at which the hypotheses of the claim hold, they do not there")
    return {
        "refuted": slack.violated,
        "slack": slack.value,
        "left": slack.left,
        "right": slack.right,
        "error": slack.error,
        "details": dict(slack.details),
        "instance": instance.to_dict(),
    }


def _identities(claim: Claim, claimed: Any, seed: int) -> dict[str, Any]:
    """A claim without an inequality: its identities at random points."""
    outcome = judge(claim, Setting(seed=seed), claimed, to_first=True)
    against = outcome.against
    return {
        "refuted": against is not None,
        "evidence": str(against) if against else f"{len(outcome.evidence)} pieces of evidence, none against",
        "witness": None if against is None else against.witness,
        "seed": seed,
    }


def _statement(claim: Claim, corrected: bool) -> str:
    return claim.printed.statement if claim.printed and not corrected else claim.statement


def _again(claim: Claim, corrected: bool, instance: Any) -> str:
    options = ["--corrected"] if corrected else []
    return shlex.join(["moe-theory", "refute", claim.id, *options, "--at", json.dumps(instance)])


def _show(report: dict[str, Any], again: str) -> None:
    say = lambda text: click.echo(text)
    say(readable(report["statement"]))
    if "evidence" in report:
        say(("refuted: " if report["refuted"] else "not refuted: ") + readable(report["evidence"]))
        for name, value in (report["witness"] or {}).items():
            say(f"  {name} = {value}")
        return
    if report["slack"] is None:
        say(f"nothing admissible in {report['evaluations']} evaluations")
        return
    details = ", ".join(f"{name} = {value}" for name, value in report["details"].items())
    sides = f"{report['left']:.15g} against at most {report['right']:.15g}"
    if report["refuted"]:
        say(
            f"refuted: {sides}: relative slack {report['slack']:.6g} (error"
            f" {report['error']:.0e}){' at ' + details if details else ''}"
        )
    else:
        say(f"not refuted: smallest relative slack {report['slack']:.6g} (error {report['error']:.0e}): {sides}")
    for name, value in report["instance"].items():
        say(f"  {name} = {value}")
    if "evaluations" in report:
        say(
            f"{report['evaluations']} evaluations of a budget of {report['budget']}, {report['admissible']} of them"
            f" admissible; seed {report['seed']}, {report['seconds']:.1f} s"
        )
    say("again: " + again)
