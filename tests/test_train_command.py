# SPDX-License-Identifier: Apache-2.0

"""``monai-ept train``, and what reads its result: evaluating and predicting, by command and by bundle."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
import torch
from PIL import Image

from monai_ept.__main__ import main
from monai_ept.handlers.delta_checkpoint import DeltaCheckpoint
from monai_ept.runs import FitResult
from tests.bundle.test_images_to_evaluate import paint
from tests.bundles.cases import config, environment
from tests.drawing import nothing_is_drawn  # noqa: F401, a fixture
from tests.engines.scenes import result_bytes
from tests.fresh_process import start_module

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

SMALL = ["--shots", "2", "--img-size", "32", "--test-fraction", "0.4", "--set", "num_resamples=10", "--no-track"]


def train(folder, out, *more):
    return main(["train", str(folder), *SMALL, "--out", str(out), *more])


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    paint(folder / "inside")
    paint(folder / "outside", classes=("malignant", "benign"), seed=1)
    return folder


@pytest.fixture(scope="module")
def run(images):
    """A training with a class that is looked for."""
    looked_for = ["--positive", "malignant", "--operating-point", "youden", "--prevalence", "0.02"]
    assert train(images / "inside", images / "run", *looked_for) == 0
    return images / "run"


@pytest.fixture
def out(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of_bundle(name, run, **settings):
    monai.bundle.run(config_file=config("ept_derm", name), run_dir=str(run), **settings)


def test_the_record_is_that_of_a_bundle(images, run, out, capsys):
    result = FitResult.load(run)
    data = {"source": "folder", "dataset_dir": str(images / "inside"), "options": {}}
    assert result.record["data"] == data and result.record["transforms"] == {}
    network = {"backbone": "embedded", "pretrained": False, "img_size": 32, "method": "ept", "seed": 0}
    assert result.record["network"] == network
    assert result.record["positive"] == {"name": "malignant", "operating_point": "youden", "prevalence": 0.02}
    test = result.split(result.data()).test
    assert len(test) == 6 and result.network()(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


def test_predicting_by_command_and_by_bundle(images, run, out, capsys):
    mixed = shutil.copytree(images / "outside", out / "mixed")
    (mixed / "broken.png").write_bytes((mixed / "benign" / "benign0.png").read_bytes()[:50])
    assert main(["predict", str(run), "mixed", "--out", "p"]) == 0
    said = capsys.readouterr().out
    assert f"predicting 13 images with the training in {run}" in said and "broken.png: could not be read" in said
    of_bundle("inference.yaml", run, dataset_dir="mixed", output_dir="q")
    predicted = Path("p/predictions.csv").read_bytes()
    assert predicted == Path("q/predictions.csv").read_bytes()
    rows = {row["id"]: row for row in csv.DictReader(predicted.decode().splitlines())}
    threshold = FitResult.load(run).metrics["positive"]["threshold"]
    for name, row in rows.items():
        claimed = row["error"] == "" and float(row["probability_malignant"]) >= threshold
        assert row["positive"] == ("" if name == "broken.png" else "yes" if claimed else "no")
    assert {row["positive"] for row in rows.values()} == {"", "yes", "no"}
    assert main(["predict", str(run), "mixed"]) == 0  # beside the training
    assert (run.parent / "run.predictions-mixed" / "predictions.csv").read_bytes() == predicted
    assert main(["predict", str(run), "mixed"]) == 2
    assert "holds predictions already" in capsys.readouterr().err


def test_evaluating_by_command_and_by_bundle(images, run, out, capsys):
    few = {"num_resamples": 10, "track": False}
    words = ["--num-resamples", "10", "--no-track"]
    assert main(["evaluate", str(run), *words, "--out", "e"]) == 0
    of_bundle("evaluate.yaml", run, output_dir="f", **few)
    other = str(images / "outside")
    assert main(["evaluate", str(run), other, *words, "--out", "g"]) == 0
    of_bundle("evaluate.yaml", run, output_dir="h", part="external", dataset_dir=other, **few)
    for command, bundle in ("ef", "gh"):
        for name in ("metrics.json", "predictions.csv", "curves.csv"):
            assert Path(command, name).read_bytes() == Path(bundle, name).read_bytes()
    assert Path("e/predictions.csv").read_bytes() == (run / "evaluation" / "predictions.csv").read_bytes()
    moved = shutil.copytree(images / "inside", out / "moved")
    point = ["--part", "val", "--positive", "unclear", "--operating-point", "0.3"]
    assert main(["evaluate", str(run), str(moved), *words, *point, "--out", "v"]) == 0
    found = json.loads(Path("v/metrics.json").read_text())
    assert (found["positive"]["class"], found["positive"]["threshold"]) == ("unclear", 0.3)


def test_the_other_set_is_recognised(images, run, out):
    rows = ["image,diagnosis"]
    for name in ("benign", "malignant"):
        shutil.copytree(images / "outside" / name, out / "table" / "files", dirs_exist_ok=True)
        rows += [f"{path.name},{name}" for path in sorted((images / "outside" / name).iterdir())]
    (out / "table" / "list.csv").write_text("\n".join(rows))
    words = ["--num-resamples", "0", "--no-track", "--against", str(run)]
    assert main(["evaluate", str(run), "table", *words, "--out", "e"]) == 0
    found = json.loads(Path("e/metrics.json").read_text())
    assert sum(found["support"].values()) == 12 and found["baseline"]["metrics"]["accuracy"]["difference"] == 0


def test_volumes(out):
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 8, 8), dtype=np.uint8)
    np.savez(out / "small.npz", train_images=pixels, train_labels=np.arange(8)[:, None] % 2)
    words = ["--img-size", "16", "--intensity-range", "[0, 255]", "--set", "num_resamples=0", "--no-track"]
    assert main(["train", "small.npz", "--shots", "2", *words, "--out", "run"]) == 0
    record = FitResult.load("run").record
    assert record["transforms"] == {"intensity_range": [0, 255]}
    assert {"spatial_dims": 3, "img_size": 16, "patch_size": 8, "in_channels": 1}.items() <= record["network"].items()
    monai.bundle.run(
        config_file=config("ept_volume", "evaluate.yaml"), run_dir="run", output_dir="e", num_resamples=0, track=False
    )
    assert Path("e/predictions.csv").read_bytes() == Path("run/evaluation/predictions.csv").read_bytes()


@pytest.mark.slow
def test_more_epochs_go_on(images, out, capsys):
    more = ["--recipe", "train", "--set", "schedule=constant"]
    assert train(images / "inside", "run", *more, "--epochs", "1") == 0
    assert train(images / "inside", "run", *more, "--epochs", "2") == 2
    assert "holds a finished training: --overwrite true" in capsys.readouterr().err
    assert train(images / "inside", "run", *more, "--epochs", "2", "--resume") == 0
    assert train(images / "inside", "once", *more, "--epochs", "2") == 0
    assert result_bytes(Path("run")) == result_bytes(Path("once"))


SEEDS = ["--recipe", "train", "--epochs", "2", "--set", "schedule=constant"]


def test_several_seeds(images, out, capsys):
    assert train(images / "inside", "all", *SEEDS, "--seeds", "0:2") == 0
    said = capsys.readouterr().out
    assert said.count("images to train on") == 1  # what the data are is said once
    assert "Of fewer than 5 seeds there is no interval" in said
    first = FitResult.load("all/seed0")
    before = first.delta_path.stat().st_mtime_ns
    assert train(images / "inside", "all", *SEEDS, "--seeds", "0,1,4") == 0
    assert first.delta_path.stat().st_mtime_ns == before
    rows = list(csv.DictReader(Path("all/seeds.csv").read_text().splitlines()))
    assert [row["seed"] for row in rows] == ["0", "1", "4"]
    means = {row["metric"]: row for row in csv.DictReader(Path("all/means.csv").read_text().splitlines())}
    values = [FitResult.load(f"all/seed{seed}").metrics["brier"] for seed in (0, 1, 4)]
    assert float(means["brier"]["mean"]) == pytest.approx(np.mean(values), rel=1e-6) and means["brier"]["low"] == ""
    assert train(images / "inside", "one", *SEEDS, "--seed", "4") == 0
    assert result_bytes(Path("one")) == result_bytes(Path("all/seed4"))
    capsys.readouterr()
    more = [*SEEDS, "--seeds", "0,1", "--epochs", "3"]
    assert train(images / "inside", "all", *more) == 2
    assert "holds a training of 2 epochs: --resume goes on with it" in capsys.readouterr().err
    assert train(images / "inside", "all", *more, "--resume") == 0
    assert len(FitResult.load("all/seed1").history) == 3 and len(FitResult.load("all/seed4").history) == 2
    assert train(images / "inside", "all", *SEEDS, "--seeds", "0,1", "--lr", "0.1") == 2
    assert train(images / "inside", "one", *SEEDS, "--seeds", "0,1") == 2
    assert "one holds a finished training: choose another --out" in capsys.readouterr().err


@pytest.mark.slow
def test_seeds_that_were_killed_go_on(images, out):
    words = ["train", images / "inside", *SMALL, *SEEDS, "--seeds", "0:3"]
    killed = {**environment(), "KILLED_MODULE": "monai_ept", "KILLED_AT": "3"}  # the first epoch of the second seed
    process = start_module(["tests.bundles.killed", *words], out, out / "said", killed)
    process.join()
    assert process.exitcode == -signal.SIGKILL, (out / "said").read_text()
    (folder,) = Path("runs/inside").iterdir()
    assert folder.name.startswith("ept-2shot-seeds-")
    assert DeltaCheckpoint.read(folder / "seed1" / "last.pt")["epoch"] == 1 and not (folder / "seed2").exists()
    before = (folder / "seed0" / "delta.safetensors").stat().st_mtime_ns
    process = start_module(["monai_ept", *words], out, out / "again", environment())
    process.join()
    said = (out / "again").read_text()
    assert process.exitcode == 0, said
    assert (folder / "seed0" / "delta.safetensors").stat().st_mtime_ns == before and "seed 2 " in said
    assert train(images / "inside", "one", *SEEDS, "--seed", "1") == 0
    assert result_bytes(Path("one")) == result_bytes(folder / "seed1")


def test_a_training_that_is_told_to_stop_says_how_to_go_on(images, out, monkeypatch, capsys):
    def stop(self):
        raise KeyboardInterrupt("stopped by Ctrl-C")

    monkeypatch.setattr("monai_ept.engines.training.Training.run", stop)
    assert train(images / "inside", "run") == 130
    assert capsys.readouterr().err.strip() == "monai-ept train: stopped by Ctrl-C"


def test_one_picture_is_predicted_too(run, out):
    Image.new("RGB", (40, 30), "red").save("one.png")
    assert main(["predict", str(run), "one.png", "--out", "p"]) == 0
    (row,) = csv.DictReader(Path("p/predictions.csv").read_text().splitlines())
    assert row["id"] == "one.png"
