r"""When a GRU's update is a mixture of experts, and how far it is from one otherwise.

Componentwise u = Ax, v = Bh. The deck's form less the GRU's update is zJ, J = (1-r)f(u) + r f(u+v) - f(u+rv): at the
point u+rv of the segment [u, u+v], f's chord less f. Hence J = 0 for all r in [0, 1] says that f is its chord, that is
affine, on the segment; for tanh and the sigmoid, nowhere affine, the forms agree for all r only if v = 0. At one r in
(0, 1) J = 0 says less. For tanh and the sigmoid ∂²J/∂r² = -v²f''(u+rv) changes its sign once if 0 is inside the segment
and not otherwise: J has one zero in (0, 1) if the chord is steeper than f at both ends of the segment, and none
otherwise.

J = v² ∫ K_r(s) f''(u+sv) ds over [0, 1] with K_r(s) = min(s(1-r), r(1-s)) >= 0, Peano's kernel of linear
interpolation; by the mean value theorem for integrals J = ½r(1-r) v² f''(ξ). So J >= 0 where f is convex (Jensen).
For nondecreasing f of range Δ over the segment J is in [-(1-r)Δ, rΔ]. Both are the best there are, the first attained
by quadratics, the second approached by tanh. Nondecreasing L-Lipschitz f, ReLU say, have |J| <= r(1-r)L|v|.

The deck's form is the GRU's update averaged over reset gates in {0, 1}. They may depend on each other, as only their
marginals enter a component, but they have to act on Bh: with B(ρ⊙h), as in Cho et al. (2014), a component mixes f at
2^d points; the deck's two are enough if B is diagonal or if one gate resets all of h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import sympy as sp
from matplotlib.figure import Figure

from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Printed, Setting, identity, note
from moe_theory.symbolic.identities import evaluate, is_identically_positive, prove_zero
from proofs_checks.gru_bounds import Bounds, bounds_hold
from proofs_checks.gru_figure import gap_figure
from proofs_checks.gru_gap import (
    BUMP,
    LAYER,
    RELU,
    RESET,
    SIGMOID,
    TANH,
    Value,
    excess,
    in_values,
    off_layer,
    sign_change,
)
from proofs_checks.printed_gru import ACTIVATIONS, H, R, U, V, Z, averaged, deck, gru

ANY_F = "any f"
SEGMENTS = [(-sp.Rational(3, 2), 4), (-sp.Rational(1, 2), 2), (sp.Rational(1, 2), 1), (-3, sp.Rational(7, 2))]
MOVED = sp.Symbol("c", real=True)  # covariance of two reset gates


@dataclass(frozen=True)
class Reading:
    """What is claimed. In an update gate z, a reset gate r and the gap j:

    gap: deck's form less the GRU's update. pointwise: J = 0 at one r in (0, 1) already makes f affine. gates: weights
    of h, f(Ax), f(Ax+Bh). chance: of a reset gate 1. averaged: over reset gates. before: reset gates act on h and not
    on Bh. covariance: of the reset gates of two units. bounds: of |J|.
    """

    gap: Callable[[sp.Expr, sp.Expr], sp.Expr] = lambda z, j: z * j
    pointwise: bool = False
    gates: Callable[[sp.Expr, sp.Expr], tuple[sp.Expr, sp.Expr, sp.Expr]] = lambda z, r: (1 - z, z * (1 - r), z * r)
    chance: Callable[[sp.Expr], sp.Expr] = lambda r: r
    averaged: bool = True
    before: bool = False
    covariance: sp.Expr = sp.S.Zero
    bounds: Bounds = field(default_factory=Bounds)


def check(setting: Setting, claimed: Reading) -> Iterator[Evidence]:
    yield from _exact(claimed)
    yield from _mixture(setting, claimed)
    yield from _layer(setting, claimed)
    yield from bounds_hold(setting, claimed.bounds)


def _exact(claimed: Reading) -> Iterator[Evidence]:
    """Where the gap vanishes."""
    found = deck(Value) - gru(Value) - claimed.gap(Z, excess(Value, r=R))
    yield identity(ANY_F, "deck's form less the GRU's update, less what is claimed of it", in_values(found))
    ends = [in_values(excess(Value, r=sp.Integer(r))) for r in (0, 1)]
    yield identity(ANY_F, "$J$ at $r=0$ and at $r=1$", ends)
    slope, level = sp.symbols("a b", real=True)
    yield identity("affine f", "$J$, for all r", excess(lambda t: slope * t + level))
    chord = lambda t: Value(U) + (t - U) / V * (Value(U + V) - Value(U))
    at = U + RESET * V
    what = "$J$ less what f's chord over $[u,u+v]$ has more than f at $u+rv$: J = 0 for all r where f is the chord"
    yield identity(ANY_F, what, in_values(excess(Value) - (chord(at) - Value(at))))
    for name, f in ACTIVATIONS.items():
        middle = prove_zero(excess(f, -V / 2, V, sp.S.Half))
        between = [(u, v, sign_change(f, u, sp.sympify(v))) for u, v in SEGMENTS]
        inside = [(u, v, r) for u, v, r in between if r is not None]
        what = "zeros of $J$ with r in (0, 1), though f is affine on no segment"
        words = "; ".join(f"u={u}, v={v}: r in ({r[0]}, {r[1]})" for u, v, r in inside)
        words = ("u=-v/2: r=1/2; " if middle.proved else "") + words
        if claimed.pointwise:
            witness = {"u": "-1", "v": "2", "r": "1/2", "J": "0"} if middle.proved else None
            yield Evidence("bound", name, what, False if middle.proved else None, words, witness=witness)
        else:
            yield note(name, what, words)


def _mixture(setting: Setting, claimed: Reading) -> Iterator[Evidence]:
    """The deck's form as a conditional mean."""
    gates = claimed.gates(Z, R)
    means = (H, Value(U), Value(U + V))
    yield identity("gates", "their sum less 1", sum(gates, sp.S.Zero) - 1)
    positive = all(is_identically_positive(g.rewrite(sp.exp)) for g in gates)
    yield Evidence("identity", "gates", "each of the three", positive or None, relation=">")
    mean = sum((g * m for g, m in zip(gates, means, strict=True)), sp.S.Zero)
    yield identity(
        ANY_F, "mean of h, f(Ax) and f(Ax+Bh) under the gates, less the deck's form", in_values(mean - deck(Value))
    )
    average = (lambda f: averaged(f, claimed.chance(R))) if claimed.averaged else (lambda f: gru(f))
    what = r"deck's form less the GRU's update, averaged over reset gates in $\{0,1\}$"
    yield identity("tanh", what, deck(sp.tanh) - average(sp.tanh), seed=setting.seed)
    yield identity(ANY_F, what, in_values(deck(Value) - average(Value)))


