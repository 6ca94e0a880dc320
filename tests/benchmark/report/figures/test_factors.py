# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_ept.benchmark.report.figures.factors import depths_of, names_apart


def test_layers_are_counted_from_the_end_that_they_begin_at():
    everything = list(range(12))
    found = depths_of({"top": [-2, -1], "bottom": [0, 1, 2], "one": "shallow", "whole": everything, "deep": "deep"})
    assert found == {
        "top": {"top": 2},
        "bottom": {"bottom": 3},
        "one": {"bottom": 1},
        "whole": {"bottom": 12, "top": 12},
        "deep": {"bottom": 12, "top": 12},
    }
    assert depths_of({"top": [10, 11], "bottom": [0]}) == {"top": {"top": 2}, "bottom": {"bottom": 1}}
    assert depths_of({"even": [0, 2, 4], "whole": everything}) == {}  # names on an axis, not a curve


def test_ticks_of_a_logarithmic_axis_do_not_run_into_each_other():
    ticks = {float(n): str(n) for n in (5, 10, 20, 50, 100, 200, 400, 600)}
    assert names_apart(ticks) == ["5", "10", "20", "50", "100", "200", "", "600"]
