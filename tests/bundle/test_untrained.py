# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_ept.bundle.untrained import Untrained, trained_or_not
from monai_ept.runs import FitResult
from tests.runs.test_fit_result import OLD

CONTENT = {
    "network": {"backbone": "test_vit", "pretrained": True, "method": "ln", "img_size": 32},
    "class_names": ["a", "b"],
    "task": "multiclass",
    "transforms": {"keep_aspect": True},
}


def test_before_a_training_there_is_its_network_and_what_to_do(tmp_path):
    found = trained_or_not(runs=tmp_path, untrained=CONTENT)
    assert isinstance(found, Untrained) and "there is no finished training in" in found.missing
    assert (found.task, found.class_names) == ("multiclass", ("a", "b"))
    assert found.transform_settings == {"keep_aspect": True}
    net = found.network(pretrained=False)  # other weights than the bundle's
    assert not net.training and net.method_name == "ln" and net(torch.zeros(1, 3, 32, 32)).shape == (1, 2)


def test_a_finished_training_takes_its_place_and_a_folder_that_is_named_must_be_one(tmp_path):
    assert isinstance(trained_or_not(OLD / "bundle", runs=tmp_path, untrained=CONTENT), FitResult)
    with pytest.raises(FileNotFoundError):
        trained_or_not(tmp_path / "nowhere", runs=tmp_path, untrained=CONTENT)
