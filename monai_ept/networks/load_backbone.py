# SPDX-License-Identifier: Apache-2.0

"""Backbones by name: timm's factory with errors that say what to do, and with local checkpoints checked."""

from __future__ import annotations

import difflib
import logging
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch
from monai.utils import ensure_tuple_rep
from torch import nn

from monai_ept.checks import check_whole, shown
from monai_ept.networks.backbone_settings import (
    NORM_EPS,
    OF_IMAGES,
    check_backbone_settings,
    empty_model,
    timm_arguments,
)
from monai_ept.networks.checkpoint_file import check_fit, check_parts, read_weights, what_it_is
from monai_ept.networks.embedded_weights import (
    EMBEDDED,
    EMBEDDED_NAMES,
    EMBEDDED_RANDOM,
    WEIGHTS,
    empty_embedded,
    random_embedded,
)
from monai_ept.networks.foreign_configs import Described, describe_model
from monai_ept.networks.foreign_names import in_timm_names
from monai_ept.networks.model_repository import FOLDER, HUB, ModelRepository, repository_of

__all__ = ["check_backbone", "check_patches", "create_backbone"]

logger = logging.getLogger(__name__)

MOST_PATCHES = 2**16
"""Of an image: a picture of 4096 pixels each way in patches of 16. The attention of a file that asks for more would
take more memory than there is."""
MOST_CHANNELS = 1024


def create_backbone(
    name: str,
    *,
    pretrained: bool | str | os.PathLike = False,
    img_size: int | Sequence[int] | None = None,
    in_channels: int = 3,
    backbone_settings: Mapping[str, Any] | None = None,
) -> nn.Module:
    """
    Build a timm vision transformer without a classification head.

    Args:
        name: timm model name, with or without a tag of pretrained weights; ``hf-hub:owner/name`` or
            ``local-dir:FOLDER`` for a model with a configuration of timm, transformers or open_clip; "embedded" for
            the small one that needs no download (see ``networks.embedded_weights``), "embedded_v1" for the same with
            the weights of its first generation, or "embedded_random" with random ones.
        pretrained: True takes the weights from the hub or that folder, False starts at random, a path reads a local
            checkpoint (``.safetensors``, or ``.pth`` read with ``weights_only=True``) or a folder with one.
            "embedded" has its own weights whether this is False or True, and takes others from a path.
        img_size: size of the images, the model's own by default; position embeddings are resized.
        in_channels: channels of the images; the patch embedding of pretrained weights is adapted.
        backbone_settings: architecture arguments of ``timm.create_model`` as plain values, such as
            ``{"init_values": 1e-5, "reg_tokens": 4, "mlp_layer": "SwiGLUPacked"}``; and ``mean``, ``std`` and
            ``interpolation`` of the images, where the weights come without a configuration that says them.

    Raises:
        ValueError: for an unknown name or setting, an impossible size or channel count, or a checkpoint of another
            model.
        FileNotFoundError: when the checkpoint is not there.
        ConnectionError: when the weights cannot be fetched.
    """
    check_backbone(name)
    check_whole("in_channels", in_channels, most=MOST_CHANNELS)
    given = check_backbone_settings("backbone_settings", backbone_settings)
    if name in EMBEDDED_NAMES:
        if given:
            raise ValueError(f"backbone {name!r} takes no backbone_settings: its weights are of one architecture.")
        return _embedded(name, pretrained, img_size, in_channels)
    of, weights = repository_of(name), pretrained if isinstance(pretrained, bool) else Path(pretrained)
    described = Described(name, {}) if of is None else describe_model(of)
    if of is not None and weights is True:
        weights = _weights_of(of)
    elif isinstance(weights, Path) and weights.is_dir():
        folder = ModelRepository(f"{FOLDER}{weights}")
        folder.check()
        weights = _weights_of(folder)
        if of is None:  # how images are prepared; what the architecture is has been said
            about = describe_model(folder).settings
            described = Described(name, {key: about[key] for key in OF_IMAGES if key in about})
    architecture = described.architecture
    if architecture != name:
        check_backbone(architecture)
    settings = {**check_backbone_settings(f"the configuration of {name}", described.settings), **given}
    arguments = {"num_classes": 0, "in_chans": in_channels, **timm_arguments(architecture, settings)}
    if img_size is not None:
        arguments["img_size"] = img_size
    if settings or img_size is not None:
        _check_img_size(architecture, arguments)
    if weights is True:
        model: Any = _from_hub(architecture, arguments)
    else:
        model = timm.create_model(architecture, pretrained=False, **arguments)
        if weights is not False:
            with _quiet():
                _load_checkpoint(model, name, weights, in_channels)
            if not settings.get("mean") and "." not in architecture:
                known = [model.pretrained_cfg.get(key) for key in OF_IMAGES]
                _tell_of_images(name if pretrained is True else str(pretrained), architecture, *known)
    for module in model.modules() if NORM_EPS in settings else ():
        if hasattr(module, "normalized_shape"):
            module.eps = settings[NORM_EPS]
    # Size and channels may be others when it is built again.
    model.built_from = {
        "architecture": architecture,
        "settings": {key: value for key, value in settings.items() if key != "img_size"},
    }
    return model


