"""Inference at a fit: Louis' information, standard errors, information criteria."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from moe_theory.algorithms.softmax_step import saturated
from moe_theory.evaluation import evaluate_softmax
from moe_theory.evaluation.softmax_kernels import e_step
from moe_theory.mixture.problem import Problem
from moe_theory.operators import observed_information
from moe_theory.sums import average
from moe_theory.validation import Array


@dataclass(frozen=True)
class Coefficient:
    """One parameter. part: gate, expert or sigma. label: 1 … k (0 for a common sigma). category: the class of a
    multinomial expert, else "". estimate, error: on the scale of `name`'s feature (of sigma itself, by the delta
    method); error, z and p are not numbers where the information is not positive definite, z and p for sigmas too."""

    part: str
    label: int
    category: str
    name: str
    estimate: float
    error: float
    z: float
    p: float


@dataclass(frozen=True, eq=False)
class Inference:
    """What the data say at θ, local in the problem's units.

    log_likelihood: Σ weight log p(y|x). entropy: Σ weight Σ_z -P(z|x,y) log P(z|x,y). information: minus the Hessian
    of the log-likelihood on the learnt entries, (p, p), by Louis' formula (JRSS B 1982): complete less missing
    information.
    """

    problem: Problem
    local: Array
    log_likelihood: float
    entropy: float

    @property
    def parameters(self) -> int:
        """Number of learnt entries, p."""
        return len(self.problem.design.index)

    @property
    def aic(self) -> float:
        """-2 log-likelihood + 2 p."""
        return -2 * self.log_likelihood + 2 * self.parameters

    @property
    def bic(self) -> float:
        """-2 log-likelihood + p log n, n the total weight."""
        return -2 * self.log_likelihood + self.parameters * float(np.log(self.problem.rows))

    @property
    def icl(self) -> float:
        """BIC + 2 entropy (Biernacki, Celeux and Govaert, IEEE PAMI 2000, with soft responsibilities)."""
        return self.bic + 2 * self.entropy

    @property
    def theta(self) -> Array:
        """All parameters, (m, D), in the user's units."""
        return self.problem.units.lift(self.local)

    @cached_property
    def information(self) -> Array:
        """Observed information of the whole sample, (p, p)."""
        back = np.linalg.inv(self.problem.units.jacobian)
        return back.T @ self._information @ back

    @cached_property
    def _information(self) -> Array:
        """The same of θ in the problem's units."""
        return self.problem.rows * observed_information(self.problem.model, self.problem.standard, self.local)

    @cached_property
    def unattained(self) -> Array:
        """Which learnt entries, (p,), belong to a gate or an expert whose maximum is at infinity."""
        model, law, out = self.problem.model, self.problem.standard, np.zeros(self.local.shape, dtype=bool)
        at = evaluate_softmax(self.problem.layout, model, law, self.local)
        for i in saturated(model, law, at):
            out[at.parts[i].rows, at.parts[i].columns] = True
        return model.free(out)

    @cached_property
    def covariance(self) -> Array | None:
        """Its inverse, (p, p), or None where it is not positive definite: no maximum, or a flat one.

        Entries whose maximum is at infinity have none (not a number); the others have theirs with those at the bound.
        """
        found = np.flatnonzero(~self.unattained)
        information = self._information[np.ix_(found, found)]
        scale = np.sqrt(np.abs(np.diagonal(information)))
        if not len(found) or not np.all(scale > 0):
            return None
        values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
        if values[0] <= 1e-12 * values[-1]:
            return None
        out = np.full(self._information.shape, np.nan)
        # No part's entries depend on another's: those of a part are found all or none.
        turn = self.problem.units.jacobian[np.ix_(found, found)] @ (vectors / scale[:, None])
        out[np.ix_(found, found)] = (turn / values) @ turn.T
        return out

    @property
    def standard_errors(self) -> Array:
        """Of the learnt entries, (p,), of the log of sigmas, in the order of `coefficients`; not numbers where there
        is no covariance."""
        if self.covariance is None:
            return np.full(self.parameters, np.nan)
        return np.sqrt(np.diagonal(self.covariance))

    def coefficients(self) -> list[Coefficient]:
        """Every parameter: experts, sigmas, gate."""
        model, features = self.problem.model, self.problem.features
        s, design = self.problem.structure, self.problem.design
        values, errors = iter(model.free(self.theta)), iter(self.standard_errors)
        found = []
        for j, columns in enumerate(design.free):
            rows = range(len(model.predictors))
            for column in columns:
                value, error = float(next(values)), float(next(errors))
                name = features.columns[column]
                if j in rows[s.scales]:
                    label = 0 if s.common_sigma else j - s.scales.start + 1
                    sigma = float(np.exp(value))
                    found.append(Coefficient("sigma", label, "", "sigma", sigma, sigma * error, np.nan, np.nan))
                    continue
                z = value / error
                p = float(2 * ndtr(-abs(z)))
                if j in rows[s.gate]:
                    name = name.removesuffix(" (gate)") if name not in features.gate else name
                    found.append(Coefficient("gate", j - s.gate.start + 2, "", name, value, error, z, p))
                else:
                    label, c = divmod(j, s.per_expert)
                    category = self._category(c + 1) if s.family == "multinomial" else ""
                    found.append(Coefficient("expert", label + 1, category, name, value, error, z, p))
        return found

    def _category(self, code: int) -> str:
        return self.problem.classes[code] if self.problem.classes else str(code)


def infer(problem: Problem, local: Array) -> Inference:
    """Log-likelihood and entropy at θ, in the problem's units, in one pass; the information when it is asked for."""
    plan = problem.layout
    predictors = plan.predictors(local)
    value = entropy = 0.0
    for block in problem.standard.blocks:
        log_density, _, posterior, _ = e_step(plan, block, predictors)
        value += average(block, log_density + plan.family.base(block.y))
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(posterior > 0, -posterior * np.log(posterior), 0.0)
        entropy += average(block, np.sum(terms, axis=0))
    value -= problem.units.log_unit
    return Inference(problem, local, problem.rows * value, problem.rows * entropy)
