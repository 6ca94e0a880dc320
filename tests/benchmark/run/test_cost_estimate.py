# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run.cost_estimate import CostModel
from tests.benchmark.run.scenes import SWEEP


def test_the_estimate_learns_from_what_cells_have_taken():
    cells = sweep_cells(sweep_from({**SWEEP, "shots": [1, 2], "methods": ["linear", "ept", "full"]}))
    cost = CostModel(cells)
    assert cost.left(cells) == 0  # nothing is known
    cost.prepare()
    linear, ept, full = (cost.seconds(cell) for cell in cells[:3])
    assert linear < ept < full and cost.disk() > 0
    cost.measured(cells[1], 10 * ept)
    assert cost.seconds(cells[1]) == pytest.approx(10 * ept)
    assert cost.seconds(cells[2]) == pytest.approx(10 * full)  # nothing else is known of this machine
    cost.measured(cells[2], full)
    assert cost.seconds(cells[2]) == pytest.approx(full)
