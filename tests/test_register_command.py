# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas
import pytest
from mlflow import MlflowClient
from PIL import Image

from monai_ept.__main__ import main
from monai_ept.runs import FitResult, make_network
from monai_ept.runs.find_run import finished_run
from tests.drawing import nothing_is_drawn  # noqa: F401, a fixture
from tests.engines.scenes import CLASSES, small_fit


def test_a_training_is_registered_by_its_folder_and_by_its_run(tmp_path, monkeypatch, capsys, empty_database) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    net = make_network(CLASSES, backbone="embedded", method="linear", img_size=32)
    result = small_fit(tmp_path / "out", net, track={"experiment": "derm"}, recipe={"num_resamples": 5})
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
    # Several of them are one model, which gains a task with a new version.
    assert main(["register", "hospital", "--run", "derm=elsewhere", "--run", f"skin={result.run_id}"]) == 0
    assert main(["register", "hospital@ward", "--add", "--run", "moles=models:/derm@first"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"models:/hospital/{n} (mlflow.pyfunc.load_model)" for n in (1, 2)
    ]
    bank = mlflow.pyfunc.load_model("models:/hospital@ward")
    origins = {name: about["origin"] for name, about in bank.metadata.metadata["tasks"].items()}
    assert origins == dict.fromkeys(("derm", "skin", "moles"), result.run_id)
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save("black.png")
    table = pandas.DataFrame({"task": ["skin", "moles"], "image": [Path("black.png").read_bytes()] * 2})
    (skin, moles) = bank.predict(table)["probabilities"]
    (alone,) = mlflow.pyfunc.load_model("models:/derm@first").predict(table[["image"]][:1])["probabilities"]
    assert list(skin) == list(CLASSES) and np.allclose(
        [list(skin.values()), list(moles.values())], list(alone.values()), atol=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["derm@latest", "--run", "out"], "alias 'latest'"),
        (["derm", "--run", "nowhere"], "nowhere is no folder, and there is no"),
        (["derm", "--add", "--run", "out"], "--add is for the tasks of a bank"),
        (["hospital", "--run", "a=out", "--run", "nowhere"], "'nowhere' has no value: write it as NAME=VALUE"),
        (["hospital", "--run", "a=out", "--run", "a=nowhere"], "--run takes a name of its own for each task"),
        (["hospital", "--run", "a/b=out", "--run", "c=out"], "a task's name has up to 63 letters"),
        (["hospital", "--run", "a=nowhere", "--run", "b=out"], "nowhere is no folder, and there is no"),
        (["hospital", "--run", "a=models:/none@newest", "--run", "b=out"], "models:/none@newest is no model at sqlite"),
    ],
)
def test_what_cannot_be_registered(arguments, says, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["register", *arguments]) == 2
    assert says in capsys.readouterr().err and not list(tmp_path.iterdir())