def _layer(setting: Setting, claimed: Reading) -> Iterator[Evidence]:
    """Two units with a full matrix B: the mean over all four values of the reset gates."""
    where = r"$B(\rho\odot h)$" if claimed.before else r"$\rho\odot Bh$"
    what = f"deck's form less the mean of the candidate state with {where} over four gates, d = 2"
    # What holds for any f needs no f; what does not has a witness in numbers.
    for name, f in (("tanh", sp.tanh), (ANY_F, Value)) if claimed.before else ((ANY_F, Value),):
        off = off_layer(f, claimed.chance, claimed.before, claimed.covariance)
        yield identity(name, what, map(in_values, off), seed=setting.seed)
    if not claimed.before:
        point = dict(zip((*LAYER[:8], *(r.args[0] for r in LAYER[8:])), (0, 0, 1, 1, 1, 1, 1, 1, 0, 0), strict=True))
        other = off_layer(sp.tanh, claimed.chance, before=True)[0]
        text = r"the same with the other convention, $B(\rho\odot h)$, at Ax = 0, $B_{ij} = h_j = 1$, $r_j = 1/2$"
        yield note("tanh", text, float(evaluate(other, point)))


def figures(setting: Setting) -> Mapping[str, Figure]:
    """A chord of tanh, and the largest gap with its bounds."""
    return {"gru-is-moe": gap_figure()}


