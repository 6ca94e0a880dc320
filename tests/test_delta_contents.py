# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept import DeltaError, TunedViT
from monai_ept.delta import read_delta, store_prediction_sets, store_temperature, write_delta
from monai_ept.metrics.conformal import PredictionSets
from tests.backbones import timm_vit
from tests.test_delta import small_net


def test_the_file_keeps_what_makes_prediction_sets(tmp_path):
    net = small_net()
    path, again = tmp_path / "delta.safetensors", tmp_path / "again.safetensors"
    net.save_delta(path)
    plain = path.read_bytes()
    for threshold in (0.75, (0.5,) * net.num_classes, None):
        sets = PredictionSets(0.9, threshold, groups=12, images=20, source="validation")
        store_prediction_sets(path, sets)
        other = TunedViT.from_delta(path, backbone=timm_vit())
        assert other.prediction_sets == sets
        other.save_delta(again)
        assert again.read_bytes() == path.read_bytes()
    # They are those of one temperature, and of one head.
    other.temperature = 2
    assert other.prediction_sets is None
    store_temperature(path, 2)
    assert "prediction_sets" not in read_delta(path).metadata
    store_temperature(path, 1)
    store_prediction_sets(path, sets)
    store_prediction_sets(path, None)
    assert path.read_bytes() == plain


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"threshold": 1.5}, "threshold must be a number at least 0 and at most 1"),
        ({"threshold": [0.5]}, "must have 3 thresholds"),
        ({"source": "test"}, "source 'test' is not known"),
        ({"groups": 0}, "groups must be a whole number of at least 1"),
        ({"more": 1}, "prediction_sets must have coverage, threshold"),
    ],
)
def test_bad_prediction_sets_in_a_file_are_an_error(tmp_path, change, says):
    net, path = small_net(), tmp_path / "delta.safetensors"
    net.prediction_sets = PredictionSets(0.9, 0.75, groups=12, images=20, source="validation")
    net.save_delta(path)
    delta = read_delta(path)
    about = {key: value for key, value in delta.metadata.items() if key != "version"}
    write_delta(path, delta.tensors, {**about, "prediction_sets": {**about["prediction_sets"], **change}})
    with pytest.raises(DeltaError, match=says):
        net.load_delta(path)
