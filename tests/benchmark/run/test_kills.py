# SPDX-License-Identifier: Apache-2.0

"""
Sweeps whose processes are killed at random moments. Quick relatives of this are in ``test_run_sweep.py``, where a sweep
is killed once, and in ``test_local_pool.py``, where a worker is.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run.sweep_folder import SweepFolder
from tests.benchmark.run.killed import descendants
from tests.benchmark.run.scenes import SWEEP

KILLS = 30
CONTENT = {**SWEEP, "recipe": {"epochs": 4}, "methods": ["linear", "lora", {"method": "damp", "c": [1.0, 4.6]}, "ept"]}
CELLS = sweep_cells(sweep_from(CONTENT))


class Sweep:
    """A sweep that is run by the command, in a folder with its store."""

    def __init__(self, place: Path, track: bool = True) -> None:
        place.mkdir()
        (place / "tiny.yaml").write_text(yaml.safe_dump(CONTENT))
        self.place, self.folder = place, SweepFolder(place / "out")
        options = ["--out", "out", "--workers", "2", "--threads", "1", "--retry-failed"]
        self.command = [sys.executable, "-m", "monai_ept", "benchmark", "run", "tiny.yaml", *options]
        self.command += [] if track else ["--no-track"]
        root = str(Path(__file__).parents[3])
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
        self.environment.pop("MLFLOW_TRACKING_URI", None)

    def run(self, moment: float | None = None, chance: random.Random | None = None) -> tuple[int, str]:
        """Run it until it ends, or until a process of it is killed; its status, and who was killed."""
        struck = ""
        with open(self.place / "log", "ab") as log:
            process = subprocess.Popen(self.command, cwd=self.place, stdout=log, stderr=log, env=self.environment)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            assert chance is not None
            children = descendants(process.pid)
            workers = [pid for pid in children if pid not in direct_children(process.pid)]
            victim = chance.choice(workers) if workers and chance.random() < 0.5 else process.pid
            struck = "sweep" if victim == process.pid else "worker"
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:  # it has ended meanwhile
                struck = ""
        return process.wait(), struck

    def results(self) -> dict[str, dict]:
        """What there is of finished cells: numbers that no clock decides."""
        found = {}
        for cell in CELLS:
            result = self.folder.result(cell)
            if result is None or result["status"] == "failed":
                assert result is None or "SIGKILL" in result["error"], result["error"]
                assert result is not None or not (self.folder.cell(cell) / "result.json").exists()
                continue
            with np.load(self.folder.cell(cell) / "predictions.npz") as arrays:
                predictions = {name: arrays[name] for name in arrays}
            found[cell.id] = {**predictions, "loss": [row["loss"] for row in result["history"]]}
        return found


def direct_children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(status.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(status.parent.name))
        except OSError:
            continue
    return found


def assert_same(found: dict[str, dict], expected: dict[str, dict]) -> None:
    for name, values in found.items():
        for key, value in values.items():
            if key in ("probabilities", "loss"):
                # To the rounding of a matrix product for another number of images, see docs/benchmark.md.
                np.testing.assert_allclose(value, expected[name][key], atol=1e-5, err_msg=f"{name} {key}")
            else:
                np.testing.assert_array_equal(value, expected[name][key])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not show processes as files")
def test_a_sweep_killed_at_random_moments_gives_the_same_results(tmp_path):
    chance = random.Random(0)
    undisturbed = Sweep(tmp_path / "undisturbed", track=False)
    began = time.monotonic()
    assert undisturbed.run() == (0, ""), (undisturbed.place / "log").read_text()
    longest = time.monotonic() - began
    expected = undisturbed.results()
    assert expected.keys() == {cell.id for cell in CELLS}
    struck = {"sweep": 0, "worker": 0}
    number = 0
    while sum(struck.values()) < KILLS:
        sweep = Sweep(tmp_path / str(number))
        status = 1
        while status != 0:
            before = sweep.results()
            over = sum(struck.values()) >= KILLS
            status, who = sweep.run(None if over else chance.uniform(0, longest), chance)
            log = (sweep.place / "log").read_text()
            assert who or status == 0, log[-3000:]
            if who:
                struck[who] += 1
            after = sweep.results()
            assert before.keys() <= after.keys(), "a finished result is gone"
            assert_same(after, expected)
        assert after.keys() == expected.keys(), log[-3000:]
        assert not list(sweep.folder.path.rglob("*.partial"))
        assert_recorded(sweep)
        number += 1
    print(struck, number)


def assert_recorded(sweep: Sweep) -> None:
    """Every cell is one run of the store, finished, with its score."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{sweep.place}/mlflow.db")
    ids = [item.experiment_id for item in client.search_experiments()]
    runs = client.search_runs(ids, "tags.sweep = 'tiny'", max_results=1000)
    assert sorted(run.data.tags["cell"] for run in runs) == sorted(cell.id for cell in CELLS)
    for run in runs:
        result = json.loads((sweep.folder.path / "cells" / run.data.tags["cell"] / "result.json").read_text())
        assert run.info.status == "FINISHED" and result["run_id"] == run.info.run_id
        assert run.data.metrics["test/accuracy"] == pytest.approx(result["metrics"]["accuracy"])
