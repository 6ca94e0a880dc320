# Copyright (c) The monai_ept developers
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

from __future__ import annotations

import torch

from monai_ept import Mlp, TunedViT
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
