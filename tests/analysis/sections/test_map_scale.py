# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.analysis.sections.map_scale import colours_about_zero, colours_of, is_flat


def test_two_points_are_a_pattern_and_less_is_none():
    assert is_flat(np.array([0.98, 0.999])) and not is_flat(np.array([0.98, 1.0001]))
    assert is_flat(np.array([0.5])) and is_flat(np.array([]))
    assert colours_of(np.array([0.98, 0.999])).keys() == {"cmap"}  # of one grey


def test_a_scale_holds_nearly_all_values_and_never_less_than_two_points():
    values = np.linspace(0, 1, 101)
    assert (colours_of(values)["vmin"], colours_of(values)["vmax"]) == pytest.approx((0.01, 0.99))
    # One odd patch makes it a pattern; what is noise beside it stays one colour.
    odd = np.append(np.linspace(0.99, 0.991, 999), 0.1)
    found = colours_of(odd)
    assert found["vmax"] - found["vmin"] == pytest.approx(0.02) and found["vmin"] < 0.99 < found["vmax"]


def test_differences_lie_about_zero_in_points():
    found = colours_about_zero(np.array([-0.05, 0.0, 0.2]))
    assert found["vmin"] == -found["vmax"] and 19 < found["vmax"] < 20
    assert colours_about_zero(np.append(np.zeros(999), 0.03))["vmax"] == pytest.approx(1)
    assert colours_about_zero(np.array([-0.005, 0.005])).keys() == {"cmap"}
