"""The regressors are recovered from moments without the gate; their error falls like n^(-1/2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from matplotlib.figure import Figure
from numpy.polynomial.hermite_e import hermegauss
from scipy.optimize import linear_sum_assignment

from moe_theory.claims import Claim, Evidence, Hypothesis, Mutant, Setting, close, note
from moe_theory.errors import InputError
from moe_theory.moments.components import find_experts
from moe_theory.moments.plain import PlainMoments
from moe_theory.moments.polynomials import Polynomials
from moe_theory.moments.source import Source
from moe_theory.moments.transforms import derive
from moe_theory.report.figures import order_figure
from moe_theory.validation import Array

SECTION = "Breaking the gridlock"
SOURCE = (
    "Makkuva, Oh, Kannan and Viswanath, Breaking the gridlock in Mixture-of-Experts (ICML 2019, arXiv 1802.07417),"
    " Theorem 1; theory.md §4"
)
SIGMA = 0.3
ROUNDING = 1e-8  # of a decomposition of exact moments
TILT = 0.3
SIZES = (2_000, 16_000, 128_000)
SEEDS = 24
GROUPS = 25


@dataclass(frozen=True)
class World:
    """Two linear experts in R³ with a bias in the gate, regressors in its first two coordinates.

    weight: of the gate's two scores' difference on x. bias: added. angle: between the regressors. uniform: x has
    independent uniform coordinates of variance 1. second: length of the second regressor.
    """

    weight: tuple[float, float, float] = (0.0, 0.0, 2.0)
    bias: float = 0.7
    angle: float = 53.0
    uniform: bool = False
    second: float = 1.0

    @property
    def regressors(self) -> Array:
        """(2, 3)."""
        a = np.deg2rad(self.angle)
        return np.array([[1.0, 0.0, 0.0], [self.second * np.cos(a), self.second * np.sin(a), 0.0]])

    @property
    def directions(self) -> Array:
        """The regressors at length 1."""
        return self.regressors / np.linalg.norm(self.regressors, axis=1, keepdims=True)

    def shares(self, x: Array) -> Array:
        """P(z|x), (n, 2)."""
        first = 1 / (1 + np.exp(-(x @ np.array(self.weight) + self.bias)))
        return np.column_stack([first, 1 - first])

    def population(self) -> Source:
        """Nodes and weights that integrate all moments: in x of degree 6 in the regressors' coordinates where the gate
        does not see them; in y, given x and z, of degree 6."""
        seen = any(self.weight[:2])
        axes = [self._nodes(40 if seen else 8), self._nodes(40 if seen else 8), self._nodes(60)]
        x = np.stack(np.meshgrid(*(nodes for nodes, _ in axes), indexing="ij"), axis=-1).reshape(-1, 3)
        weight = np.einsum("i,j,k->ijk", *(w for _, w in axes)).ravel()
        noise, chance = hermegauss(4)
        chance = chance / np.sum(chance)
        joint = weight[:, None, None] * self.shares(x)[:, :, None] * chance
        y = (x @ self.regressors.T)[:, :, None] + SIGMA * noise
        return Source.of(np.repeat(x, 2 * len(noise), axis=0), y.ravel(), joint.ravel(), groups=2)

    def sample(self, n: int, seed: int) -> Source:
        """n rows."""
        rng = np.random.default_rng([seed, n])
        x = rng.uniform(-np.sqrt(3), np.sqrt(3), (n, 3)) if self.uniform else rng.standard_normal((n, 3))
        z = (rng.random(n) > self.shares(x)[:, 0]).astype(int)
        y = np.einsum("nd,nd->n", x, self.regressors[z]) + SIGMA * rng.standard_normal(n)
        return Source.of(x, y, groups=GROUPS)

    def _nodes(self, count: int) -> tuple[Array, Array]:
        if self.uniform:
            nodes, weights = np.polynomial.legendre.leggauss(count)
            return np.sqrt(3) * nodes, weights / 2
        nodes, weights = hermegauss(count)
        return nodes, weights / np.sum(weights)


@dataclass(frozen=True)
class Recovered:
    """In a world, with polynomials changed by `changed`, population moments give the regressors exactly, and a sample's
    an error that falls like n^slope, by the jackknife's standard errors."""

    world: World = World()
    slope: float = -0.5
    inflation: float = 1.0
    changed: Callable[[Polynomials], Polynomials] | None = None
    population: bool = True


def check(setting: Setting, claimed: Recovered) -> Iterator[Evidence]:
    """On the population by the same passes, as a law of weighted rows; then on samples."""
    world = claimed.world
    gates = (world, replace(world, weight=(*world.weight[:2], -0.5), bias=-0.2))
    for i, w in enumerate(gates if claimed.population else ()):
        error, missing = _error(w, claimed.changed)
        what = rf"largest error of a regressor's entry from exact moments, gate {i + 1}" + missing
        witness = {"weight": list(w.weight), "bias": w.bias, "angle": w.angle, "sigma": SIGMA}
        yield close("population", what, error, 0.0, ROUNDING, witness=witness)
    sizes = SIZES[::2] if setting.quick else SIZES
    errors, predicted = _sampled(world, claimed.changed, sizes, setting.seed)
    ratios = ((errors / predicted) ** 2).ravel()
    slopes = np.array([np.polyfit(np.log(sizes), np.log(row), 1)[0] for row in errors])
    spread = float(np.std(slopes, ddof=1) / np.sqrt(len(slopes)))
    yield close(
        "samples",
        f"slope of log error against log n, n = {sizes[0]} … {sizes[-1]}, mean of {len(slopes)} (± 3 standard errors)",
        float(np.mean(slopes)),
        claimed.slope,
        3 * spread,
        trials=len(slopes),
    )
    spread = float(np.std(ratios, ddof=1) / np.sqrt(len(ratios)))
    yield close(
        "samples",
        "mean squared error over the jackknife's prediction of it, mean (± 3 standard errors)",
        float(np.mean(ratios)),
        claimed.inflation,
        3 * spread,
        trials=len(ratios),
    )
    yield note("samples", f"median error at n = {sizes[-1]}", float(np.median(errors[:, -1])))


