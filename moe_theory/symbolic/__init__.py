"""From a declaration to formulas: exact identities, the derivation, its lowering to NumPy."""
