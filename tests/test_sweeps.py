"""Sweeps that are killed, torn, shared and resumed; `refute` and `snr` on top of them, and what they refuse."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moe_theory.errors import InputError
from moe_theory.sweeps import each, sweep

CELLS = [{"i": i} for i in range(6)]
PURPOSE = {"sweep": "squares", "version": "1"}
COMMAND = "from moe_theory.cli.main import main; main()"
PATIENCE = 60.0  # seconds within which another process has to get somewhere


def square(cell: Any) -> int:
    return cell["i"] ** 2


def as_complex(item: int) -> complex:
    """What no store could keep."""
    return item + 1j


def late_first(cell: Any) -> int:
    """The first cells take longest, so that results arrive out of order."""
    time.sleep(0.05 * (5 - cell["i"]))
    return cell["i"] ** 2


def breaks_at_three(cell: Any) -> int:
    if cell["i"] == 3:
        raise ArithmeticError("cell 3 is broken")
    return cell["i"] ** 2


def hit_then_break(cell: Any) -> int:
    """Cell 0 is done a little after cell 1 has failed."""
    flag = Path(cell["flag"])
    if cell["i"] > 0:
        flag.touch()
        raise ArithmeticError("beyond the end")
    end = time.monotonic() + PATIENCE
    while not flag.exists() and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(0.3)
    return 0


class Counted:
    """A work function that remembers for which cells it was called."""

    def __init__(self, work: Callable[[Any], Any] = square) -> None:
        self.work = work
        self.calls: list[int] = []

    def __call__(self, cell: Any) -> Any:
        self.calls.append(cell["i"])
        return self.work(cell)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store.jsonl"


def full(store: Path) -> list[bytes]:
    """The lines of a finished sweep of the squares."""
    store.unlink(missing_ok=True)
    sweep(square, CELLS, store, PURPOSE)
    return store.read_bytes().splitlines(keepends=True)


def stored(store: Path) -> list[int]:
    """The cells in a store, in the order they were written; a torn line does not count."""
    if not store.exists():
        return []
    content = store.read_bytes()
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    return [json.loads(line)["cell"] for line in lines[1:]]


# Resuming ----------------------------------------------------------------------------------------------------------


def test_results_are_those_of_the_work(store: Path) -> None:
    assert sweep(square, CELLS) == sweep(square, CELLS, store) == [i * i for i in range(6)]
    assert sweep(square, []) == sweep(square, [], jobs=2) == []


def test_every_cell_is_computed_once(store: Path) -> None:
    told: list[tuple[int, int]] = []
    for expected in (list(range(6)), [], []):
        work = Counted()
        assert sweep(work, CELLS, store, PURPOSE, finished=lambda *x: told.append(x)) == [i * i for i in range(6)]
        assert work.calls == expected
    assert told == 3 * [(i, i * i) for i in range(6)]


@pytest.mark.parametrize("held", [s for n in range(7) for s in itertools.combinations(range(6), n)][::5])
def test_only_what_is_missing_is_computed(store: Path, held: tuple[int, ...]) -> None:
    header, *lines = full(store)
    # In any order: processes finish as they like.
    store.write_bytes(header + b"".join(lines[i] for i in reversed(held)))
    work, told = Counted(), []
    assert sweep(work, CELLS, store, PURPOSE, finished=lambda i, r: told.append(i)) == [i * i for i in range(6)]
    assert work.calls == [i for i in range(6) if i not in held]
    assert sorted(told) == list(range(6)) and sorted(stored(store)) == list(range(6))


def test_computed_and_read_back_are_the_same(store: Path) -> None:
    value = {"pair": (1, 2), "third": 0.1 + 0.2, "tiny": 5e-324, "none": None, 7: math.inf, "text": "‖β*‖\n"}
    fresh = sweep(lambda cell: value, [{}], store)
    assert fresh == sweep(lambda cell: None, [{}], store) == sweep(lambda cell: value, [{}])
    assert fresh[0]["pair"] == [1, 2] and fresh[0]["third"] == 0.1 + 0.2 and fresh[0]["7"] == math.inf


def test_a_torn_last_line_is_computed_again(store: Path) -> None:
    """Wherever the process died: in the middle of a result, of the header, or just before the end of a line."""
    lines = full(store)
    whole = b"".join(lines)
    ends = [len(b"".join(lines[:n])) for n in range(len(lines) + 1)]
    cuts = sorted({*range(0, len(whole), 23), *(e + shift for e in ends for shift in (-1, 0, 1))})
    for cut in (c for c in cuts if 0 <= c <= len(whole)):
        store.write_bytes(whole[:cut])
        work = Counted()
        assert sweep(work, CELLS, store, PURPOSE) == [i * i for i in range(6)]
        kept = max(sum(e <= cut for e in ends) - 2, 0)  # without the empty start and the header
        assert work.calls == list(range(kept, 6)), cut
        assert store.read_bytes() == whole


def test_an_exception_leaves_the_store_usable(store: Path) -> None:
    work = Counted(breaks_at_three)
    with pytest.raises(ArithmeticError, match=r"^cell 3 is broken$"):
        sweep(work, CELLS, store, PURPOSE)
    assert work.calls == [0, 1, 2, 3] and stored(store) == [0, 1, 2]
    work = Counted()
    assert sweep(work, CELLS, store, PURPOSE) == [i * i for i in range(6)]
    assert work.calls == [3, 4, 5]


def test_an_exception_in_another_process_leaves_the_store_usable(store: Path) -> None:
    with pytest.raises(ArithmeticError, match=r"^cell 3 is broken$"):
        sweep(breaks_at_three, CELLS, store, PURPOSE, jobs=2)
    held = stored(store)
    assert 3 not in held and len(set(held)) == len(held)
    work = Counted()
    assert sweep(work, CELLS, store, PURPOSE) == [i * i for i in range(6)]
    assert work.calls == [i for i in range(6) if i not in held]


def test_a_result_that_is_not_json_is_not_stored(store: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        sweep(lambda cell: {1, 2}, CELLS, store, PURPOSE)
    assert sweep(square, CELLS, store, PURPOSE) == [i * i for i in range(6)]


# Processes ---------------------------------------------------------------------------------------------------------


def test_the_number_of_processes_does_not_matter(store: Path) -> None:
    told: dict[int, int] = {}
    found = sweep(late_first, CELLS, store, PURPOSE, jobs=2, finished=lambda i, r: told.__setitem__(i, r))
    assert found == sweep(late_first, CELLS) == [told[i] for i in range(6)]
    assert sorted(stored(store)) == list(range(6)) and store.read_bytes().splitlines()[0] == full(store)[0].rstrip()


@pytest.mark.parametrize("jobs", [0, -1, 1.5, "2", None])
def test_jobs_is_a_whole_number(store: Path, jobs: Any) -> None:
    with pytest.raises(InputError, match=r"^jobs: expected a whole number"):
        sweep(square, CELLS, store, PURPOSE, jobs=jobs)
    assert not store.exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_gives_results_in_order_whatever_they_are(jobs: int) -> None:
    told: dict[int, Any] = {}
    assert each(as_complex, [3, 1, 2], jobs, told.__setitem__) == [3 + 1j, 1 + 1j, 2 + 1j]
    assert told == {0: 3 + 1j, 1: 1 + 1j, 2: 2 + 1j}
    with pytest.raises(ArithmeticError, match="cell 3"):
        each(breaks_at_three, CELLS, jobs)
    assert each(as_complex, [], jobs) == []


def test_until_ends_at_the_first_hit_whatever_is_stored(store: Path) -> None:
    header, *lines = full(store)
    hit = lambda r: r in (4, 16)  # cells 2 and 4
    for held in (s for n in range(7) for s in itertools.combinations(range(6), n)):
        store.write_bytes(header + b"".join(lines[i] for i in held[::-1]))
        work = Counted()
        assert sweep(work, CELLS, store, PURPOSE, until=hit) == [0, 1, 4]
        assert work.calls == [i for i in range(3) if i not in held]
    assert sweep(square, CELLS, until=lambda r: r < 0) == [i * i for i in range(6)]
    assert sweep(square, CELLS, until=lambda r: r == 0) == [0]


def test_until_ends_at_the_first_hit_with_two_processes(store: Path) -> None:
    """Of all but cell 0 one at least is a hit that arrives before cell 1, the first."""
    assert sweep(late_first, CELLS, store, PURPOSE, jobs=2, until=lambda r: r >= 1) == [0, 1]
    assert sweep(square, CELLS, store, PURPOSE) == [i * i for i in range(6)]


def test_an_exception_beyond_the_end_does_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    cells = [{"i": i, "flag": str(tmp_path / "flag")} for i in range(2)]
    assert sweep(hit_then_break, cells, until=lambda r: True, jobs=2) == [0]


# Stores that are refused -------------------------------------------------------------------------------------------

OTHERS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "purpose": (CELLS, {**PURPOSE, "version": "2"}),
    "no purpose": (CELLS, {}),
    "a cell": ([*CELLS[:5], {"i": 7}], PURPOSE),
    "fewer": (CELLS[:5], PURPOSE),
    "more": ([*CELLS, {"i": 6}], PURPOSE),
    "order": (CELLS[::-1], PURPOSE),
}


def refused(store: Path, complaint: str, cells: list[dict[str, Any]] = CELLS, purpose: Any = PURPOSE) -> None:
    """One clear line that names the store, and nothing done."""
    before = store.read_bytes() if store.is_file() else None
    with pytest.raises(InputError, match=rf"^store: expected .*{complaint}") as caught:
        sweep(lambda cell: pytest.fail("computed"), cells, store, purpose)
    assert str(store) in str(caught.value) and "\n" not in str(caught.value)
    assert (store.read_bytes() if store.is_file() else None) == before


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("torn", [b"", b'{"cell": 5, "res'])
def test_a_store_of_another_sweep(store: Path, other: str, torn: bytes) -> None:
    full(store)
    with store.open("ab") as file:
        file.write(torn)
    refused(store, "holds another one", *OTHERS[other])


FOREIGN = {
    "text": b"my notes\nof last week\n",
    "blank line": b"\n",
    "binary": b"\xff\xfe\x00\n\x00",
    "a table": b"y,a\n1,2\n",
    "JSON": b'{\n "a": 1\n}\n',
    "numbers": b"1\n2\n",
    "lists": b"[1]\n[2]\n",
    "other JSON lines": b'{"a": 1}\n{"a": 2}\n',
    "null bytes": b"\x00\x00\x00\n",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=list(FOREIGN))
def test_a_store_that_is_something_else(store: Path, content: bytes) -> None:
    store.write_bytes(content)
    refused(store, "holds (something else|another one)")


@pytest.mark.parametrize("line", [b"{}\n", b"gar{bage\n", b'{"cell": 2}\n', b"\n", b"\x00\x00\n"])
def test_a_store_with_a_broken_line_in_the_middle(store: Path, line: bytes) -> None:
    lines = full(store)
    store.write_bytes(b"".join([*lines[:3], line, *lines[3:]]))
    refused(store, "holds something else")


@pytest.mark.parametrize("content", [b"my notes", b'{"model": "mine", "theta": [1, 2, 3]}', b"\x89PNG\r", b"1" * 999])
def test_a_foreign_file_without_an_end_of_line_is_not_emptied(store: Path, content: bytes) -> None:
    store.write_bytes(content)
    refused(store, "")


def test_a_store_that_cannot_be_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for path in (tmp_path, tmp_path / "no" / "store", file / "store"):
        refused(path, "a file that can be written")
    assert [p.name for p in tmp_path.iterdir()] == ["file"] and file.read_text() == ""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anything")
def test_a_store_that_may_not_be_written(store: Path) -> None:
    full(store)
    store.chmod(0o400)
    refused(store, "a file that can be written")


# Processes that are killed -----------------------------------------------------------------------------------------

SCRIPT = """
import pathlib, sys, time
from moe_theory.sweeps import each, sweep

