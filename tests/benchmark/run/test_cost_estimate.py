# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run import cost_estimate
from monai_ept.benchmark.run.cost_estimate import CostModel
from monai_ept.benchmark.run.train_cell import run_cell
from monai_ept.benchmark.run.worker_cache import Workbench
from tests.benchmark.run.scenes import SWEEP, cells, count_passes


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


@pytest.fixture
def estimate(monkeypatch):
    """Cells and how many passes each should take, by seconds of which a pass takes so many that nothing else counts."""
    monkeypatch.setattr(cost_estimate, "_forward", lambda *_: 1000.0)

    def count(methods, **changes):
        todo = cells(methods, val="none", **changes)
        cost = CostModel(todo)
        cost.prepare()
        return [(cell, round(cost.seconds(cell) / 1000)) for cell in todo]

    return count


SOLVE = {"name": "solve", "views": "turned", "amp": "off"}


def test_solved_heads_take_the_passes_that_are_estimated(estimate, tmp_path, monkeypatch):
    passes = count_passes(monkeypatch)
    found = estimate(["linear", {"method": "ept", "prompt_length": 3}, "bias"], recipe=SOLVE, shots=[1, 2])
    bench, names = Workbench(tmp_path), 0
    passes.clear()
    for cell, _ in found:
        run_cell(cell, bench)
        names += 3 if cell.name == "ept" else 2  # networks are known by a pass each
    assert sum(number for _, number in found) == pytest.approx(sum(passes) - names, rel=0.1)
    assert [number for cell, number in found if cell.name == "bias"] == [0, 0]  # whose features linear has left


def test_what_several_cells_look_at_is_counted_at_the_first(estimate):
    first, *others = [number for _, number in estimate(["linear", "mlp"], recipe={"epochs": 3})]
    assert first > 0 and others == [0]
    fixed = [number for _, number in estimate(["linear"], recipe={"epochs": 3, "augment": False})]
    assert 0 < fixed[0] < first  # an image that always looks the same is seen once


def test_other_samplings_draw_some_of_the_same_images(estimate):
    found = [number for _, number in estimate(["linear"], recipe=SOLVE, samplings=6)]
    assert found[0] > found[1] > found[-1] > 0


def test_features_take_room_on_the_disk(estimate):
    sizes = []
    for recipe in ({"epochs": 1}, SOLVE):
        todo = cells(["linear"], recipe=recipe, val="none")
        cost = CostModel(todo)
        cost.prepare()
        sizes.append(cost.disk())
    assert sizes[1] > sizes[0] + 4 * 1536 * 8 * 7  # eight views of an image of each class, at least
