"""Altered images: each inverted with probability one half; two multinomial logistic experts under a logistic gate.

Pixels are in [-1, 1], so that the inverted image is minus the image and the law of the features is symmetric about 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moe_theory.datasets.images import Images
from moe_theory.errors import InputError
from moe_theory.evaluation.families import Multinomial
from moe_theory.evaluation.softmax_kernels import log_softmax
from moe_theory.laws.columns import Columns
from moe_theory.model import Model
from moe_theory.structure import Softmax
from moe_theory.validation import Array
from moe_theory.zoo import softmax_moe

SHARP = 5.0  # standard deviations of a start's gate, in units of its logit
SMALL = 0.01  # standard deviation of the entries of a small random start
SAMPLED = 20_000  # images that k-means and principal components look at


@dataclass(frozen=True, eq=False)
class Altered:
    """law: of (pixels and a constant, label), float32. test (t, p + 1), test_labels (t,). inverted, test_inverted:
    which images are."""

    images: Images
    law: Columns
    inverted: Array
    test: Array
    test_labels: Array
    test_inverted: Array

    @property
    def dimension(self) -> int:
        return self.law.dimension


@dataclass(frozen=True)
class Score:
    """On the test images. accuracy: of the likeliest class; cross_entropy: -mean log p(y|x), nats; gate: share of the
    images whose likelier label tells inverted from plain ones, the labels named so that it is at least one half."""

    accuracy: float
    cross_entropy: float
    gate: float

    def __str__(self) -> str:
        gate = f"gate {100 * self.gate:.2f}%"
        return f"accuracy {100 * self.accuracy:.2f}%, cross-entropy {self.cross_entropy:.4f} nats, {gate}"


def alter(images: Images, seed: int, threads: int = 1, invert: bool = True) -> Altered:
    """Images inverted at random, by the seed. invert: if not, none is (what the oracle sees)."""
    rng = np.random.default_rng([seed, 2411])
    inverted, test_inverted = (invert & (rng.random(len(y)) < 0.5) for y in (images.train_labels, images.test_labels))
    turned = lambda x, flips: np.where(flips[:, None], -x, x)
    x, y = turned(images.train, inverted), images.train_labels.astype(float)
    law = Columns([x, 1.0], y, dtype=np.float32, threads=threads)
    test = np.hstack([turned(images.test, test_inverted), np.ones((len(images.test), 1), np.float32)])
    return Altered(images, law, inverted, test, images.test_labels, test_inverted)


def experts(k: int, images: Images) -> Model:
    """k multinomial experts over the classes."""
    return softmax_moe(k, "multinomial", classes=len(images.classes))


def score(model: Model, theta: Array, data: Altered) -> Score:
    """Of a mixture of multinomial experts, θ (m, p + 1)."""
    prior, density = predictions(model, theta, data.test)
    mixed = np.einsum("kn,kcn->cn", prior, density)
    rows = np.arange(mixed.shape[1])
    hits = float(np.mean(np.argmax(mixed, axis=0) == data.test_labels))
    loss = -float(np.mean(np.log(np.maximum(mixed[data.test_labels, rows], 1e-300))))
    told = float(np.mean((np.argmax(prior, axis=0) > 0) == data.test_inverted)) if len(prior) == 2 else 0.5
    return Score(hits, loss, max(told, 1 - told))


def predictions(model: Model, theta: Array, x: Array) -> tuple[Array, Array]:
    """(P(z|x), (k, n); P(y=c|x,z), (k, C, n)) for features x (n, p + 1), float64."""
    s = _structure(model)
    eta = (theta.astype(x.dtype) @ x.T).astype(np.float64)
    return log_softmax(eta[s.gate])[1], Multinomial().mean(eta[s.experts].reshape(s.k, s.per_expert, -1))


def _structure(model: Model) -> Softmax:
    if model.structure is None or model.structure.family != "multinomial":
        raise InputError(f"model: expected a mixture of multinomial experts, got {model.name}")
    return model.structure


# Starts --------------------------------------------------------------------------------------------------------


def start(kind: str, model: Model, data: Altered, seed: int) -> Array:
    """θ, (m, p + 1): "kmeans" and "pc1" have a gate along the difference of two means, or the first principal
    component, of the images (labels are not looked at), SHARP logits per standard deviation, and experts that know
    nothing; "small" is normal with standard deviation SMALL in every entry.
    """
    rng = np.random.default_rng([seed, 6056])
    theta = np.zeros((len(model.predictors), data.dimension))
    if kind == "small":
        return SMALL * rng.standard_normal(theta.shape)
    x = np.concatenate([b.x[:-1] for b in data.law.blocks[: -(-SAMPLED // 4096)]], axis=1).T.astype(np.float64)
    if kind == "kmeans":
        from scipy.cluster.vq import kmeans2  # takes long to import

        (one, two), _ = kmeans2(x, 2, minit="++", rng=rng)
        direction, middle = two - one, (one + two) / 2
    elif kind == "pc1":
        middle = np.mean(x, axis=0)
        direction = np.linalg.eigh(np.cov(x.T))[1][:, -1]
    else:
        raise InputError(f"start: expected one of {', '.join(STARTS)}, got {kind!r}")
    spread = float(np.std(x @ direction))
    theta[_structure(model).gate] = SHARP / spread * np.append(direction, -middle @ direction)
    return theta


STARTS = {"kmeans": "k-means gate", "pc1": "first principal component", "small": "small random"}
