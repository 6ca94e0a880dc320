# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import io
from pathlib import Path

import mlflow
import numpy as np
import pandas
import pytest
from mlflow import MlflowClient
from PIL import Image

from monai_ept.runs import write_bank
from monai_ept.tracking import BankTask, open_run, register_bank, register_model
from monai_ept.tracking.bank_registry import EXPERIMENT, download_model
from monai_ept.tracking.run_file import read_about
from tests.tracking.bank_scenes import LABELS, bank_folder
from tests.tracking.scenes import NAMES, NOWHERE, runs_of, trained


def asked(*tasks: str) -> pandas.DataFrame:
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8)).save(content, "PNG")
    return pandas.DataFrame({"task": tasks, "image": [content.getvalue()] * len(tasks)})


def test_a_bank_is_one_registered_model_and_gains_a_task_with_a_new_version(database, tmp_path):
    bank_folder(tmp_path)
    made = register_bank("bank", "hospital@ward")
    assert made == ("hospital", "1", "models:/hospital/1") and not Path("mlflow").exists()
    first = mlflow.pyfunc.load_model(made.uri)
    before = first.predict(asked("derm", "chest", "colon"))
    info = first.metadata
    assert info.metadata["tasks"]["chest"] == {
        **{"class_names": LABELS, "task": "multilabel", "method": "lora", "origin": ""},
    }
    assert sorted(info.metadata["tasks"]) == ["chest", "colon", "derm"]
    assert info.get_output_schema().input_names() == ["class", "probability", "probabilities", "set"]
    folder = Path(mlflow.artifacts.download_artifacts(made.uri))
    assert len(list(folder.rglob("backbone.safetensors"))) == 1 and len(list(folder.rglob("deltas/*"))) == 3
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pth", ".pt", ".bin")]
    (example,) = first.predict(info.load_input_example(str(folder))).to_dict(orient="records")
    assert example["task"] == "derm"

    # A registered model of one network becomes a task, and another takes the place of one that was there.
    with open_run("run", "ept", "registry"):
        pass
    net = trained("test_vit", "linear", img_size=64, names=["left", "right"])
    register_model(net, "sides", "run", example=np.zeros((1, 3, 64, 64)))
    other = trained("test_vit", "bias", img_size=64)
    other.save_delta("derm2.safetensors")
    sources = {"sides": "models:/sides@newest", "derm": BankTask(Path("derm2.safetensors"), origin="by hand")}
    write_bank("second", sources, base="models:/hospital@newest")
    assert register_bank("second", "hospital").version == "2"
    client = MlflowClient(database)
    aliases = client.get_registered_model("hospital").aliases.items()
    assert {name: str(version) for name, version in aliases} == {"ward": "1", "newest": "2"}
    second = mlflow.pyfunc.load_model("models:/hospital@newest")
    after = second.predict(asked("derm", "chest", "colon", "sides"))
    for index in (1, 2):
        kept, said = (list(one["probabilities"][index].values()) for one in (before, after))
        np.testing.assert_allclose(said, kept, atol=1e-6)
    assert after["probabilities"][0] != before["probabilities"][0] and [*after["probabilities"][0]] == NAMES
    assert [*after["probabilities"][3]] == ["left", "right"]
    assert second.metadata.metadata["tasks"]["derm"]["origin"] == "by hand"
    runs = runs_of(database, EXPERIMENT)
    assert [run.info.run_name for run in runs] == ["hospital", "hospital"]
    origins = {"derm": "by hand", "chest": "a delta", "colon": "a delta", "sides": read_about("run")["run_id"]}
    assert runs[0].data.params == {f"task.{name}": origin for name, origin in origins.items()}
    # One task of a bank may go into another.
    write_bank("third", {"chest": "models:/hospital/1"})
    with pytest.raises(
        ValueError, match="models:/hospital/1 is a bank without a task 'lung': it has derm, chest, colon"
    ):
        write_bank("fourth", {"lung": "models:/hospital/1"})


def test_what_cannot_be_registered_or_found_is_said(database, tmp_path):
    bank_folder(tmp_path)
    with pytest.raises(
        ConnectionError, match=f"'hospital' could not be registered: MLflow at {NOWHERE} does not answer"
    ):
        register_bank("bank", "hospital", tracking_uri=NOWHERE)
    with pytest.raises(ValueError, match="a registered model's name"):
        register_bank("bank", "a/b")
    with pytest.raises(FileNotFoundError, match="models:/nothing/1 is no model at sqlite"):
        download_model("models:/nothing/1", tmp_path / "there")
