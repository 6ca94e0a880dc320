# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import sys

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
    "samplings": 2,
    "recipe": {"name": "train", "epochs": 2},
    "methods": ["linear", {"method": "lora", "label": "too fast", "recipe": {"lr": 1e30, "epochs": 3}}, "ept"],
}


def test_without_ray_one_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'monai_ept\[ray\]'"):
        RayPool()


@pytest.fixture
def cluster():
    """A cluster whose head does no cells, so that the other nodes must."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install monai_ept[ray]")
    from ray.cluster_utils import Cluster

    # A node that is slow to answer, on a machine at its limits, is not a dead one: nobody would take its work then.
    patient = {"health_check_timeout_ms": 60_000}
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": patient}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster
    cluster.shutdown()


# Beside two busy loops on two cores Ray begins no cell for minutes: this waits for a machine that has room.
@pytest.mark.slow
def test_a_node_does_what_a_worker_here_would(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("PICTURES", str(tmp_path / "pictures"))
    node = cluster.add_node(num_cpus=1)
    sweep = sweep_from({**SWEEP, "samplings": 1, "methods": SWEEP["methods"][:2]})
    folder = SweepFolder(tmp_path / "out")
    summary = run_sweep(sweep, folder.path, ray=cluster.address, threads=1, track=False, progress=False)
    assert (summary.total, summary.finished, summary.failed) == (2, 1, 1)
    done, failed = (folder.result(cell) for cell in sweep_cells(sweep))
    assert done["node"] == node.node_id and "NonFiniteError: the loss is" in failed["error"]


@pytest.mark.slow
def test_a_sweep_survives_a_failing_cell_and_a_killed_node(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("PICTURES", str(tmp_path / "pictures"))
    nodes = [cluster.add_node(num_cpus=2)]  # two cells at once: when one is done, the other is at work
    sweep = sweep_from(SWEEP)
    write = SweepFolder.write

    def kill_after_the_first_cell(folder, cell, result, predictions):
        write(folder, cell, result, predictions)
        if len(nodes) == 1:
            nodes.append(cluster.add_node(num_cpus=1))
            cluster.remove_node(nodes[0], allow_graceful=False)

    monkeypatch.setattr(SweepFolder, "write", kill_after_the_first_cell)
    out = tmp_path / "out"
    summary = run_sweep(sweep, out, ray=cluster.address, threads=1, track=False, progress=False)
    assert (summary.total, summary.finished, summary.failed) == (6, 4, 2)
    done_by = set()
    folder = SweepFolder(out)
    for cell in sweep_cells(sweep):
        result = folder.result(cell)
        done_by.add(result["node"])
        assert (result["status"] == "failed") == (cell.label == "too fast"), result["error"]
        assert (folder.cell(cell) / "predictions.npz").exists() == (cell.label != "too fast")
    assert done_by == {node.node_id for node in nodes}
    assert run_sweep(sweep, out, workers=1, track=False, progress=False).run == 0


@pytest.mark.slow
def test_a_cell_has_its_time_on_a_cluster_too(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("PICTURES", str(tmp_path / "pictures"))
    cluster.add_node(num_cpus=1)
    endless = {"method": "full", "recipe": {"epochs": 1_000_000}}
    (cell,) = sweep_cells(sweep_from({**SWEEP, "samplings": 1, "methods": [endless]}))
    with RayPool(cluster.address, cell_timeout=5.0) as pool:
        ((_, outcome),) = [event for event in pool.run([cell]) if event is not None]
    assert "TimeoutError: it was not done after 0:00:05" in outcome.result["error"]