def work(cell):
    with open(sys.argv[2], "a") as log:
        log.write(f"{cell['i']}\\n")
    time.sleep(cell["wait"])
    return {"square": cell["i"] ** 2, "third": cell["i"] / 3}

if __name__ == "__main__":
    cells = [{"i": i, "wait": float(sys.argv[4])} for i in range(8)]
    for line in sweep(work, cells, pathlib.Path(sys.argv[1]), {"p": 1}, int(sys.argv[3])):
        print(line)
"""


class Group:
    """A process in a group of its own, so that nothing it started outlives the test."""

    def __init__(self, *arguments: str) -> None:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, *arguments], start_new_session=True, **pipes)  # type: ignore[call-overload]

    def kill_with(self, store: Path, cells: int) -> list[int]:
        """SIGKILL as soon as so many cells are stored; those there are then."""
        end = time.monotonic() + PATIENCE
        while len(stored(store)) < cells:
            assert self.process.poll() is None and time.monotonic() < end, self.process.communicate()
            time.sleep(0.002)
        os.kill(self.process.pid, signal.SIGKILL)
        assert self.process.wait(PATIENCE) == -signal.SIGKILL
        return stored(store)

    def alive(self) -> bool:
        """Whether a process of the group is left."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def end(self) -> None:
        if self.alive():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=PATIENCE)


