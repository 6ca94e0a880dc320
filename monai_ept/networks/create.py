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

"""Backbones by name: timm's factory with errors that say what to do, and with local checkpoints checked."""

from __future__ import annotations

import difflib
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from monai.utils import ensure_tuple_rep
from torch import nn

from monai_ept.checks import check_whole

__all__ = ["EMBEDDED", "create_backbone"]

EMBEDDED = "embedded"
"""Name of the backbone that is always there, without a download. It is not pretrained yet: its weights are random,
drawn from a fixed seed, so that programs can be tried from end to end. No result with it means anything."""


def create_backbone(
    name: str,
    *,
    pretrained: bool | str | os.PathLike = False,
    img_size: int | Sequence[int] | None = None,
    in_channels: int = 3,
) -> nn.Module:
    """
    Build a timm vision transformer without a classification head.

    Args:
        name: timm model name, with or without a tag of pretrained weights, or "embedded" for the small one that
            needs no download (see ``EMBEDDED``).
        pretrained: True takes the weights from the hub, False starts at random, a path reads a local checkpoint
            (``.safetensors``, or ``.pth`` read with ``weights_only=True``).
        img_size: size of the images, the model's own by default; position embeddings are resized.
        in_channels: channels of the images; the patch embedding of pretrained weights is adapted.

    Raises:
        ValueError: for an unknown name, an impossible size or channel count, or a checkpoint of another model.
        FileNotFoundError: when the checkpoint is not there.
        ConnectionError: when the weights cannot be fetched.
    """
    if name == EMBEDDED:
        return _embedded(pretrained, img_size, in_channels)
    if not timm.is_model(name):
        near = difflib.get_close_matches(name.split(".")[0], timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models('vit*') lists what there is."
        raise ValueError(f"backbone {name!r} is not a timm model: {hint}")
    check_whole("in_channels", in_channels)
    settings: dict = {"num_classes": 0, "in_chans": in_channels}
    if img_size is not None:
        _check_img_size(name, img_size)
        settings["img_size"] = img_size
    if pretrained is True:
        return _from_hub(name, settings)
    model = timm.create_model(name, pretrained=False, **settings)
    if pretrained is not False:
        _load_checkpoint(model, name, Path(pretrained), in_channels)
    return model


def _embedded(pretrained: Any, img_size: int | Sequence[int] | None, in_channels: int) -> nn.Module:
    """A small ViT of random weights. Their bits come from integers, so that every machine has the same ones."""
    if pretrained is not False:
        raise ValueError(
            "backbone 'embedded' has no pretrained weights, it is a random stand-in: leave pretrained out, or choose a "
            "backbone that has some, such as 'vit_small_patch16_224.augreg_in21k'."
        )
    check_whole("in_channels", in_channels)
    name = "vit_tiny_patch16_224"
    settings: dict[str, Any] = {}
    if img_size is not None:
        _check_img_size(name, img_size)
        settings["img_size"] = img_size
    with torch.random.fork_rng(devices=[]):  # what timm draws is thrown away, and nobody's random numbers move on
        model = timm.create_model(name, num_classes=0, in_chans=in_channels, depth=6, weight_init="skip", **settings)
    bits = np.random.PCG64(20240701)
    state = model.state_dict()
    for key, tensor in state.items():
        if tensor.ndim == 1:
            tensor.fill_(float("norm" in key and key.endswith("weight")))
            continue
        if key == "pos_embed":  # zero, so that the weights are the same for every image size
            tensor.zero_()
            continue
        # Weights for colour whatever the images are, and then as timm adapts them.
        shape = (tensor.shape[0], 3, *tensor.shape[2:]) if key == "patch_embed.proj.weight" else tuple(tensor.shape)
        whole = (bits.random_raw(math.prod(shape)) >> np.uint64(40)).astype(np.float32).reshape(shape)
        # Uniform of variance 1 / fan-in: half of 2^24 is exact, and so is all the rest in single precision.
        drawn = torch.from_numpy(whole / np.float32(2**23) - np.float32(1)) * math.sqrt(3 / math.prod(shape[1:]))
        if shape != tuple(tensor.shape):
            drawn = timm.models.adapt_input_conv(in_channels, drawn)
        tensor.copy_(drawn)
    return model


def _check_img_size(name: str, img_size: int | Sequence[int]) -> None:
    with torch.device("meta"):
        embed = getattr(timm.create_model(name), "patch_embed", None)
    sides = ensure_tuple_rep(getattr(embed, "patch_size", 1), 2)
    sizes = (img_size,) if isinstance(img_size, int) else tuple(img_size)
    if len(sizes) not in (1, 2):
        raise ValueError(f"img_size must be one number or two for a 2-D backbone, got {img_size}.")
    for size, side in zip(ensure_tuple_rep(sizes if len(sizes) == 2 else sizes[0], 2), sides, strict=True):
        if size < side or size % side:
            below = max(size // side, 1) * side
            raise ValueError(
                f"img_size {img_size} is not a multiple of the patch size {side} of {name}: "
                f"{below} or {below + side} would do."
            )


def _from_hub(name: str, settings: dict) -> nn.Module:
    try:
        return timm.create_model(name, pretrained=True, **settings)
    except Exception as error:
        if "No pretrained weights exist" in str(error):
            raise ValueError(
                f"timm has no pretrained weights for {name!r}: name a tag such as "
                f"{(timm.list_pretrained(name.split('.')[0] + '*') or ['vit_small_patch16_224.augreg_in21k'])[0]!r}, "
                "or pass pretrained='PATH' with a local checkpoint."
            ) from error
        raise ConnectionError(
            f"the weights of {name!r} could not be fetched from the hub "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no answer'}): download them "
            "elsewhere and pass pretrained='PATH' (.safetensors or .pth), or pretrained=False for random weights."
        ) from error


def _load_checkpoint(model: Any, name: str, path: Path, in_channels: int) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f"pretrained checkpoint {path} does not exist: pass the path of a .safetensors or .pth."
        )
    try:
        state = timm.models.load_state_dict(str(path))
    except Exception as error:
        raise ValueError(
            f"pretrained checkpoint {path} cannot be read as weights ({type(error).__name__}): "
            "it must be a .safetensors file, or a .pth that torch.load opens with weights_only=True."
        ) from error
    missing: list[str] = []
    hook = model.register_load_state_dict_post_hook(lambda _, keys: missing.extend(keys.missing_keys))
    try:
        timm.models.load_pretrained(
            model,
            pretrained_cfg={**model.pretrained_cfg, "state_dict": state, "custom_load": False},
            num_classes=0,
            in_chans=in_channels,
            # The filter that timm itself applies: it knows other layouts and resizes position embeddings.
            filter_fn=getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None),
            strict=False,
        )
    except (RuntimeError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(
            f"pretrained checkpoint {path} does not fit backbone {name!r}: its weights have other shapes."
        ) from error
    finally:
        hook.remove()
    if missing:
        raise ValueError(
            f"pretrained checkpoint {path} does not fit backbone {name!r}: it lacks {len(missing)} weights, "
            f"among them {missing[0]!r}."
        )
