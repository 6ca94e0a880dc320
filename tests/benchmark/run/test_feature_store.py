# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_ept import TunedViT
from monai_ept.benchmark.run.feature_store import FeatureStore
from monai_ept.data import views
from monai_ept.data.views import View
from tests.backbones import images_for, timm_vit
from tests.benchmark.run.scenes import count_passes


class Images:
    """What ``RecordImages`` is to the store."""

    def __init__(self, net, number=3):
        self.keys = [f"image {index}" for index in range(number)]
        self.images = images_for(net.vit, number)

    def __getitem__(self, index):
        return {"image": self.images[index]}


@pytest.fixture
def net():
    return TunedViT(timm_vit(), 2, method="lora").train()


def test_features_are_those_of_the_network_in_evaluation_and_are_kept(net, tmp_path, monkeypatch):
    images, upright = Images(net), views.test_views("upright")
    store = FeatureStore(tmp_path, torch.device("cpu"))
    found = store.features(net, images, upright, amp="off")
    assert net.training
    net.eval()
    with torch.no_grad():
        expected = torch.stack([net.features(view(images.images)) for view in upright], dim=1)
    torch.testing.assert_close(found, expected)
    passes = count_passes(monkeypatch)
    again = FeatureStore(tmp_path, torch.device("cpu")).features(net, images, upright, amp="auto")  # which is off here
    assert torch.equal(again, found) and sum(passes) == 1  # the name of the network
    mean = store.features(net, images, upright, amp="off", mean=True)
    torch.testing.assert_close(mean, found.mean(dim=1))


def test_whatever_changes_features_has_a_name_of_its_own(net, tmp_path):
    images, store = Images(net, 1), FeatureStore(tmp_path, torch.device("cpu"))
    first = store.features(net, images, [View()], amp="off")
    other = TunedViT(timm_vit(), 2, method="linear").eval()
    assert torch.equal(store.features(other, images, [View()], amp="off"), first)  # LoRA before its first step
    with torch.no_grad():
        for name, tensor in net.delta_tensors().items():
            if name.startswith("backbone."):
                tensor.add_(0.1)
    assert not torch.allclose(store.features(net, images, [View()], amp="off"), first, atol=1e-3)
    assert not torch.equal(store.features(other, images, [View()], amp="bfloat16"), first)
