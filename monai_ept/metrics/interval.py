# SPDX-License-Identifier: Apache-2.0

"""A number and how well it is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Interval", "percentile_interval"]


class Interval(NamedTuple):
    """
    A value with the two ends of its confidence interval; NaN where they are not known.

    Example::

        >>> Interval(0.02, -0.01, 0.05).excludes_zero
        False
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def known(self) -> bool:
        """Whether there is an interval, and not only a value."""
        return not math.isnan(self.low)

    @property
    def ends(self) -> dict[str, float]:
        """Both ends by name, as a file has them beside the value; nothing where they are not known."""
        return {"low": self.low, "high": self.high} if self.known else {}

    @property
    def half(self) -> float:
        """From the value to the upper end: the number after ±."""
        return self.high - self.value

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0


def percentile_interval(value: float, drawn: Sequence[float], confidence: float = 0.95) -> Interval:
    """
    A value with the percentiles of what resamples gave, of which those that are not defined (NaN) do not count.

    Args:
        value: of the whole sample.
        drawn: the same of each resample.
        confidence: share of resamples inside the interval.
    """
    import numpy as np

    defined = np.asarray(drawn, dtype=np.float64)
    defined = defined[~np.isnan(defined)]
    if not len(defined):
        return Interval(value)
    tail = 100 * (1 - confidence) / 2
    return Interval(value, *np.percentile(defined, [tail, 100 - tail]).tolist())
