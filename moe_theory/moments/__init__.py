"""The method of moments for mixtures whose regressors are to be learnt without the gate: transforms and tensors."""