@pytest.fixture
def group() -> Iterator[Callable[..., Group]]:
    started: list[Group] = []

    def start(*arguments: str) -> Group:
        started.append(Group(*arguments))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_sweep_goes_on_where_it_was(group, tmp_path: Path, store: Path, jobs: int) -> None:
    script, log = tmp_path / "slow.py", tmp_path / "log"
    script.write_text(SCRIPT)
    run = group(str(script), str(store), str(log), str(jobs), "0.1")
    known = run.kill_with(store, 3)
    before = store.read_bytes()
    assert 3 <= len(known) < 8
    run.end()
    log.unlink()
    again = subprocess.run(
        [sys.executable, script, store, log, str(jobs), "0.1"], capture_output=True, text=True, check=True
    )
    assert again.stdout.splitlines() == [str({"square": i**2, "third": i / 3}) for i in range(8)]
    assert sorted(map(int, log.read_text().split())) == [i for i in range(8) if i not in known]
    assert store.read_bytes().startswith(before[: before.rfind(b"\n") + 1]) and sorted(stored(store)) == list(range(8))


def test_a_store_in_use_is_refused_until_its_owner_dies(group, tmp_path: Path, store: Path) -> None:
    script = tmp_path / "slow.py"
    script.write_text(SCRIPT)
    run = group(str(script), str(store), str(tmp_path / "log"), "1", "30")
    end = time.monotonic() + PATIENCE
    while not store.exists() or not store.read_bytes():
        assert run.process.poll() is None and time.monotonic() < end, run.process.communicate()
        time.sleep(0.005)
    cells = [{"i": i, "wait": 30.0} for i in range(8)]
    refused(store, "in use", cells, {"p": 1})
    run.end()
    assert sweep(square, cells, store, {"p": 1}) == [i * i for i in range(8)]


