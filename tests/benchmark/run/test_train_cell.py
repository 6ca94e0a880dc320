# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses

import pytest
import torch

from monai_ept.benchmark.run.train_cell import run_cell
from monai_ept.benchmark.run.worker_cache import Workbench
from monai_ept.engines import fit
from tests.benchmark.run.scenes import cells
from tests.drawing import nothing_is_drawn  # noqa: F401, a fixture


@pytest.mark.parametrize("method", ["ept", "full"])
def test_a_cell_is_what_fit_does(tmp_path, method, monkeypatch):
    (cell,) = cells([method])
    bench = Workbench(tmp_path / "images")
    nets = []
    build = bench.network
    monkeypatch.setattr(bench, "network", lambda *a: nets.append(build(*a)) or nets[-1])
    outcome = run_cell(cell, bench)

    data = bench.data(cell)
    from monai_ept.benchmark.run.worker_cache import cell_split

    net = build(cell, data)
    result = fit(
        net,
        cell_split(cell, data),
        data=data,
        recipe={**cell.recipe, "num_resamples": 0},
        seed=0,
        out_dir=tmp_path / "fit",
        track=False,
        progress=False,
    )
    for name, tensor in net.delta_tensors().items():
        assert torch.equal(tensor, nets[0].delta_tensors()[name]), name  # bit for bit
    assert outcome.result["metrics"]["auc"] == pytest.approx(result.metrics["auc"], abs=1e-9)
    assert [row["loss"] for row in outcome.result["history"]] == [row["loss"] for row in result.history]
    assert outcome.result["count"]["delta"] == net.count().delta


def test_frozen_prompts_stay_and_only_the_head_trains(tmp_path):
    (cell,) = cells([{"method": "ept", "frozen": True}])
    outcome = run_cell(cell, Workbench(tmp_path))
    assert outcome.result["count"]["delta"] == 0 and outcome.result["count"]["head"] > 0
    assert outcome.result["moved"]["c_moved"] == 0
    # Large enough a rate to be seen: without `frozen` they move.
    trained = run_cell(dataclasses.replace(cell, frozen=False), Workbench(tmp_path))
    assert trained.result["moved"]["c_moved"] > 0
    assert trained.result["moved"]["c_start"] == outcome.result["moved"]["c_start"]
