# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import multiprocessing

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run.local_pool import LocalPool
from tests.benchmark.run.scenes import SWEEP


def test_a_worker_that_dies_costs_its_cell_and_no_other(tmp_path):
    endless = {"method": "full", "recipe": {"epochs": 1_000_000}}
    cells = sweep_cells(sweep_from({**SWEEP, "samplings": 1, "methods": [endless, "ept"]}))
    outcomes = {}
    with LocalPool(1, threads=1, cache=tmp_path) as pool:
        for event in pool.run(cells, pause=0.02):
            if event is not None:
                outcomes[event[0].id] = event[1].result
            elif [cell for cell, _ in pool.running] == cells[:1]:
                for worker in multiprocessing.active_children():
                    worker.kill()
    assert [outcomes[cell.id]["status"] for cell in cells] == ["failed", "finished"]
    assert "ended by SIGKILL" in outcomes[cells[0].id]["error"]
