# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from monai_ept.bundle import begin_work, beside, finish_predictions, save_model
from monai_ept.bundle.untrained import Untrained
from monai_ept.files import WriteError
from monai_ept.handlers import PredictionTable
from monai_ept.runs import FitResult
from tests.engines.test_interrupted import small_disk  # noqa: F401, a fixture

OLD = Path(__file__).parents[1] / "runs" / "of_release_0.1" / "bundle"


@pytest.fixture(scope="module")
def training():
    return FitResult.load(OLD)


def predict(training, folder, **options):
    number = len(training.class_names)
    table = PredictionTable(["a"], np.full((1, number), 1 / number))
    return finish_predictions(table, {}, training, [{"image": "a", "id": "a"}], output_dir=folder, **options)


def test_results_are_beside_their_training_and_named_after_it(training, tmp_path):
    assert beside(training, "export") == str(OLD.with_name("bundle.export"))
    assert beside(training, "evaluation", "test") == str(OLD.with_name("bundle.evaluation-test"))
    assert beside(training, "predictions", "data/clinic A/") == str(OLD.with_name("bundle.predictions-clinic-A"))
    untrained = Untrained({"network": {}, "class_names": ["a"], "task": "multiclass"}, "train first.")
    with pytest.raises(FileNotFoundError, match=r"train first\."):
        beside(untrained, "export")


def test_what_is_there_is_refused_before_any_work(training, tmp_path, capsys):
    predict(training, tmp_path / "out")
    first = (tmp_path / "out" / "predictions.csv").read_bytes()
    for again in (lambda: predict(training, tmp_path / "out"), lambda: begin(training, tmp_path / "out")):
        with pytest.raises(FileExistsError, match="out holds predictions already: --overwrite true replaces it"):
            again()
    begin(training, tmp_path / "out", overwrite=True)
    assert predict(training, tmp_path / "out", overwrite=True).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def begin(training, folder, **options):
    begin_work(training, "predicting", 1, folder, **options)


def test_a_full_disk_leaves_nothing(training, small_disk):  # noqa: F811
    if small_disk is None:
        pytest.skip("this user may not mount a small file system")
    with pytest.raises(WriteError, match=r"model\.pt \(No space left on device\): make room"):
        save_model(nn.Linear(1000, 1000), small_disk / "export" / "model.pt")
    save_model(nn.Linear(10, 10), small_disk / "kept" / "model.pt")
    with pytest.raises(WriteError, match="No space left on device"):
        save_model(nn.Linear(1000, 1000), small_disk / "kept" / "model.pt", overwrite=True)
    assert torch.load(small_disk / "kept" / "model.pt", weights_only=True)["weight"].shape == (10, 10)
    with open(small_disk / "filler", "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(WriteError, match=r"\(No space left on device\): make room"):
        predict(training, small_disk / "out")
    (small_disk / "filler").unlink()
    assert sorted(path.name for path in small_disk.iterdir()) == ["kept"]
