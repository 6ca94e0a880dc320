# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import mlflow.pyfunc
import nibabel
import numpy as np
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from monai_ept.metrics.conformal import PredictionSets
from monai_ept.runs import network_transforms
from monai_ept.tracking.pyfunc_model import (
    PyfuncModel,
    _load_pyfunc,
    save_model_files,
)
from tests.backbones import monai_vit
from tests.tracking.scenes import MONAI_VIT, NAMES, trained


def test_images_are_prepared_as_in_the_training(tmp_path):
    net = trained(monai_vit(3), "ept", prompt_length=4)
    net.prediction_sets = PredictionSets(0.9, (0.6, 0.6, 0.6), groups=40, images=40, source="validation")
    voxels = np.random.default_rng(0).normal(0, 300, (20, 24, 16)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "a.nii")
    seen = network_transforms(net, intensity_range=(-100, 200))({"image": str(tmp_path / "a.nii")})["image"]
    (tmp_path / "model").mkdir()
    save_model_files(net, tmp_path / "model", "multilabel", MONAI_VIT, {"intensity_range": (-100, 200)})
    model = _load_pyfunc(str(tmp_path / "model"))
    (said,) = model.predict({"image": [(tmp_path / "a.nii").read_bytes()]}).to_dict(orient="records")
    with torch.inference_mode():
        expected = net(seen[None]).sigmoid()[0].numpy()
    assert np.allclose(list(said["probabilities"].values()), expected, atol=1e-6)
    assert said["class"] == [name for name, value in zip(NAMES, expected, strict=True) if value >= 0.5]
    assert said["set"] == [name for name, value in zip(NAMES, expected, strict=True) if 1 - value <= 0.6]


def test_a_model_of_earlier_releases_answers_as_it_did(tmp_path):
    net = trained("test_vit", "ept", prompt_length=4, img_size=64)
    (tmp_path / "model").mkdir()
    save_model_files(net, tmp_path / "model", "multiclass")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    del config["transforms"]
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    images = torch.randn(2, 3, 64, 64).numpy()
    kind = np.dtype(np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(kind, (-1, 3, 64, 64))]), outputs=Schema([TensorSpec(kind, (-1, 3))])
    )
    mlflow.pyfunc.save_model(
        str(tmp_path / "mlflow"),
        loader_module="monai_ept.tracking.pyfunc_model",
        data_path=str(tmp_path / "model"),
        signature=signature,
        pip_requirements=["monai_ept"],
    )
    model = mlflow.pyfunc.load_model(str(tmp_path / "mlflow"))
    with torch.inference_mode():
        expected = net.fold()(torch.from_numpy(images)).softmax(-1).numpy()
    assert np.array_equal(model.predict(images), expected)
    with pytest.raises(MlflowException, match="Failed to enforce schema"):
        model.predict({"image": ["aaaa"]})
    with pytest.raises(MlflowException, match="registered when models took tensors only: register it again"):
        _load_pyfunc(str(tmp_path / "model")).predict({"image": ["aaaa"]})


@pytest.mark.parametrize(
    "wrong, said",
    [
        (["iVBORw0KGgo"], "neither a table with a column 'image' or 'path' nor an array of numbers"),
        ([[1.0], [1.0, 2.0]], "neither a table with a column"),
        (None, "neither a table with a column"),
        (np.zeros((1, 3, 8, 8)), r"images have shape \(1, 3, 8, 8\)"),
        (np.full((1, 3, 64, 64), np.nan), "NaN"),
        ({"image": ["iVBORw0KGgo="]}, "row 1 of 1: the image is no PNG, JPEG"),
    ],
)
def test_wrong_input_is_an_error_of_mlflow_that_says_why(wrong, said, tmp_path):
    model = PyfuncModel(trained("test_vit", "ept", img_size=64), "multiclass", {"img_size": 64, "mean": 0, "std": 1})
    with pytest.raises(MlflowException, match=said) as caught:
        model.predict(wrong)
    assert caught.value.get_http_status_code() == 400 and "iVBO" not in str(caught.value)
