# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

from monai_ept.metrics import Interval
from monai_ept.reporting.numbers import decimal, difference, measured, number, p_value, percent, score, seconds, signed
from monai_ept.reporting.statistics import Estimate, estimate


def test_numbers_are_written_as_they_are_read():
    assert [number(value) for value in (0.3841, -0.021, 1.0, 12.5, -0.0001, float("nan"))] == [
        ".384", "−.021", "1.000", "12.500", ".000", "–",
    ]  # fmt: skip
    assert [signed(value) for value in (0.0214, -0.0214, 0.0)] == ["+.021", "−.021", "+.000"]
    assert score(estimate([0.4]).interval) == ".400" and score(Interval(0.4, 0.3, 0.5)) == ".400 ± .100"
    assert difference(Estimate(Interval(-0.1, -0.12, -0.08), 0.01)) == "−.100 ± .020" and difference(estimate([])) == ""
    # A p value is never rounded across the level that decides.
    assert [p_value(p) for p in (0.0004, 0.004, 0.0496, 0.0504, 0.03, 0.5, 0.999)] == [
        "< .001", ".004", ".0496", ".05", ".03", ".50", "1",
    ]  # fmt: skip
    assert [seconds(s) for s in (2.345, 44.0, 150, 9000)] == ["2.3 s", "44 s", "2.5 min", "2.5 h"]


def test_numbers_of_any_size():
    assert decimal(-0.01234) == "−0.012" and decimal(0.5, 1, signed=True) == "+0.5"
    assert [measured(value) for value in (0.25, 9.9999, -1234.5, math.nan)] == ["0.250", "10.000", "−1234", "–"]
    assert measured(12.3, signed=True) == "+12.3" and measured(-12.3, signed=True) == "−12.3"
    assert percent(0.366) == "36.6 %" and percent(0.366, 0) == "37 %"
