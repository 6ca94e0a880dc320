# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from monai_ept.__main__ import main
from monai_ept.runs import FitResult, make_network
from monai_ept.runs.find_run import finished_run
from tests.engines.scenes import CLASSES, small_fit


def test_a_training_is_registered_by_its_folder_and_by_its_run(tmp_path, monkeypatch, capsys, empty_database) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    net = make_network(CLASSES, backbone="embedded", method="linear", img_size=32)
    result = small_fit(tmp_path / "out", net, track={"experiment": "derm"}, recipe="default")
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    run = client.get_run(result.run_id)
    assert [one.dataset.name for one in run.inputs.dataset_inputs] == ["pictures"]
    (model,) = client.search_logged_models([run.info.experiment_id])
    assert (model.name, model.source_run_id, model.params["method"]) == ("linear", result.run_id, "linear")
    (adapter,) = client.list_artifacts(result.run_id, "model")
    assert model.tags["adapter"] == f"runs:/{result.run_id}/{adapter.path}"
    assert main(["register", "derm@first", "--run", "out"]) == 0
    Path("out").rename("elsewhere")  # MLflow knows enough
    assert main(["register", "derm", "--run", result.run_id]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [f"models:/derm/{n} (mlflow.pyfunc.load_model)" for n in (1, 2)]
    aliases = client.get_registered_model("derm").aliases.items()
    assert {name: str(version) for name, version in aliases} == {"first": "1", "newest": "2"}
    images = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    answers = [mlflow.pyfunc.load_model(f"models:/derm@{alias}").predict(images) for alias in ("first", "newest")]
    assert np.array_equal(*answers) and answers[0].shape == (2, 3)
    assert np.allclose(answers[0].sum(1), 1)
    assert FitResult.load("elsewhere").run_id == result.run_id
    found, _ = finished_run(result.run_id, tmp_path / "copy")  # with the evaluation, which ship is checked against
    for name in ("metrics.json", "predictions.csv"):
        copy, own = (Path(folder, "evaluation", name).read_bytes() for folder in (found.folder, "elsewhere"))
        assert copy == own


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["derm@latest", "--run", "out"], "alias 'latest'"),
        (["derm", "--run", "nowhere"], "nowhere is no folder, and there is no"),
    ],
)
def test_what_cannot_be_registered(arguments, says, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["register", *arguments]) == 2
    assert says in capsys.readouterr().err and not list(tmp_path.iterdir())
