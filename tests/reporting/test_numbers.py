# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

from monai_ept.reporting.numbers import decimal, measured, percent


def test_numbers_of_any_size():
    assert decimal(-0.01234) == "−0.012" and decimal(0.5, 1, signed=True) == "+0.5"
    assert [measured(value) for value in (0.25, 9.9999, -1234.5, math.nan)] == ["0.250", "10.000", "−1234", "–"]
    assert measured(12.3, signed=True) == "+12.3" and measured(-12.3, signed=True) == "−12.3"
    assert percent(0.366) == "36.6 %" and percent(0.366, 0) == "37 %"
