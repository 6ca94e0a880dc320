# SPDX-License-Identifier: Apache-2.0

"""The configurations of other projects' models, as the timm model and the settings that are the same architecture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from monai_ept.checks import check_number, check_whole, shown
from monai_ept.networks.model_repository import ModelRepository

__all__ = ["Described", "describe_model"]

_CLIP_IMAGES = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
}
"""What open_clip takes where a model's configuration says nothing."""
_RESAMPLING = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, which transformers writes down."""
_ACTIVATIONS = {"gelu": "gelu", "quick_gelu": "quick_gelu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh"}

# What a configuration of transformers leaves out has the value that its class has there.
_VIT = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
    "hidden_act": "gelu", "layer_norm_eps": 1e-12, "image_size": 224, "patch_size": 16, "qkv_bias": True,
}  # fmt: skip
_DINOV2 = {**_VIT, "mlp_ratio": 4, "layer_norm_eps": 1e-6, "patch_size": 14, "use_swiglu_ffn": False}
_DINOV3 = {
    **_VIT, "hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536, "layer_norm_eps": 1e-5,
    "num_register_tokens": 0, "use_gated_mlp": False, "rope_theta": 100.0, "query_bias": True, "key_bias": False,
    "value_bias": True, "proj_bias": True, "mlp_bias": True,
}  # fmt: skip
_CLIP = {**_VIT, "patch_size": 32, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
_SIGLIP = {**_VIT, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "vision_use_head": True}
_KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "dinov2": ("vit_base_patch14_dinov2", _DINOV2, {}),
    "dinov2_with_registers": ("vit_base_patch14_reg4_dinov2", {**_DINOV2, "num_register_tokens": 4}, {}),
    "dinov3_vit": ("vit_small_patch16_dinov3_qkvb", _DINOV3, {"global_pool": "token"}),
    "vit": ("vit_base_patch16_224", _VIT, {}),
    "vit_mae": ("vit_base_patch16_224", _VIT, {}),
    "vit_msn": ("vit_base_patch16_224", {**_VIT, "layer_norm_eps": 1e-6}, {}),
    "ijepa": ("vit_base_patch16_224", _VIT, {"class_token": False, "global_pool": "avg", "fc_norm": False}),
    "clip": ("vit_base_patch32_clip_quickgelu_224", _CLIP, {}),
    "siglip": ("vit_base_patch16_siglip_224", _SIGLIP, {}),
}


class Described(NamedTuple):
    """
    A model of others in timm's words.

    Args:
        architecture: name of a timm model.
        settings: as ``create_backbone`` takes them; ``mean`` and ``std`` are in them where the configuration says them.
    """

    architecture: str
    settings: dict[str, Any]


def describe_model(repository: ModelRepository) -> Described:
    """
    What architecture the model in a repository has, and how its images are to be prepared.

    Raises:
        ValueError: when there is no configuration, or one of an architecture that timm has not.
        ConnectionError: when the hub gives out nothing of this model.
    """
    config = repository.config("config.json")
    found = None
    if config is None or not ({"architecture", "model_type"} & config.keys()):
        clip = repository.config("open_clip_config.json")
        found = None if clip is None else _of_open_clip(clip, repository.name)
    elif "architecture" in config:
        found = _of_timm(config, repository.name)
    else:
        found = _of_transformers(config, repository.name)
        found.settings.update(_of_processor(repository.config("preprocessor_config.json") or {}, found.settings))
    if found is None:
        raise ValueError(
            f"{repository.name} has no configuration of timm, transformers or open_clip (config.json with "
            "'architecture' or 'model_type', or open_clip_config.json): name a timm model, and pass the weights as "
            "pretrained: PATH."
        )
    return found


def _of_timm(config: Mapping[str, Any], name: str) -> Described:
    about = {**config, **(config.get("pretrained_cfg") or {})}
    settings = {
        key: value
        for key, value in (config.get("model_args") or {}).items()
        if key not in ("num_classes", "in_chans") and not key.endswith("drop_rate")
    }
    settings.setdefault("global_pool", about.get("global_pool"))
    if settings["global_pool"] in ("", None):  # tokens as they are; what is read of them is our readout
        del settings["global_pool"]
    size = about.get("input_size")
    if about.get("fixed_input_size") and "img_size" not in settings and isinstance(size, (list, tuple)):
        settings["img_size"] = list(size[-2:])
    images = {key: about[key] for key in ("mean", "std", "interpolation") if about.get(key)}
    if images.get("interpolation") not in _RESAMPLING.values():  # timm's "random", for one
        images.pop("interpolation", None)
    return Described(_text(config, "architecture", name).partition(".")[0], {**settings, **images})


def _of_transformers(config: Mapping[str, Any], name: str) -> Described:
    kind = _text(config, "model_type", name)
    about = config["vision_config"] if isinstance(config.get("vision_config"), Mapping) else config
    kind = {"clip_vision_model": "clip", "siglip_vision_model": "siglip"}.get(kind, kind)
    if kind not in _KINDS:
        raise ValueError(
            f"{name} is a {kind!r} of transformers, and timm has no architecture that is known to be the same: "
            f"known are {', '.join(_KINDS)}."
        )
    base, defaults, fixed = _KINDS[kind]
    about = {**defaults, **about}
    if about["hidden_act"] not in _ACTIVATIONS and not (about["hidden_act"] == "silu" and about.get("use_gated_mlp")):
        raise ValueError(f"{name} has activation {shown(about['hidden_act'])}, which no ViT that is known here has.")
    width = check_whole(f"hidden_size of {name}", about["hidden_size"])
    settings = {
        "embed_dim": width,
        "depth": check_whole(f"num_hidden_layers of {name}", about["num_hidden_layers"]),
        "num_heads": about["num_attention_heads"],
        "patch_size": about["patch_size"],
        "img_size": about["image_size"],
        "mlp_ratio": about.get("mlp_ratio") or about["intermediate_size"] / width,
        "norm_eps": check_number(f"layer_norm_eps of {name}", about["layer_norm_eps"], above=0),
        **fixed,
    }
    if kind == "dinov3_vit":
        return Described(base, {**settings, **_of_dinov3(about, name)})
    if not about["qkv_bias"]:
        settings["qkv_bias"] = False
    if about.get("use_swiglu_ffn"):
        hidden = (int(int(width * settings["mlp_ratio"]) * 2 / 3) + 7) // 8 * 8
        settings |= {"mlp_layer": "SwiGLUPacked", "act_layer": "silu", "mlp_ratio": 2 * hidden / width}
    elif about["hidden_act"] != "gelu" or kind == "clip":
        settings["act_layer"] = _ACTIVATIONS[about["hidden_act"]]
    if kind == "dinov2_with_registers":
        settings["reg_tokens"] = about["num_register_tokens"]
    if kind == "siglip" and not about["vision_use_head"]:
        settings |= {"global_pool": "avg", "fc_norm": False}
    return Described(base, settings)


def _of_dinov3(about: Mapping[str, Any], name: str) -> dict[str, Any]:
    biases = [about[f"{part}_bias"] for part in ("query", "key", "value", "proj", "mlp")]
    if biases not in ([True, False, True, True, True], [False, False, False, True, True]):
        raise ValueError(f"{name} is a DINOv3 with biases as timm has none (query, key, value, proj, mlp: {biases}).")
    settings = {"num_reg_tokens": about["num_register_tokens"], "qkv_bias": biases[0]}
    if about["use_gated_mlp"]:
        settings |= {"swiglu_mlp": True, "swiglu_align_to": 1}
    return settings | {"rope_temperature": about["rope_theta"]}


def _of_processor(about: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """How transformers prepares images of a model, and to what size where its patches fit into it."""
    found: dict[str, Any] = {}
    if about.get("image_mean") and about.get("image_std"):
        plain = about.get("do_normalize", True) is False
        found = (
            {"mean": [0.0] * 3, "std": [1.0] * 3} if plain else {"mean": about["image_mean"], "std": about["image_std"]}
        )
    if about.get("resample") in _RESAMPLING:
        found["interpolation"] = _RESAMPLING[about["resample"]]
    size = (about.get("do_center_crop", True) and about.get("crop_size")) or about.get("size")
    if isinstance(size, Mapping):
        size = [size.get("height"), size.get("width")] if "height" in size else size.get("shortest_edge")
    sides = size if isinstance(size, list) else [size]
    patch = settings["patch_size"]
    if isinstance(patch, int) and all(isinstance(side, int) and side > 0 and side % patch == 0 for side in sides):
        found["img_size"] = size
    return found


def _of_open_clip(config: Mapping[str, Any], name: str) -> Described:
    model = config.get("model_cfg") or config
    vision = model.get("vision_cfg")
    if not isinstance(vision, Mapping):
        raise ValueError(f"open_clip_config.json of {name} has no vision_cfg: download it again.")
    given = config.get("preprocess_cfg") or {}
    images = {key: given.get(key) or value for key, value in _CLIP_IMAGES.items()}
    size = vision.get("image_size", 224)
    if vision.get("timm_model_name"):
        settings = {"img_size": size}
        if vision.get("timm_pool", "avg"):
            # open_clip changes the pooling of a model that is built, which moves no norm behind it.
            settings |= {"global_pool": vision.get("timm_pool", "avg"), "fc_norm": False}
        return Described(_text(vision, "timm_model_name", name), {**settings, **images})
    odd = [
        key for key, value in vision.items() if key not in _OF_OPEN_CLIP and value not in (None, False, 0, 0.0, "tok")
    ]
    if odd:
        raise ValueError(f"{name} has an image tower with {', '.join(odd)}, which timm's ViTs have not: use another.")
    width = check_whole(f"width of {name}", vision.get("width", 768))
    settings = {
        "embed_dim": width,
        "depth": vision.get("layers", 12),
        "num_heads": width // vision.get("head_width", 64),
        "patch_size": vision.get("patch_size", 16),
        "mlp_ratio": vision.get("mlp_ratio", 4.0),
        "img_size": size,
        "act_layer": "quick_gelu" if model.get("quick_gelu") else "gelu",
    }
    if vision.get("ls_init_value"):
        settings["init_values"] = vision["ls_init_value"]
    return Described("vit_base_patch32_clip_224", {**settings, **images})


_OF_OPEN_CLIP = (
    "layers", "width", "head_width", "patch_size", "mlp_ratio", "image_size", "ls_init_value", "patch_dropout",
    "output_tokens", "attn_pooler_queries", "attn_pooler_heads", "pool_type", "pos_embed_type",
)  # fmt: skip


def _text(about: Mapping[str, Any], key: str, name: str) -> str:
    if not isinstance(about[key], str):
        raise ValueError(f"{key} of {name} is {shown(about[key])}, which is no name: download its configuration again.")
    return about[key]
