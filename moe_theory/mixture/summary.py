"""What a fitted mixture says, as tables that a statistician expects and as JSON."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.jupyter import JupyterMixin
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from moe_theory.errors import DegenerateError
from moe_theory.mixture.inference import Coefficient
from moe_theory.mixture.problem import Problem
from moe_theory.mixture.result import Estimate
from moe_theory.validation import Array

WIDTH = 100  # of plain text
MOST = 6  # decimals, and events that are told one by one
NO_ERRORS = (
    "Standard errors are not available: the information is not positive definite at the estimate"
    " (no strict maximum of the likelihood)."
)
AT_PENALISED = (
    "Standard errors are not available: the information of the likelihood is not positive definite at the penalised"
    " estimate."
)


class Summary(Group, JupyterMixin):
    """Tables for `print` and rich's `print`, that notebooks show too."""

    def __str__(self) -> str:
        plain = Console(file=io.StringIO(), width=WIDTH, color_system=None)
        plain.print(self)
        return cast(io.StringIO, plain.file).getvalue().rstrip()


def summary(fit: Estimate, formula: str | None = None) -> Summary:
    """Header, coefficients of experts and gate with standard errors, sigmas, shares of the labels, what happened."""
    coefficients = fit.coefficients()
    of = lambda part: [c for c in coefficients if c.part == part]
    parts: list[RenderableType] = [_header(fit, formula), _coefficients(_expert_title(fit), of("expert"))]
    if of("sigma"):
        parts.append(_sigmas(of("sigma")))
    if fit.k > 1:
        parts += [_coefficients("Gate: log-odds against expert 1", of("gate")), _shares(fit)]
    parts += [Padding(Text(note), (0, 0, 0, 1)) for note in _notes(fit)]
    return Summary(*parts)


def report(fit: Estimate) -> dict[str, Any]:
    """JSON-ready; None for what is not a number or not defined.

    gate, experts, sigma and standard_errors are nested as the fit's arrays, (k, g), (k, d) or (k, C-1, d), (k,). label
    and rows, counted from 0, say where a degenerate fit is; rate_remark, why there is no measured_rate.
    """
    rate, measured = fit.rate, fit.measured_rate
    found = {
        "log_likelihood": fit.log_likelihood,
        "converged": fit.converged,
        "reason": fit.reason,
        "message": fit.message,
        "label": fit.trace.label,
        "rows": fit.trace.rows,
        "iterations": fit.iterations,
        **_problem(fit.problem),
        "aic": fit.aic,
        "bic": fit.bic,
        "icl": fit.icl,
        "experts": fit.experts,
        "sigma": fit.sigma,
        "gate": fit.gate,
        "standard_errors": _standard_errors(fit),
        "shares": shares(fit),
        "lambda_max": None if rate is None else rate.lambda_max,
        "measured_rate": None if measured is None else measured.to_dict(),
        "rate_remark": fit.rate_remark,
        "events": fit.events,
    }
    return plain(found)


def report_without_fit(problem: Problem, failure: DegenerateError) -> dict[str, Any]:
    """The same where every start is degenerate: label and rows, and no numbers."""
    said = {"converged": False, "reason": "degenerate", "message": str(failure)}
    numbers = (
        "aic",
        "bic",
        "icl",
        "experts",
        "sigma",
        "gate",
        "standard_errors",
        "shares",
        "lambda_max",
        "measured_rate",
    )
    return plain(
        {"log_likelihood": None, **said, "label": failure.label, "rows": failure.rows, "iterations": None}
        | _problem(problem)
        | dict.fromkeys(numbers)
        | {"rate_remark": "", "events": []}
    )


def _problem(problem: Problem) -> dict[str, Any]:
    structure, features, design = problem.structure, problem.features, problem.design
    return {
        "family": problem.family,
        "k": structure.k,
        "n": len(problem.standard),
        "weight": problem.rows,
        "parameters": len(design.index),
        "expert_features": features.experts,
        "gate_features": features.gate,
        "classes": problem.classes,
    }


def by_row(fit: Estimate) -> tuple[list[str], Array]:
    """(names, (n, columns)): every row's responsibilities, experts' means and mean; of classes, the mean's shares."""
    labels, fitted = range(1, fit.k + 1), fit.predict()
    names = [f"responsibility_{z}" for z in labels]
    if fit.problem.family == "multinomial":
        classes = fit.problem.classes or range(fitted.shape[1])
        return [*names, *(f"fitted_{c}" for c in classes)], np.hstack([fit.responsibilities(), fitted])
    names += [*(f"mean_{z}" for z in labels), "fitted"]
    return names, np.hstack([fit.responsibilities(), fit.expert_means(), fitted[:, None]])


