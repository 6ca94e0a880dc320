# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_ept.networks.open_attention_module import OpenAttention
from monai_ept.networks.tuner import Tuner
from tests.backbones import monai_vit, timm_vit
from tests.rounding import assert_same


class Doubled(Tuner):
    def tuned(self, x):
        return 2 * self.inner(x)


@pytest.mark.parametrize(
    ("attn", "tokens"),
    [
        (lambda: timm_vit().blocks[0].attn, 17),
        (lambda: timm_vit("eva02_tiny_patch14_224").blocks[0].attn, 17),
        (lambda: monai_vit().blocks[0].attn, 17),
    ],
)
def test_it_answers_as_the_module_itself_and_calls_its_projections(attn, tokens):
    attn = attn()
    x = torch.randn(2, tokens, 48)
    opened = OpenAttention(attn)
    plain = attn(x)
    assert_same(opened(x), plain)
    assert opened.folded() is attn
    name = next(name for name, child in attn.named_children() if isinstance(child, nn.Linear) and "q" in name)
    setattr(attn, name, Doubled(getattr(attn, name)))
    assert (opened(x) - plain).abs().max() > 1e-3 * plain.abs().max()
    assert opened.folded() is None
