# SPDX-License-Identifier: Apache-2.0
"""
The embedded backbone: a small vision transformer that comes with the package and needs no download.

Its weights were learnt from pictures that are made by formulas (``tools.pretrain``); the model card lies beside
them. ``embedded_v1`` has those of the first generation, which older deltas were trained on, and ``embedded_random`` is
the same network with random weights, to compare with.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

__all__ = [
    "ARCHITECTURE",
    "EMBEDDED",
    "EMBEDDED_NAMES",
    "EMBEDDED_RANDOM",
    "EMBEDDED_V1",
    "SHAPE",
    "WEIGHTS",
    "empty_embedded",
    "generations",
    "random_embedded",
]

EMBEDDED = "embedded"
EMBEDDED_V1 = "embedded_v1"
EMBEDDED_RANDOM = "embedded_random"
EMBEDDED_NAMES = (EMBEDDED, EMBEDDED_V1, EMBEDDED_RANDOM)

ARCHITECTURE = "vit_tiny_patch16_224"
SHAPE = {"embed_dim": 256, "depth": 4, "num_heads": 4}
"""What differs from timm's network of that name: fewer layers, and wider ones."""

WEIGHTS = {name: Path(__file__).parent / "weights" / f"{name}.safetensors" for name in (EMBEDDED, EMBEDDED_V1)}


def generations(name: str, pretrained: Any = False) -> tuple[str, ...]:
    """
    Names of the backbones that a delta may have been trained on, the likeliest first.

    "embedded" has had other weights before; which of them, the delta's fingerprint says.

    Args:
        name: of the backbone in the delta.
        pretrained: as ``create_backbone`` takes it; a path has one generation.
    """
    return (EMBEDDED, EMBEDDED_V1) if name == EMBEDDED and isinstance(pretrained, bool) else (name,)


def empty_embedded(**settings: Any) -> Any:
    """The network with values that are to be replaced; timm's arguments such as ``img_size`` and ``in_chans``."""
    with torch.random.fork_rng(devices=[]):  # what timm draws is thrown away, and nobody's random numbers move on
        model: Any = timm.create_model(ARCHITECTURE, weight_init="skip", **{"num_classes": 0, **SHAPE, **settings})
    # timm's own entry tells of other weights; how images are to be prepared is the same.
    model.pretrained_cfg = {**model.pretrained_cfg, "tag": EMBEDDED, "hf_hub_id": None, "url": ""}
    return model


def random_embedded(**settings: Any) -> Any:
    """The network with random weights. Their bits come from integers, so that every machine has the same ones."""
    model = empty_embedded(**settings)
    bits = np.random.PCG64(20240701)
    for key, tensor in model.state_dict().items():
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
            drawn = timm.models.adapt_input_conv(tensor.shape[1], drawn)
        tensor.copy_(drawn)
    return model
