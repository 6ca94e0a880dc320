# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_ept.runs.training_record import (
    read_choice,
    read_json,
    read_record,
    with_absolute_path,
    write_choice,
    write_record,
)
from tests.runs.test_fit_result import OLD

GIVEN = {
    "name": "fit",
    "recipe": {"name": "train", "epochs": 2},
    "seed": 3,
    "class_names": ("a", "b"),
    "task": "multiclass",
    "spatial_dims": 2,
    "params": {"method": "ln", "where": Path("x")},
    "network": {"backbone": "embedded"},
}


def written(folder):
    """What the record of a training says, once it was written."""
    path = write_record(folder, **GIVEN, data={"source": "folder", "dataset_dir": "images"})
    return json.loads(path.read_text())


def test_what_is_written_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = written(tmp_path / "run")
    assert read_record(tmp_path / "run") == content
    assert content["data"] == {"source": "folder", "dataset_dir": str(tmp_path / "images")}
    assert (content["transforms"], content["params"]["where"]) == ({}, "x") and "positive" not in content
    positive = {"name": "a", "operating_point": 0.5}
    write_record(tmp_path / "run", **GIVEN, positive=positive)
    assert read_record(tmp_path / "run")["positive"] == positive and read_record(tmp_path / "run")["data"] is None


def test_release_0_1_wrote_names_and_values():
    found = read_record(OLD / "fit")
    assert found["format"] == "monai_ept training 1" and len(found["class_names"]) == 7
    assert found["params"]["method"] == "ept" and found["network"] is None
    assert read_record(OLD / "bundle")["format"] == "monai_ept training 1"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "mine"}, "its format is 'mine'"),
        ({"class_names": []}, "class_names must be a list of texts"),
        ({"class_names": ["a", 1]}, "class_names must be a list of texts"),
        ({"task": "binary"}, "task 'binary' is not known"),
        ({"network": 3}, "network"),
        ({"transforms": None}, "transforms"),
    ],
)
def test_what_no_training_of_ours_has_written_is_refused(change, says, tmp_path):
    content = {**written(tmp_path), **change}
    (tmp_path / "training.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="does not describe a training") as caught:
        read_record(tmp_path)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_no_record_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no training\.json: pass the folder of a finished training"):
        read_record(tmp_path)
    (tmp_path / "training.json").mkdir()
    with pytest.raises(OSError, match="cannot be read"):
        read_record(tmp_path)
    assert read_json(tmp_path / "none.json") is None


def test_a_path_means_the_same_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for data in (None, {"source": "synthetic_derm"}, {"source": "x", "dataset_dir": None}):
        assert with_absolute_path(data) is data
    monkeypatch.setenv("HOME", "/home/me")
    assert with_absolute_path({"dataset_dir": "~/images"}) == {"dataset_dir": "/home/me/images"}


def test_a_choice_stands_beside_what_was_told(tmp_path):
    record = written(tmp_path)
    assert read_choice(tmp_path) == {}
    write_choice(tmp_path, {"penalty": 0.3, "methods": ({"name": "ept"},)})
    assert read_choice(tmp_path) == {"penalty": 0.3, "methods": [{"name": "ept"}]}
    content = json.loads((tmp_path / "training.json").read_text())
    assert content.pop("chosen") == read_choice(tmp_path) and content == record
    write_choice(tmp_path, {"penalty": 1.0})
    assert read_choice(tmp_path) == {"penalty": 1.0}


@pytest.mark.parametrize("folder", [None, "nothing"])
def test_without_a_record_nothing_is_written(folder, tmp_path):
    where = None if folder is None else tmp_path
    write_choice(where, {"penalty": 1.0})
    assert read_choice(where) == {} and not list(tmp_path.iterdir())
