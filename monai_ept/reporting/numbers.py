# SPDX-License-Identifier: Apache-2.0

"""How numbers are written in a report."""

from __future__ import annotations

import math

from monai_ept.metrics.interval import Interval
from monai_ept.reporting.statistics import Estimate

__all__ = [
    "bytes_of",
    "decimal",
    "difference",
    "many",
    "measured",
    "number",
    "p_value",
    "percent",
    "score",
    "seconds",
    "signed",
    "whole",
]


def number(value: float) -> str:
    """A score with three digits, ``.384``; a dash for none."""
    if math.isnan(value):
        return "–"
    text = f"{abs(value):.3f}"
    text = text[1:] if text.startswith("0.") else text
    return f"−{text}" if value < 0 and text.strip(".0") else text


def signed(value: float) -> str:
    """A difference with its sign, ``+.021``."""
    text = number(value)
    return text if math.isnan(value) or text.startswith("−") else f"+{text}"


def decimal(value: float, digits: int = 3, *, signed: bool = False) -> str:
    """
    Any number with so many digits after the point.

    Example::

        >>> decimal(-0.0123), decimal(0.5, 1, signed=True)
        ('−0.012', '+0.5')
    """
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def measured(value: float, *, signed: bool = False) -> str:
    """
    A number of any size: three digits after the point below 10, four in all from there on; a dash for none.

    Example::

        >>> measured(0.25), measured(-1234.5), measured(math.nan)
        ('0.250', '−1234', '–')
    """
    if math.isnan(value):
        return "–"
    return decimal(value, signed=signed) if abs(value) < 10 else f"{value:{'+' if signed else ''}.4g}".replace("-", "−")


def percent(share: float, digits: int = 1) -> str:
    """
    A share in hundredths.

    Example::

        >>> percent(0.366)
        '36.6 %'
    """
    return f"{decimal(100 * share, digits)} %"


def score(found: Interval) -> str:
    """``.384 ± .021``, without an interval where there is none."""
    return f"{number(found.value)} ± {number(found.half)}" if found.known else number(found.value)


def difference(found: Estimate) -> str:
    """``+.021 ± .015``; empty where there is none, and without ± where nothing can be said about the spread."""
    if math.isnan(found.mean):
        return ""
    text = signed(found.mean)
    return f"{text} ± {number(found.interval.half)}" if found.interval.known and not math.isnan(found.p) else text


def p_value(value: float) -> str:
    """``.03``; below one in a thousand only that it is."""
    if math.isnan(value):
        return "–"
    if value < 0.001:
        return "< .001"
    if value > 0.995:
        return "1"
    # Never rounded to the other side of the level at which claims are made.
    for digits in (2, 3, 4):
        text = f"{value:.{digits}f}"
        if float(text) and (float(text) < 0.05) == (value < 0.05):
            break
    return text[1:]


def whole(value: float) -> str:
    """A count with thousands apart."""
    return "–" if math.isnan(value) else f"{round(value):,}"


def seconds(value: float) -> str:
    """A duration that is read at a glance."""
    if math.isnan(value):
        return "–"
    if value < 100:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    minutes = value / 60
    return f"{minutes:.1f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def bytes_of(megabytes: float) -> str:
    """Memory that was measured in MB."""
    return "–" if math.isnan(megabytes) else f"{megabytes:,.0f} MB"


def many(count: int, noun: str) -> str:
    """ "1 cell", "2 cells"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
