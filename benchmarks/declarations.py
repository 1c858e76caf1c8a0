"""Random declarations of models, judged from outside: `python -m benchmarks.declarations --count 1000 --seed 0`.

Each model is written twice, in SymPy for the package and as plain functions of mpmath's numbers for the judge, who
knows nothing of the package: whether log p(y,z|x) is affine in the predictors up to a term that all (y, z) share is
decided by second differences of its values, L and its gradient by sums and differences at 40 digits. Counted are wrong
classes, wrong numbers, refusals of what has a meaning, tracebacks, and runs of over ten seconds.
"""

from __future__ import annotations

import argparse
import collections
import random
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np
import sympy as sp

import moe_theory as mt
from moe_theory import atoms
from moe_theory.errors import DerivationError, MoeTheoryError

SECONDS = 10
mp.mp.dps = 40
Pair = tuple[Callable[[Any], Any], Callable[[Any], Any]]
P = sp.Piecewise

#: name: (in SymPy, in mpmath) of a predictor
LINES: dict[str, Pair] = {
    "own": (lambda t: t, lambda t: t),
    "shifted": (lambda t: 2 * t / 3 + sp.Rational(5, 4), lambda t: 2 * t / 3 + mp.mpf("1.25")),
    "far": (lambda t: t + 1000, lambda t: t + 1000),
    "as max": (lambda t: sp.Max(t, 0) + sp.Min(t, 0), lambda t: t),
    "as relu": (lambda t: atoms.relu(t) - atoms.relu(-t), lambda t: t),
    "as log": (lambda t: sp.log(1 + sp.exp(t)) - sp.log(1 + sp.exp(-t)), lambda t: t),
}
KINKS: dict[str, Pair] = {
    "leaky": (lambda t: P((t, t > 0), (t / 10, True)), lambda t: t if t > 0 else t / 10),
    "hard-tanh": (lambda t: P((-1, t < -1), (1, t > 1), (t, True)), lambda t: min(max(t, -1), 1)),
    "far leaky": (lambda t: P((t, t > -60), (2 * t + 60, True)), lambda t: t if t > -60 else 2 * t + 60),
    "relu": (lambda t: atoms.relu(t), lambda t: max(t, 0)),
    "max": (lambda t: sp.Max(t, t / 4 - 1), lambda t: max(t, t / 4 - 1)),
    "min": (lambda t: sp.Min(t, 2 - t), lambda t: min(t, 2 - t)),
    "abs": (lambda t: sp.Abs(t - 1), lambda t: abs(t - 1)),
    "soft threshold": (
        lambda t: P((t - 1, t > 1), (t + 1, t < -1), (0, True)),
        lambda t: t - 1 if t > 1 else t + 1 if t < -1 else mp.mpf(0),
    ),
    "huber": (
        lambda t: P((t**2 / 2, sp.Abs(t) < 1), (sp.Abs(t) - sp.Rational(1, 2), True)),
        lambda t: t * t / 2 if abs(t) < 1 else abs(t) - mp.mpf("0.5"),
    ),
}
BENDS: dict[str, Pair] = {
    "tanh": (sp.tanh, mp.tanh),
    "sin": (sp.sin, mp.sin),
    "square": (lambda t: t**2 / 4, lambda t: t * t / 4),
    "softplus": (mt.softplus, lambda t: mp.log1p(mp.exp(t))),
    "root": (lambda t: sp.sqrt(1 + t**2), lambda t: mp.sqrt(1 + t * t)),
    "logistic": (mt.expit, lambda t: 1 / (1 + mp.exp(-t))),
    "erf": (sp.erf, mp.erf),
    "atan": (sp.atan, mp.atan),
}
#: what jumps, has poles, or has derivatives that lie: to be refused, each by name
REFUSED: dict[str, Callable[[Any], Any]] = {
    "floor": sp.floor,
    "ceiling": lambda t: sp.ceiling(t / 3),
    "frac": sp.frac,
    "sign": sp.sign,
    "heaviside": sp.Heaviside,
    "mod": lambda t: sp.Mod(t, 2),
    "stairs": lambda t: t + (sp.atan(sp.tan(t)) - t) / 16,
    "steps": lambda t: t + P((0, t > 0), (1, True)),
    "jump": lambda t: P((t, t > 1), (t + 1, True)),
    "cube root": lambda t: sp.real_root(t, 3),
    "pole": lambda t: 1 / t,
    "tangent": sp.tan,
    "logarithm": lambda t: sp.log(t),
    "root of itself": lambda t: sp.sqrt(t),
    "unknown": sp.Function("f"),
    "argument": lambda t: sp.arg(t),
    "atan2": lambda t: sp.atan2(sp.sin(t), sp.cos(t)),
    "asin of sin": lambda t: sp.asin(sp.sin(t)),
    "bessel": lambda t: sp.besselj(0, t),
}
#: laws that hold e^η, which at 1000 is no double
OVERFLOWING = ("poisson", "poisson by factorial", "exponential", "gumbel")
GATES: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any], str]] = {
    "logistic": (lambda z, w: mt.log_expit(z * w), lambda z, w: -mp.log1p(mp.exp(-z * w)), "line"),
    "shifted": (
        lambda z, w: mt.log_expit(z * (2 * w - sp.Rational(3, 4))),
        lambda z, w: -mp.log1p(mp.exp(-z * (2 * w - mp.mpf("0.75")))),
        "line",
    ),
    "as log": (lambda z, w: -sp.log(1 + sp.exp(-z * w)), lambda z, w: -mp.log1p(mp.exp(-z * w)), "line"),
    "probit": (lambda z, w: atoms.log_ndtr(z * w), lambda z, w: mp.log(mp.ncdf(z * w)), "bend"),
    "as erf": (lambda z, w: sp.log((1 + sp.erf(z * w)) / 2), lambda z, w: mp.log(mp.erfc(-z * w) / 2), "bend"),
    "kinked": (
        lambda z, w: mt.log_expit(z * sp.Max(w, w / 5)),
        lambda z, w: -mp.log1p(mp.exp(-z * max(w, w / 5))),
        "kink",
    ),
    "uniform": (lambda z, w: -sp.log(2), lambda z, w: -mp.log(2), "line"),
}