CLAIM = Claim(
    id="gru-is-moe",
    title="How far a GRU is from a mixture of experts",
    statement=r"componentwise, $u=Ax$, $v=Bh$, $J=(1-r)f(u)+r f(u+v)-f(u+rv)$: the deck's form"
    r" $(1-z)h+z(1-r)f(u)+z\,r f(u+v)$ is the GRU's update $(1-z)h+z f(u+rv)$ plus $zJ$;"
    r" $J=0$ for $r\in\{0,1\}$, and for all $r\in[0,1]$ iff f is affine on $[u,u+v]$;"
    r" $J=\frac12 r(1-r)v^2 f''(\xi)$ for some $\xi$ in the segment, so that $|J|\leq\frac18 v^2\sup|f''|$ with"
    r" $\sup|\tanh''|=4/(3\sqrt3)$, $\sup|\sigma''|=\sqrt3/18$; for nondecreasing f, $\Delta=f(u+v)-f(u)$ and"
    r" $v\geq0$: $-(1-r)\Delta\leq J\leq r\Delta$, so that $\sup|J| = \sup f-\inf f$ (tanh 2, sigmoid 1; not attained);"
    r" for nondecreasing L-Lipschitz f, $|J|\leq r(1-r)L|v|$, attained by ReLU;"
    r" the deck's form is the mean of the GRU's update over reset gates $\rho\in\{0,1\}^d$ with $P(\rho_i=1)=r_i$, and"
    r" a mixture of experts with gates $1-z$, $z(1-r)$, $zr$",
    source="deck Breaking the gridlock in Mixture-of-Experts (ICML 2019), MoE: Building blocks of GRU; theory.md §4;"
    " Peano's kernel of linear interpolation",
    hypotheses=(
        Hypothesis(
            r"f is twice differentiable (ReLU: $|J|/v^2$ is unbounded)",
            Reading(bounds=Bounds(curved=(TANH, SIGMOID, RELU))),
        ),
        Hypothesis(
            "f is nondecreasing, for the bound by its range", Reading(bounds=Bounds(increasing=(TANH, SIGMOID, BUMP)))
        ),
        Hypothesis(
            "reset gates are averaged over, for the identity (else r is 0 or 1, or f affine)", Reading(averaged=False)
        ),
        Hypothesis(r"the reset gate acts on Bh, not on h as in $f(Ax+B(\rho\odot h))$", Reading(before=True)),
        Hypothesis("reset gates of different units are independent", Reading(covariance=MOVED), needed=False),
    ),
    expected="proved",
    check=check,
    claimed=Reading(),
    mutants={
        "the gap's sign": Mutant("sign", Reading(gap=lambda z, j: -z * j)),
        "the gap with the other update gate": Mutant("exchange", Reading(gap=lambda z, j: (1 - z) * j)),
        "kernel of the other side": Mutant(
            "exchange", Reading(bounds=Bounds(kernel=lambda s, r: (s * r, (1 - r) * (1 - s))))
        ),
        "v²/16": Mutant("constant", Reading(bounds=Bounds(uniform=sp.Rational(1, 16)))),
        "a quarter of r(1-r)v²": Mutant("constant", Reading(bounds=Bounds(bound=lambda r, v: r * (1 - r) * v**2 / 4))),
        "|v| instead of v²": Mutant("form", Reading(bounds=Bounds(bound=lambda r, v: r * (1 - r) * abs(v) / 2))),
        "attained with r instead of r(1-r)": Mutant("term", Reading(bounds=Bounds(bound=lambda r, v: r * v**2 / 2))),
        "|tanh''| at most 3/4": Mutant(
            "constant", Reading(bounds=Bounds(curved=(replace(TANH, sup=sp.Rational(3, 4)), SIGMOID)))
        ),
        "|sigmoid''| up to 1/10": Mutant(
            "constant", Reading(bounds=Bounds(curved=(TANH, replace(SIGMOID, sup=sp.Rational(1, 10)))))
        ),
        "the range's sides exchanged": Mutant("exchange", Reading(bounds=Bounds(reach=lambda r: (r, 1 - r)))),
        "half the range": Mutant("constant", Reading(bounds=Bounds(reach=lambda r: ((1 - r) / 2, r / 2)))),
        "half the range over any segment of length v": Mutant(
            "constant", Reading(bounds=Bounds(increasing=(replace(TANH, spread=sp.tanh(V / 2)), SIGMOID)))
        ),
        "r(1-r)L|v|/2": Mutant("constant", Reading(bounds=Bounds(lipschitz=lambda r: r * (1 - r) / 2))),
        "gates that forget z": Mutant("term", Reading(gates=lambda z, r: (1 - z, z * (1 - r), r))),
        "reset with the other probability": Mutant("exchange", Reading(chance=lambda r: 1 - r)),
    },
    order=227,
    section="Breaking the gridlock",
    printed=Printed(
        r"(theory.md §4, read at one $r$) the deck's identity holds exactly when $r\in\{0,1\}$ or f is affine on the"
        r" segment",
        Reading(pointwise=True),
    ),
    figures=figures,
)
