# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import pytest

from monai_ept.data import RecordSet, few_shot_split, list_sources, load_source, register_source
from monai_ept.data.sources import registry
from tests.data.conftest import toy, write_image


def test_names() -> None:
    names = list_sources()
    assert names == sorted(names)
    assert {"csv", "dicom", "folder", "isic2018", "medfmc", "medmnist", "nifti", "synthetic"} <= set(names)


def test_every_name_leads_to_a_function() -> None:
    for name, (loader, options) in registry._SOURCES.items():
        if isinstance(loader, str) and "synthetic" not in name:
            module, function = loader.split(":")
            import importlib
            import inspect

            parameters = inspect.signature(getattr(importlib.import_module(module), function)).parameters
            assert set(options) <= set(parameters), name


def test_load(tmp_path: Path) -> None:
    for name in ("x", "y"):
        write_image(tmp_path / name / "a.png")
    data = load_source("folder", tmp_path, class_names=["y", "x"])
    assert isinstance(data, RecordSet) and data.class_names == ("y", "x")


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="no data source 'isic2019'; the sources are csv"):
        load_source("isic2019")
    with pytest.raises(ValueError, match="give dataset_dir"):
        load_source("folder")
    with pytest.raises(TypeError, match="'folder' has no option 'pattern'; it has dataset_dir, group_pattern"):
        load_source("folder", "x", pattern="y")
    with pytest.raises(ValueError, match="already registered"):
        register_source("csv", toy)


def test_own_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_SOURCES", dict(registry._SOURCES))
    register_source("mine", toy)
    assert len(load_source("mine", "not needed", classes=2)) == 24


def test_any_source_takes_the_class_that_is_looked_for(tmp_path: Path) -> None:
    for name in ("naevus", "melanoma"):
        for number in range(4):
            write_image(tmp_path / name / f"{name}{number}.png", seed=number + 10 * len(name))
    data = load_source("folder", tmp_path, positive={"name": "melanoma", "prevalence": 0.02})
    assert data.positive is not None and data.positive.prevalence == 0.02
    split = few_shot_split(data, 1, test_fraction=0.5)
    assert split.positive == data.positive and split.class_names == data.class_names and split.task == "multiclass"
    assert "positive" not in (data.origin or {})["options"]  # no part of what the data are
    with pytest.raises(ValueError, match="positive 'melanom' is no class: did you mean 'melanoma'"):
        load_source("folder", tmp_path, positive="melanom")
