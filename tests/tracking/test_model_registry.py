# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image

from monai_ept.runs import network_transforms
from monai_ept.tracking import open_run, register_model
from monai_ept.tracking.model_registry import name_and_alias
from monai_ept.tracking.run_file import read_about
from tests.backbones import shaken
from tests.tracking.scenes import NAMES, NOWHERE, trained


def test_a_registered_model_answers_the_same_and_holds_no_pickle(server, monkeypatch, tmp_path):
    net = trained("test_vit", "ept", prompt_length=4, img_size=64)
    shaken(net.backbone)  # weights that no name could give
    images = torch.randn(5, 3, 64, 64)
    with open_run("run", "ept", "registry", tracking_uri=server.uri):
        pass
    first = register_model(net, "derm-ept", "run", example=images)
    assert first == ("derm-ept", "1", "models:/derm-ept/1")
    assert register_model(net, "derm-ept", "run", example=images.numpy(), task="multilabel").version == "2"
    client, run_id = MlflowClient(server.uri), read_about("run")["run_id"]
    assert client.get_model_version("derm-ept", "1").run_id == run_id
    assert client.get_model_version_by_alias("derm-ept", "newest").version == "2"
    # By the run's id, where nothing is known of its folder; the alias goes to the version that asked for it.
    for number in ("3", "4"):
        made = register_model(net, "derm-ept@champion", run_id, example=images, tracking_uri=server.uri)
        assert made == ("derm-ept", number, f"models:/derm-ept/{number}")
    register_model(net, "derm-ept", run_id, example=images, tracking_uri=server.uri)
    assert client.get_registered_model("derm-ept").aliases == {"champion": "4", "newest": "5"}

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    model = mlflow.pyfunc.load_model(first.uri)
    with torch.inference_mode():
        logits, folded = net(images), net.fold()(images)
    answer = model.predict(images.numpy())
    assert np.array_equal(answer, folded.softmax(-1).numpy())
    assert np.allclose(answer, logits.softmax(-1).numpy(), atol=1e-6) and np.ptp(answer, axis=0).min() > 1e-3
    sigmoid = mlflow.pyfunc.load_model("models:/derm-ept/2").predict(images.numpy())
    assert np.array_equal(sigmoid, folded.sigmoid().numpy())

    info = model.metadata
    # It takes tensors and tables, which no schema of MLflow's can say.
    assert info.get_input_schema() is None
    assert info.get_output_schema().input_names() == ["class", "probability", "probabilities"]
    assert info.metadata["class_names"] == NAMES and info.metadata["img_size"] == [64, 64]
    with pytest.raises(mlflow.exceptions.MlflowException, match=r"shape \(5, 1, 64, 64\), the network takes"):
        model.predict(images.numpy()[:, :1])
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (70, 90, 3), dtype=np.uint8)).save("a.png")
    seen = network_transforms(net)({"image": "a.png"})["image"]
    table = pandas.DataFrame({"image": [Path("a.png").read_bytes()]})
    (said,) = model.predict(table).to_dict(orient="records")
    with torch.inference_mode():
        expected = net(seen[None]).softmax(-1)[0]
    assert list(said) == ["class", "probability", "probabilities"] and said["class"] == NAMES[expected.argmax()]
    assert np.allclose(list(said["probabilities"].values()), expected, atol=1e-6)
    folder = Path(mlflow.artifacts.download_artifacts(first.uri))
    example = info.load_input_example(str(folder))
    assert np.array_equal(example, images[:1].numpy())
    files = sorted(path.name for path in folder.rglob("*") if path.is_file())
    assert files == sorted({*files} - {name for name in files if name.endswith((".pkl", ".pth", ".pt", ".bin"))})
    assert {"backbone.safetensors", "config.json", "delta.safetensors"} <= {*files}
    assert "monai_ept==" in (folder / "requirements.txt").read_text()
    by_alias = mlflow.pyfunc.load_model("models:/derm-ept@champion")
    assert np.array_equal(by_alias.predict(images.numpy()), answer)
    assert len(client.get_run(run_id).outputs.model_outputs) == 5


def test_registration_that_cannot_be_says_why(database, monkeypatch, tmp_path):
    net = trained("test_vit", "linear", img_size=64)
    images = torch.zeros(1, 3, 64, 64)
    with pytest.raises(ValueError, match=r"nowhere holds no run that has reached MLflow"):
        register_model(net, "name", "nowhere", example=images)
    with open_run("run", "a", "registry"):
        pass
    with pytest.raises(ValueError, match=r"task 'multi-label' is not known: did you mean 'multilabel'"):
        register_model(net, "name", "run", example=images, task="multi-label")
    with pytest.raises(
        ConnectionError, match=f"'name' could not be registered, .*not touched: MLflow at {NOWHERE} does not answer"
    ):
        register_model(net, "name", "run", example=images, tracking_uri=NOWHERE)


@pytest.mark.parametrize("name", ["a@", "a@latest", "a@v12", "a@b c", "@champion", "a@b@c", "a/b", ""])
def test_names_and_aliases_that_mlflow_refuses(name):
    with pytest.raises(ValueError, match=r"alias|a registered model's name"):
        name_and_alias(name)
    assert name_and_alias("derm ept@Champion_1-b") == ("derm ept", "Champion_1-b")
