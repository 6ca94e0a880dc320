# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch

from monai_ept import TunedViT
from tests.backbones import images_for, timm_vit
from tests.methods.cases import trained_names


def test_nothing_but_the_head_trains_on_features_of_the_untouched_backbone():
    assert trained_names(timm_vit(), "linear") == set()
    backbone = timm_vit()
    net = TunedViT(backbone, 2, method="linear").eval()
    x = images_for(net.vit)
    with torch.no_grad():
        assert torch.equal(net.features(x), backbone.forward_head(backbone.forward_features(x), pre_logits=True))
    assert net.count().delta == 0 and net.count().head == 48 * 2 + 2