def _error(world: World, changed: Callable[[Polynomials], Polynomials] | None) -> tuple[float, str]:
    """(largest error of an entry, what is missing)."""
    moments = PlainMoments.of(world.population())
    try:
        found = find_experts(moments, 2, _polynomials(moments, changed), True)
    except InputError:
        return float(np.max(np.abs(world.directions))), " (no two positive eigenvalues)"
    return float(np.max(np.abs(_matched(found.components.regressors, world.directions)))), ""


def _polynomials(moments: PlainMoments, changed: Callable[[Polynomials], Polynomials] | None) -> Polynomials:
    p = Polynomials.of(derive("linear"), SIGMA**2)
    return p if changed is None else changed(p)


def _matched(found: Array, truth: Array) -> Array:
    """Errors, (k, d), labels matched."""
    cost = np.sum((truth[:, None] - found) ** 2, axis=2)
    return found[linear_sum_assignment(cost)[1]] - truth


@lru_cache(maxsize=32)
def _sampled(
    world: World, changed: Callable[[Polynomials], Polynomials] | None, sizes: tuple[int, ...], seed: int
) -> tuple[Array, Array]:
    """(root mean square errors, those that the jackknife predicts), (seeds, sizes) both."""
    errors, predicted = np.empty((SEEDS, len(sizes))), np.empty((SEEDS, len(sizes)))
    for i in range(SEEDS):
        for j, n in enumerate(sizes):
            moments = PlainMoments.of(world.sample(n, 1000 * seed + i))
            found = find_experts(moments, 2, _polynomials(moments, changed), False)
            away = _matched(found.components.regressors, world.directions)
            errors[i, j] = np.sqrt(np.mean(away**2))
            predicted[i, j] = np.sqrt(np.trace(found.covariance()) / away.size)
    return errors, predicted


def figures(setting: Setting) -> Mapping[str, Figure]:
    """Error against n."""
    sizes = SIZES[::2] if setting.quick else SIZES
    found = _sampled(World(), None, sizes, setting.seed)
    errors, predicted = (np.sqrt(np.mean(values**2, axis=0)) for values in found)
    label = f"measured, root mean square of {SEEDS} samples"
    title = "Two linear experts found without the gate, d = 3, σ = 0.3"
    ylabel = r"root mean square error of $\hat a_i$"
    series = {label: (np.array(sizes), errors, predicted)}
    return {"regressors-first": order_figure(series, title, "rows $n$", ylabel, "predicted by the jackknife")}


def _cube_alone(p: Polynomials) -> Polynomials:
    return replace(p, beta=3 * p.variance)


def _opposite(p: Polynomials) -> Polynomials:
    return replace(p, c3=-p.c3)


def _with_level(p: Polynomials) -> Polynomials:
    return replace(p, gamma=1.0)


CLAIM = Claim(
    id="regressors-first",
    title="Regressors are recovered without the gate",
    statement=r"for $x\sim N(0,I)$, $y|z{=}i \sim N(a_i'x, \sigma^2)$, $\|a_i\|=1$ linearly independent,"
    r" $E[p_i]>0$, gates that see only what is orthogonal to all $a_j$: whitening $E[P_2(y)S_2(x)]$ and decomposing"
    r" $E[P_3(y)S_3(x)]$ gives all $a_i$, whatever the gate; on a sample with an error that falls like $n^{-1/2}$, as"
    r" the jackknife predicts it",
    source=SOURCE,
    hypotheses=(
        Hypothesis(r"gates see only what is orthogonal to the $a_j$", Recovered(World(weight=(TILT, 0.0, 2.0)))),
        Hypothesis(r"$a_i$ linearly independent", Recovered(World(angle=0.0))),
        Hypothesis(r"$x$ is Gaussian", Recovered(World(uniform=True))),
        Hypothesis(
            r"$\|a_i\|$ are the same (of linear experts, in the whitened space, any lengths will do)",
            Recovered(World(second=0.6)),
            needed=False,
        ),
        Hypothesis(
            r"$P_3$ is the cubic transform (in the whitened space only $E[h_3^{(3)}(Z)]\neq 0$ counts: $y^3$ will do)",
            Recovered(changed=_cube_alone),
            needed=False,
        ),
    ),
    expected="supported",
    check=check,
    claimed=Recovered(),
    mutants={
        "c₃'s sign": Mutant("sign", Recovered(changed=_opposite)),
        "y² + y for P₂": Mutant("term", Recovered(changed=_with_level)),
        "an error like n^(-1/4)": Mutant("rate", Recovered(slope=-0.25, population=False)),
        "an error like 1/n": Mutant("rate", Recovered(slope=-1.0, population=False)),
        "half the error that the jackknife predicts": Mutant("constant", Recovered(inflation=0.25, population=False)),
    },
    order=224,
    section=SECTION,
    figures=figures,
)
