"""Mixtures of experts as scikit-learn estimators: `fit_problem` behind `fit`, `predict` and what pipelines expect."""

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "moe_theory.estimators: expected scikit-learn 1.6 or later; pip install 'moe-theory[sklearn]'"
    ) from error

from moe_theory.estimators.classifier import MixtureOfExpertsClassifier
from moe_theory.estimators.regressor import MixtureOfExpertsRegressor

__all__ = ["MixtureOfExpertsClassifier", "MixtureOfExpertsRegressor"]
