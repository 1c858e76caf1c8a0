"""What a check costs, and until when it may go on: a stranger's certificate can ask for thousands of passes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from moe_theory.certificates.contents import Rejected


@dataclass(frozen=True)
class Cost:
    """rows: of the data. passes: over them. cells: of the region, each of which is proved. seconds: about what all of
    it takes, after one block of rows was measured."""

    rows: int
    passes: int
    cells: int
    seconds: float

    def __str__(self) -> str:
        cells = f", {self.cells} cells" if self.cells > 1 else ""
        return f"{self.rows} rows x {self.passes} passes{cells}: about {max(self.seconds, 0.1):.1f} s"

    def to_dict(self) -> dict[str, float]:
        """For JSON."""
        return dict(self.__dict__)


@dataclass
class Deadline:
    """seconds: from now on (inf: no limit). statement: what is being proved."""

    seconds: float = math.inf
    statement: str = "the certificate's model and numbers"
    start: float = field(default_factory=time.perf_counter)

    def check(self) -> None:
        """Rejected if the time is up; asked between small pieces of work, so not to the second."""
        if time.perf_counter() - self.start > self.seconds:
            raise Rejected(f"not decided within {self.seconds:g} s: {self.statement}")


def measured(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
