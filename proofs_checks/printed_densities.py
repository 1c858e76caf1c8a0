"""The poster's densities and likelihood: signs (theory.md §5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sympy as sp

from moe_theory.claims import (
    Claim,
    Evidence,
    Hypothesis,
    Instance,
    Mutant,
    Printed,
    Search,
    Setting,
    Slack,
    identity,
    searched,
)
from moe_theory.laws import Finite
from moe_theory.model import RESPONSE
from moe_theory.operators import objective
from moe_theory.symbolic.expectation import expect_joint
from moe_theory.zoo import symmetric_linear, symmetric_logistic
from proofs_checks.printed import POSTER, SECTION

Y, U = RESPONSE, sp.Symbol("u", real=True)  # u = x'β_i, the expert's mean


@dataclass(frozen=True)
class Density:
    """log p(y|x, z=i) up to what does not depend on y, given y and u."""

    exponent: Callable[[sp.Expr, sp.Expr], sp.Expr]


def normal(setting: Setting, claimed: Density) -> Iterator[Evidence]:
    """A density vanishes at infinity, and this one is to be that of N(x'β_i, 1)."""
    exponent = claimed.exponent(Y, U)
    for end in (sp.oo, -sp.oo):
        limit = sp.limit(sp.exp(exponent.subs(U, 0)), Y, end)
        what = rf"$\exp(\cdot)$ at $\beta = 0$ as $y \to {sp.latex(end)}$: a density has the limit 0"
        yield Evidence(
            "identity", "linear experts", what, bool(limit == 0), str(limit), witness={"beta": 0, "y": str(end)}
        )
    model = symmetric_linear()
    for label, log_expert in zip(model.latent, model.log_expert, strict=True):
        mean = label * model.learnt[0]
        what = rf"$\partial_y$ [exponent - $\log p(y|x,z={label})$ of the derived model]"
        yield identity(model.name, what, (exponent.subs(U, mean) - log_expert).diff(Y))


LINEAR = Claim(
    id="printed-linear-density",
    title="The poster's density of a linear expert lacks a minus sign",
    statement=r"$p(y|x,z=i;\beta_i) \propto \exp\{-(y-x'\beta_i)^2/2\}$",
    source=f"{POSTER}, Symmetric Linear Expert",
    hypotheses=(
        Hypothesis("unit noise variance", Density(lambda y, u: -((y - u) ** 2) / 4)),
        Hypothesis(r"mean $x'\beta_i$", Density(lambda y, u: -((y - u - 1) ** 2) / 2)),
    ),
    expected="proved",
    check=normal,
    claimed=Density(lambda y, u: -((y - u) ** 2) / 2),
    mutants={
        "mean with the wrong sign": Mutant("sign", Density(lambda y, u: -((y + u) ** 2) / 2)),
        "without the half": Mutant("constant", Density(lambda y, u: -((y - u) ** 2))),
        "the absolute deviation": Mutant("form", Density(lambda y, u: -sp.sqrt(1 + (y - u) ** 2))),
    },
    order=101,
    section=SECTION,
    printed=Printed(r"$p(y|x,z=i;\beta_i) \propto \exp\{(y-x'\beta_i)^2/2\}$", Density(lambda y, u: (y - u) ** 2 / 2)),
)


@dataclass(frozen=True)
class Logistic:
    """P(y = 1|x, z = i) given x'β_i."""

    probability: Callable[[sp.Expr], sp.Expr]


def logistic(setting: Setting, claimed: Logistic) -> Iterator[Evidence]:
    model = symmetric_logistic()
    for label, log_expert in zip(model.latent, model.log_expert, strict=True):
        derived = sp.exp(log_expert.subs(RESPONSE, 1))
        what = rf"$P(y=1|x,z={label})$ - that of the model with $\beta_i = z\beta$"
        yield identity(model.name, what, claimed.probability(label * model.learnt[0]) - derived)


LOGISTIC = Claim(
    id="printed-logistic-density",
    title="The poster's logistic expert is right",
    statement=r"$P(y=1|x,z=i;\beta_i) = e^{x'\beta_i}/(1+e^{x'\beta_i})$ with $\beta_1=-\beta_2$ is"
    r" $\sigma(y\,z\,x'\beta)$",
    source=f"{POSTER}, Symmetric Logistic Expert",
    hypotheses=(
        Hypothesis("$y$ in {-1, 1}, labels in {-1, 1}", Logistic(lambda u: sp.exp(2 * u) / (1 + sp.exp(2 * u)))),
    ),
    expected="proved",
    check=logistic,
    claimed=Logistic(lambda u: sp.exp(u) / (1 + sp.exp(u))),
    mutants={
        "the other response": Mutant("exchange", Logistic(lambda u: 1 / (1 + sp.exp(u)))),
        "twice the odds": Mutant("constant", Logistic(lambda u: 2 * sp.exp(u) / (1 + 2 * sp.exp(u)))),
        "1 - e^u": Mutant("sign", Logistic(lambda u: sp.exp(u) / (1 - sp.exp(u)))),
    },
    order=102,
    section=SECTION,
    printed=Printed(
        r"$P(y=1|x,z=i;\beta_i) = \exp(x'\beta_i)/(1+\exp(x'\beta_i))$",
        Logistic(lambda u: sp.exp(u) / (1 + sp.exp(u))),
        expected="proved",
    ),
)


@dataclass(frozen=True)
class Minimised:
    """θ* minimises sign · E log p(y|x; θ), by at least margin. own_law: E is under the law of θ*."""

    sign: int = -1
    margin: float = 0.0
    own_law: bool = True
    factor: Callable[[int], sp.Rational] = lambda label: sp.Integer(1)  # of the density of each label


def likelihood_slack(claimed: Minimised, instance: Instance, certain: bool) -> Slack:
    law = instance.law
    if not claimed.own_law:
        law = Finite(law.x, -law.y if instance.model.response.values else law.y + 2, law.weight)
    there, here = (-claimed.sign * objective(instance.model, law, theta) for theta in (instance.start, instance.truth))
    return Slack.of(here + claimed.margin, there, 1.0)


LIKELIHOOD_SEARCH = Search(likelihood_slack)


def likelihood(setting: Setting, claimed: Minimised) -> Iterator[Evidence]:
    """L(θ) - L(θ*) = -E log(p_θ/p_*) >= -E[p_θ/p_* - 1] = 1 - E_X ∫ p_θ(y|x) dy (log t <= t - 1), and that is 0."""
    what = r"$L(\theta) \ge L(\theta^*)$"
    if claimed.sign < 0 and claimed.margin == 0 and claimed.own_law:
        for model in setting.models if setting.flat else ():
            integral = expect_joint(model, [claimed.factor(i) for i in range(len(model.latent))])
            yield identity(model, r"$1 - \int p_\theta(y|x)\,dy$", 1 - integral)
    yield from searched(LIKELIHOOD_SEARCH, claimed, what, setting.budget // 2, setting.seed)


LIKELIHOOD = Claim(
    id="printed-likelihood",
    title="The poster minimises the log-likelihood, which the truth maximises",
    statement=r"$\theta^*$ minimises $L(\theta) = -E\log p(y|x;\theta)$: $L(\theta)-L(\theta^*) ="
    r" E\,\mathrm{KL}(p_*(y|x)\|p_\theta(y|x)) \ge 0$",
    source=f"{POSTER}, Goal",
    hypotheses=(Hypothesis(r"y drawn from the model at $\theta^*$", Minimised(own_law=False)),),
    expected="proved",
    check=likelihood,
    claimed=Minimised(),
    mutants={
        "by a margin": Mutant("constant", Minimised(margin=0.1)),
        "densities that do not sum to 1": Mutant("form", Minimised(factor=lambda i: 1 + sp.Rational(i, 100))),
        "with the sign turned": Mutant("sign", Minimised(sign=1, margin=-1e-3)),
    },
    order=100,
    section=SECTION,
    printed=Printed(
        r"$\theta^*$ is among the minimizers of $L(\theta) = E[\log p(x)] + E[\log \sum_z p(y|x,z)P(z|x)]$",
        Minimised(sign=1),
    ),
    search=LIKELIHOOD_SEARCH,
)

CLAIMS = (LIKELIHOOD, LINEAR, LOGISTIC)
