# SPDX-License-Identifier: Apache-2.0

"""Commands as a user types them, each in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import monai.bundle
import pytest
import torch

from tests.bundles.cases import DERM, ROOT, command, config, environment

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

TRAIN = config("ept_derm", "train.yaml")
SMALL = {"source_options": DERM, "img_size": 32, "shots": 1, "seed": 2, "track": "false"}


def finish(arguments, folder, **more):
    done = subprocess.run(arguments, cwd=folder, env=environment(), text=True, capture_output=True, **more)
    return done.returncode, done.stdout + done.stderr


KILLED = """
import os, runpy, signal, sys

move, written = os.replace, []

def move_and_die(source, target):
    move(source, target)
    if os.path.basename(target) == "last.pt":
        written.append(target)
        if len(written) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

os.replace = move_and_die
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""
"""A bundle's command that ends itself as the checkpoint of the second epoch is written."""


def result(folder):
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    content = torch.load(folder / "last.pt", weights_only=True)
    return content["delta"], content["history"], metrics


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A training by the documented line, from the repository's root, into a folder elsewhere."""
    folder = tmp_path_factory.mktemp("line")
    settings = {**SMALL, "epochs": 4, "run_dir": folder / "whole"}
    code, output = finish(command("bundles/ept_derm/configs/train.yaml", **settings), ROOT.parent)
    assert code == 0, output
    return folder, output


def test_what_a_user_sees(uninterrupted):
    folder, output = uninterrupted
    for text in (
        "the embedded synthetic set; --dataset_dir PATH takes your own images",
        "a small one that needs no download, and has never seen a photograph",
        "16 images to train on",
        "epoch 4/4  loss",
        "balanced_accuracy",
        "95 % interval",
        str(folder / "whole" / "delta.safetensors"),
        "predictions.csv",
    ):
        assert text in output
    for text in (
        "Traceback",
        "Engine run",
        "input summary",
        "from checkpoint",
        "pretrained weights",
        "Resized position",
    ):
        assert text not in output


def test_killed_and_resumed_is_as_if_nothing_had_happened(uninterrupted):
    folder, _ = uninterrupted
    # From inside the bundle's folder, with a path relative to it.
    arguments = command("configs/train.yaml", **{**SMALL, "epochs": 4}, run_dir=folder / "killed", resume="true")
    settings = arguments[arguments.index("monai.bundle") + 1 :]
    code, output = finish([sys.executable, "-c", KILLED, *settings], ROOT / "ept_derm")
    assert code == -signal.SIGKILL, output
    epoch = torch.load(folder / "killed" / "last.pt", weights_only=True)["epoch"]
    assert epoch == 2 and not (folder / "killed" / "evaluation").exists()

    code, output = finish(arguments, ROOT / "ept_derm")
    assert code == 0, output
    assert f"epoch {epoch} of 4 is done" in output
    delta, history, metrics = result(folder / "whole")
    delta_again, history_again, metrics_again = result(folder / "killed")
    assert delta.keys() == delta_again.keys() and all(torch.equal(delta[key], delta_again[key]) for key in delta)
    assert history == history_again and metrics == metrics_again


def test_an_error_is_one_line(tmp_path):
    code, output = finish(command(TRAIN, **SMALL, shot=5), tmp_path)
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert code == 1 and "Traceback" not in output
    assert len(lines) == 1 and "error: --shot is no setting of " in lines[0] and "did you mean 'shots'?" in lines[0]


def test_two_processes_train_as_one_with_the_doubled_batch(tmp_path, monkeypatch):
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    files = TRAIN, config("ept_derm", "multi_gpu_train.yaml")
    settings = {**SMALL, "epochs": 2, "dropout": 0.0}
    several = command(*files, program=torchrun, **{**settings, "track": "true"}, batch_size=2, run_dir="two")
    code, output = finish(several, tmp_path)
    assert code == 0, output
    assert output.count("16 images to train on") == 1 and output.count("95 % interval") == 1
    monkeypatch.chdir(tmp_path)
    monai.bundle.run(config_file=TRAIN, **settings, batch_size=4, run_dir="one")

    delta, history, metrics = result(tmp_path / "one")
    delta_two, history_two, metrics_two = result(tmp_path / "two")
    assert [row["loss"] for row in history_two] == pytest.approx([row["loss"] for row in history], rel=1e-5)
    for key in delta:
        torch.testing.assert_close(delta_two[key], delta[key], rtol=1e-4, atol=1e-6)
    assert metrics_two["metrics"]["auc"]["value"] == pytest.approx(metrics["metrics"]["auc"]["value"], abs=1e-3)

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("ept_derm")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.data.params["batch_size"] == "2"
    steps = client.get_metric_history(run.info.run_id, "train/loss")
    assert len(steps) == 8
    assert run.data.metrics["test/auc"] == pytest.approx(metrics_two["metrics"]["auc"]["value"])
