# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import sys
import threading
import time

import pytest

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run.ray_pool import RayPool
from monai_ept.benchmark.run.run_sweep import run_sweep
from monai_ept.benchmark.run.sweep_folder import SweepFolder

SWEEP = {
    "name": "cluster",
    "sources": [
        {
            "name": "synthetic_derm",
            "num_per_class": 4,
            "num_test_per_class": 1,
            "img_size": 32,
            "cache_dir": "${PICTURES}",
        }
    ],
    "backbones": [{"name": "embedded", "img_size": 32}],
    "shots": [1],
    "samplings": 3,
    "recipe": {"epochs": 2},
    "methods": ["linear", {"method": "lora", "label": "too fast", "recipe": {"lr": 1e30, "epochs": 3}}, "ept", "full"],
}


def test_without_ray_one_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'monai_ept\[ray\]'"):
        RayPool()


@pytest.fixture
def cluster():
    pytest.importorskip("ray", reason="Ray is not installed: pip install monai_ept[ray]")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


def test_a_sweep_survives_a_failing_cell_and_a_killed_node(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("PICTURES", str(tmp_path / "pictures"))
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    sweep = sweep_from(SWEEP)
    folder = SweepFolder(tmp_path / "out")
    killed = {}

    def kill():
        # Once the second node has finished a cell it has been given another, which then is lost with it.
        deadline = time.time() + 120
        while time.time() < deadline:
            for path in (tmp_path / "out").glob("cells/*/result.json"):
                if json.loads(path.read_text()).get("node") == second.node_id:
                    cluster.remove_node(second, allow_graceful=False)
                    killed["after"] = len(list((tmp_path / "out").glob("cells/*/result.json")))
                    return
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    summary = run_sweep(sweep, folder.path, ray=cluster.address, threads=1, track=False, progress=False)
    killer.join()
    assert killed["after"] < 12, "the node was not killed while there was work"
    assert (summary.total, summary.finished, summary.failed) == (12, 9, 3)
    nodes = set()
    for cell in sweep_cells(sweep):
        result = folder.result(cell)
        nodes.add(result["node"])
        assert (result["status"] == "failed") == (cell.label == "too fast"), result["error"]
        assert (folder.cell(cell) / "predictions.npz").exists() == (cell.label != "too fast")
    assert len(nodes) == 2 and second.node_id in nodes
    assert run_sweep(sweep, folder.path, workers=1, track=False, progress=False).run == 0
