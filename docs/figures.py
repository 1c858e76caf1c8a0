"""The figures of README and docs, drawn from the tables that lie beside them.

    python docs/figures.py                   # draws every figure, light and dark, without a run
    python docs/figures.py rate mixture      # these
    python docs/figures.py --measure rate    # runs again what it shows, rewrites its tables, and draws it

The comparison of `gridlock` takes half an hour to measure: `python -m benchmarks.gridlock` does it. Those of
`synthetic-…` are measured by `moe-theory reproduce synthetic`, `fashion-…` by `moe-theory reproduce fashion`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import moe_theory as mt
from moe_theory.experiments import fashion
from moe_theory.experiments.synthetic import Point, Run, Tables
from moe_theory.gridlock.table import Summary
from moe_theory.report.certificate import CertificatePoint, certificate_points, draw_certificate
from moe_theory.report.fashion import drawings as fashion_figures
from moe_theory.report.figures import RatePoint, draw_rate, rate_points
from moe_theory.report.gridlock import gridlock_figure
from moe_theory.report.mixture import (
    MixtureCurve,
    MixtureShare,
    MixtureWords,
    draw_mixture,
    mixture_tables,
)
from moe_theory.report.recovery import RegressorPoint, SpectrumPoint, draw_recovery, recovery_points
from moe_theory.report.style import Picture
from moe_theory.report.synthetic import drawings
from moe_theory.tables import read_rows, write_rows

DOCS = Path(__file__).parent
TABLES = DOCS / "tables"
Table = list[Any]


@dataclass(frozen=True)
class Drawn:
    """tables: file and class of rows of each; draw: the picture of them; measure: their rows, by runs, or None where
    they are `measured_by` a command. dpi: of the file; dark: whether there is one for dark pages, too."""

    tables: tuple[tuple[Path, type], ...]
    draw: Callable[..., Picture]
    measure: Callable[[], Sequence[Table]] | None
    measured_by: str = ""
    dpi: int = 300
    dark: bool = True

    def read(self) -> list[Table]:
        """The committed tables."""
        return [read_rows(path, kind) for path, kind in self.tables]


def rate() -> list[Table]:
    """EM on 5,000 rows that the model draws."""
    model = mt.symmetric_linear()
    truth = model.theta(beta=[3, 0, 0], w=[0, 1, 0])
    data = mt.MonteCarlo(model, truth, n=5000, seed=1).data()
    trace = mt.run(mt.EM(model), data, start=truth + 0.1, tolerance=1e-13)
    return [rate_points(trace, mt.predict_rate(model, data, trace.last))]


def certificate() -> list[Table]:
    """Old Faithful, an ellipsoid."""
    from moe_theory.datasets import old_faithful

    faithful = old_faithful()
    model, data = mt.symmetric_linear(sigma=faithful.sigma), mt.Data(faithful.x, faithful.y)
    trace = mt.run(mt.EM(model), data, faithful.start, tolerance=1e-12)
    made = mt.certify(model, data, trace.last, shape="ellipsoid")
    return [certificate_points(mt.radius_curve(data, made))]


def mixture() -> list[Table]:
    """700 rows of two linear experts under a gate."""
    rng = np.random.default_rng(3)
    dose = rng.uniform(-1, 1, 700)
    first = rng.random(700) < 1 / (1 + np.exp(-4 * dose))
    y = np.where(first, 2 * dose + 0.2 * rng.standard_normal(700), 1 - dose + 0.4 * rng.standard_normal(700))
    fit = mt.fit_mixture(dose[:, None], y, k=2, names=["dose"])
    return list(mixture_tables(fit, title="Two linear experts under a softmax gate: 700 rows by responsibility"))


def recovery() -> list[Table]:
    """20,000 rows of three linear experts whose gate sees what is orthogonal to them."""
    from moe_theory.gridlock.draws import Draw

    draw = Draw.of(3, 8, 20_000, truth=0)
    found = mt.recover(draw.x, draw.y, k=3)
    nearest = np.argmax(found.regressors @ draw.regressors.T, axis=1)
    return list(recovery_points(found, truth=draw.regressors[nearest]))


FIGURES = {
    "rate": Drawn(
        ((TABLES / "rate.csv", RatePoint),),
        lambda points: draw_rate(points, "EM on 5,000 rows of a symmetric mixture of linear experts"),
        rate,
    ),
    "certificate": Drawn(
        ((TABLES / "certificate.csv", CertificatePoint),),
        lambda points: draw_certificate(points, "symmetric-linear on Old Faithful, 271 rows"),
        certificate,
    ),
    "mixture": Drawn(
        (
            (TABLES / "mixture-shares.csv", MixtureShare),
            (TABLES / "mixture-curves.csv", MixtureCurve),
            (TABLES / "mixture-words.csv", MixtureWords),
        ),
        draw_mixture,
        mixture,
    ),
    "recovery": Drawn(
        ((TABLES / "recovery-spectrum.csv", SpectrumPoint), (TABLES / "recovery-regressors.csv", RegressorPoint)),
        lambda spectrum, regressors: draw_recovery(
            spectrum, regressors, "3 linear experts from moments, 20,000 rows: spectrum and regressors"
        ),
        recovery,
    ),
    "gridlock": Drawn(((DOCS / "gridlock.csv", Summary),), gridlock_figure, None, "python -m benchmarks.gridlock"),
    **{
        f"synthetic-{name}": Drawn(
            ((TABLES / "synthetic.csv", Run), (TABLES / "synthetic-curves.csv", Point)),
            lambda runs, points, name=name: drawings(Tables(tuple(runs), tuple(points)))[f"synthetic-{name}"](),
            None,
            "moe-theory reproduce synthetic",
            dpi=150,
            dark=False,
        )
        for name in ("linear", "linear-error", "logistic", "logistic-error", "population", "rates")
    },
    **{
        f"fashion-{name}": Drawn(
            tuple((TABLES / "fashion" / f"{table}.csv", kind) for table, kind in fashion.TABLES.items()),
            lambda *tables, name=name: fashion_figures(fashion.Found(*tables), "Fashion-MNIST")[name](),
            None,
            "moe-theory reproduce fashion",
            dpi=150,
            dark=name == "curves-kmeans",
        )
        for name in ("curves-kmeans", "curves-small", "starts", "ridge", "gate", "experts")
    },
}


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="docs/figures.py", description=__doc__, formatter_class=raw)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(FIGURES)} (default: all)")
    parser.add_argument("--measure", nargs="+", default=[], metavar="NAME", help="measure these again")
    parser.add_argument("--out", type=Path, default=DOCS, metavar="FOLDER", help="where figures go (default: docs)")
    options = parser.parse_args()
    try:
        wanted = options.names or options.measure or list(FIGURES)
        for name in [*wanted, *options.measure]:
            if name not in FIGURES:
                raise mt.InputError(f"NAME: expected one of {', '.join(FIGURES)}, got {name!r}")
        for name in options.measure:
            drawn = FIGURES[name]
            if drawn.measure is None:
                raise mt.InputError(f"--measure: {name} is measured by {drawn.measured_by}")
            TABLES.mkdir(exist_ok=True)
            for (path, _), rows in zip(drawn.tables, drawn.measure(), strict=True):
                write_rows(path, rows, digits=8)
        for name in wanted:
            tables = FIGURES[name].read()
            drawn = FIGURES[name]
            for theme, ending in (("light", ""), ("dark", "-dark"))[: 1 + drawn.dark]:
                with mt.theme(theme):
                    drawn.draw(*tables).savefig(options.out / f"{name}{ending}.png", dpi=drawn.dpi)
    except mt.InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
