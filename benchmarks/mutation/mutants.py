"""Which mutants there are: cosmic-ray's, less those that cannot matter, and those known to be equivalent."""

from __future__ import annotations

import ast
import difflib
import fnmatch
import hashlib
import random
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cosmic_ray.commands.init import _all_work_items
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_item import MutationSpec

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BITS = ("BitOr", "BitAnd", "BitXor", "LShift", "RShift")


@dataclass(frozen=True)
class Group:
    """Modules that are judged by the same tests, both as the configuration names them."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]

    def paths(self) -> list[Path]:
        """The modules, relative to the repository."""
        found = [p.relative_to(ROOT) for pattern in self.modules for p in sorted(ROOT.glob(pattern))]
        return [p for p in found if p.name != "__init__.py"]


@dataclass(frozen=True)
class Equivalent:
    """A change that no test can see, told by what it does to a line and not by where the line is.

    before, after: the line without its indentation; after None: whatever becomes of it. swap: instead, any line that
    differs by this replacement only.
    """

    module: str
    reason: str
    before: str | None = None
    after: str | None = None
    swap: tuple[str, str] | None = None

    def covers(self, module: str, before: str, after: str) -> bool:
        if not fnmatch.fnmatch(module, self.module):
            return False
        if self.swap is not None:
            old, new = self.swap
            starts = (i for i in range(len(before)) if before.startswith(old, i))
            return any(_spaceless(before[:i] + new + before[i + len(old) :]) == _spaceless(after) for i in starts)
        same = _spaceless(before) == _spaceless(self.before or "")
        return same and (self.after is None or _spaceless(self.after) == _spaceless(after))


@dataclass(frozen=True)
class Mutant:
    """One change of one module. key: the same for the same change of the same source."""

    spec: MutationSpec
    source: str

    @property
    def module(self) -> str:
        return str(self.spec.module_path)

    @property
    def key(self) -> str:
        s = self.spec
        return hashlib.sha256(f"{s.operator_name} {s.occurrence} {s.operator_args} {self.source}".encode()).hexdigest()

    @property
    def code(self) -> str:
        """The module's text with the change."""
        operator = get_operator(self.spec.operator_name)(**self.spec.operator_args)
        code = mutate_code(self.source, operator, self.spec.occurrence)
        assert code is not None, self.spec
        return code

    @property
    def lines(self) -> tuple[str, str]:
        """The changed lines before and after, without indentation."""
        changed = list(difflib.ndiff(self.source.splitlines(), self.code.splitlines()))
        before, after = (" ".join(line[2:].strip() for line in changed if line[0] == sign) for sign in "-+")
        return before, after

    @property
    def diff(self) -> str:
        """A unified diff with a line of context."""
        old, new = self.source.splitlines(), self.code.splitlines()
        return "\n".join(difflib.unified_diff(old, new, self.module, self.module, lineterm="", n=1))

    @property
    def matters(self) -> bool:
        """False if only annotations change, which nothing evaluates."""
        try:
            return _unannotated(self.code) != _unannotated(self.source)
        except SyntaxError:
            return False


def groups() -> list[Group]:
    """The configuration."""
    read = tomllib.loads((HERE / "groups.toml").read_text(encoding="utf-8"))
    return [Group(name, tuple(g["modules"]), tuple(g["tests"])) for name, g in read.items()]


@cache
def equivalents() -> list[Equivalent]:
    """The list of equivalent mutants."""
    read = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8"))["equivalent"]
    return [Equivalent(**{k: tuple(v) if k == "swap" else v for k, v in entry.items()}) for entry in read]


def equivalent(mutant: Mutant) -> Equivalent | None:
    """The entry of the list that covers `mutant`, if any."""
    before, after = mutant.lines
    return next((e for e in equivalents() if e.covers(mutant.module, before, after)), None)


def sampled(chosen: list[tuple[str, Path]], size: int, seed: int) -> list[tuple[str, Mutant]]:
    """(group, mutant) for `size` of the mutants of the modules (group, path), in random order, by seed.

    Shifts and bitwise operators put in place of arithmetic are left out: floats do not have them, so that any test
    that runs the line kills them, and the share killed would say little.
    """
    every = []
    for group, path in chosen:
        source = (ROOT / path).read_text(encoding="utf-8")
        for item in _all_work_items([ROOT / path], {}):
            (spec,) = item.mutations
            old, _, new = spec.operator_name.removeprefix("core/ReplaceBinaryOperator_").partition("_")
            if new in BITS and old not in BITS:
                continue
            spec = MutationSpec(path, spec.operator_name, spec.occurrence, spec.start_pos, spec.end_pos)
            every.append((group, Mutant(spec, source)))
    every.sort(key=lambda e: (e[1].module, e[1].spec.operator_name, e[1].spec.occurrence))
    random.Random(seed).shuffle(every)
    kept: list[tuple[str, Mutant]] = []
    for group, mutant in every:
        if len(kept) == size:
            break
        if mutant.matters:
            kept.append((group, mutant))
    return kept


def _spaceless(line: str) -> str:
    return "".join(line.split())


@cache
def _unannotated(code: str) -> str:
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return ast.dump(tree)