def test_a_killed_sweep_leaves_no_processes(group, tmp_path: Path, store: Path) -> None:
    script = tmp_path / "slow.py"
    script.write_text(SCRIPT)
    run = group(str(script), str(store), str(tmp_path / "log"), "2", "0.05")
    run.kill_with(store, 1)
    end = time.monotonic() + PATIENCE
    while run.alive() and time.monotonic() < end:
        time.sleep(0.02)
    assert not run.alive()


# The commands ------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(capfd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Calls moe-theory in an empty folder; capfd, for what its processes might say."""
    from moe_theory.cli.main import main  # not above: the processes of the sweeps here import this file

    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        out = capfd.readouterr()
        return int(stop.value.code or 0), out.out, out.err

    return call


def timeless(text: str) -> dict[str, Any]:
    report = json.loads(text)
    assert isinstance(report, dict)
    report.pop("seconds", None)
    return report


KILLED = {
    "refute": ("refute information-order --budget 450 --json", 1, 3),
    "snr": ("snr symmetric-logistic --beta 0.5:8:9 --gate 0.5,1,2 --angle 30,90 --json --jobs 2", 3, 60),
}


@pytest.mark.parametrize("case", KILLED)
def test_a_killed_command_says_the_same_when_it_is_repeated(command, group, store: Path, case: str) -> None:
    line, least, total = KILLED[case]
    arguments = [*line.split(), "--store", str(store)]
    run = group("-c", COMMAND, *arguments)
    known = run.kill_with(store, least)
    assert least <= len(known) < total
    run.end()
    code, out, err = command(*arguments)
    assert (code, err) == (0, "")
    assert stored(store)[: len(known)] == known and sorted(stored(store)) == list(range(total))
    uninterrupted = [a for a in line.split() if a not in ("--jobs", "2")]
    assert timeless(out) == timeless(command(*uninterrupted)[1])


def test_a_witness_is_found_again_from_what_is_printed(command) -> None:
    code, out, _ = command("refute", "printed-stationarity", "--budget", "120", "--json")
    found = timeless(out)
    assert code == 0 and found["refuted"] is True and found["evaluations"] <= found["budget"]
    code, out, _ = command("refute", "printed-stationarity", "--json", "--at", json.dumps(found["instance"]))
    again = timeless(out)
    assert code == 0 and again == {name: found[name] for name in again}


