# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from monai_ept.bundle import begin_work, beside, finish_evaluation, finish_predictions, save_model
from monai_ept.bundle.results import claimed_from
from monai_ept.bundle.untrained import Untrained
from monai_ept.delta import store_prediction_sets
from monai_ept.files import WriteError
from monai_ept.handlers import PredictionTable
from monai_ept.metrics.conformal import PredictionSets
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


def test_predictions_and_evaluations_have_the_sets_of_the_adapter(tmp_path, capsys):
    shutil.copytree(OLD, tmp_path / "run")
    sets = PredictionSets(0.9, 0.8, groups=20, images=20, source="validation")
    store_prediction_sets(tmp_path / "run" / "delta.safetensors", sets)
    training = FitResult.load(tmp_path / "run")
    first, second, *others = training.class_names
    rest = [0.0] * len(others)
    table = PredictionTable(["a", "b"], np.array([[0.75, 0.25, *rest], [0.9, 0.1, *rest]]), np.array([1, 1]))
    records = [{"image": identity, "id": identity, "group": identity} for identity in table.ids]
    path = finish_predictions(table, {}, training, records, output_dir=tmp_path / "predictions")
    rows = list(csv.DictReader(path.open()))
    assert [(row["set"], row["sure"]) for row in rows] == [(f"{first};{second}", "not sure"), (first, "yes")]
    assert f"a: {first} 0.750, not sure: {first};{second}" in capsys.readouterr().out
    found = finish_evaluation(table, training, records, output_dir=tmp_path / "evaluation", num_resamples=10)
    assert found.metrics["prediction_sets"]["coverage"]["value"] == 0.5
    assert "Promised: for 90 % of new patients' images" in capsys.readouterr().out


def test_predictions_say_what_is_claimed_where_a_threshold_is_known(training):
    looked_for = {"name": "mel", "operating_point": 0.2, "prevalence": None}
    given = replace(training, metrics={}, record={**training.record, "positive": looked_for})
    assert claimed_from(given) == {"class": "mel", "threshold": 0.2}
    chosen = replace(given, record={**training.record, "positive": {**looked_for, "operating_point": "youden"}})
    assert claimed_from(chosen) is None and claimed_from(training) is None
    tested = replace(chosen, metrics={"positive": {"class": "mel", "threshold": 0.31}})
    assert claimed_from(tested)["threshold"] == 0.31


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
