# SPDX-License-Identifier: Apache-2.0

"""Architecture arguments of timm's models as plain values, which JSON, YAML and a delta file can hold."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import timm
import torch
from timm import layers
from torch import nn

from monai_ept.checks import check_mapping, check_number, check_text, check_whole, did_you_mean, shown

__all__ = ["MLP_LAYERS", "NORM_EPS", "OF_IMAGES", "check_backbone_settings", "empty_model", "timm_arguments"]

OF_IMAGES = ("mean", "std", "interpolation")
"""Settings that say how images are to be prepared, where the weights come without a configuration that does."""

NORM_EPS = "norm_eps"
"""Of all norms: what transformers' ViTs have is not what timm's have."""

MLP_LAYERS = ("Mlp", "GluMlp", "SwiGLU", "SwiGLUPacked", "GatedMlp")
"""timm takes classes, and these are their names in ``timm.layers``."""

_ELSEWHERE = {
    "num_classes": "the head is not the backbone's: say num_classes of the network",
    "in_chans": "say in_channels",
    "patch_drop_rate": "prompts belong to patches, of which none may be dropped",
    "block_fn": "it is code: build the timm model yourself and pass it as backbone",
    "embed_layer": "it is code: build the timm model yourself and pass it as backbone",
    "attn_layer": "it is code: build the timm model yourself and pass it as backbone",
    "weight_init": "weights are loaded, or drawn as timm draws them",
    "fix_init": "weights are loaded, or drawn as timm draws them",
    "device": "move the network instead",
    "dtype": "set amp of the training instead",
}
_EXAMPLE = "{init_values: 1.0e-5, dynamic_img_size: true}"
LARGEST = 2**16
DEEPEST = 1024
MOST_NUMBERS = 2**34
"""Of a backbone, so that no file makes a machine build one that it cannot hold."""


def check_backbone_settings(name: str, value: Any) -> dict[str, Any]:
    """
    Settings as plain values; numbers that YAML takes for texts, such as ``1e-5``, become numbers.

    Args:
        value: the settings; None is none.

    Raises:
        ValueError: when they are no mapping, or a value is not plain.
    """
    settings = check_mapping(name, {} if value is None else value, _EXAMPLE)
    found = {key: _plain(f"{name}: {key}", one) for key, one in settings.items()}
    for key in ("mean", "std"):
        if found.get(key) is not None:
            values = found[key] if isinstance(found[key], list) else [found[key]]
            found[key] = [float(check_number(f"{name}: {key}", one, above=-1e3, below=1e3)) for one in values]
            if len(values) not in (1, 3) or (key == "std" and min(found[key]) <= 0):
                raise ValueError(f"{name}: {key} must be three numbers, one for each colour, got {shown(value[key])}.")
            found[key] *= 3 // len(values)
    if found.get("interpolation") is not None:
        check_text(f"{name}: interpolation", found["interpolation"])
        if found["interpolation"] not in ("nearest", "bilinear", "bicubic"):
            raise ValueError(
                f"{name}: interpolation {shown(found['interpolation'])} is not known: "
                f"{did_you_mean(found['interpolation'], ('bicubic', 'bilinear', 'nearest'))}"
            )
    if found.get(NORM_EPS) is not None:
        check_number(f"{name}: {NORM_EPS}", found[NORM_EPS], above=0, below=1)
    if found.get("depth") is not None:
        check_whole(f"{name}: depth", found["depth"], most=DEEPEST)
    return {key: one for key, one in found.items() if one is not None}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, str):
        if value.lower() in ("true", "false"):  # as a command line hands them on
            return value.lower() == "true"
        with suppress(ValueError):
            return check_number(name, int(value) if value.strip().isdigit() else float(value))
        return check_text(name, value) if value else value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return check_number(name, value, least=-LARGEST, most=LARGEST)
    if isinstance(value, Sequence) and 1 <= len(value) <= 8 and all(isinstance(one, (int, float)) for one in value):
        return [_plain(name, one) for one in value]
    raise ValueError(f"{name} must be a number, a text, true or false, or a few numbers, got {shown(value)}.")


def timm_arguments(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """
    Settings as ``timm.create_model`` takes them.

    Args:
        settings: checked ones.

    Raises:
        ValueError: for a setting that the model does not take; it says what there is.
    """
    if not settings:
        return {}
    arguments = {key: value for key, value in settings.items() if key not in (*OF_IMAGES, NORM_EPS)}
    taken = _taken(name) if arguments else []
    offered = [key for key in taken if key not in _ELSEWHERE]
    for key in arguments:
        if key in _ELSEWHERE:
            raise ValueError(f"backbone_settings cannot have {key!r}: {_ELSEWHERE[key]}.")
        if key not in offered:
            raise ValueError(
                f"backbone {name!r} takes no setting {key!r}: {did_you_mean(key, [*offered, *OF_IMAGES, NORM_EPS])}"
            )
    if arguments.get("global_pool") == "":
        raise ValueError("backbone_settings: global_pool '' leaves tokens as they are: take token, avg or map.")
    if "mlp_layer" in arguments:
        wanted = str(arguments["mlp_layer"])
        if wanted not in MLP_LAYERS:
            raise ValueError(
                f"backbone_settings: mlp_layer {shown(wanted)} is not known: {did_you_mean(wanted, MLP_LAYERS)}"
            )
        arguments["mlp_layer"] = getattr(layers, wanted)
    about_images = {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items() if key in OF_IMAGES}
    return {**arguments, **({"pretrained_cfg_overlay": about_images} if about_images else {})}


@cache
def _taken(name: str) -> list[str]:
    """The arguments of the class that a timm model is of."""
    try:
        model = empty_model(name, depth=1)  # a giant of one block takes a hundredth of the time
    except ValueError:
        model = empty_model(name)
    return [*inspect.signature(type(model).__init__).parameters][1:]


def empty_model(name: str, **arguments: Any) -> nn.Module:
    """
    A timm model that has shapes and no numbers.

    Raises:
        ValueError: when timm cannot build it.
    """
    try:
        with torch.device("meta"):
            model = timm.create_model(name, **arguments)
    except (ArithmeticError, AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        if not arguments:
            raise
        said = " ".join(str(error).split())[:200].rstrip(".: ") or "it does not say why"
        names = {id(getattr(layers, one)): one for one in MLP_LAYERS}
        given = {key: names.get(id(v), v) for key, v in arguments.items() if key not in ("num_classes", "in_chans")}
        raise ValueError(
            f"timm cannot build {name!r} with backbone_settings {shown(given)} ({type(error).__name__}: {said}): "
            "correct them, or leave out what is the model's own."
        ) from error
    if sum(param.numel() for param in model.parameters()) > MOST_NUMBERS:
        raise ValueError(f"backbone {name!r} would have more than {MOST_NUMBERS:,} numbers: make it smaller.")
    return model
