# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses
import json

import mlflow
from mlflow import MlflowClient

from monai_ept.data import few_shot_split
from monai_ept.tracking import open_run
from monai_ept.tracking.dataset_input import dataset_of
from tests.data.conftest import toy


def test_mlflow_reads_the_split_as_one_of_its_data_sets(database, here):
    data = dataclasses.replace(toy(), origin={"source": "folder", "dataset_dir": str(here), "options": {"suffix": "x"}})
    split = few_shot_split(data, 2, val="shots")
    with open_run("run", "a", "data", tracking_uri=database) as run:
        run.log_dataset(dataset_of(split))
        run.log_dataset(dataset_of(split))  # as a training does that goes on
    (found,) = MlflowClient(database).get_run(run.run_id).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("toy", split.hash)
    assert {tag.key: tag.value for tag in found.tags} == {"mlflow.data.context": "training"}
    assert mlflow.data.get_source(found.dataset).uri == str(here)
    columns = json.loads(found.dataset.schema)["mlflow_colspec"]
    assert mlflow.types.Schema.from_json(json.dumps(columns)).input_names() == ["image", "label", "group", "id"]
    profile = json.loads(found.dataset.profile)
    # 3 classes of 6 groups with 2 images: 2 groups to train on and 2 to validate on, which leaves 2 to test on
    assert [profile[part]["images"] for part in ("train", "val", "test")] == [12, 12, 12]
    assert profile["num_rows"] == 36 and profile["train"]["groups_by_class"] == {"a": 2, "b": 2, "c": 2}
    assert profile["settings"]["shots"] == 2


def test_records_that_nobody_has_loaded_have_a_source_too():
    split = few_shot_split(toy(task="multilabel"), 1)
    about = dataset_of(split)
    assert about["source_type"] == "code" and json.loads(about["source"])["tags"]["source"] == "toy"
    assert {"name": "label", "type": "string", "required": True} in json.loads(about["schema"])["mlflow_colspec"]
