"""All claims there are: every installed package may bring some, through the entry point group `moe_theory.claims`."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from types import ModuleType

from moe_theory.claims.claim import Claim
from moe_theory.errors import InputError

GROUP = "moe_theory.claims"


def all_claims() -> list[Claim]:
    """Every `CLAIM`, and all of every `CLAIMS`, in the modules of the registered packages, in their order."""
    names = {"proofs_checks", *(point.value for point in entry_points(group=GROUP))}
    modules = [module for name in sorted(names) for module in _modules(name)]
    claims = [module.CLAIM for module in modules if hasattr(module, "CLAIM")]
    claims += [claim for module in modules for claim in getattr(module, "CLAIMS", ())]
    return sorted(claims, key=lambda c: (c.order, c.id))


def select(ids: tuple[str, ...]) -> list[Claim]:
    """The claims with these ids, all of them for none; InputError lists those there are."""
    claims = all_claims()
    known = {claim.id: claim for claim in claims}
    for wanted in ids:
        if wanted not in known:
            raise InputError(f"claim: expected one of {', '.join(known)}, got {wanted!r}")
    return [known[wanted] for wanted in ids] if ids else claims


def _modules(name: str) -> list[ModuleType]:
    package = importlib.import_module(name)
    found = [package]
    for info in pkgutil.iter_modules(getattr(package, "__path__", [])):
        found.append(importlib.import_module(f"{name}.{info.name}"))
    return found
