"""From a declaration to formulas: stable atoms, exact identities, the derivation, its lowering to NumPy."""
