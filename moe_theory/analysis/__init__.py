"""What the theory predicts about a run, and what the run shows."""

from moe_theory.analysis.rates import RateMeasurement, RatePrediction, measure_rate, predict_rate

__all__ = ["RateMeasurement", "RatePrediction", "measure_rate", "predict_rate"]
