"""The theory's claims, one file each: statement, source, hypotheses, a check, and mutants that the check must refute.

Numbers of theorems are those of Fruytier, Mokhtari and Sanghavi, Learning Mixtures of Experts with EM (ICML 2025,
arXiv 2411.06056).
"""