def plain(value: Any) -> Any:
    """Arrays and tuples as lists, numbers that are not finite as None."""
    if isinstance(value, dict):
        return {name: plain(own) for name, own in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def shares(fit: Estimate) -> Array:
    """Mean responsibility of every label, (k,)."""
    weight = np.broadcast_to(fit.problem.standard.weight, (len(fit.problem.standard),))
    return weight @ fit.responsibilities()


def _standard_errors(fit: Estimate) -> dict[str, Any]:
    errors = fit.inference.standard_errors
    own = fit.problem.model.filled(errors, fit.local.shape[1])
    gate = fit.problem.gate_of(own)
    gate[0] = np.nan  # the reference is not estimated
    logs = fit.layout.coefficients(own)[1]
    experts = fit.problem.experts_of(own)
    return {"experts": experts, "sigma": None if fit.sigma is None else fit.sigma * logs, "gate": gate}


# Tables ------------------------------------------------------------------------------------------------------


def _header(fit: Estimate, formula: str | None) -> RenderableType:
    problem, rate, measured = fit.problem, fit.rate, fit.measured_rate
    n, runs = len(problem.standard), len(fit.runs.traces)
    contraction = "not defined: the information is singular" if rate is None else f"{rate.lambda_max:.6f}"
    if measured is not None:
        contraction += f", measured {measured.iterates:.6f} ± {measured.iterates_error:.0e}"
    left = [
        ("rows", f"{n}" if problem.rows == n else f"{n}, of total weight {problem.rows:g}"),
        ("parameters", f"{fit.inference.parameters}"),
        (
            fit.reason,
            f"after {fit.iterations} iteration{'s' * (fit.iterations != 1)} of {fit.trace.algorithm}, best of {runs}"
            f" run{'s' * (runs > 1)}",
        ),
        ("rate λ_max", contraction),
    ]
    right = [("log-likelihood", fit.log_likelihood), ("AIC", fit.aic), ("BIC", fit.bic), ("ICL", fit.icl)]
    grid = Table.grid(padding=(0, 2))
    for justify in ("left", "left", "left", "right"):
        grid.add_column(justify=cast(Any, justify))
    for (name, value), (criterion, number) in zip(left, right, strict=True):
        style = "bold red" if name == fit.reason and not fit.converged else "dim"
        grid.add_row(Text(name, style), Text(value), Text(criterion, "dim"), _fixed(number, 3))
    gate = " with a softmax gate" if fit.k > 1 else ""
    title = Text(f"Mixture of {fit.k} {problem.family} expert{'s' * (fit.k > 1)}{gate}", style="bold")
    lines = [title] if formula is None else [title, Text(f" {formula}")]
    return Group(*lines, Padding(grid, (1, 0, 1, 1)))


def _expert_title(fit: Estimate) -> str:
    family, classes = fit.problem.family, fit.problem.classes
    if family == "binomial":
        return "Experts: log-odds" + (f" of {classes[1]}" if classes else "")
    if family == "multinomial":
        return f"Experts: log-odds against class {classes[0] if classes else 0}"
    return f"Experts: {'means' if family == 'gaussian' else 'log means'}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title, "bold"), title_justify="left", box=box.SIMPLE_HEAD, header_style="dim")
    for name in columns:
        table.add_column(name, justify="left" if name in ("expert", "class", "feature") else "right", overflow="fold")
    return table


def _coefficients(title: str, found: Sequence[Coefficient]) -> Table:
    """One row per coefficient, the labels set apart."""
    classes = ["class"] if any(c.category for c in found) else []
    table = _table(title, "expert", *classes, "feature", "estimate", "std. error", "z", "p")
    estimates, errors = _column(found)
    before: Coefficient | None = None
    for c, estimate, error in zip(found, estimates, errors, strict=True):
        fresh = before is None or c.label != before.label
        if fresh and before is not None:
            table.add_row()
        cells = [str(c.label) if fresh else ""]
        if classes:
            cells.append(c.category if fresh or before is None or c.category != before.category else "")
        numbers = [estimate, error, _fixed(c.z, 2), _p(c.p)]
        table.add_row(*map(Text, [*cells, c.name, *numbers]))
        before = c
    return table


def _sigmas(found: Sequence[Coefficient]) -> Table:
    table = _table("Standard deviations", "expert", "sigma", "std. error")
    for c, estimate, error in zip(found, *_column(found), strict=True):
        table.add_row(str(c.label) if c.label else "all", estimate, error)
    return table


def _shares(fit: Estimate) -> Table:
    table = _table("Shares", "expert", "mean responsibility", "rows where it is largest")
    own = np.argmax(fit.responsibilities(), axis=1)
    for z, share in enumerate(shares(fit)):
        table.add_row(str(z + 1), f"{share:.4f}", str(int(np.sum(own == z))))
    return table


def _notes(fit: Estimate) -> Iterable[str]:
    if not fit.converged:
        yield f"Not converged ({fit.reason}): {fit.message or 'the numbers are those of the last iterate'}."
    elif fit.message:
        yield f"Converged {fit.message}."
    if fit.inference.covariance is None:
        yield AT_PENALISED if fit.penalty else NO_ERRORS
    elif fit.penalty:
        yield "Standard errors, AIC, BIC and ICL are those of the likelihood without the penalty, λ_max is with it."
    if fit.rate_remark and fit.converged and fit.trace.algorithm == "EM":
        yield f"EM's rate is not measured: {fit.rate_remark.removeprefix('trace: ')}."
    events = list(dict.fromkeys(e for e in fit.events if fit.converged or not e.endswith(fit.message or "\n")))
    yield from (f"{event[:1].upper()}{event[1:]}." for event in events[:MOST])
    if len(events) > MOST:
        yield f"… and {len(events) - MOST} more."


# Numbers -----------------------------------------------------------------------------------------------------


def _column(found: Sequence[Coefficient]) -> tuple[list[str], list[str]]:
    """Estimates and errors with as many decimals as the least error has three digits with, or four digits each."""
    sizes = [abs(c.error) for c in found if math.isfinite(c.error) and c.error > 0]
    sizes = sizes or [abs(c.estimate) for c in found if math.isfinite(c.estimate) and c.estimate != 0] or [1.0]
    decimals = max(2 - math.floor(math.log10(min(sizes))), 1)
    if decimals > MOST or max(abs(c.estimate) for c in found) >= 1e8:
        return [f"{c.estimate:.4g}" for c in found], ["–" if math.isnan(c.error) else f"{c.error:.3g}" for c in found]
    return [_fixed(c.estimate, decimals) for c in found], [_fixed(c.error, decimals) for c in found]


def _fixed(value: float, decimals: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{decimals}f}"


def _p(value: float) -> str:
    return "–" if math.isnan(value) else "<0.0001" if value < 1e-4 else f"{value:.4f}"
