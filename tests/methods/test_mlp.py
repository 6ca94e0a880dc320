# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch

from monai_ept import TunedViT
from monai_ept.methods import Mlp
from tests.backbones import timm_vit


def test_three_layers_as_wide_as_the_features():
    head = TunedViT(timm_vit(), 5, method="mlp").head
    layers = [module for module in head.modules() if isinstance(module, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(48, 48), (48, 48), (48, 5)]
    x = torch.randn(2, 48)
    first, second, last = layers
    assert torch.equal(head(x), last(second(first(x).relu()).relu()))


def test_settings_and_dropout():
    head = TunedViT(timm_vit(), 5, method=Mlp(num_layers=2, hidden_size=7), dropout=0.3).head
    assert [m.out_features for m in head.modules() if isinstance(m, torch.nn.Linear)] == [7, 5]
    assert [m.p for m in head.modules() if isinstance(m, torch.nn.Dropout)] == [0.3, 0.3]


def test_first_logits_are_small():
    torch.manual_seed(0)
    net = TunedViT(timm_vit(), 5, method="mlp")
    assert net.head(torch.randn(64, 48)).abs().mean() < 0.5
