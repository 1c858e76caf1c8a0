"""The experiment on altered images in pictures, drawn from its tables alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from moe_theory.errors import InputError
from moe_theory.experiments.altered import STARTS, Altered
from moe_theory.experiments.fashion import Found
from moe_theory.experiments.fashion_cell import Run, Seen, Step
from moe_theory.experiments.fashion_methods import CONTESTANTS
from moe_theory.experiments.fashion_summary import in_words, lines
from moe_theory.report import style
from moe_theory.report.listing import Listing, table
from moe_theory.report.style import Picture
from moe_theory.validation import Array

#: colour of a method, and whether its line is thin: variants share a colour
LOOKS = {
    "em": (0, False),
    "em-plain": (0, True),
    "lbfgs": (1, False),
    "lbfgs-bound": (1, True),
    "gradient-em": (2, False),
    "gd": (3, False),
    "heavy-ball": (4, False),
    "sgd": (5, False),
    "adam": (6, False),
}
AXES = {
    "passes": "passes over the data",
    "iteration": "iterations (passes for SGD, Adam)",
    "seconds": "seconds",
}
MOST = 3.2  # nats of cross-entropy that are shown of runs which end below: log 10 is chance
SCORES = {"accuracy": "test accuracy", "cross_entropy": "test cross-entropy (nats)"}


def drawings(found: Found, name: str) -> dict[str, Callable[[], Picture]]:
    """What draws each figure that the tables allow, by file name; name: of the data set, for titles."""
    made: dict[str, Callable[[], Picture]] = {}
    for start in dict.fromkeys(run.start for run in found.shown() if run.start in STARTS):
        made[f"curves-{start}"] = partial(curves_figure, found, start, name)
    if made:
        made["starts"] = partial(starts_figure, found, name)
    if len({run.ridge for run in found.runs}) > 1:
        made["ridge"] = partial(ridge_figure, found, name)
    if found.pictured().seen:
        made |= {"gate": partial(gate_figure, found), "experts": partial(experts_figure, found)}
    return made


def summary_table(found: Found, at: float = 100.0) -> Listing:
    """A line per method and start: scores at the end and after so many passes."""
    return table(*in_words(lines(found, at)))


def altered_figure(data: Altered, count: int = 10) -> Picture:
    """The first test images as they are and as they are seen, half of them inverted."""
    picture, made = style.panels(2, count, width=style.PAGE, height=1.9)
    plain = np.where(data.test_inverted[:, None], -data.test[:, :-1], data.test[:, :-1])
    for row, (name, pixels) in zip(made, (("as it is", plain), ("as seen", data.test[:, :-1])), strict=True):
        for i, axes in enumerate(row):
            _show(axes, pixels[i].reshape(data.images.shape), -1.0, 1.0)
            if name == "as it is":
                axes.set_title(data.images.classes[data.test_labels[i]], fontsize=style.SMALL, color=picture.theme.ink)
        row[0].set_ylabel(name)
    return picture


def curves_figure(found: Found, start: str, name: str) -> Picture:
    """Accuracy and cross-entropy against passes, iterations and seconds from one kind of start: means over the seeds,
    bands from the least to the largest; what one regression and the oracle reach. InputError without such runs."""
    runs = [run for run in found.shown() if run.start == start]
    if not runs:
        raise InputError(f"start: expected one of the table's, got {start!r}")
    picture, made = style.panels(2, 3, width=style.PAGE, height=5.0, sharey="row", sharex="col")
    for row, (score, label) in zip(made, SCORES.items(), strict=True):
        for axes, (axis, unit) in zip(row, AXES.items(), strict=True):
            for method in CONTESTANTS:
                if own := [found.of(run) for run in runs if run.method == method]:
                    _curve(axes, own, axis, score, method)
            _levels(axes, found, score)
            axes.set_xscale("log")
            axes.set_xlim(left={"passes": 1, "iteration": 0.9}.get(axis))
            style.names(axes, x=unit if score == "cross_entropy" else "", y=label if axis == "passes" else "")
        steps = [getattr(step, score) for run in runs for step in found.of(run)]
        _stretch(row[0], score, steps, [getattr(run, score) for run in (*runs, *_oracle(found))])
    counts = sorted({sum(run.method == method for run in runs) for method in {run.method for run in runs}})
    many = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    told = f"{STARTS[start]} start: means over {many} runs, bands from least to largest"
    style.heading(picture, f"Altered {name}, {told}")
    style.legend(made[0, 0], columns=3)
    picture.rows = {"runs": found.runs, "steps": found.steps}
    return picture


def _oracle(found: Found) -> list[Run]:
    return [run for run in found.shown() if run.method == "oracle"]


def _stretch(axes: Axes, score: str, steps: Sequence[float], ends: Sequence[float]) -> None:
    """An ordinate on which what is left to gain is logarithmic: near the end methods differ by little. ends: of runs,
    all of them shown; steps: on the way there, those above MOST nats may be cut off."""
    finite = [value for value in (*steps, *ends) if np.isfinite(value)] or [1.0]
    low, high = min(finite), max(finite)
    ticks: tuple[float, ...]
    if score == "accuracy":
        low, high = max(0.0, low - 0.02), 1 - 0.8 * (1 - high)
        axes.set_yscale("function", functions=(_nines, _share))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        ticks = (0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)
    else:
        low, high = max(low, 1e-3), min(high, max([MOST, *filter(np.isfinite, ends)]))
        low, high = 0.92 * low, 1.1 * max(high, 1.5 * low)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        ticks = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 3)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_minor_locator(NullLocator())


def _nines(accuracy: Array) -> Array:
    return -np.log(np.maximum(1 - np.asarray(accuracy), 1e-3))


def _share(nines: Array) -> Array:
    return 1 - np.exp(-np.asarray(nines))


def _curve(axes: Axes, runs: Sequence[Sequence[Step]], axis: str, score: str, method: str) -> None:
    length = min(len(steps) for steps in runs)
    table = lambda name: np.array([[getattr(step, name) for step in steps[:length]] for steps in runs], dtype=float)
    x, y = np.median(table(axis), axis=0), table(score)
    kept = x > 0
    slot, thin = LOOKS[method]
    look = {"linewidth": 1.0, "marker": "", "color": style.theme_of(axes).colour(slot)} if thin else {"linewidth": 1.8}
    middle = np.mean(y, axis=0)
    style.measured(axes, x[kept], middle[kept], slot, CONTESTANTS[method].label, **look)
    if len(runs) > 1:
        style.band(axes, x[kept], np.min(y, axis=0)[kept], np.max(y, axis=0)[kept], slot)


BASELINES = {"oracle": "oracle: knows the inversion", "regression": "one regression"}


def _levels(axes: Axes, found: Found, score: str, only: Sequence[str] = tuple(BASELINES)) -> None:
    """What the baselines reach."""
    for method in only:
        label, values = BASELINES[method], [getattr(run, score) for run in found.shown() if run.method == method]
        if values:
            line = style.reference(
                axes, [0, 1], [float(np.mean(values))] * 2, label, transform=axes.get_yaxis_transform()
            )
            if method == "regression":
                line.set_linewidth(1.6)


def starts_figure(found: Found, name: str) -> Picture:
    """Where every run ends, by method and start, coloured by how well its gate tells inverted images from plain
    ones.
    """
    runs = [run for run in found.shown() if run.start in STARTS]
    kinds = list(dict.fromkeys(run.start for run in runs))
    methods = [m for m in CONTESTANTS if any(run.method == m for run in runs)]
    picture, made = style.panels(1, len(kinds), width=style.PAGE, height=3.3, sharey=True)
    shown = None
    for axes, kind in zip(made[0], kinds, strict=True):
        own = [run for run in runs if run.start == kind]
        places = [methods.index(run.method) + 0.5 * (_rank(run, own) - 0.5) for run in own]
        shown = axes.scatter(
            places,
            [run.accuracy for run in own],
            c=[run.gate for run in own],
            cmap="cividis",
            vmin=0.5,
            vmax=1.0,
            s=16,
            edgecolors=picture.theme.soft,
            linewidths=0.4,
            zorder=3,
        )
        _levels(axes, found, "accuracy", only=("oracle",))
        axes.set_xticks(range(len(methods)), methods, rotation=60, ha="right", rotation_mode="anchor")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        style.title(axes, STARTS[kind])
        style.names(axes, x="method")
    style.names(made[0, 0], y="test accuracy at the end")
    style.legend(made[0, 0], columns=2)
    if shown is not None:
        bar = picture.colorbar(shown, ax=made[0].tolist(), pad=0.01, aspect=30)
        bar.set_label("gate's accuracy on inversions", color=picture.theme.ink, fontsize=style.TEXT)
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        style.ink(bar.ax)
    style.heading(picture, f"Altered {name}: where every run ends")
    picture.rows = {"runs": found.runs}
    return picture


def _rank(run: Run, others: Sequence[Run]) -> float:
    """The run's place among those of its method, in [0, 1]."""
    own = [other.run for other in others if other.method == run.method]
    return own.index(run.run) / max(len(own) - 1, 1) if len(own) > 1 else 0.5


