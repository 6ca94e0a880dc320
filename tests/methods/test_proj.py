# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
from torch import nn

from monai_ept import TunedViT
from tests.backbones import monai_vit, timm_vit
from tests.methods.cases import trained_names


@pytest.mark.parametrize(("build", "name"), [(timm_vit, "proj"), (monai_vit, "out_proj")])
def test_weight_and_bias_of_the_output_projection_train(build, name):
    wanted = {f"blocks.{index}.attn.{name}.{key}" for index in (0, 1) for key in ("weight", "bias")}
    assert trained_names(build(), "proj") == wanted


def test_no_output_projection_is_an_error():
    backbone = timm_vit()
    for block in backbone.blocks:
        block.attn.proj = nn.Identity()
    with pytest.raises(ValueError, match="method 'proj' finds no output projection"):
        TunedViT(backbone, 2, method="proj")
