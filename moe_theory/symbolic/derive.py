"""From a declaration to its theory: every quantity is computed from log p(y,z|x) and typed in nowhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import sympy as sp

from moe_theory.atoms import exp_tidy, expit, log_sum_exp
from moe_theory.deadline import within
from moe_theory.errors import CurvedModelError, DerivationError, InputError
from moe_theory.model import LABEL, RESPONSE, Model
from moe_theory.symbolic.classify import Affine, affine_family, base_response, points, require_exponential_family
from moe_theory.symbolic.continuity import require_continuous
from moe_theory.symbolic.density import require_probability_law
from moe_theory.symbolic.expectation import NormalExpert, normal_experts
from moe_theory.symbolic.functions import require_known
from moe_theory.symbolic.self_check import self_check
from moe_theory.symbolic.symmetry import symmetries


@lru_cache(maxsize=64)
def derive(model: Model) -> Derivation:
    """Derive the exponential family of a declared model and all that follows from it.

    Raises NotExponentialFamilyError naming the offending term, DerivationError if a density is not normalised, for
    functions that jump or are not known everywhere, for what could not be decided in 8 seconds, and if what is compiled
    does not agree with log p as it was declared (`self_check`). A curved family is derived as far as it goes:
    `obstruction` says why it is not flat, and what needs flatness (statistic, mirror map, M) raises CurvedModelError.

    >>> from moe_theory.zoo import symmetric_linear
    >>> theory = derive(symmetric_linear())
    >>> theory.statistic.T, theory.mirror_map
    (Matrix([[y*z, z/2 + 1/2]]), eta_beta**2/2 + softplus(eta_w))
    >>> theory.posterior[1]
    expit(2*eta_beta*y + eta_w)
    """
    question = ""

    def answered() -> Derivation:
        nonlocal question
        for asked, require in REQUIRED.items():
            question = asked
            require(model)
        theory = Derivation(model)
        question = "whether it is flat"
        theory.obstruction  # noqa: B018  found now, not when it is first asked for
        question = "whether its kernels are right"
        self_check(theory)
        return theory

    try:
        return within(SECONDS, answered)
    except TimeoutError:
        raise DerivationError(f"model {model.name!r}: could not decide in {SECONDS} s {question}") from None


SECONDS = 8
REQUIRED: dict[str, Callable[[Model], None]] = {
    "whether its functions are known everywhere": require_known,
    "whether it is continuous": require_continuous,
    "whether it is an exponential family": require_exponential_family,
    "whether its densities integrate to 1": require_probability_law,
}


def why_not(model: Model) -> str:
    """What keeps a model from having a mirror map of its own, one line that names the term; "" for a flat one.

    >>> from moe_theory.zoo import linear_experts, symmetric_linear
    >>> why_not(symmetric_linear()), why_not(linear_experts())[:53]
    ('', "model 'linear-experts': curved: the term -eta_beta1**")
    """
    try:
        return derive(model).obstruction or ""
    except DerivationError as error:
        return str(error)


@dataclass(frozen=True)
class Derivation:
    """The theory of one model, per row x: functions of the response y, the label z and the predictors η = Θx.

    With θ's rows stacked, an expectation over rows turns ∇A_x into E[∇A_x ⊗ x] and a Fisher information I_x into
    E[I_x ⊗ xx'] (Section 4 of arXiv 2411.06056).
    """

    model: Model

    @cached_property
    def _family(self) -> Affine | str:
        return affine_family(self.model)

    @property
    def obstruction(self) -> str | None:
        """None for a flat family, else the term that makes it curved."""
        return self._family if isinstance(self._family, str) else None

    @property
    def flat(self) -> bool:
        """True if the natural parameters are affine in the predictors."""
        return self.obstruction is None

    def _require_flat(self) -> None:
        if self.obstruction is not None:
            raise CurvedModelError(self.obstruction)

    # The exponential family ------------------------------------------------------------------------------

    @cached_property
    def statistics(self) -> tuple[sp.Matrix, ...]:
        """s(y, z) for each label, (m, 1): ∂ log p/∂η at η = 0, bounded components shifted to have minimum 0."""
        self._require_flat()
        model = self.model
        columns = [self._statistic_at(i) for i in range(len(model.latent))]
        shift = []
        for j in range(len(model.learnt)):
            values = [sp.expand(c[j].subs(RESPONSE, y)) for c in columns for y in model.response.exact or (RESPONSE,)]
            shift.append(min(values) if all(v.is_number for v in values) else sp.Integer(0))
        return tuple((c - sp.Matrix(shift)).applyfunc(sp.expand) for c in columns)

    def _statistic_at(self, label: int) -> sp.Matrix:
        """The slopes of log p(y,z|x) less those at the first label and some y, which were proved, plus the latter's
        derivative at 0: in which form of y they are written is read off derivatives, where these agree."""
        model, zero = self.model, dict.fromkeys(self.model.learnt, 0)
        read = [model.log_joint[label].diff(s).subs(zero) for s in model.learnt]
        family = self._family
        if isinstance(family, str):
            return sp.Matrix(read)
        first = [model.log_joint[0].diff(s).subs(zero).subs(RESPONSE, family.response) for s in model.learnt]
        proved = {
            y: [a + b for a, b in zip(v, first, strict=True)] for (i, y), v in family.slopes.items() if i == label
        }
        right = all(
            sp.expand(e.subs(RESPONSE, y) - v) == 0
            for y, values in proved.items()
            for e, v in zip(read, values, strict=True)
        )
        if right:
            return sp.Matrix(read)
        if not model.response.values:
            return sp.Matrix(proved[RESPONSE])
        through = {y: sp.prod((RESPONSE - u) / (y - u) for u in proved if u != y) for y in proved}
        return sum((through[y] * sp.Matrix(values) for y, values in proved.items()), sp.zeros(len(read), 1))

    @cached_property
    def statistic(self) -> sp.Matrix:
        """s(y, z) as one (m, 1) expression in y and z (the polynomial in z through the labels)."""
        return sum(
            (s * self._lagrange(i) for i, s in enumerate(self.statistics)),
            sp.zeros(len(self.model.learnt), 1),
        ).applyfunc(sp.expand)

    @property
    def natural_parameters(self) -> sp.Matrix:
        """η, (m, 1): for a flat model the learnt predictors themselves."""
        self._require_flat()
        return sp.Matrix(self.model.learnt)

    @cached_property
    def mirror_map(self) -> sp.Expr:
        """A_x(η), the log-partition function up to a constant."""
        learnt, response = self.model.learnt, base_response(self.model)
        candidates = []
        for i, y, log_joint in points(self.model):
            at = response if y is RESPONSE else y
            s = self.statistics[i].subs(RESPONSE, at)
            candidates.append((sum(e != 0 for e in s), log_joint.subs(RESPONSE, at), s))
        # Where the statistic vanishes, -log p is A itself, in its tidiest form.
        _, log_joint, s = min(candidates, key=lambda c: c[0])
        return sp.expand(sp.Matrix(learnt).dot(s) - log_joint).as_independent(*learnt, as_Add=True)[1]

    @cached_property
    def mean(self) -> sp.Matrix:
        """∇A_x(η) = E[s | x], (m, 1)."""
        return sp.Matrix([self.mirror_map.diff(s) for s in self.model.learnt])

    @cached_property
    def log_base_measures(self) -> tuple[sp.Expr, ...]:
        """log h(y, z) for each label, from log p = log h + ⟨s, η⟩ - A_x(η) at η = 0."""
        zero = dict.fromkeys(self.model.learnt, 0)
        log_partition = self.mirror_map.subs(zero)
        return tuple(sp.expand(e.subs(zero) + log_partition) for e in self.model.log_joint)

    # Latent label and response -----------------------------------------------------------------------------

    @cached_property
    def logits(self) -> tuple[sp.Expr, ...]:
        """log P(z_i|x,y) - log P(z_0|x,y) for each label i; affine in η when the family is flat."""
        if not self.flat:
            return tuple(sp.expand(e - self.model.log_joint[0]) for e in self.model.log_joint)
        eta = sp.Matrix(self.model.learnt)
        first = self.statistics[0]
        return tuple(
            sp.expand(eta.dot(s - first) + h - self.log_base_measures[0])
            for s, h in zip(self.statistics, self.log_base_measures, strict=True)
        )

    @cached_property
    def posterior(self) -> tuple[sp.Expr, ...]:
        """P(z|x,y) for each label, as a logistic function of differences of logits (never overflows)."""
        if len(self.logits) == 2:
            return expit(-self.logits[1]), expit(self.logits[1])
        return tuple(
            sp.exp(-log_sum_exp([sp.Integer(0)] + [sp.expand(b - a) for j, b in enumerate(self.logits) if j != i]))
            for i, a in enumerate(self.logits)
        )

    @property
    def density(self) -> sp.Expr:
        """The marginal p(y|x) = Σ_z p(y,z|x)."""
        return sp.Add(*(exp_tidy(e) for e in self.model.log_joint))

    @property
    def log_density(self) -> sp.Expr:
        """log p(y|x)."""
        return self.model.log_joint[0] + log_sum_exp(list(self.logits))

    @cached_property
    def score(self) -> sp.Matrix:
        """∂ log p(y|x)/∂η, (m, 1), by Fisher's identity the posterior mean of ∂ log p(y,z|x)/∂η."""
        if self.flat:
            return self.expected_statistic - self.mean
        return sum(
            (
                p * sp.Matrix([e.diff(s) for s in self.model.learnt])
                for p, e in zip(self.posterior, self.model.log_joint, strict=True)
            ),
            sp.zeros(len(self.model.learnt), 1),
        )

    @cached_property
    def expected_statistic(self) -> sp.Matrix:
        """E[s | x, y], (m, 1)."""
        return sum(
            (p * s for p, s in zip(self.posterior, self.statistics, strict=True)),
            sp.zeros(len(self.model.learnt), 1),
        )

    # Information per row -----------------------------------------------------------------------------------

    @cached_property
    def complete_information(self) -> sp.Matrix:
        """I_{x,y,z} = ∇²A_x(η), (m, m)."""
        return sp.hessian(self.mirror_map, self.model.learnt)

    @cached_property
    def missing_information(self) -> sp.Matrix:
        """I_{z|x,y} = Cov(s | x, y), (m, m), as Σ_{a<b} p_a p_b Δs Δs' (no cancellation)."""
        total = sp.zeros(len(self.model.learnt), len(self.model.learnt))
        for a, b in itertools.combinations(range(len(self.model.latent)), 2):
            delta = (self.statistics[b] - self.statistics[a]).applyfunc(sp.expand)
            total += self.posterior[a] * self.posterior[b] * (delta * delta.T)
        return total

    @property
    def observed_information(self) -> sp.Matrix:
        """-∂² log p(y|x)/∂η² = I_{x,y,z} - I_{z|x,y}, (m, m)."""
        return self.complete_information - self.missing_information

    @cached_property
    def missing_information_matrix(self) -> sp.Matrix:
        """M of a single row, (∇²A_x)^{-1} I_{z|x,y}, (m, m); for a law both factors are averaged first."""
        return self.complete_information.inv() * self.missing_information

    # Structure -------------------------------------------------------------------------------------------

    @cached_property
    def normal_experts(self) -> tuple[NormalExpert, ...]:
        """The normal law of y given each label, where the experts are normal; DerivationError otherwise."""
        return normal_experts(self.model)

    @cached_property
    def symmetries(self) -> tuple[sp.Matrix, ...]:
        """Linear maps G of the learnt predictors with p(y|x; Gη) = p(y|x; η), proved exactly, I first."""
        return symmetries(self.model, self.density)

    def _lagrange(self, i: int) -> sp.Expr:
        values = self.model.latent
        return sp.prod((LABEL - v) / (values[i] - v) for j, v in enumerate(values) if j != i)

    # Presentation ----------------------------------------------------------------------------------------

    def formulas(self, *names: str) -> dict[str, tuple[sp.Expr, sp.Expr]]:
        """{name: (symbol it is called by, its expression)}, the content of `moe-theory derive`; all there are, or those
        named (only they are computed). InputError for another name."""
        table = self._called()
        for name in names:
            if name not in table:
                raise InputError(f"names: expected some of {', '.join(table)}, got {name!r}")
        return {n: (sp.Symbol(table[n][0], commutative=False), table[n][1]()) for n in names or table}

    def _called(self) -> dict[str, tuple[str, Callable[[], sp.Expr]]]:
        """{name: (LaTeX of what it is called, how it is computed)}."""
        labels = list(enumerate(self.model.latent))
        joint, posterior = lambda i: self.model.log_joint[i], lambda i: self.posterior[i]
        table: dict[str, tuple[str, Callable[[], sp.Expr]]] = {
            f"log_joint[{z}]": (rf"\log p(y, z={z}|x)", partial(joint, i)) for i, z in labels
        }
        if self.flat:
            table |= {
                "statistic": ("s(y,z)", lambda: self.statistic),
                "natural_parameters": (r"\eta", lambda: self.natural_parameters),
                "mirror_map": (r"A_x(\eta)", lambda: self.mirror_map),
                "mean": (r"\nabla A_x(\eta)", lambda: self.mean),
                "complete_information": (r"I_{x,y,z} = \nabla^2 A_x(\eta)", lambda: self.complete_information),
            }
        table |= {f"posterior[{z}]": (rf"P(z={z}|x,y)", partial(posterior, i)) for i, z in labels}
        table |= {
            "density": ("p(y|x)", lambda: self.density),
            "score": (r"\partial_\eta \log p(y|x)", lambda: self.score),
        }
        if self.flat:
            table |= {
                "missing_information": ("I_{z|x,y}", lambda: self.missing_information),
                "observed_information": ("I_{x,y}", lambda: self.observed_information),
                "missing_information_matrix": (
                    r"M_x = I_{x,y,z}^{-1} I_{z|x,y}",
                    lambda: self.missing_information_matrix,
                ),
            }
        return table

    def latex(self, *names: str) -> str:
        """All formulas, or those named (see `formulas`), as one LaTeX `aligned` block."""
        lines = [rf"{symbol.name} &= {sp.latex(value)}" for symbol, value in self.formulas(*names).values()]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"


class AsIfFlat(Derivation):
    """What the formulas for flat models say of a model, flat or not: how their need for flatness is put to the test."""

    @property
    def obstruction(self) -> None:
        """None, whatever the model."""
        return None
