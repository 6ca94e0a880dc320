# SPDX-License-Identifier: Apache-2.0

"""Weights under the names of transformers, open_clip, DINO and others, under those of timm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["PARTS", "in_timm_names"]

# The weight that begins every backbone: what stands before its name stands before those of all others.
_TIMM, _HF, _DINOV3, _CLIP, _OPEN_CLIP = _STEMS = (
    "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.weight",
    "embeddings.patch_embeddings.weight",
    "embeddings.patch_embedding.weight",
    "conv1.weight",
)
_TEACHERS = ("teacher", "target_encoder", "model_ema", "state_dict_ema")
PARTS = (*_TEACHERS, "student", "encoder", "model", "state_dict")
"""Where a training keeps its weights in a file with more in it; the first that is there is taken."""

_RENAMED: list[tuple[str, Any]] = [
    (r"^head\.probe$", "attn_pool.latent"),
    (r"^head\.layernorm\.", "attn_pool.norm."),
    (r"^head\.attention\.out_proj\.", "attn_pool.proj."),
    (r"^head\.(attention|mlp)\.", r"attn_pool.\1."),
    (r"^embeddings\.(patch_embeddings\.projection|patch_embeddings|patch_embedding)\.", "patch_embed.proj."),
    (r"^embeddings\.(cls_token|class_embedding)$", "cls_token"),
    (r"^embeddings\.(position_embeddings|position_embedding\.weight)$", "pos_embed"),
    (r"^embeddings\.register_tokens$", "reg_token"),
    (r"^embeddings\.mask_token$", ""),
    (r"^embeddings\.position_ids$", ""),
    (r"^pooler\..*$", ""),
    (r"^(encoder\.|model\.)?layers?\.(\d+)\.", r"blocks.\2."),
    (r"\.attention\.attention\.(query|key|value)\.", lambda match: f".attn.{match[1][0]}."),
    (r"\.(attention|self_attn)\.(q|k|v)_proj\.", r".attn.\2."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.(attention|self_attn)\.(o|out)_proj\.", ".attn.proj."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
    (r"\.mlp\.weights_in\.", ".mlp.fc1."),
    (r"\.mlp\.weights_out\.", ".mlp.fc2."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"(\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.layer_norm(\d)\.", r".norm\1."),
    (r"^(layernorm|post_layernorm|norm)\.", "norm."),
    (r"^pre_layrnorm\.", "norm_pre."),
]


def in_timm_names(state: Mapping[str, Any], where: str) -> tuple[dict[str, Any], str]:
    """
    Weights of a backbone, whatever they are called and whatever else is in their file, under timm's names.

    Args:
        state: weights by name; parts of a training may stand in mappings of their own.

    Returns:
        the weights, and what was chosen of several backbones: empty where there was one.

    Raises:
        ValueError: when there are several backbones, and none of them is the one that their training keeps.
    """
    chosen = ""
    for name in PARTS:
        inner = state.get(name)
        if isinstance(inner, Mapping) and any(isinstance(value, Tensor) for value in inner.values()):
            others = [key for key, value in state.items() if isinstance(value, Mapping) and key != name]
            if others:
                chosen = f"{name}, not {' or '.join(others)}"
            state = inner
            break
    prefix, stem, of_several = _place(state, where)
    chosen = of_several or chosen
    found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if stem == _OPEN_CLIP:  # timm itself renames these, if they begin with what CLIP calls its image tower
        return {f"visual.{re.sub('[.]ls_', '.ls', key)}": value for key, value in found.items()}, chosen
    return (_renamed(found, eva=stem == _DINOV3) if stem in (_HF, _DINOV3, _CLIP) else found), chosen


def _place(state: Mapping[str, Any], where: str) -> tuple[str, str, str]:
    """What stands before the names of a backbone, the name that it begins with, and what was chosen of several."""
    places = {}
    for stem in _STEMS:
        for key in state:
            if (key == stem or key.endswith("." + stem)) and (stem != _OPEN_CLIP or _is_clip(state, key)):
                places[key.removesuffix(stem)] = stem
    if len(places) < 2:
        return (*next(iter(places.items()), ("", _TIMM)), "")
    teachers = [prefix for prefix in places if prefix.split(".")[0] in _TEACHERS]
    if len(teachers) == 1:
        others = [prefix for prefix in places if prefix not in teachers]
        return teachers[0], places[teachers[0]], f"{teachers[0]!r}, not {' or '.join(map(repr, others))}"
    if "" in places:
        return "", places[""], ""
    raise ValueError(
        f"{where} holds {len(places)} backbones, whose names begin with {', '.join(map(repr, sorted(places)))}: "
        "save the weights of one alone."
    )


def _is_clip(state: Mapping[str, Any], key: str) -> bool:
    return key.removesuffix(_OPEN_CLIP) + "class_embedding" in state


def _renamed(state: Mapping[str, Any], *, eva: bool) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for key, value in state.items():
        name = key
        for pattern, new in _RENAMED:
            name = re.sub(pattern, new, name)
        if name and not (name == "reg_token" and not value.numel()):
            names[name] = value
    found: dict[str, Any] = {}
    for name, value in names.items():
        match = re.match(r"(.*\.attn)\.q\.(weight|bias)$", name)
        if match and not (eva and match[2] == "bias"):
            parts: list[Any] = [names.get(f"{match[1]}.{part}.{match[2]}") for part in "qkv"]
            whole = all(isinstance(part, Tensor) for part in parts)
            found |= {f"{match[1]}.qkv.{match[2]}": torch.cat(parts)} if whole else {name: value}
        elif re.search(r"\.attn\.[kv]\.(weight|bias)$", name) and not (eva and name.endswith("v.bias")):
            continue  # in qkv; DINOv3's keys have no bias
        elif eva and re.search(r"\.attn\.[qv]\.bias$", name):
            found[re.sub(r"\.([qv])\.bias$", r".\1_bias", name)] = value
        elif name.endswith(("mlp.up_proj.weight", "mlp.up_proj.bias")):
            gate = names.get(name.replace("up_proj", "gate_proj"))
            if gate is None:
                found[name.replace("up_proj", "fc1")] = value
            elif eva:
                found |= {name.replace("up_proj", "fc1_g"): gate, name.replace("up_proj", "fc1_x"): value}
            else:
                found[name.replace("up_proj", "fc1")] = torch.cat([gate, value])
        elif ".mlp.gate_proj." in name:
            continue
        elif ".mlp.down_proj." in name:
            found[name.replace("down_proj", "fc2")] = value
        elif eva and ".ls" in name:
            found[re.sub(r"\.ls(\d)\.gamma$", r".gamma_\1", name)] = value
        elif name.startswith("attn_pool.attention.in_proj_"):
            kind, width = name.rpartition("_")[2], len(value) // 3
            found |= {f"attn_pool.q.{kind}": value[:width], f"attn_pool.kv.{kind}": value[width:]}
        else:
            found[name] = value
    if "cls_token" in found:
        found["cls_token"] = found["cls_token"].reshape(1, 1, -1)
    if "pos_embed" in found:
        positions = found["pos_embed"]
        found["pos_embed"] = positions = positions if positions.ndim == 3 else positions[None]
        if "reg_token" in found:  # which stand between class token and patches, and have no position
            found["cls_token"] = found["cls_token"] + positions[:, :1]
            found["pos_embed"] = positions[:, 1:]
    return found
