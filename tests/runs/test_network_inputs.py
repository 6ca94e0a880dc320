# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
from monai.networks.nets import ViT
from monai.transforms import NormalizeIntensityd

from monai_ept import TunedViT
from monai_ept.runs.network_inputs import network_transforms


class FromSomewhere(ViT):
    """A module whose pretraining nobody knows."""


def test_what_is_taken_where_nobody_knows_how_images_were_prepared_is_said_once(caplog):
    vit = FromSomewhere(
        3, 32, 16, hidden_size=32, mlp_dim=32, num_layers=1, num_heads=2, classification=True, spatial_dims=2
    )
    net = TunedViT(vit, 2, method="linear")
    network_transforms(net, mean=0.1, std=0.2)
    assert "FromSomewhere" not in caplog.text
    for _ in range(2):
        network_transforms(net)
    assert caplog.text.count("the weights of this FromSomewhere: a mean and a standard deviation of 0.5") == 1


def test_the_models_own_configuration_is_taken_and_nothing_is_said(caplog):
    settings = {"depth": 1, "embed_dim": 32, "num_heads": 2, "mean": [0.1, 0.2, 0.3], "std": 0.5}
    net = TunedViT("vit_tiny_patch16_224", 2, method="linear", img_size=32, backbone_settings=settings)
    (normal,) = (one for one in network_transforms(net).transforms if isinstance(one, NormalizeIntensityd))
    assert list(normal.normalizer.subtrahend) == pytest.approx([0.1, 0.2, 0.3])
    assert caplog.text == ""
