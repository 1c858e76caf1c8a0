"""moe_theory: verify the theory of learning mixtures of experts.

Declare a model once in SymPy; derive its exponential family, mirror map, Fisher informations and missing-information
matrix; compute every expectation as a sum over weighted rows; check the theorems on that one core.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moe_theory.algorithms import (
        EM,
        Algorithm,
        AnnealedEM,
        BlockGradientEM,
        GeneralisedEM,
        GradientDescent,
        GradientEM,
        MirrorDescent,
        Squarem,
        StochasticGradient,
        Trace,
        run,
    )
    from moe_theory.algorithms.fit import fit
    from moe_theory.analysis import RateMeasurement, RatePrediction, measure_rate, predict_rate
    from moe_theory.analysis.asymptotics import high_snr, low_snr
    from moe_theory.analysis.conditions import conditions
    from moe_theory.analysis.experiment import Experiment, rate_experiment
    from moe_theory.analysis.regions import largest_region
    from moe_theory.analysis.signal import largest_basin, least_signal, rate_bound
    from moe_theory.analysis.snr import snr_boundary, snr_map
    from moe_theory.analysis.symmetry import distance
    from moe_theory.atoms import expit, log_expit, log_normal, softplus
    from moe_theory.certificates import Certificate, certify
    from moe_theory.certificates.checker import Checked, check, check_file
    from moe_theory.certificates.curve import radius_curve
    from moe_theory.certificates.population import RateEnclosure, certified_rate
    from moe_theory.claims.audit import audit, verify_model
    from moe_theory.datasets.columns import read_data
    from moe_theory.errors import (
        CurvedModelError,
        DerivationError,
        InputError,
        MoeTheoryError,
        NotExponentialFamilyError,
    )
    from moe_theory.estimators import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
    from moe_theory.evaluation import Penalty, evaluate
    from moe_theory.laws import Data, Finite, MonteCarlo, Population
    from moe_theory.mixture import Choice, MixtureFit, Problem, align, choose_k, fit_mixture
    from moe_theory.mixture.formula import fit_formula
    from moe_theory.model import Model
    from moe_theory.operators import (
        bregman,
        complete_information,
        gradient,
        kl,
        majoriser,
        mirror_map,
        missing_information,
        missing_information_matrix,
        objective,
        observed_information,
    )
    from moe_theory.recovery.gate import fit_gate
    from moe_theory.recovery.recover import recover
    from moe_theory.recovery.result import Recovery
    from moe_theory.report.certificate import certificate_figure
    from moe_theory.report.drawing import save_figure
    from moe_theory.report.figures import rate_figure
    from moe_theory.report.interactive import slider
    from moe_theory.report.landscape import landscape_figure
    from moe_theory.report.listing import audit_table, table, verdict_table
    from moe_theory.report.maps import asymptote_figure, phase_map
    from moe_theory.report.mixture import mixture_figure
    from moe_theory.report.recovery import recovery_figure
    from moe_theory.report.redraw import redraw
    from moe_theory.report.themes import set_theme, theme
    from moe_theory.response import Counts, Interval, Positive, Reals, Values
    from moe_theory.symbolic.derive import Derivation, derive, why_not
    from moe_theory.zoo import (
        activated_experts,
        erased_labels,
        gate_only,
        linear_experts,
        softmax_moe,
        symmetric_linear,
        symmetric_logistic,
    )

__version__ = "0.1.0"

# Names are loaded when first used: importing the package costs next to nothing, and a command imports what it needs.
_HOME = {
    "moe_theory.algorithms": "EM LBFGS Algorithm AnnealedEM BlockGradientEM GeneralisedEM GradientDescent GradientEM"
    " InexactEM MirrorDescent Squarem StochasticGradient Trace run",
    "moe_theory.algorithms.fit": "fit",
    "moe_theory.analysis": "RateMeasurement RatePrediction measure_rate predict_rate",
    "moe_theory.analysis.asymptotics": "high_snr low_snr",
    "moe_theory.analysis.regions": "largest_region",
    "moe_theory.analysis.signal": "largest_basin least_signal rate_bound",
    "moe_theory.analysis.conditions": "conditions",
    "moe_theory.analysis.snr": "snr_boundary snr_map",
    "moe_theory.analysis.experiment": "Experiment rate_experiment",
    "moe_theory.analysis.symmetry": "distance",
    "moe_theory.certificates": "Certificate certify",
    "moe_theory.certificates.checker": "Checked check check_file",
    "moe_theory.certificates.curve": "radius_curve",
    "moe_theory.certificates.population": "RateEnclosure certified_rate",
    "moe_theory.claims.audit": "audit verify_model",
    "moe_theory.datasets.columns": "read_data",
    "moe_theory.errors": "CurvedModelError DerivationError InputError MoeTheoryError NotExponentialFamilyError",
    "moe_theory.estimators": "MixtureOfExpertsClassifier MixtureOfExpertsRegressor",
    "moe_theory.evaluation": "Penalty evaluate",
    "moe_theory.mixture": "Choice MixtureFit Problem align choose_k fit_mixture",
    "moe_theory.mixture.formula": "fit_formula",
    "moe_theory.model": "Model",
    "moe_theory.response": "Counts Interval Positive Reals Values",
    "moe_theory.recovery.gate": "fit_gate",
    "moe_theory.recovery.recover": "recover",
    "moe_theory.recovery.result": "Recovery",
    "moe_theory.laws": "Data Finite MonteCarlo Population",
    "moe_theory.operators": "bregman complete_information gradient kl majoriser mirror_map missing_information"
    " missing_information_matrix objective observed_information",
    "moe_theory.report.certificate": "certificate_figure",
    "moe_theory.report.drawing": "save_figure",
    "moe_theory.report.figures": "rate_figure",
    "moe_theory.report.interactive": "slider",
    "moe_theory.report.landscape": "landscape_figure",
    "moe_theory.report.listing": "audit_table table verdict_table",
    "moe_theory.report.mixture": "mixture_figure",
    "moe_theory.report.recovery": "recovery_figure",
    "moe_theory.report.redraw": "redraw",
    "moe_theory.report.themes": "set_theme theme",
    "moe_theory.report.maps": "asymptote_figure phase_map",
    "moe_theory.atoms": "expit log_expit log_normal softplus",
    "moe_theory.symbolic.derive": "Derivation derive why_not",
    "moe_theory.zoo": "activated_experts erased_labels gate_only linear_experts softmax_moe symmetric_linear"
    " symmetric_logistic",
}
_MODULE = {name: module for module, names in _HOME.items() for name in names.split()}
# What an extra is needed for is not what `*` means.
__all__ = sorted([*(name for name, home in _MODULE.items() if home != "moe_theory.estimators"), "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*_MODULE, "__version__"])