@dataclass(frozen=True)
class Law:
    """An expert's law given a real location: the domain, log p in SymPy and in mpmath, how a response is drawn."""

    response: Any
    log_p: Callable[[Any, Any], Any]
    judge: Callable[[Any, Any], Any]
    draw: Callable[[random.Random], float]


def normal(y: Any, t: Any, s: Any) -> Any:
    return -(((y - t) / s) ** 2) / 2 - mp.log(2 * mp.pi * s * s) / 2


def laws(rng: random.Random) -> dict[str, Law]:
    """All of them, the normal one with a random scale."""
    sigma = rng.choice([1, 0.5, 1.0000000775613402, 2.3])
    s = mp.mpf(repr(sigma))
    real = lambda r: round(r.uniform(-3, 3), 3)
    above = lambda r: round(r.uniform(0.05, 4), 3)
    third = sp.Rational(1, 3)
    return {
        "normal": Law(mt.Reals(), lambda y, t: mt.log_normal(y, t, sigma), lambda y, t: normal(y, t, s), real),
        "log-normal": Law(
            mt.Positive(),
            lambda y, t: mt.log_normal(sp.log(y), t) - sp.log(y),
            lambda y, t: normal(mp.log(y), t, 1) - mp.log(y),
            above,
        ),
        "log-normal on the line": Law(
            mt.Reals(),
            lambda y, t: mt.log_normal(sp.log(y), t) - sp.log(y),
            lambda y, t: normal(mp.log(y), t, 1) - mp.log(y),
            above,
        ),
        "logit-normal": Law(
            mt.Interval(0, 1),
            lambda y, t: mt.log_normal(sp.log(y / (1 - y)), t) - sp.log(y) - sp.log(1 - y),
            lambda y, t: normal(mp.log(y / (1 - y)), t, 1) - mp.log(y) - mp.log(1 - y),
            lambda r: round(r.uniform(0.02, 0.98), 3),
        ),
        "inverse": Law(
            mt.Positive(),
            lambda y, t: mt.log_normal(1 / y, t, third) - 2 * sp.log(y) - _tail(t, third),
            lambda y, t: normal(1 / y, t, mp.mpf(1) / 3) - 2 * mp.log(y) - mp.log(mp.ncdf(3 * t)),
            above,
        ),
        "logistic": Law(
            mt.Values((-1, 1)),
            lambda y, t: mt.log_expit(y * t),
            lambda y, t: -mp.log1p(mp.exp(-y * t)),
            lambda r: r.choice([-1, 1]),
        ),
        "binomial": Law(
            mt.Values((0, 1, 2, 3)),
            lambda y, t: sp.log(sp.binomial(3, y)) + y * t - 3 * sp.log(1 + sp.exp(t)),
            lambda y, t: mp.log(mp.binomial(3, y)) + y * t - 3 * mp.log1p(mp.exp(t)),
            lambda r: r.randint(0, 3),
        ),
        "poisson": Law(
            mt.Counts(),
            lambda y, t: y * t - sp.exp(t) - sp.loggamma(y + 1),
            lambda y, t: y * t - mp.exp(t) - mp.loggamma(y + 1),
            lambda r: r.randint(0, 8),
        ),
        "poisson by factorial": Law(
            mt.Counts(),
            lambda y, t: y * t - sp.exp(t) - sp.log(sp.factorial(y)),
            lambda y, t: y * t - mp.exp(t) - mp.loggamma(y + 1),
            lambda r: r.randint(0, 8),
        ),
        "geometric": Law(
            mt.Counts(),
            lambda y, t: y * mt.log_expit(t) + mt.log_expit(-t),
            lambda y, t: -y * mp.log1p(mp.exp(-t)) - mp.log1p(mp.exp(t)),
            lambda r: r.randint(0, 8),
        ),
        "exponential": Law(mt.Positive(), lambda y, t: t - y * sp.exp(t), lambda y, t: t - y * mp.exp(t), above),
        "gumbel": Law(
            mt.Reals(),
            lambda y, t: -(y - t) - sp.exp(-(y - t)),
            lambda y, t: -(y - t) - mp.exp(-(y - t)),
            real,
        ),
    }


