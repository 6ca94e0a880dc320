# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import torch
from monai.transforms import Compose

from monai_ept import TunedViT
from monai_ept.analysis.collect import collect_features, collect_logits
from monai_ept.engines import network_transforms
from tests.backbones import timm_vit
from tests.engines.scenes import pictures


def test_one_pass_sees_what_both_networks_see():
    torch.manual_seed(0)
    net = TunedViT(timm_vit(), 3, method="ept", prompt_length=4).train()
    net.temperature = 2.0
    records = pictures(9).records
    transform = network_transforms(net)
    found, maps = collect_features(net, records, transform, batch_size=4)
    assert net.training and found.ids == [record["id"] for record in records] and maps.grid == (4, 4)
    assert found.groups == [record["group"] for record in records] and found.labels.tolist() == [0, 1, 2] * 3
    images = torch.stack([Compose(transform)(record)["image"] for record in records])
    net.eval()
    with torch.no_grad():
        np.testing.assert_allclose(found.tuned, net.features(images), atol=1e-5)
        np.testing.assert_allclose(found.logits, net.head(net.features(images)), atol=1e-5)  # before the temperature
        with net.disabled():
            np.testing.assert_allclose(found.pretrained, net.features(images), atol=1e-5)
    np.testing.assert_allclose(collect_logits(net, records, transform, batch_size=5), found.logits, atol=1e-5)


def test_a_method_without_factors_has_no_maps_and_several_labels_are_a_matrix():
    net = TunedViT(timm_vit(), 3, method="linear")
    records = pictures(9, "multilabel").records
    found, maps = collect_features(net, records, network_transforms(net))
    assert maps is None and found.labels.shape == (9, 3)
    assert np.array_equal(found.pretrained, found.tuned)
