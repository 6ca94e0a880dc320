# SPDX-License-Identifier: Apache-2.0

"""The metrics of a test as a table: for a terminal and for a notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import Any

from monai_ept.metrics import Interval

__all__ = ["metrics_html", "metrics_table"]


def metrics_table(metrics: Mapping[str, Any], intervals: Mapping[str, Interval] | None = None) -> str:
    """
    The scalars as text for a terminal, with their intervals.

    Example::

        >>> print(metrics_table({"accuracy": 0.75}, {"accuracy": Interval(0.75, 0.5, 1.0)}))
        metric             value    95 % interval
        accuracy           0.750    0.500 to 1.000
    """
    intervals = intervals or {}
    lines = [f"{'metric':<18} {'value':>5}" + ("    95 % interval" if intervals else "")]
    for name, value, interval in _rows(metrics, intervals):
        lines.append(f"{name:<18} {value:>5}" + (f"    {interval}" if interval else ""))
    return "\n".join(lines)


def metrics_html(metrics: Mapping[str, Any], intervals: Mapping[str, Interval] | None = None) -> str:
    """The same as an HTML table."""
    rows = [
        f"<tr><td>{html.escape(name.replace('_', ' '))}</td><td>{value}</td><td>{interval}</td></tr>"
        for name, value, interval in _rows(metrics, intervals or {})
    ]
    head = "<thead><tr><th>metric</th><th>value</th><th>95 % interval</th></tr></thead>"
    return f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"


def _rows(metrics: Mapping[str, Any], intervals: Mapping[str, Interval]) -> list[tuple[str, str, str]]:
    ends = {name: f"{_short(one.low)} to {_short(one.high)}" for name, one in intervals.items()}
    return [(name, _short(value), ends.get(name, "")) for name, value in metrics.items() if isinstance(value, float)]


def _short(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