def _tail(t: Any, sigma: Any) -> Any:
    """log P(N(t, σ²) > 0): what a truncated normal law is divided by."""
    return atoms.log_ndtr(t / sigma)


@dataclass(frozen=True)
class Declared:
    """One model in both forms. kind: line, kink, bend or refused; judge: log p(y,z|x) of (y, z, (b, w))."""

    name: str
    kind: str
    model: Callable[[], mt.Model]
    judge: Callable[[Any, int, Any], Any]
    draw: Callable[[random.Random], float]


def declared(seed: int) -> Declared:
    """The seed's model."""
    rng = random.Random(seed)
    law_name, law = rng.choice(list(laws(rng).items()))
    gate_name, (gate, gate_judge, _) = rng.choice(list(GATES.items()))
    kind = rng.choice(["line", "line", "kink", "bend", "refused"])
    sides = {"line": LINES, "kink": KINKS, "bend": BENDS}
    if kind == "refused":
        where, own = rng.choice(list(REFUSED.items()))
        pair: Pair = (own, lambda t: t)
    else:
        where, pair = rng.choice(list(sides[kind].items()))
    shape = rng.choice(["mirrored", "moved", "scaled"])
    place = {
        "mirrored": (lambda z, t: z * t, lambda z, t: z * t),
        "moved": (lambda z, t: t + (z + 1) * sp.Rational(7, 10), lambda z, t: t + (z + 1) * mp.mpf("0.7")),
        "scaled": (lambda z, t: (2 + z) * t / 2, lambda z, t: (2 + z) * t / 2),
    }[shape]
    if where == "far" and law_name in OVERFLOWING:
        where, pair = "own", LINES["own"]
    name = f"{law_name}, {shape} {where}, {gate_name} gate"

    def model() -> mt.Model:
        return mt.Model(
            name,
            latent=(-1, 1),
            predictors=("b", "w"),
            gate=gate,
            expert=lambda y, z, b: law.log_p(y, place[0](z, pair[0](b))),
            response=law.response,
        )

    def judge(y: Any, z: int, eta: Any) -> Any:
        return gate_judge(z, eta[1]) + law.judge(y, place[1](z, pair[1](eta[0])))

    return Declared(name, kind, model, judge, law.draw)


