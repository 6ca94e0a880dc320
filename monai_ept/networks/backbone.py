# SPDX-License-Identifier: Apache-2.0

"""One face for the vision transformers of timm and MONAI, 2-D and 3-D."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from monai.networks.nets import ViT
from monai.utils import ensure_tuple_rep
from torch import Tensor, nn
from torch.nn import functional as F

from monai_ept.networks.attention_classes import Projection, attention_projections, calls_its_projections
from monai_ept.networks.open_attention_module import OpenAttention
from monai_ept.networks.prompted_attention_module import PromptedAttention
from monai_ept.networks.tuner import Tuner, innermost, own_modules, own_parameters

__all__ = ["MonaiViT", "TimmViT", "ViTFace", "vit_face"]


class ViTFace:
    """
    What a tuning method may ask of a backbone, whoever wrote it.

    The face changes the module only in that it takes the classification head away.

    Attributes:
        module: the backbone itself.
        blocks: its transformer blocks, with whatever methods have wrapped around them.
        embed_dim: width of a token.
        num_prefix_tokens: class token and registers, which stand before the patches.
        grid_size: patches along each spatial axis.
        patch_size: pixels or voxels along each side of a patch.
        img_size: the image size that the backbone is built for.
        in_channels: channels of its input.
        mean, std, interpolation: how its pretraining saw images; None where nobody knows.
        position_names: parameters that depend on the image size.
        final_norms: norms between the last block and the pooled features.
        after_blocks: everything that stands behind the blocks, if it is there.
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
    final_norms: ClassVar[tuple[str, ...]] = ()
    after_blocks: ClassVar[tuple[str, ...]] = ()

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
    def num_patches(self) -> int:
        return _product(self.grid_size)

    @property
    def added_tokens(self) -> int:
        """Tokens that tuners have put between prefix tokens and patches, in every block."""
        added, module = 0, self.blocks[0]
        while isinstance(module, Tuner):
            added, module = added + module.added_tokens, module.inner
        return added

    @property
    def num_tokens(self) -> int:
        """Tokens of each layer: prefix tokens, those that tuners have added, and patches."""
        return self.num_prefix_tokens + self.added_tokens + self.num_patches

    def block(self, index: int) -> Any:
        """A transformer block as it came, without what methods have wrapped around it."""
        return innermost(self.blocks[index])

    def attention(self, index: int) -> nn.Module:
        """
        The attention module of a block as it came.

        Raises:
            TypeError: when the block keeps its attention elsewhere than in ``attn``.
        """
        return innermost(self._part(index, "attn", "attention"))

    def projections(self, index: int) -> dict[str, Projection]:
        """
        Where a block's attention keeps ``"q"``, ``"k"``, ``"v"`` and ``"proj"``, which of them it has.

        Raises:
            TypeError: when the attention's class is not supported.
        """
        return attention_projections(self.attention(index))

    def wrap_stem(self, wrap: Callable[[nn.Module], Tuner]) -> None:
        """Put a tuner around the first module that sees the image."""
        raise NotImplementedError

    def wrap_block(self, index: int, wrap: Callable[[nn.Module], Tuner]) -> None:
        """Put a tuner around a block, outside any that is there."""
        self.blocks[index] = wrap(self.blocks[index])

    def wrap_mlp(self, index: int, wrap: Callable[[nn.Module], Tuner]) -> None:
        """
        Put a tuner around a block's MLP, outside any that is there.

        Raises:
            TypeError: when the block keeps its MLP elsewhere than in ``mlp``.
        """
        self.block(index).mlp = wrap(self._part(index, "mlp", "MLP"))

    def wrap_attention(self, index: int, wrap: Callable[[nn.Module], Tuner]) -> None:
        """
        Put a tuner directly around a block's attention, inside any that is there: for those that run its two halves.

        Raises:
            ValueError: when a prompt works inside this attention already.
            TypeError: when the block keeps its attention elsewhere than in ``attn``.
        """
        holder, name, child = self.block(index), "attn", self._part(index, "attn", "attention")
        while isinstance(child, Tuner) and not isinstance(child, OpenAttention):
            if isinstance(child, PromptedAttention):
                raise ValueError(
                    f"layer {index} has an embedded prompt already: only one of the methods that work inside the "
                    "softmax ('ept', 'damp') can be given for a layer."
                )
            holder, name, child = child, "inner", child.inner
        setattr(holder, name, wrap(innermost(child)))

    def open_attention(self, index: int) -> None:
        """Make sure that whatever is wrapped around the projections of a block's attention will be called."""
        inside = self._part(index, "attn", "attention")
        while isinstance(inside, Tuner):
            if isinstance(inside, (OpenAttention, PromptedAttention)):
                return
            inside = inside.inner
        if not calls_its_projections(inside):
            self.wrap_attention(index, OpenAttention)

    def _part(self, index: int, name: str, what: str) -> nn.Module:
        part = getattr(self.block(index), name, None)
        if not isinstance(part, nn.Module):
            block = type(self.block(index))
            raise TypeError(
                f"block class {block.__module__}.{block.__qualname__} has no single {what} module `{name}` to wrap "
                f"(it has {', '.join(child for child, _ in self.block(index).named_children())}): "
                "choose a backbone of plain blocks, such as 'vit_small_patch16_224'."
            )
        return part

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What pretraining taught the backbone, by the names it came with, less what its forward never uses."""
        yield from own_parameters(self.module)

    def norm_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Scales and shifts of all layer norms and RMS norms: before, in and after the blocks, around q and k too."""
        # LayerNorm, RMSNorm and timm's kin of both have this attribute; batch and group norms have not.
        norms = {name for name, module in own_modules(self.module) if hasattr(module, "normalized_shape")}
        for name, param in self.parameters():
            if name.rpartition(".")[0] in norms:
                yield name, param

    def features(self, x: Tensor) -> Tensor:
        """Pooled features ``(batch, embed_dim)`` of images, pooled as the backbone pools."""
        raise NotImplementedError

    has_class_token: bool
    """Whether the first token gathers what the image shows."""

    def check_block_tokens(self) -> None:
        """
        Make sure that :py:meth:`block_tokens` works.

        Raises:
            TypeError: when the backbone's forward keeps what its blocks return for itself.
        """

    def block_tokens(self, x: Tensor, last: int) -> list[Tensor]:
        """What each of the last blocks returns for images: ``(batch, num_tokens, embed_dim)``, the last one last."""
        raise NotImplementedError

    def final_norm(self, tokens: Tensor) -> Tensor:
        """The norm that stands between the last block and whoever reads its tokens."""
        raise NotImplementedError


