# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_ept.metrics import Interval, percentile_interval


def test_percentiles_of_what_is_defined():
    drawn = [*np.linspace(0, 1, 101), math.nan]
    assert percentile_interval(0.5, drawn) == (0.5, pytest.approx(0.025), pytest.approx(0.975))
    assert percentile_interval(0.5, drawn, confidence=0.8)[1:] == (pytest.approx(0.1), pytest.approx(0.9))
    nothing = percentile_interval(0.5, [math.nan])
    assert nothing.value == 0.5 and not nothing.known


def test_an_interval_says_whether_zero_lies_outside():
    assert Interval(0.2, 0.1, 0.3).excludes_zero and Interval(-0.2, -0.3, -0.1).excludes_zero
    assert not Interval(0.2, -0.1, 0.3).excludes_zero and not Interval(0.2).excludes_zero
    assert Interval(0.2, 0.1, 0.35).half == pytest.approx(0.15)
