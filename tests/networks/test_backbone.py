# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import timm
import torch

from monai_ept import EPTWrapper
from monai_ept.networks.backbone import vit_face
from monai_ept.networks.tuner import Tuner
from tests.backbones import images_for, monai_vit, timm_vit


class Counting(Tuner):
    """Does what it stands around, and counts."""

    calls = 0

    def tuned(self, *args, **kwargs):
        self.calls += 1
        return self.inner(*args, **kwargs)


BACKBONES = [
    (lambda: timm_vit("vit_base_patch14_reg4_dinov2"), {"prefix": 5, "grid": (4, 4), "patch": (14, 14), "channels": 3}),
    (lambda: timm_vit(img_size=(96, 64)), {"prefix": 1, "grid": (6, 4), "patch": (16, 16), "channels": 3}),
    (monai_vit, {"prefix": 1, "grid": (4, 4), "patch": (16, 16), "channels": 1}),
    (lambda: monai_vit(3, classification=False), {"prefix": 0, "grid": (4, 4, 4), "patch": (8, 8, 8), "channels": 1}),
]


@pytest.mark.parametrize(("backbone", "wanted"), BACKBONES)
def test_a_face_knows_its_backbone_whoever_wrote_it(backbone, wanted):
    face = vit_face(backbone())
    assert (face.num_prefix_tokens, face.grid_size, face.patch_size, face.in_channels) == tuple(wanted.values())
    assert face.img_size == tuple(cells * side for cells, side in zip(face.grid_size, face.patch_size, strict=True))
    assert face.num_tokens == face.num_prefix_tokens + face.num_patches and face.spatial_dims == len(face.grid_size)
    images = images_for(face)
    features = face.features(images)
    assert features.shape == (2, face.embed_dim)
    seen = []
    face.block(0).register_forward_hook(lambda module, args, out: seen.append(args[0].shape))
    around = []

    def count(inner):
        around.append(Counting(inner))
        return around[-1]

    face.wrap_stem(count)
    face.wrap_block(1, count)
    face.wrap_attention(0, count)
    face.wrap_mlp(0, count)
    assert torch.equal(face.features(images), features)
    assert [tuner.calls for tuner in around] == [1, 1, 1, 1] and seen == [(2, face.num_tokens, face.embed_dim)]
    assert not any("inner" in name for name, _ in face.parameters())


def test_a_monai_vit_that_is_not_square_needs_its_size():
    vit = monai_vit(img_size=(64, 32))
    with pytest.raises(ValueError, match="8 patches of \\(16, 16\\), which is not a cube: pass img_size"):
        vit_face(vit)
    assert vit_face(vit, (64, 32)).grid_size == (4, 2)
    with pytest.raises(ValueError, match="does not fit img_size 64"):
        vit_face(vit, 64)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_relpos_small_patch16_224", "RelPosAttention is not supported"),
        ("beit_base_patch16_224", "beit.Attention is not supported"),
        ("vit_dwee_patch16_reg1_gap_256", "DiffAttention is not supported"),
        ("vit_base_patch16_xp_224", "ParallelScalingBlock has no single attention module"),
        ("swin_tiny_patch4_window7_224", "SwinTransformer is not a vision transformer we can adapt"),
        ("resnet18", "ResNet is not a vision transformer we can adapt"),
    ],
)
def test_what_is_not_supported_says_so(name, message):
    with torch.device("meta"):
        backbone = timm.create_model(name)
    with pytest.raises(TypeError, match=message):
        EPTWrapper(backbone, 3)
