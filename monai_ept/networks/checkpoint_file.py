# SPDX-License-Identifier: Apache-2.0

"""Weights from a local checkpoint, and what is wrong where they do not fit the network that they are for."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

__all__ = ["check_fit", "read_weights", "what_it_is"]

# What a checkpoint may hold beyond the backbone: heads, and what its pretraining alone has used.
_LEFT_BEHIND = re.compile(r"(head|heads|head_dist|fc|classifier|pre_logits|mask_token|decoder\w*|\w+_head)(\.|$)")


def read_weights(path: Path) -> dict[str, Any]:
    """
    Tensors by name; no code in the file is ever run.

    Args:
        path: a ``.safetensors``, or a ``.pth`` that ``torch.load`` opens with ``weights_only=True``.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it cannot be read, or holds no weights.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"pretrained checkpoint {path} {'is a folder' if path.is_dir() else 'does not exist'}: "
            "pass the path of a .safetensors or .pth."
        )
    try:
        state = timm.models.load_state_dict(str(path))
    except Exception as error:  # torch, pickle, zipfile and safetensors each raise their own
        reason = "it has no content" if not path.stat().st_size else type(error).__name__
        raise ValueError(
            f"pretrained checkpoint {path} cannot be read as weights ({reason}): "
            "it must be a .safetensors file, or a .pth that torch.load opens with weights_only=True."
        ) from error
    weights = {key: value for key, value in state.items() if isinstance(value, (Tensor, Mapping))}
    if not any(isinstance(value, Tensor) for value in [*weights.values(), *(weights.get("encoder") or {}).values()]):
        raise ValueError(
            f"pretrained checkpoint {path} holds no weights{_keys(state)}: "
            "pass the state_dict of a network, or a file with one under 'state_dict' or 'model'."
        )
    # timm resizes position embeddings and sums channels in the precision of the file; half of it is for files only.
    return {key: _in_single_precision(value) for key, value in weights.items()}


def _in_single_precision(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.is_floating_point() and value.element_size() < 4
    return value.float() if half else value


def _keys(state: Mapping[str, Any]) -> str:
    return f", only {_some(list(map(str, state)))}" if state else ""


def check_fit(model: nn.Module, state: Mapping[str, Any], name: str, path: Path, found: Mapping[str, Any]) -> None:
    """
    Refuse weights that are not those of a network to the last name: loaded in part they give other features.

    Args:
        model: the network.
        state: the weights as they are about to be loaded.
        name: of the network.
        path: of the checkpoint.
        found: the weights as they were in the checkpoint.

    Raises:
        ValueError: when a weight is missing, unexpected, of another shape, not finite, or a whole number.
    """
    own = model.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own and not _LEFT_BEHIND.match(key)]
    misshapen = [key for key, value in own.items() if key in state and state[key].shape != value.shape]
    problems = []
    if missing:
        problems.append(f"it lacks {_counted(missing)}")
    if unexpected:
        problems.append(f"it has {_counted(unexpected)} that the backbone lacks")
    if misshapen:
        shapes = f"{tuple(state[misshapen[0]].shape)} instead of {tuple(own[misshapen[0]].shape)}"
        problems.append(f"{_counted(misshapen)} of another shape, {shapes}")
    if problems:
        raise ValueError(
            f"pretrained checkpoint {path} does not fit backbone {name!r}: {', '.join(problems)}; "
            f"{what_it_is(model, found, name, unexpected)}."
        )
    for key, value in own.items():
        if value.is_floating_point() and not state[key].is_floating_point():
            raise ValueError(
                f"pretrained checkpoint {path} holds {key!r} as {state[key].dtype}, which is no weight: pass weights "
                "in floating point, as they were before anybody rounded or quantised them."
            )
        if value.is_floating_point() and not state[key].isfinite().all():
            raise ValueError(
                f"pretrained checkpoint {path} holds NaN or infinite values in {key!r}: it comes from a training "
                "that failed, pass another."
            )


def what_it_is(model: nn.Module, found: Mapping[str, Any], name: str, unexpected: Collection[str] = ()) -> str:
    """What a checkpoint that does not fit seems to hold, and what would fit it, as the end of a sentence."""
    theirs, ours = _facts(found), _facts(model.state_dict())
    if "head.fc.weight" in found and "patch_embed.proj.weight" not in found:
        return "it looks like an adapter that save_delta wrote: pass the weights of its backbone, and load_delta it"
    prefixes = {key.partition(".")[0] + "." for key in found} - {"blocks."}
    for prefix in sorted(prefixes):
        if prefix + "patch_embed.proj.weight" in found:
            return f"its names begin with {prefix!r}: save it again without"
    if not theirs:
        return "it is of another kind of network: pass weights of a timm model of that name"
    differ = [key for key in theirs if theirs[key] != ours.get(key)]
    if differ:
        says = ", ".join(f"{key} {theirs[key]} instead of {ours.get(key, 'none')}" for key in differ)
        return f"it is of a network with {says}: name the timm model that it comes from"
    if any(".ls1." in key or "gamma_1" in key for key in unexpected):
        return (
            "it has LayerScale: name a backbone that has it too, or pass as backbone "
            f"timm.create_model({name!r}, init_values=1e-5, num_classes=0) with the weights in it"
        )
    if "reg_token" in unexpected:
        number = found["reg_token"].shape[1] if "reg_token" in found else "some"
        return f"it has {number} register tokens: name a backbone that has them too, one with 'reg' in its name"
    return "name the timm model that it comes from, whose parts it has"


def _facts(state: Mapping[str, Any]) -> dict[str, Any]:
    """Width, depth and patch size, as the shapes and names of weights tell them."""
    stem = state.get("patch_embed.proj.weight")
    if not isinstance(stem, Tensor) or stem.ndim < 2:
        return {}
    blocks = {int(match[1]) for key in state if (match := re.match(r"blocks\.(\d+)\.", key))}
    facts: dict[str, Any] = {"width": stem.shape[0], "blocks": len(blocks)}
    mlp = state.get("blocks.0.mlp.fc1.weight")
    return facts if not isinstance(mlp, Tensor) else {**facts, "MLP width": mlp.shape[0]}


def _counted(names: Collection[str]) -> str:
    return f"{len(names)} weight{'s' if len(names) > 1 else ''} ({_some(list(names))})"


def _some(names: list[str]) -> str:
    """Up to three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f"{name[:60]!r}" for name in names[:3]) + more