def ridge_figure(found: Found, name: str) -> Picture:
    """EM's accuracy and cross-entropy at the end against the ridge, by start: every run, and means."""
    values = sorted({run.ridge for run in found.runs})
    places = {ridge: i for i, ridge in enumerate(values)}
    picture, made = style.panels(1, 2, width=style.PAGE, height=2.9)
    for axes, (score, label) in zip(made[0], SCORES.items(), strict=True):
        for slot, start in enumerate(STARTS):
            own = [run for ridge in values for run in found.shown(ridge) if (run.method, run.start) == ("em", start)]
            if len({run.ridge for run in own}) < 2:
                continue
            ends = {r: [getattr(run, score) for run in own if run.ridge == r] for r in values}
            ends = {r: v for r, v in ends.items() if v}
            x = [places[r] for r in ends]
            style.measured(axes, x, [float(np.mean(v)) for v in ends.values()], slot, STARTS[start])
            own_x = [places[r] for r, v in ends.items() for _ in v]
            own_y = [value for v in ends.values() for value in v]
            style.measured(axes, own_x, own_y, slot, linestyle="none", markersize=2.4, markevery=1)
        if held := {places[r]: [getattr(run, score) for run in own] for r, own in found.held_out().items()}:
            hollow = {"linestyle": "none", "markerfacecolor": picture.theme.paper, "markevery": 1}
            hollow |= {"markeredgecolor": picture.theme.ink, "markeredgewidth": 0.9, "markersize": 4.4}
            means = [float(np.mean(v)) for v in held.values()]
            style.measured(axes, list(held), means, 3, "k-means gate, held-out training images", **hollow)
        axes.set_xticks(range(len(values)), [f"{ridge:g}" for ridge in values])
        if score == "cross_entropy":
            _stretch(axes, score, [], [run.cross_entropy for run in found.runs if run.method == "em"])
        style.names(axes, x=r"ridge $\rho$: $L + \frac{\rho}{2}\|\theta\|^2$", y=label)
    made[0, 0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    style.heading(picture, f"Altered {name}: what the ridge does to EM")
    style.legend(made[0, 0], columns=3)
    picture.rows = {"runs": found.runs}
    return picture


def gate_figure(found: Found) -> Picture:
    """The gate's choice for every class, plain and inverted, in EM's runs with the best and the worst gate."""
    picture, made = style.panels(1, 2, width=style.PAGE, height=3.2, sharey=True, sharex=True)
    for axes, (title, rows) in zip(made[0], _basins(found), strict=True):
        labels = list(dict.fromkeys(row.label for row in rows))
        second = [row for row in rows if row.expert == 2]
        for slot, (inverted, word) in enumerate(((False, "plain images"), (True, "inverted images"))):
            shares = {row.label: row.share for row in second if row.inverted == inverted}
            y = np.arange(len(labels)) + (0.16 if inverted else -0.16)
            values = [shares[label] for label in labels]
            style.measured(axes, values, y, slot, word, linestyle="none", markevery=1, markersize=5, clip_on=False)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        style.title(axes, title)
        style.names(axes, x="share the gate hands to expert 2")
    style.names(made[0, 0], y="class")
    made[0, 0].invert_yaxis()
    style.legend(made[0, 0], columns=2)
    picture.rows = {"runs": found.runs, "seen": found.pictured().seen}
    return picture


def experts_figure(found: Found) -> Picture:
    """Mean images of what the gate hands to each expert, class by class, in EM's runs with the best and the worst
    gate, and the share of a class's images that it gets.
    """
    basins = _basins(found)
    labels = list(dict.fromkeys(row.label for row in found.seen))
    picture, made = style.panels(2 * len(basins), len(labels), width=style.PAGE, height=0.86 * 2 * len(basins) + 0.3)
    for i, (title, rows) in enumerate(basins):
        for expert in (1, 2):
            for axes, label in zip(made[2 * i + expert - 1], labels, strict=True):
                own = [row for row in rows if row.expert == expert and row.label == label]
                shares = np.array([row.share for row in own])
                weights = shares / max(float(np.sum(shares)), 1e-300)
                mean = np.tensordot(weights, np.stack([_pixels(row) for row in own]), 1)
                _show(axes, mean, 0.0, 255.0)
                axes.set_xlabel(f"{100 * np.mean(shares):.0f}%", labelpad=1.5)
                if 2 * i + expert == 1:
                    axes.set_title(label, fontsize=7.0, color=picture.theme.ink, pad=3)
        made[2 * i, 0].set_ylabel(f"{title.split(':')[0]}\nexpert 1")
        made[2 * i + 1, 0].set_ylabel("expert 2")
    style.heading(picture, "What each expert sees: mean image the gate hands to it, and its share of the class")
    picture.rows = {"runs": found.runs, "seen": found.pictured().seen}
    return picture


def _show(axes: Axes, pixels: np.ndarray, black: float, white: float) -> None:
    """One image."""
    axes.imshow(pixels, cmap="gray", vmin=black, vmax=white, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.tick_params(labelleft=False, labelbottom=False)
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _basins(found: Found) -> list[tuple[str, list[Seen]]]:
    """(title, rows) of EM's runs with the worst and the best gate, the best first."""
    kept = found.pictured()
    by_number: dict[int, Run] = {run.run: run for run in found.runs}
    known = sorted(dict.fromkeys(row.run for row in kept.seen), key=lambda r: -by_number[r].gate)
    if not known:
        raise InputError("table: expected runs of EM with what their experts see, got none")
    if len(known) == 1:
        known *= 2
    made = []
    for word, number in zip(("best gate", "worst gate"), known, strict=True):
        run = by_number[number]
        told = f"{word}: {STARTS[run.start]}, accuracy {100 * run.accuracy:.1f}%, gate {100 * run.gate:.1f}%"
        made.append((told, [row for row in kept.seen if row.run == number]))
    return made


def _pixels(row: Seen) -> np.ndarray:
    """The mean image, (r, r)."""
    flat = np.frombuffer(bytes.fromhex(row.pixels), np.uint8).astype(float)
    side = round(len(flat) ** 0.5)
    return flat.reshape(side, -1)
