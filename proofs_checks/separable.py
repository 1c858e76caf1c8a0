"""∂²Q/∂w∂β = 0: the EM objective separates into gate and expert parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import sympy as sp

from moe_theory.atoms import log_expit
from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Printed, Setting, identity
from moe_theory.model import Model
from moe_theory.symbolic.derive import Derivation, derive
from proofs_checks.shared import at, primed

Objective = Callable[[Derivation, sp.Matrix, sp.Matrix], sp.Expr]


def em_objective(theory: Derivation, phi: sp.Matrix, eta: sp.Matrix) -> sp.Expr:
    """Q_x(φ|η) = -Σ_z P_η(z|x,y) log p(y,z|x;φ), from the declared densities."""
    pairs = zip(theory.posterior, theory.model.log_joint, strict=True)
    return -sp.Add(*(at(theory, p, eta) * at(theory, e, phi) for p, e in pairs))


def check(setting: Setting, claimed: Objective) -> Iterator[Evidence]:
    for theory in setting.theories:
        phi = sp.Matrix(list(primed(theory.model).values()))
        q = claimed(theory, phi, sp.Matrix(theory.model.learnt))
        mixed = [q.diff(a, b) for a in _of(theory.model, "log_gate", phi) for b in _of(theory.model, "log_expert", phi)]
        yield identity(theory.model, r"$\partial^2 Q/\partial w\partial\beta$, per row", mixed)


def _of(model: Model, part: str, phi: sp.Matrix) -> list[sp.Expr]:
    """Those of the predictors `phi` that the gate, or an expert, sees (two of one expert may be entangled)."""
    return [p for p, s in zip(phi, model.learnt, strict=True) if any(e.has(s) for e in getattr(model, part))]


def _tied(theory: Derivation) -> Derivation:
    """The same experts with a gate that also sees the experts' predictor."""
    tied = Model(
        f"{theory.model.name}, tied",
        theory.model.latent,
        theory.model.predictors,
        lambda z, beta, w: log_expit(z * (w + beta)),
        lambda y, z, beta: theory.model.log_expert[theory.model.latent.index(z)].subs(theory.model.learnt[0], beta),
        theory.model.response,
    )
    return derive(tied)


CLAIM = Claim(
    id="separable",
    title="The EM objective separates into gate and experts",
    statement=r"$\partial^2 Q(\varphi|\theta)/\partial w\,\partial\beta = 0$",
    source="arXiv 2411.06056, Section 3",
    hypotheses=(
        Hypothesis(
            "gate and experts have no parameter in common", lambda t, eta, phi: em_objective(_tied(t), eta, phi)
        ),
    ),
    expected="proved",
    check=check,
    claimed=em_objective,
    mutants={
        "the likelihood separates too": Mutant("form", lambda t, phi, eta: -sp.log(at(t, t.density, phi))),
        "also with the posterior not frozen": Mutant("exchange", lambda t, phi, eta: em_objective(t, phi, phi)),
        "also in other coordinates": Mutant(
            "form", lambda t, phi, eta: em_objective(t, sp.Matrix([phi[0] + phi[-1], *phi[1:]]), eta)
        ),
    },
    order=5,
    any_model=True,
    printed=Printed(
        r"the EM objective $Q(\theta|\theta^t) = -E[E_{Z|x,y,\theta^t} \log p(x,y,z;\theta)]$ is linearly separable in"
        r" $(w,\beta)$",
        em_objective,
        expected="proved",
    ),
)
