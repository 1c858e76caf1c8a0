"""Laws of (x, y): a data set, a finite table, a Monte Carlo sample, the population. All lower to weighted rows."""

from moe_theory.laws.montecarlo import MonteCarlo
from moe_theory.laws.population import Population
from moe_theory.laws.rows import Block, Law, Rows
from moe_theory.laws.table import Data, Finite

__all__ = ["Block", "Data", "Finite", "Law", "MonteCarlo", "Population", "Rows"]