def _embedded(name: str, pretrained: Any, img_size: Any, in_channels: int) -> nn.Module:
    arguments = {"in_chans": in_channels, **({} if img_size is None else {"img_size": img_size})}
    if img_size is not None:
        _check_img_size(name, arguments)
    if name == EMBEDDED_RANDOM:
        if pretrained is not False:
            raise ValueError("backbone 'embedded_random' takes no weights: leave pretrained out, or use 'embedded'.")
        return random_embedded(**arguments)
    model = empty_embedded(**arguments)
    if pretrained is False and model.cls_token.is_meta:  # only its shapes are asked for
        return model
    with _quiet():
        _load_checkpoint(model, name, WEIGHTS[name] if isinstance(pretrained, bool) else Path(pretrained), in_channels)
    return model


def _weights_of(repository: ModelRepository) -> Any:
    """A path, or where the weights are in parts, all of them."""
    paths = repository.weights()
    return paths[0] if len(paths) == 1 else paths


@cache
def _tell_of_images(weights: str, architecture: str, mean: Any, std: Any, interpolation: Any) -> None:
    """Say once how images will be prepared, where no configuration came with the weights."""
    logger.warning(
        "nothing says how images were prepared for the weights of %s: mean %s, std %s and interpolation %s of timm's "
        "%s are taken, and backbone_settings {mean: [...], std: [...], interpolation: ...} would give others.",
        *(weights, mean, std, interpolation, architecture),
    )


def check_backbone(name: Any) -> None:
    """
    Refuse what is no name of a backbone.

    Raises:
        ValueError: for an unknown name or tag; it says what there is.
    """
    of = repository_of(name)
    if of is not None:
        of.check()
    if of is not None or name in EMBEDDED_NAMES:
        return
    if isinstance(name, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ValueError(f"backbone {name!r} is not a timm model: write {HUB}{name} if it is one of the hub.")
    if not isinstance(name, str) or not timm.is_model(name):
        near = difflib.get_close_matches(str(name).split(".")[0], [EMBEDDED, *timm.list_models()], n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models('vit*') lists what there is."
        raise ValueError(f"backbone {shown(name)} is not a timm model: {hint}")
    try:
        timm.models.get_pretrained_cfg(name)
    except RuntimeError:
        tags = timm.list_pretrained(f"{name.partition('.')[0]}.*")
        have = ", ".join(map(repr, tags[:4])) or repr(name.partition(".")[0])
        raise ValueError(f"backbone {shown(name)} has a tag that timm does not know: there is {have}.") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Let timm not tell that it loads what it was told to load; its warnings are shown."""
    talks = logging.getLogger("timm")
    level = talks.level
    talks.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        talks.setLevel(level)


def _check_img_size(name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse a size that is not one of whole patches, and whatever else timm cannot build."""
    img_size = arguments.get("img_size")
    if name in EMBEDDED_NAMES:
        with torch.device("meta"):
            model = empty_embedded()
    else:
        model = empty_model(name, **{key: value for key, value in arguments.items() if key != "img_size"})
    if img_size is None:
        return
    sides = ensure_tuple_rep(getattr(getattr(model, "patch_embed", None), "patch_size", 1), 2)
    sizes = tuple(img_size) if isinstance(img_size, (list, tuple, torch.Size)) else (img_size,)
    if len(sizes) not in (1, 2):
        raise ValueError(f"img_size must be one number or two for a 2-D backbone, got {shown(img_size)}.")
    for size in sizes:
        check_whole("img_size", size)
    for size, side in zip(ensure_tuple_rep(sizes if len(sizes) == 2 else sizes[0], 2), sides, strict=True):
        if size < side or size % side:
            below = max(size // side, 1) * side
            raise ValueError(
                f"img_size {img_size} is not a multiple of the patch size {side} of {name}: "
                f"{below} or {below + side} would do."
            )
    check_patches(img_size, math.prod(sizes if len(sizes) == 2 else sizes * 2) // math.prod(sides))


def check_patches(img_size: Any, number: int) -> None:
    """Refuse images of more patches than the attention of any machine can hold."""
    if number > MOST_PATCHES:
        raise ValueError(
            f"img_size {shown(img_size)} makes {number:,} patches of an image, and {MOST_PATCHES:,} are the most: "
            "choose a smaller one, or a backbone with larger patches."
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


def _load_checkpoint(model: Any, name: str, path: Any, in_channels: int) -> None:
    state: dict[str, Any] = {}
    paths = path if isinstance(path, list) else [path]
    for one in paths:
        state |= read_weights(one)
    path = paths[0]
    state, chosen = in_timm_names(state, f"pretrained checkpoint {path}")
    if chosen:
        logger.warning("of the backbones in %s this one is taken: %s.", path, chosen)
    check_parts(model, state, name, path)

    def check(_: nn.Module, about_to_load: dict[str, Any], *__: Any) -> None:
        check_fit(model, about_to_load, name, path, state)

    hook = model.register_load_state_dict_pre_hook(check)
    try:
        timm.models.load_pretrained(
            model,
            pretrained_cfg={**model.pretrained_cfg, "state_dict": dict(state), "custom_load": False},
            num_classes=0,
            in_chans=in_channels,
            # The filter that timm itself applies: it knows other layouts and resizes position embeddings.
            filter_fn=getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None),
            strict=False,  # heads may be left over, and what else may not has been said by then
        )
    except (RuntimeError, KeyError, AttributeError, TypeError, IndexError, AssertionError) as error:
        check_fit(model, state, name, path, state)  # timm could not resize something: its names tell more
        raise ValueError(
            f"pretrained checkpoint {path} does not fit backbone {name!r}: its weights have other shapes; "
            f"{what_it_is(model, state, name)}."
        ) from error
    finally:
        hook.remove()
