"""What a measurement found, as a line of the table."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure: its runs, what it must reach, and what it was held against.

    ``least`` says which way is good: at least ``goal``, or at most. What has no goal is a bound that
    another figure is read against.
    """

    what: str
    values: Sequence[float]
    unit: str
    reference: str
    goal: float | None = None
    least: bool = True

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        spread = f"{min(self.values):.3g} to {max(self.values):.3g}"
        return (
            f"{self.what:<58} {self.median:8.3g} {self.unit:<4} ({spread:<18})"
            f" {self._verdict:<16} {self.reference}"
        )

    @property
    def _verdict(self) -> str:
        if self.goal is None:
            return "a bound"
        sign, reached = (
            (">=", self.median >= self.goal) if self.least else ("<=", self.median <= self.goal)
        )
        return f"{sign} {self.goal:g}  {'reached' if reached else 'SHORT'}"
