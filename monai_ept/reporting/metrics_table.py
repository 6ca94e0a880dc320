# SPDX-License-Identifier: Apache-2.0

"""The metrics of a test as a table: for a terminal and for a notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import Any

from monai_ept.metrics import Interval

__all__ = ["interval_text", "metric_rows", "metrics_html", "metrics_table", "value_text"]


def metrics_table(metrics: Mapping[str, Any], intervals: Mapping[str, Interval] | None = None) -> str:
    """
    The scalars as text for a terminal, with their intervals.

    Example::

        >>> print(metrics_table({"accuracy": 0.75}, {"accuracy": Interval(0.75, 0.5, 1.0)}))
        metric             value    95 % interval
        accuracy           0.750    0.500 to 1.000
    """
    rows = metric_rows(metrics, intervals)
    width = max(18, *(len(name) for name, _, _ in rows))
    lines = [f"{'metric':<{width}} {'value':>5}" + ("    95 % interval" if any(row[2] for row in rows) else "")]
    for name, value, interval in rows:
        lines.append(f"{name:<{width}} {value:>5}" + (f"    {interval}" if interval else ""))
    return "\n".join(line.rstrip() for line in lines)


def metrics_html(metrics: Mapping[str, Any], intervals: Mapping[str, Interval] | None = None) -> str:
    """The same as an HTML table."""
    rows = [
        f"<tr><td>{html.escape(name.replace('_', ' '))}</td><td>{value}</td><td>{interval}</td></tr>"
        for name, value, interval in metric_rows(metrics, intervals)
    ]
    head = "<thead><tr><th>metric</th><th>value</th><th>95 % interval</th></tr></thead>"
    return f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"


def metric_rows(
    metrics: Mapping[str, Any], intervals: Mapping[str, Interval] | None = None
) -> list[tuple[str, str, str]]:
    """
    Name, value and interval of what a table shows.

    Of two classes, the means over both of sensitivity and of specificity are the balanced accuracy again. In their
    place stand those of the positive class, or the sensitivity of each class where nobody has said which is looked for.
    """
    intervals = intervals or {}
    found = metrics.get("per_class", {}).get("sensitivity", {})
    two = len(found) == 2 and "exact_match" not in metrics
    rows = [
        (name, value_text(value), interval_text(intervals[name].low, intervals[name].high) if name in intervals else "")
        for name, value in metrics.items()
        if isinstance(value, float) and not (two and name in ("sensitivity", "specificity"))
    ]
    positive = metrics.get("positive")
    if positive is not None:
        rows.append((f"{positive['class']}, claimed from {positive['threshold']:.3g} on:", "", ""))
        for name, row in positive["metrics"].items():
            said = name.replace("_at_prevalence", f" where {100 * (positive['prevalence'] or 0):.3g} % have it")
            ends = interval_text(row.get("low", math.nan), row.get("high", math.nan))
            rows.append((f"  {said}", value_text(row["value"]), ends))
    elif two:
        ends = metrics.get("sensitivity_intervals", {})
        rows += [
            (f"sensitivity of {name}", value_text(value), interval_text(*ends[name]) if name in ends else "")
            for name, value in found.items()
        ]
    return rows


def interval_text(low: float, high: float) -> str:
    """The ends of an interval; nothing where there is none."""
    return "" if math.isnan(low) else f"{value_text(low)} to {value_text(high)}"


def value_text(value: float | None) -> str:
    """A metric with three digits; a dash for none. The minus is one that every terminal has."""
    return "–" if value is None or math.isnan(value) else f"{value:.3f}".replace("-0.000", "0.000")
