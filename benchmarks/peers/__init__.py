"""The peers of the EM benchmark and its problems; imported from scripts in benchmarks/ as `peers`."""
