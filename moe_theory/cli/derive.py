"""`moe-theory derive MODEL`: everything that follows from a declaration."""

from __future__ import annotations

import click
import sympy as sp

from moe_theory.cli.common import load_model, print_json
from moe_theory.printable import printable
from moe_theory.symbolic.derive import Derivation
from moe_theory.symbolic.derive import derive as derive_model


@click.command()
@click.argument("model")
@click.option("--sigma", type=float, help="Noise scale of models that take one.")
@click.option("--latex", "as_latex", is_flag=True, help="Print one LaTeX `aligned` block.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def derive(model: str, sigma: float | None, as_latex: bool, as_json: bool) -> None:
    """Derive statistic, mirror map, posterior, informations and M of MODEL.

    MODEL is a name of the zoo (symmetric-linear, symmetric-logistic) or FILE.py:NAME for your own declaration,
    which runs that file.
    """
    theory = derive_model(load_model(model, sigma))
    if as_json:
        print_json(_json(theory))
    elif as_latex:
        click.echo(theory.latex())
    else:
        _show(theory)


def _json(theory: Derivation) -> dict:
    return {
        "model": theory.model.name,
        "flat": theory.flat,
        "obstruction": theory.obstruction,
        "predictors": list(theory.model.predictors),
        "known": list(theory.model.known),
        "response": str(theory.model.response),
        "formulas": {
            name: {"symbol": symbol.name, "sympy": str(value), "latex": sp.latex(value)}
            for name, (symbol, value) in theory.formulas().items()
        },
        "symmetries": [[[int(v) for v in g.row(i)] for i in range(g.rows)] for g in theory.symmetries],
    }


def _show(theory: Derivation) -> None:
    model = theory.model
    eta = ", ".join(f"{s} = x'{name}" for s, name in zip(model.symbols, model.names, strict=True))
    click.echo(f"{printable(model.name)}: z in {{{', '.join(map(str, model.latent))}}}, y in {model.response}; {eta}\n")
    if theory.obstruction:
        click.echo(f"{theory.obstruction}.\nStatistic, mirror map and M need a flat family.\n")
    for name, (_, value) in theory.formulas().items():
        click.echo(f"{name}\n")
        text = sp.pretty(value, use_unicode=True, wrap_line=False)
        click.echo("\n".join("    " + line for line in text.split("\n")) + "\n")
    click.echo("symmetries (p(y|x) is the same at η and Gη)\n")
    row = sp.Matrix(model.learnt)
    for g in theory.symmetries:
        click.echo("    " + ", ".join(str(s) for s in row) + "  ->  " + ", ".join(str(s) for s in g * row))
