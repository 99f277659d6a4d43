"""What a measurement found, as a line of the table."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure: its runs, what it must reach, and what it was held against.

    ``least`` says which way is good: at least ``goal``, or at most.
    """

    what: str
    values: Sequence[float]
    goal: float
    unit: str
    reference: str
    least: bool = True

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def reached(self) -> bool:
        return self.median >= self.goal if self.least else self.median <= self.goal

    def __str__(self) -> str:
        sign = ">=" if self.least else "<="
        spread = f"{min(self.values):.3g} to {max(self.values):.3g}"
        verdict = "reached" if self.reached else "SHORT"
        return (
            f"{self.what:<58} {self.median:8.3g} {self.unit:<4} ({spread:<18})"
            f" {sign} {self.goal:g}  {verdict:<8} {self.reference}"
        )
