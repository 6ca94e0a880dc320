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

"""One face for the vision transformers of timm and MONAI, 2-D and 3-D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from monai.networks.nets import ViT
from monai.utils import ensure_tuple_rep
from torch import Tensor, nn

__all__ = ["MonaiViT", "TimmViT", "ViTFace", "vit_face"]


class ViTFace:
    """
    What a tuning method may ask of a backbone, whoever wrote it.

    The face changes the module only in that it takes the classification head away.

    Attributes:
        module: the backbone itself.
        blocks: its transformer blocks; ``block.attn`` and ``block.mlp`` are where a method wraps.
        embed_dim: width of a token.
        num_prefix_tokens: class token and registers, which stand before the patches.
        grid_size: patches along each spatial axis.
        patch_size: pixels or voxels along each side of a patch.
        img_size: the image size that the backbone is built for.
        in_channels: channels of its input.
        mean, std, interpolation: how its pretraining saw images; None where nobody knows.
        position_names: parameters that depend on the image size.
    """

    module: Any  # an nn.Module, whose attributes no type checker knows
    blocks: nn.ModuleList
    embed_dim: int
    num_prefix_tokens: int
    grid_size: tuple[int, ...]
    patch_size: tuple[int, ...]
    in_channels: int
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None
    position_names: ClassVar[tuple[str, ...]] = ()

    def _read_pretraining(self) -> None:
        known = getattr(self.module, "pretrained_cfg", None) or {}
        if known.get("mean") and known.get("std"):
            self.mean, self.std = (self._per_channel(known[key]) for key in ("mean", "std"))
        self.interpolation = known.get("interpolation")

    def _per_channel(self, values: Sequence[float]) -> tuple[float, ...]:
        # Grey images, or stacks of more than three, have no red, green and blue: the average serves for each channel.
        if len(values) == self.in_channels:
            return tuple(values)
        return (sum(values) / len(values),) * self.in_channels

    @property
    def spatial_dims(self) -> int:
        return len(self.grid_size)

    @property
    def img_size(self) -> tuple[int, ...]:
        return tuple(cells * side for cells, side in zip(self.grid_size, self.patch_size, strict=True))

    @property
    def num_tokens(self) -> int:
        """Tokens of each layer: prefix tokens and patches."""
        patches = 1
        for cells in self.grid_size:
            patches *= cells
        return self.num_prefix_tokens + patches

    def attention(self, index: int) -> nn.Module:
        """
        The attention module of a block.

        Raises:
            TypeError: when the block keeps its attention elsewhere than in ``attn``.
        """
        attn = getattr(self.blocks[index], "attn", None)
        if not isinstance(attn, nn.Module):
            block = type(self.blocks[index])
            raise TypeError(
                f"block class {block.__module__}.{block.__qualname__} has no single attention module `attn` to wrap: "
                "choose a backbone of plain blocks, such as 'vit_small_patch16_224'."
            )
        return attn

    def features(self, x: Tensor) -> Tensor:
        """Pooled features ``(batch, embed_dim)`` of images, pooled as the backbone pools."""
        raise NotImplementedError


class TimmViT(ViTFace):
    """Any timm model that is a plain stack of blocks over one grid of patches (VisionTransformer, Eva, …)."""

    position_names = ("pos_embed",)
    needs = ("blocks", "patch_embed", "num_prefix_tokens", "forward_features", "forward_head", "reset_classifier")

    def __init__(self, module: nn.Module, img_size: int | Sequence[int] | None = None) -> None:
        self.module = module
        embed = self.module.patch_embed
        if not isinstance(getattr(module, "patch_drop", nn.Identity()), nn.Identity):
            raise ValueError(
                "the backbone drops patches while training, and prompts belong to patches: "
                "build it with patch_drop_rate=0."
            )
        self.module.reset_classifier(0)
        self.blocks = self.module.blocks
        self.embed_dim = self.module.num_features
        self.num_prefix_tokens = self.module.num_prefix_tokens
        self.grid_size = tuple(embed.grid_size)
        self.patch_size = ensure_tuple_rep(embed.patch_size, 2)
        self.in_channels = embed.proj.weight.shape[1]
        self._read_pretraining()
        if img_size is not None and ensure_tuple_rep(img_size, 2) != self.img_size:
            raise ValueError(
                f"img_size is {img_size} but the given backbone was built for {self.img_size}: "
                "leave img_size out, or build the backbone with it."
            )

    def features(self, x: Tensor) -> Tensor:
        return self.module.forward_head(self.module.forward_features(x), pre_logits=True)


class MonaiViT(ViTFace):
    """``monai.networks.nets.ViT`` in 2-D or 3-D, with a class token (``classification=True``) or without."""

    position_names = ("patch_embedding.position_embeddings",)

    def __init__(self, module: ViT, img_size: int | Sequence[int] | None = None) -> None:
        self.module = module
        if module.classification:
            self.module.classification_head = nn.Identity()
        self.blocks = module.blocks
        self.embed_dim = module.norm.normalized_shape[0]
        self.num_prefix_tokens = 1 if module.classification else 0
        embed = self.module.patch_embedding
        if embed.proj_type == "conv":
            self.patch_size = tuple(embed.patch_embeddings.kernel_size)
            self.in_channels = embed.patch_embeddings.in_channels
        else:
            lengths = embed.patch_embeddings[0].axes_lengths
            self.patch_size = tuple(lengths[f"p{axis + 1}"] for axis in range(len(lengths)))
            self.in_channels = embed.patch_embeddings[1].in_features // _product(self.patch_size)
        self.grid_size = self._grid(int(embed.n_patches), img_size)
        self._read_pretraining()

    def _grid(self, patches: int, img_size: int | Sequence[int] | None) -> tuple[int, ...]:
        # MONAI keeps the number of patches and forgets the size they came from.
        dims = len(self.patch_size)
        if img_size is None:
            grid = (round(patches ** (1 / dims)),) * dims
        else:
            sizes = ensure_tuple_rep(img_size, dims)
            grid = tuple(size // side for size, side in zip(sizes, self.patch_size, strict=True))
        if _product(grid) != patches:
            raise ValueError(
                f"the MONAI ViT has {patches} patches of {self.patch_size}, which "
                + ("is not a cube: " if img_size is None else f"does not fit img_size {img_size}: ")
                + "pass img_size with the size that the ViT was built for."
            )
        return grid

    def features(self, x: Tensor) -> Tensor:
        tokens = self.module(x)[0]
        return tokens if self.module.classification else tokens.mean(dim=1)


def vit_face(module: nn.Module, img_size: int | Sequence[int] | None = None) -> ViTFace:
    """
    The face of a backbone.

    Args:
        module: a timm ViT or a MONAI ``ViT``.
        img_size: the size it was built for; only a MONAI ViT for images that are not square needs it.

    Raises:
        TypeError: when the module is neither.
    """
    if isinstance(module, ViT):
        return MonaiViT(module, img_size)
    missing = [name for name in TimmViT.needs if not hasattr(module, name)]
    if not missing and getattr(getattr(module, "patch_embed", None), "grid_size", None) is not None:
        return TimmViT(module, img_size)
    raise TypeError(
        f"backbone {type(module).__module__}.{type(module).__qualname__} is not a vision transformer we can adapt "
        f"(it lacks {', '.join(missing) if missing else 'a fixed grid of patches'}): "
        "pass a timm ViT such as 'vit_small_patch16_224', or monai.networks.nets.ViT."
    )


def _product(numbers: Sequence[int]) -> int:
    product = 1
    for number in numbers:
        product *= number
    return product
