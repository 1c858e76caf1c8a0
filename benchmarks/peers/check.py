"""Do the peers do what they are said to do? From one start, in the folder benchmarks/: python -m peers.check

Over the first iterations whole-array NumPy and scikit-learn, which share no M-step, have to reach the same ℓ; every ℓ
that R reports has to be the one of its parameters, by R and by NumPy. The run fails if not. Then EM to the end.
"""

from __future__ import annotations

import argparse

import numpy as np

from .contestants import Problem, log_likelihood
from .field import peers
from .from_r import Flexmix, Mixtools
from .problems import catalogue
from .scikit_learn import ScikitLearn
from .whole_arrays import WholeArrays, by_logaddexp

AGREEMENT = 1e-8  # on ℓ, absolute
ITERATIONS = 25  # before a gate that separates its experts has run away


def exact_agree(problem: Problem) -> float:
    """Largest difference in ℓ of the exact contestants after ITERATIONS."""
    exact = [WholeArrays(), WholeArrays(by_logaddexp), ScikitLearn()]
    values = [c.run(problem, ITERATIONS, 0.0).log_likelihood for c in exact if c.available() is None]
    return float(np.ptp(values))


def claims_agree(problem: Problem) -> float:
    """Largest difference between what R claims, R's own exact ℓ and the judge's."""
    worst = 0.0
    for contestant in (Flexmix(), Mixtools()):
        if contestant.available() is None and contestant.supports(problem) is None:
            r = contestant.run(problem, ITERATIONS, 1e-10)
            if r.parameters is None:
                raise SystemExit(f"{contestant.name}, {problem.name}: {r.note}")
            values = [r.log_likelihood, r.figures["log_likelihood_claimed"], log_likelihood(problem, r.parameters)]
            worst = max(worst, float(np.ptp(values)))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=1, help="starts per data set")
    parser.add_argument("--iterations", type=int, default=1000, help="at most so many, to the end")
    parser.add_argument("--tolerance", type=float, default=1e-10)
    options = parser.parse_args()
    for why in filter(None, (contestant.available() for contestant in peers())):
        print(why)
    for problem in (p for data in catalogue() for p in data.problems(options.starts)):
        exact, claims = exact_agree(problem), claims_agree(problem)
        print(f"{problem.name}: exact ones differ by {exact:.0e}, claims by {claims:.0e}", flush=True)
        if not max(exact, claims) <= AGREEMENT:
            raise SystemExit("more than expected")
        for contestant in peers():
            if contestant.available() is None and contestant.supports(problem) is None:
                r = contestant.run(problem, options.iterations, options.tolerance)
                figures = {key: float(f"{value:.10g}") for key, value in r.figures.items()}
                print(f"  {r.name:36} {r.log_likelihood:16.8f} {r.iterations:5} in {r.seconds:6.2f} s", end=" ")
                print("converged" if r.converged else "not converged", r.note, figures, flush=True)


if __name__ == "__main__":
    main()
