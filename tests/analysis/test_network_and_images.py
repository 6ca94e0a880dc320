# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_ept import TunedViT
from monai_ept.analysis.network_and_images import NetworkAndImages, find_network_and_images, record_analysis, sets_at
from monai_ept.data import DataError, few_shot_split, load_source
from tests.noise_files import noise_files


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A delta file and its images, with a split of them."""
    monkeypatch.chdir(tmp_path)
    data = load_source("folder", noise_files(tmp_path / "images"))
    torch.manual_seed(0)
    TunedViT("embedded", 2, method="ln", img_size=32, class_names=data.class_names).save_delta("net.safetensors")
    few_shot_split(data, 2, test_fraction=0.4, val="shots").save("split.json")
    return {"delta": "net.safetensors", "source": "folder", "dataset_dir": "images"}


def test_a_delta_with_the_images_that_somebody_names(place, caplog):
    found = find_network_and_images(**place, split="split.json")
    assert found.net.method_name == "ln" and found.folder is None and found.val is None
    assert len(found.images.test) and found.images.train
    assert record_analysis(found, {"ece": 0.1}, [], False) == ""  # it has no run
    without = find_network_and_images(**place)
    assert (
        len(without.images) == 12
        and "all images are analysed, and those that the network was trained on" in caplog.text
    )


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"delta": None}, ValueError, "name what to analyse with either --run or --delta"),
        ({"run": "here"}, ValueError, "name what to analyse with either --run or --delta"),
        ({"source": None}, ValueError, "a delta does not say what images it is for: pass --source, one of "),
        ({"split": "none.json"}, FileNotFoundError, "split none.json does not exist"),
        ({"dataset_dir": "other"}, ValueError, r"is for 2 classes \(a, b\) and other has 2 \(b, c\)"),
        ({"dataset_dir": "nowhere"}, DataError, "nowhere"),
    ],
)
def test_what_does_not_go_together_is_said(changes, error, says, place, tmp_path):
    noise_files(tmp_path / "other")
    (tmp_path / "other" / "a").rename(tmp_path / "other" / "c")
    with pytest.raises(error, match=says):
        find_network_and_images(**{**place, **changes})


def test_sets_are_found_anew_at_another_temperature(place):
    found = find_network_and_images(**place, split="split.json")
    many = NetworkAndImages(found.net, found.images, found.data, found.delta)
    sets = sets_at(2.5, many, found.data.records)
    assert found.net.temperature == 2.5
    assert sets is None or sets.source == "selection"
