# SPDX-License-Identifier: Apache-2.0

"""
The files of a registered model, none of which is unpickled: ``backbone.safetensors``, ``config.json`` and a delta.

A bank of many tasks has the same, and a delta for each of them, see ``bank_files``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from monai_ept.data.transforms import input_settings
from monai_ept.model import TunedViT
from monai_ept.networks import create_backbone, monai_vit_from_timm
from monai_ept.networks.tuner import own_name

__all__ = [
    "DELTA",
    "copy_backbone",
    "fold_if_possible",
    "load_backbone",
    "load_model_files",
    "read_config",
    "save_backbone",
    "save_model_files",
    "write_config",
]

DELTA = "delta.safetensors"
BACKBONE = "backbone.safetensors"
CONFIG = "config.json"
MONAI_VIT = ("monai.networks.nets.ViT", "monai.networks.nets.vit.ViT")
CONVERTED = "monai_ept.networks.monai_vit_from_timm"
CREATED = "monai_ept.networks.create_backbone"


def save_model_files(
    net: TunedViT,
    folder: Path,
    task: str,
    backbone: Any = None,
    transforms: Mapping[str, Any] | None = None,
) -> None:
    """Write all that a network needs to be built again anywhere.

    Args:
        net: a network that is not folded.
        backbone: see ``save_backbone``.
        transforms: arguments of ``eval_transforms`` that the network does not know.

    Raises:
        ValueError: when nobody can know how to build the backbone, or the network is merged already.
    """
    about = save_backbone(net, folder, backbone)
    net.save_delta(folder / DELTA)
    own = {"class_names": net.class_names, "task": task, "transforms": input_settings(net.vit, **(transforms or {}))}
    write_config(folder, {**about, **own})


def load_model_files(folder: Path) -> tuple[TunedViT, dict[str, Any]]:
    """Build the network again, folded where its method can be, and its configuration."""
    config = read_config(folder)
    # Weights that are missing are noticed by the delta, which knows the fingerprint of its backbone.
    module = load_backbone(folder, config)
    net = TunedViT.from_delta(folder / DELTA, backbone=module, img_size=config["img_size"]).eval()
    # A method with nothing to fold, or one whose effect depends on the image, runs as it is.
    return fold_if_possible(net), config


def save_backbone(net: TunedViT, folder: Path, backbone: Any = None) -> dict[str, Any]:
    """
    Write the weights of a network's backbone as they came.

    Args:
        net: a network that is not merged.
        backbone: how to build a backbone that was given as a module: ``{"_target_": "monai.networks.nets.ViT", …}``,
            or the same of ``monai_ept.networks.monai_vit_from_timm`` or ``monai_ept.networks.create_backbone``.

    Raises:
        ValueError: when nobody can know how to build the backbone, or the network is merged already.

    Returns:
        what a configuration says of it.
    """
    name = net.delta_metadata()["backbone"]
    if not name["by_name"] and (backbone is None or backbone.get("_target_") not in (*MONAI_VIT, CONVERTED, CREATED)):
        raise ValueError(
            f"the backbone is a {name['name']} that was given as a module: pass backbone={{'_target_': "
            f"'{MONAI_VIT[0]}', …}} with the arguments that built it, or give the network a backbone by name."
        )
    with net.disabled():  # trained weights are in the delta: here they are as they came
        weights = {own_name(key): tensor.detach().cpu().clone() for key, tensor in net.backbone.state_dict().items()}
    save_file({key: tensor.contiguous() for key, tensor in weights.items() if key in net._own_names}, folder / BACKBONE)
    if name["by_name"]:
        backbone = name["name"]
        if "settings" in name or "architecture" in name:  # without the repository that the weights came from
            architecture = name.get("architecture", backbone)
            backbone = {"_target_": CREATED, "name": architecture, "backbone_settings": name.get("settings")}
    return {"backbone": backbone, "img_size": list(net.vit.img_size), "in_channels": net.vit.in_channels}


def copy_backbone(source: Path, folder: Path) -> dict[str, Any]:
    """Take over the backbone of another model's files; what is returned is as ``save_backbone`` has it."""
    config = read_config(source)
    shutil.copyfile(source / BACKBONE, folder / BACKBONE)
    return {key: config[key] for key in ("backbone", "img_size", "in_channels")}


def load_backbone(folder: Path, config: Mapping[str, Any]) -> nn.Module:
    """Build a backbone again, with its weights."""
    module = _backbone(config)
    # Not strict: a head of the backbone's own, which is not used, is not kept.
    module.load_state_dict(load_file(folder / BACKBONE), strict=False)
    return module


def read_config(folder: Path) -> dict[str, Any]:
    """What ``config.json`` says."""
    return json.loads((folder / CONFIG).read_text(encoding="utf-8"))


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write ``config.json``."""
    (folder / CONFIG).write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def fold_if_possible(net: TunedViT) -> TunedViT:
    """The folded network, or the network itself where there is nothing to fold."""
    try:
        return net.fold()
    except ValueError:
        return net


def _backbone(config: Mapping[str, Any]) -> nn.Module:
    about = config["backbone"]
    if isinstance(about, str):
        about = {"_target_": CREATED, "name": about}
    target, settings = about.get("_target_"), {key: value for key, value in about.items() if key != "_target_"}
    if target == CREATED:
        return create_backbone(**{"img_size": config["img_size"], "in_channels": config["in_channels"], **settings})
    if target == CONVERTED:
        return monai_vit_from_timm(**settings)
    if target not in MONAI_VIT:
        raise ValueError(f"the registered model has a backbone {target!r} that is not known here.")
    from monai.networks.nets import ViT

    return ViT(**settings)
