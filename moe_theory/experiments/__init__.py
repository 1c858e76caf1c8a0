"""The papers' experiments, made again: what is run, the tables that are kept of it, and what they say."""
