# SPDX-License-Identifier: Apache-2.0

"""Two models beside each other, in one sentence."""

from __future__ import annotations

import math

from monai_ept.metrics.paired_tests import PairedComparison
from monai_ept.reporting.numbers import number, p_value, signed

__all__ = ["say_comparison"]


def say_comparison(found: PairedComparison, first: str = "the first model", second: str = "the second model") -> str:
    """
    A comparison in one sentence.

    Example::

        >>> print(say_comparison(PairedComparison("auc", 0.7, 0.731, Interval(0.031, 0.004, 0.058), "DeLong", 0.03)))
        auc: the second model is ahead of the first model: +.031 (.004 to .058), p = .03 (DeLong's test).
    """
    value, low, high = found.difference
    metric = found.metric.replace("_", " ")
    if math.isnan(value):
        return f"{metric}: not defined on these images."
    ends = f" ({number(low)} to {number(high)})" if found.difference.known else ", without an interval"
    if found.test:
        p = p_value(found.p)
        why = f", p {p if p.startswith('<') else f'= {p}'} ({found.test}'s test)"
    else:
        why = f"; {found.why_no_test}" if found.why_no_test else ""
    ahead, behind = (second, first) if found.second_is_better else (first, second)
    what = f"{ahead} is ahead of {behind}" if found.told_apart else f"{second} and {first} are not told apart"
    return f"{metric}: {what}: {signed(value)}{ends}{why}."
