"""One simultaneous step of gradient EM is a step of gradient descent; what separates the two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import sympy as sp

from moe_theory.algorithms import Algorithm, BlockGradientEM, GradientEM
from moe_theory.analysis.contractions import Curvature
from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, at_least, close, identity
from moe_theory.claims.setting import Case
from moe_theory.laws import Law
from moe_theory.operators import gradient
from moe_theory.symbolic.derive import Derivation, derive
from moe_theory.validation import Array
from proofs_checks.separable import em_objective
from proofs_checks.shared import at, primed

STEP = sp.Symbol("s", positive=True)
SIZE = 0.1  # of numeric steps
WIDE = 1e-5  # of central differences
Direction = Callable[[Derivation], list[sp.Expr]]


def slope(theory: Derivation, phi: sp.Matrix, eta: sp.Matrix) -> sp.Matrix:
    """∇_φ Q(φ|η) at φ, per row, from the declared densities."""
    move = primed(theory.model)
    q = em_objective(theory, sp.Matrix(list(move.values())), eta)
    there = dict(zip(move.values(), phi, strict=True))
    return sp.Matrix([q.diff(s).subs(there, simultaneous=True) for s in move.values()])


def loss_slope(theory: Derivation) -> list[sp.Expr]:
    """∇L per row."""
    return [-sp.log(theory.density).diff(s) for s in theory.model.learnt]


@dataclass(frozen=True)
class Variant:
    """(θ - θ⁺)/s of a variant of gradient EM, and what it is said to be, per row and in the predictors; for several
    steps on one row with x = 1, a law like any other."""

    direction: Direction
    goal: Direction = loss_slope


def once(theory: Derivation) -> list[sp.Expr]:
    """∇_φ Q(φ|θ) at φ = θ."""
    eta = sp.Matrix(theory.model.learnt)
    return list(slope(theory, eta, eta))


def _twice(theory: Derivation) -> list[sp.Expr]:
    """Two inner steps, the posterior frozen."""
    eta = sp.Matrix(theory.model.learnt)
    first = slope(theory, eta, eta)
    return list(first + slope(theory, eta - STEP * first, eta))


def _twice_descent(theory: Derivation) -> list[sp.Expr]:
    """Two steps of gradient descent."""
    first = sp.Matrix(loss_slope(theory))
    return list(first + at(theory, first, sp.Matrix(theory.model.learnt) - STEP * first))


def _doubled(theory: Derivation) -> list[sp.Expr]:
    return [2 * d for d in loss_slope(theory)]


def _in_turn(theory: Derivation, fresh: bool) -> list[sp.Expr]:
    """Predictor by predictor; fresh: the posterior is renewed in between."""
    eta = point = sp.Matrix(theory.model.learnt)
    moved = []
    for j in range(len(eta)):
        moved.append(slope(theory, point, point if fresh else eta)[j])
        point = point.copy()
        point[j] = eta[j] - STEP * moved[j]
    return moved


def _own_steps(theory: Derivation) -> list[sp.Expr]:
    return [(j + 1) * d for j, d in enumerate(once(theory))]


def _with_prior(theory: Derivation) -> list[sp.Expr]:
    """The gate's probabilities in place of the posterior's."""
    eta, phi = sp.Matrix(theory.model.learnt), sp.Matrix(list(primed(theory.model).values()))
    pairs = zip(theory.model.log_gate, theory.model.log_joint, strict=True)
    q = -sp.Add(*(sp.exp(g) * at(theory, e, phi) for g, e in pairs))
    return [q.diff(s).subs(dict(zip(phi, eta, strict=True)), simultaneous=True) for s in phi]


def check(setting: Setting, claimed: Variant) -> Iterator[Evidence]:
    for theory in map(derive, setting.models):  # the true posterior of curved models, too
        what = (
            r"the step of gradient EM, $\nabla_\varphi Q(\varphi|\theta)$ at $\varphi=\theta$, less $\nabla L(\theta)$"
        )
        pairs = zip(claimed.direction(theory), claimed.goal(theory), strict=True)
        yield identity(theory.model, what, [a - b for a, b in pairs])
        if claimed is SAME and not setting.own:
            turns = zip(_in_turn(theory, fresh=False), loss_slope(theory), strict=True)
            what = (
                "the same where the predictors take their steps in turn and the posterior stays frozen ($Q$ separates)"
            )
            yield identity(theory.model, what, [a - b for a, b in turns])
    if claimed is SAME and setting.flat and not setting.own:
        for case in setting.samples:
            yield from _runs(case)


def _runs(case: Case) -> Iterator[Evidence]:
    """On samples: the iterates, what the variants do with the direction, and their contractions."""
    model, law, start = case.model, case.law, case.start
    ours, theirs, em = start, start, GradientEM(model, step=SIZE)
    for _ in range(50):
        ours, theirs = em.step(ours, law), theirs - SIZE * gradient(model, law, theirs)
    far = float(np.abs(ours - theirs).max())
    # Two ways to the same sums: the E-step's means, and the score of the marginal density.
    yield close(
        case.name, "iterates of gradient EM and gradient descent after 50 steps", far, 0.0, 1e-11, essential=False
    )
    peak = case.limit_point
    curvature = Curvature.at(model, law, peak)
    size = 1 / float(np.linalg.eigvalsh(curvature.complete)[-1])
    variants = {
        "5 inner steps": (GradientEM(model, size, inner=5), curvature.gradient_em(5)),
        "alternating, the posterior renewed": (BlockGradientEM(model), curvature.block_gradient_em(True)),
        "own step sizes": (BlockGradientEM(model, alternate=False), curvature.block_gradient_em(False)),
    }
    downhill = gradient(model, law, start)
    for name, (algorithm, rate) in variants.items():
        step = start - algorithm.step(start, law)
        cosine = float(np.sum(step * downhill) / (np.linalg.norm(step) * np.linalg.norm(downhill)))
        what = f"{name}: sine of the angle between the step and the gradient"
        yield at_least(case.name, what, float(np.sqrt(max(1 - cosine**2, 0.0))), 1e-3, essential=False)
        jacobian = _jacobian(algorithm, law, peak)
        radius = float(np.max(np.abs(np.linalg.eigvals(jacobian))))
        what = f"{name}: contraction at the maximum, by central differences of its map, against its formula"
        # Truncation of order WIDE², rounding of order 1e-15/WIDE; eigenvalues may be twice as ill-conditioned.
        yield close(case.name, what, radius, rate, 1e-7, essential=False)


def _jacobian(algorithm: Algorithm, law: Law, theta: Array) -> Array:
    columns = []
    for i in range(theta.size):
        move = np.zeros(theta.size)
        move[i] = WIDE
        ahead, back = (algorithm.step(theta + sign * move.reshape(theta.shape), law) for sign in (1, -1))
        columns.append((ahead - back).ravel() / (2 * WIDE))
    return np.stack(columns, axis=1)


SAME = Variant(once)

CLAIM = Claim(
    id="gradient-em-is-gd",
    title="One simultaneous step of gradient EM is a step of gradient descent",
    statement=r"$\nabla_\varphi Q(\varphi|\theta)|_{\varphi=\theta} = \nabla L(\theta)$: with one gradient step on"
    r" $Q(\cdot|\theta)$ for gate and experts at once, gradient EM and gradient descent of the same step size are one"
    r" algorithm. Curves of the two can differ only where gradient EM is something else: two or more inner steps with"
    r" the posterior frozen (EM as their number grows), the posterior renewed between the experts' step and the gate's,"
    r" step sizes of their own for gate and experts (gradient descent in another metric), or just another step size",
    source="Fisher's identity; Balakrishnan, Wainwright and Yu (Ann. Statist. 2017) for gradient EM; arXiv 2411.06056,"
    " Section 6 (its curves)",
    hypotheses=(
        Hypothesis("flat: the coordinates are natural parameters of (y, z)|x", setting=Setting.curved, needed=False),
        Hypothesis("one inner step", Variant(_twice, _doubled)),
        Hypothesis("experts and gate at once", Variant(lambda t: _in_turn(t, fresh=True))),
        Hypothesis("one step size", Variant(_own_steps)),
    ),
    expected="proved",
    check=check,
    claimed=SAME,
    mutants={
        "a step up": Mutant("sign", Variant(lambda t: [-d for d in once(t)])),
        "twice as long": Mutant("constant", Variant(once, _doubled)),
        "two inner steps are two of gradient descent": Mutant("rate", Variant(_twice, _twice_descent)),
        "also at the next iterate's posterior": Mutant(
            "exchange", Variant(lambda t: list(slope(t, sp.Matrix(t.model.learnt), _ahead(t))))
        ),
        "also away from the posterior's parameter": Mutant(
            "form", Variant(lambda t: list(slope(t, _ahead(t), sp.Matrix(t.model.learnt))))
        ),
        "with the prior for the posterior": Mutant("term", Variant(_with_prior)),
    },
    order=19,
    any_model=True,
)


def _ahead(theory: Derivation) -> sp.Matrix:
    """θ after a step."""
    eta = sp.Matrix(theory.model.learnt)
    return eta - STEP * slope(theory, eta, eta)
