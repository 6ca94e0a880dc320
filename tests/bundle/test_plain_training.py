# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.bundle.plain_training import find_data, make_training, read_seeds
from monai_ept.metrics.positive_class import PositiveClass
from tests.bundles.cases import DERM, VOLUME
from tests.noise_files import noise_files

HOW = {"recipe": {"name": "train", "epochs": 1}, "progress": False}


def test_a_folder_is_recognised_and_a_source_may_paint_its_own(tmp_path):
    data = find_data(noise_files(tmp_path / "images"))
    assert data.class_names == ("a", "b") and data.origin["source"] == "folder"
    assert len(find_data(None, "synthetic_derm", DERM).records) == 7 * 4 + 7
    for images, source, options, says in (
        (None, None, {}, "name a folder of labelled images"),
        (None, "folder", {}, "name a folder of labelled images"),
        (tmp_path / "images", "folder", {"sise": 3}, "sise"),
    ):
        with pytest.raises(ValueError, match=says):
            find_data(images, source, options)


def test_what_a_training_says_of_itself_builds_it_again(tmp_path):
    data = find_data(noise_files(tmp_path / "images"))
    network = {"backbone": "test_vit", "method": "ln", "img_size": 32, "readout": None}
    training = make_training(data, network=network, shots=2, test_fraction=0.5, seed=3, **HOW)
    assert training.origin["network"] == {"backbone": "test_vit", "method": "ln", "img_size": 32, "seed": 3}
    assert (training.seed, len(training.split.train), len(training.split.val)) == (3, 4, 0)
    assert training.origin["data"]["dataset_dir"] == str(tmp_path / "images") and training.origin["transforms"] == {}
    # A threshold is chosen on validation images, which are held out for it.
    wanted = PositiveClass("a", "youden")
    chosen = make_training(data, network=network, shots=2, test_fraction=0.5, positive=wanted, **HOW)
    assert chosen.split.val and chosen.positive.name == "a"


def test_volumes_have_the_network_of_volumes():
    data = find_data(None, "synthetic_volume", VOLUME)
    training = make_training(data, network={"method": "ln", "img_size": 16, "patch_size": None}, shots=1, **HOW)
    vit = training.net.vit
    assert (vit.spatial_dims, vit.in_channels, tuple(vit.img_size)) == (3, 1, (16, 16, 16))
    assert training.origin["transforms"] == {"intensity_range": None}


def test_seeds_are_a_number_a_range_or_a_list():
    assert (read_seeds("7"), read_seeds("0:5"), read_seeds("3,1")) == ([7], [0, 1, 2, 3, 4], [3, 1])
    for text in ("", "1,1", "5:5", "a", "1:b"):
        with pytest.raises(ValueError, match="is neither a number, nor several such as 0:5"):
            read_seeds(text)
