"""A fitted number: its estimate and its ranges."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

Side = tuple[float | None, float | None]
"""Ends of a range; None if that side is open."""

ROUNDING = 1e-9
"""A value this close to an end counts as inside."""

LARGEST_LOG = 700.0
"""Largest logarithm whose exponential fits in double precision."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A fitted parameter; None is what the data do not identify.

    Attributes:
        estimate: The point estimate.
        ci95: 95 % confidence interval. A side is None if the data leave it open.
        identified_set: All values that the data allow without a sampling model. This is the resolution of the grid, not
            a confidence interval. A side is None if the data do not bound it.
        seed_factor: By which factor ``ci95`` is wider, in logarithms, because runs of one seed resemble each other; 1
            if they do not, None if that was not computed.
    """

    estimate: float | None = None
    ci95: Side | None = None
    identified_set: Side | None = None
    seed_factor: float | None = None

    def shifted(self, by: float) -> Estimate:
        """The same with ``by`` added to all numbers."""
        return self._mapped(lambda number: number + by)

    def widened(self, factor: float) -> Estimate:
        """The same with a confidence interval that is wider by a factor, because seeds differ."""
        if self.estimate is None or self.ci95 is None:
            return self
        low, high = (None if end is None else self.estimate + factor * (end - self.estimate) for end in self.ci95)
        return replace(self, ci95=(low, high), seed_factor=factor)

    def exponential(self) -> Estimate:
        """The constant, if this is its logarithm."""
        return self._mapped(lambda number: math.exp(min(number, LARGEST_LOG)))

    def _mapped(self, function: Callable[[float], float]) -> Estimate:
        def side(ends: Side | None) -> Side | None:
            return ends and (apply(ends[0]), apply(ends[1]))

        def apply(number: float | None) -> float | None:
            return None if number is None else function(number)

        return replace(
            self, estimate=apply(self.estimate), ci95=side(self.ci95), identified_set=side(self.identified_set)
        )


UNKNOWN = Estimate()
"""What the data do not identify."""


def contains(ends: Side, value: float) -> bool:
    """Whether a value lies in a range."""
    low, high = ends
    return (low is None or low <= value + ROUNDING) and (high is None or high >= value - ROUNDING)