def is_flat(d: Declared, rng: random.Random) -> bool:
    """Whether second differences of log p(y,z|x) - log p(y_0,z_0|x) are 0, near and far."""
    first = (mp.mpf(d.draw(rng)), -1)
    for size in (1, 5, 100, 3000):
        for _ in range(24):
            a, b = ([mp.mpf(rng.uniform(-size, size)) for _ in range(2)] for _ in range(2))
            y, z = mp.mpf(d.draw(rng)), rng.choice([-1, 1])
            change = lambda eta, y=y, z=z: d.judge(y, z, eta) - d.judge(*first, eta)
            middle = [(u + v) / 2 for u, v in zip(a, b, strict=True)]
            values = [change(a), change(b), change(middle)]
            if abs(values[0] + values[1] - 2 * values[2]) > mp.mpf(10) ** -20 * (1 + max(map(abs, values))):
                return False
    return True


def numbers(d: Declared, model: mt.Model, rng: random.Random) -> str:
    """ "" if L and ∇L of the model are the judge's on six rows, else what differs."""
    n, theta = 6, np.array([[rng.uniform(-2, 2), rng.uniform(-1, 1)] for _ in range(2)])
    x = np.array([[1.0, rng.uniform(-3, 3)] for _ in range(n)])
    y = np.array([float(d.draw(rng)) for _ in range(n)])
    law = mt.Finite(x, y)

    def objective(t: Any) -> Any:
        total = mp.mpf(0)
        for row, response in zip(x, y, strict=True):
            eta = [sum(a * mp.mpf(v) for a, v in zip(c, row, strict=True)) for c in t]
            joint = [d.judge(mp.mpf(response), z, eta) for z in (-1, 1)]
            total += max(joint) + mp.log1p(mp.exp(-abs(joint[0] - joint[1])))
        return -total / n

    at = [[mp.mpf(v) for v in row] for row in theta.tolist()]
    right, found = objective(at), mt.objective(model, law, theta)
    if not abs(found - right) <= 1e-11 * (1 + abs(right)):
        return f"L {found} for {mp.nstr(right, 12)}"
    gradient, step = mt.gradient(model, law, theta), mp.mpf(10) ** -15
    for a in range(2):
        for j in range(2):
            ends = []
            for sign in (1, -1):
                moved = [list(row) for row in at]
                moved[a][j] += sign * step
                ends.append(objective(moved))
            slope = (ends[0] - ends[1]) / (2 * step)
            if not abs(gradient[a, j] - slope) <= 1e-9 * (1 + abs(right) + abs(slope)):
                return f"gradient {gradient[a, j]} for {mp.nstr(slope, 12)}"
    return ""


def verdict(seed: int) -> tuple[str, str, float]:
    """(what came of one declaration: "right" or what is wrong, its name, seconds)."""
    d, rng, start = declared(seed), random.Random(seed + 1), time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = d.model()
            flat = mt.derive(model).flat
            found = ""
            if d.kind != "refused":
                found = "" if flat == is_flat(d, rng) else f"wrong class: flat is {flat}"
                found = found or numbers(d, model, rng)
            else:
                found = "accepted"
    except DerivationError as error:
        found = "" if d.kind == "refused" else f"refused: {error}"
    except MoeTheoryError as error:
        found = f"refused: {error}"
    except Exception as error:
        found = f"traceback: {type(error).__name__}: {error}"
    seconds = time.process_time() - start
    if not found and seconds > SECONDS:
        found = f"{seconds:.1f} s"
    return found or "right", d.name, seconds


def main() -> int:
    """Exit code 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    slowest = (0.0, "")
    for seed in range(asked.seed, asked.seed + asked.count):
        found, name, seconds = verdict(seed)
        slowest = max(slowest, (seconds, name))
        counts[found.split(":")[0]] += 1
        if found != "right":
            print(f"{seed}  {name}: {found}", flush=True)
    print(f"{asked.count} declarations: {dict(counts)}; the slowest {slowest[1]}, {slowest[0]:.1f} s")
    return int(counts["right"] != asked.count)


if __name__ == "__main__":
    sys.exit(main())
