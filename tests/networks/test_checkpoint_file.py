# SPDX-License-Identifier: Apache-2.0

"""Files that do not fit are in ``tests/bad_inputs/test_weights.py``; here is what their errors say would."""

from __future__ import annotations

import pytest
import timm
import torch
from torch.nn.functional import cosine_similarity

from monai_ept.networks import create_backbone
from monai_ept.networks.checkpoint_file import read_weights

NAME = "vit_tiny_patch16_224"
SMALL = {"img_size": 32, "num_classes": 0}


def test_layer_scale_is_noticed_and_what_is_proposed_is_right(tmp_path):
    """It used to load without a word, with features that had little to do with the true ones."""
    torch.manual_seed(0)
    true = timm.create_model(NAME, init_values=1e-5, **SMALL).eval()
    torch.save(true.state_dict(), tmp_path / "scaled.pth")
    x = torch.randn(4, 3, 32, 32)
    plain = timm.create_model(NAME, **SMALL).eval()
    plain.load_state_dict(true.state_dict(), strict=False)
    assert cosine_similarity(plain(x), true(x)).max() < 0.9
    with pytest.raises(ValueError, match=f"it has LayerScale: .* timm.create_model\\('{NAME}', init_values=1e-5"):
        create_backbone(NAME, pretrained=tmp_path / "scaled.pth", img_size=32)
    proposed = timm.create_model(NAME, init_values=1e-5, **SMALL).eval()
    proposed.load_state_dict(read_weights(tmp_path / "scaled.pth"))
    assert torch.equal(proposed(x), true(x))


def test_half_precision_is_for_files(tmp_path):
    state = {"a": torch.ones(2).half(), "b": torch.ones(2).bfloat16(), "c": torch.ones(2).double(), "epoch": 3}
    torch.save({"model": state}, tmp_path / "w.pth")
    found = read_weights(tmp_path / "w.pth")
    assert {key: value.dtype for key, value in found.items()} == {
        "a": torch.float32, "b": torch.float32, "c": torch.float64,
    }  # fmt: skip
