"""p(y,z|x;θ) = h exp(⟨s,η⟩ - A_x(η)), with s, η and A_x derived from the declaration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sympy as sp

from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, identity
from moe_theory.symbolic.derive import Derivation
from moe_theory.symbolic.expectation import expect_joint


@dataclass(frozen=True)
class Family:
    """What is claimed: how statistic, natural parameter and log-partition follow from the derivation."""

    statistics: Callable[[Derivation], list[sp.Matrix]] = lambda t: list(t.statistics)
    parameter: Callable[[Derivation], sp.Matrix] = lambda t: t.natural_parameters
    log_partition: Callable[[Derivation], sp.Expr] = lambda t: t.mirror_map
    log_joint: Callable[[Derivation], list[sp.Expr]] = lambda t: list(t.model.log_joint)


def check(setting: Setting, claimed: Family) -> Iterator[Evidence]:
    for theory in setting.theories:
        model = theory.model
        eta, a = claimed.parameter(theory), claimed.log_partition(theory)
        statistics, log_joint = claimed.statistics(theory), claimed.log_joint(theory)
        rest = [e - eta.dot(s) + a - h for e, s, h in zip(log_joint, statistics, theory.log_base_measures, strict=True)]
        yield identity(model, r"$\log p(y,z|x) - \log h - \langle s,\eta\rangle + A_x$", rest)
        means = [expect_joint(model, [s[j] for s in statistics]) for j in range(len(model.learnt))]
        gradient = [a.diff(symbol) for symbol in model.learnt]
        yield identity(model, r"$E[s|x] - \nabla A_x$", [m - g for m, g in zip(means, gradient, strict=True)])
        ratios = [sp.exp(e - declared) for e, declared in zip(log_joint, model.log_joint, strict=True)]
        yield identity(model, r"$\sum_z \int p(y,z|x)\,dy - 1$", expect_joint(model, ratios) - 1)


CLAIM = Claim(
    id="exponential-family",
    title="The joint law of response and label is an exponential family",
    statement=r"$p(y,z|x;\theta) = h(y,z) \exp(\langle s(y,z), \eta\rangle - A_x(\eta))$,"
    r" with $E[s|x] = \nabla A_x(\eta)$",
    source="arXiv 2411.06056, Section 4; theory.md §2",
    hypotheses=(
        Hypothesis(
            "the declared densities are normalised (checked)",
            # A is fitted to the densities as they are: then it is E[s] that is not its gradient.
            Family(
                log_joint=lambda t: [e + t.model.learnt[0] ** 2 for e in t.model.log_joint],
                log_partition=lambda t: t.mirror_map - t.model.learnt[0] ** 2,
            ),
        ),
    ),
    expected="proved",
    check=check,
    claimed=Family(),
    mutants={
        "statistic of the other label": Mutant("exchange", Family(statistics=lambda t: list(reversed(t.statistics)))),
        "natural parameter doubled": Mutant("constant", Family(parameter=lambda t: 2 * t.natural_parameters)),
        "log-partition of the gate left out": Mutant(
            "term", Family(log_partition=lambda t: t.mirror_map.subs(t.model.learnt[-1], 0))
        ),
        "log-partition with the wrong sign": Mutant("sign", Family(log_partition=lambda t: -t.mirror_map)),
    },
    order=1,
    any_model=True,
)
