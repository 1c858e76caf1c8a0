"""A gate that is not orthogonal to the regressors: how far off they are recovered, to lowest order in the tilt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp
from matplotlib.figure import Figure

from moe_theory.atoms import expit
from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, close, identity
from moe_theory.report.figures import order_figure
from moe_theory.validation import Array
from proofs_checks.moment_worlds import SECTION, SOURCE, A, World, derivative, gate_jets
from proofs_checks.tilt_bias import Bend, Drift, bend, drift, recovered, size, truth_of

K = 3  # experts in symbols
STEP = 1e-3  # tilt of the difference quotients
FIRST, SECOND = 1e-9, 1e-5  # their errors: truncated at STEP⁴ and STEP², rounded at 1e-15 / STEP and 1e-15 / STEP²
SLOPE = 0.02  # the log-log slope between STEP and 2 STEP is off by a multiple of STEP
ROUNDING = 1e-12
FAR = 1.0  # tilt at which a bias that is 0 is looked at
TILTS = np.logspace(-3, 0, 13)


@dataclass(frozen=True)
class Bias:
    """â_i = a_i + εδ_i + O(ε²) (`drift`), or a_i + ε²δ_i + O(ε³) (`bend`) where E∇q_ij = 0; and on which populations.

    first, second, none: of order 1, 2, and without any bias. orders: claimed of these.
    """

    drift: Drift = lambda ours, theirs, p, slope: ours * slope / p
    bend: Bend = lambda square, slope, second, third: square * slope * second
    first: tuple[World, ...] = (World(2, ("tanh",), biases=(0.8, 0.0)), World(3, ("relu",), sigma=(0.4,)))
    second: tuple[World, ...] = (World(2, ("relu",), sigma=(0.4,)),)
    none: tuple[World, ...] = (World(2, ("tanh",)),)
    orders: tuple[float, float] = (1.0, 2.0)
    derived: bool = True


def check(setting: Setting, claimed: Bias) -> Iterator[Evidence]:
    seed = setting.seed
    for world in claimed.first:
        yield from _measured(setting, world, claimed.orders[0], drift(world, seed, claimed.drift), 1)
        population, delta = world.population(seed), drift(world, seed, claimed.drift)
        inner = float(np.max(np.abs(delta @ population.mixture.regressors.T)))
        yield close(world.name, r"largest $|\delta_i'a_j|$", inner, 0.0, ROUNDING, essential=False)
    for world in claimed.second:
        yield from _measured(setting, world, claimed.orders[1], bend(world, seed, claimed.bend), 2)
    for world in claimed.none:
        off = float(np.max(np.abs(recovered(world.tilted(FAR), seed) - truth_of(world, seed))))
        yield close(
            world.tilted(FAR).name,
            "largest error of an entry of the recovered regressors",
            off,
            0.0,
            ROUNDING,
            witness=world.tilted(FAR).population(seed).witness(np.zeros(world.k + 2)),
        )
    if claimed.derived:
        yield from _first_order(setting, claimed)
        yield from _second_order(setting, claimed)


def _measured(setting: Setting, world: World, order: float, predicted: Array, degree: int) -> Iterator[Evidence]:
    """The coefficient, by a difference quotient, and the slope on logarithmic axes."""
    away = lambda e: recovered(world.tilted(world.tilt + e), setting.seed) - truth_of(world, setting.seed)
    there, back, twice, far = (away(e) for e in (STEP, -STEP, 2 * STEP, -2 * STEP))
    quotients = {1: (8 * (there - back) - (twice - far)) / (12 * STEP), 2: (there + back) / (2 * STEP**2)}
    quotient = quotients[degree]
    worst = np.unravel_index(int(np.argmax(np.abs(quotient - predicted))), quotient.shape)
    witness = world.tilted(world.tilt + STEP).population(setting.seed).witness(np.zeros(world.k + 2))
    yield close(
        world.name,
        rf"coefficient of $\epsilon{'' if degree == 1 else '^2'}$ in the recovered regressors, by differences at"
        rf" $\epsilon=\pm{STEP:g}$, where it differs most from $\delta$",
        float(quotient[worst]),
        float(predicted[worst]),
        FIRST if degree == 1 else SECOND,
        trials=quotient.size,
        witness=witness,
    )
    slope = float(np.log2(size(twice) / size(there)))
    what = rf"log-log slope of the bias between $\epsilon={STEP:g}$ and ${2 * STEP:g}$"
    yield close(world.name, what, slope, order, SLOPE, witness=witness)


# In symbols: the tensors' derivatives with respect to the tilt, and those of Σ_i λ_i (a_i + εδ_i)^{⊗m}.


def _tilted(
    power: int, expert: Sequence[sp.Expr], inner: sp.Expr, length: sp.Expr, along: sp.Expr, a: sp.Expr
) -> list[sp.Expr]:
    """E D_u^n [(v'x)^power h(a'x)], n = 0, 1, …, v'a = inner, ‖v‖² = length, v'u = along, a'u = a, from E h^{(m)}:
    by Stein E (v'x)h^{(m)} = v'a E h^{(m+1)} and E (v'x)² h^{(m)} = ‖v‖² E h^{(m)} + (v'a)² E h^{(m+2)}."""
    t, x = sp.symbols("t x", real=True)
    count = len(expert) - power
    marks = sp.symbols(f"h_0:{count}", real=True)
    jet = sp.Add(*(h * (a * t) ** m / sp.factorial(m) for m, h in enumerate(marks)))
    series = sp.expand((x + along * t) ** power * jet)
    found = []
    for n in range(count):
        own, total = sp.factorial(n) * series.coeff(t, n), sp.Integer(0)
        for m, mark in enumerate(marks):
            c = [sp.expand(own).coeff(mark, 1).coeff(x, q) for q in range(3)]
            total += c[0] * expert[m]
            if power > 0:
                total += c[1] * inner * expert[m + 1]
            if power > 1:
                total += c[2] * (length * expert[m] + inner**2 * expert[m + 2])
        found.append(sp.expand(total))
    return found


def _first_order(setting: Setting, claimed: Bias) -> Iterator[Evidence]:
    two, three, next2, next3, mean2, mean3 = sp.symbols("c_2 c_3 H_2 H_3 h_2 h_3", real=True)
    zero = sp.Integer(0)
    weights = sp.symbols(f"p_1:{K + 1}", positive=True)
    inner = [[sp.Symbol(f"k_{i + 1}{j + 1}", real=True) for j in range(K)] for i in range(K)]
    along = sp.symbols(f"v_1:{K + 1}", real=True)
    # Σ_i q_ij = 0 for every j.
    jets = [gate_jets(f"q{j + 1}", K, 4, total=0) for j in range(K)]
    for order, c, expert, following in (
        (2, two, [mean2, zero, two, next2], next2),
        (3, three, [mean3, zero, zero, three, next3], next3),
    ):
        found, stated = zero, zero
        for i in range(K):
            for j in range(K):
                q = jets[j][i]
                found += derivative(order, q, _tilted(1, expert, inner[i][j], zero, along[j], A[i]), sp.Integer(1))
                share = claimed.drift(inner[i][j], inner[j][i], weights[i], q[1])
                stated += c * order * weights[i] * share * A[i] ** (order - 1)
                stated += q[0] * inner[i][j] * following * A[i] ** order
        yield identity(
            f"any g, {K} experts",
            rf"derivative of $E[P_{order}(y)S_{order}(x)](u,…,u)$ by $\epsilon$ less that of"
            rf" $c_{order}\sum_i\lambda_i(\epsilon)(a_i'u+\epsilon\delta_i'u)^{order}$, at 0",
            found - stated,
            seed=setting.seed,
        )


def _second_order(setting: Setting, claimed: Bias) -> Iterator[Evidence]:
    two, three, next2, next3, mean2, mean3, length, v = sp.symbols("c_2 c_3 H_2 H_3 h_2 h_3 L v", real=True)
    zero, half, score = sp.Integer(0), sp.Rational(1, 2), sp.Symbol("s", real=True)
    bent = sp.diff(expit(score), score, 2)
    yield identity(
        "2 experts without bias",
        r"even part of $p_1''$: $E[\nabla q_{ij}] = \pm E[p_1'']\,w = 0$, and so are even derivatives of $p_1''$",
        bent + bent.subs(score, -score),
        seed=setting.seed,
    )
    inner = sp.symbols("k_1:3", real=True)
    first, third = sp.symbols("r_1 r_3", real=True)
    # E h'' is 0 of h₃; of h₂ it is c₂, and E h₂'''' and E h₃^{(5)} come with derivatives that vanish.
    loose = sp.symbols("e_4 e_5", real=True)
    for order, c, expert in (
        (2, two, [mean2, zero, two, next2, loose[0]]),
        (3, three, [mean3, zero, zero, three, next3, loose[1]]),
    ):
        found, stated = zero, zero
        for i, sign in enumerate((1, -1)):
            gate = [zero, sign * first, zero, sign * third]
            found += half * derivative(order, gate, _tilted(2, expert, inner[i], length, v, A[i]), sp.Integer(1))
            if order == 2:
                share = sign * claimed.bend(inner[i] ** 2, first, next2 / two, next3 / three)
                stated += 2 * c * half * share * A[i]
            else:
                stated += sp.Rational(3, 2) * sign * first * next3 * inner[i] ** 2 * A[i] ** 2
        names = {
            2: r"coefficient of $\epsilon^2$ in $E[P_2(y)S_2(x)](u,u)$ less that in $\frac{c_2}{2}\sum_i"
            r"(a_i'u+\epsilon^2\delta_i'u)^2$",
            3: r"the same of $E[P_3(y)S_3(x)]$ less $\frac32\sum_i\pm(v'a_i)^2 E h_3''''(Z)\,E[D_up_1'']\,(a_i'u)^2$,"
            r" which to this order is 0 on the range of the second moment",
        }
        yield identity("any g, 2 experts without bias", names[order], found - stated, seed=setting.seed)


def figures(setting: Setting) -> Mapping[str, Figure]:
    """Bias against tilt, in the four cases."""
    claimed, seed = Bias(), setting.seed
    series: dict[str, tuple[Array, Array, Array | None]] = {}
    for worlds, degree in ((claimed.first, 1), (claimed.second, 2), (claimed.none, 0)):
        for world in worlds:
            truth = truth_of(world, seed)
            measured = np.array([size(recovered(world.tilted(float(e)), seed) - truth) for e in TILTS])
            line, told = None, "predicted 0 (rounding)"
            if degree:
                own = drift(world, seed, claimed.drift) if degree == 1 else bend(world, seed, claimed.bend)
                line = size(own) * TILTS**degree
                told = rf"predicted ${size(own):.3f}\,\epsilon{'' if degree == 1 else '^2'}$"
            label = world.name if any(world.biases) else f"{world.name}, no bias"
            series[f"{label}: {told}"] = TILTS, measured, line
    return {
        "tilted-gates": order_figure(
            series,
            "Regressors from exact moments, gate tilted towards their span",
            r"tilt $\epsilon$ of the gate, $w_i = w_i^\perp + \epsilon v_i$",
            r"bias, largest $\|\hat a_i - a_i\|$",
        )
    }


def _lacking(world: World) -> Bias:
    return Bias(first=(world,), second=(), none=(), derived=False)


CLAIM = Claim(
    id="tilted-gates",
    title="A tilted gate biases the recovered regressors, to lowest order by what is predicted",
    statement=r"$w_i = w_i^\perp+\epsilon v_i$, $q_{ij}=\partial p_i/\partial s_j$ in the scores: from exact moments"
    r" $\hat a_i = a_i + \epsilon\,\delta_i + O(\epsilon^2)$ with $\delta_i = \frac{1}{E[p_i]}\sum_j (v_j'a_i)\,"
    r"E[\nabla q_{ij}]$, which is orthogonal to all $a_j$; for two experts without bias it is 0, and"
    r" $\hat a_i = a_i \pm \epsilon^2 (v'a_i)^2 \frac{E h_2'''(Z)}{c_2} E[\nabla p_1''] + O(\epsilon^3)$ (+ for $i=1$),"
    r" $v=v_1-v_2$, $p_1''$ in $s_1-s_2$; if g is odd up to a constant there is no bias then",
    source=f"derived here; without the orthogonality of {SOURCE}",
    hypotheses=(
        Hypothesis(r"$w_i^\perp$ orthogonal to all $a_j$", _lacking(World(3, ("relu",), sigma=(0.4,), tilt=0.3))),
        Hypothesis(r"$\|a_i\|=1$", _lacking(World(3, ("tanh",), norms=(1.0, 0.6, 0.8)))),
        Hypothesis("one σ", _lacking(World(3, ("relu",), sigma=(0.3, 0.6, 0.9)))),
        Hypothesis(
            "$v_i$ in the span of the regressors (its part off it is no tilt)",
            replace(Bias(), first=(World(3, ("relu",), sigma=(0.4,), loose=True),)),
            needed=False,
        ),
    ),
    expected="supported",
    check=check,
    claimed=Bias(),
    mutants={
        "δ's sign": Mutant("sign", Bias(drift=lambda ours, theirs, p, slope: -ours * slope / p)),
        "without 1/E[p_i]": Mutant("term", Bias(drift=lambda ours, theirs, p, slope: ours * slope)),
        "v_i'a_j for v_j'a_i": Mutant("exchange", Bias(drift=lambda ours, theirs, p, slope: theirs * slope / p)),
        "half of δ": Mutant("constant", Bias(drift=lambda ours, theirs, p, slope: ours * slope / (2 * p))),
        "of second order everywhere": Mutant("rate", Bias(orders=(2.0, 2.0))),
        "of first order everywhere": Mutant("rate", Bias(orders=(1.0, 1.0))),
        "two ReLU experts have no bias": Mutant("form", Bias(none=(World(2, ("relu",)),))),
        "the third moment's ratio": Mutant(
            "exchange", Bias(bend=lambda square, slope, second, third: square * slope * third)
        ),
        "v'a_i for its square": Mutant(
            "form", Bias(bend=lambda square, slope, second, third: np.sqrt(square) * slope * second, derived=False)
        ),
    },
    order=223,
    section=SECTION,
    figures=figures,
)
