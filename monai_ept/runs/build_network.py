# SPDX-License-Identifier: Apache-2.0

"""A network from plain configuration values, as bundles have them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch

from monai_ept.checks import flag
from monai_ept.delta import DeltaError, read_delta
from monai_ept.model import TunedViT
from monai_ept.networks import create_backbone, monai_vit_from_timm
from monai_ept.networks.embedded_weights import EMBEDDED, EMBEDDED_RANDOM, generations
from monai_ept.start import start_as_written

__all__ = ["backbone_recipe", "make_backbone", "make_network", "network_of_bare_delta", "network_of_delta"]


def make_network(
    class_names: Sequence[str],
    *,
    backbone: str = "embedded",
    pretrained: bool | str | os.PathLike = False,
    img_size: int | Sequence[int] | None = None,
    in_channels: int = 3,
    spatial_dims: int = 2,
    patch_size: int | Sequence[int] | None = None,
    backbone_settings: Mapping[str, Any] | None = None,
    method: Any = "ept",
    method_settings: dict[str, Any] | None = None,
    prompt_length: int | None = None,
    dropout: float = 0.0,
    readout: str | int | None = None,
    views: str | None = None,
    adapted: Any = None,
    seed: int = 0,
) -> TunedViT:
    """
    Build a ``TunedViT``.

    What starts at random (prompts, adapters, the head) follows from ``seed`` and not from what was drawn before.

    Args:
        class_names: one name per class.
        backbone: "embedded" or a timm name.
        pretrained: true (hub), false (random), or the path of a local checkpoint.
        img_size: size of the images; the backbone's own by default.
        in_channels: channels of the images.
        spatial_dims: 2, or 3 for a MONAI ViT that starts from the weights of the timm model, inflated.
        patch_size: of a 3-D network; the timm model's own by default.
        backbone_settings: architecture arguments of the timm model, see ``create_backbone``.
        method: name of a tuning method, a mapping with its name and settings, or a list of these.
        method_settings: settings of a method given by name.
        prompt_length: the one setting with a name of its own.
        dropout: before the head.
        readout: what the head reads, see ``TunedViT``.
        views: over how many views of an image answers are averaged, likewise.
        adapted: what ``adapt`` wrote, which the network starts from, see ``check_adapted``.
        seed: of everything random.

    Raises:
        ValueError: when an argument is out of range, or the weights do not fit.
        ConnectionError: when the hub cannot be reached; it says how to pass a local checkpoint.
    """
    settings = dict(method_settings or {})
    if prompt_length is not None:
        settings["prompt_length"] = prompt_length
    common: dict[str, Any] = {
        "method": method,
        "in_channels": in_channels,
        "dropout": dropout,
        "readout": readout,
        "views": views,
        "class_names": list(class_names),
        **settings,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        given = make_backbone(
            backbone=backbone,
            pretrained=pretrained,
            img_size=img_size,
            in_channels=in_channels,
            spatial_dims=spatial_dims,
            patch_size=patch_size,
            backbone_settings=backbone_settings,
        )
        torch.manual_seed(seed)
        module = given.pop("backbone", backbone)
        if isinstance(module, str):
            given["backbone_settings"] = backbone_settings
        net = TunedViT(module, len(class_names), **{"img_size": img_size, **given}, **common)
    start_as_written(net, adapted)
    return net


def network_of_delta(path: str | os.PathLike, *, seed: int = 0, **settings: Any) -> TunedViT:
    """
    The network that ``make_network`` has built and a training has written: random weights of a backbone are the same.

    Args:
        settings: other arguments of ``make_network``; what it takes beyond the backbone's, the delta knows.

    Raises:
        DeltaError: when the backbone's weights are not those that the delta was trained on.
    """
    first, *earlier = generations(settings.get("backbone", EMBEDDED), _weights(settings.get("pretrained", False)))
    try:
        return _network_of_delta(path, seed, {**settings, "backbone": first})
    except DeltaError:
        for name in earlier:
            with suppress(DeltaError):
                return _network_of_delta(path, seed, {**settings, "backbone": name})
        raise


def _network_of_delta(path: str | os.PathLike, seed: int, settings: Mapping[str, Any]) -> TunedViT:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        given = make_backbone(**settings)
        torch.manual_seed(seed)
        return TunedViT.from_delta(path, **given)


def network_of_bare_delta(path: str | os.PathLike, pretrained: Any = None) -> TunedViT:
    """The network of a delta of which nothing else is known; its backbone is the hub's, unless it has its own."""
    if pretrained is None:
        pretrained = read_delta(path).metadata["backbone"]["name"] != EMBEDDED_RANDOM
    return TunedViT.from_delta(path, pretrained=_weights(pretrained))


def make_backbone(
    *,
    backbone: str = "embedded",
    pretrained: bool | str | os.PathLike = False,
    img_size: int | Sequence[int] | None = None,
    in_channels: int = 3,
    spatial_dims: int = 2,
    patch_size: int | Sequence[int] | None = None,
    backbone_settings: Mapping[str, Any] | None = None,
    **_: Any,
) -> dict[str, Any]:
    """
    What ``TunedViT.from_delta`` needs beside the delta to build the network that ``make_network`` built.

    Args:
        backbone: and the others: as in ``make_network``; what it takes beyond these, the delta knows.
    """
    if spatial_dims == 2:
        return {"pretrained": _weights(pretrained)}
    vit = monai_vit_from_timm(
        create_backbone(backbone, pretrained=_weights(pretrained), backbone_settings=backbone_settings),
        spatial_dims=spatial_dims,
        img_size=img_size,
        patch_size=patch_size,
        in_channels=in_channels,
    )
    return {"backbone": vit, "img_size": img_size}


def _weights(pretrained: Any) -> Any:
    """Yes and no arrive from a command line as texts; anything else is a path."""
    try:
        return pretrained is not None and flag(pretrained)
    except ValueError:
        return pretrained


def backbone_recipe(network: TunedViT, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """
    How the backbone of a volume network is built, for a registered model; None for a backbone by name.

    Args:
        settings: the arguments of ``make_network`` that built it.
    """
    if network.vit.spatial_dims == 2:
        return None
    built = getattr(network.vit.module, "built_from", {})
    return {
        "_target_": "monai_ept.networks.monai_vit_from_timm",
        "backbone": built.get("architecture", settings["backbone"]),
        "spatial_dims": 3,
        "img_size": list(network.vit.img_size),
        "patch_size": list(network.vit.patch_size),
        "in_channels": network.vit.in_channels,
        **({"backbone_settings": built["settings"]} if built.get("settings") else {}),
    }
