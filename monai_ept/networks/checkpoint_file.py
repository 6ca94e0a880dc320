# SPDX-License-Identifier: Apache-2.0

"""Weights from a local checkpoint, and what is wrong where they do not fit the network that they are for."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from monai_ept.networks.embedded_weights import EMBEDDED
from monai_ept.networks.foreign_names import PARTS

__all__ = ["check_fit", "check_parts", "read_weights", "what_it_is"]

_STEM = "patch_embed.proj.weight"

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
    inner = (one for part in PARTS if isinstance(weights.get(part), Mapping) for one in weights[part].values())
    if not any(isinstance(value, Tensor) for value in (*weights.values(), *inner)):
        raise ValueError(
            f"pretrained checkpoint {path} holds no weights{_keys(state)}: "
            "pass the state_dict of a network, or a file with one under 'state_dict' or 'model'."
        )
    # timm resizes position embeddings and sums channels in the precision of the file; half of it is for files only.
    return {key: _in_single_precision(value) for key, value in weights.items()}


def _in_single_precision(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _in_single_precision(one) for key, one in value.items()}
    half = isinstance(value, Tensor) and value.is_floating_point() and value.element_size() < 4
    return value.float() if half else value


def _keys(state: Mapping[str, Any]) -> str:
    return f", only {_some(list(map(str, state)))}" if state else ""


def check_fit(model: nn.Module, state: Mapping[str, Any], name: str, path: Path, found: Mapping[str, Any]) -> None:
    """
    Refuse weights that are not those of a network to the last name: loaded in part they give other features.

    Args:
        state: the weights as they are about to be loaded.
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


def check_parts(model: nn.Module, state: Mapping[str, Any], name: str, path: Path) -> None:
    """
    Refuse patches of another size, which timm would stretch to those of the network without a word.

    Raises:
        ValueError: when they are of another size.
    """
    own, stem = model.state_dict().get(_STEM), state.get(_STEM)
    if isinstance(stem, Tensor) and own is not None and stem.ndim == own.ndim == 4 and stem.shape[2:] != own.shape[2:]:
        sizes = ["×".join(map(str, one.shape[2:])) for one in (stem, own)]
        raise ValueError(
            f"pretrained checkpoint {path} does not fit backbone {name!r}: its patches are of {sizes[0]} pixels "
            f"instead of {sizes[1]} ({_STEM!r}); {what_it_is(model, state, name)}."
        )


def what_it_is(model: nn.Module, found: Mapping[str, Any], name: str, unexpected: Collection[str] = ()) -> str:
    """What a checkpoint that does not fit seems to hold, and what would fit it, as the end of a sentence."""
    if "head.fc.weight" in found and _STEM not in found:
        return "it looks like an adapter that save_delta wrote: pass the weights of its backbone, and load_delta it"
    theirs, ours = _facts(found), _facts(model.state_dict())
    if not theirs:
        return "it is of another kind of network: pass weights of a timm model of that name"
    differ = [key for key in theirs if theirs[key] != ours.get(key)]
    says = ", ".join(f"{key} {theirs[key]} instead of {ours.get(key, 'none')}" for key in differ)
    it_is = f"it is of a network with {says}: " if says else ""
    settings = _settings(model.state_dict(), found)
    if settings and name != EMBEDDED:
        said = ", ".join(f"{key}: {value}" for key, value in settings.items())
        return f"{it_is}backbone_settings {{{said}}} may fit it, or name the timm model that it comes from"
    return f"{it_is}name the timm model that it comes from{'' if says else ', whose parts it has'}"


def _settings(own: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that would build what a checkpoint has and a network lacks, or the other way round."""
    settings: dict[str, Any] = {}

    def differs(part: str) -> bool:
        return (part in found) != (part in own)

    stem, width = found[_STEM], found[_STEM].shape[0]
    if _STEM in own and stem.shape[2:] != own[_STEM].shape[2:]:
        settings["patch_size"] = stem.shape[2] if stem.shape[2] == stem.shape[3] else list(stem.shape[2:])
    scaled = any(key in found for key in ("blocks.0.ls1.gamma", "blocks.0.gamma_1"))
    if scaled != any(key in own for key in ("blocks.0.ls1.gamma", "blocks.0.gamma_1")):
        settings["init_values"] = "1.0e-5" if scaled else "null"
    registers = [state["reg_token"].shape[1] if "reg_token" in state else 0 for state in (found, own)]
    if registers[0] != registers[1]:
        settings["reg_tokens"] = registers[0]
    into, out = found.get("blocks.0.mlp.fc1.weight"), found.get("blocks.0.mlp.fc2.weight")
    mine = own.get("blocks.0.mlp.fc1.weight")
    if isinstance(into, Tensor) and isinstance(out, Tensor) and mine is not None:
        gated = [one.shape[0] == 2 * two.shape[1] for one, two in ((into, out), (mine, own["blocks.0.mlp.fc2.weight"]))]
        if gated[0] != gated[1]:
            settings |= {"mlp_layer": "SwiGLUPacked", "act_layer": "silu"} if gated[0] else {"mlp_layer": "Mlp"}
        if into.shape[0] * mine.shape[1] != mine.shape[0] * width:
            settings["mlp_ratio"] = float(f"{into.shape[0] / width:.6g}")
    if differs("norm_pre.weight"):
        settings["pre_norm"] = str("norm_pre.weight" in found).lower()
    if differs("fc_norm.weight"):
        settings["global_pool"] = "avg" if "fc_norm.weight" in found else "token"
    if differs("cls_token"):
        settings |= {"class_token": "true"} if "cls_token" in found else {"class_token": "false", "global_pool": "avg"}
    if differs("blocks.0.attn.q_norm.weight"):
        settings["qk_norm"] = str("blocks.0.attn.q_norm.weight" in found).lower()
    if differs("blocks.0.attn.qkv.bias"):
        settings["qkv_bias"] = str("blocks.0.attn.qkv.bias" in found).lower()
    return settings


def _facts(state: Mapping[str, Any]) -> dict[str, Any]:
    """Width, depth and patch size, as the shapes and names of weights tell them."""
    stem = state.get(_STEM)
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
