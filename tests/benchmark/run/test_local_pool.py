# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import multiprocessing
import os
import signal

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run.local_pool import LocalPool
from tests.benchmark.run.scenes import SWEEP

ENDLESS = {"method": "full", "recipe": {"epochs": 1_000_000}}


def test_a_worker_that_dies_costs_its_cell_and_no_other(tmp_path):
    cells = sweep_cells(sweep_from({**SWEEP, "samplings": 1, "methods": [ENDLESS, "ept"]}))
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


def test_a_cell_has_its_time_whether_its_worker_works_or_is_stopped(tmp_path):
    busy = {"method": "ept", "recipe": {"epochs": 1_000_000}}
    cells = sweep_cells(sweep_from({**SWEEP, "samplings": 1, "methods": [ENDLESS, busy]}))
    outcomes, stopped = {}, []
    with LocalPool(1, threads=1, cache=tmp_path, cell_timeout=2.0) as pool:
        for event in pool.run(cells, pause=0.02):
            if event is not None:
                outcomes[event[0].id] = event[1].result
            elif not stopped and [cell for cell, _ in pool.running] == cells[:1]:
                stopped = [worker.pid for worker in multiprocessing.active_children()]
                for pid in stopped:
                    os.kill(pid, signal.SIGSTOP)
    assert stopped
    for cell in cells:
        assert outcomes[cell.id]["status"] == "failed"
        assert "TimeoutError: it was not done after 0:00:02" in outcomes[cell.id]["error"]


def test_a_pool_is_left_at_once_though_its_worker_is_stopped(tmp_path):
    cells = sweep_cells(sweep_from({**SWEEP, "samplings": 1, "methods": [ENDLESS]}))
    with LocalPool(1, threads=1, cache=tmp_path) as pool:
        for _ in pool.run(cells, pause=0.02):
            if pool.running:
                (worker,) = multiprocessing.active_children()
                os.kill(worker.pid, signal.SIGSTOP)
                break
    assert not multiprocessing.active_children()
