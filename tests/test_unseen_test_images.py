# SPDX-License-Identifier: Apache-2.0

"""No step before the test opens a test image: where none can be read, training runs to its end and the test fails."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from monai_ept import TunedViT, fit
from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run.train_cell import work_on
from monai_ept.benchmark.run.worker_cache import Workbench, cell_split
from monai_ept.data import few_shot_split, load_source
from monai_ept.engines import RECIPES, Training
from tests.drawing import nothing_is_drawn  # noqa: F401, a fixture

SHORT = {
    "default": {},
    "solve": {},
    "train": {"epochs": 1},
    "paper": {"epochs": 1},
    "tune": {"epochs": 1, "steps_per_epoch": 1, "warmup_steps": 0},
}
DOORS = [(name, method) for name in RECIPES for method in ("linear", "ept")]


@pytest.fixture
def folder(tmp_path):
    """Images of two classes, each of a patient of its own."""
    rng = np.random.default_rng(0)
    for index in range(16):
        path = tmp_path / "data" / ("red", "green")[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
    return tmp_path / "data"


def damage(records):
    """Files that are there, and that whoever opens them for their pixels stumbles over."""
    for record in records:
        with open(record["image"], "r+b") as file:
            file.write(b"no image")


@pytest.mark.parametrize(("recipe", "method"), DOORS)
def test_a_training_by_fit(folder, tmp_path, recipe, method):
    data = load_source("folder", folder)
    split = few_shot_split(data, 3, test_fraction=0.4)
    damage(split.test)
    torch.manual_seed(0)
    settings = {"prompt_length": 3} if method == "ept" else {}
    net = TunedViT("embedded", data.num_classes, method=method, img_size=32, **settings)
    with pytest.raises(RuntimeError, match="LoadRecordd"):
        fit(
            net,
            split,
            data=data,
            recipe={"name": recipe, **SHORT[recipe]},
            out_dir=tmp_path / "run",
            track=False,
            progress=False,
        )
    assert (tmp_path / "run" / "delta.safetensors").is_file()  # the end of training
    assert not (tmp_path / "run" / "evaluation" / "metrics.json").exists()


@pytest.mark.parametrize(("recipe", "method"), DOORS)
def test_a_cell_of_a_sweep(folder, tmp_path, recipe, method, monkeypatch):
    source = {"name": "folder", "dataset_dir": str(folder), "test_fraction": 0.4}
    content = {"name": "t", "sources": [source], "backbones": [{"name": "embedded", "img_size": 32}], "shots": [3]}
    entry = {"method": method, "recipe": {"name": recipe, **SHORT[recipe]}}
    (cell,) = sweep_cells(sweep_from({**content, "samplings": 1, "methods": [entry]}))
    bench = Workbench(tmp_path / "images")
    damage(cell_split(cell, bench.data(cell)).test)
    ended = []
    train = Training.train
    monkeypatch.setattr(Training, "train", lambda training: [train(training), ended.append(training)][0])
    result = work_on(cell, bench).result
    assert result["status"] == "failed" and "_predict" in result["details"]
    assert len(ended) == 1  # training came to its end