class TimmViT(ViTFace):
    """Any timm model that is a plain stack of blocks over one grid of patches (VisionTransformer, Eva, …)."""

    position_names = ("pos_embed",)
    final_norms = ("norm", "fc_norm")
    after_blocks = ("norm", "fc_norm", "attn_pool", "head_drop", "head")
    needs = ("blocks", "patch_embed", "num_prefix_tokens", "forward_features", "forward_head", "reset_classifier")

    def __init__(self, module: nn.Module, img_size: int | Sequence[int] | None = None) -> None:
        self.module = module
        embed = self.module.patch_embed
        # Where nothing is dropped, VisionTransformer has an Identity there and Eva has None.
        if not isinstance(getattr(module, "patch_drop", None), (nn.Identity, type(None))):
            raise ValueError(
                "the backbone drops patches while training, and prompts belong to patches: "
                "build it with patch_drop_rate=0."
            )
        self.module.reset_classifier(0)
        self.blocks = self.module.blocks
        self.embed_dim = self.module.num_features
        self.num_prefix_tokens = self.module.num_prefix_tokens
        self.grid_size = tuple(embed.grid_size)
        # A hybrid's patches are patches of what its convolutional stem leaves of the image.
        hybrid = hasattr(embed, "backbone")
        self.patch_size = ensure_tuple_rep(embed.feat_ratio(as_scalar=False) if hybrid else embed.patch_size, 2)
        self.in_channels = next(param for param in embed.parameters() if param.ndim == 4).shape[1]
        self._read_pretraining()
        if img_size is not None and ensure_tuple_rep(img_size, 2) != self.img_size:
            raise ValueError(
                f"img_size is {img_size} but the given backbone was built for {self.img_size}: "
                "leave img_size out, or build the backbone with it."
            )

    def wrap_stem(self, wrap: Callable[[nn.Module], Tuner]) -> None:
        # A hybrid has a convolutional network before its projection. The patch embedding itself is left alone, since
        # timm reads attributes of it.
        name = "backbone" if hasattr(self.module.patch_embed, "backbone") else "proj"
        setattr(self.module.patch_embed, name, wrap(getattr(self.module.patch_embed, name)))

    def features(self, x: Tensor) -> Tensor:
        return self.module.forward_head(self.module.forward_features(x), pre_logits=True)

    @property
    def has_class_token(self) -> bool:  # type: ignore[override]
        return isinstance(getattr(self.module, "cls_token", None), nn.Parameter)

    def check_block_tokens(self) -> None:
        if not hasattr(self.module, "forward_intermediates"):
            raise TypeError(
                f"{type(self.module).__name__} hands out no tokens of its blocks (it has no forward_intermediates): "
                "use readout='pooled'."
            )

    def block_tokens(self, x: Tensor, last: int) -> list[Tensor]:
        found = self.module.forward_intermediates(
            x, indices=last, return_prefix_tokens=True, output_fmt="NLC", intermediates_only=True
        )
        # timm hands out what stands before the patches apart, where there is anything.
        return [one if isinstance(one, Tensor) else torch.cat([one[1], one[0]], dim=1) for one in found]

    def final_norm(self, tokens: Tensor) -> Tensor:
        norms = (getattr(self.module, name, None) for name in self.final_norms)
        used = [norm for norm in norms if norm is not None and not isinstance(norm, nn.Identity)]
        return used[0](tokens) if used else F.layer_norm(tokens, (self.embed_dim,), eps=1e-6)


class MonaiViT(ViTFace):
    """``monai.networks.nets.ViT`` in 2-D or 3-D, with a class token (``classification=True``) or without."""

    position_names = ("patch_embedding.position_embeddings",)
    final_norms = ("norm",)
    after_blocks = ("norm", "classification_head")

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

    def wrap_stem(self, wrap: Callable[[nn.Module], Tuner]) -> None:
        self.module.patch_embedding.patch_embeddings = wrap(self.module.patch_embedding.patch_embeddings)

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        learned = self.module.patch_embedding.pos_embed_type == "learnable"
        for name, param in super().parameters():
            # Each block carries a norm, in older releases a whole module, for cross-attention that a ViT never does;
            # position embeddings of sines, or none at all, are parameters that nobody ever trained.
            if "cross_attn" not in name and (learned or name not in self.position_names):
                yield name, param

    def features(self, x: Tensor) -> Tensor:
        tokens = self.module(x)[0]
        return tokens if self.module.classification else tokens.mean(dim=1)

    @property
    def has_class_token(self) -> bool:  # type: ignore[override]
        return bool(self.module.classification)

    def block_tokens(self, x: Tensor, last: int) -> list[Tensor]:
        return self.module(x)[1][-last:]

    def final_norm(self, tokens: Tensor) -> Tensor:
        return self.module.norm(tokens)


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
