"""The deck's reading of a GRU as a mixture of experts: exact for hard reset gates, and as a mean over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sympy as sp

from moe_theory.atoms import expit
from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Printed, Setting, identity

U, V, H = sp.symbols("u v h", real=True)  # Ax, Bh, h_{t-1}
Z, R = (expit(sp.Symbol(name, real=True)) for name in ("a_z", "a_r"))  # update and reset gate, in (0, 1)
ACTIVATIONS: dict[str, Callable[[sp.Expr], sp.Expr]] = {"tanh": sp.tanh, "sigmoid": expit}


ANY = sp.Function("f")


@dataclass(frozen=True)
class Reading:
    """deck - gru is to vanish, as expressions in an activation f; `affine`: only for affine f."""

    update: Callable[[Callable[[sp.Expr], sp.Expr]], sp.Expr]
    affine: bool = False


def deck(f: Callable[[sp.Expr], sp.Expr]) -> sp.Expr:
    """(1-z) h + z (1-r) f(Ax) + z r f(Ax + Bh), componentwise."""
    return (1 - Z) * H + Z * (1 - R) * f(U) + Z * R * f(U + V)


def gru(f: Callable[[sp.Expr], sp.Expr], r: sp.Expr = R) -> sp.Expr:
    """(1-z) h + z f(Ax + r Bh)."""
    return (1 - Z) * H + Z * f(U + r * V)


def averaged(f: Callable[[sp.Expr], sp.Expr], chance: sp.Expr = R) -> sp.Expr:
    """The GRU's update, averaged over reset gates drawn from {0, 1}, 1 with probability `chance`."""
    return (1 - chance) * gru(f, sp.Integer(0)) + chance * gru(f, sp.Integer(1))


def check(setting: Setting, claimed: Reading) -> Iterator[Evidence]:
    slope, level = sp.symbols("a b", real=True)
    family: dict[str, Callable[[sp.Expr], sp.Expr]] = {"affine f": lambda t: slope * t + level}
    if not claimed.affine:
        family |= ACTIVATIONS
        left = sp.expand(deck(ANY) - claimed.update(ANY))
        if left == 0:
            yield Evidence("identity", "any f", "deck's form less the GRU's update in this reading", True)
    for name, f in family.items():
        yield identity(
            name, "deck's form less the GRU's update in this reading", deck(f) - claimed.update(f), seed=setting.seed
        )


CLAIM = Claim(
    id="printed-gru",
    title="A GRU is a mixture of experts with random reset gates",
    statement=r"$(1-z)h + z(1-r)f(Ax) + z\,r f(Ax+Bh)$ is the mean of the GRU's update $(1-z)h + z f(Ax+\rho Bh)$"
    r" over reset"
    r" gates $\rho\in\{0,1\}$ with $P(\rho=1)=r$",
    source="deck Breaking the gridlock in Mixture-of-Experts (ICML 2019), MoE: Building blocks of GRU",
    hypotheses=(
        Hypothesis("the reset gates are averaged over (else r is 0 or 1, or f affine)", Reading(lambda f: gru(f))),
    ),
    expected="proved",
    check=check,
    claimed=Reading(lambda f: averaged(f)),
    mutants={
        "reset with the other probability": Mutant("exchange", Reading(lambda f: averaged(f, 1 - R))),
        "with probability r²": Mutant("constant", Reading(lambda f: averaged(f, R**2))),
        "without the state": Mutant("term", Reading(lambda f: averaged(f) - (1 - Z) * H)),
        "the state's sign": Mutant("sign", Reading(lambda f: averaged(f) - 2 * (1 - Z) * H)),
    },
    order=113,
    section="As printed, and corrected",
    printed=Printed(
        r"$h_t = (1-z)\odot h + z\odot(1-r)\odot f(Ax) + z\odot r\odot f(Ax+Bh)$ is the GRU's"
        r" $h_t = (1-z)\odot h + z\odot f(Ax+r\odot Bh)$ for all gates in $[0,1]$",
        Reading(lambda f: gru(f)),
    ),
)
