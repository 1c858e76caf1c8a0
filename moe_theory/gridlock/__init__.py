"""Trials of the tensor method against EM from random starts: draws, methods, what counts as success, tables."""
