# SPDX-License-Identifier: Apache-2.0

"""timm's 2-D weights in MONAI's ViT, 2-D and 3-D."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.networks.nets import ViT
from monai.utils import ensure_tuple_rep
from timm.layers.attention import Attention
from timm.layers.patch_embed import resample_patch_embed
from timm.models import adapt_input_conv
from torch import Tensor, nn

from monai_ept.checks import check_whole
from monai_ept.networks.embedded_prompt import resize_tokens
from monai_ept.networks.load_backbone import check_patches, create_backbone

__all__ = ["monai_vit_from_timm"]


def monai_vit_from_timm(
    backbone: str | nn.Module,
    *,
    spatial_dims: int = 2,
    img_size: int | Sequence[int] | None = None,
    patch_size: int | Sequence[int] | None = None,
    in_channels: int = 3,
    pretrained: bool | str | os.PathLike = False,
    backbone_settings: Mapping[str, Any] | None = None,
) -> ViT:
    """
    A MONAI ``ViT`` that holds the weights of a timm ``VisionTransformer``.

    In 2-D with the same sizes it computes the same. In 3-D an image model becomes a volume model: its patches are
    repeated along the last axis and divided by its length, so that a volume of equal slices gives the tokens that the
    slice gives in 2-D; position embeddings are resized in the plane and repeated along the last axis.

    Args:
        backbone: name of a timm model or a timm model with a class token and plain blocks.
        spatial_dims: 2 or 3.
        img_size: size of the images or volumes, by default the timm model's own in each direction.
        patch_size: size of a patch, by default the timm model's own; its weights are resampled where it differs.
        in_channels: channels of the images; weights of colour images are summed for grey ones.
        pretrained: where the weights of a model by name come from, see ``create_backbone``.
        backbone_settings: of a model by name, see ``create_backbone``.

    Raises:
        ValueError: when sizes do not fit, or the timm model has parts that MONAI's ViT lacks.

    Example::

        >>> vit = monai_vit_from_timm("vit_tiny_patch16_224", spatial_dims=3, img_size=64, patch_size=8, in_channels=1)
        >>> vit(torch.rand(1, 1, 64, 64, 64))[0].shape
        torch.Size([1, 192])
    """
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}.")
    source: Any = backbone
    if isinstance(backbone, str):
        source = create_backbone(backbone, pretrained=pretrained, backbone_settings=backbone_settings)
    _check_convertible(source)
    own_patch = ensure_tuple_rep(source.patch_embed.patch_size, 2)
    patch = ensure_tuple_rep(own_patch[0] if patch_size is None else patch_size, spatial_dims)
    size = ensure_tuple_rep(source.patch_embed.img_size[0] if img_size is None else img_size, spatial_dims)
    check_whole("in_channels", in_channels)
    for length in (*patch, *size):
        check_whole("img_size and patch_size", length)
    for axis, (length, side) in enumerate(zip(size, patch, strict=True)):
        if length < side or length % side:
            raise ValueError(
                f"img_size {size} is not a multiple of patch_size {patch} along axis {axis}: "
                f"{max(length // side, 1) * side} would do there."
            )
    check_patches(size, math.prod(size) // math.prod(patch))
    target: Any = ViT(
        in_channels=in_channels,
        img_size=size,
        patch_size=patch,
        hidden_size=source.embed_dim,
        mlp_dim=source.blocks[0].mlp.fc1.out_features,
        num_layers=len(source.blocks),
        num_heads=source.blocks[0].attn.num_heads,
        classification=True,
        spatial_dims=spatial_dims,
        post_activation=None,
        qkv_bias=source.blocks[0].attn.qkv.bias is not None,
    )
    target.classification_head = nn.Identity()
    state = _converted(source, size, patch, in_channels)
    if isinstance(source.head, nn.Linear):
        target.classification_head = nn.Linear(source.head.in_features, source.head.out_features)
        state.update({f"classification_head.{key}": value for key, value in source.head.state_dict().items()})
    # MONAI's blocks carry the norm of a cross attention that a ViT never runs; it stays as it was made.
    unused = {key: value for key, value in target.state_dict().items() if "cross_attn" in key}
    target.load_state_dict({**unused, **state})
    for module in target.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = source.norm.eps  # MONAI builds them with 1e-5, timm's ViTs are trained with 1e-6
    # Where TunedViT looks for the mean and standard deviation that the weights expect.
    target.pretrained_cfg = dict(getattr(source, "pretrained_cfg", {}) or {})
    target.built_from = dict(getattr(source, "built_from", {}))
    return target.train(source.training)


def _check_convertible(source: Any) -> None:
    blocks = getattr(source, "blocks", None)
    reasons = []
    if blocks is None or not all(isinstance(getattr(block, "attn", None), Attention) for block in blocks):
        raise ValueError(
            f"{type(source).__name__} cannot become a MONAI ViT: its blocks do not use timm's plain Attention; "
            "choose a model such as 'vit_small_patch16_224'."
        )
    if source.num_prefix_tokens != 1 or source.cls_token is None:
        reasons.append(f"{source.num_prefix_tokens} prefix tokens instead of one class token")
    if source.global_pool != "token":
        reasons.append(f"{source.global_pool!r} pooling instead of the class token")
    for part, name in ((source.norm_pre, "a norm before the blocks"), (source.fc_norm, "a norm after pooling")):
        if not isinstance(part, nn.Identity):
            reasons.append(name)
    if not isinstance(source.norm, nn.LayerNorm):
        reasons.append(f"a final norm that is {type(source.norm).__name__} instead of LayerNorm")
    for block in blocks:
        attn = block.attn
        if not all(isinstance(part, nn.Identity) for part in (attn.q_norm, attn.k_norm, attn.norm)):
            reasons.append("norms inside the attention")
        if getattr(attn, "gate", None) is not None:
            reasons.append("gated attention")
        if not isinstance(block.mlp.act, nn.GELU) or block.mlp.act.approximate != "none":
            reasons.append(f"activation {type(block.mlp.act).__name__} instead of GELU")
        if reasons:
            break
    if reasons:
        raise ValueError(
            f"this timm model cannot become a MONAI ViT, for it has {'; '.join(reasons)}: "
            "choose a plain one such as 'vit_small_patch16_224', or tune the timm model itself."
        )


def _converted(source: Any, size: Sequence[int], patch: Sequence[int], in_channels: int) -> dict[str, Tensor]:
    """The state of the MONAI ViT."""
    grid = [length // side for length, side in zip(size, patch, strict=True)]
    pos = source.pos_embed.detach()[0]
    own_grid = source.patch_embed.grid_size
    prefix = pos.shape[0] - own_grid[0] * own_grid[1]
    patches = pos[prefix:]
    if list(own_grid) != grid[:2]:
        patches = resize_tokens(patches, 0, own_grid, grid[:2])
    if len(grid) == 3:
        patches = patches.repeat_interleave(grid[2], dim=0)
    # MONAI's class token has no place in the position embeddings, so it carries timm's.
    cls_token = source.cls_token.detach() + (pos[:1] if prefix else 0)
    state = {
        "patch_embedding.patch_embeddings.weight": _patch_weight(source, patch, in_channels),
        "patch_embedding.patch_embeddings.bias": _bias(source.patch_embed.proj),
        "patch_embedding.position_embeddings": patches[None],
        "cls_token": cls_token,
        "norm.weight": source.norm.weight,
        "norm.bias": source.norm.bias,
    }
    for index, block in enumerate(source.blocks):
        parts = {
            "norm1": (block.norm1, None),
            "norm2": (block.norm2, None),
            "attn.qkv": (block.attn.qkv, None),
            "attn.out_proj": (block.attn.proj, block.ls1),
            "mlp.linear1": (block.mlp.fc1, None),
            "mlp.linear2": (block.mlp.fc2, block.ls2),
        }
        for name, (module, layer_scale) in parts.items():
            # A LayerScale multiplies the output of a linear layer and so can be part of it.
            gamma = getattr(layer_scale, "gamma", None)
            for key, value in module.state_dict().items():
                scaled = value if gamma is None else value * (gamma if value.ndim == 1 else gamma[:, None])
                state[f"blocks.{index}.{name}.{key}"] = scaled
    return {key: value.detach().clone() for key, value in state.items()}


def _patch_weight(source: Any, patch: Sequence[int], in_channels: int) -> Tensor:
    weight = source.patch_embed.proj.weight.detach()
    weight = adapt_input_conv(in_channels, weight, base_chans=weight.shape[1])
    if tuple(weight.shape[2:]) != tuple(patch[:2]):
        weight = resample_patch_embed(weight, list(patch[:2]))
    if len(patch) == 3:
        weight = weight.unsqueeze(-1).repeat(1, 1, 1, 1, patch[2]) / patch[2]
    return weight


def _bias(proj: nn.Conv2d) -> Tensor:
    return torch.zeros(proj.out_channels) if proj.bias is None else proj.bias
