# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.methods import Partial
from tests.backbones import timm_vit
from tests.methods.cases import trained_names


@pytest.mark.parametrize("num_blocks", [1, 2])
def test_the_last_blocks_and_the_final_norm_train(num_blocks):
    backbone = timm_vit("vit_pe_core_tiny_patch16_384")
    names = trained_names(backbone, Partial(num_blocks))
    blocks = {name for name, _ in backbone.named_parameters() if name.startswith(("blocks.0.", "blocks.1."))}
    wanted = {name for name in blocks if name.startswith("blocks.1.") or num_blocks == 2}
    assert names == wanted | {"norm.weight", "norm.bias"}
    assert any(name.startswith("attn_pool") for name, _ in backbone.named_parameters())


def test_the_norm_after_an_average_trains_too():
    assert {"fc_norm.weight", "fc_norm.bias"} <= trained_names(timm_vit("vit_little_patch16_reg4_gap_256"), "partial")
