# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_ept import Damp, Ept, TunedViT
from monai_ept.analysis import learned_sinks
from tests.backbones import timm_vit


def moved_net(method) -> TunedViT:
    torch.manual_seed(0)
    net = TunedViT(timm_vit(), 3, method=method).eval()
    with torch.no_grad():
        for param in net.parameters():
            if param.requires_grad:
                param.add_(torch.randn_like(param))
    return net


def test_c_against_its_start():
    torch.manual_seed(0)
    fresh = learned_sinks(TunedViT(timm_vit(), 3, prompt_length=50))
    assert [one.layer for one in fresh] == [0, 1] and all(one.trains for one in fresh)
    for one in fresh:
        assert one.start == pytest.approx(np.log(50), abs=1e-3)
        assert len(one.prefix) == 1 and len(one.patches) == 16
        assert 0.5 * one.scatter < one.moved < 1.6 * one.scatter  # 17 draws of it
    moved = learned_sinks(moved_net(Ept(prompt_length=50, start=2.0, prompt_layers=[1])))
    assert [one.layer for one in moved] == [1] and moved[0].start == pytest.approx(2, abs=1e-6)
    assert moved[0].moved > 100 * moved[0].scatter
    fixed = learned_sinks(moved_net(Damp(c=5.5)))
    assert not fixed[0].trains and fixed[0].start == 5.5 and fixed[0].moved < 1e-6
    folded = learned_sinks(TunedViT(timm_vit(), 3, prompt_length=50).fold())
    assert folded[0].start is None and np.isnan(folded[0].moved)
    assert learned_sinks(moved_net(Ept(embed="scaled_concat"))) == []
    heads = learned_sinks(TunedViT(timm_vit(), 3, per="head", start=3.0))
    assert [one.per for one in heads] == ["head", "head"] and [len(one.prefix) for one in heads] == [0, 0]
    np.testing.assert_allclose(heads[0].patches, 3.0, rtol=1e-6)
