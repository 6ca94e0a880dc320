# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_ept import TunedViT
from monai_ept.analysis import KeptAttention, ScalingMaps
from monai_ept.methods import Ept, Vpt
from monai_ept.networks import attention_halves, attention_weights
from tests.backbones import images_for, monai_vit, timm_vit


def net_of(backbone, method, **options) -> TunedViT:
    torch.manual_seed(0)
    net = TunedViT(backbone, 3, method=method, **options).eval()
    with torch.no_grad():
        for param in net.parameters():
            if param.requires_grad:
                param.add_(torch.randn_like(param))
    return net


@pytest.mark.parametrize(
    "backbone",
    [
        timm_vit,
        lambda: timm_vit("vit_base_patch16_siglip_224"),  # no prefix token
        lambda: timm_vit("vit_small_patch16_dinov3"),  # rotary embeddings, five prefix tokens
        lambda: timm_vit("vit_base_patch16_sapiens2"),  # fewer keys than queries
        lambda: monai_vit(3),
    ],
)
@pytest.mark.parametrize("embed", ["concat", "scaled_concat"])
@torch.no_grad()
def test_what_is_noted_is_the_row_sum_of_the_definition(backbone, embed):
    net = net_of(backbone(), Ept(prompt_length=3, prompt_layers=[-1], embed=embed))
    prompted = net.vit.block(-1).attn
    seen = []
    hook = prompted.register_forward_pre_hook(lambda _, args, kwargs: seen.append((args, kwargs)), with_kwargs=True)
    images = images_for(net.vit)
    plain = net(images)
    hook.remove()
    with KeptAttention(net) as kept:
        assert torch.equal(net(images), plain)  # looking changes nothing
    found = kept.take()
    (args, kwargs), before = seen[0], attention_halves(prompted.inner).before
    heads = before(prompted.inner, *args, **kwargs)
    expected = attention_weights(heads.q, heads.k, prompted.prompt.logits, heads.scale, embed=embed).sum(-1)
    torch.testing.assert_close(found[:, 0], expected.mean(1), atol=1e-5, rtol=1e-4)
    assert found.shape == (2, 1, net.vit.num_tokens)
    net(images + 1)
    assert torch.equal(kept.take(), found)  # outside the context nothing is noted


@pytest.mark.parametrize("method", ["linear", "lora", Ept(embed="add"), Ept(embed="multiply")])
def test_methods_that_scale_nothing_have_no_maps(method):
    assert ScalingMaps.of(net_of(timm_vit(), method), [], np.zeros((0, 3), dtype=bool)) is None


@torch.no_grad()
def test_means_over_images_and_classes():
    net = net_of(timm_vit(), [Vpt(num_tokens=2), Ept(prompt_length=3)])
    images = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    member = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=bool)
    taken = []
    for start in (0, 2, 4):
        with KeptAttention(net) as kept:
            net(images[start : start + 2])
        taken.append(kept.take())
    maps = ScalingMaps.of(net, taken, member)
    values = torch.cat(taken).double().numpy()
    assert maps.num_prefix == 3 and maps.counts.tolist() == [3, 2, 0]
    np.testing.assert_allclose(maps.mean, values.mean(axis=0))
    np.testing.assert_allclose(maps.class_means[1], values[[1, 4]].mean(axis=0))
    assert np.isnan(maps.class_means[2]).all()
    np.testing.assert_allclose(maps.patches, values[..., 3:].mean(axis=-1))
    np.testing.assert_array_equal(maps.prefixes, values[..., :3])
    np.testing.assert_array_equal(maps.kept, values)
    assert maps.to_map(maps.mean).shape == (2, 4, 4)
    assert maps.to_map(maps.mean)[0, 1, 2] == maps.mean[0, 3 + 1 * 4 + 2]


def test_the_map_of_a_volume_is_the_slice_that_is_shown_of_it():
    """A picture and its map are turned the same way: a volume that is bright in one patch has it in the same place."""
    from monai_ept.evaluation.gallery import picture_of

    net = net_of(monai_vit(3), "damp")
    maps = ScalingMaps.of(net, [torch.zeros(1, 2, net.vit.num_tokens)], np.ones((1, 3), dtype=bool))
    patches = np.random.default_rng(0).uniform(size=maps.grid)
    volume = np.kron(patches, np.ones((8, 8, 8)))
    shown = picture_of(volume[None])
    tokens = np.concatenate([[0.0], patches.reshape(-1)])
    np.testing.assert_allclose(np.kron(maps.to_map(tokens), np.ones((8, 8))), shown, rtol=1e-6)