INSTANCE = {"model": "symmetric-linear", "x": [[1], [2]], "truth": [[1], [1]], "start": [[1], [2]]}


def at(**changes: Any) -> list[str]:
    """An instance with other entries; None leaves one out."""
    value = {k: v for k, v in (INSTANCE | changes).items() if v is not None}
    return ["refute", "stationarity", "--at", json.dumps(value)]


BAD: dict[str, tuple[list[str] | str, str]] = {
    "claim": ("refute nope", "'nope'"),
    "no claim": ("refute", "CLAIM"),
    "budget 0": ("refute stationarity --budget 0", "--budget: expected a whole number >= 1, got 0"),
    "budget word": ("refute stationarity --budget many", "many"),
    "jobs 0": ("refute stationarity --jobs 0", "jobs: expected a whole number >= 1, got 0"),
    "jobs 0, store": ("refute stationarity --jobs 0 --store s", "jobs: expected a whole number >= 1, got 0"),
    "seed": ("refute stationarity --seed -1", "--seed: expected a whole number"),
    "store folder": ("refute stationarity --store .", "--store: expected a file, got the folder"),
    "store nowhere": ("refute stationarity --store no/s", "--store: expected a file in a writable folder"),
    "not JSON": (["refute", "stationarity", "--at", '{"model": '], "--at: expected JSON"),
    "a list": (["refute", "stationarity", "--at", "[1, 2]"], "--at: expected JSON"),
    "no file": ("refute stationarity --at nowhere.json", "--at: expected JSON"),
    "a folder": ("refute stationarity --at .", "--at: expected JSON"),
    "nothing": (["refute", "stationarity", "--at", ""], "--at: expected JSON"),
    "no keys": ("refute stationarity --at {}", "expected an object with the keys"),
    "unknown key": (at(colour=1), "expected an object with the keys"),
    "a key short": (at(start=None), "expected an object with the keys"),
    "model": (at(model="nope"), "model: expected one of"),
    "model list": (at(model=["symmetric-linear"]), "model: expected one of"),
    "x flat": (at(x=[1, 2]), "x: expected 2 axes"),
    "x ragged": (at(x=[[1], [1, 2]]), "x: expected real numbers"),
    "x empty": (at(x=[]), "x: expected 2 axes"),
    "x no features": (at(x=[[]]), "truth: expected shape"),
    "x object": (at(x={"a": 1}), "x: expected real numbers"),
    "x infinite": (at(x=[[math.inf], [1]]), "x: expected finite values"),
    "truth shape": (at(truth=[[1]]), "truth: expected shape (2, 1)"),
    "truth features": (at(truth=[[1, 2], [1, 2]]), "truth: expected shape (2, 1)"),
    "start shape": (at(start=[1, 2]), "start: expected 2 axes"),
    "start nan": (at(start=[[math.nan], [1]]), "start: expected finite values"),
    "weight axes": (at(weight=[[1], [1]]), "weight: expected 1 axis"),
    "weight long": (at(weight=[1, 2, 3]), "error: "),
    "weight negative": (at(weight=[1, -1]), "error: "),
    "curved model, flat claim": (
        ["refute", "linear", "--at", json.dumps(INSTANCE | {"model": "linear-experts", "truth": [[1]] * 3})],
        "start: expected shape (3, 1)",
    ),
    "an instance of an identity": ("refute separable --at {}", "--at: expected only for a claim that is an inequality"),
    "a store of an identity": ("refute separable --store s", "--store: expected only for a claim that is"),
    "snr model": ("snr nope", "model: expected one of"),
    "snr no model": ("snr", "MODEL"),
    "snr other predictors": ("snr linear-experts --store s", "expected two learnt predictors"),
    "snr one predictor": ("snr erased-labels --store s", "expected two learnt predictors"),
    "snr file": ("snr nowhere.py:model", "expected FILE.py:NAME"),
    "alpha 2": ("snr symmetric-logistic --alpha 2 --store s", "alpha: expected a number in the open interval"),
    "alpha 0": ("snr symmetric-logistic --alpha 0 --store s", "alpha: expected a number in the open interval"),
    "alpha nan": ("snr symmetric-logistic --alpha nan --store s", "alpha: expected finite values"),
    "negative beta": (
        "snr symmetric-logistic --beta=-1,2 --store s",
        "betas: expected one or more numbers from 0 to 1000",
    ),
    "negative gate": (
        "snr symmetric-logistic --gate=-1 --store s",
        "gates: expected one or more numbers from 0 to 1000",
    ),
    "angle 400": ("snr symmetric-logistic --angle 400", "angles: expected one or more numbers from -180 to 180"),
    "negative seed": ("snr symmetric-linear --beta 3 --gate 1 --regions --seed=-1", "seed: expected a whole number"),
    "beta words": ("snr symmetric-logistic --beta a,b", "--beta: expected numbers"),
    "beta none": (["snr", "symmetric-logistic", "--beta", ""], "--beta: expected numbers"),
    "beta nan": ("snr symmetric-logistic --beta nan", "--beta: expected finite values"),
    "angle infinite": ("snr symmetric-logistic --angle inf", "--angle: expected finite values"),
    "range of two": ("snr symmetric-logistic --beta 1:2", "--beta: expected numbers"),
    "range of four": ("snr symmetric-logistic --beta 1:2:3:4", "--beta: expected numbers"),
    "range falling": ("snr symmetric-logistic --beta 2:1:3", "--beta: expected LOW:HIGH:COUNT"),
    "range flat": ("snr symmetric-logistic --gate 2:2:3", "--gate: expected LOW:HIGH:COUNT"),
    "range from 0": ("snr symmetric-logistic --gate 0:2:3", "--gate: expected LOW:HIGH:COUNT"),
    "range of one": ("snr symmetric-logistic --beta 1:2:1", "--beta: expected LOW:HIGH:COUNT"),
    "range of 2.5": ("snr symmetric-logistic --beta 1:2:2.5", "--beta: expected LOW:HIGH:COUNT"),
    "range of words": ("snr symmetric-logistic --beta 1:2:x", "--beta: expected numbers"),
    "snr jobs 0": ("snr symmetric-logistic --jobs 0 --store s", "jobs: expected a whole number >= 1, got 0"),
    "snr store folder": ("snr symmetric-logistic --store .", "--store: expected a file, got the folder"),
    "snr option": ("snr symmetric-logistic --colour red", "--colour"),
}


