"""Who takes part."""

from __future__ import annotations

from .contestants import Contestant
from .from_r import Flexmix, Mixtools
from .scikit_learn import ScikitLearn
from .whole_arrays import WholeArrays, by_logaddexp, by_logsumexp


def peers() -> list[Contestant]:
    """Every peer, each with its strongest settings; those that are not available say so."""
    return [
        Flexmix(),
        Mixtools(),
        WholeArrays(by_logsumexp),
        WholeArrays(by_logaddexp),
        WholeArrays(by_logsumexp, gate_steps=1),
        WholeArrays(by_logaddexp, gate_steps=1),
        ScikitLearn(),
    ]
