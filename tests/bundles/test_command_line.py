# SPDX-License-Identifier: Apache-2.0

"""Commands as a user types them, each in a process of its own without the seconds of an import."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import monai.bundle
import pytest
import torch

from tests.bundles.cases import DERM, FEW, ROOT, command, config, environment
from tests.fresh_process import start_module

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

TRAIN = config("ept_derm", "train.yaml")
SMALL = {"source_options": DERM, "img_size": 32, "shots": 1, "seed": 2, "track": "false", **FEW}


def finish(arguments, folder):
    done = subprocess.run(arguments, cwd=folder, env=environment(), text=True, capture_output=True)
    return done.returncode, done.stdout + done.stderr


def start(arguments, folder, said, module="monai.bundle", **variables):
    """The same command in a process that has imported everything already."""
    given = arguments[arguments.index("monai.bundle") + 1 :]
    return start_module([module, *given], folder, said, {**environment(), **variables})


def end(process, said):
    process.join()
    return process.exitcode, said.read_text()


def result(folder):
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    content = torch.load(folder / "last.pt", weights_only=True)
    return content["delta"], content["history"], metrics


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A training by the documented line, from the repository's root, into a folder elsewhere."""
    folder = tmp_path_factory.mktemp("line")
    settings = {**SMALL, "epochs": 4, "run_dir": folder / "whole"}
    arguments = command("bundles/ept_derm/configs/train.yaml", **settings)
    code, output = end(start(arguments, ROOT.parent, folder / "line"), folder / "line")
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
    said = folder / "said"
    code, output = end(start(arguments, ROOT / "ept_derm", said, "tests.bundles.killed"), said)
    assert code == -signal.SIGKILL, output
    epoch = torch.load(folder / "killed" / "last.pt", weights_only=True)["epoch"]
    assert epoch == 2 and not (folder / "killed" / "evaluation").exists()

    code, output = end(start(arguments, ROOT / "ept_derm", said), said)
    assert code == 0, output
    assert f"epoch {epoch} of 4 is done" in output
    delta, history, metrics = result(folder / "whole")
    delta_again, history_again, metrics_again = result(folder / "killed")
    assert delta.keys() == delta_again.keys() and all(torch.equal(delta[key], delta_again[key]) for key in delta)
    assert history == history_again and metrics == metrics_again


def test_an_error_is_one_line(tmp_path):
    code, output = end(start(command(TRAIN, **SMALL, shot=5), tmp_path, tmp_path / "said"), tmp_path / "said")
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert code == 1 and "Traceback" not in output
    assert len(lines) == 1 and "error: --shot is no setting of " in lines[0] and "did you mean 'shots'?" in lines[0]


def by_torchrun(arguments, folder):
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    code, output = finish([*torchrun, *arguments[1:]], folder)
    assert code == 0, output
    return output


def as_torchrun_does(arguments, folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    said = [folder / f"said{rank}" for rank in range(2)]
    both = [start(arguments, folder, said[r], RANK=str(r), LOCAL_RANK=str(r), **place) for r in range(2)]
    ends = [end(*one) for one in zip(both, said, strict=True)]
    assert [code for code, _ in ends] == [0, 0], ends
    return "".join(output for _, output in ends)


@pytest.mark.parametrize("two", [as_torchrun_does, pytest.param(by_torchrun, marks=pytest.mark.slow)])
def test_two_processes_train_as_one_with_the_doubled_batch(two, tmp_path, monkeypatch):
    files = TRAIN, config("ept_derm", "multi_gpu_train.yaml")
    # Not AdamW: it divides by what may be nothing but rounding, and so makes it large.
    settings = {**SMALL, "epochs": 2, "dropout": 0.0, "optimizer": "sgd", "lr": 0.01}
    output = two(command(*files, **{**settings, "track": "true"}, batch_size=2, run_dir="two"), tmp_path)
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
