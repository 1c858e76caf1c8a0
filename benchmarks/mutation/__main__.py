"""Mutation testing of the core: a sample of cosmic-ray's mutants, each against the tests of its module.

    python benchmarks/mutation --sample 500 --seed 0            # resumes where an earlier run of the same stopped
    python benchmarks/mutation --group operators --sample 50    # some of it
    python benchmarks/mutation --again                          # survivors once more, after a test was added

Modules and their tests are in groups.toml, mutants shown to be equivalent in equivalent.toml. Nothing in the working
tree is changed: mutants are written to a copy under build/mutation, where cosmic-ray's session also lies
(`cr-report build/mutation/session.sqlite` reads it).
"""

from __future__ import annotations

import argparse
import compileall
import hashlib
import json
import shutil
import sys
import time
from collections import Counter
from multiprocessing.connection import wait
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult
from mutants import ROOT, Group, Mutant, equivalent, groups, sampled
from trial import Trial, load

BUILD = ROOT / "build" / "mutation"
COPIED = ("moe_theory", "proofs_checks", "tests", "benchmarks", "docs", "notebooks", "pyproject.toml", "README.md")


def copy(place: Path) -> Path:
    """A copy of what the tests need, compiled."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place)
    compileall.compile_dir(place / "moe_theory", quiet=1)
    return place


def state() -> str:
    """A digest of the package and the tests."""
    digest = hashlib.sha256()
    for folder in ("moe_theory", "tests", "benchmarks/mutation"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def usual_times(group: Group, tree: Path) -> dict[str, float]:
    """Seconds by test without a mutation; ends the program if one fails. Kept until package or tests change."""
    file = BUILD / f"{group.name}.json"
    if file.exists():
        known = json.loads(file.read_text())
        if known["state"] == state() and known["tests"] == list(group.tests):
            return known["seconds"]
    began = time.monotonic()
    outcome, test, seconds = Trial(tree, group.tests, (), {}, bytecode=True).result()
    if outcome != "survived":
        sys.exit(f"{group.name}: the tests fail without a mutation: {test}; see {tree / 'trial.log'}")
    print(f"{group.name}: {len(seconds)} tests, {time.monotonic() - began:.0f} s without a mutation", flush=True)
    file.write_text(json.dumps({"state": state(), "tests": list(group.tests), "seconds": seconds}))
    return seconds


class Session:
    """Mutants, tests and results."""

    def __init__(self, database: WorkDB, work: list[tuple[str, Mutant]], workers: int) -> None:
        self.database, self.work = database, work
        self.groups = {g.name: g for g in groups()}
        self.results = dict(database.results)
        known = {item.job_id for item in database.work_items}
        fresh = {m.key: m for _, m in work if m.key not in known}
        database.add_work_items(WorkItem.single(key, m.spec) for key, m in fresh.items())
        self.trees = [copy(BUILD / f"tree{i}") for i in range(workers)]
        # The tests that found something so far come first, by module.
        self.killers: dict[str, Counter[str]] = {}
        for _, m in work:
            if m.key in self.results:
                self._count(m, self.results[m.key])

    def _count(self, mutant: Mutant, result: WorkResult) -> None:
        if result.test_outcome == TestOutcome.KILLED and result.output:
            self.killers.setdefault(mutant.module, Counter())[result.output] += 1

    def run(self, todo: list[tuple[str, Mutant]]) -> None:
        """Tries all of `todo`, as many at a time as there are trees."""
        load()
        usual = {name: usual_times(self.groups[name], self.trees[0]) for name in dict.fromkeys(g for g, _ in todo)}
        waiting, free, running = list(todo), list(self.trees), {}
        done = 0
        try:
            while waiting or running:
                while waiting and free:
                    name, mutant = waiting.pop(0)
                    tree = free.pop()
                    self._put(tree, mutant, mutant.code)
                    seconds = usual[name]
                    order = [t for t, _ in self.killers.get(mutant.module, Counter()).most_common()]
                    order += sorted(seconds, key=seconds.__getitem__)
                    trial = Trial(tree, self.groups[name].tests, list(dict.fromkeys(order)), seconds)
                    running[trial.connection] = (trial, mutant, tree, time.monotonic())
                for connection in wait(list(running)):
                    trial, mutant, tree, began = running.pop(connection)
                    outcome, test, _ = trial.result()
                    if outcome == "error":
                        sys.exit(f"{mutant.diff}\n{test}; see {tree / 'trial.log'}")
                    self._put(tree, mutant, mutant.source)
                    free.append(tree)
                    done += 1
                    result = WorkResult(WorkerOutcome.NORMAL, test, TestOutcome(outcome), mutant.diff)
                    self.database.set_result(mutant.key, result)
                    self.results[mutant.key] = result
                    self._count(mutant, result)
                    took = time.monotonic() - began
                    print(f"{done}/{len(todo)} {took:.0f} s {outcome}: {mutant.module}: {test}", flush=True)
        finally:
            for trial, *_ in running.values():
                trial.end()

    @staticmethod
    def _put(tree: Path, mutant: Mutant, code: str) -> None:
        path = tree / mutant.module
        path.write_text(code, encoding="utf-8")
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()

    def report(self) -> int:
        """Prints survivors and the share killed by module; the number of survivors."""
        rows: dict[str, Counter[str]] = {}
        survivors = []
        for _, mutant in self.work:
            result, known = self.results.get(mutant.key), equivalent(mutant)
            if known:
                verdict = "equivalent"
            elif result is None:
                verdict = "untried"
            else:
                verdict = "survived" if result.test_outcome == TestOutcome.SURVIVED else "killed"
            if verdict == "survived":
                survivors.append(mutant)
            for row in (mutant.module, "all"):
                rows.setdefault(row, Counter())[verdict] += 1
        for mutant in survivors:
            print(f"\n{mutant.diff}")
        print(f"\n{'killed':>7} {'survived':>8} {'equivalent':>10} {'untried':>7}")
        for name, c in sorted(rows.items(), key=lambda r: (r[0] == "all", r[0])):
            share = c["killed"] / max(1, c["killed"] + c["survived"])
            print(f"{c['killed']:7} {c['survived']:8} {c['equivalent']:10} {c['untried']:7}  {share:6.1%}  {name}")
        return len(survivors)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=500, help="how many mutants (default 500)")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--group", action="append", help="of this group of groups.toml only; may be repeated")
    parser.add_argument("--module", action="append", help="of this file only; may be repeated")
    parser.add_argument("--workers", type=int, default=1, help="mutants tried at a time")
    parser.add_argument("--again", action="store_true", help="try survivors once more")
    parser.add_argument("--report", action="store_true", help="only report what is known")
    a = parser.parse_args()
    chosen = [(g.name, p) for g in groups() for p in g.paths() if not a.group or g.name in a.group]
    chosen = [(name, p) for name, p in chosen if not a.module or str(p) in a.module]
    BUILD.mkdir(parents=True, exist_ok=True)
    with use_db(BUILD / "session.sqlite") as database:
        session = Session(database, sampled(chosen, a.sample, a.seed), a.workers)
        survived = {k for k, r in session.results.items() if r.test_outcome == TestOutcome.SURVIVED}
        skip = set(session.results) - (survived if a.again else set())
        if not a.report:
            session.run([(g, m) for g, m in session.work if m.key not in skip and not equivalent(m)])
        return min(1, session.report())


if __name__ == "__main__":
    sys.exit(main())