def complains(found: tuple[int, str, str], complaint: str) -> None:
    """Exit code 2 and one line, and nothing left in the folder."""
    code, out, err = found
    assert (code, out, err.count("\n"), err[-1:]) == (2, "", 1, "\n"), err
    assert err.startswith("moe-theory: error: ") and complaint in err
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("case", BAD)
def test_wrong_input_is_one_line(command, case: str) -> None:
    arguments, complaint = BAD[case]
    complains(command(*(arguments.split() if isinstance(arguments, str) else arguments)), complaint)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"[]", b"3", b'{"model": 1}'])
def test_a_file_that_is_no_instance_is_one_line(command, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "instance.json"
    path.write_bytes(content)
    complains(command("refute", "stationarity", "--at", str(path)), "expected")


def test_a_store_of_another_search_is_one_line(command, store: Path) -> None:
    store.write_bytes(b'{"purpose": {}, "cells": ""}\n')
    complains(command("refute", "stationarity", "--store", str(store)), "holds another one")
    assert store.read_bytes() == b'{"purpose": {}, "cells": ""}\n'


UNCAUGHT = {
    "a number of 400 digits": (at(x=[[10**400], [1]]), "OverflowError in real_array"),
    "a truth beyond quadrature": (at(truth=[[1e300], [1]]), "OverflowError in _normal_nodes"),
    "a range with a comma": (["snr", "symmetric-logistic", "--beta", "1,2:3:4"], "ValueError in numbers"),
}


@pytest.mark.parametrize("case", UNCAUGHT)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_numbers_out_of_range_are_one_line(command, case: str) -> None:
    complains(command(*UNCAUGHT[case][0]), "expected")


@pytest.mark.parametrize("option", ["--alpha 2", "--beta=-1,2", "--jobs 0", "--gate=-1"])
def test_a_refused_map_leaves_no_folder(command, option: str) -> None:
    complains(command("snr", "symmetric-logistic", "--out", "maps", *option.split()), "expected")


def test_jobs_of_an_identity(command) -> None:
    complains(command("refute", "separable", "--jobs", "0"), "jobs: expected a whole number")
